//! Mail that one of ours encrypted to his own gateway.

use super::*;
use crate::HeaderProtection;
use crate::SubmissionFacts;
use crate::fixtures::mistakes;

const KEY: KeyKind = KeyKind::UserOpenpgp;

fn opened() -> SubmissionFacts {
    SubmissionFacts {
        layers: vec![layer(LayerKind::Encrypted, LayerState::Opened)],
        content: Some(Protection::None),
        readers: Vec::new(),
        hidden: HeaderProtection::Off,
        other_author: false,
    }
}

/// A message to these that is encrypted to our own domain.
fn submitted(recipients: Vec<RecipientFacts>, submission: SubmissionFacts) -> Facts {
    let protection = Some(Protection::Encrypted);
    Facts { protection, submission: Some(submission), ..message(recipients) }
}

fn to_bob(keys: Vec<KeyFacts>) -> Facts {
    submitted(vec![bob(keys)], opened())
}

#[test]
fn it_is_opened_and_sealed_anew_whatever_encrypt_says() {
    for settings in ["", "[policy]\nencrypt = 'never'\nopen_submissions = true", REQUIRED, SIGNING] {
        let policy = policy(settings);
        let facts = to_bob(vec![found(KEY, "B0B")]);
        assert!(policy.opens_submission(&facts) && policy.needs_body());
        let plan = policy.decide(&facts);
        assert_sealed(&plan, &["B0B"]);
        let treatment = &plan.groups[0].treatment;
        assert!(treatment.opened && treatment.submission && !treatment.is_pass());
        assert_eq!(treatment.sign_with.is_some(), settings == SIGNING);
        assert!(plan.recipients[0].reason.contains("opened on its way out"), "{plan:?}");

        let plan = policy.decide(&to_bob(Vec::new()));
        assert_refused(&plan, true, "5.7.1", "encrypted to the gateway, which cannot encrypt it for bob@");
        for unknown in [could_not_tell(KEY), given_up(KEY)] {
            let plan = policy.decide(&to_bob(vec![unknown]));
            assert_refused(&plan, false, "4.7.5", "bob@beta.example");
        }
    }
}

#[test]
fn a_road_that_is_authenticated_is_not_enough_and_a_password_is() {
    let rules = crate::fixtures::read_with_relay(
        "[policy]\nkeys = ['enforced-tls', 'password-message']\n\
         [partner.'beta.example']\nkeys = ['enforced-tls']\n[relay]\n",
    );
    let rules = rules.unwrap();
    let road = || found(KeyKind::EnforcedTls, "DANE");
    let plan = rules.decide(&to_bob(vec![road()]));
    assert_refused(&plan, true, "5.7.1", "no kind of key is allowed");
    let carol = recipient("carol@delta.example", vec![road(), found(KeyKind::PasswordMessage, "generated")]);
    let plan = rules.decide(&submitted(vec![carol], opened()));
    assert_sealed(&plan, &["generated"]);
    assert!(!plan.groups[0].treatment.enforced_tls);
}

#[test]
fn it_is_opened_for_nobody_who_is_not_ours_and_where_it_is_switched_off() {
    let keys = || vec![found(KEY, "B0B")];
    let stranger = Facts { originating: false, ..to_bob(keys()) };
    let forward = Facts { from: vec!["eve@delta.example".to_owned()], ..to_bob(keys()) };
    let doubtful = Facts { author_in_doubt: true, ..to_bob(keys()) };
    let two = vec!["alice@alpha.example".to_owned(), "eve@delta.example".to_owned()];
    let two = Facts { from: two, ..to_bob(keys()) };
    for facts in [stranger, forward, doubtful, two] {
        assert!(!policy("").opens_submission(&facts));
        assert_in_clear(&policy("").decide(&facts));
    }
    let off = "[policy]\nopen_submissions = false";
    let never = "[policy]\nencrypt = 'never'";
    let partner = "[partner.'beta.example']\nopen_submissions = false";
    for settings in [off, never, partner] {
        assert!(!policy(settings).opens_submission(&to_bob(keys())), "{settings}");
        assert_in_clear(&policy(settings).decide(&to_bob(keys())));
    }
    let clear = Facts { protection: Some(Protection::None), ..to_bob(keys()) };
    assert!(!policy("").opens_submission(&clear));
    assert!(!policy("[policy]\nencrypt = 'never'\nopen = false").needs_body());
    assert!(mistakes("[policy]\nopen_submission = true")[0].contains("open_submissions"));
}

#[test]
fn each_recipient_gets_what_he_can_read() {
    let carol = recipient("carol@delta.example", vec![found(KEY, "CA501")]);
    let dave =
        RecipientFacts { direction: Direction::Internal, ..recipient("dave@alpha.example", Vec::new()) };
    let readers = vec!["carol@delta.example".to_owned()];
    let recipients = vec![bob(vec![found(KEY, "B0B")]), carol, dave];
    let mut facts = submitted(recipients, SubmissionFacts { readers, ..opened() });
    facts.layers = vec![layer(LayerKind::Encrypted, LayerState::Opened)];
    let plan = policy("").decide(&facts);
    let told: Vec<_> = plan
        .groups
        .iter()
        .map(|group| {
            (group.recipients.as_slice(), keys_of(group), group.treatment.opened, group.treatment.submission)
        })
        .collect();
    let expected: [(&[usize], Vec<&str>, bool, bool); 3] =
        [(&[0], vec!["B0B"], true, true), (&[1], vec![], false, false), (&[2], vec![], true, false)];
    assert_eq!(told, expected);
    assert!(plan.recipients[1].reason.contains("encrypted to a key of the recipient, too"));
    // One who has no key stops the message for all of them: there is one answer.
    facts.recipients[0].keys.retain(|key| key.kind != KEY);
    facts.recipients[0].keys.push(KeyFacts { kind: KEY, answer: KeyAnswer::None { why: Vec::new() } });
    assert_refused(&policy("").decide(&facts), true, "5.7.1", "bob@beta.example");
}

#[test]
fn what_cannot_be_opened_or_is_somebody_elses_is_refused() {
    let decide = |submission| policy("").decide(&submitted(vec![bob(vec![found(KEY, "B0B")])], submission));
    let plan = decide(SubmissionFacts { content: None, ..opened() });
    assert_refused(&plan, true, "5.7.5", "cannot be decrypted");
    let plan = decide(SubmissionFacts { content: Some(Protection::Encrypted), ..opened() });
    assert_refused(&plan, true, "5.7.5", "more that it cannot decrypt");
    let plan = decide(SubmissionFacts { other_author: true, ..opened() });
    assert_refused(&plan, true, "5.7.7", "somebody else");
}

#[test]
fn the_authors_own_signature_inside_counts_and_is_not_signed_over() {
    let broken = layer(LayerKind::Signed, LayerState::Invalid);
    let layers = vec![layer(LayerKind::Encrypted, LayerState::Opened), broken];
    let signed = SubmissionFacts { layers, content: Some(Protection::Signed), ..opened() };
    let facts = submitted(vec![bob(vec![found(KEY, "B0B")])], signed);
    let plan = policy("[policy]\nsign = 'always'").decide(&facts);
    assert_sealed(&plan, &["B0B"]);
    assert_eq!(plan.groups[0].treatment.sign_with, None);
    let plan = policy("[policy]\nown_signatures = 'reject'").decide(&facts);
    assert_refused(&plan, true, "5.7.7", "your signature is not valid");
}

#[test]
fn what_was_hidden_of_the_header_is_hidden_again() {
    use HeaderProtection::{Baseline, Off, Shy, Strict};
    for (hidden, setting, expected) in
        [(Off, "off", Off), (Baseline, "off", Baseline), (Baseline, "shy", Shy), (Strict, "baseline", Strict)]
    {
        let submission = SubmissionFacts { hidden, ..opened() };
        let facts = submitted(vec![bob(vec![found(KEY, "B0B")])], submission);
        let plan = policy(&format!("[policy]\nprotect_header = '{setting}'")).decide(&facts);
        assert_eq!(plan.groups[0].treatment.style.header, expected);
    }
}
