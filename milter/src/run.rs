//! The daemon: opens the rooms, serves the MTA, reloads, drains.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indymilter::Config as MilterConfig;
use program::{Exit, chain};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep};

use crate::accounts;
use crate::authority::config::CaConfig;
use crate::authority::{self, AuthorityRoom};
use crate::config::Config;
use crate::discovery;
use crate::gateway::Gateway;
use crate::http;
use crate::listen::Listeners;
use crate::publication;
use crate::publication::PublicationRoom;
use crate::publication::cosigning::Cosigning;
use crate::publication::gate::{self, Gate};
use crate::publication::witness::WitnessRoom;
use crate::reinject::Reinjector;
use crate::relay::serve::take_demands;
use crate::relay::tasks::RelayTasks;
use crate::relay::witness::Recorder;
use crate::revocation;
use crate::rooms;
use crate::rotation;
use crate::session::callbacks;
use crate::trust;

/// Longest time that messages under way may take after SIGTERM.
const DRAIN_TIME: Duration = Duration::from_secs(30);
/// Longest time that abandoned work may keep the process from ending.
const HUNG_WORK: Duration = Duration::from_secs(1);
/// Seconds after which a mark of an unanswered submission is forgotten.
const TAKEN_LIFETIME: i64 = 5 * 24 * 3600;
/// How often such marks are looked for.
const TIDY_PAUSE: Duration = Duration::from_secs(3600);

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// Something needed at start is missing; the exit says what and how to mend it.
pub fn run(config_path: &Path) -> Result<(), Exit> {
    let config = Config::load(config_path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(|error| Exit::unavailable("cannot start the runtime", error))?;
    let served = runtime.block_on(serve(config, config_path.to_owned()));
    // Work that was given up may hang in a system call for ever; nobody waits for its result.
    runtime.shutdown_timeout(HUNG_WORK);
    served
}

/// Threads that talk to the MTA: half of the processors, for the other half is the MTA's. Two workers
/// on two processors steal each other's tasks so eagerly that a message costs a fifth more. Sealing,
/// opening, look-ups, the spool and the notary have threads of their own.
fn workers() -> usize {
    (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1)
}

async fn serve(config: Config, config_path: PathBuf) -> Result<(), Exit> {
    let config = Arc::new(config);
    // Before anybody can think that we are up: until then a signal ends the process at once.
    let signals = Signals::listen().map_err(|error| Exit::unavailable("cannot follow signals", error))?;
    let (gateway, holds) = rooms::open(config.clone())?;
    let gateway = Arc::new(gateway);
    tokio::spawn(tidy(gateway.clone()));
    let (drain, draining) = watch::channel(false);
    let listeners = Listeners::bind(&config.gateway.listen, becomes_true(draining.clone()))
        .map_err(|(endpoint, error)| Exit::unavailable(format!("cannot listen on {endpoint}"), error))?;
    let relay = gateway.relay.as_ref().map(|room| {
        let notary = gateway.clone();
        let recorder = Recorder::new(move |entry| notary.notary.append(entry));
        RelayTasks::start(room, &config.gateway, Some(recorder), &draining)
    });
    let relay = relay.transpose()?;
    let authority = look_after_authority(&gateway, &config).await?;
    publish(&gateway, &config, authority)?;
    tokio::spawn(trust::watch(gateway.clone()));
    tokio::spawn(revocation::look_after(gateway.clone()));
    tokio::spawn(rotation::look_after(gateway.clone()));
    if let (Some(room), Some(holds)) = (&gateway.discovery, holds) {
        tokio::spawn(discovery::tasks::tend(room.clone()));
        tokio::spawn(discovery::tasks::tell(gateway.clone(), holds));
    }
    let ready = Arc::new(AtomicBool::new(true));
    gateway.telemetry().reloaded(true, gateway.now());
    gateway.telemetry().connections_limited(config.gateway.max_connections);
    gateway.telemetry().notary_opened(gateway.notary.counts().size, gateway.now());
    // Last of all listeners: whoever is told that we are ready finds the others open.
    if let Some(address) = config.gateway.metrics {
        let listener = http::bind(address)
            .await
            .map_err(|error| Exit::unavailable(format!("cannot listen on {address} for metrics"), error))?;
        let status = http::Status { telemetry: gateway.telemetry.clone(), ready: ready.clone() };
        tokio::spawn(http::serve(listener, status));
    }
    let (stop_reinjection, stopped) = watch::channel(false);
    let reinjection = config
        .gateway
        .reinject
        .map(|target| tokio::spawn(reinjector(&gateway, target.to_string()).run(stopped)));
    if config.gateway.reinject.is_none() {
        tracing::warn!(
            "no `reinject` listener is configured: a message whose recipients need different treatment is deferred"
        );
    }
    let listening: Vec<String> = config.gateway.listen.iter().map(ToString::to_string).collect();
    tracing::info!("gatepost {} ready on {}", env!("CARGO_PKG_VERSION"), listening.join(", "));

    let signals = tokio::spawn(signals.follow(gateway.clone(), config_path, drain, ready));
    let milter = MilterConfig { max_connections: config.gateway.max_connections, ..MilterConfig::default() };
    let shutdown = drained(gateway.clone(), draining);
    let served = indymilter::run(listeners, callbacks(gateway.clone()), milter, shutdown).await;
    signals.abort();
    let _ = stop_reinjection.send(true);
    if let Some(task) = reinjection {
        let _ = task.await;
    }
    if let Some(relay) = relay {
        relay.finish().await;
    }
    if let Err(error) = gateway.notary.close() {
        tracing::error!(%error, "cannot close the notary");
    }
    tracing::info!("stopped");
    served.map_err(|error| Exit::unavailable("the milter stopped", error))
}

/// Starts what the local authority needs: renewals, revocation lists, accounts, and a listener for them.
async fn look_after_authority(
    gateway: &Arc<Gateway>,
    config: &Config,
) -> Result<Option<Arc<AuthorityRoom>>, Exit> {
    let wanted = config.ca != CaConfig::default() || config.accounts.is_some();
    if !wanted && !AuthorityRoom::exists(&config.gateway.state) {
        return Ok(None);
    }
    let room = AuthorityRoom::open(&config.gateway.state, gateway.keys().clone())
        .map_err(|error| Exit::unavailable("cannot open the local authority", error))?;
    let room = Arc::new(room);
    authority::tasks::begin(gateway.clone(), room.clone()).await;
    tokio::spawn(authority::tasks::look_after(gateway.clone(), room.clone()));
    tokio::spawn(accounts::watch::watch(gateway.clone(), room.clone()));
    if let Some(address) = config.ca.listen {
        let listener = http::bind(address)
            .await
            .map_err(|error| Exit::unavailable(format!("cannot listen on {address} for [ca]"), error))?;
        tokio::spawn(authority::http::serve(listener, room.clone(), gateway.clock.clone()));
    }
    Ok(Some(room))
}

/// Starts what keeps the publication up to date, and the socket for the sidecar.
fn publish(
    gateway: &Arc<Gateway>,
    config: &Config,
    authority: Option<Arc<AuthorityRoom>>,
) -> Result<(), Exit> {
    let Some(room) = PublicationRoom::open(config, gateway.keys().clone())? else { return Ok(()) };
    let path = room.gate();
    let listener = gate::bind(&path)
        .map_err(|error| Exit::unavailable(format!("cannot listen on {}", path.display()), error))?;
    let witness = WitnessRoom::open(config)?.map(Arc::new);
    let gate = Gate {
        publication: room.clone(),
        authority,
        witness: witness.clone(),
        telemetry: gateway.telemetry.clone(),
        clock: gateway.clock.clone(),
    };
    tokio::spawn(gate::serve(listener, gate));
    let cosigning = Cosigning::open(gateway, &room)?;
    tokio::spawn(publication::tasks::keep(gateway.clone(), room, cosigning, witness));
    Ok(())
}

/// Forgets old marks of unanswered submissions, now and then.
async fn tidy(gateway: Arc<Gateway>) {
    let mut tick = interval(TIDY_PAUSE);
    loop {
        tick.tick().await;
        let gateway = gateway.clone();
        let tidied = spawn_blocking(move || gateway.spool.forget_taken(gateway.now(), TAKEN_LIFETIME)).await;
        if let Ok(Err(error)) = tidied {
            tracing::warn!(%error, "cannot tidy the spool");
        }
    }
}

fn reinjector(gateway: &Arc<Gateway>, target: String) -> Reinjector {
    Reinjector {
        spool: gateway.spool.clone(),
        tokens: gateway.tokens.clone(),
        target,
        name: gateway.config().gateway.name.clone(),
        spill: gateway.spill(),
        clock: gateway.clock.clone(),
        telemetry: gateway.telemetry.clone(),
        bell: gateway.bell.clone(),
        unsettled: std::sync::Mutex::default(),
        made: std::sync::Mutex::default(),
    }
}

/// The signals that the daemon follows.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Follows signals until told to stop: SIGHUP reloads, SIGTERM and SIGINT begin draining.
    async fn follow(
        mut self,
        gateway: Arc<Gateway>,
        config_path: PathBuf,
        drain: watch::Sender<bool>,
        ready: Arc<AtomicBool>,
    ) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => reload(&gateway, &config_path),
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
        tracing::info!("draining: no new connections, messages under way are finished");
        ready.store(false, Ordering::Release);
        let _ = drain.send(true);
        // Kept alive: a dropped sender would look like a change to nobody, but the task is aborted
        // only when serving ended.
        std::future::pending::<()>().await;
    }
}

/// Reads the configuration again; a wrong one changes nothing.
fn reload(gateway: &Gateway, config_path: &Path) {
    let now = gateway.now();
    match Config::load(config_path) {
        Ok(config) => {
            let anchors = match rooms::fresh_anchors(&config) {
                Ok(anchors) => anchors,
                Err(error) => {
                    gateway.telemetry().reloaded(false, now);
                    let what = "configuration NOT reloaded, the trust anchors stay as they were";
                    return tracing::error!("{what}: {error}");
                }
            };
            let config = keep_what_needs_a_restart(config, &gateway.config());
            tell_what_begins_later(&config, &gateway.config());
            match &gateway.relay {
                Some(room) => take_demands(room, &config),
                None if config.relay.is_some() => {
                    tracing::warn!("a [relay] section was added; it takes effect after a restart");
                }
                None => {}
            }
            gateway.config.store(Arc::new(config));
            trust::put(gateway, anchors);
            gateway.telemetry().reloaded(true, now);
            tracing::info!("configuration reloaded");
        }
        Err(error) => {
            gateway.telemetry().reloaded(false, now);
            tracing::error!("configuration NOT reloaded, the old one stays in force:\n{}", chain(&error));
        }
    }
}

/// Values that are bound to open sockets and files stay as they are, and the log says so.
fn keep_what_needs_a_restart(mut new: Config, old: &Config) -> Config {
    let keep = |name: &str, differs: bool| {
        if differs {
            tracing::warn!("`{name}` changed; it takes effect after a restart");
        }
    };
    keep("listen", new.gateway.listen != old.gateway.listen);
    keep("state", new.gateway.state != old.gateway.state);
    keep("master_key", new.gateway.master_key != old.gateway.master_key);
    keep("metrics", new.gateway.metrics != old.gateway.metrics);
    keep("reinject", new.gateway.reinject != old.gateway.reinject);
    keep("max_connections", new.gateway.max_connections != old.gateway.max_connections);
    new.gateway.listen.clone_from(&old.gateway.listen);
    new.gateway.state.clone_from(&old.gateway.state);
    new.gateway.master_key.clone_from(&old.gateway.master_key);
    new.gateway.metrics = old.gateway.metrics;
    new.gateway.reinject = old.gateway.reinject;
    new.gateway.max_connections = old.gateway.max_connections;
    new
}

/// Rooms that are opened at the start alone: the log says so instead of nothing happening.
fn tell_what_begins_later(new: &Config, old: &Config) {
    let later = |what: &str| tracing::warn!("{what}; that takes effect after a restart");
    match (&new.discovery, &old.discovery) {
        (Some(_), None) => later("a [discovery] section was added"),
        (None, Some(_)) => later("the [discovery] section is gone"),
        (Some(new), Some(old)) if new.differs_since_start(old) => {
            later("keys of [discovery] other than `autocrypt` and `tell` changed");
        }
        _ => {}
    }
    let (Some(new), Some(old)) = (&new.keydir, &old.keydir) else {
        if new.keydir.is_some() {
            later("a [keydir] section was added");
        } else if old.keydir.is_some() {
            later("the [keydir] section is gone");
        }
        return;
    };
    if old.witnesses.is_none() && new.witnesses.is_some() {
        later("the key log got its first witness");
    }
    if old.witness_for.is_empty() && !new.witness_for.is_empty() {
        later("the first partner was added to `witness_for`");
    }
}

async fn becomes_true(mut value: watch::Receiver<bool>) {
    if value.wait_for(|value| *value).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Completes when draining has begun and no message is under way, or the drain time is over.
async fn drained(gateway: Arc<Gateway>, draining: watch::Receiver<bool>) {
    becomes_true(draining).await;
    let deadline = Instant::now() + DRAIN_TIME;
    while gateway.under_way.load(Ordering::Acquire) > 0 {
        if Instant::now() > deadline {
            tracing::warn!("messages still under way after {DRAIN_TIME:?}; the MTA will try them again");
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
