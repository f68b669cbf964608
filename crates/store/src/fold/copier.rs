//! Copies the views' write-ahead log into their file, while the folder goes on.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::folder::step_back;
use crate::views::{self, VIEWS_FILE};
use crate::{Home, StoreError};

/// The copier needs no pages of its own in memory.
const CACHE_BYTES: usize = 1 << 20;

/// The thread that copies; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Copier {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    pub(super) fn start(home: &Home) -> Result<Self, StoreError> {
        let sql = views::open_to_write(home, CACHE_BYTES)?;
        let location = sql.location().clone();
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("views-copier".to_owned())
            .spawn(move || {
                step_back();
                for () in woken {
                    // What is wrong with the file is found by the folder, too, which can do something about it.
                    if let Err(error) = sql.one("PRAGMA wal_checkpoint(PASSIVE)", &[], |_| Ok(())) {
                        tracing::warn!(%error, "the write-ahead log of {VIEWS_FILE} was not copied");
                    }
                }
            })
            .map_err(|error| StoreError::no_thread(&location, &error))?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }

    /// Has what is in the log by now copied. Does not wait for it; once is enough if it is still to begin.
    pub(super) fn wake(&self) {
        // Refused only if it is to begin anyway.
        let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
