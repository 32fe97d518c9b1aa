//! Whoever has the issuing key can still certify nobody outside of the domains.

use keydir::Anchors;
use keydir::ChainError;
use keydir::Use;

use crate::world::World;
use crate::world::now;

const MAIL: &str = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n\
                    extendedKeyUsage=emailProtection\n";

#[test]
fn foreign_names_under_the_issuing_key_fail_in_openssl_and_here() {
    let world = World::new();
    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    for (subject, san, allowed) in [
        ("/CN=Alice", "subjectAltName=email:alice@alpha.example", true),
        ("/CN=Alice", "subjectAltName=email:alice@deep.sub.alpha.example", true),
        ("/CN=Eve", "subjectAltName=email:eve@evil.example", false),
        ("/CN=Eve", "subjectAltName=email:eve@notalpha.example", false),
        ("/CN=Eve", "subjectAltName=email:eve@alpha.example.evil.example", false),
        ("/CN=Eve", "subjectAltName=email:alice@alpha.example,email:eve@evil.example", false),
        ("/CN=Eve/emailAddress=eve@evil.example", "", false),
        ("/CN=Eve/emailAddress=eve@evil.example", "subjectAltName=email:alice@alpha.example", false),
        ("/CN=Eve", "subjectAltName=otherName:1.3.6.1.5.5.7.8.9;UTF8:jörg@evil.example", false),
        ("/CN=Jörg", "subjectAltName=otherName:1.3.6.1.5.5.7.8.9;UTF8:jörg@alpha.example", true),
        ("/CN=Eve", "subjectAltName=email:alice@alpha.example,DNS:evil.example", false),
        ("/CN=Gate", "subjectAltName=email:alice@alpha.example,DNS:gate.alpha.example", true),
    ] {
        let leaf = world.rogue(subject, &format!("{MAIL}{san}"));
        let (ok, text) =
            world.openssl("verify -CAfile root.pem -untrusted issuing.pem -purpose smimesign rogue.pem");
        assert_eq!(ok, allowed, "{subject} {san}: {text}");
        assert!(allowed || text.contains("permitted subtree violation"), "{subject} {san}: {text}");
        for use_ in [Use::Sign, Use::Encrypt] {
            match anchors.verify(&leaf, &[], now(), use_) {
                Ok(_) => assert!(allowed, "{subject} {san}"),
                Err(error) => {
                    assert!(matches!(error, ChainError::NameConstraints(_)), "{subject} {san}: {error}");
                    assert!(!allowed, "{subject} {san}: {error}");
                }
            }
        }
    }
}

#[test]
fn an_authority_below_the_issuing_one_is_refused() {
    let world = World::new();
    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    let authority = world.rogue("/CN=Sub", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign");
    let (ok, text) = world.openssl("verify -CAfile root.pem -untrusted issuing.pem rogue.pem");
    // OpenSSL counts the length of the path only when something lies below.
    assert!(ok, "{text}");
    std::fs::rename(world.path("rogue.pem"), world.path("sub.pem")).unwrap();
    std::fs::rename(world.path("rogue.key"), world.path("sub.key")).unwrap();
    let made = world.openssl("req -new -newkey rsa:2048 -nodes -keyout l.key -out l.csr -subj /CN=Leaf");
    assert!(made.0, "{}", made.1);
    world.write("l.ext", format!("[x]\n{MAIL}subjectAltName=email:alice@alpha.example\n"));
    let made = world.openssl(
        "x509 -req -in l.csr -CA sub.pem -CAkey sub.key -days 9 -extfile l.ext -extensions x -out l.pem",
    );
    assert!(made.0, "{}", made.1);
    let leaf = keydir::Certificate::read_all(&std::fs::read(world.path("l.pem")).unwrap()).unwrap().remove(0);
    let refused = anchors.verify(&leaf, std::slice::from_ref(&authority), now(), Use::Sign).unwrap_err();
    assert!(matches!(refused, ChainError::Usage(_)), "{refused}");
    let as_leaf = anchors.verify(&authority, &[], now(), Use::Encrypt).unwrap_err();
    assert!(as_leaf.to_string().contains("certification authority"), "{as_leaf}");
}
