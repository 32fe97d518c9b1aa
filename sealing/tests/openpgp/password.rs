//! Password messages, opened by Sequoia with nothing but the password.

use mail::Message;
use mail::Spill;
use mail::apply;
use sealing::openpgp::PasswordForm;
use sealing::openpgp::PasswordSeal;
use sealing::openpgp::seal_with_password;
use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::KeyHandle;
use pgp::crypto::Password;
use pgp::crypto::SessionKey;
use pgp::packet::PKESK;
use pgp::packet::SKESK;
use pgp::parse::Parse;
use pgp::parse::stream::DecryptionHelper;
use pgp::parse::stream::DecryptorBuilder;
use pgp::parse::stream::MessageStructure;
use pgp::parse::stream::VerificationHelper;
use pgp::policy::StandardPolicy;
use pgp::types::SymmetricAlgorithm;

const MESSAGE: &[u8] =
    b"From: alice@alpha.example\r\nTo: eve@outside.example\r\nSubject: offer\r\n\r\nthe vault opens at nine\r\n";

struct Knows {
    password: Password,
    versions: Vec<u8>,
}

impl VerificationHelper for &mut Knows {
    fn get_certs(&mut self, _: &[KeyHandle]) -> pgp::Result<Vec<Cert>> {
        Ok(Vec::new())
    }

    fn check(&mut self, _: MessageStructure<'_>) -> pgp::Result<()> {
        Ok(())
    }
}

impl DecryptionHelper for &mut Knows {
    fn decrypt(
        &mut self,
        _: &[PKESK],
        skesks: &[SKESK],
        _: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> pgp::Result<Option<Cert>> {
        for skesk in skesks {
            self.versions.push(skesk.version());
            let (algorithm, key) = match skesk {
                SKESK::V4(skesk) => {
                    let (algorithm, key) = skesk.decrypt(&self.password)?;
                    (Some(algorithm), key)
                }
                SKESK::V6(skesk) => (None, skesk.decrypt(&self.password)?),
                _ => continue,
            };
            if decrypt(algorithm, &key) {
                return Ok(None);
            }
        }
        Err(anyhow::anyhow!("wrong password"))
    }
}

fn open(armored: &str, password: &str) -> (pgp::Result<Vec<u8>>, Vec<u8>) {
    let policy = StandardPolicy::new();
    let mut knows = Knows { password: password.into(), versions: Vec::new() };
    let plain = DecryptorBuilder::from_bytes(armored.as_bytes())
        .and_then(|builder| builder.with_policy(&policy, None, &mut knows))
        .and_then(|mut decryptor| {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut decryptor, &mut plain)?;
            Ok(plain)
        });
    (plain, knows.versions)
}

#[test]
fn both_forms_are_opened_by_the_password_and_by_nothing_else() {
    for (form, version) in [(PasswordForm::Iterated, 4), (PasswordForm::Argon2, 6)] {
        let message = Message::parse(MESSAGE);
        let spec =
            PasswordSeal {
                password: "correct horse", form, signer: None, cover: "Open it – so.\n", now: 0
            };
        let edits = seal_with_password(&message, &spec, &Spill::default()).unwrap();
        let sealed = apply(&message, &edits, &Spill::default()).unwrap();
        assert_eq!(sealed.subject(), "offer");
        let text = String::from_utf8(sealed.to_vec().unwrap()).unwrap();
        assert!(!text.contains("vault") && text.contains("Open it"), "{text}");
        let start = text.find("-----BEGIN PGP MESSAGE").unwrap();
        let (plain, versions) = open(&text[start..], "correct horse");
        assert_eq!(plain.unwrap(), MESSAGE, "every byte of the message");
        assert_eq!(versions, [version]);
        assert!(open(&text[start..], "wrong").0.is_err());
    }
}
