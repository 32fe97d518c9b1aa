//! Opens the rooms a gateway consists of, from its configuration.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use keydir::{Anchors, LocalAuthority, Store};
use net::Clock;
use notary::{Notary, Options, Reader, system_clock};
use program::Exit;
use sealing::custody::{Custody, MasterKey, MasterKeyError};
use tokio::sync::Notify;

use crate::authority::{self, AuthorityRoom};
use crate::config::{Config, GatewayConfig, MasterKeySource};
use crate::discovery::{DiscoveryRoom, Holds};
use crate::gateway::Gateway;
use crate::keyring::KeyRing;
use crate::relay::room::RelayRoom;
use crate::revocation::RevocationRoom;
use crate::spool::Spool;
use crate::telemetry::Telemetry;
use crate::token::Tokens;

/// What the notary's key is derived for.
const NOTARY_PURPOSE: &str = "gatepost notary 1";

/// Opens everything the daemon needs.
///
/// Gives also what will tell of certificates that are held.
///
/// # Errors
/// What is missing, with the fix.
pub fn open(config: Arc<Config>) -> Result<(Gateway, Option<Holds>), Exit> {
    let telemetry = telemetry()?;
    let keys = Arc::new(open_keys(&config, telemetry.clone())?);
    let notary = open_notary(&config.gateway)?;
    let relay = RelayRoom::open(&config, telemetry.clone())?;
    let discovery = DiscoveryRoom::open(&config, keys.clone(), Clock::system())?;
    let (discovery, holds) = discovery.unzip();
    let spool = Spool::open(&config.gateway.state.join("spool"))
        .map_err(|error| Exit::unavailable("cannot open the spool", error))?;
    let tokens = Tokens::new().map_err(|error| Exit::unavailable("no randomness", error))?;
    let gateway = Gateway {
        config: ArcSwap::new(config),
        keys,
        notary,
        spool: Arc::new(spool),
        tokens: Arc::new(tokens),
        telemetry,
        clock: Clock::system(),
        bell: Arc::new(Notify::new()),
        under_way: Arc::new(AtomicUsize::new(0)),
        relay,
        discovery,
    };
    Ok((gateway, holds))
}

/// Opens the notary's log for writing; one process at a time.
///
/// # Errors
/// Another process has it, or it is not to be trusted.
pub fn open_notary(gateway: &GatewayConfig) -> Result<Notary, Exit> {
    Notary::open(notary_options(gateway)?).map_err(|error| Exit::unavailable("cannot open the notary", error))
}

/// Counters of one process.
///
/// # Errors
/// A mistake of ours in a metric's name.
pub fn telemetry() -> Result<Arc<Telemetry>, Exit> {
    Telemetry::new().map(Arc::new).map_err(|error| Exit::unavailable("cannot make the metrics", error))
}

/// Opens certificates and secret keys.
///
/// # Errors
/// The state directory, the database or the master key.
pub fn open_keys(config: &Config, telemetry: Arc<Telemetry>) -> Result<KeyRing, Exit> {
    let gateway = &config.gateway;
    prepare_state(gateway)?;
    let store = Store::open(&gateway.state.join("certificates.db"))
        .map_err(|error| Exit::unavailable("cannot open the certificate store", error))?;
    let custody = Custody::open(&gateway.state.join("secrets"), master_key(gateway)?)
        .map_err(|error| Exit::unavailable("cannot open the key custody", error))?;
    let custody = match &config.rotation.directory {
        Some(dir) => custody.with_epochs_in(dir),
        None => custody,
    };
    let anchors = ArcSwap::from_pointee(fresh_anchors(config)?);
    let revocation = RevocationRoom::new(&gateway.state);
    Ok(KeyRing { store, custody, anchors, revocation, telemetry })
}

/// Whose S/MIME certificates are trusted, with the local authority if there is one.
///
/// # Errors
/// A file of the `[smime]` section, or the authority's.
pub fn fresh_anchors(config: &Config) -> Result<Anchors, Exit> {
    let mut anchors = Anchors::load(&config.smime.sources)
        .map_err(|error| Exit::unavailable("cannot read the trust anchors of [smime]", error))?;
    if AuthorityRoom::exists(&config.gateway.state) {
        open_authority(&config.gateway)?
            .add_to(&mut anchors)
            .map_err(|error| Exit::unavailable("cannot read the local authority", error))?;
    }
    Ok(anchors)
}

fn open_authority(gateway: &GatewayConfig) -> Result<LocalAuthority, Exit> {
    LocalAuthority::open(&gateway.state.join(authority::FILE))
        .map_err(|error| Exit::unavailable("cannot open the local authority", error))
}

/// Opens the notary's log for reading, beside a running daemon.
///
/// # Errors
/// There is no log yet, or the key does not fit.
pub fn open_notary_reader(gateway: &GatewayConfig) -> Result<Reader, Exit> {
    let options = notary_options(gateway)?;
    Reader::open(&options.path, Some(&options.key))
        .map_err(|error| Exit::unavailable("cannot open the notary", error))
}

fn notary_options(gateway: &GatewayConfig) -> Result<Options, Exit> {
    let key = master_key(gateway)?
        .derive(NOTARY_PURPOSE)
        .map_err(|error| Exit::unavailable("cannot derive the notary's key", error))?;
    Ok(Options {
        path: gateway.state.join("notary.db"),
        origin: format!("{}/gatepost", gateway.name),
        key,
        software: concat!("gatepost ", env!("CARGO_PKG_VERSION")).to_owned(),
        clock: system_clock,
    })
}

/// Makes the directories below the state directory; mode 0700.
///
/// # Errors
/// One cannot be made.
pub fn prepare_state(gateway: &GatewayConfig) -> Result<(), Exit> {
    for dir in [gateway.state.clone(), gateway.state.join("tmp")] {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|error| Exit::output(format!("cannot make {}", dir.display()), error))?;
    }
    Ok(())
}

/// Reads the master key.
///
/// # Errors
/// It is not there (with the command that makes one), or others can read it.
pub fn master_key(gateway: &GatewayConfig) -> Result<MasterKey, Exit> {
    let key = match &gateway.master_key {
        MasterKeySource::File(path) => MasterKey::from_file(path),
        MasterKeySource::Credential(name) => MasterKey::from_credential(name),
    };
    key.map_err(|error| {
        let missing = matches!(&error, MasterKeyError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound);
        let mut exit = Exit::permission("cannot use the master key", error);
        if missing {
            exit.message.push_str("\nmake one with: gatepost keys init");
        }
        exit
    })
}
