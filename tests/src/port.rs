//! Loopback ports that nobody else takes.

use std::fs::File;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::sync::Mutex;

/// First port handed out; below it lives what people run by hand.
const FIRST: u32 = 11_000;
/// Number of ports; the range ends below Linux's ephemeral ports (32768 and up), so that an outgoing
/// connection cannot take a port between our choosing it and a daemon binding it.
const COUNT: u32 = 20_000;

/// Locks on the ports this process has taken; the kernel frees them when the process ends.
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A TCP port on 127.0.0.1 that is free, and stays reserved for this process until it ends.
///
/// Reservation is by a lock file that every test process honours; tests may run in parallel.
pub fn free_port() -> u16 {
    let directory =
        std::env::temp_dir().join(format!("gatepost-ports-{}", rustix::process::geteuid().as_raw()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut taken = TAKEN.lock().unwrap();
    let start = std::process::id().wrapping_mul(31);
    for step in 0..COUNT {
        let port = u16::try_from(FIRST + start.wrapping_add(step) % COUNT).unwrap();
        let lock = File::create(directory.join(port.to_string())).unwrap();
        if lock.try_lock().is_err() || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            continue;
        }
        taken.push(lock);
        return port;
    }
    panic!("no free port in {FIRST}..{}", FIRST + COUNT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let ports = [free_port(), free_port(), free_port()];
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
    }
}
