//! The committer: one append and one sync for a batch, then its answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mayfly_core::{Answer, MessageAnswer, Reason, Refusal};

use crate::mailbox::deliver;
use crate::queue::Queue;
use crate::writer::refusal;
use crate::{AppendError, Asker, Journal, Meter, Progress, Question, Record, Ticket};

/// A batch: its record if anything changed, and what may be told when it is durable.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) payload: Vec<u8>,
    pub(crate) count: u32,
    pub(crate) record: Option<Record>,
    pub(crate) answers: Vec<(Ticket, Answer)>,
    pub(crate) looks: Vec<Box<dyn FnOnce() + Send>>,
    pub(crate) questions: Vec<Question>,
}

impl Batch {
    /// Its space, for another one.
    pub(crate) fn emptied(mut self) -> Self {
        if let Some(record) = self.record.take() {
            self.payload = record.payload;
        }
        self.payload.clear();
        self.answers.clear();
        self.looks.clear();
        self.questions.clear();
        self.count = 0;
        self
    }
}

/// How long an append whose outcome is unknown is tried again.
const RETRY_FOR: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Committer {
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) batches: Receiver<Batch>,
    /// Set while it has nothing to do, for the writer to see.
    pub(crate) waiting: Arc<AtomicBool>,
    pub(crate) spare: SyncSender<Batch>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) failure: Arc<Mutex<Option<AppendError>>>,
    pub(crate) asker: Arc<dyn Asker>,
}

impl Committer {
    /// Runs until the writer is done, or an append has failed for good.
    pub(crate) fn run(mut self) {
        while let Some(mut batch) = self.next() {
            if let Some(record) = &batch.record
                && let Err(error) = self.append(record)
            {
                return self.give_up(error, batch);
            }
            self.meter.answered(batch.answers.len() as u64);
            for look in batch.looks.drain(..) {
                look();
            }
            deliver(&mut batch.answers);
            for question in batch.questions.drain(..) {
                self.asker.ask(question);
            }
            // If nobody needs the space, it is given back.
            drop(self.spare.try_send(batch));
        }
    }

    fn next(&self) -> Option<Batch> {
        self.batches.try_recv().ok().or_else(|| {
            self.waiting.store(true, Ordering::Release);
            self.batches.recv().ok()
        })
    }

    fn append(&mut self, record: &Record) -> Result<(), AppendError> {
        let begun = Instant::now();
        let mut unconfirmed = false;
        loop {
            match self.journal.append(record) {
                Ok(()) => break,
                Err(error @ AppendError::Unknown(_)) if begun.elapsed() < RETRY_FOR => {
                    tracing::warn!(%error, sequence = record.sequence, "trying the same record again");
                    // Until it is known what became of this one, new work would only wait.
                    self.queue.set_unconfirmed(true);
                    unconfirmed = true;
                    thread::sleep(RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        if unconfirmed {
            self.queue.set_unconfirmed(false);
        }
        self.meter.appended(record, begun.elapsed());
        self.progress.set_durable(record.sequence, record.at_ms);
        Ok(())
    }

    /// Nothing more is acknowledged: what waits is refused, what was being written is never answered with more
    /// than "try again".
    fn give_up(self, error: AppendError, batch: Batch) {
        tracing::error!(%error, "the engine stops");
        self.queue.stop();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        let mut batches = vec![batch];
        let mut waiting = Vec::new();
        loop {
            while let Ok(batch) = self.batches.try_recv() {
                batches.push(batch);
            }
            let more = self.queue.take(&mut waiting, Duration::ZERO);
            let mut refused: Vec<_> = waiting.drain(..).filter_map(refusal).collect();
            deliver(&mut refused);
            if !more {
                break;
            }
        }
        batches.into_iter().for_each(refuse);
    }
}

/// Tells whoever waits for a batch that was not written.
pub(crate) fn refuse(batch: Batch) {
    let mut answers: Vec<_> = batch
        .answers
        .into_iter()
        .map(|(ticket, answer)| {
            let unknown = match answer {
                Answer::Message(_) => Answer::Message(MessageAnswer::unrecorded(Reason::Overloaded)),
                _ => Answer::Refused(Refusal::Storage),
            };
            (ticket, unknown)
        })
        .collect();
    deliver(&mut answers);
}
