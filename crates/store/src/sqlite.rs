//! How the files are opened: the one place that knows SQLite's pragmas.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;
use crate::error::At;

/// How long a connection waits for a lock that another one holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One kind of file.
pub(crate) struct Format {
    /// Stands in the file's header: whose file it is.
    pub(crate) application_id: u32,
    /// The newest version that is known.
    pub(crate) version: u32,
    /// `FULL` or `NORMAL`.
    pub(crate) synchronous: &'static str,
    /// Makes the tables of the newest version.
    pub(crate) schema: &'static [&'static str],
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To write; made if it does not exist.
    Create,
    /// To read. Never changes anything.
    Read,
}

/// An opened file.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    /// Its version: older than the newest if it has to be rebuilt.
    pub(crate) version: u32,
}

/// Opens `path` as a file of `format`. A file of a newer version, or one that is not of this format, is refused
/// before anything is written to it.
pub(crate) fn open(
    path: &Path,
    format: &Format,
    access: Access,
    cache_bytes: usize,
) -> Result<Opened, StoreError> {
    let flags = match access {
        Access::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).at(path)?;
    // A file that may not be written is opened to read, without a word.
    if access == Access::Create && connection.is_readonly("main").at(path)? {
        return Err(StoreError::ReadOnly { path: path.to_owned() });
    }
    connection.busy_timeout(BUSY_TIMEOUT).at(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    let cache_kib = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.execute_batch(&format!("PRAGMA cache_size = -{cache_kib}")).at(path)?;
    let version = check_format(&connection, path, format)?;
    if access == Access::Create {
        let version = version.unwrap_or(format.version);
        prepare(&connection, path, format, version)?;
        return Ok(Opened { connection, version });
    }
    match version {
        Some(version) => Ok(Opened { connection, version }),
        None => Err(StoreError::Damaged { path: path.to_owned(), why: "it is empty".to_owned() }),
    }
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
    if application_id != format.application_id {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if version > format.version {
        return Err(StoreError::Newer { path: path.to_owned(), version, known: format.version });
    }
    Ok(Some(version))
}

fn prepare(connection: &Connection, path: &Path, format: &Format, version: u32) -> Result<(), StoreError> {
    // The page size is a file's own once it has pages; on an older file the first pragma does nothing.
    connection.execute_batch("PRAGMA page_size = 16384").at(path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)).at(path)?;
    if mode != "wal" {
        let why = "the file system does not allow write-ahead logging (a network share?)".to_owned();
        return Err(StoreError::CantOpen { path: path.to_owned(), why });
    }
    connection.execute_batch(&format!("PRAGMA synchronous = {}", format.synchronous)).at(path)?;
    if version != format.version {
        return Ok(());
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).at(path)?;
    if tables == 0 {
        let schema = format.schema.join("\n");
        let (application_id, version) = (format.application_id, format.version);
        connection
            .execute_batch(&format!(
                "BEGIN;\n{schema}\nPRAGMA application_id = {application_id};\n\
                 PRAGMA user_version = {version};\nCOMMIT;"
            ))
            .at(path)?;
    }
    Ok(())
}
