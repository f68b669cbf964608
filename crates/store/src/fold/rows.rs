//! The rows that folding writes: each column beside what goes into it, once for both databases.
//!
//! Statements are made of these. A row begins with its partition, a change with the id of what it changes.

use mayfly_card::{ApprovalCode, Country, Currency, Mcc, MerchantId, MonthIndex};
use mayfly_core::state::{CHECKS, MISSES, TRIES, Usage, UsageChange};
use mayfly_core::{
    AnswerKept, Books, Controls, CreditLimit, IssuerId, NumberClaimed, NumberId, NumberIssued, PartitionId,
    Retirement, TimeMs, TotalsChange, Transacted, TransactionId,
};
use mayfly_keys::NumberIndex;

use crate::StoreError;
use crate::sql::{Value, json, show_month};
use crate::views::codes::{Code, InTables};
use crate::views::lookups::Lookup;
use crate::views::{AccountRow, Retired};

type Result<T> = std::result::Result<T, StoreError>;

/// A table that rows are added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Accounts,
    Numbers,
    Active,
    Retired,
    Quarantine,
    Aliases,
    Transactions,
    Kept,
    Pending,
    Etsns,
    OpenEtsns,
    CardMisses,
    HostAdvices,
    References,
    NumberIndices,
    KeptKeys,
    CardEtsns,
}

impl Table {
    /// How many there are.
    pub(super) const COUNT: usize = Self::CardEtsns as usize + 1;

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Numbers => "numbers",
            Self::Active => "number_state",
            Self::Retired => "retired_numbers",
            Self::Quarantine => "quarantine",
            Self::Aliases => "aliases",
            Self::Transactions => "transactions",
            Self::Kept => "kept_answers",
            Self::Pending => "pending",
            Self::Etsns => "etsns",
            Self::OpenEtsns => "open_etsns",
            Self::CardMisses => "card_misses",
            Self::HostAdvices => "host_advices",
            Self::References => Lookup::Reference.table(),
            Self::NumberIndices => Lookup::Number.table(),
            Self::KeptKeys => Lookup::Kept.table(),
            Self::CardEtsns => Lookup::Etsn.table(),
        }
    }
}

/// A row that is added.
pub(super) struct Row<'a, const N: usize> {
    pub(super) table: Table,
    pub(super) columns: &'static [&'static str; N],
    pub(super) values: [Value<'a>; N],
}

macro_rules! row {
    ($table:expr, $($column:ident: $value:expr),* $(,)?) => {
        Row { table: $table, columns: &[$(stringify!($column)),*], values: [$(Value::from($value)),*] }
    };
}

/// What changes in rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// What every transaction changes of its account.
    AccountMoved,
    Account,
    /// What most purchases change of their number.
    ActiveUsed,
    Active,
    Retired,
    Transaction,
    Books,
    /// What opening ETSNs changes of a card.
    CardOpened,
    CardLocked,
    CardRefused,
    Etsn,
}

/// Which rows there are to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All of them. If one is not there, the tables are damaged.
    All,
    /// Those that were not dropped.
    Left,
    /// All of them, since one that is not there is added.
    Made,
}

impl Changed {
    /// How many there are.
    pub(super) const COUNT: usize = Self::Etsn as usize + 1;

    pub(super) fn table(self) -> &'static str {
        match self {
            Self::AccountMoved | Self::Account => "accounts",
            Self::ActiveUsed | Self::Active => "number_state",
            Self::Retired => "retired_numbers",
            Self::Transaction => "transactions",
            Self::Books => "issuer_books",
            Self::CardOpened | Self::CardLocked | Self::CardRefused => "cards",
            Self::Etsn => "etsns",
        }
    }

    pub(super) fn found(self) -> Found {
        match self {
            Self::AccountMoved | Self::Account | Self::ActiveUsed | Self::Active => Found::All,
            Self::Retired | Self::Transaction | Self::Etsn => Found::Left,
            Self::Books | Self::CardOpened | Self::CardLocked | Self::CardRefused => Found::Made,
        }
    }
}

/// What becomes of a column when a value comes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It is part of the row's key, and stays.
    Key,
    /// It is replaced.
    Set,
    /// It is replaced, unless by nothing.
    Keep,
    /// The same for a text; all others are integers.
    KeepText,
    /// The value is added to it.
    Add,
    /// The greater one stays.
    Most,
}

/// A change of a row.
pub(super) struct Change<'a, const N: usize> {
    pub(super) what: Changed,
    pub(super) columns: &'static [(How, &'static str); N],
    pub(super) values: [Value<'a>; N],
}

macro_rules! change {
    ($what:expr, $($how:ident $column:ident: $value:expr),* $(,)?) => {
        Change {
            what: $what,
            columns: &[$((How::$how, stringify!($column))),*],
            values: [$(Value::from($value)),*],
        }
    };
}

pub(super) use {change, row};

/// What is assigned to the columns of a row that changes. `new` says what came for the column at that place; `greatest` is the
/// function that is called so.
pub(super) fn assignments(
    table: &str,
    columns: &[(How, &'static str)],
    greatest: &str,
    new: impl Fn(usize, &str) -> String,
) -> String {
    let assigned = columns.iter().enumerate().filter_map(|(at, (how, column))| {
        let new = new(at, column);
        match how {
            How::Key => None,
            How::Set => Some(format!("{column} = {new}")),
            How::Keep | How::KeepText => Some(format!("{column} = coalesce({new}, {table}.{column})")),
            How::Add => Some(format!("{column} = {table}.{column} + {new}")),
            How::Most => Some(format!("{column} = {greatest}({table}.{column}, {new})")),
        }
    });
    assigned.collect::<Vec<_>>().join(", ")
}

/// The names of the columns, those of the key only or all of them.
pub(super) fn names(columns: &[(How, &'static str)], keys_only: bool) -> String {
    let named = columns.iter().filter(|(how, _)| !keys_only || *how == How::Key);
    named.map(|(_, column)| *column).collect::<Vec<_>>().join(", ")
}

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

/// Ids and hashes stand in columns as the signed number with the same bits.
pub(super) fn bits(bits: Option<u64>) -> Option<i64> {
    bits.map(|bits| bits as i64)
}

/// What stands of a credit limit in a column; nothing for a prepaid account, and for one that the issuer's host funds.
fn limit(limit: CreditLimit) -> Option<i64> {
    match limit {
        CreditLimit::Prepaid | CreditLimit::IssuerHost => None,
        CreditLimit::Credit(limit) => Some(limit.signed()),
    }
}

/// What stands of controls in a column; nothing where nothing was set.
fn controls(controls: &Controls) -> Result<Option<String>> {
    if *controls == Controls::default() { Ok(None) } else { json(controls).map(Some) }
}

pub(super) fn account(row: &AccountRow) -> Row<'static, 13> {
    let account = &row.account;
    row![
        Table::Accounts,
        partition: row.id.partition().0,
        id: row.id.0 as i64,
        issuer: account.issuer.0 as i64,
        currency: account.currency.number(),
        credit_limit: limit(account.limit),
        balance: account.balance,
        held: account.held,
        blocked_channels: account.blocked_channels,
        active_numbers: account.active_numbers,
        last_transaction: bits(row.last_transaction.map(|id| id.0)),
        last_number: bits(row.last_number.map(|id| id.0)),
        closed: account.closed,
        issuer_host: account.limit == CreditLimit::IssuerHost,
    ]
}

/// What transactions have changed of an account.
pub(super) fn account_moved(row: &AccountRow) -> Change<'static, 4> {
    change![
        Changed::AccountMoved,
        Key id: row.id.0 as i64,
        Set balance: row.account.balance,
        Set held: row.account.held,
        Set last_transaction: bits(row.last_transaction.map(|id| id.0)),
    ]
}

/// All that can change of an account.
pub(super) fn account_changed(row: &AccountRow) -> Change<'static, 10> {
    let account = &row.account;
    change![
        Changed::Account,
        Key id: row.id.0 as i64,
        Set credit_limit: limit(account.limit),
        Set balance: account.balance,
        Set held: account.held,
        Set blocked_channels: account.blocked_channels,
        Set active_numbers: account.active_numbers,
        Set last_transaction: bits(row.last_transaction.map(|id| id.0)),
        Set last_number: bits(row.last_number.map(|id| id.0)),
        Set closed: account.closed,
        Set issuer_host: account.limit == CreditLimit::IssuerHost,
    ]
}

/// The row of the issue.
pub(super) fn number(
    event: &NumberIssued,
    issued_ms: TimeMs,
    previous: Option<NumberId>,
) -> Result<Row<'static, 12>> {
    Ok(row![
        Table::Numbers,
        partition: event.number.id.partition().0,
        id: event.number.id.0 as i64,
        number_index: event.number.index.0 as i64,
        last_four: event.last_four.value(),
        account: event.account.0 as i64,
        programme: event.programme.0 as i64,
        expiry: show_month(event.expiry),
        issued_ms: issued_ms as i64,
        expires_ms: event.expires_ms as i64,
        uses: event.uses,
        controls: controls(&event.controls)?,
        previous_by_account: bits(previous.map(|id| id.0)),
    ])
}

/// A number's row with what was done with it, and what else stands in it.
macro_rules! usage_row {
    ($table:expr, $id:expr, $usage:expr, $($column:ident: $value:expr),* $(,)?) => {
        row![
            $table,
            partition: $id.partition().0,
            id: $id.0 as i64,
            uses_left: $usage.uses_left,
            spent: $usage.spent.signed(),
            last_transaction: bits($usage.last_transaction.map(|id| id.0)),
            tries: TRIES - $usage.tries_left,
            misses: MISSES - $usage.misses_left,
            checks: CHECKS - $usage.checks_left,
            bound_to: $usage.bound_to.as_ref().map(MerchantId::as_str),
            revived: $usage.revived,
            $($column: $value),*
        ]
    };
}

/// A number among the active ones.
pub(super) fn active(id: NumberId, usage: &Usage) -> Row<'_, 11> {
    usage_row![Table::Active, id, usage, revivable_until_ms: usage.revivable_until_ms as i64]
}

/// What most purchases change of an active number, if that is all that has changed.
pub(super) fn active_used(id: NumberId, change: &UsageChange) -> Option<Change<'static, 4>> {
    let UsageChange { uses, spent, last_transaction, .. } = *change;
    let last = last_transaction?;
    let plain = UsageChange { uses, spent, last_transaction, ..UsageChange::default() };
    (*change == plain).then(|| {
        change![
            Changed::ActiveUsed,
            Key id: id.0 as i64,
            Add uses_left: uses,
            Add spent: spent,
            Set last_transaction: last.0 as i64,
        ]
    })
}

/// All that can change of an active number.
pub(super) fn active_changed(id: NumberId, change: &UsageChange) -> Change<'_, 10> {
    change![
        Changed::Active,
        Key id: id.0 as i64,
        Add uses_left: change.uses,
        Add spent: change.spent,
        Keep last_transaction: bits(change.last_transaction.map(|id| id.0)),
        Add tries: change.tries,
        Add misses: change.misses,
        Add checks: change.checks,
        KeepText bound_to: change.bound_to.as_ref().map(MerchantId::as_str),
        Most revived: change.revived,
        Keep revivable_until_ms: bits(change.revivable_until_ms),
    ]
}

/// A number among the retired ones.
pub(super) fn retired(id: NumberId, usage: &Usage, retired: Retired) -> Row<'_, 12> {
    let Retired { why, at_ms } = retired;
    usage_row![Table::Retired, id, usage, why: why.code(), retired_ms: at_ms as i64]
}

/// A retired number has one more transaction.
pub(super) fn retired_followed(id: NumberId, last: TransactionId) -> Change<'static, 2> {
    change![Changed::Retired, Key id: id.0 as i64, Set last_transaction: last.0 as i64]
}

pub(super) fn quarantined(quarantined: Quarantined) -> Row<'static, 5> {
    let Quarantined { free, id, index, why } = quarantined;
    row![
        Table::Quarantine,
        partition: id.partition().0,
        free_month: show_month(free),
        number: id.0 as i64,
        number_index: index.0 as i64,
        why: why.code(),
    ]
}

/// A number that others drew was claimed in this partition.
pub(super) fn alias(partition: PartitionId, claimed: &NumberClaimed) -> Row<'static, 4> {
    let NumberClaimed { index, account, free } = *claimed;
    row![
        Table::Aliases,
        partition: partition.0,
        free_month: show_month(free),
        number_index: index.0 as i64,
        account: account.0 as i64,
    ]
}

pub(super) fn transaction(event: &Transacted, at_ms: TimeMs, links: Links) -> Row<'_, 46> {
    let (facts, effect) = (&event.facts, &event.effect);
    let books = effect.books();
    let totals = if event.target.is_none() { effect.totals } else { TotalsChange::default() };
    row![
        Table::Transactions,
        partition: event.id.partition().0,
        id: event.id.0 as i64,
        at_ms: at_ms as i64,
        kind: event.kind.code(),
        message: event.message.code(),
        response: event.response.code_in_tables(),
        reason: event.reason.code(),
        approval: event.approval.map(ApprovalCode::value),
        reference: event.reference.0 as i64,
        identity: event.identity.0 as i64,
        content: event.content.0 as i64,
        number: event.number.map(|number| number.id.0 as i64),
        number_index: event.number.map(|number| number.index.0 as i64),
        programme: bits(event.programme.map(|id| id.0)),
        account: bits(event.account.map(|id| id.0)),
        target: bits(event.target.map(|id| id.0)),
        stan: facts.stan.value(),
        merchant: facts.merchant.as_str(),
        amount: event.amount.signed(),
        currency: event.currency.number(),
        ceiling: event.ceiling.signed(),
        reversed: 0,
        total_authorised: totals.authorised,
        total_held: totals.held,
        total_captured: totals.captured,
        total_refunded: totals.refunded,
        use_returned: false,
        previous_follow_up: bits(links.follow_up.map(|id| id.0)),
        previous_by_number: bits(links.by_number.map(|id| id.0)),
        previous_by_account: bits(links.by_account.map(|id| id.0)),
        issuer: bits(event.issuer.map(|id| id.0)),
        reverses: event.reverses.map(|(id, _)| id.0 as i64),
        acquirer: facts.acquirer.as_str(),
        rrn: facts.rrn.as_str(),
        terminal: facts.terminal.as_str(),
        mcc: facts.mcc.map(Mcc::value),
        country: facts.country.map(Country::value),
        entry_mode: facts.entry_mode.value(),
        transmitted: facts.transmitted,
        local_date: facts.local_date,
        local_time: facts.local_time,
        cardholder: books.cardholder,
        held: books.held,
        settlement: books.settlement,
        funding: books.funding,
        suspense: books.suspense,
    ]
}

/// What stands of a purchase changes.
pub(super) fn touched(id: TransactionId, touch: &Touch) -> Change<'static, 9> {
    change![
        Changed::Transaction,
        Key id: id.0 as i64,
        Add total_authorised: touch.change.authorised,
        Add total_held: touch.change.held,
        Add total_captured: touch.change.captured,
        Add total_refunded: touch.change.refunded,
        Most use_returned: touch.use_returned,
        Add reversed: touch.reversed,
        Keep last_follow_up: bits(touch.last_follow_up.map(|id| id.0)),
        Set touched_ms: touch.at_ms as i64,
    ]
}

/// What was moved to an issuer's books is added to what stands there.
pub(super) fn posted(
    partition: PartitionId,
    issuer: IssuerId,
    currency: Currency,
    books: &Books,
) -> Change<'static, 6> {
    change![
        Changed::Books,
        Key partition: partition.0,
        Key issuer: issuer.0 as i64,
        Key currency: currency.number(),
        Add settlement: books.settlement,
        Add funding: books.funding,
        Add suspense: books.suspense,
    ]
}

/// An answer that is kept.
pub(super) fn kept(id: u64, event: &AnswerKept, at_ms: TimeMs) -> Result<Row<'_, 7>> {
    Ok(row![
        Table::Kept,
        partition: PartitionId::of_id(id).0,
        id: id as i64,
        at_ms: at_ms as i64,
        key: event.key.0 as i64,
        content: event.content.0 as i64,
        outcome: json(&event.outcome)?,
        note: &event.note,
    ])
}

/// An entry of a look-up table. Each says its partition, the generation too.
pub(super) fn looked_up(table: Table, generation: u64, hash: i64, id: u64) -> Row<'static, 4> {
    row![
        table,
        partition: PartitionId::of_id(id).0,
        generation: generation as i64,
        hash: hash,
        id: id as i64,
    ]
}
