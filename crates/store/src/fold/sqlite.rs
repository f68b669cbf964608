//! Folding into SQLite: prepared statements, row by row. A row's id is all that it takes to find it.

use mayfly_core::state::Usage;
use mayfly_core::{AccountId, NumberId, ProgrammeId, QuestionId, TransactionId};
use mayfly_dynamic::Etsn;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params_from_iter};

use super::card_rows::OpenEtsn;
use super::rows::{Change, Changed, Found, How, Row, Table, assignments, names};
use super::tables::Tables;
use crate::error::At;
use crate::sql::Cells;
use crate::views::{AccountRow, accounts, numbers};
use crate::{Location, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

const REMOVE_ACTIVE: &str = "DELETE FROM number_state WHERE id = ?";
const LAST_OF_RETIRED: &str = "SELECT last_transaction FROM retired_numbers WHERE id = ?";
const OWNER: &str = "SELECT account, programme FROM numbers WHERE id = ?";
const REMOVE_PENDING: &str = "DELETE FROM pending WHERE id = ?";
const LAST_FOLLOW_UP: &str = "SELECT last_follow_up FROM transactions WHERE id = ?";

/// SQLite's tables.
pub(super) struct SqliteTables<'c> {
    connection: &'c Connection,
    location: &'c Location,
    find_account: CachedStatement<'c>,
    find_active: CachedStatement<'c>,
    remove_active: CachedStatement<'c>,
    last_of_retired: CachedStatement<'c>,
    owner: CachedStatement<'c>,
    last_follow_up: CachedStatement<'c>,
    /// Prepared when the first card comes, and when the first word does.
    take_open: Option<CachedStatement<'c>>,
    remove_pending: Option<CachedStatement<'c>>,
    /// Prepared when the first row of their kind comes.
    add: [Option<CachedStatement<'c>>; Table::COUNT],
    change: [Option<CachedStatement<'c>>; Changed::COUNT],
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
            find_active: prepare(&find_active)?,
            remove_active: prepare(REMOVE_ACTIVE)?,
            last_of_retired: prepare(LAST_OF_RETIRED)?,
            owner: prepare(OWNER)?,
            last_follow_up: prepare(LAST_FOLLOW_UP)?,
            take_open: None,
            remove_pending: None,
            add: [const { None }; Table::COUNT],
            change: [const { None }; Changed::COUNT],
        })
    }

    fn lacks(&self, table: &str, why: &str) -> StoreError {
        StoreError::Damaged { location: self.location.clone(), why: format!("{table} lacks {why}") }
    }
}

/// The statement that adds a row.
fn insert(table: Table, columns: &[&str]) -> String {
    let values = vec!["?"; columns.len()].join(", ");
    format!("INSERT INTO {} ({}) VALUES ({values})", table.name(), columns.join(", "))
}

/// The statement that changes a row.
fn update(what: Changed, columns: &[(How, &'static str)]) -> String {
    let table = what.table();
    if what.found() == Found::Made {
        let values = vec!["?"; columns.len()].join(", ");
        let set = assignments(table, columns, "max", |_, column| format!("excluded.{column}"));
        return format!(
            "INSERT INTO {table} ({}) VALUES ({values}) ON CONFLICT DO UPDATE SET {set}",
            names(columns, false),
        );
    }
    let set = assignments(table, columns, "max", |at, _| format!("?{}", at + 1));
    format!("UPDATE {table} SET {set} WHERE id = ?1")
}

/// The statement that stands there; the first time it is written and prepared.
fn prepared<'s, 'c>(
    slot: &'s mut Option<CachedStatement<'c>>,
    connection: &'c Connection,
    location: &Location,
    sql: impl FnOnce() -> String,
) -> Result<&'s mut CachedStatement<'c>> {
    match slot {
        Some(statement) => Ok(statement),
        None => Ok(slot.insert(connection.prepare_cached(&sql()).at(location)?)),
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
            let lacks = || self.lacks("number_state", &format!("the active number {id}"));
            taken.push((*id, usage.ok_or_else(lacks)?));
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

    fn take_open(&mut self, etsns: &[(NumberId, Etsn)]) -> Result<Vec<OpenEtsn>> {
        let mut taken = Vec::with_capacity(etsns.len());
        let statement = match &mut self.take_open {
            Some(statement) => statement,
            slot => {
                let take = format!(
                    "DELETE FROM open_etsns WHERE partition = ? AND number = ? AND etsn = ? RETURNING {}",
                    OpenEtsn::COLUMNS
                );
                slot.insert(self.connection.prepare_cached(&take).at(self.location)?)
            }
        };
        for (number, etsn) in etsns {
            let key = [i64::from(number.partition().0), number.0 as i64, etsn.0 as i64];
            let found = statement
                .query_row(key, |row| Ok(OpenEtsn::read(&mut Cells::of_sqlite(row, self.location))))
                .optional();
            taken.extend(found.at(self.location)?.transpose()?);
        }
        Ok(taken)
    }

    fn take_cards(&mut self, numbers: &[NumberId]) -> Result<Vec<OpenEtsn>> {
        let take = format!(
            "DELETE FROM open_etsns WHERE partition = ? AND number = ? RETURNING {}",
            OpenEtsn::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&take).at(self.location)?;
        let mut taken = Vec::new();
        for number in numbers {
            let key = [i64::from(number.partition().0), number.0 as i64];
            let mut rows = statement.query(key).at(self.location)?;
            while let Some(row) = rows.next().at(self.location)? {
                taken.push(OpenEtsn::read(&mut Cells::of_sqlite(row, self.location))?);
            }
        }
        Ok(taken)
    }

    fn check_open(&mut self, checks: &[(NumberId, Etsn, u8)]) -> Result<Vec<OpenEtsn>> {
        let check = format!(
            "UPDATE open_etsns SET checks = checks + ? WHERE partition = ? AND number = ? AND etsn = ?
            RETURNING {}",
            OpenEtsn::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&check).at(self.location)?;
        let mut found = Vec::new();
        for (number, etsn, count) in checks {
            let values = [i64::from(*count), i64::from(number.partition().0), number.0 as i64, etsn.0 as i64];
            let read = statement
                .query_row(values, |row| Ok(OpenEtsn::read(&mut Cells::of_sqlite(row, self.location))))
                .optional();
            found.extend(read.at(self.location)?.transpose()?);
        }
        Ok(found)
    }

    fn remove_pending(&mut self, questions: &[QuestionId]) -> Result<()> {
        let statement = match &mut self.remove_pending {
            Some(statement) => statement,
            slot => slot.insert(self.connection.prepare_cached(REMOVE_PENDING).at(self.location)?),
        };
        questions
            .iter()
            .try_for_each(|question| statement.execute([question.0 as i64]).at(self.location).map(drop))
    }

    fn add<const N: usize>(&mut self, row: Row<'_, N>) -> Result<()> {
        let (slot, insert) = (&mut self.add[row.table as usize], || insert(row.table, row.columns));
        let statement = prepared(slot, self.connection, self.location, insert)?;
        statement.execute(params_from_iter(&row.values)).at(self.location).map(|_| ())
    }

    fn change<const N: usize>(&mut self, change: Change<'_, N>) -> Result<()> {
        let (slot, update) = (&mut self.change[change.what as usize], || update(change.what, change.columns));
        let statement = prepared(slot, self.connection, self.location, update)?;
        let changed = statement.execute(params_from_iter(&change.values)).at(self.location)?;
        if changed == 1 || change.what.found() != Found::All {
            return Ok(());
        }
        Err(self.lacks(change.what.table(), "a row that was to be changed"))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
