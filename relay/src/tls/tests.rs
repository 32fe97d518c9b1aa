//! Handshakes with servers of every kind, over a pipe.

use rcgen::BasicConstraints;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::RsaKeySize;
use rcgen::date_time_ymd;
use rustls::SupportedProtocolVersion;
use rustls::sign::CertifiedKey;
use rustls::version::TLS12;
use rustls::version::TLS13;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::dns::Tlsa;
use crate::fixtures::certificates::Identity;
use crate::fixtures::tls_server::certified;
use crate::fixtures::tls_server::configuration;
use crate::fixtures::tls_server::configuration_by_name;

const HOST: &str = "mx.example.org";

fn dane(records: &[Tlsa]) -> Road {
    Road::Dane { base: HOST.to_owned(), names: vec![HOST.to_owned()], records: records.to_vec() }
}

fn sts(testing: bool) -> Road {
    Road::Sts { name: HOST.to_owned(), testing }
}

/// A client that trusts `root` as the web's only authority.
fn client(root: Option<&Identity>) -> Tls {
    let mut roots = RootCertStore::empty();
    if let Some(root) = root {
        roots.add(root.certificate()).unwrap();
    }
    // 2026-01-01
    Tls::new(roots, Clock::from_fn(|| 1_767_225_600))
}

/// One handshake and one line back; the server ends by itself.
async fn shake(
    client: &Tls,
    road: &Road,
    server: Arc<rustls::ServerConfig>,
) -> Result<(Channel, Option<TlsFault>), TlsFault> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let Ok(mut stream) = TlsAcceptor::from(server).accept(far).await else { return };
        let _ = stream.write_all(b"250 hello\r\n").await;
        let _ = stream.shutdown().await;
    });
    let result = client.handshake(near, road, HOST).await;
    let result = match result {
        Ok(mut shaken) => {
            let mut line = Vec::new();
            shaken.stream.read_to_end(&mut line).await.unwrap();
            assert_eq!(line, b"250 hello\r\n");
            Ok((shaken.channel, shaken.tolerated))
        }
        Err(fault) => Err(fault),
    };
    server.await.unwrap();
    result
}

const BOTH: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

#[tokio::test]
async fn dane_ee_asks_the_raw_key_for_the_signature_whatever_surrounds_it() {
    let issuer = Identity::root("Somebody");
    let rsa = || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let odd = [
        ("plain", Identity::alone(&[HOST], |_| {})),
        ("negative serial", Identity::alone(&[HOST], |_| {}).with_negative_serial()),
        ("version 1", Identity::alone(&[HOST], |_| {}).into_version_one(&issuer)),
        ("no name", Identity::alone(&[], |_| {})),
        ("other name", Identity::alone(&["other.example"], |_| {})),
        ("expired", Identity::alone(&[HOST], |params| params.not_after = date_time_ymd(2020, 1, 1))),
        ("not yet valid", Identity::alone(&[HOST], |params| params.not_before = date_time_ymd(2040, 1, 1))),
        (
            "CA:TRUE",
            Identity::alone(&[HOST], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ),
        ("RSA", Identity::alone_with(rsa(), &[HOST], |_| {})),
        (
            "P-384",
            Identity::alone_with(
                KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
                &[HOST],
                |_| {},
            ),
        ),
        (
            "Ed25519",
            Identity::alone_with(KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), &[HOST], |_| {}),
        ),
    ];
    let client = client(None);
    for (what, leaf) in &odd {
        for versions in BOTH {
            let road = dane(&[leaf.tlsa(3, 1, 1)]);
            let (channel, _) = shake(&client, &road, configuration(&[leaf], versions)).await.unwrap();
            assert_eq!(channel.matched, Matched::Tlsa { usage: 3, selector: 1, matching: 1 }, "{what}");
            assert!(channel.is_authenticated());
        }
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_authenticates_nobody() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let thief = Identity::alone(&[HOST], |_| {});
    let root = Identity::root("Web");
    let issued = root.issue(&[HOST], |_| {});
    let client = client(Some(&root));
    for versions in BOTH {
        for (road, shown) in [
            (dane(&[leaf.tlsa(3, 1, 1)]), &leaf),
            (dane(&[root.tlsa(2, 0, 1)]), &issued),
            (sts(false), &issued),
        ] {
            let chain: &[&Identity] = if std::ptr::eq(shown, &leaf) { &[shown] } else { &[shown, &root] };
            let server = configuration_by_name(certified(chain, &thief), None, versions);
            let fault = shake(&client, &road, server).await.unwrap_err();
            assert!(matches!(fault, TlsFault::Handshake(_)), "{fault}");
        }
        // Mode testing delivers, and claims nothing.
        let server = configuration_by_name(certified(&[&issued], &thief), None, versions);
        let (channel, tolerated) = shake(&client, &sts(true), server).await.unwrap();
        assert_eq!(channel.matched, Matched::Unauthenticated);
        assert!(tolerated.is_some());
    }
}

#[tokio::test]
async fn a_wrong_certificate_is_refused_in_the_handshake_with_its_reason() {
    let root = Identity::root("Private");
    let leaf = root.issue(&[HOST], |_| {});
    let other = root.issue(&["other.example"], |_| {});
    let expired = root.issue(&[HOST], |params| params.not_after = date_time_ymd(2020, 1, 1));
    let client = client(None);
    for (chain, record, kind) in [
        (&[&leaf, &root][..], leaf.wrong_tlsa(3, 1, 1), SessionFailure::CertificateNotTrusted),
        (&[&leaf], root.tlsa(2, 0, 1), SessionFailure::CertificateNotTrusted),
        (&[&other, &root], root.tlsa(2, 0, 1), SessionFailure::CertificateHostMismatch),
        (&[&expired, &root], root.tlsa(2, 0, 1), SessionFailure::CertificateExpired),
    ] {
        let fault = shake(&client, &dane(&[record]), configuration(chain, BOTH[1])).await.unwrap_err();
        assert!(matches!(fault, TlsFault::Dane(_)), "{fault}");
        assert_eq!(fault.kind(), kind);
    }
    let (channel, _) =
        shake(&client, &dane(&[root.tlsa(2, 0, 1)]), configuration(&[&leaf, &root], BOTH[1])).await.unwrap();
    assert_eq!(channel.matched, Matched::Tlsa { usage: 2, selector: 0, matching: 1 });
}

#[tokio::test]
async fn mta_sts_asks_the_web_pki_for_the_mx_name() {
    let root = Identity::root("Web");
    let good = root.issue(&[HOST], |_| {});
    let wildcard = root.issue(&["*.example.org"], |_| {});
    let client = client(Some(&root));
    for leaf in [&good, &wildcard] {
        let (channel, _) = shake(&client, &sts(false), configuration(&[leaf], BOTH[1])).await.unwrap();
        assert_eq!(channel.matched, Matched::WebPki { name: HOST.to_owned() });
    }
    let alone = Identity::alone(&[HOST], |_| {});
    let other = root.issue(&["other.example"], |_| {});
    let expired = root.issue(&[HOST], |params| params.not_after = date_time_ymd(2020, 1, 1));
    let common = root.issue(&[], |params| params.distinguished_name.push(rcgen::DnType::CommonName, HOST));
    for (leaf, kind) in [
        (&alone, SessionFailure::CertificateNotTrusted),
        (&other, SessionFailure::CertificateHostMismatch),
        (&expired, SessionFailure::CertificateExpired),
        (&common, SessionFailure::CertificateHostMismatch),
    ] {
        let fault = shake(&client, &sts(false), configuration(&[leaf], BOTH[1])).await.unwrap_err();
        assert_eq!(fault.kind(), kind, "{fault}");
        let (channel, tolerated) = shake(&client, &sts(true), configuration(&[leaf], BOTH[1])).await.unwrap();
        assert_eq!((channel.matched, tolerated.unwrap().kind()), (Matched::Unauthenticated, kind));
    }
    // Without any root certificate nothing passes, and nothing panics.
    let fault =
        shake(&super::tests::client(None), &sts(false), configuration(&[&good], BOTH[1])).await.unwrap_err();
    assert_eq!(fault.kind(), SessionFailure::CertificateNotTrusted);
}

#[tokio::test]
async fn the_base_domain_is_sent_as_server_name() {
    let usual = Identity::alone(&["default.example"], |_| {});
    let named = Identity::alone(&[HOST], |_| {});
    let key = |identity: &Identity| -> CertifiedKey { certified(&[identity], identity) };
    let client = client(None);
    for versions in BOTH {
        let server = || configuration_by_name(key(&usual), Some((HOST, key(&named))), versions);
        assert!(shake(&client, &dane(&[named.tlsa(3, 1, 1)]), server()).await.is_ok());
        let unusable = Road::DaneUnusable { base: HOST.to_owned() };
        let (channel, _) = shake(&client, &unusable, server()).await.unwrap();
        assert_eq!(channel.certificate_sha256.unwrap(), verifier::sha256_hex(&named.der));
    }
}

#[tokio::test]
async fn the_channel_tells_what_was_agreed() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let client = client(None);
    let (channel, tolerated) =
        shake(&client, &Road::Opportunistic, configuration(&[&leaf], &[&TLS12, &TLS13])).await.unwrap();
    assert_eq!(channel.tls_version.as_deref(), Some("TLSv1.3"));
    assert_eq!(channel.key_exchange.as_deref(), Some("X25519MLKEM768"));
    assert!(channel.cipher.unwrap().starts_with("TLS13_"));
    assert_eq!(channel.certificate_sha256.unwrap().len(), 64);
    assert_eq!(channel.matched, Matched::Unauthenticated);
    assert!(tolerated.is_none());
    let (channel, _) = shake(&client, &Road::Encrypted, configuration(&[&leaf], &[&TLS12])).await.unwrap();
    assert_eq!(channel.tls_version.as_deref(), Some("TLSv1.2"));
    assert!(channel.cipher.unwrap().starts_with("TLS_ECDHE_"));
}

#[tokio::test]
async fn roads_that_must_not_be_used_are_not() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let client = client(None);
    let closed = Road::Unreachable { why: "bogus".to_owned() };
    for road in [Road::Cleartext, Road::StsMismatch { testing: false }, closed] {
        let (near, _far) = tokio::io::duplex(1024);
        assert!(matches!(client.handshake(near, &road, HOST).await, Err(TlsFault::NotAllowed)));
    }
    let road = Road::StsMismatch { testing: true };
    assert!(shake(&client, &road, configuration(&[&leaf], BOTH[1])).await.is_ok());
}

#[tokio::test]
async fn a_peer_that_breaks_off_or_talks_nonsense_is_a_fault() {
    let client = client(None);
    for said in [&b""[..], b"220 what?\r\n", &[0x16, 3, 1, 0xff, 0xff]] {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(said).await.unwrap();
        far.shutdown().await.unwrap();
        let fault = client.handshake(near, &Road::Opportunistic, HOST).await.unwrap_err();
        assert_eq!(fault.kind(), SessionFailure::ValidationFailure);
    }
}

#[test]
fn odd_host_names_send_no_server_name() {
    for odd in ["", "a b", "127.0.0.1", "::1", "x\0y", &"a".repeat(300)] {
        assert!(matches!(server_name(odd), ServerName::IpAddress(_)), "{odd:?}");
    }
    assert!(matches!(server_name("_mx.example.org"), ServerName::DnsName(_)));
}
