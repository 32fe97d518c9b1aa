//! Reads the sections of the configuration that make the rule book.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::config_error::ConfigErrors;
use crate::document::Located;
use crate::nearest::nearest;
use crate::pattern::DomainPattern;
use crate::pattern::comparable;
use crate::pattern::comparable_address;
use crate::pattern::domain_of;
use crate::rule::Rule;
use crate::rule_section::take_rules;
use crate::section::Section;
use crate::settings::Available;
use crate::settings::ScopeSettings;
use crate::settings::Scopes;

/// Takes `policy`, `domain`, `partner`, `user` and `rule`.
pub(crate) fn take(root: &mut Section, own: &BTreeSet<String>) -> Result<(Scopes, Vec<Rule>), ConfigErrors> {
    // Mistakes of other readers stay where they are; only ours decide whether there is a policy.
    let before = root.take_errors();
    let kinds = Available::of(root);
    let scopes = Scopes {
        gateway: take_gateway(root, kinds),
        domains: take_domains(root, own, kinds),
        partners: take_partners(root, own, kinds),
        users: take_users(root, own, kinds),
    };
    let rules = take_rules(root, kinds);
    let ours = root.take_errors();
    root.restore_errors(before);
    ours.into_result()?;
    Ok((scopes, rules))
}

fn take_gateway(root: &mut Section, kinds: Available) -> ScopeSettings {
    let mut section = root.take_section("policy");
    let settings = ScopeSettings::take(&mut section, kinds);
    root.close(section);
    settings
}

fn take_domains(
    root: &mut Section,
    own: &BTreeSet<String>,
    kinds: Available,
) -> BTreeMap<String, ScopeSettings> {
    let mut scopes = BTreeMap::new();
    for (name, mut section) in root.take_named_sections("domain") {
        let domain = comparable(&name.value);
        if !own.contains(&domain) {
            let message = format!("domain `{}` is not one of the gateway's domains", name.value);
            let near = nearest(&domain, own.iter().map(String::as_str));
            section.reject_name(name.at, &name.value, message, near);
        }
        insert(&mut scopes, domain, &name, ScopeSettings::take(&mut section, kinds), section, root);
    }
    scopes
}

fn take_users(
    root: &mut Section,
    own: &BTreeSet<String>,
    kinds: Available,
) -> BTreeMap<String, ScopeSettings> {
    let mut scopes = BTreeMap::new();
    for (name, mut section) in root.take_named_sections("user") {
        let user = comparable_address(&name.value);
        let domain = domain_of(&user);
        let local = user.rsplit_once('@').map_or("", |(local, _)| local);
        if local.is_empty() {
            let message = format!("user `{}` is no address; write [user.\"name@domain\"]", name.value);
            section.reject(name.at, &name.value, message);
        } else if local.contains(['*', '?']) {
            let message = format!("user `{}` cannot be a pattern; use a [[rule]] with `sender`", name.value);
            section.reject(name.at, &name.value, message);
        } else if !own.contains(&domain) {
            let message = format!("user `{}` is not in one of the gateway's domains", name.value);
            let near = nearest(&domain, own.iter().map(String::as_str)).map(|near| format!("{local}@{near}"));
            section.reject_name(name.at, &name.value, message, near.as_deref());
        }
        insert(&mut scopes, user, &name, ScopeSettings::take(&mut section, kinds), section, root);
    }
    scopes
}

/// Partners, from the least to the most specific.
fn take_partners(
    root: &mut Section,
    own: &BTreeSet<String>,
    kinds: Available,
) -> Vec<(DomainPattern, ScopeSettings)> {
    let mut scopes = BTreeMap::new();
    for (name, mut section) in root.take_named_sections("partner") {
        let pattern = match DomainPattern::new(&name.value) {
            Ok(pattern) => pattern,
            Err(message) => {
                section.reject(name.at, &name.value, format!("partner {message}"));
                let _ = ScopeSettings::take(&mut section, kinds);
                root.close(section);
                continue;
            }
        };
        if let DomainPattern::Exactly(domain) = &pattern
            && own.contains(domain)
        {
            let message = format!("partner `{domain}` is a domain of ours; write [domain.\"{domain}\"]");
            section.reject(name.at, &name.value, message);
        }
        insert(&mut scopes, pattern, &name, ScopeSettings::take(&mut section, kinds), section, root);
    }
    let mut partners: Vec<_> = scopes.into_iter().collect();
    partners.sort_by_key(|(pattern, _)| pattern.specificity());
    partners
}

/// Keeps the settings of a scope, once.
fn insert<K: Ord>(
    scopes: &mut BTreeMap<K, ScopeSettings>,
    key: K,
    name: &Located<String>,
    settings: ScopeSettings,
    mut section: Section,
    root: &mut Section,
) {
    if scopes.insert(key, settings).is_some() {
        let message = format!("{} is there twice, written differently", section.title());
        section.reject(name.at, &name.value, message);
    }
    root.close(section);
}

#[cfg(test)]
mod tests;
