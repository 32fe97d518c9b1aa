//! A report as a message (RFC 8460 section 5.3).

use std::fmt::Write as _;

use mail::Address;

use super::day;
use super::day::Day;
use super::report::Report;

/// Octets of a base64 line before encoding (RFC 2045 section 6.8: 76 characters).
const LINE: usize = 57;

/// What a message is made of.
pub(super) struct Letter<'a> {
    pub(super) report: &'a Report,
    /// The report as JSON, packed.
    pub(super) packed: &'a [u8],
    /// Whom it is about.
    pub(super) domain: &'a str,
    /// Who reports; its domain is the submitter.
    pub(super) contact: &'a Address,
    pub(super) to: &'a Address,
    /// Unix seconds.
    pub(super) made: i64,
    /// Unique for the destination.
    pub(super) token: &'a str,
}

impl Letter<'_> {
    /// The message, in ASCII with lines of at most 998 octets, without a signature. The same input gives the
    /// same octets.
    pub(super) fn write(&self) -> Vec<u8> {
        let boundary = format!("=_tlsrpt_{}", self.token);
        let mut text = self.header(&boundary);
        let _ = write!(
            text,
            "\r\nThis is a multipart message in MIME format.\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{}\r\n\
             --{boundary}\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n filename=\"{}\"\r\n\r\n",
            self.for_people(),
            self.report.file_name(self.contact.domain(), self.domain),
        );
        for line in self.packed.chunks(LINE) {
            text.push_str(&base64_simd::STANDARD.encode_to_string(line));
            text.push_str("\r\n");
        }
        let _ = write!(text, "--{boundary}--\r\n");
        text.into_bytes()
    }

    /// "Sending MTAs MUST NOT honor MTA-STS or DANE TLSA failures" for reports (section 5.3), which the MTA that
    /// takes it from us can only know from TLS-Required (RFC 8689 section 3).
    fn header(&self, boundary: &str) -> String {
        let Self { report, domain, contact, to, .. } = self;
        let submitter = contact.domain();
        let report_id = &report.report_id;
        let date = day::rfc5322(self.made);
        format!(
            "From: <{contact}>\r\nTo: <{to}>\r\nDate: {date}\r\nMessage-ID: <{token}@{submitter}>\r\n\
             Subject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{report_id}>\r\n\
             TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {submitter}\r\nTLS-Required: No\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{boundary}\"\r\n",
            token = self.token,
        )
    }

    fn for_people(&self) -> String {
        let (mut good, mut bad) = (0u64, 0u64);
        for policy in &self.report.policies {
            good = good.saturating_add(policy.summary.total_successful_session_count);
            bad = bad.saturating_add(policy.summary.total_failure_session_count);
        }
        let day = Day::of(self.report.date_range.start_datetime);
        format!(
            "This is an aggregate TLS report (RFC 8460) from {}\r\n\
             about connections to {}\r\non {day} UTC.\r\n\r\n\
             Sessions as policy demands: {good}\r\nSessions that failed:       {bad}\r\n",
            self.contact.domain(),
            self.domain,
        )
    }
}
