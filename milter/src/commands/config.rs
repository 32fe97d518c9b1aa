//! `gatepost check-config`.

use std::path::Path;

use crate::commands::output;
use crate::config::Config;
use crate::exit::Exit;

/// Checks the configuration file.
///
/// # Errors
/// Exit 78 with every mistake.
pub fn check(path: &Path) -> Result<(), Exit> {
    let config = Config::load(path)?;
    output::line(&format!("{}: ok, policy {}", path.display(), config.policy.digest()))?;
    if config.gateway.reinject.is_none() && config.policy.needs_body() {
        output::line(
            "warning: no `reinject` listener: a message whose recipients need different treatment is deferred",
        )?;
    }
    Ok(())
}
