//! LDAP for S/MIME certificates: what gpgsm and ldapsearch get, and what nobody gets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use tests::KeyDirectory;
use tests::PATIENCE;
use tests::Ran;
use tests::TlsIdentity;
use tests::curl;
use tests::directory;
use tests::free_port;
use tests::run;

use super::doors::{ALICE, Doors, FOREIGN, HOST, NOBODY};

impl Doors {
    fn ldapsearch(&self, more: &[&str]) -> Ran {
        let mut command = Command::new("ldapsearch");
        command.args(["-x", "-LLL", "-o", "ldif-wrap=no", "-b", "dc=alpha,dc=example"]);
        if !more.contains(&"-H") {
            command.arg("-H").arg(format!("ldap://127.0.0.1:{}", self.ldap));
        }
        run(command.args(more), b"")
    }
}

#[test]
fn gpgsm_finds_a_certificate_and_openssl_verifies_it() {
    let doors = Doors::open();
    let home = directory("gpgsm");
    let server = format!("127.0.0.1:{}:::dc=alpha,dc=example:plain", doors.ldap);
    let gpgsm = |words: &[&str]| {
        let mut command = Command::new("gpgsm");
        command.arg("--homedir").arg(home.path()).args(["--batch", "--keyserver", &server]);
        run(command.args(words), b"")
    };
    let found = gpgsm(&["--with-colons", "--list-external-keys", ALICE]);
    let nothing = gpgsm(&["--with-colons", "--list-external-keys", NOBODY]);
    let parts = gpgsm(&["--with-colons", "--list-external-keys", "alice"]);
    run(Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]), b"");
    assert!(
        found.text().contains("alice@alpha.example"),
        "{} {} {}",
        found.text(),
        found.stderr,
        doors.directory.log()
    );
    assert!(!nothing.text().contains("crt:"), "{}", nothing.text());
    assert!(!parts.text().contains("crt:"), "{}", parts.text());
    let value = doors.ldapsearch(&[&format!("(mail={ALICE})"), "userCertificate;binary"]).success().text();
    let value =
        value.lines().find_map(|line| line.strip_prefix("userCertificate;binary:: ")).unwrap().to_owned();
    let leaf = run(Command::new("base64").arg("-d"), value.as_bytes()).success().stdout;
    let leaf = doors.file("leaf.der", &leaf);
    for name in ["root.pem", "issuing-1.pem"] {
        doors.file(name, &doors.get(&format!("/ca/{name}")).body);
    }
    let mut openssl = Command::new("openssl");
    openssl.args([
        "verify",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "issuing-1.pem",
        "-purpose",
        "smimeencrypt",
    ]);
    run(openssl.arg(leaf).current_dir(doors.directory.path()), b"").success();
}

#[test]
fn ldapsearch_gets_exactly_what_it_names_and_nothing_vague() {
    let doors = Doors::open();
    let all = doors.ldapsearch(&[&format!("(&(objectClass=inetOrgPerson)(mail={ALICE}))")]).success().text();
    for line in [
        "dn: mail=alice@alpha.example,dc=alpha,dc=example",
        "mail: alice@alpha.example",
        "cn: alice@alpha.example",
        "userCertificate;binary:: ",
    ] {
        assert!(all.contains(line), "{line}: {all}");
    }
    let gpgsm = format!("(|(sn=*{ALICE}*)(|(cn=*{ALICE}*)(mail=*{ALICE}*)))");
    let names = doors.ldapsearch(&[&gpgsm, "mail"]).success().text();
    assert_eq!(names.trim(), "dn: mail=alice@alpha.example,dc=alpha,dc=example\nmail: alice@alpha.example");
    let types = doors.ldapsearch(&["-A", &gpgsm, "cn"]).success().text();
    assert!(types.contains("cn:\n") && !types.contains("cn: "), "{types}");
    let reference = doors.ldapsearch(&[&format!("(mail={NOBODY})")]);
    assert_eq!((reference.code, reference.text().as_str()), (0, ""));
    for vague in [
        "(objectClass=*)",
        "(mail=*)",
        "(mail=alice*)",
        "(mail=*@alpha.example)",
        "(mail=ali*@alpha.example)",
        "(mail=alice)",
        "(!(mail=nobod@alpha.example))",
        "(mail>=a)",
        "(mail:caseExactMatch:=alice@alpha.example)",
        "(uid=alice@alpha.example)",
        "(&(mail=alice@alpha.example)(o=Alpha))",
        "(|(mail=alice@alpha.example)(mail=nobod@alpha.example))",
        &format!("(mail={FOREIGN})"),
    ] {
        let ran = doors.ldapsearch(&[vague]);
        assert_eq!(
            (ran.code, ran.text(), ran.stderr),
            (0, reference.text(), reference.stderr.clone()),
            "{vague}"
        );
    }
    // The entry is read again by the name that it was given; nothing else is, and nothing below it.
    let read = |name: &str, scope: &str| {
        doors.ldapsearch(&["-b", name, "-s", scope, "(objectClass=*)", "mail"]).success().text()
    };
    assert_eq!(read(&format!("mail={ALICE},dc=alpha,dc=example"), "base"), names);
    assert_eq!(read(&format!("mail={ALICE},dc=alpha,dc=example"), "sub"), reference.text());
    assert_eq!(read(&format!("mail={NOBODY},dc=alpha,dc=example"), "base"), reference.text());
    assert_eq!(read("dc=alpha,dc=example", "base"), reference.text());
    let root = doors.ldapsearch(&["-b", "", "-s", "base", "(objectClass=*)"]).success().text();
    assert!(root.contains("supportedLDAPVersion: 3"), "{root}");
}

#[test]
fn over_tls_by_both_ways_and_only_with_the_right_certificate() {
    let name = "keydir::ldap::over_tls_by_both_ways_and_only_with_the_right_certificate";
    tests::world::in_private_network(name, || {
        let doors = Doors::open();
        let hosts = doors.file("hosts", format!("127.0.0.1 localhost {HOST}\n").as_bytes());
        run(Command::new("mount").arg("--bind").arg(hosts).arg("/etc/hosts"), b"").success();
        let filter = format!("(mail={ALICE})");
        let search = |authority: &Path, words: &[&str]| {
            let mut command = Command::new("ldapsearch");
            command.env("LDAPTLS_CACERT", authority).env("LDAPTLS_REQCERT", "demand");
            run(command.args(["-x", "-LLL", "-b", ""]).args(words).args([&filter, "mail"]), b"")
        };
        let own = doors.directory.path().join("ca.pem");
        let (plain, tls) =
            (format!("ldap://{HOST}:{}", doors.ldap), format!("ldaps://{HOST}:{}", doors.ldaps));
        for words in [&["-ZZ", "-H", &plain][..], &["-H", &tls]] {
            let found = search(&own, words);
            assert!(found.text().contains("mail: alice@alpha.example"), "{found:?}");
        }
        let other = directory("other");
        TlsIdentity::new(&[HOST]).write(other.path());
        assert_ne!(search(&other.path().join("ca.pem"), &["-ZZ", "-H", &plain]).code, 0);
    });
}

#[test]
fn who_asks_too_often_is_told_to_wait_whether_there_is_something_or_not() {
    let mut directory = KeyDirectory::new(&["alpha.example"]);
    let (web, port) = (free_port(), free_port());
    let sections = format!(
        "[limits]\nrequests_per_minute = 1\nburst = 3\n[ldap]\nlisten = [\"ldap:127.0.0.1:{port}\"]\n"
    );
    directory.serve(&format!("listen = [\"http:127.0.0.1:{web}\"]"), &sections);
    let url = format!("ldap://127.0.0.1:{port}");
    let ask = || {
        run(
            Command::new("ldapsearch").args(["-x", "-LLL", "-H", &url, "-b", "", "(mail=a@alpha.example)"]),
            b"",
        )
    };
    let codes: Vec<i32> = (0..4).map(|_| ask().code).collect();
    assert_eq!(codes, [0, 0, 0, 51]);
    // The same tokens as at every other door.
    assert_eq!(curl(&[&format!("http://127.0.0.1:{web}/?address=a@alpha.example")]).status, 429);
}

#[test]
fn nobody_changes_compares_or_logs_in() {
    let doors = Doors::open();
    let url = format!("ldap://127.0.0.1:{}", doors.ldap);
    let ldap = |program: &str, words: &[&str], input: &str| {
        run(Command::new(program).args(["-H", &url]).args(words), input.as_bytes()).code
    };
    let dn = "mail=alice@alpha.example,dc=alpha,dc=example";
    let change = format!("dn: {dn}\nchangetype: modify\nreplace: cn\ncn: x\n");
    assert_eq!(ldap("ldapmodify", &["-x"], &change), 53);
    assert_eq!(ldap("ldapdelete", &["-x", dn], ""), 53);
    assert_eq!(ldap("ldapcompare", &["-x", dn, "mail:alice@alpha.example"], ""), 53);
    assert_eq!(ldap("ldapsearch", &["-x", "-D", "cn=admin", "-w", "secret", "(mail=a@b)"], ""), 49);
    assert_eq!(ldap("ldapsearch", &["-x", "-E", "!pr=10/noprompt", "(mail=a@b)"], ""), 12);
    assert_ne!(ldap("ldapwhoami", &["-x"], ""), 0);
    // What is not LDAP, or lies about its length, is told and left.
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x30\x84\x7f\xff\xff\xff",
        b"\x30\x80\x02\x01\x01",
        b"\x30\x03\x02\x01\x01",
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", doors.ldap)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(garbage).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let notice = b"1.3.6.1.4.1.1466.20036";
        assert!(answer.windows(notice.len()).any(|part| part == notice), "{answer:x?}");
    }
}
