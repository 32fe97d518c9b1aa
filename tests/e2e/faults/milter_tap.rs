//! A listening post between Postfix and the gateway's milter socket, which can kill the gateway or break
//! the connection at a given packet.

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

use rustix::process::Pid;
use tests::free_port;

use super::world::kill;

/// The packet at which that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// A piece of the body, which the gateway does not get.
    Body,
    /// The end of the message, which the gateway does not get.
    End,
    /// The end of the message, which the gateway gets.
    Ended,
    /// The gateway's first change to the message, which Postfix gets.
    FirstChange,
    /// The gateway's verdict on the message, which Postfix does not get.
    Verdict,
}

/// The packet, and whom to kill.
type Trap = Arc<Mutex<Option<(Packet, Option<Pid>)>>>;

/// Hands milter packets on in both directions.
#[derive(Debug)]
pub(super) struct MilterTap {
    port: u16,
    trap: Trap,
    ended: Arc<AtomicBool>,
}

impl MilterTap {
    /// A tap before the milter at `inet:127.0.0.1:PORT`.
    ///
    /// # Panics
    /// If the address is another one.
    pub(super) fn new(milter: &str) -> Self {
        let target: u16 = milter.strip_prefix("inet:127.0.0.1:").unwrap().parse().unwrap();
        let tap = Self { port: free_port(), trap: Trap::default(), ended: Arc::default() };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, tap.port)).unwrap();
        let (trap, ended) = (Arc::clone(&tap.trap), Arc::clone(&tap.ended));
        std::thread::spawn(move || {
            for postfix in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                // Closed at once when the gateway is not there.
                let Ok(gateway) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { continue };
                let Ok(postfix) = postfix else { continue };
                connect(postfix, gateway, &trap);
            }
        });
        tap
    }

    /// Its address in Postfix's syntax.
    pub(super) fn address(&self) -> String {
        format!("inet:127.0.0.1:{}", self.port)
    }

    /// Kills this process the next time such a packet passes.
    pub(super) fn kill_at(&self, packet: Packet, process: Pid) {
        *self.trap.lock().unwrap() = Some((packet, Some(process)));
    }

    /// Breaks the connection the next time such a packet passes; the gateway lives on.
    pub(super) fn cut_at(&self, packet: Packet) {
        *self.trap.lock().unwrap() = Some((packet, None));
    }
}

impl Drop for MilterTap {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn connect(postfix: TcpStream, gateway: TcpStream, trap: &Trap) {
    let at_end = Arc::new(AtomicBool::new(false));
    for (from, to, downwards) in
        [(postfix.try_clone().unwrap(), gateway.try_clone().unwrap(), true), (gateway, postfix, false)]
    {
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        let relay = Relay { from, to, downwards, at_end: Arc::clone(&at_end), trap: Arc::clone(trap) };
        std::thread::spawn(move || relay.run());
    }
}

struct Relay {
    from: TcpStream,
    to: TcpStream,
    /// From Postfix to the gateway.
    downwards: bool,
    at_end: Arc<AtomicBool>,
    trap: Trap,
}

impl Relay {
    fn run(mut self) {
        while self.packet().is_some() {}
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }

    fn packet(&mut self) -> Option<()> {
        let mut packet = vec![0; 4];
        self.from.read_exact(&mut packet).ok()?;
        let length = u32::from_be_bytes(packet.clone().try_into().unwrap());
        packet.resize(4 + usize::try_from(length).unwrap(), 0);
        self.from.read_exact(&mut packet[4..]).ok()?;
        let meaning = self.meaning(packet[4]);
        if let Some((wanted, victim)) = self.sprung(meaning) {
            if matches!(wanted, Packet::Ended | Packet::FirstChange) {
                self.to.write_all(&packet).ok()?;
            }
            if let Some(process) = victim {
                kill(process);
            }
            return None;
        }
        self.to.write_all(&packet).ok()
    }

    fn meaning(&self, letter: u8) -> Option<Packet> {
        let at_end = self.at_end.load(Ordering::SeqCst);
        match (self.downwards, letter) {
            (true, b'E') => {
                self.at_end.store(true, Ordering::SeqCst);
                Some(Packet::End)
            }
            (true, b'B') => Some(Packet::Body),
            (true, b'M') => {
                self.at_end.store(false, Ordering::SeqCst);
                None
            }
            (false, b'p') => None,
            (false, b'c' | b'a' | b'r' | b't' | b'd' | b'y') if at_end => Some(Packet::Verdict),
            (false, _) if at_end => Some(Packet::FirstChange),
            _ => None,
        }
    }

    /// The trap for a packet of this meaning.
    fn sprung(&self, meaning: Option<Packet>) -> Option<(Packet, Option<Pid>)> {
        let fits = |wanted: Packet| {
            Some(wanted) == meaning || (wanted == Packet::Ended && meaning == Some(Packet::End))
        };
        self.trap.lock().unwrap().take_if(|(wanted, _)| fits(*wanted))
    }
}
