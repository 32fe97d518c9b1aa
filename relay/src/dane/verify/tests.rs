//! Every way in which certificates and records can fit or not. The verdicts are those of RFC 7671 and 7672; where
//! these leave something open, of OpenSSL as Postfix uses it.

use std::slice::from_ref;

use rcgen::BasicConstraints;
use rcgen::CustomExtension;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::GeneralSubtree;
use rcgen::IsCa;
use rcgen::NameConstraints;
use rcgen::date_time_ymd;

use super::*;
use crate::fixtures::certificates::Identity;

const HOST: &str = "mx.example.org";
/// 2026-01-01
const NOW: i64 = 1_767_225_600;

fn check(records: &[Tlsa], chain: &[&Identity]) -> Result<Tlsa, DaneFault> {
    let chain: Vec<_> = chain.iter().map(|identity| identity.certificate()).collect();
    verify(records, &[HOST.to_owned(), "example.org".to_owned()], &chain, NOW)
}

/// Root, intermediate and a leaf for `names`.
fn hierarchy(names: &[&str]) -> (Identity, Identity, Identity) {
    let root = Identity::root("Root");
    let intermediate = root.issue_authority("Intermediate", |_| {});
    let leaf = intermediate.issue(names, |_| {});
    (root, intermediate, leaf)
}

#[test]
fn dane_ee_matches_by_every_selector_and_matching_type() {
    let leaf = Identity::alone(&[HOST], |_| {});
    for selector in 0..=1 {
        for matching in 0..=2 {
            let record = leaf.tlsa(3, selector, matching);
            assert_eq!(check(from_ref(&record), &[&leaf]), Ok(record));
        }
    }
    assert_eq!(check(&[leaf.wrong_tlsa(3, 1, 1)], &[&leaf]), Err(DaneFault::NoMatch));
}

#[test]
fn dane_ee_asks_for_neither_name_nor_date_nor_form() {
    let issuer = Identity::root("Somebody");
    let odd = [
        Identity::alone(&["other.example"], |_| {}),
        Identity::alone(&[], |_| {}),
        Identity::alone(&[HOST], |params| params.not_after = date_time_ymd(2020, 1, 1)),
        Identity::alone(&[HOST], |params| params.not_before = date_time_ymd(2030, 1, 1)),
        Identity::alone(&[HOST], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        Identity::alone(&[HOST], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }),
        Identity::alone(&[HOST], |params| {
            let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions = vec![unknown];
        }),
        Identity::alone(&[HOST], |_| {}).with_negative_serial(),
        Identity::alone(&[HOST], |_| {}).into_version_one(&issuer),
    ];
    for leaf in &odd {
        let record = leaf.tlsa(3, 1, 1);
        assert_eq!(check(from_ref(&record), &[leaf]), Ok(record));
    }
}

#[test]
fn roll_over_with_several_records_needs_one_that_matches() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let right = leaf.tlsa(3, 1, 1);
    assert_eq!(check(&[leaf.wrong_tlsa(3, 1, 1), right.clone()], &[&leaf]), Ok(right.clone()));
    assert_eq!(check(&[leaf.wrong_tlsa(3, 0, 1), right.clone()], &[&leaf]), Ok(right));
}

#[test]
fn only_the_strongest_digest_decides() {
    let leaf = Identity::alone(&[HOST], |_| {});
    assert!(check(&[leaf.wrong_tlsa(3, 1, 1), leaf.tlsa(3, 1, 2)], &[&leaf]).is_ok());
    // RFC 7671 section 9: the weaker digest is ignored even if it would match.
    assert_eq!(check(&[leaf.tlsa(3, 1, 1), leaf.wrong_tlsa(3, 1, 2)], &[&leaf]), Err(DaneFault::NoMatch));
    // Full data is no digest and always counts.
    assert!(check(&[leaf.tlsa(3, 1, 0), leaf.wrong_tlsa(3, 1, 2)], &[&leaf]).is_ok());
    // Another usage or selector has its own strongest.
    assert!(check(&[leaf.tlsa(3, 0, 1), leaf.wrong_tlsa(3, 1, 2)], &[&leaf]).is_ok());
}

#[test]
fn unusable_records_neither_help_nor_harm() {
    let leaf = Identity::alone(&[HOST], |_| {});
    assert_eq!(check(&[leaf.tlsa(1, 1, 1), leaf.wrong_tlsa(3, 1, 1)], &[&leaf]), Err(DaneFault::NoMatch));
    assert!(check(&[leaf.tlsa(3, 9, 1), leaf.tlsa(3, 1, 1)], &[&leaf]).is_ok());
    assert_eq!(check(&[leaf.tlsa(1, 1, 1), leaf.tlsa(0, 0, 1)], &[&leaf]), Err(DaneFault::NoRecord));
    assert_eq!(check(&[leaf.tlsa(3, 1, 1)], &[]), Err(DaneFault::NoCertificate));
}

#[test]
fn dane_ta_climbs_to_an_anchor_that_was_sent() {
    let (root, intermediate, leaf) = hierarchy(&[HOST]);
    for selector in 0..=1 {
        for matching in 0..=2 {
            let record = intermediate.tlsa(2, selector, matching);
            assert_eq!(check(from_ref(&record), &[&leaf, &intermediate]), Ok(record));
            let record = root.tlsa(2, selector, matching);
            assert_eq!(check(from_ref(&record), &[&leaf, &intermediate, &root]), Ok(record.clone()));
            // The order of what follows the leaf does not matter (RFC 8446 section 4.4.2).
            assert_eq!(check(from_ref(&record), &[&leaf, &root, &intermediate]), Ok(record));
        }
    }
}

#[test]
fn dane_ta_takes_a_full_certificate_or_key_from_the_dns() {
    let (root, intermediate, leaf) = hierarchy(&[HOST]);
    for selector in 0..=1 {
        let record = root.tlsa(2, selector, 0);
        assert_eq!(check(from_ref(&record), &[&leaf, &intermediate]), Ok(record.clone()));
        assert_eq!(check(&[record], &[&leaf]), Err(DaneFault::NotTrusted));
    }
    // A digest alone cannot be climbed to when the root is not sent.
    assert_eq!(check(&[root.tlsa(2, 0, 1)], &[&leaf, &intermediate]), Err(DaneFault::NotTrusted));
}

#[test]
fn dane_ta_refuses_an_authority_outside_the_chain() {
    let (root, intermediate, leaf) = hierarchy(&[HOST]);
    let stranger = Identity::root("Stranger");
    let sent = [&leaf, &intermediate, &root];
    assert_eq!(check(&[stranger.tlsa(2, 0, 1)], &sent), Err(DaneFault::NotTrusted));
    // Sent along, but nothing leads there.
    assert_eq!(check(&[stranger.tlsa(2, 0, 1)], &[&leaf, &stranger]), Err(DaneFault::NotTrusted));
    // The same name with another key.
    let impostor = Identity::root("Root");
    let sent = [&leaf, &intermediate, &impostor];
    assert_eq!(check(&[impostor.tlsa(2, 0, 1)], &sent), Err(DaneFault::NotTrusted));
}

#[test]
fn the_leaf_is_no_trust_anchor_of_its_own() {
    let (_, intermediate, leaf) = hierarchy(&[HOST]);
    for selector in 0..=1 {
        for matching in 0..=2 {
            let record = leaf.tlsa(2, selector, matching);
            assert_eq!(check(&[record], &[&leaf, &intermediate]), Err(DaneFault::NotTrusted));
            let alone = Identity::alone(&[HOST], |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            });
            let record = alone.tlsa(2, selector, matching);
            assert_eq!(check(from_ref(&record), &[&alone]), Err(DaneFault::NotTrusted));
            assert_eq!(check(&[record], &[&alone, &alone]), Err(DaneFault::NotTrusted));
        }
    }
}

#[test]
fn dane_ta_checks_the_name() {
    for (names, covered) in [
        (&[HOST][..], true),
        (&["example.org"], true),
        (&["*.example.org"], true),
        (&["MX.EXAMPLE.ORG"], true),
        (&["other.example"], false),
        (&["*.org"], false),
        (&["a.mx.example.org"], false),
    ] {
        let (_, intermediate, leaf) = hierarchy(names);
        let verdict = check(&[intermediate.tlsa(2, 0, 1)], &[&leaf, &intermediate]);
        assert_eq!(verdict.is_ok(), covered, "{names:?} {verdict:?}");
        assert_eq!(matches!(verdict, Err(DaneFault::Name { .. })), !covered, "{names:?}");
    }
}

#[test]
fn the_common_name_counts_only_without_a_dns_name() {
    let root = Identity::root("Root");
    let common = root.issue(&[], |params| params.distinguished_name.push(DnType::CommonName, HOST));
    assert!(check(&[root.tlsa(2, 0, 1)], &[&common, &root]).is_ok());
    let both =
        root.issue(&["other.example"], |params| params.distinguished_name.push(DnType::CommonName, HOST));
    assert!(matches!(check(&[root.tlsa(2, 0, 1)], &[&both, &root]), Err(DaneFault::Name { .. })));
}

#[test]
fn dane_ta_checks_the_dates_of_the_whole_path() {
    let root = Identity::root("Root");
    let expired = root.issue(&[HOST], |params| params.not_after = date_time_ymd(2025, 1, 1));
    let verdict = check(&[root.tlsa(2, 0, 1)], &[&expired, &root]);
    assert!(matches!(verdict, Err(DaneFault::Expired { .. })), "{verdict:?}");
    let future = root.issue(&[HOST], |params| params.not_before = date_time_ymd(2027, 1, 1));
    let verdict = check(&[root.tlsa(2, 0, 1)], &[&future, &root]);
    assert!(matches!(verdict, Err(DaneFault::NotYetValid { .. })), "{verdict:?}");
    let intermediate =
        root.issue_authority("Intermediate", |params| params.not_after = date_time_ymd(2025, 1, 1));
    let leaf = intermediate.issue(&[HOST], |_| {});
    for anchor in [&root, &intermediate] {
        let verdict = check(&[anchor.tlsa(2, 0, 1)], &[&leaf, &intermediate, &root]);
        assert!(matches!(verdict, Err(DaneFault::Expired { .. })), "{verdict:?}");
    }
}

#[test]
fn dane_ee_and_dane_ta_records_stand_side_by_side() {
    let (_, intermediate, leaf) = hierarchy(&[HOST]);
    let record = intermediate.tlsa(2, 0, 1);
    assert_eq!(
        check(&[leaf.wrong_tlsa(3, 1, 1), record.clone()], &[&leaf, &intermediate]),
        Ok(record.clone())
    );
    // The leaf's own record makes names and dates irrelevant.
    let elsewhere =
        intermediate.issue(&["other.example"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    let own = elsewhere.tlsa(3, 1, 1);
    assert_eq!(check(&[record, own.clone()], &[&elsewhere, &intermediate]), Ok(own));
}

#[test]
fn an_issuer_must_be_an_authority() {
    let (_, _, honest) = hierarchy(&[HOST]);
    let root = Identity::root("Root");
    // A host's certificate that signs another one.
    let host = root.issue(&["host.example"], |_| {});
    let forged = host.issue(&[HOST], |_| {});
    for anchor in [&root, &host] {
        let verdict = check(&[anchor.tlsa(2, 0, 1)], &[&forged, &host, &root]);
        assert!(matches!(verdict, Err(DaneFault::Unacceptable { .. })), "{verdict:?}");
    }
    assert_eq!(check(&[root.tlsa(2, 0, 1)], &[&honest, &root]), Err(DaneFault::NotTrusted));
}

#[test]
fn path_length_purpose_constraints_and_critical_extensions_bind() {
    let root = Identity::alone(&[], |params| {
        crate::fixtures::certificates::authority(params, "Short root");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let intermediate = root.issue_authority("Intermediate", |_| {});
    let leaf = intermediate.issue(&[HOST], |_| {});
    let verdict = check(&[root.tlsa(2, 0, 1)], &[&leaf, &intermediate, &root]);
    assert!(matches!(verdict, Err(DaneFault::Unacceptable { .. })), "{verdict:?}");
    let direct = root.issue(&[HOST], |_| {});
    assert!(check(&[root.tlsa(2, 0, 1)], &[&direct, &root]).is_ok());

    let root = Identity::root("Root");
    let client = root.issue(&[HOST], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let verdict = check(&[root.tlsa(2, 0, 1)], &[&client, &root]);
    assert!(matches!(verdict, Err(DaneFault::Unacceptable { .. })), "{verdict:?}");
    let any = root.issue(&[HOST], |params| params.extended_key_usages.clear());
    assert!(check(&[root.tlsa(2, 0, 1)], &[&any, &root]).is_ok());

    let critical = root.issue(&[HOST], |params| {
        let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        unknown.set_criticality(true);
        params.custom_extensions = vec![unknown];
    });
    let verdict = check(&[root.tlsa(2, 0, 1)], &[&critical, &root]);
    assert!(matches!(verdict, Err(DaneFault::Unacceptable { .. })), "{verdict:?}");
}

#[test]
fn name_constraints_of_an_authority_bind_the_leaf() {
    let root = Identity::root("Root");
    let constrain = |permitted: &[&str], excluded: &[&str]| {
        let list =
            |names: &[&str]| names.iter().map(|name| GeneralSubtree::DnsName((*name).into())).collect();
        let constraints =
            NameConstraints { permitted_subtrees: list(permitted), excluded_subtrees: list(excluded) };
        let intermediate =
            root.issue_authority("Intermediate", |params| params.name_constraints = Some(constraints));
        let leaf = intermediate.issue(&[HOST], |_| {});
        check(&[root.tlsa(2, 0, 1)], &[&leaf, &intermediate, &root])
    };
    assert!(constrain(&["example.org"], &[]).is_ok());
    assert!(constrain(&[], &["example.net"]).is_ok());
    for verdict in [
        constrain(&["example.net"], &[]),
        constrain(&["mple.org"], &[]),
        constrain(&[], &["example.org"]),
        constrain(&["org"], &["mx.example.org"]),
    ] {
        assert!(matches!(verdict, Err(DaneFault::Unacceptable { .. })), "{verdict:?}");
    }
}

#[test]
fn old_private_authorities_with_version_one_certificates_work() {
    let issuer = Identity::root("Old");
    let root = Identity::root("Old").into_version_one(&issuer);
    let name =
        |params: &mut rcgen::CertificateParams| params.distinguished_name.push(DnType::CommonName, HOST);
    // `openssl x509 -req` without an extension file makes such leaves.
    let leaf = issuer.issue(&[], name).into_version_one(&issuer);
    assert!(check(&[issuer.tlsa(2, 0, 1)], &[&leaf, &issuer]).is_ok());
    // The forged root carries another key than its signature shows; only its own leaves count.
    assert_eq!(check(&[root.tlsa(2, 0, 1)], &[&leaf, &root]), Err(DaneFault::NotTrusted));
}

#[test]
fn a_crowd_of_certificates_costs_a_bounded_number_of_signatures() {
    let root = Identity::root("Same");
    let leaf = root.issue(&[HOST], |_| {});
    let crowd: Vec<_> = (0..40).map(|_| Identity::root("Same")).collect();
    let mut chain = vec![leaf.certificate()];
    chain.extend(crowd.iter().map(Identity::certificate));
    let verdict = verify(&[crowd[39].tlsa(2, 0, 1)], &[HOST.to_owned()], &chain, NOW);
    assert_eq!(verdict, Err(DaneFault::NotTrusted));
}

#[test]
fn garbage_is_refused_without_a_panic() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let record = leaf.tlsa(2, 0, 1);
    for garbage in [&b""[..], b"\x30", b"\x30\x82\xff\xff", &leaf.der[..leaf.der.len() - 1]] {
        let chain = [CertificateDer::from(garbage.to_vec()), leaf.certificate()];
        assert!(verify(&[record.clone(), leaf.tlsa(3, 1, 1)], &[HOST.to_owned()], &chain, NOW).is_err());
    }
}

/// Any octet of the leaf or of its issuer may change in transit; nothing then verifies, and nothing panics.
#[test]
fn a_chain_with_one_wrong_octet_verifies_by_nothing() {
    let (root, intermediate, leaf) = hierarchy(&[HOST]);
    let records = [leaf.tlsa(3, 0, 1), intermediate.tlsa(2, 0, 1)];
    let names = [HOST.to_owned()];
    let chain = [&leaf, &intermediate, &root].map(Identity::certificate);
    assert!(verify(&records, &names, &chain, NOW).is_ok());
    for spoiled in 0..2 {
        for at in 0..chain[spoiled].len() {
            for change in [0x01, 0x80, 0xff] {
                let mut octets = chain[spoiled].to_vec();
                octets[at] ^= change;
                let mut chain = chain.clone();
                chain[spoiled] = CertificateDer::from(octets);
                // The leaf's own record is left out, where it is the issuer that is spoiled.
                let records = &records[spoiled..];
                let verdict = verify(records, &names, &chain, NOW);
                assert!(verdict.is_err(), "octet {at} of {spoiled} ^ {change:#x}: {verdict:?}");
            }
        }
    }
}
