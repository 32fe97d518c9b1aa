//! One piece of work for all who ask for the same thing at the same time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::watch;

/// Work under way, by key. It is finished even if all who asked have gone, and never done twice at once.
#[derive(Debug)]
pub struct Flights<V> {
    running: Arc<Mutex<Running<V>>>,
    limit: usize,
}

type Running<V> = HashMap<String, watch::Receiver<Option<V>>>;

impl<V: Clone + Send + Sync + 'static> Flights<V> {
    /// At most `limit` pieces of work at once.
    pub fn new(limit: usize) -> Self {
        Self { running: Arc::default(), limit }
    }

    /// Waits for the work of `key`, starting it if nobody has. Nothing if too much is under way or the work died.
    pub async fn join<F>(&self, key: &str, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut result = self.board(key, work)?;
        let value = result.wait_for(Option::is_some).await.ok()?;
        value.clone()
    }

    fn board<F>(&self, key: &str, work: impl FnOnce() -> F) -> Option<watch::Receiver<Option<V>>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut running = lock(&self.running);
        if let Some(result) = running.get(key) {
            return Some(result.clone());
        }
        if running.len() >= self.limit {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        running.insert(key.to_owned(), receiver.clone());
        let landing = Landing { running: Arc::clone(&self.running), key: key.to_owned() };
        let work = work();
        tokio::spawn(async move {
            let _landing = landing;
            sender.send_replace(Some(work.await));
        });
        Some(receiver)
    }
}

/// Takes the work off the list, also when it panics.
struct Landing<V> {
    running: Arc<Mutex<Running<V>>>,
    key: String,
}

impl<V> Drop for Landing<V> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

fn lock<V>(running: &Mutex<Running<V>>) -> MutexGuard<'_, Running<V>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn many_askers_share_one_flight_and_it_survives_them() {
        let flights = Arc::new(Flights::new(1));
        let runs = Arc::new(AtomicUsize::new(0));
        let join = || {
            let (flights, runs) = (Arc::clone(&flights), Arc::clone(&runs));
            async move {
                let work = || async move {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    runs.fetch_add(1, Ordering::SeqCst)
                };
                flights.join("a", work).await
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(5), join()).await.is_err());
        assert_eq!(tokio::join!(join(), join(), join()), (Some(0), Some(0), Some(0)));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(join().await, Some(1), "a later question starts anew");
    }

    #[tokio::test]
    async fn too_many_and_dead_flights_give_nothing() {
        let flights = Arc::new(Flights::<u8>::new(1));
        let dying = flights.join("a", || async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            panic!("test only")
        });
        let full = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            flights.join("b", || async { 1 }).await
        };
        assert_eq!(tokio::join!(dying, full), (None, None));
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(flights.join("b", || async { 1 }).await, Some(1));
    }
}
