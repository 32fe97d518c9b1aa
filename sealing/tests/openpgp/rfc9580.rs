//! The samples of RFC 9580, Appendix A.

use std::sync::Arc;

use keydir::Answer;
use mail::Address;
use sealing::Binding;
use sealing::Layer;
use sealing::LayerState;
use sealing::Limits;
use sealing::openpgp::Cert;
use sealing::openpgp::Fingerprint;
use sealing::openpgp::KeyHandle;
use sealing::openpgp::Keys;
use sealing::openpgp::SecretCert;
use sequoia_openpgp::parse::Parse;

use crate::support::*;

/// Appendix A.4: version 6, Ed25519 and X25519, no User ID.
const SECRET_KEY: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----

xUsGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laMAGXKB
exK+cH6NX1hs5hNhIB00TrJmosgv3mg1ditlsLfCsQYfGwoAAABCBYJjh3/jAwsJ
BwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce6
2azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lwgyU2kCcUmKfvBXbAf6rh
RYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaEQsiPlR4zxP/TP7mhfVEe
7XWPxtnMUMtf15OyA51YBMdLBmOHf+MZAAAAIIaTJINn+eUBXbki+PSAld2nhJh/
LVmFsS+60WyvXkQ1AE1gCk95TUR3XFeibg/u/tVY6a//1q0NWC1X+yui3O24wpsG
GBsKAAAALAWCY4d/4wKbDCIhBssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce6
2azJAAAAAAQBIKbpGG2dWTX8j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDE
M0g12vYxoWM8Y81W+bHBw805I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUr
k0mXubZvyl4GBg==
-----END PGP PRIVATE KEY BLOCK-----
";

/// Appendix A.6.
const CLEARTEXT: &str = "-----BEGIN PGP SIGNED MESSAGE-----

What we need from the grocery store:

- - tofu
- - vegetables
- - noodles

-----BEGIN PGP SIGNATURE-----

wpgGARsKAAAAKQWCY5ijYyIhBssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce6
2azJAAAAAGk2IHZJX1AhiJD39eLuPBgiUU9wUA9VHYblySHkBONKU/usJ9BvuAqo
/FvLFuGWMbKAdA+epq7V4HOtAPlBWmU8QOd6aud+aSunHQaaEJ+iTFjP2OMW0KBr
NK2ay45cX1IVAQ==
-----END PGP SIGNATURE-----
";

/// Appendix A.7.
const INLINE_SIGNED: &str = "-----BEGIN PGP MESSAGE-----

xEYGAQobIHZJX1AhiJD39eLuPBgiUU9wUA9VHYblySHkBONKU/usyxhsTwYJppfk
1S36bHIrDB8eJ8GKVnCPZSXsJ7rZrMkBy0p1AAAAAABXaGF0IHdlIG5lZWQgZnJv
bSB0aGUgZ3JvY2VyeSBzdG9yZToKCi0gdG9mdQotIHZlZ2V0YWJsZXMKLSBub29k
bGVzCsKYBgEbCgAAACkFgmOYo2MiIQbLGGxPBgmml+TVLfpscisMHx4nwYpWcI9l
JewnutmsyQAAAABpNiB2SV9QIYiQ9/Xi7jwYIlFPcFAPVR2G5ckh5ATjSlP7rCfQ
b7gKqPxbyxbhljGygHQPnqau1eBzrQD5QVplPEDnemrnfmkrpx0GmhCfokxYz9jj
FtCgazStmsuOXF9SFQE=
-----END PGP MESSAGE-----
";

/// Appendix A.8: X25519, SEIPDv2 with AES-128 and OCB. No checksum.
const ENCRYPTED: &str = "-----BEGIN PGP MESSAGE-----

wV0GIQYSyD8ecG9jCP4VGkF3Q6HwM3kOk+mXhIjR2zeNqZMIhRmHzxjV8bU/gXzO
WgBM85PMiVi93AZfJfhK9QmxfdNnZBjeo1VDeVZheQHgaVf7yopqR6W1FT6NOrfS
aQIHAgZhZBZTW+CwcW1g4FKlbExAf56zaw76/prQoN+bAzxpohup69LA7JW/Vp0l
yZnuSj3hcFj0DfqLTGgr4/u717J+sPWbtQBfgMfG9AOIwwrUBqsFE9zW+f1zdlYo
bhF30A+IitsxxA==
-----END PGP MESSAGE-----
";

struct Sample(Arc<SecretCert>);

impl Keys for Sample {
    fn certificates(&self, _: &KeyHandle) -> Answer<Vec<Arc<Cert>>> {
        Answer::Found(vec![self.0.cert().clone()])
    }

    fn secrets(&self, _: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>> {
        Answer::Found(vec![self.0.clone()])
    }

    fn cover(&self, _: &[KeyHandle]) -> Answer<()> {
        Answer::Found(())
    }

    fn authorised(&self, _: &Fingerprint, _: &Address) -> Answer<Binding> {
        Answer::Found(Binding::User)
    }
}

/// Opens a text; its layers, and the text that came out of it.
fn look(text: &str) -> (Vec<Layer>, Option<String>) {
    let secret = SecretCert::new(Cert::from_bytes(SECRET_KEY).unwrap()).unwrap();
    let expected = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";
    assert_eq!(secret.fingerprint().to_hex(), expected);
    let message = letter(&format!("Content-Type: text/plain\n\n{text}"));
    let keys = Sample(Arc::new(secret));
    let opened = sealing::open(
        &message,
        sealing::Keys { openpgp: &keys, smime: &sealing::smime::NoKeys },
        NOW,
        &mail::Spill::default(),
        &Limits::default(),
    )
    .unwrap();
    (opened.layers, opened.message.map(|message| text_of(&message)))
}

#[test]
fn appendix_a6_and_a7_verify() {
    for text in [CLEARTEXT, INLINE_SIGNED] {
        let (layers, text) = look(text);
        assert_eq!((layers.len(), layers[0].state), (1, LayerState::Valid), "{layers:?}");
        assert_eq!(layers[0].signed_at, Some(1_670_947_683));
        assert_eq!(text, None, "what is only signed stays as it is");
    }
    let (layers, _) = look(&CLEARTEXT.replace("tofu", "beef"));
    assert_eq!(layers[0].state, LayerState::Invalid);
}

#[test]
fn appendix_a8_opens() {
    let (layers, text) = look(ENCRYPTED);
    assert_eq!((layers.len(), layers[0].state), (1, LayerState::Opened), "{layers:?}");
    assert!(text.unwrap().ends_with("\r\n\r\nHello, world!"));
}
