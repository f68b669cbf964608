//! Reads records ahead: while one transaction is folded, the next one's records are read, checked and decoded by a
//! second thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mayfly_core::{Event, PartitionId, TimeMs};
use mayfly_engine::Ends;

use super::folder::step_back;
use crate::{EventPlace, Home, JournalReader, StoreError};

/// An event, with where and when it happened.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) partition: PartitionId,
    pub(crate) at_ms: TimeMs,
    pub(crate) place: EventPlace,
    pub(crate) event: Event,
}

/// The entries of one transaction, checked and decoded.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Their events.
    pub(crate) events: Vec<Happened>,
    /// How many entries they come from.
    pub(crate) entries: u64,
    /// Where the journal ends with the last of them.
    pub(crate) ends: Ends,
}

impl Chunk {
    /// Reads what follows, up to entry `through` or until there are `events_max` events; into `room`, whose
    /// space is used again.
    pub(crate) fn read(
        journal: &JournalReader,
        ends: Ends,
        through: u64,
        events_max: u64,
        mut room: Vec<Happened>,
    ) -> Result<Self, StoreError> {
        room.clear();
        let mut chunk = Self { events: room, entries: 0, ends };
        if through <= chunk.ends.number {
            return Ok(chunk);
        }
        for entry in journal.after(chunk.ends.clone()) {
            let entry = entry?;
            let mut place = EventPlace { sequence: entry.number, index: 0 };
            for record in &entry.records {
                let (partition, at_ms) = (record.partition, record.at_ms);
                journal.each_event(record, |event| {
                    chunk.events.push(Happened { partition, at_ms, place, event });
                    place.index += 1;
                })?;
            }
            chunk.ends.advance(&entry);
            chunk.entries += 1;
            if chunk.events.len() as u64 >= events_max || entry.number >= through {
                break;
            }
        }
        Ok(chunk)
    }
}

struct Order {
    ends: Ends,
    through: u64,
    events_max: u64,
    room: Vec<Happened>,
}

/// The thread that reads ahead; it ends when this is dropped.
pub(super) struct ReadAhead {
    orders: SyncSender<Order>,
    chunks: Receiver<Result<Chunk, StoreError>>,
    ordered: bool,
}

impl ReadAhead {
    pub(super) fn start(home: &Home) -> Result<Self, StoreError> {
        let journal = JournalReader::open(home)?;
        let location = journal.location().clone();
        // One order at a time.
        let (orders, taken) = sync_channel::<Order>(1);
        let (done, chunks) = sync_channel(1);
        thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn(move || {
                step_back();
                for Order { ends, through, events_max, room } in taken {
                    if done.send(Chunk::read(&journal, ends, through, events_max, room)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| StoreError::no_thread(&location, &error))?;
        Ok(Self { orders, chunks, ordered: false })
    }

    /// Has what follows read, to be taken with [`ReadAhead::take`].
    pub(super) fn order(&mut self, ends: Ends, through: u64, events_max: u64, room: Vec<Happened>) {
        self.ordered = self.orders.send(Order { ends, through, events_max, room }).is_ok();
    }

    /// What was ordered, if anything was. None as well if the thread broke off: then it is read without it.
    pub(super) fn take(&mut self) -> Option<Result<Chunk, StoreError>> {
        std::mem::take(&mut self.ordered).then(|| self.chunks.recv().ok()).flatten()
    }
}
