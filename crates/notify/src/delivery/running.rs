//! What runs: webhooks are started and stopped as the directory has them, the journal is walked for them, and it is
//! written how far they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mayfly_office::events::Follower;
use mayfly_store::directory::{By, DirectoryError, WebhookId, WebhookOrder};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::DeliveryParts;
use super::endpoint::{DELIVERY, Endpoint, Notes, Shared};
use super::streams::{Ready, Streams};
use super::trouble::Trouble;
use crate::notifier::Notifier;

/// How many webhooks read the journal on their own at a time: one of the two readers is left for everybody else.
const READERS: usize = 1;
/// How often it is written how far webhooks are for which nothing came.
const WRITE_ALL: Duration = Duration::from_secs(60);

/// A webhook that is told things.
struct Told {
    endpoint: Arc<Endpoint>,
    task: JoinHandle<()>,
}

pub(super) struct Running {
    shared: Arc<Shared>,
    told: HashMap<WebhookId, Told>,
    follower: Follower,
    /// The changes of the directory that were looked at.
    changes: Option<u64>,
    written: Instant,
    written_all: Instant,
    looking: Trouble,
    reading: Trouble,
    writing: Trouble,
}

impl Running {
    pub(super) fn new(parts: DeliveryParts, notifier: Arc<Notifier>) -> Self {
        let streams = Streams::new(parts.office.events_end());
        let room = Semaphore::new(parts.options.requests_max);
        let readers = Semaphore::new(READERS);
        Self {
            shared: Arc::new(Shared { parts, notifier, streams, room, rooms: Mutex::default(), readers }),
            told: HashMap::new(),
            follower: Follower::default(),
            changes: None,
            written: Instant::now(),
            written_all: Instant::now(),
            looking: Trouble::default(),
            reading: Trouble::default(),
            writing: Trouble::default(),
        }
    }

    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let more = self.step().await;
            let pause = if more { Duration::ZERO } else { self.shared.parts.options.poll };
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                () = sleep(pause) => {}
            }
        }
        let told = self.told.drain().map(|(_, told)| told).collect();
        self.end(told).await;
    }

    /// One round. Whether there is more to do at once.
    async fn step(&mut self) -> bool {
        let changes = self.shared.parts.directory.webhook_changes();
        if self.changes != Some(changes) && self.looking.may_try(Instant::now()) {
            match self.look_up().await {
                Ok(()) => {
                    self.looking.over();
                    self.changes = Some(changes);
                }
                Err(why) if self.looking.again(Instant::now()) => {
                    tracing::error!(why, "webhooks could not be looked up; it is tried again");
                }
                Err(_) => {}
            }
        }
        let more = self.walk().await;
        let is_time = self.written.elapsed() >= self.shared.parts.options.write_every;
        if is_time && self.writing.may_try(Instant::now()) {
            self.write().await;
        }
        more
    }

    /// Starts and stops webhooks as the directory has them.
    async fn look_up(&mut self) -> Result<(), String> {
        let directory = self.shared.parts.directory.clone();
        let active = blocking(move || directory.active_webhooks()).await?;
        let active: HashMap<WebhookId, u64> = active.into_iter().collect();
        let over = self.told.extract_if(|id, told| active.get(id) != Some(&told.endpoint.webhook.version));
        let over = over.map(|(_, told)| told).collect();
        // How far they were is written before they are looked at again.
        self.end(over).await;
        let new: Vec<WebhookId> = active.into_keys().filter(|id| !self.told.contains_key(id)).collect();
        let (directory, now_ms) = (self.shared.parts.directory.clone(), self.shared.parts.clock.now_ms());
        let orders = blocking(move || {
            let order = |id: WebhookId| match directory.webhook_order(id, now_ms) {
                Ok(order) => order,
                Err(error) => {
                    tracing::error!(webhook = %id, %error, "a webhook can't be read: it is told nothing");
                    None
                }
            };
            Ok(new.into_iter().filter_map(order).collect::<Vec<WebhookOrder>>())
        });
        for order in orders.await? {
            let id = order.webhook.id;
            let Some(endpoint) = Endpoint::new(order, &self.shared).map(Arc::new) else {
                tracing::error!(webhook = %id, "a webhook's secret can't be used: it is told nothing");
                continue;
            };
            let task = tokio::spawn(endpoint.clone().run(self.shared.clone()));
            self.told.insert(id, Told { endpoint, task });
        }
        self.shared.notifier.watch(self.told.values().map(|told| told.endpoint.clone()).collect());
        Ok(())
    }

    /// Ends webhooks, and writes how far they are.
    async fn end(&self, over: Vec<Told>) {
        let mut notes = Vec::new();
        over.iter().for_each(|told| told.task.abort());
        for Told { endpoint, task } in over {
            // It was aborted: that is what it says.
            let _ = task.await;
            notes.extend(endpoint.notes(&self.shared.streams, true));
        }
        if !notes.is_empty()
            && let Err(why) = self.write_notes(notes).await
        {
            tracing::error!(why, "how far webhooks are could not be written: some events will come again");
        }
    }

    /// Reads on in the journal, for everybody who is up to date. Whether there is more.
    async fn walk(&mut self) -> bool {
        let (shared, office) = (&self.shared, &self.shared.parts.office);
        let (issuers, from) = shared.streams.wanted();
        if issuers.is_empty() {
            shared.streams.skip(office.events_end());
            return false;
        }
        if from >= office.events_end() || !self.reading.may_try(Instant::now()) {
            return false;
        }
        match office.follow(&mut self.follower, &issuers, from).await {
            Ok(followed) => {
                self.reading.over();
                let events = followed.events.iter().map(|(issuer, now)| (*issuer, Arc::new(Ready::of(now))));
                shared.streams.grow(&issuers, events.collect(), followed.next);
                followed.next < office.events_end()
            }
            Err(error) => {
                if self.reading.again(Instant::now()) {
                    tracing::warn!(%error, "the journal could not be read for webhooks; it is tried again");
                }
                false
            }
        }
    }

    /// Writes how far webhooks are.
    async fn write(&mut self) {
        self.written = Instant::now();
        let all = self.written_all.elapsed() >= WRITE_ALL;
        if all {
            self.written_all = Instant::now();
        }
        let (mut noted, mut notes) = (Vec::new(), Vec::new());
        for told in self.told.values() {
            if let Some(found) = told.endpoint.notes(&self.shared.streams, all) {
                noted.push(told.endpoint.clone());
                notes.push(found);
            }
        }
        if notes.is_empty() {
            return;
        }
        let Err(why) = self.write_notes(notes).await else { return self.writing.over() };
        if self.writing.again(Instant::now()) {
            tracing::error!(why, "how far webhooks are could not be written; it is tried again");
        }
        noted.iter().for_each(|endpoint| endpoint.not_written());
    }

    async fn write_notes(&self, notes: Vec<Notes>) -> Result<(), String> {
        let (directory, now_ms) = (self.shared.parts.directory.clone(), self.shared.parts.clock.now_ms());
        blocking(move || {
            directory.write::<_, DirectoryError>(By { actor: DELIVERY, now_ms }, |writing| {
                for Notes { progress, attempts } in &notes {
                    writing.note_webhooks(std::slice::from_ref(progress))?;
                    if !attempts.is_empty() {
                        writing.keep_webhook_attempts(progress.webhook, attempts)?;
                    }
                }
                Ok(())
            })
        })
        .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only if this was aborted: else there are none any more.
        self.told.values().for_each(|told| told.task.abort());
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DirectoryError> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    done.map_err(|error| error.to_string())
}
