//! Verifying a journal: every record's hash, the chain, the numbering, the counts.

use mayfly_core::Event;
use mayfly_engine::Head;

use crate::{JournalReader, StoreError};

/// What a whole journal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// After which record it begins: before the first, unless it was cut and is read without its archive.
    pub base: Head,
    /// Where it ends: its hash stands for everything before it.
    pub head: Head,
    /// How many events its records have.
    pub events: u64,
}

/// Reads the whole journal, with its archive if that is named, from the first record to the last, and checks each one.
/// `progress` is told after each record which one it was.
pub fn verify(journal: &JournalReader, progress: impl FnMut(u64)) -> Result<Verified, StoreError> {
    each_event(journal, journal.beginning()?, u64::MAX, progress, |_, _| ())
}

/// Reads what follows `head`, up to record `through`, checks it, and hands on every event with its time.
pub(crate) fn each_event(
    journal: &JournalReader,
    mut head: Head,
    through: u64,
    mut progress: impl FnMut(u64),
    mut each: impl FnMut(Event, u64),
) -> Result<Verified, StoreError> {
    let (base, mut events) = (head, 0);
    let mut records = journal.after(head);
    while head.sequence < through {
        let Some(record) = records.next() else { break };
        let record = record?;
        journal.each_event(&record, |event| each(event, record.at_ms))?;
        events += u64::from(record.count);
        head = record.head();
        progress(record.sequence);
    }
    Ok(Verified { base, head, events })
}
