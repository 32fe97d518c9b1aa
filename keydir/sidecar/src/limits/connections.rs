//! How many connections there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::Client;
use crate::config::LimitsConfig;

/// Who is connected. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections {
    all: Arc<Semaphore>,
    networks: Arc<Mutex<Networks>>,
}

#[derive(Debug)]
struct Networks {
    most: u32,
    /// As many entries as there are connections, at most.
    open: HashMap<u64, u32>,
}

/// A connection's place; dropping it frees it.
#[derive(Debug)]
pub struct Seat {
    network: Option<u64>,
    networks: Arc<Mutex<Networks>>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(config: LimitsConfig) -> Self {
        let networks = Networks { most: config.connections_per_network, open: HashMap::new() };
        Self {
            all: Arc::new(Semaphore::new(config.connections.min(Semaphore::MAX_PERMITS))),
            networks: Arc::new(Mutex::new(networks)),
        }
    }

    pub(super) fn set(&self, config: LimitsConfig) {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner).most = config.connections_per_network;
    }

    /// Waits until one more connection may be accepted. `None` never comes while the process runs.
    pub async fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    /// Seats a connection that was accepted; `None` if its network has too many. `client` is `None` for a proxy, whose
    /// connections are not counted by network.
    pub fn seat(&self, permit: OwnedSemaphorePermit, client: Option<Client>) -> Option<Seat> {
        let network = client.map(Client::network);
        if let Some(network) = network {
            let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
            let most = networks.most;
            let open = networks.open.entry(network).or_default();
            if *open >= most {
                return None;
            }
            *open += 1;
        }
        Some(Seat { network, networks: self.networks.clone(), _permit: permit })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = networks.open.get_mut(&network) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                networks.open.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_network_has_its_seats_and_gets_them_back() {
        let config = LimitsConfig { connections: 4, connections_per_network: 2, ..LimitsConfig::default() };
        let connections = Connections::new(config);
        let sit = async |address: &str| {
            let client = Client::Address(address.parse().unwrap());
            connections.seat(connections.room().await.unwrap(), Some(client))
        };
        let (one, two) = (sit("192.0.2.1").await, sit("192.0.2.2").await);
        assert!(one.is_some() && two.is_some() && sit("192.0.2.3").await.is_none());
        let other = sit("192.0.3.1").await;
        drop(one);
        assert!(other.is_some() && sit("192.0.2.3").await.is_some());
        drop((two, other));
        assert!(connections.networks.lock().unwrap().open.is_empty());
        assert_eq!(connections.all.available_permits(), 4);
    }
}
