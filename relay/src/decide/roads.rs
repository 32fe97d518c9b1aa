//! One host, what DNS says about it, the policy of its domain, the demand of the configuration: one road.
//!
//! Nothing here looks anything up.

use super::Candidate;
use super::Decision;
use crate::explore::Binding;
use crate::road::Demand;
use crate::road::Road;
use crate::road::Trouble;
use crate::road::TroubleKind;
use crate::sts::Mode;

impl Decision<'_> {
    /// The road to `host`. `secure`: its name is authentic; `names`: further reference names for DANE-TA.
    pub(super) fn road(&mut self, host: &str, binding: Binding, secure: bool, names: &[String]) -> Road {
        let binding = match binding {
            Binding::Unknown { why } | Binding::NoAddress { why } => return Road::Unreachable { why },
            other => other,
        };
        match self.demand {
            Demand::Dane => self.dane_else_sts(host, binding, secure, names),
            Demand::DaneOnly => self.dane_only(host, binding, secure, names),
            Demand::Sts => self.sts_only(host),
            Demand::Encrypt => Road::Encrypted,
            Demand::May => Road::Opportunistic,
            Demand::Off => Road::Cleartext,
        }
    }

    fn dane_else_sts(&mut self, host: &str, binding: Binding, secure: bool, names: &[String]) -> Road {
        match binding {
            // Whoever forges an insecure MX answer can name a host of his own, with TLSA records of his own. The
            // policy of the domain, where there is one, must list the host; DANE then authenticates it.
            Binding::Dane { .. } if !secure && self.enforced_elsewhere(host) => self.mismatch(host, false),
            Binding::Dane { base, records } => Road::Dane { names: references(&base, names), base, records },
            Binding::Unusable { base } if self.mode() != Some(Mode::Enforce) => Road::DaneUnusable { base },
            _ => self.by_policy(host),
        }
    }

    fn dane_only(&mut self, host: &str, binding: Binding, secure: bool, names: &[String]) -> Road {
        match binding {
            Binding::Dane { base, records } if secure => {
                Road::Dane { names: references(&base, names), base, records }
            }
            _ => {
                let what =
                    if secure { "it has no usable, secure TLSA record" } else { "its MX record is insecure" };
                let why = format!("the configuration demands DANE for {host}, but {what}");
                self.trouble(TroubleKind::DaneRequired, host, why.clone());
                Road::Unreachable { why }
            }
        }
    }

    fn sts_only(&mut self, host: &str) -> Road {
        if self.mode() == Some(Mode::Enforce) {
            return self.by_policy(host);
        }
        let why =
            format!("the configuration demands MTA-STS, but no policy in mode enforce is known for {host}");
        self.trouble(TroubleKind::StsPolicyFetchError, host, why.clone());
        Road::Unreachable { why }
    }

    fn by_policy(&mut self, host: &str) -> Road {
        let testing = match self.mode() {
            None | Some(Mode::None) => return Road::Opportunistic,
            Some(mode) => mode == Mode::Testing,
        };
        if self.sts.as_ref().is_some_and(|policy| policy.lists(host)) {
            Road::Sts { name: host.to_owned(), testing }
        } else {
            self.mismatch(host, testing)
        }
    }

    fn mode(&self) -> Option<Mode> {
        self.sts.as_ref().map(|policy| policy.mode)
    }

    fn enforced_elsewhere(&self, host: &str) -> bool {
        self.sts.as_ref().is_some_and(|policy| policy.mode == Mode::Enforce && !policy.lists(host))
    }

    fn mismatch(&mut self, host: &str, testing: bool) -> Road {
        // RFC 8460 section 4.3.2.2 has no better word for a host that the policy does not list.
        self.trouble(TroubleKind::StsPolicyInvalid, host, format!("the MTA-STS policy does not list {host}"));
        Road::StsMismatch { testing }
    }

    fn trouble(&mut self, kind: TroubleKind, host: &str, why: String) {
        self.troubles.push(Trouble { kind, host: Some(host.to_owned()), why });
    }
}

/// RFC 8461 section 2: MTA-STS must not override DANE, so it matters only where DANE does not bind, or binds a host
/// whose name is not secure. What failed here may succeed for Postfix, which must not find an open road then.
pub(super) fn needs_policy(candidate: &Candidate, binding: &Binding) -> bool {
    match binding {
        Binding::Dane { .. } => !candidate.secure,
        Binding::Unusable { .. } | Binding::Free | Binding::Unknown { .. } => true,
        Binding::NoAddress { .. } => false,
    }
}

/// RFC 7672 section 3.2.2: the base domain first, then the names that led to it.
fn references(base: &str, names: &[String]) -> Vec<String> {
    let mut all = vec![base.to_owned()];
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}
