//! The relay room alone, without the daemon around it: the policy server and the synchronous relay.
//!
//! `relay_lab POLICY LMTP RESOLVER [STATE]`, each an address with port. `RUST_LOG` is not read; the log goes to
//! standard error. Ends on SIGTERM after what is under way.
#![expect(clippy::print_stderr, reason = "a test program")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use relay::delivery::{Courier, CourierConfig};
use relay::dns::{Dns, DnsConfig};
use relay::engine::{Demands, Engine};
use relay::lmtp::{self, LmtpConfig, Relay};
use relay::road::Clock;
use relay::socketmap::{self, Listener, PolicyTables, ServerLimits, TransportTable};
use relay::sts::{StsCache, StsConfig};
use relay::tls::Tls;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut address = |what: &str| -> Result<SocketAddr, Box<dyn Error>> {
        Ok(arguments.next().ok_or_else(|| format!("no {what} address"))?.parse()?)
    };
    let (policy, inbox, resolver) = (address("policy")?, address("LMTP")?, address("resolver")?);
    let directory = arguments.next().map(Into::into);
    let clock = Clock::system();
    let dns = Dns::new(DnsConfig { resolver, ..DnsConfig::default() });
    let sts = StsCache::open(StsConfig { directory, ..StsConfig::default() }, dns.clone(), clock.clone())?;
    let engine = Engine::new(dns.clone(), sts, Demands::default(), clock.clone());
    let port = inbox.port();
    let transport =
        TransportTable { local: Arc::new(|domain| domain == "client.lab"), transport: "gw".to_owned(), port };
    let tables = PolicyTables::new(engine.clone(), clock.clone(), None, Some(transport), Box::new(|_, _| {}));
    let courier = Courier::new(
        CourierConfig { name: "client.lab".to_owned(), ..CourierConfig::default() },
        Tls::with_system_roots(clock),
    );
    let relay = Relay::new(engine.clone(), courier, (), LmtpConfig::default());
    let (stop, stopped) = watch::channel(false);
    let policy = Listener::Tcp(TcpListener::bind(policy).await?);
    let inbox = Listener::Tcp(TcpListener::bind(inbox).await?);
    let servers = async {
        tokio::join!(
            socketmap::serve(policy, Arc::new(tables), ServerLimits::default(), stopped.clone()),
            lmtp::serve(inbox, relay, stopped.clone()),
        )
    };
    let watching = async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            () = dns.watch_over() => {}
            () = engine.keep_fresh() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("relay_lab: stopping");
        stop.send(true)?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (_, watched) = tokio::join!(servers, watching);
    watched
}
