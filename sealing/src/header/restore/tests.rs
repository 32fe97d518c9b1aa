use super::*;

use mail::Spill;

use crate::open::entity::Inner;

/// RFC 9788 appendix C.3.1.2: the payload, its layers taken off.
const PAYLOAD: &str = "MIME-Version: 1.0\n\
     Content-Transfer-Encoding: 7bit\n\
     Subject: smime-signed-enc-hp-baseline\n\
     Message-ID: <smime-signed-enc-hp-baseline@example>\n\
     From: Alice <alice@smime.example>\n\
     To: Bob <bob@smime.example>\n\
     Date: Sat, 20 Feb 2021 10:09:02 -0500\n\
     User-Agent: Sample MUA Version 1.0\n\
     HP-Outer: Subject: [...]\n\
     HP-Outer: Message-ID: <smime-signed-enc-hp-baseline@example>\n\
     HP-Outer: From: Alice <alice@smime.example>\n\
     HP-Outer: To: Bob <bob@smime.example>\n\
     HP-Outer: Date: Sat, 20 Feb 2021 10:09:02 -0500\n\
     HP-Outer: User-Agent: Sample MUA Version 1.0\n\
     Content-Type: text/plain; charset=\"utf-8\"; hp=\"cipher\"\n\n\
     This is the\nsmime-signed-enc-hp-baseline\nmessage.\n";

/// What stood outside.
const OUTSIDE: &str = "Subject: [...]\n\
     Message-ID: <smime-signed-enc-hp-baseline@example>\n\
     From: Alice <alice@smime.example>\n\
     To: Bob <bob@smime.example>\n\
     Date: Sat, 20 Feb 2021 10:09:02 -0500\n\
     User-Agent: Sample MUA Version 1.0\n\n";

fn message(text: &str) -> Message {
    Message::parse(text.replace('\n', "\r\n").as_bytes())
}

/// The header that is shown, and the names that do not agree.
fn restored(payload: &str, outside: &str) -> (String, Vec<String>) {
    let outside = message(outside);
    let protected = Protected::of(message(payload).header()).unwrap();
    let edits = protected.edits(outside.header());
    let shown = mail::apply(&outside, &edits, &Spill::default()).unwrap().to_vec().unwrap();
    (String::from_utf8(shown).unwrap().replace("\r\n", "\n"), protected.mismatches(outside.header()))
}

fn undressed(payload: &str) -> String {
    let spill = Spill::default();
    let content = mail::Body::from_vec(payload.replace('\n', "\r\n").into_bytes());
    let inner = Inner::read(&content, &spill).unwrap().undressed(&spill).unwrap();
    let fields =
        inner.fields.iter().map(|(name, value)| format!("{name}:{}\n", String::from_utf8_lossy(value)));
    let text = String::from_utf8(inner.content.to_vec().unwrap()).unwrap();
    format!("{}\n{text}", fields.collect::<String>()).replace("\r\n", "\n")
}

#[test]
fn the_payload_of_rfc_9788_appendix_c_3_1_2_says_what_the_message_is() {
    let (shown, mismatches) = restored(PAYLOAD, OUTSIDE);
    assert_eq!(shown, OUTSIDE.replace("[...]", "smime-signed-enc-hp-baseline"));
    assert_eq!(mismatches, [""; 0]);
    let text = "This is the\nsmime-signed-enc-hp-baseline\nmessage.\n";
    let content = "Content-Transfer-Encoding: 7bit\nContent-Type: text/plain; charset=\"utf-8\"\n";
    assert_eq!(undressed(PAYLOAD), format!("{content}\n{text}"));
}

#[test]
fn what_was_changed_or_added_outside_is_told_and_not_shown() {
    for (from, to, name) in [
        ("[...]", "buy now", "Subject"),
        ("Bob <bob@smime.example>", "Eve <eve@smime.example>", "To"),
        ("User-Agent:", "Cc: eve@smime.example\nUser-Agent:", "Cc"),
        ("User-Agent:", "In-Reply-To: <other@example>\nUser-Agent:", "In-Reply-To"),
        ("10:09:02 -0500", "12:09:02 -0500", "Date"),
    ] {
        let (shown, mismatches) = restored(PAYLOAD, &OUTSIDE.replace(from, to));
        assert_eq!(mismatches, [name]);
        assert_eq!(shown, OUTSIDE.replace("[...]", "smime-signed-enc-hp-baseline"));
    }
}

#[test]
fn what_the_road_adds_and_folds_is_no_mismatch() {
    let road = "Received: x\nAuthentication-Results: y\nX-Virus-Scanned: z\nList-Id: <l.example>\nResent-From: a@b\n";
    let outside = format!("{road}{}", OUTSIDE.replace("Alice <", "\"Alice\"\n <").replace("bob@", "BOB@"));
    let (shown, mismatches) = restored(PAYLOAD, &outside);
    assert_eq!(mismatches, [""; 0]);
    assert_eq!(shown, outside.replace("[...]", "smime-signed-enc-hp-baseline"));
}

#[test]
fn a_message_is_never_shown_as_from_somebody_who_was_not_checked() {
    let (shown, mismatches) = restored(PAYLOAD, &OUTSIDE.replace("alice@smime", "mallory@smime"));
    assert!(shown.contains("\nFrom: Alice <mallory@smime.example>\n"), "{shown}");
    assert_eq!(mismatches, ["From"]);
    let two = PAYLOAD.replace("From: Alice", "From: x@y.example\nFrom: Alice");
    let (shown, mismatches) = restored(&two, OUTSIDE);
    assert!(shown.contains("\nFrom: Alice <alice@smime.example>\n") && !shown.contains("x@y"), "{shown}");
    assert_eq!(mismatches, ["From"]);
    // The name comes from inside, where the address is the same.
    let named = "HP-Outer: From: Alice <alice@smime.example>";
    let shy = PAYLOAD.replace(named, "HP-Outer: From: alice@smime.example");
    let (shown, mismatches) =
        restored(&shy, &OUTSIDE.replace("Alice <alice@smime.example>", "alice@smime.example"));
    assert!(shown.contains("\nFrom: Alice <alice@smime.example>\n"), "{shown}");
    assert_eq!(mismatches, [""; 0]);
}

#[test]
fn nothing_that_belongs_to_the_road_comes_from_inside() {
    let forged = "Authentication-Results: mx; smime=pass\nX-Gatepost-Result: decrypted\nBcc: eve@a.example\nReceived: x\n";
    let (shown, _) = restored(&format!("{forged}{PAYLOAD}"), OUTSIDE);
    for line in forged.lines() {
        assert!(!shown.contains(line), "{shown}");
    }
}

#[test]
fn the_older_scheme_protects_the_subject() {
    let payload = "Subject: dinner\nFrom: Alice <alice@smime.example>\nCc: eve@a.example\n\
        Content-Type: text/plain; protected-headers=\"v1\"\n\nx";
    let (shown, mismatches) = restored(payload, OUTSIDE);
    assert_eq!(shown, OUTSIDE.replace("[...]", "dinner"));
    assert_eq!(mismatches, [""; 0]);
    let (_, mismatches) = restored(payload, &OUTSIDE.replace("alice@", "mallory@"));
    assert_eq!(mismatches, ["From"]);
    let display = "Content-Type: multipart/mixed; boundary=b; protected-headers=v1\nSubject: dinner\n\n--b\n\
        Content-Type: text/plain; protected-headers=v1\n\nSubject: dinner\n\n--b\nContent-Type: text/html\n\n<p>x\n--b--\n";
    assert_eq!(undressed(display), "Content-Type: text/html\n\n<p>x");
}

/// RFC 9788 appendix E.1 and E.2, the header fields left out that do not matter here.
#[test]
fn the_legacy_display_elements_of_rfc_9788_appendix_e_are_taken_away() {
    let text = "Let's meet at Rama's Roti Shop at 8pm and go to the park\nfrom there.\n";
    let plain = "Subject: Dinner plans\n\
        Content-Type: text/plain; charset=\"us-ascii\"; hp-legacy-display=\"1\";\n hp=\"cipher\"\n\n";
    let bare = "Content-Type: text/plain; charset=\"us-ascii\"\n\n";
    assert_eq!(undressed(&format!("{plain}Subject: Dinner plans\n\n{text}")), format!("{bare}{text}"));
    let html = plain.replace("plain;", "html;");
    let document = "<html><head><title></title></head><body>\n";
    let div = "<div class=\"header-protection-legacy-display\">\n<pre>Subject: Dinner plans</pre>\n</div>";
    let shown = undressed(&format!("{html}{document}{div}\n<p>\n{text}</p>\n</body>\n</html>\n"));
    let bare = bare.replace("plain", "html");
    assert_eq!(shown, format!("{bare}{document}\n<p>\n{text}</p>\n</body>\n</html>\n"));
    // Only where the part says so.
    let unsaid = plain.replace(" hp-legacy-display=\"1\";", "");
    assert!(undressed(&format!("{unsaid}Subject: x\n\ny\n")).ends_with("\n\nSubject: x\n\ny\n"));
}

#[test]
fn a_published_message_of_rfc_9788_appendix_c_2_agrees_with_its_signed_header() {
    // smime-one-part-hp: signed-data over a simple message with header protection, and RFC 9216 certificates.
    let spill = Spill::default();
    let outside = message(include_str!("../../../tests/data/smime-one-part-hp.eml"));
    let object = outside.entity().decoded(&spill).unwrap();
    let limits = crate::Limits::default();
    let mut reader = object.reader(0..object.len());
    let verified = crate::cms::verify_opaque(&mut reader, &[], &spill, &limits).unwrap();
    assert!(verified.all_hold(), "{:?}", verified.signers);
    let inner = Inner::read(verified.content.as_ref().unwrap(), &spill).unwrap();
    let protected = inner.protected.unwrap();
    assert_eq!(protected.mismatches(outside.header()), [""; 0]);
    let changed = include_str!("../../../tests/data/smime-one-part-hp.eml").replace("To: Bob", "To: Eve");
    assert_eq!(protected.mismatches(message(&changed).header()), ["To"]);
    assert!(protected.edits(outside.header()).is_empty(), "nothing was hidden");
}
