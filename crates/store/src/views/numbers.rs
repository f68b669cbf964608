//! Numbers: what was issued, what stands of those that are active, and how the others ended.
//!
//! The row of the issue never changes. What every purchase changes stands in a narrow table of the active numbers
//! alone, so that it stays small and a start reads just that; when a number retires its row moves to the table
//! of the retired ones.

use mayfly_card::{LastFour, MerchantId, MinorUnits, MonthIndex};
use mayfly_core::state::{CHECKS, MISSES, Number, TRIES, Usage, UsageChange};
use mayfly_core::{
    AccountId, Controls, NumberId, NumberIssued, PartitionId, ProgrammeId, Retirement, TimeMs, TransactionId,
};
use mayfly_keys::NumberIndex;
use rusqlite::{CachedStatement, Connection, Error, OptionalExtension, Result, Row, params};

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
const FIND_ACTIVE: &str =
    "SELECT uses_left, spent, last_transaction, tries, misses, checks, bound_to, revived,
    revivable_until_ms FROM number_state WHERE id = ?";
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
const FIND_RETIRED: &str =
    "SELECT uses_left, spent, last_transaction, tries, misses, checks, bound_to, revived,
    why, retired_ms FROM retired_numbers WHERE id = ?";
const ADD_RETIRED: &str =
    "INSERT INTO retired_numbers (id, partition, uses_left, spent, last_transaction, tries,
    misses, checks, bound_to, revived, why, retired_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const LAST_OF_RETIRED: &str = "SELECT last_transaction FROM retired_numbers WHERE id = ?";
const FOLLOW_RETIRED: &str = "UPDATE retired_numbers SET last_transaction = ? WHERE id = ?";
const OWNER: &str = "SELECT account, programme FROM numbers WHERE id = ?";
const ADD_QUARANTINE: &str =
    "INSERT OR REPLACE INTO quarantine (partition, free_month, number, number_index, why)
    VALUES (?, ?, ?, ?, ?)";
const FREE_QUARANTINE: &str = "DELETE FROM quarantine WHERE (partition, free_month, number) IN
    (SELECT partition, free_month, number FROM quarantine WHERE partition = ? AND free_month <= ?
     ORDER BY partition, free_month, number LIMIT ?)";
const QUARANTINE: &str =
    "SELECT free_month, number_index, why FROM quarantine WHERE partition = ? AND free_month > ?";
const ACTIVE: &str = "SELECT uses_left, spent, last_transaction, tries, misses, checks, bound_to, revived,
    revivable_until_ms, numbers.id, number_index, account, programme, last_four, expiry, expires_ms, controls
    FROM number_state CROSS JOIN numbers ON numbers.id = number_state.id WHERE number_state.partition = ?";
const FIND: &str =
    "SELECT id, number_index, last_four, account, programme, expiry, issued_ms, expires_ms, uses,
    controls, previous_by_account FROM numbers WHERE id = ?";

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

fn active(cells: &mut Cells<'_, '_>) -> Result<Usage> {
    let usage = usage(cells)?;
    Ok(Usage { revivable_until_ms: cells.bits()?, ..usage })
}

fn retired(cells: &mut Cells<'_, '_>) -> Result<(Usage, Retired)> {
    let usage = usage(cells)?;
    Ok((usage, Retired { why: cells.code(Retirement::of)?, at_ms: cells.bits()? }))
}

fn controls(cells: &mut Cells<'_, '_>) -> Result<Option<Controls>> {
    cells.text_or_none(|text| serde_json::from_str(text))
}

/// Writes numbers.
pub(crate) struct NumberWriter<'c> {
    partition: PartitionId,
    add: CachedStatement<'c>,
    find_active: CachedStatement<'c>,
    add_active: CachedStatement<'c>,
    use_active: CachedStatement<'c>,
    change_active: CachedStatement<'c>,
    remove_active: CachedStatement<'c>,
    add_retired: CachedStatement<'c>,
    last_of_retired: CachedStatement<'c>,
    follow_retired: CachedStatement<'c>,
    owner: CachedStatement<'c>,
    add_quarantine: CachedStatement<'c>,
}

impl<'c> NumberWriter<'c> {
    pub(crate) fn new(connection: &'c Connection, partition: PartitionId) -> Result<Self> {
        Ok(Self {
            partition,
            add: connection.prepare_cached(ADD)?,
            find_active: connection.prepare_cached(FIND_ACTIVE)?,
            add_active: connection.prepare_cached(ADD_ACTIVE)?,
            use_active: connection.prepare_cached(USE_ACTIVE)?,
            change_active: connection.prepare_cached(CHANGE_ACTIVE)?,
            remove_active: connection.prepare_cached(REMOVE_ACTIVE)?,
            add_retired: connection.prepare_cached(ADD_RETIRED)?,
            last_of_retired: connection.prepare_cached(LAST_OF_RETIRED)?,
            follow_retired: connection.prepare_cached(FOLLOW_RETIRED)?,
            owner: connection.prepare_cached(OWNER)?,
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

    /// Puts a number among the active ones.
    pub(crate) fn add_active(&mut self, id: NumberId, usage: &Usage) -> Result<()> {
        self.add_active.execute(params![
            id.0 as i64,
            self.partition.0,
            usage.uses_left,
            usage.spent.signed(),
            usage.last_transaction.map(|id| id.0 as i64),
            TRIES - usage.tries_left,
            MISSES - usage.misses_left,
            CHECKS - usage.checks_left,
            usage.bound_to.as_ref().map(MerchantId::as_str),
            usage.revived,
            usage.revivable_until_ms as i64,
        ])?;
        Ok(())
    }

    /// Changes an active number, without reading it. One that is not there is an error: the tables are damaged.
    pub(crate) fn change_active(&mut self, id: NumberId, change: &UsageChange) -> Result<()> {
        let last = change.last_transaction.map(|id| id.0 as i64);
        let plain = UsageChange {
            uses: change.uses,
            spent: change.spent,
            last_transaction: change.last_transaction,
            ..UsageChange::default()
        };
        let changed = if *change == plain && last.is_some() {
            self.use_active.execute(params![change.uses, change.spent, last, id.0 as i64])?
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
            ])?
        };
        if changed == 1 { Ok(()) } else { Err(Error::StatementChangedRows(changed)) }
    }

    /// Takes a number out of the active ones. One that is not there is an error: the tables are damaged.
    pub(crate) fn take_active(&mut self, id: NumberId) -> Result<Usage> {
        let usage = self.find_active.query_row([id.0 as i64], |row| active(&mut Cells::new(row)))?;
        self.remove_active.execute([id.0 as i64])?;
        Ok(usage)
    }

    /// Puts a number among the retired ones.
    pub(crate) fn add_retired(&mut self, id: NumberId, usage: &Usage, retired: Retired) -> Result<()> {
        self.add_retired.execute(params![
            id.0 as i64,
            self.partition.0,
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
        ])?;
        Ok(())
    }

    /// The last transaction with a number, if it is a retired one.
    pub(crate) fn last_of_retired(&mut self, id: NumberId) -> Result<Option<Option<TransactionId>>> {
        let found: Option<Option<i64>> =
            self.last_of_retired.query_row([id.0 as i64], |row| row.get(0)).optional()?;
        Ok(found.map(|last| last.map(|id| TransactionId(id as u64))))
    }

    /// A retired number has one more transaction.
    pub(crate) fn follow_retired(&mut self, id: NumberId, last: TransactionId) -> Result<()> {
        self.follow_retired.execute([last.0 as i64, id.0 as i64])?;
        Ok(())
    }

    /// Whose a number is, and by whose terms.
    pub(crate) fn owner(&mut self, id: NumberId) -> Result<(AccountId, ProgrammeId)> {
        self.owner.query_row([id.0 as i64], |row| {
            let mut cells = Cells::new(row);
            Ok((AccountId(cells.bits()?), ProgrammeId(cells.bits()?)))
        })
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
        let usage = active(&mut cells)?;
        each(Number {
            id: NumberId(cells.bits()?),
            index: NumberIndex(cells.bits()?),
            account: AccountId(cells.bits()?),
            programme: ProgrammeId(cells.bits()?),
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
        Some(usage) => (usage, None),
        None => {
            let found = connection
                .prepare_cached(FIND_RETIRED)?
                .query_row([id.0 as i64], |row| retired(&mut Cells::new(row)))
                .optional()?;
            match found {
                Some((usage, retired)) => (usage, Some(retired)),
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
