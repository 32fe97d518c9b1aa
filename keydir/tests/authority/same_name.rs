//! Two authorities with the same name and different keys, made by OpenSSL: each one's revocation list counts for its
//! own certificates only, although both issue the same serial numbers.

use std::fs;
use std::process::Command;

use keydir::Anchors;
use keydir::Certificate;
use keydir::ChainError;
use keydir::Use;

use crate::world::now;

/// A root with one leaf, in a directory of its own.
struct Namesake {
    dir: tempfile::TempDir,
    root: Certificate,
    leaf: Certificate,
}

impl Namesake {
    /// The key identifiers in its revocation lists are optional (RFC 5280 demands them, some leave them out).
    fn new(identified: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let extensions = if identified { "crl_extensions=list" } else { "" };
        let config = format!(
            "[ca]\ndefault_ca=root\n[root]\ndatabase={0}/index.txt\ncertificate={0}/root.pem\n\
             private_key={0}/root.key\ndefault_md=sha256\ndefault_crl_days=1\n{extensions}\n\
             [list]\nauthorityKeyIdentifier=keyid:always\n",
            dir.path().display()
        );
        fs::write(dir.path().join("ca.cnf"), config).unwrap();
        fs::write(dir.path().join("index.txt"), "").unwrap();
        let leaf = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
                    extendedKeyUsage=emailProtection\nsubjectAltName=email:alice@alpha.example\n\
                    subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n";
        fs::write(dir.path().join("leaf.ext"), leaf).unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(
            &dir,
            &format!(
                "req -x509 {key} -keyout root.key -out root.pem -days 30 -subj /CN=Same -addext \
                 basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
            ),
        );
        openssl(&dir, &format!("req -new {key} -keyout leaf.key -out leaf.csr -subj /CN=Alice"));
        openssl(
            &dir,
            "x509 -req -in leaf.csr -CA root.pem -CAkey root.key -set_serial 4711 -days 30 -extfile leaf.ext \
             -out leaf.pem",
        );
        let read =
            |name: &str| Certificate::read_all(&fs::read(dir.path().join(name)).unwrap()).unwrap().remove(0);
        let (root, leaf) = (read("root.pem"), read("leaf.pem"));
        Self { dir, root, leaf }
    }

    fn revoke(&self) -> &Self {
        openssl(&self.dir, "ca -config ca.cnf -revoke leaf.pem");
        self
    }

    /// Its revocation list, PEM.
    fn list(&self) -> Vec<u8> {
        openssl(&self.dir, "ca -config ca.cnf -gencrl -out root.crl");
        fs::read(self.dir.path().join("root.crl")).unwrap()
    }

    /// Its revocation list with a signature that does not hold, DER.
    fn damaged_list(&self) -> Vec<u8> {
        self.list();
        openssl(&self.dir, "crl -in root.crl -outform DER -out root.der");
        let mut list = fs::read(self.dir.path().join("root.der")).unwrap();
        *list.last_mut().unwrap() ^= 1;
        list
    }
}

fn openssl(dir: &tempfile::TempDir, arguments: &str) {
    let ran = Command::new("openssl").args(arguments.split_whitespace()).current_dir(dir.path()).output();
    let ran = ran.expect("openssl is installed");
    assert!(ran.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// What is said about a leaf by anchors with these roots and lists: whether it was checked, or what is wrong.
fn judge(leaf: &Certificate, roots: &[&Namesake], lists: &[&[u8]]) -> Result<bool, ChainError> {
    let mut anchors = Anchors::none();
    for root in roots {
        anchors.add_anchor(root.root.clone()).unwrap();
    }
    for list in lists {
        anchors.add_crl(list).unwrap();
    }
    let first = anchors.verify(leaf, &[], now(), Use::Sign).map(|chain| chain.revocation_checked());
    let again = anchors.verify(leaf, &[], now(), Use::Sign).map(|chain| chain.revocation_checked());
    assert_eq!(first, again);
    first
}

#[test]
fn the_lists_of_two_authorities_of_one_name_are_told_apart() {
    for identified in [true, false] {
        let (ours, theirs) = (Namesake::new(identified), Namesake::new(identified));
        assert_eq!(ours.root.subject_der(), theirs.root.subject_der());
        assert_eq!(ours.leaf.serial(), theirs.leaf.serial());
        let (good, bad) = (ours.list(), theirs.revoke().list());
        let both = [&ours, &theirs];
        for lists in [[good.as_slice(), &bad], [bad.as_slice(), &good]] {
            assert_eq!(judge(&ours.leaf, &both, &lists), Ok(true), "identified: {identified}");
            let revoked = judge(&theirs.leaf, &both, &lists);
            assert!(matches!(revoked, Err(ChainError::Revoked { .. })), "{revoked:?}");
        }
        // The other's list alone: ours is not checked, and nothing waits for it.
        assert_eq!(judge(&ours.leaf, &both, &[&bad]), Ok(false), "identified: {identified}");
        assert_eq!(judge(&theirs.leaf, &both, &[&good]), Ok(false), "identified: {identified}");
    }
}

#[test]
fn a_list_that_nobody_known_signed_counts_against_those_whose_it_may_be() {
    for identified in [true, false] {
        let (ours, theirs) = (Namesake::new(identified), Namesake::new(identified));
        let foreign = theirs.list();
        // We do not know them. If the list names their key it is certainly not ours, else it may be.
        let judged = judge(&ours.leaf, &[&ours], &[&foreign]);
        match identified {
            true => assert_eq!(judged, Ok(false)),
            false => assert!(matches!(judged, Err(ChainError::RevocationUnknown(_))), "{judged:?}"),
        }
        // It says that it is ours, and its signature does not hold.
        let forged = ours.damaged_list();
        for roots in [&[&ours][..], &[&ours, &theirs]] {
            let judged = judge(&ours.leaf, roots, &[&forged]);
            assert!(matches!(judged, Err(ChainError::RevocationUnknown(_))), "{judged:?}");
        }
    }
}

/// An intermediate authority under a root, with this key; files `NAME.pem` and `NAME.key`.
fn intermediate(root: &Namesake, name: &str) -> Certificate {
    fs::write(
        root.dir.path().join("ca.ext"),
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n\
         authorityKeyIdentifier=keyid:always\n",
    )
    .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&root.dir, &format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN=Between"));
    openssl(
        &root.dir,
        &format!(
            "x509 -req -in {name}.csr -CA root.pem -CAkey root.key -set_serial {} -days 30 -extfile ca.ext \
             -out {name}.pem",
            name.len()
        ),
    );
    Certificate::read_all(&fs::read(root.dir.path().join(format!("{name}.pem"))).unwrap()).unwrap().remove(0)
}

#[test]
fn an_authority_that_changed_its_key_revokes_what_it_issued_before() {
    let root = Namesake::new(true);
    let stranger = Namesake::new(true);
    let (old, new) = (intermediate(&root, "old"), intermediate(&root, "newer"));
    let elsewhere = intermediate(&stranger, "newer");
    openssl(
        &root.dir,
        "x509 -req -in leaf.csr -CA old.pem -CAkey old.key -set_serial 4711 -days 30 -extfile leaf.ext -out leaf.pem",
    );
    let leaf = Certificate::read_all(&fs::read(root.dir.path().join("leaf.pem")).unwrap()).unwrap().remove(0);
    let list = |of: &Namesake| {
        openssl(&of.dir, "ca -config ca.cnf -revoke leaf.pem");
        openssl(&of.dir, "ca -config ca.cnf -gencrl -cert newer.pem -keyfile newer.key -out newer.crl");
        fs::read(of.dir.path().join("newer.crl")).unwrap()
    };
    let judge = |list: &[u8]| {
        let mut anchors = Anchors::none();
        for certificate in [&root.root, &stranger.root] {
            anchors.add_anchor(certificate.clone()).unwrap();
        }
        for certificate in [&old, &new, &elsewhere] {
            anchors.add_intermediate(certificate.clone());
        }
        anchors.add_crl(list).unwrap();
        anchors.verify(&leaf, &[], now(), Use::Sign).map(|_| ())
    };
    let revoked = judge(&list(&root));
    assert!(matches!(revoked, Err(ChainError::Revoked { .. })), "{revoked:?}");
    // The same names and the same serial number below another root are somebody else's.
    assert_eq!(judge(&list(&stranger)), Ok(()));
}
