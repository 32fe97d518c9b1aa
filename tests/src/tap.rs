//! A tap on the wire between two SMTP servers.

use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Who sent some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Bytes in the order in which they passed: connection number, side, bytes.
type Recording = Arc<Mutex<Vec<(usize, Side, Vec<u8>)>>>;

/// A TCP proxy that passes everything on unchanged and keeps a copy.
#[derive(Debug)]
pub struct SmtpTap {
    port: u16,
    recording: Recording,
    closed: Arc<AtomicBool>,
}

impl SmtpTap {
    /// Listens on `port` and passes connections on to `target`, both on 127.0.0.1.
    ///
    /// # Panics
    /// If the port is taken.
    #[track_caller]
    pub fn start(port: u16, target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let tap = Self { port, recording: Recording::default(), closed: Arc::default() };
        let (recording, closed) = (Arc::clone(&tap.recording), Arc::clone(&tap.closed));
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                // Closing the client's connection is how a proxy says that the server is away.
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { continue };
                pass(number, client, server, &recording);
            }
        });
        tap
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All bytes that passed, both ways: whatever is not in here was not on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        self.recording.lock().unwrap().iter().flat_map(|(_, _, bytes)| bytes.clone()).collect()
    }

    /// True if these bytes passed within one direction of one connection.
    pub fn carried(&self, needle: &[u8]) -> bool {
        let recording = self.recording.lock().unwrap();
        let connections = recording.iter().map(|(number, ..)| number + 1).max().unwrap_or(0);
        (0..connections).any(|number| {
            [Side::Client, Side::Server].iter().any(|&side| {
                let stream = stream(&recording, number, side);
                stream.windows(needle.len()).any(|window| window == needle)
            })
        })
    }

    /// The messages that clients sent after DATA, with CRLF line ends and dots undone.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let recording = self.recording.lock().unwrap();
        let connections = recording.iter().map(|(number, ..)| number + 1).max().unwrap_or(0);
        (0..connections).flat_map(|number| messages_in(&stream(&recording, number, Side::Client))).collect()
    }

    /// The dialogue line by line, each with `C: ` or `S: ` in front.
    pub fn transcript(&self) -> Vec<String> {
        let recording = self.recording.lock().unwrap();
        let mut lines = Vec::new();
        for (_, side, bytes) in recording.iter() {
            let mark = if *side == Side::Client { 'C' } else { 'S' };
            let text = String::from_utf8_lossy(bytes);
            lines.extend(text.lines().map(|line| format!("{mark}: {line}")));
        }
        lines
    }
}

impl Drop for SmtpTap {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Passes one connection on in both directions until either side closes.
fn pass(number: usize, client: TcpStream, server: TcpStream, recording: &Recording) {
    let ends = [(&client, &server, Side::Client), (&server, &client, Side::Server)];
    for (from, to, side) in ends {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
        let _ = to.set_nodelay(true);
        let recording = Arc::clone(recording);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                recording.lock().unwrap().push((number, side, buffer[..count].to_vec()));
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

fn stream(recording: &[(usize, Side, Vec<u8>)], number: usize, side: Side) -> Vec<u8> {
    let mine = recording.iter().filter(|(n, s, _)| (*n, *s) == (number, side));
    mine.flat_map(|(_, _, bytes)| bytes.clone()).collect()
}

/// Cuts the messages out of a client's side of an SMTP dialogue.
fn messages_in(client: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    for line in client.split_inclusive(|&byte| byte == b'\n') {
        match (&mut current, line) {
            (None, line) if line.eq_ignore_ascii_case(b"DATA\r\n") => current = Some(Vec::new()),
            (None, _) => {}
            (Some(message), b".\r\n") => {
                messages.push(std::mem::take(message));
                current = None;
            }
            (Some(message), line) => message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line)),
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_out_and_their_dots_undone() {
        let client =
            b"EHLO x\r\nMAIL FROM:<a@b>\r\nDATA\r\nA: b\r\n\r\n..\r\nDATA\r\n.\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
        assert_eq!(messages_in(client), [b"A: b\r\n\r\n.\r\nDATA\r\n".to_vec(), b"x\r\n".to_vec()]);
    }
}
