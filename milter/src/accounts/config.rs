//! The `[accounts]` section: where accounts come from, and what they get.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use keydir::Profile;
use ldap3::Scope;
use policy::Section;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::{absolute, host_name};

/// Seconds between two looks of the daemon at the source.
const WATCH: i64 = 15;
/// Percent of the accounts that a source may lose at once.
const MAX_LOSS: u8 = 20;

/// The `[accounts]` section.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountsConfig {
    /// The source of truth.
    pub source: Source,
    /// The domain of names without one.
    pub domain: Option<String>,
    /// What each account gets.
    pub profile: UserProfile,
    /// Percent of the accounts that the source may lose at once.
    pub max_loss: u8,
    /// How often the daemon looks; `None`: never.
    pub watch: Option<Duration>,
}

/// Where accounts come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A file of addresses.
    File(PathBuf),
    /// An LDAP directory.
    Ldap(Box<Directory>),
    /// A map that `postmap -s` lists: `hash:/etc/postfix/virtual`.
    Map(String),
    /// The text from which postmap makes a map.
    Text(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Ldap(directory) => f.write_str(directory.url.as_str()),
            Self::Map(map) => write!(f, "postmap:{map}"),
            Self::Text(path) => write!(f, "postfix:{}", path.display()),
        }
    }
}

/// An LDAP directory, and how its entries are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Directory {
    /// `ldap://host/base?attributes?scope?filter` (RFC 4516).
    pub url: Url,
    /// Where the search begins.
    pub base: String,
    /// How deep it goes.
    pub scope: Scope,
    /// Which entries are accounts.
    pub filter: String,
    /// The attributes whose values are mailboxes.
    pub addresses: Vec<String>,
    /// The attribute with the name of the person.
    pub name: String,
    /// The attribute that stays the same when the account is renamed.
    pub id: String,
    /// Which of the entries are disabled.
    pub disabled: Option<String>,
    /// Which of the entries have keys in wrong hands.
    pub compromised: Option<String>,
    /// Whether TLS begins on the connection (RFC 4513 section 3).
    pub starttls: bool,
    /// Trust anchors for TLS, PEM; the system's if not set.
    pub ca_file: Option<PathBuf>,
    /// Who we are there; anonymous if not set.
    pub bind: Option<(String, PathBuf)>,
}

/// What a user gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserProfile {
    /// One certificate for signatures and encryption.
    #[default]
    User,
    /// One for signatures and one for encryption.
    Separate,
}

impl UserProfile {
    /// The certificates that an account has.
    pub fn profiles(self) -> &'static [Profile] {
        match self {
            Self::User => &[Profile::User],
            Self::Separate => &[Profile::UserSign, Profile::UserEncrypt],
        }
    }
}

impl AccountsConfig {
    /// Takes the section. `None` if it is not there or has mistakes, which the section then holds.
    pub fn take(section: &mut Section) -> Option<Self> {
        if !section.is_present() {
            return None;
        }
        let source = section.take_parsed("source", source);
        let domain = section.take_parsed("domain", host_name).map(|domain| domain.value);
        let profiles = [("user", UserProfile::User), ("separate", UserProfile::Separate)];
        let profile = section.take_choice("profile", &profiles).map(|profile| profile.value);
        let max_loss = section.take_parsed("max_loss", percent).map(|share| share.value);
        let watch = section.take_integer("watch_seconds", 0, 86_400).map_or(WATCH, |seconds| seconds.value);
        let ldap = take_ldap(section);
        let Some(source) = source else {
            if !section.has("source") {
                section.missing("source");
            }
            return None;
        };
        let at = source.at;
        let source = match (source.value, ldap) {
            (Source::Ldap(directory), ldap) => match ldap.applied(*directory) {
                Ok(directory) => Source::Ldap(Box::new(directory)),
                Err(message) => {
                    section.reject(at, "source", message);
                    return None;
                }
            },
            (_, ldap) if ldap != LdapKeys::default() => {
                section.reject(
                    at,
                    "source",
                    "only an LDAP source has bind_dn, starttls, filters and attributes",
                );
                return None;
            }
            (other, _) => other,
        };
        Some(Self {
            source,
            domain,
            profile: profile.unwrap_or_default(),
            max_loss: max_loss.unwrap_or(MAX_LOSS),
            watch: (watch > 0).then(|| Duration::from_secs(watch.unsigned_abs())),
        })
    }
}

/// The keys that only LDAP has.
#[derive(Debug, Default, PartialEq, Eq)]
struct LdapKeys {
    bind_dn: Option<String>,
    password_file: Option<PathBuf>,
    starttls: Option<bool>,
    ca_file: Option<PathBuf>,
    name: Option<String>,
    id: Option<String>,
    disabled: Option<String>,
    compromised: Option<String>,
}

fn take_ldap(section: &mut Section) -> LdapKeys {
    LdapKeys {
        bind_dn: section.take_parsed("bind_dn", not_empty).map(|v| v.value),
        password_file: section.take_parsed("password_file", absolute).map(|v| v.value),
        starttls: section.take_boolean("starttls").map(|v| v.value),
        ca_file: section.take_parsed("ca_file", absolute).map(|v| v.value),
        name: section.take_parsed("name_attribute", attribute).map(|v| v.value),
        id: section.take_parsed("id_attribute", attribute).map(|v| v.value),
        disabled: section.take_parsed("disabled_filter", filter).map(|v| v.value),
        compromised: section.take_parsed("compromised_filter", filter).map(|v| v.value),
    }
}

impl LdapKeys {
    fn applied(self, mut directory: Directory) -> Result<Directory, String> {
        directory.bind = match (self.bind_dn, self.password_file) {
            (Some(dn), Some(file)) => Some((dn, file)),
            (None, None) => None,
            _ => return Err("`bind_dn` and `password_file` belong together".to_owned()),
        };
        let plain = directory.url.scheme() == "ldap";
        let near = is_loopback(&directory.url);
        directory.starttls = plain && self.starttls.unwrap_or(!near);
        if plain && !directory.starttls && !near {
            return Err(
                "without TLS anybody on the way could say who has an account: use ldaps:// or starttls"
                    .to_owned(),
            );
        }
        directory.ca_file = self.ca_file;
        directory.name = self.name.unwrap_or(directory.name);
        directory.id = self.id.unwrap_or(directory.id);
        directory.disabled = self.disabled;
        directory.compromised = self.compromised;
        Ok(directory)
    }
}

fn source(text: &str) -> Result<Source, String> {
    let known = "use file:/path, postfix:/path, postmap:type:/path, ldap://host/base or ldaps://host/base";
    let Some((kind, rest)) = text.split_once(':') else { return Err(known.to_owned()) };
    match kind {
        "file" => absolute(rest).map(Source::File),
        "postfix" => absolute(rest).map(Source::Text),
        "postmap" => match rest.split_once(':') {
            Some((kind, path)) if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                absolute(path)?;
                Ok(Source::Map(rest.to_owned()))
            }
            _ => Err("`postmap:` needs type and path: postmap:hash:/etc/postfix/virtual".to_owned()),
        },
        "ldap" | "ldaps" => directory(text).map(|directory| Source::Ldap(Box::new(directory))),
        _ => Err(known.to_owned()),
    }
}

fn directory(text: &str) -> Result<Directory, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("`{text}` names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("write the name into bind_dn and the password into password_file".to_owned());
    }
    let parameters = ldap3::get_url_params(&url).map_err(|error| format!("`{text}`: {error}"))?;
    let addresses: Vec<String> =
        parameters.attrs.iter().filter(|name| **name != "*").map(|name| (*name).to_owned()).collect();
    for name in &addresses {
        attribute(name)?;
    }
    let wanted = filter(&parameters.filter)?;
    let (base, scope) = (parameters.base.clone().into_owned(), parameters.scope);
    Ok(Directory {
        base,
        scope,
        filter: wanted,
        addresses: if addresses.is_empty() { vec!["mail".to_owned()] } else { addresses },
        name: "cn".to_owned(),
        id: "entryUUID".to_owned(),
        disabled: None,
        compromised: None,
        starttls: true,
        ca_file: None,
        bind: None,
        url,
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn filter(text: &str) -> Result<String, String> {
    // The brackets may be left out (RFC 4515 knows only filters with them).
    let bare = if text.starts_with('(') { text.to_owned() } else { format!("({text})") };
    match ldap3::parse_filter(&bare) {
        Ok(_) => Ok(bare),
        Err(_) => Err(format!("`{text}` is no LDAP filter such as (objectClass=person)")),
    }
}

fn attribute(text: &str) -> Result<String, String> {
    let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.;".contains(&b));
    if valid { Ok(text.to_owned()) } else { Err(format!("`{text}` is no attribute")) }
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse();
    number.ok().filter(|share| *share <= 100).ok_or_else(|| format!("`{text}` must be from 0% to 100%"))
}
