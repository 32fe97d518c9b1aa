use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;

use crate::checkpoint::Checkpoint;
use crate::checkpoint::SignedCheckpoint;
use crate::files::FilesError;
use crate::key::Cosigner;
use crate::key::Signer;
use crate::note::Note;
use crate::tiles::Directory;
use crate::tiles::Reader;
use crate::tiles::Writer;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn signer() -> Signer {
    Signer::from_seed("log.example", &[1; 32]).unwrap()
}

fn cosigner() -> Cosigner {
    Cosigner::from_seed("witness.example", &[2; 32]).unwrap()
}

fn open(path: &Path) -> Result<Witness, WitnessError> {
    Witness::open(path, cosigner(), [signer().verifier().clone()])
}

fn witness() -> (tempfile::TempDir, Witness) {
    let directory = tempfile::tempdir().unwrap();
    Witness::create(directory.path(), cosigner().verifier()).unwrap();
    let witness = open(directory.path()).unwrap();
    (directory, witness)
}

/// A log that grows; `flavour` makes its entries other than those of another log.
struct Log {
    _directory: tempfile::TempDir,
    writer: Writer,
    flavour: &'static str,
}

impl Log {
    fn new(flavour: &'static str) -> Log {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::create(directory.path(), &signer(), vec![]).unwrap();
        Log { _directory: directory, writer, flavour }
    }

    fn at(&mut self, size: u64) -> (SignedCheckpoint, Reader<Directory>) {
        for index in self.writer.size()..size {
            let flavour = if index < 100 { "" } else { self.flavour };
            self.writer.append(format!("{flavour}{index}").as_bytes()).unwrap();
        }
        let sealed = self.writer.seal(&signer(), vec![]).unwrap();
        (sealed, self.writer.reader().unwrap())
    }
}

fn request(log: &(SignedCheckpoint, Reader<Directory>), old: u64) -> AddCheckpoint {
    let proof = log.1.consistency(old, log.1.size()).unwrap();
    AddCheckpoint { old, proof, checkpoint: log.0.note().clone() }
}

fn ask(witness: &Witness, request: &AddCheckpoint, now: u64) -> Answer {
    witness.add_checkpoint(request.to_string().as_bytes(), now)
}

fn time(answer: &Answer, checkpoint: &SignedCheckpoint) -> u64 {
    let Answer::Cosigned(signature) = answer else { panic!("{answer:?}") };
    cosigner().verifier().verify(checkpoint.note().text(), signature).unwrap().time.unwrap()
}

/// The example of C2SP tlog-witness, "add-checkpoint".
#[test]
fn the_example_of_the_specification_is_read() {
    let text = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n\
        example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";
    let request = AddCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!((request.old, request.proof.len(), request.checkpoint.signatures().len()), (20_852_014, 4, 2));
    assert_eq!(request.to_string(), text);
    let (_directory, witness) = witness();
    assert_eq!(witness.add_checkpoint(text.as_bytes(), 1), Answer::UnknownLog);
}

#[test]
fn a_log_that_grows_is_cosigned() {
    let (directory, witness) = witness();
    let mut log = Log::new("");
    let mut old = 0;
    for (now, size) in [(10, 0), (11, 1), (12, 300), (13, 300), (14, 1000)] {
        let at = log.at(size);
        let answer = ask(&witness, &request(&at, old), now);
        assert_eq!(time(&answer, &at.0), now);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.body().lines().count(), 1);
        assert!(answer.body().starts_with("— witness.example ") && answer.body().ends_with('\n'));
        assert_eq!(witness.size("log.example"), Some(size));
        old = size;
    }
    drop(witness);
    // It remembers, and its clock does not run backwards.
    let witness = open(directory.path()).unwrap();
    assert_eq!(witness.size("log.example"), Some(1000));
    let at = log.at(1001);
    assert_eq!(time(&ask(&witness, &request(&at, 1000), 5), &at.0), 14);
}

#[test]
fn answers_of_the_specification() {
    let (_directory, witness) = witness();
    let mut log = Log::new("");
    let (small, middle) = (log.at(200), log.at(300));
    let large = log.at(400);
    assert_eq!(ask(&witness, &request(&middle, 0), 1).status(), 200);

    // 409: another old size, with the size that is known.
    for old in [0, 200, 299] {
        let answer = ask(&witness, &request(&large, old), 1);
        assert_eq!(answer, Answer::Conflict { size: 300 });
        let whole = (answer.status(), answer.content_type(), answer.body());
        assert_eq!(whole, (409, "text/x.tlog.size", "300\n".to_owned()));
    }
    // No rollback, however it is asked for.
    for old in [0, 100, 200] {
        assert_eq!(ask(&witness, &request(&small, old), 1), Answer::Conflict { size: 300 });
    }
    let rollback = AddCheckpoint { old: 300, ..request(&small, 200) };
    assert_eq!(ask(&witness, &rollback, 1), Answer::Malformed);
    assert_eq!(Answer::Malformed.status(), 400);
    // 422: no proof, or one for something else, or one where none is needed.
    let unproved = AddCheckpoint { old: 300, proof: vec![], checkpoint: large.0.note().clone() };
    assert_eq!(ask(&witness, &unproved, 1), Answer::Inconsistent);
    let wrong = AddCheckpoint { old: 300, ..request(&large, 200) };
    assert_eq!(ask(&witness, &wrong, 1), Answer::Inconsistent);
    let needless = AddCheckpoint { proof: vec![[0; 32]], ..request(&middle, 300) };
    assert_eq!(ask(&witness, &needless, 1), Answer::Inconsistent);
    assert_eq!(Answer::Inconsistent.status(), 422);
    // 403: nobody signed, or a stranger.
    let stranger = Signer::generate("log.example").unwrap();
    let forged = large.0.checkpoint().sign(&stranger).unwrap();
    let answer = ask(&witness, &AddCheckpoint { checkpoint: forged, ..request(&large, 300) }, 1);
    assert_eq!((answer.status(), &answer), (403, &Answer::NotSigned));
    // 404: another log.
    let other = Signer::generate("other.example").unwrap();
    let other = Checkpoint::new("other.example", 400, *large.1.root(), vec![]).unwrap().sign(&other).unwrap();
    let answer = ask(&witness, &AddCheckpoint { checkpoint: other, ..request(&large, 300) }, 1);
    assert_eq!((answer.status(), &answer), (404, &Answer::UnknownLog));
    // 400: no request at all.
    let good = request(&large, 300).to_string();
    for wrong in ["", "old 300\n", "old 0300", "old  300", "old -1", "old 300\n"] {
        let body = good.replacen("old 300", wrong, 1);
        let answer = witness.add_checkpoint(body.as_bytes(), 1);
        assert!(answer == Answer::Malformed, "{wrong:?}: {answer:?}");
    }
    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let long = good.replacen("old 300\n", &format!("old 300\n{}", hash.repeat(64)), 1);
    assert_eq!(witness.add_checkpoint(long.as_bytes(), 1), Answer::Malformed);
    assert_eq!(witness.add_checkpoint(&vec![b'x'; MAX_BODY + 1], 1), Answer::Malformed);
    // And after all that the log goes on.
    assert_eq!(ask(&witness, &request(&large, 300), 1).status(), 200);
}

#[test]
fn nobody_is_shown_another_tree() {
    let (_directory, witness) = witness();
    let (mut honest, mut fork) = (Log::new(""), Log::new("fork "));
    assert_eq!(ask(&witness, &request(&honest.at(300), 0), 1).status(), 200);
    assert_eq!(ask(&witness, &request(&fork.at(300), 300), 1), Answer::Conflict { size: 300 });
    assert_eq!(ask(&witness, &request(&fork.at(400), 300), 1), Answer::Inconsistent);
    // A first checkpoint of an empty tree must be that of the empty tree.
    let (_directory, fresh) = super::tests::witness();
    let lie = Checkpoint::new("log.example", 0, [1; 32], vec![]).unwrap().sign(&signer()).unwrap();
    let lie = AddCheckpoint { old: 0, proof: vec![], checkpoint: lie };
    assert_eq!(ask(&fresh, &lie, 1), Answer::Inconsistent);
}

#[test]
fn what_is_remembered_is_the_cosigned_checkpoint_without_what_strangers_added() {
    let (directory, witness) = witness();
    let mut log = Log::new("");
    let at = log.at(3);
    let mut request = request(&at, 0);
    request.checkpoint.sign(&Signer::generate("stranger").unwrap()).unwrap();
    let Answer::Cosigned(signature) = ask(&witness, &request, 9) else { panic!("refused") };
    let file = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path());
    let file = file.filter(|path| path.file_name().unwrap().len() == 64).collect::<Vec<_>>();
    let kept = fs::read_to_string(&file[0]).unwrap();
    assert_eq!(kept, format!("{}{signature}\n", at.0.note()));
    drop(witness);

    // Whoever changes it, or takes it from another witness, stops the witness instead of resetting it.
    for damage in [String::new(), kept.replace("\n3\n", "\n2\n"), at.0.note().to_string()] {
        fs::write(&file[0], damage).unwrap();
        assert!(matches!(open(directory.path()), Err(WitnessError::Damaged { .. })));
    }
}

#[test]
fn a_directory_belongs_to_one_key_and_one_process() {
    let (directory, witness) = witness();
    assert!(matches!(open(directory.path()), Err(WitnessError::Files(FilesError::Locked))));
    drop(witness);
    let other = Cosigner::generate("witness.example").unwrap();
    let refused = Witness::open(directory.path(), other, []);
    assert!(matches!(refused, Err(WitnessError::OtherKey)));
    let again = Witness::create(directory.path(), cosigner().verifier());
    assert!(matches!(again, Err(WitnessError::Exists)));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(open(empty.path()), Err(WitnessError::NotCreated)));
}

#[test]
fn the_logs_that_are_watched_can_change_and_nothing_is_forgotten() {
    let (_directory, witness) = witness();
    let mut log = Log::new("");
    assert_eq!(ask(&witness, &request(&log.at(3), 0), 1).status(), 200);
    witness.watch([]).unwrap();
    assert_eq!(ask(&witness, &request(&log.at(5), 3), 1), Answer::UnknownLog);
    let successor = Signer::generate("log.example").unwrap();
    assert!(matches!(witness.watch([cosigner().verifier().clone()]), Err(WitnessError::Log(_))));
    witness.watch([signer().verifier().clone(), successor.verifier().clone()]).unwrap();
    assert_eq!(ask(&witness, &request(&log.at(5), 0), 1), Answer::Conflict { size: 3 });
    // The log changes its key: either signature will do.
    let at = log.at(5);
    let checkpoint = at.0.checkpoint().sign(&successor).unwrap();
    assert_eq!(ask(&witness, &AddCheckpoint { checkpoint, ..request(&at, 3) }, 1).status(), 200);
    assert_eq!(ask(&witness, &request(&log.at(6), 5), 1).status(), 200);
}

#[test]
fn what_cannot_be_written_is_not_cosigned() {
    let (directory, witness) = witness();
    let mut log = Log::new("");
    assert_eq!(ask(&witness, &request(&log.at(3), 0), 1).status(), 200);
    let at = log.at(5);
    // Even root cannot replace a file by way of a directory.
    fs::create_dir(directory.path().join(".new")).unwrap();
    let answer = ask(&witness, &request(&at, 3), 2);
    assert_eq!((answer.status(), &answer), (503, &Answer::Unavailable));
    assert_eq!(witness.size("log.example"), Some(3));
    fs::remove_dir(directory.path().join(".new")).unwrap();
    assert_eq!(ask(&witness, &request(&at, 3), 2).status(), 200);
}

/// Every step at which the power can fail: what was answered is remembered, and the file is whole.
#[test]
fn a_crash_at_any_step_forgets_no_cosignature() {
    let mut log = Log::new("");
    let (small, large, larger) = (log.at(3), log.at(5), log.at(9));
    let mut steps = 0;
    loop {
        let (directory, witness) = witness();
        assert_eq!(ask(&witness, &request(&small, 0), 1).status(), 200);
        witness.memory.lock().unwrap().files.fuse.burn_after(steps);
        let answer = ask(&witness, &request(&large, 3), 2);
        drop(witness);
        let witness = open(directory.path()).unwrap();
        let known = witness.size("log.example").unwrap();
        match answer.status() {
            200 => assert_eq!(known, 5),
            503 => assert!(known == 3 || known == 5),
            other => panic!("{other}"),
        }
        assert_eq!(ask(&witness, &request(&larger, known), 3).status(), 200);
        if answer.status() == 200 {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 5, "{steps}");
}

/// The race that C2SP tlog-witness describes at the end of "add-checkpoint".
#[test]
fn concurrent_requests_never_roll_back() {
    let (directory, witness) = witness();
    let mut log = Log::new("");
    assert_eq!(ask(&witness, &request(&log.at(10), 0), 1).status(), 200);
    let witness = Arc::new(witness);
    let requests: Vec<_> = (11..31).map(|size| request(&log.at(size), 10)).collect();
    let threads: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let witness = Arc::clone(&witness);
            std::thread::spawn(move || ask(&witness, &request, 1).status())
        })
        .collect();
    let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|status| **status == 409).count(), 19);
    let size = witness.size("log.example");
    drop(witness);
    assert_eq!(open(directory.path()).unwrap().size("log.example"), size);
}

fn send<'w>(
    witness: &'w Witness,
    count: &'w Cell<u32>,
) -> impl FnMut(&[u8]) -> Result<(u16, Vec<u8>), ()> + 'w {
    move |body| {
        count.set(count.get() + 1);
        let answer = witness.add_checkpoint(body, 7);
        Ok((answer.status(), answer.body().into_bytes()))
    }
}

#[test]
fn a_log_obtains_a_cosignature_whatever_it_remembers() {
    for remembered in [0, 300, 299, 5000] {
        let (_directory, witness) = witness();
        let mut log = Log::new("");
        assert_eq!(ask(&witness, &request(&log.at(300), 0), 1).status(), 200);
        let (sealed, reader) = log.at(1000);
        let count = Cell::new(0);
        let signature = cosign(&sealed, witness.key(), remembered, &reader, send(&witness, &count)).unwrap();
        let mut note: Note = sealed.note().clone();
        note.add(signature).unwrap();
        assert_eq!(note.verify([witness.key()]).unwrap()[0].stamp.time, Some(7));
        assert_eq!(count.get(), if remembered == 300 { 1 } else { 2 }, "{remembered}");
        log.writer.publish(&note).unwrap();
    }
}

#[test]
fn a_log_learns_that_it_was_restored_or_forked() {
    let (_directory, witness) = witness();
    let mut log = Log::new("");
    let old = log.at(200);
    assert_eq!(ask(&witness, &request(&log.at(300), 0), 1).status(), 200);
    let count = Cell::new(0);
    let answer = |error| match error {
        CosignError::Answer(error) => error,
        other => panic!("{other:?}"),
    };
    let restored = cosign(&old.0, witness.key(), 200, &old.1, send(&witness, &count)).map_err(answer);
    assert!(matches!(restored, Err(AnswerError::Ahead { known: 300, size: 200 })));
    let mut fork = Log::new("fork ");
    let (sealed, reader) = fork.at(300);
    let forked = cosign(&sealed, witness.key(), 0, &reader, send(&witness, &count)).map_err(answer);
    assert!(matches!(forked, Err(AnswerError::SplitView { size: 300 })));
    let (sealed, reader) = fork.at(400);
    let forked = cosign(&sealed, witness.key(), 0, &reader, send(&witness, &count)).map_err(answer);
    assert!(matches!(forked, Err(AnswerError::Refused { status: 422 })));
}

#[test]
fn what_is_no_answer_is_not_believed() {
    let mut log = Log::new("");
    let (sealed, _) = log.at(5);
    let key = cosigner().verifier().clone();
    let answer = |status, body: &str| Submission::new(&sealed, &key, 3).answer(status, body.as_bytes());
    let good = cosigner().cosign(sealed.note().text(), 1).unwrap();
    let other = Cosigner::generate("witness.example").unwrap().cosign(sealed.note().text(), 1).unwrap();
    let bad = cosigner().cosign("another\n", 1).unwrap();
    assert!(
        matches!(answer(200, &format!("{other}\n{good}\n")), Ok(Next::Cosigned(signature)) if signature == good)
    );
    assert!(matches!(answer(200, &format!("{other}\n")), Err(AnswerError::NotCosigned)));
    assert!(matches!(answer(200, ""), Err(AnswerError::NotCosigned)));
    assert!(matches!(answer(200, &format!("{bad}\n{good}\n")), Err(AnswerError::BadSignature)));
    assert!(matches!(answer(200, "<html>\n"), Err(AnswerError::Malformed)));
    assert!(matches!(answer(200, &"x".repeat(MAX_BODY + 1)), Err(AnswerError::Malformed)));
    assert!(matches!(answer(409, "4\n"), Ok(Next::Again)));
    assert!(matches!(answer(409, "6\n"), Err(AnswerError::Ahead { known: 6, size: 5 })));
    for wrong in ["", "4", "04\n", "-4\n", "3\n", "4\n4\n", "four\n"] {
        assert!(matches!(answer(409, wrong), Err(AnswerError::Malformed)), "{wrong:?}");
    }
    for status in [100, 201, 302, 400, 403, 404, 422, 500, 503] {
        assert!(matches!(answer(status, "x"), Err(AnswerError::Refused { .. })));
    }
    let mut unsteady = Submission::new(&sealed, &key, 5);
    let last =
        (0..20).map(|turn| unsteady.answer(409, format!("{}\n", turn % 5).as_bytes())).find(Result::is_err);
    assert!(matches!(last, Some(Err(AnswerError::Unsteady))));
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(old in 0..=i64::MAX as u64, proof in prop::collection::vec(any::<crate::Hash>(), 0..64)) {
        let checkpoint = Checkpoint::new("log.example", 5, [0; 32], vec![]).unwrap().sign(&signer()).unwrap();
        let request = AddCheckpoint { old, proof, checkpoint };
        prop_assert_eq!(AddCheckpoint::parse(request.to_string().as_bytes()).unwrap(), request);
    }

    #[test]
    fn reading_never_panics(bytes: Vec<u8>, body in "old [0-9]{1,3}\n[ -~\n]{0,100}") {
        let _ = AddCheckpoint::parse(&bytes);
        if let Ok(request) = AddCheckpoint::parse(body.as_bytes()) {
            prop_assert_eq!(request.to_string(), body);
        }
    }
}

/// Whatever is asked in whatever order: all that was ever cosigned is one growing tree.
#[test]
fn all_cosigned_trees_are_one() {
    let grow = |flavour| {
        let mut log = Log::new(flavour);
        let all: Vec<_> = (0..20).map(|step| log.at(10 * step)).collect();
        (log, all)
    };
    let (_honest, honest) = grow("");
    let (_fork, fork) = grow("fork ");
    let asked = prop::collection::vec((0usize..20, 0u64..200, any::<bool>(), any::<bool>()), 1..20);
    let mut runner = TestRunner::new(ProptestConfig { cases: 32, ..ProptestConfig::default() });
    runner
        .run(&asked, |asked| {
            let (_directory, witness) = witness();
            let mut cosigned: Vec<&(SignedCheckpoint, Reader<Directory>)> = Vec::new();
            for (step, old, known, forked) in asked {
                let at = if forked { &fork[step] } else { &honest[step] };
                // Half of them say the size that is known, or nothing would ever be cosigned.
                let old = if known { witness.size("log.example").unwrap_or(0) } else { old };
                let request = request(at, old.min(at.1.size()));
                if ask(&witness, &AddCheckpoint { old, ..request }, 1).status() == 200 {
                    for earlier in &cosigned {
                        prop_assert!(at.1.continues(earlier.0.checkpoint()).unwrap());
                    }
                    cosigned.push(at);
                }
            }
            prop_assert_eq!(witness.size("log.example"), cosigned.last().map(|last| last.1.size()));
            Ok(())
        })
        .unwrap();
}
