//! What a message itself asks of its road (RFC 8689): REQUIRETLS, and `TLS-Required: No`.

use std::time::Duration;

use rusqlite::Connection;
use tests::Gatepost;
use tests::Reply;
use tests::SmtpClient;
use tests::world::Identity;
use tests::world::MailHost;
use tests::world::Starttls;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::INBOX;
use super::room::first_said;
use super::room::handing;
use super::settled::by_dane;
use super::settled::by_sts;
use super::settled::domain;
use super::settled::selfish;
use super::settled::submit_plain;

const LONG: Duration = Duration::from_secs(60);
const SENDER: &str = "alice@alpha.example";
const PLAIN: &str = "Subject: x\r\n\r\nx\r\n";
const DEMAND: &str = "Require-TLS-ESMTP: yes\r\nSubject: x\r\n\r\nx\r\n";
const WAIVER: &str = "TLS-Required: No\r\nSubject: x\r\n\r\nx\r\n";

/// Hands one message to the relay by LMTP.
fn hand_over(from: &str, parameters: &str, to: &str, message: &str) -> Reply {
    let (mut client, greeting) = SmtpClient::greeted(INBOX);
    assert_eq!(greeting.code, 220);
    let offered = client.command("LHLO client.example");
    assert!(offered.lines.iter().any(|line| line == "REQUIRETLS"), "{offered}");
    assert_eq!(client.mail_with(from, parameters).code, 250);
    assert_eq!(client.rcpt(to).code, 250);
    client.data(message.as_bytes())
}

/// Domains by what becomes of mail with REQUIRETLS, as a message and as a bounce. The code of success is 250.
const DEMANDS: [(&str, &str, &str); 14] = [
    ("dane.world", "250", "250"),
    ("sts.world", "250", "250"),
    ("web.world", "250", "250"),
    ("listed.world", "250", "250"),
    ("poor.world", "550 5.7.30", "250"),
    ("poorsts.world", "550 5.7.30", "250"),
    ("self.world", "550 5.7.10", "250"),
    ("nowhere.world", "550 5.7.10", "250"),
    ("plain.world", "550 5.7.10", "451 4.7.4"),
    ("testing.world", "550 5.7.10", "250"),
    ("wrong.world", "451 4.7.5", "451 4.7.5"),
    ("stripped.world", "451 4.7.4", "451 4.7.4"),
    ("wrongsts.world", "451 4.7.5", "451 4.7.5"),
    ("second.world", "250", "250"),
];

fn world() -> World {
    let mut world = World::new();
    let web = |world: &World, name: &str| {
        MailHost::new(name, &world.web.issue(&format!("mx.{name}"))).require_tls()
    };
    let offering = |name: &str| selfish(name).require_tls();
    by_dane(&mut world, "dane.world", MailHost::require_tls);
    let host = web(&world, "sts.world");
    by_sts(&mut world, "sts.world", "enforce", host);
    // A secure name and a certificate of the web: nobody published a policy.
    let host = web(&world, "web.world");
    domain(&mut world, "web.world", host, &[]);
    // DANE behind an insecure MX answer, and MTA-STS vouches for the name.
    super::settled::publish_sts(&mut world, "listed.world", "enforce", "mx.dane.world");
    world.zone("listed.world").unsigned().record("listed.world. MX 10 mx.dane.world.");
    by_dane(&mut world, "poor.world", |host| host);
    let host = MailHost::new("", &world.web.issue("mx.poorsts.world"));
    by_sts(&mut world, "poorsts.world", "enforce", host);
    domain(&mut world, "self.world", offering("self.world"), &[]);
    let host = web(&world, "nowhere.world");
    domain(&mut world, "nowhere.world", host, &[]).unsigned();
    domain(&mut world, "plain.world", MailHost::plain(""), &[]);
    by_sts(&mut world, "testing.world", "testing", offering("testing.world"));
    let identity = Identity::alone("mx.wrong.world");
    let host = MailHost::new("", &identity).require_tls();
    domain(&mut world, "wrong.world", host, &[identity.wrong_tlsa(3, 1, 1)]);
    by_dane(&mut world, "stripped.world", |host| host.starttls(Starttls::Hidden));
    by_sts(&mut world, "wrongsts.world", "enforce", offering("wrongsts.world"));
    // The first host does not offer it, the second does.
    let second = Identity::alone("b.second.world");
    let address = world.host(MailHost::new("second.world", &second).require_tls());
    by_dane(&mut world, "second.world", |host| host)
        .record("second.world. MX 20 b.second.world.")
        .record(&format!("b.second.world. A {address}"))
        .record(&format!("_25._tcp.b.second.world. TLSA {}", second.tlsa(3, 1, 1)));
    world
}

#[test]
fn requiretls_is_kept_or_the_message_is_refused() {
    in_private_network("relay::requiretls::requiretls_is_kept_or_the_message_is_refused", || {
        let world = world().start();
        let _room = room::start(&world);
        let mut wrong = Vec::new();
        for (name, expected, for_bounce) in DEMANDS {
            for (who, from, parameters, message, expected) in [
                ("said", SENDER, "REQUIRETLS", PLAIN, expected),
                ("written", SENDER, "", DEMAND, expected),
                // The header field that waives TLS is ignored beside it (section 4.1).
                ("both", SENDER, "REQUIRETLS", WAIVER, expected),
                ("bounce", "", "REQUIRETLS", PLAIN, for_bounce),
            ] {
                let to = format!("{who}@{name}");
                let reply = hand_over(from, parameters, &to, message);
                let arrived = world.arrivals.of(&to);
                println!("{name:16} {who:8} {reply}");
                let good = reply.to_string().starts_with(expected)
                    && arrived.len() == usize::from(expected == "250")
                    && arrived.iter().all(|one| one.tls);
                // It is promised onward by all but a bounce that goes where it cannot be.
                let onward = arrived.iter().all(|one| one.mail.ends_with(" REQUIRETLS"));
                if !good || !(onward || who == "bounce") {
                    wrong.push(format!("{to}: expected {expected}: {reply} {arrived:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        for (name, said) in
            [("dane.world", true), ("sts.world", true), ("poor.world", false), ("self.world", false)]
        {
            let bounce = world.arrivals.of(&format!("bounce@{name}")).remove(0);
            assert_eq!(bounce.mail.ends_with(" REQUIRETLS"), said, "{bounce:?}");
        }
    });
}

/// The whole way of Postfix 3.7, which cannot say REQUIRETLS.
#[test]
fn the_field_of_postfix_311_demands_and_bounces() {
    in_private_network("relay::requiretls::the_field_of_postfix_311_demands_and_bounces", || {
        let world = world().start();
        let room = room::start(&world);
        let postfix = handing(&world).start();
        let to = ["bob@dane.world", "bob@poor.world", "bob@self.world"];
        let id = submit_plain(&postfix, &to, DEMAND.as_bytes());
        for (to, status, dsn) in
            [(to[0], "sent", "2."), (to[1], "bounced", "5.7.30"), (to[2], "bounced", "5.7.10")]
        {
            let said = first_said(&postfix, to, LONG);
            assert!(said.status == status && said.dsn.starts_with(dsn), "{said:?}");
        }
        let arrived = world.arrivals.of(to[0]).remove(0);
        assert!(arrived.mail.ends_with(" REQUIRETLS") && arrived.text.contains("Require-TLS-ESMTP: yes"));
        assert_eq!(world.arrivals.count(""), 1);
        let stories = room.notary(&id);
        let all = stories.as_array().unwrap();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|story| story["leaf"]["public"]["require_tls"] == true), "{stories:#}");
    });
}

#[test]
fn tls_required_no_is_delivered_in_spite_of_a_failed_policy() {
    in_private_network("relay::requiretls::tls_required_no_is_delivered_in_spite_of_a_failed_policy", || {
        let world = world().start();
        let mut room = room::start(&world);
        let postfix = handing(&world).start();
        let broken = ["wrong.world", "stripped.world", "wrongsts.world"];
        for name in broken {
            let (held, waived) = (format!("held@{name}"), format!("waived@{name}"));
            submit_plain(&postfix, &[&held], PLAIN.as_bytes());
            let id = submit_plain(&postfix, &[&waived], WAIVER.as_bytes());
            assert_eq!(first_said(&postfix, &held, LONG).status, "deferred");
            let said = first_said(&postfix, &waived, LONG);
            println!("{name}: {} {}", said.status, said.text);
            let proof = if name == "stripped.world" { " cleartext;" } else { " unauthenticated TLSv1.3;" };
            assert!(said.status == "sent" && said.text.contains(proof), "{said:?}");
            assert_eq!(world.arrivals.of(&waived).len(), 1);
            let public = &room.notary(&id)[0]["leaf"]["public"];
            assert_eq!(
                (&public["waived"], &public["require_tls"]),
                (&true.into(), &false.into()),
                "{public:#}"
            );
        }
        // More than one, another value, or in the content: ignored.
        for (number, message) in [
            "TLS-Required: No\r\nTLS-Required: No\r\n\r\nx\r\n",
            "TLS-Required: Yes\r\n\r\nx\r\n",
            "Subject: x\r\n\r\nTLS-Required: No\r\n",
            "TLS-Required: No\r\nRequire-TLS-ESMTP: yes\r\n\r\nx\r\n",
        ]
        .iter()
        .enumerate()
        {
            let to = format!("ignored{number}@wrong.world");
            let id = submit_plain(&postfix, &[&to], message.as_bytes());
            let said = first_said(&postfix, &to, LONG);
            assert!(said.status == "deferred" && said.dsn == "4.7.5", "{said:?}");
            assert_eq!(room.notary(&id)[0]["leaf"]["public"]["waived"], false);
        }
        // Where nothing is wrong it changes nothing but what is claimed.
        submit_plain(&postfix, &["fine@dane.world"], WAIVER.as_bytes());
        let said = first_said(&postfix, "fine@dane.world", LONG);
        assert!(said.status == "sent" && said.text.contains(" unauthenticated TLSv1.3;"), "{said:?}");
        assert!(world.arrivals.of("fine@dane.world")[0].tls);
        // TLS reports are told of those that were held to a policy, and of no other.
        room.term();
        assert_eq!(counted(&room, "wrong.world"), (0, 5));
        assert_eq!(counted(&room, "stripped.world"), (0, 1));
        assert_eq!(counted(&room, "dane.world"), (0, 0));
    });
}

/// Sessions that TLS reports would tell a domain about: successful, failed.
fn counted(room: &Gatepost, domain: &str) -> (i64, i64) {
    let database = Connection::open(room.state().join("relay.db")).unwrap();
    let question =
        "SELECT coalesce(sum(succeeded), 0), coalesce(sum(failed), 0) FROM tlsrpt_session WHERE domain = ?1";
    database.query_row(question, [domain], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn a_field_does_not_waive_what_the_administrator_asks_for() {
    in_private_network("relay::requiretls::a_field_does_not_waive_what_the_administrator_asks_for", || {
        let mut world = World::new();
        for name in ["demanded.world", "free.world"] {
            let identity = Identity::alone(&format!("mx.{name}"));
            let host = MailHost::new("", &identity);
            domain(&mut world, name, host, &[identity.wrong_tlsa(3, 1, 1)]);
        }
        let world = world.start();
        let mut room = room::gatepost_plan(&world.authorities)
            .policy("[relay.domain.\"demanded.world\"]\npolicy = \"dane-only\"\n")
            .prepare();
        room.start();
        let reply = hand_over(SENDER, "", "a@demanded.world", WAIVER);
        assert!(reply.to_string().starts_with("451 4.7.5"), "{reply}");
        let reply = hand_over(SENDER, "", "a@free.world", WAIVER);
        assert_eq!(reply.code, 250, "{reply}");
        drop(room);
        let mut room =
            room::gatepost_plan(&world.authorities).policy("honour_tls_required_no = false\n").prepare();
        room.start();
        let reply = hand_over(SENDER, "", "b@free.world", WAIVER);
        assert!(reply.to_string().starts_with("451 4.7.5"), "{reply}");
        assert_eq!(world.arrivals.count(""), 1);
    });
}
