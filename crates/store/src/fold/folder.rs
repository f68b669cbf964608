//! The thread that follows the journal.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mayfly_engine::Progress;

use super::ahead::{Chunk, Happened, ReadAhead};
use super::{FoldOptions, ViewsWriter};
use crate::{Home, JournalReader, Location, StoreError, views};

/// How often the folder looks for new records while it has nothing to do.
const POLL: Duration = Duration::from_millis(10);
/// After so long without anything to fold, the write-ahead log is copied into the file.
const IDLE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Wishes {
    /// Somebody waits for the views: fold at once.
    hurry: bool,
    /// Fold what is durable, then end.
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wishes> {
        // Two flags are never half changed.
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// Asks the folder not to wait: somebody wants to read what is durable already.
#[derive(Clone, Debug)]
pub struct FolderWaker(Arc<Shared>);

impl FolderWaker {
    /// Folds what is durable now, as soon as possible.
    pub fn wake(&self) {
        self.0.wish(|wishes| wishes.hurry = true);
    }
}

/// Folds the journal into the views until it is stopped.
#[derive(Debug)]
pub struct Folder {
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    shared: Arc<Shared>,
    location: Location,
}

impl Folder {
    /// Begins to fold what `progress` says is durable. If that fails later, `on_error` is called, on the folder's
    /// thread, and the folder has ended: new work must be shed, and the server stopped.
    pub fn start(
        home: &Home,
        options: FoldOptions,
        progress: Arc<Progress>,
        on_error: impl FnOnce(&StoreError) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let journal = JournalReader::open(home)?;
        let writer = ViewsWriter::open(home, journal.partitions(), options)?.with_copier(home)?;
        publish(&writer, &progress);
        let shared = Arc::new(Shared::default());
        let (home, location) = (home.clone(), writer.location().clone());
        let ahead = ReadAhead::start(&home)?;
        let mut work =
            Work { journal, ahead, room: Vec::new(), writer, options, progress, shared: shared.clone() };
        let thread = std::thread::Builder::new()
            .name("mayfly-folder".to_owned())
            .spawn(move || {
                let result = work.run();
                if let Err(error) = &result {
                    tracing::error!(%error, "the views can't be folded");
                    views::distrust(&home, error);
                    on_error(error);
                }
                result
            })
            .map_err(|error| StoreError::no_thread(&location, &error))?;
        Ok(Self { thread: Some(thread), shared, location })
    }

    /// For whoever waits for the views.
    pub fn waker(&self) -> FolderWaker {
        FolderWaker(self.shared.clone())
    }

    /// Folds what is durable by now, and ends.
    pub fn stop(mut self) -> Result<(), StoreError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.shared.wish(|wishes| wishes.stop = true);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => {
                let why = "the folder's thread broke off; see the log".to_owned();
                Err(StoreError::Database { location: self.location.clone(), why })
            }
            None => Ok(()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(error) = self.end()
        {
            tracing::error!(%error, "the views were not folded to the end");
        }
    }
}

/// Lets the threads that answer go first: the views may wait a little, a purchase should not.
pub(super) fn step_back() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), FOLDER_NICE) {
        tracing::debug!(%error, "the folder runs like any other thread");
    }
}

fn publish(writer: &ViewsWriter, progress: &Progress) {
    let cursors = writer.cursors();
    let next = cursors.iter().map(|cursor| cursor.next_transaction);
    progress.set_folded(cursors.number, cursors.ends().at_ms(), next);
}

/// How far the folder's thread steps back, as `nice` counts it: 0 not at all, 19 the most.
const FOLDER_NICE: i32 = 10;

/// How often a folder that is to stop tries again when its database is away: a connection may have broken long before.
const STOP_TRIES: u32 = 3;

/// From how many events in a transaction on the next one's records are read meanwhile: below that there is time.
const READ_AHEAD_FROM: u64 = 4096;

struct Work {
    journal: JournalReader,
    ahead: ReadAhead,
    /// Where events were, for those that come.
    room: Vec<Happened>,
    writer: ViewsWriter,
    options: FoldOptions,
    progress: Arc<Progress>,
    shared: Arc<Shared>,
}

impl Work {
    fn run(&mut self) -> Result<(), StoreError> {
        step_back();
        let mut last = Instant::now();
        let mut checkpointed = true;
        let mut tries_left = STOP_TRIES;
        loop {
            let stop = self.wait(last);
            // What was durable when the stop was asked for is durable now.
            let through = self.progress.durable();
            let begun = Instant::now();
            match self.fold(through) {
                Ok(true) => (last, checkpointed) = (begun, false),
                Ok(false) => {}
                Err(error) if error.is_passing() && (!stop || tries_left > 0) => {
                    tracing::warn!(%error, "the views wait for their database");
                    tries_left -= u32::from(stop);
                    self.recover();
                    continue;
                }
                Err(error) => return Err(error),
            }
            if stop {
                return self.writer.checkpoint();
            }
            if !checkpointed && last.elapsed() > IDLE {
                self.writer.checkpoint()?;
                checkpointed = true;
            }
        }
    }

    /// Folds up to entry `through`. Says whether there was anything to fold.
    fn fold(&mut self, through: u64) -> Result<bool, StoreError> {
        let mut any = false;
        while let Some(chunk) = self.next(through)? {
            self.writer.fold_chunk(&chunk)?;
            self.room = chunk.events;
            publish(&self.writer, &self.progress);
            any = true;
        }
        Ok(any)
    }

    /// After a failure nobody knows whether the last transaction was committed: the tables say it, once they can be read.
    fn recover(&mut self) {
        drop(self.ahead.take());
        let mut wait = POLL;
        loop {
            match self.writer.begin_anew() {
                Ok(()) => return publish(&self.writer, &self.progress),
                Err(error) => tracing::debug!(%error, "the views' database is still away"),
            }
            let wishes = self.shared.lock();
            if wishes.stop {
                return;
            }
            drop(self.shared.changed.wait_timeout(wishes, wait));
            wait = (wait * 2).min(IDLE);
        }
    }

    /// The next entries to fold, if there are any. If more are waiting behind them, those are read meanwhile.
    fn next(&mut self, through: u64) -> Result<Option<Chunk>, StoreError> {
        let events_max = self.writer.events_next();
        let chunk = match self.ahead.take() {
            Some(chunk) => chunk?,
            None => {
                let (ends, room) = (self.writer.cursors().ends(), std::mem::take(&mut self.room));
                Chunk::read(&self.journal, ends, through, events_max, room)?
            }
        };
        let durable = self.progress.durable();
        if chunk.entries > 0 && chunk.events.len() as u64 >= READ_AHEAD_FROM && chunk.ends.number < durable {
            self.ahead.order(chunk.ends.clone(), durable, events_max, std::mem::take(&mut self.room));
        }
        Ok((chunk.entries > 0).then_some(chunk))
    }

    /// Waits until there is something to fold and it is time to. Says whether to stop after it.
    fn wait(&self, last: Instant) -> bool {
        let idle_until = Instant::now() + IDLE;
        let mut wishes = self.shared.lock();
        loop {
            let waiting = self.progress.durable() > self.progress.folded();
            let time = last.elapsed() >= self.options.pace;
            let hurry = std::mem::take(&mut wishes.hurry);
            if wishes.stop || (waiting && (hurry || time)) || Instant::now() >= idle_until {
                return wishes.stop;
            }
            let waited = self.shared.changed.wait_timeout(wishes, POLL);
            wishes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
