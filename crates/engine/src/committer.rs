//! The committer: one append and one sync for a batch, then its answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mayfly_core::{Answer, MessageAnswer, Reason, Refusal, TimeMs};

use crate::changes::Changes;
use crate::mailbox::deliver;
use crate::queue::Queue;
use crate::{AppendError, Asker, Ends, Entry, Journal, Meter, Progress, Question, RETRY_FOR, Ticket};

/// A batch: its entry if anything changed, and what may be told when it is durable.
#[derive(Default)]
pub(crate) struct Batch {
    /// When everything in it happens.
    pub(crate) now_ms: TimeMs,
    /// How many commands were decided for it.
    pub(crate) commands: usize,
    /// What happened, by partition, until it becomes an entry.
    pub(crate) changes: Changes,
    pub(crate) entry: Option<Entry>,
    pub(crate) answers: Vec<(Ticket, Answer)>,
    pub(crate) looks: Vec<Box<dyn FnOnce() + Send>>,
    pub(crate) questions: Vec<Question>,
}

impl Batch {
    /// Whether nobody hears anything by it.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.answers.is_empty()
            && self.looks.is_empty()
            && self.questions.is_empty()
    }

    /// Its space, for another one.
    pub(crate) fn emptied(mut self) -> Self {
        for record in self.entry.take().into_iter().flat_map(|entry| entry.records) {
            self.changes.give_back(record);
        }
        self.commands = 0;
        self.answers.clear();
        self.looks.clear();
        self.questions.clear();
        self
    }
}

/// How long it is waited before something unknown is tried again: at first, and at the most.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(200);

pub(crate) struct Committer {
    pub(crate) journal: Box<dyn Journal>,
    /// Where the journal ends, with what was appended.
    pub(crate) ends: Ends,
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
            let done = match &batch.entry {
                Some(entry) => self.append(entry),
                None => self.confirm(&batch),
            };
            if let Err(error) = done {
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
            self.queue.wake();
            self.batches.recv().ok()
        })
    }

    fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        let begun = Instant::now();
        self.insist(entry.number, |journal, _| journal.append(entry))?;
        self.ends.advance(entry);
        self.meter.appended(entry, begun.elapsed());
        self.progress.set_durable(entry.number, entry.at_ms());
        Ok(())
    }

    /// What was only looked up leaves as long as nobody else writes.
    fn confirm(&mut self, batch: &Batch) -> Result<(), AppendError> {
        if batch.answers.is_empty() && batch.looks.is_empty() {
            return Ok(());
        }
        self.insist(self.ends.number, |journal, ends| journal.confirm(ends))
    }

    /// Does something until its outcome is known. Meanwhile new work would only wait, and is shed.
    fn insist(
        &mut self,
        number: u64,
        mut work: impl FnMut(&mut dyn Journal, &Ends) -> Result<(), AppendError>,
    ) -> Result<(), AppendError> {
        let begun = Instant::now();
        let mut pause = RETRY_PAUSE;
        self.queue.set_writing(Some(begun));
        let done = loop {
            match work(&mut *self.journal, &self.ends) {
                Err(error @ AppendError::Unknown(_)) if self.is_hopeful(begun.elapsed()) => {
                    if pause == RETRY_PAUSE {
                        tracing::warn!(%error, entry = number, "trying the same again");
                    }
                    self.queue.set_unconfirmed();
                    thread::sleep(pause);
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
                done => break done,
            }
        };
        if pause > RETRY_PAUSE && done.is_ok() {
            let took_ms = begun.elapsed().as_millis() as u64;
            tracing::info!(entry = number, took_ms, "the journal is there again");
        }
        self.queue.set_writing(None);
        done
    }

    /// Whoever wants to stop does not wait for ever.
    fn is_hopeful(&self, tried_for: Duration) -> bool {
        self.journal.is_hopeful(tried_for) && (!self.queue.is_stopping() || tried_for < RETRY_FOR)
    }

    /// Nothing more is acknowledged: what waits is refused, what was being written is never answered with more
    /// than "try again".
    fn give_up(self, error: AppendError, batch: Batch) {
        tracing::error!(%error, "the engine stops");
        self.queue.stop();
        // A broken disk is our own fault; otherwise whoever is asked next may well know.
        let reason = match error {
            AppendError::Failed(_) => Reason::Overloaded,
            AppendError::Unknown(_) | AppendError::Refused => Reason::Unconfirmed,
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        refuse(batch, reason);
        // Until the writer has decided what it had, and is gone: none of its batches may be left without an answer.
        while let Ok(batch) = self.batches.recv() {
            refuse(batch, reason);
        }
    }
}

/// Tells whoever waits for a batch that was not written.
pub(crate) fn refuse(batch: Batch, reason: Reason) {
    let mut answers: Vec<_> = batch
        .answers
        .into_iter()
        .map(|(ticket, answer)| {
            let unknown = match answer {
                Answer::Message(_) => Answer::Message(MessageAnswer::unrecorded(reason)),
                _ => Answer::Refused(Refusal::Storage),
            };
            (ticket, unknown)
        })
        .collect();
    deliver(&mut answers);
}
