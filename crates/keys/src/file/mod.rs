//! Key files: the one place in this crate that touches a disk.
//!
//! A root key lies in lines of text, each ended by a line feed:
//!
//! ```text
//! mayfly root key 1
//! key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
//! check 377822
//! ```
//!
//! or wrapped, so that the file alone opens nothing:
//!
//! ```text
//! mayfly root key 2
//! wrapped argon2id m=65536,t=3,p=1 09090909090909090909090909090909
//! key 01…
//! check 377822
//! ```
//!
//! The number in the first line is the format's version, `check` the key check value
//! ([`RootKey::check_value`]), by which a damaged file is found at start and not at the first purchase. `wrapped` says
//! under what: what follows from a passphrase ([`Passphrase`], with its cost and salt), or the key of another file
//! (`wrapped key-file`), which begins with `mayfly wrapping key 1` and lies where copies of the root key do not. The
//! wrapped key is sealed ([`SealKey`]), with that line bound in.
//!
//! A file is created for its owner alone (mode 0600), never overwritten, and not read if group or others could have read
//! it.

mod error;
mod text;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::kdf::SecretKey;
use crate::opaque::opaque_debug;
use crate::passphrase::{Passphrase, PassphraseCost};
use crate::random::{Random, RandomError};
use crate::root::{CheckValue, RootKey};
use crate::seal::SealKey;

pub use error::{KeyFileError, KeyFileReason, Protection};
pub use text::Kind;

use text::{FILE_BYTES_MAX, Stored};

/// What group and others may do.
const OTHERS: u32 = 0o077;

/// What a root key is wrapped under.
#[derive(Clone, Copy, Debug)]
pub enum Wrapping<'a> {
    /// What follows from a passphrase.
    Passphrase(&'a Passphrase),
    /// The key of another file.
    Key(&'a WrappingKey),
}

/// The key of a file of its own, under which a root key is wrapped; wiped on drop.
pub struct WrappingKey(RootKey);

impl WrappingKey {
    /// Draws a wrapping key.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomError> {
        RootKey::generate(random).map(Self)
    }

    /// Its check value.
    pub fn check_value(&self) -> CheckValue {
        self.0.check_value()
    }

    fn seal_key(&self) -> SealKey {
        SealKey::new(&SecretKey::from_bytes(self.0.expose()))
    }
}

opaque_debug!(WrappingKey);

/// Writes a root key into a new file that only its owner can read, and waits until it is on the disk.
///
/// # Errors
///
/// [`KeyFileError`]; in particular a file that exists is never overwritten.
pub fn create(path: &Path, root: &RootKey) -> Result<(), KeyFileError> {
    write_new(path, &text::plain(Kind::Root, root))
}

/// As [`create`], with the key wrapped; a passphrase costs [`PassphraseCost::DEFAULT`] to try.
///
/// # Errors
///
/// As [`create`], and [`KeyFileReason::NotDrawn`].
pub fn create_wrapped(
    path: &Path,
    root: &RootKey,
    wrapping: Wrapping<'_>,
    random: &mut dyn Random,
) -> Result<(), KeyFileError> {
    let text = text::wrapped(root, wrapping, PassphraseCost::DEFAULT, random)
        .map_err(|error| KeyFileError { path: path.to_owned(), reason: KeyFileReason::NotDrawn(error) })?;
    write_new(path, &text)
}

/// Writes a wrapping key into a new file, as [`create`] does.
///
/// # Errors
///
/// As [`create`].
pub fn create_wrapping_key(path: &Path, key: &WrappingKey) -> Result<(), KeyFileError> {
    write_new(path, &text::plain(Kind::Wrapping, &key.0))
}

/// Reads a root key file whose key is not wrapped.
///
/// # Errors
///
/// [`KeyFileError`] names the file, what is wrong with it and what to do; [`KeyFileReason::Wrapped`] says what opens it.
pub fn read(path: &Path) -> Result<RootKey, KeyFileError> {
    with(path, |text| match text::decode(Kind::Root, text)? {
        Stored::Plain(root) => Ok(root),
        Stored::Wrapped(wrapped) => Err(KeyFileReason::Wrapped { by: wrapped.protection() }),
    })
}

/// Reads a root key file whose key is wrapped.
///
/// # Errors
///
/// As [`read`]. A key that is not wrapped is refused ([`KeyFileReason::NotWrapped`]): whoever protects his key must not be
/// given one that somebody else put in its place.
pub fn read_wrapped(path: &Path, wrapping: Wrapping<'_>) -> Result<RootKey, KeyFileError> {
    with(path, |text| match text::decode(Kind::Root, text)? {
        Stored::Plain(_) => Err(KeyFileReason::NotWrapped),
        Stored::Wrapped(wrapped) => wrapped.open(wrapping),
    })
}

/// Reads the file of a wrapping key.
///
/// # Errors
///
/// As [`read`].
pub fn read_wrapping_key(path: &Path) -> Result<WrappingKey, KeyFileError> {
    with(path, |text| match text::decode(Kind::Wrapping, text)? {
        Stored::Plain(key) => Ok(WrappingKey(key)),
        Stored::Wrapped(_) => Err(KeyFileReason::UnknownVersion),
    })
}

/// What the key in a root key file is protected by: so one knows what to ask for.
///
/// # Errors
///
/// As [`read`].
pub fn protection(path: &Path) -> Result<Protection, KeyFileError> {
    with(path, |text| {
        Ok(match text::decode(Kind::Root, text)? {
            Stored::Plain(_) => Protection::None,
            Stored::Wrapped(wrapped) => wrapped.protection(),
        })
    })
}

/// Reads a file that is its owner's alone, and wipes what was read.
fn with<T>(path: &Path, decode: impl FnOnce(&[u8]) -> Result<T, KeyFileReason>) -> Result<T, KeyFileError> {
    let mut text = Zeroizing::new([0; FILE_BYTES_MAX]);
    read_private(path, &mut text)
        .and_then(|length| decode(&text[..length]))
        .map_err(|reason| KeyFileError { path: path.to_owned(), reason })
}

fn write_new(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let fail = |reason| KeyFileError { path: path.to_owned(), reason };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| fail(KeyFileReason::while_writing(&error)))?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| sync_directory_of(path));
    written.map_err(|error| {
        // It is this call's own file, and half a key is worse than none; the first error is the one to tell.
        let _ = fs::remove_file(path);
        fail(KeyFileReason::while_writing(&error))
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::testing::{Broken, Constant};

    /// The root key of the profile's reference values.
    fn root() -> RootKey {
        RootKey::from_bytes(&core::array::from_fn(|at| at as u8))
    }

    const NOT_A_ROOT_KEY: KeyFileReason = KeyFileReason::NotAKeyFile { expected: Kind::Root };

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
        assert_eq!(reason(b"", 0o600), Some(NOT_A_ROOT_KEY));
        assert_eq!(reason(b"\xff\xfe", 0o600), Some(NOT_A_ROOT_KEY));
        assert_eq!(reason(&[b'0'; 256], 0o600), Some(KeyFileReason::TooLong));
        assert_eq!(damaged("mayfly", "dragonfly"), Some(NOT_A_ROOT_KEY));
        assert_eq!(damaged("key 1", "key 3"), Some(KeyFileReason::UnknownVersion));
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

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    fn wrapping_key(byte: u8) -> WrappingKey {
        WrappingKey::generate(&mut Constant(byte)).unwrap()
    }

    /// The sealed key was generated with `Argon2id` and `AESGCMSIV` of the Python package `cryptography`, from the
    /// description above: a file that was written once must open in every later version.
    const WRAPPED_TEXT: &str = "mayfly root key 2\n\
        wrapped argon2id m=19456,t=2,p=1 09090909090909090909090909090909\n\
        key 0109090909090909090909090928ea2e07ead7a2f81452f4648bc34643316a3cb400acc7477a44b525cc6c7ed834ebb4ad348359ddd047095688a80d3a\n\
        check 377822\n";

    #[test]
    fn a_key_wrapped_under_a_passphrase_keeps_its_form_and_opens_with_it_alone() {
        let right = passphrase("this is my passphrase");
        let text =
            text::wrapped(&root(), Wrapping::Passphrase(&right), PassphraseCost::MIN, &mut Constant(9));
        assert_eq!(*text.unwrap(), WRAPPED_TEXT);

        let (_directory, path) = file(WRAPPED_TEXT.as_bytes(), 0o600);
        assert_eq!(protection(&path), Ok(Protection::Passphrase(PassphraseCost::MIN)));
        assert_eq!(read_wrapped(&path, Wrapping::Passphrase(&right)).unwrap().expose(), root().expose());
        let refused = |wrapping| read_wrapped(&path, wrapping).err().map(|error| error.reason);
        let wrong = passphrase("this is my passphrasE");
        assert_eq!(refused(Wrapping::Passphrase(&wrong)), Some(KeyFileReason::NotOpened));
        let by = Protection::Passphrase(PassphraseCost::MIN);
        assert_eq!(refused(Wrapping::Key(&wrapping_key(7))), Some(KeyFileReason::Wrapped { by }));
        assert_eq!(read(&path).err().map(|error| error.reason), Some(KeyFileReason::Wrapped { by }));
    }

    #[test]
    fn a_key_wrapped_under_another_files_key_opens_with_that_alone() {
        let directory = tempfile::tempdir().unwrap();
        let [path, of_wrapping] = ["root.key", "wrapping.key"].map(|name| directory.path().join(name));
        create_wrapping_key(&of_wrapping, &wrapping_key(7)).unwrap();
        let key = read_wrapping_key(&of_wrapping).unwrap();
        assert_eq!(key.check_value(), wrapping_key(7).check_value());
        create_wrapped(&path, &root(), Wrapping::Key(&key), &mut Constant(9)).unwrap();
        assert_eq!(protection(&path), Ok(Protection::KeyFile));
        assert_eq!(read_wrapped(&path, Wrapping::Key(&key)).unwrap().expose(), root().expose());
        let written = fs::read_to_string(&path).unwrap();
        assert!(written.contains("\nwrapped key-file\n") && !written.contains("0001020304"), "{written}");

        fn refused(path: &Path, wrapping: Wrapping<'_>) -> Option<KeyFileReason> {
            read_wrapped(path, wrapping).err().map(|error| error.reason)
        }
        assert_eq!(refused(&path, Wrapping::Key(&wrapping_key(8))), Some(KeyFileReason::NotOpened));
        let by = Protection::KeyFile;
        let other = passphrase("this is my passphrase");
        assert_eq!(refused(&path, Wrapping::Passphrase(&other)), Some(KeyFileReason::Wrapped { by }));
        // One kind of file is not taken for the other.
        assert_eq!(refused(&of_wrapping, Wrapping::Key(&key)), Some(NOT_A_ROOT_KEY));
        let expected = Kind::Wrapping;
        assert_eq!(
            read_wrapping_key(&path).err().map(|error| error.reason),
            Some(KeyFileReason::NotAKeyFile { expected })
        );
        let again = create_wrapped(&path, &root(), Wrapping::Key(&key), &mut Constant(9));
        assert_eq!(again.unwrap_err().reason, KeyFileReason::Exists);
    }

    #[test]
    fn a_plain_key_is_not_taken_where_a_wrapped_one_should_be() {
        let (_directory, path) = file(TEXT.as_bytes(), 0o600);
        assert_eq!(protection(&path), Ok(Protection::None));
        let refused = read_wrapped(&path, Wrapping::Key(&wrapping_key(7))).unwrap_err();
        assert_eq!(refused.reason, KeyFileReason::NotWrapped);
    }

    #[test]
    fn every_kind_of_damage_to_a_wrapped_key_has_its_own_reason() {
        let right = passphrase("this is my passphrase");
        let damaged = |from: &str, to: &str| {
            assert!(WRAPPED_TEXT.contains(from));
            let (_directory, path) = file(WRAPPED_TEXT.replacen(from, to, 1).as_bytes(), 0o600);
            read_wrapped(&path, Wrapping::Passphrase(&right)).err().map(|error| error.reason)
        };
        assert_eq!(damaged("t=2", "t=1"), Some(KeyFileReason::BrokenWrappedLine));
        assert_eq!(damaged("argon2id ", "argon2i "), Some(KeyFileReason::BrokenWrappedLine));
        assert_eq!(damaged("09090909\n", "090909\n"), Some(KeyFileReason::BrokenWrappedLine));
        // What is bound in: cost and salt of another file don't open it.
        assert_eq!(damaged("t=2", "t=3"), Some(KeyFileReason::NotOpened));
        assert_eq!(damaged("key 01", "key 00"), Some(KeyFileReason::NotOpened));
        assert_eq!(damaged("key 01", "key 001"), Some(KeyFileReason::BrokenKeyLine));
        assert_eq!(damaged("check 37", "check x"), Some(KeyFileReason::BrokenCheckLine));
        let differs = damaged("377822", "377823");
        assert!(matches!(differs, Some(KeyFileReason::CheckValueDiffers { .. })), "{differs:?}");
    }

    #[test]
    fn without_randomness_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        let error = create_wrapped(&path, &root(), Wrapping::Key(&wrapping_key(7)), &mut Broken).unwrap_err();
        let unavailable = RandomError::Unavailable { os_error: Some(38) };
        assert_eq!(error.reason, KeyFileReason::NotDrawn(unavailable));
        assert!(!path.exists());
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
            let Ok(Stored::Plain(decoded)) = text::decode(Kind::Root, text::plain(Kind::Root, &root).as_bytes())
            else {
                panic!("it can't be read")
            };
            prop_assert_eq!(decoded.expose(), &bytes);
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(text::decode(Kind::Root, &text).is_err());
            prop_assert!(text::decode(Kind::Wrapping, &text).is_err());
        }
    }
}
