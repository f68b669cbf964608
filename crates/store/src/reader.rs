//! The journal's reader: a connection of its own that never changes anything and never holds up the writer.

use std::collections::VecDeque;

use mayfly_core::{Event, PartitionId};
use mayfly_engine::{Digest, Head, Record, RecordError};

use crate::journal::{FORMAT, key, sequence};
use crate::sql::{Cells, Sql, Value};
use crate::sqlite::Access;
use crate::{Home, Location, StoreError};

/// The statements that find records by their place.
struct Statements {
    /// So many records from one sequence to another one.
    between: &'static str,
    /// The last sequence.
    last: &'static str,
}

/// By the key that is both in one.
const SQLITE: Statements = Statements {
    between: "SELECT key, at_ms, count, version, previous, hash, payload FROM journal
        WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
    last: "SELECT max(key) FROM journal WHERE key BETWEEN ? AND ?",
};

/// By the partition, which begins the key, and the sequence.
const POSTGRES: Statements = Statements {
    between: "SELECT sequence, at_ms, count, version, previous, hash, payload FROM journal
        WHERE partition = ? AND sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?",
    last: "SELECT max(sequence) FROM journal WHERE partition = ? AND sequence BETWEEN ? AND ?",
};

/// How many records are read in one transaction: a few megabytes, so that the write-ahead log is never held for
/// longer than milliseconds.
const CHUNK: usize = 32;
const CACHE_BYTES: usize = 8 << 20;
/// The last sequence that a key has room for.
const SEQUENCE_MAX: u64 = (1 << 48) - 1;

/// Reads a partition's journal.
pub struct JournalReader {
    sql: Sql,
    partition: PartitionId,
}

impl JournalReader {
    /// Opens the journal to read.
    pub fn open(home: &Home, partition: PartitionId) -> Result<Self, StoreError> {
        if let Home::Files(directory) = home {
            let path = directory.join(FORMAT.file);
            if !path.exists() {
                let views = directory.join(crate::views::VIEWS_FILE).exists();
                return Err(StoreError::Missing { location: path.into(), views });
            }
        }
        Ok(Self { sql: home.open(&FORMAT, Access::Read, CACHE_BYTES)?, partition })
    }

    /// Where the journal is.
    pub fn location(&self) -> &Location {
        self.sql.location()
    }

    /// Which partition is read.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The number of the last record; 0 before the first.
    pub fn last_sequence(&self) -> Result<u64, StoreError> {
        last_sequence(&self.sql, self.partition)
    }

    /// The last record's number, hash and time. The record is checked.
    pub fn head(&self) -> Result<Head, StoreError> {
        head(&self.sql, self.partition)
    }

    /// What the journal would look like if it ended with record `sequence`; none if there is no such record.
    pub fn head_at(&self, sequence: u64) -> Result<Option<Head>, StoreError> {
        if sequence == 0 {
            return Ok(Some(Head::START));
        }
        Ok(between(&self.sql, self.partition, sequence, sequence, 1)?.pop_front().map(|record| record.head()))
    }

    /// The records from number `from` on, as far as they are on the disk by then. They are as they were read:
    /// [`Record::check`] says whether they are as they were written. A missing one is an error.
    pub fn records(&self, from: u64) -> Records<'_> {
        Records { reader: self, next: from.max(1), read: VecDeque::new(), over: false }
    }

    /// The records that follow `head`, each of them checked: it is whole, and chained to the one before it.
    pub(crate) fn after(&self, head: Head) -> impl Iterator<Item = Result<Record, StoreError>> {
        let mut before = head;
        self.records(head.sequence + 1).map(move |record| {
            let record = record?;
            record.check(&before).map_err(|why| self.fault(record.sequence, why))?;
            before = record.head();
            Ok(record)
        })
    }

    /// Each of a record's events, in order.
    ///
    /// # Errors
    /// [`StoreError::Record`] if they can't be read.
    pub fn each_event(&self, record: &Record, each: impl FnMut(Event)) -> Result<(), StoreError> {
        record.each_event(each).map_err(|why| self.fault(record.sequence, why))
    }

    fn fault(&self, sequence: u64, why: RecordError) -> StoreError {
        StoreError::Record { location: self.location().clone(), sequence, why }
    }

    fn chunk(&self, from: u64) -> Result<VecDeque<Record>, StoreError> {
        between(&self.sql, self.partition, from, SEQUENCE_MAX, CHUNK)
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
            return self
                .end(StoreError::Gap { location: self.reader.location().clone(), sequence: self.next });
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

/// The statements of a database, and the values by which they find a partition's records from one sequence to another.
fn place(
    sql: &Sql,
    partition: PartitionId,
    from: u64,
    to: u64,
) -> (&'static Statements, Vec<Value<'static>>) {
    if sql.is_sqlite() {
        (&SQLITE, vec![key(partition, from).into(), key(partition, to).into()])
    } else {
        (&POSTGRES, vec![partition.0.into(), (from as i64).into(), (to as i64).into()])
    }
}

pub(crate) fn between(
    sql: &Sql,
    partition: PartitionId,
    from: u64,
    to: u64,
    limit: usize,
) -> Result<VecDeque<Record>, StoreError> {
    let (statements, mut values) = place(sql, partition, from, to);
    values.push((limit as i64).into());
    let mut records = VecDeque::with_capacity(limit);
    sql.each(statements.between, &values, |cells| {
        records.push_back(record(partition, cells)?);
        Ok(())
    })?;
    Ok(records)
}

fn record(partition: PartitionId, cells: &mut Cells<'_>) -> Result<Record, StoreError> {
    Ok(Record {
        partition,
        // The key's lower bits, or all there is.
        sequence: sequence(cells.next()?),
        at_ms: cells.bits()?,
        count: cells.next()?,
        version: cells.next()?,
        previous: cells.next::<Digest>()?,
        hash: cells.next::<Digest>()?,
        payload: cells.next()?,
    })
}

fn last_sequence(sql: &Sql, partition: PartitionId) -> Result<u64, StoreError> {
    let (statements, values) = place(sql, partition, 1, SEQUENCE_MAX);
    let last = sql.one(statements.last, &values, |cells| cells.next::<Option<i64>>())?;
    Ok(last.flatten().map_or(0, sequence))
}

pub(crate) fn head(sql: &Sql, partition: PartitionId) -> Result<Head, StoreError> {
    let last = last_sequence(sql, partition)?;
    if last == 0 {
        return Ok(Head::START);
    }
    let mut ends = between(sql, partition, last.saturating_sub(1).max(1), last, 2)?;
    let location = || sql.location().clone();
    let Some(record) = ends.pop_back() else {
        return Err(StoreError::Gap { location: location(), sequence: last });
    };
    let before = match ends.pop_back() {
        None if last == 1 => Head::START,
        Some(before) => before.head(),
        None => return Err(StoreError::Gap { location: location(), sequence: last - 1 }),
    };
    record.check(&before).map_err(|why| StoreError::Record { location: location(), sequence: last, why })?;
    Ok(record.head())
}
