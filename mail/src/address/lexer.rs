//! The words and marks of an address field (RFC 5322 section 3.2), in one pass.

use crate::encoded_word;

/// One word or mark.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// What stands between `<` and `>`.
    Angle(String),
    At,
    /// Letters, digits, dots and whatever else is no mark; an encoded word is one of these.
    Atom(String),
    /// Blanks or comments.
    Blank,
    Colon,
    Comma,
    /// A domain literal, brackets included.
    Literal(String),
    /// A quoted string, without quotes and backslashes.
    Quoted(String),
    Semicolon,
}

/// Cuts a value into tokens. Comments are skipped.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    malformed: bool,
    commented: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, malformed: false, commented: false }
    }

    /// Whether something so far was left open or has no place in an address.
    pub(super) fn malformed(&self) -> bool {
        self.malformed
    }

    /// Whether a comment was skipped.
    pub(super) fn commented(&self) -> bool {
        self.commented
    }

    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let first = chars.next();
        self.rest = chars.as_str();
        first
    }

    fn blank(&mut self) -> Token {
        loop {
            self.rest = self.rest.trim_start_matches(is_blank);
            if !self.rest.starts_with('(') {
                return Token::Blank;
            }
            self.comment();
        }
    }

    /// Skips a comment, which may hold comments.
    fn comment(&mut self) {
        self.commented = true;
        let mut depth = 0usize;
        while let Some(c) = self.take() {
            match c {
                '\\' => drop(self.take()),
                '(' => depth += 1,
                ')' => depth -= 1,
                c => self.malformed |= is_forbidden(c),
            }
            if depth == 0 {
                return;
            }
        }
        self.malformed = true;
    }

    fn quoted(&mut self) -> Token {
        let mut out = String::new();
        while let Some(c) = self.take() {
            match c {
                '"' => return Token::Quoted(out),
                '\\' => out.extend(self.take()),
                c => out.push(c),
            }
            self.malformed |= out.ends_with(is_forbidden);
        }
        self.malformed = true;
        Token::Quoted(out)
    }

    fn literal(&mut self) -> Token {
        let end = self.rest.find(']');
        self.malformed |= end.is_none();
        let (inner, rest) = self.rest.split_at(end.map_or(self.rest.len(), |at| at + 1));
        self.rest = rest;
        Token::Literal(format!("[{inner}"))
    }

    /// Takes everything up to the closing bracket; brackets in quoted strings do not count.
    fn angle(&mut self) -> Token {
        let text = self.rest;
        let mut quoted = false;
        while let Some(c) = self.take() {
            match c {
                '\\' => drop(self.take()),
                '"' => quoted = !quoted,
                '>' if !quoted => {
                    let len = text.len() - self.rest.len() - 1;
                    return Token::Angle(text.get(..len).unwrap_or_default().to_owned());
                }
                c => self.malformed |= c == '<' && !quoted,
            }
        }
        self.malformed = true;
        Token::Angle(text.to_owned())
    }

    fn atom(&mut self) -> Token {
        let bytes = self.rest.as_bytes();
        let word = encoded_word::word_len(bytes).and_then(|len| self.rest.get(..len));
        // An encoded word may hold marks; a blank would end it (RFC 2047 section 2).
        let word = word.filter(|word| !word.contains(is_blank));
        let len = match word {
            Some(word) => word.len(),
            None => self.rest.find(is_mark).unwrap_or(self.rest.len()),
        };
        let (atom, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.malformed |= atom.contains(is_forbidden);
        Token::Atom(atom.to_owned())
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let first = self.rest.chars().next()?;
        if is_blank(first) || first == '(' {
            return Some(self.blank());
        }
        if !is_mark(first) {
            return Some(self.atom());
        }
        self.take();
        Some(match first {
            '"' => self.quoted(),
            ',' => Token::Comma,
            ':' => Token::Colon,
            ';' => Token::Semicolon,
            '<' => self.angle(),
            '@' => Token::At,
            '[' => self.literal(),
            // A closing bracket or backslash that belongs to nothing.
            _ => {
                self.malformed = true;
                Token::Blank
            }
        })
    }
}

/// A character of an unquoted local part (RFC 5322 section 3.2.3, RFC 6532 section 3.2).
pub(super) fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_mark(c: char) -> bool {
    is_blank(c) || "()<>[]:;@\\,\"".contains(c)
}

/// Control characters other than blanks.
fn is_forbidden(c: char) -> bool {
    c.is_control() && !is_blank(c)
}
