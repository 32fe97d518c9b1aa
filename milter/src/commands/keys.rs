//! `gatepost keys`.

mod erase;
mod introduce;
mod log;
mod lookup;
mod publish;
mod smime;

use std::fs;
use std::io::Read;
use std::path::Path;

use keydir::{
    Authority, Custody, Filter, Import, Listed, Origin, Record, Store, Subject, Trust, split_secrets,
};
use net::Clock;
use program::{Exit, chain, output};
use sealing::custody::{Custody as CustodyRoom, CustodyError, MasterKey, Revocation};
use sealing::openpgp::armor;
use sealing::openpgp::{GenerateOptions, KeySuite, KeyVersion, generate};
use zeroize::Zeroizing;

use crate::commands::cli::{Algorithm, Keys, Owner, Reason, TrustLevel};
use crate::config::{Config, MasterKeySource};
use crate::keyring::KeyRing;
use crate::rooms;
use crate::rotation;

/// Most bytes taken from a file of keys.
const INPUT_LIMIT: u64 = 16 << 20;

/// Runs a command on keys.
///
/// # Errors
/// What went wrong, with the fix.
pub fn run(config: &Config, command: Keys) -> Result<(), Exit> {
    if let Keys::Init = command {
        return init(config);
    }
    let keys = rooms::open_keys(config, rooms::telemetry()?)?;
    let now = Clock::system().now();
    match command {
        Keys::Init => Ok(()),
        Keys::Generate { owner, algorithm, v6, aead, days, json } => {
            let subject = own_subject(config, &owner)?;
            let options = options(&subject, algorithm, v6, aead, days, now);
            let record = make(&keys, subject, &options)?;
            show(&[record], json)
        }
        Keys::Import { file, address, domain, at_rest, password_file, gcm, oaep, trust, json } => {
            let subjects = match (address, domain, at_rest) {
                (Some(address), ..) => Some(vec![subject_of(&address)?]),
                (_, Some(domain), _) => Some(vec![domain_subject(&domain)?]),
                (.., Some(address)) => Some(vec![at_rest_subject(config, &address)?]),
                _ => None,
            };
            let bytes = read(&file)?;
            let told = smime::Told { subjects, trust, gcm, oaep, now };
            let records = match smime::Kind::of(&bytes) {
                smime::Kind::Certificates => smime::import(&keys, &bytes, &told)?,
                smime::Kind::Pkcs12 => {
                    smime::import_pkcs12(&keys, &bytes, &password(password_file.as_deref())?, &told)?
                }
                smime::Kind::Key => {
                    let message = format!(
                        "{}: a secret key without its certificate; put both into one file: `openssl pkcs12 -export \
                         -inkey KEY.pem -in CERTIFICATE.pem -out BOTH.p12`",
                        file.display()
                    );
                    return Err(Exit { code: 65, message });
                }
                smime::Kind::Other => import(&keys, &bytes, told.subjects, trust, now)?,
            };
            show(&records, json)
        }
        Keys::Export { which, domain, secret } => {
            let subject = domain.as_deref().map(domain_subject).transpose()?;
            export(&keys, which.as_deref(), subject, secret, now)
        }
        Keys::List { which, json } => list(&keys, which.as_deref(), json, now),
        Keys::Revoke { fingerprint, reason, message, json } => {
            let record = revoke(&keys, &fingerprint, reason, &message, now)?;
            show(&[record], json)
        }
        Keys::Lookup { address, explain, json } => lookup::run(config, keys, &address, explain, json),
        Keys::Erase { address, secrets, json } => erase::run(config, keys, &address, secrets, json, now),
        Keys::Introduce { address } => introduce::run(&keys, &address, now),
        Keys::Log { resume, json } => log::run(config, keys, resume, json),
        Keys::Publish { json } => publish::run(config, keys, json, now),
        Keys::Rotate { json } => rotate(config, &keys, json, now),
        Keys::Trust { fingerprint, trust, json } => {
            let fingerprint = fingerprint.to_uppercase();
            let is_ours = known(&keys, &fingerprint)?.custody == Custody::Local;
            let level = match trust {
                // As it was before it was held or distrusted: with less it would never be published again.
                TrustLevel::Verified if is_ours => Trust::Own,
                level => level.into(),
            };
            keys.store.set_trust(&fingerprint, level).map_err(store_error)?;
            let record = known(&keys, &fingerprint)?;
            if matches!(trust, TrustLevel::Verified | TrustLevel::Accepted) {
                lookup::approve(config, keys, &record)?;
            }
            show(&[record], json)
        }
    }
}

fn rotate(config: &Config, keys: &KeyRing, json: bool, now: i64) -> Result<(), Exit> {
    if !config.rotation.enabled {
        return Err(Exit::config("nothing is rotated: write a section [rotation] into the configuration"));
    }
    let round = rotation::round(keys, &config.rotation, now)
        .map_err(|error| Exit::unavailable("encryption subkeys were not rotated", error))?;
    if json {
        output::json(&round)?;
    } else {
        for fingerprint in &round.rotated {
            output::line(&format!("{fingerprint}: new encryption subkey"))?;
        }
        for until in &round.destroyed {
            output::line(&format!("epoch until {until}: secret keys destroyed"))?;
        }
    }
    match round.failed.first() {
        Some(failed) => Err(Exit::data(
            format!("{}: no new encryption subkey", failed.fingerprint),
            std::io::Error::other(failed.why.clone()),
        )),
        None => Ok(()),
    }
}

fn init(config: &Config) -> Result<(), Exit> {
    let MasterKeySource::File(path) = &config.gateway.master_key else {
        return Err(Exit::config("the master key is a systemd credential; make it with systemd-creds"));
    };
    rooms::prepare_state(&config.gateway)?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)
            .map_err(|error| Exit::output(format!("cannot make {}", dir.display()), error))?;
    }
    MasterKey::generate_file(path).map_err(|error| Exit::output("cannot make the master key", error))?;
    output::line(&format!(
        "{}: made. Keep a copy in a safe place: without it secret keys and records cannot be read.",
        path.display()
    ))
}

fn options(
    subject: &Subject,
    algorithm: Algorithm,
    v6: bool,
    aead: bool,
    days: u32,
    now: i64,
) -> GenerateOptions {
    let user_ids = match subject {
        Subject::Address(address) | Subject::AtRest(address) => vec![format!("<{address}>")],
        Subject::Domain(domain) => [Authority::Confidentiality, Authority::Signing]
            .map(|authority| format!("{} <{}>", authority.name(), authority.mailbox(domain)))
            .to_vec(),
    };
    GenerateOptions {
        version: if v6 { KeyVersion::V6 } else { KeyVersion::V4 },
        suite: match algorithm {
            Algorithm::Curve25519 => KeySuite::Curve25519,
            Algorithm::P256 => KeySuite::P256,
            Algorithm::Rsa2048 => KeySuite::Rsa2048,
            Algorithm::Rsa3072 => KeySuite::Rsa3072,
            Algorithm::Rsa4096 => KeySuite::Rsa4096,
        },
        valid_days: (days > 0).then_some(days),
        features_for_gpg22: !aead && !v6,
        ..GenerateOptions::new(user_ids, now)
    }
}

/// Makes a key: secret half into custody first, so that no certificate is published whose secret
/// half was lost on the way.
fn make(keys: &KeyRing, subject: Subject, options: &GenerateOptions) -> Result<Record, Exit> {
    let (cert, _) = generate(options).map_err(|error| Exit::data("cannot make the key", error))?;
    let fingerprint = keep_secret(keys, &cert, options.now)?;
    let certificate = keydir::armored(&cert);
    let import = Import {
        bytes: certificate.as_bytes(),
        subjects: Some(vec![subject]),
        origin: Origin::Generated,
        trust: Trust::Own,
        custody: Custody::Local,
        now: options.now,
    };
    keys.store.import(&import).map_err(store_error)?;
    known(keys, &fingerprint)
}

/// Puts a secret key into custody, with a revocation certificate for the day it is lost.
fn keep_secret(keys: &KeyRing, cert: &sealing::openpgp::Cert, now: i64) -> Result<String, Exit> {
    let fingerprint = cert.fingerprint().to_hex();
    keys.custody.put_openpgp(cert).map_err(custody_error)?;
    let revocation = keys
        .custody
        .revoke(&fingerprint, Revocation::Unspecified, "made when the key was made", now)
        .and_then(|revocation| keys.custody.put_revocation(&fingerprint, &revocation));
    match revocation {
        Ok(()) | Err(CustodyError::NoPrimarySecret(_)) => Ok(fingerprint),
        Err(error) => Err(custody_error(error)),
    }
}

fn import(
    keys: &KeyRing,
    bytes: &[u8],
    subjects: Option<Vec<Subject>>,
    trust: TrustLevel,
    now: i64,
) -> Result<Vec<Record>, Exit> {
    let (certificates, secrets) =
        split_secrets(bytes).map_err(|error| Exit::data("cannot read the keys", error))?;
    for secret in &secrets {
        CustodyRoom::check_openpgp(secret).map_err(custody_error)?;
    }
    let own: Vec<String> = secrets.iter().map(|secret| secret.fingerprint().to_hex()).collect();
    let take = |store: &Store| -> Result<Vec<Record>, Exit> {
        let mut records = Vec::new();
        for certificate in &certificates {
            let is_own = own.contains(&certificate.fingerprint().to_hex());
            let armored = keydir::armored(certificate);
            let import = Import {
                bytes: armored.as_bytes(),
                subjects: subjects.clone(),
                origin: Origin::Imported,
                trust: if is_own { Trust::Own } else { trust.into() },
                custody: if is_own { Custody::Local } else { Custody::None },
                now,
            };
            records.extend(store.import(&import).map_err(store_error)?);
        }
        Ok(records)
    };
    // A file is taken as a whole or not at all, so it is first tried where it leaves nothing.
    take(&Store::open_in_memory().map_err(store_error)?)?;
    for secret in &secrets {
        keep_secret(keys, secret, now)?;
    }
    take(&keys.store)
}

fn export(
    keys: &KeyRing,
    which: Option<&str>,
    domain: Option<Subject>,
    secret: bool,
    now: i64,
) -> Result<(), Exit> {
    let fingerprint = match (domain, which) {
        (Some(domain), _) => newest(keys, domain, secret, now)?,
        (None, Some(which)) if which.contains('@') => newest(keys, subject_of(which)?, secret, now)?,
        (None, Some(which)) => which.to_uppercase(),
        (None, None) => return Err(Exit::usage("name a fingerprint, an address or --domain")),
    };
    if secret {
        let bytes = keys.custody.export(&fingerprint).map_err(custody_error)?;
        let armored = armor::armor(&bytes, armor::Kind::PrivateKey)
            .map_err(|error| Exit::data("cannot export the key", error))?;
        return output::bytes(&armored);
    }
    let armored = keys.store.export(&fingerprint).map_err(store_error)?;
    output::bytes(armored.as_bytes())
}

/// The newest certificate of a subject; when the secret key is wanted, the newest we hold.
fn newest(keys: &KeyRing, subject: Subject, secret: bool, now: i64) -> Result<String, Exit> {
    let filter = Filter {
        subject: Some(subject.clone()),
        custody: secret.then_some(Custody::Local),
        ..Filter::default()
    };
    let listed = keys.store.list(&filter, now).map_err(store_error)?;
    listed
        .into_iter()
        .max_by_key(|listed| (listed.encrypt.usable, listed.record.valid_from))
        .map(|listed| listed.record.fingerprint)
        .ok_or_else(|| Exit::not_found(format!("no certificate of {subject}")))
}

fn list(keys: &KeyRing, which: Option<&str>, json: bool, now: i64) -> Result<(), Exit> {
    let subject = match which {
        Some(text) => Some(
            Subject::parse(text).ok_or_else(|| Exit::usage(format!("`{text}` is no address or domain")))?,
        ),
        None => None,
    };
    let listed = keys
        .store
        .list_trusted(&Filter { subject, ..Filter::default() }, now, Some(&keys.anchors.load()))
        .map_err(store_error)?;
    if json {
        return output::json(&listed);
    }
    for listed in &listed {
        output::line(&row(listed))?;
    }
    Ok(())
}

fn row(listed: &Listed) -> String {
    let record = &listed.record;
    let state = if listed.encrypt.usable {
        "usable".to_owned()
    } else {
        format!("NOT USABLE: {}", listed.encrypt.why.as_deref().unwrap_or("unknown reason"))
    };
    format!(
        "{}  v{} {}  {}  trust={} origin={} secret={}  {state}",
        record.fingerprint,
        listed.version,
        listed.algorithm,
        subjects(record),
        record.trust,
        record.origin,
        if record.custody == Custody::Local { "yes" } else { "no" },
    )
}

fn revoke(
    keys: &KeyRing,
    fingerprint: &str,
    reason: Reason,
    message: &str,
    now: i64,
) -> Result<Record, Exit> {
    let fingerprint = fingerprint.to_uppercase();
    let reason = match reason {
        Reason::Compromised => Revocation::Compromised,
        Reason::Retired => Revocation::Retired,
        Reason::Superseded => Revocation::Superseded,
        Reason::Unspecified => Revocation::Unspecified,
    };
    let revocation = match keys.custody.revoke(&fingerprint, reason, message, now) {
        Ok(revocation) => revocation,
        // The key is gone; the revocation made with it is not.
        Err(error) => match keys.custody.revocation(&fingerprint) {
            Ok(Some(revocation)) => revocation,
            _ => return Err(custody_error(error)),
        },
    };
    keys.store.revoke(&fingerprint, &revocation, now).map_err(store_error)
}

fn show(records: &[Record], json: bool) -> Result<(), Exit> {
    if json {
        return output::json(&records);
    }
    for record in records {
        let revoked = record.revoked.as_ref().map(|why| format!("  revoked: {why}")).unwrap_or_default();
        output::line(&format!(
            "{}  {}  trust={}{revoked}",
            record.fingerprint,
            subjects(record),
            record.trust
        ))?;
    }
    Ok(())
}

/// Whom a certificate belongs to.
fn subjects(record: &Record) -> String {
    if record.subjects.is_empty() {
        return "(bound to nobody: import it again with --for or --domain)".to_owned();
    }
    let word = |subject: &Subject| match record.trust_for(subject) {
        // For this one it is worth less than what is said of the whole.
        trust if trust != record.trust => format!("{subject} ({trust})"),
        _ => subject.to_string(),
    };
    record.subjects.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The first line of a password file.
pub(super) fn password(file: Option<&Path>) -> Result<Zeroizing<String>, Exit> {
    let Some(file) = file else {
        return Err(Exit::usage("a PKCS#12 file has a password: give --password-file FILE"));
    };
    let text = Zeroizing::new(
        fs::read_to_string(file)
            .map_err(|error| Exit::input(format!("cannot read {}", file.display()), error))?,
    );
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn at_rest_subject(config: &Config, address: &str) -> Result<Subject, Exit> {
    let subject =
        Subject::at_rest(address).ok_or_else(|| Exit::usage(format!("`{address}` is no address")))?;
    match config.gateway.is_own(&crate::transaction::domain_of(address)) {
        true => Ok(subject),
        false => Err(Exit::usage(format!("{address} is not in one of the gateway's domains"))),
    }
}

fn known(keys: &KeyRing, fingerprint: &str) -> Result<Record, Exit> {
    let record = keys.store.get(fingerprint).map_err(store_error)?;
    record.ok_or_else(|| Exit::not_found(format!("no certificate {fingerprint}")))
}

fn own_subject(config: &Config, owner: &Owner) -> Result<Subject, Exit> {
    let subject = match (&owner.domain, &owner.user) {
        (Some(domain), _) => domain_subject(domain)?,
        (None, Some(user)) => subject_of(user)?,
        (None, None) => return Err(Exit::usage("name --domain or --user")),
    };
    let domain = match &subject {
        Subject::Domain(domain) => domain.clone(),
        Subject::Address(address) | Subject::AtRest(address) => crate::transaction::domain_of(address),
    };
    if config.gateway.is_own(&domain) {
        return Ok(subject);
    }
    let own = config.gateway.domains.join(", ");
    Err(Exit::usage(format!("{domain} is not one of the gateway's domains ({own})")))
}

fn subject_of(address: &str) -> Result<Subject, Exit> {
    Subject::address(address).ok_or_else(|| Exit::usage(format!("`{address}` is no address")))
}

fn domain_subject(domain: &str) -> Result<Subject, Exit> {
    Subject::domain(domain).ok_or_else(|| Exit::usage(format!("`{domain}` is no domain")))
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, Exit> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(INPUT_LIMIT).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|file| file.take(INPUT_LIMIT).read_to_end(&mut bytes))
    };
    read.map_err(|error| Exit::input(format!("cannot read {}", file.display()), error))?;
    Ok(bytes)
}

fn store_error(error: keydir::StoreError) -> Exit {
    let code = match &error {
        keydir::StoreError::Unknown(_) => 66,
        keydir::StoreError::Certificate { .. } | keydir::StoreError::Intake(_) => 65,
        _ => 69,
    };
    Exit { code, message: chain(&error) }
}

fn custody_error(error: CustodyError) -> Exit {
    let code = match &error {
        CustodyError::Unknown(_) => 66,
        CustodyError::NoSecret(_) | CustodyError::Passphrase(_) => 65,
        _ => 69,
    };
    Exit { code, message: chain(&error) }
}

impl From<TrustLevel> for Trust {
    fn from(level: TrustLevel) -> Self {
        match level {
            TrustLevel::Verified => Self::Verified,
            TrustLevel::Accepted => Self::Accepted,
            TrustLevel::Held => Self::Held,
            TrustLevel::Distrusted => Self::Distrusted,
        }
    }
}
