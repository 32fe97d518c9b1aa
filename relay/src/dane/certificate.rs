//! One certificate of a chain, as DANE-TA judges it (RFC 5280 sections 4.2 and 6.1).

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use super::der::Outline;
use super::names::covers;
use super::verify::DaneFault;

/// A certificate that could be read in full.
pub(super) struct Certificate<'a> {
    pub(super) der: &'a [u8],
    pub(super) outline: Outline<'a>,
    fields: X509Certificate<'a>,
}

impl<'a> Certificate<'a> {
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let outline = Outline::read(der)?;
        let (rest, fields) = X509Certificate::from_der(der).ok()?;
        rest.is_empty().then_some(Self { der, outline, fields })
    }

    /// The subject, for a person.
    pub(super) fn subject(&self) -> String {
        self.fields.subject().to_string()
    }

    pub(super) fn self_issued(&self) -> bool {
        self.outline.issuer == self.outline.subject
    }

    /// Valid at `now`, Unix seconds.
    pub(super) fn check_dates(&self, now: i64) -> Result<(), DaneFault> {
        let validity = self.fields.validity();
        if now > validity.not_after.timestamp() {
            return Err(DaneFault::Expired {
                subject: self.subject(),
                since: validity.not_after.timestamp(),
            });
        }
        if now < validity.not_before.timestamp() {
            let until = validity.not_before.timestamp();
            return Err(DaneFault::NotYetValid { subject: self.subject(), until });
        }
        Ok(())
    }

    /// May stand above `below` intermediate certificates and a leaf.
    pub(super) fn check_issuer(&self, below: usize) -> Result<(), DaneFault> {
        self.check_extensions()?;
        let constraints = self.fields.basic_constraints().map_err(|_| self.refuse("basic constraints"))?;
        match constraints {
            Some(constraints) if !constraints.value.ca => return Err(self.refuse("it is no CA certificate")),
            Some(constraints) => {
                let most = constraints.value.path_len_constraint;
                if most.is_some_and(|most| below > usize::try_from(most).unwrap_or(usize::MAX)) {
                    return Err(self.refuse("the chain is longer than its path length allows"));
                }
            }
            // Version 1 has no extensions; as a root of its own it is what the domain pinned.
            None if self.fields.version() == X509Version::V1 && self.self_issued() => {}
            None => return Err(self.refuse("it is no CA certificate")),
        }
        let usage = self.fields.key_usage().map_err(|_| self.refuse("key usage"))?;
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(self.refuse("its key may not sign certificates"));
        }
        self.check_purpose()
    }

    /// May belong to a server.
    pub(super) fn check_leaf(&self) -> Result<(), DaneFault> {
        self.check_extensions()?;
        self.check_purpose()
    }

    /// The certificate names one of `wanted`; the common name counts only without any DNS name in the
    /// subjectAltName (RFC 7672 section 3.2.3).
    pub(super) fn check_name(&self, wanted: &[String]) -> Result<(), DaneFault> {
        let presented = self.host_names()?;
        if presented.iter().any(|name| wanted.iter().any(|wanted| covers(name, wanted))) {
            return Ok(());
        }
        Err(DaneFault::Name { presented, wanted: wanted.to_vec() })
    }

    /// Host names that the certificate claims.
    pub(super) fn host_names(&self) -> Result<Vec<String>, DaneFault> {
        let alternative =
            self.fields.subject_alternative_name().map_err(|_| self.refuse("subject alternative name"))?;
        let mut names = Vec::new();
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            if let GeneralName::DNSName(name) = name {
                names.push((*name).to_owned());
            }
        }
        if names.is_empty() {
            let common = self.fields.subject().iter_common_name().filter_map(|name| name.as_str().ok());
            names.extend(common.map(ToOwned::to_owned));
        }
        Ok(names)
    }

    /// The names of `leaf` lie within the name constraints of this certificate (RFC 5280 section 4.2.1.10).
    ///
    /// Constraints on DNS names are applied. Constraints of other kinds do not concern host names and are
    /// passed over, as a certificate for a host says nothing by its other names here.
    pub(super) fn check_constraints(&self, leaf: &Self) -> Result<(), DaneFault> {
        let constraints = self.fields.name_constraints().map_err(|_| self.refuse("name constraints"))?;
        let Some(constraints) = constraints else { return Ok(()) };
        let subtrees = |list: &Option<Vec<_>>| -> Vec<String> {
            let list: &[x509_parser::extensions::GeneralSubtree<'_>] = list.as_deref().unwrap_or_default();
            let dns = list.iter().filter_map(|subtree| match subtree.base {
                GeneralName::DNSName(base) => Some(base.to_owned()),
                _ => None,
            });
            dns.collect()
        };
        let permitted = subtrees(&constraints.value.permitted_subtrees);
        let excluded = subtrees(&constraints.value.excluded_subtrees);
        for name in leaf.host_names()? {
            let outside = !permitted.is_empty() && !permitted.iter().any(|base| within(&name, base));
            // A wildcard also stands for the excluded host below its parent.
            let stands_for = |base: &str| name.strip_prefix("*.").is_some_and(|parent| within(base, parent));
            if outside || excluded.iter().any(|base| within(&name, base) || stands_for(base)) {
                return Err(self.refuse("its name constraints forbid the host's name"));
            }
        }
        Ok(())
    }

    /// An extension that is critical and unknown forbids the use (RFC 5280 section 4.2).
    fn check_extensions(&self) -> Result<(), DaneFault> {
        for extension in self.fields.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::ParseError { .. } => return Err(self.refuse("an extension is malformed")),
                ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::NameConstraints(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::PolicyMappings(_)
                | ParsedExtension::PolicyConstraints(_)
                | ParsedExtension::InhibitAnyPolicy(_)
                | ParsedExtension::SubjectKeyIdentifier(_)
                | ParsedExtension::AuthorityKeyIdentifier(_) => {}
                _ if extension.critical => return Err(self.refuse("an extension is critical and unknown")),
                _ => {}
            }
        }
        Ok(())
    }

    /// No extended key usage, or one that includes servers.
    fn check_purpose(&self) -> Result<(), DaneFault> {
        let usage = self.fields.extended_key_usage().map_err(|_| self.refuse("extended key usage"))?;
        if usage.is_some_and(|usage| !usage.value.any && !usage.value.server_auth) {
            return Err(self.refuse("it is not for TLS servers"));
        }
        Ok(())
    }

    fn refuse(&self, why: &'static str) -> DaneFault {
        DaneFault::Unacceptable { subject: self.subject(), why }
    }
}

/// Whether `name` is `base` or below it; an empty base covers all. A leading dot (not in the RFC, but in use)
/// leaves out the base itself.
fn within(name: &str, base: &str) -> bool {
    if base.is_empty() {
        return true;
    }
    let name = name.strip_prefix("*.").map_or(name, |parent| parent).to_ascii_lowercase();
    let base = base.to_ascii_lowercase();
    match base.strip_prefix('.') {
        Some(parent) => name.ends_with(&base) && name.len() > parent.len(),
        None => name == base || name.strip_suffix(&base).is_some_and(|front| front.ends_with('.')),
    }
}
