//! The MTA's side of the milter protocol, played well or badly.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::wait::PATIENCE;

/// Every action an MTA of today offers (libmilter's `SMFIF_*`).
pub const ALL_ACTIONS: u32 = 0x1ff;
/// Every protocol option an MTA of today offers (libmilter's `SMFIP_*`).
pub const ALL_OPTIONS: u32 = 0x1f_ffff;
/// The option to skip the body.
pub const NO_BODY: u32 = 0x10;
/// The option to keep the space after the colon of a header field.
pub const LEADING_SPACE: u32 = 0x10_0000;
/// The action to replace the body.
pub const REPLACE_BODY: u32 = 0x2;

/// Options that promise no reply, by the command they are about.
const SILENT: [(char, u32); 8] = [
    ('C', 0x1000),
    ('H', 0x2000),
    ('M', 0x4000),
    ('R', 0x8000),
    ('T', 0x1_0000),
    ('L', 0x80),
    ('N', 0x4_0000),
    ('B', 0x8_0000),
];
/// Options that leave a command out, by the command.
const SKIPPED: [(char, u32); 5] = [('R', 0x8), ('B', NO_BODY), ('L', 0x20), ('N', 0x40), ('T', 0x200)];

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// One packet from the milter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The reply's letter, such as `c` for continue.
    pub kind: char,
    /// What follows the letter.
    pub data: Vec<u8>,
}

impl Packet {
    /// The data up to the first NUL, as text.
    pub fn text(&self) -> String {
        let end = self.data.iter().position(|&byte| byte == 0).unwrap_or(self.data.len());
        String::from_utf8_lossy(&self.data[..end]).into_owned()
    }
}

/// What the milter said at end of message.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How often it reported progress.
    pub progress: usize,
    /// Changes to the message, in order.
    pub changes: Vec<Packet>,
    /// The final reply.
    pub answer: Packet,
}

impl Verdict {
    /// True if the message goes on.
    pub fn accepted(&self) -> bool {
        self.answer.kind == 'c'
    }

    /// The whole replaced body; `None` if it was not replaced.
    pub fn body(&self) -> Option<Vec<u8>> {
        let mut chunks = self.changes.iter().filter(|change| change.kind == 'b').peekable();
        chunks.peek()?;
        Some(chunks.flat_map(|chunk| chunk.data.clone()).collect())
    }
}

/// A connection to a milter.
pub struct MilterClient {
    stream: Box<dyn Duplex>,
    /// The actions the milter asked for.
    pub actions: u32,
    /// The protocol options the milter asked for.
    pub options: u32,
}

impl std::fmt::Debug for MilterClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MilterClient({:#x}, {:#x})", self.actions, self.options)
    }
}

impl MilterClient {
    /// Connects to an address in Postfix's syntax, and says nothing yet.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn dial(address: &str) -> io::Result<Self> {
        let stream: Box<dyn Duplex> = match address.strip_prefix("inet:") {
            Some(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            None => {
                let stream = UnixStream::connect(address.trim_start_matches("unix:"))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        };
        Ok(Self { stream, actions: 0, options: 0 })
    }

    /// Connects and negotiates, offering everything.
    ///
    /// # Panics
    /// If nobody listens, or the milter refuses.
    #[track_caller]
    pub fn open(address: &str) -> Self {
        let mut client = Self::dial(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        assert!(client.negotiate(6, ALL_ACTIONS, ALL_OPTIONS), "the milter refuses us");
        client
    }

    /// Connects, negotiates, and tells of a client in our own network that has said HELO.
    ///
    /// # Panics
    /// As [`MilterClient::open`].
    #[track_caller]
    pub fn with_own_client(address: &str) -> Self {
        let mut mta = Self::open(address);
        mta.client("client.example", "127.0.0.1");
        mta.helo("client.example");
        mta
    }

    /// Offers protocol version, actions and options; false if the milter hangs up on that.
    pub fn negotiate(&mut self, version: u32, actions: u32, options: u32) -> bool {
        let offer = [version.to_be_bytes(), actions.to_be_bytes(), options.to_be_bytes()].concat();
        self.send('O', &offer);
        let Some(reply) = self.read() else { return false };
        assert_eq!(reply.kind, 'O', "{reply:?}");
        let word = |at: usize| u32::from_be_bytes(reply.data[at..at + 4].try_into().unwrap());
        (self.actions, self.options) = (word(4), word(8));
        true
    }

    /// Sends a packet.
    pub fn send(&mut self, kind: char, data: &[u8]) {
        let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
        self.send_bytes(&[&length, [kind as u8].as_slice(), data].concat());
    }

    /// Sends bytes that need not be a packet. A milter that has hung up shows itself when we read.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Reads a packet; `None` if the milter hung up.
    ///
    /// # Panics
    /// If the milter stays silent too long.
    #[track_caller]
    pub fn read(&mut self) -> Option<Packet> {
        let mut head = [0; 5];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the milter is silent"),
            Err(_) => return None,
        }
        let length = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let mut data = vec![0; length - 1];
        self.stream.read_exact(&mut data).ok()?;
        Some(Packet { kind: char::from(head[4]), data })
    }

    /// Announces the macros of a stage: the letter of the command they belong to.
    pub fn macros(&mut self, stage: char, macros: &[(&str, &str)]) {
        let strings = macros.iter().flat_map(|(name, value)| [*name, *value]);
        self.send('D', &[&[stage as u8], nul_ended(strings).as_slice()].concat());
    }

    /// Sends a command and gives its reply: continue for one that was agreed to have none.
    ///
    /// # Panics
    /// If the milter hangs up.
    #[track_caller]
    pub fn command(&mut self, kind: char, data: &[u8]) -> Packet {
        self.send(kind, data);
        if SILENT.iter().any(|&(command, option)| command == kind && self.options & option != 0) {
            return Packet { kind: 'c', data: Vec::new() };
        }
        self.read().unwrap_or_else(|| panic!("the milter hung up after {kind}"))
    }

    /// Tells of an SMTP client at an IPv4 address.
    #[track_caller]
    pub fn client(&mut self, host: &str, address: &str) -> Packet {
        let data = [&nul_ended([host]), b"4\x04\x01".as_slice(), &nul_ended([address])].concat();
        self.command('C', &data)
    }

    /// Tells of HELO.
    #[track_caller]
    pub fn helo(&mut self, name: &str) -> Packet {
        self.command('H', &nul_ended([name]))
    }

    /// Tells of MAIL: the path in angle brackets, then parameters.
    #[track_caller]
    pub fn mail(&mut self, words: &[&str]) -> Packet {
        self.command('M', &nul_ended(words.iter().copied()))
    }

    /// Tells of RCPT: the path in angle brackets, then parameters.
    #[track_caller]
    pub fn rcpt(&mut self, words: &[&str]) -> Packet {
        self.command('R', &nul_ended(words.iter().copied()))
    }

    /// Sends a message (CRLF line ends) as header fields and body chunks, as far as the milter wants
    /// them, and reads the verdict.
    ///
    /// # Panics
    /// If the milter hangs up.
    #[track_caller]
    pub fn message(&mut self, message: &[u8]) -> Verdict {
        self.content(message);
        self.end()
    }

    /// The message without its end.
    #[track_caller]
    pub fn content(&mut self, message: &[u8]) {
        let (header, body) = split(message);
        if !self.skips('T') {
            self.command('T', b"");
        }
        for field in fields(&header) {
            self.command('L', &field);
        }
        if !self.skips('N') {
            self.command('N', b"");
        }
        if !self.skips('B') {
            for chunk in body.chunks(65_535) {
                self.command('B', chunk);
            }
        }
    }

    /// End of message: reads changes and progress up to the final reply.
    ///
    /// # Panics
    /// If the milter hangs up.
    #[track_caller]
    pub fn end(&mut self) -> Verdict {
        self.end_with(b"")
    }

    /// The same, with the last piece of the body in it.
    ///
    /// # Panics
    /// If the milter hangs up.
    #[track_caller]
    pub fn end_with(&mut self, piece: &[u8]) -> Verdict {
        self.send('E', piece);
        let (mut progress, mut changes) = (0, Vec::new());
        loop {
            let packet = self.read().expect("a verdict");
            match packet.kind {
                'p' => progress += 1,
                'a' | 'c' | 'd' | 'r' | 't' | 'y' => return Verdict { progress, changes, answer: packet },
                _ => changes.push(packet),
            }
        }
    }

    /// One whole message of a client that is one of our own.
    #[track_caller]
    pub fn transaction(&mut self, queue_id: &str, from: &str, to: &[&str], message: &[u8]) -> Verdict {
        self.macros('M', &[("{daemon_name}", "ORIGINATING")]);
        self.mail(&[&format!("<{from}>")]);
        for to in to {
            self.macros('R', &[("i", queue_id)]);
            self.rcpt(&[&format!("<{to}>")]);
        }
        self.message(message)
    }

    fn skips(&self, kind: char) -> bool {
        SKIPPED.iter().any(|&(command, option)| command == kind && self.options & option != 0)
    }
}

/// Header section and body.
fn split(message: &[u8]) -> (Vec<u8>, &[u8]) {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n");
    end.map_or((message.to_vec(), &[]), |end| (message[..end + 2].to_vec(), &message[end + 4..]))
}

/// Header fields as the protocol carries them: name, value from after the colon, folds with LF.
fn fields(header: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(header).replace("\r\n", "\n");
    let text = text.trim_end_matches('\n').replace("\n ", "\0 ").replace("\n\t", "\0\t");
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some(nul_ended([name, &value.replace('\0', "\n")]))
    };
    text.lines().filter_map(field).collect()
}

fn nul_ended<'s>(strings: impl IntoIterator<Item = &'s str>) -> Vec<u8> {
    strings.into_iter().flat_map(|string| string.bytes().chain([0])).collect()
}
