//! The views: ordinary tables for people and pages, folded from the journal behind the writer's back.
//!
//! One file holds one partition's views. They follow from the journal alone, so a file that does not fit is
//! thrown away and built again. Ids, amounts (minor units) and times (milliseconds since 1970, UTC) are as in the
//! core; keyed hashes are the signed 64-bit number with the same bits. No card number is ever kept: a keyed
//! index, and the last four digits.
//!
//! One module per group of tables has all of its SQL.

pub(crate) mod accounts;
pub(crate) mod cells;
mod codes;
pub(crate) mod cursor;
pub(crate) mod issuers;
pub(crate) mod kept;
pub(crate) mod lookups;
pub(crate) mod numbers;
pub(crate) mod pending;
pub(crate) mod transactions;

use std::path::{Path, PathBuf};

use mayfly_core::PartitionId;
use rusqlite::Connection;

use crate::StoreError;
use crate::error::At;
use crate::format::{Durability, Format, Step};
use crate::sqlite::{self, Access};

pub use accounts::AccountRow;
pub use lookups::GENERATION;
pub use numbers::{NumberRow, Retired};
pub use transactions::TransactionRow;

/// The views' file name.
pub const VIEWS_FILE: &str = "views.db";

/// There if the views must be built again.
pub(crate) const DISTRUST_FILE: &str = "views.distrusted";

/// Not synced at every commit: after a power cut the file is whole and stands a little further back.
pub(crate) const FORMAT: Format = Format {
    file: VIEWS_FILE,
    schema: "mayfly_views",
    application_id: 0x4d59_4656,
    durability: Durability::Later,
    steps: &[
        Step::new(VERSION, codes::CREATE),
        Step::new(VERSION, cursor::CREATE),
        Step::new(VERSION, issuers::CREATE),
        Step::new(VERSION, accounts::CREATE),
        Step::new(VERSION, numbers::CREATE),
        Step::new(VERSION, transactions::CREATE),
        Step::new(VERSION, lookups::CREATE),
        Step::new(VERSION, kept::CREATE),
        Step::new(VERSION, pending::CREATE),
    ],
    upgrades: false,
};

/// Views of another version are built again: there are no steps from one to the next.
const VERSION: u32 = 3;

/// Where the views are.
pub(crate) fn path(directory: &Path) -> PathBuf {
    directory.join(VIEWS_FILE)
}

/// Notes that the views can't be folded any further, so that the next start builds them again: what is wrong with
/// them may not be seen by looking at them.
pub(crate) fn distrust(directory: &Path, why: &StoreError) {
    if why.is_damage_of(&path(directory).into())
        && let Err(error) = std::fs::write(directory.join(DISTRUST_FILE), why.to_string())
    {
        tracing::warn!(%error, "{DISTRUST_FILE} could not be written");
    }
}

/// Why the views were not to be folded any further, if that was so.
pub(crate) fn distrusted(directory: &Path) -> Option<String> {
    std::fs::read_to_string(directory.join(DISTRUST_FILE)).ok()
}

/// Opens the views to write; makes the tables where there are none.
pub(crate) fn open_to_write(directory: &Path, cache_bytes: usize) -> Result<Connection, StoreError> {
    let path = path(directory);
    let connection = sqlite::open(&path, &FORMAT, Access::Create, cache_bytes)?;
    codes::fill(&connection).at(&path)?;
    Ok(connection)
}

/// Opens the views to read.
pub(crate) fn open_to_read(directory: &Path, cache_bytes: usize) -> Result<Connection, StoreError> {
    sqlite::open(&path(directory), &FORMAT, Access::Read, cache_bytes)
}

/// Where the views of a partition stand; before the first record if they are new.
pub(crate) fn cursor(
    connection: &Connection,
    path: &Path,
    partition: PartitionId,
) -> Result<cursor::Cursor, StoreError> {
    Ok(cursor::find(connection, partition).at(path)?.unwrap_or(cursor::Cursor::START))
}
