//! From a connection to a host that is ready for mail: greeting, EHLO, STARTTLS, EHLO.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout_at;

use super::config::CourierConfig;
use super::fault::HopFault;
use super::features::Features;
use super::report::Via;
use super::wire::Deadline;
use super::wire::Wire;
use super::wire::WireFault;
use crate::road::Road;
use crate::tls::Channel;
use crate::tls::Tls;
use crate::tls::TlsFault;

/// A host to connect to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) road: Road,
    pub(super) mx_secure: bool,
}

impl Target {
    /// `mx.example.org[192.0.2.1]:25`, the way Postfix writes it.
    pub(super) fn place(&self) -> String {
        format!("{}[{}]:{}", self.host, self.address, self.port)
    }
}

/// A connection over which mail can be sent now.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) features: Features,
    pub(super) via: Arc<Via>,
    /// What a policy that is not enforced would have objected to.
    pub(super) tolerated: Option<HopFault>,
    /// Messages that the host had the last word on.
    pub(super) used: u32,
    /// The host waits for the next message.
    pub(super) ready: bool,
    /// When it became idle.
    pub(super) since: Instant,
}

/// What opening needs to know besides the target.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) config: &'a CourierConfig,
    pub(super) tls: &'a Tls,
    pub(super) deadline: Deadline,
}

impl Opening<'_> {
    /// Connects and makes ready for mail, over TLS as the road asks.
    ///
    /// Where TLS is not mandatory and its handshake breaks, a second connection is made in clear: to a host that
    /// takes anything, in clear is how mail came before, and a bounce helps nobody (RFC 7435).
    pub(super) async fn open(self, target: &Target) -> Result<Session, HopFault> {
        match self.attempt(target, wants_tls(&target.road)).await {
            Err(Refusal::Handshake(fault)) if !is_mandatory(&target.road) => {
                let mut session = self.attempt(target, false).await.map_err(Refusal::into_fault)?;
                session.tolerated = Some(fault);
                Ok(session)
            }
            other => other.map_err(Refusal::into_fault),
        }
    }

    async fn attempt(self, target: &Target, tls: bool) -> Result<Session, Refusal> {
        let mut wire = Wire::plain(self.connect(target).await?);
        self.greeting(&mut wire).await?;
        let features = self.hello(&mut wire).await?;
        self.check_loop(&features)?;
        let mut session = Session {
            wire,
            features,
            via: Arc::new(Via::new(target, Channel::cleartext())),
            tolerated: None,
            used: 0,
            ready: false,
            since: Instant::now(),
        };
        if !tls {
            return Ok(session);
        }
        let policy = policy_name(&target.road);
        let go_ahead = self.starttls(&mut session).await.map_err(|fault| {
            // Hanging up on STARTTLS is no other thing than hanging up in the handshake.
            let fault = TlsFault::Handshake(std::io::Error::other(fault));
            Refusal::from_tls(&fault, &target.road)
        });
        match go_ahead? {
            Ok(()) => self.encrypt(session, target).await,
            Err(how) if is_mandatory(&target.road) => Err(HopFault::no_starttls(policy, &how).into()),
            Err(how) => {
                if matches!(target.road, Road::Sts { .. } | Road::StsMismatch { .. }) {
                    session.tolerated = Some(HopFault::no_starttls(policy, &how));
                }
                Ok(session)
            }
        }
    }

    async fn connect(self, target: &Target) -> Result<TcpStream, HopFault> {
        let until = self.deadline.step(self.config.times.connect);
        let peer = SocketAddr::new(target.address, target.port);
        let stream = match timeout_at(until, TcpStream::connect(peer)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(HopFault::temporary((4, 1), format!("cannot connect: {error}"))),
            Err(_) => return Err(HopFault::temporary((4, 1), "cannot connect: no answer in time")),
        };
        // Commands are small and wait for an answer.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Ok(stream)
    }

    /// A greeting other than 220 says nothing about the message, so another host is tried (RFC 5321
    /// section 3.1 aside, as Postfix has it).
    async fn greeting(self, wire: &mut Wire) -> Result<(), HopFault> {
        let until = self.deadline.step(self.config.times.greeting);
        let reply =
            wire.reply(until).await.map_err(|fault| HopFault::wire(&fault, "waiting for the greeting"))?;
        if reply.code == 220 { Ok(()) } else { Err(HopFault::refused(&reply, "connecting")) }
    }

    async fn hello(self, wire: &mut Wire) -> Result<Features, HopFault> {
        let broken = |fault: WireFault| HopFault::wire(&fault, "EHLO");
        let until = || self.deadline.step(self.config.times.command);
        let name = &self.config.name;
        wire.send(format!("EHLO {name}\r\n").as_bytes(), until()).await.map_err(broken)?;
        let (reply, lines) = wire.reply_lines(until()).await.map_err(broken)?;
        if reply.is_positive() {
            return Ok(Features::read(&lines));
        }
        if !reply.is_permanent() {
            return Err(HopFault::refused(&reply, "EHLO"));
        }
        wire.send(format!("HELO {name}\r\n").as_bytes(), until()).await.map_err(broken)?;
        let (reply, lines) = wire.reply_lines(until()).await.map_err(broken)?;
        if reply.is_positive() {
            return Ok(Features::read(lines.get(..1).unwrap_or_default()));
        }
        Err(HopFault::refused(&reply, "HELO"))
    }

    /// A host that greets with our own name is ourselves, as Postfix has it.
    fn check_loop(self, features: &Features) -> Result<(), HopFault> {
        // Without a dot it is a name like `localhost`, which anybody may have.
        let name = &self.config.name;
        if name.contains('.') && features.greeting.eq_ignore_ascii_case(name) {
            return Err(HopFault::permanent((4, 6), "mail for this domain loops back to this host"));
        }
        Ok(())
    }

    /// `Ok(Err(how))`: TLS is not to be had, but the connection can be used.
    async fn starttls(self, session: &mut Session) -> Result<Result<(), String>, WireFault> {
        if !session.features.starttls {
            return Ok(Err("STARTTLS was not offered".to_owned()));
        }
        let until = self.deadline.step(self.config.times.command);
        session.wire.send(b"STARTTLS\r\n", until).await?;
        let reply = session.wire.reply(until).await?;
        if reply.code == 220 {
            return Ok(Ok(()));
        }
        Ok(Err(format!("host said: {reply} (in reply to STARTTLS)")))
    }

    async fn encrypt(self, session: Session, target: &Target) -> Result<Session, Refusal> {
        let until = self.deadline.step(self.config.times.command);
        let (wire, channel, tolerated) = session
            .wire
            .encrypt(self.tls, &target.road, &target.host, until)
            .await
            .map_err(|fault| Refusal::from_tls(&fault, &target.road))?;
        let mut session = Session {
            wire,
            via: Arc::new(Via::new(target, channel)),
            tolerated: tolerated.map(|fault| HopFault::tls(&fault, policy_name(&target.road))),
            ..session
        };
        // What was said in clear is void (RFC 3207 section 4.2). In TLS 1.3 a server that objects to us does so
        // only now, so this counts as part of the handshake.
        session.features = match self.hello(&mut session.wire).await {
            Ok(features) => features,
            Err(fault) if fault.is_broken_connection() => return Err(Refusal::Handshake(fault)),
            Err(fault) => return Err(fault.into()),
        };
        Ok(session)
    }
}

/// Why a session did not come about.
enum Refusal {
    Hop(HopFault),
    /// The TLS handshake failed, all else was well.
    Handshake(HopFault),
}

impl Refusal {
    fn from_tls(fault: &TlsFault, road: &Road) -> Self {
        Self::Handshake(HopFault::tls(fault, policy_name(road)))
    }

    fn into_fault(self) -> HopFault {
        match self {
            Self::Hop(fault) | Self::Handshake(fault) => fault,
        }
    }
}

impl From<HopFault> for Refusal {
    fn from(fault: HopFault) -> Self {
        Self::Hop(fault)
    }
}

impl Session {
    /// Says goodbye without waiting for an answer.
    pub(super) async fn quit(mut self, until: Instant) {
        // The host may be gone already; there is nothing left to lose.
        let _ = self.wire.send(b"QUIT\r\n", until).await;
    }
}

/// Without TLS nothing may be sent.
fn is_mandatory(road: &Road) -> bool {
    match road {
        Road::Dane { .. } | Road::DaneUnusable { .. } | Road::Encrypted | Road::Unreachable { .. } => true,
        Road::Sts { testing, .. } | Road::StsMismatch { testing } => !testing,
        Road::Opportunistic | Road::Cleartext => false,
    }
}

fn wants_tls(road: &Road) -> bool {
    !matches!(road, Road::Cleartext)
}

/// What asks for TLS, for texts.
fn policy_name(road: &Road) -> &'static str {
    match road {
        Road::Dane { .. } | Road::DaneUnusable { .. } => "DANE",
        Road::Sts { .. } | Road::StsMismatch { .. } => "MTA-STS",
        Road::Encrypted => "configuration",
        Road::Opportunistic | Road::Cleartext | Road::Unreachable { .. } => "TLS",
    }
}
