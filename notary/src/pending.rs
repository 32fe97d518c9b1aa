//! A receipt that is not there yet.

use std::future::Future;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;
use std::thread;

use tokio::sync::oneshot;

use crate::entry::Receipt;
use crate::error::AppendError;

/// An append under way: a future, or to be waited for with [`Pending::wait`].
///
/// Dropping it does not take the entry back; it is then recorded without anybody being told.
#[derive(Debug)]
#[must_use = "nothing is durable before the receipt is there"]
pub struct Pending(oneshot::Receiver<Result<Receipt, AppendError>>);

/// The writer's end of a [`Pending`].
pub(crate) type Reply = oneshot::Sender<Result<Receipt, AppendError>>;

impl Pending {
    /// Both ends.
    pub(crate) fn new() -> (Reply, Pending) {
        let (reply, receiver) = oneshot::channel();
        (reply, Pending(receiver))
    }

    /// Blocks this thread until the entry is on disk or refused. Not for the threads of an async
    /// runtime: those would stand still; there the value is awaited.
    ///
    /// # Errors
    /// As [`crate::Notary::append`].
    pub fn wait(self) -> Result<Receipt, AppendError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut pending = pin!(self);
        loop {
            match pending.as_mut().poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Pending {
    type Output = Result<Receipt, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(AppendError::Closed)))
    }
}

/// Wakes the thread that waits.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
