//! Answers that are kept for a day, so that a command which is sent again is done once.

use mayfly_core::state::ANSWERS_KEPT_MS;
use mayfly_core::{AnswerKept, Hash64, Outcome, PartitionId, TimeMs};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};

use super::cells::{Cells, json};

pub(super) const CREATE: &str = "
-- In the order in which they were given. `key` and `content` are keyed hashes of what came with the command; what the
-- note says is sealed.
CREATE TABLE kept_answers (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    key INTEGER NOT NULL,
    content INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    note BLOB NOT NULL
) STRICT;";

const ADD: &str = "INSERT INTO kept_answers (partition, at_ms, key, content, outcome, note)
    VALUES (?, ?, ?, ?, ?, ?)";
const FIRST: &str = "SELECT id FROM kept_answers WHERE partition = ? ORDER BY id LIMIT 1";
const FORGET: &str = "DELETE FROM kept_answers WHERE partition = ? AND id < ? AND at_ms <= ?";
const ALL: &str = "SELECT at_ms, key, content, outcome, note FROM kept_answers WHERE partition = ?
    ORDER BY id";

/// How many are looked at in one transaction, to be forgotten.
const FORGOTTEN_MAX: i64 = 65_536;

/// Keeps answers.
pub(crate) struct KeptWriter<'c> {
    partition: PartitionId,
    add: CachedStatement<'c>,
}

impl<'c> KeptWriter<'c> {
    pub(crate) fn new(connection: &'c Connection, partition: PartitionId) -> Result<Self> {
        Ok(Self { partition, add: connection.prepare_cached(ADD)? })
    }

    pub(crate) fn add(&mut self, event: &AnswerKept, at_ms: TimeMs) -> Result<()> {
        self.add.execute(params![
            self.partition.0,
            at_ms as i64,
            event.key.0 as i64,
            event.content.0 as i64,
            json(&event.outcome)?,
            event.note,
        ])?;
        Ok(())
    }
}

/// Takes out what is not kept any more at `now`, of the oldest.
pub(crate) fn forget(connection: &Connection, partition: PartitionId, now: TimeMs) -> Result<usize> {
    let first: Option<i64> =
        connection.prepare_cached(FIRST)?.query_row([partition.0], |row| row.get(0)).optional()?;
    let Some(first) = first else { return Ok(0) };
    let until_ms = now.saturating_sub(ANSWERS_KEPT_MS) as i64;
    connection.prepare_cached(FORGET)?.execute((partition.0, first + FORGOTTEN_MAX, until_ms))
}

/// Each of them, in the order in which they were given.
pub(crate) fn each(
    connection: &Connection,
    partition: PartitionId,
    mut each: impl FnMut(AnswerKept, TimeMs),
) -> Result<()> {
    let mut statement = connection.prepare_cached(ALL)?;
    let mut rows = statement.query([partition.0])?;
    while let Some(row) = rows.next()? {
        let mut cells = Cells::new(row);
        let at_ms = cells.bits()?;
        let event = AnswerKept {
            key: Hash64(cells.bits()?),
            content: Hash64(cells.bits()?),
            outcome: cells.text(|text| serde_json::from_str::<Outcome>(text))?,
            note: cells.next()?,
        };
        each(event, at_ms);
    }
    Ok(())
}
