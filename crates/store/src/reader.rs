//! The journal's reader: a connection of its own that never changes anything and never holds up the writer.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use mayfly_core::PartitionId;
use mayfly_engine::{Digest, Head, Record};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::StoreError;
use crate::error::At;
use crate::journal::{FORMAT, JOURNAL_FILE, key, sequence};
use crate::sqlite::{self, Access};

const BETWEEN: &str = "SELECT key, at_ms, count, version, previous, hash, payload FROM journal
    WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?";
const LAST_KEY: &str = "SELECT max(key) FROM journal WHERE key BETWEEN ? AND ?";
const HEAD: &str = "SELECT hash, at_ms FROM journal WHERE key = ?";

/// How many records are read in one transaction: a few megabytes, so that the write-ahead log is never held for
/// longer than milliseconds.
const CHUNK: usize = 32;
const CACHE_BYTES: usize = 8 << 20;
/// The last sequence that a key has room for.
const SEQUENCE_MAX: u64 = (1 << 48) - 1;

/// Reads a partition's journal.
pub struct JournalReader {
    connection: Connection,
    path: PathBuf,
    partition: PartitionId,
}

impl JournalReader {
    /// Opens the journal in `directory` to read.
    pub fn open(directory: &Path, partition: PartitionId) -> Result<Self, StoreError> {
        let path = directory.join(JOURNAL_FILE);
        if !path.exists() {
            let views = directory.join(crate::views::VIEWS_FILE).exists();
            return Err(StoreError::Missing { location: path.into(), views });
        }
        let connection = sqlite::open(&path, &FORMAT, Access::Read, CACHE_BYTES)?;
        Ok(Self { connection, path, partition })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which partition is read.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The number of the last record; 0 before the first.
    pub fn last_sequence(&self) -> Result<u64, StoreError> {
        last_sequence(&self.connection, &self.path, self.partition)
    }

    /// The last record's number, hash and time. The record is checked.
    pub fn head(&self) -> Result<Head, StoreError> {
        head(&self.connection, &self.path, self.partition)
    }

    /// What the journal would look like if it ended with record `sequence`; none if there is no such record.
    pub fn head_at(&self, sequence: u64) -> Result<Option<Head>, StoreError> {
        if sequence == 0 {
            return Ok(Some(Head::START));
        }
        self.connection
            .prepare_cached(HEAD)
            .and_then(|mut find| {
                find.query_row([key(self.partition, sequence)], |row| {
                    Ok(Head { sequence, hash: row.get(0)?, at_ms: row.get::<_, i64>(1)? as u64 })
                })
                .optional()
            })
            .at(&self.path)
    }

    /// The records from number `from` on, as far as they are on the disk by then. They are as they were read:
    /// [`Record::check`] says whether they are as they were written. A missing one is an error.
    pub fn records(&self, from: u64) -> Records<'_> {
        Records { reader: self, next: from.max(1), read: VecDeque::new(), over: false }
    }

    fn chunk(&self, from: u64) -> Result<VecDeque<Record>, StoreError> {
        let bounds = (key(self.partition, from), key(self.partition, SEQUENCE_MAX), CHUNK as i64);
        let partition = self.partition;
        self.connection
            .prepare_cached(BETWEEN)
            .and_then(|mut between| between.query_map(bounds, |row| record(partition, row))?.collect())
            .at(&self.path)
    }
}

/// Records one after the other. After an error there are no more.
pub struct Records<'a> {
    reader: &'a JournalReader,
    next: u64,
    read: VecDeque<Record>,
    over: bool,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if self.read.is_empty() {
            match self.reader.chunk(self.next) {
                Ok(read) => self.read = read,
                Err(error) => return self.end(error),
            }
        }
        let record = self.read.pop_front()?;
        if record.sequence != self.next {
            return self.end(StoreError::Gap { location: (&self.reader.path).into(), sequence: self.next });
        }
        self.next += 1;
        Some(Ok(record))
    }
}

impl Records<'_> {
    fn end(&mut self, error: StoreError) -> Option<Result<Record, StoreError>> {
        self.over = true;
        Some(Err(error))
    }
}

fn record(partition: PartitionId, row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        partition,
        sequence: sequence(row.get(0)?),
        at_ms: row.get::<_, i64>(1)? as u64,
        count: row.get(2)?,
        version: row.get(3)?,
        previous: row.get::<_, Digest>(4)?,
        hash: row.get::<_, Digest>(5)?,
        payload: row.get_ref(6)?.as_blob()?.to_vec(),
    })
}

fn last_sequence(connection: &Connection, path: &Path, partition: PartitionId) -> Result<u64, StoreError> {
    let last: Option<i64> = connection
        .query_row(LAST_KEY, [key(partition, 1), key(partition, SEQUENCE_MAX)], |row| row.get(0))
        .at(path)?;
    Ok(last.map_or(0, sequence))
}

pub(crate) fn head(connection: &Connection, path: &Path, partition: PartitionId) -> Result<Head, StoreError> {
    let last = last_sequence(connection, path, partition)?;
    if last == 0 {
        return Ok(Head::START);
    }
    let ends: Vec<Record> = connection
        .prepare_cached(BETWEEN)
        .and_then(|mut between| {
            let from = key(partition, last.saturating_sub(1).max(1));
            between.query_map((from, key(partition, last), 2), |row| record(partition, row))?.collect()
        })
        .at(path)?;
    let before = match ends.as_slice() {
        [_] if last == 1 => Head::START,
        [before, _] => before.head(),
        _ => return Err(StoreError::Gap { location: path.into(), sequence: last - 1 }),
    };
    let record = &ends[ends.len() - 1];
    record.check(&before).map_err(|why| StoreError::Record { location: path.into(), sequence: last, why })?;
    Ok(record.head())
}
