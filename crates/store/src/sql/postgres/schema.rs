//! Opening a schema: making it, bringing an older one up to date, and refusing what is not ours.

use std::sync::Arc;

use super::{Database, Link};
use crate::StoreError;
use crate::format::{Durability, Format, Script};
use crate::sql::{Access as Begin, Sql, dialect, values};
use crate::sqlite::Access;

const FORMAT_TABLE: &str = "
CREATE TABLE format (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    application_id BIGINT NOT NULL,
    version BIGINT NOT NULL
);
COMMENT ON TABLE format IS 'Whose schema this is and of which version; who writes locks its row.';";

/// Connects to the schema of `format`; a new one gets all tables, an older one those that it lacks. A schema of a newer
/// version, or one that is not of this format, is refused before anything is written to it; so is an older one that can't be
/// brought up to date, or that is only to be read.
pub(crate) fn open(database: &Arc<Database>, format: &Format, access: Access) -> Result<Sql, StoreError> {
    let sql = Sql::postgres(Link::open(database, format.schema, format.durability)?);
    check_server(&sql, format.durability)?;
    let version = found(&sql, format)?;
    match (access, version) {
        (_, Some(version)) if version == format.version() => return Ok(sql),
        (Access::Read, None) => {
            return Err(StoreError::Missing { location: sql.location().clone(), views: false });
        }
        (Access::Read, Some(version)) if version >= format.reads_from => return Ok(sql),
        (Access::Read, Some(version)) => return Err(format.older(sql.location().clone(), version)),
        (Access::Create, Some(version)) if !format.upgrades => {
            return Err(format.older(sql.location().clone(), version));
        }
        (Access::Create, _) => {}
    }
    let migration = sql.begin(Begin::Migrate)?;
    // Whoever had the lock before may have done it.
    let version = found(&sql, format)?;
    if version.is_none() {
        sql.script(&format!("CREATE SCHEMA IF NOT EXISTS {}; {FORMAT_TABLE}", format.schema))?;
        let values = values![format.application_id, format.version()];
        sql.run("INSERT INTO format (id, application_id, version) VALUES (1, ?, ?)", values)?;
    }
    for step in format.after(version.unwrap_or(0)) {
        match step.script {
            Script::Both(script) => sql.script(&dialect::schema(script))?,
            Script::Each { postgres, .. } => sql.script(postgres)?,
        }
    }
    sql.run("UPDATE format SET version = ?", values![format.version()])?;
    migration.commit()?;
    Ok(sql)
}

/// Connects to a schema of ours, of whatever version that is not newer, to look who it is.
pub(crate) fn look(database: &Arc<Database>, format: &Format) -> Result<Sql, StoreError> {
    let sql = Sql::postgres(Link::open(database, format.schema, format.durability)?);
    match found(&sql, format)? {
        Some(_) => Ok(sql),
        None => Err(StoreError::Missing { location: sql.location().clone(), views: false }),
    }
}

/// Puts a schema out of the way, with all that is in it. The last one that was put aside is kept, for whoever wants to know
/// why; an older one is removed.
pub(crate) fn put_aside(database: &Arc<Database>, format: &Format) -> Result<(), StoreError> {
    let sql = Sql::postgres(Link::open(database, format.schema, format.durability)?);
    let migration = sql.begin(Begin::Migrate)?;
    let name = format.schema;
    if exists(&sql, format)? {
        let aside =
            format!("DROP SCHEMA IF EXISTS {name}_bad CASCADE; ALTER SCHEMA {name} RENAME TO {name}_bad");
        sql.script(&aside)?;
    }
    migration.commit()
}

/// Takes away a schema with all that is in it.
pub(crate) fn remove(database: &Arc<Database>, format: &Format) -> Result<(), StoreError> {
    let sql = Sql::postgres(Link::open(database, format.schema, format.durability)?);
    let migration = sql.begin(Begin::Migrate)?;
    sql.script(&format!("DROP SCHEMA IF EXISTS {} CASCADE", format.schema))?;
    migration.commit()
}

/// Whether there is such a schema.
pub(crate) fn is_there(database: &Arc<Database>, format: &Format) -> Result<bool, StoreError> {
    exists(&Sql::postgres(Link::open(database, format.schema, format.durability)?), format)
}

/// Says so if there is no such schema; and whether the views are there, which were made from it.
pub(crate) fn require(database: &Arc<Database>, format: &Format, views: bool) -> Result<(), StoreError> {
    let sql = Sql::postgres(Link::open(database, format.schema, format.durability)?);
    if exists(&sql, format)? {
        return Ok(());
    }
    Err(StoreError::Missing { location: sql.location().clone(), views })
}

/// Whether there is such a schema, with anything in it.
fn exists(sql: &Sql, format: &Format) -> Result<bool, StoreError> {
    let count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = ?";
    let tables = sql.one(count, values![format.schema], |cells| cells.bits())?;
    Ok(tables.unwrap_or(0) > 0)
}

/// The version of the schema, none if there is no such schema. One that is not ours, or newer, is an error.
fn found(sql: &Sql, format: &Format) -> Result<Option<u32>, StoreError> {
    if !exists(sql, format)? {
        return Ok(None);
    }
    let read = sql.one("SELECT application_id, version FROM format", &[], |cells| {
        Ok((cells.next::<u32>()?, cells.next::<u32>()?))
    });
    match read {
        Ok(Some((application_id, version))) => {
            format.check(sql.location().clone(), application_id, version)?;
            Ok(Some(version))
        }
        // Tables, and none of ours.
        Ok(None) | Err(StoreError::Damaged { .. }) => {
            Err(StoreError::Foreign { location: sql.location().clone() })
        }
        Err(error) => Err(error),
    }
}

/// A server that does not keep what it has confirmed is of no use for what must not be lost.
fn check_server(sql: &Sql, durability: Durability) -> Result<(), StoreError> {
    if durability == Durability::Later {
        return Ok(());
    }
    let off = "SELECT name FROM pg_settings
        WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'";
    match sql.one(off, &[], |cells| cells.next::<String>())? {
        Some(setting) => {
            let why =
                format!("its setting {setting} is off, so that a power cut loses what it has confirmed");
            Err(StoreError::Refused { location: sql.location().clone(), why })
        }
        None => Ok(()),
    }
}
