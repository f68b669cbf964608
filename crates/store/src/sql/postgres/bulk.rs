//! Many rows at once: copied into a table, or taken as columns by a statement.

use bytes::{BufMut, Bytes, BytesMut};

use crate::sql::Value;

/// What every copy in binary begins with: PostgreSQL's documentation, COPY, "Binary Format".
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Rows to be copied into a table, in the form in which they are sent.
#[derive(Default)]
pub(crate) struct Rows {
    bytes: BytesMut,
}

impl Rows {
    /// One more row: integers of 64 bits, texts and bytes.
    pub(crate) fn push(&mut self, values: &[Value<'_>]) {
        if self.bytes.is_empty() {
            self.bytes.put_slice(SIGNATURE);
        }
        self.bytes.put_i16(values.len() as i16);
        for value in values {
            match value {
                Value::Null => self.bytes.put_i32(-1),
                Value::Integer(value) => {
                    self.bytes.put_i32(8);
                    self.bytes.put_i64(*value);
                }
                Value::Text(text) => self.put(text.as_bytes()),
                Value::Blob(bytes) => self.put(bytes),
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        // No value is anywhere near so long.
        self.bytes.put_i32(bytes.len() as i32);
        self.bytes.put_slice(bytes);
    }

    /// All of these, one after the other.
    pub(crate) fn joined(all: impl Iterator<Item = Self>) -> Self {
        let all: Vec<_> = all.filter(|rows| !rows.bytes.is_empty()).collect();
        let mut bytes = BytesMut::with_capacity(all.iter().map(|rows| rows.bytes.len() + 2).sum());
        for (at, rows) in all.iter().enumerate() {
            // Each begins as a copy does.
            let from = if at == 0 { 0 } else { SIGNATURE.len() };
            bytes.put_slice(rows.bytes.get(from..).unwrap_or_default());
        }
        Self { bytes }
    }

    /// All of them, ready to be sent; none are left.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        if self.bytes.is_empty() {
            return None;
        }
        self.bytes.put_i16(-1);
        Some(self.bytes.split().freeze())
    }
}

/// A column of many values.
#[derive(Debug)]
pub(crate) enum Column {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Blobs(Vec<Vec<u8>>),
}

impl From<Vec<i64>> for Column {
    fn from(integers: Vec<i64>) -> Self {
        Self::Integers(integers.into_iter().map(Some).collect())
    }
}

impl From<Vec<Vec<u8>>> for Column {
    fn from(blobs: Vec<Vec<u8>>) -> Self {
        Self::Blobs(blobs)
    }
}

impl Column {
    /// One more value. What is of another kind than the column counts as nothing.
    pub(crate) fn push(&mut self, value: &Value<'_>) {
        match (self, value) {
            (Self::Integers(column), Value::Integer(value)) => column.push(Some(*value)),
            (Self::Integers(column), _) => column.push(None),
            (Self::Texts(column), Value::Text(text)) => column.push(Some(text.clone().into_owned())),
            (Self::Texts(column), _) => column.push(None),
            (Self::Blobs(column), Value::Blob(bytes)) => column.push(bytes.to_vec()),
            (Self::Blobs(column), _) => column.push(Vec::new()),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Integers(column) => column.clear(),
            Self::Texts(column) => column.clear(),
            Self::Blobs(column) => column.clear(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Integers(column) => column.len(),
            Self::Texts(column) => column.len(),
            Self::Blobs(column) => column.len(),
        }
    }

    pub(super) fn as_sql(&self) -> &(dyn tokio_postgres::types::ToSql + Sync) {
        match self {
            Self::Integers(column) => column,
            Self::Texts(column) => column,
            Self::Blobs(column) => column,
        }
    }
}
