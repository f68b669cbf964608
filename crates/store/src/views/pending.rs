//! Messages that wait for somebody's word.

use mayfly_core::{Asked, PartitionId, QuestionId};

use super::Result;
use crate::sql::{Sql, json, values};

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
const REMOVE: &str = "DELETE FROM pending WHERE partition = ? AND id = ?";
const ALL: &str = "SELECT asked FROM pending WHERE partition = ? ORDER BY id";

/// One more waits.
pub(crate) fn add(sql: &Sql, asked: &Asked) -> Result<()> {
    let values = values![
        asked.question.0 as i64,
        asked.question.partition().0,
        asked.issuer.0 as i64,
        asked.deadline_ms as i64,
        json(asked)?,
    ];
    sql.run(ADD, values).map(|_| ())
}

/// One waits no longer.
pub(crate) fn remove(sql: &Sql, question: QuestionId) -> Result<()> {
    sql.run(REMOVE, values![question.partition().0, question.0 as i64]).map(|_| ())
}

/// Each of them, in the order in which they were asked.
pub(crate) fn each(sql: &Sql, partition: PartitionId, mut each: impl FnMut(Asked)) -> Result<()> {
    sql.each(ALL, values![partition.0], |cells| {
        each(cells.text(|text| serde_json::from_str(text))?);
        Ok(())
    })
}
