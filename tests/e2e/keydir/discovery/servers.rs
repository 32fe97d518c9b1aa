//! Directory servers and key servers that the administrator named.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use discovery::Config;
use discovery::Directory;
use discovery::Found;
use discovery::Outcome;
use discovery::Source;
use discovery::SourceKind;
use discovery::trust::FirstContact;
use keydir::Scheme;
use tests::Gpg;
use tests::PATIENCE;
use tests::Pki;
use tests::Slapd;
use tests::pki::Leaf;
use tests::run;
use tests::world::World;
use tests::world::in_private_network;
use url::Url;

use super::ask;
use super::fingerprint;

fn ldap(url: &str, starttls: bool) -> Config {
    let base = "dc=beta,dc=example".to_owned();
    let directory = Directory { url: Url::parse(url).unwrap(), base, starttls, bind: None };
    let source = Source::new("ldap", SourceKind::Ldap(directory)).within(Duration::from_secs(20));
    Config { sources: vec![source], ..Config::default() }
}

#[test]
fn certificates_are_found_in_openldap_by_the_exact_address() {
    in_private_network(
        "keydir::discovery::servers::certificates_are_found_in_openldap_by_the_exact_address",
        || {
            let _world = World::new().start();
            let (slapd, pki) = (Slapd::start(""), Pki::new());
            let mut ders = Vec::new();
            for (uid, address) in [("bob", "bob@beta.example"), ("eve", "eve@beta.example")] {
                slapd.add_person(uid, &[address]);
                let issued = pki.issue(uid, &Leaf::user(&[address]));
                let pem = issued.certificate.to_str().unwrap();
                let der = pki.openssl(&["x509", "-in", pem, "-outform", "DER"]);
                let mut base64 = Command::new("base64");
                let text = run(base64.arg("-w0"), &der).success().text();
                slapd.change(&format!(
                    "dn: uid={uid},ou=people,dc=beta,dc=example\nchangetype: modify\nadd: userCertificate;binary\n\
                     userCertificate;binary:: {text}\n"
                ));
                ders.push(der);
            }
            slapd.add_person("none", &["none@beta.example"]);
            let find = |roots, config, address: &str| -> Found {
                ask(roots, config, 0, async |discovery| {
                    discovery.find(address, Scheme::Smime, PATIENCE).await
                })
            };
            let anchor = slapd.anchor();
            for (url, starttls) in [(slapd.url(), false), (slapd.named_url(), true), (slapd.tls_url(), false)]
            {
                let found = find(&anchor, ldap(&url, starttls), "Bob@Beta.Example");
                let Outcome::Found(candidate) = &found.outcome else { panic!("{url}: {}", found.trace) };
                assert_eq!(&candidate.bytes[..], &ders[0][..]);
            }
            for address in ["*@beta.example", "none@beta.example", "nobody@beta.example", "b*b@beta.example"]
            {
                let found = find(&anchor, ldap(&slapd.url(), false), address);
                assert!(matches!(found.outcome, Outcome::None { .. }), "{}", found.trace);
            }
            // A server that cannot be trusted, is no LDAP over TLS, has no such base, or is not there.
            let stranger = pki.root();
            let wrong_base = {
                let mut config = ldap(&slapd.url(), false);
                let SourceKind::Ldap(directory) = &mut config.sources[0].kind else { unreachable!() };
                directory.base = "dc=other".to_owned();
                config
            };
            for (roots, config) in [
                (&stranger, ldap(&slapd.tls_url(), false)),
                (&stranger, ldap(&slapd.named_url(), true)),
                (&anchor, ldap(&slapd.tls_url().replace("localhost", "127.0.0.1"), false)),
                (&anchor, ldap("ldap://127.0.0.1:1", false)),
                (&anchor, wrong_base),
            ] {
                let found = find(roots, config, "bob@beta.example");
                assert!(matches!(found.outcome, Outcome::CouldNotTell { .. }), "{}", found.trace);
            }
        },
    );
}

/// A key server with one key, on 127.0.0.1 port 11371: `op=get`, `exact=on`, by address. Gives what it was asked.
fn key_server(armored: Vec<u8>, address: &'static str) -> Arc<Mutex<Vec<String>>> {
    let listener = TcpListener::bind(("127.0.0.1", 11371)).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            while stream.read_line(&mut request).is_ok_and(|length| length > 2) {}
            let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let url = Url::parse("http://x/").unwrap().join(&target).unwrap();
            let get = url.query_pairs().any(|(name, value)| name == "op" && value == "get");
            let named = url.query_pairs().any(|(name, value)| name == "search" && value.contains(address));
            log.lock().unwrap().push(target);
            let (status, body) = if get && named { (200, &armored[..]) } else { (404, &b""[..]) };
            let head = format!(
                "HTTP/1.0 {status} X\r\nContent-Type: application/pgp-keys\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.get_mut().write_all(&[head.as_bytes(), body].concat());
        }
    });
    asked
}

#[test]
fn a_key_server_that_gpg_understands_is_trusted_on_first_use_if_the_policy_says_so() {
    in_private_network(
        "keydir::discovery::servers::a_key_server_that_gpg_understands_is_trusted_on_first_use_if_the_policy_says_so",
        || {
            let world = World::new().start();
            let gpg = Gpg::new();
            let bob = gpg.generate("bob@c.world");
            let asked = key_server(gpg.certificate("bob@c.world"), "bob@c.world");
            // gpg itself finds the key there.
            let stranger = Gpg::new();
            let words = ["--keyserver", "hkp://127.0.0.1:11371", "--recv-keys", &bob];
            let _ = stranger.run(&words, b"");
            let words =
                ["--keyserver", "hkp://127.0.0.1:11371", "--auto-key-locate", "clear,keyserver,nodefault"];
            stranger.run(&[&words[..], &["--locate-external-keys", "bob@c.world"]].concat(), b"");
            assert_eq!(stranger.fingerprint("bob@c.world"), bob, "{:?}", asked.lock().unwrap());
            for (policy, address) in [
                (FirstContact::Tofu, "bob@c.world"),
                (FirstContact::Hold, "bob@c.world"),
                (FirstContact::Off, "bob@c.world"),
                (FirstContact::Tofu, "eve@c.world"),
            ] {
                let mut config = Config::default();
                let url = Url::parse("http://127.0.0.1:11371").unwrap();
                config.sources.push(Source::new("hkp", SourceKind::Hkp(url)));
                config.rules.key_servers = policy;
                let found = ask(&world.authorities, config, 0, async |discovery| {
                    discovery.find(address, Scheme::Openpgp, PATIENCE).await
                });
                match (policy, address) {
                    (FirstContact::Tofu, "bob@c.world") => assert_eq!(fingerprint(&found), bob),
                    (FirstContact::Hold, _) => {
                        assert!(matches!(found.outcome, Outcome::Held(_)), "{}", found.trace);
                    }
                    _ => assert!(matches!(found.outcome, Outcome::None { .. }), "{}", found.trace),
                }
            }
        },
    );
}
