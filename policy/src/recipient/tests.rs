use super::*;
use crate::Direction;
use crate::KeyFacts;
use crate::fixtures::at_rcpt;
use crate::fixtures::could_not_tell;
use crate::fixtures::found;
use crate::fixtures::message;
use crate::fixtures::policy;
use crate::fixtures::recipient;

fn rcpt(keys: Vec<KeyFacts>) -> Facts {
    at_rcpt(message(vec![recipient("bob@beta.example", keys)]))
}

fn answer(configuration: &str, facts: &Facts) -> &'static str {
    match policy(configuration).decide_recipient(facts, 0) {
        RcptDecision::Accept => "accept",
        RcptDecision::Refuse { .. } => "refuse",
        RcptDecision::Tempfail { .. } => "tempfail",
    }
}

#[test]
fn required_without_a_key_is_refused_at_rcpt_for_that_recipient_alone() {
    let mut facts = rcpt(Vec::new());
    facts.recipients.push(recipient("carol@beta.example", vec![found(KeyKind::UserOpenpgp, "CA501")]));
    let strict = policy("[partner.'beta.example']\nencrypt = 'required'");
    let RcptDecision::Refuse { code, text } = strict.decide_recipient(&facts, 0) else { panic!() };
    assert_eq!(code, "5.7.1");
    assert!(text.contains("bob@beta.example") && text.contains("user OpenPGP: none"), "{text}");
    assert_eq!(strict.decide_recipient(&facts, 1), RcptDecision::Accept);
}

#[test]
fn a_lookup_that_failed_is_refused_for_now_at_rcpt() {
    let facts = rcpt(vec![could_not_tell(KeyKind::UserOpenpgp)]);
    for (configuration, expected) in [
        ("", "tempfail"),
        ("policy.encrypt = 'required'", "tempfail"),
        ("policy.encrypt = 'never'", "accept"),
    ] {
        assert_eq!(answer(configuration, &facts), expected, "{configuration}");
    }
}

#[test]
fn a_rule_that_may_still_change_the_answer_defers_it() {
    let rule = |body: &str| format!("[policy]\nencrypt = 'required'\n[[rule]]\nid = 'r'\n{body}");
    for (body, expected) in [
        ("subject = '[public]'\nencrypt = 'never'", "accept"),
        ("subject = '[public]'\nencrypt = 'opportunistic'", "accept"),
        ("subject = '[x]'\nverdict = 'discard'", "accept"),
        ("subject = '[x]'\nkeys = ['domain-openpgp']", "refuse"),
        ("subject = '[secret]'\nencrypt = 'required'", "refuse"),
        ("subject = '[x]'\nsign = 'always'", "refuse"),
        ("subject = '[x]'\nverdict = 'reject'", "refuse"),
        ("subject = '[x]'\nverdict = 'quarantine'", "refuse"),
        ("subject = '[x]'\nstop = true", "refuse"),
        ("size_over = 10\nencrypt = 'never'", "accept"),
        ("finding = ['x']\nencrypt = 'never'", "accept"),
        ("header = { X = 'y' }\nencrypt = 'never'", "accept"),
        ("sender = ['carol@alpha.example']\nencrypt = 'never'", "accept"),
        ("direction = 'inbound'\nsubject = '[public]'\nencrypt = 'never'", "refuse"),
        ("recipient = ['carol@*']\nsubject = '[public]'\nencrypt = 'never'", "refuse"),
    ] {
        assert_eq!(answer(&rule(body), &rcpt(Vec::new())), expected, "{body}");
    }
}

#[test]
fn of_the_refusals_that_may_follow_the_mildest_is_given() {
    let strict = "[policy]\nencrypt = 'required'\n[[rule]]\nid = 'r'\nsubject = '[x]'\n";
    let facts = rcpt(vec![could_not_tell(KeyKind::UserOpenpgp)]);
    assert_eq!(answer(&format!("{strict}keys = ['domain-openpgp']"), &facts), "tempfail");
    let certain = rcpt(vec![could_not_tell(KeyKind::DomainOpenpgp)]);
    assert_eq!(answer(&format!("{strict}keys = ['user-openpgp']"), &certain), "tempfail");
}

#[test]
fn a_rule_that_may_hide_the_rule_below_defers_the_answer() {
    let rules = |first: &str| {
        format!(
            "[[rule]]\nid = 'a'\n{first}\n[[rule]]\nid = 'b'\nrecipient = ['bob@*']\nencrypt = 'required'"
        )
    };
    assert_eq!(answer(&rules("subject = '[x]'\nstop = true"), &rcpt(Vec::new())), "accept");
    assert_eq!(answer(&rules("subject = '[x]'\nsign = 'always'"), &rcpt(Vec::new())), "refuse");
    let refusing = "[[rule]]\nid = 'a'\nsubject = '[x]'\nstop = true\n[[rule]]\nid = 'b'\nverdict = 'reject'";
    assert_eq!(answer(refusing, &rcpt(Vec::new())), "accept");
}

#[test]
fn a_rule_that_refuses_a_recipient_refuses_it_at_rcpt_with_its_text() {
    let rules = policy("[[rule]]\nid = 'r'\nrecipient = ['bob@*']\nverdict = 'reject'\ntext = 'not to bob'");
    let RcptDecision::Refuse { text, .. } = rules.decide_recipient(&rcpt(Vec::new()), 0) else { panic!() };
    assert_eq!(text, "not to bob");
}

#[test]
fn an_originator_who_is_not_known_yet_defers_the_answer() {
    let strict = "[policy]\nencrypt = 'required'\n[domain.'alpha.example']\nencrypt = 'never'";
    let mut facts = rcpt(Vec::new());
    assert_eq!(answer(strict, &facts), "accept");
    let strict = "[policy]\nencrypt = 'required'";
    assert_eq!(answer(strict, &facts), "refuse");
    for reverse_path in ["", "bounce@mailer.example"] {
        facts.reverse_path = reverse_path.to_owned();
        assert_eq!(answer(strict, &facts), "accept", "{reverse_path}");
    }
}

#[test]
fn inbound_recipients_are_not_refused_for_want_of_a_key() {
    let mut facts = rcpt(Vec::new());
    facts.recipients[0].direction = Direction::Inbound;
    assert_eq!(answer("[policy]\nencrypt = 'required'", &facts), "accept");
}

#[test]
fn a_recipient_that_does_not_exist_is_refused_for_now() {
    let decision = Policy::default().decide_recipient(&rcpt(Vec::new()), 7);
    assert!(matches!(decision, RcptDecision::Tempfail { .. }));
}

#[test]
fn a_road_is_asked_for_only_where_it_can_count() {
    let text = "
[relay]
[partner.'beta.example']
encrypt = 'required'
keys = ['enforced-tls']
[[rule]]
id = 'secret'
subject = '[s]'
recipient = ['*@epsilon.example']
keys = ['enforced-tls']
";
    let policy = crate::fixtures::read_with_relay(text).unwrap();
    let wants = |address: &str, from: &str| {
        let mut facts = at_rcpt(message(vec![recipient(address, Vec::new())]));
        facts.reverse_path = from.to_owned();
        policy.wants(crate::KeyKind::EnforcedTls, &facts, 0)
    };
    let alice = "alice@alpha.example";
    assert!(wants("bob@beta.example", alice));
    assert!(wants("bob@epsilon.example", alice), "the subject may come to say so");
    assert!(!wants("bob@zeta.example", alice));
    assert!(wants("bob@zeta.example", "bounce@mailer.example"), "From may come to say so");
}
