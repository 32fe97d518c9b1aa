//! Reads one answer: aliases, records, denial, life time.
//!
//! Nothing here asks or waits; the same message always gives the same result.

use bytes::Bytes;
use domain::base::Message;
use domain::base::ParsedRecord;
use domain::base::Rtype;
use domain::base::iana::Class;
use domain::base::iana::OptRcode;
use domain::base::opt::ExtendedError;
use domain::rdata::Cname;
use domain::rdata::Dname;
use domain::rdata::Rrsig;
use domain::rdata::Soa;

use super::Lookup;
use super::Resolved;
use super::Security;
use super::name;

/// More aliases than any resolver follows (unbound stops at 11).
const ALIASES_MAX: usize = 16;
/// A denial is kept no longer than this, seconds (RFC 2308 section 5 suggests one to three hours).
const DENIAL_TTL_MAX: u32 = 10_800;
/// A denial without SOA may not be cached by others (RFC 2308 section 5); we only spare the resolver.
const DENIAL_TTL_WITHOUT_SOA: u32 = 30;

/// What kind of answer the resolver gave.
pub(super) enum Kind {
    /// NOERROR or NXDOMAIN, to be read with [`read`].
    Answer,
    /// SERVFAIL: bogus or failed, to be told apart by a second question.
    ServerFailure,
    /// Anything else; it cannot be used.
    Unusable(String),
}

/// Sorts an answer by its response code.
pub(super) fn kind(message: &Message<Bytes>) -> Kind {
    if !message.header().ra() {
        return Kind::Unusable("the server does not resolve for us (no RA bit)".to_owned());
    }
    match message.opt_rcode() {
        OptRcode::NOERROR | OptRcode::NXDOMAIN => Kind::Answer,
        OptRcode::SERVFAIL => Kind::ServerFailure,
        other => Kind::Unusable(format!("the resolver answered {other}")),
    }
}

/// The extended error that a resolver may give with a failure (RFC 8914), in words.
pub(super) fn extended_error(message: &Message<Bytes>) -> Option<String> {
    let opt = message.opt()?;
    let error: ExtendedError<_> = opt.opt().iter::<ExtendedError<_>>().flatten().next()?;
    let text = match error.text() {
        Some(Ok(text)) => text.chars().filter(|c| !c.is_control()).take(200).collect::<String>(),
        _ => String::new(),
    };
    Some(if text.is_empty() { error.code().to_string() } else { format!("{}: {text}", error.code()) })
}

/// The records of type `wanted` for `asked`, aliases followed.
///
/// `pick` reads the data of one such record.
///
/// # Errors
/// What is wrong with the answer. It is then no answer at all.
pub(super) fn read<T>(
    message: &Message<Bytes>,
    asked: &str,
    wanted: Rtype,
    ttl_max: u32,
    pick: impl Fn(&ParsedRecord<'_, Bytes>) -> Option<T>,
) -> Result<Resolved<T>, String> {
    let section = Section::answer(message).map_err(|_| "the answer is malformed".to_owned())?;
    let secure = message.header().ad();
    let path = section.follow(asked, wanted)?;
    let mut ttl = path.ttl.min(ttl_max);
    let mut records = Vec::new();
    for entry in section.of(&path.name, wanted) {
        ttl = ttl.min(entry.ttl);
        records.push(pick(&entry.record).ok_or_else(|| format!("a {wanted} record is malformed"))?);
    }
    let nxdomain = message.opt_rcode() == OptRcode::NXDOMAIN;
    if nxdomain && !records.is_empty() {
        return Err("the answer has records for a name that it says does not exist".to_owned());
    }
    // We asked with the DO bit, so what the resolver authenticated comes with its signatures (RFC 4035 section
    // 3.2.1). An AD bit without any was set by something that did not validate.
    let security = if secure { Security::Secure } else { Security::Insecure };
    let lookup = if records.is_empty() {
        let denial = Denial::read(message).map_err(|_| "the denial is malformed".to_owned())?;
        if secure && !denial.signed {
            return Err(
                "the AD bit is set on a denial that carries no signature; do not trust this resolver".into(),
            );
        }
        ttl = ttl.min(denial.ttl);
        Lookup::None { security, nxdomain }
    } else {
        if secure && !(path.signed && section.signs(&path.name, wanted)) {
            return Err(
                "the AD bit is set on data that carry no signature; do not trust this resolver".into()
            );
        }
        Lookup::Found { records, security }
    };
    Ok(Resolved { lookup, canonical: path.name, canonical_security: security, ttl })
}

/// One record of the answer.
struct Entry<'a> {
    owner: String,
    ttl: u32,
    record: ParsedRecord<'a, Bytes>,
}

/// The answer section.
struct Section<'a> {
    entries: Vec<Entry<'a>>,
}

/// Where the aliases led.
struct Path {
    name: String,
    ttl: u32,
    signed: bool,
}

impl<'a> Section<'a> {
    fn answer(message: &'a Message<Bytes>) -> Result<Self, domain::base::wire::ParseError> {
        let mut entries = Vec::new();
        for record in message.answer()? {
            let record = record?;
            if record.class() == Class::IN {
                entries.push(Entry { owner: name::text(&record.owner()), ttl: ttl_of(&record), record });
            }
        }
        Ok(Self { entries })
    }

    fn of<'s>(&'s self, owner: &'s str, rtype: Rtype) -> impl Iterator<Item = &'s Entry<'a>> {
        self.entries.iter().filter(move |entry| entry.record.rtype() == rtype && entry.owner == owner)
    }

    /// Whether a signature over that set is there; its correctness is the resolver's business.
    fn signs(&self, owner: &str, rtype: Rtype) -> bool {
        self.of(owner, Rtype::RRSIG).any(|entry| {
            let parsed = entry.record.to_record::<Rrsig<_, _>>();
            matches!(parsed, Ok(Some(signature)) if signature.data().type_covered() == rtype)
        })
    }

    fn follow(&self, asked: &str, wanted: Rtype) -> Result<Path, String> {
        let mut path = Path { name: asked.to_owned(), ttl: u32::MAX, signed: true };
        let mut seen = Vec::new();
        if wanted == Rtype::CNAME {
            return Ok(path);
        }
        while let Some((target, ttl, signed)) = self.alias(&path.name)? {
            seen.push(std::mem::replace(&mut path.name, target));
            path.ttl = path.ttl.min(ttl);
            path.signed &= signed;
            if seen.contains(&path.name) {
                return Err(format!("the aliases of {asked} go in a circle at {}", path.name));
            }
            if seen.len() > ALIASES_MAX {
                return Err(format!("{asked} has more than {ALIASES_MAX} aliases"));
            }
        }
        Ok(path)
    }

    /// The next name, the time to live and whether a signature is there.
    fn alias(&self, owner: &str) -> Result<Option<(String, u32, bool)>, String> {
        let mut found = None;
        for entry in self.of(owner, Rtype::CNAME) {
            let Ok(Some(cname)) = entry.record.to_record::<Cname<_>>() else {
                return Err(format!("the CNAME of {owner} is malformed"));
            };
            if found.is_some() {
                return Err(format!("{owner} has two CNAME records"));
            }
            found = Some((name::text(cname.data().cname()), entry.ttl));
        }
        let by_dname = self.dname(owner)?;
        Ok(match (found, by_dname) {
            // A CNAME that follows from a DNAME is not signed; the DNAME is (RFC 6672 section 5.3.1).
            (Some((target, ttl)), dname) => {
                let signed = self.signs(owner, Rtype::CNAME) || dname.is_some_and(|(_, _, signed)| signed);
                Some((target, ttl, signed))
            }
            (None, dname) => dname,
        })
    }

    /// RFC 6672 section 2.2: the suffix is replaced.
    fn dname(&self, name: &str) -> Result<Option<(String, u32, bool)>, String> {
        for entry in self.entries.iter().filter(|entry| entry.record.rtype() == Rtype::DNAME) {
            let Some(prefix) = name.strip_suffix(&entry.owner).filter(|prefix| prefix.ends_with('.')) else {
                continue;
            };
            let Ok(Some(dname)) = entry.record.to_record::<Dname<_>>() else {
                return Err(format!("the DNAME of {} is malformed", entry.owner));
            };
            let target = name::text(dname.data().dname());
            let full = if target == "." {
                prefix.trim_end_matches('.').to_owned()
            } else {
                prefix.to_owned() + &target
            };
            return Ok(Some((full, entry.ttl, self.signs(&entry.owner, Rtype::DNAME))));
        }
        Ok(None)
    }
}

/// What the authority section says about a denial.
struct Denial {
    ttl: u32,
    signed: bool,
}

impl Denial {
    fn read(message: &Message<Bytes>) -> Result<Self, domain::base::wire::ParseError> {
        let mut denial = Self { ttl: DENIAL_TTL_WITHOUT_SOA, signed: false };
        for record in message.authority()? {
            let record = record?;
            if record.rtype() == Rtype::RRSIG {
                denial.signed = true;
            } else if let Some(soa) = record.to_record::<Soa<_>>()? {
                // RFC 2308 section 5: the lesser of the SOA's own TTL and its MINIMUM field.
                denial.ttl = ttl_of(&record).min(soa.data().minimum().as_secs()).min(DENIAL_TTL_MAX);
            }
        }
        Ok(denial)
    }
}

/// RFC 2181 section 8: a value with the top bit set is zero.
fn ttl_of(record: &ParsedRecord<'_, Bytes>) -> u32 {
    let ttl = record.ttl().as_secs();
    if ttl > u32::MAX / 2 { 0 } else { ttl }
}
