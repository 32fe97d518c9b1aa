//! Cryptographic Message Syntax (RFC 5652): the binary objects inside S/MIME.
//!
//! What is written is DER with definite lengths. What is read is BER, as a stream: the octets of the
//! content are never held in memory as a whole, and everything that is not content is limited.

mod ber;
