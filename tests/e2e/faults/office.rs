//! A local authority at work, and what everybody can see of it.

use std::fs;
use std::process::Command;
use std::thread;

use tests::Ran;
use tests::run;

use super::door::Stand;
use super::lasting::Lasting;
use super::letter::Shape;
use super::matrix::Section;
use super::trace::Fault;
use super::world::World;

pub(super) const OVERWRITTEN: &str = "ca.db is overwritten";

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
pub(super) struct Office {
    pub(super) world: World,
    /// PEM files of root, issuing authority and the certificate in question.
    dir: tempfile::TempDir,
    url: String,
    fingerprint: String,
    pub(super) number: usize,
}

impl Office {
    pub(super) fn new() -> Self {
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
        // Of all kinds of certificates the one whose key is made in no time.
        let fingerprint = self.world.issue("gateway", &format!("leaf{}.alpha.example", self.number));
        self.question(fingerprint);
    }

    /// This certificate is in question.
    pub(super) fn question(&mut self, fingerprint: String) {
        self.fingerprint = fingerprint;
        let pem = self.world.command(&["ca", "export", &self.fingerprint]).success().stdout;
        fs::write(self.dir.path().join("leaf.pem"), pem).unwrap();
    }

    /// The host that a certificate is wanted for.
    fn wanted(&self) -> String {
        format!("new{}.alpha.example", self.number)
    }

    fn words(&self, task: Task) -> Vec<String> {
        let words = match task {
            Task::Issue => vec!["ca", "issue", "gateway", "WANTED"],
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
    pub(super) fn status(&self) -> &'static str {
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
    pub(super) fn row(
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
            let after = self.done(task);
            let (told, meanwhile) = in_words(name, task, &ran, meanwhile);
            section.row(&[name, task.name(), &told, meanwhile, &mail, after]);
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

/// What the administrator was told, and what was in force meanwhile.
///
/// # Panics
/// If it was done after all.
fn in_words(name: &str, task: Task, ran: &Ran, meanwhile: &'static str) -> (String, &'static str) {
    let told = match ran.code {
        // Of an authority whose key is offline the newest list that there is will do.
        0 => {
            assert_eq!((task, meanwhile), (Task::Publish, "the list from before"), "{name}: {ran:?}");
            "exit 0: the list from before".to_owned()
        }
        code => format!("exit {code}: {}", reason(ran)),
    };
    if name != OVERWRITTEN {
        return (told, meanwhile);
    }
    // Which pages are read from a file full of nonsense differs from run to run.
    assert!(ran.code == 69 && ran.stderr.contains("the local authority: "), "{ran:?}");
    let meanwhile = match (task, meanwhile) {
        (Task::Revoke, "good" | "try later") => "good, or try later",
        (Task::Publish, "the list from before" | "no list is given out") => "the list from before, or none",
        (Task::Issue, "no certificate") => "no certificate",
        other => panic!("{other:?}"),
    };
    ("exit 69: cannot open or read the local authority".to_owned(), meanwhile)
}

/// The reason, without what differs from run to run.
pub(super) fn reason(ran: &Ran) -> String {
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
