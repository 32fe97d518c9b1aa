//! Content-Type and Content-Disposition: a value and its parameters (RFC 2045 section 5, RFC 2231).

use std::collections::BTreeMap;
use std::fmt;

use crate::encoded_word;

/// What kind of content an entity says it holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContentType {
    /// The top-level type in lower case, such as `text`.
    pub kind: String,
    /// The subtype in lower case, such as `plain`.
    pub subtype: String,
    /// Parameters, names in lower case, each name once: of several equal ones the first counts.
    pub params: Vec<(String, String)>,
}

impl ContentType {
    /// Reads a value. One that has no valid type counts as `text/plain` (RFC 2045 section 5.2).
    pub fn parse(value: &[u8]) -> Self {
        let (value, params) = parse_parameters(value);
        let (kind, subtype) = match value.split_once('/') {
            Some((kind, subtype)) if is_token(kind) && is_token(subtype) => (kind, subtype),
            _ => ("text", "plain"),
        };
        Self { kind: kind.to_ascii_lowercase(), subtype: subtype.to_ascii_lowercase(), params }
    }

    /// A type without parameters.
    pub(crate) fn of(kind: &str, subtype: &str) -> Self {
        Self { kind: kind.to_owned(), subtype: subtype.to_owned(), params: Vec::new() }
    }

    /// Whether this is `kind/subtype`, ignoring ASCII case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// The value of a parameter, ignoring the ASCII case of its name.
    pub fn param(&self, name: &str) -> Option<&str> {
        find(&self.params, name)
    }
}

/// The type alone, as `kind/subtype`.
impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.subtype)
    }
}

pub(crate) fn find<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Reads `value; name=value; ...`: what stands before the first semicolon, and the parameters.
pub(crate) fn parse_parameters(value: &[u8]) -> (String, Vec<(String, String)>) {
    let text = String::from_utf8_lossy(value);
    let mut scanner = Scanner { rest: &text };
    let first = scanner.value();
    let mut plain: Vec<(String, String)> = Vec::new();
    let mut pieces = Pieces::default();
    for _ in 0..PARAMETER_LIMIT {
        if !scanner.next_parameter() {
            break;
        }
        let name = scanner.name().to_ascii_lowercase();
        if name.is_empty() || !scanner.equals() {
            continue;
        }
        let value = scanner.value();
        match name.split_once('*') {
            Some((base, section)) => pieces.add(base, section, value),
            None if find(&plain, &name).is_none() => plain.push((name, value)),
            None => {}
        }
    }
    for (name, value) in pieces.join() {
        // The extended form is there because the plain one could not say it; a boundary always can.
        match plain.iter_mut().find(|(key, _)| *key == name) {
            Some(_) if name == "boundary" => {}
            Some(entry) => entry.1 = value,
            None => plain.push((name, value)),
        }
    }
    (first, plain)
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let first = chars.next();
        self.rest = chars.as_str();
        first
    }

    /// Skips blanks and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if !self.rest.starts_with('(') {
                return;
            }
            let mut depth = 0usize;
            while let Some(c) = self.take() {
                match c {
                    '\\' => drop(self.take()),
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
    }

    /// Goes behind the next semicolon.
    fn next_parameter(&mut self) -> bool {
        self.skip();
        match self.rest.find(';') {
            Some(at) => self.rest = self.rest.get(at + 1..).unwrap_or_default(),
            None => self.rest = "",
        }
        self.skip();
        !self.rest.is_empty()
    }

    fn name(&mut self) -> &'a str {
        let len = self.rest.find([';', '=', '(', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(len);
        self.rest = rest;
        name
    }

    fn equals(&mut self) -> bool {
        self.skip();
        let found = self.rest.strip_prefix('=');
        self.rest = found.unwrap_or(self.rest);
        self.skip();
        found.is_some()
    }

    /// A quoted string, or everything up to a blank, comment or semicolon.
    fn value(&mut self) -> String {
        self.skip();
        if !self.rest.starts_with('"') {
            let len = self.rest.find([';', '(', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(len);
            self.rest = rest;
            return value.to_owned();
        }
        self.take();
        let mut out = String::new();
        while let Some(c) = self.take() {
            match c {
                '"' => break,
                '\\' => out.extend(self.take()),
                c => out.push(c),
            }
        }
        out
    }
}

/// Parameters that come in numbered or extended pieces (RFC 2231 sections 3 and 4).
#[derive(Default)]
struct Pieces {
    by_name: BTreeMap<String, BTreeMap<usize, (bool, String)>>,
}

impl Pieces {
    fn add(&mut self, base: &str, section: &str, value: String) {
        let extended = section.is_empty() || section.ends_with('*');
        let number = section.strip_suffix('*').unwrap_or(section);
        let number = if number.is_empty() { Ok(0) } else { number.parse::<usize>() };
        let Ok(number) = number else { return };
        self.by_name.entry(base.to_owned()).or_default().entry(number).or_insert((extended, value));
    }

    fn join(self) -> impl Iterator<Item = (String, String)> {
        self.by_name.into_iter().filter_map(|(name, pieces)| Some((name, join_pieces(&pieces)?)))
    }
}

/// Joins the pieces from 0 on, up to the first gap. The first may name character set and language.
fn join_pieces(pieces: &BTreeMap<usize, (bool, String)>) -> Option<String> {
    let (extended, first) = pieces.get(&0)?;
    let mut charset = "utf-8";
    let mut bytes = Vec::new();
    let mut parts = first.splitn(3, '\'');
    match (extended, parts.next(), parts.next(), parts.next()) {
        (true, Some(label), Some(_language), Some(text)) => {
            charset = if label.is_empty() { charset } else { label };
            percent_decode(text, &mut bytes);
        }
        (true, ..) => percent_decode(first, &mut bytes),
        (false, ..) => bytes.extend_from_slice(first.as_bytes()),
    }
    for number in 1..pieces.len() {
        match pieces.get(&number) {
            Some((true, text)) => percent_decode(text, &mut bytes),
            Some((false, text)) => bytes.extend_from_slice(text.as_bytes()),
            None => break,
        }
    }
    Some(encoded_word::to_unicode(charset, &bytes))
}

fn percent_decode(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let decoded = match (first, after) {
            (b'%', [high, low, ..]) => encoded_word::hex_pair(*high, *low),
            _ => None,
        };
        rest = if decoded.is_some() { rest.get(2..).unwrap_or_default() } else { rest };
        out.push(decoded.unwrap_or(*first));
    }
}

/// Whether `text` is a token (RFC 2045 section 5.1).
fn is_token(text: &str) -> bool {
    let mark = |byte| b"()<>@,;:\\\"/[]?=".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !mark(byte))
}

/// More parameters than this are not looked at.
const PARAMETER_LIMIT: usize = 200;

#[cfg(test)]
mod tests;
