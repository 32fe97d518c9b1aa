//! Look-ups in the Web Key Directory: gatepost-keydir against nginx, which serves the same certificates as files.
//!
//! Both are asked by wrk over kept-alive connections on loopback, for the same mailboxes in turn, and take turns in
//! each round.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tests::Daemon;
use tests::Gpg;
use tests::KeyDirectory;
use tests::PATIENCE;
use tests::TlsIdentity;
use tests::curl;
use tests::free_port;
use tests::run;
use tests::wait_for;

use crate::absence;
use crate::absence::Absence;
use crate::document::Target;
use crate::effort::Effort;
use crate::statistics::Spread;

/// Mailboxes with a certificate.
const MAILBOXES: usize = 200;
/// Connections that are kept open.
const CONNECTIONS: usize = 32;
const DOMAIN: &str = "alpha.example";
/// Who wants as many look-ups as it can get.
const LIMITS: &str = "[limits]\nrequests_per_minute = 100000000\nburst = 10000000\nrequests_per_minute_of_all = 100000000\n\
                      connections_per_network = 1000\nconnection_seconds = 86400\n";

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Mailboxes with a certificate, over plain HTTP, as behind a proxy.
    Found,
    /// The same over TLS.
    FoundTls,
    /// Mailboxes that there are not.
    Nothing,
    /// The same, and nobody has asked for them before.
    New,
}

impl Way {
    const ALL: [Self; 4] = [Self::Found, Self::FoundTls, Self::Nothing, Self::New];

    fn name(self) -> &'static str {
        match self {
            Self::Found => "found, HTTP",
            Self::FoundTls => "found, HTTPS",
            Self::Nothing => "not there, HTTP",
            Self::New => "not there and never asked for before, HTTP",
        }
    }
}

/// Look-ups per second and the time within which 99 of 100 were answered, milliseconds; one entry for each round.
#[derive(Clone, Debug, Default)]
struct Figures {
    rates: Vec<f64>,
    slow: Vec<f64>,
}

/// The figures of both, for each way.
#[derive(Debug)]
pub(crate) struct Wkd {
    ways: Vec<(Way, [Figures; 2])>,
    absence: Absence,
}

/// Measures both.
pub(crate) fn measure(effort: &Effort) -> Wkd {
    eprintln!("bench: wkd");
    let (directory, addresses) = published();
    let [http, https, nginx_http, nginx_https] = [free_port(), free_port(), free_port(), free_port()];
    let mut directory = directory;
    let tls = TlsIdentity::new(&["localhost"]).write(directory.path());
    let listen = format!("listen = [\"http:127.0.0.1:{http}\", \"https:127.0.0.1:{https}\"]");
    directory.serve(&listen, &format!("{tls}{LIMITS}"));
    let files = as_files(&directory);
    let _nginx = nginx(directory.path(), &files, nginx_http, nginx_https);
    same_answers(http, nginx_http, &addresses);
    let mut ways = Vec::new();
    for way in Way::ALL {
        let ports = match way {
            Way::FoundTls => [("https", https), ("https", nginx_https)],
            _ => [("http", http), ("http", nginx_http)],
        };
        let script = script(directory.path(), way, &addresses);
        let mut figures = [Figures::default(), Figures::default()];
        // One round more, to warm up.
        for round in 0..=effort.rounds {
            for (figures, (scheme, port)) in figures.iter_mut().zip(ports) {
                let (rate, slow) = wrk(&script, &format!("{scheme}://localhost:{port}"), effort);
                if round > 0 {
                    figures.rates.push(rate);
                    figures.slow.push(slow);
                }
            }
        }
        ways.push((way, figures));
    }
    Wkd { ways, absence: absence::measure(effort, LIMITS) }
}

/// A publication with many mailboxes, and their addresses.
fn published() -> (KeyDirectory, Vec<String>) {
    let addresses: Vec<String> = (0..MAILBOXES).map(|number| format!("user{number}@{DOMAIN}")).collect();
    let mut batch = String::new();
    for address in &addresses {
        let _ = write!(
            batch,
            "%no-protection\nKey-Type: eddsa\nKey-Curve: ed25519\nSubkey-Type: ecdh\nSubkey-Curve: cv25519\n\
             Name-Email: {address}\nExpire-Date: 1y\n%commit\n"
        );
    }
    let gpg = Gpg::new();
    gpg.run(&["--generate-key"], batch.as_bytes()).success();
    let directory = KeyDirectory::new(&[DOMAIN]);
    directory.publish(&gpg.run(&["--export"], b"").success().stdout);
    (directory, addresses)
}

fn path(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap();
    format!("/.well-known/openpgpkey/{domain}/hu/{}", keydir::wkd_hash(local))
}

/// The same as static files; gives the root of the web server.
fn as_files(directory: &KeyDirectory) -> PathBuf {
    let place = directory.path().join("files");
    directory.command(&["export-wkd", place.to_str().unwrap()]).success();
    place.join(format!("openpgpkey.{DOMAIN}"))
}

fn nginx(dir: &Path, files: &Path, http: u16, https: u16) -> Daemon {
    let (place, files) = (dir.display(), files.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {place}/{name};\n"))
        .concat();
    let configuration = format!(
        "daemon off;\nuser root;\npid {place}/nginx.pid;\nerror_log {place}/nginx.log;\nworker_processes auto;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n{temporary}  access_log off;\n  log_not_found off;\n  sendfile on;\n  tcp_nopush on;\n\
         keepalive_requests 100000000;\n  default_type application/octet-stream;\n  server {{\n    listen 127.0.0.1:{http};\n\
         listen 127.0.0.1:{https} ssl;\n    ssl_certificate {place}/web.pem;\n    ssl_certificate_key {place}/web.key;\n\
         root {files};\n    add_header Access-Control-Allow-Origin *;\n  }}\n}}\n"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    let daemon =
        Daemon::start(command.arg("-c").arg(&file), &dir.join("nginx.out"), &dir.join("nginx.scratch"));
    wait_for("nginx", PATIENCE, || TcpStream::connect(("127.0.0.1", http)).ok());
    daemon
}

/// A comparison of different things would be none.
fn same_answers(http: u16, nginx: u16, addresses: &[String]) {
    for address in [&addresses[0], &addresses[MAILBOXES / 2], &"nobody@alpha.example".to_owned()] {
        let ask = |port| curl(&[&format!("http://127.0.0.1:{port}{}", path(address))]);
        let (ours, theirs) = (ask(http), ask(nginx));
        assert_eq!(ours.status, theirs.status, "{address}");
        assert!(ours.status == 404 || ours.body == theirs.body, "{address}");
    }
}

/// What wrk asks: all mailboxes in turn, or hashes that never come again.
fn script(dir: &Path, way: Way, addresses: &[String]) -> PathBuf {
    let paths: Vec<String> = match way {
        Way::Nothing => (0..MAILBOXES).map(|number| path(&format!("nobody{number}@{DOMAIN}"))).collect(),
        _ => addresses.iter().map(|address| path(address)).collect(),
    };
    let list: String = paths.iter().map(|path| format!("\"{path}\",")).collect();
    let request = match way {
        Way::New => {
            "at = at + 1 local hash = string.format(\"%032d\", at):gsub(\"[02]\", {[\"0\"] = \"y\", [\"2\"] = \"b\"}) \
             return wrk.format(\"GET\", paths[1]:sub(1, -33) .. hash)"
        }
        _ => "at = at % #requests + 1 return requests[at]",
    };
    let file = dir.join("ask.lua");
    let text = format!(
        "paths = {{{list}}}\nrequests = {{}}\nat = os.time() * 1000000\nfunction init() at = at % 1000000000000000 \
         for i, path in ipairs(paths) do requests[i] = wrk.format(\"GET\", path) end end\nfunction request() {request} end\n"
    );
    fs::write(&file, text).unwrap();
    file
}

/// Look-ups per second, and the 99th percentile in milliseconds.
fn wrk(script: &Path, url: &str, effort: &Effort) -> (f64, f64) {
    let seconds = if effort.is_quick { 2 } else { 4 };
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--connections", &CONNECTIONS.to_string(), "--latency"]);
    command.args(["--duration", &format!("{seconds}s"), "--script"]).arg(script).arg(url);
    let said = run(&mut command, b"").success().text();
    let word = |start: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start} in: {said}")).trim().to_owned()
    };
    let rate = word("Requests/sec:").parse().unwrap();
    (rate, milliseconds(&word("99%")))
}

/// wrk writes `812.00us`, `1.20ms` or `2.00s`.
fn milliseconds(text: &str) -> f64 {
    let unit = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)]
        .into_iter()
        .find_map(|(unit, times)| Some((text.strip_suffix(unit)?, times)));
    let (number, times) = unit.unwrap();
    number.parse::<f64>().unwrap() * times
}

impl Wkd {
    /// The goals: half of what files give.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let asked_again = self.ways.iter().filter(|(way, _)| !matches!(way, Way::New));
        let target = |(way, [ours, theirs]): &(Way, [Figures; 2])| {
            let what = format!("Web Key Directory, {}: look-ups/s of nginx serving files ×", way.name());
            Target::new(what, 0.5, true, Some(Spread::of_ratios(&ours.rates, &theirs.rates)))
        };
        asked_again.map(target).collect()
    }

    /// The section of the document.
    pub(crate) fn write(&self, out: &mut String) {
        let _ = write!(
            out,
            "\n## Web Key Directory\n\ngatepost-keydir, which remembers what it looked up until the publication changes, against nginx with the same {MAILBOXES} \
             certificates that export-wkd wrote as files; wrk with one thread and {CONNECTIONS} kept connections on the same machine. Time is that within which 99 of \
             100 look-ups were answered.\n\n| asked | look-ups/s ÷ nginx | look-ups/s | of nginx | p99 ÷ nginx | p99 ms | of nginx |\n|---|---|---|---|---|---|---|\n"
        );
        for (way, [ours, theirs]) in &self.ways {
            let median = |values: &[f64]| Spread::of(values.iter().copied()).median;
            let _ = writeln!(
                out,
                "| {} | {} | {:.0} | {:.0} | {} | {:.2} | {:.2} |",
                way.name(),
                Spread::of_ratios(&ours.rates, &theirs.rates),
                median(&ours.rates),
                median(&theirs.rates),
                Spread::of_ratios(&ours.slow, &theirs.slow),
                median(&ours.slow),
                median(&theirs.slow),
            );
        }
        self.absence.write(out);
    }
}
