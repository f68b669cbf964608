//! Where a journal begins, and what of it is archived: two tables beside its records.

use mayfly_core::{PartitionId, TimeMs};
use mayfly_engine::{Digest, Head};

use crate::StoreError;
use crate::journal::FORMAT;
use crate::sql::{Cells, Sql, values};

type Result<T> = std::result::Result<T, StoreError>;

pub(crate) const CREATE: &str = "
-- After which record a partition's journal begins: that one was archived and dropped, like all before it. A partition that
-- was never cut has no row.
CREATE TABLE journal_base (
    partition INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    at_ms INTEGER NOT NULL
) STRICT;

-- The files of the archive: from which record to which, without gaps, the hash and time of the record before the first, and
-- those of the last. Records whose deletion is still under way are in a file and in the journal.
CREATE TABLE archived (
    partition INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    previous_ms INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    file TEXT NOT NULL,
    archived_ms INTEGER NOT NULL,
    PRIMARY KEY (partition, first),
    CHECK (first <= last)
) STRICT, WITHOUT ROWID;";

const FIND: &str = "SELECT sequence, hash, at_ms FROM journal_base WHERE partition = ?";
const SET: &str = "INSERT INTO journal_base (partition, sequence, hash, at_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT (partition) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, at_ms = excluded.at_ms";
const ADD: &str =
    "INSERT INTO archived (partition, first, last, previous, previous_ms, hash, first_ms, last_ms, bytes,
    file, archived_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Records of one partition that lie in a file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose.
    pub partition: PartitionId,
    /// The record before the first of them.
    pub before: Head,
    /// The last of them.
    pub last: Head,
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
    /// The first of its records.
    pub fn first(&self) -> u64 {
        self.before.sequence + 1
    }
}

/// After which record a partition's journal begins.
pub(crate) fn find(sql: &Sql, partition: PartitionId) -> Result<Head> {
    if !is_there(sql)? {
        return Ok(Head::START);
    }
    let found = sql.one(FIND, values![partition.0], |cells| {
        Ok(Head { sequence: cells.bits()?, hash: cells.next::<Digest>()?, at_ms: cells.bits()? })
    })?;
    Ok(found.unwrap_or(Head::START))
}

/// From now on it begins after that record.
pub(crate) fn set(sql: &Sql, partition: PartitionId, head: &Head) -> Result<()> {
    let values = values![partition.0, head.sequence as i64, &head.hash, head.at_ms as i64];
    sql.run(SET, values).map(drop)
}

/// The files of a partition, the oldest first.
pub(crate) fn spans(sql: &Sql, partition: PartitionId) -> Result<Vec<Span>> {
    if !is_there(sql)? {
        return Ok(Vec::new());
    }
    let all = format!("SELECT {COLUMNS} FROM archived WHERE partition = ? ORDER BY first");
    sql.all(&all, values![partition.0], |cells| span(partition, cells))
}

/// The file in which a record is, if it is in one.
pub(crate) fn span_of(sql: &Sql, partition: PartitionId, sequence: u64) -> Result<Option<Span>> {
    let find = format!(
        "SELECT {COLUMNS} FROM archived WHERE partition = ? AND first <= ? AND last >= ? ORDER BY first LIMIT 1"
    );
    let sequence = sequence as i64;
    sql.one(&find, values![partition.0, sequence, sequence], |cells| span(partition, cells))
}

/// The latest file of a partition.
pub(crate) fn last_span(sql: &Sql, partition: PartitionId) -> Result<Option<Span>> {
    let find = format!("SELECT {COLUMNS} FROM archived WHERE partition = ? ORDER BY first DESC LIMIT 1");
    sql.one(&find, values![partition.0], |cells| span(partition, cells))
}

/// One file more.
pub(crate) fn add(sql: &Sql, span: &Span) -> Result<()> {
    let values = values![
        span.partition.0,
        span.first() as i64,
        span.last.sequence as i64,
        &span.before.hash,
        span.before.at_ms as i64,
        &span.last.hash,
        span.first_ms as i64,
        span.last.at_ms as i64,
        span.bytes as i64,
        &span.file,
        span.archived_ms as i64,
    ];
    sql.run(ADD, values).map(drop)
}

const COLUMNS: &str = "first, last, previous, previous_ms, hash, first_ms, last_ms, bytes, file, archived_ms";

fn span(partition: PartitionId, cells: &mut Cells<'_>) -> Result<Span> {
    let (first, last) = (cells.bits()?, cells.bits()?);
    let (previous, previous_ms) = (cells.next::<Digest>()?, cells.bits()?);
    let (hash, first_ms, last_ms) = (cells.next::<Digest>()?, cells.bits()?, cells.bits()?);
    Ok(Span {
        partition,
        before: Head { sequence: first.saturating_sub(1), hash: previous, at_ms: previous_ms },
        last: Head { sequence: last, hash, at_ms: last_ms },
        first_ms,
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
    use mayfly_engine::{Journal, Record};

    use super::*;
    use crate::format::Format;
    use crate::sql::tests::on_both;
    use crate::sqlite::Access;
    use crate::{JournalReader, StoredJournal, verify};

    const PARTITION: PartitionId = PartitionId(0);

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
        for version in 1..FORMAT.version() {
            on_both(|home| {
                let first = record(&Head::START, b"");
                let second = record(&first.head(), b"");
                let sql = home.open(&as_of(version), Access::Create, 1 << 20).unwrap();
                write(&sql, &first);
                write(&sql, &second);
                drop(sql);
                // It is read as it is: a backup of then is brought back now.
                let reader = JournalReader::open(home, PARTITION).unwrap();
                assert_eq!((reader.head(), reader.base()), (Ok(second.head()), Ok(Head::START)));
                assert_eq!(
                    (verify(&reader, |_| ()).unwrap().head, reader.archived()),
                    (second.head(), Ok(vec![]))
                );
                reader.require_archive().unwrap();
                // Whoever writes it brings it up to date.
                let mut journal = StoredJournal::open(home).unwrap();
                let third = record(&second.head(), b"third");
                journal.append(&third).unwrap();
                let sql = home.open(&FORMAT, Access::Create, 1 << 20).unwrap();
                set(&sql, PARTITION, &first.head()).unwrap();
                assert_eq!(find(&sql, PARTITION), Ok(first.head()));
                assert_eq!(reader.head(), Ok(third.head()));
                // An older software refuses it.
                let older = home.open(&as_of(version), Access::Create, 1 << 20).map(|_| ());
                assert!(matches!(older, Err(StoreError::Newer { .. })), "{older:?}");
            });
        }
    }
}
