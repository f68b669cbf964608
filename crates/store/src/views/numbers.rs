//! Numbers: what was issued, what stands of those that are active, and how the others ended.
//!
//! The row of the issue never changes. What every purchase changes stands in a narrow table of the active numbers
//! alone, so that it stays small and a start reads just that; when a number retires its row moves to the table
//! of the retired ones.

use mayfly_card::{LastFour, MerchantId, MinorUnits, MonthIndex};
use mayfly_core::state::{Number, Usage};
use mayfly_core::{
    AccountId, Controls, NumberId, NumberIssued, PartitionId, ProgrammeId, Retirement, TimeMs, TransactionId,
};
use mayfly_keys::NumberIndex;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, Row, params};

use super::cells::{Cells, json, show_month};
use super::codes::Code;

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

-- The active numbers only.
CREATE TABLE number_state (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    account INTEGER NOT NULL,
    programme INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    tries_left INTEGER NOT NULL,
    misses_left INTEGER NOT NULL,
    checks_left INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    bound_to TEXT,
    last_transaction INTEGER,
    revived INTEGER NOT NULL,
    revivable_until_ms INTEGER NOT NULL
) STRICT;

-- The numbers that are not active any more, as they were when they retired; `last_transaction` goes on growing,
-- refunds may still come.
CREATE TABLE retired_numbers (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    why INTEGER NOT NULL,
    retired_ms INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    tries_left INTEGER NOT NULL,
    misses_left INTEGER NOT NULL,
    checks_left INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    bound_to TEXT,
    last_transaction INTEGER,
    revived INTEGER NOT NULL
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

CREATE VIEW number_list AS SELECT
    numbers.id, numbers.partition, printf('%04d', numbers.last_four) AS last_four, numbers.account,
    numbers.programme, numbers.expiry, numbers.issued_ms, numbers.expires_ms, numbers.uses, numbers.controls,
    CASE WHEN number_state.id IS NULL THEN retirements.name ELSE 'active' END AS state,
    retired_numbers.retired_ms,
    coalesce(number_state.uses_left, retired_numbers.uses_left) AS uses_left,
    coalesce(number_state.spent, retired_numbers.spent) AS spent,
    coalesce(number_state.bound_to, retired_numbers.bound_to) AS bound_to,
    coalesce(number_state.last_transaction, retired_numbers.last_transaction) AS last_transaction
    FROM numbers
    LEFT JOIN number_state ON number_state.id = numbers.id
    LEFT JOIN retired_numbers ON retired_numbers.id = numbers.id
    LEFT JOIN retirements ON retirements.code = retired_numbers.why;";

const ADD: &str = "INSERT INTO numbers (id, partition, number_index, last_four, account, programme, expiry,
    issued_ms, expires_ms, uses, controls, previous_by_account) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const FIND_ACTIVE: &str = "SELECT account, programme, uses_left, tries_left, misses_left, checks_left, spent,
    bound_to, last_transaction, revived, revivable_until_ms FROM number_state WHERE id = ?";
const PUT_ACTIVE: &str = "INSERT OR REPLACE INTO number_state (id, partition, account, programme, uses_left,
    tries_left, misses_left, checks_left, spent, bound_to, last_transaction, revived, revivable_until_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const REMOVE_ACTIVE: &str = "DELETE FROM number_state WHERE id = ?";
const FIND_RETIRED: &str = "SELECT why, retired_ms, uses_left, tries_left, misses_left, checks_left, spent,
    bound_to, last_transaction, revived FROM retired_numbers WHERE id = ?";
const PUT_RETIRED: &str = "INSERT OR REPLACE INTO retired_numbers (id, partition, why, retired_ms, uses_left,
    tries_left, misses_left, checks_left, spent, bound_to, last_transaction, revived)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const ADD_QUARANTINE: &str =
    "INSERT OR REPLACE INTO quarantine (partition, free_month, number, number_index, why)
    VALUES (?, ?, ?, ?, ?)";
const FREE_QUARANTINE: &str = "DELETE FROM quarantine WHERE (partition, free_month, number) IN
    (SELECT partition, free_month, number FROM quarantine WHERE partition = ? AND free_month <= ?
     ORDER BY partition, free_month, number LIMIT ?)";
const QUARANTINE: &str =
    "SELECT free_month, number_index, why FROM quarantine WHERE partition = ? AND free_month > ?";
const ACTIVE: &str = "SELECT number_state.account, number_state.programme, uses_left, tries_left, misses_left,
    checks_left, spent, bound_to, last_transaction, revived, revivable_until_ms, numbers.id, number_index,
    last_four, expiry, expires_ms, controls FROM number_state CROSS JOIN numbers ON numbers.id = number_state.id
    WHERE number_state.partition = ?";
const FIND: &str =
    "SELECT id, number_index, last_four, account, programme, expiry, issued_ms, expires_ms, uses,
    controls, previous_by_account FROM numbers WHERE id = ?";

/// An active number as its narrow table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Active {
    pub(crate) account: AccountId,
    pub(crate) programme: ProgrammeId,
    pub(crate) usage: Usage,
}

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

fn usage(cells: &mut Cells<'_, '_>) -> Result<Usage> {
    Ok(Usage {
        uses_left: cells.next()?,
        tries_left: cells.next()?,
        misses_left: cells.next()?,
        checks_left: cells.next()?,
        spent: cells.code(|spent: i64| MinorUnits::new(u64::try_from(spent).ok()?))?,
        bound_to: cells.text_or_none(MerchantId::parse)?,
        last_transaction: cells.bits_or_none()?.map(TransactionId),
        revived: cells.next()?,
        revivable_until_ms: 0,
    })
}

fn active(cells: &mut Cells<'_, '_>) -> Result<Active> {
    let (account, programme) = (AccountId(cells.bits()?), ProgrammeId(cells.bits()?));
    let mut usage = usage(cells)?;
    usage.revivable_until_ms = cells.bits()?;
    Ok(Active { account, programme, usage })
}

fn retired(cells: &mut Cells<'_, '_>) -> Result<(Retired, Usage)> {
    let retired = Retired { why: cells.code(Retirement::of)?, at_ms: cells.bits()? };
    Ok((retired, usage(cells)?))
}

fn controls(cells: &mut Cells<'_, '_>) -> Result<Option<Controls>> {
    cells.text_or_none(|text| serde_json::from_str(text))
}

/// Writes numbers.
pub(crate) struct NumberWriter<'c> {
    partition: PartitionId,
    add: CachedStatement<'c>,
    find_active: CachedStatement<'c>,
    put_active: CachedStatement<'c>,
    remove_active: CachedStatement<'c>,
    find_retired: CachedStatement<'c>,
    put_retired: CachedStatement<'c>,
    add_quarantine: CachedStatement<'c>,
}

impl<'c> NumberWriter<'c> {
    pub(crate) fn new(connection: &'c Connection, partition: PartitionId) -> Result<Self> {
        Ok(Self {
            partition,
            add: connection.prepare_cached(ADD)?,
            find_active: connection.prepare_cached(FIND_ACTIVE)?,
            put_active: connection.prepare_cached(PUT_ACTIVE)?,
            remove_active: connection.prepare_cached(REMOVE_ACTIVE)?,
            find_retired: connection.prepare_cached(FIND_RETIRED)?,
            put_retired: connection.prepare_cached(PUT_RETIRED)?,
            add_quarantine: connection.prepare_cached(ADD_QUARANTINE)?,
        })
    }

    /// The row of the issue.
    pub(crate) fn add(
        &mut self,
        event: &NumberIssued,
        issued_ms: TimeMs,
        previous_by_account: Option<NumberId>,
    ) -> Result<()> {
        let controls = match &event.controls {
            nothing if *nothing == Controls::default() => None,
            controls => Some(json(controls)?),
        };
        self.add.execute(params![
            event.number.id.0 as i64,
            self.partition.0,
            event.number.index.0 as i64,
            event.last_four.value(),
            event.account.0 as i64,
            event.programme.0 as i64,
            show_month(event.expiry),
            issued_ms as i64,
            event.expires_ms as i64,
            event.uses,
            controls,
            previous_by_account.map(|id| id.0 as i64),
        ])?;
        Ok(())
    }

    pub(crate) fn find_active(&mut self, id: NumberId) -> Result<Option<Active>> {
        self.find_active.query_row([id.0 as i64], |row| active(&mut Cells::new(row))).optional()
    }

    pub(crate) fn put_active(&mut self, id: NumberId, number: &Active) -> Result<()> {
        let usage = &number.usage;
        self.put_active.execute(params![
            id.0 as i64,
            self.partition.0,
            number.account.0 as i64,
            number.programme.0 as i64,
            usage.uses_left,
            usage.tries_left,
            usage.misses_left,
            usage.checks_left,
            usage.spent.signed(),
            usage.bound_to.as_ref().map(MerchantId::as_str),
            usage.last_transaction.map(|id| id.0 as i64),
            usage.revived,
            usage.revivable_until_ms as i64,
        ])?;
        Ok(())
    }

    pub(crate) fn remove_active(&mut self, id: NumberId) -> Result<()> {
        self.remove_active.execute([id.0 as i64])?;
        Ok(())
    }

    pub(crate) fn find_retired(&mut self, id: NumberId) -> Result<Option<(Retired, Usage)>> {
        self.find_retired.query_row([id.0 as i64], |row| retired(&mut Cells::new(row))).optional()
    }

    pub(crate) fn put_retired(&mut self, id: NumberId, retired: &Retired, usage: &Usage) -> Result<()> {
        self.put_retired.execute(params![
            id.0 as i64,
            self.partition.0,
            retired.why.code(),
            retired.at_ms as i64,
            usage.uses_left,
            usage.tries_left,
            usage.misses_left,
            usage.checks_left,
            usage.spent.signed(),
            usage.bound_to.as_ref().map(MerchantId::as_str),
            usage.last_transaction.map(|id| id.0 as i64),
            usage.revived,
        ])?;
        Ok(())
    }

    pub(crate) fn add_quarantine(
        &mut self,
        free: MonthIndex,
        id: NumberId,
        index: NumberIndex,
        why: Retirement,
    ) -> Result<()> {
        self.add_quarantine.execute(params![
            self.partition.0,
            show_month(free),
            id.0 as i64,
            index.0 as i64,
            why.code(),
        ])?;
        Ok(())
    }
}

/// Takes out what is free in `month`, at most `limit` indices.
pub(crate) fn free_quarantine(
    connection: &Connection,
    partition: PartitionId,
    month: MonthIndex,
    limit: usize,
) -> Result<usize> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection.prepare_cached(FREE_QUARANTINE)?.execute((partition.0, show_month(month), limit))
}

/// Each index that is not free in `month` yet, with the month in which it comes free.
pub(crate) fn quarantine(
    connection: &Connection,
    partition: PartitionId,
    month: MonthIndex,
    mut each: impl FnMut(MonthIndex, NumberIndex, Retirement),
) -> Result<()> {
    let mut statement = connection.prepare_cached(QUARANTINE)?;
    let mut rows = statement.query((partition.0, show_month(month)))?;
    while let Some(row) = rows.next()? {
        let mut cells = Cells::new(row);
        each(cells.month()?, NumberIndex(cells.bits()?), cells.code(Retirement::of)?);
    }
    Ok(())
}

/// Each active number, by id.
pub(crate) fn each_active(
    connection: &Connection,
    partition: PartitionId,
    mut each: impl FnMut(Number),
) -> Result<()> {
    let mut statement = connection.prepare_cached(ACTIVE)?;
    let mut rows = statement.query([partition.0])?;
    while let Some(row) = rows.next()? {
        let mut cells = Cells::new(row);
        let Active { account, programme, usage } = active(&mut cells)?;
        each(Number {
            id: NumberId(cells.bits()?),
            index: NumberIndex(cells.bits()?),
            account,
            programme,
            last_four: cells.code(LastFour::from_value)?,
            expiry: cells.month()?,
            expires_ms: cells.bits()?,
            controls: controls(&mut cells)?.map(Box::new),
            usage,
        });
    }
    Ok(())
}

/// How many numbers are active.
pub(crate) fn count_active(connection: &Connection, partition: PartitionId) -> Result<u64> {
    let sql = "SELECT count(*) FROM number_state WHERE partition = ?";
    connection.prepare_cached(sql)?.query_row([partition.0], |row| row.get::<_, i64>(0)).map(|n| n as u64)
}

/// A number, active or not.
pub(crate) fn find(connection: &Connection, id: NumberId) -> Result<Option<NumberRow>> {
    let active = connection
        .prepare_cached(FIND_ACTIVE)?
        .query_row([id.0 as i64], |row| active(&mut Cells::new(row)))
        .optional()?;
    let (usage, retired) = match active {
        Some(active) => (active.usage, None),
        None => {
            let found = connection
                .prepare_cached(FIND_RETIRED)?
                .query_row([id.0 as i64], |row| retired(&mut Cells::new(row)))
                .optional()?;
            match found {
                Some((retired, usage)) => (usage, Some(retired)),
                None => return Ok(None),
            }
        }
    };
    let read = |row: &Row<'_>| {
        let mut cells = Cells::new(row);
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
            controls: controls(&mut cells)?.unwrap_or_default(),
            usage,
            retired,
            previous_by_account: cells.bits_or_none()?.map(NumberId),
        })
    };
    connection.prepare_cached(FIND)?.query_row([id.0 as i64], read).optional()
}

/// The last transaction that was made with a number, active or not.
pub(crate) fn last_transaction(connection: &Connection, id: NumberId) -> Result<Option<TransactionId>> {
    let sql = "SELECT last_transaction FROM number_state WHERE id = ?1
        UNION ALL SELECT last_transaction FROM retired_numbers WHERE id = ?1";
    let found: Option<Option<i64>> =
        connection.prepare_cached(sql)?.query_row([id.0 as i64], |row| row.get(0)).optional()?;
    Ok(found.flatten().map(|id| TransactionId(id as u64)))
}
