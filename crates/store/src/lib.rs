//! The store: a journal and its views, on SQLite.
//!
//! **The journal** ([`StoredJournal`], `journal.db`) is the truth: one row per record, appended and synced before
//! anybody is answered, never changed. A [`JournalReader`] reads it on a connection of its own, [`verify`] checks
//! all of it.
//!
//! **The views** ([`Views`], `views.db`) are ordinary tables for people and pages, and what a start loads the
//! state from. The [`Folder`] folds them from the journal on a thread of its own, a moment behind. They can be
//! thrown away: [`open`] checks them against the journal and builds them again if they don't fit.
//!
//! What must never happen here: a record is said to be on the disk before it is; the journal's writer waits for a
//! reader or for the views; a file that could not be understood is overwritten; a card number is stored (what is
//! stored is a keyed index and the last four digits).

mod archive;
mod copy;
pub mod directory;
mod error;
mod fold;
mod format;
mod home;
mod installation;
mod journal;
mod lease;
mod load;
mod lock;
mod place;
mod query;
mod reader;
mod retention;
mod sql;
mod sqlite;
mod verify;
mod views;

pub use archive::ViewsArchive;
pub use copy::{Copied, CopyOptions, Copying, copy};
pub use error::{Location, StoreError};
pub use fold::{FoldOptions, Folder, FolderWaker};
pub use home::Home;
pub use installation::{create, root_check};
pub use journal::{JOURNAL_FILE, StoredJournal};
pub use lease::{Holder, LEASE_TIME, Lease, LeaseKeeper, Standing, lease_owner};
pub use load::{
    Difference, Follower, OpenOptions, Opened, Opening, compare_with_archive, compare_with_replay, open,
};
pub use lock::{DirectoryLock, LOCK_FILE};
pub use place::{EventPlace, EventPlaceError};
pub use query::{NumberFilter, PAGE_MAX, Page, Views};
pub use reader::{Entries, JournalReader, Records};
pub use retention::{
    ArchiveFile, Asked, CUT_AGE_MIN_MS, Dropped, HeldBy, Plan, Retention, RetentionOptions, Span,
    archive_files,
};
pub use sql::postgres::{Database, DatabaseError, DatabaseOptions};
pub use verify::{Verified, verify};
pub use views::{
    AccountRow, CardLife, CardRow, CardStatus, EtsnId, EtsnRow, EtsnStatus, GENERATION, HostAdviceRow,
    NumberRow, Retired, TransactionRow, VIEWS_FILE,
};
