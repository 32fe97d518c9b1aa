//! The copies of a message: one for every group of recipients but the first.

use std::io::Write;

use mail::{Failure, Message};
use sha2::{Digest, Sha256};

use crate::disposition::{Disposition, Outcome};
use crate::hashing::Hashing;
use crate::notice;
use crate::spool::{Copy, Spool, Ticket};
use crate::token::hex;
use crate::transaction::{Recipient, Transaction, new_id};
use crate::workshop::Form;

/// What the groups but the first need.
#[derive(Debug, Default)]
pub struct Copies {
    /// Must be spooled before the MTA is answered.
    pub to_spool: Vec<Copy>,
    /// Names of all copies, also of those that an earlier attempt spooled: when the MTA has our
    /// answer, their marks are removed, or they would swallow the copies of a later message that
    /// looks the same.
    pub idempotency: Vec<String>,
}

/// The copies for all groups but the first.
///
/// A copy that an earlier, unanswered attempt of the same submission left is not made again; its
/// recipients are still removed from the original, for their copy is durable or was sent.
///
/// # Errors
/// The body could not be read.
pub fn of(
    disposition: &Disposition,
    transaction: &Transaction,
    spool: &Spool,
    name: &str,
    now: i64,
) -> Result<Copies, Failure> {
    let mut copies = Copies::default();
    let others = disposition.forms.get(1..).unwrap_or_default();
    if let Some(first) = disposition.forms.first() {
        copies.to_spool.extend(receipt(first, transaction, name, now));
    }
    if others.is_empty() {
        return Ok(copies);
    }
    let content = content_digest(transaction)
        .map_err(|error| Failure::temporary((3, 1), "cannot read the message").because(error))?;
    for form in others {
        let recipients = recipients(transaction, form);
        // Without a Message-ID nobody can tell a retry from another message that looks the same.
        let idempotency = match transaction.message_id() {
            Some(_) => idempotency(&content, transaction, &recipients),
            None => new_id(),
        };
        copies.idempotency.push(idempotency.clone());
        if spool.is_taken(&idempotency) {
            tracing::info!(
                "{}: a copy of this message was spooled by an attempt that got no answer; not again",
                transaction.log_id()
            );
            continue;
        }
        copies.to_spool.push(Copy {
            ticket: Ticket {
                id: new_id(),
                transaction: transaction.id.clone(),
                queue_id: transaction.log_id().to_owned(),
                reverse_path: transaction.envelope.reverse_path.clone(),
                parameters: transaction.envelope.parameters.clone(),
                recipients: recipients.iter().map(|r| (r.path.clone(), r.parameters.clone())).collect(),
                idempotency,
                hold: match &disposition.outcome {
                    Outcome::Quarantine(reason) => Some(reason.clone()),
                    _ => None,
                },
                notice: false,
                created: now,
            },
            message: form.message.clone(),
        });
        copies.to_spool.extend(receipt(form, transaction, name, now));
    }
    Ok(copies)
}

/// The message that tells the sender a password, if one was made.
fn receipt(form: &Form, transaction: &Transaction, name: &str, now: i64) -> Option<Copy> {
    let password = form.password.as_ref()?;
    let addresses: Vec<&str> =
        recipients(transaction, form).iter().map(|recipient| recipient.address.as_str()).collect();
    Some(notice::password_receipt(transaction, &addresses, password, name, now))
}

fn recipients<'t>(transaction: &'t Transaction, form: &Form) -> Vec<&'t Recipient> {
    form.recipients.iter().filter_map(|index| transaction.envelope.recipients.get(*index)).collect()
}

/// What a retried submission has in common with the first attempt: everything but the trace
/// fields that the hops before us may have added anew.
fn content_digest(transaction: &Transaction) -> std::io::Result<[u8; 32]> {
    let message: &Message = &transaction.message;
    let mut hash = Hashing::default();
    for field in message.header().fields() {
        if !field.is("Received") && !field.is("Return-Path") {
            hash.write_all(field.raw())?;
        }
    }
    message.body().write_to(&mut hash)?;
    Ok(hash.digest())
}

fn idempotency(content: &[u8; 32], transaction: &Transaction, recipients: &[&Recipient]) -> String {
    let mut addresses: Vec<&str> = recipients.iter().map(|r| r.address.as_str()).collect();
    addresses.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(content);
    hash.update(transaction.envelope.reverse_path.as_bytes());
    for address in addresses {
        hash.update([0]);
        hash.update(address.as_bytes());
    }
    hex(&hash.finalize())
}
