//! Defects of other gateways, one regression test each.
//!
//! Our list of them, and what shows that this gateway has them not (module::test of this binary unless
//! a room is named):
//!
//! - 1, a failure of cryptography that lets the plaintext out: here, and sealing/tests:
//!   `hostile::a_certificate_that_lost_the_named_key_fails_instead_of_using_another`.
//! - 2, header fields lost, Bcc copied, envelope sender replaced: here; one message for all keys:
//!   `outbound::each_recipient_of_one_message_gets_what_policy_says`.
//! - 3, clear text for want of a key:
//!   `outbound::required_without_a_certificate_is_refused_at_rcpt_for_that_recipient_alone`; a recipient
//!   dropped in silence: here.
//! - 4, a failed look-up taken for "no key": policy: `decide::a_lookup_that_failed_is_never_no_key`,
//!   keydir: `a_locked_database_could_not_tell_and_never_says_none`, and `faults::matrix`; one recipient
//!   without a certificate decides for all: as 2.
//! - 5, a replayed token: milter, `token`; duplicates: `faults::kill`; `discard` for some of several:
//!   policy: `decide::a_discard_that_is_not_for_everybody_is_held`; recipients that no section names: here.
//! - 6, the first recipient's mode for all: as 2.
//! - 7, opaque-signed mail taken for encrypted: here, and sealing/tests:
//!   `forms::smime_is_recognised_by_its_cms_content_type`.
//! - 8, forwards: the module `forward`.
//! - 9, bounces: `other_ways::a_bounce_does_not_carry_home_in_clear_what_had_to_be_sealed` and
//!   `forward::a_bounce_does_not_carry_what_was_opened_home_in_clear`.
//! - 10, all recipients deleted; 11, sealed twice: here.
//! - 12, DKIM broken on mail that was not sealed: the module `untouched`.
//! - 13, growth over the limit:
//!   `other_ways::a_message_that_would_grow_over_the_limit_is_refused_for_good_and_says_why`.
//! - 14, killed at every step: `faults::kill`.
//! - 15, one standard inside the other: this version has one, and `keys` refuses the other by name
//!   (policy: `policy_section::kinds_of_keys_whose_room_is_not_built_are_refused_by_name`).
//! - 16, HTML-only mail: here.
//! - 17, Bcc: here, and as 2.
//! - 18, the substring gate: here.
//! - 19, forged results: `inbound::results_forged_in_our_name_are_removed_and_those_of_others_are_not`.
//! - 20, mail sealed by a gateway taken for end-to-end mail: here.

use std::path::Path;
use std::process::Command;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::SitePlan;
use tests::SmtpSink;
use tests::armored_message;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const CAROL: &str = "carol@gamma.example";
const SECRET: &str = "the vault opens at nine";

/// Alpha's gateway, which has the certificate of beta.example, and beta's. No daemon runs.
struct Pair {
    alpha: Gatepost,
    beta: Gatepost,
}

fn pair(policy: &str) -> Pair {
    let alpha = GatepostPlan::new("alpha.example").policy(policy).prepare();
    let beta = GatepostPlan::new("beta.example").prepare();
    beta.generate(&["--domain", "beta.example"]);
    alpha.import(&["--domain", "beta.example"], &beta.export(&["--domain", "beta.example"]));
    Pair { alpha, beta }
}

impl Pair {
    /// What alpha sends to Bob.
    #[track_caller]
    fn sealed(&self, message: &[u8]) -> Vec<u8> {
        let trial = self.alpha.filter_ours(ALICE, &[BOB], message);
        let copy = trial.only();
        assert_eq!(copy.action, "encrypt", "{copy:?}");
        copy.message.clone()
    }

    /// What beta delivers to Bob.
    #[track_caller]
    fn opened(&self, message: &[u8]) -> Vec<u8> {
        let trial = self.beta.filter(ALICE, &[BOB], &[], message);
        let copy = trial.only();
        assert_eq!(copy.action, "open", "{copy:?}");
        copy.message.clone()
    }

    /// Sent and delivered; checks that body and header fields are those of the original.
    #[track_caller]
    fn round_trip(&self, message: &[u8]) {
        let opened = self.opened(&self.sealed(message));
        let (before, after) = (fields(message), fields(&opened));
        for field in &before {
            assert!(after.contains(field), "lost: {field}\n{}", show(&opened));
        }
        // What the author signed by a certificate that nobody here trusts is told, and does not pass.
        let untrusted =
            |field: &String| field.starts_with("Authentication-Results:") && !field.contains("=pass");
        let added: Vec<_> =
            after.iter().filter(|field| !before.contains(field) && !untrusted(field)).collect();
        assert_eq!(added, ["X-Gatepost-Result: decrypted=openpgp\r\n"], "{}", show(&opened));
        assert!(body(&opened) == body(message), "{}\n{}", show(message), show(&opened));
    }
}

/// The header fields with their line ends, as written.
fn fields(message: &[u8]) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if line == b"\r\n" {
            break;
        }
        let text = String::from_utf8_lossy(line);
        match fields.last_mut() {
            Some(field) if text.starts_with([' ', '\t']) => field.push_str(&text),
            _ => fields.push(text.into_owned()),
        }
    }
    fields
}

fn body(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n");
    end.map_or(&[], |end| &message[end + 4..])
}

fn show(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

fn contains(message: &[u8], text: &str) -> bool {
    message.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_failure_to_sign_or_encrypt_lets_nothing_out() {
    let Pair { alpha, .. } = pair("[policy]\nsign = \"always\"");
    alpha.generate(&["--user", ALICE]);
    let message = messages::plain(ALICE, BOB, "news", SECRET);
    assert_eq!(alpha.filter_ours(ALICE, &[BOB, CAROL], &message).copies.len(), 2);
    for entry in std::fs::read_dir(alpha.state().join("secrets")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let trial = alpha.filter_ours(ALICE, &[BOB, CAROL], &message);
    assert_eq!((trial.verdict(), trial.copies.len()), ("tempfail", 0), "{:#}", trial.report);
    assert!(trial.reply().starts_with("451 4.7.5 "), "{:#}", trial.report);
}

#[test]
fn every_header_field_stays_where_it_was() {
    let pair = pair("");
    let header = "Received: from client.example by mx.alpha.example\r\n\twith ESMTP; Mon, 2 Nov 2026 09:30:01 +0100\r\n\
        DKIM-Signature: v=1; a=rsa-sha256; d=alpha.example;\r\n  b=AAAA\r\n\
        Date: Mon, 02 Nov 2026 09:30:00 +0100\r\nFrom: Alice <alice@alpha.example>\r\nSender: <desk@alpha.example>\r\n\
        Reply-To: answers@alpha.example\r\nTo: bob@beta.example\r\nCc: carol@gamma.example\r\n\
        Message-ID: <odd(comment)@alpha.example>\r\nIn-Reply-To: <one@beta.example>\r\n\
        References: <zero@beta.example>\r\n <one@beta.example>\r\nSubject: =?utf-8?q?=C3=9Cber?= folded\r\n  text\r\n\
        List-Id: People <people.alpha.example>\r\nList-Unsubscribe: <mailto:leave@alpha.example>\r\n\
        List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nPrecedence: list\r\nAuto-Submitted: auto-generated\r\n\
        X-Empty:\r\nX-Twice: 1\r\nx-twice: 2\r\nX-Umlaut: gr\u{fc}n\r\n";
    let mime = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Language: de\r\n\
        Content-Transfer-Encoding: 8bit\r\n";
    let message = format!("{header}{mime}\r\n{SECRET} \u{fc}\r\n").into_bytes();
    let sealed = pair.sealed(&message);
    assert!(!contains(&sealed, SECRET));
    let outside: Vec<_> =
        fields(&sealed).into_iter().filter(|field| !field.starts_with("Content-")).collect();
    assert_eq!(outside, fields(format!("{header}MIME-Version: 1.0\r\n").as_bytes()), "{}", show(&sealed));
    pair.round_trip(&message);
}

#[test]
fn a_bcc_field_is_in_no_sealed_copy() {
    let Pair { alpha, .. } = pair("");
    let keys = Gpg::new();
    keys.generate(CAROL);
    alpha.import(&["--for", CAROL], &keys.certificate(CAROL));
    let message = [
        b"bCC : dave@delta.example,\r\n\tcarol@gamma.example\r\nResent-Bcc: carol@gamma.example\r\n"
            .as_slice(),
        &messages::plain(ALICE, BOB, "news", SECRET),
    ]
    .concat();
    let trial = alpha.filter_ours(ALICE, &[BOB, CAROL], &message);
    assert_eq!(trial.copies.len(), 2, "{trial:?}");
    for copy in &trial.copies {
        assert_eq!(copy.action, "encrypt");
        assert!(!contains(&copy.message, "dave@delta") && !contains(&copy.message, CAROL), "{copy:?}");
    }
    let inside = keys.decrypt(armored_message(&trial.copy_for(CAROL).message).unwrap()).plaintext;
    assert!(contains(&inside, SECRET) && !contains(&inside, "dave@delta"), "{}", show(&inside));
}

#[test]
fn the_reverse_path_stays_when_it_is_not_the_author() {
    let sink = SmtpSink::start();
    let plan = SitePlan::new("alpha.example").route("beta.example", sink.port());
    let mut alpha = plan.route("gamma.example", sink.port()).prepare();
    let keys = Gpg::new();
    for address in [BOB, CAROL] {
        keys.generate(address);
        alpha.gatepost.import(&["--for", address], &keys.certificate(address));
    }
    alpha.gatepost.start();
    // Bob gets the original; Carol, who is not named in it, a copy that is re-injected.
    for reverse_path in ["bounces+bob=beta.example@lists.alpha.example", ""] {
        let before = sink.received().len();
        let message = messages::plain(ALICE, BOB, &format!("from <{reverse_path}>"), SECRET);
        let outcome = alpha.submit(reverse_path, &[BOB, CAROL], &message);
        assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
        let received = sink.wait(before + 2).split_off(before);
        for one in &received {
            assert_eq!(one.from, reverse_path, "{:?}", one.to);
            assert!(contains(&one.data, "\r\nFrom: alice@alpha.example\r\n"), "{}", show(&one.data));
            assert!(keys.decrypt(armored_message(&one.data).unwrap()).decrypted());
        }
        assert_ne!(received[0].to, received[1].to);
    }
}

#[test]
fn required_drops_nobody_in_silence() {
    let policy = "[[rule]]\nid = \"confidential\"\nsubject = \"[confidential]\"\nencrypt = \"required\"";
    let Pair { alpha, .. } = pair(policy);
    // At RCPT nobody can know the Subject; at its end the message is refused for all, and says for whose sake.
    let message = messages::plain(ALICE, &format!("{BOB}, {CAROL}"), "[confidential] plan", SECRET);
    let trial = alpha.filter_ours(ALICE, &[BOB, CAROL], &message);
    assert_eq!((trial.verdict(), trial.copies.len(), trial.refused().len()), ("reject", 0, 0), "{trial:?}");
    assert!(trial.reply().starts_with("550 5.7.1 ") && trial.reply().contains(CAROL), "{}", trial.reply());

    let Pair { alpha, .. } = pair("[policy]\nencrypt = \"required\"");
    let trial = alpha.filter_ours(ALICE, &[BOB, CAROL], &message);
    let refused = trial.refused();
    assert_eq!((refused.len(), refused[0].0.as_str()), (1, CAROL));
    assert!(refused[0].1.starts_with("550 5.7.1 "), "{refused:?}");
    assert_eq!(trial.only().recipients, [BOB]);
}

#[test]
fn recipients_that_no_section_names_get_the_message() {
    let policy = "[partner.\"elsewhere.example\"]\nencrypt = \"required\"\n[[rule]]\nid = \"r\"\nrecipient = [\"x@y.example\"]\nverdict = \"discard\"";
    let Pair { alpha, .. } = pair(policy);
    let message = messages::plain(ALICE, BOB, "news", SECRET);
    let to = [BOB, CAROL, "dave@alpha.example", "erin@delta.example"];
    let trial = alpha.filter_ours(ALICE, &to, &message);
    assert_eq!(trial.verdict(), "continue");
    for address in to {
        assert_eq!(trial.copy_for(address).action, if address == BOB { "encrypt" } else { "pass" });
    }
    assert_eq!(trial.copy_for(CAROL).message, message);
}

#[test]
fn mail_to_nobody_but_bcc_recipients_reaches_all_of_them() {
    let sink = SmtpSink::start();
    let mut alpha = SitePlan::new("alpha.example").route("beta.example", sink.port()).prepare();
    let keys = Gpg::new();
    let to = ["one@beta.example", "two@beta.example", "three@beta.example"];
    for address in to {
        keys.generate(address);
        alpha.gatepost.import(&["--for", address], &keys.certificate(address));
    }
    alpha.gatepost.start();
    let message = messages::plain(ALICE, "undisclosed-recipients:;", "news", SECRET);
    assert!(alpha.submit(ALICE, &to, &message).accepted(), "{}", alpha.gatepost.log());
    let received = sink.wait(3);
    alpha.postfix.wait_idle();
    assert_eq!(sink.received().len(), 3);
    for address in to {
        let one = received.iter().find(|one| one.to == [address]).expect(address);
        let opened = keys.decrypt(armored_message(&one.data).unwrap());
        assert_eq!(opened.encrypted_to(), [keys.encryption_key(address)], "alone");
    }
}

/// Self-signed S/MIME identity of `address`, made by openssl in `dir`: key and certificate.
fn smime_identity(dir: &Path, address: &str) -> [String; 2] {
    let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| dir.join(name).display().to_string());
    let subject = format!("/CN={address}/emailAddress={address}");
    let arguments = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", &subject];
    openssl(&[&arguments[..], &["-keyout", &key, "-out", &certificate]].concat(), b"");
    [key, certificate]
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    tests::run(Command::new("openssl").args(arguments), input).success().stdout
}

/// A message whose MIME fields and body somebody else's program wrote.
fn with_header(mime: &[u8]) -> Vec<u8> {
    let head = format!("From: {ALICE}\r\nTo: {BOB}\r\nSubject: sealed\r\nMessage-ID: <s@alpha.example>\r\n");
    [head.as_bytes(), &messages::crlf(&show(mime))].concat()
}

#[test]
fn what_is_sealed_already_is_not_sealed_again() {
    let inside = format!("Content-Type: text/plain\r\n\r\n{SECRET}\r\n");
    let pair = pair("[policy]\nencrypt = \"required\"\nsign = \"always\"");
    pair.alpha.generate(&["--domain", "alpha.example"]);
    let message = messages::plain(ALICE, BOB, "news", SECRET);
    let ours = pair.alpha.filter_ours(ALICE, &[BOB], &message).only().message.clone();
    let gpg = Gpg::new();
    gpg.generate(BOB);
    let armored = gpg.seal(None, &[BOB], inside.as_bytes());
    let by_gpg = messages::pgp_mime(ALICE, BOB, "news", &armored);
    let inline = messages::plain(ALICE, BOB, "inline", &show(&gpg.seal(None, &[BOB], SECRET.as_bytes())));
    let dir = tests::directory("smime");
    let [_, certificate] = smime_identity(dir.path(), BOB);
    let smime = openssl(&["smime", "-encrypt", "-aes256", &certificate], inside.as_bytes());
    for (name, sealed) in
        [("ours", &ours), ("gpg", &by_gpg), ("inline", &inline), ("S/MIME", &with_header(&smime))]
    {
        let trial = pair.alpha.filter_ours(ALICE, &[BOB], sealed);
        assert_eq!(trial.only().action, "pass", "{name}: {trial:?}");
        assert_eq!(show(&trial.only().message), show(sealed), "{name}");
    }
}

#[test]
fn opaque_signed_mail_is_not_encrypted_mail() {
    let pair = pair("[policy]\nencrypt = \"required\"");
    let dir = tests::directory("smime");
    let [key, certificate] = smime_identity(dir.path(), ALICE);
    let inside = format!("Content-Type: text/plain\r\n\r\n{SECRET}\r\n");
    let sign = ["smime", "-sign", "-nodetach", "-signer", &certificate, "-inkey", &key];
    let mut signed = with_header(&openssl(&sign, inside.as_bytes()));
    pair.round_trip(&signed);
    // A name that says otherwise changes nothing: what the CMS structure holds is what counts.
    let text = show(&signed).replace("smime-type=signed-data", "smime-type=enveloped-data");
    assert_ne!(text.as_bytes(), signed);
    signed = text.into_bytes();
    pair.round_trip(&signed);
    let trial = pair.alpha.filter_ours(ALICE, &[CAROL], &signed);
    assert!(trial.refused()[0].1.starts_with("550 5.7.1 "), "{trial:?}");
}

#[test]
fn html_only_mail_stays_html() {
    let pair = pair("");
    for (encoding, html) in [
        ("quoted-printable", "<p>Gr=C3=BC=C3=9Fe =3D\r\n soft=\r\n break</p>\r\n"),
        ("8bit", "<p>Gr\u{fc}\u{df}e</p>\r\n"),
        ("base64", "PHA+aGVsbG88L3A+\r\n"),
    ] {
        let message = format!(
            "From: {ALICE}\r\nTo: {BOB}\r\nSubject: page\r\nMIME-Version: 1.0\r\n\
             Content-Type: TEXT/HTML;\r\n\tcharset=\"UTF-8\"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{html}"
        );
        pair.round_trip(message.as_bytes());
    }
}

#[test]
fn the_words_of_pgp_do_not_pass_for_encryption() {
    let begin = "-----BEGIN PGP MESSAGE-----";
    let texts = [
        messages::plain(ALICE, BOB, begin, SECRET),
        messages::plain(ALICE, BOB, "quoted", &format!("> {begin}\n> hQEMA\n> -----END PGP MESSAGE-----\n{SECRET}\n")),
        messages::plain(ALICE, BOB, "how to", &format!("Look for {begin} at the top.\n{SECRET}\n")),
        messages::plain(ALICE, BOB, "unfinished", &format!("{begin}\n\n{SECRET}\n")),
        messages::plain(ALICE, BOB, "fake", &format!("{begin}\n\n{SECRET}\n-----END PGP MESSAGE-----\n")),
        with_header(format!("Content-Type: multipart/encrypted; boundary=b\n\n--b\n\n{SECRET}\n--b--\n").as_bytes()),
        with_header(
            format!(
                "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\n\n--b\n\
                 Content-Type: application/pgp-encrypted\n\nVersion: 1\n\n--b\n\
                 Content-Type: application/octet-stream\n\n{SECRET}\n--b--\n"
            )
            .as_bytes(),
        ),
        with_header(
            format!("Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n\n{SECRET}\n").as_bytes(),
        ),
    ];
    let pair = pair("[policy]\nencrypt = \"required\"");
    for message in &texts {
        let sealed = pair.sealed(message);
        assert!(!contains(&sealed, SECRET), "{}", show(&sealed));
    }
    let rule = "[[rule]]\nid = \"all\"\nheader = { From = \"*\" }\nencrypt = \"required\"";
    let pair = self::pair(rule);
    for message in &texts {
        let trial = pair.alpha.filter_ours(ALICE, &[CAROL], message);
        assert_eq!((trial.verdict(), trial.copies.len()), ("reject", 0), "{}", show(message));
    }
}

const TRIGGERS: &str = "
[policy]
encrypt = \"never\"
[[rule]]
id = \"subject\"
direction = \"outbound\"
subject = \"[confidential]\"
remove_trigger = true
encrypt = \"required\"
[[rule]]
id = \"sensitivity\"
direction = \"outbound\"
header = { Sensitivity = \"company-confidential\" }
remove_trigger = true
encrypt = \"required\"
";

#[test]
fn triggers_in_subject_and_header_seal_and_leave_no_trace() {
    let pair = pair(TRIGGERS);
    for (subject, expected) in [
        ("[confidential] Zahlen", "Zahlen"),
        ("Re: AW: [CONFIDENTIAL] Zahlen", "Re: AW: Zahlen"),
        ("Zahlen\r\n [Confidential]", "Zahlen"),
        ("=?utf-8?b?W2NvbmZpZGVudGlhbF0gWmFobGVu?=", "Zahlen"),
        ("=?utf-8?q?=5Bconfi?= =?utf-8?q?dential=5D_Zahlen?=", "Zahlen"),
    ] {
        let sealed = pair.sealed(&messages::plain(ALICE, BOB, subject, SECRET));
        let subjects: Vec<_> = fields(&sealed).into_iter().filter(|f| f.starts_with("Subject:")).collect();
        assert_eq!(subjects, [format!("Subject: {expected}\r\n")]);
    }
    for name in ["Sensitivity", "sensitivity", "SENSITIVITY"] {
        let field = format!("{name}: Company-Confidential\r\n");
        let message = [field.as_bytes(), &messages::plain(ALICE, BOB, "Zahlen", SECRET)].concat();
        let sealed = pair.sealed(&message);
        assert!(!show(&sealed).to_lowercase().contains("sensitivity"), "{}", show(&sealed));
    }
    for (header, subject) in
        [("", "confidential"), ("Sensitivity: Personal\r\n", "Zahlen"), ("X-S: [confidential]\r\n", "x")]
    {
        let message = [header.as_bytes(), &messages::plain(ALICE, BOB, subject, "b")].concat();
        assert_eq!(pair.alpha.filter_ours(ALICE, &[BOB], &message).only().message, message, "{subject}");
    }
}

#[test]
fn a_meeting_invitation_is_still_one_when_it_arrives() {
    let calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1@alpha.example\r\nSUMMARY:K\u{fc}che\r\n\
        DTSTART:20261102T090000Z\r\nATTENDEE;RSVP=TRUE:mailto:bob@beta.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let message = format!(
        "From: {ALICE}\r\nTo: {BOB}\r\nSubject: Invitation\r\nMIME-Version: 1.0\r\n\
         Content-class: urn:content-classes:calendarmessage\r\n\
         Content-Type: multipart/alternative;\r\n boundary=\"=_inv\"\r\n\r\npreamble\r\n\
         --=_inv\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nKitchen\r\n\
         --=_inv\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Kitchen</p>\r\n\
         --=_inv\r\nContent-Type: text/calendar; charset=\"utf-8\"; method=REQUEST; component=VEVENT\r\n\
         Content-Transfer-Encoding: 8bit\r\nContent-Disposition: inline\r\n\r\n{calendar}\r\n--=_inv--\r\nepilogue\r\n"
    );
    let pair = pair("");
    pair.round_trip(message.as_bytes());
    let alone = format!(
        "From: {ALICE}\r\nTo: {BOB}\r\nSubject: Invitation\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/calendar; method=REQUEST;\r\n\tcharset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{calendar}"
    );
    pair.round_trip(alone.as_bytes());
}

#[test]
fn attachments_with_umlauts_in_their_names_survive_byte_for_byte() {
    let names = [
        "filename*=utf-8''%C3%9Cbersicht%20f%C3%BCr%20M%C3%A4rz.pdf",
        "filename*0*=iso-8859-1'de'%DCbersicht%20;\r\n filename*1=f; filename*2*=%FCr.pdf",
        "filename=\"=?utf-8?B?w5xiZXJzaWNodC5wZGY=?=\"",
        "filename=\"\u{dc}bersicht.pdf\"",
    ];
    let mut parts = format!("--=_a\r\nContent-Type: text/plain\r\n\r\n{SECRET}\r\n");
    for name in names {
        parts.push_str(&format!(
            "--=_a\r\nContent-Type: application/pdf;\r\n\tname*=utf-8''%C3%9C.pdf\r\n\
             Content-Disposition: attachment;\r\n {name}\r\nContent-Transfer-Encoding: base64\r\n\r\n\
             JVBERi0xLjcNCiXDpMO8w7bDnw==\r\n"
        ));
    }
    // An empty attachment, and one whose length is no multiple of anything.
    parts.push_str("--=_a\r\nContent-Type: application/octet-stream; name=empty\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    parts.push_str("\r\n--=_a\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{fc}\0x\r\n");
    let message = format!(
        "From: {ALICE}\r\nTo: {BOB}\r\nSubject: files\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"=_a\"\r\n\r\n{parts}--=_a--\r\n"
    );
    pair("").round_trip(message.as_bytes());
}

#[test]
fn mail_without_a_single_author_is_sealed_but_signed_for_nobody() {
    let pair = pair("[policy]\nsign = \"always\"");
    pair.alpha.generate(&["--domain", "alpha.example"]);
    pair.beta.import(&["--domain", "alpha.example"], &pair.alpha.export(&["--domain", "alpha.example"]));
    let plain = show(&messages::plain(ALICE, BOB, "news", SECRET));
    let from = format!("From: {ALICE}\r\n");
    let signed = pair.alpha.filter_ours(ALICE, &[BOB], plain.as_bytes());
    assert_eq!(signed.only().action, "sign+encrypt", "{signed:?}");
    for (name, header) in [
        ("none", String::new()),
        ("empty", "From:\r\n".to_owned()),
        ("two fields", format!("{from}From: mallory@alpha.example\r\n")),
        ("two mailboxes", format!("From: {ALICE}, mallory@alpha.example\r\nSender: {ALICE}\r\n")),
        ("two brackets", format!("From: <{ALICE}> <mallory@gamma.example>\r\n")),
        ("a group", "From: Nobody:;\r\n".to_owned()),
        ("an address in the name", format!("From: \"{ALICE}\" <mallory@gamma.example>\r\n")),
    ] {
        let message = plain.replacen(&from, &header, 1).into_bytes();
        let trial = pair.alpha.filter_ours(ALICE, &[BOB, CAROL], &message);
        assert_eq!(trial.copy_for(BOB).action, "encrypt", "{name}: {trial:?}");
        assert_eq!(trial.copy_for(CAROL).message, message, "{name}");
        let opened = pair.opened(&trial.copy_for(BOB).message);
        assert!(
            body(&opened) == body(&message) && !contains(&opened, "openpgp=pass"),
            "{name}: {}",
            show(&opened)
        );
        // The signature of a message is no longer valid when somebody adds an author.
        let sealed = show(&signed.only().message).replacen(&from, &header, 1);
        let opened = pair.opened(sealed.as_bytes());
        assert!(!contains(&opened, "openpgp=pass"), "{name}: {}", show(&opened));
    }
}

#[test]
fn gateway_sealed_mail_is_not_taken_for_end_to_end_mail() {
    let pair = pair("");
    let opened = pair.opened(&pair.sealed(&messages::plain(ALICE, BOB, "news", SECRET)));
    assert!(fields(&opened).contains(&"X-Gatepost-Result: decrypted=openpgp\r\n".to_owned()));
    let gpg = Gpg::new();
    gpg.generate(BOB);
    let armored = gpg.seal(None, &[BOB], b"\r\nhello\r\n");
    // A forged word of ours goes, and so the two cannot be confused.
    let end_to_end = messages::pgp_mime(ALICE, BOB, "news", &armored);
    let forged = [b"X-Gatepost-Result: decrypted=openpgp\r\n".as_slice(), &end_to_end].concat();
    for message in [&end_to_end, &forged] {
        let trial = pair.beta.filter(ALICE, &[BOB], &[], message);
        assert_eq!(show(&trial.only().message), show(&end_to_end));
    }
}
