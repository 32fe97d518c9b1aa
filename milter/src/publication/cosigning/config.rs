//! Who is asked to cosign our key log, and how many are enough.

use std::fs;
use std::path::Path;

use policy::{Position, Section};
use program::chain;
use tlog::key::{Algorithm, VerifierKey};
use tlog::policy::{MAX_POLICY, Policy};
use url::Url;

use crate::config::absolute;

/// Most witnesses that are asked.
const WITNESSES_MAX: usize = 32;

/// Whom to ask, and what is a quorum.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// Who is believed; says what a quorum is.
    pub policy: Policy,
    /// Those that can be asked.
    pub asked: Vec<Asked>,
    /// The policy as text, by which two of them are compared.
    text: Vec<u8>,
}

/// A witness that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The key with which it cosigns.
    pub key: VerifierKey,
    /// Where it takes checkpoints: ends with `/add-checkpoint`.
    pub url: Url,
}

impl PartialEq for Witnesses {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Witnesses {}

impl Witnesses {
    /// Takes `[[keydir.witnesses]]` and `witness_quorum`, or `witness_policy`. `None` if there are none or one is wrong;
    /// the section then holds the mistake.
    pub fn take(section: &mut Section) -> Option<Self> {
        let at = section.position_of("witness_policy");
        let file = section.take_parsed("witness_policy", read_policy);
        let quorum_at = section.position_of("witness_quorum");
        let quorum = section.take_integer("witness_quorum", 1, WITNESSES_MAX as i64).map(|it| it.value);
        let tables_at = section.position_of("witnesses");
        let lines = take_tables(section);
        match (at, tables_at, quorum_at) {
            (Some(_), Some(at), _) => {
                section.reject(at, "witnesses", "`witness_policy` already says who the witnesses are");
                None
            }
            (Some(_), _, Some(at)) => {
                section.reject(at, "witness_quorum", "`witness_policy` already says how many are enough");
                None
            }
            (Some(_), ..) => file.map(|it| it.value),
            (None, Some(at), _) => {
                let quorum = quorum.unwrap_or(i64::try_from(lines.len()).unwrap_or(i64::MAX));
                from_tables(section, at, &lines, quorum)
            }
            (None, None, Some(at)) => {
                section.reject(at, "witness_quorum", "there are no [[keydir.witnesses]]");
                None
            }
            (None, None, None) => None,
        }
    }

    /// Reads a policy (C2SP tlog-policy).
    ///
    /// # Errors
    /// In words.
    pub(super) fn parse(text: Vec<u8>) -> Result<Self, String> {
        let policy = Policy::parse(&text).map_err(|error| chain(&error))?;
        let mut asked = Vec::new();
        for witness in policy.witnesses() {
            let Some(url) = &witness.url else { continue };
            asked.push(Asked { key: witness.key.clone(), url: submission_url(url)? });
        }
        match asked.len() {
            0 => Err("no witness has a URL, so none can be asked".to_owned()),
            count if count > WITNESSES_MAX => Err(format!("more than {WITNESSES_MAX} witnesses")),
            _ => Ok(Self { policy, asked, text }),
        }
    }
}

fn read_policy(path: &str) -> Result<Witnesses, String> {
    let path = absolute(path)?;
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let about = fs::metadata(&path).map_err(unreadable)?;
    if about.len() > MAX_POLICY as u64 {
        return Err(format!("{} is larger than {MAX_POLICY} bytes", path.display()));
    }
    let text = fs::read(&path).map_err(unreadable)?;
    Witnesses::parse(text).map_err(|why| format!("{}: {why}", Path::new(&path).display()))
}

/// A line of a policy for each table.
fn take_tables(section: &mut Section) -> Vec<String> {
    let mut lines = Vec::new();
    for mut table in section.take_section_list("witnesses") {
        for key in ["key", "url"] {
            if !table.has(key) {
                table.missing(key);
            }
        }
        let key = table.take_parsed("key", witness_key);
        let url = table.take_parsed("url", submission_url);
        if let (Some(key), Some(url)) = (key, url) {
            lines.push(format!("witness {} {} {}\n", lines.len(), key.value, url.value));
        }
        section.close(table);
    }
    lines
}

fn from_tables(section: &mut Section, at: Position, lines: &[String], quorum: i64) -> Option<Witnesses> {
    let names: Vec<String> = (0..lines.len()).map(|name| name.to_string()).collect();
    let text = format!("{}group all {quorum} {}\nquorum all\n", lines.concat(), names.join(" "));
    match Witnesses::parse(text.into_bytes()) {
        Ok(witnesses) => Some(witnesses),
        // What is wrong with a table stands there.
        Err(_) if lines.is_empty() => None,
        Err(why) => {
            section.reject(at, "witnesses", why);
            None
        }
    }
}

fn witness_key(text: &str) -> Result<VerifierKey, String> {
    let key: VerifierKey = text.parse().map_err(|error| format!("`{text}`: {}", chain(&error)))?;
    match key.algorithm() {
        Algorithm::CosignatureV1 => Ok(key),
        _ => Err(format!("`{text}` is not the key of a witness")),
    }
}

/// Where checkpoints are sent, given the prefix that the witness told, or that with its last part.
fn submission_url(prefix: &str) -> Result<Url, String> {
    const LAST: &str = "/add-checkpoint";
    let prefix = prefix.trim_end_matches('/');
    let whole = format!("{}{LAST}", prefix.strip_suffix(LAST).unwrap_or(prefix));
    let url = Url::parse(&whole).map_err(|error| format!("`{prefix}`: {error}"))?;
    let asked = ["https", "http"].contains(&url.scheme()) && url.host_str().is_some();
    match asked && url.username().is_empty() && url.query().is_none() && url.fragment().is_none() {
        true => Ok(url),
        false => Err(format!("`{prefix}` is not an address such as https://keys.partner.example/witness")),
    }
}

#[cfg(test)]
mod tests {
    use policy::parse_document;
    use tlog::key::Cosigner;

    use super::*;

    fn take(text: &str) -> (Option<Witnesses>, String) {
        let mut root = parse_document("gatepost.toml", text).unwrap();
        let mut section = root.take_section("keydir");
        let taken = Witnesses::take(&mut section);
        root.close(section);
        (taken, root.finish().err().map(|errors| errors.to_string()).unwrap_or_default())
    }

    fn table(name: &str, url: &str) -> String {
        let key = Cosigner::generate(name).unwrap().verifier().to_string();
        format!("[[keydir.witnesses]]\nkey = \"{key}\"\nurl = \"{url}\"\n")
    }

    #[test]
    fn tables_are_a_policy() {
        let one = table("one.example/w", "https://one.example/witness/");
        let two = table("two.example/w", "http://[::1]:8080/w/add-checkpoint");
        let (taken, mistakes) = take(&format!("[keydir]\nwitness_quorum = 1\n{one}{two}"));
        assert_eq!(mistakes, "");
        let urls: Vec<String> = taken.unwrap().asked.iter().map(|asked| asked.url.to_string()).collect();
        assert_eq!(
            urls,
            ["https://one.example/witness/add-checkpoint", "http://[::1]:8080/w/add-checkpoint"]
        );
        assert_eq!(take("[keydir]\n"), (None, String::new()));
    }

    #[test]
    fn what_cannot_be_is_a_mistake_with_its_line() {
        let good = table("one.example/w", "https://one.example/witness");
        let log = tlog::key::Signer::generate("log.example").unwrap().verifier().to_string();
        for (text, expected) in [
            (format!("[keydir]\nwitness_quorum = 2\n{good}"), "threshold"),
            (format!("[keydir]\n{good}{good}"), "earlier line"),
            (table("one.example/w", "ftp://one.example/"), "is not an address"),
            (table("one.example/w", "https://one.example/?a"), "is not an address"),
            (
                format!("[[keydir.witnesses]]\nkey = \"{log}\"\nurl = \"https://a.example\"\n"),
                "key of a witness",
            ),
            ("[[keydir.witnesses]]\n".to_owned(), "missing key `url`"),
            ("[keydir]\nwitness_quorum = 2\n".to_owned(), "there are no"),
            ("[keydir]\nwitness_policy = \"/does/not/exist\"\n".to_owned(), "cannot read"),
        ] {
            let (taken, mistakes) = take(&text);
            assert!(taken.is_none() && mistakes.contains(expected), "{text}: {mistakes}");
        }
    }

    #[test]
    fn a_policy_file_says_it_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let keys = ["a", "b"].map(|name| Cosigner::generate(name).unwrap().verifier().to_string());
        let [a, b] = &keys;
        let path = file.path().display();
        fs::write(file.path(), format!("witness a {a} https://a.example/\nwitness b {b}\nquorum a\n"))
            .unwrap();
        let (taken, mistakes) = take(&format!("[keydir]\nwitness_policy = \"{path}\"\n"));
        assert_eq!(mistakes, "");
        let taken = taken.unwrap();
        assert_eq!((taken.asked.len(), taken.policy.witnesses().len()), (1, 2));
        let table = table("one.example/w", "https://one.example/witness");
        let (_, mistakes) = take(&format!("[keydir]\nwitness_policy = \"{path}\"\n{table}"));
        assert!(mistakes.contains("already says"), "{mistakes}");
        fs::write(file.path(), format!("witness b {b}\nquorum b\n")).unwrap();
        let (_, mistakes) = take(&format!("[keydir]\nwitness_policy = \"{path}\"\n"));
        assert!(mistakes.contains("no witness has a URL"), "{mistakes}");
        fs::write(file.path(), "witness b nonsense\n").unwrap();
        let (_, mistakes) = take(&format!("[keydir]\nwitness_policy = \"{path}\"\n"));
        assert!(mistakes.contains("line 1 of the policy"), "{mistakes}");
    }
}
