//! The data directory: who may use it, and what it says of the server that runs in it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use crate::protocol::{Addresses, Time};

/// What stands in a data directory about the server that runs in it.
pub const RUN_FILE: &str = "run.json";

/// What group and others may do.
const OTHERS: u32 = 0o077;
/// What the owner must be able to do.
const OWNER: u32 = 0o700;

/// Why a data directory can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryError {
    /// It is not there.
    Missing(PathBuf),
    /// It is something else.
    NotADirectory(PathBuf),
    /// Group or others may use it.
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// What they may.
        mode: u32,
    },
    /// Its owner may not write it, or the file system is mounted read-only.
    ReadOnly(PathBuf),
    /// The system said no.
    Failed {
        /// To what.
        path: PathBuf,
        /// What it said.
        kind: io::ErrorKind,
    },
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                write!(f, "there is no directory {0}; make one with `mayfly init {0}`", path.display())
            }
            Self::NotADirectory(path) => write!(f, "{} is not a directory; name another", path.display()),
            Self::OpenToOthers { path, mode } => {
                write!(f, "{0} is open to other users (mode {mode:04o}); run `chmod 700 {0}`", path.display())
            }
            Self::ReadOnly(path) => write!(
                f,
                "{} can't be written; check that it belongs to the user that runs this program and that its \
                 file system is not mounted read-only",
                path.display()
            ),
            Self::Failed { path, kind } => write!(
                f,
                "{} can't be used ({kind}); check that it and the directories above it belong to the user \
                 that runs this program",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DirectoryError {}

/// Whether a server can run in a directory.
pub(crate) fn check(path: &Path) -> Result<(), DirectoryError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DirectoryError::Missing(path.to_owned()));
        }
        Err(error) => return Err(DirectoryError::Failed { path: path.to_owned(), kind: error.kind() }),
    };
    if !metadata.is_dir() {
        return Err(DirectoryError::NotADirectory(path.to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(DirectoryError::OpenToOthers { path: path.to_owned(), mode });
    }
    // The superuser may write whatever the bits say; that somebody took them away is a wish to be heeded.
    let writable = rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
    if mode & OWNER != OWNER || writable.is_err() {
        return Err(DirectoryError::ReadOnly(path.to_owned()));
    }
    Ok(())
}

/// Makes a directory for its owner alone, with those above it. One that is there and empty is taken.
pub(crate) fn make(path: &Path) -> Result<(), DirectoryError> {
    let failed = |error: io::Error| DirectoryError::Failed { path: path.to_owned(), kind: error.kind() };
    if !path.exists() {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::DirBuilder::new().mode(OWNER).create(path).map_err(failed)?;
    } else if path.is_dir() && fs::read_dir(path).map_err(failed)?.next().is_none() {
        // Nothing is in it yet, so nobody can miss it.
        fs::set_permissions(path, fs::Permissions::from_mode(OWNER)).map_err(failed)?;
    }
    check(path)
}

/// What run.json says: for scripts that look for the server's process and ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The server's process.
    pub pid: u32,
    /// The software's version.
    pub version: String,
    /// When it was started.
    pub started: Time,
    /// Where it listens.
    pub addresses: Addresses,
}

impl Run {
    /// Where the server of a data directory listens; none if none runs, or it is not ready yet.
    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(data_dir.join(RUN_FILE)).ok()?).ok()
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, data_dir: &Path) -> io::Result<()> {
        let new = data_dir.join("run.json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        fs::rename(&new, data_dir.join(RUN_FILE))
    }

    /// Takes away what a server left that has stopped, or was stopped.
    pub(crate) fn remove(data_dir: &Path) {
        if let Err(error) = fs::remove_file(data_dir.join(RUN_FILE))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "{RUN_FILE} could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(mode: u32) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        directory
    }

    // Tests may run as the superuser, whom no mode stops: so it is the bits that are looked at.
    #[test]
    fn only_a_directory_of_ones_own_will_do() {
        for mode in [0o755, 0o750, 0o701] {
            let directory = directory(mode);
            let path = directory.path().to_owned();
            assert_eq!(check(&path), Err(DirectoryError::OpenToOthers { path, mode }));
        }
        for mode in [0o500, 0o600, 0o300] {
            let directory = directory(mode);
            assert_eq!(check(directory.path()), Err(DirectoryError::ReadOnly(directory.path().to_owned())));
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        }
        let own = directory(0o700);
        assert_eq!(check(own.path()), Ok(()));
        let (file, none) = (own.path().join("file"), own.path().join("none"));
        fs::write(&file, "").unwrap();
        assert_eq!(check(&file), Err(DirectoryError::NotADirectory(file)));
        assert_eq!(check(&none), Err(DirectoryError::Missing(none)));
    }

    #[test]
    fn a_new_directory_is_its_owners_alone() {
        let above = directory(0o755);
        let path = above.path().join("a/b");
        make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        let empty = directory(0o755);
        make(empty.path()).unwrap();
        let full = directory(0o755);
        fs::write(full.path().join("file"), "").unwrap();
        assert!(matches!(make(full.path()), Err(DirectoryError::OpenToOthers { .. })));
    }
}
