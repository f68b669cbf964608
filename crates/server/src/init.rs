//! Makes an installation: data directory, root key, empty journal, configuration. Nothing that is there is ever
//! overwritten.
//!
//! A root key that is wrapped, or in a hardware module, is brought there before, by a ceremony, and only opened here.
//!
//! What is stored is in files of the data directory or in a database. A database can serve several gateways: the first one
//! [makes](init) the installation, and the others [join](join) it, each with a data directory of its own and a copy of the
//! same root key.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::num::NonZeroU16;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mayfly_core::PartitionId;
use mayfly_keys::{CheckValue, Random};
use mayfly_store::{Home, JOURNAL_FILE, StoreError, VIEWS_FILE};

use crate::config::{Config, ConfigError, KeyFile, KeySource, Settings, Wrapped};
use crate::directory::{self, DirectoryError};
use crate::key_source::KeySourceError;

/// What stands in a data directory about its root key: the check value, by which another key is found at start.
pub const KEY_CHECK_FILE: &str = "root.check";

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The database that keeps what is stored, without anything secret; none if that is in the data directory.
    pub database: Option<String>,
    /// Where the root key is. Without it no number can be found again: a copy belongs elsewhere.
    pub root_key: KeySource,
    /// The root key's check value, to compare copies by.
    pub check_value: CheckValue,
    /// The configuration, if there was none.
    pub config_file: Option<PathBuf>,
}

/// Why an installation was not made, or not joined.
#[derive(Debug)]
pub enum InitError {
    /// The configuration is wrong.
    Config(ConfigError),
    /// Something is there already.
    Exists(PathBuf),
    /// Another installation is in the database already.
    Inhabited {
        /// The database.
        database: String,
        /// The check value of its root key.
        check_value: String,
        /// Where the root key of one that joins it belongs.
        root_key: String,
    },
    /// An installation can't have so many partitions.
    Partitions(NonZeroU16),
    /// There is no database that could be joined.
    NoDatabase,
    /// There is no installation in the database that is to be joined.
    Empty {
        /// The database.
        database: String,
    },
    /// The installation has another root key than the one that joins it.
    OtherKey {
        /// Where the root key is.
        root_key: String,
        /// The check value of the installation's key.
        expected: String,
        /// That of the key that is there.
        found: CheckValue,
    },
    /// The directory can't be used.
    Directory(DirectoryError),
    /// The root key could not be written, or not be read.
    Key(KeySourceError),
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
            Self::Config(error) => error.fmt(f),
            Self::Inhabited { database, check_value, root_key } => write!(
                f,
                "{database} has an installation already, whose root key has check value {check_value}, and is not \
                 overwritten; name another database, or, for one more gateway, bring that root key to {root_key} and run \
                 `mayfly init --join`"
            ),
            Self::Partitions(partitions) => write!(
                f,
                "an installation has 1 to {} partitions, not {partitions}; 64 are enough for as many gateways",
                PartitionId::COUNT_MAX
            ),
            Self::NoDatabase => f.write_str(
                "only an installation in a database can be joined; name it by --database, or set database.url",
            ),
            Self::Empty { database } => {
                write!(f, "there is no installation in {database}; leave --join out to make one")
            }
            Self::OtherKey { root_key, expected, found } => write!(
                f,
                "{root_key} has check value {found}, the installation's root key has {expected}; bring the right one there"
            ),
            Self::Exists(path) => write!(
                f,
                "{} is there already and is not overwritten; name another directory, or start the server on \
                 this one",
                path.display()
            ),
            Self::Directory(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::File { path, error } => write!(f, "{} could not be written: {error}", path.display()),
        }
    }
}

impl std::error::Error for InitError {}

/// How many partitions an installation has if nobody says it: a database may come to serve several gateways, of which each
/// has some.
fn default_partitions(home: &Home) -> NonZeroU16 {
    match home {
        Home::Files(_) => NonZeroU16::MIN,
        Home::Database(_) => DATABASE_PARTITIONS,
    }
}

const DATABASE_PARTITIONS: NonZeroU16 = NonZeroU16::new(64).unwrap();

/// Makes an installation as this configuration says, with so many partitions, or as many as usual, and writes the configuration down if it is not there.
///
/// # Errors
/// If anything that belongs to a server is there already, or something can't be written. Then nothing new is left
/// behind but an empty directory.
pub fn init(
    config: &Config,
    partitions: Option<NonZeroU16>,
    random: &mut dyn Random,
) -> Result<Initialised, InitError> {
    let settings = config.check().map_err(InitError::Config)?;
    let data_dir = &settings.data_dir;
    let root_key = &settings.keys.root;
    // A root key that is to stand in a file as it is is drawn here; any other was brought to its place before.
    let mut files: Vec<PathBuf> = match root_key {
        KeySource::File(KeyFile { file, wrapped: Wrapped::Plain }) => vec![file.clone()],
        _ => Vec::new(),
    };
    let draws = !files.is_empty();
    files.extend([JOURNAL_FILE, VIEWS_FILE, KEY_CHECK_FILE].map(|name| data_dir.join(name)));
    refuse(&files)?;
    let bounds = 1..=PartitionId::COUNT_MAX;
    if let Some(partitions) = partitions.filter(|partitions| !bounds.contains(&partitions.get())) {
        return Err(InitError::Partitions(partitions));
    }
    if let Home::Database(database) = &settings.home
        && let Some(check_value) = mayfly_store::root_check(&settings.home).map_err(InitError::Store)?
    {
        let (database, root_key) = (database.name().to_owned(), root_key.to_string());
        return Err(InitError::Inhabited { database, check_value, root_key });
    }
    directory::make(data_dir).map_err(InitError::Directory)?;
    let check_value =
        if draws { root_key.generate(random) } else { root_key.open().map(|service| service.check_value()) };
    let check_value = check_value.map_err(InitError::Key)?;
    let made = write_check(&settings, check_value)
        .and_then(|()| {
            let partitions = partitions.unwrap_or(default_partitions(&settings.home));
            mayfly_store::create(&settings.home, &check_value.to_string(), partitions)
                .map_err(InitError::Store)
        })
        .and_then(|()| finish(config, &settings, check_value));
    if made.is_err() {
        // They are this call's own, and nothing was ever done with this key.
        remove(&files);
    }
    made
}

/// Makes a data directory for one more gateway of an installation that is in a database. Its root key must be there
/// already: a copy of the installation's.
///
/// # Errors
/// If the directory is a server's already, the installation is not there or has another root key, or something can't be
/// written. Then nothing new is left behind but an empty directory.
pub fn join(config: &Config) -> Result<Initialised, InitError> {
    let settings = config.check().map_err(InitError::Config)?;
    let Home::Database(database) = &settings.home else { return Err(InitError::NoDatabase) };
    let files = [settings.data_dir.join(KEY_CHECK_FILE)];
    refuse(&files)?;
    let root_key = &settings.keys.root;
    let found = root_key.open().map_err(InitError::Key)?.check_value();
    let expected = mayfly_store::root_check(&settings.home)
        .map_err(InitError::Store)?
        .ok_or_else(|| InitError::Empty { database: database.name().to_owned() })?;
    if expected != found.to_string() {
        return Err(InitError::OtherKey { root_key: root_key.to_string(), expected, found });
    }
    directory::make(&settings.data_dir).map_err(InitError::Directory)?;
    let made = write_check(&settings, found).and_then(|()| finish(config, &settings, found));
    if made.is_err() {
        remove(&files);
    }
    made
}

/// Nothing of what is to be made may be there.
fn refuse(files: &[PathBuf]) -> Result<(), InitError> {
    match files.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(InitError::Exists(path.clone())),
        None => Ok(()),
    }
}

fn remove(files: &[PathBuf]) {
    for path in files {
        drop(fs::remove_file(path));
    }
}

fn write_check(settings: &Settings, check_value: CheckValue) -> Result<(), InitError> {
    write_new(&settings.data_dir.join(KEY_CHECK_FILE), &format!("{check_value}\n"))
}

/// Writes the configuration, if there is none.
fn finish(config: &Config, settings: &Settings, check_value: CheckValue) -> Result<Initialised, InitError> {
    let mut config_file = None;
    if !settings.file.exists() {
        write_new(&settings.file, &config.print())?;
        config_file = Some(settings.file.clone());
    }
    Ok(Initialised {
        data_dir: settings.data_dir.clone(),
        database: match &settings.home {
            Home::Files(_) => None,
            Home::Database(database) => Some(database.name().to_owned()),
        },
        root_key: settings.keys.root.clone(),
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
