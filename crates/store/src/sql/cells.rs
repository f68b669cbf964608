//! Reading a row's columns one after the other, each parsed into its type.

use mayfly_card::MonthIndex;

use super::{Cell, Raw};
use crate::{Location, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// A row of whichever database.
#[derive(Clone, Copy)]
pub(super) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

/// The columns of a row, from the left.
pub(crate) struct Cells<'r> {
    row: Row<'r>,
    at: usize,
    location: &'r Location,
}

impl<'r> Cells<'r> {
    pub(super) fn new(row: Row<'r>, location: &'r Location) -> Self {
        Self { row, at: 0, location }
    }

    /// Of a row that was read with SQLite's own functions.
    pub(crate) fn of_sqlite(row: &'r rusqlite::Row<'r>, location: &'r Location) -> Self {
        Self::new(Row::Sqlite(row), location)
    }

    /// Of a row that was read with PostgreSQL's own functions.
    pub(crate) fn of_postgres(row: &'r tokio_postgres::Row, location: &'r Location) -> Self {
        Self::new(Row::Postgres(row), location)
    }

    /// The next column as it is.
    pub(crate) fn next<T: Cell<'r>>(&mut self) -> Result<T> {
        let raw = match self.row {
            Row::Sqlite(row) => row.get_ref(self.at).ok().and_then(Raw::of_sqlite),
            Row::Postgres(row) => row.try_get(self.at).ok(),
        };
        self.at += 1;
        raw.and_then(T::of).ok_or_else(|| self.unexpected())
    }

    /// A number that is never negative, or 64 bits that are no number at all.
    pub(crate) fn bits(&mut self) -> Result<u64> {
        self.next::<i64>().map(|bits| bits as u64)
    }

    /// The same, if there is one.
    pub(crate) fn bits_or_none(&mut self) -> Result<Option<u64>> {
        self.next::<Option<i64>>().map(|bits| bits.map(|bits| bits as u64))
    }

    /// A value that stands for something.
    pub(crate) fn code<N: Cell<'r>, T>(&mut self, parse: impl FnOnce(N) -> Option<T>) -> Result<T> {
        let value = self.next()?;
        parse(value).ok_or_else(|| self.unexpected())
    }

    /// The same, if there is one.
    pub(crate) fn code_or_none<N: Cell<'r>, T>(
        &mut self,
        parse: impl FnOnce(N) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.next::<Option<N>>()? {
            Some(value) => parse(value).map(Some).ok_or_else(|| self.unexpected()),
            None => Ok(None),
        }
    }

    /// A text that is parsed.
    pub(crate) fn text<T, E>(&mut self, parse: impl FnOnce(&str) -> std::result::Result<T, E>) -> Result<T> {
        self.code(|text: &str| parse(text).ok())
    }

    /// The same, if there is one.
    pub(crate) fn text_or_none<T, E>(
        &mut self,
        parse: impl FnOnce(&str) -> std::result::Result<T, E>,
    ) -> Result<Option<T>> {
        self.code_or_none(|text: &str| parse(text).ok())
    }

    /// A month as `YYYY-MM`.
    pub(crate) fn month(&mut self) -> Result<MonthIndex> {
        self.text(|text| parse_month(text).ok_or(()))
    }

    fn unexpected(&self) -> StoreError {
        let why = format!("column {} of a row is nothing that is ever written", self.at);
        StoreError::Damaged { location: self.location.clone(), why }
    }
}

/// A month as it stands in tables: it sorts as it should.
pub(crate) fn show_month(month: MonthIndex) -> String {
    format!("{month:?}")
}

fn parse_month(text: &str) -> Option<MonthIndex> {
    let (year, month) = text.split_once('-')?;
    MonthIndex::new(year.parse().ok()?, month.parse().ok()?)
}

/// A value as JSON. What can't be written as such is never made.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Unwritable { why: error.to_string() })
}
