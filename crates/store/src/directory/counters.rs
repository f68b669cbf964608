//! Ids of rows that are deleted again: none of them is given twice.
//!
//! Where rows are never deleted, the next id is the greatest one and one more.

use super::{DirectoryError, Writing};
use crate::StoreError;
use crate::sql::values;

pub(super) const CREATE: &str = "
-- The last id that was given to a row of a table, whether the row is still there or not.
CREATE TABLE ids (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO ids (name, last)
    SELECT 'sessions', coalesce(max(id), 0) FROM sessions
    UNION ALL SELECT 'webhooks', coalesce(max(id), 0) FROM webhooks
    UNION ALL SELECT 'webhook_attempts', coalesce(max(id), 0) FROM webhook_attempts;";

/// SQLite counted by itself before, also those of rows that are gone.
pub(super) const TAKE_OVER_SQLITE: &str = "
UPDATE ids SET last = (SELECT seq FROM sqlite_sequence WHERE sqlite_sequence.name = ids.name)
    WHERE name IN (SELECT name FROM sqlite_sequence);";

/// No database of PostgreSQL was ever of an older version.
pub(super) const TAKE_OVER_POSTGRES: &str = "";

const DRAW: &str = "UPDATE ids SET last = last + ? WHERE name = ? RETURNING last";

impl Writing<'_> {
    /// The first of so many ids that were never given to a row of this table; the others follow it.
    pub(super) fn draw_ids(&self, table: &str, count: usize) -> Result<u64, DirectoryError> {
        let count = count as i64;
        let last = self.sql().one(DRAW, values![count, table], |cells| cells.next::<i64>())?;
        let last = last.ok_or_else(|| StoreError::Damaged {
            location: self.sql().location().clone(),
            why: format!("the last id of {table} is missing"),
        })?;
        Ok((last - count + 1) as u64)
    }
}
