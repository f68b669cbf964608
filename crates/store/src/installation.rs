//! Making an installation, and finding out whose it is.

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

const CACHE_BYTES: usize = 1 << 20;

/// Makes everything that is stored, empty, for a root key with this check value. What follows from the journal is made by
/// the first start.
///
/// In files there is no check value: it stands beside them.
pub fn create(home: &Home, root_check: &str) -> Result<(), StoreError> {
    match home {
        Home::Files(directory) => {
            let _lock = DirectoryLock::acquire(directory)?;
            StoredJournal::open(home).map(drop)
        }
        Home::Database(_) => {
            let sql = home.open(&FORMAT, Access::Create, CACHE_BYTES)?;
            sql.run("INSERT INTO installation (id, root_check) VALUES (1, ?)", values![root_check]).map(drop)
        }
    }
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
        Home::Database(_) => {
            let sql = home.open(&FORMAT, Access::Read, CACHE_BYTES)?;
            sql.one("SELECT root_check FROM installation", &[], |cells| cells.next())
        }
    }
}

/// The partitions that have records, the first first.
pub(crate) fn partitions(journal: &Sql) -> Result<Vec<PartitionId>, StoreError> {
    let all = "SELECT DISTINCT partition FROM journal ORDER BY partition";
    journal.all(all, &[], |cells| cells.next().map(PartitionId))
}
