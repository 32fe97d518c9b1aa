//! What only the gateway can do, asked for on its socket in the publication: OCSP answers, which the authority signs,
//! labels of mailboxes that have no certificate, which a secret key makes, and cosignatures for partners' key logs.
//!
//! HTTP/1.1 on a unix socket: `POST /ocsp`, `POST /label` and `POST /add-checkpoint`. The gateway need not run for
//! anything else.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keylog::mailbox::Mailbox;
use keylog::vrf::VrfProof;
use net::http::{HttpError, Response, post, submit};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The socket's name in the publication directory.
const SOCKET: &str = "gate.sock";
/// Questions of one kind that are asked at the same time.
const AT_ONCE: usize = 16;
/// For one question, the wait for its turn included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const LIMIT: usize = 32 << 10;
/// Most bytes of the answer to a checkpoint.
const CHECKPOINT_LIMIT: usize = 16 << 10;
/// What the gateway is called in requests.
const HOST: &str = "gate";

/// The gateway's socket.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
    turns: Semaphore,
    /// Of their own, so that partners and clients do not wait for each other.
    checkpoints: Semaphore,
}

/// Why the gateway gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Nobody listens.
    #[error("the gateway does not listen on its socket")]
    Closed(#[from] io::Error),
    /// It answered something else.
    #[error("the gateway's answer cannot be used")]
    Answer(#[from] HttpError),
    /// It took too long, or too many ask.
    #[error("the gateway did not answer in time")]
    Late,
    /// It does not do this, or not for this question.
    #[error("the gateway answered with status {0}")]
    Status(u16),
    /// The answer to a label is not a proof.
    #[error("the gateway's proof of a label has the wrong length")]
    Proof,
}

impl Gate {
    /// The socket in this publication directory.
    pub fn new(publication: &Path) -> Self {
        let turns = || Semaphore::new(AT_ONCE);
        Self { path: publication.join(SOCKET), turns: turns(), checkpoints: turns() }
    }

    /// The answer to an OCSP request, both DER.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn ocsp(&self, request: &[u8]) -> Result<Vec<u8>, GateError> {
        let content = ("application/ocsp-request", request);
        self.ask("/ocsp", content, "application/ocsp-response").await
    }

    /// The proof of the label of a mailbox.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn label(&self, mailbox: &Mailbox) -> Result<VrfProof, GateError> {
        let content = ("text/plain; charset=utf-8", mailbox.as_bytes());
        let proof = self.ask("/label", content, "application/octet-stream").await?;
        Ok(VrfProof(proof.try_into().map_err(|_| GateError::Proof)?))
    }

    /// The answer to a checkpoint that a partner wants cosigned (C2SP tlog-witness), with any status.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn add_checkpoint(&self, request: &[u8]) -> Result<Response, GateError> {
        let content = ("text/plain; charset=utf-8", request);
        self.exchange(&self.checkpoints, |stream| {
            submit(stream, HOST, "/add-checkpoint", content, "*/*", CHECKPOINT_LIMIT)
        })
        .await
    }

    async fn ask(&self, path: &str, content: (&str, &[u8]), accept: &str) -> Result<Vec<u8>, GateError> {
        let asked = self.exchange(&self.turns, |stream| post(stream, HOST, path, content, accept, LIMIT));
        match asked.await? {
            Response { status: 200, body, .. } => Ok(body),
            response => Err(GateError::Status(response.status)),
        }
    }

    /// Waits for a turn and asks, both within the patience.
    async fn exchange<F>(
        &self,
        turns: &Semaphore,
        ask: impl FnOnce(UnixStream) -> F,
    ) -> Result<Response, GateError>
    where
        F: Future<Output = Result<Response, HttpError>>,
    {
        let asked = timeout(PATIENCE, async {
            // Never closed; if it were, that would be no turn either.
            let _turn = turns.acquire().await.map_err(|_| GateError::Late)?;
            let stream = UnixStream::connect(&self.path).await?;
            Ok(ask(stream).await?)
        });
        asked.await.map_err(|_| GateError::Late)?
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_gateway_that_is_not_there_or_says_nonsense_gives_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let gate = Gate::new(dir.path());
        let mailbox = Mailbox::parse("a@b.example").unwrap();
        assert!(matches!(gate.label(&mailbox).await, Err(GateError::Closed(_))));
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let answers = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "Proof"),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "Status(404)"),
            ("nonsense\r\n\r\n", "Answer"),
        ];
        for (answer, expected) in answers {
            let served = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 4096];
                let length = stream.read(&mut asked).await.unwrap();
                assert!(String::from_utf8_lossy(&asked[..length]).starts_with("POST /label HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let (said, ()) = tokio::join!(gate.label(&mailbox), served);
            let said = format!("{:?}", said.unwrap_err());
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
