//! The local authority: certificates for our own domains only, and revocations that everybody can see.

use std::fs;
use std::process::Command;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::PATIENCE;
use tests::free_port;
use tests::wait_for;

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

#[test]
fn a_new_domain_needs_a_new_issuing_certificate_and_the_roots_key_back() {
    let (beta, _) = authority();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (p12, password, other) = (file("root.p12"), file("password"), file("bob.p12"));
    fs::write(&password, "a long pass phrase\n").unwrap();
    let export = |which: &str, p12: &str, more: &[&str]| {
        let words = ["ca", "export", which, "--p12", p12, "--password-file", &password];
        beta.command(&[&words, more].concat()).success();
    };
    let bob = issue(&beta, "user", "bob@beta.example");
    export("root", &p12, &["--remove-key"]);
    export(&bob, &other, &[]);
    let config = fs::read_to_string(beta.config()).unwrap();
    let more = config.replacen("\"beta.example\"", "\"beta.example\", \"gamma.example\"", 1);
    assert_ne!(config, more);
    fs::write(beta.config(), more).unwrap();
    assert_eq!(beta.command(&["ca", "issue", "user", "eve@gamma.example"]).code, 65);

    let ran = beta.command(&["ca", "renew-issuing"]);
    assert!(ran.code == 66 && ran.stderr.contains("gatepost ca import-root"), "{ran:?}");
    let import = |file: &str| beta.command(&["ca", "import-root", file, "--password-file", &password]);
    let ran = import(&other);
    assert!(ran.code == 65 && ran.stderr.contains("not our root"), "{ran:?}");
    import(&p12).success();
    beta.command(&["ca", "renew-issuing"]).success();
    let eve = issue(&beta, "user", "eve@gamma.example");
    for (name, which) in [
        ("root.pem", "root"),
        ("old.pem", "issuing-1"),
        ("new.pem", "issuing-2"),
        ("bob.pem", &bob),
        ("eve.pem", &eve),
    ] {
        fs::write(file(name), beta.command(&["ca", "export", which]).success().stdout).unwrap();
    }
    let holds = |issuing: &str, leaf: &str| {
        openssl(&["verify", "-CAfile", &file("root.pem"), "-untrusted", &file(issuing), &file(leaf)])
    };
    assert!(holds("new.pem", "eve.pem").0 && holds("old.pem", "bob.pem").0);
    let (_, list) = openssl(&["x509", "-in", &file("new.pem"), "-noout", "-text"]);
    assert!(list.contains("email:gamma.example") && list.contains("email:beta.example"), "{list}");
    // The old generation still signs lists.
    let ran = beta.command(&["ca", "revoke", &bob]).success();
    assert!(ran.text().contains("revocation list number"), "{ran:?}");
}

#[test]
fn a_certificate_whose_key_is_not_ours_is_not_renewed() {
    let (mut beta, _) = authority();
    let (bob, eve) = (issue(&beta, "user", "bob@beta.example"), issue(&beta, "user", "eve@beta.example"));
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    fs::write(file("password"), "a long pass phrase\n").unwrap();
    let (p12, password) = (file("eve.p12"), file("password"));
    beta.command(&["ca", "export", &eve, "--p12", &p12, "--password-file", &password, "--remove-key"])
        .success();
    assert_eq!(beta.command(&["ca", "renew"]).success().text(), "", "nothing is due yet");
    // Leaves live for 90 days and are due from seven days before their end.
    beta.set_clock("+84d");
    let renewed = beta.command(&["ca", "renew"]).success().text();
    assert!(renewed.contains("bob@beta.example") && !renewed.contains("eve@beta.example"), "{renewed}");
    assert!(!renewed.contains(&bob), "{renewed}");
}

#[test]
fn ocsp_answers_by_get_also_when_the_request_has_slashes_and_the_expiry_is_a_metric() {
    let (mut beta, port) = authority();
    beta.start();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let mut slashed = false;
    for number in 0..20 {
        let user = issue(&beta, "user", &format!("user{number}@beta.example"));
        for (name, which) in [("root.pem", "root"), ("issuing.pem", "issuing"), ("leaf.pem", user.as_str())] {
            fs::write(file(name), beta.command(&["ca", "export", which]).success().stdout).unwrap();
        }
        let (issuing, leaf, request) = (file("issuing.pem"), file("leaf.pem"), file("request.der"));
        assert!(openssl(&["ocsp", "-issuer", &issuing, "-cert", &leaf, "-reqout", &request, "-no_nonce"]).0);
        let (holds, encoded) = openssl(&["base64", "-A", "-in", &request]);
        assert!(holds, "{encoded}");
        let url = format!("http://127.0.0.1:{port}/ocsp/{}", encoded.trim().replace('+', "%2B"));
        let response = file("response.der");
        let ran = Command::new("curl").args(["-sf", "--path-as-is", &url, "-o", &response]).output().unwrap();
        assert!(ran.status.success(), "{url}: {ran:?}");
        let (_, said) = openssl(&[
            "ocsp",
            "-issuer",
            &issuing,
            "-cert",
            &leaf,
            "-respin",
            &response,
            "-CAfile",
            &file("root.pem"),
            "-VAfile",
            &issuing,
        ]);
        assert!(said.contains("Response verify OK") && said.contains("leaf.pem: good"), "{said}");
        slashed |= encoded.contains('/');
        if slashed {
            break;
        }
    }
    assert!(slashed, "twenty requests without a slash");
    let series =
        |profile: &str| format!("gatepost_certificate_expiry_timestamp_seconds{{profile=\"{profile}\"}}");
    let expiry = |profile: &str| beta.metric(&series(profile)).filter(|until| *until > 0.0);
    wait_for("the metric", PATIENCE, || expiry("user"));
    assert!(expiry("user") < expiry("issuing") && expiry("issuing") < expiry("root"));
    assert_eq!(expiry("gateway"), None);
}
