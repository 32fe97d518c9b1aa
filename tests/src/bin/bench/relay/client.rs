//! Clients of a policy server: each asks, waits for the answer, and asks again.

use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use super::scene::ANSWER;
use super::scene::DOMAINS;
use super::scene::domain;

/// What so many clients saw.
pub(super) struct Seen {
    /// Answers per second.
    pub(super) rate: f64,
    /// Median of the waiting time, microseconds.
    pub(super) p50: f64,
    /// One in a hundred waits longer, microseconds.
    pub(super) p99: f64,
    /// Answers in all.
    pub(super) count: usize,
}

/// Asks over so many connections, each with a thread of its own, for so long.
pub(super) fn ask(port: u16, connections: usize, time: Duration) -> Seen {
    let streams: Vec<TcpStream> = (0..connections).map(|_| connect(port)).collect();
    let start = Instant::now();
    let mut waits: Vec<u64> = std::thread::scope(|scope| {
        let ask = |(number, stream)| scope.spawn(move || ask_over(stream, number, start + time));
        let all: Vec<_> = streams.into_iter().enumerate().map(ask).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |part: f64| waits[(part * (waits.len() - 1) as f64) as usize] as f64 / 1e3;
    Seen { rate: waits.len() as f64 / seconds, p50: at(0.5), p99: at(0.99), count: waits.len() }
}

/// Asks once for every domain, so that the answers are in the cache.
pub(super) fn warm(port: u16) {
    let mut stream = connect(port);
    for number in 0..DOMAINS {
        exchange(&mut stream, &question(number), &answer());
    }
}

/// Nanoseconds that each answer took.
fn ask_over(mut stream: TcpStream, number: usize, end: Instant) -> Vec<u64> {
    let questions: Vec<Vec<u8>> = (0..DOMAINS).map(|at| question(number * 7 + at)).collect();
    let (expected, mut waits) = (answer(), Vec::with_capacity(100_000));
    for question in questions.iter().cycle() {
        let start = Instant::now();
        if start >= end {
            break;
        }
        exchange(&mut stream, question, &expected);
        waits.push(u64::try_from(start.elapsed().as_nanos()).unwrap());
    }
    waits
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, question: &[u8], expected: &[u8]) {
    stream.write_all(question).unwrap();
    let (mut buffer, mut length) = ([0; 512], 0);
    while length < expected.len() {
        let read = stream.read(&mut buffer[length..]).unwrap();
        assert!(read > 0, "the policy server closed the connection");
        length += read;
    }
    let got = &buffer[..length];
    assert!(got == expected, "{:?} instead of {:?}", got.escape_ascii(), expected.escape_ascii());
}

fn question(number: usize) -> Vec<u8> {
    netstring(&format!("QUERY {}", domain(number)))
}

/// The answer of both servers.
pub(super) fn answer() -> Vec<u8> {
    netstring(&format!("OK {ANSWER}"))
}

fn netstring(text: &str) -> Vec<u8> {
    format!("{}:{text},", text.len()).into_bytes()
}
