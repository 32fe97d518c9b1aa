use super::*;

use crate::note::Note;

use proptest::prelude::*;

/// From the documentation of golang.org/x/mod/sumdb/note, which C2SP signed-note describes.
pub(crate) const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
pub(crate) const SKEY: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

#[test]
fn the_key_of_the_reference_implementation() {
    let signer = Signer::parse(SKEY).unwrap();
    assert_eq!(signer.secret().unwrap().as_str(), SKEY);
    assert_eq!(signer.verifier().to_string(), VKEY);
    let key: VerifierKey = VKEY.parse().unwrap();
    assert_eq!(&key, signer.verifier());
    assert_eq!((key.name(), key.id(), key.algorithm()), ("PeterNeumann", 0xc74f_20a3, Algorithm::Ed25519));
}

#[test]
fn no_part_and_no_mistyping_of_a_key_is_a_key() {
    for (start, end) in (0..VKEY.len()).flat_map(|start| (start..=VKEY.len()).map(move |end| (start, end))) {
        if (start, end) != (0, VKEY.len()) {
            assert!(VKEY[start..end].parse::<VerifierKey>().is_err(), "{start}..{end}");
        }
    }
    for at in 0..VKEY.len() {
        let mut mistyped = VKEY.as_bytes().to_vec();
        mistyped[at] += 1;
        assert!(str::from_utf8(&mistyped).unwrap().parse::<VerifierKey>().is_err(), "{at}");
    }
    assert!(VKEY.replace("c74f20a3", "C74F20A3").parse::<VerifierKey>().is_err());
    assert!(Signer::parse(VKEY).is_err());
    assert!(matches!(Cosigner::parse(SKEY), Err(KeyError::Algorithm)));
    let unknown = format!("PeterNeumann+c74f20a3+{}", base64(&[[6_u8].as_slice(), &[1; 32]].concat()));
    assert!(matches!(unknown.parse::<VerifierKey>(), Err(KeyError::Algorithm)));
}

#[test]
fn names_are_one_word_without_plus() {
    for name in ["", "a b", "a+b", "a\tb", "a\nb", "a\u{a0}b", "a\u{2003}b", "\0"] {
        assert!(Signer::generate(name).is_err(), "{name:?}");
    }
    assert!(Signer::generate("log.example/größe").is_ok());
}

#[test]
fn an_error_does_not_repeat_the_secret() {
    let Err(error) = Signer::parse(&SKEY.replace("c74f", "c74e")) else { panic!("mistyped") };
    assert_eq!(error.to_string(), "the key id does not belong to this name and key");
}

/// C2SP tlog-cosignature, "Ed25519 signed message": what is signed begins with these two lines.
#[test]
fn a_cosignature_is_over_time_and_checkpoint() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let cosigner = Cosigner::from_seed("witness.example.com/w1", &[7; 32]).unwrap();
    let signature = cosigner.cosign(text, 1_679_315_147).unwrap();
    let (time, bytes) = signature.bytes().split_at(8);
    assert_eq!(time, 1_679_315_147_u64.to_be_bytes());
    // The same key as a plain signer, over the message written out.
    let plain = Signer::from_seed("witness.example.com/w1", &[7; 32]).unwrap();
    let message = format!("cosignature/v1\ntime 1679315147\n{text}");
    assert_eq!(plain.sign(&message).unwrap().bytes(), bytes);
    assert_ne!(plain.verifier().id(), cosigner.verifier().id());

    let key: VerifierKey = cosigner.verifier().to_string().parse().unwrap();
    assert_eq!(key.verify(text, &signature), Some(Stamp { time: Some(1_679_315_147) }));
    assert_eq!(key.verify(&text.replace("63", "64"), &signature), None);
    assert_eq!(plain.verifier().verify(text, &signature), None);
    assert!(cosigner.cosign(text, i64::MAX as u64).is_ok());
    assert!(matches!(cosigner.cosign(text, 1 << 63), Err(KeyError::Time)));
}

#[test]
fn the_time_is_part_of_what_is_signed() {
    let cosigner = Cosigner::generate("w").unwrap();
    let line = cosigner.cosign("text\n", 5).unwrap().to_string();
    let mut bytes = from_base64(line.rsplit(' ').next().unwrap()).unwrap();
    bytes[11] += 1;
    let later = Signature::parse(&format!("— w {}", base64(&bytes))).unwrap();
    assert!(cosigner.verifier().made(&later));
    assert_eq!(cosigner.verifier().verify("text\n", &later), None);
    let short = Signature::parse(&format!("— w {}", base64(&bytes[..10]))).unwrap();
    assert_eq!(cosigner.verifier().verify("text\n", &short), None);
}

proptest! {
    #[test]
    fn a_key_is_read_as_it_was_written(name in "[^\\s+\\p{C}]{1,20}", seed: [u8; 32], text in "[ -~\n]{0,40}") {
        let signer = Signer::from_seed(&name, &seed).unwrap();
        let again = Signer::parse(&signer.secret().unwrap()).unwrap();
        let key: VerifierKey = again.verifier().to_string().parse().unwrap();
        prop_assert_eq!(&key, signer.verifier());
        let mut note = Note::new(format!("{text}\n")).unwrap();
        note.sign(&again).unwrap();
        prop_assert!(Note::parse(note.to_string().as_bytes()).unwrap().verify([&key]).is_ok());
    }

    #[test]
    fn reading_a_key_never_panics(text in "\\PC{0,80}") {
        let _ = text.parse::<VerifierKey>();
        let _ = Signer::parse(&text);
    }
}
