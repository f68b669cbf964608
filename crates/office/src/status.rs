//! What there is, in numbers.

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
        self.look(|state| Snapshot {
            issuers: state.issuers.len() as u64,
            programmes: state.programmes.len() as u64,
            accounts: state.accounts.len() as u64,
            active_numbers: state.numbers.len() as u64,
            quarantined: state.quarantine.len() as u64,
            transactions_in_memory: state.transactions.len() as u64,
            transactions: state.transactions.next_id().0.saturating_sub(1),
        })
        .await
    }
}
