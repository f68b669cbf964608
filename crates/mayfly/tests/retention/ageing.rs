//! A journal of long ago. A server's clock can't be set: so what a server wrote is written again, at times of long ago,
//! through the store's own interface; and what is to come is written as of days from now.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;

use mayfly_core::PartitionId;
use mayfly_engine::{Ends, Entry, Journal, Record};
use mayfly_server::config::Settings;
use mayfly_store::{JournalReader, StoredJournal};
use mayfly_testing::TestDatabase;

use crate::harness::Home;

/// A day, in milliseconds.
pub(crate) const DAY_MS: u64 = 86_400_000;

/// What was written again.
pub(crate) struct Aged {
    /// When each of its entries was written now.
    pub(crate) times_ms: Vec<u64>,
    /// How many records they have.
    pub(crate) records: u64,
}

/// Writes the journal again, as if it had begun so many days ago, with so many milliseconds between one entry and the next. The
/// views are gone.
pub(crate) fn age(
    home: &Home,
    database: Option<&TestDatabase>,
    days: u64,
    mut apart_ms: impl FnMut() -> u64,
) -> Aged {
    let place = Settings::of_directory(&home.dir).unwrap().home;
    let entries: Vec<Entry> = JournalReader::open(&place).unwrap().entries(1).map(Result::unwrap).collect();
    match database {
        Some(database) => {
            database.psql("TRUNCATE mayfly_journal.journal, mayfly_journal.entries");
            database.psql("DROP SCHEMA mayfly_views CASCADE");
        }
        None => {
            for name in ["journal.db", "views.db"] {
                for suffix in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(home.file(&format!("{name}{suffix}")));
                }
            }
        }
    }
    let now_ms = entries.last().unwrap().at_ms();
    let mut at_ms = now_ms - days * DAY_MS;
    let mut journal = StoredJournal::open(&place).unwrap();
    let mut ends = Ends::start(journal.partitions());
    let mut written = Aged { times_ms: Vec::new(), records: 0 };
    for entry in entries {
        let aged = |record: Record| {
            Record::seal(&ends.head(record.partition), record.partition, at_ms, record.count, record.payload)
        };
        let aged = Entry { number: entry.number, records: entry.records.into_iter().map(aged).collect() };
        journal.append(&aged).unwrap();
        ends.advance(&aged);
        written.records += aged.records.len() as u64;
        written.times_ms.push(at_ms);
        at_ms += apart_ms();
    }
    assert!(at_ms < now_ms - 3 * DAY_MS, "it is not old enough");
    written
}

/// So many days pass, for the journal: its time is that of its last entry, and one without events is written as of then. Nobody
/// else may write it. Gives the time.
pub(crate) fn pass(home: &Home, days: u64) -> u64 {
    let place = Settings::of_directory(&home.dir).unwrap().home;
    let ends = JournalReader::open(&place).unwrap().ends().unwrap();
    let (partition, at_ms) = (PartitionId::FIRST, ends.at_ms() + days * DAY_MS);
    let record = Record::seal(&ends.head(partition), partition, at_ms, 0, Vec::new());
    let entry = Entry { number: ends.number + 1, records: vec![record] };
    StoredJournal::open(&place).unwrap().append(&entry).unwrap();
    at_ms
}
