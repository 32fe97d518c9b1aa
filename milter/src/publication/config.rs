//! The `[keydir]` section: what the gateway publishes, and where it puts it for the sidecar.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use keydir::Subject;
use keydir::{PublicationRules, Who};
use mail::Address;
use policy::{Located, Section};
use tlog::key::VerifierKey;

use super::cosigning::config::Witnesses;
use super::witness;
use crate::config::{GatewayConfig, absolute, host_name};

/// Most bytes of the file of aliases.
const ALIASES_LIMIT: u64 = 64 << 20;

/// The `[keydir]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeydirConfig {
    /// The directory that the sidecar reads.
    pub publication: PathBuf,
    /// Publish OpenPGP certificates.
    pub openpgp: bool,
    /// Publish S/MIME certificates.
    pub smime: bool,
    /// Publish also what users gave to the gateway and the administrator checked.
    pub verified: bool,
    /// As Postfix's recipient_delimiter.
    pub recipient_delimiter: Option<String>,
    /// Aliases and their mailboxes, as the text of a Postfix virtual map.
    pub aliases: Option<PathBuf>,
    /// Tell whose an alias is, where its certificate does not name it.
    pub link_aliases: bool,
    /// Domains whose own key is published for addresses without one.
    pub catch_all: Vec<String>,
    /// Where users send their keys.
    pub submission_address: Option<String>,
    /// The domains' own OpenPGP keys certify those of their users.
    pub endorse: bool,
    /// Every change goes into the key log first.
    pub log: bool,
    /// Who cosigns the key log.
    pub witnesses: Option<Witnesses>,
    /// The keys of partners' logs that we cosign.
    pub witness_for: Vec<VerifierKey>,
    /// Mail that leaves has its author's certificate in an `Autocrypt` field.
    pub autocrypt: bool,
    /// Users are told when keys that are published for them change.
    pub notify_users: bool,
    /// Who is told when the key log holds what we did not write.
    pub tell: Option<Address>,
}

impl KeydirConfig {
    /// Takes the section. `None` when a key is wrong or missing; the section then holds the mistake.
    pub fn take(section: &mut Section, gateway: Option<&GatewayConfig>) -> Option<Self> {
        let before = section.mistakes();
        if !section.has("publication") {
            section.missing("publication");
        }
        let publication = section.take_parsed("publication", absolute).map(value);
        let config = Self {
            publication: publication.unwrap_or_default(),
            openpgp: section.take_boolean("openpgp").is_none_or(value),
            smime: section.take_boolean("smime").is_none_or(value),
            verified: section.take_boolean("verified").is_some_and(value),
            recipient_delimiter: section.take_parsed("recipient_delimiter", delimiter).map(value),
            aliases: section.take_parsed("aliases", absolute).map(value),
            link_aliases: section.take_boolean("link_aliases").is_some_and(value),
            catch_all: take_catch_all(section, gateway),
            submission_address: take_submission_address(section, gateway),
            endorse: section.take_boolean("endorse").is_none_or(value),
            log: section.take_boolean("log").is_none_or(value),
            witnesses: Witnesses::take(section),
            witness_for: witness::take(section),
            autocrypt: section.take_boolean("autocrypt").is_some_and(value),
            notify_users: section.take_boolean("notify_users").is_some_and(value),
            tell: section.take_parsed("tell", mail_address).map(value),
        };
        (section.mistakes() == before).then_some(config)
    }

    /// The rules by which certificates of these domains are published.
    ///
    /// # Errors
    /// In words: the file of aliases cannot be read.
    pub fn rules(&self, domains: &[String]) -> Result<PublicationRules, String> {
        let aliases = match &self.aliases {
            Some(path) => read_aliases(path, domains)?,
            None => BTreeMap::new(),
        };
        Ok(PublicationRules {
            domains: domains.iter().cloned().collect(),
            recipient_delimiter: self.recipient_delimiter.clone(),
            aliases,
            link_aliases: self.link_aliases,
            catch_all: self.catch_all.iter().map(|domain| (domain.clone(), true)).collect(),
            submission_address: self.submission_address.clone(),
            wkd_policy: match self.submission_address {
                // Whoever is logged in need not answer a challenge.
                Some(_) => vec!["auth-submit".to_owned()],
                None => Vec::new(),
            },
            smime: self.smime,
            openpgp: self.openpgp,
            who: if self.verified { Who::OwnAndVerified } else { Who::Own },
            ..PublicationRules::default()
        })
    }
}

fn mail_address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| format!("`{text}`: {error}"))
}

fn take_catch_all(section: &mut Section, gateway: Option<&GatewayConfig>) -> Vec<String> {
    let mut domains = Vec::new();
    for domain in section.take_parsed_list("catch_all", host_name).unwrap_or_default() {
        if gateway.is_some_and(|gateway| !gateway.is_own(&domain.value)) {
            let message = format!("{} is not among the `domains` of [gateway]", domain.value);
            section.reject(domain.at, "catch_all", message);
        }
        domains.push(domain.value);
    }
    domains
}

fn take_submission_address(section: &mut Section, gateway: Option<&GatewayConfig>) -> Option<String> {
    let located = section.take_parsed("submission_address", |text| match Subject::address(text) {
        Some(Subject::Address(address)) => Ok(address),
        _ => Err(format!("`{text}` is not an address")),
    })?;
    let domain = located.value.rsplit('@').next().unwrap_or_default();
    if gateway.is_some_and(|gateway| !gateway.is_own(domain)) {
        let message = format!("{domain} is not among the `domains` of [gateway]");
        section.reject(located.at, "submission_address", message);
    }
    if gateway.is_some_and(|gateway| gateway.reinject.is_none()) {
        let message = "answers need the `reinject` listener of [gateway]".to_owned();
        section.reject(located.at, "submission_address", message);
    }
    Some(located.value)
}

/// Aliases with exactly one mailbox behind them, both ours: `alias mailbox` in each line, as in virtual(5). Lines with
/// several mailboxes are groups, which have no key of one user.
fn read_aliases(path: &Path, domains: &[String]) -> Result<BTreeMap<String, String>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let about = fs::metadata(path).map_err(unreadable)?;
    if about.len() > ALIASES_LIMIT {
        return Err(format!("{} is larger than {ALIASES_LIMIT} bytes", path.display()));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(aliases_in(&text, domains))
}

fn aliases_in(text: &str, domains: &[String]) -> BTreeMap<String, String> {
    let own = |address: &str| {
        let (_, domain) = address.rsplit_once('@')?;
        domains.iter().any(|own| own.eq_ignore_ascii_case(domain)).then(|| address.to_owned())
    };
    let mut aliases = BTreeMap::new();
    // What begins with a blank continues the value above.
    let text = text.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let words: Vec<&str> = line.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
        if let [alias, mailbox] = words.as_slice()
            && !alias.starts_with('@')
            && let (Some(alias), Some(mailbox)) = (own(alias), own(mailbox))
            && !alias.eq_ignore_ascii_case(&mailbox)
        {
            aliases.insert(alias, mailbox);
        }
    }
    aliases
}

fn delimiter(text: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_punctuation() && c != '@' && c != '.';
    match !text.is_empty() && text.len() <= 8 && text.chars().all(valid) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not a set of delimiters such as \"+-\"")),
    }
}

fn value<T>(located: Located<T>) -> T {
    located.value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_aliases_with_one_mailbox_of_ours_count() {
        let domains = ["alpha.example".to_owned()];
        let text = "# virtual\n\
            alpha.example anything\n\
            sales@alpha.example alice@alpha.example\n\
            all@alpha.example alice@alpha.example, bob@alpha.example\n\
            out@alpha.example somebody@elsewhere.example\n\
            @alpha.example alice@alpha.example\n\
            long@alpha.example\n    bob@alpha.example\n\
            self@alpha.example SELF@alpha.example\n";
        let aliases = aliases_in(text, &domains);
        let expected =
            [("long@alpha.example", "bob@alpha.example"), ("sales@alpha.example", "alice@alpha.example")];
        assert!(aliases.iter().map(|(alias, mailbox)| (alias.as_str(), mailbox.as_str())).eq(expected));
    }

    #[test]
    fn delimiters_are_punctuation() {
        assert!(delimiter("+-").is_ok());
        for wrong in ["", "a", "@", ".", "+ "] {
            assert!(delimiter(wrong).is_err(), "{wrong:?}");
        }
    }
}
