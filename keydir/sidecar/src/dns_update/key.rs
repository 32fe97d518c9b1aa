//! The key that is shared with the name server.

use std::fmt;
use std::fs;
use std::path::Path;

use domain::base::name::Name;
use program::Exit;

/// A key for TSIG with HMAC-SHA-256.
#[derive(Clone)]
pub(super) struct TsigKey {
    pub(super) name: Name<Vec<u8>>,
    pub(super) secret: Vec<u8>,
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsigKey").field("name", &self.name.to_string()).finish_non_exhaustive()
    }
}

impl TsigKey {
    /// Reads a file of the form `key "NAME" { algorithm hmac-sha256; secret "BASE64"; };`.
    ///
    /// # Errors
    /// Exit 78 if the file cannot be read or is no such key.
    pub(super) fn load(path: &Path) -> Result<Self, Exit> {
        let text = fs::read_to_string(path)
            .map_err(|error| Exit::config(format!("cannot read {}: {error}", path.display())))?;
        Self::parse(&text).map_err(|why| Exit::config(format!("{}: {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let lines = lines.filter(|line| !line.trim_start().starts_with('#'));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let spaced = text.replace(['{', '}', ';'], " ");
        let words: Vec<&str> = spaced.split_whitespace().map(|word| word.trim_matches('"')).collect();
        let after = |what: &str| {
            let at = words.iter().position(|word| *word == what)?;
            words.get(at + 1).copied()
        };
        let algorithm = after("algorithm").ok_or("there is no `algorithm`")?;
        if !algorithm.trim_end_matches('.').eq_ignore_ascii_case("hmac-sha256") {
            return Err(format!("the algorithm is {algorithm}; only hmac-sha256 is supported"));
        }
        let name = after("key").ok_or("there is no `key`")?;
        let name =
            name.to_ascii_lowercase().parse::<Name<Vec<u8>>>().map_err(|error| format!("{name}: {error}"))?;
        let secret = after("secret").ok_or("there is no `secret`")?;
        let secret =
            base64_simd::STANDARD.decode_to_vec(secret).map_err(|_| "the secret is not in base64")?;
        if secret.len() < 16 {
            return Err("the secret is shorter than 128 bits".to_owned());
        }
        Ok(Self { name, secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_tsig_keygen_is_read() {
        let key = TsigKey::parse(
            "# a key\nkey \"Gatepost.\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0IHNlY3JldCBzZWNyZXQ=\";\n};\n",
        );
        let key = key.unwrap();
        assert_eq!(key.name.to_string(), "gatepost");
        assert_eq!(key.secret, b"secret secret secret");
        assert!(!format!("{key:?}").contains("secret"));
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        for (text, why) in [
            ("", "algorithm"),
            ("key a { algorithm hmac-md5; secret \"AAAA\"; };", "hmac-sha256"),
            ("key a { algorithm hmac-sha256; secret \"AAAA\"; };", "128 bits"),
            ("key a { algorithm hmac-sha256; secret \"?\"; };", "base64"),
            ("key a..b { algorithm hmac-sha256; secret \"c2VjcmV0IHNlY3JldCBzZWNyZXQ=\"; };", "a..b"),
        ] {
            let refused = TsigKey::parse(text).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
