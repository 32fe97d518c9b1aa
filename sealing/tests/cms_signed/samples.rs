//! Messages that others published.

use ::openssl::base64::decode_block;
use sealing::cms::Capabilities;

use crate::pki::*;

/// An example of RFC 4134, by the name it has in appendix B.
fn rfc4134(name: &str) -> Vec<u8> {
    let (_, rest) = include_str!("../data/rfc4134.txt").split_once(&format!("|>{name}\n")).unwrap();
    let (lines, _) = rest.split_once(&format!("|<{name}\n")).unwrap();
    decode_block(&lines.lines().map(|line| &line[1..]).collect::<String>()).unwrap()
}

#[test]
fn the_signatures_of_rfc_4134_are_read_and_found_too_weak() {
    // 4.2: RSA. 4.5: the same in BER with indefinite lengths and the content in two pieces. 4.7: DSA, and
    // the signer named by key identifier. All with SHA-1 and keys of 1024 bits, as was usual in 1999.
    for (name, certificates) in [("4.2.bin", 1), ("4.5.bin", 2), ("4.7.bin", 1)] {
        let verified = opaque(&rfc4134(name), &[]).unwrap();
        assert_eq!(content(&verified), b"This is some sample content.");
        assert_eq!(refusal(&verified), "SHA-1 is too weak");
        let found = verified.certificates.len() + verified.refused_certificates.len();
        assert_eq!(found, certificates, "{name}: {:?}", verified.refused_certificates);
        let signer = verified.signers[0].certificate.as_ref().unwrap();
        let alice = if name == "4.7.bin" { "AliceDSS@example.com" } else { "AliceRSA@example.com" };
        assert_eq!(signer.addresses()[0], alice);
    }
}

#[test]
fn a_sample_message_of_the_lamps_working_group_holds() {
    // "smime-one-part" from a draft of what became RFC 9788 (its appendix C has such messages), with the
    // certificates of Alice from RFC 9216 section 4: one for signing, one for encryption.
    let (_, body) = include_str!("../data/smime-one-part.eml").split_once("\n\n").unwrap();
    let verified = opaque(&decode_block(&body.replace('\n', "")).unwrap(), &[]).unwrap();
    assert!(verified.all_hold(), "{:?}", verified.signers);
    let [signer] = &verified.signers[..] else { panic!() };
    let alice = signer.certificate.as_ref().unwrap();
    assert_eq!(alice.addresses(), ["alice@smime.example"]);
    assert!(alice.may_sign(signer.signing_time.unwrap()).is_ok());
    // 2021-02-20 15:01:02 UTC, as its Date field says.
    assert_eq!(signer.signing_time, Some(1_613_833_262));
    assert_eq!((signer.digest.as_str(), signer.capabilities), ("SHA-256", Capabilities::default()));
    assert_eq!(verified.certificates.len(), 2);
    let text = String::from_utf8(content(&verified)).unwrap();
    assert!(
        text.starts_with("MIME-Version: 1.0\r\n") && text.contains("This is the smime-one-part message.")
    );
}
