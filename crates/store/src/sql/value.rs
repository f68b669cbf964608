//! What goes into a statement and what comes out of a row: integers, texts and bytes, in every database the same.

use std::borrow::Cow;
use std::error::Error;

use bytes::{BufMut, BytesMut};
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

/// A value of a statement. Whatever else there is, is one of these: times are milliseconds, hashes the signed number with
/// the same bits, enumerations small numbers, conditions 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Text(Cow<'a, str>),
    Blob(Cow<'a, [u8]>),
}

/// The values of a statement, each turned into a [`Value`].
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::sql::Value::from($value)),*]
    };
}
pub(crate) use values;

macro_rules! integers {
    ($($kind:ty)*) => {$(
        impl From<$kind> for Value<'_> {
            fn from(value: $kind) -> Self {
                Self::Integer(i64::from(value))
            }
        }
        impl Cell<'_> for $kind {
            fn of(raw: Raw<'_>) -> Option<Self> {
                let Raw::Integer(value) = raw else { return None };
                value.try_into().ok()
            }
        }
    )*};
}
integers!(i64 i32 u32 u16 u8);

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value.into())
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value.as_str().into())
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Blob(value.into())
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Blob(value.as_slice().into())
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value.into())
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Blob(value.as_slice().into())
    }
}

impl<const N: usize> From<[u8; N]> for Value<'_> {
    fn from(value: [u8; N]) -> Self {
        Self::Blob(value.to_vec().into())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, kind) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Integer(value), &Type::INT8) => out.put_i64(*value),
            (Self::Integer(value), &Type::INT4) => out.put_i32(i32::try_from(*value)?),
            (Self::Integer(value), &Type::INT2) => out.put_i16(i16::try_from(*value)?),
            (Self::Text(text), kind) if <&str as ToSql>::accepts(kind) => out.put_slice(text.as_bytes()),
            (Self::Blob(bytes), &Type::BYTEA) => out.put_slice(bytes),
            _ => return Err(format!("a value of another kind than {kind}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A value as it stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw<'r> {
    Null,
    Integer(i64),
    Text(&'r str),
    Blob(&'r [u8]),
}

impl<'r> Raw<'r> {
    /// What SQLite has; nothing for what is never written: floating point, and texts that are not Unicode.
    pub(super) fn of_sqlite(value: ValueRef<'r>) -> Option<Self> {
        match value {
            ValueRef::Null => Some(Self::Null),
            ValueRef::Integer(value) => Some(Self::Integer(value)),
            ValueRef::Text(text) => std::str::from_utf8(text).ok().map(Self::Text),
            ValueRef::Blob(bytes) => Some(Self::Blob(bytes)),
            ValueRef::Real(_) => None,
        }
    }
}

impl<'r> FromSql<'r> for Raw<'r> {
    fn from_sql(kind: &Type, bytes: &'r [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *kind {
            Type::INT8 => Self::Integer(i64::from_sql(kind, bytes)?),
            Type::INT4 => Self::Integer(i32::from_sql(kind, bytes)?.into()),
            Type::INT2 => Self::Integer(i16::from_sql(kind, bytes)?.into()),
            Type::BOOL => Self::Integer(bool::from_sql(kind, bytes)?.into()),
            Type::BYTEA => Self::Blob(bytes),
            _ => Self::Text(<&str>::from_sql(kind, bytes)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        let known = [Type::INT8, Type::INT4, Type::INT2, Type::BOOL, Type::BYTEA];
        known.contains(kind) || <&str as FromSql<'_>>::accepts(kind)
    }
}

/// What a column is read as.
pub(crate) trait Cell<'r>: Sized {
    /// None if it is something else.
    fn of(raw: Raw<'r>) -> Option<Self>;
}

impl<'r> Cell<'r> for Raw<'r> {
    fn of(raw: Raw<'r>) -> Option<Self> {
        Some(raw)
    }
}

impl Cell<'_> for bool {
    fn of(raw: Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Integer(0) => Some(false),
            Raw::Integer(1) => Some(true),
            _ => None,
        }
    }
}

impl<'r> Cell<'r> for &'r str {
    fn of(raw: Raw<'r>) -> Option<Self> {
        if let Raw::Text(text) = raw { Some(text) } else { None }
    }
}

impl Cell<'_> for String {
    fn of(raw: Raw<'_>) -> Option<Self> {
        <&str>::of(raw).map(str::to_owned)
    }
}

impl<'r> Cell<'r> for &'r [u8] {
    fn of(raw: Raw<'r>) -> Option<Self> {
        if let Raw::Blob(bytes) = raw { Some(bytes) } else { None }
    }
}

impl Cell<'_> for Vec<u8> {
    fn of(raw: Raw<'_>) -> Option<Self> {
        <&[u8]>::of(raw).map(<[u8]>::to_vec)
    }
}

impl<const N: usize> Cell<'_> for [u8; N] {
    fn of(raw: Raw<'_>) -> Option<Self> {
        <&[u8]>::of(raw)?.try_into().ok()
    }
}

impl<'r, T: Cell<'r>> Cell<'r> for Option<T> {
    fn of(raw: Raw<'r>) -> Option<Self> {
        if raw == Raw::Null { Some(None) } else { T::of(raw).map(Some) }
    }
}
