//! What a search finds.

use keydir::{PublicationError, Published, Scheme};

use crate::Directory;
use crate::hkp;

use super::CLASSES;
use super::message::{Search, entry};

/// Attributes with their values.
type Attributes<'a> = Vec<(&'a str, Vec<Vec<u8>>)>;

/// The entries that a search finds, each as a response: one, or none, whatever the reason.
///
/// # Errors
/// The publication cannot be read.
pub(super) async fn answer(
    directory: &Directory,
    id: i32,
    search: &Search,
    has_tls: bool,
) -> Result<Vec<Vec<u8>>, PublicationError> {
    if search.is_root {
        return Ok(vec![entry(id, "", &chosen(root(has_tls), search))]);
    }
    let named = search.filter.address().or(search.entry.as_deref());
    let asked = named.and_then(|address| match hkp::Search::mailbox(address) {
        Ok(hkp::Search::Mailbox(address)) => Some(address),
        _ => None,
    });
    // What is no question is looked up as well, and not found.
    let asked = asked.filter(|address| search.filter.matches(address) == Some(true)).unwrap_or_default();
    let (publication, address) = (directory.publication.clone(), asked.clone());
    let found = directory.read(move || publication.of_scheme(&address, Scheme::Smime)).await?;
    let entries =
        of_mailbox(&asked, &found).map(|(dn, attributes)| entry(id, &dn, &chosen(attributes, search)));
    Ok(entries.into_iter().collect())
}

fn of_mailbox<'a>(address: &str, found: &[Published]) -> Option<(String, Attributes<'a>)> {
    let certificates: Vec<Vec<u8>> = found.iter().map(|published| published.bytes.to_vec()).collect();
    let (_, domain) = address.rsplit_once('@').filter(|_| !certificates.is_empty())?;
    let domain: String =
        domain.trim_end_matches('.').split('.').map(|label| format!(",dc={}", escaped(label))).collect();
    let names = || vec![address.as_bytes().to_vec()];
    let classes = CLASSES.iter().map(|class| class.as_bytes().to_vec()).collect();
    let attributes = vec![
        ("objectClass", classes),
        ("cn", names()),
        ("sn", names()),
        ("mail", names()),
        // RFC 4523, 2.1: always as binary.
        ("userCertificate;binary", certificates),
    ];
    Some((format!("mail={}{domain}", escaped(address)), attributes))
}

fn root<'a>(has_tls: bool) -> Attributes<'a> {
    let mut attributes = vec![
        ("objectClass", vec![b"top".to_vec()]),
        ("supportedLDAPVersion", vec![b"3".to_vec()]),
        ("vendorName", vec![b"Gatepost".to_vec()]),
        ("namingContexts", vec![Vec::new()]),
    ];
    if has_tls {
        attributes.push(("supportedExtension", vec![b"1.3.6.1.4.1.1466.20037".to_vec()]));
    }
    attributes
}

/// Those that were asked for.
fn chosen<'a>(attributes: Attributes<'a>, search: &Search) -> Attributes<'a> {
    let all = search.attributes.is_empty() || search.attributes.iter().any(|name| name == "*" || name == "+");
    let is_wanted = |name: &str| {
        let name = name.split(';').next().unwrap_or_default();
        all || search.attributes.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let chosen = attributes.into_iter().filter(|(name, _)| is_wanted(name));
    chosen.map(|(name, values)| (name, if search.types_only { Vec::new() } else { values })).collect()
}

/// A value in a distinguished name (RFC 4514, 2.4).
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let is_edge = at == 0 || at + c.len_utf8() == value.len();
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', c]),
            ' ' | '#' if is_edge => text.extend(['\\', c]),
            '\0' => text.push_str("\\00"),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_do_not_leave_their_place_in_a_name() {
        assert_eq!(escaped("a+b,dc=x@c.example"), "a\\+b\\,dc\\=x@c.example");
        assert_eq!(escaped("#a#b "), "\\#a#b\\ ");
    }
}
