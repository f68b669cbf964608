//! Reading the views: on threads that may wait, a few at a time, and never older than the request.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mayfly_core::PartitionId;
use mayfly_engine::Handle;
use mayfly_store::{FolderWaker, StoreError, Views as Reader};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::OfficeError;

/// How many reads run at a time.
const READERS: usize = 4;
/// How long a read waits until what was durable when it began is folded.
const WAIT_MAX: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);

/// The views, for the office.
pub struct Views {
    pool: Arc<Pool>,
    handle: Handle,
    waker: FolderWaker,
}

struct Pool {
    readers: Mutex<Vec<Reader>>,
    room: Semaphore,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Views")
    }
}

impl Views {
    /// Opens the views of a data directory.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn open(
        directory: &Path,
        partition: PartitionId,
        handle: Handle,
        waker: FolderWaker,
    ) -> Result<Self, StoreError> {
        let readers = (0..READERS).map(|_| Reader::open(directory, partition)).collect::<Result<_, _>>()?;
        let pool = Pool { readers: Mutex::new(readers), room: Semaphore::new(READERS) };
        Ok(Self { pool: Arc::new(pool), handle, waker })
    }

    /// Reads, as soon as everything that was durable by now is folded.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        self.catch_up().await?;
        self.read_now(read).await
    }

    /// Reads what is folded by now.
    pub(crate) async fn read_now<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        // The semaphore is never closed.
        let _permit = self.pool.room.acquire().await.map_err(|_| OfficeError::Stopped)?;
        let pool = self.pool.clone();
        let done = tokio::task::spawn_blocking(move || {
            let borrowed = Borrowed::take(&pool).ok_or(OfficeError::Stopped)?;
            borrowed
                .reader
                .as_ref()
                .map_or(Err(OfficeError::Stopped), |it| read(it).map_err(OfficeError::Views))
        });
        done.await.map_err(|_| OfficeError::Stopped)?
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
struct Borrowed<'a> {
    reader: Option<Reader>,
    pool: &'a Pool,
}

impl<'a> Borrowed<'a> {
    fn take(pool: &'a Pool) -> Option<Self> {
        let reader = pool.lock().pop()?;
        Some(Self { reader: Some(reader), pool })
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.pool.lock().extend(self.reader.take());
    }
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        // A list of readers is never half changed.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
