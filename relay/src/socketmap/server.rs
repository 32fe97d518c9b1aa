//! Serves tables over TCP and unix sockets: many connections, requests one after the other on each.
//!
//! Requests may arrive in one piece (pipelined); they are answered in order, and answers that need no waiting go out
//! in one piece too. A connection that sends something else than requests is closed, since nothing after it
//! could be trusted.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout;

use super::Answer;
use super::Request;
use crate::netstring;
use crate::netstring::NetstringError;

/// What is served. Implementations are shared by all connections.
pub trait Table: Send + Sync + 'static {
    /// The answer, if it can be given without waiting.
    fn at_once(&self, request: Request<'_>) -> Option<Answer>;

    /// The answer. May take long, and may be dropped when it takes too long.
    fn look_up(&self, request: Request<'_>) -> impl Future<Output = Answer> + Send;
}

/// A socket that is bound already.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// Bounds of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// Bytes of one request.
    pub request: usize,
    /// How long a connection may be silent, also in the middle of a request.
    pub idle: Duration,
    /// How long one look-up may take; below the 100 seconds that Postfix waits.
    pub answer: Duration,
    /// How long the client may take to read an answer.
    pub write: Duration,
}

impl Default for ServerLimits {
    /// 1000 connections, 100 kB, 10 minutes idle, 60 seconds for an answer, 30 seconds to read it.
    fn default() -> Self {
        Self {
            connections: 1000,
            request: 100_000,
            idle: Duration::from_secs(600),
            answer: Duration::from_secs(60),
            write: Duration::from_secs(30),
        }
    }
}

/// How long accepting rests after an error, for example too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Answers are sent when this many bytes are ready, whatever else is to be answered.
const OUTPUT_PIECE: usize = 64 * 1024;
const INPUT_PIECE: usize = 4096;

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Netstring(#[from] NetstringError),
    #[error("a request is not NAME KEY in UTF-8")]
    Request,
    #[error("it was silent in the middle of a request")]
    Silent,
    #[error("it does not read its answers")]
    Stuck,
}

/// Serves `table` until `stop` becomes true, then finishes the requests that have arrived and returns.
pub async fn serve<T: Table>(
    listener: Listener,
    table: Arc<T>,
    limits: ServerLimits,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "policy server: cannot accept a connection; trying again");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (table, limits, stop) = (table.clone(), limits.clone(), stop.clone());
        connections.spawn(async move {
            let ended = match stream {
                Stream::Tcp(stream) => converse(stream, &*table, &limits, stop).await,
                Stream::Unix(stream) => converse(stream, &*table, &limits, stop).await,
            };
            if let Err(fault) = ended {
                tracing::warn!("policy server: a connection was ended: {fault}");
            }
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

/// Waits for a place, then for a connection.
async fn accept(
    listener: &Listener,
    places: &Arc<Semaphore>,
) -> io::Result<(Stream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let stream = match listener {
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // Without this an answer in two pieces waits for the client's delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            Stream::Tcp(stream)
        }
        Listener::Unix(listener) => Stream::Unix(listener.accept().await?.0),
    };
    Ok((stream, place))
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    table: &impl Table,
    limits: &ServerLimits,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Fault> {
    let mut input: Vec<u8> = Vec::with_capacity(INPUT_PIECE);
    let mut output: Vec<u8> = Vec::with_capacity(INPUT_PIECE);
    // One of each for the whole conversation: to make them anew costs as much as an answer from the cache.
    let mut stopped = pin!(async {
        // Without a sender nobody could ever say so.
        let _ = stop.wait_for(|stop| *stop).await;
    });
    let mut silence = pin!(sleep(limits.idle));
    loop {
        let used = answer_all(&input, &mut output, &mut stream, table, limits).await;
        // Requests before a wrong one are answered all the same.
        flush(&mut stream, &mut output, limits).await?;
        input.drain(..used?);
        if input.capacity() > limits.request && input.is_empty() {
            input = Vec::with_capacity(INPUT_PIECE);
        }
        input.reserve(INPUT_PIECE);
        let patience = Instant::now() + limits.idle;
        let read = loop {
            tokio::select! {
                biased;
                () = &mut stopped => return Ok(()),
                read = stream.read_buf(&mut input) => break read?,
                // It may have been set for an earlier request.
                () = &mut silence => match silence.deadline() < patience {
                    true => silence.as_mut().reset(patience),
                    false if input.is_empty() => return Ok(()),
                    false => return Err(Fault::Silent),
                },
            }
        };
        if read == 0 {
            return Ok(());
        }
    }
}

/// Answers every request that is complete; gives the bytes that they used.
async fn answer_all<S: AsyncWrite + Unpin>(
    input: &[u8],
    output: &mut Vec<u8>,
    stream: &mut S,
    table: &impl Table,
    limits: &ServerLimits,
) -> Result<usize, Fault> {
    let mut used = 0;
    while let Some((data, frame)) = netstring::take(input.get(used..).unwrap_or_default(), limits.request)? {
        let request = Request::parse(data).ok_or(Fault::Request)?;
        let answer = match table.at_once(request) {
            Some(answer) => answer,
            None => {
                // Those before need not wait for this one.
                flush(stream, output, limits).await?;
                let late = |_| Answer::temporary("the look-up takes too long, try again later");
                timeout(limits.answer, table.look_up(request)).await.unwrap_or_else(late)
            }
        };
        answer.put(output);
        used += frame;
        if output.len() >= OUTPUT_PIECE {
            flush(stream, output, limits).await?;
        }
    }
    Ok(used)
}

async fn flush<S: AsyncWrite + Unpin>(
    stream: &mut S,
    output: &mut Vec<u8>,
    limits: &ServerLimits,
) -> Result<(), Fault> {
    if !output.is_empty() {
        timeout(limits.write, stream.write_all(output)).await.map_err(|_| Fault::Stuck)??;
        output.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
