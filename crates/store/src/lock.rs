//! One server per directory: two would overwrite each other's views and step on each other's journal.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::StoreError;

/// The lock's file name. The file stays; what counts is who has it locked.
pub const LOCK_FILE: &str = "mayfly.lock";

/// The right to write a directory. Given back when dropped, and by the system if the process ends in whatever way.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks `directory`, or says who has it.
    pub fn acquire(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(LOCK_FILE);
        let failed = |error: std::io::Error| StoreError::Directory {
            path: directory.to_owned(),
            why: format!("{LOCK_FILE} in it can't be written: {error}"),
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Who has it is a help, no more: without it the error is the same.
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(StoreError::Locked { path: directory.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_has_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let pid = Some(std::process::id());
        let path = directory.path().to_owned();
        assert_eq!(DirectoryLock::acquire(directory.path()).unwrap_err(), StoreError::Locked { path, pid });
        drop(lock);
        DirectoryLock::acquire(directory.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let error = DirectoryLock::acquire(&missing).unwrap_err();
        assert!(matches!(error, StoreError::Directory { path, .. } if path == missing));
    }
}
