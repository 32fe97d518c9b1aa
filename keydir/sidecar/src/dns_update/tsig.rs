//! Signatures on DNS messages with a shared key (RFC 8945), HMAC-SHA-256 only.
//!
//! The `domain` crate has its own, but only with a third cryptography library; this is the part that a client
//! needs.

use domain::base::ToName;
use sha2::{Digest, Sha256};

use super::key::TsigKey;
use super::message::{self, Tsig};

/// How far clocks may be apart, seconds.
const FUDGE: u16 = 300;
/// Octets that SHA-256 takes at a time.
const BLOCK: usize = 64;
/// Most messages of a transfer that may go without signature until the next signed one (RFC 8945, 5.3.1).
const MAX_UNSIGNED: usize = 99;
/// The name of the algorithm, as on the wire.
const ALGORITHM: &[u8] = b"\x0bhmac-sha256\0";

/// The signatures of one exchange: a request and its answer, which may have many messages.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    key: &'a TsigKey,
    /// Of the request.
    id: [u8; 2],
    /// The last signature, which the next one covers.
    mac: Vec<u8>,
    /// Messages since then.
    unsigned: Vec<u8>,
    count: usize,
    first: bool,
}

impl<'a> Exchange<'a> {
    /// Signs a request.
    pub(super) fn sign(key: &'a TsigKey, request: &mut Vec<u8>, now: u64) -> Result<Self, String> {
        let variables = variables(key, now, FUDGE, 0, &[]);
        let mac = hmac(&key.secret, &[request, &variables]);
        let id = message::id(request)?;
        message::append_tsig(request, &key.name, &rdata(now, &mac, id))?;
        Ok(Self { key, id, mac, unsigned: Vec::new(), count: 0, first: true })
    }

    /// The ID of the request.
    pub(super) fn id(&self) -> [u8; 2] {
        self.id
    }

    /// Checks a message of the answer.
    ///
    /// # Errors
    /// If its signature is not valid, or it had to have one.
    pub(super) fn verify(&mut self, answer: &[u8], now: u64) -> Result<(), String> {
        let Some((plain, tsig)) = message::split_tsig(answer)? else {
            self.count += 1;
            if self.first || self.count > MAX_UNSIGNED {
                return Err("the server's answer is not signed".to_owned());
            }
            self.unsigned.extend_from_slice(answer);
            return Ok(());
        };
        if tsig.error != 0 && tsig.mac.is_empty() {
            return Err(format!("the server refuses our signature: {}", tsig.reason()));
        }
        if !tsig.owner.name_eq(&self.key.name) || tsig.algorithm != ALGORITHM {
            return Err("the server signed with another key".to_owned());
        }
        let length = u16::try_from(self.mac.len()).unwrap_or(u16::MAX).to_be_bytes();
        let timers = match self.first {
            true => variables(self.key, tsig.time, tsig.fudge, tsig.error, &tsig.other),
            false => tsig.time.to_be_bytes().into_iter().skip(2).chain(tsig.fudge.to_be_bytes()).collect(),
        };
        let expected = hmac(&self.key.secret, &[&length, &self.mac, &self.unsigned, &plain, &timers]);
        if !same(&expected, &tsig.mac) {
            return Err("the signature on the server's answer is wrong".to_owned());
        }
        if tsig.error != 0 {
            return Err(format!("the server refuses our signature: {}", tsig.reason()));
        }
        if now.abs_diff(tsig.time) > u64::from(tsig.fudge) {
            return Err("the clocks of the server and this machine are too far apart".to_owned());
        }
        self.mac = tsig.mac;
        self.unsigned.clear();
        (self.count, self.first) = (0, false);
        Ok(())
    }

    /// Whether the last message was signed, so that nothing can be missing or added at the end.
    pub(super) fn complete(&self) -> bool {
        self.count == 0 && !self.first
    }
}

/// What is signed beside the message (RFC 8945, 4.3.3).
fn variables(key: &TsigKey, time: u64, fudge: u16, error: u16, other: &[u8]) -> Vec<u8> {
    let mut text = key.name.as_slice().to_ascii_lowercase();
    text.extend_from_slice(&[0, 255, 0, 0, 0, 0]); // class ANY, TTL 0
    text.extend_from_slice(ALGORITHM);
    text.extend(time.to_be_bytes().iter().skip(2));
    text.extend_from_slice(&fudge.to_be_bytes());
    text.extend_from_slice(&error.to_be_bytes());
    text.extend_from_slice(&u16::try_from(other.len()).unwrap_or(u16::MAX).to_be_bytes());
    text.extend_from_slice(other);
    text
}

/// The content of our TSIG record (RFC 8945, 4.2).
fn rdata(time: u64, mac: &[u8], id: [u8; 2]) -> Vec<u8> {
    let mut data = ALGORITHM.to_vec();
    data.extend(time.to_be_bytes().iter().skip(2));
    data.extend_from_slice(&FUDGE.to_be_bytes());
    data.extend_from_slice(&u16::try_from(mac.len()).unwrap_or(u16::MAX).to_be_bytes());
    data.extend_from_slice(mac);
    data.extend_from_slice(&id);
    data.extend_from_slice(&[0, 0, 0, 0]); // no error, nothing else
    data
}

/// HMAC-SHA-256 (RFC 2104) over the parts, one behind the other.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut block = [0; BLOCK];
    let hashed;
    let key = match key.len() > BLOCK {
        true => {
            hashed = Sha256::digest(key).to_vec();
            hashed.as_slice()
        }
        false => key,
    };
    block.iter_mut().zip(key).for_each(|(octet, from)| *octet = *from);
    let mut inner = Sha256::new();
    inner.update(block.map(|octet| octet ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    outer.update(block.map(|octet| octet ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().to_vec()
}

/// Compares without telling by the time taken where two signatures differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

impl Tsig {
    fn reason(&self) -> String {
        match self.error {
            16 => "BADSIG, another secret".to_owned(),
            17 => "BADKEY, it does not know the key".to_owned(),
            18 => "BADTIME, the clocks are too far apart".to_owned(),
            22 => "BADTRUNC".to_owned(),
            other => format!("error {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_of_rfc_4231() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // Test cases 1, 2 and 6.
        assert_eq!(
            hex(hmac(&[0x0b; 20], &[b"Hi ", b"There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(hmac(b"Jefe", &[b"what do ya want for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(hmac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"])),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    fn key() -> TsigKey {
        TsigKey { name: "gatepost.".parse().unwrap(), secret: vec![7; 32] }
    }

    /// A message without anything in it but an ID.
    fn empty(id: u8) -> Vec<u8> {
        vec![0, id, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    /// What a server that knows `key` answers.
    fn answer(key: &TsigKey, request_mac: &[u8], now: u64) -> Vec<u8> {
        let mut plain = empty(1);
        let length = u16::try_from(request_mac.len()).unwrap().to_be_bytes();
        let mac = hmac(&key.secret, &[&length, request_mac, &plain, &variables(key, now, FUDGE, 0, &[])]);
        message::append_tsig(&mut plain, &key.name, &rdata(now, &mac, [0, 1])).unwrap();
        plain
    }

    #[test]
    fn an_answer_must_carry_the_signature_over_our_request() {
        let (key, mut request) = (key(), empty(1));
        let mut exchange = Exchange::sign(&key, &mut request, 1000).unwrap();
        let good = answer(&key, &exchange.mac, 1000);
        let mut changed = good.clone();
        changed[3] ^= 1;
        assert!(exchange.verify(&changed, 1000).is_err());
        assert!(exchange.verify(&answer(&key, b"another request's", 1000), 1000).is_err());
        assert!(exchange.verify(&empty(1), 1000).unwrap_err().contains("not signed"));
        assert!(exchange.verify(&good, 5000).unwrap_err().contains("clocks"));
        let other = TsigKey { secret: vec![8; 32], ..key.clone() };
        assert!(exchange.verify(&answer(&other, &exchange.mac.clone(), 1000), 1000).is_err());
        assert!(!exchange.complete());
        exchange.verify(&good, 1000).unwrap();
        assert!(exchange.complete());
    }
}
