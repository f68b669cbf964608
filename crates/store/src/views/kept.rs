//! Answers that are kept for a day, so that a command which is sent again is done once.

use mayfly_core::state::{ANSWERS_KEPT_MS, Kept};
use mayfly_core::{AnswerKept, Hash64, Outcome, PartitionId, TimeMs};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, Row, params};

use super::cells::{Cells, json};
use super::lookups::Lookup;

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

const ADD: &str = "INSERT INTO kept_answers (id, partition, at_ms, key, content, outcome, note)
    VALUES (?, ?, ?, ?, ?, ?, ?)";
const FIND: &str = "SELECT at_ms, key, content, outcome, note FROM kept_answers WHERE id = ?";
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

    pub(crate) fn add(&mut self, id: u64, event: &AnswerKept, at_ms: TimeMs) -> Result<()> {
        self.add.execute(params![
            id as i64,
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
    Lookup::Kept.forget(connection, partition, first as u64)?;
    let until_ms = now.saturating_sub(ANSWERS_KEPT_MS) as i64;
    connection.prepare_cached(FORGET)?.execute((partition.0, first + FORGOTTEN_MAX, until_ms))
}

/// The latest under a key; `next` is the row that comes next.
pub(crate) fn find(
    connection: &Connection,
    partition: PartitionId,
    key: Hash64,
    next: u64,
) -> Result<Option<Kept>> {
    let ids = Lookup::Kept.find(connection, partition, key.0, next, 1)?;
    let Some(id) = ids.first() else { return Ok(None) };
    let found = connection.prepare_cached(FIND)?.query_row([*id as i64], read).optional()?;
    // What is forgotten may still stand in the look-up.
    Ok(found.map(|(event, at_ms)| Kept {
        at_ms,
        content: event.content,
        outcome: event.outcome,
        note: event.note.into_boxed_slice(),
    }))
}

fn read(row: &Row<'_>) -> Result<(AnswerKept, TimeMs)> {
    let mut cells = Cells::new(row);
    let at_ms = cells.bits()?;
    let event = AnswerKept {
        key: Hash64(cells.bits()?),
        content: Hash64(cells.bits()?),
        outcome: cells.text(|text| serde_json::from_str::<Outcome>(text))?,
        note: cells.next()?,
    };
    Ok((event, at_ms))
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
        let (event, at_ms) = read(row)?;
        each(event, at_ms);
    }
    Ok(())
}
