//! What is read as a proof, or as a request to a witness, is written the same; without the keys nothing is proved.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::key::Signer;
use tlog::policy::Policy;
use tlog::proof::Proof;
use tlog::witness::AddCheckpoint;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.to_string().as_bytes(), bytes);
        assert!(request.proof.len() <= 63);
    }
    let Ok(proof) = Proof::parse(bytes) else { return };
    assert_eq!(proof.to_string().as_bytes(), bytes);
    let origin = proof.checkpoint.text().lines().next().unwrap();
    if let Ok(signer) = Signer::from_seed(origin, &[7; 32]) {
        let policy = format!("log {}\nquorum none\n", signer.verifier());
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        assert!(proof.verify(b"entry", &policy).is_err());
    }
});
