use super::*;

fn message(text: &str) -> Message {
    Message::parse(text.replace('\n', "\r\n").as_bytes())
}

/// The payload, and the message outside with nothing in it.
fn sealed(text: &str, how: HeaderProtection, encrypted: bool) -> (String, String) {
    let (message, spill) = (message(text), Spill::default());
    let (payload, edits) = payload(&message, false, false, how, encrypted, &spill).unwrap();
    let mut inside = Vec::new();
    payload.write_exact(&mut inside).unwrap();
    let outside = mail::apply(&message, &edits, &spill).unwrap().to_vec().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    (text(inside), text(outside))
}

/// RFC 9788 appendix C.3.1: the message, as it is before it is protected.
const SAMPLE: &str = "Subject: smime-signed-enc-hp-baseline\n\
     Message-ID: <smime-signed-enc-hp-baseline@example>\n\
     From: Alice <alice@smime.example>\n\
     To: Bob <bob@smime.example>\n\
     Date: Sat, 20 Feb 2021 10:09:02 -0500\n\
     User-Agent: Sample MUA Version 1.0\n\
     Content-Type: application/octet-stream; name=x\n\n\
     This is the\nsmime-signed-enc-hp-baseline\nmessage.\n";

/// The header fields of the payload that appendix C.3.1.2 prints.
const FIELDS_OF_C_3_1_2: &str = "Subject: smime-signed-enc-hp-baseline\n\
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
     HP-Outer: User-Agent: Sample MUA Version 1.0\n";

#[test]
fn what_is_hidden_and_what_is_told_is_as_in_rfc_9788_appendix_c_3_1() {
    let (inside, outside) = sealed(SAMPLE, HeaderProtection::Baseline, true);
    let rest = inside.strip_prefix(FIELDS_OF_C_3_1_2).expect(&inside);
    assert!(
        rest.starts_with("Content-Type: application/octet-stream; name=x; hp=\"cipher\"\n\nThis is"),
        "{rest}"
    );
    assert!(outside.starts_with("Subject: [...]\nMessage-ID: <smime-signed"), "{outside}");
}

#[test]
fn shy_mail_shows_neither_names_nor_where_the_clock_hangs() {
    let text = SAMPLE.replace("User-Agent", "Keywords: vault\nComments: none\nUser-Agent");
    let (inside, outside) = sealed(&text, HeaderProtection::Shy, true);
    assert_eq!(
        outside.split_once("Content-Type").unwrap().0,
        "Subject: [...]\n\
         Message-ID: <smime-signed-enc-hp-baseline@example>\n\
         From: alice@smime.example\n\
         To: bob@smime.example\n\
         Date: Sat, 20 Feb 2021 15:09:02 +0000\n\
         User-Agent: Sample MUA Version 1.0\n"
    );
    assert!(inside.contains("HP-Outer: Date: Sat, 20 Feb 2021 15:09:02 +0000\n"));
    assert!(inside.contains("\nKeywords: vault\nComments: none\n") && !inside.contains("HP-Outer: Keywords"));
    assert!(inside.contains("\nFrom: Alice <alice@smime.example>\n"));
}

#[test]
fn strict_mail_shows_only_what_transport_needs() {
    let text = SAMPLE.replace("User-Agent", "Cc: eve@smime.example\nIn-Reply-To: <x@y>\nUser-Agent");
    let (inside, outside) = sealed(&text, HeaderProtection::Strict, true);
    assert_eq!(
        outside.split_once("Content-Type").unwrap().0,
        "Subject: [...]\n\
         Message-ID: <smime-signed-enc-hp-baseline@example>\n\
         From: alice@smime.example\n\
         Date: Sat, 20 Feb 2021 15:09:02 +0000\n"
    );
    assert!(inside.starts_with(text.split_once("Content-Type").unwrap().0), "{inside}");
}

#[test]
fn strict_mail_is_protected_around_what_its_author_signed_and_no_other() {
    let body = "--b\n\nthe marmoset\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n";
    let text = format!("Subject: fed\nContent-Type: multipart/signed; boundary=b\n\n{body}");
    for (how, encrypted, hides) in [
        (HeaderProtection::Strict, true, true),
        (HeaderProtection::Strict, false, false),
        (HeaderProtection::Shy, true, false),
    ] {
        let (message, spill) = (message(&text), Spill::default());
        let (payload, edits) = payload(&message, true, false, how, encrypted, &spill).unwrap();
        let mut inside = Vec::new();
        payload.write_exact(&mut inside).unwrap();
        let inside = String::from_utf8(inside).unwrap().replace("\r\n", "\n");
        assert_eq!(inside.split_once("\n\n").unwrap().1, body, "what is signed keeps its bytes");
        assert_eq!(inside.starts_with("Subject: fed\nHP-Outer: Subject: [...]\n"), hides, "{inside}");
        assert_eq!(!edits.is_empty(), hides);
    }
}

#[test]
fn a_signed_header_hides_nothing_and_tells_nothing() {
    let (inside, outside) = sealed(SAMPLE, HeaderProtection::Shy, false);
    assert_eq!(outside, SAMPLE);
    assert!(inside.contains("name=x; hp=\"clear\"\n") && !inside.contains("HP-Outer"), "{inside}");
}

#[test]
fn fields_of_the_road_stay_outside() {
    let road =
        "Received: by x\nDKIM-Signature: v=1\nARC-Seal: i=1\nBcc: eve@gamma.example\nX-Gatepost-Token: t\n";
    let (inside, outside) = sealed(&format!("{road}{SAMPLE}"), HeaderProtection::Baseline, true);
    for field in road.lines() {
        assert!(!inside.contains(field) && outside.contains(field), "{inside}");
    }
}

#[test]
fn fields_are_copied_so_that_no_line_of_them_ends_the_header() {
    let text = "Subject: a \n \t\n b \nTo:\n <bob@beta.example>\n\nx";
    let (inside, _) = sealed(text, HeaderProtection::Clear, false);
    assert!(inside.starts_with("Subject: a\n b\nTo:\n <bob@beta.example>\nContent-Type:"), "{inside}");
}

/// RFC 9788 appendix E.1 and E.2: the message, and the payload with a Legacy Display Element.
#[test]
fn the_hidden_subject_is_said_in_the_text_as_in_rfc_9788_appendix_e() {
    let head = "Date: Fri, 21 Jan 2022 20:40:48 -0500\n\
        From: Alice <alice@example.net>\n\
        To: Bob <bob@example.net>\n\
        Subject: Dinner plans\n\
        Message-ID: <text-plain-legacy-display@lhp.example>\n\
        MIME-Version: 1.0\n";
    let text = "Let's meet at Rama's Roti Shop at 8pm and go to the park\nfrom there.\n";
    let plain = format!("{head}Content-Type: text/plain; charset=\"us-ascii\"\n\n{text}");
    let (inside, _) = sealed(&plain, HeaderProtection::Baseline, true);
    assert!(inside.contains("hp-legacy-display=\"1\";\n hp=\"cipher\"\n"), "{inside}");
    assert!(inside.ends_with(&format!("\n\nSubject: Dinner plans\n\n{text}")), "{inside}");
    let document = "<html><head><title></title></head><body>";
    let html =
        format!("{head}Content-Type: text/html; charset=\"us-ascii\"\n\n{document}\n<p>\n{text}</p>\n");
    let (inside, _) = sealed(&html, HeaderProtection::Baseline, true);
    let div =
        "<div class=\"header-protection-legacy-display\">\n<pre>Subject: Dinner plans</pre>\n</div>\n<p>";
    assert!(inside.contains(&format!("{document}{div}")), "{inside}");
    assert!(!sealed(&plain, HeaderProtection::Clear, true).0.contains("hp-legacy-display=\"1\""));
}

#[test]
fn the_hidden_subject_is_said_only_where_it_does_no_harm() {
    let said = |content: &str| {
        let text = format!("Subject: =?utf-8?q?K=C3=B6ln?=\n{content}");
        sealed(&text, HeaderProtection::Baseline, true).0
    };
    let quoted = said(
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n",
    );
    assert!(quoted.ends_with("\n\nSubject: K=C3=B6ln\n\nGr=C3=BC=C3=9Fe\n"), "{quoted}");
    let base64 =
        said("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZQ==\n");
    assert!(base64.ends_with("\n\nU3ViamVjdDogS8O2bG4NCg0KR3LDvMOfZQ==\n"), "{base64}");
    let ascii = said("\nHello = Bob\n");
    assert!(ascii.contains("charset=\"utf-8\"; hp-legacy-display=\"1\""), "{ascii}");
    assert!(ascii.ends_with("quoted-printable\n\nSubject: K=C3=B6ln\n\nHello =3D Bob\n"), "{ascii}");
    for content in [
        "Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\nAEgA\n",
        "Content-Type: text/plain; charset=koi8-r\n\nx\n",
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: x-zip\n\nx\n",
        "Content-Type: text/plain\nContent-Disposition: attachment\n\nx\n",
        "Content-Type: image/png\n\nx\n",
    ] {
        assert!(!said(content).contains("hp-legacy-display="), "{content}");
    }
}

#[test]
fn a_mailbox_at_rest_holds_every_byte_inside_and_little_outside() {
    let spill = Spill::default();
    let header = "From mbox\nSubject: the vault\nThread-Topic: vault\nX-Secret: vault\nFrom: a@b\nDate: x\nReceived: r\n\
        Content-Type: text/plain; name=vault\nAuthentication-Results: mx\n";
    for (text, how) in [
        (format!("{header}\nbody\n"), HeaderProtection::Off),
        (format!("{header}\r\nbody \0\r"), HeaderProtection::Shy),
        (header.to_owned(), HeaderProtection::Baseline),
        (format!("{header}\n\nx"), HeaderProtection::Clear),
    ] {
        let message = Message::parse(text.as_bytes());
        let (payload, mut edits) = payload(&message, true, true, how, true, &spill).unwrap();
        let mut inside = Vec::new();
        payload.write_exact(&mut inside).unwrap();
        assert_eq!(inside, text.as_bytes());
        edits.extend(splice::replace_content_fields(&message, &[]));
        let outside = mail::apply(&message, &edits, &spill).unwrap();
        let outside = String::from_utf8_lossy(outside.header().as_bytes()).replace("\r\n", "\n");
        let subject = if how == HeaderProtection::Clear { "the vault" } else { "[...]" };
        let kept = "From: a@b\nDate: x\nReceived: r\nAuthentication-Results: mx\n";
        assert_eq!(outside, format!("From mbox\nSubject: {subject}\n{kept}"));
    }
}
