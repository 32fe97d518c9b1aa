//! A private world of domains: a signed DNS tree of our own below a root of our own, mail hosts, policy hosts.
//!
//! Everything lives in a network, mount and process namespace that [`in_private_network`] makes: any address of
//! 127/8 and any port can be used there, /etc/resolv.conf names the world's validating resolver, and nothing
//! leaves it. Needs root, nsd, unbound and ldnsutils.

mod identity;
mod mail_host;
mod peer;
mod policy_host;
mod report_host;
mod zone;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::net::UdpSocket;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Daemon;
use crate::process::directory;
use crate::process::need_root;
use crate::process::run;
use crate::wait::PATIENCE;
use crate::wait::wait_for;

pub use identity::Identity;
pub use mail_host::Arrivals;
pub use mail_host::Arrived;
pub use mail_host::Ending;
pub use mail_host::MailHost;
pub use mail_host::Starttls;
pub use peer::Peer;
pub use peer::PeerPlan;
pub use peer::Taken;
pub use policy_host::PolicyFile;
pub use report_host::Posted;
pub use report_host::Posts;
pub use zone::Ds;
pub use zone::Zone;

/// The domain below which all cases live.
pub const TOP: &str = "world";
/// A name server that answers SERVFAIL to everything.
pub const LAME: &str = "nslame.world.";
/// A name server that never answers.
pub const SILENT: &str = "nssilent.world.";
/// Every name server's address is below this; the authoritative one.
const AUTHORITY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
const LAME_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 54);
const SILENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 55);
/// The address of every policy host.
pub const POLICY_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);
/// The address of the host that takes TLS reports.
const REPORT_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 2);

/// Runs `body` in a namespace of its own. `name` is the full name of the calling test, which is started again there.
///
/// # Panics
/// If not run by root, or `body` panics.
#[track_caller]
pub fn in_private_network(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        run(Command::new("ip").args(["link", "set", "lo", "up"]), b"").success();
        return body();
    }
    need_root();
    let status = Command::new("unshare")
        .args(["-mnpf", "--kill-child", "--mount-proc", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed in its namespace: {status}");
}

/// A world to be built.
#[derive(Debug)]
pub struct World {
    zones: BTreeMap<String, Zone>,
    hosts: Vec<(Ipv4Addr, MailHost)>,
    policies: Vec<(String, PolicyFile)>,
    report_host: Option<Identity>,
    addresses: u8,
    /// Stands for the authorities of the web.
    pub web: Identity,
    /// A private root, for DANE-TA.
    pub root: Identity,
    /// Below [`World::root`].
    pub intermediate: Identity,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Only the root and the top-level domain.
    pub fn new() -> Self {
        let (web, root) = (Identity::root("Web Root"), Identity::root("Private Root"));
        let intermediate = root.issue_authority("Private Intermediate");
        let (zones, hosts, policies) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut world =
            Self { zones, hosts, policies, report_host: None, addresses: 0, web, root, intermediate };
        world.zone("").record(&format!("{TOP}. NS ns.{TOP}.")).record(&format!("ns.{TOP}. A {AUTHORITY}"));
        world.zone("").record(&format!("ns.top. A {AUTHORITY}"));
        let top = world.zone(TOP);
        top.record(&format!("ns.{TOP}. A {AUTHORITY}"));
        top.record(&format!("{LAME} A {LAME_ADDRESS}")).record(&format!("{SILENT} A {SILENT_ADDRESS}"));
        world
    }

    /// The zone with this name (no final dot), new if there is none: signed, with a DS in its parent.
    pub fn zone(&mut self, name: &str) -> &mut Zone {
        self.zones.entry(name.to_owned()).or_insert_with(|| Zone::new(name))
    }

    /// A mail host on an address of its own.
    pub fn host(&mut self, host: MailHost) -> Ipv4Addr {
        let address = self.unused_address();
        self.hosts.push((address, host));
        address
    }

    /// An address at which nobody listens.
    pub fn unused_address(&mut self) -> Ipv4Addr {
        self.addresses += 1;
        Ipv4Addr::new(127, 1, 0, self.addresses)
    }

    /// What `host`, such as `mta-sts.example.world`, answers over HTTPS. Its address record is the caller's part.
    pub fn policy(&mut self, host: &str, file: PolicyFile) {
        self.policies.push((host.to_owned(), file));
    }

    /// A host with this name below [`TOP`] takes TLS reports over HTTPS.
    pub fn report_host(&mut self, host: &str) {
        self.report_host = Some(self.web.issue(host));
        self.zone(TOP).record(&format!("{host}. A {REPORT_ADDRESS}"));
    }

    /// Signs all zones and starts all servers. Must run inside [`in_private_network`].
    ///
    /// # Panics
    /// If a program is missing or a server does not come up.
    #[track_caller]
    pub fn start(mut self) -> RunningWorld {
        let dir = directory("world");
        let path = dir.path();
        zone::build(&mut self.zones, path, AUTHORITY);
        let authorities = path.join("web.pem");
        std::fs::write(&authorities, self.web.pem()).unwrap();
        resolv_conf(path, "127.0.0.1");
        let arrivals = Arc::new(Arrivals::default());
        for (address, host) in self.hosts {
            mail_host::serve(address, host, &arrivals);
        }
        policy_host::serve(POLICY_ADDRESS, self.policies);
        let posts = Arc::new(Posts::default());
        if let Some(identity) = &self.report_host {
            report_host::serve(REPORT_ADDRESS, identity, &posts);
        }
        broken_name_servers();
        let nsd = start(path, "nsd", &["-d", "-c"], &zone::nsd(&self.zones, path, AUTHORITY));
        let unbound = start(path, "unbound", &["-d", "-c"], &zone::unbound(path, AUTHORITY));
        let (resolver, authority) = (Some(unbound), Some(nsd));
        let zones = self.zones;
        let world = RunningWorld { arrivals, posts, authorities, zones, resolver, authority, dir };
        world.wait_for_resolver();
        world
    }
}

/// A world that runs. Dropping it ends all its processes.
#[derive(Debug)]
pub struct RunningWorld {
    /// What its mail hosts have taken.
    pub arrivals: Arc<Arrivals>,
    /// What its report host has taken.
    pub posts: Arc<Posts>,
    /// The bundle that stands for the authorities of the web, for `SSL_CERT_FILE`.
    pub authorities: PathBuf,
    zones: BTreeMap<String, Zone>,
    resolver: Option<Daemon>,
    authority: Option<Daemon>,
    dir: TempDir,
}

impl RunningWorld {
    /// A directory for the test's own files.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes a zone while all else goes on. The resolver forgets what it knew.
    ///
    /// # Panics
    /// If there is no such zone, or a server does not come up again.
    #[track_caller]
    pub fn change_zone(&mut self, name: &str, change: impl FnOnce(&mut Zone)) {
        change(self.zones.get_mut(name).expect("a zone of this world"));
        self.authority = None;
        let path = self.dir.path();
        zone::build(&mut self.zones, path, AUTHORITY);
        let configuration = zone::nsd(&self.zones, path, AUTHORITY);
        self.authority = Some(start(path, "nsd", &["-d", "-c"], &configuration));
        self.start_resolver("validator iterator");
    }

    /// Ends the resolver: nobody answers on 127.0.0.1 port 53.
    pub fn stop_resolver(&mut self) {
        self.resolver = None;
    }

    /// Starts the resolver again, with empty caches; `modules` is unbound's `module-config`, "iterator" alone
    /// for one that does not validate.
    #[track_caller]
    pub fn start_resolver(&mut self, modules: &str) {
        self.resolver = None;
        let text = zone::unbound(self.path(), AUTHORITY).replace("validator iterator", modules);
        self.resolver = Some(start(self.path(), "unbound", &["-d", "-c"], &text));
        self.wait_for_resolver();
    }

    /// Puts somebody between: every answer over UDP comes `late`, and with the AD bit set if it `lies`. What is behind
    /// is a resolver with these modules.
    #[track_caller]
    pub fn resolver_behind(&mut self, late: Duration, lies: bool, modules: &str) {
        self.resolver = None;
        let text = zone::unbound(self.path(), AUTHORITY).replace("validator iterator", modules);
        let text = text.replace("interface: 127.0.0.1\n", "interface: 127.0.0.9\n");
        self.resolver = Some(start(self.path(), "unbound", &["-d", "-c"], &text));
        let front = Arc::new(UdpSocket::bind("127.0.0.1:53").unwrap());
        std::thread::spawn(move || {
            let mut question = [0; 2048];
            while let Ok((length, peer)) = front.recv_from(&mut question) {
                let (question, front) = (question[..length].to_vec(), Arc::clone(&front));
                std::thread::spawn(move || {
                    let back = UdpSocket::bind("127.0.0.9:0").unwrap();
                    back.set_read_timeout(Some(PATIENCE)).unwrap();
                    back.send_to(&question, "127.0.0.9:53").ok()?;
                    let mut answer = [0; 4096];
                    let length = back.recv(&mut answer).ok()?;
                    if lies {
                        answer[3] |= 0x20;
                    }
                    std::thread::sleep(late);
                    front.send_to(&answer[..length], peer).ok()
                });
            }
        });
        std::thread::sleep(Duration::from_secs(1));
    }

    #[track_caller]
    fn wait_for_resolver(&self) {
        wait_for("the resolver of the world", PATIENCE, || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02ns\x05world\0\0\x01\0\x01";
            socket.send_to(question, "127.0.0.1:53").ok()?;
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).ok()?;
            (length > 12 && answer[3] & 15 == 0 && answer[7] > 0).then_some(())
        });
    }
}

/// Starts a server with a configuration file.
#[track_caller]
fn start(dir: &Path, program: &str, words: &[&str], configuration: &str) -> Daemon {
    let file = dir.join(format!("{program}.conf"));
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new(format!("/usr/sbin/{program}"));
    command.args(words).arg(&file);
    // Only the files: the directory is removed by its owner.
    let scratch = dir.join(format!("{program}.scratch"));
    Daemon::start(&mut command, &dir.join(format!("{program}.out")), &scratch)
}

/// Lays a resolv.conf of our own over the machine's, in this mount namespace only.
fn resolv_conf(dir: &Path, resolver: &str) {
    let file = dir.join("resolv.conf");
    std::fs::write(&file, format!("nameserver {resolver}\noptions trust-ad edns0\n")).unwrap();
    run(Command::new("mount").arg("--bind").arg(&file).arg("/etc/resolv.conf"), b"").success();
}

/// The one that always says SERVFAIL, and the one that says nothing.
fn broken_name_servers() {
    let silent = UdpSocket::bind((SILENT_ADDRESS, 53)).unwrap();
    let lame = UdpSocket::bind((LAME_ADDRESS, 53)).unwrap();
    std::thread::spawn(move || {
        let _silent = silent;
        let mut question = [0; 1024];
        while let Ok((length, peer)) = lame.recv_from(&mut question) {
            let name = question[12..length].iter().position(|byte| *byte == 0).unwrap_or(0);
            let end = (12 + name + 5).min(length);
            let flags = [0x80 | (question[2] & 0x79), 2];
            let counts = [0, 1, 0, 0, 0, 0, 0, 0];
            let answer = [&question[..2], &flags, &counts, &question[12..end]].concat();
            let _ = lame.send_to(&answer, peer);
        }
    });
}

const INSIDE: &str = "GATEPOST_INSIDE_PRIVATE_NETWORK";
