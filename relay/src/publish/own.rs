//! What we have, and what follows from it.

use sha2::Digest;
use sha2::Sha256;

use super::certificate::Certificate;
use super::certificate::Key;
use super::record::Data;
use super::record::Record;
use crate::sts::Mode;
use crate::tlsrpt::Rua;

/// Our own domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The domain of our addresses, lower-case A-labels.
    pub domain: String,
    /// Its mail hosts.
    pub hosts: Vec<OwnHost>,
    /// The MTA-STS policy, if there is to be one.
    pub sts: Option<OwnSts>,
    /// Where we want TLS reports.
    pub reports: Vec<Rua>,
    /// Name and text of the DKIM key that signs our own TLS reports.
    pub dkim: Option<(String, String)>,
    /// TTL of these records, seconds.
    pub ttl: u32,
}

/// One mail host of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnHost {
    /// MX name, lower-case A-labels.
    pub name: String,
    /// 25, but for tests.
    pub port: u16,
    /// The certificate in use.
    pub current: Certificate,
    /// The key of the next one, if it is made already.
    pub next: Option<Key>,
}

/// Our MTA-STS policy (RFC 8461 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSts {
    /// Enforcement.
    pub mode: Mode,
    /// Life time, seconds.
    pub max_age: u32,
    /// MX patterns; empty for the names of our hosts.
    pub mx: Vec<String>,
}

impl Own {
    /// Every record that should be published.
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.hosts.iter().flat_map(|host| self.tlsa(host)).collect();
        records.extend(self.sts_record());
        records.extend(self.tlsrpt_record());
        records.extend(self.dkim_record());
        records
    }

    /// The TLSA records of one host: for the certificate in use and for the next.
    pub fn tlsa(&self, host: &OwnHost) -> Vec<Record> {
        let next = host.next.filter(|next| *next != host.current.key);
        let keys = [Some(host.current.key), next];
        keys.into_iter().flatten().map(|key| self.tlsa_record(host, key)).collect()
    }

    pub(super) fn tlsa_record(&self, host: &OwnHost, key: Key) -> Record {
        self.record(format!("_{}._tcp.{}", host.port, host.name), Data::Tlsa(key.tlsa()))
    }

    /// The text of `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`.
    pub fn policy(&self) -> Option<String> {
        let OwnSts { mode, max_age, .. } = self.sts.as_ref()?;
        let mode = match mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let patterns: String = self.patterns().iter().map(|pattern| format!("mx: {pattern}\r\n")).collect();
        Some(format!("version: STSv1\r\nmode: {mode}\r\n{patterns}max_age: {max_age}\r\n"))
    }

    /// The MX patterns of the policy.
    pub(super) fn patterns(&self) -> Vec<String> {
        match &self.sts {
            Some(sts) if !sts.mx.is_empty() => sts.mx.clone(),
            Some(_) => self.hosts.iter().map(|host| host.name.clone()).collect(),
            None => Vec::new(),
        }
    }

    /// The `id` of the policy: 32 digits of the digest of its text, so that it changes when the policy does, and
    /// only then.
    pub fn policy_id(&self) -> Option<String> {
        let digest = Sha256::digest(self.policy()?);
        Some(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    pub(super) fn sts_record(&self) -> Option<Record> {
        let id = self.policy_id()?;
        Some(self.record(format!("_mta-sts.{}", self.domain), Data::Txt(format!("v=STSv1; id={id};"))))
    }

    pub(super) fn tlsrpt_record(&self) -> Option<Record> {
        let uris: Vec<String> = self.reports.iter().map(Rua::to_string).collect();
        let text = format!("v=TLSRPTv1; rua={}", uris.join(","));
        (!uris.is_empty()).then(|| self.record(format!("_smtp._tls.{}", self.domain), Data::Txt(text)))
    }

    pub(super) fn dkim_record(&self) -> Option<Record> {
        let (name, text) = self.dkim.as_ref()?;
        Some(self.record(name.clone(), Data::Txt(text.clone())))
    }

    fn record(&self, name: String, data: Data) -> Record {
        Record { name, ttl: self.ttl, data }
    }
}
