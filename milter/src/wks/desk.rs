//! Works out what becomes of one mail to the submission address.

use std::sync::Arc;

use keydir::{Answer, Purpose, Reason, Record, Scheme, Screening, Subject, Trust};
use mail::{Class, Failure, Spill};
use policy::Facts;
use program::chain;
use sealing::openpgp::SecretCert;
use sealing::{Layer, LayerKind, LayerState};

use super::answer::{Accepted, Answers};
use super::certificate::{read_certificate, screen, usable};
use super::deed::{Deed, Effect};
use super::letter::{self, Letter, LetterError, Response};
use super::pending::{self, MOST_BYTES, Pending, PendingError, PendingKeys, Redeemed};
use super::{Step, Story, is_automatic, login, refusal};
use crate::config::Config;
use crate::facts::{gather, layer_facts};
use crate::keyring::{Audience, KeyRing, KeysAt};
use crate::transaction::Transaction;

/// Most bytes that come out of one layer of encryption.
const MOST_OPENED: u64 = letter::MOST;

/// What lies behind a refusal of a confirmation. Its sender is told the same for all of them.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no challenge has this nonce, or it was answered")]
    UnknownNonce,
    #[error("the challenge expired")]
    Expired,
    #[error("the challenge was for another mailbox")]
    OtherMailbox,
    #[error("the confirmation is signed by another key, or wrongly")]
    OtherSigner,
}

/// How far it came, and what is to be done.
pub(super) type Done = (Step, Option<Deed>);

/// Where a mail is worked on.
pub(super) struct Desk<'d> {
    config: &'d Config,
    keys: &'d KeyRing,
    transaction: &'d Transaction,
    address: Subject,
    now: i64,
    spill: Spill,
    pending: PendingKeys,
    facts: Facts,
    story: Story,
}

impl<'d> Desk<'d> {
    /// For one mail.
    pub(super) fn new(
        config: &'d Config,
        keys: &'d KeyRing,
        transaction: &'d Transaction,
        address: Subject,
        now: i64,
    ) -> Self {
        let recognised = transaction.body_seen.then(|| sealing::recognise(&transaction.message));
        let (gateway, none) = (&config.gateway, Vec::new());
        let facts = gather(gateway, &config.policy, transaction, &[], none, recognised.as_ref(), now);
        let (spill, pending) = (gateway.spill(), PendingKeys::of(&gateway.state));
        Self { config, keys, transaction, address, now, spill, pending, facts, story: Story::default() }
    }

    /// What was found out.
    pub(super) fn into_parts(self) -> (Facts, Story) {
        (self.facts, self.story)
    }

    /// Works out what is to be done.
    ///
    /// # Errors
    /// Why the mail is refused.
    pub(super) fn work(&mut self) -> Result<Done, Failure> {
        if self.transaction.envelope.reverse_path.is_empty() {
            return Ok((Step::Ignored, None));
        }
        let automatic = is_automatic(&self.transaction.message);
        match self.read() {
            // A robot that answers a robot makes a loop; and it would not understand us.
            Err(failure) if automatic && failure.class == Class::Permanent => Ok((Step::Ignored, None)),
            Ok((Letter::Key(_), ..)) if automatic => Ok((Step::Ignored, None)),
            Ok((Letter::Key(bytes), from, _)) => self.submission(&bytes, &from),
            Ok((Letter::Response(response), from, layers)) => self.response(&response, &from, &layers),
            Err(failure) => Err(failure),
        }
    }

    /// Opens and reads the mail: what is in it, from whom, and the layers around it.
    fn read(&mut self) -> Result<(Letter, Subject, Vec<Layer>), Failure> {
        let message = &self.transaction.message;
        if self.transaction.envelope.recipients.len() != 1 {
            return Err(refusal((5, 3), "mail to the submission address must have no other recipient"));
        }
        if message.len() > letter::MOST {
            return Err(refusal((3, 4), "too large for a key"));
        }
        if !self.transaction.body_seen {
            let text = "the mail gateway was reconfigured, try again on a new connection";
            return Err(Failure::temporary((3, 0), text));
        }
        let from = self.author()?;
        self.story.address = Some(from.to_string());
        let opened = self.open()?;
        self.facts.layers = layer_facts(&opened.layers);
        self.facts.unwrapped = opened.message.is_some();
        let outermost = opened.layers.iter().find(|layer| layer.kind == LayerKind::Encrypted);
        let is_opened = outermost
            .is_some_and(|layer| layer.state == LayerState::Opened && layer.scheme == Scheme::Openpgp);
        let (Some(message), true) = (&opened.message, is_opened) else {
            let text = "mail to the submission address must be encrypted to its OpenPGP key, the whole of it";
            return Err(refusal((7, 5), text));
        };
        let letter = Letter::read(message, &self.spill).map_err(|error| match error {
            LetterError::Io(_) => Failure::temporary((3, 1), "cannot read the message").because(error),
            error => refusal((6, 0), &format!("this is no key to be published: {error}")),
        })?;
        Ok((letter, from, opened.layers))
    }

    /// The mailbox for which the mail can speak at all.
    fn author(&self) -> Result<Subject, Failure> {
        let author = self.transaction.message.author();
        let from = author.and_then(|author| Subject::address(&author.address.to_string()));
        let from = from.ok_or_else(|| refusal((7, 1), "From must name one mailbox"))?;
        match self.config.gateway.is_own_mailbox(&from) && !from.same(&self.address) {
            true => Ok(from),
            false => Err(refusal((7, 1), "keys are taken for mailboxes of this domain only")),
        }
    }

    fn open(&self) -> Result<sealing::Opened, Failure> {
        let audience = vec![Audience::Recipient(self.address.to_string())];
        let at = KeysAt::new(self.keys, self.now, audience, Vec::new(), self.config.smime.revocation);
        let both = sealing::Keys { openpgp: &at, smime: &at };
        let limits = sealing::Limits { layers: 4, opened_bytes: MOST_OPENED, ..sealing::Limits::default() };
        let opened = sealing::open(&self.transaction.message, both, self.now, &self.spill, &limits);
        self.keys.telemetry.sealing("openpgp", "decrypt", opened.is_ok());
        opened.map_err(|error| Failure::temporary((7, 5), "cannot open the message now").because(error))
    }

    /// A key that is to be published.
    fn submission(&mut self, bytes: &[u8], from: &Subject) -> Result<Done, Failure> {
        let certificate = read_certificate(bytes)?;
        let fingerprint = certificate.fingerprint().to_hex();
        self.story.fingerprint = Some(fingerprint.clone());
        if certificate.userids().count() != 1 {
            let text = format!(
                "the key must carry exactly one User ID, that of {from}; the others are nobody's business here"
            );
            return Err(refusal((7, 1), &text));
        }
        let armored = keydir::armored(&certificate).into_bytes();
        if armored.len() > MOST_BYTES {
            return Err(refusal((3, 4), "the key is too large"));
        }
        let known = self.known(&fingerprint)?;
        let seen = screen(&armored, from, known.as_ref(), self.now)?;
        if seen.usable.is_empty() {
            return self.revocation(armored, from, known.as_ref(), &seen);
        }
        let (keys, now) = (self.keys, self.now);
        let login = self.transaction.authenticated.as_deref();
        let login = login.filter(|login| login::speaks_for(login, from, &self.config.gateway.domains));
        if let Some(login) = login {
            self.story.login = Some(login.to_owned());
            let signer = self.signer()?;
            let copy = self.answers(from, &signer).accepted(&fingerprint, Accepted::LoggedIn(login))?;
            let effect = Effect::Confirm { certificate: armored, address: from.clone(), nonce: None };
            return Ok((Step::ConfirmedByLogin, Some(Deed { copies: vec![copy], effect })));
        }
        self.pending.admit(from, now).map_err(|error| match error {
            PendingError::Io(_) => Failure::temporary((3, 0), "keys cannot be kept now").because(error),
            PendingError::Full | PendingError::TooMany => {
                let text = "too many keys wait for confirmation, try again tomorrow";
                Failure::temporary((7, 1), text).because(error)
            }
        })?;
        let signer = self.signer()?;
        let usable = usable(&armored, from, now)?;
        let nonce = pending::nonce().map_err(|error| {
            Failure::temporary((3, 0), "internal error in the mail gateway").because(error)
        })?;
        keys.telemetry.sealing("openpgp", "encrypt", true);
        let copy = self.answers(from, &signer).challenge(&usable, &nonce)?;
        let pending = Pending { address: from.clone(), fingerprint, created: now, certificate: armored };
        let effect = Effect::Challenge { nonce, pending };
        Ok((Step::Challenged, Some(Deed { copies: vec![copy], effect })))
    }

    /// A key that cannot be used: if its holder revoked it, and it is known for the mailbox, that counts at once. Only
    /// who has the key can revoke it, so nothing else needs to be proved.
    fn revocation(
        &self,
        armored: Vec<u8>,
        from: &Subject,
        known: Option<&Record>,
        seen: &Screening,
    ) -> Result<Done, Failure> {
        let reason = seen.refused.first().map(|refused| &refused.reason);
        let revoked = matches!(reason, Some(Reason::Revoked(_)));
        let fresh = known.filter(|known| known.revoked.is_none());
        match fresh.filter(|known| revoked && known.subjects.iter().any(|subject| subject.same(from))) {
            Some(known) => {
                let signer = self.signer()?;
                let copy = self.answers(from, &signer).accepted(&known.fingerprint, Accepted::Revoked)?;
                let deed = Deed { copies: vec![copy], effect: Effect::Revoke { certificate: armored } };
                Ok((Step::Revoked, Some(deed)))
            }
            None => {
                let reason = reason.map_or_else(|| "it cannot be read".to_owned(), ToString::to_string);
                Err(refusal((7, 1), &format!("nobody could write to {from} with this key: {reason}")))
            }
        }
    }

    /// The answer to a challenge.
    fn response(&mut self, response: &Response, from: &Subject, layers: &[Layer]) -> Result<Done, Failure> {
        let redeemed = self.pending.redeem(&response.nonce, self.now);
        let redeemed = redeemed
            .map_err(|error| Failure::temporary((3, 0), "keys cannot be looked up now").because(error))?;
        let pending = match redeemed {
            Redeemed::Key(pending) => pending,
            Redeemed::Expired => return Err(unconfirmed(Refused::Expired)),
            Redeemed::Unknown => return Err(unconfirmed(Refused::UnknownNonce)),
        };
        self.story.fingerprint = Some(pending.fingerprint.clone());
        let named = Subject::address(&response.address);
        if !from.same(&pending.address) || named.is_none_or(|named| !named.same(&pending.address)) {
            return Err(unconfirmed(Refused::OtherMailbox));
        }
        let certificate = read_certificate(&pending.certificate)?;
        let is_its_own = |signer: &String| {
            certificate.keys().any(|key| key.key().fingerprint().to_hex() == *signer)
                || certificate.keys().any(|key| key.key().keyid().to_hex() == *signer)
        };
        let inside = layers.iter().skip_while(|layer| layer.state != LayerState::Opened);
        let mut signed =
            inside.filter(|layer| layer.kind == LayerKind::Signed && layer.scheme == Scheme::Openpgp);
        // The signature is not needed: the nonce was for the holder's eyes only. But it must not contradict.
        if !signed
            .all(|layer| layer.state != LayerState::Invalid && layer.signer.as_ref().is_none_or(is_its_own))
        {
            return Err(unconfirmed(Refused::OtherSigner));
        }
        let known = self.known(&pending.fingerprint)?;
        let seen = screen(&pending.certificate, from, known.as_ref(), self.now)?;
        if seen.usable.is_empty() {
            return self.revocation(pending.certificate, from, known.as_ref(), &seen);
        }
        let signer = self.signer()?;
        let copy = self.answers(from, &signer).accepted(&pending.fingerprint, Accepted::Confirmed)?;
        let nonce = Some(response.nonce.clone().into());
        let effect = Effect::Confirm { certificate: pending.certificate, address: from.clone(), nonce };
        Ok((Step::ConfirmedByChallenge, Some(Deed { copies: vec![copy], effect })))
    }

    /// What the store knows about a key.
    fn known(&self, fingerprint: &str) -> Result<Option<Record>, Failure> {
        let known = self.keys.store.get(fingerprint)?;
        match known.as_ref().is_some_and(|known| known.trust == Trust::Distrusted) {
            true => Err(refusal((7, 1), "the administrator does not accept this key")),
            false => Ok(known),
        }
    }

    /// The key that signs for the submission address.
    fn signer(&self) -> Result<Arc<SecretCert>, Failure> {
        let failed = |why: String| {
            Failure::temporary((3, 5), "keys cannot be taken now").because(std::io::Error::other(why))
        };
        match self.keys.store.find(&self.address, Scheme::Openpgp, Purpose::Sign, self.now) {
            Answer::Found(usable) => {
                let secret = self.keys.custody.get(&usable.record().fingerprint);
                secret.map_err(|error| failed(chain(&error)))
            }
            Answer::None { .. } => Err(failed(format!("{} has no OpenPGP key here", self.address))),
            Answer::CouldNotTell { why } => Err(failed(why)),
        }
    }

    fn answers<'a>(&'a self, to: &'a Subject, signer: &'a SecretCert) -> Answers<'a> {
        Answers {
            from: &self.address,
            to,
            signer,
            transaction: self.transaction,
            name: &self.config.gateway.name,
            spill: &self.spill,
            now: self.now,
        }
    }
}

/// The same words whatever is wrong: nobody learns which nonces there are, and for whom.
fn unconfirmed(why: Refused) -> Failure {
    refusal((7, 1), "no key waits for this confirmation; send the key again").because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_confirmation_is_told_in_the_same_words() {
        let all = [Refused::UnknownNonce, Refused::Expired, Refused::OtherMailbox, Refused::OtherSigner];
        let told = all.map(|why| {
            let failure = unconfirmed(why);
            (failure.code.to_string(), failure.text.clone())
        });
        assert!(told.iter().all(|each| *each == told[0]), "{told:?}");
    }
}
