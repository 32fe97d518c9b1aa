//! `openssl cms` verifies what we sign, and we verify what it signs.

use std::io::Write;

use sealing::cms::Capabilities;
use sealing::cms::ContentKind;
use sealing::cms::SecretKey;
use sealing::cms::Signer;
use sealing::cms::empty_layer;
use sealing::cms::micalg;
use sealing::cms::sign_detached;
use sealing::cms::sign_opaque;

use crate::pki::*;

const KINDS: [Kind; 5] = [Kind::Rsa(2048), Kind::Rsa(3072), Kind::Rsa(4096), Kind::P256, Kind::P384];

pub fn write_content(out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(CONTENT)
}

/// Signs in both forms; both hold in our own eyes.
pub fn sign_both(signer: &Signer<'_>) -> (Vec<u8>, Vec<u8>) {
    let clear = sign_detached(signer, write_content).unwrap();
    let mut whole = Vec::new();
    sign_opaque(&mut whole, signer, write_content).unwrap();
    let verified = detached(&clear, CONTENT, &[]).unwrap();
    assert_holds(&verified, signer.identity.certificate());
    assert!(verified.content.is_none());
    let verified = opaque(&whole, &[]).unwrap();
    assert_holds(&verified, signer.identity.certificate());
    assert_eq!(content(&verified), CONTENT);
    assert_eq!(verified.inner, ContentKind::Data);
    let [result] = &verified.signers[..] else { panic!() };
    assert_eq!(result.signing_time, Some(signer.now));
    assert_eq!(result.digest.to_ascii_lowercase(), micalg(signer).unwrap());
    let rsa = signer.identity.key().id() == ::openssl::pkey::Id::RSA;
    assert_eq!(result.capabilities, Capabilities { gcm: true, oaep: rsa });
    (clear, whole)
}

fn signer(identity: &SecretKey, pss: bool) -> Signer<'_> {
    Signer { pss, ..Signer::new(identity, now()) }
}

#[test]
fn openssl_verifies_every_form_we_emit() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    for kind in KINDS {
        let alice = ca.identity(ALICE, kind);
        for pss in [false, true] {
            if pss && !matches!(kind, Kind::Rsa(_)) {
                continue;
            }
            let (clear, whole) = sign_both(&signer(&alice, pss));
            desk.put("clear.p7s", &clear);
            desk.put("whole.p7m", &whole);
            desk.openssl_ok(
                "cms -verify -binary -inform DER -in clear.p7s -content content -CAfile ca.pem -out out",
            );
            assert_eq!(desk.get("out"), CONTENT);
            desk.openssl_ok("cms -verify -binary -inform DER -in whole.p7m -CAfile ca.pem -out out");
            assert_eq!(desk.get("out"), CONTENT);
            // That OpenSSL looks at the content at all.
            desk.put("altered", &CONTENT.to_ascii_uppercase());
            let altered = desk.openssl(
                "cms -verify -binary -inform DER -in clear.p7s -content altered -CAfile ca.pem -out out",
            );
            assert!(!altered.status.success());
            // What we write is DER: reading and writing it again changes nothing.
            desk.openssl_ok("cms -cmsout -inform DER -in whole.p7m -outform DER -out again.p7m");
            assert_eq!(desk.get("again.p7m"), whole, "{kind:?}");
        }
    }
}

#[test]
fn ed25519_holds_for_us_and_openssl_3_0_can_neither_make_nor_check_it() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    let alice = ca.identity(ALICE, Kind::Ed25519);
    let (clear, _) = sign_both(&signer(&alice, false));
    desk.put("clear.p7s", &clear);
    desk.put_identity("alice", &alice);
    let version = String::from_utf8(desk.openssl("version").stdout).unwrap();
    assert!(version.starts_with("OpenSSL 3.0."), "another OpenSSL: see what it can do by now: {version}");
    let verify =
        desk.openssl("cms -verify -binary -inform DER -in clear.p7s -content content -CAfile ca.pem");
    assert!(!verify.status.success());
    assert!(String::from_utf8_lossy(&verify.stderr).contains("invalid digest"), "{verify:?}");
    let sign =
        desk.openssl("cms -sign -binary -in content -signer alice.pem -inkey alice.key -outform DER -out s");
    assert!(!sign.status.success());
    assert!(String::from_utf8_lossy(&sign.stderr).contains("no default digest"), "{sign:?}");
}

#[test]
fn we_verify_what_openssl_signs() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    for kind in KINDS {
        let alice = ca.identity(ALICE, kind);
        desk.put_identity("alice", &alice);
        let mut forms = vec![
            "",
            " -noattr",
            " -nocerts",
            " -keyid",
            " -md sha384",
            " -md sha512",
            " -cades",
            " -nosmimecap",
        ];
        if matches!(kind, Kind::Rsa(_)) {
            forms.extend([
                " -keyopt rsa_padding_mode:pss",
                " -keyopt rsa_padding_mode:pss -noattr -md sha512",
            ]);
        }
        for form in forms {
            let common = format!(
                "cms -sign -binary -in content -outform DER -out s -signer alice.pem -inkey alice.key{form}"
            );
            desk.openssl_ok(&common);
            let extra = if form == " -nocerts" { vec![alice.certificate().clone()] } else { Vec::new() };
            let verified = detached(&desk.get("s"), CONTENT, &extra).unwrap();
            assert_holds(&verified, alice.certificate());
            let attributes = !form.contains("noattr");
            assert_eq!(verified.signers[0].signing_time.is_some(), attributes, "{form}");
            assert!(refusal(&detached(&desk.get("s"), &CONTENT[1..], &extra).unwrap()).len() > 10);
            assert!(opaque(&desk.get("s"), &extra).is_err(), "a detached signature has no content");
            for stream in ["", " -stream -indef"] {
                if form.contains("pss") && !stream.is_empty() {
                    // OpenSSL 3.0 cannot write it: it asks for the parameters before it has signed.
                    let output = desk.openssl(&format!("{common} -nodetach{stream}"));
                    assert!(String::from_utf8_lossy(&output.stderr).contains("illegal zero content"));
                    continue;
                }
                desk.openssl_ok(&format!("{common} -nodetach{stream}"));
                let verified = opaque(&desk.get("s"), &extra).unwrap();
                assert_holds(&verified, alice.certificate());
                assert_eq!(content(&verified), CONTENT);
                // The content is inside: whoever looks at another one is deceived.
                assert!(detached(&desk.get("s"), CONTENT, &extra).is_err());
            }
        }
    }
}

#[test]
fn a_signer_whose_certificate_is_missing_is_unknown() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    desk.put_identity("alice", &ca.identity(ALICE, Kind::P256));
    desk.openssl_ok(
        "cms -sign -binary -in content -outform DER -out s -signer alice.pem -inkey alice.key -nocerts",
    );
    let verified = detached(&desk.get("s"), CONTENT, &[]).unwrap();
    assert_eq!(refusal(&verified), "the signer's certificate is not known");
    assert!(verified.signers[0].certificate.is_none());
}

#[test]
fn sha1_and_md5_are_too_weak() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    desk.put_identity("alice", &ca.identity(ALICE, Kind::Rsa(2048)));
    for (digest, name) in [("sha1", "SHA-1"), ("md5", "MD5"), ("sha224", "SHA-224")] {
        for attributes in ["", " -noattr"] {
            desk.openssl_ok(&format!(
                "cms -sign -binary -in content -outform DER -out s -signer alice.pem -inkey alice.key -md {digest}{attributes}"
            ));
            let verified = detached(&desk.get("s"), CONTENT, &[]).unwrap();
            assert_eq!(refusal(&verified), format!("{name} is too weak"));
            assert_eq!(verified.signers[0].digest, name);
        }
    }
}

#[test]
fn several_signers_are_judged_one_by_one() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    let signers = [("alice", Kind::Rsa(2048)), ("bob", Kind::P256), ("carol", Kind::P384)];
    let mut arguments = "cms -sign -binary -in content -outform DER -out s -nodetach".to_owned();
    for (name, kind) in signers {
        desk.put_identity(name, &ca.identity(&format!("{name}@alpha.example"), kind));
        arguments += &format!(" -signer {name}.pem -inkey {name}.key -md sha256");
    }
    desk.openssl_ok(&arguments);
    let verified = opaque(&desk.get("s"), &[]).unwrap();
    assert!(verified.all_hold());
    let mut names: Vec<_> = verified
        .signers
        .iter()
        .map(|signer| signer.certificate.as_ref().unwrap().addresses()[0].clone())
        .collect();
    names.sort();
    assert_eq!(names, ["alice@alpha.example", "bob@alpha.example", "carol@alpha.example"]);
    assert_eq!(verified.certificates.len(), 3);
}

#[test]
fn openssl_reads_the_layer_around_a_layer() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    let gateway = ca.identity("domain-signing-authority@alpha.example", Kind::P256);
    let mut inner = Vec::new();
    empty_layer(&mut inner, CONTENT.len() as u64, write_content).unwrap();
    let verified = opaque(&inner, &[]).unwrap();
    assert!(verified.signers.is_empty() && !verified.all_hold() && verified.certificates.is_empty());
    assert_eq!(content(&verified), CONTENT);
    // OpenSSL accepts the form, but no message without a signer.
    desk.put("inner.p7m", &inner);
    desk.openssl_ok("cms -cmsout -inform DER -in inner.p7m -outform DER -out again.p7m");
    assert_eq!(desk.get("again.p7m"), inner);
    let verify = desk.openssl("cms -verify -binary -inform DER -in inner.p7m -CAfile ca.pem -out out");
    assert!(String::from_utf8_lossy(&verify.stderr).contains("no signers"), "{verify:?}");

    let mut outer = Vec::new();
    sign_opaque(&mut outer, &signer(&gateway, false), |out| out.write_all(&inner)).unwrap();
    desk.put("outer.p7m", &outer);
    desk.openssl_ok("cms -verify -binary -inform DER -in outer.p7m -CAfile ca.pem -out out");
    assert_eq!(desk.get("out"), inner);
}

#[test]
fn a_bag_of_certificates_is_read() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    let alice = ca.identity(ALICE, Kind::P256);
    desk.put_identity("alice", &alice);
    desk.openssl_ok("crl2pkcs7 -nocrl -certfile alice.pem -certfile ca.pem -outform DER -out bag.p7c");
    let verified = opaque(&desk.get("bag.p7c"), &[]).unwrap();
    assert!(verified.content.is_none() && verified.signers.is_empty());
    assert_eq!(verified.certificates.len(), 2);
    assert!(verified.certificates.iter().any(|one| one.der() == alice.certificate().der()));
}

#[test]
fn revocation_lists_that_come_along_are_handed_on() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    desk.put_identity("alice", &ca.identity(ALICE, Kind::P256));
    desk.put("ca.key", &ca.key.private_key_to_pem_pkcs8().unwrap());
    desk.put("index", b"");
    desk.put(
        "ca.conf",
        b"[ca]\ndefault_ca=own\n[own]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=7\n",
    );
    desk.openssl_ok("ca -config ca.conf -gencrl -keyfile ca.key -cert ca.pem -out crl.pem");
    desk.openssl_ok("crl2pkcs7 -in crl.pem -certfile alice.pem -outform DER -out bag.p7c");
    let verified = opaque(&desk.get("bag.p7c"), &[]).unwrap();
    let crl = ::openssl::x509::X509Crl::from_pem(&desk.get("crl.pem")).unwrap();
    assert_eq!(verified.crls, [crl.to_der().unwrap()]);
    assert_eq!(verified.certificates.len(), 1);
}
