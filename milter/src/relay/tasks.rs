//! What runs beside the milter: policy server, synchronous relay, upkeep, TLS reports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::relay::lmtp::{self, LmtpConfig, Relay};
use ::relay::socketmap::{self, Listener, PolicyTables, TransportTable};
use ::relay::tlsrpt::{Collector, PostfixSocket, Reporter};
use net::dns::Health;
use program::{Exit, chain};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{interval, timeout};

use crate::config::GatewayConfig;
use crate::relay::config::Validation;
use crate::relay::listen;
use crate::relay::room::RelayRoom;
use crate::relay::witness::{Recorder, RelayWitness};

/// How often there is a look whether TLS reports are due.
const REPORTS: Duration = Duration::from_secs(60);
/// How often gauges are set.
const GAUGES: Duration = Duration::from_secs(10);
/// Longest time that deliveries under way may take after draining began; a little more than the relay itself takes.
const DRAIN_TIME: Duration = Duration::from_secs(35);

/// The tasks of one relay room.
#[derive(Debug)]
pub struct RelayTasks {
    /// End when told to stop, after finishing what they have.
    servers: JoinSet<()>,
    /// Can be dropped at any time.
    upkeep: JoinSet<()>,
    collector: Collector,
}

impl RelayTasks {
    /// Binds the sockets and starts everything. `stop` becomes true when draining begins.
    ///
    /// # Errors
    /// An address that cannot be bound.
    pub fn start(
        room: &Arc<RelayRoom>,
        gateway: &GatewayConfig,
        recorder: Option<Recorder>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, Exit> {
        if let (Validation::Own(_), false) = (&room.config.validation, room.config.policy_listen.is_empty()) {
            tracing::warn!(
                "`validation = \"own\"` is ours alone: Postfix, which asks the policy server, judges DANE by what its own \
                 resolver says, and that must validate"
            );
        }
        let mut servers = JoinSet::new();
        let tables = Arc::new(tables(room));
        for endpoint in &room.config.policy_listen {
            let listener = listen::policy(endpoint)
                .map_err(|error| Exit::unavailable(format!("cannot listen on {endpoint}"), error))?;
            let (tables, limits) = (tables.clone(), room.config.policy_limits.clone());
            servers.spawn(socketmap::serve(listener, tables, limits, stop.clone()));
            tracing::info!("policy server ready on {endpoint}");
        }
        if let Some(address) = room.config.lmtp_listen {
            let listener = listen::lmtp(address)
                .map_err(|error| Exit::unavailable(format!("cannot listen on {address}"), error))?;
            servers.spawn(relay(room, gateway, recorder, listener, stop.clone()));
            tracing::info!("relay ready on {address}");
        }
        Ok(Self { servers, upkeep: upkeep(room)?, collector: room.collector.clone() })
    }

    /// Waits for the servers, which must have been told to stop, ends everything, and writes down what was counted.
    pub async fn finish(mut self) {
        let finished = timeout(DRAIN_TIME, async { while self.servers.join_next().await.is_some() {} });
        if finished.await.is_err() {
            tracing::warn!("relay: work still under way after {DRAIN_TIME:?} is given up");
        }
        self.servers.shutdown().await;
        self.upkeep.shutdown().await;
        // What the last deliveries told is on disk before the process ends.
        if let Err(error) = spawn_blocking(move || self.collector.flush()).await {
            tracing::error!(%error, "sessions may be missing in TLS reports");
        }
    }
}

fn tables(room: &Arc<RelayRoom>) -> PolicyTables {
    let transport = room.config.lmtp_listen.map(|address: SocketAddr| {
        let config = room.config.clone();
        TransportTable {
            local: Arc::new(move |domain| config.is_local(domain)),
            transport: room.config.transport.clone(),
            port: address.port(),
        }
    });
    let (engine, clock, pledges) = (room.engine.clone(), room.clock.clone(), Some(room.pledges.clone()));
    let room = room.clone();
    let asked = move |route: &Arc<::relay::road::Route>, answer: &socketmap::Answer| {
        room.telemetry.relay.answered(answer);
        room.map.decided(route);
    };
    PolicyTables::new(engine, clock, pledges, transport, Box::new(asked))
}

fn relay(
    room: &Arc<RelayRoom>,
    gateway: &GatewayConfig,
    recorder: Option<Recorder>,
    listener: Listener,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let config = LmtpConfig {
        name: gateway.name.clone(),
        size: gateway.message_size_limit.unwrap_or(0),
        spill: gateway.spill(),
        ..LmtpConfig::default()
    };
    let witness = RelayWitness { room: room.clone(), recorder };
    lmtp::serve(listener, Relay::new(room.routes(), room.courier(), witness, config), stop)
}

fn upkeep(room: &Arc<RelayRoom>) -> Result<JoinSet<()>, Exit> {
    let mut upkeep = JoinSet::new();
    let engine = room.engine.clone();
    upkeep.spawn(async move { engine.dns().watch_over().await });
    let engine = room.engine.clone();
    upkeep.spawn(async move { engine.keep_fresh().await });
    upkeep.spawn(show_health(room.clone()));
    upkeep.spawn(show_gauges(room.clone()));
    if let Some(path) = &room.config.reports.postfix_socket {
        let socket = PostfixSocket::bind(path, 0o666)
            .map_err(|error| Exit::unavailable(format!("cannot listen on {}", path.display()), error))?;
        let collector = room.collector.clone();
        upkeep.spawn(async move { socket.run(&collector).await });
    }
    if let Some(reporter) = room.reporter()? {
        upkeep.spawn(send_reports(room.clone(), reporter));
    }
    Ok(upkeep)
}

/// Sends the TLS reports that are due.
async fn send_reports(room: Arc<RelayRoom>, reporter: Reporter) {
    let mut tick = interval(REPORTS);
    loop {
        tick.tick().await;
        match reporter.step().await {
            Ok(work) => room.telemetry.relay.reported(work.sent, work.failed),
            Err(error) => tracing::error!("TLS reports wait: {}", chain(&error)),
        }
    }
}

/// Shows whether the resolver validates; the log says so by itself.
async fn show_health(room: Arc<RelayRoom>) {
    let mut health = room.engine.dns().health();
    loop {
        let validating = *health.borrow_and_update() == Health::Validating;
        room.telemetry.relay.validating(validating);
        if health.changed().await.is_err() {
            return;
        }
    }
}

async fn show_gauges(room: Arc<RelayRoom>) {
    let mut tick = interval(GAUGES);
    loop {
        tick.tick().await;
        room.telemetry.relay.routes(room.engine.len());
    }
}
