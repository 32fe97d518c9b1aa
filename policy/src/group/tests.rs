use crate::Direction;
use crate::Facts;
use crate::KeyAnswer;
use crate::KeyKind;
use crate::Policy;
use crate::RecipientFacts;
use crate::fixtures::found;
use crate::fixtures::message;
use crate::fixtures::recipient;

fn groups(facts: &Facts) -> Vec<(Vec<usize>, Vec<String>)> {
    let groups = Policy::default().decide(facts).groups;
    let keys =
        |group: &crate::Group| group.treatment.encrypt_to.iter().map(|key| key.fingerprint.clone()).collect();
    groups.iter().map(|group| (group.recipients.clone(), keys(group))).collect()
}

fn with_key(address: &str, key: &str) -> RecipientFacts {
    recipient(address, vec![found(KeyKind::UserOpenpgp, key)])
}

fn hidden(recipient: RecipientFacts) -> RecipientFacts {
    RecipientFacts { disclosed: false, ..recipient }
}

fn expected(groups: &[(&[usize], &[&str])]) -> Vec<(Vec<usize>, Vec<String>)> {
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    groups.iter().map(|(recipients, k)| (recipients.to_vec(), keys(k))).collect()
}

#[test]
fn disclosed_recipients_share_one_encrypted_message_with_each_key_once_in_order() {
    let facts = message(vec![
        with_key("a@beta.example", "C"),
        with_key("b@beta.example", "A"),
        with_key("c@beta.example", "C"),
    ]);
    assert_eq!(groups(&facts), expected(&[(&[0, 1, 2], &["A", "C"])]));
}

#[test]
fn every_bcc_recipient_of_an_encrypted_message_is_alone() {
    let facts = message(vec![
        hidden(with_key("x@beta.example", "D")),
        with_key("a@beta.example", "A"),
        hidden(with_key("y@beta.example", "D")),
    ]);
    assert_eq!(groups(&facts), expected(&[(&[1], &["A"]), (&[0], &["D"]), (&[2], &["D"])]));
}

#[test]
fn recipients_in_clear_are_one_group_and_bcc_among_them_is_hidden_anyway() {
    let facts = message(vec![
        recipient("a@beta.example", Vec::new()),
        hidden(recipient("x@beta.example", Vec::new())),
        with_key("b@beta.example", "B"),
        RecipientFacts { direction: Direction::Internal, ..recipient("c@alpha.example", Vec::new()) },
    ]);
    assert_eq!(groups(&facts), expected(&[(&[0, 1, 3], &[]), (&[2], &["B"])]));
}

#[test]
fn the_group_of_the_first_disclosed_recipient_keeps_the_original() {
    let facts = message(vec![
        hidden(with_key("x@beta.example", "X")),
        hidden(recipient("y@beta.example", Vec::new())),
        with_key("a@beta.example", "A"),
    ]);
    assert_eq!(groups(&facts), expected(&[(&[2], &["A"]), (&[0], &["X"]), (&[1], &[])]));
}

#[test]
fn a_key_without_aead_does_not_weaken_the_others() {
    let mut old = with_key("old@beta.example", "O");
    old.keys[0].answer = KeyAnswer::Found { fingerprint: "O".to_owned(), aead: false };
    let facts = message(vec![with_key("a@beta.example", "A"), old, with_key("b@beta.example", "B")]);
    assert_eq!(groups(&facts), expected(&[(&[0, 2], &["A", "B"]), (&[1], &["O"])]));
    let aead: Vec<bool> =
        Policy::default().decide(&facts).groups.iter().map(|group| group.treatment.aead).collect();
    assert_eq!(aead, [true, false]);
}
