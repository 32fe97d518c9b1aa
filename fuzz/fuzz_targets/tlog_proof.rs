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
        // Not by way of a policy's text: the name of a log may have bytes that no policy can have.
        let mut policy = Policy::parse(b"quorum none").unwrap();
        policy.trust_log(signer.verifier().clone()).unwrap();
        assert!(proof.verify(b"entry", &policy).is_err());
    }
});
