//! Connections that read: a few, so that nobody who reads waits for who writes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::FORMAT;
use crate::sql::Sql;
use crate::sqlite::Access;
use crate::{Home, StoreError};

/// How many read at the same time; whoever comes then waits for one of them. Every query ends after one page.
const READERS_MAX: usize = 8;
const CACHE_BYTES: usize = 1 << 20;

pub(super) struct Readers {
    home: Home,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    idle: Vec<Sql>,
    /// Idle or in use.
    open: usize,
}

impl Readers {
    pub(super) fn new(home: Home) -> Self {
        Self { home, state: Mutex::new(State { idle: Vec::new(), open: 0 }), returned: Condvar::new() }
    }

    /// Reads something. If the connection to a database is lost, once more: it may have broken long ago.
    pub(super) fn with<T>(&self, work: impl Fn(&Sql) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut lease = Lease { readers: self, connection: self.take() };
        match lease.read(&work) {
            Err(StoreError::Lost { .. }) => lease.read(&work),
            done => done,
        }
    }

    /// A place among the readers, with a connection if one is idle.
    fn take(&self) -> Option<Sql> {
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
    connection: Option<Sql>,
}

impl Lease<'_> {
    fn read<T>(&mut self, work: impl Fn(&Sql) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.readers.home.open(&FORMAT, Access::Read, CACHE_BYTES)?,
        };
        work(self.connection.insert(connection))
    }
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
