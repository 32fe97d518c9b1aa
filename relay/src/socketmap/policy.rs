//! What a route becomes as an entry of `smtp_tls_policy_maps`, and as one of Sendmail's map `sts`.
//!
//! Postfix asks once for a domain and applies the answer to every host of it, so "DANE for this host, MTA-STS for
//! that one" cannot be said. What is said instead is never weaker than the roads, and never holds a domain for
//! one bad host where Postfix can judge the hosts by itself:
//!
//! | roads | answer |
//! |---|---|
//! | every host by DANE, secure MX | `dane-only` |
//! | some hosts by DANE, unusable or failing, no MTA-STS in force | `dane`: Postfix judges each host |
//! | MTA-STS in force, some host by DANE, secure MX | `dane-only`: the others wait |
//! | MTA-STS in force, MX not secure or no host by DANE | `secure match=` the hosts listed `servername=hostname` |
//! | MTA-STS in force, no host that may be used, or none found | TEMP, with the reason |
//! | neither | NOTFOUND: `smtp_tls_security_level` decides |
//!
//! `match=` holds the names of the hosts and never the patterns of the policy: a pattern would let any host pass that
//! has a certificate below it, and old versions of Postfix compare with whatever name DNS gave them.
//!
//! Behind an MX answer that is not secure DANE is optional (RFC 7672 section 2.2.1), and Postfix 3.6 to 3.9 make no use
//! of it unless `smtp_tls_dane_insecure_mx_policy` says so: they take `dane` for `may` and deliver to whoever answers.
//! Where MTA-STS is in force that must not be, so such hosts must prove themselves as their policy promises.

use std::fmt::Write as _;

use super::Answer;
use crate::road::Demand;
use crate::road::Hop;
use crate::road::Road;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::sts::Mode;
use crate::sts::StsPolicy;

/// Attributes longer than this are left out; Postfix takes no reply above 100,000 bytes.
const LONGEST_REPORT: usize = 60_000;

/// How Postfix asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// Unix seconds.
    pub now: i64,
    /// The answer shall carry the attributes by which Postfix 3.10 and later report on MTA-STS; earlier versions
    /// refuse an answer that has them.
    pub tlsrpt: bool,
    /// Mail is under way that was promised an authenticated road, see [`crate::pledge`].
    pub pledged: bool,
}

/// The answer for Postfix.
pub fn for_postfix(route: &Route, asking: Asking) -> Answer {
    let fixed = match route.demand {
        Demand::DaneOnly => Some("dane-only"),
        // What was promised before the configuration changed holds.
        _ if asking.pledged => None,
        Demand::Encrypt => Some("encrypt"),
        Demand::May => Some("may"),
        Demand::Off => Some("none"),
        Demand::Dane | Demand::Sts => None,
    };
    if let Some(level) = fixed {
        return Answer::Ok(level.to_owned());
    }
    match &route.verdict {
        RouteVerdict::Hosts => by_roads(route, asking),
        // Postfix asks when it has found a host: somebody's answers contradict each other.
        RouteVerdict::NullMx | RouteVerdict::NoSuchDomain if asking.pledged || is_strict(route) => {
            Answer::temporary(&format!(
                "only authenticated hosts of {} may be used, and none can be found here",
                route.domain
            ))
        }
        // Postfix finds out by itself, and says so in its own bounce.
        RouteVerdict::NullMx | RouteVerdict::NoSuchDomain => Answer::NotFound,
        RouteVerdict::Temporary { why } => Answer::temporary(why),
        RouteVerdict::Malformed { why } => Answer::permanent(why),
    }
}

/// The answer for Sendmail, which does DANE by itself and asks only for MTA-STS.
pub fn for_sendmail(route: &Route) -> Answer {
    match &route.verdict {
        RouteVerdict::Temporary { why } => return Answer::temporary(why),
        RouteVerdict::Hosts if is_strict(route) => {}
        _ => return Answer::NotFound,
    }
    let listed = |hop: &&Hop| route.sts.as_ref().is_some_and(|sts| sts.lists(&hop.host));
    let names: Vec<&str> = route.hosts.iter().filter(listed).map(|hop| hop.host.as_str()).collect();
    if names.is_empty() { Answer::temporary(&hindrance(route)) } else { Answer::Ok(secure(&names)) }
}

/// Whether MTA-STS is in force, so that no host may be used without authentication.
fn is_strict(route: &Route) -> bool {
    route.demand == Demand::Sts || route.sts.as_ref().is_some_and(|sts| sts.mode == Mode::Enforce)
}

fn by_roads(route: &Route, asking: Asking) -> Answer {
    let pledged = asking.pledged;
    let hosts = route.hosts.as_slice();
    let by_dane = |hop: &Hop| matches!(hop.road, Road::Dane { .. });
    let judged_by_postfix = |hop: &Hop| {
        matches!(hop.road, Road::Dane { .. } | Road::DaneUnusable { .. } | Road::Unreachable { .. })
    };
    let secure_mx = hosts.iter().all(|hop| hop.mx_secure);
    if secure_mx && hosts.iter().all(by_dane) {
        return level("dane-only");
    }
    if pledged || is_strict(route) {
        if secure_mx && hosts.iter().any(by_dane) {
            return level("dane-only");
        }
        return by_sts(route, asking);
    }
    if hosts.iter().any(judged_by_postfix) {
        return level("dane");
    }
    if hosts.iter().all(|hop| matches!(hop.road, Road::Encrypted)) {
        return level("encrypt");
    }
    // So too for an MTA-STS policy in mode testing: at the level `may` Postfix judges no certificate, and would report
    // successes under a policy that it never held anybody to.
    Answer::NotFound
}

/// Only authenticated hosts may be used, and DANE does not help.
fn by_sts(route: &Route, asking: Asking) -> Answer {
    let Asking { now, tlsrpt, pledged } = asking;
    let unusable = |hop: &Hop| matches!(hop.road, Road::DaneUnusable { .. });
    if !pledged && route.hosts.iter().all(unusable) {
        return level("dane");
    }
    let names: Vec<&str> = route.hosts.iter().filter_map(|hop| sts_name(route, hop)).collect();
    let sts = route.sts.as_ref().filter(|_| tlsrpt);
    match (names.as_slice(), sts) {
        ([], Some(sts)) if only_mismatches(route) => {
            // Postfix connects, fails the policy whatever is shown, and reports why. With the patterns it would not
            // connect (`smtp_tls_enforce_sts_mx_patterns`), and so report nothing.
            let failed = "secure servername=hostname policy_failure=sts-policy-invalid";
            Answer::Ok(failed.to_owned() + &report(route, sts, now, &[]))
        }
        ([], _) => Answer::temporary(&hindrance(route)),
        (names, None) => Answer::Ok(secure(names)),
        (names, Some(sts)) => Answer::Ok(secure(names) + &report(route, sts, now, &sts.mx)),
    }
}

fn only_mismatches(route: &Route) -> bool {
    route.hosts.iter().all(|hop| matches!(hop.road, Road::StsMismatch { .. }))
}

fn level(level: &str) -> Answer {
    Answer::Ok(level.to_owned())
}

fn secure(names: &[&str]) -> String {
    format!("secure match={} servername=hostname", names.join(":"))
}

/// The name that the certificate of a host must carry, if MTA-STS vouches for the host.
fn sts_name<'a>(route: &'a Route, hop: &'a Hop) -> Option<&'a str> {
    let listed = || route.sts.as_ref().is_some_and(|sts| sts.mode == Mode::Enforce && sts.lists(&hop.host));
    match &hop.road {
        Road::Sts { name, testing: false } => Some(name),
        Road::Dane { .. } if !hop.mx_secure && listed() => Some(&hop.host),
        _ => None,
    }
}

/// Why no host may be used, for Postfix' log: the words that the administrator will search for.
fn hindrance(route: &Route) -> String {
    let mut text = format!("no host of {} may be used:", route.domain);
    for hop in &route.hosts {
        let why = match &hop.road {
            Road::Unreachable { why } => why,
            Road::StsMismatch { .. } => "the MTA-STS policy does not list it",
            Road::DaneUnusable { .. } => "its TLSA records cannot be used",
            Road::Dane { .. } => "it needs DANE, and others of the domain MTA-STS",
            _ => "it cannot be authenticated",
        };
        let _ = write!(text, " {}: {why};", hop.host);
    }
    text.truncate(text.trim_end_matches([';', ':']).len());
    text
}

/// The attributes for TLS reports (TLSRPT_README of Postfix 3.10). Only an answer that comes from an MTA-STS policy
/// may have them.
fn report(route: &Route, sts: &StsPolicy, now: i64, patterns: &[String]) -> String {
    let ttl = (route.expires - now).max(1);
    let mut text = format!(" policy_type=sts policy_domain={} policy_ttl={ttl}", route.domain);
    for pattern in patterns {
        let _ = write!(text, " mx_host_pattern={pattern}");
    }
    let mut strings = String::new();
    // Braces and what is not printable have a meaning of their own in an answer.
    let plain =
        |line: &&str| !line.is_empty() && line.chars().all(|c| matches!(c, ' '..='~') && !"{}".contains(c));
    for line in sts.lines.iter().map(|line| line.trim()).filter(plain) {
        let _ = write!(strings, " {{ policy_string = {line} }}");
    }
    match text.len() + strings.len() {
        ..LONGEST_REPORT => text + &strings,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
