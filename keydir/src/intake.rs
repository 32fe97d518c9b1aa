//! Reads certificates that strangers made.
//!
//! What comes out is small and clean: User IDs, subkeys and their holder's own valid signatures.
//! Third-party signatures, user attributes and unknown packets are dropped; secret keys are refused.

use std::io::Read;

use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::armor;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::Tag;
use sequoia_openpgp::parse::PacketParserBuilder;
use sequoia_openpgp::parse::PacketParserResult;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::types::RevocationType;

/// Most bytes of one input, before and after removal of the armor.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// Most packets in one input. 1 MiB holds about 4,000 small signatures.
const MAX_PACKETS: usize = 10_000;
/// Most User IDs of one certificate.
const MAX_USER_IDS: usize = 100;
/// Longest User ID, bytes.
const MAX_USER_ID_BYTES: usize = 1024;
/// Most subkeys of one certificate.
const MAX_SUBKEYS: usize = 100;
/// Largest packet that is parsed, bytes; SLH-DSA signatures have about 50,000.
const MAX_PACKET_BYTES: u32 = 1 << 16;
/// Newest signatures of one kind that are kept per component.
const MAX_SIGNATURES: usize = 20;

/// Why input was refused. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The input holds no certificate.
    #[error("the input holds no OpenPGP certificate")]
    Empty,
    /// A limit was exceeded.
    #[error("{what}: {found}, at most {limit} are accepted")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How many there were (at least).
        found: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// The input is no well-formed certificate.
    #[error("certificate {number} of the input is malformed")]
    Malformed {
        /// Position in the input, counted from 1.
        number: usize,
        /// What the parser said.
        #[source]
        source: sequoia_openpgp::anyhow::Error,
    },
    /// The input holds packets that belong to a message.
    #[error("the input holds a {0} packet; it is no certificate")]
    NotACertificate(Tag),
    /// The input is armored as something else or the armor is damaged.
    #[error("the ASCII armor is damaged or holds no certificate")]
    Armor(#[source] std::io::Error),
    /// The input holds secret key material.
    #[error("the input holds secret key material; import it as a key, or give only the certificate")]
    Secret,
    /// A version or algorithm of the primary key that this build does not know.
    #[error("certificate {number} of the input has a version or algorithm that is not supported")]
    Unsupported {
        /// Position in the input, counted from 1.
        number: usize,
    },
}

/// Reads all certificates of an input, armored (several blocks allowed) or binary.
///
/// # Errors
/// If any certificate in the input is malformed, too large or secret; then none is returned.
pub fn read_certificates(input: &[u8]) -> Result<Vec<Cert>, IntakeError> {
    let packets = read_packets(input)?;
    if packets.iter().any(is_secret) {
        return Err(IntakeError::Secret);
    }
    assemble(packets)?.into_iter().map(|cert| clean(&cert).map_err(malformed(1))).collect()
}

/// Reads all certificates of an input as [`read_certificates`] does, but with what others signed.
///
/// # Errors
/// As [`read_certificates`].
pub(crate) fn read_uncleaned(input: &[u8]) -> Result<Vec<Cert>, IntakeError> {
    let packets = read_packets(input)?;
    if packets.iter().any(is_secret) {
        return Err(IntakeError::Secret);
    }
    assemble(packets)
}

/// Reads an input that may hold secret keys. Gives all certificates without secrets, and those that came
/// with secret key material as they are, to be put into custody.
///
/// # Errors
/// As [`read_certificates`].
pub fn split_secrets(input: &[u8]) -> Result<(Vec<Cert>, Vec<Cert>), IntakeError> {
    let certs = assemble(read_packets(input)?)?;
    let public = certs
        .iter()
        .map(|cert| clean(&cert.clone().strip_secret_key_material()).map_err(malformed(1)))
        .collect::<Result<_, _>>()?;
    Ok((public, certs.into_iter().filter(Cert::is_tsk).collect()))
}

/// Removes everything that the holder did not sign, and all but the newest signatures of each kind.
///
/// A User ID or subkey without a valid signature of the holder is dropped: anybody can attach one.
/// Revocations by a designated revoker (deprecated by RFC 9580, 5.2.3.23) are third-party signatures too.
///
/// # Errors
/// If the certificate cannot be assembled from what is left.
pub(crate) fn clean(cert: &Cert) -> sequoia_openpgp::Result<Cert> {
    let primary = cert.primary_key();
    let mut packets: Vec<Packet> = vec![primary.key().clone().into()];
    packets.extend(signatures(primary.self_revocations(), primary.self_signatures()));
    for uid in cert.userids() {
        add_bound(&mut packets, uid.userid().clone().into(), uid.self_revocations(), uid.self_signatures());
    }
    for subkey in cert.keys().subkeys() {
        let packet = Packet::PublicSubkey(subkey.key().clone());
        add_bound(&mut packets, packet, subkey.self_revocations(), subkey.self_signatures());
    }
    Cert::from_packets(packets.into_iter())
}

fn add_bound<'a>(
    packets: &mut Vec<Packet>,
    component: Packet,
    revocations: impl Iterator<Item = &'a Signature>,
    bindings: impl Iterator<Item = &'a Signature>,
) {
    let signatures = signatures(revocations, bindings);
    if !signatures.is_empty() {
        packets.push(component);
        packets.extend(signatures);
    }
}

/// The newest signatures of one component; the iterators give the newest first.
///
/// Hard revocations come before soft ones, so that no number of soft ones can push a hard one out.
fn signatures<'a>(
    revocations: impl Iterator<Item = &'a Signature>,
    bindings: impl Iterator<Item = &'a Signature>,
) -> Vec<Packet> {
    let hard = |signature: &&Signature| {
        let reason = signature.reason_for_revocation();
        reason.is_none_or(|(reason, _)| reason.revocation_type() == RevocationType::Hard)
    };
    let (hard, soft): (Vec<_>, Vec<_>) = revocations.partition(hard);
    let revocations = hard.into_iter().chain(soft).take(MAX_SIGNATURES);
    revocations.chain(bindings.take(MAX_SIGNATURES)).cloned().map(Packet::from).collect()
}

/// Checks the counts of an assembled or merged certificate.
pub(crate) fn check_counts(cert: &Cert) -> Result<(), IntakeError> {
    limit("User IDs", cert.userids().count(), MAX_USER_IDS)?;
    limit("subkeys", cert.keys().subkeys().count(), MAX_SUBKEYS)
}

fn read_packets(input: &[u8]) -> Result<Vec<Packet>, IntakeError> {
    limit("bytes", input.len(), MAX_BYTES)?;
    let mut packets = Vec::new();
    for block in blocks(input)? {
        limit("bytes", block.len(), MAX_BYTES)?;
        read_block(&block, &mut packets)?;
    }
    if packets.is_empty() { Err(IntakeError::Empty) } else { Ok(packets) }
}

/// Takes the armor off. Binary input is one block.
fn blocks(input: &[u8]) -> Result<Vec<Vec<u8>>, IntakeError> {
    const BEGIN: &[u8] = b"-----BEGIN PGP ";
    let Some(first) = input.iter().find(|b| !b.is_ascii_whitespace()) else {
        return Err(IntakeError::Empty);
    };
    if first & 0x80 != 0 {
        return Ok(vec![input.to_vec()]);
    }
    let mut blocks = Vec::new();
    let mut total = 0;
    for (start, _) in input.windows(BEGIN.len()).enumerate().filter(|(_, window)| *window == BEGIN) {
        let armored = input.get(start..).unwrap_or_default();
        let mut reader = armor::Reader::from_bytes(armored, armor::ReaderMode::Tolerant(None));
        let mut block = Vec::new();
        reader.by_ref().take(MAX_BYTES as u64 + 1).read_to_end(&mut block).map_err(IntakeError::Armor)?;
        total += block.len();
        limit("bytes", total, MAX_BYTES)?;
        blocks.push(block);
    }
    if blocks.is_empty() { Err(IntakeError::Empty) } else { Ok(blocks) }
}

/// Appends the packets of one binary block; containers are not entered, so nothing is decompressed.
fn read_block(block: &[u8], packets: &mut Vec<Packet>) -> Result<(), IntakeError> {
    let number = |packets: &[Packet]| 1 + packets.iter().filter(|p| is_primary(p)).count();
    let parser = PacketParserBuilder::from_bytes(block)
        .map(|builder| builder.max_recursion_depth(0).max_packet_size(MAX_PACKET_BYTES))
        .and_then(|builder| builder.build());
    let mut result = parser.map_err(malformed(number(packets)))?;
    let mut dropping = false;
    while let PacketParserResult::Some(parser) = result {
        let (packet, next) = parser.next().map_err(malformed(number(packets)))?;
        result = next;
        if take_packet(&packet, &mut dropping).map_err(|error| error.numbered(number(packets)))? {
            packets.push(packet);
            limit("packets", packets.len(), MAX_PACKETS)?;
        }
    }
    Ok(())
}

/// Whether a packet is part of what we keep. Signatures behind a dropped component go with it.
fn take_packet(packet: &Packet, dropping: &mut bool) -> Result<bool, IntakeError> {
    match packet {
        Packet::PublicKey(_) | Packet::SecretKey(_) | Packet::PublicSubkey(_) | Packet::SecretSubkey(_) => {
            *dropping = false;
        }
        Packet::UserID(uid) => {
            *dropping = false;
            limit("bytes of one User ID", uid.value().len(), MAX_USER_ID_BYTES)?;
        }
        Packet::UserAttribute(_) => *dropping = true,
        Packet::Signature(_) => {}
        Packet::Marker(_) | Packet::Trust(_) | Packet::Padding(_) => return Ok(false),
        Packet::Unknown(unknown) => match unknown.tag() {
            Tag::PublicKey => return Err(IntakeError::Unsupported { number: 0 }),
            Tag::SecretKey | Tag::SecretSubkey => return Err(IntakeError::Secret),
            Tag::Signature => return Ok(false),
            tag if is_message(tag) => return Err(IntakeError::NotACertificate(tag)),
            _ => *dropping = true,
        },
        message => return Err(IntakeError::NotACertificate(message.tag())),
    }
    Ok(!*dropping)
}

fn is_message(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::PKESK
            | Tag::SKESK
            | Tag::OnePassSig
            | Tag::CompressedData
            | Tag::SED
            | Tag::SEIP
            | Tag::Literal
            | Tag::AED
    )
}

/// Groups packets into certificates.
fn assemble(packets: Vec<Packet>) -> Result<Vec<Cert>, IntakeError> {
    let mut groups: Vec<Vec<Packet>> = Vec::new();
    for packet in packets {
        match groups.last_mut() {
            Some(group) if !is_primary(&packet) => group.push(packet),
            _ => groups.push(vec![packet]),
        }
    }
    let mut certs: Vec<Cert> = Vec::new();
    for (index, group) in groups.into_iter().enumerate() {
        let is = |tag: Tag| group.iter().filter(|p| p.tag() == tag).count();
        limit("User IDs", is(Tag::UserID), MAX_USER_IDS)?;
        limit("subkeys", is(Tag::PublicSubkey) + is(Tag::SecretSubkey), MAX_SUBKEYS)?;
        let cert = Cert::from_packets(group.into_iter()).map_err(malformed(index + 1))?;
        certs.push(cert);
    }
    Ok(certs)
}

fn is_primary(packet: &Packet) -> bool {
    matches!(packet.tag(), Tag::PublicKey | Tag::SecretKey)
}

fn is_secret(packet: &Packet) -> bool {
    matches!(packet.tag(), Tag::SecretKey | Tag::SecretSubkey)
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), IntakeError> {
    if found > limit { Err(IntakeError::Limit { what, found, limit }) } else { Ok(()) }
}

fn malformed(number: usize) -> impl Fn(sequoia_openpgp::anyhow::Error) -> IntakeError {
    move |source| IntakeError::Malformed { number, source }
}

impl IntakeError {
    /// Fills in the position of the certificate.
    fn numbered(self, position: usize) -> Self {
        match self {
            Self::Unsupported { .. } => Self::Unsupported { number: position },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
