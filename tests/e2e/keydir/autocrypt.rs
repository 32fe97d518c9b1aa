//! What leaves says how to answer it encrypted: the author's certificate in an `Autocrypt` field.

use keydir::Autocrypt;
use tests::Gpg;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::directory;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const SECRET: &str = "the treaty of the two houses";

/// Alpha's plan, whose users are introduced.
fn introducing(policy: &str) -> (SitePlan, tempfile::TempDir) {
    let scratch = directory("autocrypt");
    let place = scratch.path().join("publication");
    let section = format!("[keydir]\npublication = \"{}\"\nautocrypt = true\n{policy}", place.display());
    (SitePlan::new("alpha.example").policy(&section), scratch)
}

/// The one field of a message.
fn field(message: &[u8]) -> Autocrypt {
    let text = String::from_utf8_lossy(message).replace("\r\n ", " ").replace("\r\n\t", " ");
    let (header, _) = text.split_once("\r\n\r\n").unwrap();
    let mut fields = header.lines().filter_map(|line| line.strip_prefix("Autocrypt:"));
    let field = fields.next().unwrap_or_else(|| panic!("no field: {header}"));
    assert_eq!(fields.next(), None, "{header}");
    Autocrypt::parse(field).unwrap_or_else(|| panic!("not read: {field}"))
}

fn sent(alpha: &Site, sink: &SmtpSink, count: usize, message: &[u8]) -> Vec<u8> {
    let outcome = alpha.submit(ALICE, &[BOB], message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    sink.wait(count).pop().unwrap().data
}

#[test]
fn gpg_answers_encrypted_with_nothing_but_the_field() {
    let sink = SmtpSink::start();
    let (plan, _scratch) = introducing("");
    let mut alpha = plan.route("beta.example", sink.port()).prepare();
    alpha.gatepost.generate(&["--user", ALICE]);
    alpha.gatepost.start();
    let message = messages::plain(ALICE, BOB, "hello", "no secret\n");
    let data = sent(&alpha, &sink, 1, &message);
    let introduced = field(&data);
    assert!(introduced.is_of(ALICE) && introduced.mutual);
    assert!(introduced.keydata.len() < 1000, "{} octets", introduced.keydata.len());
    assert!(data.ends_with(b"no secret\r\n"));

    let gpg = Gpg::new();
    let packets = gpg.run(&["--list-packets"], &introduced.keydata).success().text();
    let count = |kind: &str| packets.matches(kind).count();
    assert_eq!((count(":user ID packet:"), count(":public sub key packet:")), (1, 1), "{packets}");
    gpg.import(&introduced.keydata);
    let inside = format!("Content-Type: text/plain\r\n\r\n{SECRET}\r\n");
    let sealed = gpg.seal(None, &[ALICE], inside.as_bytes());
    let outcome = alpha.receive(BOB, &[ALICE], &messages::pgp_mime(BOB, ALICE, "re", &sealed));
    assert!(outcome.accepted(), "{outcome:?}");
    let mail = alpha.postfix.wait_mail("alice", 1).remove(0);
    assert!(mail.text().contains(SECRET), "{}", mail.text());
    assert!(mail.field("X-Gatepost-Result").unwrap().contains("decrypted=openpgp"));
}

#[test]
fn who_has_no_key_here_or_speaks_for_himself_is_not_introduced() {
    let sink = SmtpSink::start();
    let (plan, _scratch) = introducing("");
    let mut alpha = plan.route("beta.example", sink.port()).prepare();
    let theirs = Gpg::new();
    theirs.generate(ALICE);
    // Known, but not ours: its secret half lies somewhere else.
    alpha.gatepost.import(&["--for", ALICE], &theirs.certificate(ALICE));
    alpha.gatepost.start();
    let message = messages::plain(ALICE, BOB, "hello", "no secret\n");
    assert!(sent(&alpha, &sink, 1, &message).ends_with(&message), "untouched");
    // With a key here, but the field of her own software.
    alpha.gatepost.generate(&["--user", ALICE]);
    let own = [b"Autocrypt: addr=alice@alpha.example; keydata=AAAA\r\n", message.as_slice()].concat();
    let data = sent(&alpha, &sink, 2, &own);
    assert_eq!(field(&data).keydata.len(), 3);
    // Among ourselves nobody needs it.
    let outcome = alpha.submit(ALICE, &["carol@alpha.example"], &message);
    assert!(outcome.accepted(), "{outcome:?}");
    assert_eq!(alpha.postfix.wait_mail("carol", 1)[0].field("Autocrypt"), None);
}

#[test]
fn what_is_encrypted_is_introduced_outside_and_signed_mail_stays_valid() {
    let sink = SmtpSink::start();
    let (plan, _scratch) = introducing("[policy]\nsign = \"always\"\nprotect_header = \"strict\"\n");
    let mut alpha = plan.route("beta.example", sink.port()).prepare();
    alpha.gatepost.generate(&["--user", ALICE]);
    let bob = Gpg::new();
    bob.generate(BOB);
    alpha.gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    alpha.gatepost.start();
    let data = sent(&alpha, &sink, 1, &messages::plain(ALICE, BOB, "hello", SECRET));
    bob.import(&field(&data).keydata);
    let opened = bob.decrypt(tests::armored_message(&data).unwrap());
    assert!(opened.decrypted() && opened.valid_signer().is_some(), "{opened:?}");
}
