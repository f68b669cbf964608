//! Delivery: each webhook is told everything from its place in the journal on, in order.
//!
//! One reader walks the journal for all webhooks that are up to date, and keeps the latest events of each issuer in memory.
//! A webhook that lags behind those reads the journal on its own until it has caught up. A task for each webhook delivers
//! one event at a time. How far each is, and what came of its attempts, is written in batches: after a crash some events
//! are delivered again, with the same ids.

mod endpoint;
mod running;
mod streams;
mod trouble;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mayfly_engine::Clock;
use mayfly_office::Office;
use mayfly_outbound::{Client, Limits};
use mayfly_store::directory::Directory;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::notifier::Notifier;
pub(crate) use endpoint::Endpoint;
use running::Running;

/// What delivery works on.
pub struct DeliveryParts {
    /// Where events are read.
    pub office: Arc<Office>,
    /// Where webhooks are kept.
    pub directory: Arc<Directory>,
    /// What sends.
    pub client: Arc<Client>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub options: DeliveryOptions,
}

/// The bounds of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// How many requests may be under way at a time. Default 256.
    pub requests_max: usize,
    /// How many of them for one issuer. Default 8.
    pub requests_per_issuer_max: usize,
    /// How long one may take. Default 5 s to connect, 15 s in all.
    pub limits: Limits,
    /// How often it is looked whether there is something new. Default 200 ms.
    pub poll: Duration,
    /// How often it is written how far webhooks are, while something is delivered. Default 1 s.
    pub write_every: Duration,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self {
            requests_max: 256,
            requests_per_issuer_max: 8,
            limits: Limits { connect: Duration::from_secs(5), total: Duration::from_secs(15) },
            poll: Duration::from_millis(200),
            write_every: Duration::from_secs(1),
        }
    }
}

/// Delivery while it runs.
pub struct Delivery {
    notifier: Arc<Notifier>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

impl Delivery {
    /// Begins to deliver. Must be called within a tokio runtime.
    pub fn start(parts: DeliveryParts) -> Self {
        let notifier = Arc::new(Notifier::new(parts.client.clone(), parts.clock.clone()));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(Running::new(parts, notifier.clone()).run(stopped));
        Self { notifier, stop, running }
    }

    /// For whoever wants to know how it goes, or to try a webhook.
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }

    /// Stops: what is under way is broken off (it will come again), and it is written how far every webhook is.
    pub async fn stop(self) {
        // Whoever runs may have ended already.
        let _ = self.stop.send(());
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the delivery to webhooks broke off");
        }
    }
}
