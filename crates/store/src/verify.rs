//! Verifying a journal: every record's hash, each partition's chain, the numbering, the counts, and that every record stands in
//! one entry.

use mayfly_core::{Event, PartitionId, TimeMs};
use mayfly_engine::Ends;

use crate::{JournalReader, StoreError};

/// What a whole journal has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// After which entry it begins: before the first, unless it was cut and is read without its archive.
    pub base: Ends,
    /// Where it ends: the hash of a partition's last record stands for everything before it.
    pub ends: Ends,
    /// How many events its records have.
    pub events: u64,
}

/// Reads the whole journal, with its archive if that is named, from the first entry to the last, and checks each record. `progress` is told after each
/// entry which one it was.
pub fn verify(journal: &JournalReader, progress: impl FnMut(u64)) -> Result<Verified, StoreError> {
    let verified = each_event(journal, journal.beginning()?, u64::MAX, progress, |_, _, _| ())?;
    // Nothing stands beside the entries.
    for partition in PartitionId::all(journal.partitions()) {
        let last = verified.ends.head(partition).sequence;
        let stray = journal.records(partition, last + 1).next().transpose()?.is_some();
        // One that belongs to an entry that was written meanwhile is none.
        if stray && journal.last_number()? == verified.ends.number {
            let why = format!("record {} of partition {} is in no entry", last + 1, partition.0);
            return Err(StoreError::Damaged { location: journal.location().clone(), why });
        }
    }
    Ok(verified)
}

/// Reads what follows, up to entry `through`, checks it, and hands on every event with where and when it happened.
pub(crate) fn each_event(
    journal: &JournalReader,
    mut ends: Ends,
    through: u64,
    mut progress: impl FnMut(u64),
    mut each: impl FnMut(PartitionId, Event, TimeMs),
) -> Result<Verified, StoreError> {
    let (base, mut events) = (ends.clone(), 0);
    let mut entries = journal.after(ends.clone());
    while ends.number < through {
        let Some(entry) = entries.next() else { break };
        let entry = entry?;
        for record in &entry.records {
            journal.each_event(record, |event| each(record.partition, event, record.at_ms))?;
            events += u64::from(record.count);
        }
        ends.advance(&entry);
        progress(entry.number);
    }
    Ok(Verified { base, ends, events })
}
