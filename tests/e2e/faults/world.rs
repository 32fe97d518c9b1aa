//! Where the faults happen: a Postfix and a gateway of alpha.example, and everybody they write to.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use tests::Daemon;
use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::PATIENCE;
use tests::Postfix;
use tests::PostfixPlan;
use tests::SmtpClient;
use tests::SmtpSink;
use tests::gatepost_binary;
use tests::wait_for;

use super::door::Door;
use super::door::Stand;
use super::letter::ALICE;
use super::letter::Arrived;
use super::letter::BOB;
use super::letter::CAROL;
use super::letter::ERIN;
use super::letter::Letter;
use super::letter::Point;
use super::letter::SECRET;
use super::letter::Saw;
use super::milter_tap::MilterTap;
use super::readers::Readers;
use super::trace::Fault;
use super::trace::Trace;

/// Bob's and Erin's domain must get everything encrypted; Carol, elsewhere, has no key.
const POLICY: &str = "[partner.\"beta.example\"]\nencrypt = \"required\"\n";

/// One Postfix with one gateway, and the servers behind them.
pub(super) struct World {
    pub(super) gatepost: Gatepost,
    pub(super) postfix: Postfix,
    pub(super) door: Door,
    pub(super) tap: MilterTap,
    sink: SmtpSink,
    pub(super) readers: Readers,
    /// The gateway, when it runs in a mount namespace of its own.
    pub(super) secluded: Option<Daemon>,
}

impl World {
    /// With the policy that mail to beta.example must be encrypted, and more policy.
    pub(super) fn new(policy: &str) -> Self {
        let keys = Gpg::new();
        for address in [BOB, ERIN] {
            keys.generate(address);
        }
        let world = Self::of(policy, Readers::Openpgp(keys));
        if let Readers::Openpgp(keys) = &world.readers {
            for address in [BOB, ERIN] {
                world.gatepost.import(&["--for", address], &keys.certificate(address));
            }
        }
        world
    }

    /// The same, where nobody has given the gateway any key yet.
    pub(super) fn of(policy: &str, readers: Readers) -> Self {
        let sink = SmtpSink::start();
        let plan = PostfixPlan::new("alpha.example")
            .route("beta.example", sink.port())
            .route("gamma.example", sink.port());
        let door = Door::new(plan.ports.reinject);
        let gatepost =
            GatepostPlan::new("alpha.example").reinject(door.port()).policy(POLICY).policy(policy).prepare();
        let tap = MilterTap::new(gatepost.milter());
        let postfix = plan.milter(&tap.address()).start();
        Self { gatepost, postfix, door, tap, sink, readers, secluded: None }
    }

    /// Starts the gateway after a fault was mended: what lay in its spool is sent.
    pub(super) fn start(&mut self) {
        self.secluded = None;
        self.gatepost.kill9();
        self.gatepost.start();
    }

    /// Ends the gateway in good order, if it runs.
    pub(super) fn stop(&mut self) {
        if self.gatepost.get("/readyz").is_some() {
            self.gatepost.term();
        }
    }

    /// Starts the gateway in a mount namespace of its own, after these shell commands there.
    pub(super) fn start_secluded(&mut self, commands: &str) {
        self.gatepost.kill9();
        self.secluded = None;
        let mut daemon = self.secluded(commands);
        wait_for("gatepost to become ready", PATIENCE, || {
            assert!(daemon.ended().is_none(), "gatepost ended: {}", daemon.log());
            self.gatepost.get("/readyz").filter(|(code, _)| *code == 200)
        });
        self.secluded = Some(daemon);
    }

    /// The same without waiting for it to become ready.
    pub(super) fn secluded(&self, commands: &str) -> Daemon {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-ec"]);
        unshare.arg(format!("{commands}\nexec \"$0\" \"$@\"")).arg(gatepost_binary());
        unshare.args(["run", "--config"]).arg(self.gatepost.config());
        Daemon::start(&mut unshare, &self.dir().join("secluded.log"), &self.dir())
    }

    /// The gateway's process.
    pub(super) fn pid(&self) -> Pid {
        let daemon = self.secluded.as_ref().unwrap_or_else(|| self.gatepost.running());
        Pid::from_raw(daemon.pid().try_into().unwrap()).unwrap()
    }

    /// Makes system calls of the running gateway fail, until the value is dropped.
    pub(super) fn inject(&self, fault: &Fault) -> Trace {
        Trace::attach(self.pid().as_raw_nonzero().get().try_into().unwrap(), fault, &self.dir())
    }

    /// A path in the gateway's state directory.
    pub(super) fn state(&self, name: &str) -> PathBuf {
        self.gatepost.state().join(name)
    }

    /// The file of the master key.
    pub(super) fn master_key(&self) -> PathBuf {
        self.dir().join("master.key")
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.gatepost.state().parent().unwrap().to_owned()
    }

    /// Waits until the gateway was killed.
    pub(super) fn wait_dead(&mut self) {
        let log = self.gatepost.log();
        let gatepost = &mut self.gatepost;
        wait_for(&format!("the gateway to be killed:\n{log}"), PATIENCE, || gatepost.ended());
    }

    /// Sends a letter once, and calls `at` on the way.
    pub(super) fn send(&self, letter: &Letter, mut at: impl FnMut(Point)) -> Saw {
        let (mut client, greeting) = SmtpClient::greeted(self.postfix.ports.submission);
        let dialogue = [(greeting, "to the connection"), (client.ehlo(), "to EHLO")];
        if let Some((reply, place)) = dialogue.iter().find(|(reply, _)| !reply.is_positive()) {
            return Saw::refused(reply, place);
        }
        at(Point::Greeted);
        let reply = client.mail(ALICE);
        if !reply.is_positive() {
            return Saw::refused(&reply, "to MAIL");
        }
        for recipient in letter.shape.recipients() {
            let reply = client.rcpt(recipient);
            if !reply.is_positive() {
                return Saw::refused(&reply, "to RCPT");
            }
        }
        at(Point::Recipients);
        let reply = client.data(&letter.message);
        if !reply.is_positive() {
            return Saw::refused(&reply, "to the message");
        }
        at(Point::Accepted);
        client.quit();
        Saw { accepted: true, again: false, text: "250".to_owned() }
    }

    /// Sends a letter without a fault, and gives the paths of the marks of its copies, which are the
    /// same each time.
    pub(super) fn rehearse(&self, letter: &mut Letter) -> Vec<PathBuf> {
        let taken = self.state("spool/taken");
        let mut marks = Vec::new();
        self.door.set(Stand::Open);
        let saw = self.send(letter, |point| {
            if point == Point::Accepted {
                marks = names(&taken).iter().map(|name| taken.join(name)).collect();
            }
        });
        assert!(saw.accepted, "{saw:?}");
        self.settled(letter);
        letter.before += 1;
        marks
    }

    /// Sends a letter as a client does that was told to come again.
    ///
    /// # Panics
    /// If it is not accepted now.
    pub(super) fn send_again(&self, letter: &Letter) {
        let saw = self.send(letter, |_| {});
        assert!(saw.accepted, "the retry of {:?}: {saw:?}\n{}", letter.subject, self.gatepost.log());
    }

    /// Waits until nothing is under way any more, and checks what must be true of every letter:
    /// everybody has it, nobody got in clear what policy protects, and what left is recorded.
    pub(super) fn settled(&self, letter: &Letter) -> Arrived {
        self.wait_idle();
        let mut arrived = self.arrived(letter);
        self.check_records(letter, &arrived);
        for (_, count) in &mut arrived.counts {
            *count = count.saturating_sub(letter.before);
        }
        for (recipient, count) in &arrived.counts {
            assert!(*count > 0, "{recipient} has lost {:?}\n{}", letter.subject, self.gatepost.log());
        }
        arrived
    }

    /// Waits until neither gateway nor Postfix has anything to send.
    pub(super) fn wait_idle(&self) {
        wait_for("the spool to become empty", PATIENCE, || self.is_spool_empty().then_some(()));
        self.postfix.wait_idle();
    }

    /// True if the running gateway has nothing to send.
    pub(super) fn is_spool_empty(&self) -> bool {
        let spool = self.spool();
        names(&spool.join("ready")).is_empty() && names(&spool.join("incoming")).is_empty()
    }

    /// What lies in the spool of a gateway that does not run, in words for the table.
    pub(super) fn spooled(&self) -> String {
        let count = |name: &str| names(&self.state("spool").join(name)).len();
        let parts = [("incoming", count("incoming")), ("marks", count("taken")), ("ready", count("ready"))];
        let some = parts.iter().filter(|(_, count)| *count > 0);
        let words: Vec<String> = some.map(|(name, count)| format!("{count} {name}")).collect();
        if words.is_empty() { "empty".to_owned() } else { words.join(", ") }
    }

    /// True if the decision about a letter is in the log, once more than before the fault.
    pub(super) fn is_recorded(&self, letter: &Letter) -> bool {
        self.records(letter, "screened", "continue") > letter.before
    }

    /// The number of records about a letter with this event and verdict.
    fn records(&self, letter: &Letter, event: &str, verdict: &str) -> usize {
        let ran = self.notary(&["show", &letter.message_id(), "--json"]);
        if ran.code == 66 {
            return 0;
        }
        let records: Value = serde_json::from_slice(&ran.success().stdout).unwrap();
        let is_wanted = |r: &&Value| r["event"] == event && r["leaf"]["public"]["verdict"] == verdict;
        records.as_array().unwrap().iter().filter(is_wanted).count()
    }

    /// Waits until no mark of an unanswered submission is left: one that stays would swallow the copies
    /// of a later message that looks the same.
    pub(super) fn wait_no_marks(&self) {
        let taken = self.spool().join("taken");
        wait_for("the marks to be removed", PATIENCE, || names(&taken).is_empty().then_some(()));
    }

    /// The spool as the running gateway sees it.
    pub(super) fn spool(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid().as_raw_nonzero()));
        root.join(self.state("spool").strip_prefix("/").unwrap())
    }

    /// What is at the next servers and in the mailboxes, after checking that it holds no secret.
    pub(super) fn arrived(&self, letter: &Letter) -> Arrived {
        let mut counts: Vec<(&'static str, usize)> =
            letter.shape.recipients().iter().map(|recipient| (*recipient, 0)).collect();
        for received in self.sink.received() {
            let text = String::from_utf8_lossy(&received.data).into_owned();
            if !text.contains(&format!("\r\nSubject: {}\r\n", letter.subject)) {
                continue;
            }
            for (recipient, count) in &mut counts {
                *count += received.to.iter().filter(|to| to == recipient).count();
            }
            if received.to == [CAROL] {
                assert!(text.contains(SECRET), "damaged: {text}");
                continue;
            }
            assert!(!text.contains(SECRET), "in clear to {:?}: {text}", received.to);
            let opened = self.readers.open(&received.to, &received.data);
            assert!(opened.contains(SECRET), "damaged: {opened}");
        }
        for mail in self.postfix.mailbox("alice") {
            assert!(!mail.text().contains(SECRET), "in a notice: {mail:?}");
        }
        Arrived { counts }
    }

    /// Everything that left was recorded, and the log is in order.
    fn check_records(&self, letter: &Letter, arrived: &Arrived) {
        let left: usize = arrived.counts.iter().map(|(_, count)| count).sum();
        let passed = self.records(letter, "screened", "continue");
        let returned = self.records(letter, "reinjected", "reinjected");
        assert!(passed + returned >= left, "{left} mails left; recorded are {passed} + {returned}");
        self.notary(&["verify"]).success();
    }
}

/// SIGKILL to this process alone; returns when it does nothing any more.
pub(super) fn kill(process: Pid) {
    rustix::process::kill_process(process, Signal::KILL).unwrap();
    wait_for("a killed process to end", PATIENCE, || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
        stat.map_or(true, |stat| stat.contains(") Z ")).then_some(())
    });
}

/// The names in a directory, sorted; none if it is not there.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
