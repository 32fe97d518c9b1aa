//! `gatepost keys erase`.

use std::io::Error;
use std::sync::Arc;

use keydir::Subject;
use net::Clock;
use program::{Exit, output};

use crate::config::Config;
use crate::discovery::DiscoveryRoom;
use crate::keyring::KeyRing;
use crate::publication::PublicationRoom;
use crate::publication::erasure::{Erased, forget_certificates};

/// Forgets a mailbox.
///
/// # Errors
/// It is none, or something cannot be written; then the command is to be given again.
pub(super) fn run(
    config: &Config,
    keys: KeyRing,
    address: &str,
    secrets: bool,
    json: bool,
    now: i64,
) -> Result<(), Exit> {
    let (Some(subject), Some(at_rest)) = (Subject::address(address), Subject::at_rest(address)) else {
        return Err(Exit::usage(format!("`{address}` is no address")));
    };
    let failed = |what: &str, why: String| {
        Exit::unavailable(format!("{what}; give the command again"), Error::other(why))
    };
    let keys = Arc::new(keys);
    let mut erased = Erased { address: address.to_owned(), ..Erased::default() };
    for subject in [&subject, &at_rest] {
        forget_certificates(&keys, subject, secrets, now, &mut erased)
            .map_err(|why| failed("the certificates were not all removed", why))?;
    }
    forget_discovered(config, &keys, address)?;
    if let Some(room) = PublicationRoom::open(config, keys)? {
        room.erase(config, address, now, &mut erased)
            .map_err(|why| failed("the mailbox was not withdrawn from what is published", why))?;
    }
    if json {
        return output::json(&erased);
    }
    print(&erased)
}

fn forget_discovered(config: &Config, keys: &Arc<KeyRing>, address: &str) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Exit::unavailable("cannot start the runtime", error))?;
    runtime.block_on(async {
        let Some((room, _)) = DiscoveryRoom::open(config, keys.clone(), Clock::system())? else {
            return Ok(());
        };
        room.sources()
            .forget(address)
            .await
            .map_err(|why| Exit::unavailable("what discovery remembers was not forgotten", Error::other(why)))
    })
}

fn print(erased: &Erased) -> Result<(), Exit> {
    let Erased { address, removed, kept, secrets, withdrawn, logged, submissions } = erased;
    for fingerprint in removed {
        output::line(&format!("{fingerprint}: removed"))?;
    }
    for fingerprint in kept {
        output::line(&format!("{fingerprint}: stands for somebody else as well; no longer for {address}"))?;
    }
    for fingerprint in secrets {
        output::line(&format!(
            "{fingerprint}: its secret key stays, so that old mail can be read; --secrets destroys it"
        ))?;
    }
    output::line(&format!("{withdrawn} mailboxes withdrawn, {submissions} submissions thrown away"))?;
    let log = match logged {
        true => "key log: erased; its older entries cannot be opened any more",
        false => "key log: nothing to erase",
    };
    output::line(log)
}
