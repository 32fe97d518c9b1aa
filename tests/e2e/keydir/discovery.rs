//! Strangers' certificates are found where other people's software publishes them: a Web Key Directory that
//! gpg-wks-server laid out and nginx serves, records that gpg wrote and nsd and unbound sign and validate, slapd, a key
//! server that gpg understands. What goes wrong there is never "no key".

mod servers;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use discovery::Config;
use discovery::Discovery;
use discovery::Found;
use discovery::Outcome;
use discovery::Place;
use keydir::Scheme;
use net::Clock;
use net::dns::Dns;
use net::dns::DnsConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tests::Daemon;
use tests::Gpg;
use tests::PATIENCE;
use tests::run;
use tests::wait_for;
use tests::world::Ds;
use tests::world::Identity;
use tests::world::LAME;
use tests::world::RunningWorld;
use tests::world::SILENT;
use tests::world::World;
use tests::world::in_private_network;

/// A public address, ours within this namespace.
const WEB: &str = "9.9.9.9";
const DAY: i64 = 86_400;

/// A look-up as the gateway makes it, with an empty memory.
fn find(world: &RunningWorld, address: &str) -> Found {
    find_with(world, address, Config::default(), 0)
}

fn find_with(world: &RunningWorld, address: &str, config: Config, ahead: i64) -> Found {
    ask(&world.authorities, config, ahead, async |discovery| {
        discovery.find(address, Scheme::Openpgp, PATIENCE).await
    })
}

/// Does something with a discovery that trusts the certificates of this PEM file; its clock is ahead.
fn ask<T>(roots: &Path, config: Config, ahead: i64, work: impl AsyncFnOnce(Discovery) -> T) -> T {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots).unwrap() {
        store.add(root.unwrap()).unwrap();
    }
    let ahead = Arc::new(AtomicI64::new(ahead));
    let system = Clock::system();
    let clock = Clock::from_fn(move || system.now() + ahead.load(Ordering::Relaxed));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let dns = Dns::new(DnsConfig { timeout: Duration::from_secs(8), ..DnsConfig::default() });
        work(Discovery::open(config, dns, Some(Arc::new(store)), clock, None, None).unwrap()).await
    })
}

#[track_caller]
fn fingerprint(found: &Found) -> String {
    match &found.outcome {
        Outcome::Found(candidate) => candidate.fingerprint.clone(),
        other => panic!("{other:?}\n{}", found.trace),
    }
}

/// nginx on [`WEB`] with a server for each host.
struct Nginx {
    _daemon: Daemon,
    _dir: PathBuf,
}

impl Nginx {
    /// Each host with its identity and what stands in its server block.
    fn start(dir: &Path, hosts: &[(&str, Identity, String)]) -> Self {
        let dir = dir.join("nginx");
        std::fs::create_dir_all(&dir).unwrap();
        let at = dir.display();
        let mut text = format!(
            "daemon off;\npid {at}/pid;\nerror_log {at}/error.log;\nuser root;\nworker_processes 1;\nevents {{}}\nhttp {{\n\
             access_log {at}/access.log;\ndefault_type application/octet-stream;\nlarge_client_header_buffers 4 16k;\n"
        );
        for (host, identity, block) in hosts {
            std::fs::write(dir.join(format!("{host}.pem")), identity.pem()).unwrap();
            std::fs::write(dir.join(format!("{host}.key")), identity.key_pem()).unwrap();
            text += &format!(
                "server {{\nlisten {WEB}:443 ssl;\nserver_name {host};\nssl_certificate {at}/{host}.pem;\n\
                 ssl_certificate_key {at}/{host}.key;\n{block}\n}}\n"
            );
        }
        std::fs::write(dir.join("nginx.conf"), text + "}\n").unwrap();
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.arg("-c").arg(dir.join("nginx.conf"));
        let mut daemon = Daemon::start(&mut nginx, &dir.join("out"), &dir.join("scratch"));
        wait_for("nginx", PATIENCE, || {
            assert!(daemon.ended().is_none(), "{}", daemon.log());
            std::net::TcpStream::connect((WEB, 443)).ok()
        });
        Self { _daemon: daemon, _dir: dir }
    }
}

/// Publishes a certificate of `gpg` as its own server does, in `dir`/DOMAIN.
fn publish(gpg: &Gpg, fingerprint: &str, address: &str, dir: &Path) {
    let (_, domain) = address.split_once('@').unwrap();
    std::fs::create_dir_all(dir.join(domain)).unwrap();
    run(Command::new("chmod").arg("o-rwx").args([dir, &dir.join(domain)]), b"").success();
    let mut server = Command::new("gpg-wks-server");
    server.env("GNUPGHOME", gpg.home()).arg("-C").arg(dir).args(["--install-key", fingerprint, address]);
    run(&mut server, b"").success();
}

/// The record that gpg writes for a key, `OWNER TYPE61 \# LENGTH HEX`.
fn record(gpg: &Gpg, address: &str) -> String {
    let text = gpg.run(&["--export-options", "export-dane", "--export", address], b"").success().text();
    let origin = text.lines().find_map(|line| line.strip_prefix("$ORIGIN ")).unwrap();
    let words: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(['$', ';']))
        .flat_map(str::split_ascii_whitespace)
        .filter(|word| !["(", ")"].contains(word))
        .collect();
    let [owner, rest @ ..] = &words[..] else { panic!("{text}") };
    let [kind, mark, length, hex @ ..] = rest else { panic!("{text}") };
    format!("{owner}.{origin} {kind} {mark} {length} {}", hex.concat())
}

fn add_address() {
    run(Command::new("ip").args(["address", "add", &format!("{WEB}/32"), "dev", "lo"]), b"").success();
}

#[test]
fn web_key_directories_of_gnupg_are_found() {
    in_private_network("keydir::discovery::web_key_directories_of_gnupg_are_found", || {
        add_address();
        let gpg = Gpg::new();
        let mut world = World::new();
        world.zone("a.world").record(&format!("openpgpkey.a.world. A {WEB}"));
        world.zone("b.world").record(&format!("b.world. A {WEB}"));
        world.zone("c.world").record("openpgpkey.c.world. CNAME openpgpkey.a.world.");
        world.zone("reb.world").record(&format!("openpgpkey.reb.world. A {WEB}"));
        let hosts = ["openpgpkey.a.world", "b.world", "openpgpkey.c.world", "openpgpkey.reb.world"];
        let identities = hosts.map(|host| world.web.issue(host));
        let mut world = world.start();
        let wkd = world.path().join("wkd");
        let old = gpg.generate("Bob <Bob.Jones+x@a.world>");
        publish(&gpg, &old, "Bob.Jones+x@a.world", &wkd);
        for address in ["bob@b.world", "bob@c.world", "bob@reb.world"] {
            let fingerprint = gpg.generate(address);
            publish(&gpg, &fingerprint, address, &wkd);
        }
        let at = wkd.display();
        let advanced = format!("location /.well-known/openpgpkey/ {{ alias {at}/; }}");
        let direct = format!("location /.well-known/openpgpkey/ {{ alias {at}/b.world/; }}");
        let blocks = [advanced.clone(), direct, advanced.clone(), advanced];
        let servers: Vec<_> = hosts
            .into_iter()
            .zip(identities)
            .zip(blocks)
            .map(|((host, id), block)| (host, id, block))
            .collect();
        let _nginx = Nginx::start(world.path(), &servers);

        for address in
            ["Bob.Jones+x@a.world", "bob.jones+X@A.World", "bob@b.world", "bob@c.world", "bob@reb.world"]
        {
            let found = find(&world, address);
            assert_eq!(fingerprint(&found), gpg.fingerprint(address), "{}", found.trace);
        }
        for address in ["nobody@a.world", "nobody@b.world", "a@none.world"] {
            let found = find(&world, address);
            assert!(matches!(found.outcome, Outcome::None { .. }), "{}", found.trace);
        }
        changes(&gpg, &world, &wkd, &old);

        // The same name leads into our own network now (DNS rebinding).
        world.change_zone("reb.world", |zone| {
            zone.without("openpgpkey").record("openpgpkey.reb.world. A 127.2.0.9");
        });
        let found = find(&world, "bob@reb.world");
        assert!(
            matches!(&found.outcome, Outcome::CouldNotTell { why, .. } if why.contains("not public")),
            "{}",
            found.trace
        );
    });
}

/// A new key is held until the old one vouches for it.
fn changes(gpg: &Gpg, world: &RunningWorld, wkd: &Path, old: &str) {
    let address = "bob.jones+x@a.world";
    let place = Place::Sqlite(world.path().join("discovery.db"));
    let find =
        |days| find_with(world, address, Config { place: place.clone(), ..Config::default() }, days * DAY);
    assert_eq!(fingerprint(&find(0)), old);
    gpg.run(&["--quick-generate-key", "Bob 2 <bob.jones+x@a.world>", "future-default", "default", "1y"], b"")
        .success();
    let new = gpg.fingerprint("Bob 2");
    publish(gpg, &new, address, wkd);
    let held = find(1);
    let Outcome::Held(held) = &held.outcome else { panic!("{}", held.trace) };
    assert_eq!(
        (held.old.as_deref(), held.new.fingerprint.as_str(), held.news),
        (Some(old), new.as_str(), true)
    );
    gpg.run(&["--default-key", old, "--quick-sign-key", &new], b"").success();
    // gpg-wks-server takes signatures of others away; the domain publishes this one.
    let hashed = keydir::wkd_hash("bob.jones+x");
    std::fs::write(wkd.join("a.world/hu").join(hashed), gpg.run(&["--export", &new], b"").success().stdout)
        .unwrap();
    let found = find(2);
    assert_eq!(fingerprint(&found), new);
    assert!(found.trace.conclusion.contains("vouches for it"), "{}", found.trace);
}

#[test]
fn hosts_in_trouble_are_never_taken_for_hosts_without_keys() {
    in_private_network("keydir::discovery::hosts_in_trouble_are_never_taken_for_hosts_without_keys", || {
        add_address();
        let mut world = World::new();
        let broken = "location = /.well-known/openpgpkey/x { return 404; }";
        let cases: Vec<(&str, String)> = vec![
            ("e500", "location / { return 500; }".to_owned()),
            ("e503", "location / { return 503; }".to_owned()),
            ("busy", "location / { return 429; }".to_owned()),
            ("hangs", "location / { return 444; }".to_owned()),
            ("moved", "location / { return 301 https://openpgpkey.e500.world$request_uri; }".to_owned()),
            ("clear", "location / { return 302 http://$host$request_uri; }".to_owned()),
            ("loop", "location / { return 302 $request_uri; }".to_owned()),
            ("inside", "location / { return 302 https://metadata.inside.world/; }".to_owned()),
            ("gzip", "location / { add_header Content-Encoding gzip; return 200 'xx'; }".to_owned()),
            ("big", "location / { root BIG; try_files /answer =500; }".to_owned()),
            ("wrong", broken.to_owned()),
            ("expired", broken.to_owned()),
            ("alone", broken.to_owned()),
        ];
        let mut servers = Vec::new();
        let big = tempfile::tempdir().unwrap();
        std::fs::write(big.path().join("answer"), vec![0x99; 300 * 1024]).unwrap();
        run(Command::new("chmod").arg("755").arg(big.path()), b"").success();
        for (name, block) in &cases {
            let host = format!("openpgpkey.{name}.world");
            world.zone(&format!("{name}.world")).record(&format!("{host}. A {WEB}"));
            let identity = match *name {
                "wrong" => world.web.issue("openpgpkey.other.world"),
                "expired" => world.web.issue_expired(&host),
                "alone" => Identity::alone(&host),
                _ => world.web.issue(&host),
            };
            servers.push((host, identity, block.replace("BIG", big.path().to_str().unwrap())));
        }
        world.zone("inside.world").record("metadata.inside.world. A 127.0.0.1");
        for (name, address) in [("priv", "10.0.0.1"), ("self", "127.0.0.1"), ("meta", "169.254.169.254")] {
            world.zone(&format!("{name}.world")).record(&format!("openpgpkey.{name}.world. A {address}"));
        }
        world.zone("six.world").record("openpgpkey.six.world. AAAA ::ffff:9.9.9.9");
        world.zone("dead.world").record("openpgpkey.dead.world. A 9.9.9.9");
        world.zone("bogus.world").ds(Ds::Wrong).record(&format!("openpgpkey.bogus.world. A {WEB}"));
        world.zone("world").record(&format!("lame.world. NS {LAME}"));
        world.zone("world").record(&format!("silent.world. NS {SILENT}"));
        let world = world.start();
        let servers: Vec<_> =
            servers.iter().map(|(host, id, block)| (host.as_str(), id.clone(), block.clone())).collect();
        let _nginx = Nginx::start(world.path(), &servers);
        let others = ["priv", "self", "meta", "six", "dead", "bogus", "lame", "silent"];
        for name in cases.iter().map(|(name, _)| *name).chain(others) {
            let found = find(&world, &format!("bob@{name}.world"));
            assert!(
                matches!(found.outcome, Outcome::CouldNotTell { .. }),
                "{name}: {:?}\n{}",
                found.outcome,
                found.trace
            );
        }
    });
}

#[test]
fn records_of_gnupg_are_found_if_dnssec_protects_them() {
    in_private_network("keydir::discovery::records_of_gnupg_are_found_if_dnssec_protects_them", || {
        let gpg = Gpg::new();
        let mut world = World::new();
        for domain in ["good.world", "third.world", "plain.world", "fake.world"] {
            let address = format!("Hugh@{domain}");
            gpg.generate(&address);
            world.zone(domain).record(&record(&gpg, &address));
        }
        world.zone("third.world").nsec3();
        world.zone("plain.world").unsigned();
        world.zone("fake.world").tamper("OPENPGPKEY", "mDM", "mDN");
        let world = world.start();
        for domain in ["good.world", "third.world"] {
            let found = find(&world, &format!("hugh@{domain}"));
            assert_eq!(fingerprint(&found), gpg.fingerprint(&format!("hugh@{domain}")), "{}", found.trace);
            let nobody = find(&world, &format!("nobody@{domain}"));
            assert!(matches!(nobody.outcome, Outcome::None { .. }), "{}", nobody.trace);
        }
        let plain = find(&world, "hugh@plain.world");
        assert!(matches!(plain.outcome, Outcome::None { .. }), "{}", plain.trace);
        assert!(plain.trace.to_string().contains("DNSSEC does not protect them"), "{}", plain.trace);
        let fake = find(&world, "hugh@fake.world");
        assert!(matches!(fake.outcome, Outcome::CouldNotTell { .. }), "{}", fake.trace);
    });
}
