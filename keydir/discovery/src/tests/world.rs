//! A world with a scripted resolver and a web server, and a clock that a test can move.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keydir::Scheme;
use keydir::wkd_hash;
use net::Clock;
use net::dns::script::Script;
use net::https::Reach;
use net::https::script::Reply;
use net::https::script::Web;
use url::Url;

use crate::Config;
use crate::Discovery;
use crate::Found;
use crate::LogVerifier;
use crate::Outcome;
use crate::Source;
use crate::SourceKind;
use crate::trust::FirstContact;

pub(super) const BOB: &str = "bob@a.example";
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const NAMES: &[&str] =
    &["a.example", "*.a.example", "openpgpkey.a.example", "www.a.example", "b.example", "keys.example"];

pub(super) struct World {
    pub(super) web: Web,
    pub(super) discovery: Discovery,
    ahead: Arc<AtomicI64>,
}

/// The advanced method's host of a.example and the key server exist.
pub(super) fn script() -> Script {
    Script::new()
        .addr("openpgpkey.a.example", "9.9.9.9")
        .addr("a.example", "9.9.9.10")
        .addr("www.a.example", "9.9.9.11")
        .addr("b.example", "9.9.9.12")
        .addr("keys.example", "127.0.0.1")
}

impl World {
    pub(super) async fn new(script: &Script) -> Self {
        Self::with(script.clone(), |_, _| {}, None).await
    }

    /// The usual hosts exist, and the administrator has configured something.
    pub(super) async fn configured(configure: impl FnOnce(&Web, &mut Config)) -> Self {
        Self::with(script(), configure, None).await
    }

    /// A key server is asked after all others, and believed so far.
    pub(super) async fn with_key_server(believed: FirstContact) -> Self {
        let configure = |web: &Web, config: &mut Config| {
            config.sources.push(hkp(web));
            config.rules.key_servers = believed;
        };
        Self::configured(configure).await
    }

    pub(super) async fn with(
        script: Script,
        configure: impl FnOnce(&Web, &mut Config),
        verifier: Option<Arc<dyn LogVerifier>>,
    ) -> Self {
        let web = Web::start(NAMES).await;
        let reach = Reach { connect_to: Some(web.address), ..Reach::default() };
        let mut config = Config { reach, ..Config::default() };
        configure(&web, &mut config);
        let ahead = Arc::new(AtomicI64::new(0));
        let (system, moved) = (Clock::system(), Arc::clone(&ahead));
        let clock = Clock::from_fn(move || system.now() + moved.load(Ordering::SeqCst));
        let roots = Some(Arc::clone(&web.roots));
        let discovery = Discovery::open(config, script.start().await, roots, clock, verifier, None).unwrap();
        Self { web, discovery, ahead }
    }

    /// Time goes on.
    pub(super) fn pass(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(super) async fn find(&self, address: &str) -> Found {
        self.discovery.find(address, Scheme::Openpgp, PATIENCE).await
    }

    /// What the advanced method answers for Bob from now on.
    pub(super) fn wkd(&self, reply: Reply) -> &Self {
        self.web.reply(&advanced("bob"), reply);
        self
    }

    /// What the key server answers for Bob from now on.
    pub(super) fn key_server(&self, reply: Reply) -> &Self {
        let host = host(&self.web);
        let path = "/pks/lookup?op=get&options=mr&exact=on&search=bob%40a.example";
        self.web.reply(&format!("{host}{path}"), reply);
        self
    }

    /// How often the advanced method was asked for Bob.
    pub(super) fn asked(&self) -> usize {
        let path = advanced("bob");
        self.web.asked().iter().filter(|asked| **asked == path).count()
    }
}

/// The server that the administrator named.
pub(super) fn host(web: &Web) -> String {
    format!("keys.example:{}", web.address.port())
}

pub(super) fn base(web: &Web) -> Url {
    Url::parse(&format!("https://{}/", host(web))).unwrap()
}

pub(super) fn hkp(web: &Web) -> Source {
    Source::new("hkp", SourceKind::Hkp(base(web)))
}

pub(super) fn advanced(local: &str) -> String {
    format!("openpgpkey.a.example/.well-known/openpgpkey/a.example/hu/{}?l={local}", wkd_hash(local))
}

pub(super) fn direct(local: &str) -> String {
    format!("a.example/.well-known/openpgpkey/hu/{}?l={local}", wkd_hash(local))
}

impl Found {
    #[track_caller]
    pub(super) fn fingerprint(&self) -> &str {
        match &self.outcome {
            Outcome::Found(candidate) => &candidate.fingerprint,
            other => panic!("{other:?}\n{}", self.trace),
        }
    }

    #[track_caller]
    pub(super) fn none(&self) -> String {
        match &self.outcome {
            Outcome::None { why } => why.join("; "),
            other => panic!("{other:?}\n{}", self.trace),
        }
    }

    #[track_caller]
    pub(super) fn doubt(&self) -> &str {
        match &self.outcome {
            Outcome::CouldNotTell { why, .. } => why,
            other => panic!("{other:?}\n{}", self.trace),
        }
    }

    #[track_caller]
    pub(super) fn held(&self) -> &crate::Held {
        match &self.outcome {
            Outcome::Held(held) => held,
            other => panic!("{other:?}\n{}", self.trace),
        }
    }
}
