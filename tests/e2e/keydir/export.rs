//! The Web Key Directory as static files: the same bytes that the sidecar serves, from any web server.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use keydir::Subject;
use tests::Daemon;
use tests::Gpg;
use tests::KeyDirectory;
use tests::PATIENCE;
use tests::TlsIdentity;
use tests::curl;
use tests::free_port;
use tests::run;
use tests::wait_for;
use tests::world::World;
use tests::world::in_private_network;

const JOE: &str = "iy9q119eutrkn8s1mk4r39qejnbu3n5q";

/// All files below a directory that a web server would give out, with their content.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found.remove(".gatepost-export");
    found
}

#[test]
fn exported_files_are_the_answers_of_the_sidecar_by_both_methods() {
    let gpg = Gpg::new();
    let mut directory = KeyDirectory::new(&["alpha.example", "bücher.example"]);
    for address in ["joe.doe@alpha.example", "ann@alpha.example", "joe.doe@bücher.example"] {
        gpg.generate(&format!("Somebody <{address}>"));
        directory.publish(&gpg.certificate(address));
    }
    let port = free_port();
    directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), "");
    let to = directory.path().join("static");
    let words = ["export-wkd", "--direct", "--advanced", to.to_str().unwrap()];
    let said = directory.command(&words).success().text();
    assert!(said.contains("12 files, 12 written, 0 removed"), "{said}");
    let exported = files(&to);
    assert_eq!(exported.len(), 12, "{:?}", exported.keys());
    for (path, content) in &exported {
        let (host, path) = path.split_once('/').unwrap();
        let (host, url) = (format!("Host: {host}"), format!("http://127.0.0.1:{port}/{path}"));
        let live = curl(&["-H", &host, &url]);
        assert_eq!((live.status, &live.body), (200, content), "{host} {path}");
    }
    assert!(exported.contains_key(&format!("alpha.example/.well-known/openpgpkey/hu/{JOE}")));
    let idn = "xn--bcher-kva.example";
    // GnuPG writes the domain in U-labels, others in A-labels.
    for written in [idn, "bücher.example"] {
        let file = format!("openpgpkey.{idn}/.well-known/openpgpkey/{written}/hu/{JOE}");
        assert!(exported.contains_key(&file), "{file}");
    }
}

#[test]
fn an_export_writes_what_changed_and_removes_what_it_made_and_nothing_else() {
    let gpg = Gpg::new();
    let directory = KeyDirectory::new(&["alpha.example"]);
    for name in ["joe.doe", "ann"] {
        gpg.generate(&format!("{name}@alpha.example"));
        directory.publish(&gpg.certificate(name));
    }
    let to = directory.path().join("static");
    let publication = directory.publication();
    let export = || {
        let words = ["export-wkd", "--publication", publication.to_str().unwrap(), to.to_str().unwrap()];
        directory.command(&words).success().text()
    };
    assert!(export().contains("3 files, 3 written, 0 removed"));
    assert!(export().contains("3 files, 0 written, 0 removed"));
    let hu = to.join("openpgpkey.alpha.example/.well-known/openpgpkey/alpha.example/hu");
    fs::write(hu.join("somebody-elses"), b"file").unwrap();
    fs::write(to.join("openpgpkey.alpha.example/index.html"), b"welcome").unwrap();
    // Ann leaves; somebody damages Joe's file.
    directory.store().withdraw(&Subject::address("ann@alpha.example").unwrap()).unwrap();
    directory.refresh();
    fs::write(hu.join(JOE), b"damaged").unwrap();
    let said = export();
    assert!(said.contains("2 files, 1 written, 1 removed"), "{said}");
    let left = files(&to);
    assert_eq!(left.len(), 4, "{:?}", left.keys());
    assert_eq!(gpg.fingerprint_in(&fs::read(hu.join(JOE)).unwrap()), gpg.fingerprint("joe.doe"));
    assert_eq!(fs::read(hu.join("somebody-elses")).unwrap(), b"file");
}

#[test]
fn gpg_locates_a_key_in_exported_files_behind_nginx() {
    in_private_network("keydir::export::gpg_locates_a_key_in_exported_files_behind_nginx", || {
        let mut world = World::new();
        world.zone("world").record("openpgpkey.alpha.world. A 127.0.0.1");
        let world = world.start();
        TlsIdentity::new(&["openpgpkey.alpha.world"]).write(world.path());
        let bundle = world.path().join("ca.pem");
        let over = "/etc/ssl/certs/ca-certificates.crt";
        run(Command::new("mount").arg("--bind").arg(bundle).arg(over), b"").success();
        let owner = Gpg::new();
        let wanted = owner.generate("Joe <joe.doe@alpha.world>");
        let directory = KeyDirectory::new(&["alpha.world"]);
        directory.publish(&owner.certificate("joe.doe"));
        directory.configure("listen = [\"http:127.0.0.1:8080\"]", "");
        let place = tempfile::Builder::new().prefix("wkd").tempdir().unwrap();
        // nginx's workers are somebody else.
        run(Command::new("chmod").arg("755").arg(place.path()), b"").success();
        let to = place.path().join("static");
        directory.command(&["export-wkd", to.to_str().unwrap()]).success();
        let dir = world.path().display();
        let config = format!(
            "daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log; user root;\n\
             events {{ }}\nhttp {{ access_log off; default_type application/octet-stream;\n\
             server {{ listen 127.0.0.1:443 ssl; server_name openpgpkey.alpha.world;\n\
             ssl_certificate {dir}/web.pem; ssl_certificate_key {dir}/web.key;\n\
             root {}/openpgpkey.alpha.world; }} }}\n",
            to.display()
        );
        let file = world.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("nginx");
        let log = world.path().join("nginx.out");
        let mut nginx = Daemon::start(command.arg("-c").arg(&file), &log, world.path());
        wait_for("nginx", PATIENCE, || {
            assert!(nginx.ended().is_none(), "{}", nginx.log());
            std::net::TcpStream::connect("127.0.0.1:443").ok()
        });
        let gpg = Gpg::new();
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(gpg.home()).args(["--batch", "--no-auto-check-trustdb"]);
        command.args(["--auto-key-locate", "clear,wkd,nodefault", "--locate-external-keys"]);
        let ran = run(command.arg("joe.doe@alpha.world"), b"");
        let listing = gpg.run(&["--with-colons", "-k"], b"").text();
        assert!(listing.contains(&wanted), "{ran:?}\n{listing}");
        let fresh = Gpg::new();
        let mut client = Command::new("/usr/lib/gnupg/gpg-wks-client");
        client.env("GNUPGHOME", fresh.home()).arg("--check").arg("joe.doe@alpha.world");
        run(&mut client, b"").success();
    });
}
