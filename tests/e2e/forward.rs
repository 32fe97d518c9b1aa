//! Mail that an alias or a forward sends out again: Postfix expands those after the milter, so only a
//! second pass of the same milter, on the way out, sees where the mail really goes.
//!
//! The set-up is that of docs/operating.md, "Forwards and aliases". `localhost` stands for the partner's
//! domain, because it is the one name that resolves everywhere without DNS; Postfix's own `smtp`
//! service, told to use the sink's port, is the way out.

use tempfile::TempDir;
use tests::Gpg;
use tests::Received;
use tests::Site;
use tests::SitePlan;
use tests::SmtpClient;
use tests::SmtpSink;
use tests::SmtpTap;
use tests::armored_message;
use tests::free_port;
use tests::messages;

const STRANGER: &str = "alice@alpha.example";
const ALICE: &str = "alice@beta.example";
/// Has a certificate.
const DAVE: &str = "dave@localhost";
/// Has none.
const ERIN: &str = "erin@localhost";
const REQUIRED: &str = "[partner.\"localhost\"]\nencrypt = \"required\"";
const SECRET: &str = "the vault opens at nine";

/// Addresses of beta.example that lead to DAVE: a virtual alias, one of aliases(5), a .forward.
const WAYS: [&str; 3] = ["virtual@beta.example", "alias@beta.example", "nobody@beta.example"];

struct World {
    beta: Site,
    /// What left.
    sink: SmtpSink,
    /// What came back to alpha.example.
    home: SmtpSink,
    keys: Gpg,
    /// The road to the second pass.
    road: Option<SmtpTap>,
    _files: TempDir,
}

/// Beta's site; with the second pass, or as Postfix comes.
fn world(second_pass: bool, policy: &str) -> World {
    world_with(second_pass, policy, &[])
}

/// The same, with parameters of main.cf of its own.
fn world_with(second_pass: bool, policy: &str, parameters: &[(&str, &str)]) -> World {
    let (sink, home) = (SmtpSink::start(), SmtpSink::start());
    let mut plan = SitePlan::new("beta.example").route("alpha.example", home.port()).policy(policy);
    let files = tests::directory("forward");
    let path = |name: &str| files.path().join(name).display().to_string();
    std::fs::create_dir(files.path().join("home")).unwrap();
    std::fs::write(path("home/nobody"), format!("{DAVE}\n")).unwrap();
    let aliases = format!("alias {DAVE}\nboth {DAVE}, {ERIN}\nnowhere {ERIN}\n");
    std::fs::write(path("aliases"), aliases).unwrap();
    let mut postfix = plan.postfix;
    for (name, value) in [
        ("virtual_alias_maps", format!("inline:{{virtual@beta.example={DAVE}}}")),
        ("mydestination", "beta.example".to_owned()),
        ("virtual_mailbox_domains", String::new()),
        ("alias_maps", format!("texthash:{}", path("aliases"))),
        ("forward_path", format!("{}/$user", path("home"))),
        ("smtp_tcp_port", sink.port().to_string()),
        ("default_transport", "smtp".to_owned()),
    ] {
        postfix = postfix.parameter(name, &value);
    }
    postfix = postfix.service("local unix - n n - - local\n");
    let mut road = None;
    if second_pass {
        let listener = free_port();
        let tap = SmtpTap::start(free_port(), listener);
        postfix = postfix
            .parameter("default_transport", &format!("egress:[127.0.0.1]:{}", tap.port()))
            .parameter("egress_destination_recipient_limit", "1")
            .parameter("address_verify_default_transport", "smtp")
            .parameter("bounce_size_limit", "1")
            .service(&egress_services(listener));
        road = Some(tap);
    }
    for (name, value) in parameters {
        postfix = postfix.parameter(name, value);
    }
    plan.postfix = postfix;
    let keys = Gpg::new();
    keys.generate(DAVE);
    let mut beta = plan.prepare();
    beta.gatepost.generate(&["--domain", "beta.example"]);
    beta.gatepost.import(&["--for", DAVE], &keys.certificate(DAVE));
    beta.gatepost.start();
    World { beta, sink, home, keys, road, _files: files }
}

/// What docs/operating.md adds to master.cf.
fn egress_services(listener: u16) -> String {
    format!(
        "egress unix - - n - - smtp
    -o smtp_send_xforward_command=yes
    -o smtp_tls_security_level=none
    -o smtp_sasl_auth_enable=no
    -o smtp_generic_maps=
    -o smtp_header_checks=
127.0.0.1:{listener} inet n - n - - smtpd
    -o milter_macro_daemon_name=EGRESS
    -o content_filter=smtp:
    -o receive_override_options=no_address_mappings,no_header_body_checks,no_unknown_recipient_checks
    -o mynetworks=127.0.0.0/8
    -o smtpd_authorized_xforward_hosts=127.0.0.0/8
    -o smtpd_client_restrictions=
    -o smtpd_helo_restrictions=
    -o smtpd_sender_restrictions=
    -o smtpd_relay_restrictions=permit_mynetworks,reject
    -o smtpd_recipient_restrictions=permit_mynetworks,reject
    -o smtpd_data_restrictions=
    -o smtpd_end_of_data_restrictions=
    -o smtpd_tls_security_level=none
"
    )
}

impl World {
    /// A stranger's mail to one of beta's addresses.
    fn receive(&self, to: &str, message: &[u8]) {
        let outcome = self.beta.receive(STRANGER, &[to], message);
        assert!(outcome.accepted(), "{outcome:?}\n{}", self.beta.gatepost.log());
    }

    /// Waits for the next message that leaves.
    #[track_caller]
    fn left(&self, count: usize) -> Received {
        let start = std::time::Instant::now();
        loop {
            if let Some(received) = self.sink.received().get(count - 1) {
                return received.clone();
            }
            let logs = || format!("{}\n{}", self.beta.postfix.log(), self.beta.gatepost.log());
            assert!(start.elapsed() < tests::PATIENCE, "{count} messages did not leave:\n{}", logs());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Checks that a message is sealed to DAVE, and gives what is inside.
    #[track_caller]
    fn sealed_to_dave(&self, received: &Received) -> String {
        let text = String::from_utf8_lossy(&received.data);
        assert!(!text.contains(SECRET), "{text}");
        let opened = self.keys.decrypt(armored_message(&received.data).expect("it is encrypted"));
        assert!(opened.decrypted(), "{opened:?}");
        assert_eq!(opened.encrypted_to(), [self.keys.encryption_key(DAVE)]);
        String::from_utf8_lossy(&opened.plaintext).into_owned()
    }

    /// Whether a text left in clear, for whomever.
    fn leaked(&self, text: &str) -> bool {
        let all = self.sink.received().into_iter().chain(self.home.received());
        all.into_iter().any(|one| String::from_utf8_lossy(&one.data).contains(text))
    }

    fn road(&self) -> &SmtpTap {
        self.road.as_ref().unwrap()
    }
}

fn plain(to: &str, subject: &str) -> Vec<u8> {
    messages::plain(STRANGER, to, subject, SECRET)
}

/// Without the fields that Postfix puts on top.
fn without_trace(message: &[u8]) -> &[u8] {
    let start = message.windows(5).position(|window| window == b"From:");
    &message[start.expect("a From field")..]
}

#[test]
fn the_manual_has_the_lines_that_are_tested_here() {
    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md")).unwrap();
    for line in egress_services(10027).lines() {
        assert!(manual.contains(&format!("    {}\n", line.replacen("    -o", "  -o", 1))), "{line}");
    }
    for line in [
        "default_transport = egress:[127.0.0.1]:10027",
        "egress_destination_recipient_limit = 1",
        "address_verify_default_transport = smtp",
        "bounce_size_limit = 1",
    ] {
        assert!(manual.contains(&format!("    {line}\n")), "{line}");
    }
}

#[test]
fn without_a_second_pass_forwarded_mail_leaves_in_clear() {
    let world = world(false, REQUIRED);
    for (number, way) in WAYS.into_iter().enumerate() {
        world.receive(way, &plain(way, "forward me"));
        let received = world.left(number + 1);
        assert_eq!(received.to, [DAVE], "{way}");
        assert!(String::from_utf8_lossy(&received.data).contains(SECRET), "the hole is gone: {way}");
    }
}

#[test]
fn wherever_mail_is_forwarded_the_second_pass_seals_it() {
    let world = world(true, REQUIRED);
    for (number, way) in WAYS.into_iter().enumerate() {
        world.receive(way, &plain(way, "forward me"));
        let received = world.left(number + 1);
        assert_eq!((received.from.as_str(), received.to.as_slice()), (STRANGER, &[DAVE.to_owned()][..]));
        assert!(world.sealed_to_dave(&received).contains(SECRET), "{way}");
    }
    world.beta.postfix.wait_idle();
    assert_eq!(world.sink.received().len(), WAYS.len(), "each exactly once");
}

#[test]
fn a_forward_that_cannot_be_sealed_is_returned_and_does_not_hold_up_the_others() {
    let world = world(true, REQUIRED);
    world.receive("both@beta.example", &plain("both@beta.example", "to two"));
    let received = world.left(1);
    assert_eq!(received.to, [DAVE]);
    world.sealed_to_dave(&received);
    let bounce = world.home.wait(1).remove(0);
    assert_eq!((bounce.from.as_str(), bounce.to.as_slice()), ("", &[STRANGER.to_owned()][..]));
    let text = String::from_utf8_lossy(&bounce.data).into_owned();
    assert!(text.contains("encryption is required for erin@localhost"), "{text}");
    world.beta.postfix.wait_idle();
    assert_eq!(world.sink.received().len(), 1, "nothing left for Erin");
}

#[test]
fn mail_that_was_opened_on_arrival_does_not_leave_in_clear_whatever_the_policy_of_its_target() {
    let world = world(true, "");
    let certificate = world.beta.gatepost.export(&["--domain", "beta.example"]);
    let domain_key = world.keys.import(&certificate).fingerprint_in(&certificate);
    let inside = format!("Content-Type: text/plain\r\n\r\n{SECRET}\r\n");
    let sealed = world.keys.seal(None, &[&domain_key], inside.as_bytes());
    let message = |to: &str| messages::pgp_mime(STRANGER, to, "sealed for beta", &sealed);

    world.receive("alias@beta.example", &message("alias@beta.example"));
    let received = world.left(1);
    assert!(world.sealed_to_dave(&received).contains(SECRET));
    world.beta.gatepost.wait_log(&["to=<alias@beta.example>", "action=open"]);
    world.beta.gatepost.wait_log(&["to=<dave@localhost>", "action=encrypt"]);

    world.receive("nowhere@beta.example", &message("nowhere@beta.example"));
    let bounce = world.home.wait(1).remove(0);
    let text = String::from_utf8_lossy(&bounce.data).into_owned();
    assert!(text.contains("arrived encrypted and"), "{text}");
    assert!(!text.contains(SECRET), "the notice returns the header only: {text}");
    world.beta.postfix.wait_idle();
    assert_eq!(world.sink.received().len(), 1);
}

#[test]
fn a_bounce_does_not_carry_what_was_opened_home_in_clear() {
    // Postfix left to itself returns up to 50 kB of the message. Erin, for whom there is no certificate,
    // writes sealed mail to an address that leads back to herself: refused on the way out, then
    // returned, both to her.
    for (limit, notices) in [("50000", 0), ("1", 1)] {
        let world = world_with(true, "", &[("bounce_size_limit", limit)]);
        let certificate = world.beta.gatepost.export(&["--domain", "beta.example"]);
        let domain_key = world.keys.import(&certificate).fingerprint_in(&certificate);
        let inside = format!("Content-Type: text/plain\r\n\r\n{SECRET}\r\n");
        let sealed = world.keys.seal(None, &[&domain_key], inside.as_bytes());
        let message = messages::pgp_mime(ERIN, "nowhere@beta.example", "sealed for beta", &sealed);
        assert!(world.beta.receive(ERIN, &["nowhere@beta.example"], &message).accepted());
        world.beta.gatepost.wait_log(&["from=<>", "to=<erin@localhost>"]);
        world.beta.postfix.wait_idle();
        let received = world.sink.received();
        assert_eq!(received.len(), notices, "{limit}: {received:?}");
        for notice in received {
            assert!(!String::from_utf8_lossy(&notice.data).contains(SECRET), "{notice:?}");
        }
        assert!(!world.leaked(SECRET));
    }
}

#[test]
fn our_own_mail_passes_the_second_time_byte_for_byte() {
    let world = world(true, "[policy]\nsign = \"always\"");
    let message = messages::plain(ALICE, &format!("{DAVE}, {ERIN}"), "news", SECRET);
    let outcome = world.beta.submit(ALICE, &[DAVE, ERIN], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", world.beta.gatepost.log());
    world.left(2);
    world.beta.postfix.wait_idle();
    let (received, between) = (world.sink.received(), world.road().messages());
    assert_eq!((received.len(), between.len()), (2, 2));
    for one in &received {
        let same = between.iter().any(|other| without_trace(other) == without_trace(&one.data));
        assert!(same, "changed on the second pass: {}", String::from_utf8_lossy(&one.data));
    }
    let dave = received.iter().find(|one| one.to == [DAVE]).unwrap();
    assert!(world.sealed_to_dave(dave).contains(SECRET));
    let erin = received.iter().find(|one| one.to == [ERIN]).unwrap();
    let text = String::from_utf8_lossy(&erin.data).into_owned();
    assert_eq!(text.matches("multipart/signed").count(), 1, "signed once: {text}");
}

#[test]
fn a_stranger_does_not_get_our_signature_through_a_forward() {
    let world = world(true, "[policy]\nsign = \"always\"");
    // He claims to be Alice; beta's listener for the world does not believe him, and neither may the second.
    let message = messages::plain(ALICE, "nowhere@beta.example", "forged", SECRET);
    world.receive("nowhere@beta.example", &message);
    let received = world.left(1);
    assert_eq!(received.to, [ERIN]);
    assert!(received.data.ends_with(&message), "{}", String::from_utf8_lossy(&received.data));
}

#[test]
fn mail_of_programs_and_bounces_leave_by_the_second_pass_and_go_round_once() {
    let world = world(true, REQUIRED);
    let message = format!("From: {ALICE}\nTo: {DAVE}\nSubject: cron\n\n{SECRET}\n");
    world.beta.postfix.sendmail(ALICE, &[DAVE], message.as_bytes());
    assert!(world.sealed_to_dave(&world.left(1)).contains(SECRET));

    // A mail from the partner that cannot be delivered: Postfix's notice to him is sealed like any mail.
    let message = messages::plain(DAVE, "gone@beta.example", "hello", SECRET);
    let outcome = world.beta.receive(DAVE, &["gone@beta.example"], &message);
    assert!(outcome.accepted(), "{outcome:?}");
    let bounce = world.left(2);
    assert_eq!((bounce.from.as_str(), bounce.to.as_slice()), ("", &[DAVE.to_owned()][..]));
    assert!(world.sealed_to_dave(&bounce).contains("gone@beta.example"));
    world.beta.postfix.wait_idle();
    assert_eq!(world.sink.received().len(), 2);
    assert_eq!(world.road().messages().len(), 2);
}

#[test]
fn delivery_options_and_the_clients_name_reach_the_second_pass() {
    let world = world(true, REQUIRED);
    let mut client = SmtpClient::connect(world.beta.postfix.ports.submission);
    assert_eq!(client.mail_with(ALICE, "RET=HDRS ENVID=trip-7").code, 250);
    assert_eq!(client.command(&format!("RCPT TO:<{DAVE}> NOTIFY=SUCCESS ORCPT=rfc822;{DAVE}")).code, 250);
    assert_eq!(client.data(&messages::plain(ALICE, DAVE, "news", SECRET)).code, 250);
    world.sealed_to_dave(&world.left(1));
    let dialogue = world.road().transcript().join("\n");
    for option in ["RET=HDRS", "ENVID=trip-7", "NOTIFY=SUCCESS", "ORCPT=rfc822;dave@localhost"] {
        assert!(dialogue.contains(option), "{option}: {dialogue}");
    }
    // The second smtpd logs whom the first one had.
    world.beta.postfix.wait_log(&["orig_queue_id=", "orig_client="]);
    world.beta.postfix.wait_idle();
    // One notice that the mail went where no notices are given, not one for each pass.
    let log = world.beta.postfix.log();
    assert_eq!(log.matches("sender delivery status notification").count(), 1, "{log}");
}

#[test]
fn while_the_gateway_is_away_forwarded_mail_waits() {
    let mut world = world(true, REQUIRED);
    // The first pass is over when the gateway goes: the mail waits in the queue between the two.
    world.beta.postfix.command("postconf", &["-e", "default_transport=retry:4.4.1 later"]).success();
    world.beta.postfix.stop();
    world.beta.postfix.start();
    world.receive("alias@beta.example", &plain("alias@beta.example", "wait"));
    world.beta.postfix.wait_log(&["dave@localhost", "status=deferred"]);
    world.beta.gatepost.kill9();
    let road = format!("default_transport=egress:[127.0.0.1]:{}", world.road().port());
    world.beta.postfix.command("postconf", &["-e", &road]).success();
    world.beta.postfix.stop();
    world.beta.postfix.start();
    world.beta.postfix.flush();
    world.beta.postfix.wait_log(&["relay=127.0.0.1", "status=deferred", "451 4.7.1"]);
    assert_eq!(world.sink.connections(), 0);
    world.beta.gatepost.start();
    world.beta.postfix.flush();
    assert!(world.sealed_to_dave(&world.left(1)).contains(SECRET));
}

#[test]
fn a_relayhost_in_main_cf_does_not_lead_around_the_second_pass() {
    let relays = [
        ("relayhost", "[127.0.0.1]:9"),
        ("sender_dependent_relayhost_maps", "inline:{alice@alpha.example=[127.0.0.1]:9}"),
    ];
    let world = world_with(true, REQUIRED, &relays);
    world.receive("alias@beta.example", &plain("alias@beta.example", "forward me"));
    assert!(world.sealed_to_dave(&world.left(1)).contains(SECRET));
}
