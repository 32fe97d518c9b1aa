//! Name constraints on mailboxes (RFC 5280, 4.2.1.10; RFC 9598, 6).
//!
//! OpenSSL checks the constraints too; this second look covers SmtpUTF8Mailbox whatever its version.

use x509_cert::ext::pkix::NameConstraints;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;

use super::Certificate;
use crate::identity;

/// Whether each address of the certificate is within the constraints of an authority above it.
///
/// # Errors
/// The address that is not.
pub(super) fn check(certificate: &Certificate, authority: &Certificate) -> Result<(), String> {
    let constraints = match authority.parsed().tbs.get::<NameConstraints>() {
        Ok(None) => return Ok(()),
        Ok(Some((_, constraints))) => constraints,
        Err(error) => return Err(format!("unreadable name constraints: {error}")),
    };
    let permitted = mailboxes(constraints.permitted_subtrees.as_deref());
    let excluded = mailboxes(constraints.excluded_subtrees.as_deref());
    for address in certificate.addresses() {
        let within = |subtrees: &[String]| subtrees.iter().any(|subtree| within(address, subtree));
        if within(&excluded) || !(permitted.is_empty() || within(&permitted)) {
            return Err(address.clone());
        }
    }
    Ok(())
}

fn mailboxes(subtrees: Option<&[GeneralSubtree]>) -> Vec<String> {
    let mailbox = |subtree: &GeneralSubtree| match &subtree.base {
        GeneralName::Rfc822Name(name) => Some(name.to_string()),
        _ => None,
    };
    subtrees.unwrap_or_default().iter().filter_map(mailbox).collect()
}

/// Whether an address lies in a subtree: a mailbox, a host, or with a leading dot all hosts below it.
fn within(address: &str, subtree: &str) -> bool {
    let Some((_, domain)) = address.split_once('@') else { return false };
    if let Some(above) = subtree.strip_prefix('.') {
        let above = identity::canonical_domain(above).unwrap_or_default();
        return !above.is_empty() && domain != above && super::names::covers(&above, domain);
    }
    match identity::split_address(subtree) {
        Some((local, host)) => address.eq_ignore_ascii_case(&format!("{local}@{host}")),
        None => identity::canonical_domain(subtree).is_some_and(|host| host == domain),
    }
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn hosts_domains_and_mailboxes_are_told_apart() {
        for (address, subtree, expected) in [
            ("a@x.example", "x.example", true),
            ("a@x.example", "X.Example", true),
            ("a@b.x.example", "x.example", false),
            ("a@b.x.example", ".x.example", true),
            ("a@x.example", ".x.example", false),
            ("a@evilx.example", ".x.example", false),
            ("a@evilx.example", "x.example", false),
            ("a@x.example", "a@x.example", true),
            ("b@x.example", "a@x.example", false),
            ("a@x.example.evil", "x.example", false),
            ("jörg@x.example", "x.example", true),
            ("a@x.example", "", false),
            ("a@x.example", ".", false),
        ] {
            assert_eq!(within(address, subtree), expected, "{address} in {subtree:?}");
        }
    }
}
