//! How protection looks: the form of S/MIME mail, and how much of the header section is protected.
//!
//! These settings never decide whether mail is protected, only in which of the forms that the standards allow.

use serde::Deserialize;
use serde::Serialize;

use crate::section::Section;

/// Declares a setting whose values are words in the configuration.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident, $default:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Names and values, as in the configuration.
            pub const CHOICES: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];
        }

        impl Default for $name {
            fn default() -> Self {
                Self::$default
            }
        }
    };
}

choice! {
    /// How S/MIME signatures are carried (RFC 8551 section 3.5).
    SignedForm, Clear {
        /// `multipart/signed`: software without S/MIME shows the text. A relay that rewrites the body breaks it.
        Clear = "clear",
        /// `application/pkcs7-mime` SignedData: nothing rewrites it, and only S/MIME software shows it.
        Opaque = "opaque",
    }
}

choice! {
    /// The content encryption of S/MIME mail.
    ContentCipher, Announced {
        /// AES-256-GCM if every recipient announces it, AES-256-CBC otherwise.
        Announced = "announced",
        /// AES-256-GCM (RFC 5084), whatever is announced.
        Gcm = "gcm",
        /// AES-256-CBC, which every client reads.
        Cbc = "cbc",
    }
}

choice! {
    /// How the key of S/MIME mail is encrypted to RSA certificates.
    KeyTransport, Announced {
        /// RSAES-OAEP to those who announce it, PKCS #1 v1.5 otherwise.
        Announced = "announced",
        /// RSAES-OAEP with SHA-256 (RFC 8017), whatever is announced.
        Oaep = "oaep",
        /// RSAES-PKCS1-v1_5, which every client reads.
        Pkcs1 = "pkcs1",
    }
}

choice! {
    /// How RSA keys sign S/MIME mail.
    RsaSignature, Pkcs1 {
        /// RSASSA-PKCS1-v1_5, which every client verifies.
        Pkcs1 = "pkcs1",
        /// RSASSA-PSS with SHA-256 (RFC 4056).
        Pss = "pss",
    }
}

choice! {
    /// How domain signatures are nested (RFC 3183).
    Nesting, Flat {
        /// The signature stands directly over the message, as ordinary clients show it.
        Flat = "flat",
        /// Strictly after RFC 3183: by encapsulation, with an empty layer inside where the author did not sign.
        /// Ordinary clients do not show such mail; only for partners whose gateway asks for it.
        Rfc3183 = "rfc3183",
    }
}

choice! {
    /// How header fields are protected (RFC 9788).
    HeaderProtection, Off {
        /// Not at all.
        Off = "off",
        /// They are signed or encrypted with the body and stay readable outside.
        Signed = "signed",
        /// The Subject is hidden in encrypted mail: `hcp_baseline`, RFC 9788 section 3.2.1.
        Baseline = "baseline",
        /// Also display names and the time zone are hidden: `hcp_shy`, RFC 9788 section 3.2.2.
        Shy = "shy",
        /// Everything is hidden that transport does not need: outside stand the address in From, Date, Message-ID and
        /// `[...]`. Also for mail that its author signed.
        Strict = "strict",
    }
}

choice! {
    /// How the key of a password message is derived (RFC 9580 section 3.7.1).
    PasswordForm, Iterated {
        /// Iterated and salted: `gpg -d` opens it.
        Iterated = "iterated",
        /// Argon2: stronger, and GnuPG cannot open it.
        Argon2 = "argon2",
    }
}

/// How the protection of one message looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Style {
    /// `smime_signature`.
    pub signed: SignedForm,
    /// `smime_cipher`.
    pub cipher: ContentCipher,
    /// `smime_key_transport`.
    pub transport: KeyTransport,
    /// `smime_rsa_signature`.
    pub rsa: RsaSignature,
    /// `domain_signature`.
    pub nesting: Nesting,
    /// `protect_header`.
    pub header: HeaderProtection,
    /// `password_form`.
    pub password: PasswordForm,
}

/// What one scope or rule says about the style; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct StyleChanges {
    signed: Option<SignedForm>,
    cipher: Option<ContentCipher>,
    transport: Option<KeyTransport>,
    rsa: Option<RsaSignature>,
    nesting: Option<Nesting>,
    header: Option<HeaderProtection>,
    password: Option<PasswordForm>,
}

impl StyleChanges {
    pub(crate) fn take(section: &mut Section) -> Self {
        Self {
            signed: section.take_choice("smime_signature", SignedForm::CHOICES).map(|v| v.value),
            cipher: section.take_choice("smime_cipher", ContentCipher::CHOICES).map(|v| v.value),
            transport: section.take_choice("smime_key_transport", KeyTransport::CHOICES).map(|v| v.value),
            rsa: section.take_choice("smime_rsa_signature", RsaSignature::CHOICES).map(|v| v.value),
            nesting: section.take_choice("domain_signature", Nesting::CHOICES).map(|v| v.value),
            header: section.take_choice("protect_header", HeaderProtection::CHOICES).map(|v| v.value),
            password: section.take_choice("password_form", PasswordForm::CHOICES).map(|v| v.value),
        }
    }

    /// Lets what is said here win over what is said already.
    pub(crate) fn overlay(&self, style: &mut Style) {
        fn put<T: Copy>(said: Option<T>, place: &mut T) {
            if let Some(value) = said {
                *place = value;
            }
        }
        put(self.signed, &mut style.signed);
        put(self.cipher, &mut style.cipher);
        put(self.transport, &mut style.transport);
        put(self.rsa, &mut style.rsa);
        put(self.nesting, &mut style.nesting);
        put(self.header, &mut style.header);
        put(self.password, &mut style.password);
    }
}
