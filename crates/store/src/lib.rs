//! store
mod error;
mod journal;
mod reader;
mod sqlite;
pub use error::StoreError;
pub use journal::{CHECKPOINT_PAGES, JOURNAL_FILE, SqliteJournal};
pub use reader::{JournalReader, Records};
/// The views' file name.
pub const VIEWS_FILE: &str = "views.db";
