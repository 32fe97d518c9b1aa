//! gpgsm 2.2 with a home of its own that trusts the world's root.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use mail::Message;
use mail::Spill;

use crate::matrix::object_of;
use crate::world::*;

pub struct Gpgsm {
    home: tempfile::TempDir,
}

impl Gpgsm {
    pub fn new(world: &World) -> Gpgsm {
        // gpg-agent's socket path must be short.
        let home = tempfile::Builder::new().prefix("gs").tempdir_in("/tmp").unwrap();
        let gpgsm = Gpgsm { home };
        gpgsm.put(
            "gpgsm.conf",
            b"disable-crl-checks\ndisable-policy-checks\ndisable-dirmngr\nno-secmem-warning\n",
        );
        gpgsm.put("gpg-agent.conf", b"allow-loopback-pinentry\ns2k-count 65536\n");
        let root = openssl::x509::X509::from_pem(&world.read("root.pem")).unwrap();
        let digest = root.digest(openssl::hash::MessageDigest::sha1()).unwrap();
        let hex: String = digest.iter().map(|octet| format!("{octet:02X}")).collect();
        gpgsm.put("trustlist.txt", format!("{hex} S relax\n").as_bytes());
        gpgsm.put("passphrase", b"test\n");
        gpgsm.run(&["--import", world.path("root.pem").to_str().unwrap()]).unwrap();
        gpgsm
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("gpgsm");
        command.arg("--homedir").arg(self.home.path()).args([
            "--batch",
            "--yes",
            "--no-tty",
            "--status-fd",
            "2",
        ]);
        command.args(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]).args(arguments);
        command
            .current_dir(self.home.path())
            .stdin(Stdio::from(fs::File::open(self.path("passphrase")).unwrap()));
        command.output().expect("gpgsm is needed")
    }

    /// Its standard output, or its status lines and complaints.
    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let output = self.output(arguments);
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Certificate and key. Now and then gpgsm 2.2 cannot decrypt a PKCS #12 file; the next one has another salt.
    pub fn import(&self, world: &World, person: &Person) {
        let name = &person.name;
        let import = || {
            world.openssl(&format!(
                "pkcs12 -export -in {name}.pem -inkey {name}.key -passout pass:test -keypbe PBE-SHA1-3DES \
                 -certpbe PBE-SHA1-3DES -macalg sha1 -out {name}.p12"
            ));
            self.run(&["--import", world.path(&format!("{name}.p12")).to_str().unwrap()])
        };
        import().or_else(|_| import()).or_else(|_| import()).or_else(|_| import()).unwrap();
    }

    pub fn import_certificate(&self, world: &World, person: &Person) {
        self.run(&["--import", world.path(&format!("{}.pem", person.name)).to_str().unwrap()]).unwrap();
    }

    /// As gpgsm names a certificate.
    fn user(person: &Person) -> String {
        let digest =
            openssl::hash::hash(openssl::hash::MessageDigest::sha1(), person.certificate().der()).unwrap();
        digest.iter().map(|octet| format!("{octet:02X}")).collect()
    }

    pub fn sign(&self, signer: &Person, content: &[u8], more: &[&str]) -> Vec<u8> {
        self.put("content", content);
        let user = Gpgsm::user(signer);
        let more = if more.is_empty() { &["--sign"] } else { more };
        self.run(&[&["-o", "-", "-u", &user], more, &["content"]].concat()).unwrap()
    }

    pub fn encrypt(&self, _: &World, people: &[&Person], content: &[u8]) -> Result<Vec<u8>, String> {
        self.put("content", content);
        let users: Vec<_> = people.iter().map(|person| Gpgsm::user(person)).collect();
        let mut arguments = vec!["--cipher-algo", "AES256", "-o", "-"];
        users.iter().for_each(|user| arguments.extend(["--recipient", user]));
        arguments.extend(["--encrypt", "content"]);
        self.run(&arguments)
    }

    /// Decrypts a whole message and verifies the signature inside.
    pub fn opens(&self, _: &World, message: &Message) -> Result<(), String> {
        self.put("sealed.p7m", &object_of(message));
        let _ = fs::remove_file(self.path("inner"));
        match self.run(&["-o", "inner", "--decrypt", "sealed.p7m"]) {
            // A recipient without a key here is an error to gpgsm, even if another key opens the message.
            Err(complaint) if !complaint.contains("DECRYPTION_OKAY") => return Err(complaint),
            _ => {}
        }
        let inner = Message::parse(&fs::read(self.path("inner")).unwrap());
        let spill = Spill::default();
        let children = inner.entity().children(&mail::Limits::default()).unwrap();
        let verified = match &children[..] {
            [signed, signature] => {
                self.put("signed", &signed.raw().to_vec().unwrap());
                self.put("signature.p7s", &signature.decoded(&spill).unwrap().to_vec().unwrap());
                self.output(&["--verify", "signature.p7s", "signed"])
            }
            _ => {
                self.put("signed.p7m", &object_of(&inner));
                self.output(&["-o", "plain", "--verify", "signed.p7m"])
            }
        };
        let status = String::from_utf8_lossy(&verified.stderr).into_owned();
        let content = if children.len() == 2 { "signed" } else { "plain" };
        let same = fs::read(self.path(content)).unwrap_or_default() == entity(&text_letter());
        let good = verified.status.success() && status.contains("GOODSIG") && status.contains("TRUST_FULLY");
        if good && same { Ok(()) } else { Err(status) }
    }
}

impl Drop for Gpgsm {
    fn drop(&mut self) {
        let _ =
            Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}
