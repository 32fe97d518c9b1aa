//! Key transport with RSA: PKCS#1 v1.5 and OAEP (RFC 3370 section 4.2.1, RFC 3560).

use std::hint::black_box;

use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::md::MdRef;
use openssl::pkey::PKey;
use openssl::pkey::PKeyRef;
use openssl::pkey::Private;
use openssl::pkey::Public;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use zeroize::Zeroizing;

use super::super::algorithm::Algorithm;
use super::super::ber::BerError;
use super::super::ber::Tag;
use super::super::der_write;
use super::super::oid;
use super::KeyTransport;
use super::Refusal;

/// Names the algorithm that [`encrypt`] uses.
pub(crate) fn algorithm(transport: KeyTransport) -> Algorithm {
    match transport {
        KeyTransport::Pkcs1v15 => Algorithm::with(oid::RSA, der_write::NULL),
        KeyTransport::Oaep => {
            // RFC 4055 section 2.1: the identifiers of digests carry NULL.
            let sha256 = Algorithm::with(oid::SHA256, der_write::NULL).to_der();
            let mgf1 = Algorithm::with(oid::MGF1, sha256.as_slice()).to_der();
            let hash = der_write::explicit(0, &sha256);
            let mask = der_write::explicit(1, &mgf1);
            Algorithm::with(oid::RSA_OAEP, der_write::sequence(&[&hash, &mask]))
        }
    }
}

/// Encrypts a content key.
pub(crate) fn encrypt(
    key: &PKey<Public>,
    transport: KeyTransport,
    content_key: &[u8],
) -> Result<Vec<u8>, ErrorStack> {
    let mut context = PkeyCtx::new(key)?;
    context.encrypt_init()?;
    match transport {
        KeyTransport::Pkcs1v15 => context.set_rsa_padding(Padding::PKCS1)?,
        KeyTransport::Oaep => set_oaep(&mut context, Md::sha256(), Md::sha256())?,
    }
    let mut encrypted = Vec::new();
    context.encrypt_to_vec(content_key, &mut encrypted)?;
    Ok(encrypted)
}

/// Decrypts a content key that was encrypted with OAEP.
pub(crate) fn decrypt_oaep(
    key: &PKeyRef<Private>,
    algorithm: &Algorithm,
    encrypted: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let parameters = OaepParameters::read(algorithm)?;
    let decrypt = || {
        let mut context = PkeyCtx::new(key)?;
        context.decrypt_init()?;
        set_oaep(&mut context, parameters.digest, parameters.mask_digest)?;
        if !parameters.label.is_empty() {
            context.set_rsa_oaep_label(&parameters.label)?;
        }
        let mut content_key = Zeroizing::new(Vec::new());
        context.decrypt_to_vec(encrypted, &mut content_key)?;
        Ok(content_key)
    };
    decrypt().map_err(|_: ErrorStack| Refusal::Wrong)
}

/// Decrypts a content key of `length` octets that was encrypted with PKCS#1 v1.5, for one of several
/// keys; gives it and the place of the key that fitted.
///
/// Whether the padding was right must not show, not by an answer and not by the time it takes, or
/// whoever sends us messages can decrypt with our key (RFC 3218 section 2.3.2). So the unpadded octets
/// come from the library and are looked at without branches; if no key fits, a random content key comes
/// out, and the content fails like content that was changed.
pub(crate) fn decrypt_pkcs1(
    candidates: &[(&PKeyRef<Private>, &[u8])],
    length: usize,
) -> Result<(Zeroizing<Vec<u8>>, usize), ErrorStack> {
    let mut chosen = Zeroizing::new(vec![0; length]);
    openssl::rand::rand_bytes(&mut chosen)?;
    let mut place = 0_u32;
    let mut found = 0_u32;
    for (index, (key, encrypted)) in (0_u32..).zip(candidates) {
        let Some(block) = raw_block(key, encrypted) else { continue };
        let Some((padding, content_key)) = block.split_at_checked(block.len().saturating_sub(length)) else {
            continue;
        };
        if content_key.len() != length || padding.len() < 11 {
            continue;
        }
        let take = black_box(padding_mask(padding) & !found);
        found |= take;
        place = (place & !take) | (index & take);
        for (old, new) in chosen.iter_mut().zip(content_key) {
            *old = (*old & !(take as u8)) | (new & take as u8);
        }
    }
    Ok((chosen, place as usize))
}

/// All ones if these octets are `00 02`, at least eight that are not zero, and `00`; else zero.
fn padding_mask(padding: &[u8]) -> u32 {
    let [first, second, random @ .., last] = padding else { return 0 };
    let mut wrong = u32::from(*first) | (u32::from(*second) ^ 2) | u32::from(*last);
    for octet in random {
        wrong |= zero_mask(u32::from(*octet));
    }
    zero_mask(black_box(wrong))
}

/// All ones for zero, else zero.
fn zero_mask(value: u32) -> u32 {
    ((value | value.wrapping_neg()) >> 31).wrapping_sub(1)
}

/// The octets that were encrypted, with their padding; `None` if the input cannot come from this key,
/// which everybody can see.
fn raw_block(key: &PKeyRef<Private>, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let size = key.size();
    let missing = size.checked_sub(encrypted.len())?;
    let input = [vec![0; missing].as_slice(), encrypted].concat();
    let mut context = PkeyCtx::new(key).ok()?;
    context.decrypt_init().ok()?;
    context.set_rsa_padding(Padding::NONE).ok()?;
    let mut block = Zeroizing::new(Vec::with_capacity(size));
    context.decrypt_to_vec(&input, &mut block).ok()?;
    (block.len() == size).then_some(block)
}

fn set_oaep<T>(context: &mut PkeyCtx<T>, digest: &MdRef, mask: &MdRef) -> Result<(), ErrorStack> {
    context.set_rsa_padding(Padding::PKCS1_OAEP)?;
    context.set_rsa_oaep_md(digest)?;
    context.set_rsa_mgf1_md(mask)
}

/// RSAES-OAEP-params (RFC 4055 section 4.1).
struct OaepParameters {
    digest: &'static MdRef,
    mask_digest: &'static MdRef,
    label: Vec<u8>,
}

impl OaepParameters {
    fn read(algorithm: &Algorithm) -> Result<OaepParameters, Refusal> {
        let mut out = OaepParameters { digest: Md::sha1(), mask_digest: Md::sha1(), label: Vec::new() };
        let mut ber = algorithm.parameters();
        if ber.peek()?.is_none() {
            return Ok(out);
        }
        ber.enter(Tag::SEQUENCE)?;
        if ber.enter_if(Tag::context(0))? {
            out.digest = digest(&Algorithm::read(&mut ber)?.oid)?;
            ber.leave()?;
        }
        if ber.enter_if(Tag::context(1))? {
            let mask = Algorithm::read(&mut ber)?;
            if mask.oid != oid::MGF1 {
                return Err(Refusal::unsupported("mask generation function", &mask.oid));
            }
            out.mask_digest = digest(&Algorithm::read(&mut mask.parameters())?.oid)?;
            ber.leave()?;
        }
        if ber.enter_if(Tag::context(2))? {
            let source = Algorithm::read(&mut ber)?;
            if source.oid != oid::P_SPECIFIED {
                return Err(Refusal::unsupported("source of the OAEP label", &source.oid));
            }
            out.label = source.parameters().octet_string(Tag::OCTET_STRING)?;
            ber.leave()?;
        }
        ber.leave()?;
        Ok(out)
    }
}

fn digest(oid: &[u8]) -> Result<&'static MdRef, Refusal> {
    match oid {
        oid::SHA1 => Ok(Md::sha1()),
        oid::SHA224 => Ok(Md::sha224()),
        oid::SHA256 => Ok(Md::sha256()),
        oid::SHA384 => Ok(Md::sha384()),
        oid::SHA512 => Ok(Md::sha512()),
        other => Err(Refusal::unsupported("digest", other)),
    }
}

impl From<BerError> for Refusal {
    /// The parameters were read from memory: whatever is wrong is wrong with them.
    fn from(_: BerError) -> Refusal {
        Refusal::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_recognised_without_a_branch_on_it() {
        assert_eq!(zero_mask(0), u32::MAX);
        for value in [1, 2, 0x80, 0xff, 0x8000_0000, u32::MAX] {
            assert_eq!(zero_mask(value), 0);
        }
        let good = [0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0];
        assert_eq!(padding_mask(&good), u32::MAX);
        for place in 0..good.len() {
            let mut bad = good;
            bad[place] = if (2..10).contains(&place) { 0 } else { 9 };
            assert_eq!(padding_mask(&bad), 0, "{place}");
        }
    }
}
