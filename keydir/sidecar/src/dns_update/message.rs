//! DNS messages as octets: what is composed and taken apart here is left to the `domain` crate as far as possible.

use domain::base::iana::{Class, Opcode};
use domain::base::message_builder::{AuthorityBuilder, MessageBuilder};
use domain::base::name::{Name, ParsedName};
use domain::base::rdata::UnknownRecordData;
use domain::base::record::ParsedRecord;
use domain::base::{Message, Rtype, ToName, Ttl};
use domain::dep::octseq::Parser;

/// The type TSIG.
const TSIG: Rtype = Rtype::from_int(250);
/// Octets of a message's header, and where in it the number of additional records is.
const HEADER: usize = 12;
const ARCOUNT: usize = 10;

/// A TSIG record that came with an answer (RFC 8945, 4.2).
#[derive(Clone, Debug)]
pub(super) struct Tsig {
    pub(super) owner: Name<Vec<u8>>,
    /// The algorithm's name as on the wire, in lower case.
    pub(super) algorithm: Vec<u8>,
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) mac: Vec<u8>,
    pub(super) error: u16,
    pub(super) other: Vec<u8>,
}

/// The question for a whole zone (RFC 5936).
pub(super) fn transfer_request(zone: &Name<Vec<u8>>) -> Result<Vec<u8>, String> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_random_id();
    let mut question = message.question();
    question.push((zone, Rtype::AXFR)).map_err(|error| error.to_string())?;
    Ok(question.finish())
}

/// An update of a zone, still without changes (RFC 2136, 2).
pub(super) fn update(zone: &Name<Vec<u8>>) -> Result<AuthorityBuilder<Vec<u8>>, String> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_random_id();
    message.header_mut().set_opcode(Opcode::UPDATE);
    let mut zones = message.question();
    zones.push((zone, Rtype::SOA)).map_err(|error| error.to_string())?;
    Ok(zones.authority())
}

/// Adds to an update: all records of this name and type are replaced by these.
pub(super) fn replace(
    update: &mut AuthorityBuilder<Vec<u8>>,
    owner: &Name<Vec<u8>>,
    number: u16,
    data: &[Vec<u8>],
    ttl: u32,
) -> Result<(), String> {
    let rtype = Rtype::from_int(number);
    let content =
        |data: Vec<u8>| UnknownRecordData::from_octets(rtype, data).map_err(|error| error.to_string());
    // Class ANY with no content deletes all (RFC 2136, 2.5.2).
    update.push((owner, Class::ANY, Ttl::ZERO, content(Vec::new())?)).map_err(|error| error.to_string())?;
    for data in data {
        update
            .push((owner, Class::IN, Ttl::from_secs(ttl), content(data.clone())?))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Calls `each` with name, type and content of each record in the answer section.
pub(super) fn answers(octets: &[u8], each: &mut dyn FnMut(&str, u16, &[u8])) -> Result<(), String> {
    let message = Message::from_octets(octets).map_err(|error| error.to_string())?;
    for record in message.answer().map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        let (owner, number) = (record.owner().to_string(), record.rtype().to_int());
        each(&owner, number, &content(record)?);
    }
    Ok(())
}

/// The content of a record as it is on the wire.
fn content(record: ParsedRecord<'_, &[u8]>) -> Result<Vec<u8>, String> {
    let read = record.into_record::<UnknownRecordData<_>>().map_err(|error| error.to_string())?;
    Ok(read.map(|record| record.data().data().to_vec()).unwrap_or_default())
}

/// The ID of a message.
pub(super) fn id(octets: &[u8]) -> Result<[u8; 2], String> {
    octets.get(..2).and_then(|id| id.try_into().ok()).ok_or_else(|| "no message".to_owned())
}

/// The response code of an answer to the message with this ID.
pub(super) fn outcome(octets: &[u8], asked: [u8; 2]) -> Result<String, String> {
    let message = Message::from_octets(octets).map_err(|error| error.to_string())?;
    let header = message.header();
    if !header.qr() {
        return Err("the server sent no answer but a question".to_owned());
    }
    match id(octets)? == asked {
        true => Ok(header.rcode().to_string()),
        false => Err("the server answers something else".to_owned()),
    }
}

/// Adds a TSIG record to a message.
pub(super) fn append_tsig(message: &mut Vec<u8>, owner: &Name<Vec<u8>>, rdata: &[u8]) -> Result<(), String> {
    let length = u16::try_from(rdata.len()).map_err(|error| error.to_string())?;
    message.extend_from_slice(&owner.as_slice().to_ascii_lowercase());
    message.extend_from_slice(&[0, 250, 0, 255, 0, 0, 0, 0]); // TSIG, class ANY, TTL 0
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(rdata);
    count_additional(message, |count| count.checked_add(1))
}

/// Takes the TSIG record off, if the last record is one: the message as it was signed, and the record.
pub(super) fn split_tsig(octets: &[u8]) -> Result<Option<(Vec<u8>, Tsig)>, String> {
    let message = Message::from_octets(octets).map_err(|error| error.to_string())?;
    let additional = message.additional().map_err(|error| error.to_string())?;
    let Some(last) = additional.last().transpose().map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    if last.rtype() != TSIG {
        return Ok(None);
    }
    let owner = last.owner().to_name();
    let (tsig, id) = read(&content(last)?, owner).ok_or("the server's signature is malformed")?;
    let mut plain = octets.get(..start_of_last(&message)?).unwrap_or_default().to_vec();
    count_additional(&mut plain, |count| count.checked_sub(1))?;
    plain.iter_mut().zip(id).for_each(|(octet, from)| *octet = from);
    Ok(Some((plain, tsig)))
}

fn read(data: &[u8], owner: Name<Vec<u8>>) -> Option<(Tsig, [u8; 2])> {
    let mut end = 0;
    loop {
        let label = usize::from(*data.get(end)?);
        end += 1 + label;
        match label {
            0 => break,
            1..=63 => {}
            _ => return None,
        }
    }
    let (algorithm, mut rest) = data.split_at_checked(end)?;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(taken)
    };
    let number = |octets: &[u8]| octets.iter().fold(0, |sum, octet| (sum << 8) | u64::from(*octet));
    let short = |octets: &[u8]| u16::try_from(number(octets)).ok();
    let time = number(take(6)?);
    let fudge = short(take(2)?)?;
    let size = usize::from(short(take(2)?)?);
    let mac = take(size)?.to_vec();
    let id = take(2)?.try_into().ok()?;
    let error = short(take(2)?)?;
    let size = usize::from(short(take(2)?)?);
    let other = take(size)?.to_vec();
    let algorithm = algorithm.to_ascii_lowercase();
    Some((Tsig { owner, algorithm, time, fudge, mac, error, other }, id))
}

/// Where the last record of a message begins.
fn start_of_last(message: &Message<&[u8]>) -> Result<usize, String> {
    let counts = message.header_counts();
    let octets = message.as_slice();
    let mut parser = Parser::from_ref(octets);
    let mut walk = || -> Result<(), domain::base::wire::ParseError> {
        parser.advance(HEADER)?;
        for _ in 0..counts.qdcount() {
            ParsedName::skip(&mut parser)?;
            parser.advance(4)?;
        }
        let records = u32::from(counts.ancount()) + u32::from(counts.nscount()) + u32::from(counts.arcount());
        for _ in 1..records {
            ParsedRecord::skip(&mut parser)?;
        }
        Ok(())
    };
    walk().map_err(|error| error.to_string())?;
    Ok(parser.pos())
}

fn count_additional(message: &mut [u8], change: impl Fn(u16) -> Option<u16>) -> Result<(), String> {
    let count = message.get_mut(ARCOUNT..HEADER).ok_or("no message")?;
    let number = count.iter().fold(0, |sum, octet| (sum << 8) | u16::from(*octet));
    let changed = change(number).ok_or("too many records")?;
    count.copy_from_slice(&changed.to_be_bytes());
    Ok(())
}
