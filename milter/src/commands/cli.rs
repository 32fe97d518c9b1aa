//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use keydir::{Profile, RevocationReason};
use mail::Address;
use program::manual::Shell;

/// When the command line last changed in a way that its manual pages show.
pub const CHANGED: &str = "2026-11-21";

/// Gatepost, the Trusted Mail Gateway: signs, encrypts, decrypts and verifies the mail of whole domains.
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 64 usage, 65 bad input, 66 not found, 69 unavailable, 73 cannot write, \
75 try again, 77 permission, 78 configuration."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/gatepost/gatepost.toml")]
    pub config: PathBuf,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Run,
    /// Check the configuration file; exits 78 and names every mistake if there is one.
    CheckConfig,
    /// Manage keys and certificates.
    Keys {
        /// What to do.
        #[command(subcommand)]
        command: Keys,
    },
    /// The local certification authority: S/MIME certificates for our own domains.
    Ca {
        /// What to do.
        #[command(subcommand)]
        command: Ca,
    },
    /// Accounts and their certificates, after a source of truth.
    Accounts {
        /// What to do.
        #[command(subcommand)]
        command: Accounts,
    },
    /// Look into the record of decisions.
    Notary {
        /// What to do.
        #[command(subcommand)]
        command: Notary,
    },
    /// Roads to other domains and to our own.
    Relay {
        /// What to do.
        #[command(subcommand)]
        command: Relay,
    },
    /// Treat a message from standard input as the daemon would, without an MTA.
    Filter {
        /// The transaction.
        #[command(flatten)]
        transaction: TransactionArgs,
        /// Directory for 0.eml, 1.eml, … and disposition.json; made if it is not there.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Say in plain words what would happen to a message from standard input, and why.
    Explain {
        /// The transaction.
        #[command(flatten)]
        transaction: TransactionArgs,
        /// Print the facts and the plan as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages to a directory.
    #[command(hide = true)]
    Manual {
        /// The directory.
        dir: PathBuf,
    },
}

/// A transaction as an SMTP client would make it.
#[derive(Debug, Args)]
pub struct TransactionArgs {
    /// Reverse-path (MAIL FROM); empty for a bounce.
    #[arg(long, value_name = "ADDRESS", value_parser = reverse_path)]
    pub from: String,
    /// Recipient (RCPT TO); may be given several times.
    #[arg(long, value_name = "ADDRESS", required = true, value_parser = forward_path)]
    pub to: Vec<String>,
    /// SASL user name the client authenticated with.
    #[arg(long, value_name = "USER")]
    pub auth: Option<String>,
    /// Address of the client.
    #[arg(long, value_name = "IP", default_value = "192.0.2.1")]
    pub client: IpAddr,
    /// Name of the MTA's service, e.g. ORIGINATING.
    #[arg(long, value_name = "NAME")]
    pub daemon: Option<String>,
}

/// A path that an MTA would take; the brackets may be left out.
fn reverse_path(text: &str) -> Result<String, String> {
    Address::parse_path(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn forward_path(text: &str) -> Result<String, String> {
    match Address::parse_path(text) {
        Ok(Some(_)) => Ok(text.to_owned()),
        // The one recipient that needs no domain (RFC 5321 section 4.5.1).
        _ if text.trim_matches(['<', '>']).eq_ignore_ascii_case("postmaster") => Ok(text.to_owned()),
        Ok(None) => Err("a recipient cannot be empty".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Commands on the local authority.
#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Make the root and the first issuing authority for the gateway's domains.
    Init {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Issue a certificate for a new key, which goes into custody.
    Issue {
        /// user, user-sign, user-encrypt, domain-signing-authority, domain-confidentiality-authority,
        /// review-authority, attribute-authority, gateway or ocsp-responder.
        #[arg(value_parser = crate::commands::ca::profile)]
        profile: Profile,
        /// The mailbox, domain or host name.
        subject: String,
        /// Name of the person, for people who look at the certificate.
        #[arg(long)]
        name: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a certificate and publish the revocation list that says so.
    Revoke {
        /// Fingerprint.
        fingerprint: String,
        /// Why: key-compromise, superseded, cessation-of-operation, …
        #[arg(long, default_value = "unspecified", value_parser = crate::commands::ca::reason)]
        reason: RevocationReason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List what was issued, the newest first.
    List {
        /// Only for this mailbox, domain or host.
        subject: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Renew what expires within seven days. The daemon does so by itself.
    Renew {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make another issuing certificate: after a change of the domains, or before the old one expires.
    #[command(
        after_help = "The root's key must be in custody. If it is offline: `gatepost ca import-root FILE \
--password-file FILE`, then this command, then `gatepost ca export root --p12 NEW --password-file FILE --remove-key`."
    )]
    RenewIssuing {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take the root's key, which was offline, back into custody.
    ImportRoot {
        /// The PKCS#12 file that `gatepost ca export root --p12` wrote.
        file: PathBuf,
        /// File whose first line is the password of it.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make and print a revocation list.
    Crl {
        /// `issuing`, `root` or a fingerprint.
        #[arg(default_value = "issuing")]
        authority: String,
        /// DER instead of PEM.
        #[arg(long)]
        der: bool,
    },
    /// Answer an OCSP request (RFC 6960) from a file (`-`: standard input).
    Ocsp {
        /// The request in DER.
        request: PathBuf,
    },
    /// Print a certificate; with --p12 write it with its secret key to a PKCS#12 file.
    Export {
        /// `root`, `issuing`, a fingerprint, mailbox, domain or host.
        which: String,
        /// The PKCS#12 file to make.
        #[arg(long, value_name = "FILE", requires = "password_file")]
        p12: Option<PathBuf>,
        /// File whose first line is the password for it.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Then take the key out of custody, for an offline root.
        #[arg(long, requires = "p12")]
        remove_key: bool,
    },
}

/// Commands on accounts.
#[derive(Debug, Subcommand)]
pub enum Accounts {
    /// Say what `sync` would do; change nothing.
    Plan {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Issue and revoke certificates until they agree with the source. The daemon does so by itself.
    #[command(
        after_help = "Exit codes: 0 all agrees, 65 the source has mistakes or an account cannot have a certificate, \
66 there is no authority or no source, 75 another synchronisation is under way, 77 more accounts would lose their \
certificates than max_loss allows."
    )]
    Sync {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Go on although more accounts lose their certificates than max_loss allows.
        #[arg(long, visible_alias = "yes")]
        accept_loss: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the accounts that are known and their certificates.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make the master key that protects secret keys and records at rest.
    Init,
    /// Make a key for a domain or a user.
    Generate {
        /// Whose key.
        #[command(flatten)]
        owner: Owner,
        /// Algorithm.
        #[arg(long, value_enum, default_value_t = Algorithm::Curve25519)]
        algorithm: Algorithm,
        /// Make an OpenPGP version 6 key (RFC 9580), which GnuPG cannot read.
        #[arg(long)]
        v6: bool,
        /// Announce AEAD (SEIPDv2), which GnuPG 2.2 cannot read, in a version 4 key.
        #[arg(long)]
        aead: bool,
        /// Days until it expires; 0 for never.
        #[arg(long, default_value_t = 1095)]
        days: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take certificates, or secret keys of our own, from a file (`-`: standard input).
    Import {
        /// The file: OpenPGP, armored or binary; S/MIME as PEM, DER, PKCS#7 or PKCS#12.
        file: PathBuf,
        /// Bind to this address instead of those in the certificate.
        #[arg(long = "for", value_name = "ADDRESS", conflicts_with = "domain")]
        address: Option<String>,
        /// Bind to this domain: a domain certificate.
        #[arg(long)]
        domain: Option<String>,
        /// The key of this user's mailbox at rest; it is used for nothing else and never published.
        #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["domain", "address"])]
        at_rest: Option<String>,
        /// File whose first line is the password of a PKCS#12 file.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// S/MIME: the holder's software reads AES-256-GCM (AuthEnvelopedData).
        #[arg(long)]
        gcm: bool,
        /// S/MIME: the holder's software reads RSA-OAEP.
        #[arg(long)]
        oaep: bool,
        /// How far to trust certificates; secret keys become our own.
        #[arg(long, value_enum, default_value_t = TrustLevel::Verified)]
        trust: TrustLevel,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a certificate, armored; with --secret the secret key.
    Export {
        /// Fingerprint or address.
        #[arg(required_unless_present = "domain")]
        which: Option<String>,
        /// The domain's certificate.
        #[arg(long)]
        domain: Option<String>,
        /// Print the secret key, unprotected. Whoever has it can read the mail.
        #[arg(long)]
        secret: bool,
    },
    /// List certificates and whether they can be used.
    List {
        /// Only those of this address or domain.
        which: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a certificate whose secret key we hold.
    Revoke {
        /// Fingerprint.
        fingerprint: String,
        /// Why.
        #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
        reason: Reason,
        /// Text for people.
        #[arg(long, default_value = "")]
        message: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look for the certificates of an address as the gateway would for a message to it.
    Lookup {
        /// The address.
        address: String,
        /// Tell every source that was asked, what it said, and why the winner won.
        #[arg(long)]
        explain: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the public keys of the key log and of this gateway as a witness, for partners.
    Log {
        /// Let the log go on that a witness has stopped, because it was the witness that erred.
        #[arg(long)]
        resume: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring what the key directory publishes up to date, as the daemon does by itself.
    Publish {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Forget a mailbox: its certificates in the store and in what is published, what was learnt of it, and what opens its
    /// entries in the key log. Remove its account first, or it gets new ones.
    Erase {
        /// The address.
        address: String,
        /// Destroy its secret keys as well. Mail that was encrypted to them can never be read again.
        #[arg(long)]
        secrets: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the certificate of a user's domain with the user's trust in it, restricted to the domain: software that has
    /// the user's key then sees all users whom the domain vouches for as valid.
    Introduce {
        /// The user, whose secret key we hold.
        address: String,
    },
    /// Make the encryption subkeys that are due and destroy the epochs that are over, as the daemon does by itself.
    Rotate {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set how far a certificate is trusted.
    Trust {
        /// Fingerprint.
        fingerprint: String,
        /// The trust.
        #[arg(value_enum)]
        trust: TrustLevel,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Whose key it is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Owner {
    /// A domain of ours.
    #[arg(long)]
    pub domain: Option<String>,
    /// A user in a domain of ours.
    #[arg(long, value_name = "ADDRESS")]
    pub user: Option<String>,
}

/// Algorithms of new keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Algorithm {
    /// Ed25519 and X25519.
    Curve25519,
    /// NIST P-256.
    P256,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
}

/// How far a certificate is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrustLevel {
    /// Checked by a person: used. One whose secret key we hold is our own again, and published.
    Verified,
    /// Taken on first use: used.
    Accepted,
    /// Waits for approval: not used.
    Held,
    /// Never used.
    Distrusted,
}

/// Why a certificate is revoked.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Reason {
    /// Somebody else may have the secret key.
    Compromised,
    /// It is not used any more.
    Retired,
    /// Another certificate replaces it.
    Superseded,
    /// No reason; counts as compromised.
    Unspecified,
}

/// Commands on the record of decisions.
#[derive(Debug, Subcommand)]
pub enum Notary {
    /// Show the story of a message by queue id, Message-ID or transaction id.
    Show {
        /// The queue id, Message-ID (with or without brackets) or transaction id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Recompute every hash of the log; exits 65 if a record was changed.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Commands on roads.
#[derive(Debug, Subcommand)]
pub enum Relay {
    /// Run policy server and relay without the milter.
    Serve,
    /// Say which road leads to each host of a domain, decided afresh; exits 75 if none can be used now.
    Query {
        /// A domain, or what Postfix calls a next-hop: `[host]`, `domain:port`.
        domain: String,
        /// Say each look-up and what followed from it.
        #[arg(long)]
        explain: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Connect to each host of a domain as if there were mail; exits 75 if mail would have to wait.
    Test {
        /// A domain or next-hop.
        domain: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what our own domains should publish, and check what they do; exits 65 if something is missing or wrong.
    Publish {
        /// Only this domain of `[relay.own]`.
        domain: Option<String>,
        /// Print the records and policies only; ask nobody.
        #[arg(long)]
        no_check: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the relay map: the road to each domain, the last delivery, the last failure.
    Map {
        /// Only this domain and those below it.
        domain: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what others report about TLS to our own domains, or take in a report.
    Reports {
        /// Take a report from standard input: a message, JSON, or JSON in gzip.
        #[arg(long, conflicts_with = "days")]
        take: bool,
        /// Of so many days.
        #[arg(long, default_value_t = 30)]
        days: u16,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
