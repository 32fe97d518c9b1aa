//! Directory servers by LDAP: who has this mail address, exactly, and which certificates.
//!
//! The servers are the administrator's. The library fails assertions on malformed answers, so it runs in a task of
//! its own; what it receives is bounded by the server's size limit and by time.

use std::sync::Arc;
use std::time::Duration;

use ldap3::LdapConnAsync;
use ldap3::LdapConnSettings;
use ldap3::LdapError;
use ldap3::Scope;
use ldap3::SearchEntry;
use ldap3::SearchOptions;
use ldap3::ldap_escape;
use rustls::ClientConfig;

use super::Asked;
use super::Haul;
use super::Reply;
use super::Said;
use crate::config::Directory;

/// Most entries of one answer: a mailbox belongs to one person, perhaps in two places.
const ENTRIES_MAX: i32 = 8;
/// The attribute (RFC 4523 section 2.1); it must be asked for as binary.
const ATTRIBUTE: &str = "userCertificate;binary";

/// TLS towards directory servers.
#[derive(Clone, Debug)]
pub(super) struct LdapTls(Arc<ClientConfig>);

impl LdapTls {
    /// The same authorities as for HTTPS, without its protocol name.
    pub(super) fn new(https: &ClientConfig) -> Self {
        let mut config = https.clone();
        config.alpn_protocols.clear();
        Self(Arc::new(config))
    }
}

pub(super) async fn ask(tls: &LdapTls, directory: &Directory, asked: &Asked, deadline: Duration) -> Reply {
    let filter = format!("(mail={})", ldap_escape(asked.whole.as_str()));
    let note = format!("{} {filter}", directory.url);
    let task = {
        let (tls, directory) = (tls.clone(), directory.clone());
        tokio::spawn(async move { search(&tls, &directory, &filter, deadline).await })
    };
    let abort = task.abort_handle();
    let _ended = Ended(abort);
    let reply = match task.await {
        Ok(Ok(smime)) if smime.is_empty() => Reply::nothing(),
        Ok(Ok(smime)) => Reply::new(Said::Something(Haul { smime, ..Haul::default() })),
        Ok(Err(error)) => Reply::trouble(error.to_string()),
        Err(_) => Reply::trouble("the server gave a malformed answer"),
    };
    reply.noting(note)
}

/// Ends the task when nobody waits for it any more.
struct Ended(tokio::task::AbortHandle);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn search(
    tls: &LdapTls,
    directory: &Directory,
    filter: &str,
    deadline: Duration,
) -> Result<Vec<Vec<u8>>, LdapError> {
    let mut settings = LdapConnSettings::new().set_conn_timeout(deadline).set_starttls(directory.starttls);
    if directory.starttls || directory.url.scheme() == "ldaps" {
        settings = settings.set_config(Arc::clone(&tls.0));
    }
    let (connection, mut ldap) = LdapConnAsync::from_url_with_settings(settings, &directory.url).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.drive().await {
            tracing::debug!("the LDAP connection ended: {error}");
        }
    });
    let _ended = Ended(driver.abort_handle());
    if let Some((dn, password)) = &directory.bind {
        ldap.with_timeout(deadline).simple_bind(dn, password).await?.success()?;
    }
    let seconds = i32::try_from(deadline.as_secs()).unwrap_or(i32::MAX).max(1);
    let options = SearchOptions::new().sizelimit(ENTRIES_MAX).timelimit(seconds);
    let (entries, _) = ldap
        .with_search_options(options)
        .with_timeout(deadline)
        .search(&directory.base, Scope::Subtree, filter, vec![ATTRIBUTE])
        .await?
        .success()?;
    let _ = ldap.unbind().await;
    // References to other servers are not followed.
    let entries = entries.into_iter().filter(|entry| !entry.is_ref()).map(SearchEntry::construct);
    Ok(entries.flat_map(certificates).collect())
}

/// All values of the attribute; its name has no case, and some servers leave `;binary` out.
fn certificates(entry: SearchEntry) -> Vec<Vec<u8>> {
    let ours =
        |name: &String| name.eq_ignore_ascii_case(ATTRIBUTE) || name.eq_ignore_ascii_case("userCertificate");
    let binary = entry.bin_attrs.into_iter().filter(|(name, _)| ours(name)).flat_map(|(_, values)| values);
    let text = entry.attrs.into_iter().filter(|(name, _)| ours(name)).flat_map(|(_, values)| values);
    binary.chain(text.map(String::into_bytes)).collect()
}
