//! The least that a policy server can do: reads a netstring, answers a constant. One thread for each connection,
//! which blocks in read(2) and write(2); a process of its own, like gatepost.

use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;

use super::client;

/// Serves until it is killed.
pub(crate) fn serve(port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || converse(stream));
    }
}

/// Ends with `None` when the client does, or sends something else than netstrings.
fn converse(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (answer, mut buffer, mut length) = (client::answer(), [0; 4096], 0);
    loop {
        let read = stream.read(buffer.get_mut(length..)?).ok().filter(|read| *read > 0)?;
        length += read;
        while let Some(frame) = frame(&buffer[..length])? {
            stream.write_all(&answer).ok()?;
            buffer.copy_within(frame..length, 0);
            length -= frame;
        }
    }
}

/// Length of the first netstring with its frame; `Some(None)` if it is not complete, `None` if it is no netstring.
fn frame(input: &[u8]) -> Option<Option<usize>> {
    let Some(colon) = input.iter().position(|byte| *byte == b':') else { return Some(None) };
    let size: usize = std::str::from_utf8(&input[..colon]).ok()?.parse().ok()?;
    let end = colon + 1 + size;
    match input.get(end) {
        Some(b',') => Some(Some(end + 1)),
        Some(_) => None,
        None => Some(None),
    }
}
