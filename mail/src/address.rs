//! Mailboxes in header fields and paths in the envelope (RFC 5322 section 3.4, RFC 5321 section 4.1.2).

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

use crate::encoded_word;

mod lexer;

use lexer::Lexer;
use lexer::Token;

/// An address: a local part and a domain.
///
/// The local part is what it means, without quotes. The domain has its ASCII letters in lower case;
/// anything else is as given (A-labels, UTF-8 or a literal in brackets).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    local: String,
    domain: String,
}

/// Why a text is not one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// A control character, NUL included.
    #[error("control character in address")]
    Control,
    /// No `@`, or nothing behind it.
    #[error("address has no domain")]
    NoDomain,
    /// Nothing before the `@`.
    #[error("address has no local part")]
    NoLocalPart,
    /// Not of the form `local@domain`.
    #[error("not of the form local@domain")]
    Syntax,
}

impl Address {
    /// Reads `alice@alpha.example` or `"alice w"@alpha.example`, without display name, comment or
    /// angle brackets.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.chars().any(char::is_control) {
            return Err(AddressError::Control);
        }
        let mut lexer = Lexer::new(text);
        let tokens: Vec<Token> = lexer.by_ref().collect();
        if lexer.malformed() || lexer.commented() || tokens.iter().any(|token| matches!(token, Token::Blank))
        {
            return Err(AddressError::Syntax);
        }
        addr_spec(&tokens)
    }

    /// Reads a path of the envelope: `<alice@alpha.example>`, with or without the brackets, or the
    /// empty path `<>` of bounces, which is `None`. A source route is skipped (RFC 5321 appendix C).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_path(text: &str) -> Result<Option<Self>, AddressError> {
        let text = text.trim_matches([' ', '\t']);
        let path = match text.strip_prefix('<') {
            Some(inner) => inner.strip_suffix('>').ok_or(AddressError::Syntax)?,
            None => text,
        };
        if path.is_empty() {
            return Ok(None);
        }
        let path = match path.strip_prefix('@') {
            Some(route) => route.split_once(':').ok_or(AddressError::Syntax)?.1,
            None => path,
        };
        Self::parse(path).map(Some)
    }

    /// The local part, without quotes.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain, ASCII letters in lower case.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    fn new(local: String, domain: String) -> Result<Self, AddressError> {
        if local.is_empty() {
            return Err(AddressError::NoLocalPart);
        }
        let domain = domain.strip_suffix('.').unwrap_or(&domain).to_ascii_lowercase();
        if domain.is_empty() {
            return Err(AddressError::NoDomain);
        }
        if local.chars().chain(domain.chars()).any(char::is_control) {
            return Err(AddressError::Control);
        }
        if !is_domain(&domain) || local.contains(char::REPLACEMENT_CHARACTER) {
            return Err(AddressError::Syntax);
        }
        Ok(Self { local, domain })
    }
}

/// The form of the envelope and of header fields: the local part is quoted if it must be.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(lexer::is_atext)) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        let quoted = self.local.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "\"{quoted}\"@{}", self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// An address in a header field with the name shown for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mailbox {
    /// The display name, decoded (RFC 2047). It proves nothing: a sender may write any address here.
    pub display: Option<String>,
    /// Where the mail goes or comes from.
    pub address: Address,
}

/// What a header field with addresses holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AddressList {
    /// The mailboxes in order, members of groups included.
    pub mailboxes: Vec<Mailbox>,
    /// Something could not be read, or could be read in more than one way. Who binds a claim to an
    /// address must refuse a malformed list.
    pub malformed: bool,
}

/// Reads the value of From, Sender, To, Cc and their like, tolerantly: comments, quotes, groups,
/// encoded words and obsolete routes are understood, the rest is skipped and the list marked
/// malformed. An address is taken from angle brackets if there are any, never from the name beside.
pub fn parse_list(value: &[u8]) -> AddressList {
    let text = String::from_utf8_lossy(value);
    let mut list = AddressList::default();
    let mut element = Element::default();
    let mut in_group = false;
    let mut lexer = Lexer::new(&text);
    for token in lexer.by_ref() {
        match token {
            Token::Comma => element.finish(&mut list),
            Token::Semicolon => {
                list.malformed |= !in_group;
                in_group = false;
                element.finish(&mut list);
            }
            Token::Colon => {
                list.malformed |= in_group || !element.is_phrase();
                in_group = true;
                element = Element::default();
            }
            Token::Angle(inner) => element.angle(&inner),
            token => element.push(token),
        }
    }
    element.finish(&mut list);
    list.malformed |= lexer.malformed() || in_group;
    list
}

/// What stands between two commas.
#[derive(Default)]
struct Element {
    /// Words before the angle brackets, or the address itself.
    tokens: Vec<Token>,
    angle: Option<Result<Address, AddressError>>,
    malformed: bool,
}

impl Element {
    fn push(&mut self, token: Token) {
        // Nothing but blanks and comments may follow the angle brackets.
        self.malformed |= self.angle.is_some() && token != Token::Blank;
        if self.angle.is_none() {
            self.tokens.push(token);
        }
    }

    fn angle(&mut self, inner: &str) {
        let mut lexer = Lexer::new(inner);
        let tokens: Vec<Token> = lexer.by_ref().collect();
        let address = addr_spec(skip_route(&tokens));
        // Two addresses in brackets name two people; neither is then the one.
        self.malformed |= self.angle.is_some() || lexer.malformed() || address.is_err();
        if self.angle.is_none() {
            self.angle = Some(address);
        }
    }

    fn is_phrase(&self) -> bool {
        let phrase = |token: &Token| matches!(token, Token::Atom(_) | Token::Quoted(_) | Token::Blank);
        self.angle.is_none() && self.tokens.iter().all(phrase)
    }

    fn finish(&mut self, list: &mut AddressList) {
        let element = std::mem::take(self);
        list.malformed |= element.malformed;
        match element.angle {
            Some(Ok(address)) => {
                list.malformed |= element.tokens.contains(&Token::At);
                list.mailboxes.push(Mailbox { display: display(&element.tokens), address });
            }
            Some(Err(_)) => {}
            None if element.tokens.iter().all(|token| *token == Token::Blank) => {}
            None => match addr_spec(&element.tokens) {
                Ok(address) => list.mailboxes.push(Mailbox { display: None, address }),
                Err(_) => list.malformed = true,
            },
        }
    }
}

/// The words of a phrase as one decoded line.
fn display(tokens: &[Token]) -> Option<String> {
    let mut words = String::new();
    for token in tokens {
        match token {
            Token::Atom(word) | Token::Quoted(word) | Token::Literal(word) => words.push_str(word),
            Token::At => words.push('@'),
            Token::Blank => words.push(' '),
            Token::Angle(_) | Token::Colon | Token::Comma | Token::Semicolon => {}
        }
    }
    let words = encoded_word::decode(words.trim().as_bytes());
    (!words.is_empty()).then_some(words)
}

/// Skips `@one,@two:` before an address (RFC 5322 section 4.4).
fn skip_route(tokens: &[Token]) -> &[Token] {
    let first = tokens.iter().find(|token| **token != Token::Blank);
    let colon = tokens.iter().position(|token| *token == Token::Colon);
    match (first, colon) {
        (Some(Token::At), Some(colon)) => tokens.get(colon + 1..).unwrap_or_default(),
        _ => tokens,
    }
}

/// Reads `local@domain` from tokens; blanks may stand around the `@` and around dots (section 4.4).
fn addr_spec(tokens: &[Token]) -> Result<Address, AddressError> {
    let mut sides = tokens.split(|token| *token == Token::At);
    let local = dotted(sides.next().unwrap_or_default(), false)?;
    let domain = dotted(sides.next().ok_or(AddressError::NoDomain)?, true)?;
    if sides.next().is_some() {
        return Err(AddressError::Syntax);
    }
    Address::new(local, domain)
}

/// Joins words that belong together: without a dot between them, two words are not one.
fn dotted(tokens: &[Token], domain: bool) -> Result<String, AddressError> {
    let mut out = String::new();
    let mut joined = true;
    for token in tokens {
        match token {
            Token::Blank => continue,
            Token::Atom(word) if word.chars().all(|c| c == '.' || lexer::is_atext(c)) => {
                joined |= word.starts_with('.');
                out.push_str(word);
            }
            Token::Quoted(word) if !domain => out.push_str(word),
            Token::Literal(word) if domain => out.push_str(word),
            _ => return Err(AddressError::Syntax),
        }
        if !joined {
            return Err(AddressError::Syntax);
        }
        joined = matches!(token, Token::Atom(word) if word.ends_with('.'));
    }
    Ok(out)
}

fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|inner| !inner.is_empty());
    }
    domain.split('.').all(|label| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii())
            && !label.contains(char::REPLACEMENT_CHARACTER)
    })
}

#[cfg(test)]
mod tests;
