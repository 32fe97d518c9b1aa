//! The envelope of one message, as Postfix hands it over and the next host gets it.

use std::fmt::Write;

/// Sender and options of one message (RFC 5321 section 4.1.1.2 and its extensions).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Reverse-path without brackets; empty for bounces.
    pub reverse_path: String,
    /// The client said SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// The client, or the message in its place, said REQUIRETLS (RFC 8689), see [`Letter::requires_tls`].
    ///
    /// [`Letter::requires_tls`]: super::Letter::requires_tls
    pub require_tls: bool,
    /// `FULL` or `HDRS` (RFC 3461 section 4.3).
    pub ret: Option<String>,
    /// As given, xtext (RFC 3461 section 4.4).
    pub envid: Option<String>,
}

/// One recipient and its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// Forward-path without brackets.
    pub address: String,
    /// `NEVER`, or some of `SUCCESS,FAILURE,DELAY` (RFC 3461 section 4.1).
    pub notify: Option<String>,
    /// As given, `type;xtext` (RFC 3461 section 4.2).
    pub orcpt: Option<String>,
}

impl Envelope {
    /// The message is a notification that nobody may be notified about.
    pub(super) fn is_bounce(&self) -> bool {
        self.reverse_path.is_empty()
    }

    /// The MAIL command for a host, with the parameters that it and the message know.
    pub(super) fn mail_command(&self, options: MailOptions) -> String {
        let mut command = format!("MAIL FROM:<{}>", self.reverse_path);
        // Writing to a String cannot fail.
        if let Some(size) = options.size {
            let _ = write!(command, " SIZE={size}");
        }
        if options.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        if options.smtputf8 {
            command.push_str(" SMTPUTF8");
        }
        if options.require_tls {
            command.push_str(" REQUIRETLS");
        }
        if options.dsn {
            // A bounce of a message with REQUIRETLS returns the header alone (RFC 8689 section 5).
            let ret = self.ret.as_deref().map(|ret| if options.require_tls { "HDRS" } else { ret });
            for (name, value) in [("RET", ret), ("ENVID", self.envid.as_deref())] {
                if let Some(value) = value {
                    let _ = write!(command, " {name}={value}");
                }
            }
        }
        command.push_str("\r\n");
        command
    }
}

impl Recipient {
    /// The RCPT command.
    pub(super) fn rcpt_command(&self, dsn: bool) -> String {
        let mut command = format!("RCPT TO:<{}>", self.address);
        if dsn {
            for (name, value) in [("NOTIFY", &self.notify), ("ORCPT", &self.orcpt)] {
                if let Some(value) = value {
                    let _ = write!(command, " {name}={value}");
                }
            }
        }
        command.push_str("\r\n");
        command
    }
}

/// Parameters of one MAIL command.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MailOptions {
    pub(super) size: Option<u64>,
    pub(super) eight_bit: bool,
    pub(super) smtputf8: bool,
    pub(super) require_tls: bool,
    pub(super) dsn: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demand_for_tls_leaves_no_wish_for_the_whole_message_back() {
        let ret = |ret: Option<&str>, require_tls| {
            let envelope = Envelope { ret: ret.map(str::to_owned), require_tls, ..Envelope::default() };
            envelope.mail_command(MailOptions { require_tls, dsn: true, ..MailOptions::default() })
        };
        assert_eq!(ret(Some("FULL"), true), "MAIL FROM:<> REQUIRETLS RET=HDRS\r\n");
        assert_eq!(ret(Some("FULL"), false), "MAIL FROM:<> RET=FULL\r\n");
        assert_eq!(ret(None, true), "MAIL FROM:<> REQUIRETLS\r\n");
    }
}
