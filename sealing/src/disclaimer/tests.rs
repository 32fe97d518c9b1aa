use super::*;

const TEXT: &str = "Alpha GmbH, Köln\nNot for everybody's eyes.";
const HTML: &str = "<p class=\"small\">Alpha GmbH, <b>Köln</b></p>";

fn message(text: &str) -> Message {
    Message::parse(text.replace('\n', "\r\n").as_bytes())
}

/// The message with the disclaimer, which must not come a second time.
fn with(text: &str, html: Option<&str>) -> Option<String> {
    let (message, spill) = (message(text), Spill::default());
    let edits = add(&message, TEXT, html, &spill).unwrap()?;
    let message = mail::apply(&message, &edits, &spill).unwrap();
    assert!(add(&message, TEXT, html, &spill).unwrap().is_none(), "once is enough");
    Some(String::from_utf8_lossy(&message.to_vec().unwrap()).replace("\r\n", "\n"))
}

#[test]
fn a_text_gets_it_in_its_own_charset_and_encoding() {
    let eight = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nhällo";
    assert_eq!(with(eight, None).unwrap(), format!("{eight}\n\n{TEXT}\n"));
    let quoted = "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nh=E4llo=\n";
    let expected = format!("{quoted}\n\n{}\n", TEXT.replace("ö", "=F6"));
    assert_eq!(with(quoted, None).unwrap(), expected);
    let base64 = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\naGFsbG8K\n";
    let done = with(base64, None).unwrap();
    let content = message(&done).entity().decoded(&Spill::default()).unwrap().to_vec().unwrap();
    let text = TEXT.replace('\n', "\r\n");
    assert_eq!(String::from_utf8(content).unwrap(), format!("hallo\n\r\n{text}\r\n"));
}

#[test]
fn each_form_of_the_text_gets_its_own() {
    let text = "Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain; charset=utf-8\n\
        Content-Transfer-Encoding: 8bit\n\nhi\n\n--a\n\
        Content-Type: text/html; charset=koi8-r\n\n<html><body>hi</body></html>\n--a--\n";
    let done = with(text, Some(HTML)).unwrap();
    assert!(
        done.contains("<body>hi\n<p class=\"small\">Alpha GmbH, <b>K&#246;ln</b></p>\n</body></html>\n--a--"),
        "{done}"
    );
    assert!(done.contains(&format!("\nhi\n\n{TEXT}\n\n--a")), "{done}");
    let made = with(text, None).unwrap();
    assert!(made.contains("<p>Alpha GmbH, K&#246;ln<br>\nNot for everybody's eyes.</p>"), "{made}");
}

#[test]
fn attachments_and_everything_else_keep_their_bytes() {
    let text = "From: a@b\nContent-Type: multipart/mixed; boundary=m\n\npre\n--m\nContent-Type: text/plain; charset=utf-8\n\
        Content-Transfer-Encoding: 8bit\n\nhi\n\n--m\nContent-Disposition: attachment\n\nlist \n--m--\npost";
    let done = with(text, None).unwrap();
    assert_eq!(done.replace(&format!("\n{TEXT}\n\n--m"), "\n--m"), text);
}

#[test]
fn what_cannot_take_it_becomes_a_part_beside_it() {
    for text in [
        "Subject: s\nContent-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: 8bit\n\nx\n",
        "Subject: s\nContent-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\nAHgA\n",
        "Subject: s\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA\n",
        "Subject: s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: x-zip\n\nAAAA\n",
        "Subject: s\nContent-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=s\n\n--s\n\nwords \n--s\n\
         Content-Type: application/pgp-signature\n\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n--s--\n",
    ] {
        let done = with(text, Some(HTML)).unwrap();
        assert!(done.contains("multipart/mixed"), "{done}");
        let content = text.strip_prefix("Subject: s\n").unwrap();
        assert!(done.contains(&format!("\n{content}")), "byte for byte: {done}");
        assert!(done.contains("\nAlpha GmbH, K=C3=B6ln\nNot for everybody's eyes.\n--=_"), "{done}");
    }
}

#[test]
fn it_stands_once_in_a_thread_however_it_was_quoted() {
    let quoted = "> Alpha\n> GmbH,  Köln Not for\n>> everybody's eyes.\n";
    let plain = "Content-Type: text/plain; charset=utf-8\n\nthanks\n\n";
    assert_eq!(with(&format!("{plain}{quoted}"), None), None);
    assert!(with(&format!("{plain}{}", quoted.replace("eyes", "ears")), None).is_some());
    let html = "Content-Type: text/html; charset=us-ascii\n\n<blockquote><P>ALPHA GmbH, K&ouml;ln<br>\nNot&nbsp;for \
        everybody&#x27;s <i>eyes</i>.</blockquote>";
    assert_eq!(with(html, None), None);
    let latin = "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
        > Alpha GmbH, K=F6ln\n> Not for everybody's eyes.\n";
    assert_eq!(with(latin, None), None);
}

#[test]
fn encrypted_mail_stays_as_it_is() {
    let text = "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=e\n\n--e\n\
        Content-Type: application/pgp-encrypted\n\nVersion: 1\n--e\nContent-Type: application/octet-stream\n\nx\n--e--\n";
    assert_eq!(with(text, None), None);
}
