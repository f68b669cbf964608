//! Making what is stored, and finding out whose it is.

use mayfly_keys::CheckValue;
use mayfly_store::{Database, DirectoryLock, Home, Location, SqliteJournal, StoreError};

/// Makes everything that is stored, empty, for a root key with this check value. What follows from the journal is made by
/// the first start.
pub(crate) fn create(home: &Home, _check_value: CheckValue) -> Result<(), StoreError> {
    match home {
        // Its root key's check value is in a file beside it.
        Home::Files(directory) => {
            let _lock = DirectoryLock::acquire(directory)?;
            SqliteJournal::open(directory).map(drop)
        }
        Home::Database(database) => Err(not_yet(database)),
    }
}

/// The check value of the root key that a database was made for; none if there is no installation in it.
pub(crate) fn root_check(home: &Home) -> Result<Option<String>, StoreError> {
    match home {
        Home::Files(_) => Ok(None),
        Home::Database(database) => Err(not_yet(database)),
    }
}

fn not_yet(database: &Database) -> StoreError {
    let location = Location::Schema { database: database.name().into(), name: "mayfly_journal" };
    StoreError::Database { location, why: "this version keeps its data in files only".to_owned() }
}
