//! What folding needs of a database: some reads, many at a time, and a great many writes.
//!
//! This is the one part of the views that is written for each database: what is fastest differs. SQLite takes prepared
//! statements row by row; PostgreSQL is far away, and takes whole columns at once. What stands in the rows is the same for both: see
//! [`rows`](super::rows).

use mayfly_core::state::Usage;
use mayfly_core::{AccountId, NumberId, ProgrammeId, QuestionId, TransactionId};
use mayfly_dynamic::Etsn;

use super::card_rows::OpenEtsn;
use super::rows::{Change, Row};
use crate::StoreError;
use crate::views::AccountRow;

type Result<T> = std::result::Result<T, StoreError>;

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

    /// Takes these ETSNs out of the open ones, as far as they are there.
    fn take_open(&mut self, etsns: &[(NumberId, Etsn)]) -> Result<Vec<OpenEtsn>>;
    /// Takes out all that are open of these cards.
    fn take_cards(&mut self, numbers: &[NumberId]) -> Result<Vec<OpenEtsn>>;
    /// So many more checks were made with these open ETSNs. Returns those that are there.
    fn check_open(&mut self, checks: &[(NumberId, Etsn, u8)]) -> Result<Vec<OpenEtsn>>;
    /// Takes these questions out of those that wait, as far as they are there.
    fn remove_pending(&mut self, questions: &[QuestionId]) -> Result<()>;

    /// Adds a row.
    fn add<const N: usize>(&mut self, row: Row<'_, N>) -> Result<()>;
    /// Changes a row, without reading it.
    fn change<const N: usize>(&mut self, change: Change<'_, N>) -> Result<()>;

    /// Writes what was kept back. A row is changed once at the most between two of these.
    fn finish(&mut self) -> Result<()>;
}
