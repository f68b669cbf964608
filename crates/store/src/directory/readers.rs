//! Connections that read: a few, so that nobody who reads waits for who writes.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::FORMAT;
use crate::StoreError;
use crate::sqlite::{self, Access};

/// How many read at the same time; whoever comes then waits for one of them. Every query ends after one page.
const READERS_MAX: usize = 8;
const CACHE_BYTES: usize = 1 << 20;

pub(super) struct Readers {
    path: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    idle: Vec<Connection>,
    /// Idle or in use.
    open: usize,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::new(State { idle: Vec::new(), open: 0 }), returned: Condvar::new() }
    }

    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut lease = Lease { readers: self, connection: self.take() };
        let connection = match lease.connection.take() {
            Some(connection) => connection,
            None => sqlite::open(&self.path, &FORMAT, Access::Read, CACHE_BYTES)?,
        };
        work(lease.connection.insert(connection))
    }

    /// A place among the readers, with a connection if one is idle.
    fn take(&self) -> Option<Connection> {
        let full = |state: &mut State| state.idle.is_empty() && state.open >= READERS_MAX;
        let waited = self.returned.wait_while(self.state(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let connection = state.idle.pop();
        state.open += usize::from(connection.is_none());
        connection
    }

    /// Whoever panicked elsewhere left nothing half-done here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the readers, given back however its holder ends.
struct Lease<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.readers.state();
        match self.connection.take() {
            Some(connection) => state.idle.push(connection),
            None => state.open -= 1,
        }
        drop(state);
        self.readers.returned.notify_one();
    }
}
