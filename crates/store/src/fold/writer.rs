//! The views' writer: folds records into the tables, some at a time.

use std::ffi::c_int;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mayfly_card::MonthIndex;
use mayfly_core::PartitionId;
use rusqlite::hooks::Wal;

use super::ahead::Chunk;
use super::batch::{Batch, Memory};
use super::copier::Copier;
use super::postgres::PostgresTables;
use super::sqlite::SqliteTables;
use super::tables::Tables;
use crate::error::At;
use crate::sql::{Access, Backend, Sql};
use crate::views::{self, Cursors, cards, issuers, kept, numbers};
use crate::{Home, JournalReader, Location, StoreError};

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
    /// The write-ahead log is copied into the file when it has so many bytes. Default 128 MiB. While the folder's
    /// thread runs, another one does that meanwhile; the log may then grow to four times as much before the folder
    /// waits for it.
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

/// The write-ahead log may be so many times larger than it should be before the writer waits for readers, and for
/// whoever copies it.
const LOG_PATIENCE: u64 = 4;
const PAGE_BYTES: u64 = 16_384;
/// Fewer events than these are never worth a transaction, if there are more.
const EVENTS_MIN: u64 = 1000;
/// How many events one transaction takes in a database, where rows and columns travel as a whole: some 50 MB. Whoever is behind
/// takes many at once, since neighbours are found together and an account that many of them change is changed once.
const DATABASE_EVENTS_MAX: u64 = 65_536;
/// Has a database go by the ids in a transaction, and by no table from its beginning to its end.
const BY_ID: &str =
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off";
/// How many indices leave quarantine in one transaction, and how many aliases are forgotten.
const FREED_MAX: usize = 4096;

/// The views' one writer.
pub(crate) struct ViewsWriter {
    sql: Sql,
    cursors: Cursors,
    /// Whose turn it is to be rid of what nobody needs any more.
    tidied: PartitionId,
    /// Behind which card open ETSNs are looked at next, whether they are over: of each partition.
    looked_at: Vec<u64>,
    memory: Memory,
    options: FoldOptions,
    /// How many events the next transaction takes.
    events_next: u64,
    /// How many pages stand in the write-ahead log, as of the last commit.
    log_pages: Arc<AtomicU64>,
    copier: Option<Copier>,
}

impl ViewsWriter {
    pub(crate) fn open(
        home: &Home,
        partitions: NonZeroU16,
        mut options: FoldOptions,
    ) -> Result<Self, StoreError> {
        let mut sql = views::open_to_write(home, options.cache_bytes)?;
        let log_pages = Arc::new(AtomicU64::new(0));
        let counter = log_pages.clone();
        let count = move |_: &mut Wal, pages: c_int| {
            counter.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        let location = sql.location().clone();
        match sql.as_sqlite_mut() {
            // Takes the place of the automatic checkpoint.
            Some(connection) => connection.wal_hook(Some(count)).at(location)?,
            None => options.events_max = options.events_max.min(DATABASE_EVENTS_MAX),
        }
        let cursors = views::cursors(&sql, partitions)?;
        let memory = remember(&sql)?;
        let tidied = PartitionId::FIRST;
        let looked_at = vec![0; partitions.get().into()];
        let events_next = options.events_max;
        let copier = None;
        Ok(Self { sql, cursors, tidied, looked_at, memory, options, events_next, log_pages, copier })
    }

    /// From now on a thread of its own copies the write-ahead log.
    pub(super) fn with_copier(mut self, home: &Home) -> Result<Self, StoreError> {
        if self.sql.is_sqlite() {
            self.copier = Some(Copier::start(home)?);
        }
        Ok(self)
    }

    pub(super) fn location(&self) -> &Location {
        self.sql.location()
    }

    /// Looks again where the tables stand.
    pub(super) fn begin_anew(&mut self) -> Result<(), StoreError> {
        self.cursors = views::cursors(&self.sql, self.cursors.partitions())?;
        self.memory = remember(&self.sql)?;
        Ok(())
    }

    pub(crate) fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// How many events the next transaction takes.
    pub(crate) fn events_next(&self) -> u64 {
        self.events_next
    }

    /// Folds what follows the cursors, up to entry `through` or as much as one transaction takes. Returns how many
    /// entries that were.
    pub(crate) fn fold(&mut self, journal: &JournalReader, through: u64) -> Result<u64, StoreError> {
        let chunk = Chunk::read(journal, self.cursors.ends(), through, self.events_next, Vec::new())?;
        self.fold_chunk(&chunk)?;
        Ok(chunk.entries)
    }

    /// Folds entries that follow the cursors. Either all of them are folded, or none.
    pub(crate) fn fold_chunk(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        if chunk.entries == 0 {
            return Ok(());
        }
        let begun = Instant::now();
        if let Err(error) = self.fold_events(chunk) {
            // What it knows of the accounts may be wrong now.
            self.memory = Memory::default();
            if !error.is_passing() {
                self.memory = remember(&self.sql)?;
            }
            return Err(error);
        }
        self.adjust(chunk.events.len() as u64, begun.elapsed());
        self.bound_log()
    }

    fn fold_events(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        let Self { sql, cursors, memory, looked_at, .. } = self;
        let transaction = sql.begin(Access::Write)?;
        let folded = match sql.backend() {
            Backend::Sqlite(connection) => {
                let tables = SqliteTables::new(connection, sql.location())?;
                fold(Batch::new(sql, tables, memory, cursors), chunk)?
            }
            Backend::Postgres(link) => {
                // Rows are found by their ids, however many there are.
                sql.script(BY_ID)?;
                if views::cursors(sql, cursors.partitions())? != *cursors {
                    let why = "another gateway folds these views".to_owned();
                    return Err(StoreError::Conflict { location: sql.location().clone(), why });
                }
                let tables = PostgresTables::new(link, sql.location());
                fold(Batch::new(sql, tables, memory, cursors), chunk)?
            }
        };
        // One partition at a time: none has so much that it could not wait for its turn.
        let now_ms = chunk.ends.at_ms();
        numbers::free(sql, self.tidied, MonthIndex::of_unix_ms(now_ms), FREED_MAX)?;
        kept::forget(sql, self.tidied, now_ms)?;
        let behind = looked_at.get(usize::from(self.tidied.0)).copied().unwrap_or(0);
        let looked_to = cards::forget_over(sql, self.tidied, behind, now_ms)?;
        transaction.commit()?;
        if let Some(behind) = looked_at.get_mut(usize::from(self.tidied.0)) {
            *behind = looked_to;
        }
        self.tidied = PartitionId((self.tidied.0 + 1) % self.cursors.partitions().get());
        self.cursors = folded;
        Ok(())
    }

    /// Takes less at a time if it took too long, and more again if it did not.
    fn adjust(&mut self, events: u64, took: Duration) {
        if took > self.options.time_max {
            self.events_next = (events / 2).max(EVENTS_MIN);
        } else if took < self.options.time_max / 2 {
            self.events_next = (self.events_next * 2).min(self.options.events_max);
        }
    }

    /// Copies the write-ahead log into the file, as far as readers let it. A database does so by itself.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        self.copy_log("PASSIVE")
    }

    fn copy_log(&self, how: &str) -> Result<(), StoreError> {
        let Backend::Sqlite(connection) = self.sql.backend() else { return Ok(()) };
        let copy = format!("PRAGMA wal_checkpoint({how})");
        connection.query_row(&copy, (), |_| Ok(())).at(self.sql.location())
    }

    /// Has the log copied when it is long enough. It is begun anew by the first commit that finds all of it copied;
    /// if readers, or more commits, keep it from that for long, the writer waits for a moment without them.
    fn bound_log(&self) -> Result<(), StoreError> {
        let bytes = self.log_pages.load(Ordering::Relaxed) * PAGE_BYTES;
        let limit = self.options.checkpoint_bytes.max(1 << 20);
        if bytes > LOG_PATIENCE * limit {
            return self.copy_log("RESTART");
        }
        match &self.copier {
            Some(copier) if bytes > limit => copier.wake(),
            None if bytes > limit => self.checkpoint()?,
            _ => {}
        }
        Ok(())
    }
}

/// Writes all of a chunk into the tables of one transaction.
fn fold<'e, T: Tables>(mut batch: Batch<'_, 'e, T>, chunk: &'e Chunk) -> Result<Cursors, StoreError> {
    batch.expect(&chunk.events)?;
    for happened in &chunk.events {
        batch.event(happened)?;
    }
    batch.finish(&chunk.ends)
}

/// What stands in the tables and never changes in them.
fn remember(sql: &Sql) -> Result<Memory, StoreError> {
    let mut memory = Memory::default();
    for (id, programme) in issuers::programmes(sql)? {
        memory.months.insert(id, programme.terms.quarantine_months);
    }
    Ok(memory)
}
