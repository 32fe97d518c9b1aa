//! What is refused as a certificate, for mail, or by the store, and why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use keydir::Anchors;
use keydir::Answer;
use keydir::Certificate;
use keydir::CertificateError;
use keydir::CertificateId;
use keydir::ChainError;
use keydir::Custody;
use keydir::Import;
use keydir::Origin;
use keydir::PublicKey;
use keydir::Purpose;
use keydir::Reason;
use keydir::Scheme;
use keydir::Speaks;
use keydir::Store;
use keydir::StoreError;
use keydir::Subject;
use keydir::Trust;
use keydir::Use;
use openssl::asn1::Asn1Object;
use openssl::asn1::Asn1OctetString;
use openssl::hash::MessageDigest;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::x509::X509;
use openssl::x509::X509Extension;
use openssl::x509::extension::ExtendedKeyUsage;
use openssl::x509::extension::KeyUsage;

#[path = "support/draft.rs"]
mod draft;

use draft::DAY;
use draft::Draft;
use draft::now;
use draft::p256;
use draft::raw_address;
use draft::rsa;

#[test]
fn a_good_certificate_tells_its_names_and_may_do_everything() {
    for (key, kind) in [(rsa(2048), PublicKey::Rsa(2048)), (p256(), PublicKey::EcP256)] {
        let mut draft = Draft::new(key);
        draft.subject.push(("emailAddress", "Robert@Beta.Example".to_owned()));
        let certificate = draft.certificate();
        assert_eq!(certificate.addresses(), ["Robert@beta.example", "bob@beta.example"]);
        assert_eq!(certificate.common_names(), ["Bob"]);
        assert_eq!(certificate.public_key(), kind);
        assert_eq!(certificate.may_encrypt(now()), Ok(()));
        assert_eq!(certificate.may_sign(now()), Ok(()));
        assert_eq!(certificate.speaks_for("BOB@beta.example"), Some(Speaks::User));
        assert_eq!(certificate.speaks_for("robert@beta.example"), Some(Speaks::User));
        assert_eq!(certificate.speaks_for("eve@beta.example"), None);
        assert_eq!(certificate.fingerprint().len(), 64);
        assert_eq!(certificate.issuer_der(), certificate.subject_der());
        let pem = certificate.pem();
        assert_eq!(Certificate::read_all(pem.as_bytes()).unwrap(), [certificate]);
    }
}

#[test]
fn dates_usage_and_strength_are_refused_with_the_reason() {
    let strong = rsa(2048);
    let reason = |change: &dyn Fn(&mut Draft)| {
        let mut draft = Draft::new(strong.clone());
        change(&mut draft);
        let certificate = draft.certificate();
        (certificate.may_encrypt(now()).err(), certificate.may_sign(now()).err())
    };
    let usage = |usage: &mut KeyUsage| Some(usage.build().unwrap());

    let (encrypt, sign) = reason(&|d| d.usage = usage(KeyUsage::new().digital_signature()));
    assert_eq!(encrypt, Some(Reason::Usage("the key usage lacks keyEncipherment".to_owned())));
    assert_eq!(sign, None);
    let (encrypt, sign) = reason(&|d| d.usage = usage(KeyUsage::new().key_encipherment()));
    assert_eq!(encrypt, None);
    assert_eq!(sign, Some(Reason::Usage("the key usage lacks digitalSignature".to_owned())));
    assert_eq!(reason(&|d| d.usage = usage(KeyUsage::new().non_repudiation())).1, None);
    assert_eq!(reason(&|d| d.usage = None), (None, None), "no key usage allows everything");
    assert_eq!(reason(&|d| d.extended = None), (None, None));
    let (encrypt, _) = reason(&|d| {
        d.key = p256();
        d.usage = usage(KeyUsage::new().key_encipherment());
    });
    assert_eq!(encrypt, Some(Reason::Usage("the key usage lacks keyAgreement".to_owned())));

    let (encrypt, sign) =
        reason(&|d| d.extended = Some(ExtendedKeyUsage::new().server_auth().build().unwrap()));
    assert!(matches!((&encrypt, &sign), (Some(Reason::Usage(_)), Some(Reason::Usage(_)))), "{encrypt:?}");
    let any = |d: &mut Draft| {
        d.extended = Some(ExtendedKeyUsage::new().other("2.5.29.37.0").build().unwrap());
    };
    assert_eq!(reason(&any), (None, None));

    let (expired, _) = reason(&|d| d.until = now() - 10);
    assert!(matches!(expired, Some(Reason::Expired(_))), "{expired:?}");
    let (early, _) = reason(&|d| d.from = now() + DAY);
    assert!(matches!(early, Some(Reason::NotYetValid(_))), "{early:?}");

    let (weak, sign) = reason(&|d| d.key = rsa(1024));
    assert_eq!(weak, Some(Reason::Weak("an RSA key of 1024 bits".to_owned())));
    assert_eq!(sign, weak);
    for (digest, name) in [(MessageDigest::sha1(), "SHA-1"), (MessageDigest::md5(), "MD5")] {
        let (weak, _) = reason(&|d| d.digest = digest);
        assert_eq!(weak, Some(Reason::Weak(format!("a certificate signed with {name}"))));
    }
    let (ca, sign) = reason(&|d| d.ca = true);
    assert!(ca.is_some_and(|reason| reason.to_string().contains("certification authority")));
    assert!(sign.is_some());
}

#[test]
fn names_that_deceive_make_no_certificate() {
    for address in [
        &b"bob@beta.example\0.evil.example"[..],
        b"bob@beta.example\r\nBcc: eve@evil.example",
        b"bob\x7f@beta.example",
    ] {
        let mut draft = Draft::new(p256());
        draft.addresses = Vec::new();
        draft.others = vec![raw_address(address)];
        let refused = Certificate::from_der(&draft.der());
        assert!(matches!(refused, Err(CertificateError::DeceptiveName(_))), "{refused:?}");
    }
    let mut draft = Draft::new(p256());
    draft.addresses = Vec::new();
    draft.others = vec![raw_address(b"b\xc3\xb6b@beta.example")];
    let refused = Certificate::from_der(&draft.der());
    assert!(matches!(refused, Err(CertificateError::Malformed(_))), "rfc822Name is ASCII: {refused:?}");
    for name in ["Bob\u{202e}", "Bob\u{200b}"] {
        let mut draft = Draft::new(p256());
        draft.subject = vec![("CN", name.to_owned())];
        assert!(matches!(Certificate::from_der(&draft.der()), Err(CertificateError::DeceptiveName(_))));
    }
    // Not plain mailboxes: they bind nobody, and the certificate is good for the others.
    for address in ["a@b@beta.example", "bob@[192.0.2.1]", "beta.example"] {
        let mut draft = Draft::new(p256());
        draft.addresses = Vec::new();
        draft.others = vec![raw_address(address.as_bytes())];
        assert!(draft.certificate().addresses().is_empty(), "{address}");
    }
}

#[test]
fn what_is_not_der_is_refused() {
    let good = Draft::new(p256()).der();
    for cut in 0..good.len() {
        assert!(Certificate::from_der(&good[..cut]).is_err(), "{cut}");
    }
    assert!(Certificate::from_der(&[&good[..], b"\0"].concat()).is_err(), "something behind it");
    // The outer SEQUENCE with an indefinite length (X.690, 8.1.3.6), which OpenSSL reads.
    let header = 4; // 30 82 hi lo
    let ber = [&[0x30, 0x80], &good[header..], &[0, 0]].concat();
    assert!(X509::from_der(&ber).is_ok(), "it is BER");
    assert!(matches!(Certificate::from_der(&ber), Err(CertificateError::Malformed(_))));
    // A length in more octets than needed (X.690, 10.1).
    let long = [&[0x30, 0x83, 0], &good[2..]].concat();
    assert!(matches!(Certificate::from_der(&long), Err(CertificateError::Malformed(_))));
    let twice = raw_address(b"eve@evil.example");
    let mut draft = Draft::new(p256());
    draft.others = vec![twice];
    let refused = Certificate::from_der(&draft.der());
    assert!(
        matches!(&refused, Err(CertificateError::DuplicateExtension(oid)) if oid == "2.5.29.17"),
        "{refused:?}"
    );
}

#[test]
fn no_change_of_one_octet_panics() {
    let good = Draft::new(p256()).der();
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            if let Ok(certificate) = Certificate::from_der(&bytes) {
                let _ =
                    (certificate.may_sign(now()), certificate.may_encrypt(now()), certificate.authority());
            }
        }
    }
}

#[test]
fn a_certificate_of_a_megabyte_is_refused_before_it_is_parsed() {
    let filler = Asn1OctetString::new_from_bytes(&vec![0x5a; 1 << 20]).unwrap();
    let oid = Asn1Object::from_str("1.2.3.4.5").unwrap();
    let mut draft = Draft::new(p256());
    draft.others = vec![X509Extension::new_from_der(&oid, false, &filler).unwrap()];
    let der = draft.der();
    for refused in [Certificate::from_der(&der).unwrap_err(), Certificate::read_all(&der).unwrap_err()] {
        assert!(matches!(refused, CertificateError::TooLarge { .. }), "{refused}");
    }
    let many = Draft::new(p256()).x509().to_pem().unwrap().repeat(1001);
    let refused = Certificate::read_all(&many).unwrap_err();
    assert!(matches!(refused, CertificateError::TooLarge { .. }), "{refused}");
}

#[test]
fn secret_keys_are_no_certificates() {
    let key = p256();
    let x509 = Draft::new(key.clone()).x509();
    let pem = [x509.to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap()].concat();
    let p12 = Pkcs12::builder().pkey(&key).cert(&x509).build2("secret").unwrap().to_der().unwrap();
    for secret in [pem, p12, key.private_key_to_der().unwrap(), key.private_key_to_pkcs8().unwrap()] {
        let refused = Certificate::read_all(&secret).unwrap_err();
        assert!(matches!(refused, CertificateError::Secret), "{refused}");
        let refused = import(&Store::open_in_memory().unwrap(), &secret, None).unwrap_err();
        assert!(matches!(refused, StoreError::X509(CertificateError::Secret)), "{refused}");
    }
    assert!(matches!(Certificate::read_all(b"").unwrap_err(), CertificateError::Empty));
    assert!(matches!(Certificate::read_all(b"hello").unwrap_err(), CertificateError::Empty));
    let request = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    assert!(matches!(Certificate::read_all(request).unwrap_err(), CertificateError::NotACertificate(_)));
}

#[test]
fn a_bag_of_certificates_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (Draft::new(p256()).x509(), Draft::authority("Root").x509());
    let pem = [one.to_pem().unwrap(), b"in between\n".to_vec(), other.to_pem().unwrap()].concat();
    std::fs::write(dir.path().join("all.pem"), &pem).unwrap();
    assert_eq!(Certificate::read_all(&pem).unwrap().len(), 2);
    for form in ["DER", "PEM"] {
        let made = std::process::Command::new("openssl")
            .args(["crl2pkcs7", "-nocrl", "-certfile", "all.pem", "-outform", form, "-out", "all.p7b"])
            .current_dir(dir.path())
            .status()
            .unwrap();
        assert!(made.success());
        let bag = std::fs::read(dir.path().join("all.p7b")).unwrap();
        let read = Certificate::read_all(&bag).unwrap();
        assert_eq!(read.len(), 2, "{form}");
        assert!(read.iter().any(|c| c.der() == one.to_der().unwrap()));
    }
}

fn import(store: &Store, bytes: &[u8], subjects: Option<Vec<Subject>>) -> Result<(), StoreError> {
    let import = Import {
        bytes,
        subjects,
        origin: Origin::Imported,
        trust: Trust::Accepted,
        custody: Custody::None,
        now: now(),
    };
    store.import_certificates(&import).map(drop)
}

/// A trusted authority, and what it issued for Bob.
fn issued(change: impl FnOnce(&mut Draft)) -> (Anchors, Certificate) {
    let root = Draft::authority("Root");
    let mut anchors = Anchors::none();
    anchors.add_anchor(root.certificate()).unwrap();
    let mut draft = Draft::new(rsa(2048));
    draft.issuer = Some((root.x509(), root.key.clone()));
    change(&mut draft);
    (anchors, draft.certificate())
}

#[test]
fn chains_lead_to_an_anchor_or_nowhere() {
    let (anchors, bob) = issued(|_| ());
    let chain = anchors.verify(&bob, &[], now(), Use::Encrypt).unwrap();
    assert_eq!(chain.certificates().len(), 2);
    assert!(!chain.revocation_checked());
    let elsewhere = issued(|_| ()).0;
    for nobody in [Anchors::none(), elsewhere] {
        let refused = nobody.verify(&bob, &[], now(), Use::Sign).unwrap_err();
        assert!(matches!(refused, ChainError::Untrusted(_)), "{refused}");
    }
    let alone = Draft::new(p256()).certificate();
    let refused = anchors.verify(&alone, std::slice::from_ref(&alone), now(), Use::Sign).unwrap_err();
    assert!(matches!(refused, ChainError::Untrusted(_)), "{refused}");
    assert!(Anchors::none().add_anchor(bob.clone()).is_err(), "a leaf is no anchor");

    let later = anchors.verify(&bob, &[], now() + 91 * DAY, Use::Sign).unwrap_err();
    assert!(matches!(later, ChainError::Expired(_)), "{later}");
    // The root expires after 90 days too: a leaf that would outlive it.
    let (anchors, long) = issued(|draft| draft.until = now() + 400 * DAY);
    let root_expired = anchors.verify(&long, &[], now() + 100 * DAY, Use::Sign).unwrap_err();
    assert!(matches!(root_expired, ChainError::Expired(_)), "{root_expired}");
    let (anchors, critical) = issued(|draft| {
        let oid = Asn1Object::from_str("1.2.3.4.5").unwrap();
        let value = Asn1OctetString::new_from_bytes(&[5, 0]).unwrap();
        draft.others = vec![X509Extension::new_from_der(&oid, true, &value).unwrap()];
    });
    let unknown = anchors.verify(&critical, &[], now(), Use::Sign).unwrap_err();
    assert!(unknown.to_string().contains("critical extension"), "{unknown}");
}

#[test]
fn a_weak_or_foreign_intermediate_breaks_the_chain() {
    let root = Draft::authority("Root");
    let mut anchors = Anchors::none();
    anchors.add_anchor(root.certificate()).unwrap();
    let weak_digest = |draft: &mut Draft| draft.digest = MessageDigest::sha1();
    let weak_key = |draft: &mut Draft| draft.key = rsa(1024);
    let tls_only = |draft: &mut Draft| {
        draft.extended = Some(ExtendedKeyUsage::new().server_auth().build().unwrap());
    };
    let no_authority = |draft: &mut Draft| draft.ca = false;
    type Change<'a> = &'a dyn Fn(&mut Draft);
    let changes: [(&str, Change<'_>); 5] = [
        ("good", &|_| ()),
        ("digest", &weak_digest),
        ("key", &weak_key),
        ("tls", &tls_only),
        ("leaf", &no_authority),
    ];
    for (what, change) in changes {
        let mut middle = Draft::authority("Middle");
        middle.issuer = Some((root.x509(), root.key.clone()));
        change(&mut middle);
        let mut bob = Draft::new(p256());
        bob.issuer = Some((middle.x509(), middle.key.clone()));
        let others = [middle.certificate()];
        let verdict = anchors.verify(&bob.certificate(), &others, now(), Use::Sign);
        match (what, &verdict) {
            ("good", Ok(chain)) => assert_eq!(chain.intermediates(), others),
            ("digest" | "key", Err(ChainError::Weak(_))) | ("tls" | "leaf", Err(ChainError::Usage(_))) => {}
            _ => panic!("{what}: {verdict:?}"),
        }
    }
}

#[test]
fn two_addresses_bind_each_exactly() {
    let (anchors, both) = issued(|draft| draft.addresses = vec!["bob@beta.example", "robert@gamma.example"]);
    let store = Store::open_in_memory().unwrap();
    import(&store, both.der(), None).unwrap();
    for (address, bound) in [
        ("bob@beta.example", true),
        ("ROBERT@gamma.example", true),
        ("robert@beta.example", false),
        ("bob@gamma.example", false),
    ] {
        let subject = Subject::address(address).unwrap();
        let answer = store.find_certificate(&subject, Purpose::Encrypt, now(), &anchors);
        assert_eq!(matches!(answer, Answer::Found(_)), bound, "{address}: {answer:?}");
    }
    let store = Store::open_in_memory().unwrap();
    let eve = Subject::address("eve@beta.example").unwrap();
    let refused = import(&store, both.der(), Some(vec![eve])).unwrap_err();
    assert!(
        matches!(&refused, StoreError::NotMadeOutTo { wanted, .. } if wanted == "eve@beta.example"),
        "{refused}"
    );
    assert!(store.records().unwrap().is_empty());
}

#[test]
fn the_store_refuses_what_could_never_serve() {
    let store = Store::open_in_memory().unwrap();
    let weak = |change: &dyn Fn(&mut Draft)| {
        let mut draft = Draft::new(p256());
        change(&mut draft);
        import(&store, &draft.der(), None).unwrap_err()
    };
    let refused = weak(&|draft| draft.key = rsa(1024));
    assert!(matches!(refused, StoreError::Certificate { reason: Reason::Weak(_), .. }), "{refused}");
    let refused = weak(&|draft| draft.digest = MessageDigest::sha1());
    assert!(matches!(refused, StoreError::Certificate { reason: Reason::Weak(_), .. }), "{refused}");
    let refused = weak(&|draft| draft.ca = true);
    assert!(refused.to_string().contains("certification authority"), "{refused}");
    let refused = weak(&|draft| draft.addresses = Vec::new());
    assert!(matches!(refused, StoreError::NotMadeOutTo { .. }), "{refused}");
    let refused = import(&store, b"junk", None).unwrap_err();
    assert!(matches!(refused, StoreError::X509(CertificateError::Empty)), "{refused}");
    // One of two is bad: none is stored.
    let mut bad = Draft::new(rsa(1024));
    bad.subject = vec![("CN", "Bad".to_owned())];
    let both = [Draft::new(p256()).x509().to_pem().unwrap(), bad.x509().to_pem().unwrap()].concat();
    assert!(import(&store, &both, None).is_err());
    assert!(store.records().unwrap().is_empty());
}

#[test]
fn trust_revocation_and_custody_decide_in_the_store() {
    let (anchors, bob) = issued(|_| ());
    let store = Store::open_in_memory().unwrap();
    import(&store, bob.der(), None).unwrap();
    let subject = Subject::address("bob@beta.example").unwrap();
    let ask = |purpose| store.find_certificate(&subject, purpose, now(), &anchors);
    let why = |answer: Answer<keydir::UsableCertificate>| match answer {
        Answer::None { why } => why[0].reason.to_string(),
        other => panic!("{other:?}"),
    };
    let found = ask(Purpose::Encrypt).found().unwrap();
    assert!(!found.gcm() && !found.oaep());
    store.set_capabilities(&bob.fingerprint(), true, true).unwrap();
    let found = ask(Purpose::Verify).found().unwrap();
    assert!(found.gcm() && found.oaep());
    store.set_capabilities(&bob.fingerprint(), false, false).unwrap();
    let serial = |serial| CertificateId::IssuerSerial { issuer: bob.issuer_der(), serial };
    let raise =
        |id: &CertificateId<'_>, gcm| store.raise_capabilities(&subject, Some(id), gcm, true).unwrap();
    assert!(raise(&serial(b"another"), true).is_empty());
    assert_eq!(raise(&serial(bob.serial()), false), [bob.fingerprint()]);
    let elsewhere = Subject::address("carol@beta.example").unwrap();
    assert!(store.raise_capabilities(&elsewhere, None, true, true).unwrap().is_empty());
    let found = ask(Purpose::Encrypt).found().unwrap();
    assert!(!found.gcm() && found.oaep(), "raised as far as it was announced");
    assert_eq!(store.raise_capabilities(&subject, None, true, false).unwrap(), [bob.fingerprint()]);
    assert!(store.raise_capabilities(&subject, None, true, true).unwrap().is_empty(), "nothing new");
    assert!(store.raise_capabilities(&subject, None, false, false).unwrap().is_empty());
    let found = ask(Purpose::Encrypt).found().unwrap();
    assert!(found.gcm() && found.oaep(), "nothing is taken back");
    assert_eq!(found.record().scheme, Scheme::Smime);
    assert_eq!(why(ask(Purpose::Sign)), "no secret key in custody");
    for (trust, reason) in [(Trust::Held, "held for approval"), (Trust::Distrusted, "distrusted")] {
        store.set_trust(&bob.fingerprint(), trust).unwrap();
        assert_eq!(why(ask(Purpose::Encrypt)), reason);
    }
    store.set_trust(&bob.fingerprint(), Trust::Accepted).unwrap();
    let nobody = Anchors::none();
    let answer = store.find_certificate(&subject, Purpose::Encrypt, now(), &nobody);
    assert!(why(answer).starts_with("not trusted"));
    // What the administrator checked needs no chain.
    store.set_trust(&bob.fingerprint(), Trust::Verified).unwrap();
    let answer = store.find_certificate(&subject, Purpose::Encrypt, now(), &nobody);
    assert!(matches!(answer, Answer::Found(_)), "{answer:?}");
    store.revoke_certificate(&bob.fingerprint(), "key compromised").unwrap();
    assert_eq!(why(ask(Purpose::Encrypt)), "revoked: key compromised");
    let listed = store.list(&keydir::Filter::default(), now()).unwrap();
    assert_eq!(listed[0].encrypt.why.as_deref(), Some("revoked: key compromised"));
    assert_eq!(listed[0].user_ids, ["bob@beta.example"]);
    assert!(store.export(&bob.fingerprint()).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn an_answer_is_kept_until_store_anchors_or_time_change() {
    let dir = tempfile::tempdir().unwrap();
    let (store, command) = {
        let path = dir.path().join("keys.db");
        (Store::open(&path).unwrap(), Store::open(&path).unwrap())
    };
    let root = Draft::authority("Root");
    let mut draft = Draft::new(p256());
    draft.issuer = Some((root.x509(), root.key.clone()));
    draft.until = now() + 30;
    let bob = draft.certificate();
    let subject = Subject::address("bob@beta.example").unwrap();
    let usable = |anchors: &Anchors, at| {
        let answer = store.find_certificate(&subject, Purpose::Encrypt, at, anchors);
        matches!(answer, Answer::Found(_))
    };
    let mut anchors = Anchors::none();
    assert!(!usable(&anchors, now()));
    import(&command, bob.der(), None).unwrap();
    assert!(!usable(&anchors, now()), "no anchor yet");
    anchors.add_anchor(root.certificate()).unwrap();
    for _ in 0..3 {
        assert!(usable(&anchors, now()));
    }
    assert!(!usable(&Anchors::none(), now()));
    assert!(!usable(&anchors, now() + 40), "expired within the minute");
    assert!(usable(&anchors, now()));
    command.revoke_certificate(&bob.fingerprint(), "superseded").unwrap();
    assert!(!usable(&anchors, now()));
}

#[test]
fn requests_of_others_give_their_key_only_with_proof() {
    let (mine, other) = (p256(), p256());
    let request = |holder: &PKey<Private>, signer: &PKey<Private>| {
        let mut builder = openssl::x509::X509Req::builder().unwrap();
        builder.set_pubkey(holder).unwrap();
        builder.sign(signer, MessageDigest::sha256()).unwrap();
        builder.build()
    };
    let good = request(&mine, &mine);
    for form in [good.to_der().unwrap(), good.to_pem().unwrap()] {
        assert_eq!(keydir::requested_key(&form).unwrap(), mine.public_key_to_der().unwrap());
    }
    assert!(keydir::requested_key(&request(&mine, &other).to_der().unwrap()).is_err());
    assert!(keydir::requested_key(b"junk").is_err());
    assert!(keydir::requested_key(&vec![0x30; 100_000]).is_err());
}

#[test]
fn an_assigned_domain_and_both_ways_to_name_a_recipient_are_found() {
    let (anchors, bob) = issued(|draft| {
        let oid = Asn1Object::from_str("2.5.29.14").unwrap();
        let value = Asn1OctetString::new_from_bytes(&[4, 4, 1, 2, 3, 4]).unwrap();
        draft.others = vec![X509Extension::new_from_der(&oid, false, &value).unwrap()];
    });
    let store = Store::open_in_memory().unwrap();
    let domain = Subject::domain("beta.example").unwrap();
    import(&store, bob.der(), None).unwrap();
    let answer = store.find_certificate(&domain, Purpose::Encrypt, now(), &anchors);
    assert!(matches!(answer, Answer::None { .. }), "a user does not speak for the domain: {answer:?}");
    import(&store, bob.der(), Some(vec![domain.clone()])).unwrap();
    let answer = store.find_certificate(&domain, Purpose::Encrypt, now(), &anchors);
    assert!(matches!(answer, Answer::Found(_)), "{answer:?}");
    for id in [
        CertificateId::IssuerSerial { issuer: bob.issuer_der(), serial: bob.serial() },
        CertificateId::KeyId(&[1, 2, 3, 4]),
    ] {
        match store.certificates_by_id(&id) {
            Answer::Found(found) => assert_eq!(found[0].certificate, bob),
            other => panic!("{id:?}: {other:?}"),
        }
    }
    let other = CertificateId::IssuerSerial { issuer: bob.issuer_der(), serial: &[1] };
    assert!(matches!(store.certificates_by_id(&other), Answer::None { .. }));
    assert!(matches!(store.by_handle(&bob.fingerprint()), Answer::None { .. }), "no OpenPGP certificate");
    match store.certificate(&bob.fingerprint().to_lowercase()) {
        Answer::Found(found) => assert_eq!(found.record.assigned, [domain]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_came_by_mail_cannot_speak_for_its_domain() {
    for (origin, binds) in [(Origin::Imported, true), (Origin::Harvested, false)] {
        let (anchors, authority) = issued(|draft| {
            draft.subject = vec![("CN", "domain-confidentiality-authority".to_owned())];
            draft.addresses = vec!["domain-confidentiality-authority@beta.example"];
        });
        let store = Store::open_in_memory().unwrap();
        let import = Import {
            bytes: authority.der(),
            subjects: None,
            origin,
            trust: Trust::Accepted,
            custody: Custody::None,
            now: now(),
        };
        store.import_certificates(&import).unwrap();
        let domain = Subject::domain("beta.example").unwrap();
        let answer = store.find_certificate(&domain, Purpose::Encrypt, now(), &anchors);
        assert_eq!(matches!(answer, Answer::Found(_)), binds, "{origin}: {answer:?}");
        assert!(matches!(
            store.find_certificate(&domain, Purpose::Verify, now(), &anchors),
            Answer::None { .. }
        ));
    }
}

#[test]
fn a_stale_revocation_list_could_not_tell_and_never_says_none() {
    let dir = tempfile::tempdir().unwrap();
    let root = Draft::authority("Root");
    let mut draft = Draft::new(p256());
    draft.issuer = Some((root.x509(), root.key.clone()));
    let bob = draft.certificate();
    std::fs::write(dir.path().join("ca.pem"), root.x509().to_pem().unwrap()).unwrap();
    std::fs::write(dir.path().join("ca.key"), root.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    std::fs::write(dir.path().join("index.txt"), "").unwrap();
    std::fs::write(
        dir.path().join("ca.cnf"),
        "[ca]\ndefault_ca=x\n[x]\ndatabase=index.txt\ndefault_md=sha256\n",
    )
    .unwrap();
    let made = std::process::Command::new("openssl")
        .args([
            "ca",
            "-config",
            "ca.cnf",
            "-gencrl",
            "-cert",
            "ca.pem",
            "-keyfile",
            "ca.key",
            "-crlhours",
            "1",
        ])
        .args(["-out", "ca.crl"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let sources = keydir::AnchorSources {
        anchors: vec![dir.path().join("ca.pem")],
        crls: vec![dir.path().join("ca.crl")],
        ..keydir::AnchorSources::default()
    };
    let anchors = Anchors::load(&sources).unwrap();
    let store = Store::open_in_memory().unwrap();
    import(&store, bob.der(), None).unwrap();
    let subject = Subject::address("bob@beta.example").unwrap();
    let ask = |at| store.find_certificate(&subject, Purpose::Encrypt, at, &anchors);
    assert!(matches!(ask(now()), Answer::Found(_)), "{:?}", ask(now()));
    let stale = ask(now() + 7200);
    assert!(matches!(&stale, Answer::CouldNotTell { why } if why.contains("revocation list")), "{stale:?}");
    let sources = keydir::AnchorSources { anchors: vec![dir.path().join("ca.key")], ..sources };
    assert!(Anchors::load(&sources).is_err(), "a key is no anchor");
}

#[test]
fn the_anchors_of_the_system_are_all_read() {
    let bundle = std::path::PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
    let count = std::fs::read_to_string(&bundle).unwrap().matches("BEGIN CERTIFICATE").count();
    let sources = keydir::AnchorSources { anchors: vec![bundle], ..keydir::AnchorSources::default() };
    let anchors = Anchors::load(&sources).unwrap();
    assert!(count > 50);
    assert_eq!(anchors.roots().len(), count);
    let (_, bob) = issued(|_| ());
    assert!(matches!(anchors.verify(&bob, &[], now(), Use::Sign), Err(ChainError::Untrusted(_))));
}
