//! Keys that come and go as PKCS#12 files (RFC 7292).

use keydir::Certificate;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::stack::Stack;
use zeroize::Zeroizing;

use super::Custody;
use super::CustodyError;

/// Largest file that is read, bytes.
const MAX_FILE: usize = 1 << 20;
/// Rounds of PBKDF2 for files we write.
const ROUNDS: u32 = 100_000;
/// pbeWithSHAAnd128BitRC2-CBC and pbeWithSHAAnd40BitRC2-CBC (RFC 7292, C), as they lie in a file.
const RC2: [&[u8]; 2] = [
    &[0x06, 0x0a, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x05],
    &[0x06, 0x0a, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x06],
];

/// What a PKCS#12 file holds.
pub struct Pkcs12Content {
    /// The certificate of the key.
    pub certificate: Certificate,
    /// The secret key.
    pub key: PKey<Private>,
    /// Other certificates, as a rule the authorities above.
    pub chain: Vec<Certificate>,
}

impl std::fmt::Debug for Pkcs12Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pkcs12Content").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why a PKCS#12 file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs12Error {
    /// A certificate in it was refused.
    #[error("the PKCS#12 file holds a certificate that is refused")]
    Certificate(#[from] keydir::CertificateError),
    /// No key, or no certificate for it.
    #[error("the PKCS#12 file holds no {0}")]
    Incomplete(&'static str),
    /// The cryptographic library failed.
    #[error("the PKCS#12 file cannot be written")]
    Library(#[source] openssl::error::ErrorStack),
    /// The file is encrypted with RC2.
    #[error(
        "the PKCS#12 file is encrypted with RC2, which is broken; convert it: `openssl pkcs12 -legacy -in OLD.p12 \
         -nodes -out key.pem && openssl pkcs12 -export -in key.pem -out NEW.p12`, then delete key.pem"
    )]
    Legacy,
    /// Not a PKCS#12 file, larger than 1 MiB, or with an algorithm that is not supported.
    #[error("the PKCS#12 file is malformed or not supported: {0}")]
    Malformed(String),
    /// The password must not be empty nor hold a NUL.
    #[error("the password is empty or holds a NUL")]
    Password,
    /// Another password.
    #[error("wrong password, or the PKCS#12 file was altered")]
    WrongPassword,
}

/// Reads a PKCS#12 file with its password.
///
/// # Errors
/// [`Pkcs12Error::WrongPassword`] if the integrity check fails; the others if the file is not usable.
pub fn read_pkcs12(file: &[u8], password: &str) -> Result<Pkcs12Content, Pkcs12Error> {
    if file.len() > MAX_FILE {
        return Err(Pkcs12Error::Malformed(format!("{} bytes, at most {MAX_FILE} are accepted", file.len())));
    }
    if password.contains('\0') {
        return Err(Pkcs12Error::Password);
    }
    let parsed = Pkcs12::from_der(file).map_err(|error| Pkcs12Error::Malformed(error.to_string()))?;
    let parsed = parsed.parse2(password).map_err(|error| failure(file, &error))?;
    let read = |x509: &openssl::x509::X509Ref| -> Result<Certificate, Pkcs12Error> {
        let der = x509.to_der().map_err(|error| Pkcs12Error::Malformed(error.to_string()))?;
        Ok(Certificate::from_der(&der)?)
    };
    let key = parsed.pkey.ok_or(Pkcs12Error::Incomplete("secret key"))?;
    let certificate = read(&*parsed.cert.ok_or(Pkcs12Error::Incomplete("certificate of its key"))?)?;
    let chain = parsed.ca.iter().flatten().map(read).collect::<Result<_, _>>()?;
    Ok(Pkcs12Content { certificate, key, chain })
}

/// Writes a PKCS#12 file: AES-256-CBC with PBKDF2 and HMAC-SHA-256 (PBES2, RFC 8018), integrity by
/// HMAC-SHA-256.
///
/// # Errors
/// If the password is empty or holds a NUL, or the library fails.
pub fn write_pkcs12(
    content: &Pkcs12Content,
    name: &str,
    password: &str,
) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
    if password.is_empty() || password.contains('\0') {
        return Err(Pkcs12Error::Password);
    }
    let made = || {
        let mut chain = Stack::new()?;
        for certificate in &content.chain {
            chain.push(certificate.x509().to_owned())?;
        }
        Pkcs12::builder()
            .name(&name.replace('\0', " "))
            .pkey(&content.key)
            .cert(content.certificate.x509())
            .ca(chain)
            .key_algorithm(Nid::AES_256_CBC)
            .cert_algorithm(Nid::AES_256_CBC)
            .key_iter(ROUNDS)
            .mac_iter(ROUNDS)
            .mac_md(MessageDigest::sha256())
            .build2(password)?
            .to_der()
    };
    made().map(Zeroizing::new).map_err(Pkcs12Error::Library)
}

impl Custody {
    /// Writes the key of an S/MIME certificate as a PKCS#12 file for its holder; see [`write_pkcs12`].
    ///
    /// # Errors
    /// As [`Custody::get_smime`] and [`write_pkcs12`].
    pub fn export_pkcs12(
        &self,
        fingerprint: &str,
        chain: &[Certificate],
        password: &str,
    ) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        let key = self.get_smime(fingerprint)?;
        let certificate = key.certificate().clone();
        let name = certificate.addresses().first().cloned().unwrap_or_else(|| fingerprint.to_owned());
        let content = Pkcs12Content { certificate, key: key.key().clone(), chain: chain.to_vec() };
        Ok(write_pkcs12(&content, &name, password)?)
    }
}

/// Tells a wrong password from a broken algorithm from anything else.
fn failure(file: &[u8], error: &openssl::error::ErrorStack) -> Pkcs12Error {
    let reasons: Vec<&str> = error.errors().iter().filter_map(openssl::error::Error::reason).collect();
    if reasons.contains(&"mac verify failure") {
        Pkcs12Error::WrongPassword
    } else if RC2.iter().any(|oid| file.windows(oid.len()).any(|window| window == *oid)) {
        Pkcs12Error::Legacy
    } else {
        Pkcs12Error::Malformed(error.to_string())
    }
}
