//! What is to be published.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use sequoia_openpgp::Cert;

/// Adds the User ID `address` to a certificate whose secret half is in the gateway's custody.
///
/// Gives the certificate with the new User ID, or `None` if the secret half is not there.
pub type AliasSigner =
    dyn Fn(&Cert, &str) -> Result<Option<Cert>, Box<dyn Error + Send + Sync>> + Send + Sync;

/// Whose certificates are published.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Who {
    /// Those that are ours ([`Trust::Own`](crate::Trust::Own)).
    #[default]
    Own,
    /// Also those whose holder the administrator checked ([`Trust::Verified`](crate::Trust::Verified)), such as
    /// what users gave to the gateway.
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
    /// Fingerprints of authorities (OpenPGP) whose certifications of a User ID stay.
    pub endorsers: BTreeSet<String>,
    /// Names aliases in certificates whose secret half is in our custody.
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
