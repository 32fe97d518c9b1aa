//! `gatepost filter`: the daemon's own path, without a daemon or an MTA.

use serde_json::Value;

use crate::gatepost::Gatepost;
use crate::process::directory;

/// What `gatepost filter` made of one message.
#[derive(Clone, Debug)]
pub struct Trial {
    /// disposition.json.
    pub report: Value,
    /// The forms of the message, the original's first.
    pub copies: Vec<Copy>,
}

/// One form of the message.
#[derive(Clone, PartialEq, Eq)]
pub struct Copy {
    /// Who gets it.
    pub recipients: Vec<String>,
    /// What was done to it: `pass`, `open`, `sign`, `encrypt`, `sign+encrypt`.
    pub action: String,
    /// The message.
    pub message: Vec<u8>,
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let message = String::from_utf8_lossy(&self.message);
        write!(f, "{} for {:?}:\n{message}", self.action, self.recipients)
    }
}

impl Trial {
    /// `continue`, `reject`, `tempfail`, `discard` or `quarantine`.
    pub fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap()
    }

    /// The SMTP reply, if the message is refused; else empty.
    pub fn reply(&self) -> &str {
        self.report["reply"].as_str().unwrap_or_default()
    }

    /// Recipients refused at RCPT, with the reply.
    pub fn refused(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let refused = self.report["refused"].as_array().unwrap().iter();
        refused.map(|one| (text(&one["recipient"]), text(&one["reply"]))).collect()
    }

    /// The only form of a message that goes on.
    ///
    /// # Panics
    /// If it does not go on, or in several forms.
    #[track_caller]
    pub fn only(&self) -> &Copy {
        assert_eq!((self.verdict(), self.copies.len()), ("continue", 1), "{:#}", self.report);
        &self.copies[0]
    }

    /// The form that a recipient gets.
    ///
    /// # Panics
    /// If there is not exactly one.
    #[track_caller]
    pub fn copy_for(&self, address: &str) -> &Copy {
        let mut copies = self.copies.iter().filter(|copy| copy.recipients.iter().any(|to| to == address));
        let copy = copies.next().unwrap_or_else(|| panic!("nothing for {address}: {:#}", self.report));
        assert!(copies.next().is_none(), "several for {address}: {:#}", self.report);
        copy
    }
}

impl Gatepost {
    /// Treats a message as the daemon would: `words` are further arguments, such as `["--auth", "alice"]`.
    /// The daemon need not run.
    ///
    /// # Panics
    /// If the command fails; a refusal of the message is no failure.
    #[track_caller]
    pub fn filter(&self, from: &str, to: &[&str], words: &[&str], message: &[u8]) -> Trial {
        let out = directory("filter");
        let mut arguments = vec!["filter", "--from", from, "--out", out.path().to_str().unwrap()];
        arguments.extend(to.iter().flat_map(|address| ["--to", address]));
        arguments.extend(words);
        self.command_with(&arguments, message).success();
        let read = |name: &str| std::fs::read(out.path().join(name)).unwrap();
        let report: Value = serde_json::from_slice(&read("disposition.json")).unwrap();
        let copies = report["copies"].as_array().unwrap().iter().map(|copy| Copy {
            recipients: serde_json::from_value(copy["recipients"].clone()).unwrap(),
            action: copy["action"].as_str().unwrap().to_owned(),
            message: read(copy["file"].as_str().unwrap()),
        });
        Trial { copies: copies.collect(), report }
    }

    /// The same for mail of one of our own users, who logged in.
    #[track_caller]
    pub fn filter_ours(&self, from: &str, to: &[&str], message: &[u8]) -> Trial {
        self.filter(from, to, &["--auth", from], message)
    }
}
