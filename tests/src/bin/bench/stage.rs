//! One Postfix with a listener for each contender, so that nothing else differs between them.

use std::path::Path;
use std::path::PathBuf;

use nix::sys::time::TimeValLike;
use nix::time::clock_getcpuclockid;
use nix::time::clock_gettime;
use nix::unistd::Pid;
use tempfile::TempDir;
use tests::Daemon;
use tests::Gatepost;
use tests::GatepostPlan;
use tests::Postfix;
use tests::PostfixPlan;
use tests::directory;
use tests::free_port;

use crate::libmilter;

/// Everything passes: nothing to encrypt, sign or open, but every message is recorded.
pub(crate) const PASS: &str = "[policy]\nencrypt = \"never\"\nsign = \"never\"\nopen = false\n";
/// Everything is signed with the domain's key and encrypted to the partner's.
const SEAL: &str =
    "[policy]\nencrypt = \"required\"\nsign = \"always\"\nopen = false\nkeys = [\"domain-openpgp\"]\n";

/// Who takes part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    /// Postfix alone.
    Nobody,
    /// libmilter without callbacks.
    LibmilterNoop,
    /// libmilter with all callbacks.
    LibmilterAll,
    /// Gatepost in pass-through over a unix socket.
    PassUnix,
    /// Gatepost in pass-through over TCP.
    PassInet,
    /// Gatepost signing and encrypting.
    Seal,
}

impl Who {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 6] =
        [Self::Nobody, Self::LibmilterNoop, Self::LibmilterAll, Self::PassUnix, Self::PassInet, Self::Seal];

    /// As the tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "no milter",
            Self::LibmilterNoop => "libmilter, no callbacks",
            Self::LibmilterAll => "libmilter, all callbacks",
            Self::PassUnix => "gatepost, pass-through",
            Self::PassInet => "gatepost, pass-through, inet socket",
            Self::Seal => "gatepost, sign and encrypt to a domain key",
        }
    }
}

/// What runs behind a listener.
enum Milter {
    None,
    Libmilter(Daemon),
    Gatepost(Gatepost),
}

/// A listener of Postfix and the milter behind it.
pub(crate) struct Contender {
    /// Who it is.
    pub(crate) who: Who,
    /// The port to send to.
    pub(crate) port: u16,
    milter: Milter,
}

impl Contender {
    /// Seconds of processor time the milter has used so far, ended threads included; 0 without one.
    pub(crate) fn processor_seconds(&self) -> f64 {
        self.pid().map_or(0.0, processor_seconds)
    }

    /// Process id of the milter.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.milter {
            Milter::None => None,
            Milter::Libmilter(daemon) => Some(daemon.pid()),
            Milter::Gatepost(gatepost) => Some(gatepost.running().pid()),
        }
    }

    /// Messages that gatepost says it has let go on; none if this is not gatepost.
    pub(crate) fn continued(&self) -> Option<f64> {
        let Milter::Gatepost(gatepost) = &self.milter else { return None };
        gatepost.metric("gatepost_milter_messages_total{direction=\"outbound\",verdict=\"continue\"}")
    }

    fn address(&self) -> &str {
        match &self.milter {
            Milter::Gatepost(gatepost) => gatepost.milter(),
            _ => "",
        }
    }
}

/// User and system time of a process in seconds.
pub(crate) fn processor_seconds(pid: u32) -> f64 {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).expect("the process runs");
    clock_gettime(clock).unwrap().num_nanoseconds() as f64 / 1e9
}

/// Everything that runs. Dropping it ends it.
pub(crate) struct Stage {
    /// One for each of [`Who::ALL`], in that order.
    pub(crate) contenders: Vec<Contender>,
    postfix: Postfix,
    _directory: TempDir,
}

impl Stage {
    /// Compiles and starts everybody.
    pub(crate) fn set() -> Self {
        eprintln!("bench: starting Postfix and the milters");
        let directory = directory("bench");
        let program = libmilter::compile(directory.path());
        let sockets = directory.path().join("sockets");
        std::fs::create_dir(&sockets).unwrap();
        let mut plan = PostfixPlan::new("alpha.example")
            .parameter("default_transport", "discard:")
            .parameter("relay_transport", "discard:");
        let mut contenders = Vec::new();
        for who in Who::ALL {
            let (contender, address) = contender(who, &program, directory.path(), &sockets);
            plan = plan.service(&listener(contender.port, &address));
            contenders.push(contender);
        }
        Self { contenders, postfix: plan.start(), _directory: directory }
    }

    /// Says where everybody listens, and waits for the end of standard input.
    pub(crate) fn stay(&self) {
        for contender in &self.contenders {
            println!("{}: port {}, process {:?}", contender.who.name(), contender.port, contender.pid());
        }
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    }

    /// The contender who is this.
    pub(crate) fn contender(&self, who: Who) -> &Contender {
        self.contenders.iter().find(|contender| contender.who == who).unwrap()
    }

    /// The directories in which Postfix keeps mail it has still to deliver.
    pub(crate) fn queues(&self) -> [PathBuf; 3] {
        ["incoming", "active", "deferred"].map(|name| self.postfix.queue().join(name))
    }
}

fn contender(who: Who, program: &Path, directory: &Path, sockets: &Path) -> (Contender, String) {
    let (milter, address) = match who {
        Who::Nobody => (Milter::None, String::new()),
        Who::LibmilterNoop | Who::LibmilterAll => {
            let work = if who == Who::LibmilterAll { "all" } else { "noop" };
            let (daemon, address) = libmilter::start(program, work, directory, sockets);
            (Milter::Libmilter(daemon), address)
        }
        Who::PassUnix => (
            Milter::Gatepost(gatepost(GatepostPlan::new("alpha.example").unix().policy(PASS))),
            String::new(),
        ),
        Who::PassInet => {
            (Milter::Gatepost(gatepost(GatepostPlan::new("alpha.example").policy(PASS))), String::new())
        }
        Who::Seal => (Milter::Gatepost(sealing_gatepost()), String::new()),
    };
    let contender = Contender { who, port: free_port(), milter };
    let address = if address.is_empty() { contender.address().to_owned() } else { address };
    (contender, address)
}

fn gatepost(plan: GatepostPlan) -> Gatepost {
    let mut gatepost = plan.prepare();
    gatepost.start();
    gatepost
}

/// A gateway with a key of its own and the certificate of its partner.
fn sealing_gatepost() -> Gatepost {
    let partner = GatepostPlan::new("beta.example").prepare();
    partner.generate(&["--domain", "beta.example"]);
    let mut gatepost = GatepostPlan::new("alpha.example").unix().policy(SEAL).prepare();
    gatepost.generate(&["--domain", "alpha.example"]);
    gatepost.import(&["--domain", "beta.example"], &partner.export(&["--domain", "beta.example"]));
    gatepost.start();
    gatepost
}

/// A line of master.cf.
fn listener(port: u16, milter: &str) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd
    -o milter_macro_daemon_name=ORIGINATING
    -o smtpd_relay_restrictions=permit_mynetworks,reject
    -o {{ smtpd_milters = {milter} }}
"
    )
}
