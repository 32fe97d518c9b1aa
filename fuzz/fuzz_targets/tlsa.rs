//! No TLSA record and no certificate chain makes the check panic, and nothing is verified by a record that is
//! unusable or does not match.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use relay::dane;
use net::dns::Tlsa;
use rustls_pki_types::CertificateDer;
use sha2::Digest;
use sha2::Sha256;
use sha2::Sha512;

/// A leaf for mx.example.org and *.example.net, and the root above it; valid until 2036.
const REAL: [&[u8]; 2] = [include_bytes!("../certificates/leaf.der"), include_bytes!("../certificates/root.der")];

#[derive(Arbitrary, Debug)]
struct Input {
    records: Vec<(u8, u8, u8, Data)>,
    chain: Vec<Certificate>,
    name: Option<String>,
    now: Option<i64>,
}

#[derive(Arbitrary, Debug)]
enum Data {
    Any(Vec<u8>),
    /// Of the certificate with this place in the chain, as the matching type asks.
    Of(u8),
}

#[derive(Arbitrary, Debug)]
enum Certificate {
    Any(Vec<u8>),
    /// A real one, with some octets changed.
    Real(u8, Vec<(u16, u8)>),
}

impl Certificate {
    fn der(self) -> Vec<u8> {
        let (number, changes) = match self {
            Self::Any(der) => return der,
            Self::Real(number, changes) => (number, changes),
        };
        let mut der = REAL[usize::from(number) % REAL.len()].to_vec();
        for (at, octet) in changes {
            let at = usize::from(at) % der.len();
            der[at] = octet;
        }
        der
    }
}

impl Data {
    fn octets(self, matching: u8, chain: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::Any(octets) => octets,
            Self::Of(place) => {
                let der = chain.get(usize::from(place) % chain.len().max(1)).map_or(&[][..], Vec::as_slice);
                match matching {
                    1 => Sha256::digest(der).to_vec(),
                    2 => Sha512::digest(der).to_vec(),
                    _ => der.to_vec(),
                }
            }
        }
    }
}

fuzz_target!(|input: Input| {
    let small = |number: u8| number % 5;
    let chain: Vec<Vec<u8>> = input.chain.into_iter().map(Certificate::der).collect();
    let records: Vec<Tlsa> = input
        .records
        .into_iter()
        .map(|(usage, selector, matching, data)| Tlsa {
            usage: small(usage),
            selector: small(selector),
            matching: small(matching),
            data: data.octets(small(matching), &chain),
        })
        .collect();
    let usable = dane::usable(&records);
    let effective = dane::effective(&records);
    assert!(usable.iter().all(|record| dane::unusable(record).is_none() && records.contains(record)));
    assert!(effective.iter().all(|record| usable.contains(record)));
    assert_eq!(usable.is_empty(), effective.is_empty());

    let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
    let name = input.name.unwrap_or_else(|| "mx.example.org".to_owned());
    if let Ok(record) = dane::verify(&records, &[name], &chain, input.now.unwrap_or(1_800_000_000)) {
        assert!(effective.contains(&record));
        let by_key = (record.usage, record.selector, record.matching) == (2, 1, 0);
        let published = (record.usage, record.selector, record.matching) == (2, 0, 0);
        assert!(by_key || published || chain.iter().any(|certificate| dane::matches(&record, certificate)));
    }
});
