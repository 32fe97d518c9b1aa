//! A policy that asks for witnesses is fulfilled by no checkpoint without cosignatures, whatever its groups.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::checkpoint::Checkpoint;
use tlog::key::Cosigner;
use tlog::key::Signer;
use tlog::policy::Policy;

fuzz_target!(|bytes: &[u8]| {
    let _ = Policy::parse(bytes);
    // Keys are more than a fuzzer can find: a digit from a to h after "key" stands for one of ours.
    let mut text = Vec::new();
    let log = Signer::from_seed("log.example", &[9; 32]).unwrap();
    text.extend(format!("log {}\n", log.verifier()).into_bytes());
    for line in bytes.split(|byte| *byte == b'\n') {
        match line {
            [b'w', name] => {
                let cosigner = Cosigner::from_seed("w", &[*name; 32]).unwrap();
                text.extend(format!("witness {} {}\n", char::from(*name), cosigner.verifier()).into_bytes());
            }
            line => text.extend([line, b"\n"].concat()),
        }
    }
    let Ok(policy) = Policy::parse(&text) else { return };
    let checkpoint = Checkpoint::new("log.example", 1, [1; 32], vec![]).unwrap().sign(&log).unwrap();
    let none = String::from_utf8_lossy(&text).lines().any(|line| {
        line.split([' ', '\t']).filter(|word| !word.is_empty()).eq(["quorum", "none"])
    });
    assert_eq!(policy.verify(&checkpoint).is_ok(), none);
    // With all of them it is always fulfilled.
    let mut all = checkpoint;
    for name in bytes.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"w")) {
        if let [name] = name {
            let cosigner = Cosigner::from_seed("w", &[*name; 32]).unwrap();
            if all.signatures().len() < 100 {
                all.add(cosigner.cosign(all.text(), 1).unwrap()).unwrap();
            }
        }
    }
    assert!(policy.witnesses().len() > 90 || policy.verify(&all).is_ok());
});
