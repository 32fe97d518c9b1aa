//! The sockets of the relay room.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use ::relay::socketmap::Listener;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::listen::{Endpoint, remove_stale};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Binds a socket of the policy server; must run inside the runtime.
///
/// What it tells anybody can find out in DNS, so that any local user may ask; Postfix's smtp client has a group of
/// its own.
///
/// # Errors
/// The address is taken, or the file is somebody else's.
pub fn policy(endpoint: &Endpoint) -> io::Result<Listener> {
    match endpoint {
        Endpoint::Inet(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Listener::Tcp(TcpListener::from_std(listener)?))
        }
        Endpoint::Unix(path) => {
            remove_stale(path)?;
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
            Ok(Listener::Unix(listener))
        }
    }
}

/// Binds the socket of the synchronous relay; must run inside the runtime.
///
/// Every address of 127.0.0.0/8 must lead to it, so it is bound to all addresses, but to the loopback
/// interface only where the system lets us; clients of other machines are refused besides.
///
/// # Errors
/// The address is taken.
pub fn lmtp(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.ip().is_unspecified()
        && let Err(error) = socket.bind_device(Some(b"lo"))
    {
        tracing::debug!(%error, "the relay's socket is not bound to the loopback interface");
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn every_loopback_address_leads_to_the_relay() {
        let Listener::Tcp(listener) = lmtp(([0, 0, 0, 0], 0).into()).unwrap() else { panic!("not TCP") };
        let port = listener.local_addr().unwrap().port();
        for address in [[127, 0, 0, 1], [127, 64, 3, 77], [127, 127, 255, 254]] {
            TcpStream::connect((std::net::Ipv4Addr::from(address), port)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn any_local_user_may_ask_and_a_file_that_is_no_socket_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy");
        policy(&Endpoint::Unix(path.clone())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(policy(&Endpoint::Unix(file.clone())).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}
