//! Settings: what every scope of the configuration can say, and how scopes inherit.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::facts::Direction;
use crate::facts::KeyKind;
use crate::nearest::nearest;
use crate::pattern::DomainPattern;
use crate::pattern::comparable_address;
use crate::pattern::domain_of;
use crate::section::Section;
use crate::style::Style;
use crate::style::StyleChanges;

/// Whether outbound mail is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encrypt {
    /// Never by us.
    Never,
    /// When there is a usable key. A look-up that fails makes the mail wait.
    #[default]
    Opportunistic,
    /// Always; mail that cannot be encrypted is refused.
    Required,
}

impl Encrypt {
    /// Names and values, as in the configuration.
    pub const CHOICES: [(&'static str, Self); 3] =
        [("never", Self::Never), ("opportunistic", Self::Opportunistic), ("required", Self::Required)];
}

/// Whether outbound mail of our originators is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Never by us.
    #[default]
    Never,
    /// Always; mail that cannot be signed waits.
    Always,
}

impl Sign {
    /// Names and values, as in the configuration.
    pub const CHOICES: [(&'static str, Self); 2] = [("never", Self::Never), ("always", Self::Always)];
}

/// What to do with inbound mail whose protection failed, from lenient to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// Deliver it; the result field says what failed.
    #[default]
    Deliver,
    /// Deliver it with a warning that people see.
    Tag,
    /// Hold it for the administrator.
    Quarantine,
    /// Refuse it.
    Reject,
}

impl Reaction {
    /// Names and values, as in the configuration.
    pub const CHOICES: [(&'static str, Self); 4] = [
        ("deliver", Self::Deliver),
        ("tag", Self::Tag),
        ("reject", Self::Reject),
        ("quarantine", Self::Quarantine),
    ];
}

/// The key kinds that hold where `keys` is not set, in order.
pub(crate) const DEFAULT_KINDS: [KeyKind; 4] =
    [KeyKind::UserSmime, KeyKind::UserOpenpgp, KeyKind::DomainSmime, KeyKind::DomainOpenpgp];

/// Where the password of a password message comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordSource {
    /// Made for each message and told to its sender.
    #[default]
    Generated,
    /// The first line of this file: a secret shared with the partner.
    File(String),
}

impl PasswordSource {
    /// As in the configuration: `generated`, or `file:` and an absolute path.
    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file:") {
            _ if text == "generated" => Ok(Self::Generated),
            Some(path) if path.starts_with('/') => Ok(Self::File(path.to_owned())),
            _ => Err("must be \"generated\" or \"file:/path/to/the/secret\"".to_owned()),
        }
    }

    /// The name under which the record tells it; never the password.
    pub fn name(&self) -> String {
        match self {
            Self::Generated => "generated".to_owned(),
            Self::File(path) => format!("file:{path}"),
        }
    }
}

/// The key kinds that `keys` may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Available {
    /// There is a `[relay]` section, which can tell whether a road can be authenticated.
    relay: bool,
}

impl Available {
    /// Looks at the top level, from which nobody may have taken `relay` yet.
    pub(crate) fn of(root: &Section) -> Self {
        Self { relay: root.has("relay") }
    }

    fn kinds(self) -> impl Iterator<Item = KeyKind> {
        let road = self.relay.then_some(KeyKind::EnforcedTls);
        DEFAULT_KINDS.into_iter().chain(road).chain([KeyKind::PasswordMessage])
    }

    /// Why `keys` cannot name a kind that exists.
    fn objection(self, kind: KeyKind) -> Option<String> {
        let name = kind.name();
        match kind {
            _ if self.kinds().any(|known| known == kind) => None,
            KeyKind::EnforcedTls => Some(format!(
                "`keys`: `{name}` asks the relay which roads can be authenticated: add a [relay] section"
            )),
            _ => Some(format!("`keys`: `{name}` is not available; available are {}", self.list())),
        }
    }

    fn list(self) -> String {
        self.kinds().map(KeyKind::name).collect::<Vec<_>>().join(", ")
    }
}

/// What one scope says; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ScopeSettings {
    pub(crate) encrypt: Option<Encrypt>,
    pub(crate) sign: Option<Sign>,
    pub(crate) keys: Option<Vec<KeyKind>>,
    pub(crate) unverifiable: Option<Reaction>,
    pub(crate) undecryptable: Option<Reaction>,
    pub(crate) unauthenticated: Option<Reaction>,
    pub(crate) own_signatures: Option<Reaction>,
    pub(crate) open: Option<bool>,
    pub(crate) open_submissions: Option<bool>,
    pub(crate) at_rest: Option<Encrypt>,
    pub(crate) additional_keys: Option<Vec<String>>,
    pub(crate) disclaimer: Option<String>,
    pub(crate) password: Option<PasswordSource>,
    pub(crate) style: StyleChanges,
}

impl ScopeSettings {
    /// Takes the keys that every scope knows.
    pub(crate) fn take(section: &mut Section, available: Available) -> Self {
        Self {
            encrypt: section.take_choice("encrypt", &Encrypt::CHOICES).map(|v| v.value),
            sign: section.take_choice("sign", &Sign::CHOICES).map(|v| v.value),
            keys: take_kinds(section, available),
            unverifiable: section.take_choice("unverifiable", &Reaction::CHOICES).map(|v| v.value),
            undecryptable: section.take_choice("undecryptable", &Reaction::CHOICES).map(|v| v.value),
            unauthenticated: section.take_choice("unauthenticated", &Reaction::CHOICES).map(|v| v.value),
            own_signatures: section.take_choice("own_signatures", &Reaction::CHOICES).map(|v| v.value),
            open: section.take_boolean("open").map(|v| v.value),
            open_submissions: section.take_boolean("open_submissions").map(|v| v.value),
            at_rest: section.take_choice("at_rest", &Encrypt::CHOICES).map(|v| v.value),
            additional_keys: take_additional_keys(section),
            disclaimer: section.take_string("disclaimer").map(|v| v.value),
            password: section.take_parsed("password", PasswordSource::parse).map(|v| v.value),
            style: StyleChanges::take(section),
        }
    }
}

/// Takes `additional_keys`: addresses or domains, each once.
fn take_additional_keys(section: &mut Section) -> Option<Vec<String>> {
    let subject = |text: &str| match text.trim() {
        "" => Err("an empty text names nobody".to_owned()),
        text if text.contains(char::is_whitespace) => Err(format!("`{text}` is no address and no domain")),
        text => Ok(text.to_lowercase()),
    };
    let mut subjects: Vec<String> =
        section.take_parsed_list("additional_keys", subject)?.into_iter().map(|v| v.value).collect();
    subjects.sort();
    subjects.dedup();
    Some(subjects)
}

/// Takes `keys`: kinds in order of preference, each once, all available.
pub(crate) fn take_kinds(section: &mut Section, available: Available) -> Option<Vec<KeyKind>> {
    let at = section.position_of("keys");
    let before = section.mistakes();
    let texts = section.take_strings("keys")?;
    if let (true, true, Some(at)) = (texts.is_empty(), section.mistakes() == before, at) {
        section.reject(at, "keys", "`keys` must name at least one kind of key");
    }
    let mut kinds = Vec::new();
    for text in texts {
        let name = text.value.as_str();
        match KeyKind::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) if kinds.contains(&kind) => {
                section.reject(text.at, "keys", format!("`keys` names `{name}` twice"));
            }
            Some(kind) => match available.objection(kind) {
                None => kinds.push(kind),
                Some(objection) => section.reject(text.at, "keys", objection),
            },
            None => {
                let message = format!("`keys` cannot hold `{name}`; valid are {}", available.list());
                let near = nearest(name, available.kinds().map(KeyKind::name));
                section.reject_name(text.at, "keys", message, near);
            }
        }
    }
    Some(kinds)
}

/// A value and who said so, in words such as `partner beta.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    pub(crate) from: String,
}

impl<T: Clone> Sourced<T> {
    pub(crate) fn new(value: T, from: impl Into<String>) -> Self {
        Self { value, from: from.into() }
    }

    fn overlay(&mut self, value: Option<&T>, from: &str) {
        if let Some(value) = value {
            *self = Self::new(value.clone(), from);
        }
    }
}

impl<T: Ord> Sourced<T> {
    /// Keeps the stricter one; of equals the first.
    fn tighten(&mut self, other: Self) {
        if other.value > self.value {
            *self = other;
        }
    }
}

/// The settings for one recipient of one message, before rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inherited {
    pub(crate) encrypt: Sourced<Encrypt>,
    pub(crate) sign: Sourced<Sign>,
    pub(crate) keys: Sourced<Vec<KeyKind>>,
    pub(crate) unverifiable: Sourced<Reaction>,
    pub(crate) undecryptable: Sourced<Reaction>,
    pub(crate) unauthenticated: Sourced<Reaction>,
    pub(crate) own_signatures: Sourced<Reaction>,
    pub(crate) open: Sourced<bool>,
    pub(crate) open_submissions: Sourced<bool>,
    pub(crate) at_rest: Sourced<Encrypt>,
    pub(crate) additional_keys: Sourced<Vec<String>>,
    pub(crate) disclaimer: Option<String>,
    pub(crate) password: PasswordSource,
    pub(crate) style: Style,
}

impl Inherited {
    fn built_in() -> Self {
        const FROM: &str = "the built-in default";
        Self {
            encrypt: Sourced::new(Encrypt::default(), FROM),
            sign: Sourced::new(Sign::default(), FROM),
            keys: Sourced::new(DEFAULT_KINDS.to_vec(), FROM),
            unverifiable: Sourced::new(Reaction::default(), FROM),
            undecryptable: Sourced::new(Reaction::default(), FROM),
            unauthenticated: Sourced::new(Reaction::Tag, FROM),
            own_signatures: Sourced::new(Reaction::default(), FROM),
            open: Sourced::new(true, FROM),
            open_submissions: Sourced::new(true, FROM),
            at_rest: Sourced::new(Encrypt::Never, FROM),
            additional_keys: Sourced::new(Vec::new(), FROM),
            disclaimer: None,
            password: PasswordSource::default(),
            style: Style::default(),
        }
    }

    fn overlay(&mut self, scope: Option<&ScopeSettings>, from: &str) {
        let Some(scope) = scope else { return };
        self.encrypt.overlay(scope.encrypt.as_ref(), from);
        self.sign.overlay(scope.sign.as_ref(), from);
        self.keys.overlay(scope.keys.as_ref(), from);
        self.unverifiable.overlay(scope.unverifiable.as_ref(), from);
        self.undecryptable.overlay(scope.undecryptable.as_ref(), from);
        self.unauthenticated.overlay(scope.unauthenticated.as_ref(), from);
        self.own_signatures.overlay(scope.own_signatures.as_ref(), from);
        self.open.overlay(scope.open.as_ref(), from);
        self.open_submissions.overlay(scope.open_submissions.as_ref(), from);
        self.at_rest.overlay(scope.at_rest.as_ref(), from);
        self.additional_keys.overlay(scope.additional_keys.as_ref(), from);
        if let Some(disclaimer) = &scope.disclaimer {
            self.disclaimer = Some(disclaimer.clone()).filter(|name| !name.is_empty());
        }
        if let Some(password) = &scope.password {
            self.password = password.clone();
        }
        scope.style.overlay(&mut self.style);
    }

    /// An originator can have several names; what protects is as strict as the strictest of them says, what
    /// is a matter of taste is as the first of them says.
    fn tighten(&mut self, other: Self) {
        self.encrypt.tighten(other.encrypt);
        self.sign.tighten(other.sign);
        self.unverifiable.tighten(other.unverifiable);
        self.undecryptable.tighten(other.undecryptable);
        self.unauthenticated.tighten(other.unauthenticated);
        self.own_signatures.tighten(other.own_signatures);
        self.at_rest.tighten(other.at_rest);
        // Whoever of the originator's names must be read along is read along.
        for subject in other.additional_keys.value {
            if !self.additional_keys.value.contains(&subject) {
                self.additional_keys.value.push(subject);
            }
        }
    }
}

/// The scopes of the configuration: gateway, own domains, partners, own users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Scopes {
    pub(crate) gateway: ScopeSettings,
    pub(crate) domains: BTreeMap<String, ScopeSettings>,
    /// From the least to the most specific.
    pub(crate) partners: Vec<(DomainPattern, ScopeSettings)>,
    pub(crate) users: BTreeMap<String, ScopeSettings>,
}

impl Scopes {
    /// Every scope.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ScopeSettings> {
        std::iter::once(&self.gateway)
            .chain(self.domains.values())
            .chain(self.partners.iter().map(|(_, scope)| scope))
            .chain(self.users.values())
    }

    /// What holds for one recipient: gateway, then own domain, then partner, then own user; what comes
    /// later overrides field by field.
    ///
    /// `originators` are the names of the originator, the first one counts for matters of taste.
    pub(crate) fn inherit(&self, direction: Direction, originators: &[&str], recipient: &str) -> Inherited {
        let pair = |originator: &str| match direction {
            Direction::Inbound => self.merge(recipient, Some(originator)),
            Direction::Outbound => self.merge(originator, Some(recipient)),
            Direction::Internal => self.merge(recipient, None),
        };
        let (first, others) = originators.split_first().map_or(("", &[][..]), |(f, o)| (*f, o));
        let mut settings = pair(first);
        for originator in others {
            settings.tighten(pair(originator));
        }
        settings
    }

    fn merge(&self, own: &str, other: Option<&str>) -> Inherited {
        let mut settings = Inherited::built_in();
        settings.overlay(Some(&self.gateway), "the gateway's [policy]");
        let domain = domain_of(own);
        settings.overlay(self.domains.get(&domain), &format!("domain {domain}"));
        if let Some(other) = other {
            let domain = domain_of(other);
            for (pattern, scope) in self.partners.iter().filter(|(pattern, _)| pattern.matches(&domain)) {
                settings.overlay(Some(scope), &format!("partner {pattern}"));
            }
        }
        let user = comparable_address(own);
        settings.overlay(self.users.get(&user), &format!("user {user}"));
        settings
    }
}

#[cfg(test)]
mod tests;
