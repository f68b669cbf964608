//! Where a journal begins, and what of it is archived: two tables beside its records.

use std::num::NonZeroU16;

use mayfly_core::{PartitionId, TimeMs};
use mayfly_engine::{Digest, Ends, Head};

use crate::StoreError;
use crate::journal::FORMAT;
use crate::sql::{Cells, Sql, Value, values};

type Result<T> = std::result::Result<T, StoreError>;

pub(crate) const CREATE: &str = "
-- After which entry the journal begins: that one was archived and dropped, like all before it. Of each partition the last
-- record before that; one that had none by then has no row. `number` is that of the entry; it is the highest that stands here.
CREATE TABLE journal_base (
    partition INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    at_ms INTEGER NOT NULL
) STRICT;

-- The files of the archive: from which entry to which, without gaps. `before` and `ends` are the last record of each partition
-- before the first entry and with the last one: sequence and time, eight bytes each, highest byte first, and the hash. Entries
-- whose deletion is still under way are in a file and in the journal.
CREATE TABLE archived (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    before BLOB NOT NULL,
    ends BLOB NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    file TEXT NOT NULL,
    archived_ms INTEGER NOT NULL,
    CHECK (first <= last)
) STRICT;";

const FIND: &str = "SELECT partition, number, sequence, hash, at_ms FROM journal_base";
const FIND_ONE: &str = "SELECT sequence, hash, at_ms FROM journal_base WHERE partition = ?";
const ADD: &str =
    "INSERT INTO archived (first, last, before, ends, first_ms, last_ms, bytes, file, archived_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const COLUMNS: &str = "first, last, before, ends, first_ms, bytes, file, archived_ms";
/// How many bytes a head takes.
pub(super) const HEAD: usize = 8 + 8 + 32;

/// Entries that lie in a file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where the journal ended before the first of them.
    pub before: Ends,
    /// Where it ended with the last of them.
    pub last: Ends,
    /// The time of the first of them.
    pub first_ms: TimeMs,
    /// How long the file is.
    pub bytes: u64,
    /// The file's name in the archive's directory.
    pub file: String,
    /// When it was written, by the clock of who wrote it.
    pub archived_ms: TimeMs,
}

impl Span {
    /// The number of the first of them.
    pub fn first(&self) -> u64 {
        self.before.number + 1
    }

    /// How many records they have, of all partitions.
    pub fn records(&self) -> u64 {
        records_between(&self.before, &self.last)
    }
}

/// How many records come after the one and up to the other.
pub(super) fn records_between(before: &Ends, last: &Ends) -> u64 {
    let count = |(before, last): (&Head, &Head)| last.sequence.saturating_sub(before.sequence);
    before.heads.iter().zip(&last.heads).map(count).sum()
}

/// The partitions whose journals are longer at the other end, and their heads at both.
pub(super) fn changed<'a>(
    before: &'a Ends,
    last: &'a Ends,
) -> impl Iterator<Item = (PartitionId, &'a Head, &'a Head)> {
    let heads = before.heads.iter().zip(&last.heads).zip(0..);
    heads
        .map(|((before, last), at)| (PartitionId(at), before, last))
        .filter(|(_, before, last)| before != last)
}

/// The bytes of heads, one after the other.
pub(super) fn write_heads(ends: &Ends) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD * ends.heads.len());
    for head in &ends.heads {
        bytes.extend(head.sequence.to_be_bytes());
        bytes.extend(head.at_ms.to_be_bytes());
        bytes.extend(head.hash);
    }
    bytes
}

/// The heads that these bytes are, at the entry with that number.
pub(super) fn read_heads(number: u64, bytes: &[u8]) -> Ends {
    let read = |bytes: &[u8; HEAD]| {
        let (sequence, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let (at_ms, rest) = rest.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let hash = rest.first_chunk().copied().unwrap_or_default();
        Head { sequence: u64::from_be_bytes(*sequence), hash, at_ms: u64::from_be_bytes(*at_ms) }
    };
    Ends { number, heads: bytes.as_chunks::<HEAD>().0.iter().map(read).collect() }
}

/// After which entry a journal of so many partitions begins.
pub(crate) fn find(sql: &Sql, partitions: NonZeroU16) -> Result<Ends> {
    let mut base = Ends::start(partitions);
    if !is_there(sql)? {
        return Ok(base);
    }
    sql.each(FIND, &[], |cells| {
        let at = usize::from(cells.next::<u16>()?);
        base.number = base.number.max(cells.bits()?);
        let head = Head { sequence: cells.bits()?, hash: cells.next::<Digest>()?, at_ms: cells.bits()? };
        if let Some(of) = base.heads.get_mut(at) {
            *of = head;
        }
        Ok(())
    })?;
    Ok(base)
}

/// After which record a partition's journal begins.
pub(crate) fn head(sql: &Sql, partition: PartitionId) -> Result<Head> {
    if !is_there(sql)? {
        return Ok(Head::START);
    }
    let found = sql.one(FIND_ONE, values![partition.0], |cells| {
        Ok(Head { sequence: cells.bits()?, hash: cells.next::<Digest>()?, at_ms: cells.bits()? })
    })?;
    Ok(found.unwrap_or(Head::START))
}

/// From now on it begins after that entry, and no longer where it did `before`.
pub(crate) fn set(sql: &Sql, before: &Ends, base: &Ends) -> Result<()> {
    let mut values: Vec<Value<'_>> = Vec::new();
    let mut rows = 0;
    for (partition, _, head) in changed(before, base) {
        rows += 1;
        values.extend([
            partition.0.into(),
            (base.number as i64).into(),
            (head.sequence as i64).into(),
            (&head.hash).into(),
            (head.at_ms as i64).into(),
        ]);
    }
    if rows == 0 {
        return Ok(());
    }
    let set = format!(
        "INSERT INTO journal_base (partition, number, sequence, hash, at_ms) VALUES {} ON CONFLICT (partition) DO UPDATE
        SET number = excluded.number, sequence = excluded.sequence, hash = excluded.hash, at_ms = excluded.at_ms",
        vec!["(?, ?, ?, ?, ?)"; rows].join(", ")
    );
    sql.run(&set, &values).map(drop)
}

/// The files of the archive, the oldest first.
pub(crate) fn spans(sql: &Sql) -> Result<Vec<Span>> {
    if !is_there(sql)? {
        return Ok(Vec::new());
    }
    sql.all(&format!("SELECT {COLUMNS} FROM archived ORDER BY first"), &[], span)
}

/// The file in which an entry is, if it is in one.
pub(crate) fn span_of(sql: &Sql, number: u64) -> Result<Option<Span>> {
    let find =
        format!("SELECT {COLUMNS} FROM archived WHERE first <= ? AND last >= ? ORDER BY first LIMIT 1");
    sql.one(&find, values![number as i64, number as i64], span)
}

/// The latest file.
pub(crate) fn last_span(sql: &Sql) -> Result<Option<Span>> {
    sql.one(&format!("SELECT {COLUMNS} FROM archived ORDER BY first DESC LIMIT 1"), &[], span)
}

/// One file more.
pub(crate) fn add(sql: &Sql, span: &Span) -> Result<()> {
    let (before, ends) = (write_heads(&span.before), write_heads(&span.last));
    let values = values![
        span.first() as i64,
        span.last.number as i64,
        &before,
        &ends,
        span.first_ms as i64,
        span.last.at_ms() as i64,
        span.bytes as i64,
        &span.file,
        span.archived_ms as i64,
    ];
    sql.run(ADD, values).map(drop)
}

fn span(cells: &mut Cells<'_>) -> Result<Span> {
    let (first, last) = (cells.bits()?, cells.bits()?);
    let before = read_heads(first.saturating_sub(1), cells.next::<&[u8]>()?);
    let last = read_heads(last, cells.next::<&[u8]>()?);
    Ok(Span {
        before,
        last,
        first_ms: cells.bits()?,
        bytes: cells.bits()?,
        file: cells.next()?,
        archived_ms: cells.bits()?,
    })
}

/// Whether there are these tables: not in a journal that is only read and was last written by older software.
fn is_there(sql: &Sql) -> Result<bool> {
    let count = |statement, values: &[_]| sql.one(statement, values, |cells| cells.bits());
    let found = if sql.is_sqlite() {
        count("SELECT count(*) FROM sqlite_schema WHERE name = 'journal_base'", &[])?
    } else {
        let find = "SELECT count(*) FROM information_schema.tables
            WHERE table_schema = ? AND table_name = 'journal_base'";
        count(find, values![FORMAT.schema])?
    };
    Ok(found.unwrap_or(0) > 0)
}

#[cfg(test)]
mod tests {
    use mayfly_engine::{Entry, Journal, Record};

    use super::*;
    use crate::format::Format;
    use crate::sql::tests::on_both;
    use crate::sqlite::Access;
    use crate::{JournalReader, StoredJournal, verify};

    const PARTITION: PartitionId = PartitionId(0);
    const ONE: NonZeroU16 = NonZeroU16::MIN;

    /// The form in an earlier version.
    fn as_of(version: u32) -> Format {
        let count = FORMAT.steps.iter().take_while(|step| step.version <= version).count();
        Format { steps: &FORMAT.steps[..count], ..FORMAT }
    }

    fn record(head: &Head, payload: &[u8]) -> Record {
        Record::seal(head, PARTITION, head.at_ms + 1, 0, payload.to_vec())
    }

    /// What the software of that version wrote.
    fn write(sql: &Sql, record: &Record) {
        let (place, values) = if sql.is_sqlite() {
            ("key", vec![crate::journal::key(record.partition, record.sequence).into()])
        } else {
            ("partition, sequence", vec![record.partition.0.into(), (record.sequence as i64).into()])
        };
        let marks = vec!["?"; values.len() + 6].join(", ");
        let add = format!(
            "INSERT INTO journal ({place}, at_ms, count, version, previous, hash, payload) VALUES ({marks})"
        );
        let rest = values![
            record.at_ms as i64,
            record.count,
            record.version,
            &record.previous,
            &record.hash,
            &record.payload
        ];
        sql.run(&add, &[values, rest.to_vec()].concat()).unwrap();
    }

    #[test]
    fn a_journal_of_every_earlier_version_is_read_and_used() {
        for version in FORMAT.reads_from..FORMAT.version() {
            on_both(|home| {
                let first = record(&Head::START, b"");
                let second = record(&first.head(), b"");
                let sql = home.open(&as_of(version), Access::Create, 1 << 20).unwrap();
                write(&sql, &first);
                write(&sql, &second);
                drop(sql);
                // It is read as it is: a backup of then is brought back now.
                let reader = JournalReader::open(home).unwrap();
                assert_eq!(
                    (reader.head(PARTITION), reader.base()),
                    (Ok(second.head()), Ok(Ends::start(ONE)))
                );
                assert_eq!(
                    (verify(&reader, |_| ()).unwrap().ends, reader.archived()),
                    (Ends::of_one(second.head()), Ok(vec![]))
                );
                reader.require_archive().unwrap();
                // Whoever writes it brings it up to date.
                let mut journal = StoredJournal::open(home).unwrap();
                let third = record(&second.head(), b"third");
                journal.append(&Entry { number: 3, records: vec![third.clone()] }).unwrap();
                let sql = home.open(&FORMAT, Access::Create, 1 << 20).unwrap();
                let base = Ends::of_one(first.head());
                set(&sql, &Ends::start(ONE), &base).unwrap();
                assert_eq!((find(&sql, ONE), head(&sql, PARTITION)), (Ok(base), Ok(first.head())));
                assert_eq!(reader.head(PARTITION), Ok(third.head()));
                // An older software refuses it.
                let older = home.open(&as_of(version), Access::Create, 1 << 20).map(|_| ());
                assert!(matches!(older, Err(StoreError::Newer { .. })), "{older:?}");
            });
        }
    }
}
