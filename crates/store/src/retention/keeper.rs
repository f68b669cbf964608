//! What is kept for how long, and the one who sees to it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mayfly_core::{PartitionId, TimeMs};

use super::cut::{CUT_AGE_MIN_MS, Claim, Cutter, DAY_MS, HeldBy, Limit};
use super::file;
use super::views::ViewsCutter;
use crate::sql::Sql;
use crate::{Home, Standing, StoreError, views};

type Result<T> = std::result::Result<T, StoreError>;

/// How large a file of the archive gets, in bytes, before another one is begun.
const SPAN_BYTES_MAX: u64 = 256 << 20;
const VIEWS_CACHE_BYTES: usize = 16 << 20;

/// What is kept for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionOptions {
    /// Where the archive's files are written.
    pub archive_dir: PathBuf,
    /// How long entries stay in the journal, in milliseconds; none for ever. At least [`CUT_AGE_MIN_MS`].
    pub journal_ms: Option<TimeMs>,
    /// How long the views keep what is over, in milliseconds; none for ever. At least as long as the journal its entries, and longer
    /// than `remember_ms`.
    pub views_ms: Option<TimeMs>,
    /// How long the engine remembers a transaction: the views must have it as long.
    pub remember_ms: TimeMs,
    /// How large a file of the archive gets before another one is begun. Default 256 MiB.
    pub span_bytes_max: u64,
}

impl RetentionOptions {
    /// Everything is kept for ever, but for what is asked for.
    pub fn forever(archive_dir: PathBuf) -> Self {
        let remember_ms = CUT_AGE_MIN_MS;
        Self { archive_dir, journal_ms: None, views_ms: None, remember_ms, span_bytes_max: SPAN_BYTES_MAX }
    }
}

/// What is to be dropped now: what happened before these times. None: what the options say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// From the journal.
    pub journal_before_ms: Option<TimeMs>,
    /// From the views. They are never cut further than the journal: what that still tells can be looked up.
    pub views_before_ms: Option<TimeMs>,
}

/// What would be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Entries of before this time; none if the journal is kept for ever.
    pub journal_before_ms: Option<TimeMs>,
    /// What is over since this time; none if the views keep everything.
    pub views_before_ms: Option<TimeMs>,
    /// The first entry in the journal.
    pub first: u64,
    /// Its time; none if there is no entry.
    pub first_ms: Option<TimeMs>,
    /// The last entry in the journal.
    pub last: u64,
    /// The last entry that is old enough.
    pub wanted: u64,
    /// The last entry that would be dropped: before `first` if none would.
    pub to: u64,
    /// Who keeps it from being all that are old enough.
    pub held_by: Option<HeldBy>,
    /// How many transactions the views would be searched for what is over.
    pub transactions: u64,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many records, from the journal.
    pub records: u64,
    /// How many files were written for them.
    pub files: u64,
    /// How many bytes those have.
    pub bytes: u64,
    /// How many transactions, from the views.
    pub transactions: u64,
    /// How many numbers, from the views.
    pub numbers: u64,
    /// How many ETSNs, from the views.
    pub etsns: u64,
    /// How many advices to issuer hosts, from the views. The journal tells them until they were sent.
    pub advices: u64,
    /// Whether there is nothing left to be dropped; not if it was interrupted.
    pub whole: bool,
}

/// Sees to what is kept for how long. Of several processes one does so: in files the one that has the directory's lock, in a
/// database the one that has the lease.
///
/// It connects for each run: most of the time it has nothing to do.
pub struct Retention {
    home: Home,
    options: RetentionOptions,
    claim: Option<Claim>,
}

impl Retention {
    /// Of an installation whose views are there by the first run.
    ///
    /// # Errors
    /// If records are to be archived, and the archive's directory can't be written.
    pub fn open(home: &Home, options: RetentionOptions) -> Result<Self> {
        if options.journal_ms.is_some() {
            check_directory(&options.archive_dir)?;
        }
        Ok(Self { home: home.clone(), options, claim: None })
    }

    /// In a database, as long as a lease is one's own.
    #[must_use]
    pub fn under(self, partition: PartitionId, standing: Arc<Standing>) -> Self {
        Self { claim: Some(Claim { partition, standing }), ..self }
    }

    /// What is kept for how long.
    pub fn options(&self) -> &RetentionOptions {
        &self.options
    }

    fn cutter(&self) -> Result<Cutter> {
        let (archive, bytes_max) = (self.options.archive_dir.clone(), self.options.span_bytes_max);
        Cutter::open(&self.home, archive, bytes_max, self.claim.clone())
    }

    /// What would be dropped.
    ///
    /// # Errors
    /// [`StoreError::TooRecent`] if what is asked for is too young; or if something can't be read.
    pub fn plan(&self, asked: &Asked) -> Result<Plan> {
        let (cutter, views) = (self.cutter()?, views::open_to_read(&self.home, VIEWS_CACHE_BYTES)?);
        let plan = self.uncounted(&cutter, &views, asked)?;
        Ok(Plan { transactions: waiting(&cutter, &views, &plan)?, ..plan })
    }

    /// What would be dropped, without the transactions: to count them takes some questions for each partition, and whoever drops
    /// them need not know.
    fn uncounted(&self, cutter: &Cutter, views: &Sql, asked: &Asked) -> Result<Plan> {
        let (journal, base) = (cutter.reader(), cutter.base()?);
        let last = journal.last_number()?;
        // The journal's time: that of its last entry. While nothing happens nothing gets old.
        let now_ms = journal.time_of(last)?.unwrap_or(base.at_ms());
        let (journal_before_ms, views_before_ms) = self.before(asked, now_ms)?;
        let cursors = views::cursors(views, journal.partitions())?;
        let Limit { to, held_by } = cutter.limit(cursors.number)?;
        let before_ms = journal_before_ms.unwrap_or(0);
        let wanted = cutter.last_before(before_ms, base.number, last.saturating_sub(1))?;
        let to = wanted.min(to).max(base.number);
        Ok(Plan {
            journal_before_ms,
            views_before_ms,
            first: base.number + 1,
            first_ms: journal.time_of(base.number + 1)?,
            last,
            wanted,
            to,
            held_by: held_by.filter(|_| to < wanted),
            transactions: 0,
        })
    }

    /// Archives and drops, as long as `go_on` says so: it is asked before each step, of some milliseconds.
    ///
    /// # Errors
    /// As [`Retention::plan`], or if something can't be written. What was done until then is done.
    pub fn run(&self, asked: &Asked, now_ms: TimeMs, go_on: &dyn Fn() -> bool) -> Result<Dropped> {
        let mut dropped = Dropped { whole: true, ..Dropped::default() };
        let cutter = self.cutter()?;
        let plan = self.uncounted(&cutter, &views::open_to_read(&self.home, VIEWS_CACHE_BYTES)?, asked)?;
        dropped.records += cutter.go_on(go_on)?;
        while let Some(span) = cutter.archive(plan.to, now_ms, go_on)? {
            let (first, last, file) = (span.first(), span.last.number, &span.file);
            tracing::info!(first, last, file, "entries were archived");
            dropped.files += 1;
            dropped.bytes += span.bytes;
            dropped.records += cutter.drop_rows(&span, go_on)?;
            if !go_on() {
                break;
            }
        }
        let base = cutter.base()?;
        dropped.whole &= base.number >= plan.to;
        // Nothing that the journal still tells.
        let Some(before_ms) = plan.views_before_ms.map(|before_ms| before_ms.min(base.at_ms())) else {
            return Ok(dropped);
        };
        let views = views::open_to_write(&self.home, VIEWS_CACHE_BYTES)?;
        let cursors = views::cursors(&views, cutter.reader().partitions())?;
        for partition in PartitionId::all(cutter.reader().partitions()) {
            let (counts, whole) =
                ViewsCutter::new(&views, partition, cursors.of(partition)).cut(before_ms, go_on)?;
            dropped.transactions += counts.transactions;
            dropped.numbers += counts.numbers;
            dropped.etsns += counts.etsns;
            dropped.advices += counts.advices;
            dropped.whole &= whole;
        }
        Ok(dropped)
    }

    /// Before which times things are dropped.
    fn before(&self, asked: &Asked, now_ms: TimeMs) -> Result<(Option<TimeMs>, Option<TimeMs>)> {
        let RetentionOptions { journal_ms, views_ms, remember_ms, .. } = self.options;
        let latest_ms = now_ms.saturating_sub(CUT_AGE_MIN_MS);
        let views_latest_ms = latest_ms.min(now_ms.saturating_sub(remember_ms));
        let before =
            |asked: Option<TimeMs>, kept_ms: Option<TimeMs>, latest_ms: TimeMs| match (asked, kept_ms) {
                (Some(before_ms), _) if before_ms > latest_ms => {
                    Err(StoreError::TooRecent { before_ms: latest_ms })
                }
                (Some(before_ms), _) => Ok(Some(before_ms)),
                // Whole days: so there is a file for each, and not for each time that somebody looked.
                (None, Some(kept_ms)) => {
                    Ok(Some(now_ms.saturating_sub(kept_ms).min(latest_ms) / DAY_MS * DAY_MS))
                }
                (None, None) => Ok(None),
            };
        let journal = before(asked.journal_before_ms, journal_ms, latest_ms)?;
        Ok((journal, before(asked.views_before_ms, views_ms, views_latest_ms)?))
    }
}

/// How many transactions the views would be searched for what is over, once the journal is cut as planned.
fn waiting(cutter: &Cutter, views: &Sql, plan: &Plan) -> Result<u64> {
    let Some(before_ms) = plan.views_before_ms else { return Ok(0) };
    let journal = cutter.reader();
    let cut_ms = journal.time_of(plan.to)?.unwrap_or(cutter.base()?.at_ms());
    let cursors = views::cursors(views, journal.partitions())?;
    let of =
        |partition| ViewsCutter::new(views, partition, cursors.of(partition)).waiting(before_ms.min(cut_ms));
    PartitionId::all(journal.partitions()).map(of).sum()
}

/// Makes the directory if it is not there, and finds out whether files can be written in it.
fn check_directory(directory: &std::path::Path) -> Result<()> {
    file::make_directory(directory)?;
    let probe = directory.join(".probe");
    let written = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe));
    written.map_err(|error| StoreError::Directory { path: directory.to_owned(), why: error.to_string() })
}
