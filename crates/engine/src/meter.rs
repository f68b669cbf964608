//! What the engine counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Entry;

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Meter {
    entries: AtomicU64,
    records: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    answers: AtomicU64,
    append_us: AtomicU64,
    append_us_max: AtomicU64,
}

/// What was counted up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries appended: one for each batch that changed something.
    pub entries: u64,
    /// Records appended: one for each partition that a batch changed.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of their events.
    pub bytes: u64,
    /// Answers given.
    pub answers: u64,
    /// Time spent in appends, in microseconds.
    pub append_us: u64,
    /// The longest append, in microseconds.
    pub append_us_max: u64,
}

impl Meter {
    pub(crate) fn appended(&self, entry: &Entry, took: Duration) {
        let took_us = took.as_micros() as u64;
        let records = &entry.records;
        let events = records.iter().map(|record| u64::from(record.count)).sum();
        let bytes = records.iter().map(|record| record.payload.len() as u64).sum();
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records.len() as u64, Ordering::Relaxed);
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.append_us.fetch_add(took_us, Ordering::Relaxed);
        self.append_us_max.fetch_max(took_us, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, answers: u64) {
        self.answers.fetch_add(answers, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            entries: read(&self.entries),
            records: read(&self.records),
            events: read(&self.events),
            bytes: read(&self.bytes),
            answers: read(&self.answers),
            append_us: read(&self.append_us),
            append_us_max: read(&self.append_us_max),
        }
    }
}
