//! Step 6 of the path: the forms of a message, one for each group of the plan.

mod introduction;

use mail::{Edit, Failure, Message, Spill, apply};
use policy::{
    ContentCipher, Direction, Facts, Group, KeyChoice, KeyKind, KeyTransport, Nesting, PasswordForm,
    PasswordSource, Plan, RsaSignature, Scheme, SignedForm, SubmissionFacts, Treatment, Verdict,
};
use sealing::smime::{self, SignatureType};
use sealing::{Opened, ToSign, openpgp};

use crate::config::Config;
use crate::hashing::digest;
use crate::keyring::{Key, KeyRing, Lookup, Noted};
use crate::password::{self, Password};
use crate::transaction::Transaction;
use crate::{results, subject, submission};

/// The message as one group of recipients gets it.
#[derive(Debug)]
pub struct Form {
    /// Indexes of the recipients.
    pub recipients: Vec<usize>,
    /// What was done.
    pub treatment: Treatment,
    /// The result.
    pub message: Message,
    /// The password that was made for this form, which its sender must be told.
    pub password: Option<Password>,
    /// False when the body is the one that came in.
    pub body_changed: bool,
    /// Digest of the result, if the body was changed.
    pub digest: Option<[u8; 32]>,
}

/// A message without what protected it.
#[derive(Debug)]
pub struct Unsealed {
    /// What opening gave.
    pub opened: Opened,
    /// What a domain's signature goes around by RFC 3183, where that was asked.
    pub to_sign: Option<ToSign>,
}

impl Unsealed {
    /// Whether anything was decrypted.
    pub fn is_decrypted(&self) -> bool {
        self.opened.layers.iter().any(|layer| layer.state == sealing::LayerState::Opened)
    }
}

/// Makes the forms of one message.
pub struct Workshop<'w> {
    /// What the administrator configured.
    pub config: &'w Config,
    /// Secret keys.
    pub keys: &'w KeyRing,
    /// The message as it arrived.
    pub transaction: &'w Transaction,
    /// The keys that were found for the recipients, and those that read along.
    pub lookups: &'w [Lookup],
    /// The keys that sign for the author.
    pub signing: &'w Lookup,
    /// What the decision was taken from.
    pub facts: &'w Facts,
    /// The decision.
    pub plan: &'w Plan,
    /// What opening gave for recipients here; for those outside, what verifying gave.
    pub here: Option<Unsealed>,
    /// What opening a submission gave for recipients outside, see [`Treatment::submission`], and whom it names.
    pub submission: Option<(Unsealed, Noted)>,
    /// Where bodies are kept.
    pub spill: Spill,
    /// Unix seconds.
    pub now: i64,
}

impl Workshop<'_> {
    /// All forms; none when the message goes nowhere.
    ///
    /// # Errors
    /// Whatever kept a form from being made completely; nothing may then leave.
    pub fn forms(&self) -> Result<Vec<Form>, Failure> {
        if !matches!(self.plan.verdict, Verdict::Accept | Verdict::Quarantine { .. }) {
            return Ok(Vec::new());
        }
        self.plan.groups.iter().map(|group| self.form(group)).collect()
    }

    fn form(&self, group: &Group) -> Result<Form, Failure> {
        let treatment = &group.treatment;
        let opened = self.unsealed(treatment).filter(|_| treatment.opened);
        let opened = opened.and_then(|unsealed| unsealed.opened.message.as_ref());
        if treatment.submission && (opened.is_none() || treatment.encrypt_to.is_empty()) {
            return Err(Failure::temporary((7, 5), "what was opened on its way out cannot be sealed anew"));
        }
        let base = opened.unwrap_or(&self.transaction.message);
        let base = self.nested(treatment).and_then(|to_sign| to_sign.message.as_ref()).unwrap_or(base);
        let dressed = self.add_disclaimer(self.dress(base, group)?, treatment)?;
        let (sealed, password) = match self.password_source(group) {
            Some(source) => self.seal_with_password(&dressed, treatment, &source)?,
            None => (self.seal(&dressed, treatment, Extent::Content)?, None),
        };
        let message = self.introduce(self.put_to_rest(sealed, treatment)?, &group.recipients)?;
        self.check_size(message.len())?;
        let body_changed = opened.is_some() || !treatment.is_pass();
        Ok(Form {
            recipients: group.recipients.clone(),
            body_changed,
            digest: body_changed.then(|| digest(&message)).transpose().map_err(storage)?,
            treatment: treatment.clone(),
            password,
            message,
        })
    }

    /// What the domain's signature goes around, if it is one of RFC 3183.
    fn nested(&self, treatment: &Treatment) -> Option<&ToSign> {
        let signs = treatment.sign_with.as_ref().is_some_and(|key| key.kind == KeyKind::DomainSmime);
        let to_sign = self.unsealed(treatment).and_then(|unsealed| unsealed.to_sign.as_ref());
        // What is encrypted once more, to our domain again, cannot be encrypted as it is.
        to_sign
            .filter(|to_sign| !(treatment.submission && to_sign.encrypted_inside))
            .filter(|_| signs && treatment.style.nesting == Nesting::Rfc3183)
    }

    /// What opening gave for those who get this treatment.
    fn unsealed(&self, treatment: &Treatment) -> Option<&Unsealed> {
        match &self.submission {
            Some((unsealed, _)) if treatment.submission => Some(unsealed),
            _ if treatment.submission => None,
            _ => self.here.as_ref(),
        }
    }

    /// Fields out and in: forged results, our results, triggers, the warning in the Subject.
    fn dress(&self, base: &Message, group: &Group) -> Result<Message, Failure> {
        let name = &self.config.gateway.name;
        // Also among ourselves: what was decrypted must be known by that if it goes on to somebody outside.
        let is_told = |index: &usize| {
            self.facts.recipients.get(*index).is_some_and(|recipient| match recipient.direction {
                Direction::Inbound => true,
                Direction::Internal => group.treatment.opened,
                Direction::Outbound => false,
            })
        };
        let told = group.recipients.iter().any(is_told);
        let mut edits = if self.transaction.is_second_pass() {
            results::token_removal(base)
        } else {
            results::forged(base, name, self.transaction.originating && !told)
        };
        if told {
            edits.extend(results::add(&self.facts.layers, name, &self.facts.from));
            let mismatches = self.here.as_ref().map(|here| here.opened.mismatches.as_slice());
            edits.extend(results::tell_of_mismatches(mismatches.unwrap_or_default()));
        }
        if !group.treatment.encrypt_to.is_empty() {
            // Who else got it secretly is nobody's business (RFC 5322 section 3.6.3).
            for field in ["Bcc", "Resent-Bcc"] {
                edits.extend(base.header().find_all(field).map(|(index, _)| Edit::RemoveField { index }));
            }
        }
        edits.extend(results::tell_who_reads_along(&group.treatment.additional));
        if group.treatment.enforced_tls {
            edits.extend(self.without_waiver(base)?);
        }
        for field in &self.plan.remove_fields {
            let indexes = base.header().find_all(field).map(|(index, _)| Edit::RemoveField { index });
            edits.extend(indexes);
        }
        edits.extend(subject::edits(base, &self.plan.subject_triggers, self.plan.tag.as_deref()));
        if edits.is_empty() {
            return Ok(base.clone());
        }
        apply(base, &edits, &self.spill).map_err(storage)
    }

    /// `TLS-Required: No` would waive the authentication on which policy counts (RFC 8689 section 3). What the MTA has
    /// heeded already cannot be taken out any more.
    fn without_waiver(&self, base: &Message) -> Result<Vec<Edit>, Failure> {
        let received = self.transaction.message.header();
        let waives =
            received.find_all("TLS-Required").any(|(_, f)| f.text().trim().eq_ignore_ascii_case("no"));
        if waives && self.transaction.peer.mta_heeds_tls_required() {
            let text = "the message says TLS-Required: No, but its recipients are protected by TLS alone: remove the field";
            return Err(Failure::permanent((7, 1), text));
        }
        let waivers = base.header().find_all("TLS-Required");
        Ok(waivers.map(|(index, _)| Edit::RemoveField { index }).collect())
    }

    /// The domain's text under the author's, before anything is signed.
    fn add_disclaimer(&self, message: Message, treatment: &Treatment) -> Result<Message, Failure> {
        let Some(name) = &treatment.disclaimer else { return Ok(message) };
        let Some(disclaimer) = self.config.disclaimers.get(name) else {
            return Err(Failure::temporary((3, 5), format!("there is no disclaimer `{name}`")));
        };
        let (text, html) = (&disclaimer.text, disclaimer.html.as_deref());
        match sealing::disclaimer::add(&message, text, html, &self.spill).map_err(storage)? {
            Some(edits) => apply(&message, &edits, &self.spill).map_err(storage),
            None => Ok(message),
        }
    }

    fn seal(&self, message: &Message, treatment: &Treatment, extent: Extent) -> Result<Message, Failure> {
        if treatment.encrypt_to.is_empty() && treatment.sign_with.is_none() {
            return Ok(message.clone());
        }
        let first = treatment.encrypt_to.first().or(treatment.sign_with.as_ref());
        let edits = match first.and_then(|key| key.kind.scheme()) {
            Some(Scheme::Smime) => self.seal_smime(message, treatment, extent)?,
            Some(Scheme::Openpgp) => self.seal_openpgp(message, treatment, extent)?,
            None => return Err(Failure::temporary((7, 5), "this way to protect a message is not ready")),
        };
        apply(message, &edits, &self.spill).map_err(storage)
    }

    /// Where the password of a group comes from, if it gets a password message.
    fn password_source(&self, group: &Group) -> Option<PasswordSource> {
        let wanted = group.treatment.encrypt_to.iter().any(|key| key.kind == KeyKind::PasswordMessage);
        let recipient = group.recipients.first().filter(|_| wanted)?;
        Some(self.config.policy.password_for(self.facts, *recipient))
    }

    fn seal_with_password(
        &self,
        message: &Message,
        treatment: &Treatment,
        source: &PasswordSource,
    ) -> Result<(Message, Option<Password>), Failure> {
        let generated = *source == PasswordSource::Generated;
        if generated && self.transaction.envelope.reverse_path.is_empty() {
            let text = "a password was to be made for the message, and there is no sender to be told";
            return Err(Failure::permanent((7, 1), text));
        }
        let password = password::obtain(source)
            .map_err(|error| Failure::temporary((7, 5), "the password cannot be had now").because(error))?;
        self.check_size(openpgp::sealed_size_estimate(message.len(), 1, treatment.sign_with.is_some()))?;
        let signer = match &treatment.sign_with {
            Some(choice) => {
                self.signing_key(choice)?;
                Some(self.keys.custody.get(&choice.fingerprint).map_err(unusable)?)
            }
            None => None,
        };
        let cover = cover(&self.config.gateway.name, self.facts.from.first().map(String::as_str), generated);
        let spec = openpgp::PasswordSeal {
            password: password.reveal(),
            form: match treatment.style.password {
                PasswordForm::Iterated => openpgp::PasswordForm::Iterated,
                PasswordForm::Argon2 => openpgp::PasswordForm::Argon2,
            },
            signer: signer.as_deref(),
            cover: &cover,
            now: self.now,
        };
        let edits = openpgp::seal_with_password(message, &spec, &self.spill);
        self.keys.telemetry.sealing("openpgp", operation(treatment), edits.is_ok());
        let mut sealed = apply(message, &edits.map_err(unprotected)?, &self.spill).map_err(storage)?;
        let hides = |submission: &SubmissionFacts| submission.hidden != policy::HeaderProtection::Off;
        if treatment.submission && self.facts.submission.as_ref().is_some_and(hides) {
            let edits = submission::conceal(&self.transaction.message, &sealed);
            sealed = apply(&sealed, &edits, &self.spill).map_err(storage)?;
        }
        Ok((sealed, generated.then_some(password)))
    }

    fn seal_openpgp(
        &self,
        message: &Message,
        treatment: &Treatment,
        extent: Extent,
    ) -> Result<Vec<Edit>, Failure> {
        let recipients = treatment.encrypt_to.iter().map(|choice| match self.chosen(choice)? {
            Key::Openpgp(usable) => Ok(keydir::Usable::clone(usable)),
            Key::Smime(_) => Err(gone()),
        });
        let recipients = recipients.collect::<Result<Vec<_>, Failure>>()?;
        let signed = treatment.sign_with.is_some();
        self.check_size(openpgp::sealed_size_estimate(message.len(), recipients.len(), signed))?;
        let signer = match &treatment.sign_with {
            Some(choice) => {
                self.signing_key(choice)?;
                Some(self.keys.custody.get(&choice.fingerprint).map_err(unusable)?)
            }
            None => None,
        };
        let spec = openpgp::Seal {
            recipients: &recipients,
            signer: signer.as_deref(),
            aead: treatment.aead,
            now: self.now,
            hide_recipients: false,
            header: header_protection(treatment.style.header),
            whole: extent == Extent::Whole,
        };
        let edits = openpgp::seal(message, &spec, &self.spill);
        self.keys.telemetry.sealing("openpgp", operation(treatment), edits.is_ok());
        edits.map_err(unprotected)
    }

    fn seal_smime(
        &self,
        message: &Message,
        treatment: &Treatment,
        extent: Extent,
    ) -> Result<Vec<Edit>, Failure> {
        let style = &treatment.style;
        let mut recipients = Vec::new();
        let mut announced = true;
        for choice in &treatment.encrypt_to {
            let Key::Smime(usable) = self.chosen(choice)? else { return Err(gone()) };
            announced &= usable.gcm();
            let oaep = match style.transport {
                KeyTransport::Announced => usable.oaep(),
                KeyTransport::Oaep => true,
                KeyTransport::Pkcs1 => false,
            };
            let transport = if oaep { smime::KeyTransport::Oaep } else { smime::KeyTransport::Pkcs1v15 };
            recipients.push((usable.certificate().clone(), transport));
        }
        let gcm = match style.cipher {
            ContentCipher::Announced => announced,
            ContentCipher::Gcm => true,
            ContentCipher::Cbc => false,
        };
        let signed = treatment.sign_with.is_some();
        self.check_size(smime::sealed_size_estimate(message.len(), recipients.len(), signed))?;
        let signer = match &treatment.sign_with {
            Some(choice) => {
                let Key::Smime(usable) = self.signing_key(choice)? else { return Err(gone()) };
                let secret = self.keys.custody.get_smime(&choice.fingerprint).map_err(unusable)?;
                Some((choice, usable, secret))
            }
            None => None,
        };
        let signer = signer.as_ref().map(|(choice, usable, secret)| smime::Signer {
            identity: secret,
            chain: usable.chain(),
            encryption: None,
            signature_type: (choice.kind == KeyKind::DomainSmime).then_some(SignatureType::Domain),
            form: match style.signed {
                SignedForm::Clear => smime::SignedForm::Clear,
                SignedForm::Opaque => smime::SignedForm::Opaque,
            },
            nesting: match style.nesting {
                Nesting::Rfc3183 if choice.kind == KeyKind::DomainSmime => smime::Nesting::Rfc3183,
                Nesting::Rfc3183 | Nesting::Flat => smime::Nesting::Flat,
            },
            pss: style.rsa == RsaSignature::Pss,
        });
        let cipher = if gcm { smime::ContentCipher::Aes256Gcm } else { smime::ContentCipher::Aes256Cbc };
        let spec = smime::Seal {
            recipients: &recipients,
            cipher,
            signer,
            header: header_protection(style.header),
            expansion: self.nested(treatment).and_then(|to_sign| to_sign.expansion.as_ref()),
            whole: extent == Extent::Whole,
            now: self.now,
        };
        let edits = smime::seal(message, &spec, &self.spill);
        self.keys.telemetry.sealing("smime", operation(treatment), edits.is_ok());
        edits.map_err(unprotected)
    }

    /// Encrypts what the recipient gets to the key of its mailbox at rest, every byte of it, results included;
    /// they stay readable outside, too.
    fn put_to_rest(&self, message: Message, treatment: &Treatment) -> Result<Message, Failure> {
        let Some(key) = &treatment.at_rest else { return Ok(message) };
        let at_rest = Treatment {
            encrypt_to: vec![key.clone()],
            aead: false,
            style: treatment.style,
            ..Treatment::default()
        };
        self.seal(&message, &at_rest, Extent::Whole)
    }

    /// Exactly the certificate that was found and checked when it was looked up.
    fn chosen(&self, choice: &KeyChoice) -> Result<&Key, Failure> {
        self.lookups
            .iter()
            .flat_map(|lookup| &lookup.found)
            .find(|key| key.fingerprint() == choice.fingerprint)
            .ok_or_else(gone)
    }

    fn signing_key(&self, choice: &KeyChoice) -> Result<&Key, Failure> {
        self.signing.found.iter().find(|key| key.fingerprint() == choice.fingerprint).ok_or_else(gone)
    }

    /// The MTA would accept our answer and then refuse the grown message for good; we say so first.
    fn check_size(&self, bytes: u64) -> Result<(), Failure> {
        match self.config.gateway.message_size_limit {
            Some(limit) if bytes > limit => {
                let text = format!(
                    "the message would be {bytes} bytes after protection, more than the limit of {limit}"
                );
                Err(Failure::permanent((3, 4), text))
            }
            _ => Ok(()),
        }
    }
}

/// What the recipient of a password message reads first.
fn cover(gateway: &str, from: Option<&str>, generated: bool) -> String {
    let from = from.unwrap_or("the sender");
    let told = if generated {
        format!("You get the password from {from}, by telephone or another way.")
    } else {
        format!("It is the password that you agreed upon with {from}.")
    };
    format!(
        "This message from {from} is encrypted with a password.\n\n\
         {told}\n\n\
         Save the attachment message.eml.asc and open it with any OpenPGP program, for example\n\n\
         \u{20}   gpg --output message.eml --decrypt message.eml.asc\n\n\
         or with Kleopatra (Windows), GPG Suite (macOS) or OpenKeychain (Android).\n\
         The mail program opens message.eml. Never answer to a message that asks you for a password.\n\n\
         The mail gateway at {gateway}\n"
    )
}

/// What of a message is sealed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Its content, and of its header what the style says.
    Content,
    /// Every byte.
    Whole,
}

fn header_protection(header: policy::HeaderProtection) -> sealing::HeaderProtection {
    match header {
        policy::HeaderProtection::Off => sealing::HeaderProtection::Off,
        policy::HeaderProtection::Signed => sealing::HeaderProtection::Clear,
        policy::HeaderProtection::Baseline => sealing::HeaderProtection::Baseline,
        policy::HeaderProtection::Shy => sealing::HeaderProtection::Shy,
        policy::HeaderProtection::Strict => sealing::HeaderProtection::Strict,
    }
}

fn operation(treatment: &Treatment) -> &'static str {
    match (treatment.encrypt_to.is_empty(), treatment.sign_with.is_some()) {
        (true, _) => "sign",
        (false, false) => "encrypt",
        (false, true) => "sign+encrypt",
    }
}

fn gone() -> Failure {
    Failure::temporary((7, 5), "a key that was chosen is gone")
}

fn unusable(error: sealing::custody::CustodyError) -> Failure {
    Failure::temporary((7, 5), "the signing key cannot be used now").because(error)
}

fn unprotected(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::temporary((7, 5), "cannot protect the message").because(error)
}

pub(crate) fn storage(error: std::io::Error) -> Failure {
    Failure::temporary((3, 1), "cannot store the message").because(error)
}
