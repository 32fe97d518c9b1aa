use super::*;

const GOOD: &str = r#"
[gateway]
name = "mx.alpha.example"
domains = ["Alpha.example"]
listen = ["inet:127.0.0.1:8891", "unix:/run/gatepost/milter"]
state = "/var/lib/gatepost"
reinject = "127.0.0.1:10026"
message_size_limit = "50 MiB"
"#;

#[test]
fn a_small_file_is_enough_and_defaults_are_safe() {
    let config = Config::parse("gatepost.toml", GOOD).unwrap();
    assert_eq!(config.gateway.domains, ["alpha.example"]);
    assert!(config.gateway.is_own("ALPHA.example"));
    assert!(config.gateway.is_trusted([127, 0, 0, 1].into()));
    assert!(!config.gateway.is_trusted([192, 0, 2, 1].into()));
    assert_eq!(config.gateway.message_size_limit, Some(50 << 20));
    assert_eq!(config.gateway.deadline, DEFAULT_DEADLINE);
}

#[test]
fn a_mistake_is_named_with_line_and_nearest_name() {
    let text = GOOD.replace("reinject =", "reinjekt =");
    let error = Config::parse("gatepost.toml", &text).unwrap_err().to_string();
    assert!(error.contains("gatepost.toml:7:1: unknown key `reinjekt`"), "{error}");
    assert!(error.contains("did you mean `reinject`"), "{error}");
}

#[test]
fn every_missing_key_is_named_at_once() {
    let error = Config::parse("gatepost.toml", "[gateway]\n").unwrap_err().to_string();
    for key in ["name", "domains", "listen", "state"] {
        assert!(error.contains(&format!("missing key `{key}`")), "{error}");
    }
}

#[test]
fn relative_paths_and_sendmail_addresses_are_refused_with_the_fix() {
    let text = GOOD.replace("inet:127.0.0.1:8891", "inet:8891@127.0.0.1");
    let error = Config::parse("gatepost.toml", &text).unwrap_err().to_string();
    assert!(error.contains("write it as Postfix does: inet:127.0.0.1:8891"), "{error}");
    let text = GOOD.replace("/var/lib/gatepost", "state");
    let error = Config::parse("gatepost.toml", &text).unwrap_err().to_string();
    assert!(error.contains("must be an absolute path"), "{error}");
}

#[test]
fn a_domain_is_ours_in_u_labels_and_in_a_labels() {
    for written in ["Bücher.example", "xn--bcher-kva.example"] {
        let text = GOOD.replace("Alpha.example", written);
        let gateway = Config::parse("gatepost.toml", &text).unwrap().gateway;
        for ours in ["bücher.example", "BÜCHER.Example", "xn--bcher-kva.example", "XN--Bcher-KVA.EXAMPLE"] {
            assert!(gateway.is_own(ours), "{written}: {ours}");
            assert!(gateway.is_own_mailbox(&Subject::address(&format!("jo@{ours}")).unwrap()));
        }
        for other in ["bucher.example", "sub.bücher.example", "bücher.example.org", "example", ""] {
            assert!(!gateway.is_own(other), "{written}: {other}");
        }
        assert!(!gateway.is_own_mailbox(&Subject::domain(written).unwrap()), "a domain is no mailbox");
    }
}

#[test]
fn a_domain_that_the_dns_cannot_have_is_a_mistake() {
    let text = GOOD.replace("Alpha.example", &format!("{}.example", "ü".repeat(60)));
    let error = Config::parse("gatepost.toml", &text).unwrap_err().to_string();
    assert!(error.contains("is not a host or domain name"), "{error}");
}
