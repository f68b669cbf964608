//! What happens in a batch, gathered by partition until it becomes an entry of the journal.

use mayfly_core::{Event, PartitionId, TimeMs};

use crate::{Ends, Entry, Record};

/// The events of a batch, written one after the other for each partition.
#[derive(Default)]
pub(crate) struct Changes {
    /// By partition. Room that was used once is used again.
    of: Vec<Change>,
    /// Those that have some.
    touched: Vec<PartitionId>,
}

#[derive(Default)]
struct Change {
    payload: Vec<u8>,
    count: u32,
}

impl Changes {
    /// One more event of a partition.
    pub(crate) fn add(&mut self, partition: PartitionId, event: &Event) {
        let change = self.of_partition(partition);
        change.count += 1;
        let is_first = change.count == 1;
        event.write(&mut change.payload);
        if is_first {
            self.touched.push(partition);
        }
    }

    /// Whether nothing has happened.
    pub(crate) fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// All of it, as the entry that follows where the journal ends; none if nothing has happened.
    pub(crate) fn seal(&mut self, ends: &mut Ends, at_ms: TimeMs) -> Option<Entry> {
        if self.is_empty() {
            return None;
        }
        // So that what lies beside each other is written one after the other.
        self.touched.sort_unstable();
        let mut records = Vec::with_capacity(self.touched.len());
        for partition in std::mem::take(&mut self.touched) {
            let change = std::mem::take(self.of_partition(partition));
            records.push(Record::seal(&ends.head(partition), partition, at_ms, change.count, change.payload));
        }
        let entry = Entry { number: ends.number + 1, records };
        ends.advance(&entry);
        Some(entry)
    }

    /// Takes the room of a record that was written.
    pub(crate) fn give_back(&mut self, record: Record) {
        let mut payload = record.payload;
        payload.clear();
        *self.of_partition(record.partition) = Change { payload, count: 0 };
    }

    fn of_partition(&mut self, partition: PartitionId) -> &mut Change {
        let at = usize::from(partition.0);
        if self.of.len() <= at {
            self.of.resize_with(at + 1, Change::default);
        }
        &mut self.of[at]
    }
}
