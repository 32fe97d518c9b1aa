//! Encrypted test vectors of draft-autocrypt-lamps-protected-headers ("Test Vectors", the messages
//! `pgpmime-sign+enc` and `pgpmime-layered+legacy-disp`), what came before RFC 9788, opened with Alice's key of
//! draft-bre-openpgp-samples (section 2.2).
//!
//! The encrypted messages of RFC 9788 appendix C could not be had: the collections of RFCs, drafts and public sources that were
//! searched hold the beginnings of the RFC, of its drafts and of their sources, and single payloads, which are tests in
//! `src/header/tests.rs`. The S/MIME messages of this draft are encrypted to keys of draft-dkg-lamps-samples-01, which
//! RFC 9216 replaced and none of whose keys opens them.

use std::sync::Arc;

use mail::Message;
use sealing::LayerKind::Encrypted;
use sealing::LayerKind::Signed;
use sealing::LayerState::Opened;
use sealing::LayerState::Valid;
use sealing::openpgp::Cert;
use sealing::openpgp::SecretCert;
use sequoia_openpgp::parse::Parse;

use crate::support::*;

fn world() -> World {
    let mut world = World::new();
    let alice = Cert::from_bytes(include_bytes!("../data/protected-headers/alice.asc")).unwrap();
    world.add_cert(&alice);
    world.secrets.push(Arc::new(SecretCert::new(alice).unwrap()));
    world
}

/// What the drafts say that a reader is to see: the Subject from inside, the text, nothing of the legacy display.
#[track_caller]
fn assert_opened(vector: &str, name: &str) {
    let message = Message::parse(vector.replace('\n', "\r\n").as_bytes());
    assert_eq!(message.subject(), "...");
    let opened = world().open(&message);
    let layers: Vec<_> = opened.layers.iter().map(|layer| (layer.kind, layer.state)).collect();
    assert_eq!(layers, [(Encrypted, Opened), (Signed, Valid)], "{:?}", opened.layers);
    assert_eq!(opened.layers[1].signer_subject.as_deref(), Some("alice@openpgp.example"));
    let shown = opened.message.unwrap();
    assert_eq!(shown.subject(), "BarCorp contract signed, let's go!");
    let text = text_of(&shown);
    assert!(text.contains(&format!("(this is the '{name}' message)")), "{text}");
    assert_eq!(text.matches("BarCorp contract signed").count(), if name.contains("layered") { 3 } else { 1 });
    assert_eq!(opened.mismatches, ["Subject"; 0], "the Subject was hidden, not changed");
}

#[test]
fn a_signed_and_encrypted_message_of_the_older_scheme_shows_its_subject() {
    assert_opened(include_str!("../data/protected-headers/pgpmime-sign+enc.eml"), "pgpmime-sign+enc");
}

/// The signed part stays as it is, with its legacy display; the Subject outside is the one inside.
#[test]
fn a_layered_message_of_the_older_scheme_shows_its_subject_and_keeps_what_is_signed() {
    let vector = include_str!("../data/protected-headers/pgpmime-layered+legacy-disp.eml");
    assert_opened(vector, "pgpmime-layered+legacy-disp");
}
