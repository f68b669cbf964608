//! The archive: transactions that are not in memory any more, for refunds, late completions and reversals.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use mayfly_card::MerchantId;
use mayfly_core::state::{Kept, PER_REFERENCE_MAX, Transaction};
use mayfly_core::{Hash64, NumberId, PageRequest, PartitionId, TransactionId};
use mayfly_engine::{Archive, ArchiveError, Progress};
use mayfly_keys::NumberIndex;

use crate::fold::FolderWaker;
use crate::sql::{Access, Sql};
use crate::views::cut::List;
use crate::views::lookups::Lookup;
use crate::views::{self, kept, numbers, transactions};
use crate::{Folder, Home, JournalReader, StoreError};

const CACHE_BYTES: usize = 16 << 20;
/// How many transactions under one reference are found, the latest first: twice as many as memory takes, for
/// reversals have room of their own.
pub(crate) const UNDER_MAX: usize = 2 * PER_REFERENCE_MAX;
/// A look-up that has found so many transactions looks for no more.
const FOUND_MAX: usize = 4096;
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
    pool: [Mutex<Sql>; 2],
    partitions: NonZeroU16,
    progress: Arc<Progress>,
    waker: FolderWaker,
}

impl ViewsArchive {
    /// Of the views that `folder` folds.
    pub fn open(home: &Home, progress: Arc<Progress>, folder: &Folder) -> Result<Self, StoreError> {
        let partitions = JournalReader::open(home)?.partitions();
        let open = || views::open_to_read(home, CACHE_BYTES).map(Mutex::new);
        // Two look-ups at a time; a third one waits.
        let pool = [open()?, open()?];
        Ok(Self { pool, partitions, progress, waker: folder.waker() })
    }

    fn wait(&self, number: u64) -> Result<(), ArchiveError> {
        let until = Instant::now() + WAIT_MAX;
        while self.progress.folded() < number {
            if Instant::now() >= until {
                let folded = self.progress.folded();
                return Err(ArchiveError(format!(
                    "they are folded up to entry {folded} and not yet up to {number}"
                )));
            }
            self.waker.wake();
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn read<T>(&self, read: impl Fn(&Sql) -> Result<T, StoreError>) -> Result<T, ArchiveError> {
        let sql = self.connection();
        // One transaction: all that is found is as of the same record.
        let attempt = || sql.begin(Access::Read).and_then(|reading| read(&reading));
        // A connection that broke while nobody used it is found out by the first who does.
        let found = match attempt() {
            Err(StoreError::Lost { .. }) => attempt(),
            found => found,
        };
        found.map_err(|error| ArchiveError(error.to_string()))
    }

    /// Whichever is free. Reading leaves nothing half done, so a poisoned one is as good as any.
    fn connection(&self) -> MutexGuard<'_, Sql> {
        let [first, second] = &self.pool;
        match second.try_lock() {
            Ok(free) => free,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => first.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn find(
        &self,
        views: &Sql,
        partition: PartitionId,
        request: &PageRequest,
    ) -> Result<Vec<Transaction>, StoreError> {
        let cursor = views::cursors(views, self.partitions)?.of(partition);
        let (reference, of_number) = match *request {
            PageRequest::Reference(reference) => (reference, None),
            PageRequest::Purchases { reference, index, merchant } => (reference, Some((index, merchant))),
        };
        let next = cursor.next_transaction.0;
        let mut ids = Lookup::Reference.find(views, partition, reference.0, next, UNDER_MAX)?;
        if let Some((index, merchant)) = of_number {
            ids.extend(purchases(views, partition, index, merchant, cursor.next_number.0)?);
        }
        families(views, partition, ids)
    }
}

impl Archive for ViewsArchive {
    fn page(
        &self,
        partition: PartitionId,
        request: &PageRequest,
        number: u64,
    ) -> Result<Vec<Transaction>, ArchiveError> {
        self.wait(number)?;
        self.read(|views| self.find(views, partition, request))
    }

    fn recall(&self, partition: PartitionId, key: Hash64) -> Result<Option<Kept>, ArchiveError> {
        self.read(|views| {
            let cursor = views::cursors(views, self.partitions)?.of(partition);
            kept::find(views, partition, key, cursor.next_kept)
        })
    }
}

/// These transactions, the purchases that they belong to, and all that was done to those: whoever has a purchase in
/// memory must see what has come for it already. The latest first.
pub(crate) fn families(
    views: &Sql,
    partition: PartitionId,
    ids: Vec<u64>,
) -> Result<Vec<Transaction>, StoreError> {
    let mut found = BTreeMap::new();
    for id in ids.into_iter().map(TransactionId) {
        if found.len() < FOUND_MAX && !found.contains_key(&id) {
            let family = transactions::family(views, partition, id)?;
            let itself = transactions::find(views, partition, id)?;
            found.extend(family.into_iter().chain(itself).map(|member| (member.id, member)));
        }
    }
    Ok(found.into_values().rev().collect())
}

/// The purchases at a merchant with all numbers that ever had an index, the latest first.
fn purchases(
    views: &Sql,
    partition: PartitionId,
    index: NumberIndex,
    merchant: MerchantId,
    next: u64,
) -> Result<Vec<u64>, StoreError> {
    let mut found = Vec::new();
    let mut looked_at = 0;
    for id in Lookup::Number.find(views, partition, index.0, next, NUMBERS_MAX)? {
        let mut earlier = numbers::last_transaction(views, partition, NumberId(id))?;
        while let Some(id) = earlier
            && looked_at < LOOKED_AT_MAX
            && found.len() < PURCHASES_MAX
        {
            looked_at += 1;
            let Some(transaction) = transactions::find(views, partition, id)? else {
                earlier = List::OfNumber.after_gap(views, partition, id.0)?.map(TransactionId);
                continue;
            };
            earlier = transaction.previous_by_number;
            if transaction.is_purchase() && transaction.merchant == merchant {
                found.push(transaction.id.0);
            }
        }
    }
    Ok(found)
}
