//! Folding: the journal's records become rows, on a thread of its own that never holds anything the journal's
//! writer needs.

mod ahead;
mod batch;
mod card_rows;
mod cards;
mod copier;
mod folder;
mod postgres;
mod rows;
mod sqlite;
mod tables;
mod writer;

pub use folder::{Folder, FolderWaker};
pub use writer::FoldOptions;
pub(crate) use writer::ViewsWriter;
