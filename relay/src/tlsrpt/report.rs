//! The report itself: RFC 8460 section 4.4, exactly.

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de;

use super::day;
use super::day::Day;

/// One report. Fields that the schema does not have are ignored when read and never written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Who reports.
    #[serde(default)]
    pub organization_name: String,
    /// What time it is about.
    pub date_range: DateRange,
    /// An address of who reports.
    #[serde(default)]
    pub contact_info: String,
    /// Unique for the reporter.
    pub report_id: String,
    /// One for each policy that was applied.
    pub policies: Vec<PolicyReport>,
}

/// Two times, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DateRange {
    /// Unix seconds; RFC 3339 in the report.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub start_datetime: i64,
    /// Unix seconds; RFC 3339 in the report.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub end_datetime: i64,
}

/// What happened under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyReport {
    /// The policy.
    pub policy: ReportedPolicy,
    /// How often it went well or not.
    pub summary: Totals,
    /// Failures by kind and place; their counts may overlap.
    #[serde(default, deserialize_with = "list_or_null", skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<FailureDetails>,
}

/// A policy as the reporter saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReportedPolicy {
    /// `tlsa`, `sts` or `no-policy-found`; reports of others may have anything.
    #[serde(default)]
    pub policy_type: String,
    /// TLSA records, or lines of the MTA-STS policy.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub policy_string: Vec<String>,
    /// The policy domain.
    #[serde(default)]
    pub policy_domain: String,
    /// MX patterns of the MTA-STS policy.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub mx_host: Vec<String>,
}

/// Sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// With TLS as policy demands.
    #[serde(default)]
    pub total_successful_session_count: u64,
    /// Without.
    #[serde(default)]
    pub total_failure_session_count: u64,
}

/// Failures of one kind at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureDetails {
    /// One of [`super::ResultType`]; reports of others may have anything.
    #[serde(default)]
    pub result_type: String,
    /// The reporter's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<String>,
    /// The MX host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    /// What the MX calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_helo: Option<String>,
    /// The address of the MX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<String>,
    /// How often.
    #[serde(default)]
    pub failed_session_count: u64,
    /// A URI where more is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_information: Option<String>,
    /// A code or a short text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
}

impl DateRange {
    /// A full day.
    pub fn of(day: Day) -> Self {
        Self { start_datetime: day.start(), end_datetime: day.end() }
    }
}

impl Report {
    /// The file name that RFC 8460 section 5.1 recommends, for the packed report about `domain`.
    ///
    /// The unique part is made of the letters and digits of the report id.
    pub fn file_name(&self, submitter: &str, domain: &str) -> String {
        let DateRange { start_datetime, end_datetime } = self.date_range;
        let left = self.report_id.split('@').next().unwrap_or_default();
        let unique: String = left.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
        let unique = if unique.is_empty() { unique } else { format!("!{unique}") };
        format!("{submitter}!{domain}!{start_datetime}!{end_datetime}{unique}.json.gz")
    }
}

fn write_time<S: Serializer>(unix: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&day::rfc3339(*unix))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    day::parse_rfc3339(&text).ok_or_else(|| de::Error::custom("no RFC 3339 time"))
}

/// Reporters in the wild write a string where the schema has a list of one, and null for none.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        Many(Vec<String>),
        None,
        One(String),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::Many(many) => many,
        OneOrMany::None => Vec::new(),
        OneOrMany::One(one) => vec![one],
    })
}

fn list_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FailureDetails>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
