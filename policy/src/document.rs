//! Reads a TOML file into values that know where they stand.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeArray;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config_error::ConfigError;
use crate::config_error::ConfigErrors;
use crate::config_error::Position;
use crate::section::Section;

/// A value together with its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub at: Position,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(String),
    /// `None`: it does not fit.
    Integer(Option<i64>),
    Float,
    Boolean(bool),
    Datetime,
    Array(Vec<Located<Value>>),
    Table(Vec<Entry>),
}

/// One `key = value`, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Located<String>,
    pub(crate) value: Located<Value>,
}

impl Value {
    /// What it is, with its article, for messages.
    pub(crate) fn description(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float => "a fraction",
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads `text` as TOML and gives its top level.
///
/// `file_name` is only used in messages. Nothing is read from disk.
///
/// # Errors
/// Every place where the text is not TOML.
pub fn parse_document(file_name: &str, text: &str) -> Result<Section, ConfigErrors> {
    let file: Arc<str> = Arc::from(file_name);
    let lines = Lines::new(text);
    let (table, failures) = DeTable::parse_recoverable(text);
    let mut errors = ConfigErrors::default();
    for failure in failures {
        let at = failure.span().map_or(Position::START, |span| lines.position(span.start));
        let message = format!("not valid TOML: {}", one_line(failure.message()));
        errors.push(ConfigError { file: Arc::clone(&file), at, key: String::new(), message, nearest: None });
    }
    errors.into_result()?;
    let entries = lines.table(table.get_ref());
    Ok(Section::root(file, entries))
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text and where its lines begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).map_or(0, |text| text.chars().count());
        Position { line, column: before + 1 }
    }

    fn located<T>(&self, value: T, span: Range<usize>) -> Located<T> {
        Located { value, at: self.position(span.start) }
    }

    /// The parser keeps tables sorted by name; we want the order of the file.
    fn table(&self, table: &DeTable<'_>) -> Vec<Entry> {
        let mut entries: Vec<(usize, Entry)> = table
            .iter()
            .map(|(key, value)| {
                let name = self.located(key.get_ref().to_string(), key.span());
                (key.span().start, Entry { key: name, value: self.value(value) })
            })
            .collect();
        entries.sort_by_key(|(start, _)| *start);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Recursion is bounded: the parser refuses deeper nesting than 80.
    fn value(&self, value: &Spanned<DeValue<'_>>) -> Located<Value> {
        let read = match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Float(_) => Value::Float,
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(items) => Value::Array(self.array(items)),
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        self.located(read, value.span())
    }

    fn array(&self, items: &DeArray<'_>) -> Vec<Located<Value>> {
        items.iter().map(|item| self.value(item)).collect()
    }
}
