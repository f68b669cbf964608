//! Folding into SQLite: prepared statements, row by row. A row's id is all that it takes to find it.

use mayfly_card::{ApprovalCode, Country, Currency, Mcc, MerchantId};
use mayfly_core::state::{CHECKS, MISSES, TRIES, Usage, UsageChange};
use mayfly_core::{
    AccountId, AnswerKept, Books, Controls, CreditLimit, IssuerId, NumberClaimed, NumberId, NumberIssued,
    PartitionId, ProgrammeId, TimeMs, TotalsChange, Transacted, TransactionId,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::tables::{Entry, Links, Quarantined, Tables, Touch};
use crate::error::At;
use crate::sql::{Cells, json, show_month};
use crate::views::codes::{Code, InTables};
use crate::views::lookups::Lookup;
use crate::views::{AccountRow, Retired, accounts, numbers};
use crate::{Location, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

const ADD_ACCOUNT: &str =
    "INSERT INTO accounts (issuer, currency, credit_limit, balance, held, blocked_channels,
    active_numbers, last_transaction, last_number, closed, id, partition)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const SET_ACCOUNT: &str =
    "UPDATE accounts SET issuer = ?, currency = ?, credit_limit = ?, balance = ?, held = ?,
    blocked_channels = ?, active_numbers = ?, last_transaction = ?, last_number = ?, closed = ? WHERE id = ?";
const ADD_NUMBER: &str =
    "INSERT INTO numbers (id, partition, number_index, last_four, account, programme, expiry,
    issued_ms, expires_ms, uses, controls, previous_by_account) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const ADD_ACTIVE: &str = "INSERT INTO number_state (id, partition, uses_left, spent, last_transaction, tries,
    misses, checks, bound_to, revived, revivable_until_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// What most purchases change.
const USE_ACTIVE: &str = "UPDATE number_state SET uses_left = uses_left + ?, spent = spent + ?,
    last_transaction = ? WHERE id = ?";
const CHANGE_ACTIVE: &str = "UPDATE number_state SET uses_left = uses_left + ?, spent = spent + ?,
    last_transaction = coalesce(?, last_transaction), tries = tries + ?, misses = misses + ?,
    checks = checks + ?, bound_to = coalesce(?, bound_to), revived = max(revived, ?),
    revivable_until_ms = coalesce(?, revivable_until_ms) WHERE id = ?";
const REMOVE_ACTIVE: &str = "DELETE FROM number_state WHERE id = ?";
const ADD_RETIRED: &str =
    "INSERT INTO retired_numbers (id, partition, uses_left, spent, last_transaction, tries,
    misses, checks, bound_to, revived, why, retired_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const LAST_OF_RETIRED: &str = "SELECT last_transaction FROM retired_numbers WHERE id = ?";
const FOLLOW_RETIRED: &str = "UPDATE retired_numbers SET last_transaction = ? WHERE id = ?";
const OWNER: &str = "SELECT account, programme FROM numbers WHERE id = ?";
const ADD_QUARANTINED: &str =
    "INSERT OR REPLACE INTO quarantine (partition, free_month, number, number_index, why)
    VALUES (?, ?, ?, ?, ?)";
const ADD_ALIAS: &str =
    "INSERT INTO aliases (partition, free_month, number_index, account) VALUES (?, ?, ?, ?)";
const ADD_TRANSACTION: &str =
    "INSERT INTO transactions (reversed, use_returned, id, partition, at_ms, kind, message, response, reason,
    approval, reference, identity, content, number, number_index, programme, account, target, stan, merchant,
    amount, currency, ceiling, total_authorised, total_held, total_captured, total_refunded,
    previous_follow_up, previous_by_number, previous_by_account, issuer, reverses, acquirer, rrn, terminal,
    mcc, country, entry_mode, transmitted, local_date, local_time, cardholder, held, settlement, funding,
    suspense) VALUES (0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const TOUCH: &str = "UPDATE transactions SET total_authorised = total_authorised + ?,
    total_held = total_held + ?, total_captured = total_captured + ?, total_refunded = total_refunded + ?,
    use_returned = max(use_returned, ?), reversed = reversed + ?,
    last_follow_up = coalesce(?, last_follow_up), touched_ms = ? WHERE id = ?";
const LAST_FOLLOW_UP: &str = "SELECT last_follow_up FROM transactions WHERE id = ?";
const KEEP: &str = "INSERT INTO kept_answers (id, partition, at_ms, key, content, outcome, note)
    VALUES (?, ?, ?, ?, ?, ?, ?)";
const POST: &str = "INSERT INTO issuer_books (partition, issuer, currency, settlement, funding, suspense)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET settlement = settlement + excluded.settlement,
    funding = funding + excluded.funding, suspense = suspense + excluded.suspense";

/// SQLite's tables.
pub(super) struct SqliteTables<'c> {
    connection: &'c Connection,
    location: &'c Location,
    find_account: CachedStatement<'c>,
    add_account: CachedStatement<'c>,
    set_account: CachedStatement<'c>,
    add_number: CachedStatement<'c>,
    find_active: CachedStatement<'c>,
    add_active: CachedStatement<'c>,
    use_active: CachedStatement<'c>,
    change_active: CachedStatement<'c>,
    remove_active: CachedStatement<'c>,
    add_retired: CachedStatement<'c>,
    last_of_retired: CachedStatement<'c>,
    follow_retired: CachedStatement<'c>,
    owner: CachedStatement<'c>,
    add_quarantined: CachedStatement<'c>,
    add_alias: CachedStatement<'c>,
    add_transaction: CachedStatement<'c>,
    touch: CachedStatement<'c>,
    last_follow_up: CachedStatement<'c>,
    keep: CachedStatement<'c>,
    post: CachedStatement<'c>,
}

impl<'c> SqliteTables<'c> {
    pub(super) fn new(connection: &'c Connection, location: &'c Location) -> Result<Self> {
        let prepare = |sql: &str| connection.prepare_cached(sql).at(location);
        let find_account = format!("SELECT {} FROM accounts WHERE id = ?", accounts::COLUMNS);
        let find_active = format!("SELECT {} FROM number_state WHERE id = ?", numbers::ACTIVE_COLUMNS);
        Ok(Self {
            connection,
            location,
            find_account: prepare(&find_account)?,
            add_account: prepare(ADD_ACCOUNT)?,
            set_account: prepare(SET_ACCOUNT)?,
            add_number: prepare(ADD_NUMBER)?,
            find_active: prepare(&find_active)?,
            add_active: prepare(ADD_ACTIVE)?,
            use_active: prepare(USE_ACTIVE)?,
            change_active: prepare(CHANGE_ACTIVE)?,
            remove_active: prepare(REMOVE_ACTIVE)?,
            add_retired: prepare(ADD_RETIRED)?,
            last_of_retired: prepare(LAST_OF_RETIRED)?,
            follow_retired: prepare(FOLLOW_RETIRED)?,
            owner: prepare(OWNER)?,
            add_quarantined: prepare(ADD_QUARANTINED)?,
            add_alias: prepare(ADD_ALIAS)?,
            add_transaction: prepare(ADD_TRANSACTION)?,
            touch: prepare(TOUCH)?,
            last_follow_up: prepare(LAST_FOLLOW_UP)?,
            keep: prepare(KEEP)?,
            post: prepare(POST)?,
        })
    }

    fn lacks(&self, id: NumberId) -> StoreError {
        StoreError::Damaged { location: self.location.clone(), why: format!("it has no active number {id}") }
    }
}

/// A row that one statement finds, read as everywhere else.
fn find<T>(
    statement: &mut CachedStatement<'_>,
    location: &Location,
    id: u64,
    read: impl FnOnce(&mut Cells<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let found =
        statement.query_row([id as i64], |row| Ok(read(&mut Cells::of_sqlite(row, location)))).optional();
    found.at(location)?.transpose()
}

impl Tables for SqliteTables<'_> {
    fn accounts(&mut self, ids: &[AccountId]) -> Result<Vec<AccountRow>> {
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            rows.extend(find(&mut self.find_account, self.location, id.0, accounts::read)?);
        }
        Ok(rows)
    }

    fn last_follow_ups(&mut self, ids: &[TransactionId]) -> Result<Vec<(TransactionId, TransactionId)>> {
        let mut found = Vec::new();
        for id in ids {
            let last = find(&mut self.last_follow_up, self.location, id.0, |cells| cells.bits_or_none())?;
            found.extend(last.flatten().map(|last| (*id, TransactionId(last))));
        }
        Ok(found)
    }

    fn last_of_retired(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, TransactionId)>> {
        let mut found = Vec::new();
        for id in ids {
            let last = find(&mut self.last_of_retired, self.location, id.0, |cells| cells.bits_or_none())?;
            found.extend(last.flatten().map(|last| (*id, TransactionId(last))));
        }
        Ok(found)
    }

    fn take_active(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, Usage)>> {
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let usage = find(&mut self.find_active, self.location, id.0, numbers::active)?;
            taken.push((*id, usage.ok_or_else(|| self.lacks(*id))?));
            self.remove_active.execute([id.0 as i64]).at(self.location)?;
        }
        Ok(taken)
    }

    fn owners(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, AccountId, ProgrammeId)>> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(find(&mut self.owner, self.location, id.0, |cells| {
                Ok((*id, AccountId(cells.bits()?), ProgrammeId(cells.bits()?)))
            })?);
        }
        Ok(found)
    }

    fn add_account(&mut self, row: &AccountRow) -> Result<()> {
        let account = &row.account;
        self.add_account
            .execute(params![
                account.issuer.0 as i64,
                account.currency.number(),
                limit(account.limit),
                account.balance,
                account.held,
                account.blocked_channels,
                account.active_numbers,
                row.last_transaction.map(|id| id.0 as i64),
                row.last_number.map(|id| id.0 as i64),
                account.closed,
                row.id.0 as i64,
                row.id.partition().0,
            ])
            .at(self.location)
            .map(|_| ())
    }

    fn set_account(&mut self, row: &AccountRow) -> Result<()> {
        let account = &row.account;
        self.set_account
            .execute(params![
                account.issuer.0 as i64,
                account.currency.number(),
                limit(account.limit),
                account.balance,
                account.held,
                account.blocked_channels,
                account.active_numbers,
                row.last_transaction.map(|id| id.0 as i64),
                row.last_number.map(|id| id.0 as i64),
                account.closed,
                row.id.0 as i64,
            ])
            .at(self.location)
            .map(|_| ())
    }

    fn add_number(
        &mut self,
        event: &NumberIssued,
        issued_ms: TimeMs,
        previous: Option<NumberId>,
    ) -> Result<()> {
        self.add_number
            .execute(params![
                event.number.id.0 as i64,
                event.number.id.partition().0,
                event.number.index.0 as i64,
                event.last_four.value(),
                event.account.0 as i64,
                event.programme.0 as i64,
                show_month(event.expiry),
                issued_ms as i64,
                event.expires_ms as i64,
                event.uses,
                controls(&event.controls)?,
                previous.map(|id| id.0 as i64),
            ])
            .at(self.location)
            .map(|_| ())
    }

    fn add_active(&mut self, id: NumberId, usage: &Usage) -> Result<()> {
        self.add_active
            .execute(params![
                id.0 as i64,
                id.partition().0,
                usage.uses_left,
                usage.spent.signed(),
                usage.last_transaction.map(|id| id.0 as i64),
                TRIES - usage.tries_left,
                MISSES - usage.misses_left,
                CHECKS - usage.checks_left,
                usage.bound_to.as_ref().map(MerchantId::as_str),
                usage.revived,
                usage.revivable_until_ms as i64,
            ])
            .at(self.location)
            .map(|_| ())
    }

    fn change_active(&mut self, id: NumberId, change: &UsageChange) -> Result<()> {
        let last = change.last_transaction.map(|id| id.0 as i64);
        let plain = UsageChange {
            uses: change.uses,
            spent: change.spent,
            last_transaction: change.last_transaction,
            ..UsageChange::default()
        };
        let changed = if *change == plain && last.is_some() {
            self.use_active.execute(params![change.uses, change.spent, last, id.0 as i64])
        } else {
            self.change_active.execute(params![
                change.uses,
                change.spent,
                last,
                change.tries,
                change.misses,
                change.checks,
                change.bound_to.as_ref().map(MerchantId::as_str),
                change.revived,
                change.revivable_until_ms.map(|until| until as i64),
                id.0 as i64,
            ])
        };
        if changed.at(self.location)? == 1 { Ok(()) } else { Err(self.lacks(id)) }
    }

    fn add_retired(&mut self, id: NumberId, usage: &Usage, retired: Retired) -> Result<()> {
        self.add_retired
            .execute(params![
                id.0 as i64,
                id.partition().0,
                usage.uses_left,
                usage.spent.signed(),
                usage.last_transaction.map(|id| id.0 as i64),
                TRIES - usage.tries_left,
                MISSES - usage.misses_left,
                CHECKS - usage.checks_left,
                usage.bound_to.as_ref().map(MerchantId::as_str),
                usage.revived,
                retired.why.code(),
                retired.at_ms as i64,
            ])
            .at(self.location)
            .map(|_| ())
    }

    fn follow_retired(&mut self, id: NumberId, last: TransactionId) -> Result<()> {
        self.follow_retired.execute([last.0 as i64, id.0 as i64]).at(self.location).map(|_| ())
    }

    fn add_quarantined(&mut self, quarantined: Quarantined) -> Result<()> {
        let Quarantined { free, id, index, why } = quarantined;
        let values = params![id.partition().0, show_month(free), id.0 as i64, index.0 as i64, why.code()];
        self.add_quarantined.execute(values).at(self.location).map(|_| ())
    }

    fn add_alias(&mut self, partition: PartitionId, claimed: &NumberClaimed) -> Result<()> {
        let NumberClaimed { index, account, free } = *claimed;
        let values = params![partition.0, show_month(free), index.0 as i64, account.0 as i64];
        self.add_alias.execute(values).at(self.location).map(|_| ())
    }

    fn add_transaction(&mut self, event: &Transacted, at_ms: TimeMs, links: Links) -> Result<()> {
        let (facts, effect) = (&event.facts, &event.effect);
        let books = effect.books();
        let totals = if event.target.is_none() { effect.totals } else { TotalsChange::default() };
        self.add_transaction
            .execute(params![
                event.id.0 as i64,
                event.id.partition().0,
                at_ms as i64,
                event.kind.code(),
                event.message.code(),
                event.response.code_in_tables(),
                event.reason.code(),
                event.approval.map(ApprovalCode::value),
                event.reference.0 as i64,
                event.identity.0 as i64,
                event.content.0 as i64,
                event.number.map(|number| number.id.0 as i64),
                event.number.map(|number| number.index.0 as i64),
                event.programme.map(|id| id.0 as i64),
                event.account.map(|id| id.0 as i64),
                event.target.map(|id| id.0 as i64),
                facts.stan.value(),
                facts.merchant.as_str(),
                event.amount.signed(),
                event.currency.number(),
                event.ceiling.signed(),
                totals.authorised,
                totals.held,
                totals.captured,
                totals.refunded,
                links.follow_up.map(|id| id.0 as i64),
                links.by_number.map(|id| id.0 as i64),
                links.by_account.map(|id| id.0 as i64),
                event.issuer.map(|id| id.0 as i64),
                event.reverses.map(|(id, _)| id.0 as i64),
                facts.acquirer.as_str(),
                facts.rrn.as_str(),
                facts.terminal.as_str(),
                facts.mcc.map(Mcc::value),
                facts.country.map(Country::value),
                facts.entry_mode.value(),
                facts.transmitted,
                facts.local_date,
                facts.local_time,
                books.cardholder,
                books.held,
                books.settlement,
                books.funding,
                books.suspense,
            ])
            .at(self.location)
            .map(|_| ())
    }

    fn touch(&mut self, id: TransactionId, touch: &Touch) -> Result<()> {
        let TotalsChange { authorised, held, captured, refunded } = touch.change;
        self.touch
            .execute(params![
                authorised,
                held,
                captured,
                refunded,
                touch.use_returned,
                touch.reversed,
                touch.last_follow_up.map(|id| id.0 as i64),
                touch.at_ms as i64,
                id.0 as i64,
            ])
            .at(self.location)
            .map(|_| ())
    }

    fn add_lookups(&mut self, what: Lookup, entries: &[Entry]) -> Result<()> {
        let sql =
            format!("INSERT INTO {} (partition, generation, hash, id) VALUES (?, ?, ?, ?)", what.table());
        let mut add = self.connection.prepare_cached(&sql).at(self.location)?;
        for (generation, hash, id) in entries {
            let values = params![PartitionId::of_id(*id).0, *generation as i64, hash, *id as i64];
            add.execute(values).at(self.location)?;
        }
        Ok(())
    }

    fn keep(&mut self, id: u64, event: &AnswerKept, at_ms: TimeMs) -> Result<()> {
        self.keep
            .execute(params![
                id as i64,
                PartitionId::of_id(id).0,
                at_ms as i64,
                event.key.0 as i64,
                event.content.0 as i64,
                json(&event.outcome)?,
                event.note,
            ])
            .at(self.location)
            .map(|_| ())
    }

    fn post(
        &mut self,
        partition: PartitionId,
        issuer: IssuerId,
        currency: Currency,
        books: &Books,
    ) -> Result<()> {
        let Books { settlement, funding, suspense, .. } = books;
        let values = params![partition.0, issuer.0 as i64, currency.number(), settlement, funding, suspense];
        self.post.execute(values).at(self.location).map(|_| ())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What stands of a credit limit in a column; nothing for a prepaid account.
pub(super) fn limit(limit: CreditLimit) -> Option<i64> {
    match limit {
        CreditLimit::Prepaid => None,
        CreditLimit::Credit(limit) => Some(limit.signed()),
    }
}

/// What stands of controls in a column; nothing where nothing was set.
pub(super) fn controls(controls: &Controls) -> Result<Option<String>> {
    if *controls == Controls::default() { Ok(None) } else { json(controls).map(Some) }
}
