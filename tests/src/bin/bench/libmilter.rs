//! The yardstick: a milter on Sendmail's own library (tests/bench/libmilter.c).

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tests::Daemon;
use tests::PATIENCE;
use tests::run;
use tests::wait_for;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/libmilter.c");

/// Compiles it into `directory`.
///
/// # Panics
/// If there is no C compiler or no libmilter-dev.
pub(crate) fn compile(directory: &Path) -> PathBuf {
    let program = directory.join("libmilter");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(SOURCE);
    run(cc.args(["-lmilter", "-lpthread"]), b"").success();
    program
}

/// Starts it on a unix socket in `sockets`; gives the process and the address in Postfix's syntax.
pub(crate) fn start(program: &Path, work: &str, directory: &Path, sockets: &Path) -> (Daemon, String) {
    let socket = sockets.join(format!("libmilter-{work}"));
    let address = format!("unix:{}", socket.display());
    let log = directory.join(format!("libmilter-{work}.log"));
    let daemon = Daemon::start(Command::new(program).args([&address, work]), &log, directory);
    wait_for("the libmilter milter to listen", PATIENCE, || socket.exists().then_some(()));
    share(&socket);
    (daemon, address)
}

/// libmilter creates its socket for the owner alone.
fn share(socket: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666)).unwrap();
}
