//! The log as somebody sees it who has only the published format: Python with its own SQLite, its
//! own SHA-256 and HMAC, and none of our code.

use std::process::Command;

use notary::Entry;
use notary::Notary;
use notary::Options;
use notary::system_clock;
use serde_json::Value;
use serde_json::json;
use zeroize::Zeroizing;

/// Reads CBOR by RFC 8949 section 3, hashes by RFC 6962 section 2.1, and prints JSON.
const PYTHON: &str = r#"
import hashlib, hmac, json, sqlite3, sys
def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()
def mth(d):
    if not d: return sha()
    if len(d) == 1: return sha(b"\0", d[0])
    k = 1
    while k * 2 < len(d): k *= 2
    return sha(b"\1", mth(d[:k]), mth(d[k:]))
def cbor(b, i=0):
    major, info = b[i] >> 5, b[i] & 31; i += 1
    if major == 7: return {20: False, 21: True, 22: None}[info], i
    n = info
    if info > 23:
        size = 1 << (info - 24); n = int.from_bytes(b[i:i + size], "big"); i += size
    if major == 0: return n, i
    if major == 1: return -1 - n, i
    if major in (2, 3):
        v = b[i:i + n]; return (v.decode() if major == 3 else v), i + n
    items = []
    for _ in range(n * (2 if major == 5 else 1)):
        v, i = cbor(b, i); items.append(v)
    return (dict(zip(items[::2], items[1::2])) if major == 5 else items), i
path, salt, value = sys.argv[1], bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
rows = sqlite3.connect(path).execute("select encoding from leaf order by seq").fetchall()
leaves = [row[0] for row in rows]
read, newest = [], {}
for number, bytes_ in enumerate(leaves):
    leaf, end = cbor(bytes_)
    assert end == len(bytes_) and leaf["seq"] == number and leaf["v"] == 1
    assert leaf["prev"] == newest.get(leaf["txid"])
    newest[leaf["txid"]] = sha(b"\0", bytes_)
    read.append(leaf)
shown = hmac.new(salt, value, hashlib.sha256).digest()
where = [[leaf["seq"], name] for leaf in read for name, c in leaf["committed"] if c == shown]
print(json.dumps({"size": len(leaves), "root": mth(leaves).hex(), "events": [l["event"] for l in read],
    "public": read[1]["public"], "where": where}))
"#;

#[test]
fn another_program_recomputes_root_chain_and_a_disclosed_commitment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notary.sqlite");
    let key = Zeroizing::new([3; 32]);
    let options =
        Options { path: path.clone(), origin: "o".into(), key, software: "s".into(), clock: system_clock };
    let notary = Notary::open(options).unwrap();
    let public = json!({"size": 70000, "below": -5, "ok": true, "none": null, "rules": ["a", "b"]});
    for number in 0..21 {
        let Value::Object(public) = public.clone() else { unreachable!() };
        let rcpt = |name: &str| ("rcpt".to_owned(), format!("{name}{number}@beta.example").into_bytes());
        let entry = Entry {
            txid: format!("tx-{}", number % 5),
            event: "screened".into(),
            public,
            committed: vec![rcpt("bob"), rcpt("carol")],
            ..Entry::default()
        };
        notary.append(entry).wait().unwrap();
    }
    let found = notary.verify().unwrap();
    let story = notary.reader().unwrap().story(9).unwrap().unwrap();
    let opening = story.openings.last().unwrap();
    notary.close().unwrap();

    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut python = Command::new("python3");
    python.arg("-c").arg(PYTHON).arg(&path).args([hex(&opening.salt), hex(&opening.value)]);
    let output = python.output().expect("python3 is needed: ./setup test installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen.get("size"), Some(&json!(found.size + 1)), "with the leaf that closes the run");
    assert_eq!(seen.get("public"), Some(&public));
    assert_eq!(seen.get("where"), Some(&json!([[9, "rcpt"]])), "this recipient of this leaf and no other");
    let closed = notary.verify().unwrap();
    assert_eq!(seen.get("root"), Some(&json!(hex(&closed.root))));
}
