use super::*;

use sequoia_openpgp as pgp;

use pgp::Packet;
use pgp::parse::PacketParser;
use pgp::parse::PacketParserResult;
use pgp::parse::Parse;
use pgp::types::SymmetricAlgorithm;

fn sealed(key: &SessionKey, aead: bool, content: &[u8], step: usize) -> Vec<u8> {
    let writer = EncryptedWriter::new(Vec::new(), key, aead).unwrap();
    let mut literal = PartialBody::new(writer, 11).unwrap();
    literal.write_all(&[b'b', 0, 0, 0, 0, 0]).unwrap();
    content.chunks(step).for_each(|piece| literal.write_all(piece).unwrap());
    literal.finish().unwrap().finish().unwrap()
}

/// What Sequoia finds in the packet, if its integrity holds.
#[expect(deprecated, reason = "SEIPDv1 has this packet")]
fn opened(key: &SessionKey, packet: &[u8]) -> pgp::Result<Vec<u8>> {
    let PacketParserResult::Some(mut pp) = PacketParser::from_bytes(packet)? else { panic!() };
    let algorithm = match &pp.packet {
        Packet::SEIP(pgp::packet::SEIP::V1(_)) => Some(SymmetricAlgorithm::AES256),
        _ => None,
    };
    pp.decrypt(algorithm, key)?;
    let mut content = None;
    let (_, mut next) = pp.recurse()?;
    while let PacketParserResult::Some(mut pp) = next {
        pp.buffer_unread_content()?;
        let (packet, after) = pp.recurse()?;
        match packet {
            Packet::Literal(literal) => content = Some(literal.body().to_vec()),
            Packet::MDC(mdc) => assert_eq!(mdc.digest(), mdc.computed_digest()),
            other => anyhow::bail!("unexpected {}", other.tag()),
        }
        next = after;
    }
    content.ok_or_else(|| anyhow::anyhow!("no content"))
}

#[test]
fn content_of_every_length_comes_out_again() {
    let key = SessionKey::new(32).unwrap();
    for length in [0, 1, 100, 8000, CHUNK - 17, CHUNK - 16, CHUNK - 15, CHUNK, 2 * CHUNK, 3 * CHUNK + 77] {
        let content: Vec<u8> = (0..length).map(|at| (at % 253) as u8).collect();
        for (aead, step) in [(false, usize::MAX), (false, 999), (true, usize::MAX), (true, 999)] {
            let packet = sealed(&key, aead, &content, step);
            assert!(opened(&key, &packet).unwrap() == content, "{length} in steps of {step}, aead {aead}");
        }
    }
}

#[test]
fn what_was_changed_or_cut_does_not_open() {
    let key = SessionKey::new(32).unwrap();
    let other = SessionKey::new(32).unwrap();
    let content = vec![b'x'; 3000];
    let packet = sealed(&key, true, &content, usize::MAX);
    assert!(opened(&other, &packet).is_err());
    for at in [40, 1500, packet.len() - 20, packet.len() - 1] {
        let mut changed = packet.clone();
        changed[at] ^= 1;
        assert!(opened(&key, &changed).is_err(), "octet {at}");
    }
}

#[test]
fn no_two_packets_are_alike() {
    let key = SessionKey::new(32).unwrap();
    for aead in [false, true] {
        assert_ne!(sealed(&key, aead, b"same", 4)[10..], sealed(&key, aead, b"same", 4)[10..]);
    }
}
