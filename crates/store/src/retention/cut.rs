//! Cutting a journal: a span of its oldest records becomes a file, and then their rows are deleted.
//!
//! Whatever is interrupted here, goes on from where it stands: a file that is not whole is written over, one that is whole and
//! not noted is noted, records that are in a noted file are deleted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_core::{PartitionId, TimeMs};
use mayfly_engine::Head;

use super::base::{self, Span};
use super::file::{self, Writer};
use crate::directory::{self, WebhookId};
use crate::journal::{FORMAT, key};
use crate::sql::{Access as Begin, Sql, values};
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
}

/// How far a journal may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The last record that may be cut off.
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

/// Cuts one partition's journal.
pub(super) struct Cutter {
    home: Home,
    pub(super) partition: PartitionId,
    sql: Sql,
    reader: JournalReader,
    archive: PathBuf,
    span_bytes_max: u64,
    claim: Option<Claim>,
}

impl Cutter {
    pub(super) fn open(
        home: &Home,
        partition: PartitionId,
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
        let reader = JournalReader::open(home, partition)?;
        Ok(Self { home: home.clone(), partition, sql, reader, archive, span_bytes_max, claim })
    }

    /// After which record the journal begins.
    pub(super) fn base(&self) -> Result<Head> {
        base::find(&self.sql, self.partition)
    }

    /// The last record.
    pub(super) fn last_sequence(&self) -> Result<u64> {
        self.reader.last_sequence()
    }

    /// The time of a record that is there.
    pub(super) fn time_of(&self, sequence: u64) -> Result<Option<TimeMs>> {
        if self.sql.is_sqlite() {
            let find = "SELECT at_ms FROM journal WHERE key = ?";
            return self.sql.one(find, values![key(self.partition, sequence)], |cells| cells.bits());
        }
        let find = "SELECT at_ms FROM journal WHERE partition = ? AND sequence = ?";
        self.sql.one(find, values![self.partition.0, sequence as i64], |cells| cells.bits())
    }

    /// How far it may be cut, by who still has to read it; `folded` is what the views have.
    pub(super) fn limit(&self, folded: u64) -> Result<Limit> {
        let last = self.last_sequence()?;
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
        Ok(limit)
    }

    /// The last record of before a time, `to` at the most; the base if there is none.
    pub(super) fn last_before(&self, before_ms: TimeMs, base: u64, to: u64) -> Result<u64> {
        // Time never goes back from one record to the next: half of them are ruled out by each look.
        let (mut low, mut high) = (base, to.max(base));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let is_before = self.time_of(middle)?.is_some_and(|at_ms| at_ms < before_ms);
            if is_before { low = middle } else { high = middle - 1 }
        }
        Ok(low)
    }

    /// Deletes what is in a file already: what was interrupted. The file is read again before.
    pub(super) fn go_on(&self, go_on: &dyn Fn() -> bool) -> Result<u64> {
        let (base, last) = (self.base()?, base::last_span(&self.sql, self.partition)?);
        let Some(span) = last.filter(|span| span.last.sequence > base.sequence) else { return Ok(0) };
        file::check(&self.archive.join(&span.file), &span)?;
        self.drop_rows(&span, go_on)
    }

    /// Archives records up to `to`, as many as one file takes; they are still in the journal then. None if there are none, or
    /// it was interrupted.
    pub(super) fn archive(&self, to: u64, now_ms: TimeMs, go_on: &dyn Fn() -> bool) -> Result<Option<Span>> {
        let base = self.base()?;
        if to <= base.sequence {
            return Ok(None);
        }
        let span = match self.left_behind(&base, to)? {
            Some(span) => span,
            None => {
                let Some(written) = self.write(base, to, go_on)? else { return Ok(None) };
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
    fn left_behind(&self, base: &Head, to: u64) -> Result<Option<Span>> {
        let Some(span) = file::left_behind(&self.archive, self.partition, base) else { return Ok(None) };
        let fits = span.last.sequence <= to && self.reader.head_at(span.last.sequence)? == Some(span.last);
        Ok(fits.then_some(span))
    }

    fn write(&self, base: Head, to: u64, go_on: &dyn Fn() -> bool) -> Result<Option<Writer>> {
        let mut writer = Writer::create(&self.archive, self.partition, base)?;
        for record in self.reader.after(base) {
            let record = record?;
            let is_first = writer.span().last == base;
            let other_day = record.at_ms / DAY_MS != writer.span().first_ms / DAY_MS;
            if !is_first && (other_day || writer.span().bytes >= self.span_bytes_max) {
                break;
            }
            if !go_on() {
                return Ok(None);
            }
            writer.add(&record)?;
            if record.sequence >= to {
                break;
            }
        }
        Ok(Some(writer))
    }

    /// Deletes the rows of records that are in a file, some at a time. Returns how many it deleted.
    pub(super) fn drop_rows(&self, span: &Span, go_on: &dyn Fn() -> bool) -> Result<u64> {
        // Whoever wrote the file and noted it has checked both. That they are still of one chain shows at their ends.
        if self.reader.head_at(span.last.sequence)? != Some(span.last) {
            let why = format!("record {} is not the one that was archived", span.last.sequence);
            return Err(StoreError::Damaged { location: self.sql.location().clone(), why });
        }
        let count = span.last.sequence - span.before.sequence;
        let rows = (DROP_BYTES / (span.bytes / count).max(1)).clamp(1, DROP_ROWS);
        let mut dropped = 0;
        loop {
            let base = self.base()?;
            if base.sequence >= span.last.sequence || !go_on() {
                return Ok(dropped);
            }
            let begun = Instant::now();
            let to = (base.sequence + rows).min(span.last.sequence);
            let head = self.reader.head_at(to)?.ok_or_else(|| self.gap(to))?;
            self.drop_through(&base, &head)?;
            dropped += to - base.sequence;
            std::thread::sleep((begun.elapsed() * PAUSE).max(PAUSE_MIN));
        }
    }

    fn drop_through(&self, base: &Head, to: &Head) -> Result<()> {
        let writing = self.sql.begin(Begin::Write)?;
        if !self.sql.is_sqlite() {
            writing.script("SET LOCAL synchronous_commit = off")?;
        }
        self.check_claim()?;
        self.check_base(base)?;
        let (first, last) = (base.sequence + 1, to.sequence);
        let deleted = if self.sql.is_sqlite() {
            let values = values![key(self.partition, first), key(self.partition, last)];
            writing.run("DELETE FROM journal WHERE key BETWEEN ? AND ?", values)?
        } else {
            let values = values![self.partition.0, first as i64, last as i64];
            writing.run("DELETE FROM journal WHERE partition = ? AND sequence BETWEEN ? AND ?", values)?
        };
        if deleted != last - base.sequence {
            return Err(self.gap(first));
        }
        base::set(&writing, self.partition, to)?;
        writing.commit()
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

    fn check_base(&self, base: &Head) -> Result<()> {
        if self.base()? == *base { Ok(()) } else { Err(self.conflict("another process cuts this journal")) }
    }

    fn conflict(&self, why: &str) -> StoreError {
        StoreError::Conflict { location: self.sql.location().clone(), why: why.to_owned() }
    }
}
