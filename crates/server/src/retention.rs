//! The thread that sees to what is kept for how long. It does so now and then, and when an operator wants it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mayfly_core::TimeMs;
use mayfly_engine::Clock;
use mayfly_store::{Asked, Dropped, HeldBy, Plan, Retention, StoreError};

use crate::protocol::{self, AdminError, ErrorCode, RetentionAsked, RetentionRun, RetentionRuns, Time};

/// How long after the start it is looked for the first time what can be dropped, and how often after that.
const FIRST: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(600);

/// What was done since the start, for who watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetentionCounts {
    /// The time of the oldest entry in the journal; 0 if it is not known.
    pub(crate) oldest_ms: TimeMs,
    /// When something was archived last; 0 if nothing was since the start.
    pub(crate) archived_ms: TimeMs,
    /// Records that were archived and dropped.
    pub(crate) records: u64,
    /// The bytes of the files in which they are.
    pub(crate) bytes: u64,
    /// Rows of transactions and numbers that were dropped from the views.
    pub(crate) rows: u64,
    /// How often it failed.
    pub(crate) failures: u64,
    /// How many entries are kept longer because somebody still has to read them.
    pub(crate) held: u64,
}

/// What the thread is at, and what it is to do.
#[derive(Default)]
struct Work {
    running: bool,
    /// How many runs came to their end.
    runs: u64,
    order: Option<Asked>,
    last: Option<RetentionRun>,
    counts: RetentionCounts,
}

/// Whoever asks what is kept, or wants something dropped.
pub(crate) struct Keeper {
    retention: Retention,
    clock: Arc<dyn Clock>,
    work: Mutex<Work>,
    changed: Condvar,
    stop: AtomicBool,
}

/// The thread. It ends, after the step that it is at, when this is dropped.
pub(crate) struct Keeping {
    keeper: Arc<Keeper>,
    thread: Option<JoinHandle<()>>,
}

impl Keeping {
    pub(crate) fn start(retention: Retention, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let keeper = Arc::new(Keeper {
            retention,
            clock,
            work: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let of_thread = keeper.clone();
        let thread = std::thread::Builder::new()
            .name("mayfly-retention".to_owned())
            .spawn(move || of_thread.keep())?;
        Ok(Self { keeper, thread: Some(thread) })
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.keeper.stop.store(true, Ordering::Release);
        drop(self.keeper.lock());
        self.keeper.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Keeper {
    pub(crate) fn counts(&self) -> RetentionCounts {
        self.lock().counts
    }

    /// What would be dropped. It reads the store: not for a thread that must not wait.
    pub(crate) fn show(&self, asked: RetentionAsked) -> Result<protocol::Retention, AdminError> {
        let plan = self.retention.plan(&of(asked)).map_err(|error| refused(&error))?;
        Ok(self.shown(&plan, None))
    }

    /// Has it dropped. Says which run does so.
    pub(crate) fn order(&self, asked: RetentionAsked) -> Result<protocol::Retention, AdminError> {
        let plan = self.retention.plan(&of(asked)).map_err(|error| refused(&error))?;
        let mut work = self.lock();
        if work.order.is_some() {
            return Err(AdminError::new(
                ErrorCode::Busy,
                "somebody else has ordered this just now: try again",
            ));
        }
        work.order = Some(of(asked));
        // One that is under way is not the one that was ordered.
        let run = work.runs + 1 + u64::from(work.running);
        drop(work);
        self.changed.notify_all();
        Ok(self.shown(&plan, Some(run)))
    }

    fn shown(&self, plan: &Plan, run: Option<u64>) -> protocol::Retention {
        protocol::Retention {
            journal_before: plan.journal_before_ms.map(Time),
            views_before: plan.views_before_ms.map(Time),
            archive_dir: self.retention.options().archive_dir.display().to_string(),
            first_entry: plan.first,
            oldest: plan.first_ms.map(Time),
            last_entry: plan.last,
            entries: (plan.to + 1).saturating_sub(plan.first),
            held: held(plan),
            held_by: plan.held_by.map(|by| match by {
                HeldBy::Views => "views".to_owned(),
                HeldBy::Webhook(webhook) => webhook.to_string(),
                HeldBy::IssuerHosts => "issuer hosts".to_owned(),
            }),
            transactions: plan.transactions,
            run,
            runs: self.runs(),
        }
    }

    /// What was dropped, and whether something is: it reads nothing.
    pub(crate) fn runs(&self) -> RetentionRuns {
        let work = self.lock();
        let running = work.running || work.order.is_some();
        RetentionRuns { running, runs: work.runs, last: work.last.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        // A few numbers and texts: none of them is ever half changed.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        let mut next = Instant::now() + FIRST;
        let mut told = Told::default();
        self.look(&mut told);
        loop {
            let Some(order) = self.wait(next) else { return };
            let dropped = self.retention.run(&order, self.clock.now_ms(), &|| !self.is_stopping());
            self.look(&mut told);
            self.note(&dropped, &mut told);
            next = Instant::now() + EVERY;
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits for an order, or until it is time; none at the end.
    fn wait(&self, next: Instant) -> Option<Asked> {
        let mut work = self.lock();
        loop {
            if self.is_stopping() {
                return None;
            }
            let left = next.saturating_duration_since(Instant::now());
            let order = work.order.take().or_else(|| left.is_zero().then(Asked::default));
            if order.is_some() {
                work.running = true;
                return order;
            }
            let waited = self.changed.wait_timeout(work, left);
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note(&self, dropped: &Result<Dropped, StoreError>, told: &mut Told) {
        let now_ms = self.clock.now_ms();
        let done = dropped.as_ref().copied().unwrap_or_default();
        if done.records + done.transactions + done.numbers > 0 {
            let Dropped { records, files, transactions, numbers, .. } = done;
            tracing::info!(records, files, transactions, numbers, "what was old was dropped");
        }
        let error = dropped.as_ref().err().map(ToString::to_string);
        if let Some(error) = &error {
            told.failure(error);
        } else {
            told.failed = None;
        }
        let mut work = self.lock();
        let counts = &mut work.counts;
        counts.records += done.records;
        counts.bytes += done.bytes;
        counts.rows += done.transactions + done.numbers;
        counts.failures += u64::from(error.is_some());
        if done.files > 0 {
            counts.archived_ms = now_ms;
        }
        work.running = false;
        work.runs += 1;
        work.last = Some(RetentionRun {
            at: Time(now_ms),
            records: done.records,
            files: done.files,
            bytes: done.bytes,
            transactions: done.transactions,
            numbers: done.numbers,
            error,
        });
    }

    /// Looks how old the journal is, and whether somebody keeps it from being cut.
    fn look(&self, told: &mut Told) {
        let plan = match self.retention.plan(&Asked::default()) {
            Ok(plan) => plan,
            Err(error) => return told.failure(&error.to_string()),
        };
        let held = held(&plan);
        let mut work = self.lock();
        (work.counts.oldest_ms, work.counts.held) = (plan.first_ms.unwrap_or(0), held);
        drop(work);
        // What is not folded yet is so in a moment.
        let webhook = match plan.held_by {
            Some(HeldBy::Webhook(webhook)) => Some(webhook.to_string()),
            _ => None,
        };
        told.held_by(webhook, held);
    }
}

/// What was said in the log, so that it is said once.
#[derive(Default)]
struct Told {
    failed: Option<String>,
    held_by: Option<String>,
}

impl Told {
    fn failure(&mut self, error: &str) {
        if self.failed.as_deref() != Some(error) {
            tracing::warn!(error, "what is old could not be dropped; it is tried again");
            self.failed = Some(error.to_owned());
        }
    }

    fn held_by(&mut self, webhook: Option<String>, entries: u64) {
        if self.held_by == webhook {
            return;
        }
        match &webhook {
            Some(webhook) => {
                tracing::warn!(
                    webhook,
                    entries,
                    "entries that are old enough to be dropped stay: a webhook has not been told them"
                );
            }
            None => tracing::info!("no webhook keeps entries in the journal any more"),
        }
        self.held_by = webhook;
    }
}

fn of(asked: RetentionAsked) -> Asked {
    let ms = |time: Option<Time>| time.map(|Time(ms)| ms);
    Asked { journal_before_ms: ms(asked.journal_before), views_before_ms: ms(asked.views_before) }
}

fn held(plan: &Plan) -> u64 {
    plan.wanted.saturating_sub(plan.to)
}

fn refused(error: &StoreError) -> AdminError {
    match error {
        StoreError::TooRecent { before_ms } => {
            let latest = Time(*before_ms);
            AdminError::new(
                ErrorCode::Limit,
                format!("what happened after {latest} is still needed; name that time or an earlier one"),
            )
        }
        error => {
            tracing::error!(%error, "what could be dropped can't be found out");
            AdminError::new(ErrorCode::Storage, error)
        }
    }
}
