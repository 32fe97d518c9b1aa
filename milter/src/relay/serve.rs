//! `gatepost relay serve`: the relay room without the milter.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notary::Notary;
use program::{Exit, chain};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;
use crate::http;
use crate::relay::room::{self, RelayRoom};
use crate::relay::tasks::RelayTasks;
use crate::relay::witness::Recorder;
use crate::rooms;

/// Serves until SIGTERM or SIGINT.
///
/// The notary is opened only if there is a synchronous relay, whose deliveries are recorded. Only one process may
/// have it, so `gatepost run` and this cannot both relay from one state directory.
///
/// # Errors
/// Something needed at start is missing; the exit says what and how to mend it.
pub fn run(config_path: &Path) -> Result<(), Exit> {
    let config = Config::load(config_path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::unavailable("cannot start the runtime", error))?;
    runtime.block_on(serve(config, config_path.to_owned()))
}

async fn serve(config: Config, config_path: PathBuf) -> Result<(), Exit> {
    let listen = |kind| signal(kind).map_err(|error| Exit::unavailable("cannot follow signals", error));
    let (mut hangup, mut terminate) = (listen(SignalKind::hangup())?, listen(SignalKind::terminate())?);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let telemetry = rooms::telemetry()?;
    room::needed(&config)?;
    let Some(room) = RelayRoom::open(&config, telemetry.clone())? else { return Ok(()) };
    if room.config.policy_listen.is_empty() && room.config.lmtp_listen.is_none() {
        return Err(Exit::config(
            "[relay] has neither `policy_listen` nor `lmtp_listen`: there is nothing to serve",
        ));
    }
    let notary = match room.config.lmtp_listen {
        Some(_) => Some(Arc::new(rooms::open_notary(&config.gateway)?)),
        None => None,
    };
    let recorder = notary.clone().map(Recorder::of);
    let (drain, draining) = watch::channel(false);
    let tasks = RelayTasks::start(&room, &config.gateway, recorder, &draining)?;
    let ready = Arc::new(AtomicBool::new(true));
    if let Some(address) = config.gateway.metrics {
        let listener = http::bind(address)
            .await
            .map_err(|error| Exit::unavailable(format!("cannot listen on {address} for metrics"), error))?;
        tokio::spawn(http::serve(listener, http::Status { telemetry, ready: ready.clone() }));
    }
    loop {
        tokio::select! {
            _ = hangup.recv() => reload(&room, &config_path),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("draining: no new connections, deliveries under way are finished");
    ready.store(false, Ordering::Release);
    let _ = drain.send(true);
    tasks.finish().await;
    if let Some(notary) = notary
        && let Err(error) = Notary::close(&notary)
    {
        tracing::error!(%error, "cannot close the notary");
    }
    tracing::info!("stopped");
    Ok(())
}

fn reload(room: &RelayRoom, config_path: &Path) {
    let now = room.clock.now();
    match Config::load(config_path) {
        Ok(config) => {
            take_demands(room, &config);
            room.telemetry.reloaded(true, now);
            tracing::info!("configuration reloaded");
        }
        Err(error) => {
            room.telemetry.reloaded(false, now);
            tracing::error!("configuration NOT reloaded, the old one stays in force:\n{}", chain(&error));
        }
    }
}

/// What domains are asked for takes effect at once, all else after a restart.
pub fn take_demands(room: &RelayRoom, config: &Config) {
    if let Some(relay) = &config.relay {
        room.engine.set_demands(relay.demands.clone());
        if !relay.differs_only_in_demands(&room.config) {
            tracing::warn!("keys of [relay] other than `policy` changed; they take effect after a restart");
        }
    } else {
        tracing::warn!("the [relay] section is gone; that takes effect after a restart");
    }
}
