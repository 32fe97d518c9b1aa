//! Where the files of a log are: in a directory, or on a web server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use net::dns::{Dns, DnsConfig};
use net::https::{Https, Reach, Redirects, Wish};
use program::Exit;
use tlog::tiles::{Directory, Source};
use tokio::runtime::{Builder, Runtime};
use url::Url;

/// How long one file may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The resolver that is asked unless another is named.
pub(super) const RESOLVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// Has the files of a log.
pub(super) enum Place {
    Directory(Directory),
    Web(Box<Web>),
}

/// A web server.
pub(super) struct Web {
    base: Url,
    https: Https,
    runtime: Runtime,
}

impl Place {
    /// What begins with `http://` or `https://` is on a web server. The log is signed, so that it need not matter who
    /// hands it over.
    pub(super) fn of(text: &str, resolver: SocketAddr) -> Result<Self, Exit> {
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Ok(Self::Directory(Directory::new(text)));
        }
        let slash = if text.ends_with('/') { "" } else { "/" };
        let base = Url::parse(&format!("{text}{slash}")).map_err(|error| Exit::data(text, error))?;
        let dns = Dns::new(DnsConfig { resolver, ..DnsConfig::default() });
        let https = Https::new(dns, None, Reach::default());
        let https = https.map_err(|error| Exit::unavailable("TLS cannot be used", error))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Exit::unavailable("nothing can be asked", error))?;
        Ok(Self::Web(Box::new(Web { base, https, runtime })))
    }
}

impl Source for Place {
    fn fetch(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Directory(directory) => directory.fetch(path, limit),
            Self::Web(web) => web.fetch(path, limit),
        }
    }
}

impl Web {
    fn fetch(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let url = self.base.join(path).map_err(io::Error::other)?;
        let wish = Wish {
            accept: "*/*",
            limit: limit.saturating_add(1),
            deadline: DEADLINE,
            redirects: Redirects::Never,
            configured: true,
        };
        let fetched = self.runtime.block_on(self.https.get(&url, &wish)).map_err(io::Error::other)?;
        match fetched.response.status {
            200 => Ok(Some(fetched.response.body)),
            404 | 410 => Ok(None),
            status => Err(io::Error::other(format!("{url} was answered with {status}"))),
        }
    }
}
