//! One mail transaction as the MTA told it, before anything is decided.

use std::net::IpAddr;

use mail::Message;

/// The MTA's `{daemon_name}` for the second pass of mail that leaves: what aliases and forwards
/// made of it since the first is judged there. Nobody originates there, and what the first pass
/// wrote stays.
pub const EGRESS: &str = "EGRESS";

/// What the connection and the session said, valid for every message of the session.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Address of the SMTP client; `None` over a unix socket or when the MTA did not say.
    pub ip: Option<IpAddr>,
    /// Host name the MTA found for the client.
    pub host: String,
    /// The HELO or EHLO argument, the last one if there were several.
    pub helo: Option<String>,
    /// The MTA's `{daemon_name}`: `ORIGINATING`, `INBOUND` and [`EGRESS`] say who the client is.
    pub daemon: Option<String>,
    /// TLS protocol version of the client's connection, e.g. `TLSv1.3`.
    pub tls_version: Option<String>,
    /// TLS cipher of the client's connection.
    pub tls_cipher: Option<String>,
    /// The MTA's name and version (`v`), e.g. `Postfix 3.10.5`; `None` if it did not say.
    pub mta: Option<String>,
}

impl Peer {
    /// Whether the MTA itself heeds `TLS-Required: No` (RFC 8689), which it then has read before we could take it out:
    /// Postfix does from 3.10 on. True if that cannot be told.
    pub fn mta_heeds_tls_required(&self) -> bool {
        let Some(mta) = &self.mta else { return false };
        // Sendmail says its version alone, and does not know the field.
        if mta.starts_with(|c: char| c.is_ascii_digit()) {
            return false;
        }
        let version = mta.strip_prefix("Postfix ").unwrap_or_default();
        let mut numbers = version.split(['.', '-', ' ']).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (3, 10),
            _ => true,
        }
    }
}

/// The envelope (RFC 5321) with the ESMTP parameters of each command.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// Reverse-path without angle brackets; empty for the null reverse-path.
    pub reverse_path: String,
    /// Parameters of MAIL, e.g. `BODY=8BITMIME`.
    pub parameters: Vec<String>,
    /// Recipients that were accepted, in order.
    pub recipients: Vec<Recipient>,
}

/// One accepted recipient.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Forward-path as the client gave it, with angle brackets: what deletes it again.
    pub path: String,
    /// The address in it, without brackets.
    pub address: String,
    /// Parameters of RCPT, e.g. `NOTIFY=NEVER`.
    pub parameters: Vec<String>,
}

/// Everything that is known of one message when the MTA asks for the verdict.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// UUIDv7 of this attempt; the notary's key to its story.
    pub id: String,
    /// The MTA's queue id, when it has one.
    pub queue_id: Option<String>,
    /// Who the client is.
    pub peer: Peer,
    /// SASL user name (`{auth_authen}`), present only when the client authenticated.
    pub authenticated: Option<String>,
    /// Authenticated, from a trusted network, or on a port declared ORIGINATING.
    pub originating: bool,
    /// Who sends to whom.
    pub envelope: Envelope,
    /// The message as received.
    pub message: Message,
    /// False when the body was not asked for because no rule can need it.
    pub body_seen: bool,
}

impl Transaction {
    /// The queue id for log lines; `NOQUEUE` before the MTA has given one, as Postfix logs it.
    pub fn log_id(&self) -> &str {
        self.queue_id.as_deref().unwrap_or("NOQUEUE")
    }

    /// True when the message passed us before and is about to leave.
    pub fn is_second_pass(&self) -> bool {
        self.peer.daemon.as_deref() == Some(EGRESS)
    }

    /// The Message-ID without angle brackets.
    pub fn message_id(&self) -> Option<String> {
        let id = self.message.message_id()?;
        Some(id.trim().trim_start_matches('<').trim_end_matches('>').to_owned())
    }
}

/// A new transaction id: UUID version 7 (RFC 9562 section 5.7), so that ids sort by time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Address of a forward- or reverse-path argument: brackets removed, source route dropped
/// (RFC 5321 appendix C), domain in lower case. The local part keeps its case.
pub fn address_of_path(path: &str) -> String {
    let inner = path.trim();
    let inner = inner.strip_prefix('<').unwrap_or(inner);
    let inner = inner.strip_suffix('>').unwrap_or(inner);
    let inner = match inner.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, address)) => address,
        None => inner,
    };
    match inner.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
        None => inner.to_owned(),
    }
}

/// Domain of an address, in lower case; empty when there is none.
pub fn domain_of(address: &str) -> String {
    address.rsplit_once('@').map(|(_, domain)| domain.to_lowercase()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_addresses() {
        assert_eq!(address_of_path("<Alice@ALPHA.example>"), "Alice@alpha.example");
        assert_eq!(address_of_path("<>"), "");
        assert_eq!(address_of_path("<@relay.example:bob@beta.example>"), "bob@beta.example");
        assert_eq!(address_of_path("<\"a@b\"@beta.example>"), "\"a@b\"@beta.example");
        assert_eq!(address_of_path("postmaster"), "postmaster");
    }

    #[test]
    fn an_mta_that_may_heed_tls_required_is_known_by_its_version() {
        for (mta, heeds) in [
            ("Postfix 3.7.11", false),
            ("Postfix 3.9.1", false),
            ("Postfix 3.10.13", true),
            ("Postfix 3.11-20250101", true),
            ("Postfix 4.0", true),
            ("8.17.1.9/8.17.1.9/Debian-2", false),
            // Its administrator hides the version: who knows.
            ("Postfix", true),
            ("our mailer", true),
            ("", true),
        ] {
            let peer = Peer { mta: Some(mta.to_owned()), ..Peer::default() };
            assert_eq!(peer.mta_heeds_tls_required(), heeds, "{mta}");
        }
        assert!(!Peer::default().mta_heeds_tls_required(), "no MTA at all, as in `gatepost filter`");
    }
}
