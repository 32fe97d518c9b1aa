//! OCSP over HTTP: `openssl ocsp` asks our responder, and we ask it.

use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use keydir::Anchors;
use keydir::Certificate;
use keydir::ChainError;
use keydir::LocalAuthority;
use keydir::OcspError;
use keydir::OcspQuestion;
use keydir::OcspStatus;
use keydir::Profile;
use keydir::RevocationReason;
use keydir::Use;

use crate::world::Key;
use crate::world::World;
use crate::world::now;

/// Answers on a free port until the test is over.
fn serve(world: &World, key: Key, delegate: Arc<Mutex<Option<Certificate>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let authority = LocalAuthority::open(&world.path("ca.db")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            let delegate = delegate.lock().unwrap().clone();
            let body = authority.ocsp(&key, delegate.as_ref(), &request, now());
            let head = format!(
                "HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).unwrap();
        }
    });
    port
}

fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
            if bytes.len() >= end + 4 + length.trim().parse::<usize>().unwrap() {
                return bytes.split_off(end + 4);
            }
        }
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the request ended early");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

#[test]
fn openssl_asks_and_hears_of_a_revocation_at_once() {
    for delegated in [false, true] {
        let world = World::new();
        let responder = Key::p256();
        let delegate = delegated.then(|| world.leaf(Profile::OcspResponder, "responder", &responder));
        let key = if delegated { responder } else { world.issuing_key.clone() };
        let port = serve(&world, key, Arc::new(Mutex::new(delegate)));
        let ask = |leaf: &Certificate, digest: &str| {
            world.write("leaf.pem", leaf.pem());
            world.openssl(&format!(
                "ocsp -{digest} -issuer issuing.pem -cert leaf.pem -url http://127.0.0.1:{port}/ocsp \
                 -CAfile root.pem -verify_other issuing.pem -resp_text"
            ))
        };
        // Several, because half of the serial numbers begin with a zero octet.
        for n in 0..6 {
            let leaf = world.leaf(Profile::User, &format!("u{n}@alpha.example"), &Key::p256());
            for digest in ["sha1", "sha256"] {
                let (ok, text) = ask(&leaf, digest);
                assert!(ok && text.contains("Response verify OK"), "{text}");
                assert!(text.contains("leaf.pem: good"), "{text}");
                assert!(!text.contains("WARNING: no nonce"), "{text}");
            }
            world.authority.revoke(&leaf.fingerprint(), RevocationReason::KeyCompromise, now()).unwrap();
            let (ok, text) = ask(&leaf, "sha1");
            assert!(ok && text.contains("Response verify OK"), "{text}");
            assert!(text.contains("leaf.pem: revoked") && text.contains("keyCompromise"), "{text}");
        }
        // Made with the issuing key, but never recorded: unknown, not good.
        let rogue = world.rogue("/CN=Eve", "subjectAltName=email:eve@alpha.example");
        let (_, text) = ask(&rogue, "sha1");
        assert!(text.contains("leaf.pem: unknown"), "{text}");
    }
}

#[test]
fn our_own_question_is_answered_and_what_was_learned_counts() {
    let world = World::new();
    let leaf = world.leaf(Profile::User, "alice@alpha.example", &Key::p256());
    let question = OcspQuestion::new(&leaf, &world.issuing).unwrap();
    assert_eq!(question.responders(), ["http://pki.alpha.example/ocsp"]);
    let answer = |question: &OcspQuestion| {
        world.authority.ocsp(&world.issuing_key, None, question.request(), world.now)
    };
    let judged = question.judge(&answer(&question), world.now).unwrap();
    assert_eq!((judged.status, judged.fresh), (OcspStatus::Good, true));
    let key = Key::p256();
    let delegate = world.leaf(Profile::OcspResponder, "responder", &key);
    let delegated = world.authority.ocsp(&key, Some(&delegate), question.request(), world.now);
    assert_eq!(question.judge(&delegated, world.now).unwrap().status, OcspStatus::Good);

    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    assert_eq!(anchors.learn(&question, &answer(&question), world.now).unwrap(), OcspStatus::Good);
    assert_eq!(anchors.learned(&leaf, world.now), Some(OcspStatus::Good));
    assert_eq!(anchors.learned(&leaf, world.now + 3600), None);
    anchors.verify(&leaf, &[], world.now, Use::Sign).unwrap();

    world.authority.revoke(&leaf.fingerprint(), RevocationReason::Superseded, world.now).unwrap();
    let status = anchors.learn(&question, &answer(&question), world.now).unwrap();
    assert_eq!(status, OcspStatus::Revoked { when: world.now, why: "superseded".to_owned() });
    for later in [world.now, world.now + 3600] {
        let error = anchors.verify(&leaf, &[], later, Use::Sign).unwrap_err();
        assert!(matches!(error, ChainError::Revoked { .. }), "{error}");
    }
    // Anchors that were read anew take over what was learned.
    let mut renewed = Anchors::none();
    world.authority.add_to(&mut renewed).unwrap();
    assert!(renewed.verify(&leaf, &[], world.now, Use::Sign).is_ok());
    renewed.learn_from(&anchors);
    assert!(matches!(renewed.verify(&leaf, &[], world.now, Use::Sign), Err(ChainError::Revoked { .. })));
}

#[test]
fn answers_that_are_old_altered_foreign_or_to_another_question_do_not_count() {
    let world = World::new();
    let leaf = world.leaf(Profile::User, "alice@alpha.example", &Key::p256());
    let other = world.leaf(Profile::User, "bob@alpha.example", &Key::p256());
    let question = OcspQuestion::new(&leaf, &world.issuing).unwrap();
    let answer =
        |key: &Key, question: &OcspQuestion, at| world.authority.ocsp(key, None, question.request(), at);
    let good = answer(&world.issuing_key, &question, world.now);

    let stale = question.judge(&good, world.now + 1200).unwrap_err();
    assert!(matches!(stale, OcspError::Stale), "{stale}");
    let again = OcspQuestion::new(&leaf, &world.issuing).unwrap().judge(&good, world.now).unwrap_err();
    assert!(matches!(again, OcspError::Nonce), "a replayed answer: {again}");
    let another = OcspQuestion::new(&other, &world.issuing).unwrap();
    assert!(another.judge(&good, world.now).is_err());
    for at in [good.len() / 2, good.len() - 1] {
        let mut altered = good.clone();
        altered[at] ^= 1;
        assert!(question.judge(&altered, world.now).is_err(), "octet {at}");
    }
    assert!(question.judge(&good[..good.len() - 1], world.now).is_err());
    assert!(question.judge(&vec![0x30; 70_000], world.now).is_err());

    // Another key gets no signature of ours, and is refused.
    let refused = question.judge(&answer(&Key::p384(), &question, world.now), world.now).unwrap_err();
    assert!(matches!(refused, OcspError::Refused(6)), "{refused}");
    // The same names under other keys.
    let foreign = World::new();
    let theirs = foreign.authority.ocsp(&foreign.issuing_key, None, question.request(), world.now);
    let refused = question.judge(&theirs, world.now).unwrap_err();
    assert!(matches!(refused, OcspError::Refused(6)), "{refused}");
    // A user's certificate makes no responder.
    let bob = Key::p256();
    let user = world.leaf(Profile::User, "bob@alpha.example", &bob);
    let usurped = world.authority.ocsp(&bob, Some(&user), question.request(), world.now);
    assert!(matches!(question.judge(&usurped, world.now), Err(OcspError::Refused(6))));
}

#[test]
fn junk_gets_an_answer_that_says_so() {
    let world = World::new();
    let long = vec![0x30; 20_000];
    for junk in [&b""[..], b"junk", &[0x30, 0x80, 0, 0], &long] {
        let answer = world.authority.ocsp(&world.issuing_key, None, junk, world.now);
        // OCSPResponse { malformedRequest (1) }
        assert_eq!(answer, [0x30, 0x03, 0x0a, 0x01, 0x01]);
    }
}

#[test]
fn each_generation_of_the_issuing_authority_answers_for_its_own() {
    let world = World::new();
    let old = world.leaf(Profile::User, "alice@alpha.example", &Key::p256());
    let second_key = Key::p256();
    let settings = world.authority.settings().unwrap();
    let second = world
        .authority
        .renew_issuing(&settings, &world.root_key, &second_key, world.now + 1, |_| Ok(()))
        .unwrap();
    let question = OcspQuestion::new(&old, &world.issuing).unwrap();
    let asked = world.authority.asked_authority(question.request()).unwrap().unwrap();
    assert_eq!(asked.certificate, world.issuing);
    assert_ne!(asked.certificate, second);
    let answer =
        |key: &Key| question.judge(&world.authority.ocsp(key, None, question.request(), now()), now());
    assert_eq!(answer(&world.issuing_key).unwrap().status, OcspStatus::Good);
    assert!(matches!(answer(&second_key), Err(OcspError::Refused(6))));
    assert!(world.authority.asked_authority(b"junk").unwrap().is_none());
    let foreign = World::new();
    assert!(foreign.authority.asked_authority(question.request()).unwrap().is_none());
}
