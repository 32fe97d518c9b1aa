//! Domains that want TLS reports (RFC 8460), one for each thing that a report can say.

use tests::world::Identity;
use tests::world::MailHost;
use tests::world::Starttls;
use tests::world::TOP;
use tests::world::World;

use super::Case;
use super::Cases;
use super::Verdict;
use super::Verdict::Authenticated;
use super::Verdict::Clear;
use super::Verdict::Deferred;
use super::Verdict::Encrypted;
use super::enforce;

/// The host that takes reports over HTTPS; each domain's are posted to `/DOMAIN`.
const REPORT_HOST: &str = "reports.world";

const RFC: &str = "RFC 8460 4.3";

impl Cases {
    /// A world of them alone. Reports by mail go to `reader`.
    pub(in crate::relay) fn reported(reader: &str) -> Self {
        let mut cases = Self { world: World::new(), table: Vec::new() };
        cases.world.report_host(REPORT_HOST);
        cases.told_by_handshakes();
        cases.told_of_dane();
        cases.told_of_policies();
        for Case { domain, .. } in &cases.table {
            let mail = if domain == "letters.world" { format!("mailto:{reader},") } else { String::new() };
            let record =
                format!("_smtp._tls.{domain}. TXT \"v=TLSRPTv1; rua={mail}https://{REPORT_HOST}/{domain}\"");
            cases.world.zone(domain).record(&record);
        }
        cases
    }

    fn told_by_handshakes(&mut self) {
        for (name, verdict, host, what) in [
            ("open", Encrypted, MailHost::new("", &Identity::alone("x")), "TLS without a policy"),
            ("clear", Clear, MailHost::plain(""), "no policy, no TLS"),
        ] {
            let domain = self.add(name, verdict, RFC, what);
            self.single(&domain, host, &[]);
        }
        let dane: [(&str, Verdict, Starttls, &'static str); 4] = [
            ("good", Authenticated, Starttls::Offered, "DANE, success"),
            ("letters", Authenticated, Starttls::Offered, "DANE, success, reports by mail as well"),
            ("hidden", Deferred, Starttls::Hidden, "DANE, STARTTLS not offered"),
            ("torn", Deferred, Starttls::Broken, "DANE, the handshake breaks"),
        ];
        for (name, verdict, starttls, what) in dane {
            let domain = self.add(name, verdict, RFC, what);
            let identity = Identity::alone(&format!("mx.{domain}"));
            let host = MailHost::new("", &identity).starttls(starttls);
            self.single(&domain, host, &[identity.tlsa(3, 1, 1)]);
        }
        let web = self.world.web.clone();
        for (name, verdict, host, what) in [
            ("trusted", Authenticated, MailHost::new("", &web.issue("mx.trusted.world")), "MTA-STS, success"),
            (
                "strange",
                Deferred,
                MailHost::new("", &Identity::alone("mx.strange.world")),
                "MTA-STS, self-signed",
            ),
            ("other", Deferred, MailHost::new("", &web.issue("x.example")), "MTA-STS, another name"),
            ("late", Deferred, MailHost::new("", &web.issue_expired("mx.late.world")), "MTA-STS, expired"),
            ("bare", Deferred, MailHost::plain(""), "MTA-STS, STARTTLS not offered"),
        ] {
            let domain = self.add(name, verdict, RFC, what);
            self.published(&domain, &enforce(&format!("mx.{domain}")), |_| {});
            self.single(&domain, host, &[]).unsigned();
        }
    }

    fn told_of_dane(&mut self) {
        self.alone("mismatch", Deferred, RFC, "3 1 1 of another key", |it| vec![it.wrong_tlsa(3, 1, 1)]);
        let middle = self.world.intermediate.clone();
        let (sent, record): (&[&Identity], _) = (&[&middle], [middle.tlsa(2, 0, 1)]);
        let name = middle.issue("x.example");
        self.anchored("named", Deferred, RFC, "2 0 1, another name", sent, &record, Some(name));
        let old = middle.issue_expired("mx.aged.world");
        self.anchored("aged", Deferred, RFC, "2 0 1, expired", sent, &record, Some(old));
        let wrong = [middle.wrong_tlsa(2, 0, 1)];
        self.anchored("rooted", Deferred, RFC, "2 0 1 of another authority", sent, &wrong, None);
        self.alone("unusable", Encrypted, RFC, "no usable TLSA record", |_| vec!["3 1 1 0102".to_owned()]);
        self.alone("forged", Deferred, RFC, "TLSA tampered with", |it| vec![it.tlsa(3, 1, 1)])
            .tamper("TLSA", "3 1 1", "3 1 2");
        self.alone("required", Deferred, RFC, "we require DANE and there is none", |_| Vec::new());
    }

    fn told_of_policies(&mut self) {
        let web = self.world.web.clone();
        let domain = self.add("unlisted", Deferred, RFC, "the MTA-STS policy does not list the host");
        self.published(&domain, &enforce("x.example"), |_| {});
        self.single(&domain, MailHost::new("", &web.issue(&format!("mx.{domain}"))), &[]).unsigned();
        for (name, what) in [
            ("missing", "the MTA-STS policy cannot be fetched"),
            ("nonsense", "the MTA-STS policy is none"),
            ("forger", "the policy host is not authentic"),
        ] {
            let domain = self.add(name, Encrypted, RFC, what);
            self.published(&domain, &enforce(&format!("mx.{domain}")), |file| match name {
                "missing" => file.status = 404,
                "nonsense" => file.body = "version: STSv1\r\nmode: perhaps\r\n".to_owned(),
                _ => file.identity = Identity::alone(&format!("mta-sts.{name}.{TOP}")),
            });
            self.single(&domain, MailHost::new("", &Identity::alone("x")), &[]).unsigned();
        }
        let domain = self.add("testing", Encrypted, RFC, "MTA-STS in mode testing, self-signed certificate");
        let body = enforce(&format!("mx.{domain}")).replace("enforce", "testing");
        self.published(&domain, &body, |_| {});
        self.single(&domain, MailHost::new("", &Identity::alone("mx.testing.world")), &[]).unsigned();
    }
}
