//! The journal's writer: one row per record, appended and never changed.

use std::cell::RefCell;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Digest, Ends, Entry, Journal, RETRY_FOR, Record};

use crate::format::{Durability, Format, Step};
use crate::retention::{Span, base};
use crate::sql::postgres::{Link, Rows};
use crate::sql::{Access as Transaction, Backend, Cells, Sql, Value, values};
use crate::sqlite::Access;
use crate::{Home, Standing, StoreError};
use crate::{installation, lease, reader};

/// The journal's file name.
pub const JOURNAL_FILE: &str = "journal.db";

/// The row id is partition and sequence in one: partitions lie one after the other, and within one the row ids
/// only grow, so that an append always goes to the end of the partition's part.
const SCHEMA: &str = "
CREATE TABLE journal (
    key INTEGER PRIMARY KEY, -- partition * 2^48 + sequence
    partition INTEGER GENERATED ALWAYS AS (key >> 48) VIRTUAL,
    sequence INTEGER GENERATED ALWAYS AS (key & 281474976710655) VIRTUAL,
    at_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    version INTEGER NOT NULL,
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    payload BLOB NOT NULL
) STRICT;";

/// The same. The partition comes first, so that what spreads a table over servers keeps a partition together.
const SCHEMA_POSTGRES: &str = "
CREATE TABLE journal (
    partition BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    count BIGINT NOT NULL,
    version BIGINT NOT NULL,
    previous BYTEA NOT NULL CHECK (length(previous) = 32),
    hash BYTEA NOT NULL CHECK (length(hash) = 32),
    payload BYTEA NOT NULL,
    PRIMARY KEY (partition, sequence)
);
-- Payloads would hardly get smaller.
ALTER TABLE journal ALTER COLUMN payload SET STORAGE EXTERNAL;";

/// Which records were written together, and in which order: only where there are several partitions, for otherwise the
/// records' own numbers say it.
const ENTRIES: &str = "
-- `places` are the keys of its records, eight bytes each: partition * 2^48 + sequence, highest byte first.
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    places BLOB NOT NULL
) STRICT;";

/// Hashes are 32 bytes by their type. Where the table says so too, PostgreSQL reads that anew for each statement: a sixth of
/// the processor time of an append.
const LIGHTER_POSTGRES: &str =
    "ALTER TABLE journal DROP CONSTRAINT journal_previous_check, DROP CONSTRAINT journal_hash_check";

/// The place of a record and what stands there differ between the databases; the rest is the same.
const APPEND_SQLITE: &str =
    "INSERT INTO journal (key, at_ms, count, version, previous, hash, payload) VALUES (?, ?, ?, ?, ?, ?, ?)";
const APPEND_POSTGRES: &str =
    "INSERT INTO journal (partition, sequence, at_ms, count, version, previous, hash, payload)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
/// The same, for whoever has a lease: nothing is written once somebody else has it. Nor after a record that is not there any
/// more: a primary that was restarted shows what its standby may not have yet, and what is lost with it.
const APPEND_FENCED: &str =
    "INSERT INTO journal (partition, sequence, at_ms, count, version, previous, hash, payload)
    SELECT ?::bigint, ?::bigint, ?::bigint, ?::bigint, ?::bigint, ?::bytea, ?::bytea, ?::bytea
    FROM lease WHERE partition = ? AND fence = ? AND (?::bigint = 0
        OR EXISTS (SELECT FROM journal WHERE partition = ? AND sequence = ? AND hash = ?))";
/// Many records at once: several times faster than a statement for each, and than one for all of them.
const COPY: &str =
    "COPY journal (partition, sequence, at_ms, count, version, previous, hash, payload) FROM STDIN BINARY";
const COPY_ENTRIES: &str = "COPY entries (number, at_ms, places) FROM STDIN BINARY";
const ADD_ENTRY: &str = "INSERT INTO entries (number, at_ms, places) VALUES (?, ?, ?)";
/// The same, for whoever has a lease: once somebody else has it there are no places, which is not allowed.
const ADD_ENTRY_FENCED: &str = "INSERT INTO entries (number, at_ms, places)
    VALUES (?, ?, (SELECT ?::bytea FROM lease WHERE partition = ? AND fence = ?))";
/// What stands from a place on.
const END: &str = "SELECT hash FROM journal WHERE partition = ? AND sequence >= ? ORDER BY sequence LIMIT 2";
/// How many of these partitions end like this. The last record of one may be cut off: then it is known.
const ENDS: &str =
    "SELECT count(*) FROM unnest(?::bigint[], ?::bigint[], ?::bytea[]) AS head(partition, sequence, hash)
    WHERE NOT EXISTS (SELECT FROM journal WHERE partition = head.partition AND sequence > head.sequence)
    AND (sequence = 0 OR EXISTS (SELECT FROM journal
        WHERE partition = head.partition AND sequence = head.sequence AND hash = head.hash)
        OR EXISTS (SELECT FROM journal_base
        WHERE partition = head.partition AND sequence = head.sequence AND hash = head.hash))";
pub(crate) const FORMAT: Format = Format {
    file: JOURNAL_FILE,
    schema: "mayfly_journal",
    application_id: 0x4d59_464a,
    durability: Durability::Full,
    steps: &[
        Step::each(1, SCHEMA, SCHEMA_POSTGRES),
        Step::each(1, "", installation::CREATE_POSTGRES),
        Step::each(1, "", lease::CREATE_POSTGRES),
        Step::each(2, installation::PARTITIONS_SQLITE, installation::PARTITIONS_POSTGRES),
        Step::new(2, ENTRIES),
        Step::new(3, base::CREATE),
        Step::each(4, "", LIGHTER_POSTGRES),
    ],
    upgrades: true,
    // Until it is cut it is read as ever. One that does not say how many partitions it has is not.
    reads_from: 2,
};

/// How many bits of a key are the sequence.
const SEQUENCE_BITS: u32 = 48;

/// The key of a record.
pub(crate) fn key(partition: PartitionId, sequence: u64) -> i64 {
    // 16 bits above 48: the highest partitions are negative, which only changes their order.
    ((u64::from(partition.0) << SEQUENCE_BITS) | sequence) as i64
}

/// The sequence in a key.
pub(crate) fn sequence(key: i64) -> u64 {
    key as u64 & ((1 << SEQUENCE_BITS) - 1)
}

/// The page cache of the writer. It only ever looks at the end of the file.
const CACHE_BYTES: usize = 4 << 20;

/// After so many pages (of 16 KiB) in the write-ahead log they are copied into the file, by the commit that came
/// to it. Measured with records of 66 KB, 2,600 commits a second: the slowest commit took 5 ms at 300 pages,
/// 15 ms at 1000 and 56 ms at 4000, at the same rate; so no thread of its own is needed for it.
const CHECKPOINT_PAGES: u32 = 320;

/// The journal, as its one writer has it.
///
/// A record's place is its key: whoever finds it taken by another record knows that somebody else writes this journal. If
/// it was not heard whether an entry was written, the same entry is appended again, and finds itself there, or not.
pub struct StoredJournal {
    sql: Sql,
    partitions: NonZeroU16,
    claim: Option<Claim>,
}

/// By what right a journal is written that others may write, too.
struct Claim {
    /// Whose lease it is: that of the first partition stands for all of them.
    partition: PartitionId,
    standing: Arc<Standing>,
}

impl StoredJournal {
    /// Opens the journal; makes one where none is.
    pub fn open(home: &Home) -> Result<Self, StoreError> {
        let sql = home.open(&FORMAT, Access::Create, CACHE_BYTES)?;
        if sql.is_sqlite() {
            sql.script(&format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"))?;
        }
        let partitions = installation::partitions(&sql)?;
        Ok(Self { sql, partitions, claim: None })
    }

    /// Writes a journal of a database, for as long as a lease is good.
    pub fn under(mut self, partition: PartitionId, standing: Arc<Standing>) -> Self {
        self.claim = Some(Claim { partition, standing });
        self
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> NonZeroU16 {
        self.partitions
    }

    /// Where the journal ends. The last record of each partition is checked.
    pub fn ends(&self) -> Result<Ends, StoreError> {
        reader::ends(&self.sql, self.partitions)
    }

    pub(crate) fn sql(&self) -> &Sql {
        &self.sql
    }

    /// Appends entries that are known to follow what stands there, all of them or none.
    pub(crate) fn append_all(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let writing = self.sql.begin(Transaction::Write)?;
        if let Backend::Postgres(link) = self.sql.backend() {
            let (mut records, mut listed) = (Rows::default(), Rows::default());
            for entry in entries {
                entry.records.iter().for_each(|record| records.push(&columns(record)));
                if !self.has_one() {
                    listed.push(values![entry.number as i64, entry.at_ms() as i64, places(entry)]);
                }
            }
            for (copy, mut rows) in [(COPY, records), (COPY_ENTRIES, listed)] {
                rows.take().map_or(Ok(()), |rows| link.borrow_mut().copy(copy, rows))?;
            }
        } else {
            entries.iter().try_for_each(|entry| self.insert(entry).map(drop))?;
        }
        writing.commit()
    }

    /// Begins a journal that has no entries yet after the one that another was cut at, and notes what of that was archived up
    /// to there.
    pub(crate) fn begin_after(&mut self, base: &Ends, archived: &[Span]) -> Result<(), StoreError> {
        let start = Ends::start(self.partitions);
        if *base == start {
            return Ok(());
        }
        let writing = self.sql.begin(Transaction::Write)?;
        base::set(&writing, &start, base)?;
        // Those that are still being dropped begin before it, too: all that is before the base is in some file.
        let before = archived.iter().filter(|span| span.before.number < base.number);
        before.into_iter().try_for_each(|span| base::add(&writing, span))?;
        writing.commit()
    }

    /// Lets the file grow to so many pages (of 16 KiB) only, as a full disk would.
    #[doc(hidden)]
    pub fn limit_pages(&self, pages: u32) -> Result<(), StoreError> {
        self.sql.one(&format!("PRAGMA max_page_count = {pages}"), &[], |_| Ok(())).map(|_| ())
    }

    /// Whether its records' own numbers say what was written together.
    fn has_one(&self) -> bool {
        self.partitions == NonZeroU16::MIN
    }

    /// Says whether it was written: not if somebody else has the lease.
    fn insert(&self, entry: &Entry) -> Result<bool, StoreError> {
        match self.sql.backend() {
            Backend::Postgres(link) if !self.has_one() => self.copy_records(link, entry),
            _ => {
                for record in &entry.records {
                    if !self.insert_record(record)? {
                        return Ok(false);
                    }
                }
                if !self.has_one() {
                    let values = values![entry.number as i64, entry.at_ms() as i64, places(entry)];
                    self.sql.run(ADD_ENTRY, values)?;
                }
                Ok(true)
            }
        }
    }

    fn insert_record(&self, record: &Record) -> Result<bool, StoreError> {
        if self.sql.is_sqlite() {
            let Record { partition, sequence, count, version, ref previous, ref hash, ref payload, .. } =
                *record;
            let (key, at_ms) = (key(partition, sequence), record.at_ms as i64);
            self.sql.run(APPEND_SQLITE, values![key, at_ms, count, version, previous, hash, payload])?;
            return Ok(true);
        }
        let columns = columns(record);
        let Some(claim) = &self.claim else {
            return self.sql.run(APPEND_POSTGRES, &columns).map(|_| true);
        };
        let mut values = columns.to_vec();
        values.extend([claim.partition.0.into(), (claim.standing.fence() as i64).into()]);
        let before = record.sequence as i64 - 1;
        values.extend([before.into(), columns[0].clone(), before.into(), columns[5].clone()]);
        self.sql.run(APPEND_FENCED, &values).map(|written| written == 1)
    }

    /// All records of an entry, and the entry itself if whoever has the lease lets it be written, in one transaction.
    fn copy_records(&self, link: &RefCell<Link>, entry: &Entry) -> Result<bool, StoreError> {
        let mut rows = Rows::default();
        entry.records.iter().for_each(|record| rows.push(&columns(record)));
        let Some(rows) = rows.take() else { return Ok(true) };
        let mut values =
            vec![(entry.number as i64).into(), (entry.at_ms() as i64).into(), places(entry).into()];
        let Some(Claim { partition, standing }) = &self.claim else {
            return link.borrow_mut().copy_and(COPY, rows, ADD_ENTRY, &values);
        };
        values.extend([partition.0.into(), (standing.fence() as i64).into()]);
        link.borrow_mut().copy_and(COPY, rows, ADD_ENTRY_FENCED, &values)
    }

    /// Whether the lease lets anything be done.
    fn may(&self) -> Result<(), AppendError> {
        match &self.claim {
            Some(Claim { standing, .. }) if standing.is_lost() => Err(AppendError::Refused),
            Some(Claim { standing, .. }) if !standing.is_good() => {
                Err(AppendError::Unknown("the lease is over, and it is not known who has it".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Somebody else writes: that is how one learns that the lease is lost, before its keeper does.
    fn stepped_down(&self, done: Result<(), AppendError>) -> Result<(), AppendError> {
        if let (Some(claim), Err(AppendError::Refused)) = (&self.claim, &done) {
            claim.standing.lose();
        }
        done
    }

    /// Whether every partition's journal ends like this.
    fn ends_with(&self, ends: &Ends) -> Result<bool, StoreError> {
        let heads = || PartitionId::all(self.partitions).map(|partition| (partition, ends.head(partition)));
        if let (Backend::Postgres(link), false) = (self.sql.backend(), self.has_one()) {
            let columns = [
                heads().map(|(partition, _)| partition.0.into()).collect::<Vec<i64>>().into(),
                heads().map(|(_, head)| head.sequence as i64).collect::<Vec<i64>>().into(),
                heads().map(|(_, head)| head.hash.to_vec()).collect::<Vec<Vec<u8>>>().into(),
            ];
            let mut standing = 0;
            link.borrow_mut().each_of_columns(ENDS, &columns, |row| {
                standing = Cells::of_postgres(row, self.sql.location()).bits()?;
                Ok(())
            })?;
            return Ok(standing == u64::from(self.partitions.get()));
        }
        for (partition, head) in heads() {
            let from = values![partition.0, head.sequence as i64];
            let found = self.sql.all(END, from, |cells| cells.next::<Digest>())?;
            let ends = match found[..] {
                [] if head.sequence == 0 => true,
                // It was cut off, and is known.
                [] => base::head(&self.sql, partition)?.hash == head.hash,
                [hash] => head.sequence > 0 && hash == head.hash,
                _ => false,
            };
            if !ends {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The place of a record is taken: by itself, if an append was tried again, or by another one. What is written together
    /// stands together.
    fn taken(&self, entry: &Entry) -> Result<(), AppendError> {
        for record in &entry.records {
            let Record { partition, sequence, .. } = *record;
            let standing = reader::between(&self.sql, partition, sequence, sequence, 1);
            let standing = standing.map_err(|error| append_error(&error))?;
            if standing.front().is_none_or(|standing| standing.hash != record.hash) {
                return Err(AppendError::Refused);
            }
        }
        self.settle().map_err(|error| append_error(&error))
    }

    /// Whether all that was read up to these ends is there for good. Whoever begins to write asks that, under his lease: what a
    /// primary shows that was restarted may be lost with it.
    pub fn begins_at(&self, ends: &Ends) -> Result<bool, StoreError> {
        self.settle()?;
        self.ends_with(ends)
    }

    /// Waits until what can be read is safe. Whoever asks a primary that was restarted sees what its standby may not have
    /// yet: a commit that waits for the standby waits for everything before it, too.
    fn settle(&self) -> Result<(), StoreError> {
        if !self.sql.is_sqlite() {
            self.sql.run("UPDATE format SET version = version", &[])?;
        }
        Ok(())
    }

    /// An entry is one statement, or one transaction of several.
    fn write(&self, entry: &Entry) -> Result<bool, StoreError> {
        if self.has_one() || !self.sql.is_sqlite() {
            return self.insert(entry);
        }
        let writing = self.sql.begin(Transaction::Write)?;
        let written = self.insert(entry)?;
        writing.commit()?;
        Ok(written)
    }
}

/// A record as it is copied into the table.
fn columns(record: &Record) -> [Value<'_>; 8] {
    [
        record.partition.0.into(),
        (record.sequence as i64).into(),
        (record.at_ms as i64).into(),
        record.count.into(),
        record.version.into(),
        (&record.previous).into(),
        (&record.hash).into(),
        (&record.payload).into(),
    ]
}

/// The keys of an entry's records, as they are listed.
fn places(entry: &Entry) -> Vec<u8> {
    let keys = entry.records.iter().map(|record| key(record.partition, record.sequence));
    keys.flat_map(i64::to_be_bytes).collect()
}

fn append_error(error: &StoreError) -> AppendError {
    match error {
        busy @ StoreError::Busy { .. } => AppendError::Unknown(busy.to_string()),
        passing if passing.is_passing() => AppendError::Unknown(passing.to_string()),
        failed => AppendError::Failed(failed.to_string()),
    }
}

impl Journal for StoredJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        self.may()?;
        match self.write(entry) {
            Ok(true) => Ok(()),
            // Written by an earlier try perhaps, before the lease was lost.
            Ok(false) | Err(StoreError::Taken { .. }) => self.stepped_down(self.taken(entry)),
            Err(error) => Err(append_error(&error)),
        }
    }

    fn confirm(&mut self, ends: &Ends) -> Result<(), AppendError> {
        if self.claim.is_none() {
            return Ok(());
        }
        self.may()?;
        match self.ends_with(ends) {
            Ok(true) => Ok(()),
            Ok(false) => self.stepped_down(Err(AppendError::Refused)),
            Err(error) => Err(append_error(&error)),
        }
    }

    /// A database comes back, however long that takes; until then it is the lease that says whether it is waited for.
    fn is_hopeful(&self, tried_for: Duration) -> bool {
        match &self.claim {
            Some(Claim { standing, .. }) => !standing.is_lost(),
            None => tried_for < RETRY_FOR,
        }
    }
}
