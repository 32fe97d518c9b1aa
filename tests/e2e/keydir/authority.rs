//! The certification authority for strangers: revocation lists, certificates and OCSP, by way of the sidecar.

use std::process::Command;

use tests::Answer;
use tests::Ran;
use tests::curl;
use tests::run;

use super::doors::Doors;

/// Writes everything that openssl needs as strangers get it.
struct Stranger {
    doors: Doors,
}

impl Stranger {
    fn new() -> Self {
        let doors = Doors::open();
        for name in ["root.pem", "issuing-1.pem", "issuing-1.cer", "issuing-1.crl"] {
            let answer = doors.get(&format!("/ca/{name}"));
            assert_eq!(answer.status, 200, "{name}");
            doors.file(name, &answer.body);
        }
        let leaf = doors.gateway.command(&["ca", "export", &doors.smime]).success().stdout;
        doors.file("leaf.pem", &leaf);
        Self { doors }
    }

    fn path(&self, name: &str) -> String {
        self.doors.directory.path().join(name).display().to_string()
    }

    fn openssl(&self, words: &[&str]) -> Ran {
        run(Command::new("openssl").args(words).current_dir(self.doors.directory.path()), b"")
    }

    /// What `openssl ocsp` hears at a URL.
    fn ocsp(&self, url: &str, more: &[&str]) -> String {
        let words = ["ocsp", "-issuer", "issuing-1.pem", "-cert", "leaf.pem", "-url", url];
        let trust = ["-CAfile", "root.pem", "-VAfile", "issuing-1.pem"];
        let ran = self.openssl(&[&words[..], &trust, more].concat());
        format!("{}{}", ran.text(), ran.stderr)
    }
}

#[test]
fn chain_and_revocation_list_are_where_the_certificates_say() {
    let stranger = Stranger::new();
    for (name, content_type) in [
        ("root.cer", "application/pkix-cert"),
        ("issuing-1.cer", "application/pkix-cert"),
        ("issuing-1.crl", "application/pkix-crl"),
        ("issuing-1.pem", "application/pem-certificate-chain"),
    ] {
        let answer = stranger.doors.get(&format!("/ca/{name}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{name}");
        assert_eq!(answer.header("cache-control"), "public, max-age=300");
    }
    let leaf = stranger.openssl(&["x509", "-in", "leaf.pem", "-noout", "-text"]).success().text();
    for name in ["/ca/issuing-1.crl", "/ca/issuing-1.cer", "/ca/ocsp"] {
        assert!(leaf.contains(&stranger.doors.url(name)), "{name}: {leaf}");
    }
    stranger.openssl(&["crl", "-inform", "DER", "-in", "issuing-1.crl", "-out", "list.pem"]).success();
    let words = [
        "verify",
        "-crl_check",
        "-CRLfile",
        "list.pem",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "issuing-1.pem",
    ];
    let verified = stranger.openssl(&[&words[..], &["-purpose", "smimesign", "leaf.pem"]].concat());
    assert_eq!(verified.success().text(), "leaf.pem: OK\n");
    for name in [
        "",
        "root.key",
        "root",
        "../publication.db",
        "%2e%2e/publication.db",
        "..%2fpublication.db",
        "none.crl",
    ] {
        assert_eq!(stranger.doors.get(&format!("/ca/{name}")).status, 404, "{name}");
    }
}

#[test]
fn openssl_hears_by_ocsp_what_became_of_a_certificate() {
    let stranger = Stranger::new();
    let url = stranger.doors.url("/ca/ocsp");
    let before = stranger.ocsp(&url, &["-no_nonce", "-reqout", "request.der", "-respout", "kept.der"]);
    assert!(before.contains("Response verify OK") && before.contains("leaf.pem: good"), "{before}");
    stranger
        .doors
        .gateway
        .command(&["ca", "revoke", &stranger.doors.smime, "--reason", "key-compromise"])
        .success();
    // With a nonce the question is a new one.
    let after = stranger.ocsp(&stranger.doors.url("/ocsp"), &["-nonce"]);
    assert!(after.contains("Response verify OK") && after.contains("leaf.pem: revoked"), "{after}");
    // Without, it is the same for a minute, and costs no signature.
    let request = std::fs::read(stranger.path("request.der")).unwrap();
    let encoded = run(Command::new("base64").arg("-w0"), &request).text();
    let encoded = encoded.replace('+', "%2B").replace('=', "%3D");
    let get = |path: &str| stranger.doors.get(path);
    for path in [format!("/ca/ocsp/{encoded}"), format!("/ocsp/{}", encoded.replace('/', "%2F"))] {
        let answer = get(&path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/ocsp-response"),
            "{path}"
        );
        assert!(answer.header("cache-control").contains("max-age=60"), "{answer:?}");
        assert_eq!(answer.body, std::fs::read(stranger.path("kept.der")).unwrap());
    }
}

#[test]
fn requests_that_are_none_are_refused_and_a_gateway_that_is_gone_is_said() {
    let mut stranger = Stranger::new();
    let url = stranger.doors.url("/ocsp");
    let post = |content_type: &str, body: &str| -> Answer {
        let content_type = format!("Content-Type: {content_type}");
        curl(&["-H", &content_type, "--data-binary", body, &url])
    };
    let large = stranger.doors.file("large", &[b'0'; 9000]).display().to_string();
    assert_eq!(post("application/ocsp-request", &format!("@{large}")).status, 413);
    assert_eq!(post("application/x-www-form-urlencoded", "a=b").status, 415);
    assert_eq!(stranger.doors.get("/ocsp/!!!").status, 400);
    // The gateway says in DER that it is malformed (RFC 6960, 4.2.1).
    let malformed = post("application/ocsp-request", "nonsense");
    assert_eq!((malformed.status, &malformed.body[..]), (200, &[0x30, 3, 0x0a, 1, 1][..]));
    stranger.doors.gateway.term();
    let gone = post("application/ocsp-request", "more nonsense");
    assert_eq!((gone.status, gone.header("retry-after")), (503, "30"));
    // Files stay.
    assert_eq!(stranger.doors.get("/ca/issuing-1.crl").status, 200);
}
