//! CRC-24 of OpenPGP (RFC 9580 section 6.1), sixteen bytes at a time.

/// The checksum kept in the upper 24 bits, so that it runs like any 32-bit CRC.
#[derive(Clone, Copy)]
pub(crate) struct Crc24(u32);

impl Crc24 {
    pub(crate) fn new() -> Crc24 {
        Crc24(0x00b7_04ce << 8)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut crc = self.0;
        let (blocks, rest) = bytes.as_chunks::<16>();
        let [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, ta, tb, tc, td, te, tf] = &TABLES;
        for block in blocks {
            let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, ba, bb, bc, bd, be, bf] = *block;
            let [c0, c1, c2, c3] = crc.to_be_bytes();
            crc = at(tf, c0 ^ b0)
                ^ at(te, c1 ^ b1)
                ^ at(td, c2 ^ b2)
                ^ at(tc, c3 ^ b3)
                ^ at(tb, b4)
                ^ at(ta, b5)
                ^ at(t9, b6)
                ^ at(t8, b7)
                ^ at(t7, b8)
                ^ at(t6, b9)
                ^ at(t5, ba)
                ^ at(t4, bb)
                ^ at(t3, bc)
                ^ at(t2, bd)
                ^ at(t1, be)
                ^ at(t0, bf);
        }
        for byte in rest {
            let [top, ..] = crc.to_be_bytes();
            crc = (crc << 8) ^ at(t0, top ^ byte);
        }
        self.0 = crc;
    }

    /// The three bytes that are written after the data.
    pub(crate) fn value(self) -> [u8; 3] {
        let [a, b, c, _] = self.0.to_be_bytes();
        [a, b, c]
    }
}

/// A `u8` is always inside a table of 256, so the compiler drops the check.
#[inline(always)]
fn at(table: &[u32; 256], index: u8) -> u32 {
    table.get(usize::from(index)).copied().unwrap_or(0)
}

const GENERATOR: u32 = 0x0086_4cfb << 8;

static TABLES: [[u32; 256]; 16] = tables();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of range would not build"
)]
const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0_u32; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ GENERATOR };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 16 {
        let mut byte = 0;
        while byte < 256 {
            let last = tables[table - 1][byte];
            tables[table][byte] = (last << 8) ^ tables[0][(last >> 24) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop printed in RFC 9580 section 6.1.1.
    fn plain(bytes: &[u8]) -> [u8; 3] {
        let mut crc = 0x00b7_04ce_u32;
        for byte in bytes {
            crc ^= u32::from(*byte) << 16;
            for _ in 0..8 {
                crc <<= 1;
                if crc & 0x0100_0000 != 0 {
                    crc &= 0x00ff_ffff;
                    crc ^= 0x0086_4cfb;
                }
            }
        }
        let [_, a, b, c] = crc.to_be_bytes();
        [a, b, c]
    }

    #[test]
    fn equals_the_loop_of_the_standard_at_every_length() {
        let bytes: Vec<u8> = (0..200_u32).map(|i| (i * 7 + i / 3) as u8).collect();
        for length in 0..bytes.len() {
            let mut crc = Crc24::new();
            let (head, tail) = bytes[..length].split_at(length / 3);
            crc.update(head);
            crc.update(tail);
            assert_eq!(crc.value(), plain(&bytes[..length]), "length {length}");
        }
    }
}
