//! For whoever wants to know how deliveries go, or to try a webhook at once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mayfly_engine::Clock;
use mayfly_office::events::rfc_3339;
use mayfly_outbound::{Client, Limits, Target, TargetError};
use mayfly_store::directory::WebhookOrder;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::delivery::Endpoint;
use crate::judge::{Fault, Judged, judge};
use crate::meter::DeliveryCounts;
use crate::secret::{Secret, headers};

/// How many webhooks are tried at a time; one more is told to wait.
const PINGS_MAX: usize = 16;
/// How long that may take: less than a request of the API.
const PING: Limits = Limits { connect: Duration::from_secs(3), total: Duration::from_secs(8) };

/// How deliveries go, and how to try one.
pub struct Notifier {
    client: Arc<Client>,
    clock: Arc<dyn Clock>,
    pings: Semaphore,
    counts: DeliveryCounts,
    told: Mutex<Vec<Arc<Endpoint>>>,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notifier")
    }
}

/// How webhooks lag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lagging {
    /// How many are told things.
    pub active: usize,
    /// How many of them failed when they were tried last.
    pub failing: usize,
    /// How old the oldest event is that one of them is at, in milliseconds; 0 if none is at any.
    pub lag_ms: u64,
}

/// What came of trying a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinged {
    /// The status that was answered, if any was.
    pub status: Option<u16>,
    /// What was wrong; none if it was taken.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Notifier {
    pub(crate) fn new(client: Arc<Client>, clock: Arc<dyn Clock>) -> Self {
        let (counts, told) = (DeliveryCounts::default(), Mutex::default());
        Self { client, clock, pings: Semaphore::new(PINGS_MAX), counts, told }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Endpoint>>> {
        // The list is always set whole.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(&self, told: Vec<Arc<Endpoint>>) {
        *self.lock() = told;
    }

    /// What came of attempts since the start.
    pub fn counts(&self) -> &DeliveryCounts {
        &self.counts
    }

    /// How webhooks lag.
    pub fn lagging(&self) -> Lagging {
        let (told, now_ms) = (self.lock(), self.clock.now_ms());
        let oldest_ms = told.iter().filter_map(|endpoint| endpoint.at_event_ms()).min();
        Lagging {
            active: told.len(),
            failing: told.iter().filter(|endpoint| endpoint.is_failing()).count(),
            lag_ms: oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms)),
        }
    }

    /// A URL, if something may be sent there.
    ///
    /// # Errors
    ///
    /// [`TargetError`]: what it must be.
    pub fn target(&self, url: &str) -> Result<Target, TargetError> {
        self.client.target(url)
    }

    /// Sends a `ping` to a webhook at once; none if too many are under way. It is no event: no place moves.
    pub async fn ping(&self, order: &WebhookOrder, id: &str) -> Option<Pinged> {
        let _place = self.pings.try_acquire().ok()?;
        let (now_ms, begun) = (self.clock.now_ms(), Instant::now());
        let sent = async {
            let target = self.client.target(&order.webhook.url).map_err(Fault::Target)?;
            let body = json!({
                "type": "ping",
                "id": id,
                "timestamp": rfc_3339(now_ms),
                "data": { "webhook": order.webhook.id.to_string() },
            });
            let body = Bytes::from(body.to_string());
            let secrets = [Some(&order.secret), order.previous.as_ref()];
            let secrets: Vec<Secret> = secrets
                .iter()
                .flatten()
                .filter_map(|secret| Secret::from_bytes(secret.expose()).ok())
                .collect();
            let headers = headers(secrets.iter(), id, now_ms / 1000, &body);
            self.client.post(&target, &headers, body, PING).await.map_err(Fault::Send)
        };
        let sent = sent.await;
        let error = match judge(&sent) {
            Judged::Delivered => None,
            Judged::Gone => Some("answered 410: the receiver is gone".to_owned()),
            Judged::Refused { why, .. } | Judged::Unanswered { why } => Some(why),
        };
        let status = sent.ok().map(|reply| reply.status);
        Some(Pinged { status, error, took_ms: begun.elapsed().as_millis() as u64 })
    }
}
