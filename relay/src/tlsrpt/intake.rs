//! Reads reports that others send us: JSON, gzip, mail, HTTPS; all within limits.

use std::io;

use mail::Entity;
use mail::Limits;
use mail::Message;
use mail::MimeError;
use mail::Spill;

use super::gzip;
use super::report::Report;

/// Most octets of a report, packed or not. "a commonly observed receiver limit is ten megabytes" (RFC 8460
/// section 5.2).
pub const REPORT_MAX: usize = 10 << 20;
/// Most policies of one report.
const POLICIES_MAX: usize = 1_000;
/// Most kinds of failures of one report.
const FAILURES_MAX: usize = 10_000;

/// Why something is no report that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadReport {
    /// It cannot be unpacked.
    #[error("the report cannot be unpacked")]
    Gzip(#[source] io::Error),
    /// It is no JSON, or not of the schema (RFC 8460 section 4.4).
    #[error("the report is not of the schema of RFC 8460")]
    Json(#[from] serde_json::Error),
    /// The message cannot be taken apart.
    #[error("the message cannot be taken apart")]
    Mime(#[from] MimeError),
    /// The message has no part that is a report.
    #[error("the message has no report")]
    NoReport,
    /// A part cannot be decoded.
    #[error("the report cannot be decoded")]
    Part(#[source] io::Error),
    /// It is larger than anybody needs, packed or not.
    #[error("the report is too large")]
    TooLarge,
}

/// Reads a report, packed or not: what it is is seen from its first octets.
///
/// # Errors
/// [`BadReport`]. Never uses more memory than a small multiple of [`REPORT_MAX`].
pub fn from_bytes(bytes: &[u8]) -> Result<Report, BadReport> {
    if bytes.len() > REPORT_MAX {
        return Err(BadReport::TooLarge);
    }
    if bytes.starts_with(&gzip::MAGIC) {
        let unpacked = gzip::unpack(bytes, REPORT_MAX).map_err(BadReport::Gzip)?;
        return from_json(&unpacked.ok_or(BadReport::TooLarge)?);
    }
    from_json(bytes)
}

/// Reads a report from its JSON text. A byte order mark before it is overlooked.
///
/// # Errors
/// [`BadReport`].
pub fn from_json(json: &[u8]) -> Result<Report, BadReport> {
    if json.len() > REPORT_MAX {
        return Err(BadReport::TooLarge);
    }
    let report: Report = serde_json::from_slice(json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json))?;
    let failures: usize = report.policies.iter().map(|policy| policy.failure_details.len()).sum();
    if report.policies.len() > POLICIES_MAX || failures > FAILURES_MAX {
        return Err(BadReport::TooLarge);
    }
    Ok(report)
}

/// Reads the report in a message: the first part of a media type of reports, or failing that the first attachment
/// that is called `.json` or `.json.gz`.
///
/// Whether the message is authentic is another question: [`vouched`].
///
/// # Errors
/// [`BadReport`].
pub fn from_message(message: &Message) -> Result<Report, BadReport> {
    let parts = message.entity().walk(&Limits::default())?;
    let typed = parts.iter().find(|part| is_report_type(part));
    let part = typed.or_else(|| parts.iter().find(|part| is_report_name(part))).ok_or(BadReport::NoReport)?;
    // Base64 takes four octets for three.
    let range = part.content_range();
    if range.end.saturating_sub(range.start) > (REPORT_MAX as u64).saturating_mul(3) / 2 {
        return Err(BadReport::TooLarge);
    }
    let content = part.decoded(&Spill::default()).and_then(|body| body.to_vec()).map_err(BadReport::Part)?;
    from_bytes(&content)
}

/// Who a report is from: the domain of its contact, lower case. "If any of the items declared via subject or filename
/// disagree with the report, the report MUST be considered the authoritative source" (RFC 8460 section 5.6).
pub fn submitter(report: &Report) -> Option<String> {
    let address = report.contact_info.trim();
    let address = address.strip_prefix("mailto:").unwrap_or(address);
    let domain = mail::Address::parse(address).ok()?.domain().to_owned();
    crate::dns::a_labels(&domain).ok()
}

/// Whether one of `signers`, the domains of valid DKIM signatures, is the reporting domain, one above it or one
/// below it. "Reports lacking such a signature MUST be ignored by the recipient" (RFC 8460 section 3).
pub fn vouched(report: &Report, signers: &[impl AsRef<str>]) -> bool {
    let Some(submitter) = submitter(report) else { return false };
    let below = |name: &str, above: &str| {
        let rest = name.strip_suffix(above);
        above.contains('.') && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    signers.iter().any(|signer| {
        let signer = signer.as_ref().trim_end_matches('.').to_ascii_lowercase();
        below(&submitter, &signer) || below(&signer, &submitter)
    })
}

fn is_report_type(part: &Entity<'_>) -> bool {
    let media = part.content_type();
    media.kind.eq_ignore_ascii_case("application")
        && ["tlsrpt+gzip", "tlsrpt+json"].iter().any(|subtype| media.subtype.eq_ignore_ascii_case(subtype))
}

fn is_report_name(part: &Entity<'_>) -> bool {
    part.filename().is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.ends_with(".json.gz") || name.ends_with(".json")
    })
}
