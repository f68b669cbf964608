//! Moving an installation from one store to another, backing it up, and bringing it back as it was: the directory row by row, the journal record by record, each of them
//! checked; the views follow from the journal, and the first start builds them.
//!
//! A backup is a copy of an installation that is in service: the journal up to where it ended, and the directory as of a
//! moment after that: an order without its purchase is harmless, a purchase without its order could not be captured. To bring an installation back as it was at some time is
//! to copy such a backup and leave out the records that came later. What is half copied is never taken for an installation: files come to their
//! names at the end, a database says last of all whose it is.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use mayfly_core::{PartitionId, TimeMs};
use mayfly_engine::Ends;

use crate::format::Format;
use crate::installation;
use crate::sql::postgres::{Database, Rows, schema};
use crate::sql::{Access as Begin, Backend, Raw, Sql, Value, values};
use crate::sqlite::Access;
use crate::{
    DirectoryLock, Home, JournalReader, LEASE_TIME, Lease, StoreError, StoredJournal, Verified, directory,
    journal, verify, views,
};

type Result<T> = std::result::Result<T, StoreError>;

/// What a copy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// The directory's rows are copied: so many so far.
    Directory(u64),
    /// The journal's records are copied.
    Journal {
        /// So many entries so far.
        entries: u64,
        /// Of so many.
        of: u64,
    },
    /// What was copied is read again, and checked.
    Verifying(u64),
}

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How many rows of the directory.
    pub rows: u64,
    /// What the journal has.
    pub journal: Verified,
}

/// How many rows or records one transaction writes.
const BATCH: usize = 1_000;
const CACHE_BYTES: usize = 16 << 20;
/// The files that make an installation, in the order in which they come to their names: without a journal it is none.
const FILES: [&str; 2] = [directory::DIRECTORY_FILE, crate::JOURNAL_FILE];
/// Where files are until they are whole.
const PARTIAL: &str = "copy.partial";

/// How something is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// The installation is in service meanwhile. Otherwise nobody may work on it.
    pub online: bool,
    /// Records of later than this are left out, in milliseconds since 1970 (UTC).
    pub until_ms: Option<TimeMs>,
}

/// Copies an installation to where none is, for a root key with this check value.
///
/// # Errors
/// If either can't be used or is in use, there is an installation at `to` already, or a record or an entry of the audit
/// stream is not what was written. Then there is no installation at `to`.
pub fn copy(
    from: &Home,
    to: &Home,
    root_check: &str,
    options: CopyOptions,
    mut progress: impl FnMut(Copying),
) -> Result<Copied> {
    let of_source = if options.online { None } else { lock(from)? };
    let _locks = (of_source, lock(to)?);
    match to {
        Home::Files(directory) => {
            for file in FILES.iter().chain([&views::VIEWS_FILE]) {
                let path = directory.join(file);
                if path.exists() {
                    return Err(StoreError::Occupied { location: path.into() });
                }
            }
            let partial = directory.join(PARTIAL);
            let failed = |error: std::io::Error| StoreError::Directory {
                path: partial.clone(),
                why: error.to_string(),
            };
            // What a copy that was cut off has left.
            if partial.exists() {
                std::fs::remove_dir_all(&partial).map_err(failed)?;
            }
            std::fs::create_dir(&partial).map_err(failed)?;
            let copied = fill(from, &Home::Files(partial.clone()), options, &mut progress)?;
            for file in FILES {
                // Only its owner reads it, wherever it is moved.
                let mode = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(partial.join(file), mode).map_err(failed)?;
                std::fs::rename(partial.join(file), directory.join(file)).map_err(failed)?;
            }
            std::fs::remove_dir_all(&partial).map_err(failed)?;
            sync(directory)?;
            Ok(copied)
        }
        Home::Database(database) => {
            make_room(database, to)?;
            let copied = fill(from, to, options, &mut progress)?;
            installation::create(to, root_check, copied.journal.ends.partitions())?;
            Ok(copied)
        }
    }
}

/// Nobody serves a directory that is locked, or a database of which nobody has a lease.
fn lock(home: &Home) -> Result<Option<DirectoryLock>> {
    let database = match home {
        Home::Files(directory) => return DirectoryLock::acquire(directory).map(Some),
        Home::Database(database) => database,
    };
    if schema::is_there(database, &journal::FORMAT)? {
        // That of the first partition stands for all of them.
        let lease = Lease::open(database, PartitionId::FIRST, "copy".to_owned(), LEASE_TIME)?;
        if let Some(holder) = lease.holder()?.filter(|holder| !holder.left.is_zero()) {
            return Err(StoreError::Served {
                location: home.location(&journal::FORMAT),
                holder: holder.owner,
            });
        }
    }
    Ok(None)
}

/// What was renamed stays renamed.
fn sync(directory: &Path) -> Result<()> {
    let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| StoreError::Directory { path: directory.to_owned(), why: error.to_string() })
}

/// Removes what a copy that was cut off has left; refuses to touch an installation.
fn make_room(database: &Arc<Database>, home: &Home) -> Result<()> {
    if installation::root_check(home)?.is_some() {
        return Err(StoreError::Occupied { location: home.location(&journal::FORMAT) });
    }
    for format in [&journal::FORMAT, &directory::FORMAT, &views::FORMAT] {
        schema::remove(database, format)?;
    }
    Ok(())
}

fn fill(from: &Home, to: &Home, options: CopyOptions, progress: &mut impl FnMut(Copying)) -> Result<Copied> {
    let source = JournalReader::open(from)?;
    let (ends, base) = (source.ends()?, source.base()?);
    if let Some(until_ms) = options.until_ms {
        require_until(&source, until_ms)?;
    }
    let rows = copy_tables(from, to, &directory::FORMAT, progress)?;
    installation::set_partitions(to, source.partitions())?;
    let mut target = StoredJournal::open(to)?;
    let until_ms = options.until_ms.unwrap_or(TimeMs::MAX);
    let of = ends.number.saturating_sub(base.number);
    let copied = copy_journal(&source, &base, (ends.number, until_ms), &mut target, |entries| {
        progress(Copying::Journal { entries, of });
    })?;
    drop(target);
    if !options.online && source.ends()? != ends {
        let why = "the journal grew while it was copied: stop whoever writes it".to_owned();
        return Err(StoreError::Database { location: source.location().clone(), why });
    }
    let target = JournalReader::open(to)?;
    let verified = verify(&target, |number| progress(Copying::Verifying(number)))?;
    if verified.ends != copied {
        let why = "it does not have what was copied".to_owned();
        return Err(StoreError::Damaged { location: target.location().clone(), why });
    }
    Ok(Copied { rows, journal: verified })
}

/// What was archived is not copied, and an installation can't be brought back as it was before that.
fn require_until(journal: &JournalReader, until_ms: TimeMs) -> Result<()> {
    let archived_ms = journal.archived()?.last().map_or(0, |span| span.last.at_ms());
    if archived_ms > until_ms {
        let location = journal.location().clone();
        return Err(StoreError::BeforeJournal { location, at_ms: archived_ms });
    }
    Ok(())
}

/// Copies entries up to a number and a time, each of them checked, and after which entry they begin. Returns where the copy
/// ends.
fn copy_journal(
    journal: &JournalReader,
    base: &Ends,
    (last, until_ms): (u64, TimeMs),
    target: &mut StoredJournal,
    mut copied: impl FnMut(u64),
) -> Result<Ends> {
    // What was archived meanwhile is missed below: then the copy ends.
    let archived = journal.archived()?;
    target.begin_after(base, &archived)?;
    let mut ends = base.clone();
    let mut batch = Vec::with_capacity(BATCH);
    for entry in journal.after(base.clone()).take(last.saturating_sub(base.number) as usize) {
        let entry = entry?;
        // Time never goes back: no later one belongs to it either.
        if entry.at_ms() > until_ms {
            break;
        }
        ends.advance(&entry);
        batch.push(entry);
        copied(ends.number - base.number);
        if batch.len() == BATCH {
            target.append_all(&batch)?;
            batch.clear();
        }
    }
    target.append_all(&batch)?;
    Ok(ends)
}

/// Copies all rows of all tables. Both stores call tables and columns the same.
fn copy_tables(from: &Home, to: &Home, format: &Format, progress: &mut impl FnMut(Copying)) -> Result<u64> {
    let source = from.open(format, Access::Read, CACHE_BYTES)?;
    let target = to.open(format, Access::Create, CACHE_BYTES)?;
    let reading = source.begin(Begin::Read)?;
    let mut copied = 0;
    for table in tables(&reading, format)? {
        let columns = columns(&reading, format, &table)?;
        // What a new one has of its own, such as the counters of ids.
        if target.one(&format!("SELECT count(*) FROM {table}"), &[], |cells| cells.bits())?.unwrap_or(0) > 0 {
            target.run(&format!("DELETE FROM {table}"), &[])?;
        }
        let mut batch = Vec::new();
        reading.each(&format!("SELECT {} FROM {table}", columns.join(", ")), &[], |cells| {
            batch.push(columns.iter().map(|_| cells.next().map(owned)).collect::<Result<Vec<_>>>()?);
            if batch.len() == BATCH {
                copied += insert(&target, &table, &columns, &mut batch)?;
                progress(Copying::Directory(copied));
            }
            Ok(())
        })?;
        copied += insert(&target, &table, &columns, &mut batch)?;
        progress(Copying::Directory(copied));
    }
    Ok(copied)
}

fn owned(raw: Raw<'_>) -> Value<'static> {
    match raw {
        Raw::Null => Value::Null,
        Raw::Integer(value) => Value::Integer(value),
        Raw::Text(text) => Value::Text(text.to_owned().into()),
        Raw::Blob(bytes) => Value::Blob(bytes.to_owned().into()),
    }
}

/// Writes a batch of rows, and empties it.
fn insert(
    target: &Sql,
    table: &str,
    columns: &[String],
    batch: &mut Vec<Vec<Value<'static>>>,
) -> Result<u64> {
    let columns = columns.join(", ");
    match target.backend() {
        Backend::Postgres(link) => {
            let mut rows = Rows::default();
            batch.iter().for_each(|row| rows.push(row));
            if let Some(rows) = rows.take() {
                link.borrow_mut().copy(&format!("COPY {table} ({columns}) FROM STDIN BINARY"), rows)?;
            }
        }
        Backend::Sqlite(_) => {
            let marks = vec!["?"; batch.first().map_or(0, Vec::len)].join(", ");
            let add = format!("INSERT INTO {table} ({columns}) VALUES ({marks})");
            let writing = target.begin(Begin::Write)?;
            for row in batch.iter() {
                writing.run(&add, row)?;
            }
            writing.commit()?;
        }
    }
    let count = batch.len() as u64;
    batch.clear();
    Ok(count)
}

/// The tables of a store, in the order in which they were made: what is referred to comes first.
fn tables(sql: &Sql, format: &Format) -> Result<Vec<String>> {
    let read = |cells: &mut crate::sql::Cells<'_>| cells.next::<String>();
    if sql.is_sqlite() {
        let list =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid";
        return sql.all(list, &[], read);
    }
    let list = "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = ? AND relkind = 'r' AND relname <> 'format' ORDER BY pg_class.oid";
    sql.all(list, values![format.schema], read)
}

fn columns(sql: &Sql, format: &Format, table: &str) -> Result<Vec<String>> {
    let read = |cells: &mut crate::sql::Cells<'_>| cells.next::<String>();
    if sql.is_sqlite() {
        return sql.all("SELECT name FROM pragma_table_info(?) ORDER BY cid", values![table], read);
    }
    let list = "SELECT column_name FROM information_schema.columns WHERE table_schema = ? AND table_name = ?
        ORDER BY ordinal_position";
    sql.all(list, values![format.schema, table], read)
}
