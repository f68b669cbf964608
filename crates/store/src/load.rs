//! A start: the journal is checked where it ends, the views where they can be, and the state in memory is loaded
//! from the views and brought up to the journal's end.

mod check;
mod compare;
mod follow;
mod state;

use std::path::{Path, PathBuf};

use mayfly_core::{Partitions, TimeMs};
use mayfly_engine::Ends;

use crate::fold::ViewsWriter;
use crate::journal::FORMAT;
use crate::sql::postgres::schema;
use crate::{
    DirectoryLock, FoldOptions, Home, JOURNAL_FILE, JournalReader, StoreError, StoredJournal, VIEWS_FILE,
    views,
};

use state::Loaded;

pub use compare::{Difference, compare_with_archive, compare_with_replay};
pub use follow::Follower;

/// If more entries than this are not folded yet, they are folded before the state is loaded; otherwise they are
/// replayed in memory, which is faster.
const REPLAY_MAX: u64 = 256;
/// Where views go that do not fit.
const BAD_VIEWS_FILE: &str = "views.bad.db";
/// How much of the views is kept in memory while they are checked and loaded, in bytes.
const LOAD_CACHE_BYTES: usize = 64 << 20;

/// How a store is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// How views are folded, if they have to be.
    pub fold: FoldOptions,
    /// Views of up to so many bytes are checked page by page at every start; larger ones only in the tables that
    /// are loaded. Default 4 GiB: some seconds.
    pub check_bytes_max: u64,
    /// How long a transaction is remembered after it was last touched, in milliseconds: the engine's
    /// `remember_ms`. Default 48 hours.
    pub remember_ms: TimeMs,
    /// Whether a journal is made where none is.
    pub create: bool,
    /// Where the archive's files are: views are built again from what was cut off, too.
    pub archive: Option<PathBuf>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            fold: FoldOptions::default(),
            check_bytes_max: 4 << 30,
            remember_ms: 48 * 3_600_000,
            create: true,
            archive: None,
        }
    }
}

/// What an opening that takes long is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The views are being checked.
    Checking,
    /// The views are being folded.
    Folding {
        /// Up to this entry so far.
        number: u64,
        /// Of so many.
        last: u64,
    },
    /// The state is being loaded from the views.
    Loading,
    /// Entries that are not folded yet are being replayed.
    Replaying,
}

/// An opened store: all that an engine begins with.
pub struct Opened {
    /// Everything that decisions depend on, as of the journal's end.
    pub partitions: Partitions,
    /// Where the journal ends.
    pub ends: Ends,
    /// The journal, to append to.
    pub journal: StoredJournal,
    /// Up to which entry the views are folded.
    pub folded: u64,
    /// Why the views had to be built again, if they had to.
    pub rebuilt: Option<String>,
    /// Nobody else writes in the directory while this lives. A database has other means.
    pub lock: Option<DirectoryLock>,
}

/// Opens the store. Views that do not fit the journal are put aside and built again; a journal that can't be used is an
/// error, and nothing is changed.
pub fn open(
    home: &Home,
    options: &OpenOptions,
    mut progress: impl FnMut(Opening),
) -> Result<Opened, StoreError> {
    let lock = match home {
        Home::Files(directory) => Some(occupy(directory, options)?),
        Home::Database(database) => {
            // As with files: a journal that was lost is not begun anew.
            let views = schema::is_there(database, &views::FORMAT)?;
            if views || !options.create {
                schema::require(database, &FORMAT, views)?;
            }
            None
        }
    };
    let journal = StoredJournal::open(home)?;
    let ends = journal.ends()?;
    let mut reader = JournalReader::open(home)?;
    if let Some(archive) = &options.archive {
        reader = reader.with_archive(archive);
    }

    progress(Opening::Checking);
    let mut rebuilt = None;
    if let Some(why) = check::misfit(home, &reader, &ends, options)? {
        // What they are built from must be there before anything is put aside.
        reader.require_archive()?;
        tracing::warn!(%why, "the views are built again from the journal");
        put_aside(home)?;
        rebuilt = Some(why);
    }
    let mut loaded = match bring_up(home, &reader, ends.number, options, &mut progress) {
        // Every page was whole, and yet there was something in them that we never write.
        Err(damage) if damage.is_damage_of(&home.location(&views::FORMAT)) && rebuilt.is_none() => {
            reader.require_archive()?;
            tracing::warn!(%damage, "the views are built again from the journal");
            put_aside(home)?;
            rebuilt = Some(damage.to_string());
            bring_up(home, &reader, ends.number, options, &mut progress)?
        }
        brought_up => brought_up?,
    };
    let folded = loaded.cursors.number;
    if folded < ends.number {
        progress(Opening::Replaying);
        loaded.replay(&reader, ends.number)?;
    }
    Ok(Opened { partitions: loaded.partitions, ends, journal, folded, rebuilt, lock })
}

/// Locks a directory, in which a journal must be, or may be made.
fn occupy(directory: &Path, options: &OpenOptions) -> Result<DirectoryLock, StoreError> {
    let lock = DirectoryLock::acquire(directory)?;
    let journal = directory.join(JOURNAL_FILE);
    let views = directory.join(VIEWS_FILE).exists();
    if !journal.exists() && (views || !options.create) {
        return Err(StoreError::Missing { location: journal.into(), views });
    }
    Ok(lock)
}

/// Folds what is too much to be replayed, and loads the state from the views.
fn bring_up(
    home: &Home,
    reader: &JournalReader,
    last: u64,
    options: &OpenOptions,
    progress: &mut impl FnMut(Opening),
) -> Result<Loaded, StoreError> {
    fold_up(home, reader, last, options, progress)?;
    progress(Opening::Loading);
    state::load(home, reader.partitions(), options.remember_ms)
}

fn fold_up(
    home: &Home,
    reader: &JournalReader,
    last: u64,
    options: &OpenOptions,
    progress: &mut impl FnMut(Opening),
) -> Result<(), StoreError> {
    let mut writer = ViewsWriter::open(home, reader.partitions(), options.fold)?;
    let folded = writer.cursors().number;
    // What was archived is folded here: whoever folds later reads the journal alone.
    if last - folded <= REPLAY_MAX && folded >= reader.base()?.number {
        return Ok(());
    }
    while writer.fold(reader, last)? > 0 {
        progress(Opening::Folding { number: writer.cursors().number, last });
    }
    writer.checkpoint()
}

/// Moves the views out of the way. The last ones that were put aside are kept, for whoever wants to know why;
/// older ones are removed.
fn put_aside(home: &Home) -> Result<(), StoreError> {
    match home {
        Home::Files(directory) => put_files_aside(directory),
        Home::Database(database) => schema::put_aside(database, &views::FORMAT),
    }
}

fn put_files_aside(directory: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let file = directory.join(format!("{VIEWS_FILE}{suffix}"));
        let aside = directory.join(format!("{BAD_VIEWS_FILE}{suffix}"));
        let moved = match std::fs::rename(&file, &aside) {
            // Nothing to move: what an earlier time left must not look as if it belonged to this one.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => remove(aside),
            moved => moved,
        };
        moved.map_err(|error| StoreError::Directory { path: file, why: error.to_string() })?;
    }
    let distrusted = directory.join(views::DISTRUST_FILE);
    remove(distrusted.clone())
        .map_err(|error| StoreError::Directory { path: distrusted, why: error.to_string() })
}

fn remove(file: PathBuf) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
