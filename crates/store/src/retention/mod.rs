//! Retention: what is old is archived and dropped, while everything goes on.
//!
//! **The journal** is archived first: its oldest entries are written into files, each a [`Span`] of all partitions, and read
//! again from there. Only then their rows are deleted, some at a time. After which entry a journal begins, and what the last
//! record of each partition was by then, stands beside it and changes with the deletion, so that the chain goes on from there; a
//! [`JournalReader`](crate::JournalReader) that knows where the archive is reads both as one.
//!
//! **The views** drop what has been over for long: see [`views`](self::views).
//!
//! What must never happen here: something is dropped that is in no file yet, that was not folded, that a webhook has not been
//! told, or that an issuer host might have to be told, or that belongs to money that is held or to a number that can be used or is in quarantine.

pub(crate) mod base;
mod cut;
mod file;
mod keeper;
mod views;

pub use base::Span;
pub use cut::{CUT_AGE_MIN_MS, HeldBy};
pub(crate) use file::open_as;
pub use file::{ArchiveFile, archive_files};
pub use keeper::{Asked, Dropped, Plan, Retention, RetentionOptions};
