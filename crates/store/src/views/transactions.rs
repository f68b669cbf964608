//! Transactions: one row per message, written once; only what stands of a purchase is changed later.

use mayfly_card::{
    AcquirerId, ApprovalCode, Country, Currency, Mcc, MerchantId, MinorUnits, PosEntryMode, Rrn, Stan,
    TerminalId,
};
use mayfly_core::state::{Totals, Transaction};
use mayfly_core::{
    AccountId, Books, Facts, Hash64, IssuerId, Kind, MessageKind, NumberId, NumberRef, PartitionId,
    ProgrammeId, Reason, ResponseCode, TimeMs, TransactionId,
};
use mayfly_keys::NumberIndex;

use super::codes::{Code, InTables};
use super::{Result, cut};
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- What a message said, what was answered and what it moved (cardholder to suspense: its ledger entries) is
-- written once. The total columns are what stands of a purchase now; together with `reversed` (how much of this
-- very message was reversed), use_returned, last_follow_up and touched_ms (null until then) they change when something that
-- belongs to it comes. `last_follow_up` begins the list of all that was done to a purchase, previous_follow_up goes on
-- with it; the other lists begin in number_state, retired_numbers and accounts.
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    touched_ms INTEGER,
    kind INTEGER NOT NULL,
    message INTEGER NOT NULL,
    response INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    approval INTEGER,
    reference INTEGER NOT NULL,
    identity INTEGER NOT NULL,
    content INTEGER NOT NULL,
    number INTEGER,
    number_index INTEGER,
    programme INTEGER,
    account INTEGER,
    target INTEGER,
    stan INTEGER NOT NULL,
    merchant TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    ceiling INTEGER NOT NULL,
    reversed INTEGER NOT NULL,
    total_authorised INTEGER NOT NULL,
    total_held INTEGER NOT NULL,
    total_captured INTEGER NOT NULL,
    total_refunded INTEGER NOT NULL,
    use_returned INTEGER NOT NULL,
    last_follow_up INTEGER,
    previous_follow_up INTEGER,
    previous_by_number INTEGER,
    previous_by_account INTEGER,
    issuer INTEGER,
    reverses INTEGER,
    acquirer TEXT NOT NULL,
    rrn TEXT NOT NULL,
    terminal TEXT NOT NULL,
    mcc INTEGER,
    country INTEGER,
    entry_mode INTEGER NOT NULL,
    transmitted INTEGER NOT NULL,
    local_date INTEGER NOT NULL,
    local_time INTEGER NOT NULL,
    cardholder INTEGER NOT NULL,
    held INTEGER NOT NULL,
    settlement INTEGER NOT NULL,
    funding INTEGER NOT NULL,
    suspense INTEGER NOT NULL,
    CHECK (cardholder + held + settlement + funding + suspense = 0)
) STRICT;

CREATE VIEW ledger_entries AS
    SELECT id AS \"transaction\", partition, at_ms, issuer, account, currency, 'cardholder' AS book,
        cardholder AS amount FROM transactions WHERE cardholder <> 0
    UNION ALL SELECT id, partition, at_ms, issuer, account, currency, 'held', held
        FROM transactions WHERE held <> 0
    UNION ALL SELECT id, partition, at_ms, issuer, account, currency, 'settlement', settlement
        FROM transactions WHERE settlement <> 0
    UNION ALL SELECT id, partition, at_ms, issuer, account, currency, 'funding', funding
        FROM transactions WHERE funding <> 0
    UNION ALL SELECT id, partition, at_ms, issuer, account, currency, 'suspense', suspense
        FROM transactions WHERE suspense <> 0
    -- Of transactions that were dropped: in sum.
    UNION ALL SELECT NULL, partition, NULL, nullif(issuer, 0), nullif(account, 0), currency, 'cardholder', cardholder
        FROM carried_entries WHERE cardholder <> 0
    UNION ALL SELECT NULL, partition, NULL, nullif(issuer, 0), nullif(account, 0), currency, 'held', held
        FROM carried_entries WHERE held <> 0
    UNION ALL SELECT NULL, partition, NULL, nullif(issuer, 0), nullif(account, 0), currency, 'settlement', settlement
        FROM carried_entries WHERE settlement <> 0
    UNION ALL SELECT NULL, partition, NULL, nullif(issuer, 0), nullif(account, 0), currency, 'funding', funding
        FROM carried_entries WHERE funding <> 0
    UNION ALL SELECT NULL, partition, NULL, nullif(issuer, 0), nullif(account, 0), currency, 'suspense', suspense
        FROM carried_entries WHERE suspense <> 0;";

/// What people read.
pub(super) const LIST: &str = "
CREATE VIEW transaction_list AS SELECT
    transactions.id, transactions.partition,
    strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at,
    kinds.name AS kind, messages.name AS message, responses.name AS response, reasons.name AS reason,
    CASE WHEN approval < 1000000 THEN substr(CAST(1000000 + approval AS TEXT), 2) ELSE
        substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', CAST((approval - 1000000) / 60466176 % 36 AS INT) + 1, 1) ||
        substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', CAST((approval - 1000000) / 1679616 % 36 AS INT) + 1, 1) ||
        substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', CAST((approval - 1000000) / 46656 % 36 AS INT) + 1, 1) ||
        substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', CAST((approval - 1000000) / 1296 % 36 AS INT) + 1, 1) ||
        substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', CAST((approval - 1000000) / 36 % 36 AS INT) + 1, 1) ||
        substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', CAST((approval - 1000000) / 1 % 36 AS INT) + 1, 1)
    END AS approval, number, account, issuer, target, amount, currency,
    acquirer, substr(CAST(1000000 + stan AS TEXT), 2) AS stan, rrn, terminal, merchant, mcc, country,
    substr(CAST(1000 + entry_mode AS TEXT), 2) AS entry_mode,
    total_authorised, total_held, total_captured, total_refunded, use_returned,
    ceiling, reversed, reverses, cardholder, held, settlement, funding, suspense
    FROM transactions
    JOIN kinds ON kinds.code = kind
    JOIN messages ON messages.code = message
    JOIN responses ON responses.code = response
    JOIN reasons ON reasons.code = reason;";

const FOLLOW_UP: &str =
    "SELECT last_follow_up, previous_follow_up FROM transactions WHERE partition = ? AND id = ?";

/// What the core keeps of a transaction.
const CORE: &str =
    "id, at_ms, coalesce(touched_ms, at_ms),  kind, message, response, reason, approval, reference, identity,
    content, number, number_index, programme, account, target, stan, transmitted, merchant, amount, currency, ceiling,
    reversed, total_authorised, total_held, total_captured, total_refunded, use_returned, previous_by_number";
/// What is shown beyond that.
const REST: &str =
    "previous_by_account, issuer, reverses, acquirer, rrn, terminal, mcc, country, entry_mode, local_date,
    local_time, cardholder, held, settlement, funding, suspense";

/// A transaction with everything that people are shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// What the core keeps of it.
    pub transaction: Transaction,
    /// Whose books it went through.
    pub issuer: Option<IssuerId>,
    /// Which message it took back.
    pub reverses: Option<TransactionId>,
    /// What else the message said.
    pub facts: Facts,
    /// Its ledger entries, in minor units.
    pub books: Books,
    /// The one before it on the same account.
    pub previous_by_account: Option<TransactionId>,
}

impl TransactionRow {
    /// The amount as people see it, in minor units: what an operator paid out is negative.
    pub fn amount_shown(&self) -> i64 {
        let amount = self.transaction.amount.signed();
        // What is paid in comes from the funding book, what is paid out goes there.
        if self.transaction.kind == Kind::Funding && self.books.funding > 0 { -amount } else { amount }
    }
}

fn number(cells: &mut Cells<'_>) -> Result<Option<NumberRef>> {
    let (id, index) = (cells.bits_or_none()?, cells.bits_or_none()?);
    Ok(id.zip(index).map(|(id, index)| NumberRef { id: NumberId(id), index: NumberIndex(index) }))
}

fn core(cells: &mut Cells<'_>) -> Result<Transaction> {
    Ok(Transaction {
        id: TransactionId(cells.bits()?),
        at_ms: cells.bits()?,
        touched_ms: cells.bits()?,
        kind: cells.code(Kind::of)?,
        message: cells.code(MessageKind::of)?,
        response: cells.code(ResponseCode::of_tables)?,
        reason: cells.code(Reason::of)?,
        approval: cells.code_or_none(ApprovalCode::from_value)?,
        reference: Hash64(cells.bits()?),
        identity: Hash64(cells.bits()?),
        content: Hash64(cells.bits()?),
        number: number(cells)?,
        programme: cells.bits_or_none()?.map(ProgrammeId),
        account: cells.bits_or_none()?.map(AccountId),
        target: cells.bits_or_none()?.map(TransactionId),
        stan: cells.code(Stan::from_value)?,
        transmitted: cells.next()?,
        merchant: cells.text(MerchantId::parse)?,
        amount: cells.code(|amount: i64| MinorUnits::new(u64::try_from(amount).ok()?))?,
        currency: cells.code(Currency::from_number)?,
        ceiling: cells.code(|amount: i64| MinorUnits::new(u64::try_from(amount).ok()?))?,
        reversed: cells.next()?,
        totals: Totals {
            authorised: cells.next()?,
            held: cells.next()?,
            captured: cells.next()?,
            refunded: cells.next()?,
        },
        use_returned: cells.next()?,
        previous_by_reference: None,
        previous_by_number: cells.bits_or_none()?.map(TransactionId),
    })
}

fn whole(cells: &mut Cells<'_>) -> Result<TransactionRow> {
    let transaction = core(cells)?;
    let previous_by_account = cells.bits_or_none()?.map(TransactionId);
    let issuer = cells.bits_or_none()?.map(IssuerId);
    let reverses = cells.bits_or_none()?.map(TransactionId);
    let facts = Facts {
        stan: transaction.stan,
        merchant: transaction.merchant,
        acquirer: cells.text(AcquirerId::parse)?,
        rrn: cells.text(Rrn::parse)?,
        terminal: cells.text(TerminalId::parse)?,
        mcc: cells.code_or_none(Mcc::from_value)?,
        country: cells.code_or_none(Country::from_value)?,
        entry_mode: cells.code(|mode: u16| PosEntryMode::parse(&format!("{mode:03}")).ok())?,
        transmitted: transaction.transmitted,
        local_date: cells.next()?,
        local_time: cells.next()?,
    };
    let books = Books {
        cardholder: cells.next()?,
        held: cells.next()?,
        settlement: cells.next()?,
        funding: cells.next()?,
        suspense: cells.next()?,
    };
    Ok(TransactionRow { transaction, issuer, reverses, facts, books, previous_by_account })
}

/// One transaction, as the core keeps it.
pub(crate) fn find(sql: &Sql, partition: PartitionId, id: TransactionId) -> Result<Option<Transaction>> {
    let find = format!("SELECT {CORE} FROM transactions WHERE partition = ? AND id = ?");
    sql.one(&find, values![partition.0, id.0 as i64], core)
}

/// How much that was done to one purchase is found at the most, the latest first.
const FOLLOW_UPS_MAX: usize = 1000;

/// The purchase that a transaction belongs to, or is, and all that was done to it. If the purchase was dropped, the transaction
/// alone: what comes for it later changes it.
pub(crate) fn family(sql: &Sql, partition: PartitionId, id: TransactionId) -> Result<Vec<Transaction>> {
    let Some(found) = find(sql, partition, id)? else { return Ok(Vec::new()) };
    let purchase = match found.target {
        Some(target) => match find(sql, partition, target)? {
            Some(purchase) => purchase,
            None => return Ok(vec![found]),
        },
        None => found,
    };
    // The last that was done to a transaction, and what was done before it to the same purchase.
    let links = |id: TransactionId| {
        let found = sql.one(FOLLOW_UP, values![partition.0, id.0 as i64], |cells| {
            Ok((cells.bits_or_none()?, cells.bits_or_none()?))
        })?;
        Ok(found.unwrap_or_default())
    };
    let mut next: Option<u64> = links(purchase.id)?.0;
    let mut family = vec![purchase];
    while let Some(id) = next.map(TransactionId).filter(|_| family.len() <= FOLLOW_UPS_MAX) {
        family.extend(find(sql, partition, id)?);
        next = links(id)?.1;
    }
    Ok(family)
}

/// One transaction, with all of it.
pub(crate) fn find_whole(
    sql: &Sql,
    partition: PartitionId,
    id: TransactionId,
) -> Result<Option<TransactionRow>> {
    let find = format!("SELECT {CORE}, {REST} FROM transactions WHERE partition = ? AND id = ?");
    sql.one(&find, values![partition.0, id.0 as i64], whole)
}

/// The latest ones before `before`, at most `limit`, the latest first.
pub(crate) fn latest(
    sql: &Sql,
    partition: PartitionId,
    before: TransactionId,
    limit: usize,
) -> Result<Vec<TransactionRow>> {
    let latest = format!(
        "SELECT {CORE}, {REST} FROM transactions WHERE partition = ? AND id < ? ORDER BY id DESC LIMIT ?"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let before = i64::try_from(before.0).unwrap_or(i64::MAX);
    sql.all(&latest, values![partition.0, before, limit], whole)
}

/// Each one from `from` on, by id, and which one it takes back.
pub(crate) fn each_from(
    sql: &Sql,
    partition: PartitionId,
    from: TransactionId,
    mut each: impl FnMut(Transaction, Option<TransactionId>),
) -> Result<()> {
    let all =
        format!("SELECT {CORE}, reverses FROM transactions WHERE partition = ? AND id >= ? ORDER BY id");
    sql.each(&all, values![partition.0, from.0 as i64], |cells| {
        let transaction = core(cells)?;
        each(transaction, cells.bits_or_none()?.map(TransactionId));
        Ok(())
    })
}

/// The first transaction that was decided at `at_ms` or later, of those before `next` and of which none was dropped: time
/// never goes back, so ids are in its order, and half of them are ruled out by each look.
pub(crate) fn first_since(
    sql: &Sql,
    partition: PartitionId,
    at_ms: TimeMs,
    next: TransactionId,
) -> Result<TransactionId> {
    let find = "SELECT at_ms FROM transactions WHERE partition = ? AND id = ?";
    let (mut low, mut high) = (cut::find(sql, partition)?.next.0.min(next.0), next.0);
    while low < high {
        let middle = low + (high - low) / 2;
        let middle_ms = sql.one(find, values![partition.0, middle as i64], |cells| cells.bits())?;
        // Ids have no gaps; a missing one is as good as a later one, whoever loads finds out.
        if middle_ms.is_some_and(|middle_ms| middle_ms < at_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(TransactionId(low))
}
