//! The `[ca]` section: what the local authority is called and where it publishes.

use std::net::SocketAddr;

use keydir::AuthoritySettings;
use policy::Section;

use crate::config::socket_address;

/// The `[ca]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaConfig {
    /// Name of the organisation, in all certificates.
    pub organisation: Option<String>,
    /// Where revocation lists, certificates and the OCSP responder can be reached, without a slash at the end;
    /// it stands in every certificate.
    pub url: Option<String>,
    /// Listener for them.
    pub listen: Option<SocketAddr>,
    /// Days that leaf certificates live.
    pub leaf_days: Option<u32>,
}

impl CaConfig {
    /// Takes the section; nothing in it is needed.
    pub fn take(section: &mut Section) -> Self {
        let days = section.take_integer("leaf_days", 1, 825);
        Self {
            organisation: section.take_parsed("organisation", organisation).map(|v| v.value),
            url: section.take_parsed("url", url).map(|v| v.value),
            listen: section.take_parsed("listen", socket_address).map(|v| v.value),
            leaf_days: days.and_then(|days| u32::try_from(days.value).ok()),
        }
    }

    /// What the authority is made with.
    pub fn settings(&self, domains: &[String]) -> AuthoritySettings {
        let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
        let organisation = self.organisation.as_deref().or(domains.first().copied()).unwrap_or_default();
        let mut settings = AuthoritySettings::new(organisation, &domains);
        if let Some(url) = &self.url {
            settings.crl_url = Some(format!("{url}/{{issuer}}.crl"));
            settings.issuer_url = Some(format!("{url}/{{issuer}}.cer"));
            settings.ocsp_url = Some(format!("{url}/ocsp"));
        }
        if let Some(days) = self.leaf_days {
            settings.leaf_days = days;
        }
        settings
    }
}

fn organisation(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 64 || text.chars().any(char::is_control) {
        return Err("must have 1 to 64 characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Plain HTTP, so that fetching a revocation list needs no certificate that it could revoke (RFC 5280
/// section 4.2.1.13).
fn url(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let valid = text.strip_prefix("http://").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}<>\"?#".contains(&byte))
    });
    if valid { Ok(text.to_owned()) } else { Err(format!("`{text}` must be http://host/path")) }
}
