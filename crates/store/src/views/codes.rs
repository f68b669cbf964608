//! Enumerations in hot tables are small numbers; tables of their names stand beside them, for people and for the
//! SQL views.

use mayfly_core::{Kind, MessageKind, OtherCode, Reason, ResponseCode, Retirement, Told};
use mayfly_dynamic::{Mode, RequestRefusal};

use super::Result;
use crate::sql::{Sql, values};

pub(super) const CREATE: &str = "
CREATE TABLE kinds (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE messages (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE responses (code INTEGER PRIMARY KEY, name TEXT NOT NULL, words TEXT NOT NULL) STRICT;
CREATE TABLE reasons (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE retirements (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE modes (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE request_refusals (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE told (code INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;";

/// The number of the first answer that only issuer hosts give. Each gets its name when one is given.
const OTHERS: u16 = 10_000;

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

/// By position.
const MODES: [Mode; 2] = [Mode::Expiry, Mode::Field];

/// By position.
const REFUSALS: [RequestRefusal; 5] = [
    RequestRefusal::Expiry,
    RequestRefusal::Version,
    RequestRefusal::TsnReplayed,
    RequestRefusal::TsnTooFarAhead,
    RequestRefusal::Mac,
];

/// By position.
const TOLD: [Told; 4] = [Told::Reversal, Told::StandIn, Told::Charge, Told::Refund];

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
code!(Reason, Reason::ALL);
code!(Retirement, &Retirement::ALL);
code!(Mode, &MODES);
code!(RequestRefusal, &REFUSALS);
code!(Told, &TOLD);

/// Writes the names of what this software knows.
pub(super) fn fill(sql: &Sql) -> Result<()> {
    names::<Kind>(sql, "kinds", Kind::name)?;
    names::<MessageKind>(sql, "messages", |message| match message {
        MessageKind::Operator => "operator",
        message => message.mti(),
    })?;
    names::<Reason>(sql, "reasons", Reason::name)?;
    names::<Retirement>(sql, "retirements", Retirement::name)?;
    names::<Mode>(sql, "modes", |mode| match mode {
        Mode::Expiry => "expiry",
        Mode::Field => "field",
    })?;
    names::<RequestRefusal>(sql, "request_refusals", |refusal| match refusal {
        RequestRefusal::Expiry => "expiry",
        RequestRefusal::Version => "version",
        RequestRefusal::TsnReplayed => "tsn-replayed",
        RequestRefusal::TsnTooFarAhead => "tsn-too-far-ahead",
        RequestRefusal::Mac => "mac",
    })?;
    names::<Told>(sql, "told", Told::name)?;
    ResponseCode::ALL.iter().try_for_each(|response| name_response(sql, *response))
}

/// Writes the name of an answer.
pub(crate) fn name_response(sql: &Sql, response: ResponseCode) -> Result<()> {
    let add = "INSERT INTO responses (code, name, words) VALUES (?, ?, ?)
        ON CONFLICT (code) DO UPDATE SET name = excluded.name, words = excluded.words";
    sql.run(add, values![response.code_in_tables(), response.code(), response.words()]).map(|_| ())
}

fn names<T: Code>(sql: &Sql, table: &str, name: fn(T) -> &'static str) -> Result<()> {
    let add = format!(
        "INSERT INTO {table} (code, name) VALUES (?, ?) ON CONFLICT (code) DO UPDATE SET name = excluded.name"
    );
    T::ALL.iter().try_for_each(|value| sql.run(&add, values![value.code(), name(*value)]).map(|_| ()))
}

/// [`ResponseCode::code`] is its two characters; this is its number in tables.
pub(crate) trait InTables: Sized {
    fn code_in_tables(self) -> u16;
    /// By that number.
    fn of_tables(code: u16) -> Option<Self>;
}

impl InTables for ResponseCode {
    fn code_in_tables(self) -> u16 {
        match self {
            Self::Other(other) => OTHERS + other.value(),
            known => known.position().unwrap_or_default() as u16,
        }
    }

    fn of_tables(code: u16) -> Option<Self> {
        match code.checked_sub(OTHERS) {
            Some(other) => OtherCode::from_value(other).map(Self::Other),
            None => Self::ALL.get(usize::from(code)).copied(),
        }
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
        positions::<Mode>();
        positions::<RequestRefusal>();
        positions::<Told>();
        for (at, response) in ResponseCode::ALL.iter().enumerate() {
            assert_eq!(usize::from(response.code_in_tables()), at);
            assert_eq!(ResponseCode::of_tables(at as u16), Some(*response));
        }
        for code in ["01", "1A", "ZZ"] {
            let other = ResponseCode::from_code(code).unwrap();
            assert!(other.code_in_tables() >= OTHERS);
            assert_eq!(ResponseCode::of_tables(other.code_in_tables()), Some(other));
        }
        assert_eq!(ResponseCode::of_tables(ResponseCode::ALL.len() as u16), None);
        assert_eq!(ResponseCode::of_tables(OTHERS + 36 * 36), None);
    }
}
