//! Enumerations in hot tables are small numbers; tables of their names stand beside them, for people and for the
//! SQL views.

use mayfly_core::{Kind, MessageKind, Reason, ResponseCode, Retirement};

use super::Result;
use crate::sql::{Sql, values};

pub(super) const CREATE: &str = "
CREATE TABLE kinds (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE messages (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE responses (code INTEGER PRIMARY KEY, name TEXT NOT NULL, words TEXT NOT NULL) STRICT;
CREATE TABLE reasons (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE retirements (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;";

/// By position.
const MESSAGES: [MessageKind; 7] = [
    MessageKind::Authorisation,
    MessageKind::AuthorisationAdvice,
    MessageKind::Financial,
    MessageKind::FinancialAdvice,
    MessageKind::Reversal,
    MessageKind::ReversalAdvice,
    MessageKind::Operator,
];

/// What is written as a small number: its position among all of its kind.
pub(crate) trait Code: Copy + Sized + 'static {
    const ALL: &'static [Self];
    /// Its position.
    fn code(self) -> u8;
    /// By its position.
    fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

macro_rules! code {
    ($kind:ty, $all:expr) => {
        impl Code for $kind {
            const ALL: &'static [Self] = $all;
            fn code(self) -> u8 {
                // All of them are listed in the order in which they are declared: a test holds them to it.
                Self::ALL.iter().position(|known| *known == self).unwrap_or_default() as u8
            }
        }
    };
}

code!(Kind, &Kind::ALL);
code!(MessageKind, &MESSAGES);
code!(ResponseCode, ResponseCode::ALL);
code!(Reason, Reason::ALL);
code!(Retirement, &Retirement::ALL);

/// Writes the names of what this software knows.
pub(super) fn fill(sql: &Sql) -> Result<()> {
    names::<Kind>(sql, "kinds", Kind::name)?;
    names::<MessageKind>(sql, "messages", |message| match message {
        MessageKind::Operator => "operator",
        message => message.mti(),
    })?;
    names::<Reason>(sql, "reasons", Reason::name)?;
    names::<Retirement>(sql, "retirements", Retirement::name)?;
    let add = "INSERT INTO responses (code, name, words) VALUES (?, ?, ?)
        ON CONFLICT (code) DO UPDATE SET name = excluded.name, words = excluded.words";
    for response in ResponseCode::ALL {
        sql.run(add, values![response.code_in_tables(), response.code(), response.words()])?;
    }
    Ok(())
}

fn names<T: Code>(sql: &Sql, table: &str, name: fn(T) -> &'static str) -> Result<()> {
    let add = format!(
        "INSERT INTO {table} (code, name) VALUES (?, ?) ON CONFLICT (code) DO UPDATE SET name = excluded.name"
    );
    T::ALL.iter().try_for_each(|value| sql.run(&add, values![value.code(), name(*value)]).map(|_| ()))
}

/// [`ResponseCode::code`] is its two characters; this is its number in tables.
pub(crate) trait InTables {
    fn code_in_tables(self) -> u8;
}

impl InTables for ResponseCode {
    fn code_in_tables(self) -> u8 {
        Code::code(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions<T: Code + PartialEq + std::fmt::Debug>() {
        for (at, value) in T::ALL.iter().enumerate() {
            assert_eq!(usize::from(value.code()), at, "{value:?}");
            assert_eq!(T::of(value.code()), Some(*value));
        }
    }

    #[test]
    fn codes_are_positions() {
        positions::<Kind>();
        positions::<MessageKind>();
        positions::<Reason>();
        positions::<Retirement>();
        for (at, response) in ResponseCode::ALL.iter().enumerate() {
            assert_eq!(usize::from(response.code_in_tables()), at);
        }
    }
}
