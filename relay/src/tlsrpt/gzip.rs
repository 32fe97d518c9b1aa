//! Compression of reports (RFC 8460 section 5.2).

use std::io;
use std::io::Read;
use std::io::Write;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// The first octets of a gzip file (RFC 1952 section 2.3.1).
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Packs `bytes`. No time and no name are written: the same input gives the same output.
pub(super) fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Unpacks `bytes`, or nothing if there would be more than `limit` octets; never holds more than that.
pub(super) fn unpack(bytes: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut unpacked = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes).take(most).read_to_end(&mut unpacked)?;
    Ok((unpacked.len() <= limit).then_some(unpacked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = pack(&vec![0; 50 << 20]).unwrap();
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(&bomb, 1 << 20).unwrap(), None);
    }

    #[test]
    fn a_chain_of_members_counts_as_one() {
        let chain = pack(b"abc").unwrap().repeat(1000);
        assert_eq!(unpack(&chain, 2999).unwrap(), None);
        assert_eq!(unpack(&chain, 3000).unwrap().unwrap().len(), 3000);
    }

    #[test]
    fn gzip_of_the_system_reads_it() {
        use std::process::Command;
        use std::process::Stdio;
        let mut gzip =
            Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        gzip.stdin.take().unwrap().write_all(&pack(b"hello").unwrap()).unwrap();
        assert_eq!(gzip.wait_with_output().unwrap().stdout, b"hello");
    }
}
