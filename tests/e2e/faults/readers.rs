//! Those at beta.example who must get everything encrypted, with the software that opens it.

use std::path::PathBuf;

use tests::Gpg;
use tests::Pki;
use tests::armored_message;
use tests::free_port;
use tests::pki::Issued;
use tests::pki::Leaf;

use super::letter::BOB;
use super::letter::ERIN;
use super::world::World;
use crate::smime::people::decrypt;
use crate::smime::revocation;

/// Bob and Erin.
pub(super) enum Readers {
    /// With GnuPG.
    Openpgp(Gpg),
    /// With openssl, and certificates of an authority of theirs.
    Smime {
        /// Their authority.
        pki: Pki,
        /// Bob's certificate and key.
        bob: Issued,
        /// Erin's.
        erin: Issued,
    },
}

impl Readers {
    /// What somebody finds in an encrypted mail.
    ///
    /// # Panics
    /// If it is not encrypted to exactly those who got it, or cannot be opened.
    pub(super) fn open(&self, to: &[String], mail: &[u8]) -> String {
        let opened = match self {
            Self::Openpgp(keys) => keys.decrypt(armored_message(mail).expect("it is encrypted")).plaintext,
            Self::Smime { pki, bob, erin } => {
                let who = match to {
                    [one] if one == BOB => bob,
                    [one] if one == ERIN => erin,
                    others => panic!("for {others:?}"),
                };
                decrypt(pki, who, mail).unwrap()
            }
        };
        String::from_utf8_lossy(&opened).into_owned()
    }
}

impl World {
    /// The authority of Bob, Erin and everybody else who is not ours.
    pub(super) fn pki(&self) -> &Pki {
        match &self.readers {
            Readers::Smime { pki, .. } => pki,
            Readers::Openpgp(_) => panic!("a world without S/MIME"),
        }
    }

    /// A world with S/MIME: a local authority for alpha.example, from which the two authorities of the domain
    /// (RFC 3183) have their certificates; all mail is signed, and mail to beta.example is encrypted to
    /// certificates of another authority. With more lines in the section `[smime]`; LISTS is the directory of that
    /// authority's revocation list.
    pub(super) fn smime(lines: &str) -> Self {
        let pki = Pki::new();
        let [bob, erin] = [("bob", BOB), ("erin", ERIN)].map(|(stem, address)| {
            let addresses = [address];
            pki.issue(stem, &Leaf::user(&addresses))
        });
        std::fs::create_dir(pki.path("lists")).unwrap();
        std::fs::write(pki.path("lists/root.crl"), revocation::list(&pki)).unwrap();
        let url = format!("127.0.0.1:{}", free_port());
        let policy = format!(
            "[policy]\nsign = \"always\"\n[ca]\norganisation = \"Alpha\"\nurl = \"http://{url}\"\nlisten = \"{url}\"\n\
             [smime]\nanchors = [\"{root}\"]\n{lines}",
            root = pki.root().display(),
            lines = lines.replace("LISTS", &pki.path("lists").to_string_lossy()),
        );
        let world = Self::of(&policy, Readers::Smime { pki, bob, erin });
        world.gatepost.command(&["ca", "init"]).success();
        if let Readers::Smime { bob, erin, .. } = &world.readers {
            for issued in [bob, erin] {
                let certificate = issued.certificate.to_string_lossy();
                world.gatepost.command(&["keys", "import", &certificate]).success();
            }
        }
        world
    }

    /// Lets the local authority issue, and gives the fingerprint.
    pub(super) fn issue(&self, profile: &str, subject: &str) -> String {
        let ran = self.command(&["ca", "issue", profile, subject, "--json"]).success();
        let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        told[0]["fingerprint"].as_str().unwrap().to_owned()
    }

    /// The file of an S/MIME key in custody.
    pub(super) fn key_file(&self, fingerprint: &str) -> PathBuf {
        self.state("secrets").join(format!("{fingerprint}.smime"))
    }
}
