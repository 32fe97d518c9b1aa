//! Test support: real Postfix instances, real gateways and small SMTP peers, all private to one test.
//!
//! Start with [`Site`]: one domain with its own Postfix and its own gatepost. [`SmtpClient`] submits
//! mail and gives every reply, [`SmtpTap`] sits on the wire between two sites, [`SmtpSink`] is a
//! scripted receiver, [`Gpg`] is a stranger's mail program. Everything lives in a temporary directory
//! and on loopback ports, and ends with the value that owns it, even if the test process is killed.
//!
//! Nothing here reads or changes the machine's own Postfix or its configuration. Postfix must be
//! started by root, so the tests that use it must be run by root.
//!
//! Support code panics where a test would: a failed assumption is a failed test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: a failed assumption is a failed test"
)]

mod dkim;
mod gatepost;
mod gpg;
mod key_directory;
mod maildir;
pub mod messages;
pub mod milter_client;
pub mod pki;
mod port;
mod postfix;
mod process;
mod sendmail;
mod sendmail_sts;
mod sink;
mod site;
mod slapd;
mod smtp;
mod tap;
mod trial;
mod wait;
pub mod world;

pub use crate::dkim::OpenDkim;
pub use crate::gatepost::Gatepost;
pub use crate::gatepost::GatepostPlan;
pub use crate::gatepost::gatepost_binary;
pub use crate::gatepost::keydir_binary;
pub use crate::gpg::Gpg;
pub use crate::gpg::Opened;
pub use crate::gpg::armored_message;
pub use crate::key_directory::Answer;
pub use crate::key_directory::KeyDirectory;
pub use crate::key_directory::TlsIdentity;
pub use crate::key_directory::curl;
pub use crate::maildir::Mail;
pub use crate::milter_client::MilterClient;
pub use crate::pki::Pki;
pub use crate::port::free_port;
pub use crate::postfix::Postfix;
pub use crate::postfix::PostfixPlan;
pub use crate::postfix::PostfixPorts;
pub use crate::process::Daemon;
pub use crate::process::Ran;
pub use crate::process::directory;
pub use crate::process::need_root;
pub use crate::process::run;
pub use crate::sendmail::Sendmail;
pub use crate::sendmail_sts::StsSendmail;
pub use crate::sink::Behaviour;
pub use crate::sink::Received;
pub use crate::sink::SmtpSink;
pub use crate::sink::Stage;
pub use crate::site::Site;
pub use crate::site::SitePlan;
pub use crate::slapd::Slapd;
pub use crate::smtp::Outcome;
pub use crate::smtp::Reply;
pub use crate::smtp::SmtpClient;
pub use crate::tap::SmtpTap;
pub use crate::trial::Copy;
pub use crate::trial::Trial;
pub use crate::wait::PATIENCE;
pub use crate::wait::wait_for;
pub use rustix::process::Signal;
