//! What folding needs of a database: some reads, many at a time, and a great many writes.
//!
//! This is the one part of the views that is written for each database: what is fastest differs. SQLite takes prepared
//! statements row by row; PostgreSQL is far away, and takes whole columns at once.

use mayfly_card::{Currency, MonthIndex};
use mayfly_core::state::{Usage, UsageChange};
use mayfly_core::{
    AccountId, AnswerKept, Books, IssuerId, NumberClaimed, NumberId, NumberIssued, PartitionId, ProgrammeId,
    Retirement, TimeMs, TotalsChange, Transacted, TransactionId,
};
use mayfly_keys::NumberIndex;

use crate::StoreError;
use crate::views::lookups::Lookup;
use crate::views::{AccountRow, Retired};

type Result<T> = std::result::Result<T, StoreError>;

/// What comes later to a purchase.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touch {
    pub(super) change: TotalsChange,
    pub(super) use_returned: bool,
    /// How much more of this very message was reversed.
    pub(super) reversed: i64,
    /// The last that was done to it.
    pub(super) last_follow_up: Option<TransactionId>,
    pub(super) at_ms: TimeMs,
}

/// What a transaction comes after in each of the lists that it is put at the head of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    pub(super) follow_up: Option<TransactionId>,
    pub(super) by_number: Option<TransactionId>,
    pub(super) by_account: Option<TransactionId>,
}

/// An index that must not be drawn before a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quarantined {
    pub(super) free: MonthIndex,
    pub(super) id: NumberId,
    pub(super) index: NumberIndex,
    pub(super) why: Retirement,
}

/// An entry of a look-up table: generation, hash as it sorts in the table, id. Each says its partition, the generation too.
pub(super) type Entry = (u64, i64, u64);

/// The tables, within one transaction. What has an id says by it which partition it is of.
///
/// What is written may be kept back until it is read, or until [`finish`](Tables::finish). Ids that are read come in order.
pub(super) trait Tables {
    /// These accounts, as far as they are there.
    fn accounts(&mut self, ids: &[AccountId]) -> Result<Vec<AccountRow>>;
    /// The last that was done to each of these purchases.
    fn last_follow_ups(&mut self, ids: &[TransactionId]) -> Result<Vec<(TransactionId, TransactionId)>>;
    /// The last transactions of those of these numbers that are retired.
    fn last_of_retired(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, TransactionId)>>;
    /// Takes these numbers out of the active ones. One that is not there is an error: the tables are damaged.
    fn take_active(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, Usage)>>;
    /// Whose these numbers are, and by whose terms.
    fn owners(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, AccountId, ProgrammeId)>>;

    fn add_account(&mut self, row: &AccountRow) -> Result<()>;
    fn set_account(&mut self, row: &AccountRow) -> Result<()>;
    /// The row of the issue.
    fn add_number(
        &mut self,
        event: &NumberIssued,
        issued_ms: TimeMs,
        previous: Option<NumberId>,
    ) -> Result<()>;
    /// Puts a number among the active ones.
    fn add_active(&mut self, id: NumberId, usage: &Usage) -> Result<()>;
    /// Changes an active number, without reading it. One that is not there is an error: the tables are damaged.
    fn change_active(&mut self, id: NumberId, change: &UsageChange) -> Result<()>;
    /// Puts a number among the retired ones.
    fn add_retired(&mut self, id: NumberId, usage: &Usage, retired: Retired) -> Result<()>;
    /// A retired number has one more transaction.
    fn follow_retired(&mut self, id: NumberId, last: TransactionId) -> Result<()>;
    fn add_quarantined(&mut self, quarantined: Quarantined) -> Result<()>;
    /// A number that others drew was claimed in this partition.
    fn add_alias(&mut self, partition: PartitionId, claimed: &NumberClaimed) -> Result<()>;
    fn add_transaction(&mut self, event: &Transacted, at_ms: TimeMs, links: Links) -> Result<()>;
    /// Changes what stands of a purchase.
    fn touch(&mut self, id: TransactionId, touch: &Touch) -> Result<()>;
    fn add_lookups(&mut self, what: Lookup, entries: &[Entry]) -> Result<()>;
    fn keep(&mut self, id: u64, event: &AnswerKept, at_ms: TimeMs) -> Result<()>;
    /// Adds what was moved to an issuer's books.
    fn post(
        &mut self,
        partition: PartitionId,
        issuer: IssuerId,
        currency: Currency,
        books: &Books,
    ) -> Result<()>;

    /// Writes what was kept back. A row is changed once at the most between two of these.
    fn finish(&mut self) -> Result<()>;
}
