//! `gatepost check-config`.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use program::{Exit, output};

use crate::config::Config;
use crate::relay::config::RelayConfig;
use crate::relay::room;

/// Checks the configuration file.
///
/// # Errors
/// Exit 78 with every mistake.
pub fn check(path: &Path) -> Result<(), Exit> {
    let config = Config::load(path)?;
    output::line(&format!("{}: ok, policy {}", path.display(), config.policy.digest()))?;
    for warning in warnings(&config) {
        output::line(&format!("warning: {warning}"))?;
    }
    Ok(())
}

/// What is allowed, and hardly meant.
fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if config.gateway.reinject.is_none() && config.policy.needs_body() {
        found.push(
            "no `reinject` listener: a message whose recipients need different treatment is deferred"
                .to_owned(),
        );
    }
    found.extend(config.relay.iter().flat_map(relay_warnings));
    found
}

fn relay_warnings(relay: &RelayConfig) -> Vec<String> {
    let mut found = Vec::new();
    if relay.policy_listen.is_empty() && relay.lmtp_listen.is_none() {
        found.push("[relay] has neither `policy_listen` nor `lmtp_listen`: no MTA asks for roads".to_owned());
    }
    if relay.reports.contact.is_some() {
        match (room::signer(&relay.reports), &relay.reports.dkim_key) {
            (Err(exit), _) => found.push(exit.message),
            (Ok(_), None) => {
                found.push("[relay.reports] has no `dkim_key`: no TLS report goes by mail".to_owned())
            }
            (Ok(_), Some(key)) if is_open_to_others(key) => {
                found.push(format!("{} is open to others: chmod 600", key.display()));
            }
            _ => {}
        }
    }
    for host in relay.own.iter().flat_map(|own| &own.hosts) {
        for file in std::iter::once(&host.certificate).chain(&host.next) {
            if let Err(error) = File::open(file) {
                found.push(format!("cannot read {}: {error}", file.display()));
            }
        }
    }
    found
}

fn is_open_to_others(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn warned(relay: &str) -> Vec<String> {
        let gateway = "[gateway]\nname = \"mx.alpha.example\"\ndomains = [\"alpha.example\"]\nreinject = \"127.0.0.1:1\"\n\
                       listen = [\"inet:127.0.0.1:8891\"]\nstate = \"/var/lib/gatepost\"\n";
        warnings(&Config::parse("gatepost.toml", &format!("{gateway}{relay}")).unwrap())
    }

    #[test]
    fn a_relay_that_nobody_asks_is_told() {
        assert!(warned("").is_empty());
        let told = warned("[relay]\n");
        assert_eq!(told, ["[relay] has neither `policy_listen` nor `lmtp_listen`: no MTA asks for roads"]);
        assert!(warned("[relay]\nlmtp_listen = \"2424\"\n").is_empty());
        assert!(warned("[relay]\npolicy_listen = [\"inet:127.0.0.1:8461\"]\n").is_empty());
    }

    #[test]
    fn files_that_are_not_there_or_open_to_others_are_told() {
        let relay = |reports: &str| warned(&format!("[relay]\nlmtp_listen = \"2424\"\n{reports}"));
        let contact = "[relay.reports]\ncontact = \"tls@alpha.example\"\n";
        assert_eq!(relay(contact), ["[relay.reports] has no `dkim_key`: no TLS report goes by mail"]);
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("dkim.pem");
        let with_key = format!("{contact}dkim_key = \"{}\"\n", key.display());
        assert!(relay(&with_key)[0].starts_with("cannot read /"), "{:?}", relay(&with_key));
        fs::write(&key, "no key").unwrap();
        assert!(relay(&with_key)[0].contains("is no key for DKIM"), "{:?}", relay(&with_key));
        let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]).output().unwrap();
        fs::write(&key, made.stdout).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(relay(&with_key), [format!("{} is open to others: chmod 600", key.display())]);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(relay(&with_key).is_empty());
        let own =
            "[relay.own.\"alpha.example\"]\nhosts = [\"mx.alpha.example /nowhere/a.pem /nowhere/b.pem\"]\n";
        let told = relay(own);
        assert_eq!(told.len(), 2);
        assert!(told[1].starts_with("cannot read /nowhere/b.pem: No such file"), "{told:?}");
    }
}
