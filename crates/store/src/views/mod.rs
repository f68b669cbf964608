//! The views: ordinary tables for people and pages, folded from the journal behind the writer's back.
//!
//! They follow from the journal alone, so a file that does not fit is
//! thrown away and built again. Ids, amounts (minor units) and times (milliseconds since 1970, UTC) are as in the
//! core; keyed hashes are the signed 64-bit number with the same bits. No card number is ever kept: a keyed
//! index, and the last four digits.
//!
//! One module per group of tables says what they are and reads them, in SQL for both databases. Every key begins with the
//! partition. Who writes them fast is [`fold`](crate::fold).

pub(crate) mod accounts;
pub(crate) mod cards;
pub(crate) mod codes;
pub(crate) mod cursor;
pub(crate) mod cut;
pub(crate) mod host_advices;
pub(crate) mod issuers;
pub(crate) mod kept;
pub(crate) mod lookups;
pub(crate) mod numbers;
pub(crate) mod pending;
pub(crate) mod transactions;

use std::num::NonZeroU16;
use std::path::Path;

use crate::format::{Durability, Format, Step};
use crate::sql::Sql;
use crate::sql::postgres::schema;
use crate::sqlite::Access;
use crate::{Home, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

pub(crate) use cursor::Cursors;

pub use accounts::AccountRow;
pub use cards::{CardLife, CardRow, CardStatus, EtsnId, EtsnRow, EtsnStatus};
pub use host_advices::HostAdviceRow;
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
        Step::new(VERSION, numbers::LIST),
        Step::new(VERSION, cards::CREATE),
        Step::new(VERSION, cards::LIST),
        Step::new(VERSION, host_advices::CREATE),
        Step::new(VERSION, cut::CREATE),
        Step::new(VERSION, transactions::CREATE),
        Step::new(VERSION, transactions::LIST),
        Step::new(VERSION, lookups::CREATE),
        Step::new(VERSION, kept::CREATE),
        Step::new(VERSION, pending::CREATE),
        Step::each(VERSION, "", ROOM_POSTGRES),
    ],
    upgrades: false,
    reads_from: VERSION,
};

/// PostgreSQL writes a row anew whenever it changes: where there is room for it on the same page, no index changes. These rows
/// change with every purchase.
const ROOM_POSTGRES: &str = "
ALTER TABLE accounts SET (fillfactor = 50);
ALTER TABLE cards SET (fillfactor = 50);
ALTER TABLE number_state SET (fillfactor = 50);";

/// Views of another version are built again: there are no steps from one to the next.
const VERSION: u32 = 7;

/// Notes that the views can't be folded any further, so that the next start builds them again: what is wrong with
/// them may not be seen by looking at them.
pub(crate) fn distrust(home: &Home, why: &StoreError) {
    if !why.is_damage_of(&home.location(&FORMAT)) {
        return;
    }
    let noted = match home {
        Home::Files(directory) => {
            std::fs::write(directory.join(DISTRUST_FILE), why.to_string()).map_err(|error| error.to_string())
        }
        // What is not there is built again.
        Home::Database(database) => schema::put_aside(database, &FORMAT).map_err(|error| error.to_string()),
    };
    if let Err(error) = noted {
        tracing::warn!(error, "that the views must be built again could not be noted");
    }
}

/// Why the views in a directory were not to be folded any further, if that was so.
pub(crate) fn distrusted(directory: &Path) -> Option<String> {
    std::fs::read_to_string(directory.join(DISTRUST_FILE)).ok()
}

/// Opens the views to write; makes the tables where there are none.
pub(crate) fn open_to_write(home: &Home, cache_bytes: usize) -> Result<Sql> {
    let sql = home.open(&FORMAT, Access::Create, cache_bytes)?;
    codes::fill(&sql)?;
    Ok(sql)
}

/// Opens the views to read.
pub(crate) fn open_to_read(home: &Home, cache_bytes: usize) -> Result<Sql> {
    home.open(&FORMAT, Access::Read, cache_bytes)
}

/// Where the views of so many partitions stand; before the first record if they are new.
pub(crate) fn cursors(sql: &Sql, partitions: NonZeroU16) -> Result<Cursors> {
    Ok(cursor::find(sql, partitions)?.unwrap_or(Cursors::start(partitions)))
}
