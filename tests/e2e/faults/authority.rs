//! The local authority cannot issue, revoke or publish: it says so, what was in force stays in force, and mail goes on.

use std::fs;
use std::fs::rename;
use std::process::Command;
use std::thread;

use rusqlite::Connection;
use tests::PATIENCE;
use tests::Ran;
use tests::run;
use tests::wait_for;

use super::door::Stand;
use super::lasting::Lasting;
use super::letter::Shape;
use super::matrix::Section;
use super::storage::fill;
use super::trace::Fault;
use super::trust::overwritten;
use super::world::World;

const COLUMNS: [&str; 6] = [
    "Fault",
    "What was to be done",
    "The administrator is told",
    "In force meanwhile",
    "Mail meanwhile: the client saw",
    "And when it is mended",
];

const OVERWRITTEN: &str = "ca.db is overwritten";

/// What is asked of the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Issue,
    Revoke,
    Publish,
}

const TASKS: [Task; 3] = [Task::Issue, Task::Revoke, Task::Publish];

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue a certificate",
            Self::Revoke => "revoke a certificate",
            Self::Publish => "publish a revocation list",
        }
    }
}

/// A world with a certificate that is to be revoked, and what everybody can see of the authority.
struct Office {
    world: World,
    /// Root, issuing and the certificate in question.
    dir: tempfile::TempDir,
    url: String,
    fingerprint: String,
    number: usize,
}

impl Office {
    fn new() -> Self {
        let mut world = World::smime("");
        world.issue("domain-signing-authority", "alpha.example");
        world.door.set(Stand::Open);
        world.start();
        let policy = world.gatepost.policy().to_owned();
        let url =
            policy.lines().find_map(|line| line.strip_prefix("url = ")).unwrap().trim_matches('"').to_owned();
        let dir = tempfile::tempdir().unwrap();
        for which in ["root", "issuing"] {
            let pem = world.command(&["ca", "export", which]).success().stdout;
            fs::write(dir.path().join(format!("{which}.pem")), pem).unwrap();
        }
        let mut office = Self { world, dir, url, fingerprint: String::new(), number: 0 };
        office.next();
        office
    }

    /// Another certificate is in question.
    fn next(&mut self) {
        self.number += 1;
        self.fingerprint = self.world.issue("user-sign", &format!("leaf{}@alpha.example", self.number));
        let pem = self.world.command(&["ca", "export", &self.fingerprint]).success().stdout;
        fs::write(self.dir.path().join("leaf.pem"), pem).unwrap();
    }

    /// The address that a certificate is wanted for.
    fn wanted(&self) -> String {
        format!("new{}@alpha.example", self.number)
    }

    fn words(&self, task: Task) -> Vec<String> {
        let words = match task {
            Task::Issue => vec!["ca", "issue", "user-sign", "WANTED"],
            Task::Revoke => vec!["ca", "revoke", "LEAF", "--reason", "key-compromise"],
            Task::Publish => vec!["ca", "crl", "issuing"],
        };
        let fill = |word: &str| word.replace("WANTED", &self.wanted()).replace("LEAF", &self.fingerprint);
        words.into_iter().map(fill).collect()
    }

    fn ask(&self, task: Task, fault: Option<&Fault>) -> Ran {
        let words = self.words(task);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match fault {
            Some(fault) => self.world.command_with(fault, &words),
            None => self.world.command(&words),
        }
    }

    /// What openssl's client hears about the certificate.
    fn status(&self) -> &'static str {
        let mut command = Command::new("openssl");
        command.current_dir(self.dir.path()).args(["ocsp", "-issuer", "issuing.pem", "-cert", "leaf.pem"]);
        command.args([
            "-url",
            &format!("{}/ocsp", self.url),
            "-CAfile",
            "root.pem",
            "-VAfile",
            "issuing.pem",
        ]);
        let ran = run(&mut command, b"");
        let text = format!("{}{}", ran.text(), ran.stderr);
        let words = [("leaf.pem: good", "good"), ("leaf.pem: revoked", "revoked"), ("trylater", "try later")];
        let found = words.iter().find(|(said, _)| text.contains(said));
        found.unwrap_or_else(|| panic!("{text}\n{}", self.world.log())).1
    }

    /// The revocation list that everybody gets.
    fn list(&self) -> Option<Vec<u8>> {
        let ran = run(Command::new("curl").args(["-sf", &format!("{}/issuing-1.crl", self.url)]), b"");
        (ran.code == 0).then_some(ran.stdout)
    }

    fn is_issued(&self) -> bool {
        let ran = self.world.command(&["ca", "list", &self.wanted(), "--json"]).success();
        ran.text().contains("fingerprint")
    }

    /// During a fault each task is tried; `mend` ends it.
    fn row(
        &mut self,
        section: &mut Section,
        name: &'static str,
        fault: Option<&Fault>,
        mend: impl FnOnce(&mut World),
    ) {
        let before = self.list();
        let lasting = Lasting::begin(&self.world, name, Shape::One);
        // Each waits for a lock for a while; all together need not wait longer.
        let ran = thread::scope(|scope| {
            let this = &*self;
            let running = TASKS.map(|task| scope.spawn(move || this.ask(task, fault)));
            running.map(|running| running.join().unwrap())
        });
        let status = self.status();
        let list = match self.list() {
            None => "no list is given out",
            list if list == before => "the list from before",
            _ => "a new list",
        };
        mend(&mut self.world);
        let mail = lasting.over(&self.world);
        for (task, ran) in TASKS.into_iter().zip(ran) {
            let meanwhile = match task {
                Task::Issue if self.is_issued() => "a certificate",
                Task::Issue => "no certificate",
                Task::Revoke => status,
                Task::Publish => list,
            };
            // Of an authority whose key is offline the newest list that there is will do.
            let printed = task == Task::Publish && list == "the list from before";
            assert!(ran.code != 0 || printed, "{name}, {task:?}: done after all: {ran:?}");
            assert!(name != OVERWRITTEN || ran.code == 69, "{ran:?}");
            assert!(name != OVERWRITTEN || ran.stderr.contains("the local authority: "), "{ran:?}");
            let told = match ran.code {
                0 => "exit 0: the list from before".to_owned(),
                code => format!("exit {code}: {}", reason(&ran)),
            };
            let after = self.done(task);
            // Which pages are read from a file full of nonsense differs from run to run.
            let (told, meanwhile) = match (name, task) {
                (OVERWRITTEN, Task::Issue) => ("exit 69: cannot open or read the local authority", meanwhile),
                (OVERWRITTEN, Task::Revoke) => {
                    assert!(["good", "try later"].contains(&meanwhile), "{meanwhile}");
                    ("exit 69: cannot open or read the local authority", "good, or try later")
                }
                (OVERWRITTEN, Task::Publish) => {
                    assert_ne!(meanwhile, "a new list");
                    ("exit 69: cannot open or read the local authority", "the list from before, or none")
                }
                _ => (told.as_str(), meanwhile),
            };
            section.row(&[name, task.name(), told, meanwhile, &mail, after]);
        }
        self.next();
    }

    /// Does it, and sees that it is done.
    fn done(&self, task: Task) -> &'static str {
        let before = self.list();
        self.ask(task, None).success();
        match task {
            Task::Issue => {
                assert!(self.is_issued());
                "issued"
            }
            Task::Revoke => {
                assert_eq!(self.status(), "revoked");
                assert_ne!(self.list(), before);
                "revoked, and a list says so"
            }
            Task::Publish => {
                assert_ne!(self.list(), before);
                "a new list"
            }
        }
    }
}

/// The reason, without what differs from run to run.
fn reason(ran: &Ran) -> String {
    let line = ran.stderr.lines().find(|line| line.starts_with("gatepost: ")).unwrap_or(ran.stderr.trim());
    let line = line.trim_start_matches("gatepost: ");
    let line = line.split(" at path ").next().unwrap_or_default();
    let is_fingerprint = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let causes = line.split(": ").filter(|cause| !is_fingerprint(cause)).map(|cause| {
        let words = cause.split(' ').map(|word| if word.starts_with('/') { "the file" } else { word });
        words.collect::<Vec<_>>().join(" ")
    });
    causes.take(4).collect::<Vec<_>>().join(": ")
}

#[test]
fn an_authority_that_cannot_work_says_so_and_takes_nothing_back() {
    let mut office = Office::new();
    let mut section = Section::new("The local authority fails", &COLUMNS);
    database(&mut office, &mut section);
    keys(&mut office, &mut section);
    accounts(&mut office, &mut section);
    start(&mut office, &mut section);
    full(&mut office, &mut section);
    section.compare();
}

fn database(office: &mut Office, section: &mut Section) {
    let database = office.world.state("ca.db");
    let other = Connection::open(&database).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    office.row(section, "another process is writing to ca.db", None, move |_| drop(other));
    let files = vec![database.clone(), office.world.state("ca.db-wal")];
    let fault = Fault { calls: "pwrite64", paths: files, injection: "error=EIO" };
    office.row(section, "ca.db cannot be written (EIO)", Some(&fault), |_| {});
    let mend = overwritten(&database);
    office.row(section, OVERWRITTEN, None, |_| mend());
}

fn keys(office: &mut Office, section: &mut Section) {
    let issuing = office.world.command(&["ca", "list", "issuing-1", "--json"]).success();
    let told: serde_json::Value = serde_json::from_slice(&issuing.stdout).unwrap();
    let key = office.world.key_file(told[0]["fingerprint"].as_str().unwrap());
    let away = office.world.state("away");
    rename(&key, &away).unwrap();
    let back = key.clone();
    office.row(section, "the authority's key is gone", None, move |_| rename(&away, &back).unwrap());
    let good = fs::read(&key).unwrap();
    fs::write(&key, vec![0x5a; good.len()]).unwrap();
    office.row(section, "the authority's key is damaged", None, |_| fs::write(&key, &good).unwrap());
}

/// The source of accounts is gone: that is no reason to revoke anything.
fn accounts(office: &mut Office, section: &mut Section) {
    let source = office.world.dir().join("accounts");
    let policy = office.world.gatepost.policy().to_owned();
    let lines = format!("[accounts]\nsource = \"file:{}\"\nwatch_seconds = 1\n", source.display());
    office.world.gatepost.write_config(&format!("{policy}\n{lines}"));
    fs::write(&source, format!("leaf{}@alpha.example\n", office.number)).unwrap();
    office.world.start();
    let failed = "gatepost_accounts_sync_failed{reason=\"source\"}";
    let alarm = |office: &Office, value: f64| {
        wait_for("the alarm", PATIENCE, || {
            (office.world.gatepost.metric(failed) == Some(value)).then_some(())
        });
    };
    office.world.gatepost.wait_log(&["issued a certificate", &format!("leaf{}@", office.number)]);
    fs::remove_file(&source).unwrap();
    alarm(office, 1.0);
    let name = "the source of accounts is gone";
    let lasting = Lasting::begin(&office.world, name, Shape::One);
    let said = "accounts and certificates are not brought into agreement";
    office.world.gatepost.wait_log(&[said]);
    let status = office.status();
    fs::write(&source, format!("leaf{}@alpha.example\nother@alpha.example\n", office.number)).unwrap();
    alarm(office, 0.0);
    office.world.gatepost.wait_log(&["issued a certificate", "other@"]);
    let mail = lasting.over(&office.world);
    assert_eq!(office.status(), "good");
    section.row(&[name, "follow the accounts", &format!("log: {said}"), status, &mail, "followed again"]);
    office.world.gatepost.write_config(&policy);
    office.world.start();
}

/// Without what was revoked the gateway does not begin.
fn start(office: &mut Office, section: &mut Section) {
    office.world.gatepost.term();
    let mend = overwritten(&office.world.state("ca.db"));
    let ended = office.world.command(&["run"]);
    assert_eq!(ended.code, 69, "{}", ended.stderr);
    let lasting = Lasting::begin(&office.world, "ca.db is overwritten, at start", Shape::One);
    mend();
    office.world.start();
    let mail = lasting.over(&office.world);
    let told = format!("exit 69: {}", reason(&ended));
    section.row(&[OVERWRITTEN, "start the gateway", &told, "no answer", &mail, office.status()]);
}

fn full(office: &mut Office, section: &mut Section) {
    let state = office.world.gatepost.state();
    let state = state.display();
    office.world.start_secluded(&format!(
        "cp -a {state} {state}.copy; mount -t tmpfs -o size=16m,mode=0700 tmpfs {state}; cp -a {state}.copy/. {state}/"
    ));
    let ballast = office.world.spool().parent().unwrap().join("ballast");
    fill(&ballast);
    office.row(section, "the file system of all state is full", None, |_| fs::remove_file(&ballast).unwrap());
}
