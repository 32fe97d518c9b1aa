//! The demonstration itself: the stage, and what is shown on it.

use std::time::Duration;
use std::time::Instant;

use tests::Gpg;
use tests::Mail;
use tests::Site;
use tests::SitePlan;
use tests::SmtpClient;
use tests::SmtpTap;
use tests::armored_message;
use tests::free_port;
use tests::messages;

use crate::story::Story;

pub(crate) const ALICE: &str = "alice@alpha.example";
pub(crate) const BOB: &str = "bob@beta.example";

const BODY: &str = "Dear Bob,\n\nthe vault opens on Thursday at nine. The combination is 17-23-42.\n\n\
    Nobody between us should read this.\n.\nAlice\n";
const SECRET: &str = "The combination is 17-23-42";

const ALPHA_POLICY: &str = "[domain.\"alpha.example\"]\nsign = \"always\"\n\n\
    [partner.\"beta.example\"]\nencrypt = \"required\"\n";

/// How many messages are sent to measure what the gateway adds.
const MEASURED: usize = 15;

/// Two domains and the wire between them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) alpha: Site,
    pub(crate) beta: Site,
    pub(crate) tap: SmtpTap,
}

/// Starts both domains and exchanges their certificates, as two administrators would.
pub(crate) fn set_the_stage(story: &mut Story) -> World {
    println!(
        "
   alice@alpha.example                                                bob@beta.example
          |                                                                  ^
          v                                 the wire                         |
      Postfix alpha  ------------------------------------------>  Postfix beta
          |  ^                                                        |  ^
          v  |  milter                                        milter  v  |
       gatepost alpha: signs, encrypts                  gatepost beta: opens, verifies"
    );
    let started = Instant::now();
    let beta = SitePlan::new("beta.example");
    let tap = SmtpTap::start(free_port(), beta.inbound());
    let mut beta = beta.prepare();
    let alpha = SitePlan::new("alpha.example").route("beta.example", tap.port());
    let mut alpha = alpha.policy(ALPHA_POLICY).prepare();

    alpha.gatepost.generate(&["--user", ALICE]);
    beta.gatepost.generate(&["--domain", "beta.example"]);
    alpha.give_user_certificate(ALICE, &beta);
    beta.give_domain_certificate(&alpha);
    alpha.gatepost.start();
    beta.gatepost.start();

    story.chapter("The stage");
    story.say("Each domain has its own Postfix and its own gatepost, in temporary directories and on");
    story.say(&format!("loopback ports; started in {} ms. Alice has an OpenPGP key; Bob has none, but", {
        started.elapsed().as_millis()
    }));
    story.say("his domain has. The two administrators have exchanged certificates. Alpha's policy:\n");
    story.quote(ALPHA_POLICY);
    World { alpha, beta, tap }
}

/// Sends the message and shows it at every station of its way.
pub(crate) fn play(story: &mut Story, world: &World) {
    story.chapter("What Alice hands to her Postfix");
    let message = messages::plain(&format!("Alice <{ALICE}>"), &format!("Bob <{BOB}>"), "Thursday", BODY);
    story.quote(&String::from_utf8_lossy(&message));
    let outcome = world.alpha.submit(ALICE, &[BOB], &message);
    story.claim(&format!("Postfix alpha takes it: {}", outcome.end), outcome.accepted());
    if !outcome.accepted() {
        story.quote(&world.alpha.gatepost.log());
        return;
    }
    let alpha_id = outcome.queue_id();
    let sent = world.alpha.postfix.wait_log(&[&alpha_id, "to=<bob@beta.example>", "status="]);
    story.claim("Postfix alpha delivers it to Postfix beta", sent.contains("status=sent"));
    if !sent.contains("status=sent") {
        story.quote(&sent);
        story.quote(&world.beta.gatepost.log());
        return;
    }
    let mail = world.beta.postfix.wait_mail("bob", 1).remove(0);

    wire(story, world);
    stranger(story, world);
    mailbox(story, &mail, &message);
    let beta_id = sent.split_once("queued as ").map_or("", |(_, id)| id.trim_end_matches(')'));
    accounts(story, world, &alpha_id, beta_id);
    cost(story, world, &message);
}

/// What somebody on the wire between the two Postfix instances sees.
fn wire(story: &mut Story, world: &World) {
    story.chapter("What the wire between the two Postfix instances carried");
    let sealed = String::from_utf8_lossy(&world.tap.messages()[0]).into_owned();
    story.quote(&sealed);
    let lower = sealed.to_ascii_lowercase();
    let pgp_mime =
        lower.contains("content-type: multipart/encrypted") && lower.contains("application/pgp-encrypted");
    story.claim(
        "it is PGP/MIME (RFC 3156): multipart/encrypted",
        pgp_mime && armored_message(sealed.as_bytes()).is_some(),
    );
    story.claim("the text of the mail is nowhere on the wire", !world.tap.carried(SECRET.as_bytes()));
    story.claim("nor is its base64", BASE64_OF_SECRET.iter().all(|form| !world.tap.carried(form.as_bytes())));
    let carried = world.tap.transcript().iter().filter(|line| line.starts_with("C: DATA")).count();
    story.claim("the mail crossed the wire once", carried == 1);
}

/// `combination` in base64, at each of the three alignments, without the characters that depend on
/// what is around it.
const BASE64_OF_SECRET: [&str; 3] = ["Y29tYmluYXRpb2", "NvbWJpbmF0aW9u", "jb21iaW5hdGlvb"];

/// An independent program opens the copy from the wire.
fn stranger(story: &mut Story, world: &World) {
    story.chapter("What gpg makes of that copy, with the key of beta.example");
    let gpg = Gpg::new();
    gpg.import(&world.beta.gatepost.export(&["--domain", "beta.example", "--secret"]));
    gpg.import(&world.alpha.gatepost.export(&[ALICE]));
    let carried = world.tap.messages().remove(0);
    let sealed = armored_message(&carried).unwrap_or_default();
    let opened = gpg.decrypt(sealed);
    story.quote(&String::from_utf8_lossy(&opened.plaintext).replace("\r\n", "\n"));
    story.claim("gpg decrypts it and its integrity check passes", opened.decrypted());
    let plaintext = String::from_utf8_lossy(&opened.plaintext).replace("\r\n", "\n");
    story.claim("inside is what Alice wrote", plaintext.ends_with(BODY));
    let signer = gpg.fingerprint(ALICE);
    story.claim(&format!("signed by Alice's key {signer}"), opened.valid_signer() == Some(signer.as_str()));
    let without = Gpg::new();
    let closed = without.decrypt(sealed);
    story.claim("a gpg without the key cannot", !closed.decrypted() && closed.plaintext.is_empty());
}

/// What Bob finds.
fn mailbox(story: &mut Story, mail: &Mail, message: &[u8]) {
    story.chapter("What lies in Bob's Maildir");
    story.quote(&mail.text());
    story.claim("the text is Alice's, byte for byte", mail.body() == BODY.as_bytes());
    let sent = Mail(String::from_utf8_lossy(message).replace("\r\n", "\n").into_bytes());
    let kept = ["From", "To", "Subject", "Date", "Message-ID", "Content-Type"];
    let same = kept.iter().all(|name| mail.fields(name) == sent.fields(name));
    story.claim(&format!("{} are as Alice sent them", kept.join(", ")), same);
    let results = mail.fields("Authentication-Results");
    let [result] = results.as_slice() else {
        story.claim("there is exactly one Authentication-Results field", false);
        return;
    };
    story.claim(
        "beta's gateway says that Alice signed it",
        result.starts_with("mx.beta.example;")
            && result.contains("openpgp=pass")
            && result.contains("header.from=alice@alpha.example"),
    );
}

/// What each gateway tells about it afterwards.
fn accounts(story: &mut Story, world: &World, alpha_id: &str, beta_id: &str) {
    let accounts = [
        ("alpha", &world.alpha, alpha_id, "outbound", "sign+encrypt"),
        ("beta", &world.beta, beta_id, "inbound", "open"),
    ];
    for (name, site, id, direction, action) in accounts {
        story.chapter(&format!("What gatepost {name} tells about it"));
        let line = site.gatepost.wait_log(&[&format!("{id}: "), "verdict="]);
        story.say(&format!("Its log line, with the queue id of Postfix {name}:\n"));
        story.quote(&line.replace(", ", ",\n    "));
        let right =
            [format!("direction={direction}"), format!("action={action}"), "verdict=continue".to_owned()];
        story.claim(
            &format!("the log line says {}", right.join(", ")),
            right.iter().all(|r| line.contains(r)),
        );
        let silent = [SECRET, "Thursday"].iter().all(|word| !site.gatepost.log().contains(word));
        story.claim("the log holds neither subject nor text", silent);

        story.say(&format!("Its notary record: gatepost notary show {id}\n"));
        let text = site.gatepost.command(&["notary", "show", id]).success().text();
        story.quote(&text);
        let complete = [id, direction, BOB].iter().all(|word| text.contains(word));
        story.claim("the record names the message, its direction and its recipient", complete);
        let by_message_id = site.gatepost.notary(&message_id(world));
        story.claim("it is found by Message-ID too", by_message_id == site.gatepost.notary(id));
    }
}

fn message_id(world: &World) -> String {
    world.beta.postfix.mailbox("bob")[0].field("Message-ID").unwrap_or_default()
}

/// How long the reply to the final dot takes, with and without the gateway.
fn cost(story: &mut Story, world: &World, message: &[u8]) {
    story.chapter("What it cost");
    for (name, site) in [("alpha", &world.alpha), ("beta", &world.beta)] {
        let line = site.gatepost.wait_log(&["verdict="]);
        let spent =
            line.split_once("ms=").map_or("", |(_, rest)| rest.split([',', ' ']).next().unwrap_or(""));
        story.claim(&format!("gatepost {name} spent {spent} ms on this mail"), spent.parse::<f64>().is_ok());
    }
    let plain = median_reply(world.alpha.postfix.ports.plain, "carol@alpha.example", message);
    let gated = median_reply(world.alpha.postfix.ports.submission, BOB, message);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    story.say(&format!(
        "Postfix alpha answers a client after {:.1} ms without gatepost, and after {:.1} ms when gatepost",
        ms(plain),
        ms(gated)
    ));
    story.say(&format!(
        "signs, encrypts and records (median of {MEASURED} messages each, {} build): {:.1} ms added.",
        if cfg!(debug_assertions) { "unoptimised" } else { "release" },
        ms(gated.saturating_sub(plain)),
    ));
    let arrived = world.beta.postfix.wait_mail("bob", MEASURED + 1);
    let all = arrived.iter().all(|mail| mail.body() == BODY.as_bytes());
    story.claim(&format!("these {MEASURED} mails arrived too, opened"), all && arrived.len() == MEASURED + 1);
    let carried = world.tap.carried(SECRET.as_bytes());
    story.claim("and still nothing of them was in clear on the wire", !carried);
}

/// Median time from the final dot to the reply.
fn median_reply(port: u16, recipient: &str, message: &[u8]) -> Duration {
    let mut client = SmtpClient::connect(port);
    let mut times: Vec<Duration> = (0..MEASURED)
        .map(|_| {
            client.mail(ALICE);
            client.rcpt(recipient);
            client.command("DATA");
            let start = Instant::now();
            let reply = client.content(message);
            assert_eq!(reply.code, 250, "{reply}");
            start.elapsed()
        })
        .collect();
    times.sort();
    times[MEASURED / 2]
}
