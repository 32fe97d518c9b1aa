//! What we write to senders: when the MTA refuses a copy for good, a delivery status notification
//! (RFC 3462, RFC 3464); when a password was made for a message, the password.

use keylog::ledger::OwnChange;
use mail::Message;

use crate::discovery::Hold;
use crate::password::Password;
use crate::spool::{Copy, Ticket};
use crate::transaction::{Transaction, address_of_path, new_id};

/// Builds the notice about the refused recipients (forward-path, reply) of a copy.
///
/// It returns the header of the copy only: for sealed mail the outer one, so that a bounce never
/// carries in clear what was sealed.
pub fn undeliverable(copy: &Copy, refused: &[(String, String)], name: &str, now: i64) -> Copy {
    let id = new_id();
    let boundary = format!("gatepost-{id}");
    let mut lines = Vec::new();
    let mut status = String::new();
    for (path, reply) in refused {
        let address = address_of_path(path);
        lines.push(format!("  {address}: {reply}"));
        let code = enhanced_code(reply);
        status.push_str(&format!(
            "\r\nFinal-Recipient: rfc822; {address}\r\nAction: failed\r\nStatus: {code}\r\nDiagnostic-Code: smtp; {reply}\r\n"
        ));
    }
    let header = String::from_utf8_lossy(copy.message.header().as_bytes()).into_owned();
    let text = format!(
        "From: Mail gateway <MAILER-DAEMON@{name}>\r\n\
         To: <{sender}>\r\n\
         Subject: Undelivered mail returned to sender\r\n\
         Date: {date}\r\n\
         Message-ID: <{id}@{name}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
         \r\n\
         --{boundary}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         \r\n\
         This is the mail gateway at {name}. Your message could not be delivered to:\r\n\
         \r\n\
         {list}\r\n\
         \r\n\
         --{boundary}\r\n\
         Content-Type: message/delivery-status\r\n\
         \r\n\
         Reporting-MTA: dns; {name}\r\n\
         {status}\r\n\
         --{boundary}\r\n\
         Content-Type: text/rfc822-headers\r\n\
         \r\n\
         {header}\r\n\
         --{boundary}--\r\n",
        sender = copy.ticket.reverse_path,
        date = date(now),
        list = lines.join("\r\n"),
    );
    Copy {
        ticket: Ticket {
            idempotency: id.clone(),
            id,
            reverse_path: String::new(),
            parameters: Vec::new(),
            recipients: vec![(format!("<{}>", copy.ticket.reverse_path), Vec::new())],
            hold: None,
            notice: true,
            created: now,
            ..copy.ticket.clone()
        },
        message: Message::parse(text.as_bytes()),
    }
}

/// Tells a sender the password that was made for its message. It goes to the sender only, over the MTA's own
/// re-injection listener.
pub fn password_receipt(
    transaction: &Transaction,
    recipients: &[&str],
    password: &Password,
    name: &str,
    now: i64,
) -> Copy {
    let sender = &transaction.envelope.reverse_path;
    let subject: String =
        transaction.message.subject().chars().filter(|c| !c.is_control()).take(120).collect();
    let text = format!(
        "Your message\r\n\
         \r\n\
         \u{20} {subject}\r\n\
         \r\n\
         was encrypted with a password, because there is no key for\r\n\
         \r\n\
         \u{20} {to}\r\n\
         \r\n\
         The password is\r\n\
         \r\n\
         \u{20} {password}\r\n\
         \r\n\
         Tell it to them by telephone or another way, not by mail.\r\n",
        to = recipients.join("\r\n  "),
        password = password.reveal(),
    );
    let mut copy = plain("The password of your message", &text, sender, name, now);
    copy.ticket.transaction.clone_from(&transaction.id);
    copy.ticket.queue_id = transaction.log_id().to_owned();
    copy
}

/// Tells the administrator of a certificate that is not used until somebody approves it.
pub fn held(hold: &Hold, to: &str, name: &str, now: i64) -> Copy {
    let before = match &hold.old {
        Some(old) => format!("Until now this one was used:\r\n\r\n\u{20} {old}"),
        None => "None was used before.".to_owned(),
    };
    let text = format!(
        "For {subject} there is a certificate that is not used yet:\r\n\
         \r\n\
         \u{20} {new} ({origin})\r\n\
         \r\n\
         {why}\r\n\
         \r\n\
         {before}\r\n\
         \r\n\
         Ask its holder for the fingerprint, by telephone or another way, not by mail. If it is the same:\r\n\
         \r\n\
         \u{20} gatepost keys trust {new} accepted\r\n",
        subject = hold.subject,
        new = hold.new,
        origin = hold.origin,
        why = hold.why,
    );
    plain("A certificate waits for your approval", &text, to, name, now)
}

/// Tells the administrator of entries in the key log that we did not make.
pub fn strange_log(what: &[String], to: &str, name: &str, now: i64) -> Copy {
    let text = format!(
        "The key log of this gateway holds what the gateway did not write:\r\n\
         \r\n\
         \u{20} {}\r\n\
         \r\n\
         Somebody else signs with the key of the log, or has changed its files. Users may be shown keys that are not\r\n\
         theirs. Find out who before you do anything else; the log keeps the proof.\r\n",
        what.join("\r\n  ")
    );
    plain("ALARM: the key log", &text, to, name, now)
}

/// Tells a user that other keys are published for him than before.
pub fn keys_changed(change: &OwnChange, name: &str, now: i64) -> Copy {
    let list = |names: &str| match names {
        "" => "(none)".to_owned(),
        names => names.replace('\n', "\r\n  "),
    };
    let text = format!(
        "For your address {} other keys are published than before. Until now:\r\n\
         \r\n\
         \u{20} {}\r\n\
         \r\n\
         From now on:\r\n\
         \r\n\
         \u{20} {}\r\n\
         \r\n\
         Strangers encrypt to them what they write to you. If you do not know why they changed, ask your\r\n\
         administrator, and not by answering this mail.\r\n",
        change.mailbox,
        list(&change.before),
        list(&change.names),
    );
    plain("Your published keys have changed", &text, &change.mailbox, name, now)
}

/// A notice of some lines of text.
fn plain(subject: &str, text: &str, to: &str, name: &str, now: i64) -> Copy {
    let id = new_id();
    let text = format!(
        "From: Mail gateway <MAILER-DAEMON@{name}>\r\n\
         To: <{to}>\r\n\
         Subject: {subject}\r\n\
         Date: {date}\r\n\
         Message-ID: <{id}@{name}>\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\
         \r\n\
         {text}",
        date = date(now),
    );
    Copy {
        ticket: Ticket {
            idempotency: id.clone(),
            transaction: id.clone(),
            queue_id: "NOQUEUE".to_owned(),
            id,
            reverse_path: String::new(),
            parameters: Vec::new(),
            recipients: vec![(format!("<{to}>"), Vec::new())],
            hold: None,
            notice: true,
            created: now,
        },
        message: Message::parse(text.as_bytes()),
    }
}

/// The RFC 3463 code in a reply, else the class of the reply code.
fn enhanced_code(reply: &str) -> String {
    let word = reply.split_whitespace().nth(1).unwrap_or_default();
    let is_code = word.split('.').count() == 3 && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if is_code { word.to_owned() } else { format!("{}.0.0", reply.get(..1).unwrap_or("5")) }
}

/// A date as RFC 5322 section 3.3 writes it, in UTC.
pub fn date(now: i64) -> String {
    jiff::Timestamp::from_second(now)
        .map(|time| time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_recipient_and_reason_and_holds_no_body() {
        let copy = Copy {
            ticket: Ticket {
                id: "a".to_owned(),
                transaction: "t".to_owned(),
                queue_id: "Q".to_owned(),
                reverse_path: "alice@alpha.example".to_owned(),
                parameters: vec!["RET=FULL".to_owned()],
                recipients: vec![("<bob@beta.example>".to_owned(), vec![])],
                idempotency: "x".to_owned(),
                hold: None,
                notice: false,
                created: 0,
            },
            message: Message::parse(b"Subject: hello\r\n\r\nMARKER\r\n"),
        };
        let refused = [("<bob@beta.example>".to_owned(), "550 5.1.1 no such user".to_owned())];
        let notice = undeliverable(&copy, &refused, "mx.alpha.example", 1_700_000_000);
        let text = String::from_utf8(notice.message.to_vec().unwrap()).unwrap();
        assert!(text.contains("Status: 5.1.1\r\n"), "{text}");
        assert!(text.contains("bob@beta.example: 550 5.1.1 no such user"), "{text}");
        assert!(text.contains("Date: Tue, 14 Nov 2023 22:13:20 +0000"), "{text}");
        assert!(!text.contains("MARKER"));
        assert_eq!(notice.ticket.reverse_path, "");
        assert_eq!(notice.ticket.recipients[0].0, "<alice@alpha.example>");
        assert!(notice.ticket.notice);
    }
}
