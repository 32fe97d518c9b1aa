//! Promises of the rule book that hold for every configuration and all facts.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::sample::subsequence;

use crate::AdditionalKeyFacts;
use crate::Direction;
use crate::Encrypt;
use crate::Facts;
use crate::Finding;
use crate::HeaderFacts;
use crate::HeaderProtection;
use crate::KeyAnswer;
use crate::KeyFacts;
use crate::KeyKind;
use crate::LayerFacts;
use crate::LayerKind;
use crate::LayerState;
use crate::OPENED_BEFORE;
use crate::Plan;
use crate::Policy;
use crate::Protection;
use crate::RcptDecision;
use crate::RecipientFacts;
use crate::Scheme;
use crate::SubmissionFacts;
use crate::Verdict;
use crate::fixtures::read;
use crate::fixtures::read_with_relay;

const OUR_ADDRESSES: [&str; 4] = ["", "alice@alpha.example", "carol@gamma.example", "bounce@mailer.example"];
const ADDRESSES: [&str; 5] = [
    "bob@beta.example",
    "dave@mail.beta.example",
    "carol@gamma.example",
    "postmaster",
    "b\r\nb@x@beta.example",
];
const DIRECTIONS: [Direction; 3] = [Direction::Inbound, Direction::Outbound, Direction::Internal];
const PROTECTIONS: [Protection; 4] =
    [Protection::None, Protection::Signed, Protection::Encrypted, Protection::SignedAndEncrypted];
const STATES: [LayerState; 10] = [
    LayerState::Opened,
    LayerState::Valid,
    LayerState::Invalid,
    LayerState::WrongSigner,
    LayerState::List,
    LayerState::Part,
    LayerState::UnknownSigner,
    LayerState::NoKey,
    LayerState::Damaged,
    LayerState::Unsupported,
];

const SETTINGS: [&str; 29] = [
    "open_submissions = false",
    "open_submissions = true",
    "encrypt = 'never'",
    "encrypt = 'opportunistic'",
    "encrypt = 'required'",
    "sign = 'never'",
    "sign = 'always'",
    "keys = ['user-openpgp']",
    "keys = ['domain-openpgp', 'user-openpgp']",
    "keys = ['user-openpgp', 'enforced-tls']",
    "keys = ['enforced-tls']",
    "unverifiable = 'tag'",
    "unverifiable = 'reject'",
    "undecryptable = 'quarantine'",
    "undecryptable = 'reject'",
    "keys = ['user-openpgp', 'password-message']",
    "keys = ['user-smime', 'user-openpgp', 'domain-smime', 'domain-openpgp', 'enforced-tls', 'password-message']",
    "keys = ['domain-smime']",
    "unauthenticated = 'reject'",
    "own_signatures = 'reject'",
    "at_rest = 'opportunistic'",
    "at_rest = 'required'",
    "additional_keys = ['audit@alpha.example']",
    "disclaimer = 'short'",
    "password = 'file:/etc/secret'",
    "domain_signature = 'rfc3183'",
    "smime_rsa_signature = 'pss'",
    "open = false",
    "open = true",
];
const CONDITIONS: [&str; 14] = [
    "direction = 'outbound'",
    "direction = 'internal'",
    "direction = 'inbound'",
    "sender = ['alice@*']",
    "sender = ['<>', '*@mailer.example']",
    "recipient = ['*@beta.example', 'postmaster@*']",
    "recipient = ['*@*.beta.example']",
    "authenticated = true",
    "subject = '[c]'",
    "header = { X-Secret = 'y*' }",
    "size_over = 1000",
    "size_under = '5 kB'",
    "finding = ['iban']",
    "remove_trigger = true",
];
const EFFECTS: [&str; 16] = [
    "encrypt = 'never'",
    "encrypt = 'opportunistic'",
    "encrypt = 'required'",
    "sign = 'never'",
    "sign = 'always'",
    "keys = ['domain-openpgp']",
    "keys = ['user-openpgp', 'domain-openpgp']",
    "keys = ['enforced-tls', 'domain-openpgp']",
    "protect_header = 'baseline'",
    "smime_signature = 'opaque'",
    "own_signatures = 'quarantine'",
    "stop = true",
    "verdict = 'reject'",
    "verdict = 'discard'",
    "verdict = 'quarantine'",
    "unverifiable = 'reject'",
];

fn key_of(line: &str) -> &str {
    line.split(' ').next().unwrap()
}

/// Some of the lines, each key once.
fn lines(choices: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    subsequence(choices, 0..=most).prop_shuffle().prop_map(|lines| {
        let mut kept: Vec<&str> = Vec::new();
        for line in lines {
            if !kept.iter().any(|other| key_of(other) == key_of(line)) {
                kept.push(line);
            }
        }
        kept.iter().map(|line| format!("{line}\n")).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let scopes = [
        "policy",
        "domain.'alpha.example'",
        "partner.'beta.example'",
        "partner.'.beta.example'",
        "user.'alice@alpha.example'",
    ];
    let scope = || lines(&SETTINGS, 4);
    let rule = (lines(&CONDITIONS, 2), lines(&EFFECTS, 3));
    ([scope(), scope(), scope(), scope(), scope()], vec(rule, 0..5)).prop_map(move |(settings, rules)| {
        let mut text: String =
            scopes.iter().zip(settings).map(|(name, lines)| format!("[{name}]\n{lines}")).collect();
        text.insert_str(0, "[relay]\n");
        // A rule that makes no sense is left out.
        for (n, (conditions, effects)) in rules.iter().enumerate() {
            let longer = format!("{text}[[rule]]\nid = 'r{n}'\n{conditions}{effects}");
            if read_with_relay(&longer).is_ok() {
                text = longer;
            }
        }
        read_with_relay(&text).unwrap()
    })
}

fn keys() -> impl Strategy<Value = Vec<KeyFacts>> {
    let answer = prop_oneof![
        (select(vec!["AA", "BB", "CC"]), any::<bool>()).prop_map(|(fingerprint, aead)| {
            KeyAnswer::Found { fingerprint: fingerprint.to_owned(), aead }
        }),
        vec("[a-z\r\n]{0,5}", 0..2).prop_map(|why| KeyAnswer::None { why }),
        Just(KeyAnswer::CouldNotTell { why: "locked".to_owned() }),
        Just(KeyAnswer::GivenUp { why: "away for a week".to_owned() }),
    ];
    let kinds = prop_oneof![
        Just(vec![KeyKind::UserOpenpgp, KeyKind::DomainOpenpgp]),
        subsequence(KeyKind::ALL.to_vec(), 0..=6),
    ];
    (kinds, vec(answer, 6)).prop_map(|(kinds, answers)| {
        kinds.into_iter().zip(answers).map(|(kind, answer)| KeyFacts { kind, answer }).collect()
    })
}

fn recipients() -> impl Strategy<Value = Vec<RecipientFacts>> {
    let recipient = (select(ADDRESSES.to_vec()), select(DIRECTIONS.to_vec()), any::<bool>(), keys(), keys());
    let recipient = recipient.prop_map(|(address, direction, disclosed, keys, at_rest)| RecipientFacts {
        address: address.to_owned(),
        direction,
        disclosed,
        keys,
        at_rest,
    });
    vec(recipient, 0..6)
}

fn layers() -> impl Strategy<Value = Vec<LayerFacts>> {
    let kinds = vec![LayerKind::Encrypted, LayerKind::Signed];
    let schemes = vec![Scheme::Openpgp, Scheme::Smime];
    let layer = (select(schemes), select(kinds), select(STATES.to_vec()), any::<bool>());
    let layer = layer.prop_map(|(scheme, kind, state, malleable)| LayerFacts {
        scheme,
        kind,
        state,
        signer: None,
        why: None,
        malleable,
        attached: false,
        part: None,
    });
    vec(layer, 0..3)
}

fn header() -> impl Strategy<Value = HeaderFacts> {
    let fields = prop_oneof![Just(Vec::new()), Just(vec![("x-secret".to_owned(), "yes".to_owned())])];
    (select(vec!["", "Lunch", "Re: [C] offer"]), fields)
        .prop_map(|(subject, fields)| HeaderFacts { subject: subject.to_owned(), fields })
}

prop_compose! {
    /// A submission to our own domain.
    fn submission()(
        layers in layers(),
        content in option::weighted(0.9, select(PROTECTIONS.to_vec())),
        readers in vec(select(ADDRESSES.to_vec()), 0..2),
        hidden in select(HeaderProtection::CHOICES.iter().map(|(_, level)| *level).collect::<Vec<_>>()),
        other_author in prop::bool::weighted(0.1),
    ) -> SubmissionFacts {
        let readers = readers.into_iter().map(str::to_owned).collect();
        SubmissionFacts { layers, content, readers, hidden, other_author }
    }
}

prop_compose! {
    /// Facts of any kind, complete or not, plausible or not.
    fn facts()(
        (originating, authenticated, now) in (any::<bool>(), option::of(Just("alice".to_owned())), any::<i64>()),
        author_in_doubt in any::<bool>(),
        reverse_path in select(OUR_ADDRESSES.to_vec()),
        from in vec(select(OUR_ADDRESSES.to_vec()), 0..3),
        recipients in recipients(),
        header in option::weighted(0.9, header()),
        size in option::weighted(0.9, select(vec![0, 1_000, 1_001, 5_000, u64::MAX])),
        protection in option::of(select(PROTECTIONS.to_vec())),
        layers in layers(),
        finding in option::of(select(vec!["iban", OPENED_BEFORE])),
        signing_keys in keys(),
        additional in option::of(keys()),
        submission in option::of(submission()),
    ) -> Facts {
        Facts {
            now,
            originating,
            authenticated,
            client: None,
            reverse_path: reverse_path.to_owned(),
            from: from.into_iter().map(str::to_owned).collect(),
            author_in_doubt,
            recipients,
            header,
            size,
            protection,
            layers,
            findings: finding.map(|id| Finding { id: id.to_owned(), detail: String::new() }).into_iter().collect(),
            signing_keys,
            additional_keys: additional
                .map(|keys| AdditionalKeyFacts { subject: "audit@alpha.example".to_owned(), keys })
                .into_iter()
                .collect(),
            unwrapped: false,
            submission,
        }
    }
}

fn refuses(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Reject { .. } | Verdict::Tempfail { .. })
}

/// The keys and the signature that one recipient gets; groups must have it exactly once.
fn treatment_of(plan: &Plan, index: usize) -> Option<&crate::Treatment> {
    let mut holding = plan.groups.iter().filter(|group| group.recipients.contains(&index));
    let group = holding.next()?;
    assert!(holding.next().is_none(), "recipient {index} is in two groups");
    Some(&group.treatment)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decide_is_total_and_deterministic(policy in policies(), facts in facts()) {
        let before = facts.clone();
        let plan = policy.decide(&facts);
        prop_assert_eq!(&plan, &policy.clone().decide(&facts));
        prop_assert_eq!(before, facts);
    }

    #[test]
    fn groups_have_every_recipient_exactly_once_or_nothing_goes_anywhere(
        policy in policies(), facts in facts(),
    ) {
        let plan = policy.decide(&facts);
        prop_assert_eq!(plan.recipients.len(), facts.recipients.len());
        let mut held: Vec<usize> = plan.groups.iter().flat_map(|group| group.recipients.clone()).collect();
        held.sort_unstable();
        let goes_on = matches!(plan.verdict, Verdict::Accept | Verdict::Quarantine { .. });
        let all = if goes_on { (0..facts.recipients.len()).collect() } else { Vec::new() };
        prop_assert_eq!(held, all);
        prop_assert!(plan.groups.iter().all(|group| !group.recipients.is_empty()));
    }

    #[test]
    fn nobody_for_whom_encryption_is_required_gets_mail_in_clear(policy in policies(), facts in facts()) {
        let plan = policy.decide(&facts);
        let arrived_encrypted = facts.protection.is_some_and(Protection::is_encrypted);
        for (index, recipient) in plan.recipients.iter().enumerate() {
            let Some(treatment) = treatment_of(&plan, index) else { continue };
            let road = recipient.key.as_ref().is_some_and(|key| key.kind == KeyKind::EnforcedTls);
            prop_assert!(!road || treatment.enforced_tls);
            if recipient.encrypt == Encrypt::Required && treatment.encrypt_to.is_empty() && !road {
                prop_assert!(arrived_encrypted, "in clear: {:?}", recipient);
                let closed = |l: &LayerFacts| l.kind == LayerKind::Encrypted && l.state != LayerState::Opened;
                prop_assert!(!treatment.opened || facts.layers.iter().any(closed), "opened: {:?}", recipient);
            }
            prop_assert_eq!(recipient.key.is_some() && !road, !treatment.encrypt_to.is_empty());
            if let Some(key) = recipient.key.as_ref().filter(|_| !road) {
                prop_assert!(treatment.encrypt_to.iter().any(|k| k.fingerprint == key.fingerprint));
            }
        }
    }

    #[test]
    fn a_lookup_that_could_not_tell_never_yields_clear_text(policy in policies(), mut facts in facts()) {
        facts.protection = Some(Protection::None);
        for recipient in &mut facts.recipients {
            for key in &mut recipient.keys {
                key.answer = KeyAnswer::CouldNotTell { why: String::new() };
            }
        }
        let plan = policy.decide(&facts);
        for (index, recipient) in plan.recipients.iter().enumerate() {
            if recipient.encrypt != Encrypt::Never {
                prop_assert_eq!(treatment_of(&plan, index), None);
            }
        }
    }

    #[test]
    fn nobody_whose_mailbox_must_be_encrypted_gets_plaintext(policy in policies(), facts in facts()) {
        let plan = policy.decide(&facts);
        for (index, recipient) in facts.recipients.iter().enumerate() {
            let Some(treatment) = treatment_of(&plan, index) else { continue };
            let settled = crate::settle::settle(&policy, &facts, recipient);
            if settled.at_rest.value != Encrypt::Required || recipient.direction == Direction::Outbound {
                prop_assert!(recipient.direction != Direction::Outbound || treatment.at_rest.is_none());
                continue;
            }
            let closed = |l: &LayerFacts| l.kind == LayerKind::Encrypted && l.state != LayerState::Opened;
            let stays = facts.protection.is_some_and(Protection::is_encrypted)
                && (!treatment.opened || facts.layers.iter().any(closed));
            prop_assert!(treatment.at_rest.is_some() || !treatment.encrypt_to.is_empty() || stays);
            if let Some(key) = &treatment.at_rest {
                let known = recipient.at_rest.iter().any(
                    |k| matches!(&k.answer, KeyAnswer::Found { fingerprint, .. } if *fingerprint == key.fingerprint));
                prop_assert!(known, "another key than the user's own");
                let group = plan.groups.iter().find(|group| group.recipients.contains(&index));
                prop_assert_eq!(group.map(|group| group.recipients.len()), Some(1));
            }
        }
    }

    #[test]
    fn what_must_be_readable_for_somebody_is_never_encrypted_without(policy in policies(), facts in facts()) {
        let plan = policy.decide(&facts);
        for (index, recipient) in facts.recipients.iter().enumerate() {
            let Some(treatment) = treatment_of(&plan, index) else { continue };
            let subjects = crate::settle::settle(&policy, &facts, recipient).additional_keys.value;
            let sealed = treatment.encrypt_to.iter().any(|key| key.kind.scheme().is_some());
            if sealed && !subjects.is_empty() {
                prop_assert!(!treatment.additional.is_empty());
            }
            prop_assert!(treatment.additional.iter().all(|key| treatment.encrypt_to.iter().any(|k| k.fingerprint == key.fingerprint)));
            let password = |key: &crate::KeyChoice| key.kind == KeyKind::PasswordMessage;
            prop_assert!(!treatment.encrypt_to.iter().any(password) || treatment.encrypt_to.len() == 1);
        }
    }

    #[test]
    fn what_is_opened_on_its_way_out_is_ours_and_leaves_encrypted(policy in policies(), facts in facts()) {
        let plan = policy.decide(&facts);
        for (index, recipient) in facts.recipients.iter().enumerate() {
            let Some(treatment) = treatment_of(&plan, index).filter(|treatment| treatment.submission) else {
                continue;
            };
            let submission = facts.submission.as_ref().unwrap();
            prop_assert!(facts.originating && facts.from.len() == 1 && !facts.author_in_doubt);
            prop_assert!(recipient.direction == Direction::Outbound && treatment.opened);
            prop_assert!(!treatment.encrypt_to.is_empty() && !treatment.enforced_tls);
            prop_assert!(!submission.readers.contains(&recipient.address) && !submission.other_author);
            prop_assert!(submission.content.is_some_and(|content| !content.is_encrypted()));
            prop_assert!(treatment.style.header >= submission.hidden);
        }
    }

    #[test]
    fn the_opened_form_never_leaves(policy in policies(), facts in facts()) {
        let plan = policy.decide(&facts);
        for (index, recipient) in facts.recipients.iter().enumerate() {
            if recipient.direction == Direction::Outbound {
                let leaves = |treatment: &crate::Treatment| treatment.opened && !treatment.submission;
                prop_assert!(!treatment_of(&plan, index).is_some_and(leaves));
            }
        }
    }

    #[test]
    fn bcc_recipients_of_encrypted_mail_are_alone(policy in policies(), facts in facts()) {
        for group in policy.decide(&facts).groups {
            let hidden = group.recipients.iter().any(|index| !facts.recipients[*index].disclosed);
            if hidden && !group.treatment.encrypt_to.is_empty() {
                prop_assert_eq!(group.recipients.len(), 1);
                let own = group.treatment.encrypt_to.len() - group.treatment.additional.len();
                prop_assert!(own <= 1, "{:?}", group.treatment);
            }
        }
    }

    #[test]
    fn only_mail_of_ours_is_signed_and_only_once(policy in policies(), facts in facts()) {
        let plan = policy.decide(&facts);
        let signed = plan.groups.iter().any(|group| group.treatment.sign_with.is_some());
        prop_assert!(!signed || facts.originating && !facts.author_in_doubt);
        let outbound = facts.recipients.iter().all(|r| r.direction == Direction::Outbound);
        let protected = facts.protection.is_some_and(|protection| protection != Protection::None);
        let bare = |submission: &SubmissionFacts| submission.content == Some(Protection::None);
        prop_assert!(!(signed && outbound && protected) || facts.submission.as_ref().is_some_and(bare));
    }

    #[test]
    fn what_was_opened_here_before_never_leaves_in_clear(policy in policies(), facts in facts()) {
        let opened = facts.findings.iter().any(|finding| finding.id == OPENED_BEFORE);
        let protected = facts.protection.is_some_and(Protection::is_encrypted);
        let plan = policy.decide(&facts);
        for (index, recipient) in facts.recipients.iter().enumerate() {
            let treatment = treatment_of(&plan, index);
            let in_clear = treatment.is_some_and(|treatment| treatment.encrypt_to.is_empty());
            prop_assert!(!(opened && !protected && recipient.direction == Direction::Outbound && in_clear));
        }
    }

    #[test]
    fn the_order_of_recipients_changes_no_treatment(
        policy in policies(), facts in facts(), seed in any::<prop::sample::Index>(),
    ) {
        let mut turned = facts.clone();
        let shift = if facts.recipients.is_empty() { 0 } else { seed.index(facts.recipients.len()) };
        turned.recipients.rotate_left(shift);
        let (plan, other) = (policy.decide(&facts), policy.decide(&turned));
        let count = facts.recipients.len();
        for index in 0..count {
            let moved = (index + count - shift) % count;
            prop_assert_eq!(treatment_of(&plan, index), treatment_of(&other, moved));
            prop_assert_eq!(&plan.recipients[index], &other.recipients[moved]);
        }
        prop_assert_eq!(std::mem::discriminant(&plan.verdict), std::mem::discriminant(&other.verdict));
        prop_assert_eq!(plan.rules, other.rules);
    }

    #[test]
    fn what_is_refused_at_rcpt_would_be_refused_whatever_followed(
        policy in policies(), facts in facts(), header in header(), signed in any::<bool>(),
    ) {
        let mut at_rcpt = facts.clone();
        at_rcpt.header = None;
        at_rcpt.size = None;
        at_rcpt.protection = None;
        at_rcpt.layers.clear();
        at_rcpt.findings.clear();
        let mut later = facts;
        later.header = Some(header);
        later.size = later.size.or(Some(2_000));
        later.protection = Some(if signed { Protection::Signed } else { Protection::None });
        later.layers.retain(|layer| layer.kind == LayerKind::Signed);
        let plan = policy.decide(&later);
        for index in 0..later.recipients.len() {
            let decision = policy.decide_recipient(&at_rcpt, index);
            if decision != RcptDecision::Accept {
                prop_assert!(refuses(&plan.verdict), "{:?} but {:?}", decision, plan);
                prop_assert!(policy.may_refuse_recipients());
            }
        }
    }

    #[test]
    fn an_answer_that_is_not_wanted_at_rcpt_is_never_asked_for(
        policy in policies(), facts in facts(), kind in select(KeyKind::ALL.to_vec()),
    ) {
        let mut at_rcpt = facts.clone();
        at_rcpt.header = None;
        at_rcpt.size = None;
        at_rcpt.protection = None;
        at_rcpt.layers.clear();
        at_rcpt.findings.clear();
        let mut without = facts.clone();
        for (index, recipient) in without.recipients.iter_mut().enumerate() {
            if !policy.wants(kind, &at_rcpt, index) {
                recipient.keys.retain(|key| key.kind != kind);
            }
        }
        prop_assert_eq!(policy.decide(&facts), policy.decide(&without));
    }

    #[test]
    fn texts_of_refusals_are_one_short_line(policy in policies(), facts in facts()) {
        if let Verdict::Reject { text, .. } | Verdict::Tempfail { text, .. } = policy.decide(&facts).verdict {
            prop_assert!(text.len() <= 400 && !text.chars().any(char::is_control));
        }
    }

    #[test]
    fn facts_and_plans_survive_json(policy in policies(), facts in facts()) {
        let text = serde_json::to_string(&facts).unwrap();
        let again: Facts = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&again, &facts);
        let plan = policy.decide(&facts);
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn any_text_as_configuration_is_read_or_refused_with_a_place(
        text in prop_oneof![
            any::<String>(),
            "(\\[|\\]|\\[\\[|rule|policy|domain|user|'|\"|\\.|=|\n| |#|keys|encrypt|id|true|1|\\{|\\}|,){0,30}",
        ],
    ) {
        if let Err(errors) = read(&text) {
            for error in errors.iter() {
                prop_assert!(error.at.line >= 1 && error.at.line <= text.matches('\n').count() + 1);
                prop_assert!(!error.to_string().contains("\n"));
            }
        }
    }
}
