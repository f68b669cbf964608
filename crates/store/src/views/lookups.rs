//! Finding by a keyed hash: transactions by reference, numbers by index.
//!
//! Hashes are spread over all 64 bits. In one index over a table that grows without end each new one would land
//! on a page of its own, read from the disk and written back. So entries are kept by generations of so many
//! ids: new ones fall on the few megabytes of the newest generation, which stay in memory, and
//! older generations are only read. A look-up asks each generation, the newest first.
//!
//! Each partition has a newest generation. A database usually has 64 of them, and writes each page that changes once more as a whole
//! after a checkpoint: so generations are smaller there.

use mayfly_core::PartitionId;

use super::Result;
use crate::sql::{Sql, values};

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

-- By the id of the card's number.
CREATE TABLE etsn_lookup (
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

/// How many ids one generation has in a file.
pub const GENERATION: u64 = 1 << 18;
/// How many it has in a database.
const DATABASE_GENERATION: u64 = 1 << 13;

/// How many ids one generation has there.
pub(crate) fn generation(sql: &Sql) -> u64 {
    if sql.is_sqlite() { GENERATION } else { DATABASE_GENERATION }
}

/// How many generations one statement looks into.
const PROBED: u64 = 256;

/// What is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Transactions by reference.
    Reference,
    /// Numbers by index.
    Number,
    /// Answers that are kept, by key.
    Kept,
    /// ETSNs by card.
    Etsn,
}

impl Lookup {
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Reference => "reference_lookup",
            Self::Number => "number_lookup",
            Self::Kept => "kept_lookup",
            Self::Etsn => "etsn_lookup",
        }
    }

    /// The oldest generation that is there.
    fn oldest(self, sql: &Sql, partition: PartitionId) -> Result<Option<i64>> {
        let oldest = format!("SELECT min(generation) FROM {} WHERE partition = ?", self.table());
        Ok(sql.one(&oldest, values![partition.0], |cells| cells.next::<Option<i64>>())?.flatten())
    }

    /// Forgets a generation all of whose ids are below `first`, if there is one. One at a time, since it takes a while.
    pub(crate) fn forget(self, sql: &Sql, partition: PartitionId, first: u64) -> Result<()> {
        let oldest = self.oldest(sql, partition)?;
        if let Some(oldest) = oldest.filter(|oldest| (*oldest as u64 + 1) * generation(sql) <= first) {
            let forget = format!("DELETE FROM {} WHERE partition = ? AND generation = ?", self.table());
            sql.run(&forget, values![partition.0, oldest])?;
        }
        Ok(())
    }

    /// The ids under a hash that are below `next`, the newest first, at most `limit`.
    pub(crate) fn find(
        self,
        sql: &Sql,
        partition: PartitionId,
        hash: u64,
        next: u64,
        limit: usize,
    ) -> Result<Vec<u64>> {
        // Some generations at a time: none is looked into in vain for long, and there are not so many round trips.
        let find = format!(
            "WITH RECURSIVE probed(at) AS (SELECT CAST(? AS BIGINT) UNION ALL
                SELECT at - 1 FROM probed WHERE at > CAST(? AS BIGINT))
            SELECT id FROM probed CROSS JOIN {} WHERE partition = ? AND generation = at AND hash = ? AND id < ?
            ORDER BY id DESC LIMIT ?",
            self.table()
        );
        let mut found = Vec::new();
        let Some(oldest) = self.oldest(sql, partition)? else { return Ok(found) };
        let oldest = oldest as u64;
        let mut newest = Some(next / generation(sql));
        while let Some(from) = newest.filter(|newest| *newest >= oldest && found.len() < limit) {
            let to = from.saturating_sub(PROBED - 1).max(oldest);
            let rest = (limit - found.len()) as i64;
            let values = values![from as i64, to as i64, partition.0, hash as i64, next as i64, rest];
            found.extend(sql.all(&find, values, |cells| cells.bits())?);
            newest = to.checked_sub(1);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tests::on_both;
    use crate::sqlite::Access;
    use crate::views;

    #[test]
    fn entries_are_found_in_every_generation() {
        on_both(|home| {
            let sql = home.open(&views::FORMAT, Access::Create, 1 << 20).unwrap();
            let partition = PartitionId(3);
            let generation = generation(&sql);
            let ids = [1, 5, generation - 1, generation, 3 * generation + 7, 800 * generation];
            let add = "INSERT INTO reference_lookup (partition, generation, hash, id) VALUES (?, ?, ?, ?)";
            for id in ids {
                for (hash, id) in [(u64::MAX - 1, id), (7, id + 1)] {
                    let of = (id / generation) as i64;
                    sql.run(add, values![partition.0, of, hash as i64, id as i64]).unwrap();
                }
            }
            let find =
                |hash, next, limit| Lookup::Reference.find(&sql, partition, hash, next, limit).unwrap();
            let next = 800 * generation + 2;
            let newest_first: Vec<_> = ids.into_iter().rev().collect();
            assert_eq!(find(u64::MAX - 1, next, 100), newest_first);
            assert_eq!(find(u64::MAX - 1, next, 2), newest_first[..2]);
            assert!(find(8, next, 100).is_empty());
            let other = Lookup::Reference.find(&sql, PartitionId(0), 7, next, 100).unwrap();
            assert!(other.is_empty());
            assert!(Lookup::Number.find(&sql, partition, 7, next, 100).unwrap().is_empty());
            Lookup::Reference.forget(&sql, partition, generation).unwrap();
            assert_eq!(find(u64::MAX - 1, next, 100), newest_first[..3]);
        });
    }
}
