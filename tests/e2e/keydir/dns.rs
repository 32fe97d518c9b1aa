//! Certificates in the DNS: zone text that three name servers accept, records that gpg finds, dynamic updates.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use keydir::Custody;
use keydir::Import;
use keydir::Origin;
use keydir::Subject;
use keydir::Trust;
use tests::Daemon;
use tests::Gpg;
use tests::KeyDirectory;
use tests::PATIENCE;
use tests::Pki;
use tests::Ran;
use tests::free_port;
use tests::pki::Leaf;
use tests::run;
use tests::wait_for;
use tests::world::World;
use tests::world::in_private_network;

const HEAD: &str = "$TTL 60\n@ IN SOA ns.alpha.example. admin.alpha.example. 1 3600 600 86400 60\n@ IN NS ns.alpha.example.\nns IN A 127.0.0.1\n";

/// Joe with an OpenPGP certificate, Ann with both kinds.
fn directory() -> (KeyDirectory, Gpg) {
    let (gpg, pki) = (Gpg::new(), Pki::new());
    let directory = KeyDirectory::new(&["alpha.example"]);
    for name in ["joe.doe", "ann"] {
        gpg.generate(&format!("{name}@alpha.example"));
        directory.publish(&gpg.certificate(name));
    }
    let issued = pki.issue("ann", &Leaf::user(&["ann@alpha.example"]));
    let pem = fs::read(&issued.certificate).unwrap();
    let import = Import {
        bytes: &pem,
        subjects: None,
        origin: Origin::Imported,
        trust: Trust::Own,
        custody: Custody::None,
        now: 0,
    };
    directory.store().import_certificates(&import).unwrap();
    directory.refresh();
    directory.configure("listen = [\"http:127.0.0.1:8080\"]", "");
    (directory, gpg)
}

#[test]
fn bind_nsd_and_ldns_accept_the_exported_zone_in_both_forms() {
    let (directory, _) = directory();
    for more in [&[][..], &["--generic"]] {
        let out = directory.path().join("certificates.zone");
        let words = [&["export-dns", "--output", out.to_str().unwrap()], more].concat();
        directory.command(&words).success();
        let text = fs::read_to_string(&out).unwrap();
        assert_eq!(text.lines().count(), 4, "a comment, two OPENPGPKEY, one SMIMEA: {text}");
        assert!(!text.contains("joe") && !text.contains("ann@"), "no addresses: {text}");
        let zone = directory.path().join("alpha.zone");
        fs::write(&zone, format!("{HEAD}$INCLUDE {}\n", out.display())).unwrap();
        run(Command::new("named-checkzone").arg("alpha.example").arg(&zone), b"").success();
        run(Command::new("nsd-checkzone").arg("alpha.example").arg(&zone), b"").success();
        // ldns has no $INCLUDE.
        let whole = directory.path().join("whole.zone");
        fs::write(&whole, format!("$ORIGIN alpha.example.\n{HEAD}{text}")).unwrap();
        let read = run(Command::new("ldns-read-zone").arg(&whole), b"").success().text();
        assert_eq!(read.matches("\tOPENPGPKEY\t").count() + read.matches("\tTYPE61\t").count(), 2, "{read}");
    }
    let only = directory.command(&["export-dns", "--no-openpgpkey", "--ttl", "77"]).success().text();
    assert_eq!(only.lines().filter(|line| line.contains(" 77 IN SMIMEA 3 0 0 ")).count(), 1, "{only}");
    assert!(!only.contains("OPENPGPKEY"));
    let foreign = directory.command(&["export-dns", "--domain", "beta.example"]);
    assert_eq!(foreign.code, 66, "{foreign:?}");
}

#[test]
fn gpg_finds_an_exported_record() {
    in_private_network("keydir::dns::gpg_finds_an_exported_record", || {
        let owner = Gpg::new();
        let wanted = owner.generate("Joe <joe.doe@alpha.world>");
        let directory = KeyDirectory::new(&["alpha.world"]);
        directory.publish(&owner.certificate("joe.doe"));
        directory.configure("listen = [\"http:127.0.0.1:8080\"]", "");
        let text = directory.command(&["export-dns"]).success().text();
        let mut world = World::new();
        let zone = world.zone("world");
        for line in text.lines().filter(|line| !line.starts_with(';')) {
            // The world puts TTL and class into each line itself.
            zone.record(&line.replacen(" 3600 IN ", " ", 1));
        }
        let _world = world.start();
        for (address, found) in [("joe.doe@alpha.world", true), ("nobody@alpha.world", false)] {
            let gpg = Gpg::new();
            let mut command = Command::new("gpg");
            command.arg("--homedir").arg(gpg.home()).args(["--batch", "--no-auto-check-trustdb"]);
            command.args(["--auto-key-locate", "clear,dane,nodefault", "--locate-external-keys", address]);
            let ran = run(&mut command, b"");
            let listing = gpg.run(&["--with-colons", "-k"], b"").text();
            assert_eq!(listing.contains(&wanted), found, "{ran:?}\n{listing}");
        }
    });
}

/// A name server (BIND) that takes updates and gives the zone to whoever has the key.
struct Named {
    daemon: Daemon,
    port: u16,
    dir: PathBuf,
    key: PathBuf,
}

impl Named {
    fn start(dir: &Path) -> Self {
        let (dir, port) = (dir.join("named"), free_port());
        fs::create_dir(&dir).unwrap();
        let key = dir.join("update.key");
        let text =
            run(Command::new("tsig-keygen").args(["-a", "hmac-sha256", "gatepost"]), b"").success().text();
        fs::write(&key, text).unwrap();
        fs::write(dir.join("alpha.zone"), format!("{HEAD}mail IN A 127.0.0.9\n")).unwrap();
        let place = dir.display();
        let config = format!(
            "include \"{place}/update.key\";\ncontrols {{ }};\n\
             options {{ directory \"{place}\"; pid-file none; session-keyfile none; recursion no;\n\
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
             managed-keys-directory \"{place}\"; notify no; dnssec-validation no; }};\n\
             zone \"alpha.example\" {{ type primary; file \"{place}/alpha.zone\";\n\
             allow-update {{ key gatepost; }}; allow-transfer {{ key gatepost; }}; }};\n"
        );
        fs::write(dir.join("named.conf"), config).unwrap();
        let mut command = Command::new("named");
        command.args(["-g", "-n", "1", "-c"]).arg(dir.join("named.conf"));
        let mut daemon = Daemon::start(&mut command, &dir.join("log"), &dir);
        wait_for("named", PATIENCE, || {
            assert!(daemon.ended().is_none(), "{}", daemon.log());
            daemon.log().contains("all zones loaded").then_some(())
        });
        Self { daemon, port, dir, key }
    }

    fn update(&self, directory: &KeyDirectory, more: &[&str]) -> Ran {
        let server = format!("127.0.0.1:{}", self.port);
        let words = ["update-dns", "--server", &server, "--key", self.key.to_str().unwrap()];
        directory.command(&[&words[..], more].concat())
    }

    /// The zone as a program of others reads it: name, type and content.
    fn records(&self) -> Vec<String> {
        let key = fs::read_to_string(&self.key).unwrap();
        let secret = key.split("secret \"").nth(1).unwrap().split('"').next().unwrap();
        let text = run(
            Command::new("drill")
                .args(["-y", &format!("gatepost:{secret}:hmac-sha256."), "-p", &self.port.to_string()])
                .args(["@127.0.0.1", "alpha.example", "AXFR"]),
            b"",
        )
        .text();
        let records = text.lines().filter(|line| !line.starts_with(';') && line.contains("\tIN\t"));
        records.map(str::to_owned).collect()
    }

    fn count(&self, what: &str) -> usize {
        self.records().iter().filter(|line| line.contains(what)).count()
    }
}

#[test]
fn a_name_server_is_brought_up_to_date_by_signed_updates() {
    let (directory, gpg) = directory();
    let mut named = Named::start(directory.path());
    let planned = named.update(&directory, &["--dry-run"]).success().text();
    assert!(
        planned.contains("alpha.example: 3 added, 0 replaced, 0 removed, 0 unchanged (nothing"),
        "{planned}"
    );
    assert_eq!(planned.lines().filter(|line| line.starts_with("add ")).count(), 3, "{planned}");
    assert_eq!(named.count("OPENPGPKEY"), 0);
    let done = named.update(&directory, &[]).success().text();
    assert!(done.contains("3 added, 0 replaced, 0 removed, 0 unchanged"), "{done}\n{}", named.daemon.log());
    assert_eq!((named.count("OPENPGPKEY"), named.count("SMIMEA")), (2, 1), "{:?}", named.records());
    let again = named.update(&directory, &[]).success().text();
    assert!(again.contains("0 added, 0 replaced, 0 removed, 3 unchanged"), "{again}");

    // Joe gets another certificate, Ann leaves; what is not ours stays.
    gpg.generate("joe.doe@alpha.example");
    directory.publish(&gpg.run(&["--export", "joe.doe@alpha.example"], b"").success().stdout);
    directory.store().withdraw(&Subject::address("ann@alpha.example").unwrap()).unwrap();
    directory.refresh();
    let json = named.update(&directory, &["--json"]).success().text();
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changes: Vec<&str> = lines.iter().filter_map(|line| line["change"].as_str()).collect();
    assert_eq!(changes, ["replace", "remove", "remove"], "{json}");
    let last = lines.last().unwrap();
    assert_eq!((last["replaced"].as_u64(), last["removed"].as_u64()), (Some(1), Some(2)));
    assert_eq!((named.count("OPENPGPKEY"), named.count("SMIMEA")), (2, 0));
    assert_eq!(named.count("127.0.0.9"), 1);

    // Without the right key nothing is read and nothing changed.
    let wrong = named.dir.join("wrong.key");
    fs::write(&wrong, "key \"gatepost\" { algorithm hmac-sha256; secret \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"; };\n")
        .unwrap();
    let server = format!("127.0.0.1:{}", named.port);
    let refused = directory.command(&["update-dns", "--server", &server, "--key", wrong.to_str().unwrap()]);
    assert_eq!(refused.code, 69, "{refused:?}");
    assert!(refused.stderr.contains("signature"), "{refused:?}");
    assert_eq!(named.count("OPENPGPKEY"), 2);
    named.daemon.kill();
    let gone = named.update(&directory, &[]);
    assert_eq!(gone.code, 69, "{gone:?}");
}
