//! The sockets the MTA connects to: inet and unix, several at once, with the stall of small
//! packets removed.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{Sleep, sleep};

use crate::packets::Packets;

/// Where the MTA finds the milter, written as Postfix writes it: `inet:host:port` or `unix:path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address.
    Inet(SocketAddr),
    /// A unix socket; created with mode 0660.
    Unix(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!("`{path}` must be an absolute path"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let Some(address) = text.strip_prefix("inet:") else {
            return Err("must begin with `inet:` or `unix:`".to_owned());
        };
        if let Some((port, host)) = address.split_once('@') {
            return Err(format!("write it as Postfix does: inet:{host}:{port}"));
        }
        let address = address.replacen("localhost:", "127.0.0.1:", 1);
        address
            .parse()
            .map(Self::Inet)
            .map_err(|_| format!("`{address}` is not host:port with an IP address"))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "inet:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// All listening sockets, behind indymilter's one `Listener`.
///
/// An accept error (too many open files, say) is logged and waited out; indymilter would end the
/// whole milter on it. When draining begins the sockets are closed, so that the MTA sees a refused
/// connection (a temporary failure) and not a silent backlog.
pub struct Listeners {
    sockets: Vec<Socket>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Completes when draining begins; `None` once it has.
    drain: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    draining: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// How long accepting rests after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl Listeners {
    /// Binds every endpoint; must run inside the runtime. Accepting ends when `drain` completes.
    ///
    /// # Errors
    /// The endpoint that could not be bound, and why.
    pub fn bind(
        endpoints: &[Endpoint],
        drain: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, (Endpoint, io::Error)> {
        let sockets = endpoints
            .iter()
            .map(|endpoint| bind(endpoint).map_err(|error| (endpoint.clone(), error)))
            .collect::<Result<_, _>>()?;
        Ok(Self { sockets, pause: None, drain: Some(Box::pin(drain)), draining: Arc::default() })
    }
}

fn bind(endpoint: &Endpoint) -> io::Result<Socket> {
    match endpoint {
        Endpoint::Inet(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Socket::Tcp(TcpListener::from_std(listener)?))
        }
        Endpoint::Unix(path) => {
            remove_stale(path)?;
            let listener = UnixListener::bind(path)?;
            // Group access is how Postfix's smtpd gets in (group postfix on the directory).
            fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
            Ok(Socket::Unix(listener, path.clone()))
        }
    }
}

/// Removes a socket file that a killed predecessor left; one that answers is somebody's, and what is
/// no socket is not ours to remove.
pub(crate) fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no socket"));
        }
        _ => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers on this socket")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.close();
    }
}

impl indymilter::Listener for Listeners {
    type Io = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        loop {
            let Some(drain) = &mut self.drain else { return Poll::Pending };
            if drain.as_mut().poll(cx).is_ready() {
                self.drain = None;
                self.close();
                continue;
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.poll_sockets(cx) {
                Poll::Ready(Err(error)) => {
                    tracing::error!(%error, "cannot accept a connection; trying again");
                    self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                }
                other => return other,
            }
        }
    }
}

impl Listeners {
    fn close(&mut self) {
        self.draining.store(true, Ordering::Release);
        for socket in self.sockets.drain(..) {
            if let Socket::Unix(_, path) = socket {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn poll_sockets(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        for socket in &self.sockets {
            let accepted = match socket {
                Socket::Tcp(listener) => listener.poll_accept(cx).map_ok(|(s, _)| Transport::tcp(s)),
                Socket::Unix(listener, _) => listener.poll_accept(cx).map_ok(|(s, _)| Transport::Unix(s)),
            };
            if accepted.is_ready() {
                return accepted.map_ok(|transport| Stream {
                    transport,
                    packets: Packets::default(),
                    draining: self.draining.clone(),
                });
            }
        }
        Poll::Pending
    }
}

/// A connection from the MTA. The log says why if it does not end as it should.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    packets: Packets,
    draining: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Transport {
    /// With TCP_NODELAY set and TCP_QUICKACK armed anew at each read.
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    fn tcp(stream: TcpStream) -> Self {
        // Without these, Nagle on one side and delayed ACK on the other stall each message by
        // 40 ms. Failure to set them costs speed, never correctness.
        let _ = stream.set_nodelay(true);
        Self::Tcp(stream)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => {
                // The kernel clears quick-ACK mode by itself, so it is armed at each read.
                let _ = SockRef::from(&*stream).set_tcp_quickack(true);
                Pin::new(stream).poll_read(cx, buf)
            }
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Draining ends connections in the middle.
        if self.draining.load(Ordering::Acquire) {
            return;
        }
        if let Some(complaint) = self.packets.complaint() {
            tracing::warn!("NOQUEUE: a connection from the MTA was ended: {complaint}");
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = ready!(this.transport.poll_read(cx, buf));
        match &result {
            Ok(()) => this.packets.follow(buf.filled().get(before..).unwrap_or_default()),
            Err(_) => this.packets.broke(),
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(match &mut this.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        });
        if result.is_err() {
            this.packets.broke();
        }
        Poll::Ready(result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_written_as_postfix_writes_them() {
        assert_eq!("inet:127.0.0.1:8891".parse(), Ok(Endpoint::Inet(([127, 0, 0, 1], 8891).into())));
        assert_eq!("unix:/run/g/milter".parse(), Ok(Endpoint::Unix("/run/g/milter".into())));
        let sendmail_form = "inet:8891@127.0.0.1".parse::<Endpoint>().unwrap_err();
        assert!(sendmail_form.contains("inet:127.0.0.1:8891"), "{sendmail_form}");
        assert!("unix:relative".parse::<Endpoint>().is_err());
        assert!("/run/socket".parse::<Endpoint>().is_err());
    }
}
