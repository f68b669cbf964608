//! The journal's reader: a connection of its own that never changes anything and never holds up the writer.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use mayfly_core::{Event, PartitionId, TimeMs};
use mayfly_engine::{Digest, Ends, Entry, Head, Record, RecordError};

use crate::journal::{FORMAT, key, sequence};
use crate::retention::{ArchiveFile, Span, base, open_as};
use crate::sql::{Access as Begin, Backend, Cells, Sql, Value, values};
use crate::sqlite::Access;
use crate::{Home, Location, StoreError, installation};

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
/// Records by their places, whatever partition they are of.
const PLACES_POSTGRES: &str =
    "SELECT journal.partition, journal.sequence, at_ms, count, version, previous, hash, payload
    FROM unnest(?::bigint[], ?::bigint[]) AS place(partition, sequence)
    JOIN journal ON journal.partition = place.partition AND journal.sequence = place.sequence";

const ENTRIES: &str = "SELECT number, places FROM entries WHERE number >= ? ORDER BY number LIMIT ?";
const LAST_ENTRY: &str = "SELECT number, places FROM entries ORDER BY number DESC LIMIT 1";
const ENTRY_TIME: &str = "SELECT at_ms FROM entries WHERE number = ?";

/// How many entries are read in one transaction: a few megabytes, so that the write-ahead log is never held for
/// longer than milliseconds.
const CHUNK: usize = 32;
const CACHE_BYTES: usize = 8 << 20;
/// The last sequence that a key has room for.
const SEQUENCE_MAX: u64 = (1 << 48) - 1;

/// Reads a journal: what of it is there, and with its archive also what was cut off.
pub struct JournalReader {
    sql: Sql,
    partitions: NonZeroU16,
    /// The directory with the archive's files.
    archive: Option<PathBuf>,
}

impl JournalReader {
    /// Opens the journal to read.
    pub fn open(home: &Home) -> Result<Self, StoreError> {
        if let Home::Files(directory) = home {
            let path = directory.join(FORMAT.file);
            if !path.exists() {
                let views = directory.join(crate::views::VIEWS_FILE).exists();
                return Err(StoreError::Missing { location: path.into(), views });
            }
        }
        let sql = home.open(&FORMAT, Access::Read, CACHE_BYTES)?;
        let partitions = installation::partitions(&sql)?;
        Ok(Self { sql, partitions, archive: None })
    }

    /// Reads what was archived, too, from the files in this directory: as if it had never been cut off.
    #[must_use]
    pub fn with_archive(self, directory: &Path) -> Self {
        Self { archive: Some(directory.to_owned()), ..self }
    }

    /// After which entry the journal begins: before the first, unless it was cut.
    pub fn base(&self) -> Result<Ends, StoreError> {
        base::find(&self.sql, self.partitions)
    }

    /// After which entry that begins which can be read: with an archive, all of it.
    pub fn beginning(&self) -> Result<Ends, StoreError> {
        if self.archive.is_some() { Ok(Ends::start(self.partitions)) } else { self.base() }
    }

    /// What of the journal was archived, the oldest first.
    pub fn archived(&self) -> Result<Vec<Span>, StoreError> {
        base::spans(&self.sql)
    }

    /// Whether all that was cut off can be read: each of the files is there, and is of this journal. They are not read.
    ///
    /// # Errors
    /// [`StoreError::ArchiveMissing`], [`StoreError::Archived`] if no archive is named, or whatever is wrong with one of
    /// the files.
    pub fn require_archive(&self) -> Result<(), StoreError> {
        let base = self.base()?;
        let mut before = Ends::start(self.partitions);
        for span in self.archived()? {
            if before.number >= base.number || span.before != before {
                break;
            }
            self.open_span(&span, &base)?;
            before = span.last;
        }
        // A gap between the files, or none of them is known.
        if before.number < base.number { Err(self.cut_off(before.number + 1, &base)) } else { Ok(()) }
    }

    fn open_span(&self, span: &Span, base: &Ends) -> Result<ArchiveFile, StoreError> {
        match &self.archive {
            Some(directory) => open_as(&directory.join(&span.file), span),
            None => Err(self.cut_off(span.first(), base)),
        }
    }

    fn cut_off(&self, number: u64, base: &Ends) -> StoreError {
        StoreError::Archived { location: self.location().clone(), number, begins: base.number + 1 }
    }

    /// The file that has an entry, opened there; none if the entry was not cut off.
    fn cut_off_at(&self, number: u64) -> Result<Option<ArchiveFile>, StoreError> {
        let base = self.base()?;
        if number > base.number {
            return Ok(None);
        }
        let span = match &self.archive {
            Some(_) => base::span_of(&self.sql, number)?,
            None => None,
        };
        let span = span.ok_or_else(|| self.cut_off(number, &base))?;
        let mut file = self.open_span(&span, &base)?;
        file.skip_to(number)?;
        Ok(Some(file))
    }

    /// Where the journal is.
    pub fn location(&self) -> &Location {
        self.sql.location()
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> NonZeroU16 {
        self.partitions
    }

    /// The number of the last entry; 0 before the first.
    pub fn last_number(&self) -> Result<u64, StoreError> {
        last_number(&self.sql, self.partitions)
    }

    /// Where it ends. The last record of each partition is checked.
    pub fn ends(&self) -> Result<Ends, StoreError> {
        ends(&self.sql, self.partitions)
    }

    /// The last record's number, hash and time of a partition. The record is checked.
    pub fn head(&self, partition: PartitionId) -> Result<Head, StoreError> {
        let reading = self.sql.begin(Begin::Read)?;
        head(&reading, partition)
    }

    /// What a partition's journal would look like if it ended with record `sequence`; none if there is no such record.
    pub fn head_at(&self, partition: PartitionId, sequence: u64) -> Result<Option<Head>, StoreError> {
        if sequence == 0 {
            return Ok(Some(Head::START));
        }
        if let Some(found) = between(&self.sql, partition, sequence, sequence, 1)?.pop_front() {
            return Ok(Some(found.head()));
        }
        // Of what was cut off, the last record is known.
        Ok(Some(base::head(&self.sql, partition)?).filter(|base| base.sequence == sequence))
    }

    /// The time of an entry; none if there is no such entry, or it was cut off.
    pub fn time_of(&self, number: u64) -> Result<Option<TimeMs>, StoreError> {
        if self.has_one() {
            return Ok(self.head_at(PartitionId::FIRST, number)?.map(|head| head.at_ms));
        }
        if let Some(at_ms) = self.sql.one(ENTRY_TIME, values![number as i64], |cells| cells.bits())? {
            return Ok(Some(at_ms));
        }
        let base = self.base()?;
        Ok((base.number == number && number > 0).then(|| base.at_ms()))
    }

    /// The records of a partition from number `from` on, as far as they are on the disk by then. They are as they were read:
    /// [`Record::check`] says whether they are as they were written. A missing one is an error; so is one that was cut
    /// off, whether there is an archive or not.
    pub fn records(&self, partition: PartitionId, from: u64) -> Records<'_> {
        let read = move |from: u64| {
            let read = between(&self.sql, partition, from, SEQUENCE_MAX, CHUNK)?;
            if read.front().is_none_or(|front| front.sequence != from) {
                let base = self.base()?;
                if from <= base.head(partition).sequence {
                    return Err(self.cut_off(base.number, &base));
                }
            }
            Ok(read)
        };
        Records(InOrder::new(self.location(), from, |record: &Record| record.sequence, Box::new(read)))
    }

    /// The entries from number `from` on, over all partitions, as far as they are on the disk by then. They are as they were
    /// read: [`Ends::check`] says whether they are as they were written. A missing one is an error.
    pub fn entries(&self, from: u64) -> Entries<'_> {
        // While entries are read that were cut off: the file that they are in.
        let mut file = None;
        let read = move |from: u64| self.read_on(&mut file, from);
        Entries(InOrder::new(self.location(), from, |entry: &Entry| entry.number, Box::new(read)))
    }

    /// The entries that follow, each of them checked: its records are whole, and chained to those before them.
    pub(crate) fn after(&self, ends: Ends) -> impl Iterator<Item = Result<Entry, StoreError>> {
        let mut ends = ends;
        self.entries(ends.number + 1).map(move |entry| {
            let entry = entry?;
            ends.check(&entry).map_err(|(record, why)| self.fault(record, why))?;
            ends.advance(&entry);
            Ok(entry)
        })
    }

    /// Each of a record's events, in order.
    ///
    /// # Errors
    /// [`StoreError::Record`] if they can't be read.
    pub fn each_event(&self, record: &Record, each: impl FnMut(Event)) -> Result<(), StoreError> {
        record.each_event(each).map_err(|why| self.fault(record, why))
    }

    pub(crate) fn fault(&self, record: &Record, why: RecordError) -> StoreError {
        let location = self.file_of(record).unwrap_or_else(|| self.location().clone());
        StoreError::of_record(location, record, why)
    }

    /// Where the file is from which a record was read, if it was.
    fn file_of(&self, record: &Record) -> Option<Location> {
        let Record { partition, sequence, .. } = *record;
        let (directory, base) = (self.archive.as_ref()?, base::head(&self.sql, partition).ok()?);
        let spans = if sequence <= base.sequence { self.archived().ok()? } else { Vec::new() };
        let span = spans.into_iter().find(|span| sequence <= span.last.head(partition).sequence)?;
        Some(directory.join(span.file).into())
    }

    fn has_one(&self) -> bool {
        self.partitions == NonZeroU16::MIN
    }

    /// Some entries from a number on, wherever they are.
    fn read_on(&self, file: &mut Option<ArchiveFile>, from: u64) -> Result<VecDeque<Entry>, StoreError> {
        loop {
            if let Some(reading) = file {
                if let Some(entry) = reading.next().transpose()? {
                    return Ok([entry].into());
                }
                *file = None;
            }
            let read = self.read_entries(from)?;
            // The last entry is never cut off.
            if read.front().is_none_or(|front| front.number == from) {
                return Ok(read);
            }
            *file = self.cut_off_at(from)?;
            if file.is_none() {
                return Ok(read);
            }
        }
    }

    fn read_entries(&self, from: u64) -> Result<VecDeque<Entry>, StoreError> {
        match self.read_listed(from) {
            // Perhaps it was only cut off between the list and its records: as of one moment it is listed and there, or neither.
            Err(StoreError::Damaged { .. }) => {
                let _reading = self.sql.begin(Begin::Read)?;
                self.read_listed(from)
            }
            read => read,
        }
    }

    fn read_listed(&self, from: u64) -> Result<VecDeque<Entry>, StoreError> {
        if self.has_one() {
            let records = between(&self.sql, PartitionId::FIRST, from, SEQUENCE_MAX, CHUNK)?;
            return Ok(records.into_iter().map(of_one).collect());
        }
        let listed = self.sql.all(ENTRIES, values![from as i64, CHUNK as i64], listed)?;
        let all: Vec<i64> = listed.iter().flat_map(|(_, places)| places).copied().collect();
        let mut found = at_places(&self.sql, &all)?;
        let mut entries = VecDeque::with_capacity(listed.len());
        for (number, places) in listed {
            let records: Option<Vec<Record>> = places.iter().map(|place| found.remove(place)).collect();
            let Some(records) = records.filter(|records| !records.is_empty()) else {
                let why = format!("of entry {number} a record is missing");
                return Err(StoreError::Damaged { location: self.location().clone(), why });
            };
            entries.push_back(Entry { number, records });
        }
        Ok(entries)
    }
}

/// In an installation with one partition each entry is a record.
fn of_one(record: Record) -> Entry {
    Entry { number: record.sequence, records: vec![record] }
}

/// An entry's number, and the keys of its records.
fn listed(cells: &mut Cells<'_>) -> Result<(u64, Vec<i64>), StoreError> {
    let number = cells.bits()?;
    let places: &[u8] = cells.next()?;
    Ok((number, places.as_chunks::<8>().0.iter().map(|key| i64::from_be_bytes(*key)).collect()))
}

/// Records by their keys, as far as they are there.
fn at_places(sql: &Sql, places: &[i64]) -> Result<HashMap<i64, Record>, StoreError> {
    let mut found = HashMap::with_capacity(places.len());
    let mut add = |record: Record| drop(found.insert(key(record.partition, record.sequence), record));
    match sql.backend() {
        Backend::Sqlite(_) => {
            for place in places {
                let (partition, sequence) = (PartitionId::of_id(*place as u64), sequence(*place));
                between(sql, partition, sequence, sequence, 1)?.into_iter().for_each(&mut add);
            }
        }
        Backend::Postgres(link) => {
            let partitions = places.iter().map(|place| i64::from(PartitionId::of_id(*place as u64).0));
            let sequences = places.iter().map(|place| sequence(*place) as i64);
            let columns = [partitions.collect::<Vec<_>>().into(), sequences.collect::<Vec<_>>().into()];
            link.borrow_mut().each_of_columns(PLACES_POSTGRES, &columns, |row| {
                let mut cells = Cells::of_postgres(row, sql.location());
                let partition = PartitionId(cells.next()?);
                add(record(partition, &mut cells)?);
                Ok(())
            })?;
        }
    }
    Ok(found)
}

type Read<'a, T> = Box<dyn FnMut(u64) -> Result<VecDeque<T>, StoreError> + 'a>;

/// What is numbered without gaps, one after the other. After an error there are no more.
struct InOrder<'a, T> {
    location: &'a Location,
    next: u64,
    number: fn(&T) -> u64,
    /// Some of them, from a number on.
    more: Read<'a, T>,
    read: VecDeque<T>,
    over: bool,
}

impl<'a, T> InOrder<'a, T> {
    fn new(location: &'a Location, from: u64, number: fn(&T) -> u64, more: Read<'a, T>) -> Self {
        Self { location, next: from.max(1), number, more, read: VecDeque::new(), over: false }
    }

    fn end(&mut self, error: StoreError) -> Option<Result<T, StoreError>> {
        self.over = true;
        Some(Err(error))
    }
}

impl<T> Iterator for InOrder<'_, T> {
    type Item = Result<T, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if self.read.is_empty() {
            match (self.more)(self.next) {
                Ok(read) => self.read = read,
                Err(error) => return self.end(error),
            }
        }
        let found = self.read.pop_front()?;
        if (self.number)(&found) != self.next {
            return self.end(StoreError::Gap { location: self.location.clone(), sequence: self.next });
        }
        self.next += 1;
        Some(Ok(found))
    }
}

/// The records of a partition one after the other. After an error there are no more.
pub struct Records<'a>(InOrder<'a, Record>);

impl Iterator for Records<'_> {
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// The entries of a journal one after the other. After an error there are no more.
pub struct Entries<'a>(InOrder<'a, Entry>);

impl Iterator for Entries<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
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

fn last_number(sql: &Sql, partitions: NonZeroU16) -> Result<u64, StoreError> {
    if partitions == NonZeroU16::MIN {
        let last = last_sequence(sql, PartitionId::FIRST)?;
        return if last == 0 { Ok(base::head(sql, PartitionId::FIRST)?.sequence) } else { Ok(last) };
    }
    let last = sql.one(LAST_ENTRY, &[], listed)?;
    // A copy of what was cut can end where it begins.
    last.map_or_else(|| Ok(base::find(sql, partitions)?.number), |(number, _)| Ok(number))
}

/// Where the journal ends, as of one moment: it may be appended to and cut meanwhile.
pub(crate) fn ends(sql: &Sql, partitions: NonZeroU16) -> Result<Ends, StoreError> {
    let sql = sql.begin(Begin::Read)?;
    let heads: Vec<Head> =
        PartitionId::all(partitions).map(|partition| head(&sql, partition)).collect::<Result<_, _>>()?;
    if let [head] = heads[..] {
        return Ok(Ends::of_one(head));
    }
    let Some((number, last)) = sql.one(LAST_ENTRY, &[], listed)? else {
        let number = base::find(&sql, partitions)?.number;
        return Ok(Ends { number, heads });
    };
    let ends = Ends { number, heads };
    for place in last {
        let partition = PartitionId::of_id(place as u64);
        if ends.head(partition).sequence != sequence(place) {
            let why = format!("partition {} does not end with entry {number}, the last", partition.0);
            return Err(StoreError::Damaged { location: sql.location().clone(), why });
        }
    }
    Ok(ends)
}

/// Within a transaction: the last record and the one before it must be as of one moment.
fn head(sql: &Sql, partition: PartitionId) -> Result<Head, StoreError> {
    let gap = |sequence| StoreError::Gap { location: sql.location().clone(), sequence };
    let last = last_sequence(sql, partition)?;
    if last == 0 {
        // It has none, or all of them were cut off.
        return base::head(sql, partition);
    }
    let mut ends = between(sql, partition, last.saturating_sub(1).max(1), last, 2)?;
    let record = ends.pop_back().ok_or_else(|| gap(last))?;
    let before = match ends.pop_back() {
        Some(before) => before.head(),
        None => base::head(sql, partition)?,
    };
    if before.sequence + 1 != last {
        // One is missing before the last, or after the base.
        return Err(gap((last - 1).max(before.sequence + 1)));
    }
    record.check(&before).map_err(|why| StoreError::of_record(sql.location().clone(), &record, why))?;
    Ok(record.head())
}
