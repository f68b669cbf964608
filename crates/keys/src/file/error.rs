//! What can be wrong with a key file.

use core::fmt;
use std::io;
use std::path::PathBuf;

use super::text::{FILE_BYTES_MAX, Kind};
use crate::passphrase::PassphraseCost;
use crate::random::RandomError;
use crate::root::CheckValue;

/// What is wrong with a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: KeyFileReason,
}

/// What is wrong with a key file, without its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileReason {
    /// There is already something at the path of a new file.
    Exists,
    /// There is no such file.
    NotFound,
    /// It is a directory, a device or a pipe.
    NotAFile,
    /// Group or others may read, write or execute it.
    OpenToOthers {
        /// Its permission bits.
        mode: u32,
    },
    /// It could not be read.
    NotRead(io::ErrorKind),
    /// It could not be written.
    NotWritten(io::ErrorKind),
    /// It is longer than any key file.
    TooLong,
    /// It does not begin like a key file of that kind.
    NotAKeyFile {
        /// What was expected.
        expected: Kind,
    },
    /// It is a key file of another version.
    UnknownVersion,
    /// Its line `wrapped` can't be read, or asks for more than a passphrase may cost.
    BrokenWrappedLine,
    /// Its line `key` has not the digits that it must have.
    BrokenKeyLine,
    /// Its last line is not `check` and six hexadecimal digits.
    BrokenCheckLine,
    /// Its key is wrapped, and nothing was given to open it with, or something of another kind.
    Wrapped {
        /// What opens it.
        by: Protection,
    },
    /// Its key is not wrapped, though something was given to open it with.
    NotWrapped,
    /// Its key does not open: wrong passphrase or wrapping key, or changed bytes.
    NotOpened,
    /// A new one could not be wrapped.
    NotDrawn(RandomError),
    /// Its key is not the one that its check value was made for.
    CheckValueDiffers {
        /// The check value in the file.
        expected: CheckValue,
        /// The check value of the key in the file.
        found: CheckValue,
    },
}

/// What the key in a file is protected by, beside the file's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// It is wrapped under what follows from a passphrase.
    Passphrase(PassphraseCost),
    /// It is wrapped under the key of another file.
    KeyFile,
}

impl KeyFileReason {
    pub(super) fn while_writing(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists,
            kind => Self::NotWritten(kind),
        }
    }

    pub(super) fn while_reading(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            kind => Self::NotRead(kind),
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "key file {path}: ")?;
        match self.reason {
            KeyFileReason::Exists => f.write_str(
                "exists already and is never overwritten; use it, choose another path, or move it to a safe place first",
            ),
            KeyFileReason::NotFound => {
                f.write_str("does not exist; check the path, or create the key first")
            }
            KeyFileReason::NotAFile => f.write_str("is not a regular file; check the path"),
            KeyFileReason::OpenToOthers { mode } => write!(
                f,
                "has mode {mode:04o}, so that its group or others can use it; run `chmod 600 {path}`, and replace the \
                 key if somebody else may have read it"
            ),
            KeyFileReason::NotRead(kind) => write!(
                f,
                "could not be read ({kind}); check that it belongs to the user that runs this program"
            ),
            KeyFileReason::NotWritten(kind) => {
                write!(f, "could not be written ({kind}); check the directory, its permissions and its free space")
            }
            KeyFileReason::TooLong => {
                write!(f, "has {FILE_BYTES_MAX} bytes or more, no key file is that long; check the path")
            }
            KeyFileReason::NotAKeyFile { expected } => {
                write!(f, "does not begin with `{}`; check the path, or restore the file", expected.title())
            }
            KeyFileReason::UnknownVersion => {
                f.write_str("has a version that is not known here; update this program")
            }
            KeyFileReason::BrokenWrappedLine => f.write_str(
                "the line after the first is not `wrapped` and how, within the bounds; restore the file",
            ),
            KeyFileReason::BrokenKeyLine => f.write_str(
                "the line before the last is not `key` and its hexadecimal digits; restore the file",
            ),
            KeyFileReason::BrokenCheckLine => {
                f.write_str("the last line is not `check` and 6 hexadecimal digits; restore the file")
            }
            KeyFileReason::Wrapped { by: Protection::KeyFile } => {
                f.write_str("its key is wrapped under the key of another file; give that file")
            }
            KeyFileReason::Wrapped { .. } => {
                f.write_str("its key is wrapped under a passphrase; give the passphrase")
            }
            KeyFileReason::NotWrapped => f.write_str(
                "its key is not wrapped, though it should be; check the path, or wrap it",
            ),
            KeyFileReason::NotOpened => f.write_str(
                "its key does not open: the passphrase or wrapping key is another one, or the file is damaged; try \
                 again, or restore the file",
            ),
            KeyFileReason::NotDrawn(error) => write!(f, "could not be made: {error}"),
            KeyFileReason::CheckValueDiffers { expected, found } => write!(
                f,
                "is damaged: its key has check value {found}, the file says {expected}; restore the file"
            ),
        }
    }
}

impl std::error::Error for KeyFileError {}
