//! `gatepost keys introduce`.

use keydir::{Answer, Purpose, Scheme, Subject, Usable};
use program::{Exit, output};
use sealing::openpgp::trust_domain;

use crate::keyring::KeyRing;
use crate::transaction::domain_of;

/// Prints the domain's certificate with the user's trust signature.
///
/// # Errors
/// The user or the domain has no key of ours.
pub(super) fn run(keys: &KeyRing, address: &str, now: i64) -> Result<(), Exit> {
    let domain = domain_of(address);
    let user = ours(keys, Subject::address(address), address, now)?;
    let authority = ours(keys, Subject::domain(&domain), &domain, now)?;
    let secret = keys
        .custody
        .get(&user.record().fingerprint)
        .map_err(|error| Exit::unavailable("the secret key cannot be used", error))?;
    let named =
        authority.cert().userids().find_map(|uid| uid.userid().email().ok().flatten().map(str::to_owned));
    let named = named.ok_or_else(|| Exit::not_found(format!("the key of {domain} has no User ID")))?;
    let trusted = trust_domain(&secret, authority.cert(), &named, &domain, now)
        .map_err(|error| Exit::data("cannot sign the domain's certificate", error))?;
    output::bytes(keydir::armored(&trusted).as_bytes())
}

fn ours(keys: &KeyRing, subject: Option<Subject>, name: &str, now: i64) -> Result<Usable, Exit> {
    let subject = subject.ok_or_else(|| Exit::usage(format!("`{name}` is no address or domain")))?;
    match keys.store.find(&subject, Scheme::Openpgp, Purpose::Sign, now) {
        Answer::Found(usable) => Ok(usable),
        Answer::None { .. } => Err(Exit::not_found(format!("no OpenPGP key of {name} in our custody"))),
        Answer::CouldNotTell { why } => {
            Err(Exit::unavailable("cannot look for the key", std::io::Error::other(why)))
        }
    }
}
