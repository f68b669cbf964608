//! Accounts: what they are, what stands on them, and where the lists of their numbers and transactions begin.

use mayfly_card::{Currency, MinorUnits};
use mayfly_core::state::Account;
use mayfly_core::{AccountId, CreditLimit, IssuerId, NumberId, PartitionId, TransactionId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, Row, params};

use super::cells::Cells;

pub(super) const CREATE: &str = "
-- `credit_limit` is null for a prepaid account. `last_transaction` and `last_number` begin the lists that
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
    closed INTEGER NOT NULL
) STRICT;";

const COLUMNS: &str = "id, issuer, currency, credit_limit, balance, held, blocked_channels, active_numbers,
    last_transaction, last_number, closed";
const ADD: &str = "INSERT INTO accounts (issuer, currency, credit_limit, balance, held, blocked_channels,
    active_numbers, last_transaction, last_number, closed, id, partition)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const SET: &str = "UPDATE accounts SET issuer = ?, currency = ?, credit_limit = ?, balance = ?, held = ?,
    blocked_channels = ?, active_numbers = ?, last_transaction = ?, last_number = ?, closed = ? WHERE id = ?";

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

fn read(row: &Row<'_>) -> Result<AccountRow> {
    let mut cells = Cells::new(row);
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
    Ok(row)
}

/// Reads and writes single accounts.
pub(crate) struct AccountWriter<'c> {
    partition: PartitionId,
    find: CachedStatement<'c>,
    add: CachedStatement<'c>,
    set: CachedStatement<'c>,
}

impl<'c> AccountWriter<'c> {
    pub(crate) fn new(connection: &'c Connection, partition: PartitionId) -> Result<Self> {
        Ok(Self {
            partition,
            find: connection.prepare_cached(&format!("SELECT {COLUMNS} FROM accounts WHERE id = ?"))?,
            add: connection.prepare_cached(ADD)?,
            set: connection.prepare_cached(SET)?,
        })
    }

    pub(crate) fn find(&mut self, id: AccountId) -> Result<Option<AccountRow>> {
        self.find.query_row([id.0 as i64], read).optional()
    }

    /// Writes an account: a new one, or what has changed in one that stands in the table.
    pub(crate) fn put(&mut self, row: &AccountRow, new: bool) -> Result<()> {
        let account = &row.account;
        let limit = match account.limit {
            CreditLimit::Prepaid => None,
            CreditLimit::Credit(limit) => Some(limit.signed()),
        };
        let (transaction, number) =
            (row.last_transaction.map(|id| id.0 as i64), row.last_number.map(|id| id.0 as i64));
        let (issuer, id) = (account.issuer.0 as i64, row.id.0 as i64);
        let currency = account.currency.number();
        if new {
            self.add.execute(params![
                issuer,
                currency,
                limit,
                account.balance,
                account.held,
                account.blocked_channels,
                account.active_numbers,
                transaction,
                number,
                account.closed,
                id,
                self.partition.0,
            ])?;
        } else {
            self.set.execute(params![
                issuer,
                currency,
                limit,
                account.balance,
                account.held,
                account.blocked_channels,
                account.active_numbers,
                transaction,
                number,
                account.closed,
                id,
            ])?;
        }
        Ok(())
    }
}

/// One account.
pub(crate) fn find(connection: &Connection, id: AccountId) -> Result<Option<AccountRow>> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE id = ?");
    connection.prepare_cached(&sql)?.query_row([id.0 as i64], read).optional()
}

/// Accounts after `after`, by id, at most `limit`.
pub(crate) fn list(
    connection: &Connection,
    partition: PartitionId,
    after: AccountId,
    limit: usize,
    mut each: impl FnMut(AccountRow),
) -> Result<()> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE id > ? AND partition = ? ORDER BY id LIMIT ?");
    let mut list = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = list.query(params![after.0 as i64, partition.0, limit])?;
    while let Some(row) = rows.next()? {
        each(read(row)?);
    }
    Ok(())
}
