//! Takes a table of the configuration apart, key by key, and remembers every mistake.
//!
//! A reader takes the keys it knows; what is left when the section is finished is unknown and is an error
//! that names the nearest key that was asked for. Taking a key whose value is wrong records the
//! mistake and gives `None`, as if the key were absent: the reader goes on, and the administrator
//! sees all mistakes at once.

use std::sync::Arc;

use crate::config_error::ConfigError;
use crate::config_error::ConfigErrors;
use crate::config_error::Position;
use crate::document::Entry;
use crate::document::Located;
use crate::document::Value;
use crate::nearest::nearest;

/// One table of the configuration, for example `[policy]` or one `[[rule]]`.
#[derive(Debug)]
#[must_use = "a section that is not finished or closed hides its mistakes"]
pub struct Section {
    file: Arc<str>,
    /// As people write it, for messages: `[policy]`; empty for the top level.
    title: String,
    at: Position,
    present: bool,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
    errors: ConfigErrors,
}

impl Section {
    pub(crate) fn root(file: Arc<str>, entries: Vec<Entry>) -> Self {
        Self {
            file,
            title: String::new(),
            at: Position::START,
            present: true,
            entries,
            known: Vec::new(),
            errors: ConfigErrors::default(),
        }
    }

    fn child(&self, title: String, at: Position, present: bool, entries: Vec<Entry>) -> Self {
        Self { title, at, present, entries, ..Self::root(Arc::clone(&self.file), Vec::new()) }
    }

    /// The name of the file, as it was given to [`crate::parse_document`].
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The section as people write it, for example `[policy]`.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Where it begins.
    pub fn at(&self) -> Position {
        self.at
    }

    /// Whether the file has this section at all.
    pub fn is_present(&self) -> bool {
        self.present
    }

    /// Whether `key` is there and has not been taken yet.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.value == key)
    }

    /// Where the value of `key` begins, if it is there and has not been taken yet.
    pub fn position_of(&self, key: &str) -> Option<Position> {
        self.entries.iter().find(|entry| entry.key.value == key).map(|entry| entry.value.at)
    }

    /// Takes the table `[key]`. When it is absent an empty section is given, so that defaults need no
    /// second path.
    pub fn take_section(&mut self, key: &'static str) -> Self {
        let title = format!("[{}]", self.path(key));
        match self.take(key) {
            Some(Entry { key: name, value: Located { value: Value::Table(entries), .. } }) => {
                self.child(title, name.at, true, entries)
            }
            Some(entry) => {
                self.wrong_type(&entry, "a table");
                self.child(title, entry.key.at, true, Vec::new())
            }
            None => self.child(title, self.at, false, Vec::new()),
        }
    }

    /// Takes the tables `[key."name"]` of this section, in the order of the file, each with its name.
    pub fn take_named_sections(&mut self, key: &'static str) -> Vec<(Located<String>, Self)> {
        let Some(entry) = self.take(key) else { return Vec::new() };
        let path = self.path(key);
        let Located { value: Value::Table(entries), .. } = entry.value else {
            self.wrong_type(&entry, &format!("tables such as [{path}.\"name\"]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for Entry { key: name, value } in entries {
            let title = format!("[{path}.\"{}\"]", name.value);
            let Value::Table(entries) = value.value else {
                let message =
                    format!("`{}` in [{path}] is no section; write [{path}.\"{}\"]", name.value, name.value);
                self.reject(name.at, &name.value, message);
                continue;
            };
            if let Some(whole) = unquoted_name(&name.value, &entries) {
                let message = format!("a name with dots needs quotes: write [{path}.\"{whole}\"]");
                self.reject(name.at, &whole, message);
                continue;
            }
            let section = self.child(title, name.at, true, entries);
            sections.push((name, section));
        }
        sections
    }

    /// Takes the tables `[[key]]`, in the order of the file.
    pub fn take_section_list(&mut self, key: &'static str) -> Vec<Self> {
        let Some(entry) = self.take(key) else { return Vec::new() };
        let Located { value: Value::Array(items), .. } = entry.value else {
            self.wrong_type(&entry, &format!("a list of tables, written [[{key}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            match item.value {
                Value::Table(entries) => {
                    sections.push(self.child(format!("[[{key}]]"), item.at, true, entries));
                }
                other => {
                    let message = format!("[[{key}]] must be a table, not {}", other.description());
                    self.reject(item.at, key, message);
                }
            }
        }
        sections
    }

    /// Takes a string.
    pub fn take_string(&mut self, key: &'static str) -> Option<Located<String>> {
        let entry = self.take(key)?;
        match entry.value {
            Located { value: Value::String(text), at } => Some(Located { value: text, at }),
            _ => {
                self.wrong_type(&entry, "a string");
                None
            }
        }
    }

    /// Takes a list of strings; one string alone is a list of one.
    pub fn take_strings(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let entry = self.take(key)?;
        let items = match entry.value {
            Located { value: Value::String(text), at } => return Some(vec![Located { value: text, at }]),
            Located { value: Value::Array(items), .. } => items,
            _ => {
                self.wrong_type(&entry, "a list of strings");
                return None;
            }
        };
        let mut strings = Vec::new();
        for item in items {
            match item.value {
                Value::String(text) => strings.push(Located { value: text, at: item.at }),
                other => {
                    let message = format!("`{key}` must hold only strings, not {}", other.description());
                    self.reject(item.at, key, message);
                }
            }
        }
        Some(strings)
    }

    /// Takes a table whose values are all strings, such as `header = { Sensitivity = "private" }`.
    pub fn take_string_table(
        &mut self,
        key: &'static str,
    ) -> Option<Vec<(Located<String>, Located<String>)>> {
        let entry = self.take(key)?;
        let Located { value: Value::Table(entries), .. } = entry.value else {
            self.wrong_type(&entry, "a table of strings");
            return None;
        };
        let mut pairs = Vec::new();
        for Entry { key: name, value } in entries {
            match value.value {
                Value::String(text) => pairs.push((name, Located { value: text, at: value.at })),
                other => {
                    let message =
                        format!("`{}` in `{key}` must be a string, not {}", name.value, other.description());
                    self.reject(value.at, &name.value, message);
                }
            }
        }
        Some(pairs)
    }

    /// Takes `true` or `false`.
    pub fn take_boolean(&mut self, key: &'static str) -> Option<Located<bool>> {
        let entry = self.take(key)?;
        match entry.value {
            Located { value: Value::Boolean(yes), at } => Some(Located { value: yes, at }),
            _ => {
                self.wrong_type(&entry, "true or false");
                None
            }
        }
    }

    /// Takes an integer from `least` to `most`.
    pub fn take_integer(&mut self, key: &'static str, least: i64, most: i64) -> Option<Located<i64>> {
        let entry = self.take(key)?;
        let Located { value: Value::Integer(number), at } = entry.value else {
            self.wrong_type(&entry, "an integer");
            return None;
        };
        match number.filter(|number| (least..=most).contains(number)) {
            Some(value) => Some(Located { value, at }),
            None => {
                self.reject(at, key, format!("`{key}` must be from {least} to {most}"));
                None
            }
        }
    }

    /// Takes a string that `parse` understands; what `parse` objects follows the name of the key in the
    /// message.
    pub fn take_parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Located<T>> {
        let text = self.take_string(key)?;
        self.parsed(key, &text, parse)
    }

    /// Takes a list of strings that `parse` understands. All that are understood are given, so that a mistake
    /// in one hides no mistake in another.
    pub fn take_parsed_list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<Located<T>>> {
        let texts = self.take_strings(key)?;
        Some(texts.iter().filter_map(|text| self.parsed(key, text, &parse)).collect())
    }

    /// Takes a string that must be one of the names in `choices` and gives its value.
    pub fn take_choice<T: Clone>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<Located<T>> {
        let text = self.take_string(key)?;
        self.choice(key, &text, choices)
    }

    /// Takes a list of strings that must each be one of the names in `choices`.
    pub fn take_choices<T: Clone>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<Vec<Located<T>>> {
        let texts = self.take_strings(key)?;
        Some(texts.iter().filter_map(|text| self.choice(key, text, choices)).collect())
    }

    /// Takes a number of bytes: an integer, or a string such as `"10 MB"` or `"512 KiB"`.
    pub fn take_size(&mut self, key: &'static str) -> Option<Located<u64>> {
        let entry = self.take(key)?;
        let (read, at) = match &entry.value {
            Located { value: Value::Integer(number), at } => {
                let bytes = number.and_then(|number| u64::try_from(number).ok());
                (bytes.ok_or_else(|| "must not be negative".to_owned()), *at)
            }
            Located { value: Value::String(text), at } => (crate::size::parse_size(text), *at),
            _ => {
                self.wrong_type(&entry, "a size such as \"10 MB\"");
                return None;
            }
        };
        match read {
            Ok(value) => Some(Located { value, at }),
            Err(message) => {
                self.reject(at, key, format!("`{key}` {message}"));
                None
            }
        }
    }

    /// Records that `key` is needed and absent.
    pub fn missing(&mut self, key: &'static str) {
        let place = self.place();
        self.reject(self.at, key, format!("missing key `{key}`{place}"));
    }

    /// Records a mistake that the reader found in the value of `key`.
    pub fn reject(&mut self, at: Position, key: &str, message: impl Into<String>) {
        self.reject_name(at, key, message, None);
    }

    /// Records a name that is not valid, with the valid one that is nearest.
    pub fn reject_name(
        &mut self,
        at: Position,
        key: &str,
        message: impl Into<String>,
        nearest: Option<&str>,
    ) {
        self.errors.push(ConfigError {
            file: Arc::clone(&self.file),
            at,
            key: key.to_owned(),
            message: one_line(message.into()),
            nearest: nearest.map(str::to_owned),
        });
    }

    /// Takes over the mistakes of a section that was taken from this one, unknown keys included.
    pub fn close(&mut self, child: Self) {
        let outcome = child.finish();
        let _ = self.errors.collect(outcome);
    }

    /// How many mistakes were recorded so far.
    pub fn mistakes(&self) -> usize {
        self.errors.len()
    }

    /// Takes the mistakes that were recorded so far out of this section.
    pub fn take_errors(&mut self) -> ConfigErrors {
        std::mem::take(&mut self.errors)
    }

    /// Puts mistakes back that [`Self::take_errors`] gave.
    pub(crate) fn restore_errors(&mut self, errors: ConfigErrors) {
        let _ = self.errors.collect::<()>(Err(errors));
    }

    /// Ends the reading: keys that nobody took are unknown.
    ///
    /// # Errors
    /// Every mistake that was recorded, and every unknown key.
    pub fn finish(mut self) -> Result<(), ConfigErrors> {
        let place = self.place();
        for Entry { key, value } in std::mem::take(&mut self.entries) {
            let what = if self.title.is_empty() && matches!(value.value, Value::Table(_) | Value::Array(_)) {
                "section"
            } else {
                "key"
            };
            let near = nearest(&key.value, self.known.iter().copied());
            let message = format!("unknown {what} `{}`{place}", key.value);
            self.reject_name(key.at, &key.value, message, near);
        }
        self.errors.into_result()
    }

    /// The whole name of a table below this one, for example `relay.domain`.
    fn path(&self, key: &str) -> String {
        match self.title.trim_matches(['[', ']']) {
            "" => key.to_owned(),
            above => format!("{above}.{key}"),
        }
    }

    /// Where this is, for the end of a message.
    fn place(&self) -> String {
        if self.title.is_empty() { " at the top level".to_owned() } else { format!(" in {}", self.title) }
    }

    fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key.value == key)?;
        Some(self.entries.remove(at))
    }

    fn wrong_type(&mut self, entry: &Entry, wanted: &str) {
        let key = &entry.key.value;
        let message = format!("`{key}` must be {wanted}, not {}", entry.value.value.description());
        self.reject(entry.value.at, key, message);
    }

    fn parsed<T>(
        &mut self,
        key: &str,
        text: &Located<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Located<T>> {
        match parse(&text.value) {
            Ok(value) => Some(Located { value, at: text.at }),
            Err(message) => {
                self.reject(text.at, key, format!("`{key}`: {message}"));
                None
            }
        }
    }

    fn choice<T: Clone>(
        &mut self,
        key: &str,
        text: &Located<String>,
        choices: &[(&'static str, T)],
    ) -> Option<Located<T>> {
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text.value) {
            return Some(Located { value: value.clone(), at: text.at });
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("`{key}` cannot be `{}`; valid are {}", text.value, names.join(", "));
        let near = nearest(&text.value, names.iter().copied());
        self.reject_name(text.at, key, message, near);
        None
    }
}

/// The dotted name that `[domain.alpha.example]` means, which TOML reads as nested tables.
fn unquoted_name(name: &str, entries: &[Entry]) -> Option<String> {
    let [Entry { key, value: Located { value: Value::Table(inner), .. } }] = entries else { return None };
    let rest = unquoted_name(&key.value, inner).unwrap_or_else(|| key.value.clone());
    Some(format!("{name}.{rest}"))
}

/// A mistake is one line, whatever names and values hold.
fn one_line(message: String) -> String {
    if !message.chars().any(char::is_control) {
        return message;
    }
    message
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}
