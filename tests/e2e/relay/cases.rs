//! The table: one mail domain per case, with the verdict that the RFCs ask for.

mod finer;
mod reported;

use std::fmt;

use tests::world::Ds;
use tests::world::Identity;
use tests::world::LAME;
use tests::world::MailHost;
use tests::world::POLICY_ADDRESS;
use tests::world::PolicyFile;
use tests::world::SILENT;
use tests::world::Starttls;
use tests::world::TOP;
use tests::world::World;
use tests::world::Zone;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Delivered to a peer that was authenticated by DANE or MTA-STS.
    Authenticated,
    /// Delivered, the certificate matched, though the MX records are not secure.
    Matched,
    /// Delivered over TLS to whoever answered.
    Encrypted,
    /// Delivered in clear.
    Clear,
    /// Not delivered now.
    Deferred,
    /// Never to be delivered.
    Bounced,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Recipients are at this domain.
    pub(super) domain: String,
    /// The administrator's next-hop, if it is not the domain itself.
    pub(super) next_hop: Option<String>,
    pub(super) verdict: Verdict,
    /// Where it stands.
    pub(super) rule: &'static str,
    pub(super) what: &'static str,
}

/// Builds the world of all cases while the table grows.
pub(super) struct Cases {
    pub(super) world: World,
    pub(super) table: Vec<Case>,
}

use Verdict::Authenticated;
use Verdict::Bounced;
use Verdict::Clear;
use Verdict::Deferred;
use Verdict::Encrypted;
use Verdict::Matched;

impl Cases {
    /// All of them.
    pub(super) fn all() -> Self {
        let mut cases = Self { world: World::new(), table: Vec::new() };
        cases.end_entities();
        cases.trust_anchors();
        cases.usability();
        cases.starttls();
        cases.names();
        cases.hosts();
        cases.routing();
        cases.policies();
        cases.precedence();
        cases.finer();
        cases
    }

    fn add(&mut self, name: &str, verdict: Verdict, rule: &'static str, what: &'static str) -> String {
        let domain = format!("{name}.{TOP}");
        self.table.push(Case { domain: domain.clone(), next_hop: None, verdict, rule, what });
        domain
    }

    /// One MX, `mx.DOMAIN`, with `host`'s behaviour and these TLSA records.
    fn single(&mut self, domain: &str, mut host: MailHost, tlsa: &[String]) -> &mut Zone {
        domain.clone_into(&mut host.tag);
        let address = self.world.host(host);
        let zone = self.world.zone(domain);
        zone.record(&format!("{domain}. MX 10 mx.{domain}.")).record(&format!("mx.{domain}. A {address}"));
        for record in tlsa {
            zone.record(&format!("_25._tcp.mx.{domain}. TLSA {record}"));
        }
        zone
    }

    /// A self-signed host whose TLSA records `records` makes of its certificate.
    fn alone(
        &mut self,
        name: &str,
        verdict: Verdict,
        rule: &'static str,
        what: &'static str,
        records: impl FnOnce(&Identity) -> Vec<String>,
    ) -> &mut Zone {
        let domain = self.add(name, verdict, rule, what);
        let identity = Identity::alone(&format!("mx.{domain}"));
        let records = records(&identity);
        self.single(&domain, MailHost::new(name, &identity), &records)
    }

    fn end_entities(&mut self) {
        let ee = "RFC 7672 3.1.1";
        let good = |selector, matching| move |it: &Identity| vec![it.tlsa(3, selector, matching)];
        self.alone("ee311", Authenticated, ee, "3 1 1 matches", good(1, 1));
        self.alone("ee301", Authenticated, ee, "3 0 1 matches", good(0, 1));
        self.alone("ee310", Authenticated, ee, "3 1 0 (whole key) matches", good(1, 0));
        self.alone("ee300", Authenticated, ee, "3 0 0 (whole certificate) matches", good(0, 0));
        self.alone("ee312", Authenticated, ee, "3 1 2 (SHA-512) matches", good(1, 2));
        for (name, selector, matching, what) in [
            ("eewrong311", 1, 1, "3 1 1 does not match"),
            ("eewrong301", 0, 1, "3 0 1 does not match"),
            ("eewrong310", 1, 0, "3 1 0 does not match"),
        ] {
            self.alone(name, Deferred, ee, what, |it| vec![it.wrong_tlsa(3, selector, matching)]);
        }
        let both = |it: &Identity| vec![it.wrong_tlsa(3, 1, 1), it.tlsa(3, 1, 1)];
        self.alone("rollover", Authenticated, "RFC 7671 8.1", "two 3 1 1, one matches", both);
        let digests = |it: &Identity| vec![it.wrong_tlsa(3, 1, 1), it.tlsa(3, 1, 2)];
        self.alone(
            "agility",
            Authenticated,
            "RFC 7671 9",
            "SHA-256 wrong, SHA-512 right: the stronger decides",
            digests,
        );
        let weaker = |it: &Identity| vec![it.tlsa(3, 1, 1), it.wrong_tlsa(3, 1, 2)];
        self.alone(
            "agilityno",
            Deferred,
            "RFC 7671 9",
            "SHA-256 right, SHA-512 wrong: the weaker is not asked",
            weaker,
        );
        let across = |it: &Identity| vec![it.wrong_tlsa(3, 1, 2), it.tlsa(3, 0, 1)];
        self.alone(
            "agilitytwo",
            Authenticated,
            "RFC 7671 9",
            "digests are compared per usage and selector",
            across,
        );
        for (name, what, identity) in [
            ("eeexpired", "expired certificate, key matches", Identity::alone_expired("mx.eeexpired.world")),
            ("eename", "certificate for another name", Identity::alone("other.example")),
        ] {
            let domain = self.add(name, Authenticated, ee, what);
            self.single(&domain, MailHost::new(name, &identity), &[identity.tlsa(3, 1, 1)]);
        }
    }

    fn trust_anchors(&mut self) {
        let (root, middle) = (self.world.root.clone(), self.world.intermediate.clone());
        let (chain, whole): (&[&Identity], &[&Identity]) = (&[&middle], &[&middle, &root]);
        let rule = "RFC 7672 3.1.2";
        for (name, sent, record, what) in [
            ("ta201", chain, middle.tlsa(2, 0, 1), "2 0 1 of the intermediate that is sent"),
            ("ta211", chain, middle.tlsa(2, 1, 1), "2 1 1 of the intermediate that is sent"),
            ("ta201root", whole, root.tlsa(2, 0, 1), "2 0 1 of the root, which is sent"),
            ("ta200", chain, root.tlsa(2, 0, 0), "2 0 0: the root stands in DNS, and is not sent"),
            ("ta210", chain, root.tlsa(2, 1, 0), "2 1 0: the root's key stands in DNS, and is not sent"),
        ] {
            self.anchored(name, Authenticated, rule, what, sent, &[record], None);
        }
        for (name, sent, record, what) in [
            (
                "tawrong201",
                whole,
                self.world.web.tlsa(2, 0, 1),
                "2 0 1 of an authority that is not in the chain",
            ),
            ("tawrong211", chain, middle.wrong_tlsa(2, 1, 1), "2 1 1 does not match"),
            ("taabsent", chain, root.tlsa(2, 0, 1), "2 0 1 of a root that is not sent"),
        ] {
            self.anchored(name, Deferred, rule, what, sent, &[record], None);
        }
        let names = "RFC 7672 3.2.3";
        let record = [middle.tlsa(2, 0, 1)];
        let other = middle.issue("other.example");
        self.anchored(
            "taname",
            Deferred,
            names,
            "2 0 1, certificate for another name",
            chain,
            &record,
            Some(other),
        );
        let wild = middle.issue("*.tawild.world");
        self.anchored(
            "tawild",
            Authenticated,
            names,
            "2 0 1, wildcard certificate",
            chain,
            &record,
            Some(wild),
        );
        let domain = middle.issue("tadomain.world");
        self.anchored(
            "tadomain",
            Authenticated,
            "RFC 7672 3.2.2",
            "2 0 1, certificate for the recipient's domain",
            chain,
            &record,
            Some(domain),
        );
        let expired = middle.issue_expired("mx.taexpired.world");
        self.anchored(
            "taexpired",
            Deferred,
            "RFC 7671 5.2",
            "2 0 1, expired certificate",
            chain,
            &record,
            Some(expired),
        );
        let both = [Identity::alone("x").tlsa(3, 1, 1), middle.tlsa(2, 0, 1)];
        self.anchored("mixed", Authenticated, "RFC 7671 5.2", "3 1 1 wrong, 2 0 1 right", chain, &both, None);
        let leaf = middle.issue("mx.taleaf.world");
        let record = [leaf.tlsa(2, 0, 1)];
        self.anchored(
            "taleaf",
            Deferred,
            rule,
            "2 0 1 of the issued leaf itself",
            chain,
            &record,
            Some(leaf),
        );
    }

    #[expect(clippy::too_many_arguments, reason = "one row of the table and what its host shows")]
    fn anchored(
        &mut self,
        name: &str,
        verdict: Verdict,
        rule: &'static str,
        what: &'static str,
        sent: &[&Identity],
        records: &[String],
        leaf: Option<Identity>,
    ) {
        let domain = self.add(name, verdict, rule, what);
        let leaf = leaf.unwrap_or_else(|| self.world.intermediate.issue(&format!("mx.{domain}")));
        self.single(&domain, MailHost::new(name, &leaf.with(sent)), records);
    }

    fn usability(&mut self) {
        let rule = "RFC 7672 2.2";
        self.alone(
            "pkixee",
            Encrypted,
            "RFC 7672 3.1.3",
            "only 1 1 1: unusable, TLS unauthenticated",
            |it| vec![it.tlsa(1, 1, 1)],
        );
        self.alone("pkixta", Encrypted, "RFC 7672 3.1.3", "only 0 0 1: unusable", |it| {
            vec![it.wrong_tlsa(0, 0, 1)]
        });
        let unknown =
            |it: &Identity| vec![it.wrong_tlsa(3, 9, 1), it.wrong_tlsa(3, 1, 9), it.wrong_tlsa(9, 1, 1)];
        self.alone("unknown", Encrypted, rule, "only unknown parameters: unusable", unknown);
        let short = |_: &Identity| vec!["3 1 1 0102".to_owned()];
        self.alone("short", Encrypted, rule, "3 1 1 with a digest of two octets: unusable", short);
        let no_key = |_: &Identity| vec!["3 1 0 0102030405060708".to_owned()];
        self.alone("nokey", Encrypted, rule, "3 1 0 with something that is no key: unusable", no_key);
        let spoilt = |it: &Identity| vec![it.tlsa(1, 1, 1), it.wrong_tlsa(3, 1, 1)];
        self.alone("unusablebad", Deferred, rule, "1 1 1 right, but unusable; 3 1 1 wrong", spoilt);
        let helped = |it: &Identity| vec![it.wrong_tlsa(3, 9, 1), it.tlsa(3, 1, 1)];
        self.alone("unusablegood", Authenticated, rule, "3 9 1 unusable, 3 1 1 right", helped);
        let domain =
            self.add("unusableplain", Deferred, rule, "only unusable records, no STARTTLS: TLS is mandatory");
        let record = Identity::alone("x").tlsa(1, 1, 1);
        self.single(&domain, MailHost::plain("x"), &[record]);
    }

    fn starttls(&mut self) {
        let rule = "RFC 7672 2.2";
        for (name, starttls, what) in [
            ("stripped", Starttls::Hidden, "usable TLSA, STARTTLS not offered"),
            ("refused", Starttls::Refused, "usable TLSA, STARTTLS answered 454"),
            ("broken", Starttls::Broken, "usable TLSA, the connection breaks in the handshake"),
        ] {
            let domain = self.add(name, Deferred, rule, what);
            let identity = Identity::alone(&format!("mx.{domain}"));
            let host = MailHost::new(name, &identity).starttls(starttls);
            self.single(&domain, host, &[identity.tlsa(3, 1, 1)]);
        }
        let domain = self.add("plain", Clear, "RFC 3207 2", "no TLSA, no STARTTLS: in clear");
        self.single(&domain, MailHost::plain("plain"), &[]);
        let domain = self.add(
            "sni",
            Authenticated,
            "RFC 7672 8.1",
            "the right certificate is shown for the right SNI only",
        );
        let identity = Identity::alone("mx.sni.world");
        let mut host = MailHost::new("sni", &Identity::alone("default.example"));
        host.named = Some(("mx.sni.world".to_owned(), identity.clone()));
        self.single(&domain, host, &[identity.tlsa(3, 1, 1)]);
    }

    fn names(&mut self) {
        let good = |it: &Identity| vec![it.tlsa(3, 1, 1)];
        let none = |_: &Identity| Vec::new();
        let denial = "RFC 7672 2.1.1";
        self.alone("denied", Encrypted, denial, "signed zone, TLSA denied by NSEC", none);
        self.alone("nodata", Encrypted, denial, "signed zone, the name has no TLSA", none)
            .record("_25._tcp.mx.nodata.world. TXT \"x\"");
        self.alone("denied3", Encrypted, denial, "signed zone, TLSA denied by NSEC3", none).nsec3();
        let bogus = "RFC 7672 2.1.2";
        self.alone("bogus", Deferred, bogus, "all of the zone bogus: DS of another key", good).ds(Ds::Wrong);
        self.alone("expired", Deferred, bogus, "all signatures expired", good).expired();
        self.alone("bogusmx", Deferred, bogus, "MX tampered with", good).tamper("MX", "10", "11");
        self.alone("bogusa", Deferred, bogus, "address of the MX host tampered with", good)
            .tamper("A", "127.1.", "127.9.");
        self.alone("bogustlsa", Deferred, bogus, "TLSA tampered with", good).tamper("TLSA", "3 1 1", "3 1 2");
        let insecure = "RFC 7672 2.2.2";
        self.alone("insecure", Encrypted, insecure, "unsigned zone: its TLSA is not asked for", good)
            .unsigned();
        let wrong = |it: &Identity| vec![it.wrong_tlsa(3, 1, 1)];
        self.alone(
            "insecurebad",
            Encrypted,
            insecure,
            "unsigned zone: its wrong TLSA is not asked for",
            wrong,
        )
        .unsigned();
        self.alone("island", Encrypted, insecure, "signed zone without DS: insecure", wrong).ds(Ds::Absent);
        self.alone("strangeds", Encrypted, insecure, "DS of an unknown digest type: insecure", wrong)
            .ds(Ds::Unknown);
        self.alone("lame", Deferred, "RFC 7672 2.1.2", "TLSA look-up answered SERVFAIL", none)
            .record(&format!("_tcp.mx.lame.world. NS {LAME}"));
        self.alone("silent", Deferred, "RFC 7672 2.1.2", "TLSA look-up never answered", none)
            .record(&format!("_tcp.mx.silent.world. NS {SILENT}"));
        self.alone("cut", Encrypted, "RFC 7672 2.2.3", "_tcp below a signed host delegated insecurely", none)
            .record("_tcp.mx.cut.world. NS ns.world.");
        let record = Identity::alone("x").tlsa(3, 1, 1);
        self.world
            .zone("_tcp.mx.cut.world")
            .unsigned()
            .record(&format!("_25._tcp.mx.cut.world. TLSA {record}"));
    }

    /// Hosts and domains of different security.
    fn hosts(&mut self) {
        let (good, bad) = (Identity::alone("good.hosts.world"), Identity::alone("bad.hosts.world"));
        let (at, bad_at) =
            (self.world.host(MailHost::new("hosts", &good)), self.world.host(MailHost::new("hosts", &bad)));
        let zone = self.world.zone("hosts.world");
        zone.record(&format!("good.hosts.world. A {at}")).record(&format!("bad.hosts.world. A {bad_at}"));
        zone.record(&format!("_25._tcp.good.hosts.world. TLSA {}", good.tlsa(3, 1, 1)));
        zone.record(&format!("_25._tcp.bad.hosts.world. TLSA {}", bad.wrong_tlsa(3, 1, 1)));
        let rule = "RFC 7672 2.2.1";
        let domain = self.add("unsignedmx", Matched, rule, "unsigned domain, its MX host signed, TLSA right");
        self.world.zone(&domain).unsigned().record("unsignedmx.world. MX 10 good.hosts.world.");
        let domain =
            self.add("unsignedmxbad", Deferred, rule, "unsigned domain, its MX host signed, TLSA wrong");
        self.world.zone(&domain).unsigned().record("unsignedmxbad.world. MX 10 bad.hosts.world.");
        let rule = "RFC 7672 2.2.2";
        let domain = self.add(
            "foreign",
            Encrypted,
            rule,
            "signed domain, its MX host in an unsigned zone, TLSA wrong",
        );
        self.world.zone(&domain).record("foreign.world. MX 10 mx.openhosts.world.");
        let identity = Identity::alone("mx.openhosts.world");
        let at = self.world.host(MailHost::new("openhosts", &identity));
        let zone = self.world.zone("openhosts.world").unsigned();
        zone.record(&format!("mx.openhosts.world. A {at}"));
        zone.record(&format!("_25._tcp.mx.openhosts.world. TLSA {}", identity.wrong_tlsa(3, 1, 1)));
    }

    fn routing(&mut self) {
        let rule = "RFC 7672 2.2.2";
        for (name, owner, what) in [
            ("aliastarget", "real", "MX host is a secure CNAME, TLSA at its target"),
            ("aliasname", "mx", "MX host is a secure CNAME, TLSA at the alias only"),
        ] {
            let domain = self.add(name, Authenticated, rule, what);
            let identity = Identity::alone(&format!("{owner}.{domain}"));
            let at = self.world.host(MailHost::new(&domain, &identity));
            let zone = self.world.zone(&domain);
            zone.record(&format!("{domain}. MX 10 mx.{domain}."))
                .record(&format!("mx.{domain}. CNAME real.{domain}."));
            zone.record(&format!("real.{domain}. A {at}"));
            zone.record(&format!("_25._tcp.{owner}.{domain}. TLSA {}", identity.tlsa(3, 1, 1)));
        }
        self.add("aliasdomain", Authenticated, "RFC 7672 2.2.1", "the recipient's domain is a secure CNAME");
        self.world.zone("world").record("aliasdomain.world. CNAME ee311.world.");
        let domain =
            self.add("nomx", Authenticated, "RFC 7672 2.2.2", "no MX, securely denied; TLSA at the domain");
        let identity = Identity::alone(&domain);
        let at = self.world.host(MailHost::new(&domain, &identity));
        let zone = self.world.zone(&domain);
        zone.record(&format!("nomx.world. A {at}"))
            .record(&format!("_25._tcp.nomx.world. TLSA {}", identity.tlsa(3, 1, 1)));
        let domain = self.add("nullmx", Bounced, "RFC 7505 3", "null MX");
        self.world.zone(&domain).record("nullmx.world. MX 0 .");
        self.add("nxdomain", Bounced, "RFC 5321 5.1", "the domain does not exist");
        let domain =
            self.add("twoaddresses", Authenticated, "RFC 5321 5.1", "two addresses, one refuses connections");
        let identity = Identity::alone("mx.twoaddresses.world");
        let dead = self.world.unused_address();
        let zone = self.single(&domain, MailHost::new("x", &identity), &[identity.tlsa(3, 1, 1)]);
        zone.record(&format!("mx.twoaddresses.world. A {dead}"));
        let rule = "RFC 7672 2.2";
        self.pair("firstwrong", Authenticated, rule, "MX 10 TLSA wrong, MX 20 right: MX 20", false, |it| {
            vec![format!("_25._tcp.a.firstwrong.world. TLSA {}", it.wrong_tlsa(3, 1, 1))]
        });
        self.pair(
            "firstlame",
            Authenticated,
            rule,
            "MX 10 TLSA look-up fails, MX 20 right: MX 20",
            false,
            |_| vec![format!("_tcp.a.firstlame.world. NS {LAME}")],
        );
        self.pair(
            "firstplain",
            Clear,
            rule,
            "MX 10 no TLSA and no STARTTLS: in clear to MX 10",
            true,
            |_| Vec::new(),
        );
        let brackets = "RFC 7672 2.2.2";
        for (name, next_hop, verdict, what) in [
            ("bracket", "[mx.ee311.world]", Authenticated, "the administrator names a host, TLSA right"),
            ("bracketbad", "[mx.eewrong311.world]", Deferred, "the administrator names a host, TLSA wrong"),
        ] {
            self.add(name, verdict, brackets, what);
            self.table.last_mut().unwrap().next_hop = Some(next_hop.to_owned());
        }
        let literal = self.world.host(MailHost::new("literal", &Identity::alone("literal.example")));
        self.add("literal", Encrypted, "RFC 7672 2.2", "the administrator names an address: no DANE");
        self.table.last_mut().unwrap().next_hop = Some(format!("[{literal}]"));
    }

    /// MX 10 is the case, MX 20 is good.
    fn pair(
        &mut self,
        name: &str,
        verdict: Verdict,
        rule: &'static str,
        what: &'static str,
        plain: bool,
        records: impl FnOnce(&Identity) -> Vec<String>,
    ) {
        let domain = self.add(name, verdict, rule, what);
        let (first, second) =
            (Identity::alone(&format!("a.{domain}")), Identity::alone(&format!("b.{domain}")));
        let a =
            self.world.host(if plain { MailHost::plain(&domain) } else { MailHost::new(&domain, &first) });
        let b = self.world.host(MailHost::new(&domain, &second));
        let zone = self.world.zone(&domain);
        zone.record(&format!("{domain}. MX 10 a.{domain}.")).record(&format!("{domain}. MX 20 b.{domain}."));
        zone.record(&format!("a.{domain}. A {a}")).record(&format!("b.{domain}. A {b}"));
        zone.record(&format!("_25._tcp.b.{domain}. TLSA {}", second.tlsa(3, 1, 1)));
        for record in records(&first) {
            zone.record(&record);
        }
    }

    fn policies(&mut self) {
        let web = self.world.web.clone();
        let shown = |domain: &str| web.issue(&format!("mx.{domain}"));
        let rule = "RFC 8461 5";
        for (name, mx, what) in [
            ("stsgood", "mx.stsgood.world", "enforce, host listed, certificate of the web"),
            ("stswild", "*.stswild.world", "enforce, host listed by a pattern"),
            ("stscase", "MX.StsCase.World", "enforce, host listed in mixed case"),
        ] {
            let domain = self.add(name, Authenticated, rule, what);
            self.published(&domain, &enforce(mx), |_| {});
            self.single(&domain, MailHost::new(name, &shown(&domain)), &[]).unsigned();
        }
        let listed = |name: &str| enforce(&format!("mx.{name}.{TOP}"));
        for (name, host, what) in [
            (
                "stsself",
                MailHost::new("", &Identity::alone("mx.stsself.world")),
                "enforce, self-signed certificate",
            ),
            (
                "stsname",
                MailHost::new("", &web.issue("other.example")),
                "enforce, certificate for another name",
            ),
            (
                "stsold",
                MailHost::new("", &web.issue_expired("mx.stsold.world")),
                "enforce, expired certificate",
            ),
            ("stsplain", MailHost::plain(""), "enforce, no STARTTLS"),
        ] {
            let domain = self.add(name, Deferred, "RFC 8461 4.2", what);
            self.published(&domain, &listed(name), |_| {});
            self.single(&domain, host, &[]).unsigned();
        }
        let domain = self.add("stsunlisted", Deferred, "RFC 8461 4.1", "enforce, host not listed");
        self.published(&domain, &enforce("other.stsunlisted.world"), |_| {});
        self.single(&domain, MailHost::new("", &shown(&domain)), &[]).unsigned();
        let domain = self.add(
            "ststwo",
            Authenticated,
            "RFC 8461 4.1",
            "enforce, MX 10 not listed, MX 20 listed: MX 20",
        );
        self.published(&domain, &enforce("b.ststwo.world"), |_| {});
        for (host, preference) in [("a", 10), ("b", 20)] {
            let at = self.world.host(MailHost::new(&domain, &web.issue(&format!("{host}.{domain}"))));
            let zone = self.world.zone(&domain).unsigned();
            zone.record(&format!("{domain}. MX {preference} {host}.{domain}."))
                .record(&format!("{host}.{domain}. A {at}"));
        }
        self.no_policy_in_force();
    }

    /// Each of these hosts shows a certificate that no policy in force would let pass.
    fn no_policy_in_force(&mut self) {
        let good = |name: &str| enforce(&format!("mx.{name}.{TOP}"));
        type Change = fn(&mut PolicyFile);
        let web: &[(&str, &str, &'static str, String, Change)] = &[
            (
                "ststesting",
                "RFC 8461 5",
                "mode testing",
                good("ststesting").replace("enforce", "testing"),
                |_| {},
            ),
            ("stsnone", "RFC 8461 5", "mode none", good("stsnone").replace("enforce", "none"), |_| {}),
            ("sts404", "RFC 8461 3.3", "policy answered 404", good("sts404"), |file| file.status = 404),
            ("stsmoved", "RFC 8461 3.3", "policy redirected: not followed", good("stsmoved"), |file| {
                file.status = 301;
                file.location = Some("https://mta-sts.stsgood.world/.well-known/mta-sts.txt".to_owned());
            }),
            ("stshtml", "RFC 8461 3.2", "policy of type text/html", good("stshtml"), |file| {
                "text/html".clone_into(&mut file.content_type);
            }),
            ("stsbig", "RFC 8461 3.3", "policy of more than 64 kB", good("stsbig"), |file| {
                file.body += &"mx: mx.stsbig.world\r\n".repeat(5000);
            }),
            ("stsnomx", "RFC 8461 3.2", "enforce without mx", enforce(""), |file| {
                file.body = file.body.replace("mx: \r\n", "");
            }),
            ("stsnoage", "RFC 8461 3.2", "no max_age", good("stsnoage"), |file| {
                file.body = file.body.replace("max_age: 86400\r\n", "");
            }),
            ("stssilent", "RFC 8461 3.3", "policy host never answers", good("stssilent"), |file| {
                file.silent = true
            }),
            ("stsforger", "RFC 8461 3.3", "policy host self-signed", good("stsforger"), |file| {
                file.identity = Identity::alone("mta-sts.stsforger.world");
            }),
        ];
        for (name, rule, what, body, change) in web {
            let rule: &'static str = rule.to_owned();
            let domain = self.add(name, Encrypted, rule, what);
            self.published(&domain, body, change);
            self.single(&domain, MailHost::new("", &Identity::alone("self.example")), &[]).unsigned();
        }
        for (name, identity, what) in [
            (
                "stsstale",
                self.world.web.issue_expired("mta-sts.stsstale.world"),
                "policy host's certificate expired",
            ),
            (
                "stsother",
                self.world.web.issue("www.stsother.world"),
                "policy host's certificate for another name",
            ),
        ] {
            let domain = self.add(name, Encrypted, "RFC 8461 3.3", what);
            self.published(&domain, &good(name), |file| file.identity = identity);
            self.single(&domain, MailHost::new("", &Identity::alone("self.example")), &[]).unsigned();
        }
        for (name, txt, what) in [
            ("stsnotxt", &[][..], "policy file, but no TXT record"),
            ("ststwotxt", &["v=STSv1; id=1;", "v=STSv1; id=2;"], "two STSv1 TXT records"),
            ("stsnoid", &["v=STSv1;"], "TXT record without id"),
        ] {
            let domain = self.add(name, Encrypted, "RFC 8461 3.1", what);
            self.published_under(&domain, &good(name), txt, |_| {});
            self.single(&domain, MailHost::new("", &Identity::alone("self.example")), &[]).unsigned();
        }
    }

    fn precedence(&mut self) {
        let rule = "RFC 8461 2";
        let web = self.world.web.clone();
        let listed = |domain: &str| enforce(&format!("mx.{domain}"));
        let domain = self.add("bothdane", Authenticated, rule, "DANE right, MTA-STS would fail");
        self.published(&domain, &listed(&domain), |_| {});
        let identity = Identity::alone(&format!("mx.{domain}"));
        self.single(&domain, MailHost::new("", &identity), &[identity.tlsa(3, 1, 1)]);
        let domain = self.add("bothsts", Deferred, rule, "DANE wrong, MTA-STS would pass");
        self.published(&domain, &listed(&domain), |_| {});
        let identity = web.issue(&format!("mx.{domain}"));
        self.single(&domain, MailHost::new("", &identity), &[identity.wrong_tlsa(3, 1, 1)]);
        let domain = self.add("bothlame", Deferred, rule, "TLSA look-up fails, MTA-STS would pass");
        self.published(&domain, &listed(&domain), |_| {});
        let identity = web.issue(&format!("mx.{domain}"));
        self.single(&domain, MailHost::new("", &identity), &[])
            .record(&format!("_tcp.mx.bothlame.world. NS {LAME}"));
    }

    fn published(&mut self, domain: &str, body: &str, change: impl FnOnce(&mut PolicyFile)) {
        self.published_under(domain, body, &["v=STSv1; id=1;"], change);
    }

    /// Publishes an MTA-STS policy; `change` may spoil it first.
    fn published_under(
        &mut self,
        domain: &str,
        body: &str,
        txt: &[&str],
        change: impl FnOnce(&mut PolicyFile),
    ) {
        let host = format!("mta-sts.{domain}");
        let mut file = PolicyFile::new(self.world.web.issue(&host), body);
        change(&mut file);
        self.world.policy(&host, file);
        let zone = self.world.zone(domain);
        zone.record(&format!("{host}. A {POLICY_ADDRESS}"));
        for text in txt {
            zone.record(&format!("_mta-sts.{domain}. TXT \"{text}\""));
        }
    }
}

fn enforce(mx: &str) -> String {
    format!("version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 86400\r\n")
}
