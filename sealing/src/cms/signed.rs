//! SignedData (RFC 5652 section 5): proving who wrote a content.
//!
//! [`sign_detached`], [`sign_opaque`] and [`empty_layer`] write it, [`verify_detached`] and
//! [`verify_opaque`] read it. A signature that holds says that the owner of a certificate signed exactly
//! these octets. Whether that certificate may be believed, at what time and for which address is **not**
//! judged here.

mod attributes;
mod capabilities;
mod digest;
mod element;
mod encryption_key;
mod expansion;
mod flaw;
mod judge;
mod oid;
mod sign;
mod signature;
mod signature_type;
mod signer_info;
mod signing_certificate;
mod signing_time;
mod verify;

pub use capabilities::Capabilities;
pub use expansion::Expansion;
pub use expansion::ListExpansion;
pub use judge::SignerResult;
pub use sign::OpaqueSigned;
pub use sign::SignError;
pub use sign::Signer;
pub use sign::empty_layer;
pub use sign::micalg;
pub use sign::sign_detached;
pub use sign::sign_opaque;
pub use signature_type::SignatureType;
pub use verify::Verified;
pub use verify::VerifyError;
pub use verify::verify_detached;
pub use verify::verify_opaque;
