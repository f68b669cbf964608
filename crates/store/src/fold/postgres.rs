//! Folding into PostgreSQL: many rows at a time. They gather until something has to be read, or until the end; new ones are
//! copied into their tables, and changes travel as columns and are joined to the rows that they change.
//!
//! Each statement costs a way to the server and back, whatever it does: a transaction has some twenty of them, however many
//! events it takes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use mayfly_core::state::Usage;
use mayfly_core::{AccountId, NumberId, ProgrammeId, QuestionId, TransactionId};
use mayfly_dynamic::Etsn;

use super::card_rows::OpenEtsn;
use super::rows::{Change, Changed, Found, How, Row, Table, assignments, names};
use super::tables::Tables;
use crate::sql::postgres::{Column, Link, Rows};
use crate::sql::{Cells, Value};
use crate::views::{AccountRow, accounts, numbers};
use crate::{Location, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that are copied into a table.
struct New {
    table: Table,
    columns: &'static [&'static str],
    /// By partition: neighbours in the table and its index are written one after the other.
    rows: BTreeMap<i64, Rows>,
}

impl New {
    fn write(&mut self, link: &RefCell<Link>) -> Result<()> {
        let mut rows = Rows::joined(std::mem::take(&mut self.rows).into_values());
        let Some(rows) = rows.take() else { return Ok(()) };
        let (table, columns) = (self.table.name(), self.columns.join(", "));
        link.borrow_mut().copy(&format!("COPY {table} ({columns}) FROM STDIN BINARY"), rows)
    }
}

/// Changes that are joined to the rows that they change.
struct Changes {
    what: Changed,
    columns: &'static [(How, &'static str)],
    values: Vec<Column>,
}

impl Changes {
    fn of(what: Changed, columns: &'static [(How, &'static str)]) -> Self {
        let values = columns.iter().map(|(how, _)| match how {
            How::KeepText => Column::Texts(Vec::new()),
            _ => Column::Integers(Vec::new()),
        });
        Self { what, columns, values: values.collect() }
    }

    fn push(&mut self, values: &[Value<'_>]) {
        self.values.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    }

    fn write(&mut self, link: &RefCell<Link>) -> Result<()> {
        let count = self.values.first().map_or(0, Column::len) as u64;
        if count == 0 {
            return Ok(());
        }
        let changed = link.borrow_mut().run_columns(&self.statement(), &self.values, &[])?;
        self.values.iter_mut().for_each(Column::clear);
        if changed == count || self.what.found() == Found::Left {
            return Ok(());
        }
        let why = format!("of {count} rows that were to be changed {changed} are there");
        Err(StoreError::Damaged { location: link.borrow().location().clone(), why })
    }

    fn statement(&self) -> String {
        let (table, all) = (self.what.table(), names(self.columns, false));
        let arrays = self.columns.iter().map(|(how, _)| match how {
            How::KeepText => "?::text[]",
            _ => "?::bigint[]",
        });
        let new = format!("unnest({})", arrays.collect::<Vec<_>>().join(", "));
        if self.what.found() == Found::Made {
            let set = assignments(table, self.columns, "greatest", |_, column| format!("excluded.{column}"));
            let keys = names(self.columns, true);
            return format!(
                "INSERT INTO {table} ({all}) SELECT * FROM {new} ON CONFLICT ({keys}) DO UPDATE SET {set}"
            );
        }
        let set = assignments(table, self.columns, "greatest", |_, column| format!("new.{column}"));
        format!(
            "UPDATE {table} SET {set} FROM {new} AS new({all})
            WHERE {table}.partition = new.id >> 48 AND {table}.id = new.id"
        )
    }
}

const LAST_FOLLOW_UPS: &str = "SELECT id, last_follow_up FROM unnest(?::bigint[]) AS c(key)
    JOIN transactions ON partition = key >> 48 AND id = key WHERE last_follow_up IS NOT NULL";
const LAST_OF_RETIRED: &str = "SELECT id, last_transaction FROM unnest(?::bigint[]) AS c(key)
    JOIN retired_numbers ON partition = key >> 48 AND id = key WHERE last_transaction IS NOT NULL";
const OWNERS: &str = "SELECT id, account, programme FROM unnest(?::bigint[]) AS c(key)
    JOIN numbers ON partition = key >> 48 AND id = key";

const TAKE_OPEN: &str = "DELETE FROM open_etsns USING unnest(?::bigint[], ?::bigint[]) AS c(card, which)
    WHERE partition = card >> 48 AND number = card AND etsn = which RETURNING";
const TAKE_CARDS: &str = "DELETE FROM open_etsns USING unnest(?::bigint[]) AS c(card)
    WHERE partition = card >> 48 AND number = card RETURNING";
const CHECK_OPEN: &str = "UPDATE open_etsns SET checks = checks + more
    FROM unnest(?::bigint[], ?::bigint[], ?::bigint[]) AS c(card, which, more)
    WHERE partition = card >> 48 AND number = card AND etsn = which RETURNING";
const REMOVE_PENDING: &str = "DELETE FROM pending USING unnest(?::bigint[]) AS c(key)
    WHERE partition = key >> 48 AND id = key";

/// PostgreSQL's tables.
pub(super) struct PostgresTables<'c> {
    link: &'c RefCell<Link>,
    location: &'c Location,
    /// Rows are written before what changes them.
    new: [Option<New>; Table::COUNT],
    changes: [Option<Changes>; Changed::COUNT],
}

impl<'c> PostgresTables<'c> {
    pub(super) fn new(link: &'c RefCell<Link>, location: &'c Location) -> Self {
        let (new, changes) = ([const { None }; Table::COUNT], [const { None }; Changed::COUNT]);
        Self { link, location, new, changes }
    }

    /// Writes what was kept back, so that it can be read.
    fn write(&mut self) -> Result<()> {
        self.new.iter_mut().flatten().try_for_each(|new| new.write(self.link))?;
        self.changes.iter_mut().flatten().try_for_each(|changes| changes.write(self.link))
    }

    /// Takes or changes open ETSNs by columns of values.
    fn of_open(&self, sql: &str, columns: &[Column]) -> Result<Vec<OpenEtsn>> {
        let mut found = Vec::new();
        let sql = format!("{sql} {}", OpenEtsn::COLUMNS);
        self.link.borrow_mut().each_of_columns(&sql, columns, |row| {
            found.push(OpenEtsn::read(&mut Cells::of_postgres(row, self.location))?);
            Ok(())
        })?;
        Ok(found)
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

    fn take_open(&mut self, etsns: &[(NumberId, Etsn)]) -> Result<Vec<OpenEtsn>> {
        let numbers: Vec<i64> = etsns.iter().map(|(number, _)| number.0 as i64).collect();
        let etsns: Vec<i64> = etsns.iter().map(|(_, etsn)| etsn.0 as i64).collect();
        self.of_open(TAKE_OPEN, &[numbers.into(), etsns.into()])
    }

    fn take_cards(&mut self, numbers: &[NumberId]) -> Result<Vec<OpenEtsn>> {
        let numbers: Vec<i64> = numbers.iter().map(|number| number.0 as i64).collect();
        self.of_open(TAKE_CARDS, &[numbers.into()])
    }

    fn check_open(&mut self, checks: &[(NumberId, Etsn, u8)]) -> Result<Vec<OpenEtsn>> {
        let numbers: Vec<i64> = checks.iter().map(|(number, ..)| number.0 as i64).collect();
        let etsns: Vec<i64> = checks.iter().map(|(_, etsn, _)| etsn.0 as i64).collect();
        let counts: Vec<i64> = checks.iter().map(|(.., count)| i64::from(*count)).collect();
        self.of_open(CHECK_OPEN, &[numbers.into(), etsns.into(), counts.into()])
    }

    fn remove_pending(&mut self, questions: &[QuestionId]) -> Result<()> {
        let questions: Vec<i64> = questions.iter().map(|question| question.0 as i64).collect();
        self.link.borrow_mut().run_columns(REMOVE_PENDING, &[questions.into()], &[]).map(drop)
    }

    fn add<const N: usize>(&mut self, row: Row<'_, N>) -> Result<()> {
        let Row { table, columns, values } = row;
        let new =
            self.new[table as usize].get_or_insert_with(|| New { table, columns, rows: BTreeMap::new() });
        let partition = if let Some(Value::Integer(partition)) = values.first() { *partition } else { 0 };
        new.rows.entry(partition).or_default().push(&values);
        Ok(())
    }

    fn change<const N: usize>(&mut self, change: Change<'_, N>) -> Result<()> {
        let Change { what, columns, values } = change;
        self.changes[what as usize].get_or_insert_with(|| Changes::of(what, columns)).push(&values);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.write()
    }
}
