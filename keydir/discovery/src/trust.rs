//! Whether a certificate on offer may be used. Pure: no clock, no I/O; the same sightings and the same offer always
//! give the same decision.

use keydir::Origin;
use serde::Serialize;

/// What to do with certificates that anybody can bring about: harvested from mail, or from a key server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstContact {
    /// Never used.
    Off,
    /// Held until the administrator approves.
    #[default]
    Hold,
    /// Used if nothing was seen for the address before (trust on first use).
    Tofu,
}

/// The administrator's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// Certificates that came with verified mail.
    pub harvested: FirstContact,
    /// Certificates of key servers.
    pub key_servers: FirstContact,
}

impl Rules {
    /// What a first contact through this origin is worth.
    pub fn first_contact(&self, origin: Origin) -> FirstContact {
        match origin {
            Origin::Harvested => self.harvested,
            Origin::Hkp => self.key_servers,
            // The administrator or the domain itself says so.
            Origin::Generated
            | Origin::Imported
            | Origin::Peer
            | Origin::Wkd
            | Origin::Dane
            | Origin::Ldap
            | Origin::Submitted => FirstContact::Tofu,
        }
    }
}

/// The rank of an origin; the lesser is trusted more. Local, partner, WKD, DANE, LDAP, harvested, key server.
pub fn rank(origin: Origin) -> u8 {
    match origin {
        Origin::Generated | Origin::Imported | Origin::Submitted => 0,
        Origin::Peer => 1,
        Origin::Wkd => 2,
        Origin::Dane => 3,
        Origin::Ldap => 4,
        Origin::Harvested => 5,
        Origin::Hkp => 6,
    }
}

/// Whether the administrator or the domain of the address speaks through this origin, not just anybody.
pub fn speaks_for_the_domain(origin: Origin) -> bool {
    rank(origin) < rank(Origin::Harvested)
}

/// A certificate that was used for an address before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// Upper-case hexadecimal.
    pub fingerprint: String,
    /// From whom it was taken first.
    pub origin: Origin,
    /// When it was taken first, Unix seconds.
    pub first: i64,
    /// When it was taken last, Unix seconds. The greatest is the one in use; 0 if it was never used but only heard to
    /// be revoked.
    pub last: i64,
    /// It was revoked.
    pub revoked: bool,
}

/// The sighting that is in use: the one taken last.
pub fn current(seen: &[Sighting]) -> Option<&Sighting> {
    seen.iter().filter(|sighting| sighting.last > 0).max_by(|a, b| {
        (a.last, a.first).cmp(&(b.last, b.first)).then_with(|| a.fingerprint.cmp(&b.fingerprint))
    })
}

/// A certificate on offer, as far as trust goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Upper-case hexadecimal.
    pub fingerprint: &'a str,
    /// Who offers it.
    pub origin: Origin,
    /// Fingerprints of certificates whose keys vouch for it; checked.
    pub succeeds: &'a [String],
    /// The log of the domain announced it; checked.
    pub announced: bool,
}

/// Whether it may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Use(Grounds),
    /// It may not until somebody approves; somebody must be told.
    Hold {
        /// The certificate in use, if there is one.
        old: Option<String>,
        /// The one on offer.
        new: String,
    },
    /// It may not.
    Refuse(&'static str),
}

/// Why a certificate may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// The domain's log announced the change.
    Announced,
    /// Nothing was seen before, and the origin is good enough for a first contact.
    First,
    /// It is the one in use.
    Same,
    /// The key of the one in use vouches for it.
    Successor,
}

impl Grounds {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "the domain's key log announced the change",
            Self::First => "first contact",
            Self::Same => "the same certificate as before",
            Self::Successor => "the certificate used before vouches for it",
        }
    }
}

/// Decides about one offer for an address of which these certificates were seen.
///
/// A change is accepted if the key in use vouches for it or the domain's log announced it; any other is held, from
/// whomever it comes. That a certificate was used at some earlier time vouches for nothing: going back is a change.
pub fn decide(seen: &[Sighting], offer: &Offer<'_>, rules: &Rules) -> Decision {
    if seen.iter().any(|sighting| sighting.fingerprint == offer.fingerprint && sighting.revoked) {
        return Decision::Refuse("it was revoked");
    }
    let current = current(seen);
    if current.is_some_and(|current| current.fingerprint == offer.fingerprint) {
        return Decision::Use(Grounds::Same);
    }
    let first_contact = rules.first_contact(offer.origin);
    if first_contact == FirstContact::Off {
        return Decision::Refuse("certificates of this origin are not used");
    }
    let hold = |old| Decision::Hold { old, new: offer.fingerprint.to_owned() };
    match current {
        Some(current) if offer.succeeds.contains(&current.fingerprint) => Decision::Use(Grounds::Successor),
        Some(_) if offer.announced => Decision::Use(Grounds::Announced),
        Some(current) => hold(Some(current.fingerprint.clone())),
        None if first_contact == FirstContact::Tofu => Decision::Use(Grounds::First),
        None => hold(None),
    }
}

#[cfg(test)]
mod tests;
