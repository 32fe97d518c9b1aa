//! The finer points: aliases (RFC 7672 section 2.2.2), digest agility (RFC 7671 section 9), policy syntax (RFC 8461).

use tests::world::Identity;
use tests::world::LAME;
use tests::world::MailHost;
use tests::world::World;

use super::Cases;
use super::Verdict::Authenticated;
use super::Verdict::Deferred;
use super::Verdict::Encrypted;
use super::Verdict::Matched;
use super::enforce;

impl Cases {
    /// All of them.
    pub(super) fn finer(&mut self) {
        self.aliases();
        self.aliased_names();
        self.open_aliases();
        self.aliased_records();
        self.agility();
        self.policy_text();
    }

    /// MX host is a CNAME; both names could have TLSA records.
    fn aliases(&mut self) {
        let rule = "RFC 7672 2.2.2";
        let rows = [
            (
                "aliasboth",
                Authenticated,
                "secure CNAME, TLSA right at its target, wrong at the alias",
                true,
                false,
            ),
            (
                "aliasbothbad",
                Deferred,
                "secure CNAME, TLSA wrong at its target, right at the alias",
                false,
                true,
            ),
        ];
        for (name, verdict, what, at_target, at_alias) in rows {
            let domain = self.add(name, verdict, rule, what);
            let identity = Identity::alone(&format!("real.{domain}"));
            let at = self.world.host(MailHost::new(&domain, &identity));
            let record = |right| if right { identity.tlsa(3, 1, 1) } else { identity.wrong_tlsa(3, 1, 1) };
            let zone = self.world.zone(&domain);
            zone.record(&format!("{domain}. MX 10 mx.{domain}."))
                .record(&format!("mx.{domain}. CNAME real.{domain}."));
            zone.record(&format!("real.{domain}. A {at}"));
            zone.record(&format!("_25._tcp.real.{domain}. TLSA {}", record(at_target)));
            zone.record(&format!("_25._tcp.mx.{domain}. TLSA {}", record(at_alias)));
        }
        let domain = self.add(
            "aliaslame",
            Deferred,
            rule,
            "secure CNAME, TLSA look-up fails at its target, right at the alias",
        );
        let identity = Identity::alone("mx.aliaslame.world");
        let at = self.world.host(MailHost::new(&domain, &identity));
        let zone = self.world.zone(&domain);
        zone.record("aliaslame.world. MX 10 mx.aliaslame.world.")
            .record("mx.aliaslame.world. CNAME real.aliaslame.world.");
        zone.record(&format!("real.aliaslame.world. A {at}"))
            .record(&format!("_tcp.real.aliaslame.world. NS {LAME}"));
        zone.record(&format!("_25._tcp.mx.aliaslame.world. TLSA {}", identity.tlsa(3, 1, 1)));
    }

    /// Which names count for DANE-TA where an alias led to the host.
    fn aliased_names(&mut self) {
        let rule = "RFC 7672 3.2.2";
        let rows = [
            (
                "tatarget",
                Authenticated,
                "2 0 1 at the target of the MX host's alias, certificate for the target",
                "real.",
            ),
            (
                "taalias",
                Deferred,
                "2 0 1 at the target of the MX host's alias, certificate for the alias",
                "mx.",
            ),
            (
                "tanexthop",
                Authenticated,
                "2 0 1 at the target of the MX host's alias, certificate for the domain",
                "",
            ),
        ];
        let middle = self.world.intermediate.clone();
        for (name, verdict, what, label) in rows {
            let domain = self.add(name, verdict, rule, what);
            let leaf = middle.issue(&format!("{label}{domain}"));
            let at = self.world.host(MailHost::new(&domain, &leaf.with(&[&middle])));
            let zone = self.world.zone(&domain);
            zone.record(&format!("{domain}. MX 10 mx.{domain}."))
                .record(&format!("mx.{domain}. CNAME real.{domain}."));
            zone.record(&format!("real.{domain}. A {at}"));
            zone.record(&format!("_25._tcp.real.{domain}. TLSA {}", middle.tlsa(2, 0, 1)));
        }
    }

    /// Part of the way is not secure.
    fn open_aliases(&mut self) {
        let rule = "RFC 7672 2.2.2";
        let identity = Identity::alone("mx.aliasopen.world");
        let at = self.world.host(MailHost::new("aliasopen", &identity));
        self.world.zone("elsewhere.world").unsigned().record(&format!("host.elsewhere.world. A {at}"));
        for (name, verdict, what, record) in [
            (
                "aliasopen",
                Authenticated,
                "secure CNAME to an insecure address, TLSA right at the alias",
                identity.tlsa(3, 1, 1),
            ),
            (
                "aliasopenbad",
                Deferred,
                "secure CNAME to an insecure address, TLSA wrong at the alias",
                identity.wrong_tlsa(3, 1, 1),
            ),
        ] {
            let domain = self.add(name, verdict, rule, what);
            let zone = self.world.zone(&domain);
            zone.record(&format!("{domain}. MX 10 mx.{domain}."))
                .record(&format!("mx.{domain}. CNAME host.elsewhere.world."));
            zone.record(&format!("_25._tcp.mx.{domain}. TLSA {record}"));
        }
        let domain =
            self.add("opencname", Encrypted, rule, "insecure CNAME to a signed host whose TLSA is wrong");
        self.world.zone(&domain).record("opencname.world. MX 10 alias.elsewhere.world.");
        self.world.zone("elsewhere.world").record("alias.elsewhere.world. CNAME bad.hosts.world.");
        let domain = self.add(
            "opendomain",
            Matched,
            "RFC 7672 2.2.1",
            "secure CNAME to an unsigned domain, its MX host signed",
        );
        self.world.zone("world").record(&format!("{domain}. CNAME unsignedmx.world."));
    }

    /// The TLSA record is at the end of a CNAME.
    fn aliased_records(&mut self) {
        let rule = "RFC 7672 2.2.3";
        for (name, verdict, what, target, right) in [
            ("tlsaalias", Authenticated, "TLSA by a secure CNAME", "dane.tlsaalias.world", true),
            ("tlsaaliasbad", Deferred, "TLSA by a secure CNAME, wrong", "dane.tlsaaliasbad.world", false),
            (
                "tlsaopen",
                Encrypted,
                "TLSA by a CNAME to an unsigned zone: not used",
                "dane.elsewhere.world",
                false,
            ),
        ] {
            let domain = self.add(name, verdict, rule, what);
            let identity = Identity::alone(&format!("mx.{domain}"));
            let record = if right { identity.tlsa(3, 1, 1) } else { identity.wrong_tlsa(3, 1, 1) };
            self.single(&domain, MailHost::new(&domain, &identity), &[])
                .record(&format!("_25._tcp.mx.{domain}. CNAME {target}."));
            zone_of(&mut self.world, target).record(&format!("{target}. TLSA {record}"));
        }
        let domain = self.add("tlsawild", Authenticated, rule, "TLSA by a wildcard, NSEC3");
        let identity = Identity::alone(&format!("mx.{domain}"));
        self.single(&domain, MailHost::new(&domain, &identity), &[])
            .nsec3()
            .record(&format!("*._tcp.mx.{domain}. TLSA {}", identity.tlsa(3, 1, 1)));
    }

    fn agility(&mut self) {
        let rule = "RFC 7671 9";
        let short = "3 1 2 0102".to_owned();
        let again = short.clone();
        self.alone(
            "shortno",
            Deferred,
            rule,
            "SHA-256 wrong, SHA-512 of two octets: unusable, decides nothing",
            |it| vec![it.wrong_tlsa(3, 1, 1), short],
        );
        self.alone(
            "shortyes",
            Authenticated,
            rule,
            "SHA-256 right, SHA-512 of two octets: unusable, decides nothing",
            |it| vec![it.tlsa(3, 1, 1), again],
        );
        self.alone("whole", Authenticated, rule, "3 1 0 right, 3 1 1 wrong: whole data is no digest", |it| {
            vec![it.tlsa(3, 1, 0), it.wrong_tlsa(3, 1, 1)]
        });
        self.alone("manystrong", Authenticated, rule, "two SHA-512, one right; SHA-256 wrong", |it| {
            vec![it.wrong_tlsa(3, 1, 2), it.tlsa(3, 1, 2), it.wrong_tlsa(3, 1, 1)]
        });
        let middle = self.world.intermediate.clone();
        let sent: &[&Identity] = &[&middle];
        let weaker = [middle.tlsa(2, 1, 1), middle.wrong_tlsa(2, 1, 2)];
        self.anchored(
            "taweaker",
            Deferred,
            rule,
            "2 1 1 right, 2 1 2 wrong: the weaker is not asked",
            sent,
            &weaker,
            None,
        );
        let usages = [middle.tlsa(2, 1, 1), middle.wrong_tlsa(3, 1, 2)];
        self.anchored(
            "tausages",
            Authenticated,
            rule,
            "2 1 1 right, 3 1 2 wrong: usages apart",
            sent,
            &usages,
            None,
        );
    }

    /// The host shows a certificate of the web for its name, unless no policy shall be in force.
    fn policy_text(&mut self) {
        let in_force: [(&str, &'static str, &'static str, String, &[&str]); 8] = [
            (
                "stslf",
                "RFC 8461 3.2",
                "LF line ends",
                enforce("mx.stslf.world").replace("\r\n", "\n"),
                &["v=STSv1; id=1;"],
            ),
            (
                "stsextra",
                "RFC 8461 3.2",
                "unknown keys",
                enforce("mx.stsextra.world") + "foo: bar\r\n",
                &["v=STSv1; id=1;"],
            ),
            (
                "stsmany",
                "RFC 8461 3.2",
                "several mx",
                enforce("a.example\r\nmx: mx.stsmany.world"),
                &["v=STSv1; id=1;"],
            ),
            (
                "stsnoend",
                "RFC 8461 3.2",
                "no line end at the end",
                enforce("mx.stsnoend.world").trim_end().to_owned(),
                &["v=STSv1; id=1;"],
            ),
            (
                "stsbesides",
                "RFC 8461 3.1",
                "an unrelated TXT record besides",
                enforce("mx.stsbesides.world"),
                &["v=STSv1; id=1;", "other"],
            ),
            (
                "stsbare",
                "RFC 8461 3.1",
                "TXT without a final semicolon",
                enforce("mx.stsbare.world"),
                &["v=STSv1; id=1"],
            ),
            (
                "stsfield",
                "RFC 8461 3.1",
                "TXT with an unknown field",
                enforce("mx.stsfield.world"),
                &["v=STSv1; id=1; foo=bar;"],
            ),
            (
                "stsparts",
                "RFC 8461 3.1",
                "TXT in two strings",
                enforce("mx.stsparts.world"),
                &["v=STSv1; \" \"id=1;"],
            ),
        ];
        for (name, rule, what, body, txt) in in_force {
            let domain = self.add(name, Deferred, rule, what);
            self.published_under(&domain, &body, txt, |_| {});
            // In force is what holds back a host that cannot prove itself.
            self.single(&domain, MailHost::new("", &Identity::alone("self.example")), &[]).unsigned();
        }
        let deep = self.add("stsdeep", Deferred, "RFC 8461 4.1", "a pattern stands for one label");
        self.published(&deep, &enforce("*.stsdeep.world"), |_| {});
        let host = MailHost::new(&deep, &self.world.web.issue("mx.a.stsdeep.world"));
        let at = self.world.host(host);
        let zone = self.world.zone(&deep).unsigned();
        zone.record("stsdeep.world. MX 10 mx.a.stsdeep.world.")
            .record(&format!("mx.a.stsdeep.world. A {at}"));
        let none: [(&str, &'static str, String); 3] = [
            ("stsversion", "version of the future", enforce("mx.stsversion.world").replace("STSv1", "STSv2")),
            ("stsmode", "unknown mode", enforce("mx.stsmode.world").replace("enforce", "perhaps")),
            ("stsempty", "an empty policy", String::new()),
        ];
        for (name, what, body) in none {
            let domain = self.add(name, Encrypted, "RFC 8461 3.2", what);
            self.published(&domain, &body, |_| {});
            self.single(&domain, MailHost::new("", &Identity::alone("self.example")), &[]).unsigned();
        }
        let charset =
            self.add("stscharset", Deferred, "RFC 8461 3.2", "policy of type text/plain; charset=utf-8");
        self.published(&charset, &enforce("mx.stscharset.world"), |file| {
            "text/plain; charset=utf-8".clone_into(&mut file.content_type);
        });
        self.single(&charset, MailHost::new("", &Identity::alone("self.example")), &[]).unsigned();
    }
}

/// The zone right above a name.
fn zone_of<'w>(world: &'w mut World, name: &str) -> &'w mut tests::world::Zone {
    world.zone(name.split_once('.').unwrap().1)
}
