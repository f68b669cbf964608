//! store
mod error;
mod fold;
mod journal;
mod reader;
mod sqlite;
mod views;
pub use error::StoreError;
pub use fold::{FoldOptions, Folder, FolderWaker, Lag};
pub use journal::{CHECKPOINT_PAGES, JOURNAL_FILE, SqliteJournal};
pub use reader::{JournalReader, Records};
pub use views::{AccountRow, GENERATION, NumberRow, Retired, TransactionRow, VIEWS_FILE};
