//! What can go wrong with the files, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use mayfly_engine::RecordError;
use rusqlite::ErrorCode;

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
        path: PathBuf,
        /// Whether its views are there: then the journal was lost.
        views: bool,
    },
    /// Written by a newer version of the software.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version that this software knows.
        known: u32,
    },
    /// A database, but none of ours; or another partition's.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file, or the directory around it, can't be written.
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be opened.
    CantOpen {
        /// The file.
        path: PathBuf,
        /// What the database said.
        why: String,
    },
    /// The disk is full.
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The disk failed.
    Io {
        /// The file.
        path: PathBuf,
        /// What the database said.
        why: String,
    },
    /// The file is not what was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// Another process kept the file busy for longer than we wait.
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A journal record is not what was written.
    Record {
        /// The journal.
        path: PathBuf,
        /// The record.
        sequence: u64,
        /// What does not fit.
        why: RecordError,
    },
    /// A journal record is missing.
    Gap {
        /// The journal.
        path: PathBuf,
        /// The first one that is missing.
        sequence: u64,
    },
    /// Anything else that the database said.
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
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
            Self::Missing { path, views: true } => write!(
                f,
                "{} is missing, but its views are there: put the journal back; nothing was changed",
                path.display()
            ),
            Self::Missing { path, views: false } => {
                write!(f, "there is no journal at {}: is this the right directory?", path.display())
            }
            Self::Newer { path, version, known } => write!(
                f,
                "{} was written by a newer version of the software (format {version}, this one knows {known}): \
                 update it; nothing was changed",
                path.display()
            ),
            Self::Foreign { path } => write!(
                f,
                "{} is not a file of this kind and partition: move it away, or choose another directory",
                path.display()
            ),
            Self::ReadOnly { path } => write!(
                f,
                "{} can't be written: check the permissions of the file and its directory, and that the file \
                 system is not mounted read-only",
                path.display()
            ),
            Self::CantOpen { path, why } => {
                write!(
                    f,
                    "{} can't be opened ({why}): check that it exists and its permissions",
                    path.display()
                )
            }
            Self::Full { path } => {
                write!(f, "the disk is full: {} can't grow; make room and start again", path.display())
            }
            Self::Io { path, why } => {
                write!(f, "{} could not be read or written ({why}): check the disk", path.display())
            }
            Self::Damaged { path, why } => {
                write!(f, "{} is damaged: {why}; restore it from a backup or a replica", path.display())
            }
            Self::Busy { path } => {
                write!(f, "{} is kept busy by another process: close it and try again", path.display())
            }
            Self::Record { path, sequence, why } => write!(
                f,
                "record {sequence} of {} can't be used: {why}; restore the journal from a backup or a replica",
                path.display()
            ),
            Self::Gap { path, sequence } => write!(
                f,
                "record {sequence} of {} is missing: restore the journal from a backup or a replica",
                path.display()
            ),
            Self::Database { path, why } => write!(f, "{}: {why}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// What an error of SQLite means for the file at `path`.
    pub(crate) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, why) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::CannotOpen) => Self::CantOpen { path, why },
            Some(ErrorCode::SystemIoFailure) => Self::Io { path, why },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path, why },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(_) => Self::Database { path, why },
            // Not from the database itself: a column with something in it that we never write.
            None => Self::Damaged { path, why },
        }
    }

    /// Whether the file at `path` itself is bad, so that another one in its place would do.
    pub(crate) fn is_damage_of(&self, path: &Path) -> bool {
        match self {
            Self::Damaged { path: bad, .. }
            | Self::Foreign { path: bad }
            | Self::Io { path: bad, .. }
            // A table that is missing, a row that is there already.
            | Self::Database { path: bad, .. } => bad == path,
            _ => false,
        }
    }
}

/// Names the file in an error of SQLite.
pub(crate) trait At<T> {
    /// With the file's path.
    fn at(self, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for rusqlite::Result<T> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::of(path, &error))
    }
}
