use super::*;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use clap::Parser;
use keylog::Label;
use keylog::keyset::{KeySet, Kind};
use keylog::mailbox::Mailbox;
use keylog::vrf::VrfKey;
use keylog::writer::{Change, KeyLog, KeyUpdate};
use tempfile::TempDir;
use tlog::key::Signer;

/// The command line of the tests.
#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: LogCommand,
}

struct World {
    home: TempDir,
    log_key: String,
    vrf: VrfKey,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("log")).unwrap();
        let signer = Signer::from_seed("keys.example.org/log", &[3; 32]).unwrap();
        let (log_key, vrf) = (signer.verifier().to_string(), VrfKey::from_bytes(&[4; 32]));
        let second = home.path().join("second");
        let key = VrfKey::from_bytes(&[4; 32]);
        let mut log = KeyLog::open(&home.path().join("log"), &second, signer, key, now()).unwrap();
        let mut keys = KeySet::new();
        assert!(keys.add(Kind::OpenPgp, b"certificate"));
        let mailbox = Mailbox::parse("alice@example.org").unwrap();
        log.append(&[KeyUpdate { mailbox, change: Change::Keys(keys) }], now()).unwrap();
        fs::write(home.path().join("right"), "certificate").unwrap();
        fs::write(home.path().join("wrong"), "another").unwrap();
        Self { home, log_key, vrf }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, words: &[&str]) -> Result<(), Exit> {
        Line::try_parse_from([&["log"], words].concat()).unwrap().command.run()
    }

    fn prove(&self, address: &str) -> Result<(), Exit> {
        let (_, proof) = self.vrf.prove(&Mailbox::parse(address).unwrap());
        let hex: String = proof.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let (home, out, inclusion) = (self.path(""), self.path("proof"), self.path("tlog-proof"));
        self.run(&["prove", &home, address, "--label-proof", &hex, "--out", &out, "--tlog-proof", &inclusion])
    }

    fn verify(&self, address: &str, more: &[&str]) -> Result<(), Exit> {
        let (proof, vrf) = (self.path("proof"), Label(*self.vrf.public().as_bytes()).to_string());
        let words = ["verify", &proof, address, "--log-key", &self.log_key, "--vrf-key", &vrf];
        self.run(&[&words[..], more].concat())
    }
}

#[test]
fn what_is_proved_is_verified() {
    let world = World::new();
    let (right, wrong) = (world.path("right"), world.path("wrong"));
    world.prove("alice@example.org").unwrap();
    world.verify("alice@example.org", &["--openpgp", &right]).unwrap();
    world.verify("alice@example.org", &["--json", "--openpgp", &right]).unwrap();
    let other = world.verify("alice@example.org", &["--openpgp", &wrong]).unwrap_err();
    assert!(other.code == 65 && other.message.contains("does not say"), "{other}");
    let smime = world.verify("alice@example.org", &["--smime", &right]).unwrap_err();
    assert_eq!(smime.code, 65, "the same bytes as another kind of certificate");
    assert_eq!(world.verify("bob@example.org", &[]).unwrap_err().code, 65);
    world.prove("bob@example.org").unwrap();
    world.verify("bob@example.org", &[]).unwrap();
    assert_eq!(world.verify("bob@example.org", &["--openpgp", &right]).unwrap_err().code, 65);
    let inclusion = tlog::proof::Proof::parse(&fs::read(world.path("tlog-proof")).unwrap()).unwrap();
    assert_eq!(inclusion.index, 2);
}

#[test]
fn a_checkpoint_that_was_seen_and_another_key_are_held_against_the_proof() {
    let world = World::new();
    world.prove("alice@example.org").unwrap();
    let checkpoint = world.path("log/checkpoint");
    world.verify("alice@example.org", &["--seen", &checkpoint]).unwrap();
    let text = fs::read_to_string(&checkpoint).unwrap().replacen("\n3\n", "\n4\n", 1);
    fs::write(world.path("later"), text).unwrap();
    let stale = world.verify("alice@example.org", &["--seen", &world.path("later")]).unwrap_err();
    assert!(stale.code == 65 && stale.message.contains("stale"), "{stale}");
    let foreign = Signer::generate("keys.example.org/log").unwrap().verifier().to_string();
    let (proof, vrf) = (world.path("proof"), Label(*world.vrf.public().as_bytes()).to_string());
    let words = ["verify", &proof, "alice@example.org", "--log-key", &foreign, "--vrf-key", &vrf];
    assert_eq!(world.run(&words).unwrap_err().code, 65);
}

#[test]
fn a_log_is_audited_and_a_tampered_one_refused() {
    let world = World::new();
    let (log, state) = (world.path("log"), world.path("state"));
    let label = world.vrf.label(&Mailbox::parse("alice@example.org").unwrap()).to_string();
    let words = ["audit", &log, "--log-key", &world.log_key, "--state", &state, "--watch", &label];
    world.run(&words).unwrap();
    world.run(&[&words[..], &["--json"]].concat()).unwrap();
    let bundle = world.path("log/tile/entries/000.p/3");
    let mut bytes = fs::read(&bundle).unwrap();
    bytes[100] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let refused = world.run(&["audit", &log, "--log-key", &world.log_key]).unwrap_err();
    assert!(refused.code == 65, "{refused}");
    let missing = world.run(&["audit", &world.path("none"), "--log-key", &world.log_key]).unwrap_err();
    assert_eq!(missing.code, 66, "{missing}");
}

#[test]
fn a_log_on_a_web_server_is_audited() {
    let world = World::new();
    let url = serve(world.home.path().join("log"));
    world.run(&["audit", &url, "--log-key", &world.log_key]).unwrap();
    let missing = world.run(&["audit", &format!("{url}/none"), "--log-key", &world.log_key]).unwrap_err();
    assert_eq!(missing.code, 66, "{missing}");
    let wrong = world.run(&["audit", "http://", "--log-key", &world.log_key]).unwrap_err();
    assert_eq!(wrong.code, 65, "{wrong}");
}

/// Serves the files of a directory until the test ends; returns its URL.
fn serve(directory: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            lines.read_line(&mut request).unwrap();
            let mut field = String::from("-");
            while !field.trim().is_empty() {
                field.clear();
                lines.read_line(&mut field).unwrap();
            }
            let path = request.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) = match fs::read(directory.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    url
}

#[test]
fn who_is_not_published_needs_the_proof_of_the_gateway() {
    let world = World::new();
    let label = world.vrf.label(&Mailbox::parse("alice@example.org").unwrap()).to_string();
    world.run(&["prove", &world.path(""), &label, "--json"]).unwrap();
    for wrong in ["00", &"00".repeat(80)] {
        let refused = world.run(&["prove", &world.path(""), "alice@example.org", "--label-proof", wrong]);
        assert!(refused.is_err(), "{wrong}");
    }
    assert!(world.run(&["prove", &world.path(""), "alice@example.org"]).is_err());
}
