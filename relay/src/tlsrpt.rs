//! TLS reports (RFC 8460): what happened on our roads to a domain, told to those who ask for it, and what
//! others tell us about the roads to our own domain.
//!
//! Sending: the relay (and Postfix, by [`PostfixSocket`]) hand each [`Session`] to the [`Collector`], which
//! counts them per UTC day and policy in a table. Once a day is over, [`Reporter`] asks each domain where it
//! wants its report (`_smtp._tls.DOMAIN`), builds one, and sends it by mail and HTTPS.
//!
//! A report has one identity: its id, its Message-ID and its octets are written down before the first attempt.
//! After a crash between sending and noting it, the same octets are sent again under the same id, which is what
//! the id is for ("to identify and ignore duplicate reports", RFC 8460 section 5.3). A report is never built
//! twice.
//!
//! Receiving: [`intake`] reads reports, however wrapped and within limits; [`Ledger::receive`] keeps them,
//! [`Ledger::summary`] shows them.

pub mod intake;
pub mod postfix;
pub mod record;

mod collector;
mod day;
mod delivered;
mod dkim;
mod gzip;
mod https;
mod ledger;
mod letter;
mod outbox;
mod received;
mod report;
mod reporter;
mod session;
mod signers;
mod submission;
mod summary;
mod tally;

pub use collector::Collector;
pub use day::Day;
pub use dkim::BadKey;
pub use dkim::Signer;
pub use https::Https;
pub use ledger::Ledger;
pub use ledger::LedgerError;
pub use outbox::Pending;
pub use outbox::State;
pub use postfix::PostfixSocket;
pub use received::Kept;
pub use record::Rua;
pub use report::DateRange;
pub use report::FailureDetails;
pub use report::PolicyReport;
pub use report::Report;
pub use report::ReportedPolicy;
pub use report::Totals;
pub use reporter::Reporter;
pub use reporter::Reporting;
pub use reporter::Work;
pub use session::AppliedPolicy;
pub use session::Failure;
pub use session::Outcome;
pub use session::Peer;
pub use session::PolicyType;
pub use session::ResultType;
pub use session::Session;
pub use signers::KeyUnavailable;
pub use signers::signers;
pub use summary::Cause;
pub use summary::Summary;
pub use summary::Trend;

#[cfg(test)]
mod tests;
