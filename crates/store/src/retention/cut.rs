//! Cutting a journal: a span of its oldest entries becomes a file, and then their rows are deleted.
//!
//! Whatever is interrupted here, goes on from where it stands: a file that is not whole is written over, one that is whole and
//! not noted is noted, entries that are in a noted file are deleted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_core::{PartitionId, TimeMs};
use mayfly_engine::Ends;

use super::base::{self, Span};
use super::file::{self, Writer};
use crate::directory::{self, WebhookId};
use crate::journal::{FORMAT, key};
use crate::sql::postgres::Column;
use crate::sql::{Access as Begin, Backend, Sql, values};
use crate::sqlite::Access;
use crate::{Home, JournalReader, Standing, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// Nothing younger than this is cut off, in milliseconds by the journal's own time: a standby that was away and a backup that is under
/// way still find it.
pub const CUT_AGE_MIN_MS: TimeMs = 48 * 3_600_000;

pub(super) const DAY_MS: TimeMs = 86_400_000;
const CACHE_BYTES: usize = 4 << 20;
/// How much one transaction deletes. An append waits for it, a few milliseconds.
const DROP_BYTES: u64 = 1 << 20;
const DROP_ROWS: u64 = 512;
/// For each time that a transaction took, others have three times as long.
const PAUSE: u32 = 3;
const PAUSE_MIN: Duration = Duration::from_millis(2);

/// Who still has to read what would be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// The views: it is not folded yet.
    Views,
    /// A webhook that has not been told it.
    Webhook(WebhookId),
    /// Whoever tells issuer hosts what they have to hear.
    IssuerHosts,
}

/// How far a journal may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The last entry that may be cut off.
    pub(super) to: u64,
    /// Who keeps it from being more.
    pub(super) held_by: Option<HeldBy>,
}

/// By what right a journal in a database is cut: whoever has the lease does so.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) partition: PartitionId,
    pub(super) standing: Arc<Standing>,
}

/// Deletes from one sequence to another, of each partition.
const DROP_POSTGRES: &str =
    "DELETE FROM journal USING unnest(?::bigint[], ?::bigint[], ?::bigint[]) AS gone(partition, first, last)
    WHERE journal.partition = gone.partition AND journal.sequence BETWEEN gone.first AND gone.last";

/// Cuts a journal.
pub(super) struct Cutter {
    home: Home,
    sql: Sql,
    reader: JournalReader,
    archive: PathBuf,
    span_bytes_max: u64,
    claim: Option<Claim>,
}

impl Cutter {
    pub(super) fn open(
        home: &Home,
        archive: PathBuf,
        span_bytes_max: u64,
        claim: Option<Claim>,
    ) -> Result<Self> {
        let sql = home.open(&FORMAT, Access::Create, CACHE_BYTES)?;
        if sql.is_sqlite() {
            // The log is written in order: a deletion that is lost with the power has not happened at all, and need not be
            // waited for. What is appended after it is synced, and it with that.
            sql.script("PRAGMA synchronous = NORMAL")?;
        }
        let reader = JournalReader::open(home)?;
        Ok(Self { home: home.clone(), sql, reader, archive, span_bytes_max, claim })
    }

    /// The journal that is cut.
    pub(super) fn reader(&self) -> &JournalReader {
        &self.reader
    }

    /// After which entry the journal begins.
    pub(super) fn base(&self) -> Result<Ends> {
        base::find(&self.sql, self.reader.partitions())
    }

    /// How far it may be cut, by who still has to read it; `folded` is the last entry that the views have.
    pub(super) fn limit(&self, folded: u64) -> Result<Limit> {
        let last = self.reader.last_number()?;
        // The last one always stays: that is where the next one is chained on.
        let mut limit = Limit { to: last.saturating_sub(1), held_by: None };
        if folded < limit.to {
            limit = Limit { to: folded, held_by: Some(HeldBy::Views) };
        }
        if let Some((webhook, place)) = directory::last_webhook(&self.home)?
            && place.saturating_sub(1) < limit.to
        {
            limit = Limit { to: place.saturating_sub(1), held_by: Some(HeldBy::Webhook(webhook)) };
        }
        if let Some(next) = directory::next_host_entry(&self.home)?
            && next.saturating_sub(1) < limit.to
        {
            limit = Limit { to: next.saturating_sub(1), held_by: Some(HeldBy::IssuerHosts) };
        }
        Ok(limit)
    }

    /// The last entry of before a time, `to` at the most; the base if there is none.
    pub(super) fn last_before(&self, before_ms: TimeMs, base: u64, to: u64) -> Result<u64> {
        // Time never goes back from one entry to the next: half of them are ruled out by each look.
        let (mut low, mut high) = (base, to.max(base));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let is_before = self.reader.time_of(middle)?.is_some_and(|at_ms| at_ms < before_ms);
            if is_before { low = middle } else { high = middle - 1 }
        }
        Ok(low)
    }

    /// Deletes what is in a file already: what was interrupted. The file is read again before.
    pub(super) fn go_on(&self, go_on: &dyn Fn() -> bool) -> Result<u64> {
        let (base, last) = (self.base()?, base::last_span(&self.sql)?);
        let Some(span) = last.filter(|span| span.last.number > base.number) else { return Ok(0) };
        file::check(&self.archive.join(&span.file), &span)?;
        self.drop_rows(&span, go_on)
    }

    /// Archives entries up to `to`, as many as one file takes; they are still in the journal then. None if there are none, or
    /// it was interrupted.
    pub(super) fn archive(&self, to: u64, now_ms: TimeMs, go_on: &dyn Fn() -> bool) -> Result<Option<Span>> {
        let base = self.base()?;
        if to <= base.number {
            return Ok(None);
        }
        let span = match self.left_behind(&base, to)? {
            Some(span) => span,
            None => {
                let Some(written) = self.write(&base, to, go_on)? else { return Ok(None) };
                written.finish()?
            }
        };
        let span = Span { archived_ms: now_ms, ..span };
        let writing = self.sql.begin(Begin::Write)?;
        self.check_claim()?;
        self.check_base(&base)?;
        base::add(&writing, &span)?;
        writing.commit()?;
        Ok(Some(span))
    }

    /// A file that was written and not noted, if the journal says the same.
    fn left_behind(&self, base: &Ends, to: u64) -> Result<Option<Span>> {
        let Some(span) = file::left_behind(&self.archive, base) else { return Ok(None) };
        let fits = span.last.number <= to && self.has(&span)?;
        Ok(fits.then_some(span))
    }

    /// Whether the journal has the last record of each partition that a file has records of.
    fn has(&self, span: &Span) -> Result<bool> {
        for (partition, _, head) in base::changed(&span.before, &span.last) {
            if self.reader.head_at(partition, head.sequence)? != Some(*head) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write(&self, base: &Ends, to: u64, go_on: &dyn Fn() -> bool) -> Result<Option<Writer>> {
        let mut writer = Writer::create(&self.archive, base.clone())?;
        for entry in self.reader.after(base.clone()) {
            let entry = entry?;
            let other_day = entry.at_ms() / DAY_MS != writer.span().first_ms / DAY_MS;
            if !writer.is_empty() && (other_day || writer.span().bytes >= self.span_bytes_max) {
                break;
            }
            if !go_on() {
                return Ok(None);
            }
            writer.add(&entry)?;
            if entry.number >= to {
                break;
            }
        }
        Ok(Some(writer))
    }

    /// Deletes the rows of what is in a file, some at a time. Returns how many records it deleted.
    pub(super) fn drop_rows(&self, span: &Span, go_on: &dyn Fn() -> bool) -> Result<u64> {
        // Whoever wrote the file and noted it has checked both. That they are still of one chain shows at their ends.
        if !self.has(span)? {
            let why = format!("entry {} is not the one that was archived", span.last.number);
            return Err(StoreError::Damaged { location: self.sql.location().clone(), why });
        }
        let (entries, records) = (span.last.number - span.before.number, span.records());
        let each = |of: u64| (of / entries).max(1);
        let at_once = (DROP_BYTES / each(span.bytes)).min(DROP_ROWS / each(records)).max(1);
        let mut dropped = 0;
        // What stands in it says which records an entry has, and needs no look at the journal.
        let mut file = file::open_as(&self.archive.join(&span.file), span)?;
        loop {
            let base = self.base()?;
            if base.number >= span.last.number || !go_on() {
                return Ok(dropped);
            }
            let begun = Instant::now();
            let to = (base.number + at_once).min(span.last.number);
            file.skip_to(to + 1)?;
            dropped += self.drop_through(&base, file.at())?;
            std::thread::sleep((begun.elapsed() * PAUSE).max(PAUSE_MIN));
        }
    }

    fn drop_through(&self, base: &Ends, to: &Ends) -> Result<u64> {
        let writing = self.sql.begin(Begin::Write)?;
        if !self.sql.is_sqlite() {
            writing.script("SET LOCAL synchronous_commit = off")?;
        }
        self.check_claim()?;
        self.check_base(base)?;
        let records = base::records_between(base, to);
        if self.delete_records(base, to)? != records {
            return Err(self.gap(base.number + 1));
        }
        if base.heads.len() > 1 {
            let (first, last) = (base.number as i64 + 1, to.number as i64);
            let deleted =
                writing.run("DELETE FROM entries WHERE number BETWEEN ? AND ?", values![first, last])?;
            if deleted != to.number - base.number {
                return Err(self.gap(base.number + 1));
            }
        }
        base::set(&writing, base, to)?;
        writing.commit()?;
        Ok(records)
    }

    fn delete_records(&self, base: &Ends, to: &Ends) -> Result<u64> {
        let gone = || base::changed(base, to);
        match self.sql.backend() {
            Backend::Sqlite(_) => {
                let mut deleted = 0;
                for (partition, before, last) in gone() {
                    let keys = values![key(partition, before.sequence + 1), key(partition, last.sequence)];
                    deleted += self.sql.run("DELETE FROM journal WHERE key BETWEEN ? AND ?", keys)?;
                }
                Ok(deleted)
            }
            Backend::Postgres(link) => {
                let columns: [Column; 3] = [
                    gone().map(|(partition, ..)| partition.0.into()).collect::<Vec<i64>>().into(),
                    gone().map(|(_, before, _)| before.sequence as i64 + 1).collect::<Vec<i64>>().into(),
                    gone().map(|(.., last)| last.sequence as i64).collect::<Vec<i64>>().into(),
                ];
                link.borrow_mut().run_columns(DROP_POSTGRES, &columns, &[])
            }
        }
    }

    fn gap(&self, sequence: u64) -> StoreError {
        StoreError::Gap { location: self.sql.location().clone(), sequence }
    }

    /// Only who has the lease cuts. Who has lost it finds out here, within the transaction.
    fn check_claim(&self) -> Result<()> {
        let Some(Claim { partition, standing }) = &self.claim else { return Ok(()) };
        let find = "SELECT fence FROM lease WHERE partition = ? AND fence = ?";
        let found =
            self.sql.one(find, values![partition.0, standing.fence() as i64], |cells| cells.bits())?;
        match found {
            Some(_) if !standing.is_lost() => Ok(()),
            _ => Err(self.conflict("another gateway is the active one")),
        }
    }

    fn check_base(&self, base: &Ends) -> Result<()> {
        if self.base()? == *base { Ok(()) } else { Err(self.conflict("another process cuts this journal")) }
    }

    fn conflict(&self, why: &str) -> StoreError {
        StoreError::Conflict { location: self.sql.location().clone(), why: why.to_owned() }
    }
}
