use super::*;
use crate::Encrypt;
use crate::Finding;
use crate::Group;
use crate::KeyAnswer;
use crate::KeyFacts;
use crate::KeyKind;
use crate::Protection;
use crate::RsaSignature;
use crate::Sign;
use crate::fixtures::at_rcpt;
use crate::fixtures::could_not_tell;
use crate::fixtures::found;
use crate::fixtures::from_outside;
use crate::fixtures::given_up;
use crate::fixtures::layer;
use crate::fixtures::message;
use crate::fixtures::policy;
use crate::fixtures::recipient;

mod submission;

const REQUIRED: &str = "[policy]\nencrypt = 'required'";
const SIGNING: &str = "[policy]\nsign = 'always'";

fn bob(keys: Vec<KeyFacts>) -> RecipientFacts {
    recipient("bob@beta.example", keys)
}

fn keys_of(group: &Group) -> Vec<&str> {
    group.treatment.encrypt_to.iter().map(|key| key.fingerprint.as_str()).collect()
}

#[track_caller]
fn assert_in_clear(plan: &Plan) {
    assert_eq!(plan.verdict, Verdict::Accept);
    assert!(plan.groups.iter().all(|group| group.treatment.is_pass()), "{plan:?}");
}

#[track_caller]
fn assert_sealed(plan: &Plan, keys: &[&str]) {
    assert_eq!(plan.verdict, Verdict::Accept);
    assert_eq!(plan.groups.iter().map(keys_of).collect::<Vec<_>>(), [keys]);
}

#[track_caller]
fn assert_refused(plan: &Plan, permanent: bool, code: &str, words: &str) {
    let (class, got, text) = match &plan.verdict {
        Verdict::Reject { code, text } => (true, code, text),
        Verdict::Tempfail { code, text } => (false, code, text),
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!((class, got.as_str()), (permanent, code), "{text}");
    assert!(text.contains(words), "{text}");
    assert!(plan.groups.is_empty(), "a message that is refused goes nowhere");
}

#[test]
fn opportunistic_encrypts_when_there_is_a_key_and_passes_when_there_is_certainly_none() {
    let policy = Policy::default();
    let plan = policy.decide(&message(vec![bob(vec![found(KeyKind::UserOpenpgp, "B0B")])]));
    assert_sealed(&plan, &["B0B"]);
    assert!(plan.groups[0].treatment.aead);
    assert_in_clear(&policy.decide(&message(vec![bob(Vec::new())])));
}

#[test]
fn required_without_a_key_refuses_for_good_and_names_recipient_and_reason() {
    let expired = KeyAnswer::None { why: vec!["A1B2 expired 2026-01-01".to_owned()] };
    let keys = vec![KeyFacts { kind: KeyKind::UserOpenpgp, answer: expired }];
    let plan = policy(REQUIRED).decide(&message(vec![bob(keys)]));
    assert_refused(&plan, true, "5.7.1", "bob@beta.example");
    assert_refused(&plan, true, "5.7.1", "A1B2 expired 2026-01-01");
}

#[test]
fn a_lookup_that_failed_is_never_no_key() {
    for settings in ["", REQUIRED] {
        let plan = policy(settings).decide(&message(vec![bob(vec![could_not_tell(KeyKind::UserOpenpgp)])]));
        assert_refused(&plan, false, "4.7.5", "bob@beta.example");
    }
    let mut facts = message(vec![bob(Vec::new())]);
    facts.recipients[0].keys.clear();
    assert_refused(&Policy::default().decide(&facts), false, "4.7.5", "bob@beta.example");
}

#[test]
fn a_lookup_that_was_given_up_lets_go_only_what_need_not_be_encrypted() {
    let away = || vec![given_up(KeyKind::UserOpenpgp)];
    let plan = Policy::default().decide(&message(vec![bob(away())]));
    assert_in_clear(&plan);
    let reason = &plan.recipients[0].reason;
    assert!(
        reason.starts_with("Not encrypted: opportunistic") && reason.contains("away for a week"),
        "{reason}"
    );
    assert_refused(&policy(REQUIRED).decide(&message(vec![bob(away())])), false, "4.7.5", "bob@beta.example");
    // One that was not given up counts.
    let both = vec![given_up(KeyKind::UserOpenpgp), could_not_tell(KeyKind::DomainOpenpgp)];
    assert_refused(&Policy::default().decide(&message(vec![bob(both)])), false, "4.7.5", "bob@beta.example");
    let later = vec![given_up(KeyKind::UserOpenpgp), found(KeyKind::DomainOpenpgp, "D0")];
    assert_sealed(&Policy::default().decide(&message(vec![bob(later)])), &["D0"]);
    // What arrived encrypted and was opened here does not go on in clear.
    let mut facts = message(vec![bob(away())]);
    facts.findings.push(Finding { id: OPENED_BEFORE.to_owned(), detail: String::new() });
    assert_refused(&Policy::default().decide(&facts), false, "4.7.5", "cannot tell");
    // Nor is it signed as if nothing were known of signing keys.
    let mut facts = message(vec![bob(away())]);
    facts.signing_keys = vec![given_up(KeyKind::UserOpenpgp)];
    assert_refused(&policy(SIGNING).decide(&facts), false, "4.7.5", "signing key");
}

#[test]
fn why_a_lookup_failed_is_for_the_log_and_not_for_the_client() {
    let plan = Policy::default().decide(&message(vec![bob(vec![could_not_tell(KeyKind::UserOpenpgp)])]));
    let Verdict::Tempfail { text, .. } = &plan.verdict else { panic!() };
    assert!(!text.contains("locked") && plan.recipients[0].reason.contains("locked"));
}

#[test]
fn keys_are_tried_in_order_and_a_key_found_later_outweighs_a_failed_lookup() {
    let both = vec![found(KeyKind::DomainOpenpgp, "D0"), found(KeyKind::UserOpenpgp, "B0B")];
    assert_sealed(&Policy::default().decide(&message(vec![bob(both.clone())])), &["B0B"]);
    let reversed = policy("[policy]\nkeys = ['domain-openpgp', 'user-openpgp']");
    assert_sealed(&reversed.decide(&message(vec![bob(both)])), &["D0"]);
    let failed = vec![could_not_tell(KeyKind::UserOpenpgp), found(KeyKind::DomainOpenpgp, "D0")];
    assert_sealed(&policy(REQUIRED).decide(&message(vec![bob(failed)])), &["D0"]);
}

#[test]
fn a_kind_that_is_not_in_the_order_is_not_used() {
    let only_domain = policy("[policy]\nkeys = ['domain-openpgp']");
    let keys = vec![found(KeyKind::UserOpenpgp, "B0B")];
    assert_in_clear(&only_domain.decide(&message(vec![bob(keys)])));
}

#[test]
fn mail_that_does_not_leave_is_encrypted_only_by_a_rule_that_names_its_direction() {
    let inside = |direction| {
        let keys = vec![found(KeyKind::UserOpenpgp, "CA501")];
        message(vec![RecipientFacts { direction, ..recipient("carol@alpha.example", keys) }])
    };
    let anywhere = policy("[policy]\nencrypt = 'required'\n[[rule]]\nid = 'all'\nencrypt = 'required'");
    assert_in_clear(&anywhere.decide(&inside(Direction::Internal)));
    assert_in_clear(&anywhere.decide(&inside(Direction::Inbound)));
    let named = policy("[[rule]]\nid = 'inside'\ndirection = 'internal'\nencrypt = 'required'");
    assert_sealed(&named.decide(&inside(Direction::Internal)), &["CA501"]);
    assert_in_clear(&named.decide(&inside(Direction::Inbound)));
}

#[test]
fn originators_sign_and_strangers_do_not() {
    let signing = policy(SIGNING);
    let mut facts = message(vec![bob(Vec::new())]);
    let plan = signing.decide(&facts);
    assert_eq!(plan.groups[0].treatment.sign_with.as_ref().unwrap().fingerprint, "A11CE");
    facts.originating = false;
    assert_in_clear(&signing.decide(&facts));
    facts.originating = true;
    facts.recipients[0].direction = Direction::Internal;
    assert_in_clear(&signing.decide(&facts));
    let internal = policy("[[rule]]\nid = 'i'\ndirection = 'internal'\nsign = 'always'");
    assert!(internal.decide(&facts).groups[0].treatment.sign_with.is_some());
}

#[test]
fn an_author_in_doubt_is_signed_for_by_nobody_and_does_not_make_mail_wait() {
    let mut facts = message(vec![bob(Vec::new())]);
    facts.author_in_doubt = true;
    assert_in_clear(&policy(SIGNING).decide(&facts));
    facts.signing_keys = crate::fixtures::recipient("a@b.example", Vec::new()).keys;
    assert_in_clear(&policy(SIGNING).decide(&facts));
}

#[test]
fn mail_that_cannot_be_signed_waits() {
    let mut facts = message(vec![bob(Vec::new())]);
    facts.signing_keys = crate::fixtures::recipient("a@b.example", Vec::new()).keys;
    assert_refused(&policy(SIGNING).decide(&facts), false, "4.7.5", "no signing key for alice@alpha.example");
    facts.signing_keys = vec![could_not_tell(KeyKind::UserOpenpgp)];
    assert_refused(&policy(SIGNING).decide(&facts), false, "4.7.5", "cannot tell");
}

#[test]
fn mail_that_arrived_encrypted_is_not_sealed_twice_and_satisfies_required() {
    let strict = policy("[policy]\nencrypt = 'required'\nsign = 'always'");
    for protection in [Protection::Encrypted, Protection::SignedAndEncrypted] {
        for keys in [Vec::new(), vec![found(KeyKind::UserOpenpgp, "B0B")]] {
            let mut facts = message(vec![bob(keys)]);
            facts.protection = Some(protection);
            assert_in_clear(&strict.decide(&facts));
        }
    }
}

#[test]
fn mail_that_arrived_signed_is_encrypted_around_and_not_signed_again() {
    let strict = policy("[policy]\nencrypt = 'required'\nsign = 'always'");
    let mut facts = message(vec![bob(vec![found(KeyKind::UserOpenpgp, "B0B")])]);
    facts.protection = Some(Protection::Signed);
    let plan = strict.decide(&facts);
    assert_sealed(&plan, &["B0B"]);
    assert_eq!(plan.groups[0].treatment.sign_with, None);
    facts.recipients = vec![bob(Vec::new())];
    assert_refused(&strict.decide(&facts), true, "5.7.1", "bob@beta.example");
}

#[test]
fn one_recipient_that_must_be_refused_refuses_the_message_and_nothing_leaves() {
    let partner = policy("[partner.'beta.example']\nencrypt = 'required'");
    let dave = recipient("dave@delta.example", vec![found(KeyKind::UserOpenpgp, "DA7E")]);
    assert_refused(&partner.decide(&message(vec![dave, bob(Vec::new())])), true, "5.7.1", "bob@");
}

#[test]
fn a_refusal_for_good_outweighs_one_for_now() {
    let partner = policy("[partner.'beta.example']\nencrypt = 'required'");
    let unclear = recipient("dave@delta.example", vec![could_not_tell(KeyKind::UserOpenpgp)]);
    assert_refused(&partner.decide(&message(vec![unclear, bob(Vec::new())])), true, "5.7.1", "bob@");
}

#[test]
fn the_first_rule_that_sets_a_field_wins_for_that_field() {
    let rules = policy(
        "[[rule]]\nid = 'a'\nencrypt = 'never'\n[[rule]]\nid = 'b'\nencrypt = 'required'\nsign = 'always'",
    );
    let plan = rules.decide(&message(vec![bob(Vec::new())]));
    assert_eq!(plan.rules, ["a", "b"]);
    let told = &plan.recipients[0];
    assert_eq!((told.encrypt, told.encrypt_from.as_str()), (Encrypt::Never, "rule a"));
    assert_eq!((told.sign, told.sign_from.as_str()), (Sign::Always, "rule b"));
}

#[test]
fn a_rule_that_stops_hides_the_rules_below() {
    let rules = policy(
        "[[rule]]\nid = 'a'\nsender = ['alice@*']\nstop = true\n[[rule]]\nid = 'b'\nverdict = 'reject'",
    );
    let plan = rules.decide(&message(vec![bob(Vec::new())]));
    assert_eq!((plan.verdict, plan.rules), (Verdict::Accept, vec!["a".to_owned()]));
}

#[test]
fn triggers_in_subject_and_header_fire_and_are_removed() {
    let rules = policy(
        "[[rule]]\nid = 's'\nsubject = '[confidential]'\nremove_trigger = true\nencrypt = 'required'\n\
         [[rule]]\nid = 'h'\nheader = { Sensitivity = 'company-*' }\nremove_trigger = true\nencrypt = 'required'",
    );
    assert_eq!(rules.wanted_fields(), ["sensitivity"]);
    let mut facts = message(vec![bob(Vec::new())]);
    assert_in_clear(&rules.decide(&facts));
    facts.header.as_mut().unwrap().subject = "Re: [Confidential] offer".to_owned();
    assert_refused(&rules.decide(&facts), true, "5.7.1", "bob@");
    let header = facts.header.as_mut().unwrap();
    header.fields.push(("sensitivity".to_owned(), " Company-Confidential".to_owned()));
    facts.recipients = vec![bob(vec![found(KeyKind::UserOpenpgp, "B0B")])];
    let plan = rules.decide(&facts);
    assert_sealed(&plan, &["B0B"]);
    assert_eq!(plan.subject_triggers, ["[confidential]"]);
    assert_eq!(plan.remove_fields, ["sensitivity"]);
}

#[test]
fn rules_match_sender_by_reverse_path_or_from_and_size_and_finding_and_login() {
    let mut facts = message(vec![bob(Vec::new())]);
    facts.reverse_path = "bounce@mailer.example".to_owned();
    facts.findings = vec![Finding { id: "iban".to_owned(), detail: String::new() }];
    for (condition, holds) in [
        ("sender = ['alice@alpha.example']", true),
        ("sender = ['*@mailer.example']", true),
        ("sender = ['carol@*', '<>']", false),
        ("recipient = ['*@beta.example']", true),
        ("recipient = '*@*.beta.example'", false),
        ("size_over = 1999", true),
        ("size_over = 2000", false),
        ("size_under = '2 kB'", false),
        ("size_under = 2001", true),
        ("finding = ['iban', 'x']", true),
        ("finding = ['card-*']", false),
        ("authenticated = true", true),
        ("authenticated = false", false),
        ("direction = 'inbound'", false),
        ("header = { X-Encrypt = '*' }", false),
    ] {
        let rules = policy(&format!("[[rule]]\nid = 'r'\n{condition}\nverdict = 'reject'\ntext = 'no'"));
        let refused = rules.decide(&facts).verdict != Verdict::Accept;
        assert_eq!(refused, holds, "{condition}");
    }
}

#[test]
fn different_recipients_of_one_message_get_different_treatments() {
    let rules = policy("[partner.'beta.example']\nencrypt = 'never'");
    let carol = recipient("carol@delta.example", vec![found(KeyKind::UserOpenpgp, "CA501")]);
    let plan = rules.decide(&message(vec![bob(vec![found(KeyKind::UserOpenpgp, "B0B")]), carol]));
    assert_eq!(plan.groups.iter().map(|g| g.recipients.clone()).collect::<Vec<_>>(), [[0], [1]]);
    assert_eq!(plan.groups.iter().map(keys_of).collect::<Vec<_>>(), [vec![], vec!["CA501"]]);
}

#[test]
fn a_discard_that_is_not_for_everybody_is_held() {
    let rules = policy("[[rule]]\nid = 'd'\nrecipient = ['bob@*']\nverdict = 'discard'");
    let plan = rules.decide(&message(vec![bob(Vec::new())]));
    assert_eq!((plan.verdict, plan.groups.len()), (Verdict::Discard, 0));
    let plan = rules.decide(&message(vec![bob(Vec::new()), recipient("carol@delta.example", Vec::new())]));
    assert!(matches!(plan.verdict, Verdict::Quarantine { .. }), "{plan:?}");
    assert_eq!(plan.groups[0].recipients, [0, 1]);
}

#[test]
fn mail_that_is_held_is_sealed_so_that_releasing_it_leaks_nothing() {
    let rules = policy("[[rule]]\nid = 'q'\nverdict = 'quarantine'\ntext = 'look at it'");
    let plan = rules.decide(&message(vec![bob(vec![found(KeyKind::UserOpenpgp, "B0B")])]));
    assert_eq!(plan.verdict, Verdict::Quarantine { reason: "rule q: look at it".to_owned() });
    assert_eq!(keys_of(&plan.groups[0]), ["B0B"]);
    let strict = policy("[policy]\nencrypt = 'required'\n[[rule]]\nid = 'q'\nverdict = 'quarantine'");
    assert_refused(&strict.decide(&message(vec![bob(Vec::new())])), true, "5.7.1", "bob@");
}

#[test]
fn inbound_mail_with_a_signature_that_is_not_valid_gets_what_the_settings_say() {
    for state in [LayerState::Invalid, LayerState::WrongSigner] {
        let facts = from_outside(vec![layer(LayerKind::Signed, state)]);
        let with = |reaction: &str| policy(&format!("[policy]\nunverifiable = '{reaction}'")).decide(&facts);
        let delivered = with("deliver");
        assert_eq!((delivered.verdict, delivered.tag), (Verdict::Accept, None));
        let tagged = with("tag");
        assert_eq!((tagged.verdict, tagged.tag.as_deref()), (Verdict::Accept, Some("signature not valid")));
        assert!(matches!(with("quarantine").verdict, Verdict::Quarantine { .. }));
        assert_refused(&with("reject"), true, "5.7.7", "signature");
    }
    for state in [LayerState::Valid, LayerState::UnknownSigner] {
        let facts = from_outside(vec![layer(LayerKind::Signed, state)]);
        let strict = policy("[policy]\nunverifiable = 'reject'");
        assert_eq!(strict.decide(&facts).verdict, Verdict::Accept);
    }
}

#[test]
fn inbound_mail_that_cannot_be_opened_gets_what_the_settings_say_and_that_of_others_passes() {
    let strict = policy("[policy]\nundecryptable = 'reject'");
    for state in [LayerState::Damaged, LayerState::Invalid, LayerState::Unsupported] {
        let facts = from_outside(vec![layer(LayerKind::Encrypted, state)]);
        assert_refused(&strict.decide(&facts), true, "5.7.5", "decrypted");
    }
    let somebody_else = from_outside(vec![layer(LayerKind::Encrypted, LayerState::NoKey)]);
    assert_in_clear(&strict.decide(&somebody_else));
}

#[test]
fn the_opened_form_never_goes_outside_or_to_a_recipient_who_does_not_want_it() {
    let mut facts = from_outside(vec![layer(LayerKind::Encrypted, LayerState::Opened)]);
    facts.protection = Some(Protection::Encrypted);
    facts.recipients.push(recipient("forward@delta.example", Vec::new()));
    facts.recipients.push(RecipientFacts {
        direction: Direction::Inbound,
        ..recipient("sealed@alpha.example", Vec::new())
    });
    let rules = policy("[policy]\nencrypt = 'required'\n[user.'sealed@alpha.example']\nopen = false");
    let plan = rules.decide(&facts);
    let opened: Vec<_> = plan.groups.iter().map(|g| (g.recipients.clone(), g.treatment.opened)).collect();
    assert_eq!(opened, [(vec![0], true), (vec![1, 2], false)]);
    assert!(rules.opens(&facts));
    facts.recipients.remove(0);
    assert!(!rules.opens(&facts));
}

#[test]
fn a_form_without_the_signature_of_a_gateway_is_for_us_and_never_goes_outside() {
    let mut facts = from_outside(vec![layer(LayerKind::Signed, LayerState::Valid)]);
    facts.protection = Some(Protection::Signed);
    facts.recipients.push(recipient("forward@delta.example", Vec::new()));
    let rules = policy("[policy]\nencrypt = 'never'");
    let opened = |facts: &Facts| -> Vec<_> {
        let plan = rules.decide(facts);
        plan.groups.iter().map(|group| (group.recipients.clone(), group.treatment.opened)).collect()
    };
    assert_eq!(opened(&facts), [(vec![0, 1], false)], "signed mail stays as it is");
    facts.unwrapped = true;
    assert_eq!(opened(&facts), [(vec![0], true), (vec![1], false)]);
}

#[test]
fn mail_that_was_opened_here_is_sent_on_encrypted_or_not_at_all() {
    let opened = |keys: Vec<KeyFacts>| {
        let finding = Finding { id: OPENED_BEFORE.to_owned(), detail: String::new() };
        Facts { originating: false, findings: vec![finding], ..message(vec![bob(keys)]) }
    };
    assert_sealed(&Policy::default().decide(&opened(vec![found(KeyKind::UserOpenpgp, "B0B")])), &["B0B"]);
    for settings in ["", "[policy]\nencrypt = 'never'"] {
        let plan = policy(settings).decide(&opened(Vec::new()));
        assert_refused(
            &plan,
            true,
            "5.7.1",
            "arrived encrypted and cannot be sent on in clear to bob@beta.example",
        );
    }
    let plan = Policy::default().decide(&opened(vec![could_not_tell(KeyKind::UserOpenpgp)]));
    assert_refused(&plan, false, "4.7.5", "cannot tell");
    let encrypted = Facts { protection: Some(Protection::Encrypted), ..opened(Vec::new()) };
    for settings in ["", "[policy]\nencrypt = 'never'"] {
        assert_in_clear(&policy(settings).decide(&encrypted));
    }
}

#[test]
fn inbound_mail_that_was_opened_can_be_encrypted_for_the_mailbox() {
    let rules = policy("[[rule]]\nid = 'store'\ndirection = 'inbound'\nencrypt = 'required'");
    let mut facts = from_outside(vec![layer(LayerKind::Encrypted, LayerState::Opened)]);
    facts.protection = Some(Protection::Encrypted);
    assert_refused(&rules.decide(&facts), true, "5.7.1", "bob@alpha.example");
    facts.recipients[0].keys = vec![found(KeyKind::UserOpenpgp, "B0B")];
    assert_sealed(&rules.decide(&facts), &["B0B"]);
    facts.layers.push(layer(LayerKind::Encrypted, LayerState::NoKey));
    assert!(rules.decide(&facts).groups[0].treatment.encrypt_to.is_empty(), "a layer is still closed");
}

#[test]
fn facts_that_are_not_complete_make_mail_wait() {
    let rules = policy("[[rule]]\nid = 'c'\nsubject = '[c]'\nencrypt = 'never'");
    let facts = at_rcpt(message(vec![bob(vec![found(KeyKind::UserOpenpgp, "B0B")])]));
    assert_refused(&rules.decide(&facts), false, "4.3.0", "not known");
}

#[test]
fn a_message_without_recipients_is_decided_too() {
    let plan = policy(REQUIRED).decide(&message(Vec::new()));
    assert_eq!((plan.verdict, plan.groups.len()), (Verdict::Accept, 0));
}

#[test]
fn texts_for_clients_are_one_line_whatever_addresses_hold() {
    let odd = recipient(&format!("b\r\n250 ok{}@beta.example", "x".repeat(600)), Vec::new());
    let plan = policy(REQUIRED).decide(&message(vec![odd]));
    let Verdict::Reject { text, .. } = plan.verdict else { panic!() };
    assert!(text.len() <= 400 && !text.contains(['\r', '\n']), "{text}");
}

#[test]
fn reasons_say_what_is_done_and_who_said_so() {
    let rules = policy("[policy]\nsign = 'always'\n[partner.'.beta.example']\nencrypt = 'required'");
    let sub = recipient("bob@mail.beta.example", vec![found(KeyKind::DomainOpenpgp, "D0")]);
    assert_eq!(
        rules.decide(&message(vec![sub])).recipients[0].reason,
        "Encrypted to the domain OpenPGP certificate D0: required, by partner .beta.example. \
         Signed with the key of the user OpenPGP certificate A11CE: always, by the gateway's [policy]."
    );
    assert_eq!(
        Policy::default().decide(&message(vec![bob(Vec::new())])).recipients[0].reason,
        "Not encrypted: opportunistic, by the built-in default, and there is no usable certificate \
         (user S/MIME: none; user OpenPGP: none; domain S/MIME: none; domain OpenPGP: none). Not signed: never, by the built-in default."
    );
}

/// Encryption is required for beta.example, by OpenPGP or else by the road.
fn by_road(keys: Vec<KeyFacts>) -> crate::Plan {
    let text = "[policy]\nencrypt = 'required'\nkeys = ['user-openpgp', 'enforced-tls']\n[relay]\n";
    crate::fixtures::read_with_relay(text)
        .unwrap()
        .decide(&message(vec![recipient("bob@beta.example", keys)]))
}

#[test]
fn an_authenticated_road_protects_without_a_change_of_the_message() {
    let plan = by_road(vec![found(KeyKind::EnforcedTls, "DANE")]);
    assert_eq!(plan.verdict, Verdict::Accept);
    let treatment = &plan.groups[0].treatment;
    assert!(treatment.is_pass() && treatment.enforced_tls);
    assert_eq!(plan.recipients[0].key.as_ref().unwrap().kind, KeyKind::EnforcedTls);
    assert_eq!(
        plan.recipients[0].reason,
        "Not encrypted: the road is authenticated by DANE, which is enough: required, by the gateway's [policy]. \
Not signed: never, by the built-in default."
    );
}

#[test]
fn a_certificate_that_comes_first_is_used_instead_of_the_road() {
    let plan = by_road(vec![found(KeyKind::UserOpenpgp, "B0B"), found(KeyKind::EnforcedTls, "DANE")]);
    let treatment = &plan.groups[0].treatment;
    assert!(!treatment.enforced_tls && treatment.encrypt_to.len() == 1);
}

#[test]
fn neither_certificate_nor_road_is_refused_and_an_unknown_road_waits() {
    let none = KeyAnswer::None { why: vec!["mx.beta.example offers no DANE".to_owned()] };
    let plan = by_road(vec![KeyFacts { kind: KeyKind::EnforcedTls, answer: none }]);
    let text = "encryption is required for bob@beta.example, but there is no usable certificate and no road that can be \
authenticated (user OpenPGP: none; enforced TLS: mx.beta.example offers no DANE)";
    assert_eq!(plan.verdict, Verdict::Reject { code: "5.7.1".to_owned(), text: text.to_owned() });
    let plan = by_road(vec![could_not_tell(KeyKind::EnforcedTls)]);
    let text = "cannot tell whether there is a certificate or a road that can be authenticated for bob@beta.example, \
try again later";
    assert_eq!(plan.verdict, Verdict::Tempfail { code: "4.7.5".to_owned(), text: text.to_owned() });
}

#[test]
fn a_road_does_not_carry_outside_what_was_opened_here() {
    let text = "[policy]\nkeys = ['enforced-tls']\n[relay]\n";
    let policy = crate::fixtures::read_with_relay(text).unwrap();
    let mut facts = message(vec![recipient("bob@beta.example", vec![found(KeyKind::EnforcedTls, "DANE")])]);
    facts.findings.push(crate::Finding { id: crate::OPENED_BEFORE.to_owned(), detail: String::new() });
    assert!(matches!(policy.decide(&facts).verdict, Verdict::Reject { .. }));
}

#[test]
fn mail_for_a_road_and_mail_in_clear_are_the_same_bytes() {
    let text = "[policy]\nkeys = ['enforced-tls']\n[relay]\n";
    let policy = crate::fixtures::read_with_relay(text).unwrap();
    let none = KeyFacts { kind: KeyKind::EnforcedTls, answer: KeyAnswer::None { why: Vec::new() } };
    let facts = message(vec![
        recipient("bob@beta.example", vec![found(KeyKind::EnforcedTls, "DANE")]),
        recipient("eve@delta.example", vec![none]),
    ]);
    let plan = policy.decide(&facts);
    assert_eq!(plan.groups.len(), 1, "no copy is needed");
    assert_eq!(plan.recipients[1].key, None);
}

fn none_of(kind: KeyKind) -> KeyFacts {
    KeyFacts { kind, answer: KeyAnswer::None { why: Vec::new() } }
}

#[test]
fn every_kind_of_key_is_tried_in_the_order_that_is_set() {
    let text = "[policy]\nkeys = ['user-smime', 'user-openpgp', 'domain-smime', 'domain-openpgp', 'password-message']\n";
    let kinds = [
        KeyKind::UserSmime,
        KeyKind::UserOpenpgp,
        KeyKind::DomainSmime,
        KeyKind::DomainOpenpgp,
        KeyKind::PasswordMessage,
    ];
    for first in 0..kinds.len() {
        let answers = kinds.iter().enumerate().map(|(n, kind)| match n < first {
            true => none_of(*kind),
            false => found(*kind, kind.name()),
        });
        let plan = policy(text).decide(&message(vec![bob(answers.collect())]));
        let keys = &plan.groups[0].treatment.encrypt_to;
        assert_eq!(keys.iter().map(|key| key.kind).collect::<Vec<_>>(), [kinds[first]]);
    }
}

#[test]
fn content_that_may_have_been_changed_is_never_delivered_without_a_word() {
    let mut layer = crate::fixtures::layer(LayerKind::Encrypted, LayerState::Opened);
    layer.malleable = true;
    let facts = from_outside(vec![layer.clone()]);
    let plan = Policy::default().decide(&facts);
    assert_eq!(plan.tag.as_deref(), Some("may have been changed"));
    let strict = policy("[policy]\nunauthenticated = 'reject'");
    assert_refused(&strict.decide(&facts), true, "5.7.7", "does not protect it against changes");
    let signed = from_outside(vec![layer, crate::fixtures::layer(LayerKind::Signed, LayerState::Valid)]);
    assert_eq!(Policy::default().decide(&signed).tag, None);
    assert_eq!(strict.decide(&signed).verdict, Verdict::Accept);
}

/// EFAIL: whoever changed the content can sign around it, or put an old signature of the author beside it.
#[test]
fn only_a_signature_inside_on_all_of_it_shows_that_content_was_not_changed() {
    let mut opened = crate::fixtures::layer(LayerKind::Encrypted, LayerState::Opened);
    opened.malleable = true;
    let signed = |state| crate::fixtures::layer(LayerKind::Signed, state);
    let strict = policy("[policy]\nunauthenticated = 'reject'");
    for layers in [
        vec![signed(LayerState::Valid), opened.clone()],
        vec![opened.clone(), signed(LayerState::Part)],
        vec![opened.clone(), signed(LayerState::Valid), opened.clone()],
    ] {
        let facts = from_outside(layers);
        assert_eq!(Policy::default().decide(&facts).tag.as_deref(), Some("may have been changed"));
        assert_refused(&strict.decide(&facts), true, "5.7.7", "does not protect it against changes");
    }
    let facts = from_outside(vec![opened.clone(), opened.clone(), signed(LayerState::Valid)]);
    assert_eq!(strict.decide(&facts).verdict, Verdict::Accept);
}

/// A sender who changes the content of a captured message block by block must get one answer, whatever the cipher made
/// of it.
#[test]
fn the_answer_is_the_same_whatever_changed_content_decrypts_to() {
    let layer = crate::fixtures::layer;
    let malleable = |state| LayerFacts { malleable: true, ..layer(LayerKind::Encrypted, state) };
    let outcomes = [
        vec![malleable(LayerState::Damaged)],
        vec![malleable(LayerState::Opened)],
        vec![malleable(LayerState::Opened), layer(LayerKind::Signed, LayerState::Invalid)],
        vec![malleable(LayerState::Opened), layer(LayerKind::Signed, LayerState::WrongSigner)],
        vec![malleable(LayerState::Opened), layer(LayerKind::Encrypted, LayerState::Damaged)],
        vec![malleable(LayerState::Opened), malleable(LayerState::Damaged)],
        vec![malleable(LayerState::Opened), layer(LayerKind::Encrypted, LayerState::Unsupported)],
    ];
    let reactions = ["deliver", "tag", "quarantine", "reject"];
    for unauthenticated in reactions {
        for (unverifiable, undecryptable) in reactions.iter().flat_map(|a| reactions.map(|b| (a, b))) {
            let policy = policy(&format!(
                "[policy]\nunauthenticated = '{unauthenticated}'\nunverifiable = '{unverifiable}'\nundecryptable = '{undecryptable}'"
            ));
            let answers =
                outcomes.iter().map(|layers| match policy.decide(&from_outside(layers.clone())).verdict {
                    Verdict::Reject { code, text } => Some((code, text)),
                    Verdict::Accept | Verdict::Quarantine { .. } => None,
                    other => panic!("{other:?}"),
                });
            let answers: Vec<_> = answers.collect();
            assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
            assert_eq!(answers[0].is_some(), unauthenticated == "reject");
        }
    }
    // What would be refused is held, not delivered.
    let strict = policy("[policy]\nundecryptable = 'reject'\nunverifiable = 'reject'");
    for layers in
        outcomes.into_iter().filter(|layers| layers.len() != 1 || layers[0].state == LayerState::Damaged)
    {
        let verdict = strict.decide(&from_outside(layers)).verdict;
        assert!(matches!(verdict, Verdict::Quarantine { .. }), "{verdict:?}");
    }
    // Content that shows changes, and what stands outside, tells nothing that is secret.
    for kind in [LayerKind::Encrypted, LayerKind::Signed] {
        let layers = vec![layer(kind, LayerState::Damaged), malleable(LayerState::Opened)];
        assert!(matches!(strict.decide(&from_outside(layers)).verdict, Verdict::Reject { .. }));
    }
}

#[test]
fn a_signature_on_a_message_that_is_brought_along_is_no_reason_against_the_message() {
    let mut forwarded = crate::fixtures::layer(LayerKind::Signed, LayerState::WrongSigner);
    forwarded.attached = true;
    let strict = policy("[policy]\nunverifiable = 'reject'\nown_signatures = 'reject'");
    for state in [LayerState::WrongSigner, LayerState::Invalid, LayerState::UnknownSigner, LayerState::Part] {
        forwarded.state = state;
        assert_eq!(strict.decide(&from_outside(vec![forwarded.clone()])).verdict, Verdict::Accept);
        let mut ours = message(vec![bob(Vec::new())]);
        ours.layers = vec![forwarded.clone()];
        assert_in_clear(&strict.decide(&ours));
    }
    forwarded.state = LayerState::WrongSigner;
    forwarded.attached = false;
    assert_refused(&strict.decide(&from_outside(vec![forwarded])), true, "5.7.7", "signature");
}

#[test]
fn an_own_signature_that_does_not_hold_is_refused_with_the_reason() {
    let mut facts = message(vec![bob(Vec::new())]);
    facts.protection = Some(Protection::Signed);
    let mut broken = crate::fixtures::layer(LayerKind::Signed, LayerState::Invalid);
    broken.why = Some("the certificate was revoked on 2026-10-01".to_owned());
    facts.layers = vec![broken];
    let strict = policy("[policy]\nown_signatures = 'reject'");
    assert!(strict.verifies(&facts) && !Policy::default().verifies(&facts));
    assert_refused(&strict.decide(&facts), true, "5.7.7", "revoked on 2026-10-01");
    assert_in_clear(&Policy::default().decide(&facts));
}

#[test]
fn a_mailbox_at_rest_gets_its_own_key_and_nobody_elses_message() {
    let inbound = |address: &str, key: &str| RecipientFacts {
        direction: Direction::Inbound,
        at_rest: vec![none_of(KeyKind::UserSmime), found(KeyKind::UserOpenpgp, key)],
        ..recipient(address, Vec::new())
    };
    let mut facts = from_outside(Vec::new());
    facts.recipients = vec![inbound("bob@alpha.example", "B"), inbound("carol@alpha.example", "C")];
    let plan = policy("[domain.'alpha.example']\nat_rest = 'required'").decide(&facts);
    let keys: Vec<_> = plan.groups.iter().map(|g| g.treatment.at_rest.clone().unwrap().fingerprint).collect();
    assert_eq!(keys, ["B", "C"]);
    facts.recipients[0].at_rest = vec![none_of(KeyKind::UserSmime), none_of(KeyKind::UserOpenpgp)];
    let required = policy("[policy]\nat_rest = 'required'").decide(&facts);
    assert_refused(&required, true, "5.7.1", "there is no key for it");
    let lenient = policy("[policy]\nat_rest = 'opportunistic'").decide(&facts);
    assert_eq!(lenient.verdict, Verdict::Accept);
    facts.recipients[0].at_rest.clear();
    let unknown = policy("[policy]\nat_rest = 'opportunistic'").decide(&facts);
    assert_refused(&unknown, false, "4.7.5", "cannot tell");
}

#[test]
fn an_additional_key_is_in_every_sealed_form_or_the_mail_waits() {
    let text = "[policy]\nadditional_keys = ['Audit@alpha.example']\n";
    let mut facts = message(vec![bob(vec![found(KeyKind::UserOpenpgp, "B0B")])]);
    assert_refused(&policy(text).decide(&facts), false, "4.7.5", "audit@alpha.example");
    facts.additional_keys = vec![crate::AdditionalKeyFacts {
        subject: "audit@alpha.example".to_owned(),
        keys: vec![none_of(KeyKind::UserSmime), found(KeyKind::UserOpenpgp, "AAA")],
    }];
    let plan = policy(text).decide(&facts);
    let treatment = &plan.groups[0].treatment;
    assert_eq!(treatment.encrypt_to.len(), 2);
    assert_eq!(treatment.additional.len(), 1);
    assert!(plan.recipients[0].reason.contains("additional key AAA"), "{}", plan.recipients[0].reason);
    assert!(policy(text).additional_subjects().contains("audit@alpha.example"));
}

#[test]
fn a_domain_signs_around_its_users_signature_only_strictly_and_only_if_that_holds() {
    let mut facts = message(vec![bob(Vec::new())]);
    facts.protection = Some(Protection::Signed);
    facts.layers = vec![crate::fixtures::layer(LayerKind::Signed, LayerState::Valid)];
    facts.signing_keys = vec![found(KeyKind::DomainSmime, "D0")];
    let strict = policy("[policy]\nsign = 'always'\n[partner.'beta.example']\ndomain_signature = 'rfc3183'");
    assert_eq!(strict.decide(&facts).groups[0].treatment.sign_with.as_ref().unwrap().fingerprint, "D0");
    assert!(policy("[policy]\nsign = 'always'").decide(&facts).groups[0].treatment.sign_with.is_none());
    facts.layers[0].state = LayerState::Invalid;
    assert!(strict.decide(&facts).groups[0].treatment.sign_with.is_none());
}

/// A mailing list's signature around is no author's, and no reason against the domain's (RFC 3183 section 5).
#[test]
fn a_mailing_lists_signature_does_not_keep_the_domain_from_signing() {
    let mut facts = message(vec![bob(Vec::new())]);
    facts.protection = Some(Protection::Signed);
    facts.layers = [LayerState::List, LayerState::Valid]
        .map(|state| crate::fixtures::layer(LayerKind::Signed, state))
        .to_vec();
    facts.signing_keys = vec![found(KeyKind::DomainSmime, "D0")];
    let strict = policy("[policy]\nsign = 'always'\nown_signatures = 'reject'\ndomain_signature = 'rfc3183'");
    assert_eq!(strict.decide(&facts).groups[0].treatment.sign_with.as_ref().unwrap().fingerprint, "D0");
    facts.layers[1].state = LayerState::UnknownSigner;
    assert_refused(&strict.decide(&facts), true, "5.7.7", "signature");
}

#[test]
fn rsa_pss_is_a_matter_of_scopes_and_rules_like_other_forms() {
    let facts = message(vec![bob(vec![found(KeyKind::UserSmime, "B0B")])]);
    let rsa = |text: &str| policy(text).decide(&facts).groups[0].treatment.style.rsa;
    assert_eq!(rsa("[policy]\nencrypt = 'required'"), RsaSignature::Pkcs1);
    assert_eq!(rsa("[partner.'beta.example']\nsmime_rsa_signature = 'pss'"), RsaSignature::Pss);
    let rule = "[policy]\nsmime_rsa_signature = 'pss'\n[[rule]]\nid = 'a'\nsmime_rsa_signature = 'pkcs1'";
    assert_eq!(rsa(rule), RsaSignature::Pkcs1);
}

#[test]
fn a_password_message_goes_to_one_partner_alone() {
    let text = "[policy]\nkeys = ['password-message']\n";
    let other = recipient("eve@gamma.test", vec![found(KeyKind::PasswordMessage, "file:/g")]);
    let facts = message(vec![bob(vec![found(KeyKind::PasswordMessage, "file:/b")]), other]);
    let plan = policy(text).decide(&facts);
    assert_eq!(plan.groups.len(), 2);
    assert!(plan.recipients[0].reason.contains("password (file:/b)"));
}
