//! How long the key directory takes to say "nothing": for mailboxes that there are not, and for mailboxes that there
//! are but that have no OpenPGP certificate. Who could tell the two apart by the clock would learn who exists.
//!
//! Both are asked for in turn over one kept connection, first after the publication has changed, when the sidecar
//! remembers nothing, and at once again.

use std::fmt::Write as _;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use tests::GatepostPlan;
use tests::KeyDirectory;
use tests::free_port;

use crate::effort::Effort;
use crate::statistics::Spread;

/// Mailboxes of either kind.
const MAILBOXES: usize = 16;
const DOMAIN: &str = "alpha.example";

/// Microseconds of each answer, for each door: to who is not there and to who has no key, each asked for the first
/// time and again.
#[derive(Debug)]
pub(crate) struct Absence(Vec<(&'static str, [Kind; 2])>);

/// What was asked: not remembered, or remembered.
#[derive(Debug, Default)]
struct Kind {
    nobody: Vec<f64>,
    keyless: Vec<f64>,
}

/// Measures.
pub(crate) fn measure(effort: &Effort, limits: &str) -> Absence {
    eprintln!("bench: absence");
    let mut directory = KeyDirectory::unpublished();
    let sections = format!(
        "[keydir]\npublication = \"{}\"\n[ca]\norganisation = \"Alpha\"\nurl = \"http://127.0.0.1:9/ca\"\n",
        directory.publication().display()
    );
    let gateway = GatepostPlan::new(DOMAIN).policy(&sections).prepare();
    gateway.command(&["ca", "init"]).success();
    for number in 0..MAILBOXES {
        gateway.command(&["ca", "issue", "user", &format!("person{number:02}@{DOMAIN}")]).success();
    }
    gateway.command(&["keys", "publish"]).success();
    let port = free_port();
    directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), limits);
    let mut doors: Vec<(&str, [Kind; 2])> =
        vec![("Web Key Directory", Default::default()), ("HKP", Default::default())];
    for round in 0..effort.rounds * 8 {
        // Something else changes: what was remembered does not hold any more.
        gateway.command(&["keys", "generate", "--user", &format!("new{round}@{DOMAIN}")]).success();
        gateway.command(&["keys", "publish"]).success();
        let mut connection = Connection::open(port);
        for ((_, kinds), path) in doors.iter_mut().zip([wkd as fn(&str) -> String, hkp]) {
            // Wakes the connection, and makes the sidecar look at the publication again.
            connection.ask(&path(&format!("warm{round}")));
            for kind in kinds {
                kind.ask(&mut connection, path, round);
            }
        }
    }
    Absence(doors)
}

fn wkd(local: &str) -> String {
    format!("/.well-known/openpgpkey/{DOMAIN}/hu/{}?l={local}", keydir::wkd_hash(local))
}

fn hkp(local: &str) -> String {
    format!("/pks/lookup?op=get&options=mr&search={local}%40{DOMAIN}")
}

impl Kind {
    fn ask(&mut self, connection: &mut Connection, path: fn(&str) -> String, round: usize) {
        for number in 0..MAILBOXES {
            let mut turns = [(&mut self.nobody, "nobody"), (&mut self.keyless, "person")];
            // Whoever is asked for second finds warmer caches.
            if (round + number).is_multiple_of(2) {
                turns.reverse();
            }
            for (times, name) in turns {
                times.push(connection.ask(&path(&format!("{name}{number:02}"))));
            }
        }
    }
}

/// One kept connection.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Asks, and gives the microseconds until the answer was there, which must be 404.
    fn ask(&mut self, path: &str) -> f64 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: openpgpkey.{DOMAIN}\r\n\r\n");
        let begin = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 404"), "{path}: {line}");
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        begin.elapsed().as_secs_f64() * 1e6
    }
}

impl Absence {
    /// The part of the section about the Web Key Directory.
    pub(crate) fn write(&self, out: &mut String) {
        let _ = write!(
            out,
            "\nThe time of the answer \"nothing\", µs, over one kept connection: to mailboxes that there are not and to \
             those that have only an S/MIME certificate, in turn; each for the first time after the publication changed, \
             and again. The median and the quartiles; who can tell them apart by it would learn who exists.\n\n\
             | door | asked | nobody | no key | no key ÷ nobody |\n|---|---|---|---|---|\n"
        );
        for (door, kinds) in &self.0 {
            for (kind, asked) in kinds.iter().zip(["first", "again"]) {
                let spread = |values: &[f64]| Spread::of(values.iter().copied());
                let _ = writeln!(
                    out,
                    "| {door} | {asked} | {} | {} | {} |",
                    spread(&kind.nobody),
                    spread(&kind.keyless),
                    Spread::of_ratios(&kind.keyless, &kind.nobody),
                );
            }
        }
    }
}
