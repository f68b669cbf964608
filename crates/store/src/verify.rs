//! Verifying a journal: every record's hash, the chain, the numbering, the counts.

use mayfly_core::Event;
use mayfly_engine::Head;

use crate::{JournalReader, StoreError};

/// What a whole journal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Where it ends: its hash stands for everything before it.
    pub head: Head,
    /// How many events its records have.
    pub events: u64,
}

/// Reads the whole journal, from the first record to the last, and checks each one. `progress` is told after each
/// record which one it was.
pub fn verify(journal: &JournalReader, progress: impl FnMut(u64)) -> Result<Verified, StoreError> {
    each_event(journal, Head::START, u64::MAX, progress, |_, _| ())
}

/// Reads what follows `head`, up to record `through`, checks it, and hands on every event with its time.
pub(crate) fn each_event(
    journal: &JournalReader,
    mut head: Head,
    through: u64,
    mut progress: impl FnMut(u64),
    mut each: impl FnMut(Event, u64),
) -> Result<Verified, StoreError> {
    let mut events = 0;
    let mut records = journal.records(head.sequence + 1);
    while head.sequence < through {
        let Some(record) = records.next() else { break };
        let record = record?;
        let bad =
            |why| StoreError::Record { location: journal.location().clone(), sequence: record.sequence, why };
        record.check(&head).map_err(bad)?;
        record.each_event(|event| each(event, record.at_ms)).map_err(bad)?;
        events += u64::from(record.count);
        head = record.head();
        progress(record.sequence);
    }
    Ok(Verified { head, events })
}
