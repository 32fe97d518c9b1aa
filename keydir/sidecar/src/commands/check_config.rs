//! `gatepost-keydir check-config`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use program::{Exit, chain, output};

use crate::config::{Config, Place, Submissions};
use crate::tls::Certificates;

/// Checks the configuration file.
///
/// # Errors
/// Exit 78 with every mistake.
pub fn run(path: &Path) -> Result<(), Exit> {
    let config = Config::load(path)?;
    output::line(&format!("{}: ok", path.display()))?;
    for warning in warnings(&config) {
        output::line(&format!("warning: {warning}"))?;
    }
    Ok(())
}

/// What is allowed, and hardly meant.
fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if let Err(error) = Certificates::load(&config.tls) {
        found.push(chain(&error));
    }
    for files in &config.tls {
        if fs::metadata(&files.key).is_ok_and(|about| about.permissions().mode() & 0o007 != 0) {
            found.push(format!("{} is open to others: chmod 600", files.key.display()));
        }
    }
    if !config.publication.is_dir() {
        let place = config.publication.display();
        found.push(format!("{place} is not there yet: the gateway makes it with `gatepost keys publish`"));
    }
    let is_behind_unix = config.listen.iter().any(|endpoint| matches!(endpoint.place, Place::Unix(_)));
    if is_behind_unix && !config.trusted_proxies.trusts(None) {
        found.push(
            "a unix socket without `trusted_proxies = [\"unix\"]`: all who come through it share one client's limits"
                .to_owned(),
        );
    }
    let submissions = config.publication.join("submissions");
    if config.hkp.submissions == Submissions::Pending && !submissions.is_dir() {
        found.push(format!("submissions = \"pending\", but {} is not there", submissions.display()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hardly_meant_is_told() {
        let text = "[directory]\npublication = \"/nowhere\"\nlisten = [\"unix:/run/x\"]\n[[tls]]\n\
                    certificate = \"/nowhere/a.pem\"\nkey = \"/nowhere/a.key\"\n[hkp]\nsubmissions = \"pending\"\n";
        let told = warnings(&Config::parse("keydir.toml", text).unwrap());
        for part in [
            "cannot read certificates from /nowhere/a.pem",
            "/nowhere is not there",
            "share one client's",
            "/nowhere/submissions",
        ] {
            assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:?}");
        }
    }
}
