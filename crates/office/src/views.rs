//! Reading the views, and the journal: on threads that may wait, a few at a time, and never older than the request.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mayfly_engine::Handle;
use mayfly_store::{FolderWaker, Home, JournalReader, StoreError, Views as Reader};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::OfficeError;

/// How many reads of the views run at a time.
const READERS: usize = 4;
/// How many reads of the journal run at a time.
const JOURNAL_READERS: usize = 2;
/// How long a read waits until what was durable when it began is folded.
const WAIT_MAX: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);

/// The views, and the journal, for the office.
pub struct Views {
    views: Arc<Pool<Reader>>,
    journal: Arc<Pool<JournalReader>>,
    handle: Handle,
    waker: FolderWaker,
}

struct Pool<R> {
    readers: Mutex<Vec<R>>,
    room: Arc<Semaphore>,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Views")
    }
}

impl Views {
    /// Opens the views and the journal.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn open(home: &Home, handle: Handle, waker: FolderWaker) -> Result<Self, StoreError> {
        let views = Pool::of(READERS, || Reader::open(home))?;
        let journal = Pool::of(JOURNAL_READERS, || JournalReader::open(home))?;
        Ok(Self { views: Arc::new(views), journal: Arc::new(journal), handle, waker })
    }

    /// Reads, as soon as everything that was durable by now is folded.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        self.catch_up().await?;
        self.read_now(read).await
    }

    /// Reads what is folded by now.
    pub(crate) async fn read_now<T: Send + 'static>(
        &self,
        read: impl Fn(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        self.views.read(read).await
    }

    /// Reads the journal.
    pub(crate) async fn journal<T: Send + 'static>(
        &self,
        read: impl Fn(&JournalReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        self.journal.read(read).await
    }

    async fn catch_up(&self) -> Result<(), OfficeError> {
        let progress = self.handle.progress();
        let (sequence, until) = (progress.durable(), Instant::now() + WAIT_MAX);
        while progress.folded() < sequence {
            if Instant::now() >= until {
                return Err(OfficeError::Behind { records: sequence.saturating_sub(progress.folded()) });
            }
            self.waker.wake();
            sleep(POLL).await;
        }
        Ok(())
    }
}

/// A reader that goes back to its pool, however the read ends.
struct Borrowed<'a, R> {
    reader: Option<R>,
    pool: &'a Pool<R>,
}

impl<'a, R> Borrowed<'a, R> {
    fn take(pool: &'a Pool<R>) -> Option<Self> {
        let reader = pool.lock().pop()?;
        Some(Self { reader: Some(reader), pool })
    }
}

impl<R> Drop for Borrowed<'_, R> {
    fn drop(&mut self) {
        self.pool.lock().extend(self.reader.take());
    }
}

impl<R: Send + 'static> Pool<R> {
    fn of(count: usize, open: impl Fn() -> Result<R, StoreError>) -> Result<Self, StoreError> {
        let readers = (0..count).map(|_| open()).collect::<Result<_, _>>()?;
        Ok(Self { readers: Mutex::new(readers), room: Arc::new(Semaphore::new(count)) })
    }

    /// Reads as soon as a reader is free, on a thread that may wait. If the connection to a database is lost, once more.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl Fn(&R) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        // The semaphore is never closed.
        let permit = self.room.clone().acquire_owned().await.map_err(|_| OfficeError::Stopped)?;
        let pool = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // Kept until the reader is back, also if nobody waits for the answer any more.
            let _permit = permit;
            let borrowed = Borrowed::take(&pool).ok_or(OfficeError::Stopped)?;
            let reader = borrowed.reader.as_ref().ok_or(OfficeError::Stopped)?;
            match read(reader) {
                // A database that was away, or is another one now: the connection may have broken long ago.
                Err(StoreError::Lost { .. }) => read(reader),
                done => done,
            }
            .map_err(OfficeError::Views)
        });
        done.await.map_err(|_| OfficeError::Stopped)?
    }
}

impl<R> Pool<R> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<R>> {
        // A list of readers is never half changed.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
