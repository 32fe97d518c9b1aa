use rcgen::{CertificateParams, KeyPair};

use super::*;

struct Files(tempfile::TempDir);

impl Files {
    fn write(&self, name: &str) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let files = self.names(name);
        fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn names(&self, name: &str) -> TlsFiles {
        let path = |end: &str| self.0.path().join(format!("{name}.{end}"));
        TlsFiles { certificate: path("pem"), key: path("key") }
    }
}

fn leaf(certificates: &Certificates) -> Vec<u8> {
    certificates.pairs.load()[0].key.cert[0].to_vec()
}

#[test]
fn a_name_gets_its_certificate() {
    let files = Files(tempfile::tempdir().unwrap());
    let pairs = read(&[files.write("a.example"), files.write("*.b.example")]).unwrap();
    let name = |text: &str| ServerName::try_from(text.to_owned()).unwrap();
    assert!(is_for(&pairs[0].key, &name("a.example")) && !is_for(&pairs[0].key, &name("x.b.example")));
    assert!(is_for(&pairs[1].key, &name("x.b.example")) && !is_for(&pairs[1].key, &name("b.example")));
    assert!(pairs[0].end.is_some());
}

#[test]
fn what_is_no_use_leaves_the_old_in_use() {
    let files = Files(tempfile::tempdir().unwrap());
    let list = [files.write("a.example")];
    let certificates = Certificates::load(&list).unwrap();
    assert!(certificates.server_config().is_ok() && certificates.end().is_some());
    let (old, stamp) = (leaf(&certificates), Stamp::of(&list));
    // Only the certificate was replaced yet.
    let other = files.write("other.example");
    fs::copy(&other.certificate, &list[0].certificate).unwrap();
    assert_ne!(Stamp::of(&list), stamp);
    assert!(matches!(certificates.reload(&list), Err(TlsError::Pair { .. })));
    assert_eq!(leaf(&certificates), old);
    fs::copy(&other.key, &list[0].key).unwrap();
    certificates.reload(&list).unwrap();
    assert_ne!(leaf(&certificates), old);
    for broken in ["", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
        fs::write(&list[0].certificate, broken).unwrap();
        assert!(matches!(certificates.reload(&list), Err(TlsError::Read { .. })), "{broken}");
    }
}
