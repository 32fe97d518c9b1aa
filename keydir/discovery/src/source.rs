//! Asking one source. What comes back is bytes; nobody has looked at them yet.

mod dane;
mod ldap;
pub(crate) mod peer;
mod servers;
mod wkd;

use keydir::Scheme;
use keydir::Subject;
use ldap::LdapTls;
use net::https::FetchError;
use net::https::Https;

use crate::config::Source;
use crate::config::SourceKind;

/// Most octets of one answer; what gpg takes from a Web Key Directory.
const ANSWER_MAX: usize = 256 * 1024;

/// A mailbox, split, with the domain in lower-case A-labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) subject: Subject,
    pub(crate) whole: String,
    pub(crate) local: String,
    pub(crate) domain: String,
}

impl Asked {
    /// Nothing if the text is no plain `local@domain`.
    pub(crate) fn new(address: &str) -> Option<Self> {
        let subject = Subject::address(address)?;
        let whole = subject.to_string();
        let (local, domain) = whole.split_once('@')?;
        let (local, domain) = (local.to_owned(), domain.to_owned());
        Some(Self { subject, whole, local, domain })
    }

    /// Under what sightings are kept: local parts are compared without regard to ASCII case.
    pub(crate) fn folded(&self) -> String {
        self.whole.to_ascii_lowercase()
    }
}

/// What a source said, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It has something.
    Something(Haul),
    /// It certainly has nothing.
    Nothing {
        /// How long this may be kept at most, seconds.
        ttl: Option<u32>,
    },
    /// Nobody knows.
    Trouble(String),
}

/// Certificates as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Haul {
    /// Pieces of OpenPGP, binary or armored, each with one certificate or more.
    pub(crate) openpgp: Vec<Vec<u8>>,
    /// X.509 certificates in DER.
    pub(crate) smime: Vec<Vec<u8>>,
    /// What is said to prove that the domain's log announced them; JSON.
    pub(crate) proof: Option<String>,
    /// How long this may be kept at most, seconds.
    pub(crate) ttl: Option<u32>,
}

impl Haul {
    /// One piece of OpenPGP.
    fn openpgp(bytes: Vec<u8>) -> Self {
        Self { openpgp: vec![bytes], ..Self::default() }
    }
}

/// An answer with what was noticed on the way, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) said: Said,
    pub(crate) notes: Vec<String>,
}

impl Reply {
    fn new(said: Said) -> Self {
        Self { said, notes: Vec::new() }
    }

    fn nothing() -> Self {
        Self::new(Said::Nothing { ttl: None })
    }

    fn trouble(why: impl Into<String>) -> Self {
        Self::new(Said::Trouble(why.into()))
    }

    fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.insert(0, note.into());
        self
    }
}

impl From<FetchError> for Reply {
    fn from(error: FetchError) -> Self {
        Self::trouble(error.chain())
    }
}

/// Asks all kinds of sources.
#[derive(Clone, Debug)]
pub(crate) struct Messenger {
    https: Https,
    ldap: LdapTls,
}

impl Messenger {
    pub(crate) fn new(https: Https) -> Self {
        let ldap = LdapTls::new(https.tls());
        Self { https, ldap }
    }

    /// Asks one source within its deadline.
    pub(crate) async fn ask(&self, source: &Source, asked: &Asked, scheme: Scheme) -> Reply {
        let deadline = source.deadline;
        let answer = async {
            match &source.kind {
                SourceKind::Peer(base) => peer::ask(&self.https, base, asked, deadline).await,
                SourceKind::Wkd => wkd::ask(&self.https, asked, deadline).await,
                SourceKind::Dane => dane::ask(self.https.dns(), asked, scheme).await,
                SourceKind::Ldap(directory) => ldap::ask(&self.ldap, directory, asked, deadline).await,
                SourceKind::Hkp(base) => servers::hkp(&self.https, base, asked, deadline).await,
                SourceKind::Vks(base) => servers::vks(&self.https, base, asked, deadline).await,
            }
        };
        match tokio::time::timeout(deadline, answer).await {
            Ok(reply) => reply,
            Err(_) => Reply::trouble(format!("no answer within {} s", deadline.as_secs_f32())),
        }
    }
}
