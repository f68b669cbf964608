//! Answers that are kept for a day, so that a command which is sent again is done once.

use mayfly_core::state::{ANSWERS_KEPT_MS, Kept};
use mayfly_core::{AnswerKept, Hash64, Outcome, PartitionId, TimeMs};

use super::Result;
use super::lookups::Lookup;
use crate::sql::{Cells, Sql, values};

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

const FIND: &str =
    "SELECT at_ms, key, content, outcome, note FROM kept_answers WHERE partition = ? AND id = ?";
const FIRST: &str = "SELECT id FROM kept_answers WHERE partition = ? ORDER BY id LIMIT 1";
const FORGET: &str = "DELETE FROM kept_answers WHERE partition = ? AND id < ? AND at_ms <= ?";
const ALL: &str = "SELECT at_ms, key, content, outcome, note FROM kept_answers WHERE partition = ?
    ORDER BY id";

/// How many are looked at in one transaction, to be forgotten.
const FORGOTTEN_MAX: i64 = 65_536;

/// Takes out what is not kept any more at `now`, of the oldest.
pub(crate) fn forget(sql: &Sql, partition: PartitionId, now: TimeMs) -> Result<()> {
    let first = sql.one(FIRST, values![partition.0], |cells| cells.next::<i64>())?;
    let Some(first) = first else { return Ok(()) };
    Lookup::Kept.forget(sql, partition, first as u64)?;
    let until_ms = now.saturating_sub(ANSWERS_KEPT_MS) as i64;
    sql.run(FORGET, values![partition.0, first + FORGOTTEN_MAX, until_ms]).map(|_| ())
}

/// The latest under a key; `next` is the row that comes next.
pub(crate) fn find(sql: &Sql, partition: PartitionId, key: Hash64, next: u64) -> Result<Option<Kept>> {
    let ids = Lookup::Kept.find(sql, partition, key.0, next, 1)?;
    let Some(id) = ids.first() else { return Ok(None) };
    let found = sql.one(FIND, values![partition.0, *id as i64], read)?;
    // What is forgotten may still stand in the look-up.
    Ok(found.map(|(event, at_ms)| Kept {
        at_ms,
        content: event.content,
        outcome: event.outcome,
        note: event.note.into_boxed_slice(),
    }))
}

fn read(cells: &mut Cells<'_>) -> Result<(AnswerKept, TimeMs)> {
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
    sql: &Sql,
    partition: PartitionId,
    mut each: impl FnMut(AnswerKept, TimeMs),
) -> Result<()> {
    sql.each(ALL, values![partition.0], |cells| {
        let (event, at_ms) = read(cells)?;
        each(event, at_ms);
        Ok(())
    })
}
