//! Makes a data directory: root key, empty journal, configuration. Nothing that is there is ever overwritten.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mayfly_keys::file::KeyFileError;
use mayfly_keys::{CheckValue, Random, RandomError, RootKey};
use mayfly_store::{DirectoryLock, JOURNAL_FILE, StoreError, StoredJournal, VIEWS_FILE};

use crate::config::{Config, Settings};
use crate::directory::{self, DirectoryError};

/// What stands in a data directory about its root key: the check value, by which another key is found at start.
pub const KEY_CHECK_FILE: &str = "root.check";

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The root key's file. Without it no number can be found again: a copy belongs elsewhere.
    pub root_key_file: PathBuf,
    /// The root key's check value, to compare copies by.
    pub check_value: CheckValue,
    /// The configuration, if there was none.
    pub config_file: Option<PathBuf>,
}

/// Why a data directory was not made.
#[derive(Debug)]
pub enum InitError {
    /// Something is there already.
    Exists(PathBuf),
    /// The directory can't be used.
    Directory(DirectoryError),
    /// The root key could not be written.
    Key(KeyFileError),
    /// The operating system gave no randomness.
    Random(RandomError),
    /// The journal could not be made.
    Store(StoreError),
    /// A file could not be written.
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(
                f,
                "{} is there already and is not overwritten; name another directory, or start the server on \
                 this one",
                path.display()
            ),
            Self::Directory(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Random(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::File { path, error } => write!(f, "{} could not be written: {error}", path.display()),
        }
    }
}

impl std::error::Error for InitError {}

/// Makes the data directory of these settings.
///
/// # Errors
/// If anything that belongs to a server is there already, or something can't be written. Then nothing new is left
/// behind but an empty directory.
pub fn init(settings: &Settings, random: &mut dyn Random) -> Result<Initialised, InitError> {
    let data_dir = &settings.data_dir;
    let files = [JOURNAL_FILE, VIEWS_FILE, KEY_CHECK_FILE].map(|name| data_dir.join(name));
    for path in [&settings.root_key_file].into_iter().chain(&files) {
        if path.symlink_metadata().is_ok() {
            return Err(InitError::Exists(path.clone()));
        }
    }
    directory::make(data_dir).map_err(InitError::Directory)?;
    let root = RootKey::generate(random).map_err(InitError::Random)?;
    mayfly_keys::file::create(&settings.root_key_file, &root).map_err(InitError::Key)?;
    let made = fill(settings, root.check_value());
    if made.is_err() {
        // They are this call's own, and nothing was ever done with this key.
        for path in [&settings.root_key_file].into_iter().chain(&files) {
            drop(fs::remove_file(path));
        }
    }
    made
}

fn fill(settings: &Settings, check_value: CheckValue) -> Result<Initialised, InitError> {
    let data_dir = &settings.data_dir;
    write_new(&data_dir.join(KEY_CHECK_FILE), &format!("{check_value}\n"))?;
    // Views follow from the journal: the first start makes them.
    let lock = DirectoryLock::acquire(data_dir).map_err(InitError::Store)?;
    drop(StoredJournal::open(&data_dir.as_path().into()).map_err(InitError::Store)?);
    drop(lock);
    let mut config_file = None;
    if !settings.file.exists() {
        write_new(&settings.file, &Config::standard(&settings.file).print())?;
        config_file = Some(settings.file.clone());
    }
    Ok(Initialised {
        data_dir: data_dir.clone(),
        root_key_file: settings.root_key_file.clone(),
        check_value,
        config_file,
    })
}

fn write_new(path: &Path, text: &str) -> Result<(), InitError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| InitError::File { path: path.to_owned(), error })
}
