//! Reading a row's columns one after the other, each parsed into its type.

use mayfly_card::MonthIndex;
use rusqlite::types::{FromSql, Type};
use rusqlite::{Error, Result, Row};

/// The columns of a row, from the left.
pub(crate) struct Cells<'a, 's> {
    row: &'a Row<'s>,
    at: usize,
}

impl<'a, 's> Cells<'a, 's> {
    pub(crate) fn new(row: &'a Row<'s>) -> Self {
        Self { row, at: 0 }
    }

    /// The next column as SQLite has it.
    pub(crate) fn next<T: FromSql>(&mut self) -> Result<T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }

    /// A number that is never negative, or 64 bits that are no number at all.
    pub(crate) fn bits(&mut self) -> Result<u64> {
        self.next::<i64>().map(|bits| bits as u64)
    }

    /// The same, if there is one.
    pub(crate) fn bits_or_none(&mut self) -> Result<Option<u64>> {
        self.next::<Option<i64>>().map(|bits| bits.map(|bits| bits as u64))
    }

    /// A number that stands for something.
    pub(crate) fn code<N: FromSql, T>(&mut self, parse: impl FnOnce(N) -> Option<T>) -> Result<T> {
        let value = self.next()?;
        parse(value).ok_or_else(|| self.unexpected(Type::Integer))
    }

    /// The same, if there is one.
    pub(crate) fn code_or_none<N: FromSql, T>(
        &mut self,
        parse: impl FnOnce(N) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.next::<Option<N>>()? {
            Some(value) => parse(value).map(Some).ok_or_else(|| self.unexpected(Type::Integer)),
            None => Ok(None),
        }
    }

    /// A text that is parsed.
    pub(crate) fn text<T, E>(&mut self, parse: impl FnOnce(&str) -> std::result::Result<T, E>) -> Result<T> {
        self.at += 1;
        let text = self.row.get_ref(self.at - 1)?.as_str()?;
        parse(text).map_err(|_| self.unexpected(Type::Text))
    }

    /// The same, if there is one.
    pub(crate) fn text_or_none<T, E>(
        &mut self,
        parse: impl FnOnce(&str) -> std::result::Result<T, E>,
    ) -> Result<Option<T>> {
        self.at += 1;
        match self.row.get_ref(self.at - 1)?.as_str_or_null()? {
            Some(text) => parse(text).map(Some).map_err(|_| self.unexpected(Type::Text)),
            None => Ok(None),
        }
    }

    /// A month as `YYYY-MM`.
    pub(crate) fn month(&mut self) -> Result<MonthIndex> {
        self.text(|text| parse_month(text).ok_or(()))
    }

    fn unexpected(&self, kind: Type) -> Error {
        Error::InvalidColumnType(self.at - 1, "a value that is never written".to_owned(), kind)
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

/// Serde's errors as an error of the statement that wanted the value.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))
}
