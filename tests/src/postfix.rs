//! A private Postfix: own configuration, queue and data directories, own ports, no DNS.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use crate::maildir::Mail;
use crate::port::free_port;
use crate::process::Daemon;
use crate::process::Ran;
use crate::process::directory;
use crate::process::need_root;
use crate::process::run;
use crate::smtp::SmtpClient;
use crate::wait::PATIENCE;
use crate::wait::wait_for;

/// Where Debian keeps Postfix's daemons.
const DAEMONS: &str = "/usr/lib/postfix/sbin";
/// Owner of delivered mail: Debian's nobody and nogroup.
const NOBODY: u32 = 65534;

/// The listening ports of one Postfix, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct PostfixPorts {
    /// Like port 25: mail for the own domain only; `{daemon_name}` is INBOUND.
    pub inbound: u16,
    /// Like port 587: relays anywhere for local clients; `{daemon_name}` is ORIGINATING.
    pub submission: u16,
    /// Where a gateway hands copies back: relays anywhere; `{daemon_name}` is REINJECT.
    pub reinject: u16,
    /// Like submission, but with no milter at all: what Postfix does without us.
    pub plain: u16,
}

impl PostfixPorts {
    /// Four free ports.
    pub fn free() -> Self {
        Self { inbound: free_port(), submission: free_port(), reinject: free_port(), plain: free_port() }
    }
}

/// How a Postfix instance is to be set up; [`PostfixPlan::start`] starts it.
#[derive(Clone, Debug)]
pub struct PostfixPlan {
    domain: String,
    users: Vec<String>,
    milters: Vec<String>,
    reinject_milters: Vec<String>,
    routes: Vec<(String, u16)>,
    parameters: Vec<(String, String)>,
    services: String,
    root: Option<PathBuf>,
    /// The ports it will listen on; known before it is started.
    pub ports: PostfixPorts,
}

impl PostfixPlan {
    /// A Postfix for one domain with the mailboxes alice, bob, carol, dave and postmaster.
    pub fn new(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            users: ["alice", "bob", "carol", "dave", "postmaster"].map(str::to_owned).to_vec(),
            milters: Vec::new(),
            reinject_milters: Vec::new(),
            routes: Vec::new(),
            parameters: Vec::new(),
            services: String::new(),
            root: None,
            ports: PostfixPorts::free(),
        }
    }

    /// Adds a mailbox.
    pub fn user(mut self, local_part: &str) -> Self {
        self.users.push(local_part.to_owned());
        self
    }

    /// Appends a milter (in Postfix's syntax, `inet:127.0.0.1:PORT`) for mail from SMTP clients,
    /// sendmail(1) and the re-injection port.
    pub fn milter(self, address: &str) -> Self {
        let mut plan = self.outer_milter(address);
        plan.reinject_milters.push(address.to_owned());
        plan
    }

    /// Appends a milter that re-injected copies do not pass again.
    pub fn outer_milter(mut self, address: &str) -> Self {
        self.milters.push(address.to_owned());
        self
    }

    /// Sends mail for `domain` to a port on 127.0.0.1. Domains without a route bounce.
    pub fn route(mut self, domain: &str, port: u16) -> Self {
        self.routes.push((domain.to_owned(), port));
        self
    }

    /// Sets a main.cf parameter, in place of what this plan would write.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Appends a line of master.cf (and its continuation lines), such as a further listener.
    pub fn service(mut self, entry: &str) -> Self {
        self.services.push_str(entry);
        self
    }

    /// The Postfix of Debian 13 in place of the machine's own.
    ///
    /// # Panics
    /// If `./setup test` has not fetched it.
    #[track_caller]
    pub fn version310(mut self) -> Self {
        let ours = std::env::current_exe().unwrap();
        let mut candidates = ours.ancestors().map(|path| path.join("postfix-13"));
        let root = candidates.find(|path| path.join("usr/lib/postfix/sbin/master").exists());
        self.root = Some(root.expect("target/postfix-13 holds the extracted package: run `./setup test`"));
        self
    }

    /// Starts Postfix and waits until it greets.
    ///
    /// # Panics
    /// If not run by root, or Postfix is not installed or does not come up.
    #[track_caller]
    pub fn start(self) -> Postfix {
        need_root();
        let dir = directory(self.domain.split('.').next().unwrap_or("postfix"));
        self.lay_out(dir.path());
        let mut postfix =
            Postfix { domain: self.domain, ports: self.ports, root: self.root, dir, daemon: None };
        postfix.start();
        postfix
    }

    /// Creates the directories and files that `postfix start` would expect or create.
    fn lay_out(&self, dir: &Path) {
        let (postfix, postdrop) = (id_of("/etc/passwd", "postfix"), id_of("/etc/group", "postdrop"));
        for name in ["etc", "log", "queue/pid"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        let own = |name: &str, owner: u32, group: Option<u32>, mode: u32| {
            let path = dir.join(name);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            chown(&path, Some(owner), group).unwrap();
        };
        for queue in [
            "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
            "saved", "trace",
        ] {
            own(&format!("queue/{queue}"), postfix, None, 0o700);
        }
        own("queue/maildrop", postfix, Some(postdrop), 0o730);
        own("queue/public", postfix, Some(postdrop), 0o710);
        own("data", postfix, None, 0o755);
        own("mail", NOBODY, Some(NOBODY), 0o755);
        write_aged(&dir.join("etc/main.cf"), &self.main_cf(dir));
        write_aged(&dir.join("etc/master.cf"), &self.master_cf());
        let routes = self.routes.iter().fold(String::new(), |mut table, (domain, port)| {
            let _ = writeln!(table, "{domain} smtp:[127.0.0.1]:{port}");
            table
        });
        write_aged(&dir.join("etc/transport"), &routes);
        let mailboxes = self.users.iter().fold(String::new(), |mut table, user| {
            let _ = writeln!(table, "{user}@{} {user}/", self.domain);
            table
        });
        write_aged(&dir.join("etc/mailboxes"), &mailboxes);
    }

    fn main_cf(&self, dir: &Path) -> String {
        let (dir, domain) = (dir.display(), &self.domain);
        let meta = self.root.as_deref().unwrap_or(Path::new("/")).join("etc/postfix");
        let mut text = format!(
            "compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = {DAEMONS}
meta_directory = {meta}
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/log/mail.log
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.{domain}
myorigin = {domain}
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = texthash:{dir}/etc/mailboxes
virtual_uid_maps = static:{NOBODY}
virtual_gid_maps = static:{NOBODY}
virtual_mailbox_limit = 0
mailbox_size_limit = 0
message_size_limit = 52428800
transport_maps = texthash:{dir}/etc/transport
default_transport = error:5.4.4 no route to this domain in this test
smtp_host_lookup = native
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_client_restrictions =
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
smtp_connection_cache_on_demand = no
milter_protocol = 6
milter_default_action = tempfail
milter_connect_timeout = 5s
smtpd_milters = {milters}
non_smtpd_milters = {milters}
",
            milters = self.milters.join(" "),
            meta = meta.display(),
        );
        // The last setting of a parameter wins, but Postfix warns; so take the first one out.
        for (name, value) in &self.parameters {
            let head = format!("{name} =");
            text =
                text.lines().filter(|line| !line.starts_with(&head)).fold(String::new(), |t, l| t + l + "\n");
            let _ = writeln!(text, "{name} = {value}");
        }
        text
    }

    fn master_cf(&self) -> String {
        let PostfixPorts { inbound, submission, reinject, plain } = self.ports;
        let again = self.reinject_milters.join(" ");
        let mut text = format!(
            "127.0.0.1:{inbound} inet n - n - - smtpd
    -o milter_macro_daemon_name=INBOUND
    -o local_header_rewrite_clients=
    -o smtpd_relay_restrictions=reject_unauth_destination
127.0.0.1:{submission} inet n - n - - smtpd
    -o milter_macro_daemon_name=ORIGINATING
    -o smtpd_relay_restrictions=permit_mynetworks,reject
127.0.0.1:{reinject} inet n - n - - smtpd
    -o milter_macro_daemon_name=REINJECT
    -o smtpd_relay_restrictions=permit_mynetworks,reject
    -o {{ smtpd_milters = {again} }}
127.0.0.1:{plain} inet n - n - - smtpd
    -o smtpd_relay_restrictions=permit_mynetworks,reject
    -o smtpd_milters=
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
showq unix n - n - - showq
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
"
        );
        text.push_str(&self.services);
        let services = "rewrite trivial-rewrite - 0;bounce bounce - 0;defer bounce - 0;trace bounce - 0;\
            verify verify - 1;flush flush 1000? 0;proxymap proxymap - -;smtp smtp - -;relay smtp - -;\
            error error - -;retry error - -;discard discard - -;lmtp lmtp - -;anvil anvil - 1;scache scache - 1";
        for service in services.split(';') {
            let words: Vec<&str> = service.split(' ').collect();
            let _ = writeln!(text, "{} unix - - n {} {} {}", words[0], words[2], words[3], words[1]);
        }
        text
    }
}

/// A running Postfix. Dropping it kills it and removes its files.
#[derive(Debug)]
pub struct Postfix {
    /// Its mail domain; its host name is `mx.` before that.
    pub domain: String,
    /// Its listening ports.
    pub ports: PostfixPorts,
    /// Where its programs and their libraries are, if not in the machine's own /usr.
    root: Option<PathBuf>,
    // Before the directory: what runs in it must end first.
    daemon: Option<Daemon>,
    dir: TempDir,
}

impl Postfix {
    /// The configuration directory, for `postconf -c`, `postqueue -c` and the like.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("etc")
    }

    /// The queue directory.
    pub fn queue(&self) -> PathBuf {
        self.dir.path().join("queue")
    }

    /// The directory of the Maildirs.
    pub fn maildirs(&self) -> PathBuf {
        self.dir.path().join("mail")
    }

    /// Starts it again after [`Postfix::stop`]. Does nothing if it runs.
    ///
    /// # Panics
    /// If it does not greet in time.
    #[track_caller]
    pub fn start(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        // The master itself, not postfix(1): in the foreground, and without the script's long checks.
        // Each daemon closes every descriptor up to the limit, and test runners raise that to a million.
        let mut master = Command::new("sh");
        master
            .args(["-c", "ulimit -Sn 1024; exec \"$0\" \"$@\""])
            .args(self.words(&format!("{DAEMONS}/master")));
        master.arg("-c").arg(self.config()).arg("-d");
        self.daemon = Some(Daemon::start(&mut master, &self.dir.path().join("log/stderr"), self.dir.path()));
        let port = self.ports.inbound;
        let stream = wait_for("Postfix to greet", PATIENCE, || {
            if let Some(status) = self.daemon.as_mut().and_then(Daemon::ended) {
                panic!("Postfix ended with {status}: {}{}", self.daemon.as_ref()?.log(), self.log());
            }
            std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).ok()
        });
        let (client, greeting) = SmtpClient::over(stream);
        assert_eq!(greeting.code, 220, "{greeting}\n{}", self.log());
        client.quit();
    }

    /// Stops it; the queue stays. Starting it again continues.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.term(Duration::from_secs(10));
        }
    }

    /// The mail log so far.
    pub fn log(&self) -> String {
        let path = self.dir.path().join("log/mail.log");
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Waits for a log line that contains all of `parts`, and gives it.
    ///
    /// # Panics
    /// If there is none in time.
    #[track_caller]
    pub fn wait_log(&self, parts: &[&str]) -> String {
        wait_for(&format!("a log line of mx.{} with {parts:?}", self.domain), PATIENCE, || {
            let log = self.log();
            log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        })
    }

    /// The messages delivered to a mailbox, oldest first.
    pub fn mailbox(&self, local_part: &str) -> Vec<Mail> {
        Mail::all(&self.maildirs().join(local_part))
    }

    /// Waits until a mailbox holds `count` messages and gives them.
    ///
    /// # Panics
    /// If they do not arrive in time; the panic message holds the log.
    #[track_caller]
    pub fn wait_mail(&self, local_part: &str, count: usize) -> Vec<Mail> {
        let start = std::time::Instant::now();
        loop {
            let mails = self.mailbox(local_part);
            if mails.len() >= count {
                return mails;
            }
            let have = mails.len();
            assert!(
                start.elapsed() < PATIENCE,
                "{have} of {count} messages for {local_part}@{}:\n{}",
                self.domain,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The queue as `postqueue -j` shows it, one object for each message.
    #[track_caller]
    pub fn mailq(&self) -> Vec<Value> {
        let ran = run(self.program("postqueue").arg("-c").arg(self.config()).arg("-j"), b"").success();
        ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until the queue is empty: everything was delivered, bounced or discarded.
    ///
    /// # Panics
    /// If it does not become empty in time.
    #[track_caller]
    pub fn wait_idle(&self) {
        wait_for(&format!("the queue of mx.{} to become empty", self.domain), PATIENCE, || {
            self.mailq().is_empty().then_some(())
        });
    }

    /// Attempts to deliver all deferred mail now.
    #[track_caller]
    pub fn flush(&self) {
        run(self.program("postqueue").arg("-c").arg(self.config()).arg("-f"), b"").success();
    }

    /// Submits a message (any line ends) with sendmail(1), as a program on the machine does.
    #[track_caller]
    pub fn sendmail(&self, reverse_path: &str, recipients: &[&str], message: &[u8]) -> Ran {
        let mut sendmail = self.program("/usr/sbin/sendmail");
        sendmail.arg("-C").arg(self.config()).args(["-i", "-f", reverse_path]).args(recipients);
        run(&mut sendmail, message).success()
    }

    /// Runs one of Postfix's commands on this instance, such as `postsuper`.
    #[track_caller]
    pub fn command(&self, name: &str, arguments: &[&str]) -> Ran {
        run(self.program(name).arg("-c").arg(self.config()).args(arguments), b"")
    }

    fn program(&self, name: &str) -> Command {
        let words = self.words(name);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// What runs a program of this Postfix. Another version sees its own /usr, in a mount namespace of its own; all
    /// else is the machine's.
    fn words(&self, name: &str) -> Vec<OsString> {
        const SCRIPT: &str = "mount --bind \"$0/usr\" /usr && exec \"$@\"";
        let words = match &self.root {
            None => vec![name.as_ref()],
            Some(root) => vec![
                "unshare".as_ref(),
                "--mount".as_ref(),
                "sh".as_ref(),
                "-c".as_ref(),
                SCRIPT.as_ref(),
                root.as_os_str(),
                name.as_ref(),
            ],
        };
        words.into_iter().map(OsStr::to_owned).collect()
    }
}

/// Writes a file that looks an hour old: Postfix waits a second or two before it trusts a
/// configuration file that was changed just now.
fn write_aged(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let earlier = SystemTime::now() - Duration::from_secs(3600);
    File::options().append(true).open(path).unwrap().set_modified(earlier).unwrap();
}

/// The numeric id in the third field of /etc/passwd or /etc/group.
#[track_caller]
fn id_of(table: &str, name: &str) -> u32 {
    let text = std::fs::read_to_string(table).unwrap();
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {table}: run `./setup test` to install Postfix"));
    line.split(':').nth(2).unwrap().parse().unwrap()
}

/// Lets members of group postfix connect to sockets that are created in `dir`.
pub(crate) fn share_with_postfix(dir: &Path) {
    chown(dir, None, Some(id_of("/etc/group", "postfix"))).unwrap();
    std::fs::set_permissions(dir, Permissions::from_mode(0o2750)).unwrap();
}
