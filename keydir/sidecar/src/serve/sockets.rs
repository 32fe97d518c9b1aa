//! Listening sockets: our own, and those that systemd hands over.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use program::Exit;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{Endpoint, Place};

/// One listening socket.
#[derive(Debug)]
pub(super) struct Socket {
    /// Whether TLS is spoken on it.
    pub(super) tls: bool,
    listener: Listener,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    /// With the file to be removed at the end, if we made it.
    Unix(UnixListener, Option<PathBuf>),
}

/// Binds all endpoints; must run inside the runtime.
///
/// # Errors
/// The first that cannot be bound, or that systemd did not hand over.
pub(super) fn bind(endpoints: &[Endpoint]) -> Result<Vec<Socket>, Exit> {
    let mut handed = handed_over()?;
    let mut sockets = Vec::new();
    for endpoint in endpoints {
        let failed = |error| Exit::unavailable(format!("cannot listen on {endpoint}"), error);
        match &endpoint.place {
            Place::Inet(address) => sockets.push(own_tcp(*address, endpoint.tls).map_err(failed)?),
            Place::Unix(path) => sockets.push(own_unix(path).map_err(failed)?),
            Place::Systemd(name) => {
                let (ours, others) = handed.into_iter().partition::<Vec<_>, _>(|(given, _)| given == name);
                handed = others;
                if ours.is_empty() {
                    return Err(Exit::config(format!(
                        "cannot listen on {endpoint}: systemd handed over no socket with FileDescriptorName={name}"
                    )));
                }
                for (_, fd) in ours {
                    sockets.push(from_fd(fd, endpoint.tls).map_err(failed)?);
                }
            }
        }
    }
    for (name, _) in handed {
        tracing::warn!("systemd handed over the socket `{name}`, which `listen` does not name");
    }
    Ok(sockets)
}

fn handed_over() -> Result<Vec<(String, OwnedFd)>, Exit> {
    let all = sd_listen_fds::get()
        .map_err(|error| Exit::unavailable("cannot take over the sockets of systemd", error))?;
    Ok(all.into_iter().map(|(name, fd)| (name.unwrap_or_default(), fd.into_std())).collect())
}

fn own_tcp(address: std::net::SocketAddr, tls: bool) -> io::Result<Socket> {
    Ok(Socket { tls, listener: Listener::Tcp(tcp(address)?) })
}

/// A listener of our own; must run inside the runtime.
pub(super) fn tcp(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn own_unix(path: &Path) -> io::Result<Socket> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    // Group access is how the proxy gets in.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(Socket { tls: false, listener: Listener::Unix(listener, Some(path.to_owned())) })
}

/// Takes a socket of either family.
fn from_fd(fd: OwnedFd, tls: bool) -> io::Result<Socket> {
    let tcp = std::net::TcpListener::from(fd);
    tcp.set_nonblocking(true)?;
    let listener = match tcp.local_addr() {
        Ok(_) => Listener::Tcp(TcpListener::from_std(tcp)?),
        // Its address is none of the Internet's.
        Err(_) => {
            let unix = std::os::unix::net::UnixListener::from(OwnedFd::from(tcp));
            Listener::Unix(UnixListener::from_std(unix)?, None)
        }
    };
    Ok(Socket { tls, listener })
}

/// Removes a socket file that a killed predecessor left; one that answers is somebody's, and what is no socket is
/// not ours to remove.
fn remove_stale(path: &Path) -> io::Result<()> {
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

impl Socket {
    /// The next connection and the address at its other end; a unix socket has none.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match &self.listener {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Failure costs speed, never correctness.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(peer.ip())))
            }
            Listener::Unix(listener, _) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Listener::Unix(_, Some(path)) = &self.listener {
            let _ = fs::remove_file(path);
        }
    }
}

/// A connection of either family.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
