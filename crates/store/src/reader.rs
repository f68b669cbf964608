//! The journal's reader: a connection of its own that never changes anything and never holds up the writer.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use mayfly_core::{Event, PartitionId};
use mayfly_engine::{Digest, Head, Record, RecordError};

use crate::journal::{FORMAT, key, sequence};
use crate::retention::{ArchiveFile, Span, base, open_as};
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

/// Reads a partition's journal: what of it is there, and with its archive also what was cut off.
pub struct JournalReader {
    sql: Sql,
    partition: PartitionId,
    /// The directory with the archive's files.
    archive: Option<PathBuf>,
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
        Ok(Self { sql: home.open(&FORMAT, Access::Read, CACHE_BYTES)?, partition, archive: None })
    }

    /// Reads what was archived, too, from the files in this directory: as if it had never been cut off.
    #[must_use]
    pub fn with_archive(self, directory: &Path) -> Self {
        Self { archive: Some(directory.to_owned()), ..self }
    }

    /// After which record the journal begins: before the first, unless it was cut.
    pub fn base(&self) -> Result<Head, StoreError> {
        base::find(&self.sql, self.partition)
    }

    /// After which record that begins which can be read: with an archive, all of it.
    pub fn beginning(&self) -> Result<Head, StoreError> {
        if self.archive.is_some() { Ok(Head::START) } else { self.base() }
    }

    /// What of the journal was archived, the oldest first.
    pub fn archived(&self) -> Result<Vec<Span>, StoreError> {
        base::spans(&self.sql, self.partition)
    }

    /// Whether all that was cut off can be read: each of the files is there, and is of this journal. They are not read.
    ///
    /// # Errors
    /// [`StoreError::ArchiveMissing`], [`StoreError::Archived`] if no archive is named, or whatever is wrong with one of
    /// the files.
    pub fn require_archive(&self) -> Result<(), StoreError> {
        let base = self.base()?;
        let mut before = Head::START;
        for span in self.archived()? {
            if before.sequence >= base.sequence {
                break;
            }
            if span.before != before {
                break;
            }
            self.open_span(&span, base)?;
            before = span.last;
        }
        // A gap between the files, or none of them is known.
        if before.sequence < base.sequence { Err(self.cut_off(before.sequence + 1, base)) } else { Ok(()) }
    }

    fn open_span(&self, span: &Span, base: Head) -> Result<ArchiveFile, StoreError> {
        match &self.archive {
            Some(directory) => open_as(&directory.join(&span.file), span),
            None => Err(self.cut_off(span.first(), base)),
        }
    }

    fn cut_off(&self, sequence: u64, base: Head) -> StoreError {
        StoreError::Archived { location: self.location().clone(), sequence, begins: base.sequence + 1 }
    }

    /// The file that has a record, opened there; none if the record was not cut off.
    fn cut_off_at(&self, sequence: u64) -> Result<Option<ArchiveFile>, StoreError> {
        let base = self.base()?;
        if sequence > base.sequence {
            return Ok(None);
        }
        let span = match &self.archive {
            Some(_) => base::span_of(&self.sql, self.partition, sequence)?,
            None => None,
        };
        let span = span.ok_or_else(|| self.cut_off(sequence, base))?;
        let mut file = self.open_span(&span, base)?;
        file.skip_to(sequence)?;
        Ok(Some(file))
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
        if let Some(found) = between(&self.sql, self.partition, sequence, sequence, 1)?.pop_front() {
            return Ok(Some(found.head()));
        }
        let base = self.base()?;
        if sequence == base.sequence {
            return Ok(Some(base));
        }
        if sequence > base.sequence || self.archive.is_none() {
            return Ok(None);
        }
        Ok(self.records(sequence).next().transpose()?.map(|record| record.head()))
    }

    /// The records from number `from` on, as far as they are on the disk by then. They are as they were read:
    /// [`Record::check`] says whether they are as they were written. A missing one is an error; so is one that was cut
    /// off, unless there is the archive.
    pub fn records(&self, from: u64) -> Records<'_> {
        Records { reader: self, next: from.max(1), read: VecDeque::new(), file: None, over: false }
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
        let cut_off = self.archive.as_ref().and_then(|_| self.cut_off_at(sequence).ok().flatten());
        let location = cut_off.map_or_else(|| self.location().clone(), |file| file.location());
        StoreError::Record { location, sequence, why }
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
    /// While records are read that were cut off: the file that they are in.
    file: Option<ArchiveFile>,
    over: bool,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.read_next() {
            Ok(record) => {
                self.next += u64::from(record.is_some());
                record.map(Ok)
            }
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
        }
    }
}

impl Records<'_> {
    fn read_next(&mut self) -> Result<Option<Record>, StoreError> {
        loop {
            if let Some(file) = &mut self.file {
                match file.next().transpose()? {
                    Some(record) => return Ok(Some(record)),
                    None => self.file = None,
                }
            }
            if self.read.is_empty() {
                self.read = self.reader.chunk(self.next)?;
            }
            // The last record is never cut off.
            let Some(front) = self.read.front() else { return Ok(None) };
            if front.sequence == self.next {
                return Ok(self.read.pop_front());
            }
            self.read.clear();
            self.file = self.reader.cut_off_at(self.next)?;
            if self.file.is_none() {
                let location = self.reader.location().clone();
                return Err(StoreError::Gap { location, sequence: self.next });
            }
        }
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
        Some(before) => before.head(),
        None => base::find(sql, partition)?,
    };
    if before.sequence + 1 != last {
        return Err(StoreError::Gap { location: location(), sequence: last - 1 });
    }
    record.check(&before).map_err(|why| StoreError::Record { location: location(), sequence: last, why })?;
    Ok(record.head())
}
