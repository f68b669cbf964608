//! Reads records ahead: while one transaction is folded, the next one's records are read, checked and decoded by a
//! second thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mayfly_core::{Event, PartitionId, TimeMs};
use mayfly_engine::Head;

use super::folder::step_back;
use crate::{Home, JournalReader, StoreError};

/// The records of one transaction, checked and decoded.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Their events, each with its time.
    pub(crate) events: Vec<(TimeMs, Event)>,
    /// How many records they come from.
    pub(crate) records: u64,
    /// The last of these records.
    pub(crate) head: Head,
}

impl Chunk {
    /// Reads what follows `head`, up to record `through` or until there are `events_max` events; into `room`, whose
    /// space is used again.
    pub(crate) fn read(
        journal: &JournalReader,
        head: Head,
        through: u64,
        events_max: u64,
        mut room: Vec<(TimeMs, Event)>,
    ) -> Result<Self, StoreError> {
        room.clear();
        let mut chunk = Self { events: room, records: 0, head };
        if through <= head.sequence {
            return Ok(chunk);
        }
        for record in journal.after(head) {
            let record = record?;
            journal.each_event(&record, |event| chunk.events.push((record.at_ms, event)))?;
            chunk.head = record.head();
            chunk.records += 1;
            if chunk.events.len() as u64 >= events_max || record.sequence >= through {
                break;
            }
        }
        Ok(chunk)
    }
}

struct Order {
    head: Head,
    through: u64,
    events_max: u64,
    room: Vec<(TimeMs, Event)>,
}

/// The thread that reads ahead; it ends when this is dropped.
pub(super) struct ReadAhead {
    orders: SyncSender<Order>,
    chunks: Receiver<Result<Chunk, StoreError>>,
    ordered: bool,
}

impl ReadAhead {
    pub(super) fn start(home: &Home, partition: PartitionId) -> Result<Self, StoreError> {
        let journal = JournalReader::open(home, partition)?;
        let location = journal.location().clone();
        // One order at a time.
        let (orders, taken) = sync_channel::<Order>(1);
        let (done, chunks) = sync_channel(1);
        thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn(move || {
                step_back();
                for Order { head, through, events_max, room } in taken {
                    if done.send(Chunk::read(&journal, head, through, events_max, room)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| StoreError::no_thread(&location, &error))?;
        Ok(Self { orders, chunks, ordered: false })
    }

    /// Has what follows `head` read, to be taken with [`ReadAhead::take`].
    pub(super) fn order(&mut self, head: Head, through: u64, events_max: u64, room: Vec<(TimeMs, Event)>) {
        self.ordered = self.orders.send(Order { head, through, events_max, room }).is_ok();
    }

    /// What was ordered, if anything was. None as well if the thread broke off: then it is read without it.
    pub(super) fn take(&mut self) -> Option<Result<Chunk, StoreError>> {
        std::mem::take(&mut self.ordered).then(|| self.chunks.recv().ok()).flatten()
    }
}
