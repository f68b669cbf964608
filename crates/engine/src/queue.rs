//! The bounded queue in front of the writer.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mayfly_core::state::Transaction;
use mayfly_core::{Answer, Command, Partitions, Reason, TransactionId};

use crate::Ticket;
use crate::mailbox::deliver;
use crate::writer::refusal;

/// A look at the state between two batches. What it returns is called when everything that it saw is durable.
pub type Look = Box<dyn FnOnce(&Partitions) -> Box<dyn FnOnce() + Send> + Send>;

/// What waits for the writer.
pub(crate) enum Work {
    /// A command, and where its answer goes.
    Decide(Command, Ticket),
    /// A message whose old transactions were looked up.
    Resume(Box<Resumed>),
    /// An approval, or its repetition, came too late for whoever waited for it.
    Late { transaction: TransactionId, repeat: bool },
    /// Somebody wants to see the state.
    Look(Look),
}

/// A message that comes back with what was looked up for it.
pub(crate) struct Resumed {
    pub(crate) command: Command,
    pub(crate) ticket: Ticket,
    pub(crate) found: Vec<Transaction>,
}

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The queue is full.
    Full,
    /// It is not known whether the last record stands, and that comes first.
    Unconfirmed,
    /// The views lag too far behind.
    ViewsLag,
    /// The engine is stopping, or has stopped.
    Stopping,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue is full",
            Self::Unconfirmed => "the journal has not confirmed its last record",
            Self::ViewsLag => "the views lag too far behind",
            Self::Stopping => "the engine is stopping",
        })
    }
}

impl std::error::Error for Refused {}

#[derive(Default)]
struct Inner {
    waiting: Vec<Work>,
    stopping: bool,
    /// Nobody takes anything any more.
    over: bool,
    unconfirmed: bool,
    /// Since when the journal has been written, if it is.
    writing: Option<Instant>,
    lagging: bool,
    /// Whether somebody woke whoever waits.
    woken: bool,
    /// Whether whoever waits holds a batch open.
    holds_open: bool,
}

/// If the journal has not confirmed anything after so long, whoever comes now would only wait.
const SILENCE_MAX: Duration = Duration::from_secs(2);

impl Inner {
    fn is_unconfirmed(&self) -> bool {
        self.unconfirmed || self.writing.is_some_and(|since| since.elapsed() > SILENCE_MAX)
    }
}

pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { inner: Mutex::default(), filled: Condvar::new(), limit }
    }

    /// Adds as many of `work` as there is room for, in order; what is left in it was refused, for that reason.
    pub(crate) fn add(&self, work: &mut Vec<Work>) -> Result<(), Refused> {
        let mut inner = self.lock();
        if inner.stopping {
            return Err(Refused::Stopping);
        }
        if inner.is_unconfirmed() {
            return Err(Refused::Unconfirmed);
        }
        if inner.lagging {
            return Err(Refused::ViewsLag);
        }
        let was_empty = inner.waiting.is_empty();
        let room = self.limit.saturating_sub(inner.waiting.len());
        let taken = work.len().min(room);
        inner.waiting.extend(work.drain(..taken));
        drop(inner);
        if was_empty && taken > 0 {
            self.filled.notify_one();
        }
        if work.is_empty() { Ok(()) } else { Err(Refused::Full) }
    }

    /// Adds what was taken once already: it does not count against the bound, which is that of its pool.
    pub(crate) fn add_again(&self, work: Work) {
        let mut inner = self.lock();
        if inner.over {
            drop(inner);
            return deliver(&mut refusal(work, Reason::Overloaded).into_iter().collect());
        }
        inner.waiting.push(work);
        drop(inner);
        self.filled.notify_one();
    }

    /// Of the writer, when it ends: whatever has come since, or comes now, is refused.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        (inner.stopping, inner.over) = (true, true);
        let left = std::mem::take(&mut inner.waiting);
        drop(inner);
        deliver(&mut left.into_iter().filter_map(|work| refusal(work, Reason::Overloaded)).collect());
    }

    /// Takes everything that waits, at most after `wait`; or nothing, if somebody wakes whoever holds a batch open. False when
    /// the engine is stopping and all is taken.
    pub(crate) fn take(&self, batch: &mut Vec<Work>, wait: Duration, holds_open: bool) -> bool {
        let mut inner = self.lock();
        let woken = std::mem::take(&mut inner.woken) && holds_open;
        if inner.waiting.is_empty() && !inner.stopping && !woken {
            inner.holds_open = holds_open;
            inner = self.filled.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.holds_open = false;
        std::mem::swap(&mut inner.waiting, batch);
        !(inner.stopping && batch.is_empty())
    }

    /// Wakes whoever holds a batch open: there is somebody to hand it on to.
    pub(crate) fn wake(&self) {
        let mut inner = self.lock();
        inner.woken = true;
        if inner.holds_open {
            self.filled.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.filled.notify_all();
    }

    /// Sheds new work, because the journal does not confirm.
    pub(crate) fn set_unconfirmed(&self) {
        self.lock().unconfirmed = true;
    }

    /// Something is being written since then, or nothing any more.
    pub(crate) fn set_writing(&self, since: Option<Instant>) {
        let mut inner = self.lock();
        inner.writing = since;
        inner.unconfirmed &= since.is_some();
    }

    /// Whether new work is shed because the journal does not confirm.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.lock().is_unconfirmed()
    }

    /// Sheds new work, or no longer, because the views lag.
    pub(crate) fn set_lagging(&self, lagging: bool) {
        self.lock().lagging = lagging;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody panics while he holds this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    /// What a message is told whose work was not taken.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Unconfirmed => Reason::Unconfirmed,
            Self::Full | Self::ViewsLag | Self::Stopping => Reason::Overloaded,
        }
    }
}

impl Work {
    /// Gives up: whoever waits is told so.
    pub(crate) fn refuse(self, answer: Answer) -> Option<(Ticket, Answer)> {
        match self {
            Self::Decide(_, ticket) => Some((ticket, answer)),
            Self::Resume(resumed) => Some((resumed.ticket, answer)),
            Self::Late { .. } | Self::Look(_) => None,
        }
    }
}
