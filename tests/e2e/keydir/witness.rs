//! Gateways cosign each other's key logs, so that none of them can show two histories, nor go back behind its own.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::Gatepost;
use tests::GatepostPlan;
use tests::KeyDirectory;
use tests::PATIENCE;
use tests::Ran;
use tests::TlsIdentity;
use tests::curl;
use tests::directory;
use tests::free_port;
use tests::keydir_binary;
use tests::run;
use tests::wait_for;
use tests::world::World;
use tests::world::in_private_network;

const ALICE: &str = "alice@alpha.world";
const WITNESS_PATH: &str = "/.well-known/tmg/v1/witness";
const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/verifiers/keylog.py");

/// A gateway with a key log, its publication, and the sidecar before it.
struct Party {
    gatepost: Gatepost,
    place: PathBuf,
    directory: KeyDirectory,
    log_key: String,
    vrf_key: String,
    witness_key: String,
}

impl Party {
    /// Of `NAME.world`, with keys, and nothing running yet.
    fn new(name: &str, root: &Path, environment: &[(&str, &Path)]) -> Self {
        let place = root.join(name);
        let mut plan = GatepostPlan::new(&format!("{name}.world"));
        for (variable, path) in environment {
            plan = plan.env(variable, path.to_str().unwrap());
        }
        let gatepost = plan.policy(&section(&place)).prepare();
        gatepost.generate(&["--user", &format!("alice@{name}.world")]);
        gatepost.command(&["keys", "publish"]).success();
        let keys = gatepost.command(&["keys", "log", "--json"]).success().text();
        let keys: Value = serde_json::from_str(&keys).unwrap();
        let key = |name: &str| keys[name].as_str().unwrap().to_owned();
        let directory = KeyDirectory::of(&place);
        let (log_key, vrf_key, witness_key) = (key("log_key"), key("vrf_key"), key("witness_key"));
        Self { gatepost, place, directory, log_key, vrf_key, witness_key }
    }

    /// Cosigns for the partner, and wants to be cosigned by it.
    fn befriend(&self, partner: &Self, url: &str) {
        self.gatepost.write_config(&format!(
            "{}witness_for = [\"{}\"]\n[[keydir.witnesses]]\nkey = \"{}\"\nurl = \"{url}\"\n\
             [discovery]\nresolver = \"127.0.0.1:53\"\n",
            section(&self.place),
            partner.log_key,
            partner.witness_key
        ));
    }

    fn log(&self) -> PathBuf {
        self.place.join("log")
    }

    fn checkpoint(&self) -> String {
        std::fs::read_to_string(self.log().join("checkpoint")).unwrap()
    }

    fn size(&self) -> u64 {
        self.checkpoint().lines().nth(1).unwrap().parse().unwrap()
    }

    /// Waits until the partner has cosigned the checkpoint, which must be larger than `beyond`.
    fn wait_cosigned(&self, partner: &str, beyond: u64) {
        let line = format!("\n— mx.{partner}.world/witness ");
        wait_for("a cosignature", PATIENCE, || {
            (self.size() > beyond && self.checkpoint().contains(&line)).then_some(())
        });
    }

    /// Somebody else's verifier reads the whole log and wants as many cosignatures of this key.
    fn audit(&self, witness: &str, quorum: &str) -> Ran {
        let mut command = Command::new("python3");
        command.arg(VERIFIER).arg("audit").arg(self.log()).arg(&self.log_key);
        run(command.args(["--witness", witness, "--quorum", quorum]), b"")
    }
}

fn section(place: &Path) -> String {
    format!("[keydir]\npublication = \"{}\"\n", place.display())
}

#[test]
fn two_gateways_cosign_each_other_through_their_key_directories() {
    in_private_network(
        "keydir::witness::two_gateways_cosign_each_other_through_their_key_directories",
        partners,
    );
}

fn partners() {
    let mut world = World::new();
    world.zone("world").record("keys.alpha.world. A 127.5.0.1");
    world.zone("world").record("keys.beta.world. A 127.5.0.2");
    let world = world.start();
    let tls = TlsIdentity::new(&["keys.alpha.world", "keys.beta.world"]).write(world.path());
    let authority = world.path().join("ca.pem");
    let environment = [("SSL_CERT_FILE", authority.as_path())];
    let mut alpha = Party::new("alpha", world.path(), &environment);
    let mut beta = Party::new("beta", world.path(), &environment);
    alpha.befriend(&beta, &format!("https://keys.beta.world{WITNESS_PATH}"));
    beta.befriend(&alpha, &format!("https://keys.alpha.world{WITNESS_PATH}/"));
    alpha.directory.serve("listen = [\"https:127.5.0.1:443\"]", &tls);
    beta.directory.serve("listen = [\"https:127.5.0.2:443\"]", &tls);
    alpha.gatepost.start();
    beta.gatepost.start();
    alpha.wait_cosigned("beta", 0);
    beta.wait_cosigned("alpha", 0);
    alpha.gatepost.wait_log(&["is cosigned by 1 witnesses"]);

    // A change is cosigned too, without anybody's doing.
    let before = alpha.size();
    alpha.gatepost.generate(&["--user", "carol@alpha.world"]);
    alpha.wait_cosigned("beta", before);
    for (party, partner) in [(&alpha, &beta), (&beta, &alpha)] {
        party.audit(&partner.witness_key, "1").success();
        // Of one's own key there is no cosignature.
        let refused = party.audit(&party.witness_key, "1");
        assert!(refused.code == 1 && refused.stderr.contains("1 must"), "{}", refused.stderr);
    }
    verify_with_policy(&alpha, &beta, world.path());
    assert_eq!(alpha.gatepost.metric("gatepost_key_log_quorum"), Some(1.0));
    assert!(alpha.gatepost.metric("gatepost_key_log_cosigned_timestamp_seconds").unwrap() > 1e9);
    assert!(beta.gatepost.metric("gatepost_witness_answers_total{status=\"200\"}").unwrap() >= 2.0);
    refuse_strangers(&beta, &authority);
}

/// `gatepost-keydir log verify --policy` believes one of two witnesses, and not two of two.
fn verify_with_policy(of: &Party, witness: &Party, scratch: &Path) {
    let (proof, policy) = (scratch.join("alice.proof"), scratch.join("policy"));
    let keydir = |words: &[&str]| run(Command::new(keydir_binary()).args(words), b"");
    let (proof, place) = (proof.to_str().unwrap(), of.place.to_str().unwrap());
    keydir(&["log", "prove", place, ALICE, "--out", proof]).success();
    let verify = |quorum: &str| {
        let text = format!(
            "log {}\nwitness one {}\nwitness two {}\ngroup g {quorum} one two\nquorum g\n",
            of.log_key, witness.witness_key, of.witness_key
        );
        std::fs::write(&policy, text).unwrap();
        let policy = policy.to_str().unwrap();
        keydir(&["log", "verify", proof, ALICE, "--policy", policy, "--vrf-key", &of.vrf_key])
    };
    let believed = verify("1").success().text();
    assert!(believed.contains("seen by 1 witnesses"), "{believed}");
    let refused = verify("2");
    assert!(refused.code == 65 && refused.stderr.contains("that is no quorum"), "{}", refused.stderr);
}

/// What a witness says to those it has no business with.
fn refuse_strangers(party: &Party, authority: &Path) {
    let url = format!("https://keys.beta.world{WITNESS_PATH}/add-checkpoint");
    let post = |body: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), body).unwrap();
        let (authority, data) = (authority.display().to_string(), format!("@{}", file.path().display()));
        curl(&["--cacert", &authority, "--data-binary", &data, "-H", "Expect:", &url])
    };
    let signature = format!("{}=", "A".repeat(91));
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let request = |origin: &str| format!("old 0\n\n{origin}\n0\n{root}\n\n— {origin} {signature}\n");
    assert_eq!(post(&request("mx.evil.world/keys")).status, 404);
    // The partner's name is not enough.
    assert_eq!(post(&request("mx.alpha.world/keys")).status, 403);
    assert_eq!(post("nonsense").status, 400);
    // Four more than are taken: curl does not read an answer that comes while it still sends.
    assert_eq!(post(&"x".repeat((64 << 10) + 4)).status, 413);
    // Its own log is none of its partners'.
    assert_eq!(post(&format!("old 0\n\n{}", party.checkpoint())).status, 404);
}

#[test]
fn a_log_restored_from_a_backup_is_refused_by_its_witness() {
    let scratch = directory("witness");
    let port = free_port();
    let mut alpha = Party::new("alpha", scratch.path(), &[]);
    let mut beta = Party::new("beta", scratch.path(), &[]);
    alpha.befriend(&beta, &format!("http://127.0.0.1:{port}{WITNESS_PATH}"));
    beta.befriend(&alpha, "http://127.0.0.1:9/nobody");

    // The witness is down: the log goes on, and says so.
    alpha.gatepost.start();
    alpha.gatepost.wait_log(&["the witness mx.beta.world/witness", "did not cosign the key log"]);
    let before = alpha.size();
    alpha.gatepost.generate(&["--user", "carol@alpha.world"]);
    alpha.gatepost.command(&["keys", "publish"]).success();
    assert!(alpha.size() > before && !alpha.checkpoint().contains("beta.world/witness"));
    assert_eq!(alpha.gatepost.metric("gatepost_key_log_quorum"), Some(0.0));

    // It comes up.
    beta.directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), "");
    let url = format!("http://127.0.0.1:{port}{WITNESS_PATH}/add-checkpoint");
    let alone = curl(&["--data-binary", "nonsense", &url]);
    assert_eq!(alone.status, 503, "without its gateway the key directory is no witness: {alone:?}");
    beta.gatepost.start();
    alpha.gatepost.restart();
    alpha.wait_cosigned("beta", before);
    alpha.audit(&beta.witness_key, "1").success();

    // Log and memory are put back together: only the witness knows better.
    alpha.gatepost.term();
    let memory = alpha.gatepost.state().join("key-log.checkpoint");
    let backup = scratch.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    let copy = |from: &Path, to: &Path| {
        run(Command::new("cp").arg("-a").arg(from).arg(to), b"").success();
    };
    copy(&alpha.log(), &backup.join("log"));
    copy(&memory, &backup.join("memory"));
    alpha.gatepost.start();
    let before = alpha.size();
    alpha.gatepost.generate(&["--user", "dave@alpha.world"]);
    alpha.wait_cosigned("beta", before);
    alpha.gatepost.term();
    std::fs::remove_dir_all(alpha.log()).unwrap();
    copy(&backup.join("log"), &alpha.log());
    copy(&backup.join("memory"), &memory);

    alpha.gatepost.start();
    alpha.gatepost.wait_log(&["the witness mx.beta.world/witness", "contradicts the key log"]);
    alpha.gatepost.wait_log(&["signs nothing any more", "bring its directory back as it was last"]);
    let restored = alpha.checkpoint();
    alpha.gatepost.term();
    alpha.gatepost.generate(&["--user", "erin@alpha.world"]);
    let refused = alpha.gatepost.command(&["keys", "publish"]);
    assert!(refused.code == 69 && refused.stderr.contains("was rolled back"), "{}", refused.stderr);
    assert!(refused.stderr.contains("gatepost keys log --resume"), "{}", refused.stderr);
    assert_eq!(alpha.checkpoint(), restored);

    // If it had been the witness that erred.
    let lifted = alpha.gatepost.command(&["keys", "log", "--resume"]).success().text();
    assert!(lifted.contains("goes on"), "{lifted}");
    alpha.gatepost.command(&["keys", "publish"]).success();
    assert_ne!(alpha.checkpoint(), restored);
}
