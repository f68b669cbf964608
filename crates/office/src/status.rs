//! What there is, in numbers.

use mayfly_core::{State, serial};

use crate::{Office, OfficeError};

/// What the engine has in its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Issuers.
    pub issuers: u64,
    /// Programmes.
    pub programmes: u64,
    /// Accounts.
    pub accounts: u64,
    /// Numbers that can be used.
    pub active_numbers: u64,
    /// Numbers that must not be drawn yet.
    pub quarantined: u64,
    /// Transactions in memory.
    pub transactions_in_memory: u64,
    /// Transactions ever.
    pub transactions: u64,
}

impl Office {
    /// What the engine has in its memory.
    ///
    /// # Errors
    /// If the engine can't be asked.
    pub async fn snapshot(&self) -> Result<Snapshot, OfficeError> {
        self.look(|partitions| {
            let all = |count: fn(&State) -> u64| partitions.iter().map(count).sum();
            Snapshot {
                issuers: partitions.register().issuers().len() as u64,
                programmes: partitions.register().programmes().len() as u64,
                accounts: all(|state| state.accounts.len() as u64),
                active_numbers: all(|state| state.numbers.len() as u64),
                quarantined: all(|state| state.quarantine.len() as u64),
                transactions_in_memory: all(|state| state.transactions.len() as u64),
                transactions: all(|state| serial(state.transactions.next_id().0) - 1),
            }
        })
        .await
    }
}
