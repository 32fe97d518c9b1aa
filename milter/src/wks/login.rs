//! Whether a login may speak for an address.

use keydir::Subject;
use net::dns::a_labels;

/// Whether somebody who logged in by this name is the holder of the mailbox.
///
/// He is if the name is the address, whatever the case; or its local part, where we have one domain only, so that no
/// name means two mailboxes. The MTA may have compared the login with the reverse-path (`smtpd_sender_login_maps` in
/// Postfix), but From is what counts here; so this is decided anew, and who logged in under another name answers the
/// challenge as a stranger does.
pub fn speaks_for(login: &str, address: &Subject, domains: &[String]) -> bool {
    if login.contains('@') {
        return Subject::address(login).is_some_and(|login| login.same(address));
    }
    let ([only], Subject::Address(text)) = (domains, address) else { return false };
    let (Some((local, domain)), Ok(only)) = (text.rsplit_once('@'), a_labels(only)) else { return false };
    domain == only && login.eq_ignore_ascii_case(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_speaks_for_its_own_mailbox_only() {
        let one = ["alpha.example".to_owned()];
        let two = ["alpha.example".to_owned(), "beta.example".to_owned()];
        let umlaut = ["München.example".to_owned()];
        for (login, address, domains, speaks) in [
            ("alice@alpha.example", "alice@alpha.example", &one[..], true),
            ("Alice@Alpha.Example", "alice@alpha.example", &one, true),
            ("alice", "alice@alpha.example", &one, true),
            ("ALICE", "alice@alpha.example", &one, true),
            ("alice@alpha.example", "alice@alpha.example", &two, true),
            ("jo@münchen.example", "jo@xn--mnchen-3ya.example", &umlaut, true),
            ("jo", "jo@xn--mnchen-3ya.example", &umlaut, true),
            // A name without a domain means two mailboxes.
            ("alice", "alice@alpha.example", &two, false),
            ("alice", "alice@beta.example", &one, false),
            ("bob", "alice@alpha.example", &one, false),
            ("alice@beta.example", "alice@alpha.example", &two, false),
            ("alice+x", "alice@alpha.example", &one, false),
            ("", "alice@alpha.example", &one, false),
            ("@alpha.example", "alice@alpha.example", &one, false),
            ("alice@", "alice@alpha.example", &one, false),
            ("alice ", "alice@alpha.example", &one, false),
            ("alice@alpha.example, bob@alpha.example", "alice@alpha.example", &one, false),
            ("alice", "alice@alpha.example", &[], false),
        ] {
            let subject = Subject::address(address).unwrap();
            assert_eq!(speaks_for(login, &subject, domains), speaks, "{login} for {address} of {domains:?}");
        }
    }

    #[test]
    fn a_login_speaks_for_no_domain() {
        let domain = Subject::domain("alpha.example").unwrap();
        assert!(!speaks_for("alpha.example", &domain, &["alpha.example".to_owned()]));
    }
}
