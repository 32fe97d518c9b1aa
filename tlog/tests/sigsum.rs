//! Cosignatures of real witnesses verified by us, and ours by another implementation (crate sigsum).
//!
//! Sigsum logs have leaves and proofs of their own form, but their checkpoints and cosignatures are those
//! of C2SP: `sigsum.org/v1/tree/` and the hash of the log's key are the origin.

#![expect(clippy::unwrap_used, reason = "a failed assumption here is a failed test")]

use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::sha::sha256;
use tlog::checkpoint::Checkpoint;
use tlog::key::Algorithm;
use tlog::key::Cosigner;
use tlog::key::Signer;
use tlog::key::VerifierKey;
use tlog::note::Note;
use tlog::note::Signature;
use tlog::policy::Policy;
use tlog::policy::PolicyError;
use tlog::proof::Proof;
use tlog::proof::ProofError;
use tlog::tiles::Writer;
use tlog::witness::Witness;
use tlog::witness::cosign;

/// What a public test log and eight witnesses signed in February 2026: the example in the documentation
/// of the crate sigsum 0.3.0, about the message "Hello, Sigsum!\n".
const REAL: &str = include_str!("data/hello.sigsum");

/// Their keys: Sigsum's policy sigsum-test-2025-3, group and all, in the same crate.
const KEYS: &str = include_str!("data/sigsum-test-2025-3.policy");

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn verifier(name: &str, algorithm: Algorithm, hex: &str) -> VerifierKey {
    VerifierKey::new(name, algorithm, &unhex(hex).try_into().unwrap()).unwrap()
}

fn signature(key: &VerifierKey, bytes: &[u8]) -> Signature {
    let encoded = base64_simd::STANDARD.encode_to_string([&key.id().to_be_bytes(), bytes].concat());
    Signature::parse(&format!("— {} {encoded}", key.name())).unwrap()
}

fn origin(public: &[u8]) -> String {
    format!("sigsum.org/v1/tree/{}", hex(&sha256(public)))
}

/// Sigsum's policy in the form of C2SP: keys become vkeys.
fn c2sp_policy(sigsum: &str) -> String {
    let mut policy = String::new();
    for line in sigsum.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        policy += &match words.as_slice() {
            ["log", key, ..] => {
                format!("log {}\n", verifier(&origin(&unhex(key)), Algorithm::Ed25519, key))
            }
            ["witness", name, key, ..] => {
                format!("witness {name} {}\n", verifier(name, Algorithm::CosignatureV1, key))
            }
            _ => format!("{line}\n"),
        };
    }
    policy
}

/// The same proof in the form of C2SP, and the leaf.
fn c2sp_proof(sigsum: &str, policy: &Policy) -> (Proof, Vec<u8>) {
    let value = |name: &str| sigsum.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let values = |name: &'static str| {
        sigsum.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let log = policy
        .logs()
        .iter()
        .map(|log| &log.key)
        .find(|key| hex(&sha256(key.public())) == value("log").unwrap());
    let log = log.unwrap();
    let root = unhex(value("root_hash").unwrap()).try_into().unwrap();
    let size = value("size").unwrap().parse().unwrap();
    let checkpoint = Checkpoint::new(log.name(), size, root, vec![]).unwrap();
    let mut note = Note::new(checkpoint.to_string()).unwrap();
    note.add(signature(log, &unhex(value("signature").unwrap()))).unwrap();
    for line in values("cosignature") {
        let [key_hash, time, bytes]: [&str; 3] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let keys = policy.witnesses().iter().map(|witness| &witness.key);
        let key = keys.into_iter().find(|key| hex(&sha256(key.public())) == key_hash).unwrap();
        let time = time.parse::<u64>().unwrap().to_be_bytes();
        note.add(signature(key, &[time.as_slice(), &unhex(bytes)].concat())).unwrap();
    }
    let (signer, leaf_signature) = value("leaf").unwrap().split_once(' ').unwrap();
    let checksum = sha256(&sha256(b"Hello, Sigsum!\n"));
    let leaf = [checksum.as_slice(), &unhex(leaf_signature), &unhex(signer)].concat();
    let path = values("node_hash").map(|hash| unhex(hash).try_into().unwrap()).collect();
    let index = value("leaf_index").unwrap().parse().unwrap();
    (Proof { extra: None, index, path, checkpoint: note }, leaf)
}

#[test]
fn what_real_witnesses_cosigned_is_verified() {
    let policy = Policy::parse(c2sp_policy(KEYS).as_bytes()).unwrap();
    let (proof, leaf) = c2sp_proof(REAL, &policy);
    let proof = Proof::parse(proof.to_string().as_bytes()).unwrap();
    let witnessed = proof.verify(&leaf, &policy).unwrap();
    assert_eq!(witnessed.checkpoint.checkpoint().size(), 381_382);
    assert_eq!(witnessed.cosignatures.len(), 8);
    assert!(witnessed.cosignatures.iter().all(|(_, time)| *time == 1_770_193_051));

    // Two of the three of Glasklar and three others are enough, in a quorum of four of six.
    let without = |names: &[&str]| {
        let mut note = Note::new(proof.checkpoint.text()).unwrap();
        let kept = proof.checkpoint.signatures().iter().filter(|line| !names.contains(&line.name()));
        kept.cloned().for_each(|line| note.add(line).unwrap());
        Proof { checkpoint: note, ..proof.clone() }.verify(&leaf, &policy).map(|_| ())
    };
    without(&["rgdd.se/poc-witness", "remora.n621.de", "witness.stagemole.eu"]).unwrap();
    let refused =
        without(&["rgdd.se/poc-witness", "poc.sigsum.org/nisse", "remora.n621.de", "witness.stagemole.eu"]);
    assert!(matches!(refused, Err(ProofError::Policy(PolicyError::NoQuorum { cosigned: 4, witnesses: 8 }))));
}

#[test]
fn what_is_changed_of_it_is_refused() {
    let policy = Policy::parse(c2sp_policy(KEYS).as_bytes()).unwrap();
    for (from, to) in [
        ("size=381382", "size=381383"),
        ("1770193051 a1ee", "1770193052 a1ee"),
        ("a1ee1182", "a1ee1183"),
        ("=8a8bf1fc", "=8a8bf1fd"),
        ("leaf_index=381381", "leaf_index=381380"),
        ("=d009c5db", "=d009c5dc"),
    ] {
        assert!(REAL.contains(from));
        let (proof, leaf) = c2sp_proof(&REAL.replace(from, to), &policy);
        assert!(proof.verify(&leaf, &policy).is_err(), "{from}");
    }
}

/// A Sigsum leaf: the hash of the message, who signed it, and the signature.
fn sigsum_leaf(message: &[u8], key: &PKey<Private>) -> Vec<u8> {
    let checksum = sha256(&sha256(message));
    let signed = [b"sigsum.org/v1/tree-leaf\0".as_slice(), &checksum].concat();
    let mut signer = openssl::sign::Signer::new_without_digest(key).unwrap();
    let signature = signer.sign_oneshot_to_vec(&signed).unwrap();
    [checksum.as_slice(), &signature, &sha256(&key.raw_public_key().unwrap())].concat()
}

#[test]
fn another_implementation_verifies_our_log_our_witnesses_and_our_proof() {
    let submitter = PKey::generate_ed25519().unwrap();
    let public = Signer::from_seed("any", &[9; 32]).unwrap().verifier().public().to_vec();
    let signer = Signer::from_seed(&origin(&public), &[9; 32]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(directory.path(), &signer, vec![]).unwrap();
    for number in 0..600 {
        writer.append(&sigsum_leaf(format!("message {number}").as_bytes(), &submitter)).unwrap();
    }
    let sealed = writer.seal(&signer, vec![]).unwrap();
    let reader = writer.reader().unwrap();
    let mut policy = format!("log {}\n", hex(&public));
    let mut cosignatures = Vec::new();
    for number in 0..3_u8 {
        let cosigner = Cosigner::generate(&format!("w{number}")).unwrap();
        policy += &format!("witness w{number} {}\n", hex(cosigner.verifier().public()));
        let memory = tempfile::tempdir().unwrap();
        Witness::create(memory.path(), cosigner.verifier()).unwrap();
        let witness = Witness::open(memory.path(), cosigner, [signer.verifier().clone()]).unwrap();
        let send = |body: &[u8]| {
            let answer = witness.add_checkpoint(body, 1_800_000_000);
            Ok::<_, ()>((answer.status(), answer.body().into_bytes()))
        };
        let cosignature = cosign(&sealed, witness.key(), 0, &reader, send).unwrap();
        let (time, bytes) = cosignature.bytes().split_first_chunk().unwrap();
        let key = hex(&sha256(witness.key().public()));
        cosignatures.push(format!("cosignature={key} {} {}\n", u64::from_be_bytes(*time), hex(bytes)));
    }
    policy += "group enough 2 w0 w1 w2\nquorum enough\n";
    let policy = sigsum::Policy::parse(&policy).unwrap();
    let submitters =
        [sigsum::PublicKey::from(<[u8; 32]>::try_from(submitter.raw_public_key().unwrap()).unwrap())];

    let verify = |index: u64, cosignatures: &[String]| {
        let leaf = reader.entry(index).unwrap();
        let nodes = reader.inclusion(index, 600).unwrap();
        let nodes: String = nodes.iter().map(|hash| format!("node_hash={}\n", hex(hash))).collect();
        let proof = format!(
            "version=2\nlog={}\nleaf={} {}\n\nsize=600\nroot_hash={}\nsignature={}\n{}\nleaf_index={index}\n{nodes}",
            hex(&sha256(&public)),
            hex(&leaf[96..]),
            hex(&leaf[32..96]),
            hex(reader.root()),
            hex(sealed.note().signatures()[0].bytes()),
            cosignatures.concat(),
        );
        let proof = sigsum::SigsumSignature::from_ascii(&proof).unwrap();
        let message = sigsum::Hash::new(format!("message {index}"));
        sigsum::verify(&message, &proof, &submitters, &policy)
    };
    for index in [0, 1, 255, 256, 511, 512, 598, 599] {
        verify(index, &cosignatures).unwrap();
        verify(index, &cosignatures[1..]).unwrap();
    }
    let refused = verify(5, &cosignatures[2..]).unwrap_err().to_string();
    assert!(refused.contains("not enough valid cosignatures"), "{refused}");
    let stale = [cosignatures[0].replace(" 1800000000 ", " 1800000001 "), cosignatures[1].clone()];
    assert!(verify(5, &stale).unwrap_err().to_string().contains("bad witness cosignature"));
}
