//! Messages that wait for somebody's word.

use mayfly_core::{Asked, PartitionId, QuestionId};
use rusqlite::{Connection, Result};

use super::cells::{Cells, json};

pub(super) const CREATE: &str = "
-- `asked` is all of what was asked; the columns before it are the same for people.
CREATE TABLE pending (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    issuer INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    asked TEXT NOT NULL
) STRICT;";

const ADD: &str = "INSERT INTO pending (id, partition, issuer, deadline_ms, asked) VALUES (?, ?, ?, ?, ?)";
const REMOVE: &str = "DELETE FROM pending WHERE id = ?";
const ALL: &str = "SELECT asked FROM pending WHERE partition = ? ORDER BY id";

/// One more waits.
pub(crate) fn add(connection: &Connection, partition: PartitionId, asked: &Asked) -> Result<()> {
    connection.prepare_cached(ADD)?.execute((
        asked.question.0 as i64,
        partition.0,
        asked.issuer.0 as i64,
        asked.deadline_ms as i64,
        json(asked)?,
    ))?;
    Ok(())
}

/// One waits no longer.
pub(crate) fn remove(connection: &Connection, question: QuestionId) -> Result<()> {
    connection.prepare_cached(REMOVE)?.execute([question.0 as i64])?;
    Ok(())
}

/// Each of them, in the order in which they were asked.
pub(crate) fn each(
    connection: &Connection,
    partition: PartitionId,
    mut each: impl FnMut(Asked),
) -> Result<()> {
    let mut statement = connection.prepare_cached(ALL)?;
    let mut rows = statement.query([partition.0])?;
    while let Some(row) = rows.next()? {
        each(Cells::new(row).text(|text| serde_json::from_str(text))?);
    }
    Ok(())
}
