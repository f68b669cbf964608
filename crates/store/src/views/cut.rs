//! What was dropped from the views: up to where rows may be missing, and what must be known of those that are.

use mayfly_core::{PartitionId, TimeMs, TransactionId};

use super::Result;
use crate::sql::{Sql, values};

pub(super) const CREATE: &str = "
-- Transactions before next_transaction may be missing: they were over, and idle since before_ms. From there on there are all.
CREATE TABLE cut (
    partition INTEGER PRIMARY KEY,
    before_ms INTEGER NOT NULL,
    next_transaction INTEGER NOT NULL
) STRICT;

-- How lists go on behind rows that are missing: a row that refers to `id` goes on with `next`. Lists: 1 is
-- transactions.previous_by_account, 2 transactions.previous_by_number, 3 numbers.previous_by_account.
CREATE TABLE gaps (
    partition INTEGER NOT NULL,
    list INTEGER NOT NULL,
    id INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (partition, list, id)
) STRICT, WITHOUT ROWID;

-- The sums of the ledger entries of the transactions that are missing; 0 for no issuer and no account.
CREATE TABLE carried_entries (
    partition INTEGER NOT NULL,
    issuer INTEGER NOT NULL,
    account INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    cardholder INTEGER NOT NULL,
    held INTEGER NOT NULL,
    settlement INTEGER NOT NULL,
    funding INTEGER NOT NULL,
    suspense INTEGER NOT NULL,
    PRIMARY KEY (partition, issuer, account, currency),
    CHECK (cardholder + held + settlement + funding + suspense = 0)
) STRICT, WITHOUT ROWID;

-- What is dropped by the transaction that is under way; empty otherwise.
CREATE TABLE dropping (
    partition INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (partition, id)
) STRICT, WITHOUT ROWID;";

/// A list that rows are dropped from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// The transactions of an account.
    OfAccount,
    /// The transactions of a number.
    OfNumber,
    /// The numbers of an account.
    Numbers,
}

impl List {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::OfAccount => 1,
            Self::OfNumber => 2,
            Self::Numbers => 3,
        }
    }

    /// The table and column in which it is kept.
    pub(crate) fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::OfAccount => ("transactions", "previous_by_account"),
            Self::OfNumber => ("transactions", "previous_by_number"),
            Self::Numbers => ("numbers", "previous_by_account"),
        }
    }

    /// What comes after a row that is missing.
    pub(crate) fn after_gap(self, sql: &Sql, partition: PartitionId, id: u64) -> Result<Option<u64>> {
        let find = "SELECT next FROM gaps WHERE partition = ? AND list = ? AND id = ?";
        sql.one(find, values![partition.0, self.code(), id as i64], |cells| cells.bits())
    }
}

/// Up to where rows may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// What is missing was idle since this time.
    pub(crate) before_ms: TimeMs,
    /// From this transaction on there are all.
    pub(crate) next: TransactionId,
}

pub(crate) fn find(sql: &Sql, partition: PartitionId) -> Result<Cut> {
    let found = sql.one(
        "SELECT before_ms, next_transaction FROM cut WHERE partition = ?",
        values![partition.0],
        |cells| Ok(Cut { before_ms: cells.bits()?, next: TransactionId(cells.bits()?) }),
    )?;
    Ok(found.unwrap_or(Cut { before_ms: 0, next: TransactionId(partition.id(1)) }))
}

/// Since when what is missing was idle, in whichever partition: the latest of all.
pub(crate) fn before_ms(sql: &Sql) -> Result<TimeMs> {
    let latest = sql.one("SELECT max(before_ms) FROM cut", &[], |cells| cells.bits_or_none())?;
    Ok(latest.flatten().unwrap_or(0))
}

pub(crate) fn set(sql: &Sql, partition: PartitionId, cut: Cut) -> Result<()> {
    let set = "INSERT INTO cut (partition, before_ms, next_transaction) VALUES (?, ?, ?)
        ON CONFLICT (partition) DO UPDATE SET before_ms = excluded.before_ms,
        next_transaction = excluded.next_transaction";
    sql.run(set, values![partition.0, cut.before_ms as i64, cut.next.0 as i64]).map(drop)
}
