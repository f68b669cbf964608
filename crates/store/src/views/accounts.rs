//! Accounts: what they are, what stands on them, and where the lists of their numbers and transactions begin.

use mayfly_card::{Currency, MinorUnits};
use mayfly_core::state::Account;
use mayfly_core::{AccountId, CreditLimit, IssuerId, NumberId, PartitionId, TransactionId};

use super::Result;
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `credit_limit` is null for a prepaid account, and where the issuer's host has the money (issuer_host). `last_transaction` and `last_number` begin the lists that
-- transactions.previous_by_account and numbers.previous_by_account go on with.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    issuer INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    credit_limit INTEGER,
    balance INTEGER NOT NULL,
    held INTEGER NOT NULL,
    blocked_channels INTEGER NOT NULL,
    active_numbers INTEGER NOT NULL,
    last_transaction INTEGER,
    last_number INTEGER,
    closed INTEGER NOT NULL,
    issuer_host INTEGER NOT NULL
) STRICT;";

pub(crate) const COLUMNS: &str =
    "id, issuer, currency, credit_limit, balance, held, blocked_channels, active_numbers,
    last_transaction, last_number, closed, issuer_host";
/// An account as it stands in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub id: AccountId,
    /// What it is and what stands on it.
    pub account: Account,
    /// Its latest transaction.
    pub last_transaction: Option<TransactionId>,
    /// The number that was issued to it last.
    pub last_number: Option<NumberId>,
}

pub(crate) fn read(cells: &mut Cells<'_>) -> Result<AccountRow> {
    let mut row = AccountRow {
        id: AccountId(cells.bits()?),
        account: Account {
            issuer: IssuerId(cells.bits()?),
            currency: cells.code(Currency::from_number)?,
            limit: cells
                .code_or_none(|limit: i64| MinorUnits::new(u64::try_from(limit).ok()?))?
                .map_or(CreditLimit::Prepaid, CreditLimit::Credit),
            balance: cells.next()?,
            held: cells.next()?,
            blocked_channels: cells.next()?,
            active_numbers: cells.next()?,
            closed: false,
        },
        last_transaction: cells.bits_or_none()?.map(TransactionId),
        last_number: cells.bits_or_none()?.map(NumberId),
    };
    row.account.closed = cells.next()?;
    if cells.next()? {
        row.account.limit = CreditLimit::IssuerHost;
    }
    Ok(row)
}

/// One account.
pub(crate) fn find(sql: &Sql, partition: PartitionId, id: AccountId) -> Result<Option<AccountRow>> {
    let find = format!("SELECT {COLUMNS} FROM accounts WHERE partition = ? AND id = ?");
    sql.one(&find, values![partition.0, id.0 as i64], read)
}

/// Accounts after `after`, by id, at most `limit`.
pub(crate) fn list(
    sql: &Sql,
    partition: PartitionId,
    after: AccountId,
    limit: usize,
    mut each: impl FnMut(AccountRow),
) -> Result<()> {
    let list = format!("SELECT {COLUMNS} FROM accounts WHERE partition = ? AND id > ? ORDER BY id LIMIT ?");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sql.each(&list, values![partition.0, after.0 as i64, limit], |cells| {
        each(read(cells)?);
        Ok(())
    })
}
