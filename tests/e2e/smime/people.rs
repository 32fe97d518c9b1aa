//! What people do with openssl.

use std::process::Command;

use tests::Pki;
use tests::messages::crlf;
use tests::pki::Issued;

/// Whether `text` is anywhere in `bytes`.
pub(crate) fn find(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn header(from: &str, to: &str) -> String {
    format!(
        "From: {from}\nTo: {to}\nSubject: offer\nDate: Mon, 02 Nov 2026 09:30:00 +0100\n\
         Message-ID: <smime-{}@client.example>\n",
        from.len() + to.len()
    )
}

/// A text that somebody signed in clear on his own machine.
pub(crate) fn openssl_signed(pki: &Pki, who: &Issued, from: &str, to: &str, text: &str) -> Vec<u8> {
    std::fs::write(pki.path("plain.txt"), format!("Content-Type: text/plain\r\n\r\n{text}")).unwrap();
    let (certificate, key) = (who.certificate.to_string_lossy(), who.key.to_string_lossy());
    let signed = pki.openssl(&["cms", "-sign", "-in", "plain.txt", "-signer", &certificate, "-inkey", &key]);
    crlf(&format!("{}{}", header(from, to), String::from_utf8_lossy(&signed)))
}

/// An entity encrypted to one certificate on somebody's own machine.
pub(crate) fn openssl_encrypted(
    pki: &Pki,
    to_whom: &Issued,
    cipher: &str,
    from: &str,
    to: &str,
    entity: &[u8],
) -> Vec<u8> {
    std::fs::write(pki.path("entity"), entity).unwrap();
    let certificate = to_whom.certificate.to_string_lossy();
    let sealed = pki.openssl(&["cms", "-encrypt", cipher, "-in", "entity", &certificate]);
    crlf(&format!("{}{}", header(from, to), String::from_utf8_lossy(&sealed)))
}

/// The Content-* fields and the body.
pub(crate) fn smime_part(message: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let fields = unfolded.lines().filter(|line| line.to_ascii_lowercase().starts_with("content-"));
    format!("{}\r\n\r\n{body}", fields.collect::<Vec<_>>().join("\r\n")).into_bytes()
}

fn openssl(pki: &Pki, words: &[&str]) -> Result<(), String> {
    let ran = Command::new("openssl").args(words).current_dir(pki.dir()).output().unwrap();
    if ran.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ran.stderr).into_owned()) }
}

/// What is signed in a message, if openssl accepts the signature; also in the file `inside.eml`.
pub(crate) fn verify(pki: &Pki, message: &[u8]) -> Result<Vec<u8>, String> {
    std::fs::write(pki.path("signed.eml"), message).unwrap();
    let words =
        ["cms", "-verify", "-in", "signed.eml", "-CAfile", "root.pem", "-purpose", "any", "-out", "verified"];
    openssl(pki, &words)?;
    std::fs::rename(pki.path("verified"), pki.path("inside.eml")).unwrap();
    Ok(std::fs::read(pki.path("inside.eml")).unwrap())
}

/// What is encrypted in a message, if openssl can open it with this key.
pub(crate) fn decrypt(pki: &Pki, who: &Issued, message: &[u8]) -> Result<Vec<u8>, String> {
    std::fs::write(pki.path("sealed.eml"), message).unwrap();
    let (certificate, key) = (who.certificate.to_string_lossy(), who.key.to_string_lossy());
    openssl(
        pki,
        &["cms", "-decrypt", "-in", "sealed.eml", "-recip", &certificate, "-inkey", &key, "-out", "opened"],
    )?;
    Ok(std::fs::read(pki.path("opened")).unwrap())
}

/// The fingerprint by which everything here names a certificate.
pub(crate) fn fingerprint(pki: &Pki, who: &Issued) -> String {
    let certificate = who.certificate.to_string_lossy();
    let told = pki.openssl(&["x509", "-in", &certificate, "-noout", "-fingerprint", "-sha256"]);
    let told = String::from_utf8(told).unwrap();
    told.trim().split_once('=').unwrap().1.replace(':', "")
}
