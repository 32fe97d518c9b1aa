//! The rule book and what can be asked of it.

use std::collections::BTreeSet;

use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use crate::config_error::ConfigErrors;
use crate::decide;
use crate::facts::Direction;
use crate::facts::Facts;
use crate::facts::KeyKind;
use crate::facts::Protection;
use crate::facts::RecipientFacts;
use crate::pattern::comparable;
use crate::plan::Plan;
use crate::plan::RcptDecision;
use crate::policy_section;
use crate::recipient;
use crate::rule::Rule;
use crate::rule::RuleVerdict;
use crate::section::Section;
use crate::settings::DEFAULT_KINDS;
use crate::settings::Encrypt;
use crate::settings::PasswordSource;
use crate::settings::Reaction;
use crate::settings::ScopeSettings;
use crate::settings::Scopes;
use crate::settings::Sign;
use crate::settle::inherited;
use crate::settle::settle;
use crate::style::Nesting;

/// The rule book of one gateway: settings by scope, and ordered rules.
///
/// It is built once from the configuration and never changes; a reload builds a new one. The default is what an
/// empty configuration gives: opportunistic encryption, no signing, inbound mail opened.
#[derive(Clone, Debug)]
pub struct Policy {
    own_domains: BTreeSet<String>,
    scopes: Scopes,
    rules: Vec<Rule>,
    wanted_fields: Vec<String>,
    wanted_kinds: Vec<KeyKind>,
    digest: String,
}

/// What the digest is made from.
#[derive(Serialize)]
struct Canonical<'p> {
    own_domains: &'p BTreeSet<String>,
    scopes: &'p Scopes,
    rules: &'p [Rule],
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(BTreeSet::new(), Scopes::default(), Vec::new())
    }
}

impl Policy {
    /// Takes `policy`, `domain`, `partner`, `user` and `rule` from the top level of the configuration.
    ///
    /// `own_domains` are the domains of the gateway; a `[domain."…"]` or `[user."…"]` elsewhere is a mistake.
    /// Other top-level sections are left for other readers; [`Section::finish`] reports what nobody took. `relay`
    /// must not have been taken yet: whether it is there decides whether `keys` may name `enforced-tls`.
    ///
    /// # Errors
    /// Every mistake in these sections.
    pub fn from_sections(root: &mut Section, own_domains: &[String]) -> Result<Self, ConfigErrors> {
        let own_domains: BTreeSet<String> = own_domains.iter().map(|domain| comparable(domain)).collect();
        let (scopes, rules) = policy_section::take(root, &own_domains)?;
        Ok(Self::new(own_domains, scopes, rules))
    }

    fn new(own_domains: BTreeSet<String>, scopes: Scopes, rules: Vec<Rule>) -> Self {
        let names = rules.iter().flat_map(|rule| rule.when.header.iter().map(|(name, _)| name.clone()));
        let wanted_fields: BTreeSet<String> = names.collect();
        let in_scopes = scopes.all().filter_map(|scope| scope.keys.as_ref());
        let in_rules = rules.iter().filter_map(|rule| rule.sets.keys.as_ref());
        let mut wanted_kinds: BTreeSet<KeyKind> = in_scopes.chain(in_rules).flatten().copied().collect();
        if scopes.gateway.keys.is_none() {
            wanted_kinds.extend(DEFAULT_KINDS);
        }
        let digest = digest(&Canonical { own_domains: &own_domains, scopes: &scopes, rules: &rules });
        let mut policy = Self {
            own_domains,
            scopes,
            rules,
            wanted_fields: wanted_fields.into_iter().collect(),
            wanted_kinds: wanted_kinds.into_iter().collect(),
            digest,
        };
        if !policy.encrypts() && !policy.signs() {
            // Nobody asks for the answers.
            policy.wanted_kinds.clear();
        }
        policy
    }

    /// Decides what happens to a message.
    ///
    /// Total, pure and deterministic. A message that was decrypted here ([`OPENED_BEFORE`](crate::OPENED_BEFORE))
    /// goes outside encrypted or not at all, and so does what is opened on its way out
    /// ([`SubmissionFacts`](crate::SubmissionFacts)), whatever the settings say. A message whose facts are not complete (the header section or the size is
    /// missing although a rule asks for it) is refused for now.
    pub fn decide(&self, facts: &Facts) -> Plan {
        decide::decide(self, facts)
    }

    /// Decides one recipient, an index into [`Facts::recipients`], when its RCPT command arrives and
    /// `facts.header` is not known yet.
    ///
    /// Refuses only when no header section, size, finding or From address that may follow could change it. Mail
    /// that the originator has encrypted by himself cannot be recognised that early and is refused like
    /// any other. An index that does not exist is refused for now.
    pub fn decide_recipient(&self, facts: &Facts, recipient: usize) -> RcptDecision {
        recipient::decide_recipient(self, facts, recipient)
    }

    /// Whether [`Self::decide_recipient`] can ever refuse; when not, RCPT needs no answer from us.
    pub fn may_refuse_recipients(&self) -> bool {
        let refuses = |rule: &Rule| matches!(rule.sets.verdict, Some(RuleVerdict::Reject { .. }));
        self.encrypts() || self.rules.iter().any(refuses)
    }

    /// Whether any decision can need the body: to seal it, to open it, to know its size, or to screen it.
    pub fn needs_body(&self) -> bool {
        let opens =
            self.scopes.gateway.open.unwrap_or(true) || self.scopes.all().any(|s| s.open == Some(true));
        let asks = |rule: &Rule| {
            let when = &rule.when;
            when.size_over.is_some() || when.size_under.is_some() || !when.finding.is_empty()
        };
        let at_rest = |scope: &ScopeSettings| scope.at_rest.is_some_and(|at_rest| at_rest != Encrypt::Never);
        opens
            || self.scopes.all().any(at_rest)
            || !self.disclaimers().is_empty()
            || self.looks_at_own_signatures()
            || self.encrypts()
            || self.signs()
            || self.rules.iter().any(asks)
    }

    /// Whether any decision can put a message on hold.
    pub fn may_quarantine(&self) -> bool {
        let held = Some(Reaction::Quarantine);
        let by_rule = |rule: &Rule| {
            // A discard that is not for every recipient becomes a hold.
            matches!(rule.sets.verdict, Some(RuleVerdict::Quarantine { .. } | RuleVerdict::Discard))
                || rule.sets.unverifiable == held
                || rule.sets.undecryptable == held
                || rule.sets.unauthenticated == held
                || rule.sets.own_signatures == held
        };
        let by_scope = |scope: &ScopeSettings| {
            [scope.unverifiable, scope.undecryptable, scope.unauthenticated, scope.own_signatures]
                .contains(&held)
        };
        self.scopes.all().any(by_scope) || self.rules.iter().any(by_rule)
    }

    /// Whether the signatures of mail that leaves must be verified before it is decided.
    pub fn verifies(&self, facts: &Facts) -> bool {
        let outside = facts.recipients.iter().filter(|recipient| recipient.direction == Direction::Outbound);
        let asks = |recipient: &RecipientFacts| {
            let settled = settle(self, facts, recipient);
            settled.own_signatures.value != Reaction::Deliver || settled.style.nesting == Nesting::Rfc3183
        };
        facts.originating && outside.into_iter().any(asks)
    }

    fn looks_at_own_signatures(&self) -> bool {
        let asks = |said: Option<Reaction>| said.is_some_and(|reaction| reaction != Reaction::Deliver);
        self.scopes.all().any(|scope| asks(scope.own_signatures))
            || self.rules.iter().any(|rule| asks(rule.sets.own_signatures))
    }

    /// Whether the mailbox of this recipient, an index into [`Facts::recipients`], may be encrypted at rest:
    /// then [`RecipientFacts::at_rest`] must be there.
    pub fn wants_at_rest(&self, facts: &Facts, recipient: usize) -> bool {
        facts.recipients.get(recipient).is_some_and(|recipient| {
            recipient.direction != Direction::Outbound
                && inherited(self, facts, recipient).at_rest.value != Encrypt::Never
        })
    }

    /// Everybody whose additional decryption key any setting names; all must be in [`Facts::additional_keys`].
    pub fn additional_subjects(&self) -> BTreeSet<&str> {
        self.scopes
            .all()
            .flat_map(|scope| scope.additional_keys.iter().flatten())
            .map(String::as_str)
            .collect()
    }

    /// Where the password for a recipient comes from, an index into [`Facts::recipients`].
    pub fn password_for(&self, facts: &Facts, recipient: usize) -> PasswordSource {
        match facts.recipients.get(recipient) {
            Some(recipient) => inherited(self, facts, recipient).password,
            None => PasswordSource::default(),
        }
    }

    /// The names of all disclaimers that a decision can ask for.
    pub fn disclaimers(&self) -> BTreeSet<&str> {
        let in_scopes = self.scopes.all().filter_map(|scope| scope.disclaimer.as_deref());
        let in_rules = self.rules.iter().filter_map(|rule| rule.sets.disclaimer.as_deref());
        in_scopes.chain(in_rules).filter(|name| !name.is_empty()).collect()
    }

    /// Whether any decision can sign.
    fn signs(&self) -> bool {
        let always = Some(Sign::Always);
        self.scopes.all().any(|scope| scope.sign == always)
            || self.rules.iter().any(|rule| rule.sets.sign == always)
    }

    /// Whether the message shall be opened (decrypted and verified) for at least one of its recipients.
    ///
    /// Who gets the opened form is told by [`crate::Treatment::opened`].
    pub fn opens(&self, facts: &Facts) -> bool {
        let here = facts.recipients.iter().filter(|recipient| recipient.direction != Direction::Outbound);
        here.into_iter().any(|recipient| inherited(self, facts, recipient).open.value)
    }

    /// Whether the message shall be opened for recipients outside with the keys of its author's domain: one of ours may
    /// have encrypted it to his own gateway (RFC 3183 section 4, case b).
    ///
    /// Who gets the opened form is told by [`crate::Treatment::submission`].
    pub fn opens_submission(&self, facts: &Facts) -> bool {
        let asks = |recipient: &RecipientFacts| {
            self.encrypts()
                && recipient.direction == Direction::Outbound
                && inherited(self, facts, recipient).open_submissions.value
        };
        facts.originating
            && decide::has_own_author(self, facts)
            // An opaque signature does not show whether something encrypted is inside.
            && facts.protection.is_some_and(|protection| protection != Protection::None)
            && facts.recipients.iter().any(asks)
    }

    /// Lower-case names of the header fields that rules match, sorted; [`crate::HeaderFacts::fields`] must have
    /// them. The Subject is always needed.
    pub fn wanted_fields(&self) -> &[String] {
        &self.wanted_fields
    }

    /// The kinds of keys that decisions can ask for; all of them must be looked up for every recipient that mail
    /// may be encrypted for and for the originator, since an answer that is missing makes mail wait.
    pub fn wanted_kinds(&self) -> &[KeyKind] {
        &self.wanted_kinds
    }

    /// Whether the decision about one recipient, an index into [`Facts::recipients`], can ask for `kind`; at RCPT, when
    /// the message is not known. What is certainly not asked for need not be looked up.
    pub fn wants(&self, kind: KeyKind, facts: &Facts, recipient: usize) -> bool {
        self.wanted_kinds.contains(&kind) && recipient::wants(self, kind, facts, recipient)
    }

    /// SHA-256 of the canonical form in lower-case hexadecimal: two configurations with the same digest
    /// decide alike. Order of scopes, comments and spelling of defaults do not change it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether `domain`, in the form of [`comparable`], is a domain of this gateway.
    pub(crate) fn is_own(&self, domain: &str) -> bool {
        self.own_domains.contains(domain)
    }

    pub(crate) fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether any recipient of any message can be encrypted for. What was opened on its way out must be.
    pub(crate) fn encrypts(&self) -> bool {
        let some = |encrypt: Option<Encrypt>| encrypt.is_some_and(|encrypt| encrypt != Encrypt::Never);
        self.scopes.gateway.encrypt.is_none()
            || self.scopes.all().any(|scope| some(scope.encrypt))
            || self.scopes.all().any(|scope| scope.open_submissions == Some(true))
            || self.rules.iter().any(|rule| some(rule.sets.encrypt))
    }
}

fn digest(canonical: &Canonical<'_>) -> String {
    // Maps with text keys and plain enums always serialise; an empty text would only make digests equal.
    let bytes = serde_json::to_vec(canonical).unwrap_or_default();
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
