//! What other authorities revoked, asked of themselves: a list over HTTP, and openssl's OCSP responder.

use std::fs;
use std::fs::rename;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tests::Daemon;
use tests::PATIENCE;
use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::free_port;
use tests::messages;
use tests::pki::Issued;
use tests::pki::Leaf;
use tests::wait_for;

use super::domains::authorities;
use super::people::{find, openssl_signed};

const BOB: &str = "bob@beta.example";
const EVE: &str = "eve@gamma.example";
const TEXT: &str = "the vault opens at nine\r\n";
const FETCH: &str = "revocation = \"fetch\"\nrevocation_private_hosts = true\n";

/// A web server with one file; it lives as long as the test's process.
pub(crate) struct Web {
    port: u16,
    asked: Arc<AtomicUsize>,
    /// What it serves; nothing: it takes requests and never answers.
    file: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Web {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let web = Self { port, asked: Arc::default(), file: Arc::default() };
        let (asked, file) = (web.asked.clone(), web.file.clone());
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                assert!(request[..length].starts_with(b"GET /root.crl HTTP/1.1\r\n"));
                asked.fetch_add(1, Ordering::SeqCst);
                match &*file.lock().unwrap() {
                    Some(file) => {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
                        stream.write_all(&[head.as_bytes(), file].concat()).unwrap();
                    }
                    None => silent.push(stream),
                }
            }
        });
        web
    }

    /// The extension of a certificate that names the file.
    pub(crate) fn extension(&self) -> String {
        format!("crlDistributionPoints=URI:http://127.0.0.1:{}/root.crl", self.port)
    }

    pub(crate) fn serve(&self, list: Vec<u8>) {
        *self.file.lock().unwrap() = Some(list);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn issue(pki: &Pki, stem: &str, extensions: &str) -> Issued {
    let addresses = [EVE];
    pki.issue(stem, &Leaf { name: stem, extensions, ..Leaf::user(&addresses) })
}

/// The list of everything that was revoked, in DER.
pub(crate) fn list(pki: &Pki) -> Vec<u8> {
    pki.openssl(&["ca", "-config", "ca.cnf", "-gencrl", "-out", "root.crl"]);
    pki.openssl(&["crl", "-in", "root.crl", "-outform", "DER"])
}

fn beta(pki: &Pki, more: &str) -> Site {
    let policy = format!("[smime]\nanchors = [\"{}\"]\n{more}", pki.root().display());
    SitePlan::new("beta.example").policy(&policy).start()
}

/// Sends Bob what somebody signed as Eve, and gives what the gateway says about it.
fn result(site: &Site, pki: &Pki, who: &Issued) -> String {
    let before = site.postfix.mailbox("bob").len();
    let outcome = site.receive(EVE, &[BOB], &openssl_signed(pki, who, EVE, BOB, TEXT));
    assert!(outcome.accepted(), "{outcome:?}\n{}", site.gatepost.log());
    let mail = site.postfix.wait_mail("bob", before + 1).pop().unwrap();
    assert!(mail.text().contains("the vault opens"), "{mail:?}");
    mail.fields("Authentication-Results").join("\n")
}

#[test]
fn a_list_is_fetched_once_and_what_it_revokes_fails() {
    let (pki, web) = (Pki::new(), Web::start());
    let (good, bad) = (issue(&pki, "good", &web.extension()), issue(&pki, "bad", &web.extension()));
    pki.revoke(&bad);
    web.serve(list(&pki));
    let mut site = beta(&pki, FETCH);
    for _ in 0..2 {
        let result = result(&site, &pki, &good);
        assert!(result.contains("smime=pass"), "{result}\n{}", site.gatepost.log());
    }
    let failed = result(&site, &pki, &bad);
    assert!(failed.contains("smime=fail") && failed.contains("revoked"), "{failed}");
    assert_eq!(web.asked(), 1);
    // It is kept on disk until its nextUpdate.
    site.gatepost.restart();
    let after = result(&site, &pki, &good);
    assert!(after.contains("smime=pass"), "{after}");
    assert_eq!(web.asked(), 1);
}

#[test]
fn a_list_that_does_not_come_or_does_not_count_lets_nothing_pass() {
    let (pki, other, silent, foreign) = (Pki::new(), Pki::new(), Web::start(), Web::start());
    foreign.serve(list(&other));
    let site = beta(&pki, FETCH);
    for (stem, web, why) in
        [("silent", &silent, "no answer in time"), ("foreign", &foreign, "not one of the issuer")]
    {
        let who = issue(&pki, stem, &web.extension());
        let said = result(&site, &pki, &who);
        assert!(said.contains("smime=neutral") && !said.contains("pass"), "{said}");
        site.gatepost.wait_log(&["warn", "cannot fetch", why]);
        assert_eq!(web.asked(), 1);
    }
}

#[test]
fn nobody_is_asked_unless_told_to_and_private_hosts_only_if_allowed() {
    let (pki, web) = (Pki::new(), Web::start());
    let good = issue(&pki, "good", &web.extension());
    web.serve(list(&pki));
    let wary = beta(&pki, "revocation = \"fetch\"\n");
    let said = result(&wary, &pki, &good);
    assert!(said.contains("smime=neutral"), "{said}");
    wary.gatepost.wait_log(&["warn", "only private addresses"]);
    let quiet = beta(&pki, "");
    let said = result(&quiet, &pki, &good);
    assert!(said.contains("smime=pass"), "{said}");
    // A certificate that names nobody to ask.
    let fetching = beta(&pki, FETCH);
    let said = result(&fetching, &pki, &issue(&pki, "plain", ""));
    assert!(said.contains("smime=pass"), "{said}");
    assert_eq!(web.asked(), 0);
    // What comes from a stranger's authority makes us ask nobody.
    let stranger = Pki::new();
    let eve = issue(&stranger, "eve", &web.extension());
    let said = result(&fetching, &stranger, &eve);
    assert!(said.contains("smime=neutral"), "{said}");
    assert_eq!(web.asked(), 0);
}

/// openssl's responder for everything in the database of the authority.
pub(crate) fn responder(pki: &Pki, port: u16) -> Daemon {
    let port_text = port.to_string();
    let mut command = Command::new("openssl");
    command.current_dir(pki.dir()).args(["ocsp", "-index", "index.txt", "-CA", "root.pem", "-rsigner"]);
    command.args(["root.pem", "-rkey", "root.key", "-nmin", "60", "-port", &port_text]);
    let daemon = Daemon::start(&mut command, &pki.path("responder.log"), pki.dir());
    // Not by connecting: it waits for ever for the request of who went away.
    wait_for("the responder", PATIENCE, || daemon.log().contains("waiting for OCSP client").then_some(()));
    daemon
}

#[test]
fn a_responder_is_asked_once_and_a_dead_one_lets_nothing_pass() {
    let pki = Pki::new();
    let port = free_port();
    let extension = format!("authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/");
    let [good, bad, late] = ["good", "bad", "late"].map(|stem| issue(&pki, stem, &extension));
    pki.record(&good);
    pki.record(&late);
    pki.revoke(&bad);
    let site = beta(&pki, FETCH);
    let running = responder(&pki, port);
    let said = result(&site, &pki, &good);
    assert!(said.contains("smime=pass"), "{said}\n{}", site.gatepost.log());
    let said = result(&site, &pki, &bad);
    assert!(said.contains("smime=fail") && said.contains("revoked"), "{said}");
    drop(running);
    // What it said counts on; what it did not say cannot be told.
    let said = result(&site, &pki, &good);
    assert!(said.contains("smime=pass"), "{said}");
    let said = result(&site, &pki, &late);
    assert!(said.contains("smime=neutral") && !said.contains("pass"), "{said}");
    site.gatepost.wait_log(&["warn", "cannot fetch", "no connection"]);
}

/// Nobody tells the gateway that there is another list: it looks after the files by itself.
#[test]
fn a_new_list_in_a_file_is_in_force_soon() {
    let (pki, sink) = (Pki::new(), SmtpSink::start());
    let (alice, addresses) = ("alice@alpha.example", [BOB]);
    let bob = pki.issue("bob", &Leaf::user(&addresses));
    fs::create_dir(pki.path("lists")).unwrap();
    let policy = format!(
        "[policy]\nsign = \"always\"\nencrypt = \"opportunistic\"\n[smime]\nanchors = [\"{}\"]\ncrls = [\"{}\"]\n",
        pki.root().display(),
        pki.path("lists").display()
    );
    let alpha = SitePlan::new("alpha.example").policy(&policy).route("beta.example", sink.port());
    let mut alpha = alpha.prepare();
    authorities(&pki, &alpha, &[]);
    alpha.gatepost.command(&["keys", "import", &bob.certificate.to_string_lossy()]).success();
    alpha.gatepost.start();
    let send = || alpha.submit(alice, &[BOB], &messages::plain(alice, BOB, "offer", TEXT));
    let read = || alpha.gatepost.log().matches("revocation lists read again").count();
    let put = |more: &[&str]| {
        let before = read();
        pki.openssl(&[&["ca", "-config", "ca.cnf", "-gencrl", "-out", "new.crl"], more].concat());
        rename(pki.path("new.crl"), pki.path("lists/root.crl")).unwrap();
        wait_for("the list to be read", PATIENCE, || (read() > before).then_some(()));
    };
    put(&["-crl_lastupdate", "20250101000000Z", "-crl_nextupdate", "20250102000000Z"]);
    let outcome = send();
    assert!(outcome.end.is_temporary(), "{outcome:?}");
    // A signature about which nothing is known does not pass.
    let eve = issue(&pki, "eve", "");
    let outcome = alpha.receive(EVE, &[alice], &openssl_signed(&pki, &eve, EVE, alice, TEXT));
    assert!(outcome.accepted(), "{outcome:?}");
    let mail = alpha.postfix.wait_mail("alice", 1).pop().unwrap();
    assert!(mail.fields("Authentication-Results").iter().all(|result| !result.contains("pass")), "{mail:?}");
    pki.openssl(&["ca", "-config", "ca.cnf", "-revoke", &bob.certificate.to_string_lossy()]);
    put(&[]);
    // Bob's only certificate is revoked: certainly no key, which opportunistic encryption passes over; here every
    // mail is signed, so nothing of it is claimed to be hidden.
    let outcome = send();
    assert!(outcome.accepted(), "{outcome:?}");
    let data = sink.wait(1).pop().unwrap().data;
    assert!(find(&data, b"multipart/signed") && !find(&data, b"enveloped-data"));
}
