//! `gatepost-keydir serve`.

mod connection;
mod metrics;
mod notify;
mod patient;
mod router;
mod sockets;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keydir::PublicationError;
use net::Clock;
use program::{Exit, chain};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};

use crate::Directory;
use crate::config::Config;
use crate::ldap::{self, LdapDoor};
use crate::tls::{Certificates, Stamp, TlsError};

use connection::Doors;
pub(crate) use patient::Patient;
pub use router::router;
use sockets::Socket;

/// How often the certificate files are looked at; whoever renews them need not tell us.
const LOOK: Duration = Duration::from_secs(5);
/// Most threads that read the publication, each with a connection of its own.
const READERS: usize = 16;
/// How long accepting rests after an error, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until SIGTERM or SIGINT; then requests under way are finished.
///
/// # Errors
/// Something needed at start is missing; the exit says what and how to mend it.
pub fn run(config_path: &Path) -> Result<(), Exit> {
    let config = Config::load(config_path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(READERS)
        .build()
        .map_err(|error| Exit::unavailable("cannot start the runtime", error))?;
    let directory = open(config)?;
    runtime.block_on(Server { directory, config_path: config_path.to_owned() }.run())
}

/// Opens the publication that a configuration names.
///
/// # Errors
/// 69, with the remedy, if it is not there.
pub fn open(config: Config) -> Result<Arc<Directory>, Exit> {
    let place = config.publication.display().to_string();
    Directory::open(config, Clock::system()).map_err(|error: PublicationError| {
        let hint = "the gateway writes it: run `gatepost keys publish` and give this process's group access";
        Exit::unavailable(format!("cannot open the publication in {place} ({hint})"), error)
    })
}

struct Server {
    directory: Arc<Directory>,
    config_path: PathBuf,
}

impl Server {
    async fn run(self) -> Result<(), Exit> {
        let listen = |kind| signal(kind).map_err(|error| Exit::unavailable("cannot follow signals", error));
        let (mut hangup, mut terminate) = (listen(SignalKind::hangup())?, listen(SignalKind::terminate())?);
        let mut interrupt = listen(SignalKind::interrupt())?;
        let config = self.directory.config();
        let stamp = Stamp::of(&config.tls);
        let certificates = Certificates::load(&config.tls).map_err(tls_exit)?;
        let (drain, draining) = watch::channel(false);
        let ready = Arc::new(AtomicBool::new(false));
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        self.accept(&certificates, &draining, &alive)?;
        self.accept_ldap(&certificates, &draining, &alive)?;
        drop(alive);
        if let Some(address) = config.metrics {
            let listener = TcpListener::bind(address).await.map_err(|error| {
                Exit::unavailable(format!("cannot listen on {address} for metrics"), error)
            })?;
            tokio::spawn(metrics::serve(listener, self.directory.clone(), ready.clone()));
        }
        self.took_certificates(&certificates);
        self.directory.counters.reloaded(true, self.directory.clock.now());
        tokio::spawn(watch_files(self.directory.clone(), certificates.clone(), stamp));
        ready.store(true, Ordering::Release);
        notify::tell("READY=1");
        let mut places: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        places.extend(config.ldap.listen.iter().map(ToString::to_string));
        tracing::info!("serving on {}", places.join(", "));
        loop {
            tokio::select! {
                _ = hangup.recv() => self.reload(&certificates),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        notify::tell("STOPPING=1");
        tracing::info!("draining: no new connections, requests under way are finished");
        ready.store(false, Ordering::Release);
        let _ = drain.send(true);
        // Nobody ever sends; it ends when the last connection has gone.
        if timeout(self.directory.config().limits.drain, all_gone.recv()).await.is_err() {
            tracing::warn!("requests were still under way when the time for them was over");
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Binds all listeners, and only then serves any.
    fn accept(
        &self,
        certificates: &Arc<Certificates>,
        draining: &watch::Receiver<bool>,
        alive: &mpsc::Sender<()>,
    ) -> Result<(), Exit> {
        let config = self.directory.config();
        let sockets = sockets::bind(&config.listen)?;
        let tls = match sockets.iter().any(|socket| socket.tls) {
            true => Some(certificates.server_config().map_err(tls_exit)?),
            false => None,
        };
        let router = router(&self.directory);
        let open = Arc::new(AtomicU64::new(0));
        for socket in sockets {
            let doors = Doors {
                directory: self.directory.clone(),
                router: router.clone(),
                tls: tls.clone().filter(|_| socket.tls),
                draining: draining.clone(),
                open: open.clone(),
            };
            tokio::spawn(accept(socket, doors, alive.clone()));
        }
        Ok(())
    }

    /// LDAP; with TLS, or StartTLS, if there is a certificate.
    fn accept_ldap(
        &self,
        certificates: &Arc<Certificates>,
        draining: &watch::Receiver<bool>,
        alive: &mpsc::Sender<()>,
    ) -> Result<(), Exit> {
        let config = self.directory.config();
        let tls = match config.tls.is_empty() || config.ldap.listen.is_empty() {
            true => None,
            false => Some(certificates.ldap_config().map_err(tls_exit)?),
        };
        for endpoint in &config.ldap.listen {
            let listener = sockets::tcp(endpoint.address)
                .map_err(|error| Exit::unavailable(format!("cannot listen on {endpoint}"), error))?;
            let door = LdapDoor {
                directory: self.directory.clone(),
                is_tls: endpoint.tls,
                tls: tls.clone(),
                draining: draining.clone(),
            };
            tokio::spawn(ldap::accept(listener, door, alive.clone()));
        }
        Ok(())
    }

    fn reload(&self, certificates: &Certificates) {
        let now = self.directory.clock.now();
        let loaded = Config::load(&self.config_path).map_err(|error| chain(&error)).and_then(|config| {
            certificates.reload(&config.tls).map_err(|error| chain(&error))?;
            Ok(config)
        });
        match loaded {
            Ok(config) => {
                self.directory.set_config(keep_what_needs_a_restart(config, &self.directory.config()));
                self.took_certificates(certificates);
                self.directory.counters.reloaded(true, now);
                tracing::info!("configuration reloaded");
            }
            Err(error) => {
                self.directory.counters.reloaded(false, now);
                tracing::error!("configuration NOT reloaded, the old one stays in force:\n{error}");
            }
        }
    }

    fn took_certificates(&self, certificates: &Certificates) {
        self.directory.counters.set_certificate_end(certificates.end().unwrap_or(0));
    }
}

fn tls_exit(error: TlsError) -> Exit {
    Exit::config(chain(&error))
}

/// What is bound to open sockets and files stays as it is, and the log says so.
fn keep_what_needs_a_restart(mut new: Config, old: &Config) -> Config {
    let keep = |name: &str, differs: bool| {
        if differs {
            tracing::warn!("`{name}` changed; it takes effect after a restart");
        }
    };
    keep("publication", new.publication != old.publication);
    keep("listen", new.listen != old.listen);
    keep("metrics", new.metrics != old.metrics);
    keep("[hkp] serve", new.hkp.serve != old.hkp.serve);
    keep("[ldap] listen", new.ldap != old.ldap);
    keep("[page] serve", new.page != old.page);
    keep("connections", new.limits.connections != old.limits.connections);
    new.publication.clone_from(&old.publication);
    new.listen.clone_from(&old.listen);
    new.metrics = old.metrics;
    new.hkp.serve = old.hkp.serve;
    new.ldap.clone_from(&old.ldap);
    new.page = old.page;
    new.limits.connections = old.limits.connections;
    new
}

/// Accepts connections until draining begins; then the socket is closed.
async fn accept(socket: Socket, doors: Doors, alive: mpsc::Sender<()>) {
    let doors = Arc::new(doors);
    let mut draining = doors.draining.clone();
    loop {
        let next = async {
            let permit = doors.directory.limits.connections.room().await;
            (permit, socket.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        match (permit, accepted) {
            (Some(permit), Ok((stream, peer))) => {
                tokio::spawn(connection::serve(stream, peer, permit, doors.clone(), alive.clone()));
            }
            (None, _) => return,
            (_, Err(error)) => {
                tracing::error!(%error, "cannot accept a connection; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Reads the certificates again when their files change.
async fn watch_files(directory: Arc<Directory>, certificates: Arc<Certificates>, mut seen: Stamp) {
    let mut tick = interval(LOOK);
    loop {
        tick.tick().await;
        let files = directory.config().tls.clone();
        let now = Stamp::of(&files);
        if now == seen {
            continue;
        }
        seen = now;
        match certificates.reload(&files) {
            Ok(()) => {
                directory.counters.set_certificate_end(certificates.end().unwrap_or(0));
                tracing::info!("TLS certificates read again");
            }
            // Perhaps only one of two files was written yet; its change will be seen.
            Err(error) => tracing::warn!("the TLS certificates stay as they were: {}", chain(&error)),
        }
    }
}
