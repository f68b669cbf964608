//! The archive: transactions that are not in memory any more, for refunds, late completions and reversals.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use mayfly_card::MerchantId;
use mayfly_core::state::{PER_REFERENCE_MAX, Transaction};
use mayfly_core::{Hash64, NumberId, PageRequest, PartitionId};
use mayfly_engine::{Archive, ArchiveError, Progress};
use mayfly_keys::NumberIndex;
use rusqlite::Connection;

use crate::error::At;
use crate::fold::FolderWaker;
use crate::views::lookups::Lookup;
use crate::views::{self, numbers, transactions};
use crate::{Folder, StoreError};

const CACHE_BYTES: usize = 16 << 20;
/// How long a look-up waits for the views.
const WAIT_MAX: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(2);
/// How many transactions of numbers with one index are looked at, and how many purchases of them are returned,
/// the latest first: a number that is used more often than that has no use for a refund without a reference.
const LOOKED_AT_MAX: usize = 20_000;
const PURCHASES_MAX: usize = 256;
/// How many numbers are asked for their purchases: an index is issued again only after its quarantine.
const NUMBERS_MAX: usize = 64;

/// Looks transactions up in the views.
pub struct ViewsArchive {
    pool: [Mutex<Connection>; 2],
    path: PathBuf,
    partition: PartitionId,
    progress: Arc<Progress>,
    waker: FolderWaker,
}

impl ViewsArchive {
    /// Of the views in `directory`, which `folder` folds.
    pub fn open(
        directory: &Path,
        partition: PartitionId,
        progress: Arc<Progress>,
        folder: &Folder,
    ) -> Result<Self, StoreError> {
        let open = || views::open_to_read(directory, CACHE_BYTES).map(Mutex::new);
        // Two look-ups at a time; a third one waits.
        let pool = [open()?, open()?];
        Ok(Self { pool, path: views::path(directory), partition, progress, waker: folder.waker() })
    }

    fn wait(&self, sequence: u64) -> Result<(), ArchiveError> {
        let until = Instant::now() + WAIT_MAX;
        while self.progress.folded() < sequence {
            if Instant::now() >= until {
                let folded = self.progress.folded();
                return Err(ArchiveError(format!(
                    "they are folded up to record {folded} and not yet up to {sequence}"
                )));
            }
            self.waker.wake();
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn with_connection<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        // One transaction: all that is found is as of the same record.
        let transaction = connection.transaction().at(&self.path)?;
        read(&transaction).at(&self.path)
    }

    /// Whichever is free. Reading leaves nothing half done, so a poisoned one is as good as any.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        let [first, second] = &self.pool;
        match second.try_lock() {
            Ok(free) => free,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => first.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn find(&self, views: &Connection, request: &PageRequest) -> rusqlite::Result<Vec<Transaction>> {
        let cursor = views::cursor::find(views, self.partition)?.unwrap_or(views::cursor::Cursor::START);
        match *request {
            PageRequest::Reference(reference) => {
                under(views, self.partition, reference, cursor.next_transaction.0)
            }
            PageRequest::Purchases { index, merchant } => {
                purchases(views, self.partition, index, merchant, cursor.next_number.0)
            }
        }
    }
}

impl Archive for ViewsArchive {
    fn page(&self, request: &PageRequest, sequence: u64) -> Result<Vec<Transaction>, ArchiveError> {
        self.wait(sequence)?;
        self.with_connection(|views| self.find(views, request))
            .map_err(|error| ArchiveError(error.to_string()))
    }
}

/// The transactions under a reference, the latest first, and the purchases that they belong to.
fn under(
    views: &Connection,
    partition: PartitionId,
    reference: Hash64,
    next: u64,
) -> rusqlite::Result<Vec<Transaction>> {
    let ids = Lookup::Reference.find(views, partition, reference.0, next, PER_REFERENCE_MAX)?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(transactions::find(views, mayfly_core::TransactionId(id))?);
    }
    let mut targets: Vec<_> = found
        .iter()
        .filter_map(|transaction| transaction.target)
        .filter(|target| found.iter().all(|transaction| transaction.id != *target))
        .collect();
    targets.sort_unstable();
    targets.dedup();
    for target in targets {
        found.extend(transactions::find(views, target)?);
    }
    Ok(found)
}

/// The purchases at a merchant with all numbers that ever had an index, the latest first.
fn purchases(
    views: &Connection,
    partition: PartitionId,
    index: NumberIndex,
    merchant: MerchantId,
    next: u64,
) -> rusqlite::Result<Vec<Transaction>> {
    let mut found = Vec::new();
    let mut looked_at = 0;
    for id in Lookup::Number.find(views, partition, index.0, next, NUMBERS_MAX)? {
        let mut earlier = numbers::last_transaction(views, NumberId(id))?;
        while let Some(id) = earlier
            && looked_at < LOOKED_AT_MAX
            && found.len() < PURCHASES_MAX
        {
            let Some(transaction) = transactions::find(views, id)? else { break };
            earlier = transaction.previous_by_number;
            looked_at += 1;
            if transaction.is_purchase() && transaction.merchant == merchant {
                found.push(transaction);
            }
        }
    }
    Ok(found)
}
