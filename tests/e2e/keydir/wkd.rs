//! The Web Key Directory: by both methods, for the clients that people have, and for nobody else.

use std::path::Path;
use std::process::Command;

use tests::Answer;
use tests::Gpg;
use tests::KeyDirectory;
use tests::Ran;
use tests::TlsIdentity;
use tests::curl;
use tests::free_port;
use tests::run;
use tests::world::World;
use tests::world::in_private_network;

const JOE: &str = "iy9q119eutrkn8s1mk4r39qejnbu3n5q";
/// Of a local part that nobody has.
const NOBODY: &str = "4hg7tescnttreaouu4z1izeuuyibwww1";
const PREFIX: &str = "/.well-known/openpgpkey";

/// A directory for alpha.example on plain HTTP, with a key for joe.doe, and what gpg exports of it.
struct Plain {
    directory: KeyDirectory,
    port: u16,
    gpg: Gpg,
}

impl Plain {
    fn new() -> Self {
        let gpg = Gpg::new();
        gpg.generate("Joe Doe <joe.doe@alpha.example>");
        let mut directory = KeyDirectory::new(&["alpha.example", "bücher.example"]);
        directory.publish(&gpg.certificate("joe.doe@alpha.example"));
        let port = free_port();
        let generous = "[limits]\nrequests_per_minute = 100000\nburst = 100000\n";
        directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), generous);
        Self { directory, port, gpg }
    }

    #[track_caller]
    fn get(&self, host: &str, path: &str, more: &[&str]) -> Answer {
        let (host, url) = (format!("Host: {host}"), format!("http://127.0.0.1:{}{path}", self.port));
        curl(&[&["-H", &host, &url], more].concat())
    }
}

#[test]
fn a_request_without_a_host_or_with_another_method_is_told_so() {
    let plain = Plain::new();
    let path = format!("{PREFIX}/alpha.example/hu/{JOE}");
    let url = format!("http://127.0.0.1:{}{path}", plain.port);
    // RFC 9112, 3.2; before HTTP/1.1 there was none.
    assert_eq!(curl(&["-H", "Host:", &url]).status, 400);
    assert_eq!(curl(&["-H", "Host: a.example, alpha.example", &url]).status, 400);
    assert_eq!(curl(&["--http1.0", "-H", "Host:", &url]).status, 200);
    for path in [path.as_str(), "/pks/add", "/log/checkpoint"] {
        let answer = plain.get("alpha.example", path, &["-X", "DELETE"]);
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("allow").contains("OPTIONS"), "{path}");
    }
}

#[test]
fn both_methods_give_the_same_bytes_however_the_domain_is_written() {
    let plain = Plain::new();
    let advanced =
        plain.get("openpgpkey.alpha.example", &format!("{PREFIX}/alpha.example/hu/{JOE}?l=joe.doe"), &[]);
    assert_eq!(advanced.status, 200, "{advanced:?}");
    assert_eq!(plain.gpg.fingerprint_in(&advanced.body), plain.gpg.fingerprint("joe.doe"));
    assert!(!advanced.body.starts_with(b"-----"), "binary, not armored");
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("access-control-allow-origin", "*"),
        ("cache-control", "public, max-age=300"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(advanced.header(name), value, "{name}");
    }
    for domain in
        ["alpha.example", "ALPHA.Example", "alpha.example.", "alpha.example:80", "alpha.example.:443"]
    {
        let direct = plain.get(domain, &format!("{PREFIX}/hu/{JOE}"), &[]);
        assert_eq!((direct.status, &direct.body), (200, &advanced.body), "{domain}");
    }
    for domain in ["alpha.example.", "Alpha.EXAMPLE", "alpha%2Eexample"] {
        let other = plain.get("x.invalid", &format!("{PREFIX}/{domain}/hu/{JOE}"), &[]);
        assert_eq!((other.status, &other.body), (200, &advanced.body), "{domain}");
    }
}

#[test]
fn a_domain_in_other_letters_is_found_by_both_its_names() {
    let plain = Plain::new();
    plain.gpg.generate("Joe <joe.doe@bücher.example>");
    plain.directory.publish(&plain.gpg.certificate("joe.doe@bücher.example"));
    let mut bodies = Vec::new();
    for name in
        ["xn--bcher-kva.example", "b%C3%BCcher.example", "B%C3%9Ccher.example", "XN--BCHER-KVA.example"]
    {
        let answer = plain.get("x", &format!("{PREFIX}/{name}/hu/{JOE}"), &[]);
        assert_eq!(answer.status, 200, "{name}");
        bodies.push(answer.body);
    }
    let direct = plain.get("bücher.example", &format!("{PREFIX}/hu/{JOE}"), &[]);
    bodies.push(direct.body);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
}

#[test]
fn what_the_client_says_of_the_local_part_is_never_trusted() {
    let plain = Plain::new();
    let ask =
        |hash: &str, query: &str| plain.get("x", &format!("{PREFIX}/alpha.example/hu/{hash}{query}"), &[]);
    let right = ask(JOE, "");
    assert_eq!(right.status, 200);
    for query in [
        "?l=joe.doe",
        "?l=Joe.Doe",
        "?l=JOE.DOE",
        "?l=bob",
        "?l=",
        "?l",
        "?x=1",
        "?l=%ff",
        "?l=joe.doe&l=bob",
    ] {
        assert_eq!(ask(JOE, query).body, right.body, "{query}");
    }
    // Whose hash is another's is not found by a name.
    for query in ["", "?l=joe.doe", "?l=Joe.Doe", "?l=joe.doe%00"] {
        assert_eq!(ask(NOBODY, query).status, 404, "{query}");
    }
    // A sub-address is its mailbox's, if the hash is its own: of joe.doe+list.
    let hash = keydir::wkd_hash("joe.doe+list");
    assert_eq!(ask(&hash, "?l=joe.doe%2Blist").body, right.body);
    assert_eq!(ask(&hash, "").status, 404);
    assert_eq!(ask(&hash, "?l=joe.doe%2Bother").status, 404);
}

#[test]
fn nobody_learns_why_there_is_nothing() {
    let plain = Plain::new();
    let gone = |host: &str, path: &str| {
        let mut answer = plain.get(host, path, &[]);
        assert!(answer.headers.remove("date").is_some());
        answer
    };
    let reference =
        gone("openpgpkey.alpha.example", &format!("{PREFIX}/alpha.example/hu/{NOBODY}?l=test-wkd"));
    assert_eq!((reference.status, reference.text().as_str()), (404, "not found\n"));
    assert_eq!(reference.header("content-type"), "text/plain; charset=utf-8");
    let upper = JOE.to_uppercase();
    for (host, path) in [
        // A domain that is ours, and has no key.
        ("x", format!("/b%C3%BCcher.example/hu/{JOE}")),
        // One whose wildcard record brings people here.
        ("openpgpkey.foreign.example", format!("/foreign.example/hu/{JOE}")),
        ("foreign.example", format!("/hu/{JOE}")),
        ("foreign.example", "/policy".to_owned()),
        ("openpgpkey.alpha.example", format!("/hu/{JOE}")),
        ("x", "/foreign.example/policy".to_owned()),
        ("x", "/alpha.example/submission-address".to_owned()),
        // Paths that nothing has.
        ("alpha.example", format!("/%2e%2e/hu/{JOE}")),
        ("alpha.example", format!("/../openpgpkey/hu/{JOE}")),
        ("alpha.example", format!("/hu/{JOE}%00")),
        ("alpha.example", format!("/hu/{JOE}y")),
        ("alpha.example", format!("/hu//{JOE}")),
        ("alpha.example", format!("//hu/{JOE}")),
        ("alpha.example", format!("/hu/{upper}")),
        ("alpha.example", format!("/alpha%c0%aeexample/hu/{JOE}")),
        ("alpha.example", format!("/alpha.example%00/hu/{JOE}")),
        ("alpha.example", "/hu/".to_owned()),
        ("alpha.example", "/hu".to_owned()),
        ("alpha.example", "/".to_owned()),
    ] {
        assert_eq!(gone(host, &format!("{PREFIX}{path}")), reference, "{host} {path}");
    }
    for path in ["/nothing", "/.well-known/", "/.well-known/openpgpkey", "/index.html", "/pks"] {
        assert_eq!(gone("alpha.example", path), reference, "{path}");
    }
}

#[test]
fn the_policy_is_always_there_and_the_submission_address_if_there_is_one() {
    let rules = keydir::PublicationRules {
        domains: ["alpha.example".to_owned()].into(),
        openpgp: true,
        submission_address: Some("keys@alpha.example".to_owned()),
        wkd_policy: vec!["mailbox-only".to_owned()],
        ..Default::default()
    };
    let plain = Plain::new();
    let empty = plain.get("alpha.example", &format!("{PREFIX}/policy"), &[]);
    assert_eq!((empty.status, empty.text().as_str(), empty.header("content-length")), (200, "", "0"));
    let mut directory = KeyDirectory::with_rules(rules);
    let port = free_port();
    directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), "");
    let other = Plain { directory, port, gpg: Gpg::new() };
    for path in ["/alpha.example/policy", "/policy"] {
        let policy = other.get("alpha.example", &format!("{PREFIX}{path}"), &[]);
        assert!(policy.text().contains("mailbox-only\n"), "{policy:?}");
        let address = other.get(
            "alpha.example",
            &format!("{PREFIX}{}", path.replace("policy", "submission-address")),
            &[],
        );
        assert_eq!((address.status, address.text().as_str()), (200, "keys@alpha.example\n"));
    }
}

#[test]
fn old_and_careful_clients_are_served() {
    let plain = Plain::new();
    let path = format!("{PREFIX}/hu/{JOE}");
    let whole = plain.get("alpha.example", &path, &[]);
    let old = plain.get("alpha.example", &path, &["--http1.0"]);
    assert_eq!((old.status, &old.body), (200, &whole.body));
    let head = plain.get("alpha.example", &path, &["--head"]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "etag", "access-control-allow-origin"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    let kept =
        plain.get("alpha.example", &path, &["-H", &format!("If-None-Match: {}", whole.header("etag"))]);
    assert_eq!((kept.status, kept.body.len()), (304, 0));
    let preflight = plain.get("alpha.example", &path, &["-X", "OPTIONS"]);
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, "*"));
    let post = plain.get("alpha.example", &path, &["--data", "x"]);
    assert_eq!(post.status, 405);
    assert!(post.header("allow").contains("GET"), "{post:?}");
    // The target may name the host itself (RFC 9112, 3.2.2).
    let target = format!("http://alpha.example{path}");
    let absolute = plain.get("elsewhere.example", "/", &["--request-target", &target]);
    assert_eq!(absolute.body, whole.body);
}

#[test]
fn a_change_is_seen_at_once_and_only_the_asked_mailbox_is_shown() {
    let plain = Plain::new();
    let path = format!("{PREFIX}/alpha.example/hu/{JOE}");
    let before = plain.get("x", &path, &[]);
    let fingerprint = plain.gpg.fingerprint("joe.doe");
    plain
        .gpg
        .run(&["--quick-add-uid", &fingerprint, "Joe's secret name <alias@alpha.example>"], b"")
        .success();
    plain.directory.publish(&plain.gpg.certificate(&fingerprint));
    let alias = plain.get("x", &format!("{PREFIX}/alpha.example/hu/{}", keydir::wkd_hash("alias")), &[]);
    assert_eq!(alias.status, 200);
    for (body, shown, hidden) in
        [(plain.get("x", &path, &[]).body, "joe.doe@", "alias@"), (alias.body, "alias@", "joe.doe@")]
    {
        let listing = plain.gpg.run(&["--with-colons", "--show-keys"], &body).success().text();
        assert!(listing.contains(shown) && !listing.contains(hidden), "{listing}");
    }
    // A new certificate stands beside the old one, once that is revoked.
    let revocation =
        std::fs::read(plain.gpg.home().join(format!("openpgp-revocs.d/{fingerprint}.rev"))).unwrap();
    let revocation = String::from_utf8(revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    plain.gpg.import(revocation.as_bytes());
    let revoked = plain.gpg.certificate(&fingerprint);
    let other = Gpg::new();
    other.generate("Joe Doe <joe.doe@alpha.example>");
    plain.directory.publish(&other.certificate("joe.doe"));
    plain.directory.publish(&revoked);
    let both = plain.get("x", &path, &[]);
    assert_ne!(both.header("etag"), before.header("etag"));
    let listing = other.run(&["--with-colons", "--show-keys"], &both.body).success().text();
    let keys: Vec<&str> = listing.lines().filter(|line| line.starts_with("pub:")).collect();
    assert_eq!(keys.len(), 2, "{listing}");
    assert!(!keys[0].starts_with("pub:r") && keys[1].starts_with("pub:r"), "{listing}");
}

/// What gpg finds of an address by WKD, in a home of its own: fingerprints.
fn located(address: &str) -> (Gpg, Ran) {
    let gpg = Gpg::new();
    let mut command = Command::new("gpg");
    command.arg("--homedir").arg(gpg.home());
    command.args(["--batch", "--no-auto-check-trustdb", "--auto-key-locate", "clear,wkd,nodefault"]);
    let ran = run(command.args(["--locate-external-keys", address]), b"");
    (gpg, ran)
}

/// Lays a file over another one, in this mount namespace only.
fn mount(file: &Path, over: &str) {
    run(Command::new("mount").arg("--bind").arg(file).arg(over), b"").success();
}

#[test]
fn gpg_and_sq_find_keys_by_both_methods() {
    in_private_network("keydir::wkd::gpg_and_sq_find_keys_by_both_methods", || {
        let mut world = World::new();
        // alpha has the host for the advanced method, beta has not.
        for name in ["openpgpkey.alpha", "beta", "openpgpkey.xn--mnchen-3ya"] {
            world.zone("world").record(&format!("{name}.world. A 127.0.0.1"));
        }
        let world = world.start();
        let names = ["openpgpkey.alpha.world", "beta.world", "openpgpkey.xn--mnchen-3ya.world"];
        let tls = TlsIdentity::new(&names);
        let mut directory = KeyDirectory::new(&["alpha.world", "beta.world", "münchen.world"]);
        let section = tls.write(world.path());
        mount(&world.path().join("ca.pem"), "/etc/ssl/certs/ca-certificates.crt");
        let owner = Gpg::new();
        // In U-labels GnuPG 2.2 does not even ask: "Syntax error in URI".
        for address in ["joe.doe@alpha.world", "joe.doe@beta.world", "joe.doe@xn--mnchen-3ya.world"] {
            owner.generate(&format!("Joe <{address}>"));
            directory.publish(&owner.certificate(address));
        }
        directory.serve("listen = [\"https:127.0.0.1:443\"]", &section);
        for address in ["joe.doe@alpha.world", "Joe.Doe@beta.world", "joe.doe@xn--mnchen-3ya.world"] {
            let wanted = owner.fingerprint(&address.to_lowercase());
            let (gpg, ran) = located(address);
            let listing = gpg.run(&["--with-colons", "-k"], b"").text();
            assert!(
                listing.contains(&format!("fpr:::::::::{wanted}:")),
                "{address}: {listing}{}{}",
                ran.stderr,
                directory.log()
            );
        }
        let (gpg, _) = located("nobody@alpha.world");
        assert!(!gpg.run(&["--with-colons", "-k"], b"").text().contains("pub:"));
        let check = |address: &str| {
            let gpg = Gpg::new();
            let mut client = Command::new("gpg-wks-client");
            if !Path::new("/usr/bin/gpg-wks-client").exists() {
                client = Command::new("/usr/lib/gnupg/gpg-wks-client");
            }
            run(client.env("GNUPGHOME", gpg.home()).args(["--check", address]), b"")
        };
        check("joe.doe@alpha.world").success();
        assert_ne!(check("nobody@alpha.world").code, 0);
        for address in ["joe.doe@alpha.world", "joe.doe@beta.world"] {
            let mut sq = Command::new("sq");
            sq.env("SSL_CERT_FILE", world.path().join("ca.pem")).args(["wkd", "get", address]);
            let found = run(&mut sq, b"").success();
            assert_eq!(owner.fingerprint_in(&found.stdout), owner.fingerprint(address), "{address}");
        }
    });
}
