//! Looking at the first bytes of a part to learn what it truly holds.

use std::io::Read;

use mail::Entity;
use mail::Spill;

use crate::openpgp::armor::Dearmor;
use crate::openpgp::armor::Kind;
use crate::recognise::FormKind;

/// Bytes of a part that are looked at.
const HEAD: u64 = 8 * 1024;

/// Whether the part holds an OpenPGP message that starts like an encrypted one: with a session key
/// packet or encrypted data (RFC 9580 section 10.3).
pub(super) fn is_encrypted_message(part: &Entity<'_>) -> bool {
    let Some(head) = head(part) else { return false };
    let mut armor = Dearmor::glancing(Endless(&head));
    let mut first = [0];
    let read = matches!(armor.kind(), Ok(Kind::Message)) && armor.read_exact(&mut first).is_ok();
    let [octet] = first;
    let tag = if octet & 0x40 == 0 { (octet >> 2) & 0x0f } else { octet & 0x3f };
    // PKESK, SKESK, marker, encrypted data of either kind.
    read && octet & 0x80 != 0 && matches!(tag, 1 | 3 | 9 | 10 | 18 | 20)
}

/// Whether the part holds nothing but white space.
pub(super) fn is_blank(part: &Entity<'_>) -> bool {
    let range = part.content_range();
    range.end - range.start <= HEAD && head(part).is_some_and(|head| head.trim_ascii().is_empty())
}

/// The S/MIME form of an `application/pkcs7-mime` part, from the content type inside the CMS structure
/// (RFC 5652 section 3); what the `smime-type` parameter says decides nothing.
pub(super) fn cms(part: &Entity<'_>) -> Option<FormKind> {
    let head = head(part)?;
    // SEQUENCE, its length, then an OBJECT IDENTIFIER.
    let after_tag = head.strip_prefix(b"\x30")?;
    let length_octets = match after_tag.first()? {
        long @ 0x81..=0x88 => usize::from(long & 0x7f) + 1,
        _ => 1,
    };
    let oid = after_tag.get(length_octets..)?;
    let known: [(&[u8], FormKind); 4] = [
        (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", FormKind::SmimeEncrypted),
        (b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17", FormKind::SmimeEncrypted),
        (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", FormKind::SmimeOpaque),
        (b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x09", FormKind::SmimeCompressed),
    ];
    known.iter().find(|(prefix, _)| oid.starts_with(prefix)).map(|(_, kind)| *kind)
}

/// The first bytes of the decoded content.
fn head(part: &Entity<'_>) -> Option<Vec<u8>> {
    let content = part.content();
    let start = content.slice(0..content.len().min(HEAD));
    let spill = Spill { limit: usize::MAX, ..Spill::default() };
    part.transfer_encoding().decode(&start, &spill).ok()?.to_vec().ok()
}

/// A head followed by base64 that means nothing, so that looking at its start does not fail at its end.
struct Endless<'a>(&'a [u8]);

impl Read for Endless<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(out)? {
            0 => {
                out.fill(b'A');
                Ok(out.len())
            }
            read => Ok(read),
        }
    }
}
