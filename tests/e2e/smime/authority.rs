//! The local authority: certificates for our own domains only, and revocations that everybody can see.

use std::fs;
use std::process::Command;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::free_port;

fn openssl(words: &[&str]) -> (bool, String) {
    let ran = Command::new("openssl").args(words).output().unwrap();
    (
        ran.status.success(),
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr)),
    )
}

fn authority() -> (Gatepost, u16) {
    let port = free_port();
    let ca = format!(
        "[ca]\norganisation = \"Beta\"\nurl = \"http://127.0.0.1:{port}\"\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let beta = GatepostPlan::new("beta.example").policy(&ca).prepare();
    beta.command(&["ca", "init"]).success();
    (beta, port)
}

fn issue(beta: &Gatepost, profile: &str, subject: &str) -> String {
    let ran = beta.command(&["ca", "issue", profile, subject, "--json"]).success();
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    told[0]["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn a_revocation_is_seen_by_openssl_ocsp_and_in_the_revocation_list() {
    let (mut beta, port) = authority();
    let bob = issue(&beta, "user", "bob@beta.example");
    beta.start();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    for (name, which) in [("root.pem", "root"), ("issuing.pem", "issuing"), ("bob.pem", bob.as_str())] {
        fs::write(file(name), beta.command(&["ca", "export", which]).success().stdout).unwrap();
    }
    let (holds, text) = openssl(&[
        "verify",
        "-purpose",
        "smimesign",
        "-CAfile",
        &file("root.pem"),
        "-untrusted",
        &file("issuing.pem"),
        &file("bob.pem"),
    ]);
    assert!(holds, "{text}");
    let url = format!("http://127.0.0.1:{port}/ocsp");
    let ask = || {
        openssl(&[
            "ocsp",
            "-issuer",
            &file("issuing.pem"),
            "-cert",
            &file("bob.pem"),
            "-url",
            &url,
            "-CAfile",
            &file("root.pem"),
            "-VAfile",
            &file("issuing.pem"),
        ])
        .1
    };
    let before = ask();
    assert!(before.contains("Response verify OK") && before.contains("bob.pem: good"), "{before}");
    beta.command(&["ca", "revoke", &bob, "--reason", "key-compromise"]).success();
    let after = ask();
    assert!(after.contains("bob.pem: revoked") && after.contains("keyCompromise"), "{after}");
    let list = Command::new("curl")
        .args([
            "-sf",
            format!("http://127.0.0.1:{port}/issuing-1.crl").as_str(),
            "-o",
            file("list.der").as_str(),
        ])
        .output()
        .unwrap();
    assert!(list.status.success(), "{list:?}");
    let (_, list) = openssl(&[
        "crl",
        "-inform",
        "DER",
        "-in",
        &file("list.der"),
        "-CAfile",
        &file("issuing.pem"),
        "-noout",
        "-text",
    ]);
    assert!(list.contains("verify OK") && list.contains("Key Compromise"), "{list}");
}

#[test]
fn names_of_others_are_not_certified_and_would_not_be_believed() {
    let (beta, _) = authority();
    for (profile, subject) in [
        ("user", "alice@alpha.example"),
        ("domain-signing-authority", "alpha.example"),
        ("gateway", "mx.alpha.example"),
    ] {
        let ran = beta.command(&["ca", "issue", profile, subject]);
        assert_eq!(ran.code, 65, "{ran:?}");
    }
    let none = GatepostPlan::new("gamma.example").prepare();
    let ran = none.command(&["ca", "issue", "user", "x@gamma.example"]);
    assert_eq!(ran.code, 66);
    assert!(ran.stderr.contains("gatepost ca init"), "{ran:?}");
}

#[test]
fn the_roots_key_can_be_taken_offline() {
    let (beta, _) = authority();
    let dir = tempfile::tempdir().unwrap();
    let (p12, password) = (dir.path().join("root.p12"), dir.path().join("password"));
    fs::write(&password, "a long pass phrase\n").unwrap();
    let (p12, password) = (p12.to_string_lossy().into_owned(), password.to_string_lossy().into_owned());
    beta.command(&["ca", "export", "root", "--p12", &p12, "--password-file", &password, "--remove-key"])
        .success();
    let (holds, text) = openssl(&["pkcs12", "-in", &p12, "-passin", "pass:a long pass phrase", "-nodes"]);
    assert!(holds && text.contains("BEGIN PRIVATE KEY"), "{text}");
    issue(&beta, "user", "bob@beta.example");
    beta.command(&["ca", "crl", "root"]).success();
}
