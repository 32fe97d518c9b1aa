//! Two gateways that never met: the first mail is encrypted, because each finds the other's key where it is published.

use std::path::PathBuf;

use tests::KeyDirectory;
use tests::Outcome;
use tests::Site;
use tests::SitePlan;
use tests::SmtpTap;
use tests::TlsIdentity;
use tests::free_port;
use tests::messages;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::in_private_network;

const ALICE: &str = "alice@alpha.world";
const BOB: &str = "bob@beta.world";
const SECRET: &str = "the treaty of the two houses";

/// A domain with a gateway and a key directory.
struct Party {
    site: Site,
    directory: KeyDirectory,
}

/// Two of them, and a tap on the wire in each direction.
struct Strangers {
    alpha: Party,
    beta: Party,
    to_alpha: SmtpTap,
    to_beta: SmtpTap,
    _world: RunningWorld,
}

impl Strangers {
    /// `words` are for `keys generate` at each of them, with USER and DOMAIN filled in.
    fn meet(words: &[&str], policy: &str) -> Self {
        let mut world = World::new();
        world.zone("world").record("openpgpkey.alpha.world. A 127.5.0.1");
        world.zone("world").record("openpgpkey.beta.world. A 127.5.0.2");
        let world = world.start();
        let tls = TlsIdentity::new(&["openpgpkey.alpha.world", "openpgpkey.beta.world"]);
        let section = tls.write(world.path());
        let place = |name: &str| world.path().join(name);
        let (alpha, beta) = (
            plan("alpha.world", &world, place("alpha"), policy),
            plan("beta.world", &world, place("beta"), policy),
        );
        let (to_alpha, to_beta) =
            (SmtpTap::start(free_port(), alpha.inbound()), SmtpTap::start(free_port(), beta.inbound()));
        let alpha = alpha.route("beta.world", to_beta.port());
        let beta = beta.route("alpha.world", to_alpha.port());
        let party = |plan: SitePlan, user: &str, domain: &str, address: &str| {
            let mut site = plan.prepare();
            let words: Vec<String> =
                words.iter().map(|word| word.replace("USER", user).replace("DOMAIN", domain)).collect();
            site.gatepost.generate(&words.iter().map(String::as_str).collect::<Vec<_>>());
            site.gatepost.start();
            site.gatepost.command(&["keys", "publish"]).success();
            let mut directory = KeyDirectory::of(&place(domain.trim_end_matches(".world")));
            directory.serve(&format!("listen = [\"https:{address}:443\"]"), &section);
            Party { site, directory }
        };
        let alpha = party(alpha, ALICE, "alpha.world", "127.5.0.1");
        let beta = party(beta, BOB, "beta.world", "127.5.0.2");
        Self { alpha, beta, to_alpha, to_beta, _world: world }
    }
}

fn plan(domain: &str, world: &RunningWorld, place: PathBuf, policy: &str) -> SitePlan {
    let mut plan = SitePlan::new(domain).policy(&format!(
        "{policy}\n[keydir]\npublication = \"{}\"\n\
         [discovery]\nresolver = \"127.0.0.1:53\"\nprivate_networks = [\"127.0.0.0/8\"]\n",
        place.display()
    ));
    plan.gatepost = plan.gatepost.env("SSL_CERT_FILE", world.path().join("ca.pem").to_str().unwrap());
    plan
}

#[test]
fn the_first_mail_is_encrypted_to_a_user_whose_key_is_published() {
    in_private_network(
        "keydir::strangers::the_first_mail_is_encrypted_to_a_user_whose_key_is_published",
        || {
            let both = Strangers::meet(&["--user", "USER"], "[policy]\nencrypt = \"required\"");
            talk(&both);
            // What was found is told.
            let told =
                both.alpha.site.gatepost.command(&["keys", "lookup", BOB, "--explain"]).success().text();
            assert!(told.contains("wkd: found") && told.contains("user OpenPGP: "), "{told}");
            let list = both.alpha.site.gatepost.command(&["keys", "list", BOB, "--json"]).success().text();
            assert!(list.contains("\"wkd\"") && list.contains("\"accepted\""), "{list}");
            // Nobody is there: that is certain, and a refusal at once.
            let outcome = both.alpha.site.submit(
                ALICE,
                &["nobody@beta.world"],
                &messages::plain(ALICE, "nobody@beta.world", "x", "y\n"),
            );
            assert_eq!(code(&outcome), 550, "{outcome:?}\n{}", both.alpha.site.gatepost.log());
        },
    );
}

#[test]
fn the_key_of_a_domain_is_found_under_the_mailbox_of_its_authority() {
    in_private_network(
        "keydir::strangers::the_key_of_a_domain_is_found_under_the_mailbox_of_its_authority",
        || {
            let both = Strangers::meet(
                &["--domain", "DOMAIN"],
                "[policy]\nencrypt = \"required\"\nsign = \"always\"",
            );
            talk(&both);
        },
    );
}

/// The first reply that is not 250, or that to the end of the message.
fn code(outcome: &Outcome) -> u16 {
    outcome.rcpt.iter().map(|reply| reply.code).find(|code| *code != 250).unwrap_or(outcome.end.code)
}

/// A mail there and one back; both are encrypted on the wire and read by their recipients.
fn talk(both: &Strangers) {
    let send = |from: &Party, reverse_path: &str, to: &str, tap: &SmtpTap, there: &Party, user: &str| {
        let outcome =
            from.site.submit(reverse_path, &[to], &messages::plain(reverse_path, to, "hello", SECRET));
        assert_eq!(code(&outcome), 250, "{outcome:?}\n{}", from.site.gatepost.log());
        let mail = there.site.postfix.wait_mail(user, 1).remove(0);
        assert!(mail.text().contains(SECRET), "{}", mail.text());
        let wire = String::from_utf8_lossy(&tap.bytes()).into_owned();
        assert!(wire.contains("multipart/encrypted") && !wire.contains(SECRET), "{wire}");
    };
    send(&both.alpha, ALICE, BOB, &both.to_beta, &both.beta, "bob");
    send(&both.beta, BOB, ALICE, &both.to_alpha, &both.alpha, "alice");
}

#[test]
fn a_directory_that_cannot_be_asked_is_never_no_key() {
    in_private_network("keydir::strangers::a_directory_that_cannot_be_asked_is_never_no_key", || {
        // Opportunistic: a certain "no key" would let mail leave as it is.
        let mut both = Strangers::meet(&["--user", "USER"], "[policy]\nencrypt = \"opportunistic\"");
        both.beta.directory.stop();
        let outcome = both.alpha.site.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "hello", SECRET));
        assert_eq!(code(&outcome) / 100, 4, "{outcome:?}\n{}", both.alpha.site.gatepost.log());
        assert!(both.to_beta.bytes().is_empty());
    });
}
