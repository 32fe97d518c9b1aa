use super::*;
use crate::Plan;
use crate::Policy;
use crate::Verdict;
use crate::fixtures::found;
use crate::fixtures::message;
use crate::fixtures::policy;
use crate::fixtures::recipient;

const SCOPES: &str = "
[policy]
encrypt = 'never'
[domain.'alpha.example']
encrypt = 'opportunistic'
sign = 'always'
[partner.'.example']
keys = ['domain-openpgp']
[partner.'.beta.example']
encrypt = 'required'
[partner.'Mail.Beta.example']
encrypt = 'never'
[user.'Alice@Alpha.Example']
sign = 'never'
";

fn plan(policy: &Policy, from: &str, to: &str) -> Plan {
    let keys = vec![found(KeyKind::UserOpenpgp, "B0B"), found(KeyKind::DomainOpenpgp, "D0")];
    let mut facts = message(vec![recipient(to, keys)]);
    facts.reverse_path = from.to_owned();
    facts.from = vec![from.to_owned()];
    policy.decide(&facts)
}

#[test]
fn what_is_closer_overrides_field_by_field() {
    let policy = policy(SCOPES);
    for (from, to, encrypt, encrypt_from, sign_from) in [
        (
            "carol@gamma.example",
            "bob@beta.org",
            Encrypt::Never,
            "the gateway's [policy]",
            "the built-in default",
        ),
        (
            "carol@alpha.example",
            "b@beta.org",
            Encrypt::Opportunistic,
            "domain alpha.example",
            "domain alpha.example",
        ),
        (
            "alice@alpha.example",
            "b@beta.org",
            Encrypt::Opportunistic,
            "domain alpha.example",
            "user alice@alpha.example",
        ),
        (
            "ALICE@ALPHA.EXAMPLE",
            "b@x.BETA.example",
            Encrypt::Required,
            "partner .beta.example",
            "user alice@alpha.example",
        ),
        (
            "alice@alpha.example",
            "b@mail.beta.example",
            Encrypt::Never,
            "partner mail.beta.example",
            "user alice@alpha.example",
        ),
    ] {
        let plan = plan(&policy, from, to);
        let told = &plan.recipients[0];
        let got = (told.encrypt, told.encrypt_from.as_str(), told.sign_from.as_str());
        assert_eq!(got, (encrypt, encrypt_from, sign_from), "{from} to {to}");
    }
    assert_eq!(
        plan(&policy, "alice@alpha.example", "b@x.beta.example").recipients[0]
            .key
            .as_ref()
            .unwrap()
            .fingerprint,
        "D0"
    );
}

#[test]
fn a_user_overrides_a_partner() {
    let policy = policy(
        "[partner.'beta.example']\nencrypt = 'required'\n[user.'alice@alpha.example']\nencrypt = 'never'",
    );
    let told = &plan(&policy, "alice@alpha.example", "bob@beta.example").recipients[0];
    assert_eq!(told.encrypt_from, "user alice@alpha.example");
}

#[test]
fn of_an_originator_with_several_names_the_strictest_counts() {
    let policy = policy("[policy]\nencrypt = 'never'\n[domain.'alpha.example']\nencrypt = 'required'");
    for (reverse_path, from) in [
        ("bounce@mailer.example", "alice@alpha.example"),
        ("", "alice@alpha.example"),
        ("carol@gamma.example", "alice@alpha.example"),
        ("alice@alpha.example", "carol@gamma.example"),
    ] {
        let mut facts = message(vec![recipient("bob@beta.example", Vec::new())]);
        facts.reverse_path = reverse_path.to_owned();
        facts.from = vec![from.to_owned()];
        let verdict = policy.decide(&facts).verdict;
        assert!(matches!(verdict, Verdict::Reject { .. }), "{reverse_path} and {from}: {verdict:?}");
    }
}

#[test]
fn the_digest_follows_meaning_and_not_spelling() {
    let one = policy(
        "[policy]\nencrypt='never'\n[user.'a@alpha.example']\nsign='always'\n[user.'b@alpha.example']\nsign='never'",
    );
    let same = policy(
        "# comment\nuser.'B@ALPHA.example'.sign = 'never'\nuser.'a@alpha.example'.sign = 'always'\npolicy.encrypt = 'never'",
    );
    let other = policy("[policy]\nencrypt='required'");
    assert_eq!(one.digest(), same.digest());
    assert_ne!(one.digest(), other.digest());
    assert_eq!(one.digest().len(), 64);
}

#[test]
fn a_policy_says_what_it_needs() {
    let idle = policy("[policy]\nencrypt='never'\nopen=false");
    assert!(!idle.needs_body() && !idle.may_refuse_recipients());
    assert!(Policy::default().needs_body() && Policy::default().may_refuse_recipients());
    assert_eq!(Policy::default().wanted_kinds(), crate::settings::DEFAULT_KINDS);
    let one =
        policy("[policy]\nkeys=['domain-openpgp']\n[[rule]]\nid='r'\nheader={X-B='1',X-A='2'}\nstop=true");
    assert_eq!(one.wanted_kinds(), [KeyKind::DomainOpenpgp]);
    assert_eq!(one.wanted_fields(), ["x-a", "x-b"]);
    for needs in [
        "sign='always'\nsubject='x'",
        "size_over=1\nstop=true",
        "encrypt='required'",
        "finding='x'\nstop=true",
    ] {
        let rules = policy(&format!("[policy]\nencrypt='never'\nopen=false\n[[rule]]\nid='r'\n{needs}"));
        assert!(rules.needs_body(), "{needs}");
    }
}

#[test]
fn enforced_tls_needs_a_relay_section_to_ask() {
    let policy_section = "[policy]\nencrypt = 'required'\nkeys = ['user-openpgp', 'enforced-tls']\n";
    let errors = crate::fixtures::mistakes(policy_section);
    assert_eq!(
        errors,
        ["gatepost.toml:3:25: `keys`: `enforced-tls` asks the relay which roads can be authenticated: \
add a [relay] section"]
    );
    let with_relay = |text: &str| crate::fixtures::read_with_relay(&format!("{text}[relay]\n"));
    let policy = with_relay(policy_section).unwrap();
    assert_eq!(policy.wanted_kinds(), [KeyKind::UserOpenpgp, KeyKind::EnforcedTls]);
    let near = with_relay("[policy]\nkeys = ['enforced-tl']\n").unwrap_err().to_string();
    assert!(near.contains("domain-openpgp, enforced-tls, password-message"), "{near}");
    assert!(near.contains("did you mean `enforced-tls`"), "{near}");
}

#[test]
fn a_relay_section_alone_changes_no_default() {
    let policy = crate::fixtures::read_with_relay("[relay]\n").unwrap();
    assert_eq!(policy.wanted_kinds(), Policy::default().wanted_kinds());
}

/// An international domain may stand in A-labels or in U-labels, in the file as in an address (RFC 5890, RFC 6531).
const SPELLINGS: [&str; 4] =
    ["bücher.example", "BÜCHER.Example", "xn--bcher-kva.example", "XN--Bcher-KVA.example"];

#[test]
fn a_partner_is_the_same_in_either_spelling() {
    for (written, asked) in SPELLINGS.iter().flat_map(|one| SPELLINGS.map(|other| (one, other))) {
        for (section, address) in [
            (format!("[partner.'{written}']\nencrypt = 'required'"), format!("bob@{asked}")),
            (format!("[partner.'*.{written}']\nencrypt = 'required'"), format!("bob@mx.{asked}")),
            (
                format!("[[rule]]\nid = 'books'\nrecipient = ['*@{written}']\nencrypt = 'required'"),
                format!("bob@{asked}"),
            ),
        ] {
            let told = plan(&policy(&section), "alice@alpha.example", &address);
            assert_eq!(told.recipients[0].encrypt, Encrypt::Required, "{section} for {address}");
        }
    }
    let mistakes = crate::fixtures::mistakes(
        "[partner.'bücher.example']\nsign = 'never'\n[partner.'xn--bcher-kva.example']\nsign = 'never'",
    );
    assert!(mistakes[0].contains("is there twice, written differently"), "{mistakes:?}");
}

#[test]
fn a_domain_of_ours_is_the_same_in_either_spelling() {
    for (own, written, asked) in SPELLINGS
        .iter()
        .flat_map(|own| SPELLINGS.iter().flat_map(move |one| SPELLINGS.map(|other| (own, one, other))))
    {
        let text =
            format!("[domain.'{written}']\nencrypt = 'never'\n[user.'Jo@{written}']\nsign = 'always'\n");
        let mut root = crate::parse_document("gatepost.toml", &text).unwrap();
        let policy = Policy::from_sections(&mut root, &[(*own).to_owned()]).unwrap();
        let told = plan(&policy, &format!("jo@{asked}"), "bob@beta.example");
        let told = &told.recipients[0];
        assert_eq!(told.encrypt_from, "domain xn--bcher-kva.example", "{own} {written} {asked}");
        assert_eq!(told.sign_from, "user jo@xn--bcher-kva.example", "{own} {written} {asked}");
    }
}
