//! A journal record: the events of one batch, and the hash that chains it to the record before.

use std::num::NonZeroU16;

use mayfly_core::{EVENTS_VERSION, Event, EventsError, PartitionId, TimeMs};
use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
pub type Digest = [u8; 32];

/// The events of one batch as they are kept. Numbered within its partition without gaps, the first with 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition.
    pub partition: PartitionId,
    /// Its number.
    pub sequence: u64,
    /// The time at which all of its events happened, never before that of the record before.
    pub at_ms: TimeMs,
    /// How many events it has.
    pub count: u32,
    /// In which form its events are written.
    pub version: u8,
    /// The events.
    pub payload: Vec<u8>,
    /// The hash of the record before; zeros before the first.
    pub previous: Digest,
    /// The hash of all of the above.
    pub hash: Digest,
}

/// The last record of a journal: where the next one is chained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first.
    pub sequence: u64,
    /// Its hash; zeros before the first.
    pub hash: Digest,
    /// Its time; 0 before the first.
    pub at_ms: TimeMs,
}

/// The records of one batch, at most one for each partition: they are in the journal all together, or none of them.
///
/// Entries are numbered over all partitions, so the order in which everything happened is kept as well. An installation
/// with one partition has one record in each, and their numbers are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, one more than that of the entry before.
    pub number: u64,
    /// Its records, by partition; at least one.
    pub records: Vec<Record>,
}

impl Entry {
    /// When everything in it happened; none of its records is later.
    pub fn at_ms(&self) -> TimeMs {
        self.records.iter().map(|record| record.at_ms).max().unwrap_or_default()
    }
}

/// Where a journal ends: its last entry, and the last record of each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The number of the last entry; 0 before the first.
    pub number: u64,
    /// The last record of each partition.
    pub heads: Vec<Head>,
}

impl Ends {
    /// Of a journal without records, for so many partitions.
    pub fn start(partitions: NonZeroU16) -> Self {
        Self { number: 0, heads: vec![Head::START; usize::from(partitions.get())] }
    }

    /// Of a journal with one partition, that ends with this record.
    pub fn of_one(head: Head) -> Self {
        Self { number: head.sequence, heads: vec![head] }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> NonZeroU16 {
        // No journal has so many that they could not be counted.
        NonZeroU16::MIN.saturating_add((self.heads.len() as u16).saturating_sub(1))
    }

    /// The last record of a partition.
    pub fn head(&self, partition: PartitionId) -> Head {
        self.heads.get(usize::from(partition.0)).copied().unwrap_or(Head::START)
    }

    /// The time of the last record of any partition.
    pub fn at_ms(&self) -> TimeMs {
        self.heads.iter().map(|head| head.at_ms).max().unwrap_or_default()
    }

    /// A hash that stands for everything before the end: that of the last record, or, of several partitions, SHA-256 over
    /// the hashes of the last records of all of them in order.
    pub fn digest(&self) -> Digest {
        if let [head] = self.heads[..] {
            return head.hash;
        }
        let mut hash = Sha256::new();
        hash.update(b"mayfly/ends/v1\0");
        self.heads.iter().for_each(|head| hash.update(head.hash));
        hash.finalize().into()
    }

    /// The journal ends with this entry now.
    pub fn advance(&mut self, entry: &Entry) {
        self.number = entry.number;
        for record in &entry.records {
            if let Some(head) = self.heads.get_mut(usize::from(record.partition.0)) {
                *head = record.head();
            }
        }
    }

    /// Whether an entry is whole and follows.
    ///
    /// # Errors
    /// Which record is not what was written, and why.
    pub fn check<'a>(&self, entry: &'a Entry) -> Result<(), (&'a Record, RecordError)> {
        for record in &entry.records {
            record.check(&self.head(record.partition)).map_err(|why| (record, why))?;
        }
        Ok(())
    }
}

impl Head {
    /// Of a journal without records.
    pub const START: Self = Self { sequence: 0, hash: [0; 32], at_ms: 0 };
}

/// Why a record is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Its hash is not the hash of its content.
    Hash,
    /// It does not follow the record before: another one was put in its place, or one is missing.
    Chain,
    /// Its events can't be read.
    Events(EventsError),
    /// It says another number of events than it has.
    Count,
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hash => f.write_str("its hash is not that of its content: it was damaged or altered"),
            Self::Chain => {
                f.write_str("it is not chained to the record before it: one is missing or was replaced")
            }
            Self::Events(error) => error.fmt(f),
            Self::Count => f.write_str("it has not as many events as it says"),
        }
    }
}

impl std::error::Error for RecordError {}

impl Record {
    /// The record that follows `head`.
    pub fn seal(head: &Head, partition: PartitionId, at_ms: TimeMs, count: u32, payload: Vec<u8>) -> Self {
        let mut record = Self {
            partition,
            sequence: head.sequence + 1,
            at_ms,
            count,
            version: EVENTS_VERSION,
            payload,
            previous: head.hash,
            hash: [0; 32],
        };
        record.hash = record.digest();
        record
    }

    /// As the head of the journal that ends with it.
    pub fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.hash, at_ms: self.at_ms }
    }

    /// Whether it is whole and follows `head`.
    pub fn check(&self, head: &Head) -> Result<(), RecordError> {
        if self.hash != self.digest() {
            return Err(RecordError::Hash);
        }
        let follows =
            self.sequence == head.sequence + 1 && self.previous == head.hash && self.at_ms >= head.at_ms;
        if follows { Ok(()) } else { Err(RecordError::Chain) }
    }

    /// Each of its events, in order.
    pub fn each_event(&self, mut each: impl FnMut(Event)) -> Result<(), RecordError> {
        let mut count = 0;
        Event::read_all(self.version, &self.payload, |event| {
            count += 1;
            each(event);
        })
        .map_err(RecordError::Events)?;
        if count == self.count { Ok(()) } else { Err(RecordError::Count) }
    }

    fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(b"mayfly/record/v1\0");
        hash.update(self.partition.0.to_be_bytes());
        hash.update(self.sequence.to_be_bytes());
        hash.update(self.at_ms.to_be_bytes());
        hash.update(self.count.to_be_bytes());
        hash.update([self.version]);
        hash.update(self.previous);
        hash.update(&self.payload);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_altered_part_is_found() {
        let first = Record::seal(&Head::START, PartitionId(0), 5, 0, Vec::new());
        let record = Record::seal(&first.head(), PartitionId(0), 6, 3, vec![1, 2, 3]);
        assert_eq!(record.check(&first.head()), Ok(()));
        assert_eq!(record.check(&Head::START), Err(RecordError::Chain));
        for alter in [
            (|record: &mut Record| record.payload[1] ^= 1) as fn(&mut Record),
            |record| record.at_ms += 1,
            |record| record.count += 1,
            |record| record.version += 1,
            |record| record.sequence += 1,
            |record| record.partition = PartitionId(1),
            |record| record.previous[0] ^= 1,
            |record| record.hash[31] ^= 1,
        ] {
            let mut altered = record.clone();
            alter(&mut altered);
            assert_eq!(altered.check(&first.head()), Err(RecordError::Hash));
        }
    }
}
