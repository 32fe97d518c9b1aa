//! For tests: a policy host in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::StsConfig;
use crate::fixtures::certificates::Identity;

pub(crate) const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.a.example\r\nmax_age: 604800\r\n";

/// Answers every request with the same bytes; they can be changed while it runs.
#[derive(Clone)]
pub(crate) struct PolicyHost {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    hits: Arc<AtomicUsize>,
    roots: Arc<RootCertStore>,
}

impl PolicyHost {
    /// With a certificate for `name` by an authority that [`PolicyHost::config`] trusts.
    pub(crate) async fn start(name: &str) -> Self {
        let root = Identity::root("test only root");
        let leaf = root.issue(&[name], |_| {});
        Self::start_with(&root, leaf).await
    }

    pub(crate) async fn start_with(root: &Identity, leaf: Identity) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(root.certificate()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.certificate()], leaf.private_key())
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let host = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::default(),
            hits: Arc::default(),
            roots: Arc::new(roots),
        };
        host.serve(POLICY);
        tokio::spawn(host.clone().run(listener, TlsAcceptor::from(Arc::new(config))));
        host
    }

    async fn run(self, listener: TcpListener, acceptor: TlsAcceptor) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (host, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                host.hits.fetch_add(1, Ordering::SeqCst);
                let answer = host.answer.lock().unwrap().clone();
                let Some(answer) = answer else { return std::future::pending().await };
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            });
        }
    }

    /// Serves this policy from now on.
    pub(crate) fn serve(&self, policy: &str) {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            policy.len()
        );
        self.answer_with(&(head + policy));
    }

    pub(crate) fn answer_with(&self, answer: &str) {
        *self.answer.lock().unwrap() = Some(answer.as_bytes().to_vec());
    }

    pub(crate) fn fall_silent(&self) {
        *self.answer.lock().unwrap() = None;
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub(crate) fn config(&self) -> StsConfig {
        StsConfig {
            timeout: Duration::from_millis(500),
            roots: Some(Arc::clone(&self.roots)),
            connect_to: Some(self.address),
            ..StsConfig::default()
        }
    }
}
