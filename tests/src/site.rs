//! One mail domain: a Postfix and, usually, a gatepost attached to it.

use crate::gatepost::Gatepost;
use crate::gatepost::GatepostPlan;
use crate::postfix::Postfix;
use crate::postfix::PostfixPlan;
use crate::smtp::Outcome;
use crate::smtp::SmtpClient;

/// How a site is to be set up. Ports are known before it starts, so that sites can be wired together.
#[derive(Clone, Debug)]
pub struct SitePlan {
    /// The Postfix.
    pub postfix: PostfixPlan,
    /// The gatepost.
    pub gatepost: GatepostPlan,
}

impl SitePlan {
    /// A site for this domain with gatepost's default policy.
    pub fn new(domain: &str) -> Self {
        let postfix = PostfixPlan::new(domain);
        let gatepost = GatepostPlan::new(domain).reinject(postfix.ports.reinject);
        Self { postfix, gatepost }
    }

    /// The port for mail from other domains.
    pub fn inbound(&self) -> u16 {
        self.postfix.ports.inbound
    }

    /// Appends policy sections to gatepost's configuration (TOML).
    pub fn policy(mut self, toml: &str) -> Self {
        self.gatepost = self.gatepost.policy(toml);
        self
    }

    /// Sends mail for `domain` to a port on 127.0.0.1.
    pub fn route(mut self, domain: &str, port: u16) -> Self {
        self.postfix = self.postfix.route(domain, port);
        self
    }

    /// Prepares gatepost and starts Postfix with it as its (last) milter. Gatepost does not run yet:
    /// exchange keys, then call its `start`.
    ///
    /// # Panics
    /// If anything does not come up.
    #[track_caller]
    pub fn prepare(self) -> Site {
        let gatepost = self.gatepost.prepare();
        let postfix = self.postfix.milter(gatepost.milter()).start();
        Site { postfix, gatepost }
    }

    /// Like [`SitePlan::prepare`], and starts gatepost.
    #[track_caller]
    pub fn start(self) -> Site {
        let mut site = self.prepare();
        site.gatepost.start();
        site
    }
}

/// A running site.
#[derive(Debug)]
pub struct Site {
    /// Its Postfix.
    pub postfix: Postfix,
    /// Its gateway.
    pub gatepost: Gatepost,
}

impl Site {
    /// Sends one message through the submission port, as the site's own user.
    #[track_caller]
    pub fn submit(&self, reverse_path: &str, recipients: &[&str], message: &[u8]) -> Outcome {
        SmtpClient::connect(self.postfix.ports.submission).send(reverse_path, recipients, message)
    }

    /// Sends one message to the inbound port, as another domain's server.
    #[track_caller]
    pub fn receive(&self, reverse_path: &str, recipients: &[&str], message: &[u8]) -> Outcome {
        SmtpClient::connect(self.postfix.ports.inbound).send(reverse_path, recipients, message)
    }

    /// Gives `other` the certificate of our domain, as an administrator would.
    #[track_caller]
    pub fn give_domain_certificate(&self, other: &Site) {
        let domain = self.postfix.domain.as_str();
        let certificate = self.gatepost.export(&["--domain", domain]);
        other.gatepost.import(&["--domain", domain], &certificate);
    }

    /// Gives `other` the certificate of one of our users.
    #[track_caller]
    pub fn give_user_certificate(&self, address: &str, other: &Site) {
        let certificate = self.gatepost.export(&[address]);
        other.gatepost.import(&["--for", address], &certificate);
    }
}
