//! What is to be published.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use openssl::sha::Sha256;
use sequoia_openpgp::Cert;

use super::PublicationError;
use crate::identity;
use crate::subject::Subject;

/// Most steps from an alias to its mailbox.
const MAX_STEPS: usize = 16;

/// Signs something onto a certificate that is about to be published for an address.
///
/// Gives the certificate with what was asked for, or `None` if the key for it is not there. Called from
/// several threads.
pub type AliasSigner =
    dyn Fn(&Cert, &str) -> Result<Option<Cert>, Box<dyn Error + Send + Sync>> + Send + Sync;

/// Whose certificates are published.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Who {
    /// Those that are ours ([`Trust::Own`](crate::Trust::Own)), and those that users submitted to be published and
    /// proved to be theirs ([`Origin::Submitted`](crate::Origin::Submitted)).
    #[default]
    Own,
    /// Also those whose holder the administrator checked ([`Trust::Verified`](crate::Trust::Verified)), unless
    /// they were found in mail.
    OwnAndVerified,
}

/// What is to be published.
#[derive(Clone, Default)]
pub struct PublicationRules {
    /// Our domains; A- or U-labels. Nothing else is published.
    pub domains: BTreeSet<String>,
    /// Characters that separate a mailbox from its sub-address, as Postfix's `recipient_delimiter`: `+-`.
    pub recipient_delimiter: Option<String>,
    /// Alias to mailbox, both as full addresses. An alias with certificates of its own keeps those.
    pub aliases: BTreeMap<String, String>,
    /// An alias that its certificate does not name is answered with the User IDs of the mailbox. Tells
    /// everybody who knows the alias whose it is, so it is off by default; the alias is then not published.
    pub link_aliases: bool,
    /// Addresses that are nobody's sub-address although they hold a delimiter, such as `anne-marie@`. Addresses
    /// that were published in their own right are remembered and need not be listed.
    pub whole: BTreeSet<String>,
    /// Domains whose own key is published for every address that has none.
    pub catch_all: BTreeMap<String, bool>,
    /// Where users send their keys (Web Key Directory update protocol).
    pub submission_address: Option<String>,
    /// Lines of the WKD policy file, such as `mailbox-only` or `auth-submit`.
    pub wkd_policy: Vec<String>,
    /// Publish S/MIME certificates.
    pub smime: bool,
    /// Publish OpenPGP certificates.
    pub openpgp: bool,
    /// Whose certificates.
    pub who: Who,
    /// Certificates of OpenPGP authorities whose valid certifications of a User ID stay.
    pub endorsers: Vec<Cert>,
    /// Certifies, with the key of one of `endorsers`, the User IDs of a certificate that has no such
    /// certification that is valid for another month.
    pub endorser: Option<Arc<AliasSigner>>,
    /// Which key log takes the changes. When that is another than it was, everything is given to it once more.
    pub log: Option<String>,
    /// Adds the User ID of an alias to a certificate whose secret half is in our custody.
    pub alias_signer: Option<Arc<AliasSigner>>,
}

impl fmt::Debug for PublicationRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicationRules")
            .field("domains", &self.domains)
            .field("aliases", &self.aliases.len())
            .field("who", &self.who)
            .finish_non_exhaustive()
    }
}

/// The rules with every name in its canonical form.
pub(super) struct Canonical<'a> {
    pub(super) rules: &'a PublicationRules,
    pub(super) domains: BTreeSet<String>,
    /// Alias to mailbox, as keys; no alias leads to another one.
    pub(super) aliases: BTreeMap<String, String>,
    /// The aliases of a mailbox.
    aliases_of: BTreeMap<String, Vec<String>>,
    pub(super) whole: BTreeSet<String>,
    pub(super) catch_all: BTreeSet<String>,
    /// The delimiters without doubles; empty if there are none.
    pub(super) delimiter: String,
    /// The text of the policy file.
    pub(super) policy: String,
}

impl<'a> Canonical<'a> {
    /// # Errors
    /// If a name is none, an alias is not of our domains, or aliases go in a circle.
    pub(super) fn new(rules: &'a PublicationRules) -> Result<Self, PublicationError> {
        let domain = |text: &String| {
            identity::canonical_domain(text)
                .ok_or_else(|| PublicationError::Rules(format!("{text:?} is no domain")))
        };
        let domains = rules.domains.iter().map(domain).collect::<Result<BTreeSet<_>, _>>()?;
        let catch_all = rules.catch_all.iter().filter(|(_, on)| **on).map(|(name, _)| domain(name));
        let catch_all = catch_all.collect::<Result<BTreeSet<_>, _>>()?;
        let direct = direct(rules, &domains)?;
        let mut aliases = BTreeMap::new();
        let mut aliases_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for alias in direct.keys() {
            let mailbox = follow(&direct, alias)?;
            aliases_of.entry(mailbox.to_owned()).or_default().push(alias.clone());
            aliases.insert(alias.clone(), mailbox.to_owned());
        }
        let delimiter = rules.recipient_delimiter.iter().flat_map(|set| set.chars());
        let delimiter = delimiter.collect::<BTreeSet<char>>().into_iter().collect();
        let policy = policy(rules)?;
        let whole = rules.whole.iter().map(|text| key(text)).collect::<Result<_, _>>()?;
        Ok(Self { rules, domains, aliases, aliases_of, whole, catch_all, delimiter, policy })
    }

    /// Whether a key (a mailbox, or `@domain`) is to be published if there is something to publish.
    pub(super) fn covers(&self, key: &str) -> bool {
        match key.split_once('@') {
            Some(("", domain)) => self.domains.contains(domain) && self.catch_all.contains(domain),
            Some((_, domain)) => self.domains.contains(domain),
            None => false,
        }
    }

    /// The aliases that lead to a mailbox.
    pub(super) fn aliases_of(&self, mailbox: &str) -> &[String] {
        self.aliases_of.get(mailbox).map_or(&[], Vec::as_slice)
    }

    /// Tells these rules from others; another `format` makes every mailbox be looked at again.
    pub(super) fn digest(&self, format: u32) -> [u8; 32] {
        let rules = self.rules;
        let endorsers: Vec<String> = rules.endorsers.iter().map(|cert| cert.fingerprint().to_hex()).collect();
        let text = format!(
            "{format} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            self.domains,
            self.aliases,
            self.whole,
            self.catch_all,
            self.delimiter,
            self.policy,
            (rules.link_aliases, rules.smime, rules.openpgp, rules.who),
            rules.submission_address,
            endorsers,
            (rules.endorser.is_some(), rules.alias_signer.is_some()),
        );
        let mut hash = Sha256::new();
        hash.update(text.as_bytes());
        hash.finish()
    }
}

/// The form under which a mailbox is stored and compared.
fn key(text: &str) -> Result<String, PublicationError> {
    let subject = Subject::address(text);
    subject
        .map(|subject| subject.key())
        .ok_or_else(|| PublicationError::Rules(format!("{text:?} is no address")))
}

/// The aliases as they are given, between canonical addresses of our domains. One that leads to itself is none.
fn direct(
    rules: &PublicationRules,
    domains: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, PublicationError> {
    let mut direct = BTreeMap::new();
    for (alias, mailbox) in &rules.aliases {
        let (alias, mailbox) = (key(alias)?, key(mailbox)?);
        let ours = |key: &str| key.split_once('@').is_some_and(|(_, domain)| domains.contains(domain));
        if !ours(&alias) {
            return Err(PublicationError::Rules(format!("the alias {alias} is not of our domains")));
        }
        // Mail that leaves the house is encrypted to whoever gets it there.
        if ours(&mailbox) && alias != mailbox {
            direct.insert(alias, mailbox);
        }
    }
    Ok(direct)
}

fn follow<'a>(direct: &'a BTreeMap<String, String>, alias: &'a str) -> Result<&'a str, PublicationError> {
    let mut at = alias;
    for _ in 0..MAX_STEPS {
        match direct.get(at) {
            Some(next) => at = next,
            None => return Ok(at),
        }
    }
    Err(PublicationError::Rules(format!("the alias {alias} goes in a circle or through too many others")))
}

/// The text of the policy file: one keyword a line (Web Key Directory draft, 4.5).
fn policy(rules: &PublicationRules) -> Result<String, PublicationError> {
    let mut text = String::new();
    for line in &rules.wkd_policy {
        if line.chars().any(identity::deceptive) {
            return Err(PublicationError::Rules(format!("the policy {line:?} is no line of text")));
        }
        text.push_str(line.trim());
        text.push('\n');
    }
    if let Some(address) = &rules.submission_address {
        Subject::address(address)
            .ok_or_else(|| PublicationError::Rules(format!("{address:?} is no address")))?;
        let said = rules.wkd_policy.iter().any(|line| line.trim().starts_with("submission-address"));
        if !said {
            text.push_str(&format!("submission-address: {address}\n"));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(aliases: &[(&str, &str)]) -> PublicationRules {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        PublicationRules {
            domains: ["Gate.Example.".to_owned(), "münchen.example".to_owned()].into(),
            aliases: aliases.iter().map(own).collect(),
            ..PublicationRules::default()
        }
    }

    #[test]
    fn names_are_put_into_their_canonical_form() {
        let mut given = rules(&[("Sales@GATE.example", "bob@gate.example")]);
        given.recipient_delimiter = Some("-+-".to_owned());
        let canonical = Canonical::new(&given).unwrap();
        assert!(canonical.covers("bob@xn--mnchen-3ya.example"));
        assert!(!canonical.covers("bob@beta.example"));
        assert!(!canonical.covers("@gate.example"), "no catch-all");
        assert_eq!(canonical.aliases_of("bob@gate.example"), ["sales@gate.example"]);
        assert_eq!(canonical.delimiter, "+-");
    }

    #[test]
    fn aliases_are_followed_to_the_end_and_circles_are_refused() {
        let chain = rules(&[("a@gate.example", "b@gate.example"), ("b@gate.example", "c@gate.example")]);
        let canonical = Canonical::new(&chain).unwrap();
        assert_eq!(canonical.aliases["a@gate.example"], "c@gate.example");
        let circle = rules(&[("a@gate.example", "b@gate.example"), ("b@gate.example", "a@gate.example")]);
        assert!(matches!(Canonical::new(&circle), Err(PublicationError::Rules(_))));
        let away = rules(&[("a@gate.example", "b@elsewhere.example")]);
        assert!(Canonical::new(&away).unwrap().aliases.is_empty());
        let foreign = rules(&[("a@elsewhere.example", "b@gate.example")]);
        assert!(Canonical::new(&foreign).is_err());
    }

    #[test]
    fn the_policy_is_lines_of_text() {
        let mut given = rules(&[]);
        given.wkd_policy = vec!["mailbox-only".to_owned()];
        given.submission_address = Some("keys@gate.example".to_owned());
        let canonical = Canonical::new(&given).unwrap();
        assert_eq!(canonical.policy, "mailbox-only\nsubmission-address: keys@gate.example\n");
        given.wkd_policy = vec!["a\nb".to_owned()];
        assert!(Canonical::new(&given).is_err());
    }
}
