//! TLS towards a mail host, authenticated as its [`Road`] asks.
//!
//! TLS 1.2 and 1.3 by rustls on aws-lc, hybrid post-quantum key exchange first. A peer that must be authenticated
//! and is not gets an alert in the handshake; nothing of the mail is sent to it.

mod verifier;

use std::io;
use std::sync::Arc;

use net::Clock;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::IpAddr as TlsIpAddr;
use rustls::pki_types::Ipv4Addr as TlsIpv4Addr;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use serde::Deserialize;
use serde::Serialize;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::verifier::Check;
use self::verifier::RoadVerifier;
use crate::dane::DaneFault;
use crate::road::Road;

/// The client side of TLS for mail. Cheap to clone; holds no state of any connection.
#[derive(Clone, Debug)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    /// Nothing if there are no root certificates: then no host passes MTA-STS.
    web: Option<Arc<WebPkiServerVerifier>>,
    clock: Clock,
}

impl Tls {
    /// A client that trusts `roots` for MTA-STS; DANE and unauthenticated TLS need none.
    pub fn new(roots: RootCertStore, clock: Clock) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let web =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok();
        Self { provider, web, clock }
    }

    /// A client that trusts the system's root certificates; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
    ///
    /// A root certificate that cannot be read is left out with a warning; it must not stop all mail.
    pub fn with_system_roots(clock: Clock) -> Self {
        Self::new(system_roots(), clock)
    }

    /// Does the handshake with `host` and authenticates it as `road` asks.
    ///
    /// Cancel-safe in that a dropped handshake closes the connection.
    ///
    /// # Errors
    /// The handshake failed, or the peer is not who it should be. Never permanent.
    pub async fn handshake<S>(&self, stream: S, road: &Road, host: &str) -> Result<Handshake<S>, TlsFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (check, name) = self.check(road, host)?;
        let verifier = Arc::new(RoadVerifier::new(check, self.provider.signature_verification_algorithms));
        let connector = TlsConnector::from(Arc::new(self.configuration(Arc::clone(&verifier))?));
        match connector.connect(server_name(name), stream).await {
            Ok(stream) => {
                let (matched, tolerated) = verifier.outcome();
                let channel = Channel::of(stream.get_ref().1, matched);
                Ok(Handshake { stream, channel, tolerated })
            }
            Err(error) => Err(verifier.fault().unwrap_or(TlsFault::Handshake(error))),
        }
    }

    /// What the road asks of the certificate, and the server name to send (RFC 7672 section 8.1, RFC 8461
    /// sections 4.2 and 7.1).
    fn check<'a>(&self, road: &'a Road, host: &'a str) -> Result<(Check, &'a str), TlsFault> {
        match road {
            Road::Dane { base, names, records } => {
                let check = Check::Dane { records: records.clone(), names: names.clone() };
                Ok((check, base))
            }
            Road::DaneUnusable { base } => Ok((Check::Nothing, base)),
            Road::Encrypted | Road::Opportunistic | Road::StsMismatch { testing: true } => {
                Ok((Check::Nothing, host))
            }
            Road::Sts { name, testing } => {
                let web = self.web.clone();
                Ok((Check::Web { web, name: name.clone(), tolerant: *testing }, name))
            }
            Road::Cleartext | Road::StsMismatch { testing: false } | Road::Unreachable { .. } => {
                Err(TlsFault::NotAllowed)
            }
        }
    }

    fn configuration(&self, verifier: Arc<RoadVerifier>) -> Result<ClientConfig, TlsFault> {
        let time = Arc::new(Time(self.clock.clone()));
        let mut config = ClientConfig::builder_with_details(Arc::clone(&self.provider), time)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsFault::Handshake(io::Error::other(error)))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // A resumed session shows no certificate, and roads change.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// The system's root certificates; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
pub fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("the system has no root certificates: no host can pass MTA-STS");
    }
    roots
}

/// A finished handshake.
#[derive(Debug)]
pub struct Handshake<S> {
    /// The encrypted stream.
    pub stream: TlsStream<S>,
    /// What was agreed, and who the peer is.
    pub channel: Channel,
    /// What an MTA-STS policy in mode testing wants to hear about (RFC 8461 section 5).
    pub tolerated: Option<TlsFault>,
}

/// How one message crossed to its next host: what the record, the log and the reply tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// `TLSv1.2` or `TLSv1.3`; nothing in clear.
    pub tls_version: Option<String>,
    /// Cipher suite by its IANA name.
    pub cipher: Option<String>,
    /// Key exchange group, as `X25519MLKEM768`.
    pub key_exchange: Option<String>,
    /// SHA-256 of the peer's certificate, lower-case hex.
    pub certificate_sha256: Option<String>,
    /// What the peer was authenticated by.
    pub matched: Matched,
}

impl Channel {
    /// No TLS.
    pub fn cleartext() -> Self {
        Self {
            tls_version: None,
            cipher: None,
            key_exchange: None,
            certificate_sha256: None,
            matched: Matched::Cleartext,
        }
    }

    fn of(connection: &rustls::ClientConnection, matched: Matched) -> Self {
        let version = connection.protocol_version().map(|version| match version {
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
            other => format!("{other:?}"),
        });
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        Self {
            tls_version: version,
            cipher: connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())),
            key_exchange: connection
                .negotiated_key_exchange_group()
                .map(|group| format!("{:?}", group.name())),
            certificate_sha256: leaf.map(|leaf| verifier::sha256_hex(leaf)),
            matched,
        }
    }

    /// Whether the peer was authenticated, by whatever.
    pub fn is_authenticated(&self) -> bool {
        matches!(self.matched, Matched::Tlsa { .. } | Matched::WebPki { .. })
    }
}

/// What a peer was authenticated by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Matched {
    /// A TLSA record with these parameters.
    Tlsa {
        /// Certificate usage.
        usage: u8,
        /// Selector.
        selector: u8,
        /// Matching type.
        matching: u8,
    },
    /// A certificate of the web PKI for this name.
    WebPki {
        /// The name.
        name: String,
    },
    /// Nothing: TLS with whoever answered.
    Unauthenticated,
    /// Nothing: no TLS.
    Cleartext,
}

/// Why there is no TLS with the right peer.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// DANE authenticates nobody here.
    #[error(transparent)]
    Dane(DaneFault),
    /// The certificate does not pass for the MX name.
    #[error("the certificate is not valid for {name}: {why}")]
    Web {
        /// The MX name.
        name: String,
        /// What the verifier says.
        why: String,
        /// How TLS reports call it.
        kind: SessionFailure,
    },
    /// The handshake broke.
    #[error("TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// This road is not one for TLS.
    #[error("this road must not be used")]
    NotAllowed,
}

impl TlsFault {
    /// The result type for TLS reports.
    pub fn kind(&self) -> SessionFailure {
        match self {
            Self::Dane(DaneFault::Expired { .. } | DaneFault::NotYetValid { .. }) => {
                SessionFailure::CertificateExpired
            }
            Self::Dane(DaneFault::Name { .. }) => SessionFailure::CertificateHostMismatch,
            Self::Dane(_) => SessionFailure::CertificateNotTrusted,
            Self::Web { kind, .. } => *kind,
            Self::Handshake(_) | Self::NotAllowed => SessionFailure::ValidationFailure,
        }
    }
}

/// Result types of RFC 8460 section 4.3.1 that a connection can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionFailure {
    /// STARTTLS was not offered, or refused.
    StarttlsNotSupported,
    /// The certificate is for other hosts.
    CertificateHostMismatch,
    /// The certificate is not valid at this time.
    CertificateExpired,
    /// Nobody we trust vouches for the certificate.
    CertificateNotTrusted,
    /// Anything else.
    ValidationFailure,
}

/// The clock for rustls.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let now = u64::try_from(self.0.now()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(now)))
    }
}

/// The name for SNI. What is no host name is replaced by an address, for which rustls sends none.
fn server_name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned())
        .unwrap_or(ServerName::IpAddress(TlsIpAddr::V4(TlsIpv4Addr::from([0, 0, 0, 0]))))
}

#[cfg(test)]
mod tests;
