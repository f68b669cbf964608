//! What can go wrong with the files, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mayfly_core::PartitionId;
use mayfly_engine::{Record, RecordError};
use rusqlite::{ErrorCode, ffi};

/// Where something is stored: for people, and to tell one store from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A file.
    File(PathBuf),
    /// A schema of a database: who connects to what.
    Schema {
        /// The database, without anything secret.
        database: Arc<str>,
        /// The schema.
        name: &'static str,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Schema { database, name } => write!(f, "{database} ({name})"),
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Self> for Location {
    fn from(location: &Self) -> Self {
        location.clone()
    }
}

/// Why the store can't go on. Names the file and says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Another process works on the directory.
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process, if its lock file names it.
        pid: Option<u32>,
    },
    /// The directory can't be used.
    Directory {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// There is no journal, where there must be one.
    Missing {
        /// The journal's path.
        location: Location,
        /// Whether its views are there: then the journal was lost.
        views: bool,
    },
    /// Written by a newer version of the software.
    Newer {
        /// The file.
        location: Location,
        /// Its version.
        version: u32,
        /// The newest version that this software knows.
        known: u32,
    },
    /// A database, but none of ours; or another partition's.
    Foreign {
        /// The file.
        location: Location,
    },
    /// The file, or the directory around it, can't be written.
    ReadOnly {
        /// The file.
        location: Location,
    },
    /// The file can't be opened.
    CantOpen {
        /// The file.
        location: Location,
        /// What the database said.
        why: String,
    },
    /// The disk is full.
    Full {
        /// The file that could not grow.
        location: Location,
    },
    /// The disk failed.
    Io {
        /// The file.
        location: Location,
        /// What the database said.
        why: String,
    },
    /// The file is not what was written.
    Damaged {
        /// The file.
        location: Location,
        /// What does not fit.
        why: String,
    },
    /// Another process kept the file busy for longer than we wait.
    Busy {
        /// The file.
        location: Location,
    },
    /// A journal record is not what was written.
    Record {
        /// The journal, or the file of its archive.
        location: Location,
        /// Whose record.
        partition: PartitionId,
        /// The record.
        sequence: u64,
        /// What does not fit.
        why: RecordError,
    },
    /// A journal record is missing.
    Gap {
        /// The journal.
        location: Location,
        /// The first one that is missing.
        sequence: u64,
    },
    /// An entry is not in the journal any more: it was archived and dropped.
    Archived {
        /// The journal.
        location: Location,
        /// The entry.
        number: u64,
        /// The first entry that the journal still has.
        begins: u64,
    },
    /// A file of the archive is not where it should be.
    ArchiveMissing {
        /// The file.
        path: PathBuf,
        /// Its first entry.
        first: u64,
        /// Its last entry.
        last: u64,
    },
    /// What was before that time is not in the journal any more: it was archived.
    BeforeJournal {
        /// The journal.
        location: Location,
        /// The time, in milliseconds since 1970 (UTC).
        at_ms: u64,
    },
    /// What was asked to be dropped is too young for it.
    TooRecent {
        /// Until when things may be dropped, in milliseconds since 1970 (UTC).
        before_ms: u64,
    },
    /// Anything else that the database said.
    Database {
        /// The file.
        location: Location,
        /// What it said.
        why: String,
    },
    /// The database could not be reached, or the connection to it broke. Whether what was asked last was done is not known.
    Lost {
        /// The database.
        location: Location,
        /// What went wrong.
        why: String,
    },
    /// The database does not let us do it: it can't be written, or its user has not the right to.
    Refused {
        /// The database.
        location: Location,
        /// What it said.
        why: String,
    },
    /// Somebody else changed the same at the same time. Nothing was done, and it may be tried again.
    Conflict {
        /// The database.
        location: Location,
        /// What it said.
        why: String,
    },
    /// A gateway works on the database.
    Served {
        /// The database.
        location: Location,
        /// What the gateway is called.
        holder: String,
    },
    /// There is an installation already, where none must be.
    Occupied {
        /// Where.
        location: Location,
    },
    /// A row is there already, and there may be only one.
    Taken {
        /// The file.
        location: Location,
    },
    /// A value can't be written down.
    Unwritable {
        /// Why not.
        why: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path, pid } => {
                write!(f, "{} is in use by another process", path.display())?;
                match pid {
                    Some(pid) => write!(f, " (pid {pid}): stop it first, or choose another directory"),
                    None => f.write_str(": stop it first, or choose another directory"),
                }
            }
            Self::Directory { path, why } => {
                write!(f, "{} can't be used: {why}", path.display())
            }
            Self::Missing { location, views: true } => write!(
                f,
                "{} is missing, but its views are there: put the journal back; nothing was changed",
                location
            ),
            Self::Missing { location, views: false } => {
                let what = if matches!(location, Location::File(_)) { "directory" } else { "database" };
                write!(f, "there is no journal at {location}: is this the right {what}?")
            }
            Self::Newer { location, version, known } => write!(
                f,
                "{} was written by a newer version of the software (format {version}, this one knows {known}): \
                 update it; nothing was changed",
                location
            ),
            Self::Foreign { location } => write!(
                f,
                "{} is not a file of this kind and partition: move it away, or choose another directory",
                location
            ),
            Self::ReadOnly { location } => write!(
                f,
                "{} can't be written: check the permissions of the file and its directory, and that the file \
                 system is not mounted read-only",
                location
            ),
            Self::CantOpen { location, why } => {
                write!(f, "{} can't be opened ({why}): check that it exists and its permissions", location)
            }
            Self::Full { location } => {
                write!(f, "the disk is full: {} can't grow; make room and start again", location)
            }
            Self::Io { location, why } => {
                write!(f, "{} could not be read or written ({why}): check the disk", location)
            }
            Self::Damaged { location, why } => {
                write!(f, "{} is damaged: {why}; restore it from a backup or a replica", location)
            }
            Self::Busy { location } => {
                write!(f, "{} is kept busy by another process: close it and try again", location)
            }
            Self::Record { location, partition, sequence, why } => {
                write!(f, "record {sequence}")?;
                if *partition != PartitionId::FIRST {
                    write!(f, " of partition {}", partition.0)?;
                }
                let cure = "restore the journal from a backup or a replica";
                write!(f, " of {location} can't be used: {why}; {cure}")
            }
            Self::Gap { location, sequence } => write!(
                f,
                "record {sequence} of {} is missing: restore the journal from a backup or a replica",
                location
            ),
            Self::Archived { location, number, begins } => write!(
                f,
                "entry {number} of {location} was archived, the journal begins with entry {begins}: name the \
                 directory with the files of the archive"
            ),
            Self::ArchiveMissing { path, first, last } => write!(
                f,
                "{} is missing, in which the entries {first} to {last} of the journal were archived: put it there, or \
                 set retention.archive_dir to where it is; nothing was changed",
                path.display()
            ),
            Self::BeforeJournal { location, at_ms } => write!(
                f,
                "{location} can't be copied as it was then: what happened up to {at_ms} (milliseconds since 1970) was \
                 archived; name a later time"
            ),
            Self::TooRecent { before_ms } => write!(
                f,
                "what happened so lately is still needed: only what is older than {before_ms} (milliseconds since \
                 1970) can be dropped"
            ),
            Self::Lost { location, why } => {
                write!(f, "{location} can't be reached ({why}): check that it runs, and the way to it")
            }
            Self::Refused { location, why } => {
                write!(
                    f,
                    "{location} does not let us write ({why}): check the rights of the user, and that it is no standby server"
                )
            }
            Self::Conflict { location, why } => {
                write!(f, "{location}: somebody else changed the same ({why}): try again")
            }
            Self::Served { location, holder } => {
                write!(f, "{location} is in service by {holder}: stop it first")
            }
            Self::Occupied { location } => {
                write!(f, "{location} is there already and is not overwritten: name another place")
            }
            Self::Taken { location } => write!(f, "{location}: there is such a row already"),
            Self::Unwritable { why } => write!(f, "a value can't be written down: {why}"),
            Self::Database { location, why } => write!(f, "{}: {why}", location),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// What an error of SQLite means for the file at `location`.
    pub(crate) fn of(location: &Location, error: &rusqlite::Error) -> Self {
        let (location, why) = (location.clone(), error.to_string());
        if is_taken(error) {
            return Self::Taken { location };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { location },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { location },
            Some(ErrorCode::CannotOpen) => Self::CantOpen { location, why },
            Some(ErrorCode::SystemIoFailure) => Self::Io { location, why },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { location, why },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { location },
            Some(_) => Self::Database { location, why },
            // Not from the database itself: a column with something in it that we never write.
            None => Self::Damaged { location, why },
        }
    }

    /// Of a record that is not what was written, where it was read.
    pub fn of_record(location: Location, record: &Record, why: RecordError) -> Self {
        Self::Record { location, partition: record.partition, sequence: record.sequence, why }
    }

    /// Of a thread that could not be started.
    pub(crate) fn no_thread(location: &Location, error: &std::io::Error) -> Self {
        Self::Database { location: location.clone(), why: format!("a thread could not be started: {error}") }
    }

    /// What went wrong, without the place, as far as somebody said so.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Lost { why, .. } | Self::Refused { why, .. } | Self::CantOpen { why, .. } => why.clone(),
            other => other.to_string(),
        }
    }

    /// Of a connection that is not there.
    pub(crate) fn lost(location: &Location, why: &str) -> Self {
        Self::Lost { location: location.clone(), why: why.to_owned() }
    }

    /// Whether it may be over after a while without anybody's doing: a database that is away, is full, or was busy. Files of
    /// this machine are never away.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Conflict { .. } => true,
            Self::Busy { location } | Self::Full { location } | Self::Refused { location, .. } => {
                matches!(location, Location::Schema { .. })
            }
            _ => false,
        }
    }

    /// Whether the file or schema at `location` itself is bad, so that another one in its place would do.
    pub(crate) fn is_damage_of(&self, location: &Location) -> bool {
        match self {
            Self::Damaged { location: bad, .. }
            | Self::Foreign { location: bad }
            | Self::Io { location: bad, .. }
            // A row that is there already, a table that is missing.
            | Self::Taken { location: bad }
            | Self::Database { location: bad, .. } => bad == location,
            _ => false,
        }
    }
}

/// Whether a row is there already, of which there may be only one.
fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
        && matches!(
            error.sqlite_extended_error_code(),
            Some(
                ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                    | ffi::SQLITE_CONSTRAINT_ROWID
                    | ffi::SQLITE_CONSTRAINT_UNIQUE
            )
        )
}

/// Names the file in an error of SQLite.
pub(crate) trait At<T> {
    /// With the file's location.
    fn at(self, location: impl Into<Location>) -> Result<T, StoreError>;
}

impl<T> At<T> for rusqlite::Result<T> {
    fn at(self, location: impl Into<Location>) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::of(&location.into(), &error))
    }
}
