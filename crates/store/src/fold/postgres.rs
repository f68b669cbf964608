//! Folding into PostgreSQL: many rows at a time. They gather until something has to be read, or until the end; new ones are
//! copied into their tables, and changes travel as columns and are joined to the rows that they change.
//!
//! Each statement costs a way to the server and back, whatever it does: a transaction has some twenty of them, however many
//! events it takes.

use std::cell::RefCell;

use mayfly_card::{ApprovalCode, Country, Currency, Mcc, MerchantId};
use mayfly_core::state::{CHECKS, MISSES, TRIES, Usage, UsageChange};
use mayfly_core::{
    AccountId, AnswerKept, Books, IssuerId, NumberClaimed, NumberId, NumberIssued, PartitionId, ProgrammeId,
    TimeMs, TotalsChange, Transacted, TransactionId,
};

use super::sqlite::{controls, limit};
use super::tables::{Entry, Links, Quarantined, Tables, Touch};
use crate::sql::postgres::{Column, Link, Rows};
use crate::sql::{Cells, Value, json, show_month, values};
use crate::views::codes::{Code, InTables};
use crate::views::lookups::Lookup;
use crate::views::{AccountRow, Retired, accounts, numbers};
use crate::{Location, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that are copied into a table.
struct New {
    copy: &'static str,
    rows: Rows,
}

impl New {
    fn into(copy: &'static str) -> Self {
        Self { copy, rows: Rows::default() }
    }

    fn write(&mut self, link: &RefCell<Link>) -> Result<()> {
        self.rows.take().map_or(Ok(()), |rows| link.borrow_mut().copy(self.copy, rows))
    }
}

const ACCOUNTS: &str =
    "COPY accounts (partition, id, issuer, currency, credit_limit, balance, held, blocked_channels,
    active_numbers, last_transaction, last_number, closed) FROM STDIN BINARY";
const NUMBERS: &str =
    "COPY numbers (partition, id, number_index, last_four, account, programme, expiry, issued_ms,
    expires_ms, uses, controls, previous_by_account) FROM STDIN BINARY";
const ACTIVE: &str =
    "COPY number_state (partition, id, uses_left, spent, last_transaction, tries, misses, checks,
    bound_to, revived, revivable_until_ms) FROM STDIN BINARY";
const RETIRED: &str =
    "COPY retired_numbers (partition, id, uses_left, spent, last_transaction, tries, misses, checks,
    bound_to, revived, why, retired_ms) FROM STDIN BINARY";
const QUARANTINE: &str =
    "COPY quarantine (partition, free_month, number, number_index, why) FROM STDIN BINARY";
const TRANSACTIONS: &str = "COPY transactions (partition, reversed, use_returned, id, at_ms, kind, message, response,
    reason, approval, reference, identity, content, number, number_index, programme, account, target, stan, merchant,
    amount, currency, ceiling, total_authorised, total_held, total_captured, total_refunded, previous_follow_up,
    previous_by_number, previous_by_account, issuer, reverses, acquirer, rrn, terminal, mcc, country, entry_mode,
    transmitted, local_date, local_time, cardholder, held, settlement, funding, suspense) FROM STDIN BINARY";
const ALIASES: &str = "COPY aliases (partition, free_month, number_index, account) FROM STDIN BINARY";
const KEPT: &str = "COPY kept_answers (partition, id, at_ms, key, content, outcome, note) FROM STDIN BINARY";

/// Changes that are joined to the rows that they change.
struct Changes {
    apply: &'static str,
    columns: Vec<Column>,
    /// Whether all of them must find theirs: not if a row may have been dropped.
    must_find: bool,
}

impl Changes {
    /// `apply` takes so many columns of integers, then so many of texts.
    fn of(apply: &'static str, integers: usize, texts: usize) -> Self {
        let integers = (0..integers).map(|_| Column::Integers(Vec::new()));
        let texts = (0..texts).map(|_| Column::Texts(Vec::new()));
        Self { apply, columns: integers.chain(texts).collect(), must_find: true }
    }

    /// The same for rows that may have been dropped.
    fn of_what_is_left(apply: &'static str, integers: usize) -> Self {
        Self { must_find: false, ..Self::of(apply, integers, 0) }
    }

    fn push(&mut self, values: &[Value<'_>]) {
        self.columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    }

    fn write(&mut self, link: &RefCell<Link>) -> Result<()> {
        let count = self.columns.first().map_or(0, Column::len) as u64;
        if count == 0 {
            return Ok(());
        }
        let changed = link.borrow_mut().run_columns(self.apply, &self.columns, &[])?;
        self.columns.iter_mut().for_each(Column::clear);
        if changed == count || !self.must_find {
            return Ok(());
        }
        let why = format!("of {count} rows that were to be changed {changed} are there");
        Err(StoreError::Damaged { location: link.borrow().location().clone(), why })
    }
}

const SET_ACCOUNTS: &str = "UPDATE accounts SET credit_limit = c.credit_limit, balance = c.balance, held = c.held,
    blocked_channels = c.blocked_channels, active_numbers = c.active_numbers,
    last_transaction = c.last_transaction, last_number = c.last_number, closed = c.closed
    FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[],
    ?::bigint[], ?::bigint[]) AS c(id, credit_limit, balance, held, blocked_channels, active_numbers, last_transaction, last_number,
    closed) WHERE accounts.partition = c.id >> 48 AND accounts.id = c.id";
const CHANGE_ACTIVE: &str = "UPDATE number_state SET uses_left = number_state.uses_left + c.uses,
    spent = number_state.spent + c.spent, last_transaction = coalesce(c.last, number_state.last_transaction),
    tries = number_state.tries + c.tries, misses = number_state.misses + c.misses,
    checks = number_state.checks + c.checks, bound_to = coalesce(c.bound_to, number_state.bound_to),
    revived = greatest(number_state.revived, c.revived),
    revivable_until_ms = coalesce(c.until_ms, number_state.revivable_until_ms)
    FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[],
    ?::bigint[], ?::bigint[], ?::text[]) AS c(id, uses, spent, last, tries, misses, checks, revived, until_ms, bound_to)
    WHERE number_state.partition = c.id >> 48 AND number_state.id = c.id";
const FOLLOW_RETIRED: &str = "UPDATE retired_numbers SET last_transaction = c.last
    FROM unnest(?::bigint[], ?::bigint[]) AS c(id, last)
    WHERE retired_numbers.partition = c.id >> 48 AND retired_numbers.id = c.id";
const TOUCH: &str = "UPDATE transactions SET total_authorised = total_authorised + c.authorised,
    total_held = total_held + c.held, total_captured = total_captured + c.captured,
    total_refunded = total_refunded + c.refunded,
    use_returned = greatest(transactions.use_returned, c.use_returned),
    reversed = transactions.reversed + c.reversed,
    last_follow_up = coalesce(c.last, transactions.last_follow_up), touched_ms = c.at_ms
    FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[],
    ?::bigint[], ?::bigint[])
    AS c(id, authorised, held, captured, refunded, use_returned, reversed, last, at_ms)
    WHERE transactions.partition = c.id >> 48 AND transactions.id = c.id";
const POST: &str = "INSERT INTO issuer_books (partition, issuer, currency, settlement, funding, suspense)
    SELECT * FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[])
    ON CONFLICT (partition, issuer, currency) DO UPDATE SET
    settlement = issuer_books.settlement + excluded.settlement,
    funding = issuer_books.funding + excluded.funding, suspense = issuer_books.suspense + excluded.suspense";
const LAST_FOLLOW_UPS: &str = "SELECT id, last_follow_up FROM unnest(?::bigint[]) AS c(key)
    JOIN transactions ON partition = key >> 48 AND id = key WHERE last_follow_up IS NOT NULL";
const LAST_OF_RETIRED: &str = "SELECT id, last_transaction FROM unnest(?::bigint[]) AS c(key)
    JOIN retired_numbers ON partition = key >> 48 AND id = key WHERE last_transaction IS NOT NULL";
const OWNERS: &str = "SELECT id, account, programme FROM unnest(?::bigint[]) AS c(key)
    JOIN numbers ON partition = key >> 48 AND id = key";

/// PostgreSQL's tables.
pub(super) struct PostgresTables<'c> {
    link: &'c RefCell<Link>,
    location: &'c Location,
    /// In the order in which they must be written: rows first, then what changes them.
    new: [New; 8],
    changes: [Changes; 5],
    lookups: Vec<(&'static str, Rows)>,
}

/// Where each kind of row gathers.
mod at {
    pub(super) const ACCOUNTS: usize = 0;
    pub(super) const NUMBERS: usize = 1;
    pub(super) const ACTIVE: usize = 2;
    pub(super) const RETIRED: usize = 3;
    pub(super) const QUARANTINE: usize = 4;
    pub(super) const TRANSACTIONS: usize = 5;
    pub(super) const KEPT: usize = 6;
    pub(super) const ALIASES: usize = 7;
    pub(super) const SET_ACCOUNTS: usize = 0;
    pub(super) const CHANGE_ACTIVE: usize = 1;
    pub(super) const FOLLOW_RETIRED: usize = 2;
    pub(super) const TOUCH: usize = 3;
    pub(super) const POST: usize = 4;
}

impl<'c> PostgresTables<'c> {
    pub(super) fn new(link: &'c RefCell<Link>, location: &'c Location) -> Self {
        let new =
            [ACCOUNTS, NUMBERS, ACTIVE, RETIRED, QUARANTINE, TRANSACTIONS, KEPT, ALIASES].map(New::into);
        let changes = [
            Changes::of(SET_ACCOUNTS, 9, 0),
            Changes::of(CHANGE_ACTIVE, 9, 1),
            Changes::of_what_is_left(FOLLOW_RETIRED, 2),
            Changes::of_what_is_left(TOUCH, 9),
            Changes::of(POST, 6, 0),
        ];
        Self { link, location, new, changes, lookups: Vec::new() }
    }

    fn add(&mut self, what: usize, values: &[Value<'_>]) {
        self.new[what].rows.push(values);
    }

    fn change(&mut self, what: usize, values: &[Value<'_>]) {
        self.changes[what].push(values);
    }

    /// Writes what was kept back, so that it can be read.
    fn write(&mut self) -> Result<()> {
        self.new.iter_mut().try_for_each(|new| new.write(self.link))?;
        self.changes.iter_mut().try_for_each(|changes| changes.write(self.link))
    }

    /// Rows by their ids.
    fn find<T>(
        &self,
        sql: &str,
        ids: impl Iterator<Item = u64>,
        mut read: impl FnMut(&mut Cells<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let ids: Vec<i64> = ids.map(|id| id as i64).collect();
        let mut found = Vec::with_capacity(ids.len());
        if !ids.is_empty() {
            self.link.borrow_mut().each_of_columns(sql, &[ids.into()], |row| {
                found.push(read(&mut Cells::of_postgres(row, self.location))?);
                Ok(())
            })?;
        }
        Ok(found)
    }
}

/// Some id, as it stands in a column.
fn id(id: Option<u64>) -> Option<i64> {
    id.map(|id| id as i64)
}

impl Tables for PostgresTables<'_> {
    fn accounts(&mut self, ids: &[AccountId]) -> Result<Vec<AccountRow>> {
        let find = format!(
            "SELECT {} FROM unnest(?::bigint[]) AS c(key) JOIN accounts ON partition = key >> 48 AND id = key",
            accounts::COLUMNS
        );
        self.find(&find, ids.iter().map(|id| id.0), accounts::read)
    }

    fn last_follow_ups(&mut self, ids: &[TransactionId]) -> Result<Vec<(TransactionId, TransactionId)>> {
        self.find(LAST_FOLLOW_UPS, ids.iter().map(|id| id.0), |cells| {
            Ok((TransactionId(cells.bits()?), TransactionId(cells.bits()?)))
        })
    }

    fn last_of_retired(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, TransactionId)>> {
        self.find(LAST_OF_RETIRED, ids.iter().map(|id| id.0), |cells| {
            Ok((NumberId(cells.bits()?), TransactionId(cells.bits()?)))
        })
    }

    fn take_active(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, Usage)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.write()?;
        let take = format!(
            "DELETE FROM number_state USING unnest(?::bigint[]) AS c(key)
            WHERE partition = key >> 48 AND id = key RETURNING {}, id",
            numbers::ACTIVE_COLUMNS
        );
        let taken = self.find(&take, ids.iter().map(|id| id.0), |cells| {
            let usage = numbers::active(cells)?;
            Ok((NumberId(cells.bits()?), usage))
        })?;
        if taken.len() == ids.len() {
            return Ok(taken);
        }
        let why = format!("of {} numbers that retire {} are active", ids.len(), taken.len());
        Err(StoreError::Damaged { location: self.location.clone(), why })
    }

    fn owners(&mut self, ids: &[NumberId]) -> Result<Vec<(NumberId, AccountId, ProgrammeId)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.write()?;
        self.find(OWNERS, ids.iter().map(|id| id.0), |cells| {
            Ok((NumberId(cells.bits()?), AccountId(cells.bits()?), ProgrammeId(cells.bits()?)))
        })
    }

    fn add_account(&mut self, row: &AccountRow) -> Result<()> {
        let account = &row.account;
        let values = values![
            row.id.partition().0,
            row.id.0 as i64,
            account.issuer.0 as i64,
            account.currency.number(),
            limit(account.limit),
            account.balance,
            account.held,
            account.blocked_channels,
            account.active_numbers,
            id(row.last_transaction.map(|id| id.0)),
            id(row.last_number.map(|id| id.0)),
            account.closed,
        ];
        self.add(at::ACCOUNTS, values);
        Ok(())
    }

    fn set_account(&mut self, row: &AccountRow) -> Result<()> {
        let account = &row.account;
        let values = values![
            row.id.0 as i64,
            limit(account.limit),
            account.balance,
            account.held,
            account.blocked_channels,
            account.active_numbers,
            id(row.last_transaction.map(|id| id.0)),
            id(row.last_number.map(|id| id.0)),
            account.closed,
        ];
        self.change(at::SET_ACCOUNTS, values);
        Ok(())
    }

    fn add_number(
        &mut self,
        event: &NumberIssued,
        issued_ms: TimeMs,
        previous: Option<NumberId>,
    ) -> Result<()> {
        let values = values![
            event.number.id.partition().0,
            event.number.id.0 as i64,
            event.number.index.0 as i64,
            event.last_four.value(),
            event.account.0 as i64,
            event.programme.0 as i64,
            show_month(event.expiry),
            issued_ms as i64,
            event.expires_ms as i64,
            event.uses,
            controls(&event.controls)?,
            id(previous.map(|id| id.0)),
        ];
        self.add(at::NUMBERS, values);
        Ok(())
    }

    fn add_active(&mut self, number: NumberId, usage: &Usage) -> Result<()> {
        let values = values![
            number.partition().0,
            number.0 as i64,
            usage.uses_left,
            usage.spent.signed(),
            id(usage.last_transaction.map(|id| id.0)),
            TRIES - usage.tries_left,
            MISSES - usage.misses_left,
            CHECKS - usage.checks_left,
            usage.bound_to.as_ref().map(MerchantId::as_str),
            usage.revived,
            usage.revivable_until_ms as i64,
        ];
        self.add(at::ACTIVE, values);
        Ok(())
    }

    fn change_active(&mut self, number: NumberId, change: &UsageChange) -> Result<()> {
        let values = values![
            number.0 as i64,
            change.uses,
            change.spent,
            id(change.last_transaction.map(|id| id.0)),
            change.tries,
            change.misses,
            change.checks,
            change.revived,
            id(change.revivable_until_ms),
            change.bound_to.as_ref().map(MerchantId::as_str),
        ];
        self.change(at::CHANGE_ACTIVE, values);
        Ok(())
    }

    fn add_retired(&mut self, number: NumberId, usage: &Usage, retired: Retired) -> Result<()> {
        let values = values![
            number.partition().0,
            number.0 as i64,
            usage.uses_left,
            usage.spent.signed(),
            id(usage.last_transaction.map(|id| id.0)),
            TRIES - usage.tries_left,
            MISSES - usage.misses_left,
            CHECKS - usage.checks_left,
            usage.bound_to.as_ref().map(MerchantId::as_str),
            usage.revived,
            retired.why.code(),
            retired.at_ms as i64,
        ];
        self.add(at::RETIRED, values);
        Ok(())
    }

    fn follow_retired(&mut self, number: NumberId, last: TransactionId) -> Result<()> {
        self.change(at::FOLLOW_RETIRED, values![number.0 as i64, last.0 as i64]);
        Ok(())
    }

    fn add_quarantined(&mut self, quarantined: Quarantined) -> Result<()> {
        let Quarantined { free, id, index, why } = quarantined;
        let values = values![id.partition().0, show_month(free), id.0 as i64, index.0 as i64, why.code()];
        self.add(at::QUARANTINE, values);
        Ok(())
    }

    fn add_alias(&mut self, partition: PartitionId, claimed: &NumberClaimed) -> Result<()> {
        let NumberClaimed { index, account, free } = *claimed;
        self.add(at::ALIASES, values![partition.0, show_month(free), index.0 as i64, account.0 as i64]);
        Ok(())
    }

    fn add_transaction(&mut self, event: &Transacted, at_ms: TimeMs, links: Links) -> Result<()> {
        let (facts, effect) = (&event.facts, &event.effect);
        let books = effect.books();
        let totals = if event.target.is_none() { effect.totals } else { TotalsChange::default() };
        let values = values![
            event.id.partition().0,
            0,
            0,
            event.id.0 as i64,
            at_ms as i64,
            event.kind.code(),
            event.message.code(),
            event.response.code_in_tables(),
            event.reason.code(),
            event.approval.map(ApprovalCode::value),
            event.reference.0 as i64,
            event.identity.0 as i64,
            event.content.0 as i64,
            id(event.number.map(|number| number.id.0)),
            id(event.number.map(|number| number.index.0)),
            id(event.programme.map(|id| id.0)),
            id(event.account.map(|id| id.0)),
            id(event.target.map(|id| id.0)),
            facts.stan.value(),
            facts.merchant.as_str(),
            event.amount.signed(),
            event.currency.number(),
            event.ceiling.signed(),
            totals.authorised,
            totals.held,
            totals.captured,
            totals.refunded,
            id(links.follow_up.map(|id| id.0)),
            id(links.by_number.map(|id| id.0)),
            id(links.by_account.map(|id| id.0)),
            id(event.issuer.map(|id| id.0)),
            id(event.reverses.map(|(id, _)| id.0)),
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
        ];
        self.add(at::TRANSACTIONS, values);
        Ok(())
    }

    fn touch(&mut self, transaction: TransactionId, touch: &Touch) -> Result<()> {
        let TotalsChange { authorised, held, captured, refunded } = touch.change;
        let values = values![
            transaction.0 as i64,
            authorised,
            held,
            captured,
            refunded,
            touch.use_returned,
            touch.reversed,
            id(touch.last_follow_up.map(|id| id.0)),
            touch.at_ms as i64,
        ];
        self.change(at::TOUCH, values);
        Ok(())
    }

    fn add_lookups(&mut self, what: Lookup, entries: &[Entry]) -> Result<()> {
        let mut rows = Rows::default();
        for (generation, hash, id) in entries {
            rows.push(values![PartitionId::of_id(*id).0, *generation as i64, *hash, *id as i64]);
        }
        self.lookups.push((what.table(), rows));
        Ok(())
    }

    fn keep(&mut self, id: u64, event: &AnswerKept, at_ms: TimeMs) -> Result<()> {
        let values = values![
            PartitionId::of_id(id).0,
            id as i64,
            at_ms as i64,
            event.key.0 as i64,
            event.content.0 as i64,
            json(&event.outcome)?,
            &event.note,
        ];
        self.add(at::KEPT, values);
        Ok(())
    }

    fn post(
        &mut self,
        partition: PartitionId,
        issuer: IssuerId,
        currency: Currency,
        books: &Books,
    ) -> Result<()> {
        let Books { settlement, funding, suspense, .. } = *books;
        let issuer = issuer.0 as i64;
        let values = values![partition.0, issuer, currency.number(), settlement, funding, suspense];
        self.change(at::POST, values);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.write()?;
        for (table, mut rows) in self.lookups.drain(..) {
            if let Some(rows) = rows.take() {
                let copy = format!("COPY {table} (partition, generation, hash, id) FROM STDIN BINARY");
                self.link.borrow_mut().copy(&copy, rows)?;
            }
        }
        Ok(())
    }
}
