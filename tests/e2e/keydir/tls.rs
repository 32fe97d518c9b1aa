//! TLS from files, sockets of systemd, and an end without a lost request.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use tests::Answer;
use tests::Gpg;
use tests::KeyDirectory;
use tests::PATIENCE;
use tests::Signal;
use tests::TlsIdentity;
use tests::curl;
use tests::free_port;
use tests::keydir_binary;
use tests::run;
use tests::wait_for;

const HOST: &str = "openpgpkey.alpha.example";
const PATH: &str = "/.well-known/openpgpkey/alpha.example/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q";

fn directory() -> KeyDirectory {
    let gpg = Gpg::new();
    gpg.generate("Joe Doe <joe.doe@alpha.example>");
    let directory = KeyDirectory::new(&["alpha.example"]);
    directory.publish(&gpg.certificate("joe.doe"));
    directory
}

/// Asks over TLS and trusts only the authority in this directory.
fn ask(dir: &Path, port: u16, more: &[&str]) -> Answer {
    let (ca, to) = (dir.join("ca.pem"), format!("{HOST}:{port}:127.0.0.1"));
    let url = format!("https://{HOST}:{port}{PATH}");
    curl(&[&["--cacert", ca.to_str().unwrap(), "--resolve", &to, &url], more].concat())
}

#[test]
fn old_and_new_clients_are_served_over_tls() {
    let mut directory = directory();
    let port = free_port();
    let section = TlsIdentity::new(&[HOST]).write(directory.path());
    directory.serve(&format!("listen = [\"https:127.0.0.1:{port}\"]"), &section);
    for more in [
        &["--http1.0"][..],
        &["--http1.1"],
        &["--http2"],
        &["--tls-max", "1.2"],
        &["--tlsv1.3"],
        &["--no-alpn"],
    ] {
        let answer = ask(directory.path(), port, more);
        assert_eq!(answer.status, 200, "{more:?}: {}", directory.log());
    }
    let old = ask(directory.path(), port, &["--tls-max", "1.1"]);
    assert_eq!(old.status, 0, "TLS 1.1 is refused");
    // Plain HTTP on the TLS port, and a client that says nothing, are left.
    assert_eq!(curl(&[&format!("http://127.0.0.1:{port}{PATH}")]).status, 0);
}

#[test]
fn renewed_certificates_are_taken_from_their_files_and_broken_ones_are_not() {
    let mut directory = directory();
    let port = free_port();
    let section = TlsIdentity::new(&[HOST]).write(directory.path());
    directory.serve(&format!("listen = [\"https:127.0.0.1:{port}\"]"), &section);
    assert_eq!(ask(directory.path(), port, &[]).status, 200);
    // Another authority: only the new certificate is good for whoever trusts it. Nobody sends a signal.
    TlsIdentity::new(&[HOST]).write(directory.path());
    wait_for("the renewed certificate", PATIENCE, || {
        (ask(directory.path(), port, &[]).status == 200).then_some(())
    });
    // Not even a certificate; the one in use stays.
    std::fs::write(directory.path().join("web.pem"), "nothing").unwrap();
    directory.running().signal(Signal::HUP);
    wait_for("the complaint", PATIENCE, || {
        directory.log().contains("configuration NOT reloaded").then_some(())
    });
    assert_eq!(ask(directory.path(), port, &[]).status, 200);
    TlsIdentity::new(&[HOST]).write(directory.path());
    directory.running().signal(Signal::HUP);
    wait_for("the next certificate", PATIENCE, || {
        (ask(directory.path(), port, &[]).status == 200).then_some(())
    });
}

#[test]
fn each_name_gets_its_certificate() {
    let mut directory = directory();
    let port = free_port();
    let sections: Vec<String> = [HOST, "keys.beta.example"]
        .iter()
        .map(|name| {
            let dir = directory.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            TlsIdentity::new(&[name]).write(&dir)
        })
        .collect();
    directory.serve(&format!("listen = [\"https:127.0.0.1:{port}\"]"), &sections.concat());
    for name in [HOST, "keys.beta.example"] {
        let (ca, to) = (directory.path().join(name).join("ca.pem"), format!("{name}:{port}:127.0.0.1"));
        let url = format!("https://{name}:{port}{PATH}");
        assert_eq!(curl(&["--cacert", ca.to_str().unwrap(), "--resolve", &to, &url]).status, 200, "{name}");
    }
}

#[test]
fn requests_under_way_are_finished_and_new_ones_refused() {
    let mut directory = directory();
    let port = free_port();
    directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), "[hkp]\nsubmissions = \"pending\"\n");
    let mut idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut busy = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = "POST /pks/add HTTP/1.1\r\nHost: a\r\nContent-Type: application/pgp-keys\r\nContent-Length: 5\r\n\r\n";
    busy.write_all(head.as_bytes()).unwrap();
    busy.write_all(b"he").unwrap();
    // A request on the same server that was answered shows that the others were taken up.
    assert_eq!(curl(&[&format!("http://127.0.0.1:{port}{PATH}")]).status, 200);
    std::thread::sleep(std::time::Duration::from_millis(300));
    directory.running().signal(Signal::TERM);
    wait_for("draining", PATIENCE, || directory.log().contains("draining").then_some(()));
    wait_for("a refused connection", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).err());
    busy.write_all(b"llo").unwrap();
    let mut answer = String::new();
    busy.set_read_timeout(Some(PATIENCE)).unwrap();
    busy.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(directory.stop().success());
}

#[test]
fn sockets_of_systemd_are_taken_by_name() {
    let mut directory = directory();
    let port = free_port();
    let socket = directory.path().join("handed");
    directory.configure("listen = [\"http:systemd:web\", \"http:systemd:local\"]", "");
    // What systemd does: open descriptors from 3 on, and three variables.
    let script = r#"
        use IO::Socket::INET; use IO::Socket::UNIX; $^F = 9;
        my ($port, $path, @command) = @ARGV;
        my $web = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 9, ReuseAddr => 1) or die $!;
        my $local = IO::Socket::UNIX->new(Local => $path, Listen => 9) or die $!;
        die "descriptors" unless fileno($web) == 3 && fileno($local) == 4;
        @ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ($$, 2, "web:local");
        exec @command or die $!;
    "#;
    let mut perl = Command::new("perl");
    perl.args(["-e", script, &port.to_string()]).arg(&socket).arg(keydir_binary());
    perl.arg("serve").arg("--config").arg(directory.config());
    directory.start(&mut perl);
    assert_eq!(curl(&[&format!("http://127.0.0.1:{port}{PATH}")]).status, 200);
    let url = format!("http://x{PATH}");
    assert_eq!(curl(&["--unix-socket", socket.to_str().unwrap(), &url]).status, 200);
    assert!(directory.stop().success());
    // Whoever waits for sockets that nobody hands over says so at once.
    let alone = directory.command(&["serve"]);
    assert_eq!(alone.code, 78, "{}", alone.stderr);
    assert!(alone.stderr.contains("FileDescriptorName=web"), "{}", alone.stderr);
}

#[test]
fn mistakes_are_told_before_anything_is_served() {
    let directory = directory();
    directory.configure("lisden = [\"http:127.0.0.1:1\"]", "");
    let ran = directory.command(&["check-config"]);
    assert_eq!(ran.code, 78);
    assert!(ran.stderr.contains("did you mean `listen`"), "{}", ran.stderr);
    directory.configure("listen = [\"http:127.0.0.1:1\"]", "");
    let ran = directory.command(&["check-config"]).success();
    assert!(ran.text().contains("keydir.toml: ok"), "{}", ran.text());
    let place = directory.path().join("man");
    run(Command::new(keydir_binary()).arg("manual").arg(&place), b"").success();
    for page in std::fs::read_dir(&place).unwrap() {
        let page = page.unwrap().path();
        let lint = run(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&page), b"");
        assert_eq!((lint.code, lint.text().as_str()), (0, ""), "{}", page.display());
    }
    std::fs::remove_file(directory.publication().join("publication.db")).unwrap();
    let ran = directory.command(&["serve"]);
    assert_eq!(ran.code, 69, "{}", ran.stderr);
    assert!(ran.stderr.contains("gatepost keys publish"), "{}", ran.stderr);
}
