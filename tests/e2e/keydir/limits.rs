//! Limits: for each client network, for connections, and for those who take their time.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tests::Daemon;
use tests::Gpg;
use tests::KeyDirectory;
use tests::PATIENCE;
use tests::curl;
use tests::free_port;
use tests::wait_for;

const PATH: &str = "/.well-known/openpgpkey/alpha.example/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q";
const NOBODY: &str = "/.well-known/openpgpkey/alpha.example/hu/4hg7tescnttreaouu4z1izeuuyibwww1";

fn directory() -> KeyDirectory {
    let gpg = Gpg::new();
    gpg.generate("Joe Doe <joe.doe@alpha.example>");
    let directory = KeyDirectory::new(&["alpha.example"]);
    directory.publish(&gpg.certificate("joe.doe"));
    directory
}

#[test]
fn who_asks_too_often_waits_whether_there_is_something_or_not() {
    let mut directory = directory();
    let port = free_port();
    let limits = "[limits]\nrequests_per_minute = 1\nburst = 4\n";
    directory
        .serve(&format!("listen = [\"http:127.0.0.1:{port}\"]\ntrusted_proxies = [\"127.0.0.1\"]"), limits);
    let ask = |client: &str, path: &str| {
        let (from, url) = (format!("X-Forwarded-For: {client}"), format!("http://127.0.0.1:{port}{path}"));
        let mut answer = curl(&["-H", &from, &url]);
        answer.headers.remove("date");
        answer
    };
    let mut last = Vec::new();
    for (network, path) in [
        ("192.0.2", PATH),
        ("198.51.100", NOBODY),
        ("203.0.113", "/pks/lookup?op=get&search=a@alpha.example"),
    ] {
        let first: Vec<u16> = (1..=4).map(|host| ask(&format!("{network}.{host}"), path).status).collect();
        assert!(first.iter().all(|status| *status != 429), "{first:?}");
        last.push(ask(&format!("{network}.200"), path));
    }
    assert_eq!(last[0].status, 429);
    let wait: u32 = last[0].header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // Without the seconds that passed meanwhile.
    for answer in &mut last {
        answer.headers.remove("retry-after");
    }
    assert!(last.iter().all(|answer| *answer == last[0]), "{last:?}");
    // Every network by itself, an IPv6 one by its /56.
    assert_eq!(ask("2001:db8::1", PATH).status, 200);
    for host in 0..3 {
        ask(&format!("2001:db8:0:{host}::1"), PATH);
    }
    assert_eq!(ask("2001:db8:0:ff::9", PATH).status, 429);
    assert_eq!(ask("2001:db8:0:100::9", PATH).status, 200);
}

#[test]
fn nobody_but_a_trusted_proxy_says_who_asks() {
    let mut directory = directory();
    let port = free_port();
    directory.serve(
        &format!("listen = [\"http:127.0.0.1:{port}\"]"),
        "[limits]\nrequests_per_minute = 1\nburst = 3\n",
    );
    let ask = |client: usize| {
        let from = format!("X-Forwarded-For: 192.0.{client}.1");
        curl(&["-H", &from, &format!("http://127.0.0.1:{port}{PATH}")]).status
    };
    let answers: Vec<u16> = (0..5).map(ask).collect();
    assert_eq!(answers, [200, 200, 200, 429, 429]);
}

#[test]
fn nginx_stands_in_front_and_names_the_client() {
    let mut directory = directory();
    let (port, place) = (free_port(), directory.path().display().to_string());
    let lines = format!("listen = [\"unix:{place}/http\"]\ntrusted_proxies = [\"unix\"]");
    directory.serve(&lines, "[limits]\nrequests_per_minute = 1\nburst = 2\n");
    let configuration = format!(
        "daemon off;\npid {place}/nginx.pid;\nerror_log {place}/nginx.log;\nuser root;\nevents {{}}\nhttp {{\n  access_log off;\n\
         client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u;\n\
         scgi_temp_path {place}/s;\n  server {{\n    listen 127.0.0.1:{port};\n    location / {{\n\
         proxy_pass http://unix:{place}/http;\n      proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n    }}\n  }}\n}}\n"
    );
    let file = directory.path().join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut nginx = Command::new("/usr/sbin/nginx");
    let log = directory.path().join("nginx.out");
    let _nginx = Daemon::start(nginx.arg("-c").arg(&file), &log, &directory.path().join("nginx.scratch"));
    wait_for("nginx", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok());
    let direct = PATH.replace("/alpha.example", "");
    let url = format!("http://127.0.0.1:{port}{direct}");
    // What the client itself forwards stands before what nginx adds, and is not believed.
    let ask = |n: u32| {
        curl(&["-H", "Host: alpha.example", "-H", &format!("X-Forwarded-For: 192.0.{n}.1"), &url]).status
    };
    assert_eq!([ask(1), ask(2), ask(3)], [200, 200, 429], "{}", directory.log());
}

#[test]
fn who_sends_nothing_or_half_a_request_is_left_and_others_are_served_meanwhile() {
    let mut directory = directory();
    let port = free_port();
    let limits = "[limits]\nheader_seconds = 1\nrequest_seconds = 2\nconnections_per_network = 8\n";
    directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), limits);
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut silent, mut slow, mut idle) = (connect(), connect(), connect());
    slow.write_all(b"GET / HTTP/1.1\r\nHost: a").unwrap();
    idle.write_all(format!("GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(curl(&[&format!("http://127.0.0.1:{port}{PATH}")]).status, 200);
    for stream in [&mut silent, &mut slow, &mut idle] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap_or_default();
        // It ended, or we would have waited in vain.
    }
    // A body that does not come: the request has a time, too.
    let mut post = connect();
    post.write_all(b"POST /pks/add HTTP/1.1\r\nHost: a\r\nContent-Type: application/pgp-keys\r\nContent-Length: 9\r\n\r\n").unwrap();
    post.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 12];
    post.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
}

#[test]
fn a_request_to_the_ldap_door_that_comes_drop_by_drop_has_a_time_for_the_whole_of_it() {
    let mut directory = directory();
    let (port, ldap) = (free_port(), free_port());
    let sections = format!("[limits]\nrequest_seconds = 1\n[ldap]\nlisten = [\"ldap:127.0.0.1:{ldap}\"]\n");
    directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), &sections);
    let mut slow = TcpStream::connect(("127.0.0.1", ldap)).unwrap();
    slow.write_all(&[0x30, 0x82, 0x20, 0x00]).unwrap();
    slow.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    wait_for("the connection to end", PATIENCE, || {
        let still_open = slow.write_all(&[0x04]).is_ok();
        (!still_open || matches!(slow.read(&mut [0]), Ok(0))).then_some(())
    });
}

#[test]
fn a_network_has_so_many_connections() {
    let mut directory = directory();
    let (port, metrics) = (free_port(), free_port());
    let lines = format!("listen = [\"http:127.0.0.1:{port}\"]\nmetrics = \"127.0.0.1:{metrics}\"");
    directory.serve(&lines, "[limits]\nconnections_per_network = 3\nheader_seconds = 60\n");
    let held: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let metric = |name: &str| {
        let text = curl(&[&format!("http://127.0.0.1:{metrics}/metrics")]).text();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    wait_for("three connections", PATIENCE, || (metric("gatepost_keydir_connections ") == 3).then_some(()));
    let url = format!("http://127.0.0.1:{port}{PATH}");
    assert_eq!(curl(&[&url]).status, 0, "closed without a word");
    assert!(metric("gatepost_keydir_connections_refused_total") >= 1);
    drop(held);
    wait_for("room again", PATIENCE, || (curl(&[&url]).status == 200).then_some(()));
    assert!(metric("gatepost_keydir_requests_total{door=\"wkd\",answer=\"found\"}") >= 1);
}

#[test]
fn headers_that_do_not_end_are_refused() {
    let mut directory = directory();
    let port = free_port();
    directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), "");
    let url = format!("http://127.0.0.1:{port}{PATH}");
    let long = format!("X-Long: {}", "a".repeat(20_000));
    assert_eq!(curl(&["-H", &long, &url]).status, 431);
    let many: Vec<String> = (0..200).flat_map(|n| ["-H".to_owned(), format!("X-{n}: 1")]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(curl(&[&many[..], &[&url]].concat()).status, 431);
    let query = format!("{url}?l={}", "a".repeat(20_000));
    assert!(matches!(curl(&[&query]).status, 414 | 431));
    std::thread::sleep(Duration::ZERO);
    assert_eq!(curl(&[&url]).status, 200);
}
