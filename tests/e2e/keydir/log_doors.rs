//! The key log over HTTP: what monitors and witnesses read, and nothing else.

use std::process::Command;

use tests::keydir_binary;
use tests::run;

use super::doors::{Doors, NOBODY};

#[test]
fn files_are_served_as_tlog_tiles_names_them() {
    let doors = Doors::open();
    let checkpoint = doors.get("/log/checkpoint");
    assert_eq!((checkpoint.status, checkpoint.header("content-type")), (200, "text/plain; charset=utf-8"));
    assert_eq!(checkpoint.header("cache-control"), "no-cache");
    let text = checkpoint.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("mx.alpha.example/keys"));
    let size: u64 = lines.next().unwrap().parse().unwrap();
    for tile in [format!("tile/0/000.p/{size}"), format!("tile/entries/000.p/{size}")] {
        let tile = doors.get(&format!("/log/{tile}"));
        assert_eq!((tile.status, tile.header("content-type")), (200, "application/octet-stream"));
        assert_eq!(tile.header("access-control-allow-origin"), "*");
        assert_eq!(tile.header("cache-control"), "public, max-age=3600");
    }
    // More than the checkpoint speaks of, and what is no file of the log.
    for path in [
        format!("/log/tile/0/000.p/{}", size + 1),
        "/log/tile/0/000".to_owned(),
        "/log/tile/0/000.p/0".to_owned(),
        "/log/log.db".to_owned(),
        "/log/.lock".to_owned(),
        "/log/.sealed".to_owned(),
        "/log/../publication.db".to_owned(),
        "/log/%2e%2e/publication.db".to_owned(),
        "/log/tile/../log.db".to_owned(),
        "/log/tile/..%2flog.db".to_owned(),
        "/log//checkpoint".to_owned(),
        "/log/".to_owned(),
    ] {
        let answer = doors.get(&path);
        assert_eq!((answer.status, answer.text().as_str()), (404, "not found\n"), "{path}");
    }
}

#[test]
fn anybody_audits_the_log_with_the_keys_that_are_beside_it() {
    let doors = Doors::open();
    let (log_key, _) = doors.keys();
    let audit = |key: &str| {
        let mut command = Command::new(keydir_binary());
        run(command.args(["log", "audit", &doors.url("/log"), "--json", "--log-key", key]), b"")
    };
    let audited = audit(&log_key).success().text();
    assert!(audited.contains("mx.alpha.example/keys"), "{audited}");
    let other = "mx.alpha.example/keys+00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_ne!(audit(other).code, 0);
}

#[test]
fn absence_is_proved_on_the_command_line_while_the_gateway_runs() {
    let mut doors = Doors::open();
    let out = doors.directory.path().join("absent.gkl");
    let publication = doors.directory.publication();
    let prove = || {
        let mut command = Command::new(keydir_binary());
        command.args(["log", "prove"]).arg(&publication).args([NOBODY, "--out"]).arg(&out);
        run(&mut command, b"")
    };
    assert!(prove().success().text().contains("not in the log"));
    let verdict = doors.verify(&std::fs::read(&out).unwrap(), NOBODY, &[]).success().text();
    assert!(verdict.contains("\"state\":\"absent\""), "{verdict}");
    doors.gateway.term();
    let without = prove();
    assert!(without.code == 69 && without.stderr.contains("start it"), "{without:?}");
}
