//! The views' writer: folds records into the tables, some at a time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mayfly_card::MonthIndex;
use mayfly_core::{Event, PartitionId, TimeMs};
use rusqlite::Connection;

use super::batch::{Batch, Memory};
use crate::error::At;
use crate::views::cursor::Cursor;
use crate::views::{self, issuers, numbers};
use crate::{JournalReader, StoreError};

/// How much is folded in one transaction, and how much memory the views' writer may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldOptions {
    /// The page cache, in bytes. Default 128 MiB, 1 MiB to 64 GiB: should hold the rows of all active numbers (50
    /// bytes each).
    pub cache_bytes: usize,
    /// After so many events a transaction is committed. Default 100,000.
    pub events_max: u64,
    /// If a transaction takes longer than this, the next ones take fewer events. Default 1 s.
    pub time_max: Duration,
    /// So long, at least, between two transactions while little is to do: each writes the same hot pages again.
    /// Default 300 ms.
    pub pace: Duration,
    /// The write-ahead log is copied into the file when it has so many bytes. Default 128 MiB.
    pub checkpoint_bytes: u64,
}

impl Default for FoldOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            events_max: 100_000,
            time_max: Duration::from_secs(1),
            pace: Duration::from_millis(300),
            checkpoint_bytes: 128 << 20,
        }
    }
}

/// The write-ahead log may be so many times larger than it should be before the writer waits for readers.
const WAL_PATIENCE: u64 = 4;
/// Fewer events than these are never worth a transaction, if there are more.
const EVENTS_MIN: u64 = 1000;
/// How many indices leave quarantine in one transaction.
const FREED_MAX: usize = 4096;

/// What one transaction has folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Folded {
    pub(crate) records: u64,
    pub(crate) events: u64,
}

/// The views' one writer.
pub(crate) struct ViewsWriter {
    connection: Connection,
    path: PathBuf,
    partition: PartitionId,
    cursor: Cursor,
    memory: Memory,
    options: FoldOptions,
    /// The events of one transaction; empty between transactions, only the room is kept.
    events: Vec<(TimeMs, Event)>,
    /// How many events the next transaction takes.
    events_next: u64,
}

impl ViewsWriter {
    pub(crate) fn open(
        directory: &Path,
        partition: PartitionId,
        options: FoldOptions,
    ) -> Result<Self, StoreError> {
        let path = views::path(directory);
        let connection = views::open_to_write(directory, options.cache_bytes)?;
        let pages = options.checkpoint_bytes / 16_384;
        connection.execute_batch(&format!("PRAGMA wal_autocheckpoint = {pages}")).at(&path)?;
        let cursor = views::cursor(&connection, &path, partition)?;
        let memory = remember(&connection, partition).at(&path)?;
        let events_next = options.events_max;
        Ok(Self { connection, path, partition, cursor, memory, options, events: Vec::new(), events_next })
    }

    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Folds what follows the cursor, up to record `through` or as much as one transaction takes. Either all of
    /// that is folded, or nothing.
    pub(crate) fn fold(&mut self, journal: &JournalReader, through: u64) -> Result<Folded, StoreError> {
        if through <= self.cursor.head.sequence {
            return Ok(Folded::default());
        }
        let begun = Instant::now();
        let folded = match self.fold_some(journal, through) {
            Ok(folded) => folded,
            Err(error) => {
                self.memory = remember(&self.connection, self.partition).at(&self.path)?;
                return Err(error);
            }
        };
        self.adjust(&folded, begun.elapsed());
        self.bound_log()?;
        Ok(folded)
    }

    fn fold_some(&mut self, journal: &JournalReader, through: u64) -> Result<Folded, StoreError> {
        let mut cursor = self.cursor;
        self.events.clear();
        let folded = read(&mut self.events, &mut cursor, journal, through, self.events_next)?;
        // Dropped without a commit, it is rolled back.
        let transaction = self.connection.unchecked_transaction().at(&self.path)?;
        let mut batch = Batch::new(&transaction, self.partition, &mut self.memory, &cursor).at(&self.path)?;
        batch.expect(&self.events).at(&self.path)?;
        for (at_ms, event) in &self.events {
            batch.event(event, *at_ms).at(&self.path)?;
        }
        cursor = batch.finish(&cursor).at(&self.path)?;
        let month = MonthIndex::of_unix_ms(cursor.head.at_ms);
        numbers::free_quarantine(&transaction, self.partition, month, FREED_MAX).at(&self.path)?;
        transaction.commit().at(&self.path)?;
        self.cursor = cursor;
        Ok(folded)
    }

    /// Takes less at a time if it took too long, and more again if it did not.
    fn adjust(&mut self, folded: &Folded, took: Duration) {
        if took > self.options.time_max {
            self.events_next = (folded.events / 2).max(EVENTS_MIN);
        } else if took < self.options.time_max / 2 {
            self.events_next = (self.events_next * 2).min(self.options.events_max);
        }
    }

    /// Copies the write-ahead log into the file, as far as readers let it.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())).at(&self.path)
    }

    /// Readers can keep the log from being begun anew. They are short; if they come without a pause for long,
    /// the writer waits for a moment in which none is in.
    fn bound_log(&self) -> Result<(), StoreError> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let bytes = std::fs::metadata(&log).map_or(0, |log| log.len());
        if bytes > WAL_PATIENCE * self.options.checkpoint_bytes.max(1 << 20) {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).at(&self.path)?;
        }
        Ok(())
    }
}

/// What stands in the tables and never changes in them.
fn remember(connection: &Connection, partition: PartitionId) -> rusqlite::Result<Memory> {
    let mut memory = Memory::default();
    for (id, programme) in issuers::programmes(connection, partition)? {
        memory.months.insert(id, programme.terms.quarantine_months);
    }
    Ok(memory)
}

/// Reads the records of one transaction, checks them, and moves the cursor behind them.
fn read(
    events: &mut Vec<(TimeMs, Event)>,
    cursor: &mut Cursor,
    journal: &JournalReader,
    through: u64,
    events_max: u64,
) -> Result<Folded, StoreError> {
    let mut folded = Folded::default();
    for record in journal.records(cursor.head.sequence + 1) {
        let record = record?;
        let bad =
            |why| StoreError::Record { path: journal.path().to_owned(), sequence: record.sequence, why };
        record.check(&cursor.head).map_err(bad)?;
        record.each_event(|event| events.push((record.at_ms, event))).map_err(bad)?;
        cursor.head = record.head();
        folded.records += 1;
        folded.events += u64::from(record.count);
        if folded.events >= events_max || record.sequence >= through {
            break;
        }
    }
    Ok(folded)
}
