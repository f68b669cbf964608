//! Making an installation, and finding out whose it is and of how many partitions.

use std::num::NonZeroU16;

use mayfly_core::PartitionId;

use crate::journal::FORMAT;
use crate::sql::postgres::schema;
use crate::sql::{Sql, values};
use crate::sqlite::Access;
use crate::{DirectoryLock, Home, StoreError, StoredJournal, views};

/// Part of a journal's schema: a database has nothing beside it in which this could stand.
pub(crate) const CREATE_POSTGRES: &str = "
-- Of which root key the installation is: that key's check value.
CREATE TABLE installation (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    root_check TEXT NOT NULL
);";

/// Files had one partition, and nothing to say.
pub(crate) const PARTITIONS_SQLITE: &str = "
CREATE TABLE installation (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    partitions INTEGER NOT NULL
) STRICT;
INSERT INTO installation (id, partitions) VALUES (1, 1);";
/// Databases had one, too.
pub(crate) const PARTITIONS_POSTGRES: &str = "
ALTER TABLE installation ADD COLUMN partitions BIGINT NOT NULL DEFAULT 1;
COMMENT ON COLUMN installation.partitions IS 'How many partitions it has; fixed when it was made.';";

const CACHE_BYTES: usize = 1 << 20;

/// Makes everything that is stored, empty, for a root key with this check value, with so many partitions. What follows from the
/// journal is made by the first start.
///
/// In files there is no check value: it stands beside them.
pub fn create(home: &Home, root_check: &str, partitions: NonZeroU16) -> Result<(), StoreError> {
    match home {
        Home::Files(directory) => {
            let _lock = DirectoryLock::acquire(directory)?;
            set_partitions(home, partitions)
        }
        Home::Database(_) => {
            let sql = home.open(&FORMAT, Access::Create, CACHE_BYTES)?;
            let add = "INSERT INTO installation (id, root_check, partitions) VALUES (1, ?, ?)
                ON CONFLICT (id) DO UPDATE SET root_check = excluded.root_check
                WHERE installation.root_check = ''";
            sql.run(add, values![root_check, partitions.get()]).map(drop)
        }
    }
}

/// Makes a journal, if there is none, with so many partitions. Nothing may be in it yet. In a database it does not say
/// whose it is until it is [made](create).
pub(crate) fn set_partitions(home: &Home, partitions: NonZeroU16) -> Result<(), StoreError> {
    let journal = StoredJournal::open(home)?;
    let set = match home {
        Home::Files(_) => "UPDATE installation SET partitions = ?",
        Home::Database(_) => {
            "INSERT INTO installation (id, root_check, partitions) VALUES (1, '', ?)
            ON CONFLICT (id) DO UPDATE SET partitions = excluded.partitions"
        }
    };
    journal.sql().run(set, values![partitions.get()]).map(drop)
}

/// The check value of the root key that a database was made for; none if there is no installation in it.
pub fn root_check(home: &Home) -> Result<Option<String>, StoreError> {
    match home {
        Home::Files(_) => Ok(None),
        Home::Database(database) if !schema::is_there(database, &FORMAT)? => {
            // One that was lost must not be taken for one that was never there.
            if schema::is_there(database, &views::FORMAT)? {
                return Err(StoreError::Missing { location: home.location(&FORMAT), views: true });
            }
            Ok(None)
        }
        Home::Database(database) => {
            // One of an older version says it, too.
            let sql = schema::look(database, &FORMAT)?;
            let said = sql.one("SELECT root_check FROM installation", &[], |cells| cells.next::<String>())?;
            Ok(said.filter(|root_check| !root_check.is_empty()))
        }
    }
}

/// How many partitions a journal has.
pub(crate) fn partitions(journal: &Sql) -> Result<NonZeroU16, StoreError> {
    let said = journal.one("SELECT partitions FROM installation", &[], |cells| cells.next::<u16>())?;
    // A database that was not made, but is being copied into or tested with, has one.
    let partitions = NonZeroU16::new(said.unwrap_or(1));
    partitions.filter(|partitions| partitions.get() <= PartitionId::COUNT_MAX).ok_or_else(|| {
        let why = format!("it has no count of partitions between 1 and {}", PartitionId::COUNT_MAX);
        StoreError::Damaged { location: journal.location().clone(), why }
    })
}
