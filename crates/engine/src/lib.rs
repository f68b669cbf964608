//! The engine: one writer that decides, and answers only what is on the disk.
//!
//! Commands wait in a bounded queue. The writer takes all that wait, decides and applies them one after the
//! other, and hands their events as one [`Entry`] to the committer, which appends it to the [`Journal`] with
//! one sync and then releases the answers. While one batch is being written the next one is decided. No answer,
//! not even one that changed nothing, leaves before everything that it rests on is durable.
//!
//! ```text
//!  connections ──▶ queue ──▶ writer: decide, apply ──▶ committer: append, sync ──▶ mailboxes ──▶ connections
//!                    ▲              │ what memory has forgotten
//!                    └── pager ◀────┘ is looked up in the views
//! ```

mod asker;
pub mod cards;
mod catalogue;
mod changes;
mod clock;
mod committer;
mod desk;
mod engine;
mod mailbox;
mod meter;
mod notes;
mod pager;
mod queue;
mod record;
mod storage;
mod told;
mod waiting;
mod writer;

pub use asker::{Asker, NobodyAsked, Question};
pub use catalogue::{Catalogue, Listing};
pub use clock::{Clock, ManualClock, SystemClock};
pub use desk::{Desk, DeskError, Drawn, Issued, Order};
pub use engine::{Engine, Handle, Options, Parts, Submission};
pub use mailbox::{Mailbox, Ticket};
pub use meter::{Counts, Meter};
pub use notes::{DaySeal, MemoryNoteKeys, NoteError, NoteKeys, day_of};
pub use queue::{Look, Refused};
pub use record::{Digest, Ends, Entry, Head, Record, RecordError};
pub use storage::{AppendError, Archive, ArchiveError, Journal, Lag, Progress, RETRY_FOR};
