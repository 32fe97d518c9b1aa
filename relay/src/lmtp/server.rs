//! Accepts clients.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio::time::timeout;

use super::Relay;
use super::Witness;
use super::session::converse;
use crate::delivery::Routes;
use crate::socketmap::Listener;

/// Serves `relay` until `stop` becomes true.
///
/// Then nothing is accepted any more, idle clients are told to come back, and messages that have been handed over
/// are delivered and answered, for as long as [`super::LmtpConfig::drain`] allows.
pub async fn serve<R, W>(listener: Listener, relay: Arc<Relay<R, W>>, mut stop: watch::Receiver<bool>)
where
    R: Routes,
    W: Witness,
{
    let places = Arc::new(Semaphore::new(relay.config.connections));
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener) => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "LMTP: cannot accept a connection; trying again");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Some(peer) =
            peer.filter(|peer| !relay.config.foreign_clients && !peer.to_canonical().is_loopback())
        {
            tracing::warn!(%peer, "LMTP: a client on another machine was refused");
            sessions.spawn(stream.refuse("554 5.7.1 only clients on this machine are served"));
            continue;
        }
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                sessions.spawn(session(stream, Arc::clone(&relay), stop.clone(), place));
            }
            Err(_) => {
                tracing::warn!("LMTP: too many connections");
                sessions.spawn(stream.refuse("421 4.3.2 too many connections, try again later"));
            }
        }
    }
    drop(listener);
    let drained = timeout(relay.config.drain, async { while sessions.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!("LMTP: {} clients were cut off in the middle of a message", sessions.len());
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Says one line and closes.
    async fn refuse(self, line: &'static str) {
        async fn last_line(mut stream: impl AsyncWrite + Unpin, line: &str) -> io::Result<()> {
            stream.write_all(format!("{line}\r\n").as_bytes()).await?;
            stream.shutdown().await
        }
        let said = timeout(REFUSAL, async {
            match self {
                Self::Tcp(stream) => last_line(stream, line).await,
                Self::Unix(stream) => last_line(stream, line).await,
            }
        });
        if let Ok(Err(error)) = said.await {
            tracing::debug!(%error, "LMTP: a refused client did not listen");
        }
    }
}

async fn accept(listener: &Listener) -> io::Result<(Stream, Option<IpAddr>)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            // Replies are small and waited for.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
            Ok((Stream::Tcp(stream), Some(peer.ip())))
        }
        Listener::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
    }
}

async fn session<R, W>(
    stream: Stream,
    relay: Arc<Relay<R, W>>,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) where
    R: Routes,
    W: Witness,
{
    match stream {
        Stream::Tcp(stream) => converse(relay, stream, stop).await,
        Stream::Unix(stream) => converse(relay, stream, stop).await,
    }
}

/// How long accepting rests after an error, for example too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const REFUSAL: Duration = Duration::from_secs(5);
