//! Messages that wait for somebody's word.

use mayfly_core::{Asked, PartitionId};

use super::Result;
use crate::sql::{Sql, values};

pub(super) const CREATE: &str = "
-- `asked` is all of what was asked; the columns before it are the same for people.
CREATE TABLE pending (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    issuer INTEGER NOT NULL,
    -- Who answers: the issuer's own endpoint (hook), or its host (host).
    whom TEXT NOT NULL,
    account INTEGER,
    number INTEGER,
    amount INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    asked TEXT NOT NULL
) STRICT;";

const ALL: &str = "SELECT asked FROM pending WHERE partition = ? ORDER BY id";

/// Each of them, in the order in which they were asked.
pub(crate) fn each(sql: &Sql, partition: PartitionId, mut each: impl FnMut(Asked)) -> Result<()> {
    sql.each(ALL, values![partition.0], |cells| {
        each(cells.text(|text| serde_json::from_str(text))?);
        Ok(())
    })
}
