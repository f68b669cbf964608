//! Up to where the views are folded.

use std::num::NonZeroU16;

use mayfly_core::{NumberId, PartitionId, QuestionId, TransactionId};
use mayfly_engine::{Digest, Ends, Head};

use super::Result;
use crate::sql::{Sql, Value};

pub(super) const CREATE: &str = "
-- Up to where the views are folded: of each partition the last record, its hash and time, and the ids that come next.
-- `number` is that of the last entry, over all partitions; it is the highest that stands here.
CREATE TABLE cursor (
    partition INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    at_ms INTEGER NOT NULL,
    next_transaction INTEGER NOT NULL,
    next_number INTEGER NOT NULL,
    last_question INTEGER NOT NULL,
    next_kept INTEGER NOT NULL,
    next_etsn INTEGER NOT NULL,
    next_miss INTEGER NOT NULL
) STRICT;";

const FIND: &str =
    "SELECT partition, number, sequence, hash, at_ms, next_transaction, next_number, last_question, next_kept,
    next_etsn, next_miss FROM cursor";

/// Up to where a partition is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) head: Head,
    pub(crate) next_transaction: TransactionId,
    pub(crate) next_number: NumberId,
    pub(crate) last_question: QuestionId,
    /// The row of the next answer that is kept.
    pub(crate) next_kept: u64,
    /// The row of the next ETSN that is opened.
    pub(crate) next_etsn: u64,
    /// That of the next failed proof which counts.
    pub(crate) next_miss: u64,
}

impl Cursor {
    /// Before the first record.
    fn start(partition: PartitionId) -> Self {
        Self {
            head: Head::START,
            next_transaction: TransactionId(partition.id(1)),
            next_number: NumberId(partition.id(1)),
            last_question: QuestionId(partition.id(0)),
            next_kept: partition.id(1),
            next_etsn: partition.id(1),
            next_miss: partition.id(1),
        }
    }
}

/// Up to where the views are folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursors {
    /// The last entry.
    pub(crate) number: u64,
    partitions: NonZeroU16,
    /// Of each partition.
    of: Vec<Cursor>,
}

impl Cursors {
    /// Before the first entry.
    pub(crate) fn start(partitions: NonZeroU16) -> Self {
        Self { number: 0, partitions, of: PartitionId::all(partitions).map(Cursor::start).collect() }
    }

    /// How many partitions there are.
    pub(crate) fn partitions(&self) -> NonZeroU16 {
        self.partitions
    }

    /// Of one partition.
    pub(crate) fn of(&self, partition: PartitionId) -> Cursor {
        self.of.get(usize::from(partition.0)).copied().unwrap_or(Cursor::start(partition))
    }

    /// Of one partition, to move it on.
    pub(crate) fn of_mut(&mut self, partition: PartitionId) -> Option<&mut Cursor> {
        self.of.get_mut(usize::from(partition.0))
    }

    /// Of each partition, the first first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Cursor> {
        self.of.iter()
    }

    /// They stand where a journal ends like this.
    pub(crate) fn reach(&mut self, ends: &Ends) {
        self.number = ends.number;
        for (cursor, head) in self.of.iter_mut().zip(&ends.heads) {
            cursor.head = *head;
        }
    }

    /// As a journal that ends there.
    pub(crate) fn ends(&self) -> Ends {
        Ends { number: self.number, heads: self.of.iter().map(|cursor| cursor.head).collect() }
    }
}

/// Where the views stand; none if they don't say so.
pub(crate) fn find(sql: &Sql, partitions: NonZeroU16) -> Result<Option<Cursors>> {
    let mut cursors = Cursors::start(partitions);
    let mut any = false;
    sql.each(FIND, &[], |cells| {
        let partition = PartitionId(cells.next()?);
        let number = cells.bits()?;
        let cursor = Cursor {
            head: Head { sequence: cells.bits()?, hash: cells.next::<Digest>()?, at_ms: cells.bits()? },
            next_transaction: TransactionId(cells.bits()?),
            next_number: NumberId(cells.bits()?),
            last_question: QuestionId(cells.bits()?),
            next_kept: cells.bits()?,
            next_etsn: cells.bits()?,
            next_miss: cells.bits()?,
        };
        cursors.number = cursors.number.max(number);
        any = true;
        if let Some(at) = cursors.of_mut(partition) {
            *at = cursor;
        }
        Ok(())
    })?;
    Ok(any.then_some(cursors))
}

/// Moves the views on: writes what is not as it was `before`.
pub(crate) fn set(sql: &Sql, before: &Cursors, cursors: &Cursors) -> Result<()> {
    let mut values: Vec<Value<'_>> = Vec::new();
    let mut rows = 0;
    for (at, (cursor, before)) in cursors.iter().zip(before.iter()).enumerate() {
        if cursor == before {
            continue;
        }
        rows += 1;
        values.extend([
            (at as i64).into(),
            (cursors.number as i64).into(),
            (cursor.head.sequence as i64).into(),
            (&cursor.head.hash).into(),
            (cursor.head.at_ms as i64).into(),
            (cursor.next_transaction.0 as i64).into(),
            (cursor.next_number.0 as i64).into(),
            (cursor.last_question.0 as i64).into(),
            (cursor.next_kept as i64).into(),
            (cursor.next_etsn as i64).into(),
            (cursor.next_miss as i64).into(),
        ]);
    }
    if rows == 0 {
        return Ok(());
    }
    let set = format!(
        "INSERT INTO cursor (partition, number, sequence, hash, at_ms, next_transaction, next_number, last_question, next_kept,
        next_etsn, next_miss) VALUES {} ON CONFLICT (partition) DO UPDATE SET number = excluded.number,
        sequence = excluded.sequence, hash = excluded.hash, at_ms = excluded.at_ms,
        next_transaction = excluded.next_transaction, next_number = excluded.next_number,
        last_question = excluded.last_question, next_kept = excluded.next_kept,
        next_etsn = excluded.next_etsn, next_miss = excluded.next_miss",
        vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows].join(", ")
    );
    sql.run(&set, &values).map(|_| ())
}
