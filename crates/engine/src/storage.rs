//! What the engine needs of a store. The store implements it; the engine knows no database.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mayfly_core::state::{Kept, Transaction};
use mayfly_core::{Hash64, PageRequest, PartitionId, TimeMs, TransactionId};

use crate::{Ends, Entry};

/// The journal, as its one writer sees it.
pub trait Journal: Send {
    /// Appends an entry, all of its records or none. When this returns, it is on the disk and stays there through a power cut.
    fn append(&mut self, entry: &Entry) -> Result<(), AppendError>;

    /// Makes sure that the journal still ends there, before answers leave that wrote nothing: whoever does not write
    /// any more must not give them. Nothing has to be done if nobody else can write.
    fn confirm(&mut self, _: &Ends) -> Result<(), AppendError> {
        Ok(())
    }

    /// Whether what is [unknown](AppendError::Unknown) is tried again, after it was tried for so long. A disk that does not
    /// come back soon does not come back.
    fn is_hopeful(&self, tried_for: Duration) -> bool {
        tried_for < RETRY_FOR
    }
}

/// How long a disk is given to come back.
pub const RETRY_FOR: Duration = Duration::from_secs(10);

/// Why an append was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// It can't be said whether the entry stands: the connection broke, or the database was busy. The same
    /// entry may be appended again; its key and hash decide.
    Unknown(String),
    /// Another record stands in its place: somebody else writes this partition. Step down.
    Refused,
    /// It failed for good: the disk is full or broken. Stop.
    Failed(String),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(why) => write!(f, "the journal did not confirm a record ({why})"),
            Self::Refused => f.write_str("another process writes this journal now; this one stops"),
            Self::Failed(why) => write!(f, "the journal can't be written ({why})"),
        }
    }
}

impl std::error::Error for AppendError {}

/// What was folded away, to be looked up again: on a pool of its own, never by the writer.
pub trait Archive: Send + Sync {
    /// The transactions that a message asks for, with their totals as they stand now. Waits, at most a few
    /// seconds, until everything up to entry `number` is folded.
    fn page(
        &self,
        partition: PartitionId,
        request: &PageRequest,
        number: u64,
    ) -> Result<Vec<Transaction>, ArchiveError>;

    /// The answer that was kept under a key, with whatever is folded by now.
    fn recall(&self, _: PartitionId, _: Hash64) -> Result<Option<Kept>, ArchiveError> {
        Err(ArchiveError("this archive has no answers".to_owned()))
    }
}

/// Why nothing could be looked up: a text for the log, without card data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveError(pub String);

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the views could not be read: {}", self.0)
    }
}

impl std::error::Error for ArchiveError {}

/// How far the journal and its views are, for everybody to see.
#[derive(Debug, Default)]
pub struct Progress {
    durable: AtomicU64,
    folded: AtomicU64,
    folded_transactions: Mutex<Vec<TransactionId>>,
    folded_at_ms: AtomicU64,
    /// When entries became durable that are not folded yet: one of them every [`SAMPLE_MS`].
    waiting: Mutex<VecDeque<(u64, TimeMs)>>,
}

/// How finely the lag of the views is told, in milliseconds.
const SAMPLE_MS: TimeMs = 10;
/// How many samples are kept at the most: eleven minutes of lag.
const SAMPLES_MAX: usize = 65_536;

/// How far the views are behind the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Entries that are durable and not folded.
    pub entries: u64,
    /// How long the oldest of them has been waiting, in milliseconds.
    pub ms: TimeMs,
}

impl Progress {
    /// The last entry that is on the disk.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Says which is the last entry on the disk, and when it got there.
    pub fn set_durable(&self, number: u64, at_ms: TimeMs) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = waiting.back().is_some_and(|(_, last_ms)| at_ms < last_ms + SAMPLE_MS);
        if !recent && waiting.len() < SAMPLES_MAX && number > self.folded() {
            waiting.push_back((number, at_ms));
        }
        drop(waiting);
        self.durable.store(number, Ordering::Release);
    }

    /// How far the views are behind at `now_ms`.
    pub fn lag(&self, now_ms: TimeMs) -> Lag {
        // Read in this order, so that the difference is never negative.
        let folded = self.folded();
        let entries = self.durable().saturating_sub(folded);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = waiting.front().filter(|_| entries > 0);
        Lag { entries, ms: oldest.map_or(0, |(_, at_ms)| now_ms.saturating_sub(*at_ms)) }
    }

    /// The last entry that is folded into the views.
    pub fn folded(&self) -> u64 {
        self.folded.load(Ordering::Acquire)
    }

    /// The first transaction of a partition that is not folded yet.
    pub fn folded_transaction(&self, partition: PartitionId) -> TransactionId {
        let folded = self.folded_transactions.lock().unwrap_or_else(PoisonError::into_inner);
        folded.get(usize::from(partition.0)).copied().unwrap_or(TransactionId(0))
    }

    /// The time of the last entry that is folded.
    pub fn folded_at_ms(&self) -> TimeMs {
        self.folded_at_ms.load(Ordering::Acquire)
    }

    /// Says up to where the views are folded: the last entry, its time, and the first transaction after it of each partition.
    pub fn set_folded(&self, number: u64, at_ms: TimeMs, next: impl Iterator<Item = TransactionId>) {
        let mut transactions = self.folded_transactions.lock().unwrap_or_else(PoisonError::into_inner);
        transactions.clear();
        transactions.extend(next);
        drop(transactions);
        self.folded_at_ms.store(at_ms, Ordering::Release);
        self.folded.store(number, Ordering::Release);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.front().is_some_and(|(waits, _)| *waits <= number) {
            waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_how_long_the_oldest_record_waits() {
        let progress = Progress::default();
        assert_eq!(progress.lag(u64::MAX), Lag { entries: 0, ms: 0 });
        // An hour of silence is no lag.
        progress.set_durable(1, 1_000);
        progress.set_folded(1, 1_000, [TransactionId(1)].into_iter());
        progress.set_durable(2, 3_600_000);
        progress.set_durable(3, 3_600_005);
        progress.set_durable(4, 3_600_020);
        assert_eq!(progress.lag(3_600_030), Lag { entries: 3, ms: 30 });
        progress.set_folded(3, 3_600_005, [TransactionId(1)].into_iter());
        assert_eq!(progress.lag(3_600_030), Lag { entries: 1, ms: 10 });
        progress.set_folded(4, 3_600_020, [TransactionId(1)].into_iter());
        assert_eq!(progress.lag(3_700_000), Lag { entries: 0, ms: 0 });
    }
}
