//! A message as it lies in a Maildir.

use std::path::Path;

/// A delivered message: the file's bytes, with Postfix's LF line ends.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail(pub Vec<u8>);

impl Mail {
    /// All messages of a Maildir, oldest first. A Maildir that does not exist yet is empty.
    pub(crate) fn all(maildir: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(maildir.join("new")) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
        paths.sort_by_key(|entry| (entry.metadata().unwrap().modified().unwrap(), entry.file_name()));
        paths.iter().map(|entry| Self(std::fs::read(entry.path()).unwrap())).collect()
    }

    /// Text of the whole message, for reading and searching.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// The values of all header fields of this name, unfolded and trimmed, in order.
    pub fn fields(&self, name: &str) -> Vec<String> {
        let unfolded = self.header().replace("\n ", " ").replace("\n\t", " ");
        let named = unfolded.lines().filter_map(|line| line.split_once(':'));
        named
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    }

    /// The first header field of this name.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields(name).into_iter().next()
    }

    /// The header section, with LF line ends.
    pub fn header(&self) -> String {
        let text = self.text();
        text.split_once("\n\n").map_or(text.clone(), |(header, _)| format!("{header}\n"))
    }

    /// What follows the first empty line.
    pub fn body(&self) -> &[u8] {
        let end = self.0.windows(2).position(|pair| pair == b"\n\n");
        end.and_then(|end| self.0.get(end + 2..)).unwrap_or_default()
    }

    /// The message as it was sent `hops` Postfix instances ago, with CRLF line ends: without what they
    /// put on top (Return-Path, X-Original-To and Delivered-To, and one Received for each hop).
    pub fn as_sent(&self, hops: usize) -> Vec<u8> {
        let ours: [&[u8]; 3] = [b"return-path:", b"x-original-to:", b"delivered-to:"];
        let mut rest = self.0.as_slice();
        let mut received = 0;
        let mut inside_ours = false;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            let lower = line.to_ascii_lowercase();
            let folded = line.starts_with(b" ") || line.starts_with(b"\t");
            let new_hop = lower.starts_with(b"received:");
            received += usize::from(new_hop);
            inside_ours = folded && inside_ours
                || new_hop && received <= hops
                || ours.iter().any(|name| lower.starts_with(name));
            if !inside_ours {
                break;
            }
            rest = after;
        }
        let mut sent = Vec::with_capacity(rest.len() + rest.len() / 40);
        for &byte in rest {
            if byte == b'\n' {
                sent.push(b'\r');
            }
            sent.push(byte);
        }
        sent
    }
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_postfix_added_are_taken_off() {
        let mail = Mail(
            b"Return-Path: <a@b>\nReceived: from x\n\tby y\nReceived: from y\n by z\nSubject: one\n two\n\nbody\n"
                .to_vec(),
        );
        assert_eq!(mail.as_sent(2), b"Subject: one\r\n two\r\n\r\nbody\r\n");
        assert!(mail.as_sent(1).starts_with(b"Received: from y\r\n by z\r\nSubject"));
        assert_eq!(mail.field("subject").as_deref(), Some("one two"));
        assert_eq!(mail.fields("Received").len(), 2);
        assert_eq!(mail.body(), b"body\n");
    }
}
