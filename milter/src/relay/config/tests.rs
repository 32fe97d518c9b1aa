use super::*;
use crate::config::Config;

const GATEWAY: &str = r#"
[gateway]
name = "mx.alpha.example"
domains = ["alpha.example"]
listen = ["inet:127.0.0.1:8891"]
state = "/var/lib/gatepost"
"#;

fn relay(section: &str) -> RelayConfig {
    let config =
        Config::parse("gatepost.toml", &format!("{section}{GATEWAY}")).unwrap_or_else(|e| panic!("{e}"));
    config.relay.expect("a relay section")
}

fn mistakes(section: &str) -> String {
    Config::parse("gatepost.toml", &format!("{section}{GATEWAY}")).unwrap_err().to_string()
}

#[test]
fn an_empty_section_is_enough_and_no_section_is_no_relay() {
    assert!(Config::parse("gatepost.toml", GATEWAY).unwrap().relay.is_none());
    let relay = relay("[relay]\n");
    assert_eq!(relay.dns.resolver, "127.0.0.1:53".parse().unwrap());
    assert!(relay.policy_listen.is_empty() && relay.lmtp_listen.is_none());
    assert_eq!(relay.courier.name, "mx.alpha.example");
    assert_eq!(relay.sts.directory, Some("/var/lib/gatepost/mta-sts".into()));
    assert_eq!(relay.demands.default, Demand::Dane);
}

#[test]
fn every_key_is_read() {
    let relay = relay(
        r#"
[relay]
resolver = "127.0.0.2:5353"
resolver_timeout_seconds = 7
resolver_questions = 9
bogus_name = "dnssec-failed.org"
policy = "dane-only"
policy_listen = ["inet:127.0.0.1:8461", "unix:/run/gatepost/policy"]
policy_connections = 11
policy_answer_seconds = 12
lmtp_listen = "2424"
transport = "gatepost"
local_domains = ["Lists.alpha.example", ".intern.example"]
helo = "out.alpha.example"
connect_seconds = 13
greeting_seconds = 14
command_seconds = 15
delivery_seconds = 300
deliveries = 16
honour_tls_required_no = false
sts_timeout_seconds = 17
sts_policies = 18
[relay.reports]
organization = "Alpha"
contact = "tls-reports@alpha.example"
dkim_key = "/etc/gatepost/dkim.pem"
dkim_selector = "tls"
submission = "127.0.0.1:10025"
postfix_socket = "/var/spool/postfix/gatepost/tlsrpt"
[relay.own."alpha.example"]
hosts = ["mx.alpha.example /etc/ssl/mx.pem", "MX2.alpha.example /etc/ssl/mx2.pem /etc/ssl/next.pem"]
mta_sts = "testing"
mta_sts_max_age_seconds = 86400
mta_sts_mx = ["*.alpha.example"]
tls_reports = ["mailto:tls-reports@alpha.example"]
ttl_seconds = 600
[relay.domain."beta.example"]
policy = "sts"
[relay.domain.".gamma.example"]
policy = "encrypt"
"#,
    );
    assert_eq!(relay.dns.timeout, Duration::from_secs(7));
    assert_eq!(relay.dns.bogus_name.as_deref(), Some("dnssec-failed.org"));
    assert_eq!((relay.policy_listen.len(), relay.policy_limits.connections), (2, 11));
    assert_eq!(relay.lmtp_listen, Some("0.0.0.0:2424".parse().unwrap()));
    assert_eq!(relay.courier.times.total, Duration::from_secs(300));
    assert_eq!(relay.courier.times.done, Duration::from_secs(300), "never beyond the total");
    assert_eq!((relay.courier.deliveries, relay.sts.capacity), (16, 18));
    assert_eq!(relay.reports.submission, Some("127.0.0.1:10025".parse().unwrap()));
    assert_eq!(relay.reports.contact.as_ref().unwrap().domain(), "alpha.example");
    let own = &relay.own[0];
    assert_eq!((own.mta_sts, own.max_age, own.ttl), (Some(Mode::Testing), 86_400, 600));
    assert_eq!(own.hosts[1].name, "mx2.alpha.example");
    assert_eq!(own.hosts[1].next, Some("/etc/ssl/next.pem".into()));
    assert_eq!(relay.demands.default, Demand::DaneOnly);
    assert_eq!(relay.demands.domains.get("beta.example"), Some(&Demand::Sts));
    assert_eq!(relay.demands.domains.get(".gamma.example"), Some(&Demand::Encrypt));
    for (domain, local) in [
        ("alpha.example", true),
        ("mx.alpha.example", true),
        ("lists.alpha.example", true),
        ("a.intern.example", true),
        ("localhost", true),
        ("intern.example", false),
        ("xalpha.example", false),
    ] {
        assert_eq!(relay.is_local(domain), local, "{domain}");
    }
}

#[test]
fn mistakes_have_a_place_and_the_nearest_name() {
    let unknown = mistakes("[relay]\nresolvr = \"127.0.0.1\"\n");
    assert!(unknown.contains("gatepost.toml:2:1: unknown key `resolvr` in [relay]"), "{unknown}");
    assert!(unknown.contains("did you mean `resolver`"), "{unknown}");
    let choice = mistakes("[relay.domain.\"beta.example\"]\npolicy = \"dane-onyl\"\n");
    assert!(choice.contains("gatepost.toml:2:10: `policy` cannot be `dane-onyl`"), "{choice}");
    assert!(choice.contains("did you mean `dane-only`"), "{choice}");
    let missing = mistakes("[relay.domain.\"beta.example\"]\n");
    assert!(missing.contains("missing key `policy` in [relay.domain.\"beta.example\"]"), "{missing}");
    let unquoted = mistakes("[relay.domain.beta.example]\npolicy = \"may\"\n");
    assert!(unquoted.contains("write [relay.domain.\"beta.example\"]"), "{unquoted}");
}

#[test]
fn what_would_be_dangerous_is_refused_with_the_way_out() {
    let far = mistakes("[relay]\nresolver = \"192.0.2.53\"\n");
    assert!(far.contains("resolver_elsewhere = true"), "{far}");
    let trusted = relay("[relay]\nresolver_elsewhere = true\nresolver = \"192.0.2.53\"\n");
    assert_eq!(trusted.dns.resolver, "192.0.2.53:53".parse().unwrap());
    let open = mistakes("[relay]\nlmtp_listen = \"192.0.2.1:2424\"\n");
    assert!(open.contains("would let others relay"), "{open}");
    let late = mistakes("[relay]\ndelivery_seconds = 600\n");
    assert!(late.contains("`delivery_seconds` must be from 1 to 580"), "{late}");
}

#[test]
fn names_that_are_none_or_twice_are_named() {
    let label = "x".repeat(64);
    let long = mistakes(&format!("[relay.domain.\"{label}.example\"]\npolicy = \"may\"\n"));
    assert!(long.contains("gatepost.toml:1:15"), "{long}");
    let twice = mistakes(
        "[relay.domain.\"beta.example\"]\npolicy = \"may\"\n[relay.domain.\"Beta.example\"]\npolicy = \"off\"\n",
    );
    assert!(twice.contains("is there twice"), "{twice}");
}

#[test]
fn enforced_tls_is_a_key_only_with_a_relay() {
    let keys = "[policy]\nkeys = [\"enforced-tls\"]\n";
    assert!(mistakes(keys).contains("add a [relay] section"));
    relay(&format!("{keys}[relay]\n"));
}

#[test]
fn reports_need_a_contact_and_hosts_a_certificate() {
    let contact = mistakes("[relay.reports]\norganization = \"Alpha\"\n");
    assert!(contact.contains("missing key `contact` in [relay.reports]"), "{contact}");
    relay("[relay.reports]\npostfix_socket = \"/run/tlsrpt\"\n");
    let host = mistakes("[relay.own.\"alpha.example\"]\nhosts = [\"mx.alpha.example\"]\n");
    assert!(host.contains("NAME CERTIFICATE NEXT"), "{host}");
    let rua = mistakes("[relay.own.\"alpha.example\"]\ntls_reports = [\"http://alpha.example\"]\n");
    assert!(rua.contains("neither mailto:ADDRESS nor https://URL"), "{rua}");
}

#[test]
fn validation_is_the_resolvers_or_our_own() {
    assert_eq!(relay("[relay]\n").validation, Validation::Resolver);
    let own = relay("[relay]\nvalidation = \"own\"\nresolver = \"192.0.2.53\"\n");
    assert_eq!(own.validation, Validation::Own("/usr/share/dns/root.key".into()));
    assert_eq!(
        own.dns.resolver,
        "192.0.2.53:53".parse().unwrap(),
        "answers that are checked here may come from anywhere"
    );
    let named = relay("[relay]\nvalidation = \"own\"\ntrust_anchors = \"/etc/root.key\"\n");
    assert_eq!(named.validation, Validation::Own("/etc/root.key".into()));
    assert!(!named.differs_only_in_demands(&own));
    let idle = mistakes("[relay]\ntrust_anchors = \"/etc/root.key\"\n");
    assert!(idle.contains("only with `validation = \"own\"`"), "{idle}");
    let choice = mistakes("[relay]\nvalidation = \"Own\"\n");
    assert!(choice.contains("`validation` cannot be `Own`"), "{choice}");
}
