//! Up to where the views are folded.

use mayfly_core::{NumberId, PartitionId, QuestionId, TransactionId};
use mayfly_engine::{Digest, Head};

use super::Result;
use crate::sql::{Sql, values};

pub(super) const CREATE: &str = "
-- Up to where the views are folded: the last record, its hash and time, and the ids that come next.
CREATE TABLE cursor (
    partition INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    at_ms INTEGER NOT NULL,
    next_transaction INTEGER NOT NULL,
    next_number INTEGER NOT NULL,
    last_question INTEGER NOT NULL,
    next_kept INTEGER NOT NULL
) STRICT;";

const SET: &str = "INSERT INTO cursor
    (partition, sequence, hash, at_ms, next_transaction, next_number, last_question, next_kept)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (partition) DO UPDATE SET
    sequence = excluded.sequence, hash = excluded.hash, at_ms = excluded.at_ms,
    next_transaction = excluded.next_transaction, next_number = excluded.next_number,
    last_question = excluded.last_question, next_kept = excluded.next_kept";
const FIND: &str =
    "SELECT sequence, hash, at_ms, next_transaction, next_number, last_question, next_kept FROM cursor
    WHERE partition = ?";

/// Up to where the views are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) head: Head,
    pub(crate) next_transaction: TransactionId,
    pub(crate) next_number: NumberId,
    pub(crate) last_question: QuestionId,
    /// The row of the next answer that is kept.
    pub(crate) next_kept: u64,
}

impl Cursor {
    /// Before the first record.
    pub(crate) const START: Self = Self {
        head: Head::START,
        next_transaction: TransactionId(1),
        next_number: NumberId(1),
        last_question: QuestionId(0),
        next_kept: 1,
    };
}

pub(crate) fn find(sql: &Sql, partition: PartitionId) -> Result<Option<Cursor>> {
    sql.one(FIND, values![partition.0], |cells| {
        Ok(Cursor {
            head: Head { sequence: cells.bits()?, hash: cells.next::<Digest>()?, at_ms: cells.bits()? },
            next_transaction: TransactionId(cells.bits()?),
            next_number: NumberId(cells.bits()?),
            last_question: QuestionId(cells.bits()?),
            next_kept: cells.bits()?,
        })
    })
}

pub(crate) fn set(sql: &Sql, partition: PartitionId, cursor: &Cursor) -> Result<()> {
    let values = values![
        partition.0,
        cursor.head.sequence as i64,
        &cursor.head.hash,
        cursor.head.at_ms as i64,
        cursor.next_transaction.0 as i64,
        cursor.next_number.0 as i64,
        cursor.last_question.0 as i64,
        cursor.next_kept as i64,
    ];
    sql.run(SET, values).map(|_| ())
}
