//! Requests for certificates that somebody else made (PKCS#10, RFC 2986).

use openssl::x509::X509Req;

use super::AuthorityError;

/// Largest request that is read, bytes.
const MAX_REQUEST: usize = 64 << 10;

/// The public key of a request, DER or PEM, whose maker has proved to hold the secret half. The names in the
/// request are ignored: the administrator says whom the certificate is for.
///
/// # Errors
/// If it is no request or its signature does not hold.
pub fn requested_key(request: &[u8]) -> Result<Vec<u8>, AuthorityError> {
    let invalid =
        |value: &str| AuthorityError::Invalid { what: "certificate request", value: value.to_owned() };
    if request.len() > MAX_REQUEST {
        return Err(invalid("larger than 64 KiB"));
    }
    let read = match request.first() {
        Some(0x30) => X509Req::from_der(request),
        _ => X509Req::from_pem(request),
    };
    let read = read.map_err(|_| invalid("malformed"))?;
    let key = read.public_key().map_err(|_| invalid("with an unknown kind of key"))?;
    match read.verify(&key) {
        Ok(true) => Ok(key.public_key_to_der()?),
        _ => Err(invalid("with a signature that does not hold")),
    }
}
