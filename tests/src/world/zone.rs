//! Zones: written, signed, spoilt, and served by nsd below a root of our own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::process::run;

/// What the parent says about the keys of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ds {
    /// The right digest.
    Good,
    /// A digest of something else: all of the zone is bogus.
    Wrong,
    /// Nothing: the zone is insecure, though signed.
    Absent,
    /// A digest of a type that nobody knows: insecure.
    Unknown,
}

/// One zone. Records are lines `OWNER TYPE DATA` with absolute names.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    records: Vec<String>,
    delegations: Vec<String>,
    signed: bool,
    ds: Ds,
    nsec3: bool,
    expired: bool,
    tampered: Vec<(String, String, String)>,
    file: PathBuf,
}

impl Zone {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            records: Vec::new(),
            delegations: Vec::new(),
            signed: true,
            ds: Ds::Good,
            nsec3: false,
            expired: false,
            tampered: Vec::new(),
            file: PathBuf::new(),
        }
    }

    /// Adds a record.
    pub fn record(&mut self, line: &str) -> &mut Self {
        self.records.push(line.to_owned());
        self
    }

    /// Takes away the records whose line contains this text.
    pub fn without(&mut self, part: &str) -> &mut Self {
        self.records.retain(|line| !line.contains(part));
        self
    }

    /// Not signed, and its parent says so.
    pub fn unsigned(&mut self) -> &mut Self {
        self.signed = false;
        self
    }

    /// What the parent says.
    pub fn ds(&mut self, ds: Ds) -> &mut Self {
        self.ds = ds;
        self
    }

    /// Denials by NSEC3 instead of NSEC.
    pub fn nsec3(&mut self) -> &mut Self {
        self.nsec3 = true;
        self
    }

    /// All signatures ended in 2020.
    pub fn expired(&mut self) -> &mut Self {
        self.expired = true;
        self
    }

    /// After signing, `from` becomes `to` in every record of type `kind`.
    pub fn tamper(&mut self, kind: &str, from: &str, to: &str) -> &mut Self {
        self.tampered.push((kind.to_owned(), from.to_owned(), to.to_owned()));
        self
    }

    fn text(&self) -> String {
        let origin = format!("{}.", self.name);
        let ns = if self.name.is_empty() { "ns.top.".to_owned() } else { format!("ns.{}.", super::TOP) };
        let mut text = format!(
            "$ORIGIN {origin}\n$TTL 300\n{origin} IN SOA {ns} host.{ns} 1 3600 600 86400 60\n{origin} IN NS {ns}\n"
        );
        for line in self.records.iter().chain(&self.delegations) {
            let (owner, rest) = line.split_once(' ').unwrap();
            let _ = writeln!(text, "{owner} 300 IN {rest}");
        }
        text
    }
}

/// Writes and signs all zones with new keys, children first because parents hold their DS.
pub(super) fn build(zones: &mut BTreeMap<String, Zone>, dir: &Path, authority: Ipv4Addr) {
    zones.values_mut().for_each(|zone| zone.delegations.clear());
    let mut names: Vec<String> = zones.keys().cloned().collect();
    names.sort_by_key(|name| {
        std::cmp::Reverse(if name.is_empty() { 0 } else { name.matches('.').count() + 1 })
    });
    for name in names {
        let parent = parent(zones, &name);
        let zone = zones.get_mut(&name).unwrap();
        zone.file = dir.join(format!("{}.zone", if name.is_empty() { "root" } else { &name }));
        std::fs::write(&zone.file, zone.text()).unwrap();
        let ds = zone.signed.then(|| sign(zone, dir)).filter(|_| zone.ds != Ds::Absent);
        let kind = zone.ds;
        let Some(parent) = parent.and_then(|parent| zones.get_mut(&parent)) else { continue };
        let delegation = format!("{name}. NS ns.{}.", super::TOP);
        if !parent.records.contains(&delegation) {
            parent.delegations.push(delegation);
        }
        if let Some(ds) = ds {
            parent.delegations.push(format!("{name}. DS {}", spoil(&ds, kind)));
        }
    }
    std::fs::write(dir.join("hints"), format!(". 3600 IN NS ns.top.\nns.top. 3600 IN A {authority}\n"))
        .unwrap();
}

/// The closest zone above.
fn parent(zones: &BTreeMap<String, Zone>, name: &str) -> Option<String> {
    let mut rest = name;
    while !rest.is_empty() {
        rest = rest.split_once('.').map_or("", |(_, rest)| rest);
        if zones.contains_key(rest) {
            return Some(rest.to_owned());
        }
    }
    None
}

/// Signs a zone with a new key and gives the data of its DS record.
fn sign(zone: &mut Zone, dir: &Path) -> String {
    let origin = format!("{}.", zone.name);
    let ldns = |program: &str, words: &[&str]| {
        let ran = run(Command::new(program).current_dir(dir).args(words), b"").success();
        ran.text().trim().to_owned()
    };
    let key = ldns("ldns-keygen", &["-a", "ECDSAP256SHA256", "-k", &origin]);
    let signed = zone.file.with_extension("signed");
    let mut words = vec!["-f", signed.to_str().unwrap()];
    if zone.nsec3 {
        words.extend(["-n", "-t", "1", "-s", "ab"]);
    }
    if zone.expired {
        words.extend(["-i", "20200101000000", "-e", "20200201000000"]);
    }
    words.extend([zone.file.to_str().unwrap(), &key]);
    ldns("ldns-signzone", &words);
    zone.file = signed;
    tamper(zone);
    if zone.name.is_empty() {
        std::fs::copy(dir.join(format!("{key}.key")), dir.join("anchor.key")).unwrap();
    }
    let ds = std::fs::read_to_string(dir.join(format!("{key}.ds"))).unwrap();
    let words: Vec<&str> = ds.split_ascii_whitespace().skip_while(|word| *word != "DS").skip(1).collect();
    words.join(" ")
}

fn tamper(zone: &Zone) {
    let text = std::fs::read_to_string(&zone.file).unwrap();
    let mut changed = text.clone();
    for (kind, from, to) in &zone.tampered {
        changed = changed.lines().fold(String::new(), |text, line| {
            let is_kind = line.split_ascii_whitespace().nth(3) == Some(kind);
            text + &if is_kind { line.replacen(from, to, 1) } else { line.to_owned() } + "\n"
        });
        assert!(changed != text, "nothing to tamper with in {}", zone.name);
    }
    std::fs::write(&zone.file, changed).unwrap();
}

fn spoil(ds: &str, kind: Ds) -> String {
    let words: Vec<&str> = ds.split(' ').collect();
    let [tag, algorithm, digest_type, digest] = words[..] else { panic!("not a DS record: {ds}") };
    let inverted: String =
        digest.chars().map(|c| char::from_digit(15 - c.to_digit(16).unwrap(), 16).unwrap()).collect();
    match kind {
        Ds::Wrong => format!("{tag} {algorithm} {digest_type} {inverted}"),
        Ds::Unknown => format!("{tag} {algorithm} 200 {digest}"),
        Ds::Good | Ds::Absent => ds.to_owned(),
    }
}

/// The configuration of nsd, which serves every zone.
pub(super) fn nsd(zones: &BTreeMap<String, Zone>, dir: &Path, authority: Ipv4Addr) -> String {
    let dir = dir.display();
    let mut text = format!(
        "server:
  ip-address: {authority}
  username: \"\"
  zonesdir: \"{dir}\"
  database: \"\"
  pidfile: \"{dir}/nsd.pid\"
  logfile: \"{dir}/nsd.log\"
  xfrdfile: \"{dir}/xfrd.state\"
  zonelistfile: \"{dir}/zone.list\"
  xfrdir: \"{dir}\"
  server-count: 1
remote-control:
  control-enable: no
"
    );
    for (name, zone) in zones {
        let name = if name.is_empty() { "." } else { name };
        let _ = writeln!(text, "zone:\n  name: \"{name}\"\n  zonefile: \"{}\"", zone.file.display());
    }
    text
}

/// The configuration of the validating resolver on 127.0.0.1.
pub(super) fn unbound(dir: &Path, _authority: Ipv4Addr) -> String {
    let dir = dir.display();
    format!(
        "server:
  interface: 127.0.0.1
  username: \"\"
  chroot: \"\"
  directory: \"{dir}\"
  pidfile: \"{dir}/unbound.pid\"
  logfile: \"{dir}/unbound.log\"
  use-syslog: no
  val-log-level: 2
  do-ip6: no
  num-threads: 1
  do-not-query-localhost: no
  root-hints: \"{dir}/hints\"
  trust-anchor-file: \"{dir}/anchor.key\"
  module-config: \"validator iterator\"
  access-control: 127.0.0.0/8 allow
remote-control:
  control-enable: no
"
    )
}
