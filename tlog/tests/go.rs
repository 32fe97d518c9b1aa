//! Our logs read by Go's own packages, and theirs by us: golang.org/x/mod/sumdb/{note,tlog} of Debian's
//! golang-golang-x-mod-dev, compiled with gccgo-12.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed assumption here is a failed test")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use tlog::checkpoint::SignedCheckpoint;
use tlog::key::Cosigner;
use tlog::key::Signer;
use tlog::key::VerifierKey;
use tlog::leaf_hash;
use tlog::merkle::verify_consistency;
use tlog::merkle::verify_inclusion;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::proof::Proof;
use tlog::tiles::Directory;
use tlog::tiles::Reader;
use tlog::tiles::TilesError;
use tlog::tiles::Writer;

const PACKAGES: &str = "/usr/share/gocode/src/golang.org/x/mod/sumdb";

/// The program of tests/go/oracle.go.
struct Oracle {
    directory: tempfile::TempDir,
}

impl Oracle {
    fn build() -> Oracle {
        let directory = tempfile::tempdir().unwrap();
        let sumdb = directory.path().join("golang.org/x/mod/sumdb");
        fs::create_dir_all(&sumdb).unwrap();
        let compile = |package: &str, files: &[&str]| {
            let mut command = Command::new("gccgo-12");
            command.arg("-c").arg(format!("-fgo-pkgpath=golang.org/x/mod/sumdb/{package}"));
            command.arg("-o").arg(sumdb.join(format!("{package}.o")));
            command.args(files.iter().map(|file| format!("{PACKAGES}/{package}/{file}.go")));
            run(command, b"");
        };
        compile("note", &["note"]);
        compile("tlog", &["note", "tile", "tlog"]);
        let mut command = Command::new("gccgo-12");
        command.arg("-I").arg(directory.path()).arg("-o").arg(directory.path().join("oracle"));
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/oracle.go"));
        command.args([sumdb.join("note.o"), sumdb.join("tlog.o")]);
        run(command, b"");
        Oracle { directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.directory.path().join("oracle"));
        command.args(arguments);
        command
    }

    fn says(&self, arguments: &[&str], input: &[u8]) -> String {
        run(self.command(arguments), input)
    }

    fn refuses(&self, arguments: &[&str], input: &[u8]) -> bool {
        !output(self.command(arguments), input).status.success()
    }
}

fn output(mut command: Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = piped.unwrap_or_else(|error| panic!("{command:?}: {error}; run ./setup test"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // From another thread: both sides may have more to say than a pipe holds.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

fn run(command: Command, input: &[u8]) -> String {
    let what = format!("{command:?}");
    let output = output(command, input);
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn signer() -> Signer {
    Signer::from_seed("log.example/keys", &[5; 32]).unwrap()
}

/// A log of ours with the same entries as Go's, published at each of the sizes.
fn log(directory: &Path, sizes: &[u64]) -> Writer {
    let mut writer = Writer::create(directory, &signer(), vec![]).unwrap();
    for size in sizes {
        for index in writer.size()..*size {
            writer.append(format!("entry {index}").as_bytes()).unwrap();
        }
        let sealed = writer.seal(&signer(), vec![]).unwrap();
        writer.publish(sealed.note()).unwrap();
    }
    writer
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn go_audits_our_log_and_makes_the_same_proofs_from_it() {
    let oracle = Oracle::build();
    let vkey = signer().verifier().to_string();
    for sizes in [&[1][..], &[255, 256], &[3, 200, 257, 700]] {
        let directory = tempfile::tempdir().unwrap();
        let reader = log(directory.path(), sizes).reader().unwrap();
        let size = reader.size();
        let said = oracle.says(&["audit", text(directory.path()), &vkey], b"");
        assert_eq!(said.lines().count() as u64, 2 * size - 1);
        for line in said.lines() {
            let mut words = line.split(' ');
            let (kind, number) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
            let ours = match kind {
                "inclusion" => reader.inclusion(number, size).unwrap(),
                _ => reader.consistency(number, size).unwrap(),
            };
            let ours: Vec<_> = ours.iter().map(|hash| base64_simd::STANDARD.encode_to_string(hash)).collect();
            assert_eq!(words.collect::<Vec<_>>().join(" "), ours.join(" "), "{kind} {number} of {size}");
        }
    }
}

#[test]
fn go_refuses_our_log_once_a_byte_is_changed() {
    let oracle = Oracle::build();
    let directory = tempfile::tempdir().unwrap();
    log(directory.path(), &[700]);
    let arguments = ["audit", text(directory.path()), &signer().verifier().to_string()];
    for path in ["checkpoint", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2", "tile/entries/001"] {
        let file = directory.path().join(path);
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[20] ^= 1;
        fs::write(&file, bad).unwrap();
        assert!(oracle.refuses(&arguments, b""), "{path}");
        fs::write(&file, good).unwrap();
    }
    oracle.says(&arguments, b"");
}

#[test]
fn we_verify_a_log_that_go_made_and_our_writer_makes_the_same_files() {
    let oracle = Oracle::build();
    for size in [1, 256, 700] {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let count = size.to_string();
        let secret = signer().secret().unwrap();
        oracle.says(&["write", text(theirs.path()), &secret, "log.example/keys", &count], b"");
        log(ours.path(), &[size]);

        let signed = fs::read(theirs.path().join("checkpoint")).unwrap();
        let checkpoint = SignedCheckpoint::open(&signed, signer().verifier()).unwrap();
        let reader = Reader::open(Directory::new(theirs.path()), checkpoint.checkpoint()).unwrap();
        assert_eq!(reader.size(), size);
        let root = *reader.root();
        let verify = |index, entry: &[u8]| {
            assert_eq!(entry, format!("entry {index}").as_bytes());
            let proof = reader.inclusion(index, size)?;
            assert!(verify_inclusion(&leaf_hash(entry), index, size, &root, &proof));
            let old = reader.root_at(index)?;
            assert!(verify_consistency((index, &old), (size, &root), &reader.consistency(index, size)?));
            Ok::<_, TilesError>(())
        };
        reader.for_each(0..size, verify).unwrap();

        let files = files(theirs.path());
        assert!(files.contains(&PathBuf::from("checkpoint")) && files.len() > 2);
        for file in files {
            let (theirs, ours) = (theirs.path().join(&file), ours.path().join(&file));
            assert_eq!(fs::read(theirs).unwrap(), fs::read(ours).unwrap(), "{}", file.display());
        }
    }
}

/// All files below a directory, relative to it.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn go_verifies_our_cosigned_proof_offline_and_fails_on_any_changed_byte() {
    let oracle = Oracle::build();
    let directory = tempfile::tempdir().unwrap();
    let writer = log(directory.path(), &[300]);
    let witness = Cosigner::generate("witness.example/w").unwrap();
    let mut checkpoint = writer.sealed().unwrap().note().clone();
    checkpoint.add(witness.cosign(checkpoint.text(), 1_700_000_000).unwrap()).unwrap();
    let path = writer.reader().unwrap().inclusion(123, 300).unwrap();
    let proof = Proof { extra: None, index: 123, path, checkpoint }.to_string();

    let (log, witness) = (signer().verifier().to_string(), witness.verifier().to_string());
    let policy = format!("log {log}\nwitness w {witness}\nquorum w\n");
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let arguments = ["proof", &log, &witness, "entry 123"];
    oracle.says(&arguments, proof.as_bytes());
    Proof::parse(proof.as_bytes()).unwrap().verify(b"entry 123", &policy).unwrap();
    assert!(oracle.refuses(&["proof", &log, &witness, "entry 124"], proof.as_bytes()));
    // The digit before the padding has bits to spare, which Go reads over.
    let counts = |at: &usize| proof.as_bytes().get(at + 1) != Some(&b'=');
    for at in (0..proof.len()).step_by(23).filter(counts) {
        let mut changed = proof.clone().into_bytes();
        changed[at] ^= 1;
        let ours = Proof::parse(&changed).map(|proof| proof.verify(b"entry 123", &policy).is_ok());
        assert!(!matches!(ours, Ok(true)), "{at}");
        assert!(oracle.refuses(&arguments, &changed), "{at}");
    }
}

/// Both readers must agree on what a note is and who signed it.
#[test]
fn go_and_we_open_the_same_notes() {
    let oracle = Oracle::build();
    let key: VerifierKey = signer().verifier().clone();
    let mut note = Note::new("a text\n\nof three lines, größer\n").unwrap();
    note.sign(&Signer::generate("stranger").unwrap()).unwrap();
    note.sign(&signer()).unwrap();
    let good = note.to_string().into_bytes();

    let pieces: [&[u8]; 12] = [
        b"",
        b"\n",
        b"\n\n",
        b" ",
        b"+",
        b"=",
        b"A",
        b"\x7f",
        b"\x1f",
        "—".as_bytes(),
        "\u{a0}".as_bytes(),
        b"\xff",
    ];
    let mut notes = vec![good.clone()];
    for at in 0..=good.len() {
        for piece in pieces {
            let mut inserted = good.clone();
            inserted.splice(at..at, piece.iter().copied());
            notes.push(inserted);
            if at < good.len() {
                let mut replaced = good.clone();
                replaced.splice(at..=at, piece.iter().copied());
                notes.push(replaced);
            }
        }
        notes.push(good[..at].to_vec());
    }
    let mut input = Vec::new();
    for note in &notes {
        writeln!(input, "{}", note.len()).unwrap();
        input.extend(note);
    }
    let said = oracle.says(&["open", &key.to_string()], &input);
    assert_eq!(said.lines().count(), notes.len());
    let mut opened = 0;
    for (note, said) in notes.iter().zip(said.lines()) {
        let ours = Note::parse(note).and_then(|note| {
            let verified = note.verify([&key])?.len();
            let hex: String = note.text().bytes().map(|byte| format!("{byte:02x}")).collect();
            Ok(format!("opened {verified} {} {hex}", note.signatures().len() - verified))
        });
        let ours = ours.unwrap_or_else(|_| "refused".into());
        opened += usize::from(ours != "refused");
        // Go reads Base64 whose last digit has bits to spare; C2SP has one encoding only.
        let spare = ours == "refused" && has_spare_bits(note);
        assert!(ours == said || spare, "{:?}: Go {said}, we {ours}", String::from_utf8_lossy(note));
    }
    assert!(opened > 10, "{opened}");
}

fn has_spare_bits(note: &[u8]) -> bool {
    let text = String::from_utf8_lossy(note);
    text.lines().filter(|line| line.ends_with('=')).any(|line| {
        let encoded = line.rsplit(' ').next().unwrap();
        base64_simd::STANDARD.decode_to_vec(encoded).is_err()
    })
}
