//! The journal's writer: one row per record, appended and never changed.

use std::sync::Arc;
use std::time::Duration;

use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Digest, Head, Journal, RETRY_FOR, Record};

use crate::format::{Durability, Format, Step};
use crate::sql::{Access as Transaction, Sql, values};
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
/// What stands from a place on.
const END: &str = "SELECT hash FROM journal WHERE partition = ? AND sequence >= ? ORDER BY sequence LIMIT 2";
pub(crate) const FORMAT: Format = Format {
    file: JOURNAL_FILE,
    schema: "mayfly_journal",
    application_id: 0x4d59_464a,
    durability: Durability::Full,
    steps: &[
        Step::each(1, SCHEMA, SCHEMA_POSTGRES),
        Step::each(1, "", installation::CREATE_POSTGRES),
        Step::each(1, "", lease::CREATE_POSTGRES),
    ],
    upgrades: true,
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
/// it was not heard whether a record was written, the same record is appended again, and finds itself there, or not.
pub struct StoredJournal {
    sql: Sql,
    claim: Option<Claim>,
}

/// By what right a journal is written that others may write, too.
struct Claim {
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
        Ok(Self { sql, claim: None })
    }

    /// Writes a partition of a database, for as long as a lease is good.
    pub fn under(mut self, partition: PartitionId, standing: Arc<Standing>) -> Self {
        self.claim = Some(Claim { partition, standing });
        self
    }

    /// Where a partition's journal ends. The last record is checked.
    pub fn head(&self, partition: PartitionId) -> Result<Head, StoreError> {
        reader::head(&self.sql, partition)
    }

    /// Appends records that are known to follow what stands there, all of them or none.
    pub(crate) fn append_all(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let writing = self.sql.begin(Transaction::Write)?;
        records.iter().try_for_each(|record| self.insert(record).map(drop))?;
        writing.commit()
    }

    /// Lets the file grow to so many pages (of 16 KiB) only, as a full disk would.
    #[doc(hidden)]
    pub fn limit_pages(&self, pages: u32) -> Result<(), StoreError> {
        self.sql.one(&format!("PRAGMA max_page_count = {pages}"), &[], |_| Ok(())).map(|_| ())
    }

    /// Says whether it was written: not if somebody else has the lease.
    fn insert(&self, record: &Record) -> Result<bool, StoreError> {
        let (at_ms, count, version) = (record.at_ms as i64, record.count, record.version);
        let (previous, hash, payload) = (&record.previous, &record.hash, &record.payload);
        if self.sql.is_sqlite() {
            let key = key(record.partition, record.sequence);
            self.sql.run(APPEND_SQLITE, values![key, at_ms, count, version, previous, hash, payload])?;
            return Ok(true);
        }
        let (partition, sequence) = (record.partition.0, record.sequence as i64);
        let Some(claim) = &self.claim else {
            let values = values![partition, sequence, at_ms, count, version, previous, hash, payload];
            return self.sql.run(APPEND_POSTGRES, values).map(|_| true);
        };
        let fence = claim.standing.fence() as i64;
        let values = values![
            partition,
            sequence,
            at_ms,
            count,
            version,
            previous,
            hash,
            payload,
            claim.partition.0,
            fence,
            sequence - 1,
            partition,
            sequence - 1,
            previous
        ];
        self.sql.run(APPEND_FENCED, values).map(|written| written == 1)
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

    /// Whether the journal ends with `head`.
    fn ends_with(&self, partition: PartitionId, head: &Head) -> Result<bool, StoreError> {
        let from = values![partition.0, head.sequence as i64];
        let ends = self.sql.all(END, from, |cells| cells.next::<Digest>())?;
        Ok(if head.sequence == 0 { ends.is_empty() } else { ends == [head.hash] })
    }

    /// The record's place is taken: by itself, if an append was tried again, or by another one.
    fn taken(&self, record: &Record) -> Result<(), AppendError> {
        let Record { partition, sequence, .. } = *record;
        let standing = reader::between(&self.sql, partition, sequence, sequence, 1);
        match standing {
            Ok(standing) if standing.front().is_some_and(|standing| standing.hash == record.hash) => {
                self.settle().map_err(|error| append_error(&error))
            }
            Ok(_) => Err(AppendError::Refused),
            Err(error) => Err(append_error(&error)),
        }
    }

    /// Waits until what can be read is safe. Whoever asks a primary that was restarted sees what its standby may not have
    /// yet: a commit that waits for the standby waits for everything before it, too.
    fn settle(&self) -> Result<(), StoreError> {
        if !self.sql.is_sqlite() {
            self.sql.run("UPDATE format SET version = version", &[])?;
        }
        Ok(())
    }
}

fn append_error(error: &StoreError) -> AppendError {
    match error {
        busy @ StoreError::Busy { .. } => AppendError::Unknown(busy.to_string()),
        passing if passing.is_passing() => AppendError::Unknown(passing.to_string()),
        failed => AppendError::Failed(failed.to_string()),
    }
}

impl Journal for StoredJournal {
    fn append(&mut self, record: &Record) -> Result<(), AppendError> {
        self.may()?;
        match self.insert(record) {
            Ok(true) => Ok(()),
            // Written by an earlier try perhaps, before the lease was lost.
            Ok(false) | Err(StoreError::Taken { .. }) => self.stepped_down(self.taken(record)),
            Err(error) => Err(append_error(&error)),
        }
    }

    fn confirm(&mut self, head: &Head) -> Result<(), AppendError> {
        let Some(Claim { partition, .. }) = self.claim else { return Ok(()) };
        self.may()?;
        match self.ends_with(partition, head) {
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
