//! The way from the gateway back into Postfix, with a door in it.
//!
//! Copies pass one after the other, so that a fault hits one of them at a known place.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Pid;
use tests::free_port;

use super::world::kill;

/// How the door stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Connections are refused.
    Closed,
    /// Connections are taken, and nobody greets.
    Held,
    /// Dialogues go through.
    Open,
}

/// Where in a dialogue the gateway is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Half of the message has been handed on.
    InData,
    /// The MTA has said 250 to the message, and the gateway has not read it.
    Taken,
}

/// What the gateway hears about a message instead of the MTA's own reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This reply; the MTA does not get the message.
    Refusal(&'static str),
    /// Nothing: the MTA has taken the message, and the connection breaks.
    Silence,
}

#[derive(Debug)]
struct State {
    stand: Stand,
    trap: Option<(Moment, Pid)>,
    /// Replies to the next messages, in place of handing the messages on.
    script: Vec<Answer>,
    listener: Option<TcpListener>,
    ended: bool,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// A listener on 127.0.0.1 that hands SMTP dialogues on to another port.
#[derive(Debug)]
pub(super) struct Door {
    port: u16,
    shared: Shared,
}

impl Door {
    /// A closed door to `target`.
    pub(super) fn new(target: u16) -> Self {
        let state =
            State { stand: Stand::Closed, trap: None, script: Vec::new(), listener: None, ended: false };
        let shared: Shared = Arc::new((Mutex::new(state), Condvar::new()));
        let door = Self { port: free_port(), shared: Arc::clone(&shared) };
        std::thread::spawn(move || serve(&shared, target));
        door
    }

    /// The port it listens on, unless it is closed.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Opens, holds or closes the door.
    ///
    /// # Panics
    /// If the port is taken.
    pub(super) fn set(&self, stand: Stand) {
        let (state, changed) = &*self.shared;
        let mut state = state.lock().unwrap();
        state.stand = stand;
        match (stand, &state.listener) {
            (Stand::Closed, _) => state.listener = None,
            (_, None) => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap();
                listener.set_nonblocking(true).unwrap();
                state.listener = Some(listener);
            }
            (_, Some(_)) => {}
        }
        changed.notify_all();
    }

    /// Answers the next messages like this, one after the other.
    pub(super) fn answer(&self, answers: &[Answer]) {
        self.shared.0.lock().unwrap().script = answers.to_vec();
    }

    /// Kills this process the next time a dialogue comes to this moment.
    pub(super) fn kill_at(&self, moment: Moment, process: Pid) {
        self.shared.0.lock().unwrap().trap = Some((moment, process));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.0.lock().unwrap().ended = true;
        self.shared.1.notify_all();
    }
}

fn serve(shared: &Shared, target: u16) {
    let (state, changed) = &**shared;
    loop {
        let mut state = state.lock().unwrap();
        while state.stand != Stand::Open && !state.ended {
            state = changed.wait(state).unwrap();
        }
        if state.ended {
            return;
        }
        let accepted = state.listener.as_ref().map(TcpListener::accept);
        drop(state);
        match accepted {
            Some(Ok((stream, _))) => {
                stream.set_nonblocking(false).unwrap();
                // An end of the dialogue on either side ends it on both.
                let _ = Dialogue::new(stream, target).and_then(|mut dialogue| dialogue.relay(shared));
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

struct Dialogue {
    client: BufReader<TcpStream>,
    server: BufReader<TcpStream>,
}

/// `None` ends the dialogue.
impl Dialogue {
    fn new(client: TcpStream, target: u16) -> Option<Self> {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
        for stream in [&client, &server] {
            stream.set_nodelay(true).ok()?;
        }
        Some(Self { client: BufReader::new(client), server: BufReader::new(server) })
    }

    fn relay(&mut self, shared: &Shared) -> Option<()> {
        self.answer()?;
        loop {
            let line = line_of(&mut self.client)?;
            self.server.get_mut().write_all(&line).ok()?;
            if line.eq_ignore_ascii_case(b"DATA\r\n") && self.answer()?.starts_with(b"354") {
                self.content(shared)?;
            } else if !line.eq_ignore_ascii_case(b"DATA\r\n") {
                self.answer()?;
            }
        }
    }

    fn content(&mut self, shared: &Shared) -> Option<()> {
        let mut content = Vec::new();
        while !content.ends_with(b"\r\n.\r\n") {
            content.extend(line_of(&mut self.client)?);
        }
        let scripted = {
            let script = &mut shared.0.lock().unwrap().script;
            (!script.is_empty()).then(|| script.remove(0))
        };
        if let Some(Answer::Refusal(reply)) = scripted {
            self.client.get_mut().write_all(format!("{reply}\r\n").as_bytes()).ok()?;
            return None;
        }
        let (half, rest) = content.split_at(content.len() / 2);
        self.server.get_mut().write_all(half).ok()?;
        spring(shared, Moment::InData)?;
        self.server.get_mut().write_all(rest).ok()?;
        let reply = reply_of(&mut self.server)?;
        if reply.starts_with(b"250") {
            spring(shared, Moment::Taken)?;
        }
        if scripted == Some(Answer::Silence) {
            return None;
        }
        self.client.get_mut().write_all(&reply).ok()
    }

    /// Hands one reply on, and gives it.
    fn answer(&mut self) -> Option<Vec<u8>> {
        let reply = reply_of(&mut self.server)?;
        self.client.get_mut().write_all(&reply).ok()?;
        Some(reply)
    }
}

/// Kills if that was wanted at this moment; `None` if so.
fn spring(shared: &Shared, moment: Moment) -> Option<()> {
    let trap = shared.0.lock().unwrap().trap.take_if(|(wanted, _)| *wanted == moment);
    match trap {
        None => Some(()),
        Some((_, process)) => {
            kill(process);
            None
        }
    }
}

fn reply_of(server: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    loop {
        let line = line_of(server)?;
        let last = line.get(3) != Some(&b'-');
        reply.extend(line);
        if last {
            return Some(reply);
        }
    }
}

fn line_of(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).ok()?;
    line.ends_with(b"\n").then_some(line)
}
