//! Puts recipients that can get the same bytes into one group.

use crate::facts::KeyKind;
use crate::facts::RecipientFacts;
use crate::facts::Scheme;
use crate::plan::Group;
use crate::plan::KeyChoice;
use crate::plan::Treatment;
use crate::style::Style;

/// The form that one recipient needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// The key to encrypt to, and whether it announces AEAD.
    pub(crate) encrypt: Option<(KeyChoice, bool)>,
    pub(crate) sign: Option<KeyChoice>,
    /// What authenticates the road, where that is the protection.
    pub(crate) road: Option<KeyChoice>,
    pub(crate) opened: bool,
    /// What is opened is a submission, see [`Treatment::submission`].
    pub(crate) submission: bool,
    /// Keys that read along, and whether they announce AEAD.
    pub(crate) additional: Vec<(KeyChoice, bool)>,
    /// The key for the mailbox at rest.
    pub(crate) at_rest: Option<KeyChoice>,
    pub(crate) disclaimer: Option<String>,
    pub(crate) style: Style,
}

impl Form {
    /// Whether every key announces AEAD: one that does not must be able to read the message too.
    fn aead(&self) -> bool {
        let own = self.encrypt.as_ref().is_some_and(|(_, aead)| *aead);
        own && self.additional.iter().all(|(_, aead)| *aead)
    }
}

/// What recipients of one group have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Common<'f> {
    /// The standard and whether all keys announce AEAD: one key that does not must not weaken the others.
    sealed: Option<(Option<Scheme>, bool)>,
    sign: Option<&'f KeyChoice>,
    opened: bool,
    submission: bool,
    additional: &'f [(KeyChoice, bool)],
    /// Two mailboxes at rest never share a message: each is for its own user alone.
    at_rest: Option<(usize, &'f KeyChoice)>,
    disclaimer: Option<&'f str>,
    style: Style,
    /// Where the password comes from: two partners never share one.
    password: Option<&'f KeyChoice>,
    /// The index of a recipient that must be alone: its key in the list of an encrypted message would give
    /// it away to the others.
    alone: Option<usize>,
}

/// Groups recipients, given in the order of the facts. Every recipient is in exactly one group.
///
/// The group of the first disclosed recipient comes first and keeps the original message; the others follow in
/// the order of their first recipient.
pub(crate) fn group(recipients: &[RecipientFacts], forms: &[Form]) -> Vec<Group> {
    let mut groups: Vec<(Common<'_>, Group)> = Vec::new();
    for (index, (recipient, form)) in recipients.iter().zip(forms).enumerate() {
        let common = common(index, recipient, form);
        match groups.iter_mut().find(|(other, _)| *other == common) {
            Some((_, group)) => join(group, index, form),
            None => {
                let treatment = Treatment {
                    sign_with: form.sign.clone(),
                    opened: form.opened,
                    submission: form.submission,
                    at_rest: form.at_rest.clone(),
                    disclaimer: form.disclaimer.clone(),
                    style: form.style,
                    ..Treatment::default()
                };
                let mut group = Group { recipients: Vec::new(), treatment };
                join(&mut group, index, form);
                groups.push((common, group));
            }
        }
    }
    let original = recipients.iter().position(|recipient| recipient.disclosed).unwrap_or(0);
    if let Some(at) = groups.iter().position(|(_, group)| group.recipients.contains(&original))
        && let Some(front) = groups.get_mut(..=at)
    {
        front.rotate_right(1);
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn common<'f>(index: usize, recipient: &RecipientFacts, form: &'f Form) -> Common<'f> {
    Common {
        sealed: form.encrypt.as_ref().map(|(key, _)| (key.kind.scheme(), form.aead())),
        sign: form.sign.as_ref(),
        opened: form.opened,
        submission: form.submission,
        additional: &form.additional,
        at_rest: form.at_rest.as_ref().map(|key| (index, key)),
        disclaimer: form.disclaimer.as_deref(),
        style: form.style,
        password: form
            .encrypt
            .as_ref()
            .map(|(key, _)| key)
            .filter(|key| key.kind == KeyKind::PasswordMessage),
        alone: (form.encrypt.is_some() && !recipient.disclosed).then_some(index),
    }
}

fn join(group: &mut Group, index: usize, form: &Form) {
    group.recipients.push(index);
    group.treatment.enforced_tls |= form.road.is_some();
    let Some((key, _)) = &form.encrypt else { return };
    group.treatment.aead = form.aead();
    group.treatment.additional = form.additional.iter().map(|(key, _)| key.clone()).collect();
    let keys = &mut group.treatment.encrypt_to;
    keys.push(key.clone());
    keys.extend(group.treatment.additional.iter().cloned());
    keys.sort();
    keys.dedup_by(|later, earlier| later.fingerprint == earlier.fingerprint);
}

#[cfg(test)]
mod tests;
