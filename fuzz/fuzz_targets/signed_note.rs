//! What is read as a note is written the same, and so is what is read as a checkpoint. A signature is valid only on
//! the bytes that were signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::checkpoint::Checkpoint;
use tlog::key::Signer;
use tlog::key::VerifierKey;
use tlog::note::Note;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = str::from_utf8(bytes).unwrap_or_default().parse::<VerifierKey>() {
        assert_eq!(key.to_string().as_bytes(), bytes);
    }
    let Ok(mut note) = Note::parse(bytes) else { return };
    assert_eq!(note.to_string().as_bytes(), bytes);
    if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
        assert_eq!(checkpoint.to_string(), note.text());
    }
    let signer = Signer::from_seed("fuzz.example", &[7; 32]).unwrap();
    assert!(note.verify([signer.verifier()]).is_err());
    if note.signatures().len() < 100 {
        note.sign(&signer).unwrap();
        let again = Note::parse(note.to_string().as_bytes());
        assert!(again.is_ok_and(|again| again.verify([signer.verifier()]).is_ok()));
    }
});
