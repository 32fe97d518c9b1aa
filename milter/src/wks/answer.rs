//! What the submission address writes to users: challenges (draft-koch-openpgp-webkey-service-22 section 4.3), and that
//! a key is accepted (section 4, step 7). Everything is signed by its key, goes to the mailbox in question and nowhere
//! else, and never makes another mail.

use keydir::{Subject, Usable};
use mail::{Failure, Message, Spill, apply};
use sealing::HeaderProtection;
use sealing::openpgp::{Seal, SealError, SecretCert, encrypt_note, seal};

use crate::notice::date;
use crate::spool::{Copy, Ticket};
use crate::transaction::{Transaction, new_id};

/// The version of the protocol, as GnuPG counts it.
const VERSION: u8 = 3;

/// Who writes to whom.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    /// The submission address.
    pub from: &'a Subject,
    /// The mailbox.
    pub to: &'a Subject,
    /// Signs for the submission address.
    pub signer: &'a SecretCert,
    /// What it answers.
    pub transaction: &'a Transaction,
    /// For the Message-ID.
    pub name: &'a str,
    /// Where bodies go.
    pub spill: &'a Spill,
    /// Unix seconds.
    pub now: i64,
}

/// What was done with a key, for the mail that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted<'a> {
    /// Its holder answered the challenge.
    Confirmed,
    /// Its holder is logged in under this name.
    LoggedIn(&'a str),
    /// Its holder revoked it.
    Revoked,
}

impl Answers<'_> {
    /// Asks the mailbox for the nonce, which only the holder of the key can read.
    ///
    /// # Errors
    /// It cannot be encrypted or signed; nothing may be sent.
    pub fn challenge(&self, key: &Usable, nonce: &str) -> Result<Copy, Failure> {
        let (from, to) = (self.from, self.to);
        let fingerprint = &key.record().fingerprint;
        let request = format!(
            "type: confirmation-request\nsender: {from}\naddress: {to}\nfingerprint: {fingerprint}\nnonce: {nonce}\n"
        );
        let secret = encrypt_note(request.as_bytes(), key, self.now)?;
        let secret = String::from_utf8_lossy(&secret).replace("\r\n", "\n").replace('\n', "\r\n");
        let text = format!(
            "Somebody, hopefully you, asked to publish this OpenPGP key for\r\n\
             {to}:\r\n\
             \r\n\
             \u{20} {fingerprint}\r\n\
             \r\n\
             If it is yours, confirm it within three days: your mail program may do that\r\n\
             by itself, or save this mail and run\r\n\
             \r\n\
             \u{20} gpg-wks-client --receive < MAIL | sendmail -t\r\n\
             \r\n\
             If you did not ask for it, do nothing: the key is then not published.\r\n"
        );
        let boundary = format!("=_{}", new_id());
        let body = format!(
            "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             \r\n\
             {text}\
             \r\n\
             --{boundary}\r\n\
             Content-Type: application/vnd.gnupg.wks\r\n\
             \r\n\
             {secret}\r\n\
             --{boundary}--\r\n"
        );
        self.copy("Confirm your key publication", "Wks-Phase: confirm\r\n", &body)
    }

    /// Tells that a key is accepted, and why it was.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn accepted(&self, fingerprint: &str, why: Accepted<'_>) -> Result<Copy, Failure> {
        let to = self.to;
        let (subject, what) = match why {
            Accepted::Confirmed => {
                ("Your key is accepted", "was confirmed by you. It is published in a moment.".to_owned())
            }
            Accepted::LoggedIn(login) => {
                let login: String = login.chars().filter(|c| !c.is_control()).take(254).collect();
                let what = format!(
                    "was sent by somebody who was logged in as {login}, which is why it\r\n\
                     needs no other confirmation. It is published in a moment. If that was not\r\n\
                     you, tell your administrator now."
                );
                ("Your key is accepted", what)
            }
            Accepted::Revoked => {
                ("Your key is revoked", "was revoked by you. Whoever looks for it is told so.".to_owned())
            }
        };
        let body = format!(
            "Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n\
             The OpenPGP key for {to}\r\n\
             \r\n\
             \u{20} {fingerprint}\r\n\
             \r\n\
             {what}\r\n"
        );
        self.copy(subject, "", &body)
    }

    /// Signs, and addresses.
    fn copy(&self, subject: &str, more: &str, entity: &str) -> Result<Copy, Failure> {
        let (id, from, to, name) = (new_id(), self.from, self.to, self.name);
        let reply = self.in_reply_to();
        let text = format!(
            "From: <{from}>\r\n\
             To: <{to}>\r\n\
             Subject: {subject}\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{name}>\r\n\
             {reply}\
             Auto-Submitted: auto-replied\r\n\
             Wks-Draft-Version: {VERSION}\r\n\
             {more}\
             MIME-Version: 1.0\r\n\
             {entity}",
            date = date(self.now),
        );
        let message = Message::parse(text.as_bytes());
        let spec = Seal {
            recipients: &[],
            signer: Some(self.signer),
            aead: false,
            hide_recipients: false,
            header: HeaderProtection::Off,
            whole: false,
            now: self.now,
        };
        let edits = seal(&message, &spec, self.spill)?;
        let message = apply(&message, &edits, self.spill).map_err(SealError::Io)?;
        let parameters = if to.to_string().is_ascii() { Vec::new() } else { vec!["SMTPUTF8".to_owned()] };
        let ticket = Ticket {
            idempotency: id.clone(),
            id,
            transaction: self.transaction.id.clone(),
            queue_id: self.transaction.log_id().to_owned(),
            // What cannot be delivered comes back to nobody.
            reverse_path: String::new(),
            parameters,
            recipients: vec![(format!("<{to}>"), Vec::new())],
            hold: None,
            notice: true,
            created: self.now,
        };
        Ok(Copy { ticket, message })
    }

    fn in_reply_to(&self) -> String {
        let plain = |id: &String| {
            id.len() <= 250 && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>()\"".contains(&b))
        };
        let id = self.transaction.message_id().filter(plain).filter(|id| !id.is_empty());
        id.map_or_else(String::new, |id| format!("In-Reply-To: <{id}>\r\n"))
    }
}
