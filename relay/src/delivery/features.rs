//! What a host says it can do (RFC 5321 section 4.1.1.1).

/// The extensions of an EHLO reply that we know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    /// The name with which the host greets.
    pub(super) greeting: String,
    pub(super) chunking: bool,
    pub(super) dsn: bool,
    pub(super) eight_bit: bool,
    pub(super) pipelining: bool,
    pub(super) require_tls: bool,
    pub(super) size: bool,
    /// The largest message, octets; nothing if the host names none.
    pub(super) size_limit: Option<u64>,
    pub(super) smtputf8: bool,
    pub(super) starttls: bool,
}

impl Features {
    /// Reads the lines of the reply behind their codes.
    pub(super) fn read(lines: &[String]) -> Self {
        let mut features = Self::default();
        let mut lines = lines.iter();
        if let Some(greeting) = lines.next() {
            features.greeting =
                greeting.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        }
        for line in lines {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "8BITMIME" => features.eight_bit = true,
                "CHUNKING" => features.chunking = true,
                "DSN" => features.dsn = true,
                "PIPELINING" => features.pipelining = true,
                "REQUIRETLS" => features.require_tls = true,
                "SIZE" => {
                    features.size = true;
                    // Zero means that there is no fixed limit (RFC 1870 section 4).
                    let limit = words.next().and_then(|limit| limit.parse().ok());
                    features.size_limit = limit.filter(|limit| *limit != 0);
                }
                "SMTPUTF8" => features.smtputf8 = true,
                "STARTTLS" => features.starttls = true,
                _ => {}
            }
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case_and_the_rest_is_ignored() {
        let lines =
            ["MX.Example.org at your service", "size 35882577", "8bitmime", "AUTH PLAIN", "", "StartTLS"];
        let features = Features::read(&lines.map(ToOwned::to_owned));
        assert_eq!(features.greeting, "mx.example.org");
        assert_eq!(features.size_limit, Some(35_882_577));
        assert!(features.eight_bit && features.starttls && features.size);
        assert!(!features.pipelining && !features.chunking);
        for endless in ["SIZE", "SIZE 0", "SIZE x", "SIZE 99999999999999999999999"] {
            let features = Features::read(&["x".to_owned(), endless.to_owned()]);
            assert_eq!((features.size, features.size_limit), (true, None), "{endless}");
        }
    }
}
