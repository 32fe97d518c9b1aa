//! Keys by mail: users send theirs to the submission address, with GnuPG's own client and without; and whoever looks
//! for the key then finds it, and nobody else's.

use std::fs::Permissions;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use tests::Gpg;
use tests::KeyDirectory;
use tests::Mail;
use tests::Outcome;
use tests::Ran;
use tests::Site;
use tests::SitePlan;
use tests::SmtpClient;
use tests::TlsIdentity;
use tests::armored_message;
use tests::directory;
use tests::free_port;
use tests::messages;
use tests::run;
use tests::world::World;
use tests::world::in_private_network;

const ALICE: &str = "alice@alpha.world";
const KEYS: &str = "key-submission@alpha.world";

/// A site that takes keys by mail.
struct Office {
    site: Site,
    /// Where clients log in.
    login: u16,
    publication: tempfile::TempDir,
    /// Holds the socket at which Postfix asks who may log in.
    _logins: tempfile::TempDir,
}

impl Office {
    /// `login` is as whom Postfix's own SASL takes every client that gives a password.
    fn open(login: &str) -> Self {
        let publication = directory("publication");
        let place = publication.path().join("public");
        let logins = directory("sasl");
        let socket = logins.path().join("auth");
        let_in(&socket, login);
        let port = free_port();
        let mut plan = SitePlan::new("alpha.world").policy(&format!(
            "[keydir]\npublication = \"{}\"\nsubmission_address = \"{KEYS}\"\n",
            place.display()
        ));
        plan.postfix = plan.postfix.user("key-submission").service(&format!(
            "127.0.0.1:{port} inet n - n - - smtpd
    -o milter_macro_daemon_name=ORIGINATING
    -o smtpd_sasl_auth_enable=yes
    -o smtpd_sasl_type=dovecot
    -o smtpd_sasl_path={}
    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
",
            socket.display()
        ));
        let mut site = plan.prepare();
        site.gatepost.generate(&["--user", KEYS]);
        site.gatepost.start();
        Self { site, login: port, publication, _logins: logins }
    }

    /// A user's GnuPG that knows the key of the submission address.
    fn user(&self) -> Gpg {
        let gpg = Gpg::new();
        gpg.import(&self.site.gatepost.export(&[KEYS]));
        gpg
    }

    /// Delivers a mail to the submission address as a stranger's server does.
    #[track_caller]
    fn receive(&self, from: &str, message: &[u8]) -> Outcome {
        self.site.receive(from, &[KEYS], &messages::crlf(&String::from_utf8_lossy(message)))
    }

    #[track_caller]
    fn submit_logged_in(&self, from: &str, message: &[u8]) -> Outcome {
        let message = messages::crlf(&String::from_utf8_lossy(message));
        let mut client = SmtpClient::connect(self.login);
        // In base64: NUL somebody NUL secret.
        let reply = client.command("AUTH PLAIN AHNvbWVib2R5AHNlY3JldA==");
        assert_eq!(reply.code, 235, "{reply}\n{}", self.site.postfix.log());
        client.send(from, &[KEYS], &message)
    }

    /// What the store says about a mailbox.
    #[track_caller]
    fn list(&self, address: &str) -> String {
        self.site.gatepost.command(&["keys", "list", address, "--json"]).success().text()
    }

    #[track_caller]
    fn story(&self, outcome: &Outcome) -> String {
        self.site.gatepost.notary(&outcome.queue_id()).to_string()
    }
}

/// Answers what Postfix asks by the protocol of Dovecot's authentication server: whoever gives a password is `login`.
fn let_in(socket: &Path, login: &str) {
    let listener = UnixListener::bind(socket).unwrap();
    std::fs::set_permissions(socket, Permissions::from_mode(0o666)).unwrap();
    let login = login.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let login = login.clone();
            std::thread::spawn(move || serve_logins(&stream, &login));
        }
    });
}

fn serve_logins(mut stream: &UnixStream, login: &str) {
    let hello = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\n\
                 COOKIE\t00000000000000000000000000000000\nDONE\n";
    stream.write_all(hello.as_bytes()).unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split('\t').collect();
        if words[0] == "AUTH" {
            stream.write_all(format!("OK\t{}\tuser={login}\n", words[1]).as_bytes()).unwrap();
        }
    }
}

/// A mail from `from` with this entity inside, encrypted to the submission address.
fn sealed(gpg: &Gpg, from: &str, entity: &str) -> Vec<u8> {
    messages::pgp_mime(from, KEYS, "key", &gpg.seal(None, &[KEYS], &messages::crlf(entity)))
}

fn key_mail(gpg: &Gpg, from: &str, key: &[u8]) -> Vec<u8> {
    let key = String::from_utf8_lossy(key);
    sealed(gpg, from, &format!("Content-Type: application/pgp-keys\n\n{key}\n"))
}

fn response(gpg: &Gpg, from: &str, address: &str, nonce: &str) -> Vec<u8> {
    let text = format!("type: confirmation-response\nsender: {KEYS}\naddress: {address}\nnonce: {nonce}\n");
    sealed(gpg, from, &format!("Content-Type: application/vnd.gnupg.wks\n\n{text}"))
}

/// The lines that only the holder of the key can read in a challenge.
#[track_caller]
fn challenge(gpg: &Gpg, mail: &Mail) -> String {
    let text = mail.text();
    let opened = gpg.decrypt(armored_message(text.as_bytes()).unwrap_or_else(|| panic!("{text}")));
    assert!(opened.decrypted(), "{opened:?}");
    String::from_utf8(opened.plaintext).unwrap()
}

fn line<'t>(text: &'t str, name: &str) -> &'t str {
    let lines = || text.lines();
    lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// The key that signed a mail (RFC 3156 section 5).
#[track_caller]
fn signer(gpg: &Gpg, mail: &Mail) -> String {
    let text = String::from_utf8(messages::crlf(&mail.text())).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(header.contains("multipart/signed"), "{header}");
    let at = header.find("boundary=\"").unwrap() + 10;
    let boundary = format!("--{}", header[at..].split('"').next().unwrap());
    let mut parts = body.split(&boundary).skip(1);
    let signed = parts.next().unwrap().strip_prefix("\r\n").unwrap().strip_suffix("\r\n").unwrap();
    let signature = parts.next().unwrap();
    let verified = gpg.verify(signature.as_bytes(), signed.as_bytes());
    verified.valid_signer().unwrap_or_else(|| panic!("{verified:?}\n{text}")).to_owned()
}

/// GnuPG's own client.
fn wks_client(gpg: &Gpg, arguments: &[&str], input: &[u8]) -> Ran {
    let client = ["/usr/bin/gpg-wks-client", "/usr/lib/gnupg/gpg-wks-client"];
    let client =
        client.iter().find(|path| Path::new(path).exists()).expect("gpg-wks-client: run `./setup test`");
    run(Command::new(client).env("GNUPGHOME", gpg.home()).args(arguments), input)
}

/// The fingerprints that somebody who knows nothing finds for an address.
fn located(address: &str) -> String {
    let gpg = Gpg::new();
    let mut command = Command::new("gpg");
    command.env("LC_ALL", "C.UTF-8").arg("--homedir").arg(gpg.home());
    command.args(["--batch", "--no-auto-check-trustdb", "--auto-key-locate", "clear,wkd,nodefault"]);
    let ran = run(command.args(["--locate-external-keys", address]), b"");
    format!("{}{}", gpg.run(&["--with-colons", "-k"], b"").text(), ran.stderr)
}

/// A world in which the key directory of the site is found.
fn with_directory(name: &str, login: &str, body: impl FnOnce(&mut Office)) {
    in_private_network(name, || {
        let mut world = World::new();
        world.zone("world").record("openpgpkey.alpha.world. A 127.5.0.1");
        let world = world.start();
        let section = TlsIdentity::new(&["openpgpkey.alpha.world"]).write(world.path());
        let authority = world.path().join("ca.pem");
        let over = "/etc/ssl/certs/ca-certificates.crt";
        run(Command::new("mount").arg("--bind").arg(&authority).arg(over), b"").success();
        let mut office = Office::open(login);
        office.site.gatepost.command(&["keys", "publish"]).success();
        let mut served = KeyDirectory::of(&office.publication.path().join("public"));
        served.serve("listen = [\"https:127.5.0.1:443\"]", &section);
        body(&mut office);
    });
}

#[test]
fn a_stranger_answers_a_challenge() {
    with_directory("keydir::wks::a_stranger_answers_a_challenge", "nobody", |office| {
        let alice = Gpg::new();
        let key = alice.generate(&format!("Alice <{ALICE}>"));
        let asked = wks_client(&alice, &["--create", &key, ALICE], b"").success();
        let outcome = office.receive(ALICE, &asked.stdout);
        assert!(outcome.accepted(), "{outcome:?}\n{}", office.site.gatepost.log());
        let mail = office.site.postfix.wait_mail("alice", 1).remove(0);
        assert_eq!(mail.field("From").unwrap(), format!("<{KEYS}>"));
        let submission = office.user().fingerprint(KEYS);
        assert_eq!(signer(&office.user(), &mail), submission);
        let request = challenge(&alice, &mail);
        assert!(request.starts_with("type: confirmation-request\nsender: "), "{request}");
        assert_eq!((line(&request, "address: "), line(&request, "fingerprint: ")), (ALICE, key.as_str()));
        assert!(!office.list(ALICE).contains(&key), "nothing is stored before the answer");
        assert!(office.story(&outcome).contains("challenged"), "{}", office.story(&outcome));

        // A nonce that was never made, and the right one from somebody else.
        let user = office.user();
        let wrong = office.receive(ALICE, &response(&user, ALICE, ALICE, "0123456789abcdefghijklmnopqrstuv"));
        let nonce = line(&request, "nonce: ").to_owned();
        let other = office.receive("bob@alpha.world", &response(&user, "bob@alpha.world", ALICE, &nonce));
        let swapped = office.receive(ALICE, &response(&user, ALICE, "bob@alpha.world", &nonce));
        for refused in [&wrong, &other, &swapped] {
            assert_eq!(refused.end.code, 550, "{refused:?}");
            assert_eq!(refused.end.lines, wrong.end.lines, "whatever is wrong is told in the same words");
        }

        let answer = wks_client(&alice, &["--receive"], mail.text().as_bytes()).success();
        let outcome = office.receive(ALICE, &answer.stdout);
        assert!(outcome.accepted(), "{outcome:?}\n{}\n{}", office.site.gatepost.log(), answer.text());
        let told = office.site.postfix.wait_mail("alice", 2).remove(1);
        assert!(told.text().contains(&key) && told.text().contains("confirmed by you"), "{}", told.text());
        assert_eq!(signer(&office.user(), &told), submission);
        assert!(office.story(&outcome).contains("confirmed-by-challenge"), "{}", office.story(&outcome));
        let list = office.list(ALICE);
        assert!(
            list.contains(&key) && list.contains("\"verified\"") && list.contains("\"submitted\""),
            "{list}"
        );
        let replayed = office.receive(ALICE, &answer.stdout);
        assert_eq!(replayed.end.lines, wrong.end.lines, "{replayed:?}");
        assert!(office.site.postfix.mailbox("key-submission").is_empty());

        office.site.gatepost.command(&["keys", "publish"]).success();
        assert!(located(ALICE).contains(&format!("fpr:::::::::{key}:")), "{}", located(ALICE));
        wks_client(&Gpg::new(), &["--check", ALICE], b"").success();

        // The holder revokes it, and proves nothing else by that.
        let revocation = std::fs::read_to_string(alice.home().join(format!("openpgp-revocs.d/{key}.rev")));
        alice.import(revocation.unwrap().replace(":-----BEGIN", "-----BEGIN").as_bytes());
        alice.import(&office.site.gatepost.export(&[KEYS]));
        let outcome = office.receive(ALICE, &key_mail(&alice, ALICE, &alice.certificate(&key)));
        assert!(outcome.accepted(), "{outcome:?}\n{}", office.site.gatepost.log());
        assert!(office.story(&outcome).contains("\"revoked\""), "{}", office.story(&outcome));
        office.site.gatepost.command(&["keys", "publish"]).success();
        assert!(located(ALICE).contains("pub:r:"), "{}", located(ALICE));
    });
}

#[test]
fn whoever_is_logged_in_needs_no_challenge() {
    with_directory("keydir::wks::whoever_is_logged_in_needs_no_challenge", "alice", |office| {
        let alice = Gpg::new();
        let key = alice.generate(&format!("Alice <{ALICE}>"));
        let asked = wks_client(&alice, &["--create", &key, ALICE], b"").success();
        let outcome = office.submit_logged_in(ALICE, &asked.stdout);
        assert!(outcome.accepted(), "{outcome:?}\n{}", office.site.gatepost.log());
        let told = office.site.postfix.wait_mail("alice", 1).remove(0);
        assert!(told.text().contains("logged in as alice"), "{}", told.text());
        assert!(office.story(&outcome).contains("confirmed-by-login"), "{}", office.story(&outcome));
        office.site.gatepost.command(&["keys", "publish"]).success();
        assert!(located(ALICE).contains(&format!("fpr:::::::::{key}:")), "{}", located(ALICE));

        // This login is not Bob's: he is asked, as anybody.
        let bob = Gpg::new();
        let key = bob.generate("bob@alpha.world");
        let asked = wks_client(&bob, &["--create", &key, "bob@alpha.world"], b"").success();
        let outcome = office.submit_logged_in("bob@alpha.world", &asked.stdout);
        assert!(outcome.accepted(), "{outcome:?}");
        let mail = office.site.postfix.wait_mail("bob", 1).remove(0);
        assert_eq!(line(&challenge(&bob, &mail), "fingerprint: "), key);
        assert!(!office.list("bob@alpha.world").contains(&key));
    });
}

#[test]
fn what_is_no_key_of_the_sender_is_refused_with_the_reason() {
    let office = Office::open("nobody");
    let gpg = office.user();
    gpg.generate(ALICE);
    let certificate = gpg.certificate(ALICE);
    let two = gpg.fingerprint(ALICE);
    let foreign = office.user();
    foreign.generate("alice@beta.world");
    let bob = "bob@alpha.world";
    let clear = format!(
        "From: {ALICE}\nTo: {KEYS}\nSubject: key\nMessage-ID: <clear@x>\nMIME-Version: 1.0\n\
         Content-Type: application/pgp-keys\n\n{}",
        String::from_utf8_lossy(&certificate)
    );
    let refused = |from: &str, message: &[u8], words: &str| {
        let outcome = office.receive(from, message);
        let told = outcome.end.text();
        assert!(outcome.end.is_permanent() && told.contains(words), "{words}: {outcome:?}");
    };
    refused(ALICE, clear.as_bytes(), "must be encrypted");
    refused(ALICE, &key_mail(&gpg, ALICE, &gpg.secret_key(ALICE)), "SECRET");
    refused(bob, &key_mail(&gpg, bob, &certificate), "nobody could write to bob@alpha.world");
    let beta = "alice@beta.world";
    refused(beta, &key_mail(&foreign, beta, &foreign.certificate(beta)), "mailboxes of this domain only");
    refused(
        ALICE,
        &sealed(&gpg, ALICE, "Content-Type: text/plain\n\nhow does this work?\n"),
        "neither a key",
    );
    refused(ALICE, &key_mail(&gpg, ALICE, b"no key at all"), "no key to be published");
    let together = [gpg.certificate(ALICE), foreign.certificate(beta)].concat();
    refused(ALICE, &key_mail(&gpg, ALICE, &together), "one key at a time");
    gpg.run(&["--quick-add-uid", &two, bob], b"").success();
    refused(ALICE, &key_mail(&gpg, ALICE, &gpg.certificate(&two)), "exactly one User ID");

    // Nobody else may read along, or be told.
    let good = key_mail(&gpg, ALICE, &certificate);
    let outcome = office.site.receive(ALICE, &[KEYS, bob], &good);
    assert!(outcome.end.is_permanent(), "{outcome:?}");

    // Robots get no answer, and make no challenge.
    let bounce = office.receive("", &good);
    assert!(bounce.accepted() && office.story(&bounce).contains("ignored"), "{bounce:?}");
    let robot = String::from_utf8(good.clone())
        .unwrap()
        .replace("Subject:", "Auto-Submitted: auto-replied\r\nSubject:");
    let robot = office.receive(ALICE, robot.as_bytes());
    assert!(robot.accepted() && office.story(&robot).contains("ignored"), "{robot:?}");

    // The same can be asked before, and changes nothing.
    let words = ["explain", "--from", ALICE, "--to", KEYS];
    let told = office.site.gatepost.command_with(&words, &good).success().text();
    assert!(told.contains("submission address") && told.contains(": challenged"), "{told}");
    let auth = [&words[..], &["--auth", ALICE]].concat();
    let told = office.site.gatepost.command_with(&auth, &good).success().text();
    assert!(told.contains(": confirmed by login"), "{told}");

    // Three challenges a day; more must wait. What went wrong before made none.
    for count in 1..=3 {
        let outcome = office.receive(ALICE, &good);
        assert!(outcome.accepted(), "{count}: {outcome:?}");
    }
    let fourth = office.receive(ALICE, &good);
    assert!(fourth.end.is_temporary(), "{fourth:?}");
    office.site.postfix.wait_mail("alice", 3);
    office.site.postfix.wait_idle();
    assert_eq!(office.site.postfix.mailbox("alice").len(), 3);
    for user in ["bob", "key-submission", "postmaster"] {
        assert!(office.site.postfix.mailbox(user).is_empty(), "{user}");
    }
    for address in [ALICE, bob, beta] {
        let list = office.list(address);
        assert!(!list.contains("fingerprint"), "{address}: {list}");
    }
}

#[test]
fn a_challenge_outlives_a_restart_but_not_three_days() {
    let mut office = Office::open("nobody");
    let gpg = office.user();
    gpg.generate(ALICE);
    let bobs = office.user();
    bobs.generate("bob@alpha.world");
    assert!(office.receive(ALICE, &key_mail(&gpg, ALICE, &gpg.certificate(ALICE))).accepted());
    let bob = "bob@alpha.world";
    assert!(office.receive(bob, &key_mail(&bobs, bob, &bobs.certificate(bob))).accepted());
    let nonce = |gpg: &Gpg, user: &str| {
        let mail = office.site.postfix.wait_mail(user, 1).remove(0);
        line(&challenge(gpg, &mail), "nonce: ").to_owned()
    };
    let (alices, bobs_nonce) = (nonce(&gpg, "alice"), nonce(&bobs, "bob"));

    office.site.gatepost.kill9();
    office.site.gatepost.start();
    let outcome = office.receive(ALICE, &response(&gpg, ALICE, ALICE, &alices));
    assert!(outcome.accepted(), "{outcome:?}\n{}", office.site.gatepost.log());
    assert!(office.list(ALICE).contains("\"submitted\""), "{}", office.list(ALICE));

    office.site.gatepost.set_clock("+3d");
    office.site.gatepost.restart();
    let late = office.receive(bob, &response(&bobs, bob, bob, &bobs_nonce));
    let unknown = office.receive(bob, &response(&bobs, bob, bob, "0123456789abcdefghijklmnopqrstuv"));
    assert_eq!(late.end.code, 550, "{late:?}");
    assert_eq!(late.end.lines, unknown.end.lines, "nobody learns that there was a challenge");
    assert!(!office.list(bob).contains("fingerprint"));
}

#[test]
fn what_cannot_be_kept_must_wait() {
    let mut office = Office::open("nobody");
    let gpg = office.user();
    gpg.generate(ALICE);
    let mail = key_mail(&gpg, ALICE, &gpg.certificate(ALICE));
    let place = office.site.gatepost.state().join("wks");
    std::fs::write(&place, "no directory").unwrap();
    let outcome = office.receive(ALICE, &mail);
    assert!(outcome.end.is_temporary(), "{outcome:?}");
    std::fs::remove_file(&place).unwrap();
    // Without a key of its own the address can neither read nor answer.
    let secrets = office.site.gatepost.state().join("secrets");
    let aside = office.site.gatepost.state().join("aside");
    std::fs::rename(&secrets, &aside).unwrap();
    office.site.gatepost.restart();
    let outcome = office.receive(ALICE, &mail);
    assert!(outcome.end.is_temporary(), "{outcome:?}\n{}", office.site.gatepost.log());
    assert!(office.site.postfix.mailbox("alice").is_empty());
    std::fs::remove_dir_all(&secrets).unwrap();
    std::fs::rename(&aside, &secrets).unwrap();
    office.site.gatepost.restart();
    assert!(office.receive(ALICE, &mail).accepted());
    office.site.postfix.wait_mail("alice", 1);
}

#[test]
fn a_key_that_nobody_checked_is_verified_for_its_own_mailbox_alone() {
    let office = Office::open("alice");
    let gpg = office.user();
    // Somebody brings a key that also claims to be Bob's; it waits for approval.
    let key = gpg.generate(ALICE);
    let alone = gpg.certificate(&key);
    gpg.run(&["--quick-add-uid", &key, "bob@alpha.world"], b"").success();
    office.site.gatepost.import(&["--trust", "held"], &gpg.certificate(&key));
    assert!(office.list("bob@alpha.world").contains(&key));
    let outcome = office.submit_logged_in(ALICE, &key_mail(&gpg, ALICE, &alone));
    assert!(outcome.accepted(), "{outcome:?}\n{}", office.site.gatepost.log());
    assert!(office.list(ALICE).contains("\"verified\""), "{}", office.list(ALICE));
    assert!(!office.list("bob@alpha.world").contains(&key), "{}", office.list("bob@alpha.world"));

    // What the administrator does not want comes in by no door.
    office.site.gatepost.command(&["keys", "trust", &key, "distrusted"]).success();
    let outcome = office.submit_logged_in(ALICE, &key_mail(&gpg, ALICE, &alone));
    assert!(outcome.end.is_permanent(), "{outcome:?}");
    assert!(office.list(ALICE).contains("\"distrusted\""), "{}", office.list(ALICE));
}
