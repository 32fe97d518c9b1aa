//! Reads as much PromQL as is needed to know which metrics and labels an expression uses. Whether it
//! is valid is Prometheus's business.

use std::collections::BTreeSet;

/// A metric with its matchers, as in `name{label="value"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// Label, operator, value.
    pub(crate) matchers: Vec<(String, String, String)>,
    /// What stands between the brackets after it, empty without.
    pub(crate) range: String,
    /// The function it is an argument of, empty if there is none.
    pub(crate) inside: String,
}

impl Selector {
    /// The selector alone, as an expression.
    pub(crate) fn text(&self) -> String {
        let matchers: Vec<String> =
            self.matchers.iter().map(|(l, op, v)| format!("{l}{op}\"{v}\"")).collect();
        format!("{}{{{}}}", self.metric, matchers.join(","))
    }

    /// The value that a label must have or match.
    pub(crate) fn matcher(&self, label: &str) -> Option<&str> {
        let (_, _, value) = self.matchers.iter().find(|(name, ..)| name == label)?;
        Some(value)
    }
}

/// What an expression uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) selectors: Vec<Selector>,
    /// Labels in `by (…)`, `on (…)` and their like.
    pub(crate) labels: BTreeSet<String>,
}

const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Finds selectors and labels.
///
/// # Panics
/// If the expression is not finished.
pub(crate) fn read(expression: &str) -> Uses {
    let tokens = tokens(expression);
    let at = |index: usize| tokens.get(index).map_or("", String::as_str);
    let mut uses = Uses::default();
    let mut calls: Vec<String> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let (token, next) = (at(index), at(index + 1));
        index += 1;
        if token == "(" {
            let called = index.checked_sub(2).map(at).filter(|word| is_name(word)).unwrap_or_default();
            calls.push(called.to_owned());
        } else if token == ")" {
            calls.pop();
        } else if !is_name(token) || OPERATORS.contains(&token) {
            continue;
        } else if LABEL_LISTS.contains(&token) {
            let end = index + tokens[index..].iter().position(|token| token == ")").unwrap();
            uses.labels.extend(tokens[index..end].iter().filter(|token| is_name(token)).cloned());
            index = end + 1;
        } else if next != "(" && !LABEL_LISTS[..2].contains(&next) {
            let inside = calls.last().cloned().unwrap_or_default();
            let mut selector =
                Selector { metric: token.to_owned(), matchers: Vec::new(), range: String::new(), inside };
            if at(index) == "{" {
                while at(index) != "}" {
                    index += 1;
                    if is_name(at(index)) {
                        let value = at(index + 2).trim_matches('"').to_owned();
                        selector.matchers.push((at(index).to_owned(), at(index + 1).to_owned(), value));
                        index += 3;
                    }
                }
                index += 1;
            }
            if at(index) == "[" {
                at(index + 1).clone_into(&mut selector.range);
                index += 3;
            }
            uses.selectors.push(selector);
        }
    }
    uses
}

/// Names, strings (with their quotes), numbers and durations, matcher operators, single characters.
fn tokens(expression: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || "_:.".contains(c);
        let length = match first {
            '"' => 2 + rest[1..].find('"').expect("the string ends"),
            c if word(c) || c == '$' => 1 + rest[1..].find(|c| !word(c)).unwrap_or(rest.len() - 1),
            '=' | '!' if rest[1..].starts_with(['=', '~']) => 2,
            c => c.len_utf8(),
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[test]
fn selectors_and_labels_are_found() {
    let uses =
        read(r#"sum by (job, le) (rate(m_total{job=~"$job",x!="a,}b"}[5m])) > 0.5 unless on(y) 1e3 * n"#);
    let of = |metric: &str, range: &str, inside: &str| Selector {
        metric: metric.to_owned(),
        matchers: Vec::new(),
        range: range.to_owned(),
        inside: inside.to_owned(),
    };
    let matcher = |l: &str, op: &str, v: &str| (l.to_owned(), op.to_owned(), v.to_owned());
    let first = Selector {
        matchers: vec![matcher("job", "=~", "$job"), matcher("x", "!=", "a,}b")],
        ..of("m_total", "5m", "rate")
    };
    assert_eq!(uses.selectors, [first, of("n", "", "")]);
    assert_eq!(uses.labels, ["job", "le", "y"].map(str::to_owned).into());
}
