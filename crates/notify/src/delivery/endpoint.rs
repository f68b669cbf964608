//! One webhook: what it is told next, and what came of it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mayfly_core::{IssuerId, TimeMs};
use mayfly_office::events::{EventFilter, EventPlace};
use mayfly_office::{OfficeError, Part};
use mayfly_outbound::{Reply, Target, TargetError};
use mayfly_store::directory::{
    ATTEMPTS_KEPT, By, DirectoryError, Webhook, WebhookAttempt, WebhookOrder, WebhookProgress,
};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::DeliveryParts;
use super::streams::{Next, Ready, Streams, wants};
use crate::backoff;
use crate::judge::{Fault, Judged, judge};
use crate::meter::Outcome;
use crate::notifier::Notifier;
use crate::secret::{Secret, headers};

/// How many events a webhook that lags reads at a time.
const READ: usize = 100;
/// How long it rests when the journal can't be read.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// Who delivers, in the audit stream.
pub(super) const DELIVERY: &str = "delivery";

/// What all webhooks share.
pub(super) struct Shared {
    pub(super) parts: DeliveryParts,
    pub(super) notifier: Arc<Notifier>,
    pub(super) streams: Streams,
    /// Requests that may be under way.
    pub(super) room: Semaphore,
    /// Of these, for each issuer: slow receivers of one are in nobody else's way.
    pub(super) rooms: Mutex<HashMap<IssuerId, Arc<Semaphore>>>,
    /// Webhooks that may read the journal on their own at a time.
    pub(super) readers: Semaphore,
}

impl Shared {
    fn room_of(&self, issuer: IssuerId) -> Arc<Semaphore> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = || Arc::new(Semaphore::new(self.parts.options.requests_per_issuer_max));
        rooms.entry(issuer).or_insert_with(room).clone()
    }
}

/// One webhook.
pub(crate) struct Endpoint {
    pub(super) webhook: Webhook,
    target: Result<Target, TargetError>,
    secret: Secret,
    /// The one before, and until when it signs.
    previous: Option<(Secret, TimeMs)>,
    state: Mutex<State>,
    /// The time of the event that it is at, zero if there is none.
    at_event_ms: AtomicU64,
}

/// How far it is.
struct State {
    place: EventPlace,
    failures: u32,
    failing_since_ms: Option<TimeMs>,
    last_error: Option<String>,
    delivered_ms: Option<TimeMs>,
    attempts: VecDeque<WebhookAttempt>,
    /// Whether something is to be written soon.
    dirty: bool,
    /// The place as it was written.
    written: EventPlace,
}

/// What is to be written of a webhook.
pub(super) struct Notes {
    pub(super) progress: WebhookProgress,
    pub(super) attempts: Vec<WebhookAttempt>,
}

impl Endpoint {
    /// Of a webhook as it stands in the directory; none if its secret can't be used.
    pub(super) fn new(order: WebhookOrder, shared: &Shared) -> Option<Self> {
        let WebhookOrder { webhook, secret, previous } = order;
        let secret = Secret::from_bytes(secret.expose()).ok()?;
        let previous = previous.and_then(|previous| Secret::from_bytes(previous.expose()).ok());
        let state = State {
            place: webhook.place,
            failures: webhook.failures,
            failing_since_ms: webhook.failing_since_ms,
            last_error: webhook.last_error.clone(),
            delivered_ms: None,
            attempts: VecDeque::new(),
            dirty: false,
            written: webhook.place,
        };
        Some(Self {
            target: shared.parts.client.target(&webhook.url),
            secret,
            previous: previous.zip(webhook.overlap_until_ms),
            state: Mutex::new(state),
            at_event_ms: AtomicU64::new(0),
            webhook,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers and texts: none of them is ever half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its latest attempt failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.lock().failures > 0
    }

    /// The time of the event that it is at; none if it is at none.
    pub(crate) fn at_event_ms(&self) -> Option<TimeMs> {
        Some(self.at_event_ms.load(Ordering::Relaxed)).filter(|at_ms| *at_ms > 0)
    }

    /// Delivers until it is aborted: whenever that is, the place is not past what was not delivered.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let issuer = self.webhook.issuer;
        let mut grown = shared.streams.join(issuer);
        let _leaving = Leaving(&shared.streams, &self);
        loop {
            grown.mark_unchanged();
            let place = self.lock().place;
            match shared.streams.next(issuer, place, &self.webhook.kinds) {
                Next::Deliver(ready, next) => {
                    for ready in &ready {
                        self.deliver(&shared, ready).await;
                    }
                    self.move_to(next);
                }
                Next::Read => self.read_on(&shared, place).await,
                // The sender is kept as long as this one has not left.
                Next::Wait => drop(grown.changed().await),
            }
        }
    }

    /// Delivers what the journal has behind `place`, as much as is read at once.
    async fn read_on(&self, shared: &Shared, place: EventPlace) {
        let read = async {
            // The semaphore is never closed.
            let _place = shared.readers.acquire().await.map_err(|_| OfficeError::Stopped)?;
            let filter = EventFilter { issuer: Some(self.webhook.issuer), ..EventFilter::default() };
            let end = shared.parts.office.events_end();
            let part = Part { from: Some(place), limit: READ };
            shared.parts.office.events(filter, part).await.map(|found| (found, end))
        };
        match read.await {
            Ok((found, end)) => {
                let last = found.items.last().map(|now| now.place.after());
                for now in &found.items {
                    let ready = Ready::of(now);
                    if wants(&self.webhook.kinds, &ready.kind) {
                        self.deliver(shared, &ready).await;
                    }
                }
                self.move_to(found.next.unwrap_or(end).max(last.unwrap_or(place)));
            }
            Err(error) => {
                tracing::warn!(webhook = %self.webhook.id, %error, "events could not be read for a webhook");
                sleep(READ_AGAIN).await;
            }
        }
    }

    /// Delivers an event, however often it has to be tried.
    async fn deliver(&self, shared: &Shared, ready: &Ready) {
        self.at_event_ms.store(ready.at_ms.max(1), Ordering::Relaxed);
        let mut attempt = 0u32;
        loop {
            attempt = attempt.saturating_add(1);
            let (at_ms, begun) = (shared.parts.clock.now_ms(), Instant::now());
            let sent = self.send(shared, ready, at_ms).await;
            let judged = judge(&sent);
            let status = sent.as_ref().ok().map(|reply| reply.status);
            let took_ms = begun.elapsed().as_millis() as u64;
            let made = WebhookAttempt { at_ms, event: ready.place, attempt, status, error: None, took_ms };
            let counts = shared.notifier.counts();
            match judged {
                Judged::Delivered => {
                    counts.add(Outcome::Delivered);
                    self.delivered(made);
                    break;
                }
                Judged::Gone => {
                    counts.add(Outcome::Gone);
                    let why = "answered 410: the receiver is gone".to_owned();
                    self.failed(made, why.clone());
                    self.pause(shared, why).await;
                }
                Judged::Refused { why, wait } => {
                    counts.add(Outcome::Refused);
                    let failures = self.failed(made, why);
                    sleep(backoff::wait(failures, chance(), wait)).await;
                }
                Judged::Unanswered { why } => {
                    counts.add(Outcome::Unanswered);
                    let failures = self.failed(made, why);
                    sleep(backoff::wait(failures, chance(), None)).await;
                }
            }
        }
        self.at_event_ms.store(0, Ordering::Relaxed);
    }

    async fn send(&self, shared: &Shared, ready: &Ready, now_ms: TimeMs) -> Result<Reply, Fault> {
        let target = self.target.as_ref().map_err(|error| Fault::Target(*error))?;
        // The semaphore is never closed.
        let of_issuer = shared.room_of(self.webhook.issuer);
        let _place_of_issuer = of_issuer.acquire().await;
        let _place = shared.room.acquire().await;
        let previous = self.previous.as_ref().filter(|(_, until_ms)| now_ms < *until_ms);
        let secrets = std::iter::once(&self.secret).chain(previous.map(|(secret, _)| secret));
        let headers = headers(secrets, &ready.place.to_string(), now_ms / 1000, &ready.body);
        let sent =
            shared.parts.client.post(target, &headers, ready.body.clone(), shared.parts.options.limits);
        sent.await.map_err(Fault::Send)
    }

    fn move_to(&self, place: EventPlace) {
        let mut state = self.lock();
        state.place = state.place.max(place);
    }

    fn delivered(&self, made: WebhookAttempt) {
        let mut state = self.lock();
        state.place = made.event.after();
        state.delivered_ms = Some(made.at_ms);
        (state.failures, state.failing_since_ms, state.last_error) = (0, None, None);
        state.keep(made);
    }

    /// How many attempts failed by now, one after the other.
    fn failed(&self, made: WebhookAttempt, why: String) -> u32 {
        let mut state = self.lock();
        if state.failures == 0 {
            let (webhook, why) = (self.webhook.id, why.as_str());
            tracing::warn!(%webhook, why, "a webhook could not be told; it is tried again");
        }
        state.failures = state.failures.saturating_add(1);
        state.failing_since_ms.get_or_insert(made.at_ms);
        state.last_error = Some(why.clone());
        let failures = state.failures;
        state.keep(WebhookAttempt { error: Some(why), ..made });
        failures
    }

    /// Notes that nobody is there any more, and waits to be stopped for it.
    async fn pause(&self, shared: &Shared, why: String) {
        let (directory, webhook) = (shared.parts.directory.clone(), self.webhook.clone());
        let by_ms = shared.parts.clock.now_ms();
        let paused = tokio::task::spawn_blocking(move || {
            let by = By { actor: DELIVERY, now_ms: by_ms };
            directory.write::<_, DirectoryError>(by, |writing| writing.pause_gone_webhook(&webhook, &why))
        });
        match paused.await {
            Ok(Ok(())) => tracing::warn!(webhook = %self.webhook.id, "a webhook is gone; it was paused"),
            Ok(Err(error)) => tracing::error!(%error, "a webhook that is gone could not be paused"),
            Err(error) => tracing::error!(%error, "a webhook that is gone could not be paused"),
        }
        // If it was changed meanwhile, or could not be written, it is tried again.
        sleep(backoff::LONGEST).await;
    }

    /// What is to be written: soon if something was tried, and whenever else `all` says so.
    pub(super) fn notes(&self, streams: &Streams, all: bool) -> Option<Notes> {
        let Webhook { id, issuer, place_version, ref kinds, .. } = self.webhook;
        let mut state = self.lock();
        state.place = streams.reached(issuer, state.place, kinds);
        let moved = all && state.place != state.written;
        if !state.dirty && !moved {
            return None;
        }
        (state.dirty, state.written) = (false, state.place);
        let progress = WebhookProgress {
            webhook: id,
            place_version,
            place: state.place,
            failures: state.failures,
            failing_since_ms: state.failing_since_ms,
            last_error: state.last_error.clone(),
            delivered_ms: state.delivered_ms.take(),
        };
        Some(Notes { progress, attempts: state.attempts.drain(..).collect() })
    }

    /// What was to be written was not: it is tried again.
    pub(super) fn not_written(&self) {
        self.lock().dirty = true;
    }
}

impl State {
    fn keep(&mut self, made: WebhookAttempt) {
        self.dirty = true;
        if self.attempts.len() >= ATTEMPTS_KEPT {
            self.attempts.pop_front();
        }
        self.attempts.push_back(made);
    }
}

/// Leaves its issuer's stream, however the task ends.
struct Leaving<'a>(&'a Streams, &'a Endpoint);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1.webhook.issuer);
    }
}

/// Any number: every state of the standard library's hasher is another one.
fn chance() -> u64 {
    RandomState::new().hash_one(())
}
