//! Key agreement, where no tool of Debian can be asked: with user keying material, and with X25519.

use std::sync::Arc;

use keydir::Answer;
use keydir::Certificate;
use mail::Spill;
use openssl::aes;
use openssl::derive::Deriver;
use openssl::hash::MessageDigest;
use openssl::pkey::Id;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm;
use sealing::Limits;
use sealing::cms::ContentCipher;
use sealing::cms::KeyTransport;
use sealing::cms::SecretKey;

use crate::world::*;

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Made with BouncyCastle 1.72 (Debian's libbcpkix-java): JceKeyAgreeRecipientInfoGenerator with
/// dhSinglePass-stdDH-sha256kdf-scheme, AES-256 wrap and setUserKeyingMaterial(01 02 .. 10), AES-256-CBC,
/// indefinite lengths. The key goes into no key derivation without it (RFC 5753 section 7.2).
#[test]
fn user_keying_material_goes_into_the_key() {
    let key = PKey::private_key_from_der(&octets(KEY)).unwrap();
    let certificate = Certificate::from_der(&octets(CERTIFICATE)).unwrap();
    let secret = Arc::new(SecretKey::new(certificate, key).unwrap());
    let mut message = octets(MESSAGE);
    let open = |message: &[u8]| {
        let ours = Answer::Found(vec![secret.clone()]);
        sealing::cms::decrypt(&mut { message }, |_| ours, &Spill::default(), &Limits::default())
    };
    assert_eq!(open(&message).unwrap().content.to_vec().unwrap(), b"hello from bc");
    let material = (1..=16).collect::<Vec<u8>>();
    let at = message.windows(16).position(|window| window == material).unwrap();
    message[at] ^= 1;
    assert!(open(&message).is_err());
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    signer.sign_oneshot_to_vec(data).unwrap()
}

/// A message to X25519 opened by hand, step by step as RFC 8418 sections 2.2 and 3 and RFC 5753 section 7.2
/// say, from octets written out: RFC 8418 has no test vector, and BouncyCastle 1.72 and OpenSSL 3.0 do
/// not have its schemes.
#[test]
fn x25519_is_what_rfc_8418_says() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::X25519);
    let message = encrypt(&[&alice], KeyTransport::Oaep, ContentCipher::Aes256Gcm, TEXT);
    let behind = |mark: &[u8], length: usize| {
        let at = message.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len();
        message[at..at + length].to_vec()
    };
    // OriginatorPublicKey: id-X25519 without parameters, BIT STRING.
    let point = behind(&octets("300506032b656e032100"), 32);
    // dhSinglePass-stdDH-hkdf-sha256-scheme with id-aes256-wrap; then the recipients.
    let scheme = "301a060b2a864886f70d0109100313300b060960864801650304012d";
    let keys = behind(&octets(scheme), 4);
    assert_eq!(keys[0], 0x30);
    let wrapped = behind(&[0x04, 0x28], 40);

    let theirs = PKey::public_key_from_raw_bytes(&point, Id::X25519).unwrap();
    let mut deriver = Deriver::new(alice.secret.key()).unwrap();
    deriver.set_peer(&theirs).unwrap();
    let prk = hmac(&[0; 32], &deriver.derive_to_vec().unwrap());
    // ECC-CMS-SharedInfo: id-aes256-wrap, [2] 256.
    let info = octets("3015300b060960864801650304012da206040400000100");
    let kek = hmac(&prk, &[&info[..], &[1]].concat());
    let mut content_key = [0; 32];
    let kek = aes::AesKey::new_decrypt(&kek).unwrap();
    aes::unwrap_key(&kek, None, &mut content_key, &wrapped).unwrap();
    let nonce = behind(&[0x30, 0x11, 0x04, 0x0c], 12);
    let (content, tag) = message[message.len() - 18 - TEXT.len()..].split_at(TEXT.len());
    let cipher = symm::Cipher::aes_256_gcm();
    let opened = symm::decrypt_aead(cipher, &content_key, Some(&nonce), &[], content, &tag[2..]).unwrap();
    assert_eq!(opened, TEXT);
}

/// Test only.
const KEY: &str = "\
     308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420703bc1f433601f50e0c9d87f\
     c9321c3e6abac5f1520addd4b32301ccfe2fc0aba14403420004c3a02de7610ba33907d9e1f23605ce74f89df4eed351\
     5d26c021252f7f00b69e4d3e3ea6193fd520b1cc376bd0a2f8d3a886417a87c758de8ec13d680fc9e560";
const CERTIFICATE: &str = "\
     3082019e30820144a00302010202104df48da333b3e08e9601cf0c751e3d4b300a06082a8648ce3d040302302b311230\
     10060355040a0c0954657374206f6e6c793115301306035504030c0c54657374206f6e6c79204341301e170d32363131\
     32313131353734385a170d3236313232313131353734385a302431123010060355040a0c0954657374206f6e6c79310e\
     300c06035504030c05616c6963653059301306072a8648ce3d020106082a8648ce3d03010703420004c3a02de7610ba3\
     3907d9e1f23605ce74f89df4eed3515d26c021252f7f00b69e4d3e3ea6193fd520b1cc376bd0a2f8d3a886417a87c758\
     de8ec13d680fc9e560a351304f300e0603551d0f0101ff040403020308301e0603551d11041730158113616c69636540\
     616c7068612e6578616d706c65301d0603551d0e04160414c8cd5fc60abf425f10a16cdff75af8ea5d7619a6300a0608\
     2a8648ce3d0403020348003045022100ce03bd2bb252c4dd33f178954f5e90520e8cbf88d845e3ab920b814085f79dee\
     022074c8cd259a784e2756c71b6f06389351c19293ae84046912cea4cba5599aee3f";
const MESSAGE: &str = "\
     308006092a864886f70d010703a08030800201023181fda181fa020103a05ba159301306072a8648ce3d020106082a86\
     48ce3d0301070342000467ff0811e4d0f358eb078b562c1547bfc6b8166b18721a48b12388c7d627cb7f329f1d251c19\
     fdb48207b867375288b38f9eac6e6a55aa0eb2a8dcdc93118f25a11204100102030405060708090a0b0c0d0e0f103015\
     06062b8104010b01300b060960864801650304012d306d306b303f302b31123010060355040a0c0954657374206f6e6c\
     793115301306035504030c0c54657374206f6e6c7920434102104df48da333b3e08e9601cf0c751e3d4b0428b5c83755\
     f7b91642770db9df1b3384522334609185cf61348ceed7a50275a8c42de8490ba76c38eb308006092a864886f70d0107\
     01301d060960864801650304012a041084441024481b278a6a514958958a2ca6801016ad664575556bf130b6de041cbe\
     37760000000000000000";
