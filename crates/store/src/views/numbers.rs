//! Numbers: what was issued, what stands of those that are active, and how the others ended.
//!
//! The row of the issue never changes. What every purchase changes stands in a narrow table of the active numbers
//! alone, so that it stays small and a start reads just that; when a number retires its row moves to the table
//! of the retired ones.

use mayfly_card::{LastFour, MerchantId, MinorUnits, MonthIndex};
use mayfly_core::state::{CHECKS, MISSES, Number, TRIES, Usage};
use mayfly_core::{
    AccountId, Controls, NumberId, PartitionId, ProgrammeId, Retirement, TimeMs, TransactionId,
};
use mayfly_keys::NumberIndex;

use super::Result;
use super::codes::Code;
use crate::sql::{Cells, Sql, show_month, values};

pub(super) const CREATE: &str = "
-- As issued; never changed. `number_index` is the keyed index. `controls` is null where nothing was set.
CREATE TABLE numbers (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    number_index INTEGER NOT NULL,
    last_four INTEGER NOT NULL,
    account INTEGER NOT NULL,
    programme INTEGER NOT NULL,
    expiry TEXT NOT NULL,
    issued_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    controls TEXT,
    previous_by_account INTEGER
) STRICT;

-- The active numbers only, and only what purchases change: kept narrow, since purchases with a million numbers change
-- every page. `tries`, `misses` and `checks` are those that it has had. Where nothing has happened stands a 0 or a
-- null, which take no room.
CREATE TABLE number_state (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    last_transaction INTEGER,
    tries INTEGER NOT NULL,
    misses INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    bound_to TEXT,
    revived INTEGER NOT NULL,
    revivable_until_ms INTEGER NOT NULL
) STRICT;

-- The numbers that are not active any more, as they were when they retired; `last_transaction` goes on growing,
-- refunds may still come.
CREATE TABLE retired_numbers (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    last_transaction INTEGER,
    tries INTEGER NOT NULL,
    misses INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    bound_to TEXT,
    revived INTEGER NOT NULL,
    why INTEGER NOT NULL,
    retired_ms INTEGER NOT NULL
) STRICT;

-- Indices that must not be drawn yet, by the month in which they come free.
CREATE TABLE quarantine (
    partition INTEGER NOT NULL,
    free_month TEXT NOT NULL,
    number INTEGER NOT NULL,
    number_index INTEGER NOT NULL,
    why INTEGER NOT NULL,
    PRIMARY KEY (partition, free_month, number)
) STRICT, WITHOUT ROWID;

-- Numbers that others drew, in the partition of their hash, and the accounts elsewhere that they belong to, until a month.
CREATE TABLE aliases (
    partition INTEGER NOT NULL,
    free_month TEXT NOT NULL,
    number_index INTEGER NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (partition, free_month, number_index)
) STRICT, WITHOUT ROWID;";

/// What people read.
pub(super) const LIST: &str = "
CREATE VIEW number_list AS SELECT
    numbers.id, numbers.partition, substr(CAST(10000 + numbers.last_four AS TEXT), 2) AS last_four, numbers.account,
    numbers.programme, numbers.expiry, numbers.issued_ms, numbers.expires_ms, numbers.uses, numbers.controls,
    CASE WHEN number_state.id IS NULL THEN retirements.name ELSE 'active' END AS state,
    retired_numbers.retired_ms,
    coalesce(number_state.uses_left, retired_numbers.uses_left) AS uses_left,
    coalesce(number_state.spent, retired_numbers.spent) AS spent,
    coalesce(number_state.bound_to, retired_numbers.bound_to) AS bound_to,
    coalesce(number_state.last_transaction, retired_numbers.last_transaction) AS last_transaction
    FROM numbers
    LEFT JOIN number_state ON number_state.partition = numbers.partition AND number_state.id = numbers.id
    LEFT JOIN retired_numbers ON retired_numbers.partition = numbers.partition
        AND retired_numbers.id = numbers.id
    LEFT JOIN retirements ON retirements.code = retired_numbers.why;";

/// What stands of an active number.
pub(crate) const ACTIVE_COLUMNS: &str =
    "uses_left, spent, last_transaction, tries, misses, checks, bound_to, revived, revivable_until_ms";
const FIND_ACTIVE: &str =
    "SELECT uses_left, spent, last_transaction, tries, misses, checks, bound_to, revived,
    revivable_until_ms FROM number_state WHERE partition = ? AND id = ?";
const FIND_RETIRED: &str =
    "SELECT uses_left, spent, last_transaction, tries, misses, checks, bound_to, revived,
    why, retired_ms FROM retired_numbers WHERE partition = ? AND id = ?";
const FREE_QUARANTINE: &str = "DELETE FROM quarantine WHERE (partition, free_month, number) IN
    (SELECT partition, free_month, number FROM quarantine WHERE partition = ? AND free_month <= ?
     ORDER BY partition, free_month, number LIMIT ?)";
const QUARANTINE: &str =
    "SELECT free_month, number_index, why FROM quarantine WHERE partition = ? AND free_month > ?";
const FREE_ALIASES: &str = "DELETE FROM aliases WHERE (partition, free_month, number_index) IN
    (SELECT partition, free_month, number_index FROM aliases WHERE partition = ? AND free_month <= ?
     ORDER BY partition, free_month, number_index LIMIT ?)";
const ALIASES: &str =
    "SELECT free_month, number_index, account FROM aliases WHERE partition = ? AND free_month > ?";
const ACTIVE: &str = "SELECT uses_left, spent, last_transaction, tries, misses, checks, bound_to, revived,
    revivable_until_ms, numbers.id, number_index, account, programme, last_four, expiry, expires_ms, controls
    FROM number_state CROSS JOIN numbers
    WHERE numbers.id = number_state.id AND numbers.partition = number_state.partition
    AND number_state.partition = ?";
const FIND: &str =
    "SELECT id, number_index, last_four, account, programme, expiry, issued_ms, expires_ms, uses,
    controls, previous_by_account FROM numbers WHERE partition = ? AND id = ?";
const LAST_TRANSACTION: &str = "SELECT last_transaction FROM number_state WHERE partition = ? AND id = ?
    UNION ALL SELECT last_transaction FROM retired_numbers WHERE partition = ? AND id = ?";

/// How a number ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Why.
    pub why: Retirement,
    /// When.
    pub at_ms: TimeMs,
}

/// A number with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberRow {
    /// Its id.
    pub id: NumberId,
    /// Its keyed index.
    pub index: NumberIndex,
    /// What people see of it.
    pub last_four: LastFour,
    /// Whose purchases it makes.
    pub account: AccountId,
    /// By whose terms.
    pub programme: ProgrammeId,
    /// The printed expiration date.
    pub expiry: MonthIndex,
    /// When it was issued.
    pub issued_ms: TimeMs,
    /// When its lifetime is over.
    pub expires_ms: TimeMs,
    /// For how many uses it was issued.
    pub uses: u32,
    /// What it may do.
    pub controls: Controls,
    /// What stands of it, or stood when it retired.
    pub usage: Usage,
    /// How it ended; none while it is active.
    pub retired: Option<Retired>,
    /// The number that was issued to the same account before it.
    pub previous_by_account: Option<NumberId>,
}

fn usage(cells: &mut Cells<'_>) -> Result<Usage> {
    let left = |most: u8, had: u8| most.checked_sub(had);
    Ok(Usage {
        uses_left: cells.next()?,
        spent: cells.code(|spent: i64| MinorUnits::new(u64::try_from(spent).ok()?))?,
        last_transaction: cells.bits_or_none()?.map(TransactionId),
        tries_left: cells.code(|had| left(TRIES, had))?,
        misses_left: cells.code(|had| left(MISSES, had))?,
        checks_left: cells.code(|had| left(CHECKS, had))?,
        bound_to: cells.text_or_none(MerchantId::parse)?,
        revived: cells.next()?,
        revivable_until_ms: 0,
    })
}

pub(crate) fn active(cells: &mut Cells<'_>) -> Result<Usage> {
    let usage = usage(cells)?;
    Ok(Usage { revivable_until_ms: cells.bits()?, ..usage })
}

fn retired(cells: &mut Cells<'_>) -> Result<(Usage, Retired)> {
    let usage = usage(cells)?;
    Ok((usage, Retired { why: cells.code(Retirement::of)?, at_ms: cells.bits()? }))
}

fn controls(cells: &mut Cells<'_>) -> Result<Option<Controls>> {
    cells.text_or_none(|text| serde_json::from_str(text))
}

/// Takes out what is free in `month`, at most `limit` indices in quarantine and as many aliases.
pub(crate) fn free(sql: &Sql, partition: PartitionId, month: MonthIndex, limit: usize) -> Result<()> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sql.run(FREE_QUARANTINE, values![partition.0, show_month(month), limit])?;
    sql.run(FREE_ALIASES, values![partition.0, show_month(month), limit]).map(|_| ())
}

/// Each index that is not free in `month` yet, with the month in which it comes free.
pub(crate) fn quarantine(
    sql: &Sql,
    partition: PartitionId,
    month: MonthIndex,
    mut each: impl FnMut(MonthIndex, NumberIndex, Retirement),
) -> Result<()> {
    sql.each(QUARANTINE, values![partition.0, show_month(month)], |cells| {
        each(cells.month()?, NumberIndex(cells.bits()?), cells.code(Retirement::of)?);
        Ok(())
    })
}

/// Each number that others drew and that is not free in `month` yet, with the month in which it comes free.
pub(crate) fn aliases(
    sql: &Sql,
    partition: PartitionId,
    month: MonthIndex,
    mut each: impl FnMut(MonthIndex, NumberIndex, AccountId),
) -> Result<()> {
    sql.each(ALIASES, values![partition.0, show_month(month)], |cells| {
        each(cells.month()?, NumberIndex(cells.bits()?), AccountId(cells.bits()?));
        Ok(())
    })
}

/// Each active number.
pub(crate) fn each_active(sql: &Sql, partition: PartitionId, mut each: impl FnMut(Number)) -> Result<()> {
    sql.each(ACTIVE, values![partition.0], |cells| {
        let usage = active(cells)?;
        each(Number {
            id: NumberId(cells.bits()?),
            index: NumberIndex(cells.bits()?),
            account: AccountId(cells.bits()?),
            programme: ProgrammeId(cells.bits()?),
            last_four: cells.code(LastFour::from_value)?,
            expiry: cells.month()?,
            expires_ms: cells.bits()?,
            controls: controls(cells)?.map(Box::new),
            usage,
        });
        Ok(())
    })
}

/// How many numbers are active.
pub(crate) fn count_active(sql: &Sql, partition: PartitionId) -> Result<u64> {
    let count = "SELECT count(*) FROM number_state WHERE partition = ?";
    Ok(sql.one(count, values![partition.0], |cells| cells.bits())?.unwrap_or(0))
}

/// A number, active or not.
pub(crate) fn find(sql: &Sql, partition: PartitionId, id: NumberId) -> Result<Option<NumberRow>> {
    let values = values![partition.0, id.0 as i64];
    let (usage, retired) = match sql.one(FIND_ACTIVE, values, active)? {
        Some(usage) => (usage, None),
        None => match sql.one(FIND_RETIRED, values, retired)? {
            Some((usage, retired)) => (usage, Some(retired)),
            None => return Ok(None),
        },
    };
    sql.one(FIND, values, |cells| {
        Ok(NumberRow {
            id: NumberId(cells.bits()?),
            index: NumberIndex(cells.bits()?),
            last_four: cells.code(LastFour::from_value)?,
            account: AccountId(cells.bits()?),
            programme: ProgrammeId(cells.bits()?),
            expiry: cells.month()?,
            issued_ms: cells.bits()?,
            expires_ms: cells.bits()?,
            uses: cells.next()?,
            controls: controls(cells)?.unwrap_or_default(),
            usage,
            retired,
            previous_by_account: cells.bits_or_none()?.map(NumberId),
        })
    })
}

/// The last transaction that was made with a number, active or not.
pub(crate) fn last_transaction(
    sql: &Sql,
    partition: PartitionId,
    id: NumberId,
) -> Result<Option<TransactionId>> {
    let values = values![partition.0, id.0 as i64, partition.0, id.0 as i64];
    let found = sql.one(LAST_TRANSACTION, values, |cells| cells.bits_or_none())?;
    Ok(found.flatten().map(TransactionId))
}
