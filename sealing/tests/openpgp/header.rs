//! Header protection (RFC 9788), there and back.

use super::support::*;

use mail::Message;
use sealing::HeaderProtection;
use sealing::openpgp::Seal;

const MODES: [HeaderProtection; 4] =
    [HeaderProtection::Off, HeaderProtection::Clear, HeaderProtection::Baseline, HeaderProtection::Shy];

fn secret(content: &str) -> Message {
    let text = text_of(&letter(content)).replace("Subject: lunch", "Subject: =?utf-8?q?K=C3=B6ln?= marmoset");
    Message::parse(
        text.replace(
            "MIME-Version",
            "Keywords: marmoset\r\nDate: Mon, 02 Nov 2026 09:30:00 +0100\r\nMIME-Version",
        )
        .as_bytes(),
    )
}

fn letters() -> Vec<Message> {
    let html = "<html><BODY style=3D\"color:red\"><p>at =C3=A4 noon? =\nyes</BODY></html>\n";
    let mixed = format!(
        "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/alternative; boundary=a\n\n\
         --a\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZQ==\n\
         --a\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n{html}\n--a--\n\
         --m\nContent-Type: text/plain\nContent-Disposition: attachment\n\nattached\n--m--\n"
    );
    [
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nHello Bob,\n\nat noon?\n",
        "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nat =E4 noon? \n",
        "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n<p>hällo\n",
        "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA\n",
        mixed.as_str(),
    ]
    .map(secret)
    .into()
}

#[test]
fn the_header_is_hidden_on_the_road_and_the_very_message_comes_out() {
    let (world, alice, _) = World::alice_and_bob();
    let to = [world.usable(BOB)];
    for how in MODES {
        for message in letters() {
            let spec = Seal { header: how, ..plain_seal(&to, None) };
            let sealed_only = sealed(&message, &spec);
            let hides = matches!(how, HeaderProtection::Baseline | HeaderProtection::Shy);
            assert_eq!(text_of(&sealed_only).contains("marmoset"), !hides, "{how:?}");
            let opened = world.open(&sealed_only);
            let (mut lines, mut expected) = (lines_of(opened.message.as_ref().unwrap()), lines_of(&message));
            // Where a field was taken away outside, it comes back at the end of the header.
            lines.sort();
            expected.sort();
            assert_eq!(lines, expected, "{how:?}");
            assert_eq!(opened.mismatches, [""; 0], "{how:?}");
            // With a signature the text is signed in another transfer encoding, but is the same.
            let both = sealed(&message, &Seal { signer: Some(&alice), ..spec });
            let opened = world.open(&both);
            assert_eq!(opened.message.unwrap().subject(), "Köln marmoset");
            assert_eq!(opened.mismatches, [""; 0], "{how:?}");
        }
    }
}

fn lines_of(message: &Message) -> Vec<String> {
    text_of(message).lines().map(str::to_owned).collect()
}

#[test]
fn a_changed_header_of_signed_mail_is_told_and_nothing_is_changed() {
    let (world, alice, _) = World::alice_and_bob();
    let message = secret("Content-Type: text/plain\n\nx\n");
    let signed = sealed(&message, &Seal { header: HeaderProtection::Shy, ..plain_seal(&[], Some(&alice)) });
    assert_eq!(world.open(&signed).mismatches, [""; 0]);
    let changed = text_of(&signed).replacen("marmoset", "okapi", 1);
    let opened = world.open(&Message::parse(changed.as_bytes()));
    assert!(opened.edits.is_empty() && opened.message.is_none());
    assert_eq!(opened.mismatches, ["Subject"]);
    let broken = changed.replace("\r\n\r\nx", "\r\n\r\ny");
    assert_ne!(broken, changed);
    assert_eq!(world.open(&Message::parse(broken.as_bytes())).mismatches, [""; 0], "nothing is proven then");
}

#[test]
fn the_header_that_a_user_signed_wins_over_the_one_outside_an_encrypted_message() {
    let (world, alice, _) = World::alice_and_bob();
    let message = secret("Content-Type: text/plain\n\nx\n");
    let signed = sealed(&message, &Seal { header: HeaderProtection::Clear, ..plain_seal(&[], Some(&alice)) });
    let to = [world.usable(BOB)];
    let both = sealed(&signed, &Seal { header: HeaderProtection::Baseline, ..plain_seal(&to, None) });
    assert_eq!(world.open(&both).message.unwrap().body().to_vec().unwrap(), signed.body().to_vec().unwrap());
    let changed = text_of(&both).replacen("marmoset", "okapi", 1);
    let opened = world.open(&Message::parse(changed.as_bytes()));
    assert_eq!(opened.mismatches, ["Subject"]);
    let shown = opened.message.unwrap();
    assert_eq!(shown.subject(), "Köln marmoset");
    assert_eq!(
        shown.body().to_vec().unwrap(),
        signed.body().to_vec().unwrap(),
        "what is signed keeps its bytes"
    );
}
