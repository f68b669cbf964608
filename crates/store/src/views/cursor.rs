//! Up to where the views are folded.

use mayfly_core::{NumberId, PartitionId, QuestionId, TransactionId};
use mayfly_engine::{Digest, Head};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};

use super::cells::Cells;

pub(super) const CREATE: &str = "
-- Up to where the views are folded: the last record, its hash and time, and the ids that come next.
CREATE TABLE cursor (
    partition INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    at_ms INTEGER NOT NULL,
    next_transaction INTEGER NOT NULL,
    next_number INTEGER NOT NULL,
    last_question INTEGER NOT NULL
) STRICT;";

const SET: &str = "INSERT OR REPLACE INTO cursor
    (partition, sequence, hash, at_ms, next_transaction, next_number, last_question)
    VALUES (?, ?, ?, ?, ?, ?, ?)";
const FIND: &str = "SELECT sequence, hash, at_ms, next_transaction, next_number, last_question FROM cursor
    WHERE partition = ?";

/// Up to where the views are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) head: Head,
    pub(crate) next_transaction: TransactionId,
    pub(crate) next_number: NumberId,
    pub(crate) last_question: QuestionId,
}

impl Cursor {
    /// Before the first record.
    pub(crate) const START: Self = Self {
        head: Head::START,
        next_transaction: TransactionId(1),
        next_number: NumberId(1),
        last_question: QuestionId(0),
    };
}

pub(crate) fn find(connection: &Connection, partition: PartitionId) -> Result<Option<Cursor>> {
    connection
        .prepare_cached(FIND)?
        .query_row([partition.0], |row| {
            let mut cells = Cells::new(row);
            Ok(Cursor {
                head: Head { sequence: cells.bits()?, hash: cells.next::<Digest>()?, at_ms: cells.bits()? },
                next_transaction: TransactionId(cells.bits()?),
                next_number: NumberId(cells.bits()?),
                last_question: QuestionId(cells.bits()?),
            })
        })
        .optional()
}

/// Sets the cursor.
pub(crate) struct CursorWriter<'c>(CachedStatement<'c>);

impl<'c> CursorWriter<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        Ok(Self(connection.prepare_cached(SET)?))
    }

    pub(crate) fn set(&mut self, partition: PartitionId, cursor: &Cursor) -> Result<()> {
        self.0.execute(params![
            partition.0,
            cursor.head.sequence as i64,
            cursor.head.hash,
            cursor.head.at_ms as i64,
            cursor.next_transaction.0 as i64,
            cursor.next_number.0 as i64,
            cursor.last_question.0 as i64,
        ])?;
        Ok(())
    }
}
