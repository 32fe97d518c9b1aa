//! Key server look-ups: what GnuPG, sq and curl get, and what nobody gets.

use std::io::Write;
use std::process::Command;

use serde_json::Value;
use tests::Answer;
use tests::Gpg;
use tests::KeyDirectory;
use tests::Ran;
use tests::curl;
use tests::free_port;
use tests::run;

const LIMITS: &str = "[limits]\nrequests_per_minute = 100000\nburst = 100000\nsubmissions_per_hour = 1000\n";

/// A key server for alpha.example with a key for alice.
struct Server {
    directory: KeyDirectory,
    port: u16,
    owner: Gpg,
    fingerprint: String,
}

impl Server {
    fn new(hkp: &str) -> Self {
        let owner = Gpg::new();
        let fingerprint = owner.generate("Alice: 100% <alice@alpha.example>");
        let mut directory = KeyDirectory::new(&["alpha.example"]);
        directory.publish(&owner.certificate(&fingerprint));
        let port = free_port();
        directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), &format!("{LIMITS}{hkp}"));
        Self { directory, port, owner, fingerprint }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        curl(&[&format!("http://127.0.0.1:{}{path}", self.port)])
    }

    #[track_caller]
    fn lookup(&self, query: &str) -> Answer {
        self.get(&format!("/pks/lookup?{query}"))
    }

    /// A stranger's gpg that asks this server.
    fn gpg(&self, gpg: &Gpg, words: &[&str]) -> Ran {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(gpg.home()).args(["--batch", "--no-tty", "--trust-model=always"]);
        command.args(["--keyserver", &format!("hkp://127.0.0.1:{}", self.port)]);
        run(command.args(words), b"")
    }

    /// How many submissions wait.
    fn waiting(&self) -> usize {
        std::fs::read_dir(self.directory.publication().join("submissions")).unwrap().count()
    }
}

fn keys(gpg: &Gpg) -> String {
    gpg.run(&["--with-colons", "-k"], b"").text()
}

#[test]
fn gpg_receives_searches_refreshes_and_locates() {
    let server = Server::new("");
    let key_id = &server.fingerprint[24..];
    for words in [
        vec!["--recv-keys", &server.fingerprint],
        vec!["--recv-keys", key_id],
        vec![
            "--auto-key-locate",
            "clear,keyserver,nodefault",
            "--locate-external-keys",
            "alice@alpha.example",
        ],
    ] {
        let stranger = Gpg::new();
        let ran = server.gpg(&stranger, &words);
        assert!(keys(&stranger).contains(&server.fingerprint), "{words:?}: {}", ran.stderr);
    }
    let stranger = Gpg::new();
    let found = server.gpg(&stranger, &["--with-colons", "--search-keys", "alice@alpha.example"]);
    assert!(
        found.text().contains(&format!("pub:{}:22:", server.fingerprint)),
        "{}{}",
        found.text(),
        found.stderr
    );
    // gpg shows the escapes of the server.
    assert!(found.text().contains("uid:Alice%3A 100%25 <alice@alpha.example>"), "{}", found.text());
    // What changed comes with a refresh: the certificate is revoked.
    server.gpg(&stranger, &["--recv-keys", &server.fingerprint]).success();
    let revocation = server.owner.home().join(format!("openpgp-revocs.d/{}.rev", server.fingerprint));
    let revocation = std::fs::read_to_string(revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    server.owner.import(revocation.as_bytes());
    server.directory.publish(&server.owner.certificate(&server.fingerprint));
    server.gpg(&stranger, &["--refresh-keys"]).success();
    assert!(keys(&stranger).contains("pub:r:"), "{}", keys(&stranger));
    let index = server.lookup("op=index&options=mr&search=alice@alpha.example").text();
    assert!(index.lines().nth(1).unwrap().ends_with(":r"), "{index}");
}

#[test]
fn sq_fetches_a_certificate_and_looks_for_an_address() {
    let server = Server::new("");
    for what in [server.fingerprint.as_str(), "alice@alpha.example"] {
        let mut sq = Command::new("sq");
        sq.args([
            "keyserver",
            "-p",
            "insecure",
            "-s",
            &format!("hkp://127.0.0.1:{}", server.port),
            "get",
            what,
        ]);
        let ran = run(&mut sq, b"").success();
        assert_eq!(server.owner.fingerprint_in(&ran.stdout), server.fingerprint, "{what}");
    }
}

#[test]
fn the_index_is_for_machines_and_cannot_be_forged() {
    let server = Server::new("");
    let index = server.lookup("op=index&options=mr&search=alice%40alpha.example&fingerprint=on");
    assert_eq!((index.status, index.header("content-type")), (200, "text/plain; charset=utf-8"));
    let text = index.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "info:1:1");
    assert!(lines[1].starts_with(&format!("pub:{}:22:", server.fingerprint)), "{text}");
    assert_eq!(lines[1].split(':').count(), 7, "{text}");
    assert_eq!(lines[2], "uid:Alice%3A 100%25 <alice@alpha.example>:::");
    let get = server.lookup(&format!("op=get&options=mr&search=0x{}", server.fingerprint));
    assert_eq!((get.status, get.header("content-type")), (200, "application/pgp-keys"));
    assert!(get.text().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"));
    let listing = server.owner.run(&["--with-colons", "--show-keys"], &get.body).success();
    assert!(!listing.stderr.contains("CRC"), "{}", listing.stderr);
}

#[test]
fn only_exact_questions_have_answers() {
    let server = Server::new("");
    let short = format!("0x{}", &server.fingerprint[32..]);
    let long = "a".repeat(4096);
    for vague in
        ["*", "%25", "@alpha.example", "alice", "alpha.example", "", &short, &long, "alice@", "*@*", "%c0%af"]
    {
        for operation in ["get", "index"] {
            let answer = server.lookup(&format!("op={operation}&options=mr&search={vague}"));
            assert_eq!(answer.status, 400, "{operation} {vague}");
        }
    }
    assert_eq!(server.lookup("op=get&search=alice@alpha.example&exact=off").status, 200);
    for nobody in
        ["lice@alpha.example", "nobody@alpha.example", "alice@foreign.example", "0x0123456789ABCDEF"]
    {
        for exact in ["", "&exact=off", "&exact=on"] {
            let answer = server.lookup(&format!("op=get&search={nobody}{exact}"));
            assert_eq!((answer.status, answer.text().as_str()), (404, "not found\n"), "{nobody}");
            assert_eq!(server.lookup(&format!("op=index&search={nobody}")).status, 404, "{nobody}");
        }
    }
    for operation in ["vindex", "stats", "x-list", "hget"] {
        assert_eq!(
            server.lookup(&format!("op={operation}&search=alice@alpha.example")).status,
            501,
            "{operation}"
        );
    }
}

#[test]
fn version_two_speaks_binary_and_json() {
    let server = Server::new("");
    let lower = server.fingerprint.to_lowercase();
    let get = |rest: &str| server.get(&format!("/pks/v2/{rest}"));
    for rest in [
        format!("certs/by-vfingerprint/04{lower}"),
        format!("certs/by-vfingerprint/04{}", server.fingerprint),
        format!("certs/by-keyid/{}", &lower[24..]),
        "certs/by-identity/alice%40alpha.example".to_owned(),
        "canonical/Alice@alpha.example".to_owned(),
    ] {
        let answer = get(&rest);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/pgp-keys;armor=no"),
            "{rest}"
        );
        assert_eq!(server.owner.fingerprint_in(&answer.body), server.fingerprint);
        assert!(!answer.body.starts_with(b"-----"));
    }
    let index = get("index/alice@alpha.example");
    assert_eq!(index.header("content-type"), "application/json");
    let index: Value = serde_json::from_slice(&index.body).unwrap();
    assert_eq!((&index[0]["version"], &index[0]["fingerprint"]), (&4.into(), &lower.as_str().into()));
    assert_eq!(index[0]["userIDs"][0]["uidString"], "Alice: 100% <alice@alpha.example>");
    for (rest, status) in [
        (format!("certs/by-vfingerprint/{lower}"), 404),
        (format!("certs/by-vfingerprint/06{lower}"), 404),
        (format!("certs/by-keyid/{}", &lower[32..]), 404),
        ("certs/by-identity/nobody@alpha.example".to_owned(), 404),
        ("certs/by-identity/*".to_owned(), 404),
        ("index/alpha.example".to_owned(), 404),
        ("index".to_owned(), 403),
        ("certs/by-identity/".to_owned(), 403),
        ("prefixlog/2026-01-01".to_owned(), 501),
        ("certs/by-fingerprint/x".to_owned(), 501),
    ] {
        let answer = get(&rest);
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, "*"), "{rest}");
    }
    let url = |rest: &str| format!("http://127.0.0.1:{}/pks/v2/{rest}", server.port);
    let options = curl(&["-X", "OPTIONS", &url("certs/by-identity")]);
    assert!(options.status == 200 && options.header("allow").contains("GET"), "{options:?}");
    assert_eq!(curl(&["-X", "OPTIONS", &url("prefixlog")]).status, 501);
    assert_eq!(curl(&["-X", "PUT", "--data", "x", &url("canonical/alice@alpha.example")]).status, 403);
    assert_eq!(curl(&["--data", "x", &url("certs")]).status, 403);
}

#[test]
fn submissions_are_refused_unless_wanted() {
    let server = Server::new("");
    let stranger = Gpg::new();
    let fingerprint = stranger.generate("Carol <carol@beta.example>");
    let sent = server.gpg(&stranger, &["--send-keys", &fingerprint]);
    assert_ne!(sent.code, 0, "{}", sent.stderr);
    assert_eq!(
        curl(&["--data", "keytext=x", &format!("http://127.0.0.1:{}/pks/add", server.port)]).status,
        403
    );
    assert_eq!(server.waiting(), 0);
}

#[test]
fn what_is_submitted_waits_and_is_not_published() {
    let server = Server::new("[hkp]\nsubmissions = \"pending\"\n");
    let add = format!("http://127.0.0.1:{}/pks/add", server.port);
    let (carol, dave) = (Gpg::new(), Gpg::new());
    let fingerprint = carol.generate("Carol <carol@alpha.example>");
    server.gpg(&carol, &["--send-keys", &fingerprint]).success();
    assert_eq!(server.waiting(), 1);
    assert_eq!(server.lookup("op=get&search=carol@alpha.example").status, 404);
    dave.generate("Dave <dave@alpha.example>");
    let file = |name: &str, bytes: &[u8]| {
        let path = server.directory.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path.display().to_string()
    };
    // A form with a file, two certificates in it; then the same in version 2.
    let two = file("two.asc", &[carol.certificate("carol"), dave.certificate("dave")].concat());
    assert_eq!(curl(&["-F", &format!("keytext=@{two}"), &add]).status, 200);
    assert_eq!(curl(&["-F", &format!("keytext=<{two}"), &add]).status, 200);
    assert_eq!(server.waiting(), 2);
    let binary = file("dave.pgp", &dave.run(&["--export"], b"").success().stdout);
    let v2 = format!("http://127.0.0.1:{}/pks/v2/certs", server.port);
    let data = format!("@{binary}");
    let taken = curl(&["-H", "Content-Type: application/pgp-keys;armor=no", "--data-binary", &data, &v2]);
    assert_eq!(taken.status, 202, "{taken:?}");
    let report: Value = serde_json::from_slice(&taken.body).unwrap();
    assert_eq!(report["ignored"][0]["fingerprint"], dave.fingerprint("dave").to_lowercase());
    assert_eq!(report["inserted"], Value::Array(Vec::new()));
    assert_eq!(server.waiting(), 3);
    // Many clients send a checksum that nobody needs; RFC 9580, 6.1 forbids to refuse a wrong one.
    let armor = String::from_utf8(dave.certificate("dave")).unwrap();
    let wrong: Vec<&str> =
        armor.lines().map(|line| if line.starts_with('=') { "=AAAA" } else { line }).collect();
    let wrong = file("crc.asc", wrong.join("\n").as_bytes());
    assert_eq!(curl(&["--data-urlencode", &format!("keytext@{wrong}"), &add]).status, 200);
}

#[test]
fn hostile_submissions_are_refused_and_leave_nothing() {
    let server = Server::new("[hkp]\nsubmissions = \"pending\"\n");
    let add = format!("http://127.0.0.1:{}/pks/add", server.port);
    let carol = Gpg::new();
    carol.generate("Carol <carol@alpha.example>");
    let file = |name: &str, bytes: &[u8]| {
        let path = server.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let secret = file("secret.asc", &carol.secret_key("carol"));
    let loud = curl(&["--data-urlencode", &format!("keytext@{secret}"), &add]);
    assert_eq!(loud.status, 422);
    assert!(loud.text().contains("THIS IS A SECRET KEY"), "{}", loud.text());
    assert!(server.directory.log().contains("somebody submitted a secret key"));
    let good = carol.certificate("carol");
    let damaged: Vec<u8> = good.iter().map(|byte| if *byte == b'M' { b'!' } else { *byte }).collect();
    for (name, bytes) in
        [("junk", &b"hello"[..]), ("empty", b""), ("damaged", &damaged), ("cut", &good[..300])]
    {
        let path = file(name, bytes);
        let answer = curl(&["--data-urlencode", &format!("keytext@{path}"), &add]);
        assert_eq!(answer.status, 422, "{name}: {answer:?}");
    }
    // Something small that becomes large: a compressed body, and a compressed packet.
    let zeros = run(Command::new("gzip").arg("-c"), &vec![b'0'; 64 << 20]).success().stdout;
    let bomb = format!("@{}", file("bomb.gz", &zeros));
    let compressed = [
        "-H",
        "Content-Encoding: gzip",
        "-H",
        "Content-Type: application/pgp-keys",
        "--data-binary",
        &bomb,
        &add,
    ];
    assert_eq!(curl(&compressed).status, 415);
    let mut store = Command::new("gpg");
    store.arg("--homedir").arg(carol.home()).args([
        "--batch",
        "--store",
        "-z",
        "9",
        "--compress-algo",
        "zip",
    ]);
    let packed = run(&mut store, &vec![0; 64 << 20]).success().stdout;
    assert!(packed.len() < 1 << 20);
    let packed = format!("@{}", file("packed.pgp", &packed));
    let answer = curl(&["-H", "Content-Type: application/pgp-keys", "--data-binary", &packed, &add]);
    assert_eq!(answer.status, 422, "{answer:?}");
    let large = format!("@{}", file("large", &vec![b'x'; 10 << 20]));
    for expect in ["Expect: 100-continue", "Expect:"] {
        let answer =
            curl(&["-H", expect, "-H", "Content-Type: application/pgp-keys", "--data-binary", &large, &add]);
        assert_eq!(answer.status, 413, "{expect} {answer:?}");
    }
    let chunked =
        ["-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-H", "Content-Type: application/pgp-keys"];
    assert_eq!(curl(&[&chunked[..], &["--data-binary", &large, &add]].concat()).status, 413);
    for other in ["text/html", "multipart/form-data"] {
        let header = format!("Content-Type: {other}");
        assert_eq!(curl(&["-H", &header, "--data", "keytext=x", &add]).status, 415, "{other}");
    }
    assert_eq!(server.waiting(), 0);
}
