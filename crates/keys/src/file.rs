//! The root key file: the one place in this crate that touches a disk.
//!
//! Three lines of text, each ended by a line feed:
//!
//! ```text
//! mayfly root key 1
//! key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
//! check 377822
//! ```
//!
//! The number in the first line is the format's version, `check` the key check value
//! ([`RootKey::check_value`]), by which a damaged file is found at start and not at the first purchase. A file is
//! created for its owner alone (mode 0600), never overwritten, and not read if group or others could have read it.

use core::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::root::{CheckValue, RootKey};

const TITLE: &str = "mayfly root key ";
const VERSION: &str = "1";
const KEY: &str = "key ";
const CHECK: &str = "check ";

/// Longer than any key file of this version: reading stops here.
const FILE_BYTES_MAX: usize = 256;
/// What group and others may do.
const OTHERS: u32 = 0o077;

/// Writes a root key into a new file that only its owner can read, and waits until it is on the disk.
///
/// # Errors
///
/// [`KeyFileError`]; in particular a file that exists is never overwritten.
pub fn create(path: &Path, root: &RootKey) -> Result<(), KeyFileError> {
    let fail = |reason| KeyFileError { path: path.to_owned(), reason };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| fail(KeyFileReason::while_writing(&error)))?;
    let written = file
        .write_all(encode(root).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory_of(path));
    written.map_err(|error| {
        // It is this call's own file, and half a key is worse than none; the first error is the one to tell.
        let _ = fs::remove_file(path);
        fail(KeyFileReason::while_writing(&error))
    })
}

/// Reads a root key file.
///
/// # Errors
///
/// [`KeyFileError`] names the file, what is wrong with it and what to do.
pub fn read(path: &Path) -> Result<RootKey, KeyFileError> {
    let fail = |reason| KeyFileError { path: path.to_owned(), reason };
    let mut text = Zeroizing::new([0; FILE_BYTES_MAX]);
    let length = read_private(path, &mut text).map_err(fail)?;
    decode(&text[..length]).map_err(fail)
}

/// Fills `buffer` from a regular file that is its owner's alone; gives the file's length.
fn read_private(path: &Path, buffer: &mut [u8; FILE_BYTES_MAX]) -> Result<usize, KeyFileReason> {
    let reading = |error: io::Error| KeyFileReason::while_reading(&error);
    // Looked at before opening too: opening a pipe would wait for somebody to write into it.
    if !fs::metadata(path).map_err(reading)?.is_file() {
        return Err(KeyFileReason::NotAFile);
    }
    let mut file = File::open(path).map_err(reading)?;
    let metadata = file.metadata().map_err(reading)?;
    if !metadata.is_file() {
        return Err(KeyFileReason::NotAFile);
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileReason::OpenToOthers { mode });
    }
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => return Ok(length),
            Ok(bytes) => length += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(reading(error)),
        }
    }
    Err(KeyFileReason::TooLong)
}

/// A new file is there after a power failure only if its directory is written too.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn encode(root: &RootKey) -> Zeroizing<String> {
    // Reserved whole at once: growing would leave a copy of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    text.push_str(TITLE);
    text.push_str(VERSION);
    text.push('\n');
    text.push_str(KEY);
    for byte in root.expose() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('?'));
        }
    }
    text.push('\n');
    text.push_str(CHECK);
    text.push_str(&root.check_value().to_string());
    text.push('\n');
    text
}

fn decode(text: &[u8]) -> Result<RootKey, KeyFileReason> {
    let text = str::from_utf8(text).map_err(|_| KeyFileReason::NotAKeyFile)?;
    let (version, rest) =
        text.strip_prefix(TITLE).and_then(|rest| rest.split_once('\n')).ok_or(KeyFileReason::NotAKeyFile)?;
    if version != VERSION {
        return Err(KeyFileReason::UnknownVersion);
    }
    let (key, rest) =
        rest.strip_prefix(KEY).and_then(|rest| rest.split_once('\n')).ok_or(KeyFileReason::BrokenKeyLine)?;
    let mut bytes = Zeroizing::new([0; RootKey::BYTES]);
    decode_hex(key, &mut *bytes).ok_or(KeyFileReason::BrokenKeyLine)?;
    let check = rest
        .strip_prefix(CHECK)
        .and_then(|rest| rest.strip_suffix('\n'))
        .ok_or(KeyFileReason::BrokenCheckLine)?;
    let mut expected = [0; 3];
    decode_hex(check, &mut expected).ok_or(KeyFileReason::BrokenCheckLine)?;
    let root = RootKey::from_bytes(&bytes);
    match (CheckValue(expected), root.check_value()) {
        (expected, found) if expected == found => Ok(root),
        (expected, found) => Err(KeyFileReason::CheckValueDiffers { expected, found }),
    }
}

/// Fills `out` from exactly as many hexadecimal digits as it takes.
fn decode_hex(digits: &str, out: &mut [u8]) -> Option<()> {
    let digits = digits.as_bytes();
    if digits.len() != out.len() * 2 {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(())
}

/// What is wrong with a root key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: KeyFileReason,
}

/// What is wrong with a root key file, without its path.
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
    /// It does not begin like a key file.
    NotAKeyFile,
    /// It is a key file of another version.
    UnknownVersion,
    /// Its second line is not `key` and 64 hexadecimal digits.
    BrokenKeyLine,
    /// Its last line is not `check` and six hexadecimal digits.
    BrokenCheckLine,
    /// Its key is not the one that its check value was made for.
    CheckValueDiffers {
        /// The check value in the file.
        expected: CheckValue,
        /// The check value of the key in the file.
        found: CheckValue,
    },
}

impl KeyFileReason {
    fn while_writing(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists,
            kind => Self::NotWritten(kind),
        }
    }

    fn while_reading(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            kind => Self::NotRead(kind),
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "root key file {path}: ")?;
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
            KeyFileReason::NotAKeyFile => {
                write!(f, "does not begin with `{TITLE}{VERSION}`; check the path, or restore the file")
            }
            KeyFileReason::UnknownVersion => {
                write!(f, "has another version than {VERSION}, the only one known here; update this program")
            }
            KeyFileReason::BrokenKeyLine => {
                f.write_str("line 2 is not `key` and 64 hexadecimal digits; restore the file")
            }
            KeyFileReason::BrokenCheckLine => {
                f.write_str("line 3, the last, is not `check` and 6 hexadecimal digits; restore the file")
            }
            KeyFileReason::CheckValueDiffers { expected, found } => write!(
                f,
                "is damaged: its key has check value {found}, the file says {expected}; restore the file"
            ),
        }
    }
}

impl std::error::Error for KeyFileError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The root key of the profile's reference values.
    fn root() -> RootKey {
        RootKey::from_bytes(&core::array::from_fn(|at| at as u8))
    }

    const TEXT: &str = "mayfly root key 1\n\
        key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\
        check 377822\n";

    /// A directory with a key file of this text and mode in it.
    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn reason(text: &[u8], mode: u32) -> Option<KeyFileReason> {
        let (_directory, path) = file(text, mode);
        read(&path).err().map(|error| error.reason)
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        create(&path, &root()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
        assert_eq!(read(&path).unwrap().expose(), root().expose());
    }

    #[test]
    fn nothing_is_ever_overwritten() {
        let (directory, path) = file(b"something else", 0o600);
        assert_eq!(
            create(&path, &root()),
            Err(KeyFileError { path: path.clone(), reason: KeyFileReason::Exists })
        );
        assert_eq!(fs::read(&path).unwrap(), b"something else");

        let target = directory.path().join("not yet there");
        let link = directory.path().join("link");
        symlink(&target, &link).unwrap();
        assert_eq!(create(&link, &root()).unwrap_err().reason, KeyFileReason::Exists);
        assert!(!target.exists());
    }

    #[test]
    fn a_file_that_others_can_use_is_not_read() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o610, 0o4602] {
            assert_eq!(reason(TEXT.as_bytes(), mode), Some(KeyFileReason::OpenToOthers { mode }), "{mode:o}");
        }
        for mode in [0o600, 0o400, 0o700] {
            assert_eq!(reason(TEXT.as_bytes(), mode), None, "{mode:o}");
        }
        let (_directory, path) = file(TEXT.as_bytes(), 0o640);
        let text = read(&path).unwrap_err().to_string();
        assert!(
            text.contains(path.to_str().unwrap()) && text.contains("0640") && text.contains("chmod 600"),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_or_no_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap_err().reason, KeyFileReason::NotAFile);
        assert_eq!(read(Path::new("/dev/null")).unwrap_err().reason, KeyFileReason::NotAFile);
        let path = directory.path().join("missing");
        assert_eq!(read(&path).unwrap_err().reason, KeyFileReason::NotFound);
        let error = create(&path.join("root.key"), &root()).unwrap_err();
        assert_eq!(error.reason, KeyFileReason::NotWritten(io::ErrorKind::NotFound));
    }

    #[test]
    fn every_kind_of_damage_has_its_own_reason() {
        let damaged = |from: &str, to: &str| {
            assert!(TEXT.contains(from));
            reason(TEXT.replacen(from, to, 1).as_bytes(), 0o600)
        };
        assert_eq!(reason(b"", 0o600), Some(KeyFileReason::NotAKeyFile));
        assert_eq!(reason(b"\xff\xfe", 0o600), Some(KeyFileReason::NotAKeyFile));
        assert_eq!(reason(&[b'0'; 256], 0o600), Some(KeyFileReason::TooLong));
        assert_eq!(damaged("mayfly", "dragonfly"), Some(KeyFileReason::NotAKeyFile));
        assert_eq!(damaged("key 1", "key 2"), Some(KeyFileReason::UnknownVersion));
        assert_eq!(damaged("key 0001", "key 001"), Some(KeyFileReason::BrokenKeyLine));
        assert_eq!(damaged("key 0001", "key 0x01"), Some(KeyFileReason::BrokenKeyLine));
        assert_eq!(damaged("check 37", "check "), Some(KeyFileReason::BrokenCheckLine));
        assert_eq!(damaged("822\n", "822"), Some(KeyFileReason::BrokenCheckLine));
        assert_eq!(damaged("822\n", "822\n\n"), Some(KeyFileReason::BrokenCheckLine));
        let Some(KeyFileReason::CheckValueDiffers { expected, found }) = damaged("key 0001", "key 0101")
        else {
            panic!("a changed key must not pass");
        };
        assert_eq!(expected, root().check_value());
        assert_ne!(found, expected);
    }

    #[test]
    fn no_error_shows_the_key() {
        let (_directory, path) = file(TEXT.replace("key 0001", "key 0101").as_bytes(), 0o600);
        let error = read(&path).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("02030405"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: [u8; 32]) {
            let root = RootKey::from_bytes(&bytes);
            let decoded = decode(encode(&root).as_bytes()).unwrap();
            prop_assert_eq!(decoded.expose(), &bytes);
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(decode(&text).is_err());
        }
    }
}
