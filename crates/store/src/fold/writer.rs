//! The views' writer: folds records into the tables, some at a time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mayfly_card::MonthIndex;
use mayfly_core::{Event, PartitionId};
use mayfly_engine::Record;
use rusqlite::Connection;

use super::batch::{Batch, QuarantineMonths};
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
    /// After so long a transaction is committed. Default 250 ms.
    pub time_max: Duration,
    /// So long, at least, between two transactions while little is to do: each writes the same hot pages again.
    /// Default 100 ms.
    pub pace: Duration,
    /// The write-ahead log is copied into the file when it has so many bytes. Default 256 MiB.
    pub checkpoint_bytes: u64,
}

impl Default for FoldOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            events_max: 100_000,
            time_max: Duration::from_millis(2000),
            pace: Duration::from_millis(100),
            checkpoint_bytes: 256 << 20,
        }
    }
}

/// The write-ahead log may be so many times larger than it should be before the writer waits for readers.
const WAL_PATIENCE: u64 = 4;
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
    months: QuarantineMonths,
    options: FoldOptions,
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
        let programmes = issuers::programmes(&connection, partition).at(&path)?;
        let months = programmes.into_iter().map(|(id, it)| (id, it.terms.quarantine_months)).collect();
        Ok(Self { connection, path, partition, cursor, months, options })
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
        // Dropped without a commit, it is rolled back.
        let t0 = Instant::now();
        let transaction = self.connection.unchecked_transaction().at(&self.path)?;
        let mut cursor = self.cursor;
        let mut batch = Batch::new(&transaction, self.partition, &mut self.months, &cursor).at(&self.path)?;
        let folded = gather(&mut batch, &mut cursor, journal, through, &self.options, &self.path)?;
        let t1 = Instant::now();
        cursor = batch.finish(&cursor).at(&self.path)?;
        let t2 = Instant::now();
        let month = MonthIndex::of_unix_ms(cursor.head.at_ms);
        numbers::free_quarantine(&transaction, self.partition, month, FREED_MAX).at(&self.path)?;
        let t3 = Instant::now();
        transaction.commit().at(&self.path)?;
        eprintln!("events {} gather {:?} finish {:?} free {:?} commit {:?}", folded.events, t1-t0, t2-t1, t3-t2, t3.elapsed());
        self.cursor = cursor;
        self.bound_log()?;
        Ok(folded)
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

fn gather(
    batch: &mut Batch<'_>,
    cursor: &mut Cursor,
    journal: &JournalReader,
    through: u64,
    options: &FoldOptions,
    path: &Path,
) -> Result<Folded, StoreError> {
    let begun = Instant::now();
    let mut folded = Folded::default();
    for record in journal.records(cursor.head.sequence + 1) {
        let record = record?;
        fold_record(batch, cursor, &record, journal, path)?;
        folded.records += 1;
        folded.events += u64::from(record.count);
        let enough = folded.events >= options.events_max || begun.elapsed() >= options.time_max;
        if enough || record.sequence >= through {
            break;
        }
    }
    Ok(folded)
}

fn fold_record(
    batch: &mut Batch<'_>,
    cursor: &mut Cursor,
    record: &Record,
    journal: &JournalReader,
    path: &Path,
) -> Result<(), StoreError> {
    let bad = |why| StoreError::Record { path: journal.path().to_owned(), sequence: record.sequence, why };
    record.check(&cursor.head).map_err(bad)?;
    let mut result = Ok(());
    record
        .each_event(|event: Event| {
            if result.is_ok() {
                result = batch.event(&event, record.at_ms);
            }
        })
        .map_err(bad)?;
    result.at(path)?;
    cursor.head = record.head();
    Ok(())
}
