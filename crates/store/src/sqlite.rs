//! How the files are opened: the one place that knows SQLite's pragmas.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::StoreError;
use crate::error::At;
use crate::format::{Durability, Format, Script};

/// How long a connection waits for a lock that another one holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To write; made if it does not exist.
    Create,
    /// To read. Never changes anything.
    Read,
}

/// Opens `path` as a file of `format`; a new one gets all tables, an older one those that it lacks. A file of a newer version,
/// or one that is not of this format, is refused before anything is written to it; so is an older one that can't be brought
/// up to date, or that is only to be read.
pub(crate) fn open(
    path: &Path,
    format: &Format,
    access: Access,
    cache_bytes: usize,
) -> Result<Connection, StoreError> {
    let flags = match access {
        Access::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let mut connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).at(path)?;
    // A file that may not be written is opened to read, without a word.
    if access == Access::Create && connection.is_readonly("main").at(path)? {
        return Err(StoreError::ReadOnly { location: path.into() });
    }
    connection.busy_timeout(BUSY_TIMEOUT).at(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    let cache_kib = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.execute_batch(&format!("PRAGMA cache_size = -{cache_kib}")).at(path)?;
    let version = check_format(&connection, path, format)?;
    match (access, version) {
        (_, Some(version)) if version < format.version() && !format.upgrades => {
            return Err(format.older(path.into(), version));
        }
        (Access::Read, None) => {
            return Err(StoreError::Damaged { location: path.into(), why: "it is empty".to_owned() });
        }
        (Access::Read, Some(version)) if version < format.reads_from => {
            return Err(format.older(path.into(), version));
        }
        (Access::Read, _) => {}
        (Access::Create, version) => {
            prepare(&connection, path, format)?;
            if version.is_none_or(|version| version < format.version()) {
                migrate(&mut connection, format, version.unwrap_or(0)).at(path)?;
            }
        }
    }
    Ok(connection)
}

/// The version of the file, none if it is new.
fn check_format(connection: &Connection, path: &Path, format: &Format) -> Result<Option<u32>, StoreError> {
    let number = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0)).at(path);
    // Both pragmas are 32 bits wide.
    let application_id = number("PRAGMA application_id")? as u32;
    let version = number("PRAGMA user_version")? as u32;
    if application_id == 0 && version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(None);
    }
    format.check(path.into(), application_id, version).map(|()| Some(version))
}

fn prepare(connection: &Connection, path: &Path, format: &Format) -> Result<(), StoreError> {
    // The page size is a file's own once it has pages; on an older file the first pragma does nothing.
    connection.execute_batch("PRAGMA page_size = 16384").at(path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)).at(path)?;
    if mode != "wal" {
        let why = "the file system does not allow write-ahead logging (a network share?)".to_owned();
        return Err(StoreError::CantOpen { location: path.into(), why });
    }
    let synchronous = match format.durability {
        Durability::Full => "FULL",
        Durability::Later => "NORMAL",
    };
    connection.execute_batch(&format!("PRAGMA synchronous = {synchronous}")).at(path)
}

/// Takes the steps that a file of version `from` lacks: all of them, or none.
fn migrate(connection: &mut Connection, format: &Format, from: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Somebody else may have taken them meanwhile.
    let now: i64 = transaction.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    for step in format.after(from.max(now as u32)) {
        match step.script {
            Script::Both(sql) | Script::Each { sqlite: sql, .. } => transaction.execute_batch(sql)?,
        }
    }
    let (application_id, version) = (format.application_id, format.version());
    transaction.execute_batch(&format!(
        "PRAGMA application_id = {application_id}; PRAGMA user_version = {version};"
    ))?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Step;

    fn format(steps: &'static [Step]) -> Format {
        let (file, schema, durability) = ("a.db", "a", Durability::Full);
        let reads_from = steps.last().map_or(0, |step| step.version);
        Format { file, schema, application_id: 7, durability, steps, upgrades: true, reads_from }
    }

    #[test]
    fn an_older_file_gets_what_it_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let first = format(const { &[Step::new(1, "CREATE TABLE a (x)")] });
        let third = format(
            const {
                &[
                    Step::new(1, "CREATE TABLE a (x)"),
                    Step::new(2, "ALTER TABLE a ADD y"),
                    Step::new(3, "CREATE TABLE b (x)"),
                ]
            },
        );
        let open = |format: &Format, access| open(&path, format, access, 1 << 20);
        drop(open(&first, Access::Create).unwrap());
        assert!(matches!(open(&third, Access::Read), Err(StoreError::Damaged { .. })));
        let connection = open(&third, Access::Create).unwrap();
        connection.execute_batch("INSERT INTO a (x, y) VALUES (1, 2); INSERT INTO b (x) VALUES (3)").unwrap();
        drop(open(&third, Access::Create).unwrap());
        // All or none.
        let broken = format(
            const {
                &[
                    Step::new(3, "CREATE TABLE b (x)"),
                    Step::new(4, "CREATE TABLE c (x)"),
                    Step::new(5, "CREATE TABLE c (x)"),
                ]
            },
        );
        open(&broken, Access::Create).unwrap_err();
        drop(open(&third, Access::Read).unwrap());
        let newer = StoreError::Newer { location: (&path).into(), version: 3, known: 1 };
        assert_eq!(open(&first, Access::Create).err(), Some(newer));
    }
}
