//! No TLSA record and no certificate chain makes the check panic, and nothing is verified by a record that is
//! unusable or does not match.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use relay::dane;
use relay::dns::Tlsa;
use rustls_pki_types::CertificateDer;

#[derive(Arbitrary, Debug)]
struct Input {
    records: Vec<(u8, u8, u8, Vec<u8>)>,
    chain: Vec<Vec<u8>>,
    name: String,
    now: i64,
}

fuzz_target!(|input: Input| {
    let small = |number: u8| number % 5;
    let records: Vec<Tlsa> = input
        .records
        .into_iter()
        .map(|(usage, selector, matching, data)| Tlsa {
            usage: small(usage),
            selector: small(selector),
            matching: small(matching),
            data,
        })
        .collect();
    let usable = dane::usable(&records);
    let effective = dane::effective(&records);
    assert!(usable.iter().all(|record| dane::unusable(record).is_none() && records.contains(record)));
    assert!(effective.iter().all(|record| usable.contains(record)));
    assert_eq!(usable.is_empty(), effective.is_empty());

    let chain: Vec<_> = input.chain.into_iter().map(CertificateDer::from).collect();
    if let Ok(record) = dane::verify(&records, &[input.name], &chain, input.now) {
        assert!(effective.contains(&record));
        let by_key = (record.usage, record.selector, record.matching) == (2, 1, 0);
        let published = (record.usage, record.selector, record.matching) == (2, 0, 0);
        assert!(by_key || published || chain.iter().any(|certificate| dane::matches(&record, certificate)));
    }
});
