//! Finding by a keyed hash: transactions by reference, numbers by index.
//!
//! Hashes are spread over all 64 bits. In one index over a table that grows without end each new one would land
//! on a page of its own, read from the disk and written back. So entries are kept by generations, each of
//! [`GENERATION`] ids: new ones fall on the few megabytes of the newest generation, which stay in memory, and
//! older generations are only read. A look-up asks each generation, the newest first.

use mayfly_core::PartitionId;
use rusqlite::{CachedStatement, Connection, Result, params};

pub(super) const CREATE: &str = "
CREATE TABLE reference_lookup (
    partition INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (partition, generation, hash, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept_lookup (
    partition INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (partition, generation, hash, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE number_lookup (
    partition INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (partition, generation, hash, id)
) STRICT, WITHOUT ROWID;";

/// How many ids one generation has.
pub const GENERATION: u64 = 1 << 18;

/// What is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Transactions by reference.
    Reference,
    /// Numbers by index.
    Number,
    /// Answers that are kept, by key.
    Kept,
}

impl Lookup {
    fn table(self) -> &'static str {
        match self {
            Self::Reference => "reference_lookup",
            Self::Number => "number_lookup",
            Self::Kept => "kept_lookup",
        }
    }

    /// Forgets a generation all of whose ids are below `first`, if there is one. One at a time, since it takes a while.
    pub(crate) fn forget(self, connection: &Connection, partition: PartitionId, first: u64) -> Result<()> {
        let oldest = format!("SELECT min(generation) FROM {} WHERE partition = ?", self.table());
        let oldest: Option<i64> =
            connection.prepare_cached(&oldest)?.query_row([partition.0], |row| row.get(0))?;
        if let Some(oldest) = oldest.filter(|oldest| (*oldest as u64 + 1) * GENERATION <= first) {
            let forget = format!("DELETE FROM {} WHERE partition = ? AND generation = ?", self.table());
            connection.prepare_cached(&forget)?.execute((partition.0, oldest))?;
        }
        Ok(())
    }

    /// The ids under a hash, the newest first, at most `limit`; `next` is the id that comes next.
    pub(crate) fn find(
        self,
        connection: &Connection,
        partition: PartitionId,
        hash: u64,
        next: u64,
        limit: usize,
    ) -> Result<Vec<u64>> {
        let sql = format!(
            "SELECT id FROM {} WHERE partition = ? AND generation = ? AND hash = ? ORDER BY id DESC",
            self.table()
        );
        let mut find = connection.prepare_cached(&sql)?;
        let mut found = Vec::new();
        let oldest = format!("SELECT min(generation) FROM {} WHERE partition = ?", self.table());
        let oldest: Option<i64> =
            connection.prepare_cached(&oldest)?.query_row([partition.0], |row| row.get(0))?;
        for generation in (oldest.unwrap_or_default() as u64..=next / GENERATION).rev() {
            let mut rows = find.query(params![partition.0, generation as i64, hash as i64])?;
            while let Some(row) = rows.next()? {
                if found.len() == limit {
                    return Ok(found);
                }
                found.push(row.get::<_, i64>(0)? as u64);
            }
        }
        Ok(found)
    }
}

/// Collects entries and writes them in the order of their key.
pub(crate) struct LookupWriter<'c> {
    partition: PartitionId,
    add: CachedStatement<'c>,
    /// Generation, hash as it sorts in the table, id.
    entries: Vec<(u64, i64, u64)>,
}

impl<'c> LookupWriter<'c> {
    pub(crate) fn new(connection: &'c Connection, partition: PartitionId, what: Lookup) -> Result<Self> {
        let sql =
            format!("INSERT INTO {} (partition, generation, hash, id) VALUES (?, ?, ?, ?)", what.table());
        Ok(Self { partition, add: connection.prepare_cached(&sql)?, entries: Vec::new() })
    }

    pub(crate) fn add(&mut self, hash: u64, id: u64) {
        self.entries.push((id / GENERATION, hash as i64, id));
    }

    pub(crate) fn finish(&mut self) -> Result<()> {
        self.entries.sort_unstable();
        for (generation, hash, id) in self.entries.drain(..) {
            self.add.execute(params![self.partition.0, generation as i64, hash, id as i64])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_in_every_generation() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(CREATE).unwrap();
        let partition = PartitionId(3);
        let ids = [1, 5, GENERATION - 1, GENERATION, 3 * GENERATION + 7, 9 * GENERATION];
        let mut writer = LookupWriter::new(&connection, partition, Lookup::Reference).unwrap();
        for id in ids {
            writer.add(u64::MAX - 1, id);
            writer.add(7, id + 1);
        }
        writer.finish().unwrap();
        let find =
            |hash, next, limit| Lookup::Reference.find(&connection, partition, hash, next, limit).unwrap();
        let next = 9 * GENERATION + 2;
        let newest_first: Vec<_> = ids.into_iter().rev().collect();
        assert_eq!(find(u64::MAX - 1, next, 100), newest_first);
        assert_eq!(find(u64::MAX - 1, next, 2), newest_first[..2]);
        assert!(find(8, next, 100).is_empty());
        let other = Lookup::Reference.find(&connection, PartitionId(0), 7, next, 100).unwrap();
        assert!(other.is_empty());
        assert!(Lookup::Number.find(&connection, partition, 7, next, 100).unwrap().is_empty());
    }
}
