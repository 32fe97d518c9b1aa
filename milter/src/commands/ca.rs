//! `gatepost ca`: the local certification authority.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use keydir::{Certificate, Issued, Profile, RevocationReason};
use net::Clock;
use program::{Exit, chain, output};
use sealing::custody::{CustodyError, read_pkcs12};
use serde::Serialize;

use super::keys::password;
use crate::authority::{AuthorityRoom, RoomError, key_kind_of};
use crate::commands::cli::Ca;
use crate::config::Config;
use crate::keyring::KeyRing;
use crate::rooms;

/// Runs a command on the authority.
///
/// # Errors
/// What went wrong, with the fix.
pub fn run(config: &Config, command: Ca) -> Result<(), Exit> {
    let keys = Arc::new(rooms::open_keys(config, rooms::telemetry()?)?);
    let room = AuthorityRoom::open(&config.gateway.state, keys.clone()).map_err(|error| failed(&error))?;
    let now = Clock::system().now();
    match command {
        Ca::Init { json } => {
            let settings = config.ca.settings(&config.gateway.domains);
            let (root, issuing) = room.init(&settings, now).map_err(|error| failed(&error))?;
            show(&[told(&room, &root)?, told(&room, &issuing)?], json)
        }
        Ca::Issue { profile, subject, name, json } => {
            let kind = key_kind_of(profile);
            let made = room.issue(profile, &subject, name.as_deref(), kind, now);
            let made = made.map_err(|error| failed(&error))?;
            show(&[told(&room, &made)?], json)
        }
        Ca::Revoke { fingerprint, reason, json } => {
            let (issued, list) = room.revoke(&fingerprint, reason, now).map_err(|error| failed(&error))?;
            if !json {
                output::line(&format!("revocation list number {} says so", list.number))?;
            }
            show(&[Told::of(&issued)], json)
        }
        Ca::List { subject, json } => {
            let issued = room.authority.issued(subject.as_deref()).map_err(|error| failed(&error.into()))?;
            show(&issued.iter().map(Told::of).collect::<Vec<_>>(), json)
        }
        Ca::Renew { json } => {
            let renewed = room.renew_due(now).map_err(|error| failed(&error))?;
            let told = renewed.iter().map(|made| told(&room, made)).collect::<Result<Vec<_>, _>>()?;
            show(&told, json)
        }
        Ca::RenewIssuing { json } => {
            let settings = config.ca.settings(&config.gateway.domains);
            let made = room.renew_issuing(&settings, now).map_err(|error| root_needed(&error))?;
            show(&[told(&room, &made)?], json)
        }
        Ca::ImportRoot { file, password_file, json } => {
            let root = import_root(&room, &file, &password(Some(&password_file))?)?;
            show(&[told(&room, &root)?], json)
        }
        Ca::Crl { authority, der } => crl(&room, &authority, der, now),
        Ca::Ocsp { request } => {
            let request = super::keys::read(&request)?;
            output::bytes(&room.ocsp(&request, now))
        }
        Ca::Export { which, p12, password_file, remove_key } => {
            let issued = find(&room, &which)?;
            match p12 {
                None => output::bytes(issued.certificate.pem().as_bytes()),
                Some(file) => {
                    let password = password(password_file.as_deref())?;
                    export(&room, &keys, &issued, &file, &password)?;
                    if remove_key { take_away(&keys, &issued) } else { Ok(()) }
                }
            }
        }
    }
}

/// Takes the root's key from a PKCS#12 file.
fn import_root(room: &AuthorityRoom, file: &Path, password: &str) -> Result<Certificate, Exit> {
    let root = room.authority.root().map_err(|error| failed(&error.into()))?;
    let content = read_pkcs12(&super::keys::read(file)?, password)
        .map_err(|error| Exit::data("cannot read the root's key", error))?;
    if content.certificate != root {
        let found = content.certificate.fingerprint();
        let message = format!("{}: holds {found}, not our root {}", file.display(), root.fingerprint());
        return Err(Exit { code: 65, message });
    }
    room.import_root(&content.key).map_err(|error| failed(&error))
}

fn root_needed(error: &RoomError) -> Exit {
    match error {
        RoomError::Custody(CustodyError::Unknown(_)) => Exit::not_found(
            "the root's key is offline: take it back with `gatepost ca import-root FILE --password-file FILE`, and \
             away again afterwards with `gatepost ca export root --p12 FILE --password-file FILE --remove-key`",
        ),
        error => failed(error),
    }
}

/// Makes and prints the revocation list of one of our authorities; the newest there is if its key is offline.
fn crl(room: &AuthorityRoom, authority: &str, der: bool, now: i64) -> Result<(), Exit> {
    let issued = find(room, authority)?;
    let list = match room.publish(&issued.certificate, now) {
        Ok(list) => list,
        Err(RoomError::Custody(CustodyError::Unknown(_))) => room
            .authority
            .latest_crl(&issued.fingerprint)
            .map_err(|error| failed(&error.into()))?
            .ok_or_else(|| Exit::not_found("the key of this authority is offline, and there is no list"))?,
        Err(error) => return Err(failed(&error)),
    };
    if der {
        return output::bytes(&list.der);
    }
    let body = openssl::base64::encode_block(&list.der);
    let mut pem = String::from("-----BEGIN X509 CRL-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END X509 CRL-----\n");
    output::bytes(pem.as_bytes())
}

/// A certificate by fingerprint, or the newest of an authority (`root`, `issuing`), mailbox, domain or host.
fn find(room: &AuthorityRoom, which: &str) -> Result<Issued, Exit> {
    let none = || Exit::not_found(format!("the local authority knows no certificate of `{which}`"));
    let by_print = room.authority.find(which).map_err(|error| failed(&error.into()))?;
    if let Some(issued) = by_print {
        return Ok(issued);
    }
    let certificate = match which {
        "issuing" => room.authority.issuing().map_err(|error| failed(&error.into()))?,
        _ => {
            let issued = room.authority.issued(Some(which)).map_err(|error| failed(&error.into()))?;
            return issued.into_iter().find(|issued| issued.revoked.is_none()).ok_or_else(none);
        }
    };
    room.authority.find(&certificate.fingerprint()).map_err(|error| failed(&error.into()))?.ok_or_else(none)
}

fn export(
    room: &AuthorityRoom,
    keys: &KeyRing,
    issued: &Issued,
    file: &Path,
    password: &str,
) -> Result<(), Exit> {
    let mut chain = Vec::new();
    let mut above = issued.issuer.clone();
    while above != issued.fingerprint && chain.len() < 4 {
        let Some(next) = room.authority.find(&above).map_err(|error| failed(&error.into()))? else { break };
        chain.push(next.certificate);
        if next.issuer == above {
            break;
        }
        above = next.issuer;
    }
    let bytes = keys
        .custody
        .export_pkcs12(&issued.fingerprint, &chain, password)
        .map_err(|error| Exit::data("cannot export the key", error))?;
    let cannot = |error| Exit::output(format!("cannot write {}", file.display()), error);
    let mut out =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(cannot)?;
    out.write_all(&bytes).map_err(cannot)?;
    out.sync_all().map_err(cannot)
}

/// Takes a key out of custody, once it is written elsewhere: the offline root.
fn take_away(keys: &KeyRing, issued: &Issued) -> Result<(), Exit> {
    keys.custody.remove_smime(&issued.fingerprint).map_err(|error| Exit::unavailable("the key stays", error))
}

/// What people and programs are told of a certificate.
#[derive(Debug, Serialize)]
struct Told {
    fingerprint: String,
    profile: Profile,
    subject: String,
    serial: String,
    not_before: i64,
    not_after: i64,
    revoked: Option<i64>,
}

impl Told {
    fn of(issued: &Issued) -> Self {
        Self {
            fingerprint: issued.fingerprint.clone(),
            profile: issued.profile,
            subject: issued.subject.clone(),
            serial: issued.certificate.serial().iter().map(|byte| format!("{byte:02X}")).collect(),
            not_before: issued.certificate.not_before(),
            not_after: issued.certificate.not_after(),
            revoked: issued.revoked.map(|(when, _)| when),
        }
    }
}

fn told(room: &AuthorityRoom, certificate: &Certificate) -> Result<Told, Exit> {
    Ok(Told::of(&find(room, &certificate.fingerprint())?))
}

fn show(told: &[Told], json: bool) -> Result<(), Exit> {
    if json {
        return output::json(&told);
    }
    for told in told {
        let state = match told.revoked {
            Some(when) => format!("revoked {}", crate::notice::date(when)),
            None => format!("until {}", crate::notice::date(told.not_after)),
        };
        output::line(&format!("{}  {}  {}  {state}", told.fingerprint, told.profile, told.subject))?;
    }
    Ok(())
}

fn failed(error: &RoomError) -> Exit {
    let code = match error {
        RoomError::Authority(keydir::AuthorityError::NoAuthority) => {
            let message = "there is no local authority yet: make one with `gatepost ca init`".to_owned();
            return Exit { code: 66, message };
        }
        RoomError::Authority(
            keydir::AuthorityError::Exists
            | keydir::AuthorityError::Invalid { .. }
            | keydir::AuthorityError::Unfit(_)
            | keydir::AuthorityError::OutsideDomains { .. },
        ) => 65,
        RoomError::Authority(keydir::AuthorityError::Unknown(_)) => 66,
        _ => 69,
    };
    Exit { code, message: chain(error) }
}

/// Reads a reason as it is written in the configuration and on the command line.
pub fn reason(text: &str) -> Result<RevocationReason, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
        "use key-compromise, affiliation-changed, superseded, cessation-of-operation, privilege-withdrawn, \
         ca-compromise or unspecified"
            .to_owned()
    })
}

/// Reads a profile.
pub fn profile(text: &str) -> Result<Profile, String> {
    let issuable = |profile: &&Profile| !matches!(profile, Profile::Root | Profile::Issuing);
    Profile::ALL.iter().filter(issuable).find(|profile| profile.as_str() == text).copied().ok_or_else(|| {
        let all: Vec<&str> = Profile::ALL.iter().filter(issuable).map(|profile| profile.as_str()).collect();
        format!("use one of {}", all.join(", "))
    })
}
