//! The configuration file, keydir.toml.

mod endpoint;
mod ldap;
mod limits;
mod proxies;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use policy::{ConfigErrors, Located, Section, parse_document};
use program::{Exit, chain};

pub use endpoint::{Endpoint, Place};
pub use ldap::{LdapConfig, LdapEndpoint};
pub use limits::LimitsConfig;
pub use proxies::Proxies;

/// Everything that the configuration file says.
#[derive(Clone, Debug)]
pub struct Config {
    /// The publication directory that the gateway writes and we read.
    pub publication: PathBuf,
    /// Where clients connect.
    pub listen: Vec<Endpoint>,
    /// Certificates for TLS; the first is shown to who asks for no name that any of them has.
    pub tls: Vec<TlsFiles>,
    /// Who may say for whom it asks.
    pub trusted_proxies: Proxies,
    /// Listener for `/metrics`, `/healthz` and `/readyz`.
    pub metrics: Option<SocketAddr>,
    /// The `[hkp]` section.
    pub hkp: HkpConfig,
    /// The `[limits]` section.
    pub limits: LimitsConfig,
    /// The `[ldap]` section.
    pub ldap: LdapConfig,
    /// The `[page]` section.
    pub page: PageConfig,
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those it was issued by, PEM.
    pub certificate: PathBuf,
    /// Its secret key, PEM.
    pub key: PathBuf,
}

/// The `[hkp]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HkpConfig {
    /// Whether key server look-ups are answered at all.
    pub serve: bool,
    /// What becomes of certificates that strangers submit.
    pub submissions: Submissions,
}

/// What becomes of certificates that strangers submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submissions {
    /// Refused.
    Off,
    /// Kept for the gateway, which checks them; nothing is published by this.
    Pending,
}

/// The `[page]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageConfig {
    /// Whether there is a page for people.
    pub serve: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Mistakes in it; one line each.
    #[error("{0}")]
    Mistakes(ConfigErrors),
}

impl From<LoadError> for Exit {
    fn from(error: LoadError) -> Self {
        Self::config(chain(&error))
    }
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or has mistakes: all of them are reported.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text =
            fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        Self::parse(&path.to_string_lossy(), &text).map_err(LoadError::Mistakes)
    }

    /// Checks a configuration text; `file` is its name in messages.
    ///
    /// # Errors
    /// All mistakes, in the order of the file.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        let mut root = parse_document(file, text)?;
        let tls = read_tls(&mut root);
        let mut section = root.take_section("hkp");
        let hkp = read_hkp(&mut section);
        root.close(section);
        let mut section = root.take_section("limits");
        let limits = LimitsConfig::take(&mut section);
        root.close(section);
        let mut section = root.take_section("ldap");
        let ldap = LdapConfig::take(&mut section, !tls.is_empty());
        root.close(section);
        let mut section = root.take_section("page");
        let page = PageConfig { serve: section.take_boolean("serve").is_none_or(value) };
        root.close(section);
        let mut section = root.take_section("directory");
        let directory = read_directory(&mut section, !tls.is_empty());
        root.close(section);
        root.finish()?;
        // Unreachable: a missing part has left its mistakes above. An empty list says no more.
        let (publication, listen, trusted_proxies, metrics) = directory.ok_or_else(ConfigErrors::default)?;
        Ok(Self { publication, listen, tls, trusted_proxies, metrics, hkp, limits, ldap, page })
    }
}

type DirectorySection = (PathBuf, Vec<Endpoint>, Proxies, Option<SocketAddr>);

/// `None` when a needed key is missing or wrong; the section then holds the mistake.
fn read_directory(section: &mut Section, has_tls: bool) -> Option<DirectorySection> {
    let absent = !section.has("publication");
    let publication = section.take_parsed("publication", absolute).map(value);
    if absent {
        section.missing("publication");
    }
    let at = section.position_of("listen");
    let listen = section.take_parsed_list("listen", str::parse::<Endpoint>);
    let listen: Vec<Endpoint> = listen.unwrap_or_default().into_iter().map(value).collect();
    match at {
        None => section.missing("listen"),
        Some(at) if listen.iter().any(|endpoint| endpoint.tls) && !has_tls => {
            section.reject(at, "listen", "`https:` needs a section [[tls]] with `certificate` and `key`");
        }
        Some(_) => {}
    }
    let proxies = section.take_parsed_list("trusted_proxies", proxies::entry).unwrap_or_default();
    let trusted_proxies = proxies.into_iter().map(value).collect();
    let metrics = section.take_parsed("metrics", socket_address).map(value);
    Some((publication?, listen, trusted_proxies, metrics))
}

fn read_tls(root: &mut Section) -> Vec<TlsFiles> {
    let mut all = Vec::new();
    for mut section in root.take_section_list("tls") {
        let mut file = |key: &'static str| {
            let absent = !section.has(key);
            let path = section.take_parsed(key, absolute).map(value);
            if absent {
                section.missing(key);
            }
            path
        };
        let (certificate, key) = (file("certificate"), file("key"));
        all.extend(certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key }));
        root.close(section);
    }
    all
}

fn read_hkp(section: &mut Section) -> HkpConfig {
    let serve = section.take_boolean("serve").is_none_or(value);
    let choices = [("off", Submissions::Off), ("pending", Submissions::Pending)];
    let submissions = section.take_choice("submissions", &choices).map_or(Submissions::Off, value);
    HkpConfig { serve, submissions }
}

fn value<T>(located: Located<T>) -> T {
    located.value
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("`{text}` must be an absolute path")) }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.replacen("localhost:", "127.0.0.1:", 1)
        .parse()
        .map_err(|_| format!("`{text}` is not address:port with an IP address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[directory]
publication = "/var/lib/gatepost-keydir"
listen = ["https:[::]:443", "http:127.0.0.1:8080", "unix:/run/gatepost-keydir/http", "https:systemd:web"]

[[tls]]
certificate = "/etc/gatepost/keydir.pem"
key = "/etc/gatepost/keydir.key"
"#;

    fn mistakes(text: &str) -> String {
        Config::parse("keydir.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_small_file_is_enough_and_defaults_are_safe() {
        let config = Config::parse("keydir.toml", GOOD).unwrap();
        assert_eq!(config.listen.len(), 4);
        assert_eq!(config.hkp, HkpConfig { serve: true, submissions: Submissions::Off });
        assert!(config.ldap.listen.is_empty() && config.metrics.is_none());
        assert!(!config.trusted_proxies.trusts(Some([127, 0, 0, 1].into())));
    }

    #[test]
    fn a_mistake_is_named_with_line_and_nearest_name() {
        let error = mistakes(&GOOD.replace("listen =", "lisden ="));
        assert!(error.contains("keydir.toml:4:1: unknown key `lisden`"), "{error}");
        assert!(error.contains("did you mean `listen`"), "{error}");
        let error = mistakes(&format!("{GOOD}[hkp]\nsubmissions = \"on\"\n"));
        assert!(error.contains("valid are off, pending"), "{error}");
    }

    #[test]
    fn every_missing_key_is_named_at_once() {
        let error = mistakes("[directory]\n[[tls]]\n");
        for key in ["publication", "listen", "certificate", "key"] {
            assert!(error.contains(&format!("missing key `{key}`")), "{error}");
        }
    }

    #[test]
    fn https_without_a_certificate_is_a_mistake() {
        let (without, _) = GOOD.split_once("[[tls]]").unwrap();
        assert!(mistakes(without).contains("needs a section [[tls]]"), "{}", mistakes(without));
    }
}
