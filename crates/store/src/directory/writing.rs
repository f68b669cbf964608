//! A transaction under way, as those see it who change something in it.

use std::cell::Cell;

use mayfly_core::TimeMs;
use mayfly_keys::DirectoryKeys;

use super::DirectoryError;
use crate::StoreError;
use crate::sql::Sql;

/// Who changes something, and when: a part of every audit entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By<'a> {
    /// The id of a key or a cardholder, or `operator` for who has the server's own command line.
    pub actor: &'a str,
    /// The time, as the engine's clock has it: it is also when whatever is made is said to be made, and what ends are
    /// compared with.
    pub now_ms: TimeMs,
}

/// A transaction under way: all functions that change the directory are its own. Made by
/// [`Directory::write`](super::Directory::write) and [`Directory::once`](super::Directory::once).
pub struct Writing<'a> {
    sql: &'a Sql,
    keys: &'a DirectoryKeys,
    by: By<'a>,
    touched: Cell<Touched>,
}

/// What was changed of what others keep in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    pub(super) webhooks: bool,
    pub(super) decision_endpoints: bool,
}

impl<'a> Writing<'a> {
    pub(super) fn new(sql: &'a Sql, keys: &'a DirectoryKeys, by: By<'a>) -> Self {
        Self { sql, keys, by, touched: Cell::default() }
    }

    /// The time of the transaction.
    pub fn now_ms(&self) -> TimeMs {
        self.by.now_ms
    }

    /// Forgets at most `limit` rows of each kind that count for nothing any more: sessions and invitations that are
    /// over, throttles that are forgotten after `throttles_ms`, answers to repeats that nobody waits for, attempts of long ago. Not in the
    /// audit stream: it changes nothing that anybody could notice.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn purge(&self, limit: usize, throttles_ms: u64) -> Result<Purged, DirectoryError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(Purged {
            sessions: self.purge_sessions(limit)?,
            invitations: self.purge_invitations(limit)?,
            throttles: self.purge_throttles(throttles_ms, limit)?,
            answers: self.purge_answers(limit)?,
            attempts: self.purge_attempts(limit)?,
        })
    }

    pub(super) fn touched(&self) -> Touched {
        self.touched.get()
    }

    pub(super) fn touch_webhooks(&self) {
        self.touched.set(Touched { webhooks: true, ..self.touched.get() });
    }

    pub(super) fn touch_decision_endpoints(&self) {
        self.touched.set(Touched { decision_endpoints: true, ..self.touched.get() });
    }

    pub(super) fn by(&self) -> By<'a> {
        self.by
    }

    pub(super) fn secrets(&self) -> &'a DirectoryKeys {
        self.keys
    }

    /// The transaction's connection.
    pub(super) fn sql(&self) -> &'a Sql {
        self.sql
    }

    /// Writes what must be unique. If it is there already, that is `taken`, nothing of `work` was done, and the
    /// transaction goes on: PostgreSQL would let nothing more be done in it after an error.
    pub(super) fn unique<T>(
        &self,
        taken: DirectoryError,
        work: impl FnOnce(&Sql) -> Result<T, StoreError>,
    ) -> Result<T, DirectoryError> {
        self.sql.script("SAVEPOINT before")?;
        match work(self.sql) {
            Err(StoreError::Taken { .. }) => {
                self.sql.script("ROLLBACK TO SAVEPOINT before; RELEASE SAVEPOINT before")?;
                Err(taken)
            }
            Err(error) => Err(error.into()),
            Ok(done) => {
                self.sql.script("RELEASE SAVEPOINT before")?;
                Ok(done)
            }
        }
    }
}

/// How many rows were forgotten. As many as were allowed: there may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Purged {
    /// Sessions that can't be refreshed any more.
    pub sessions: usize,
    /// Invitations that are over.
    pub invitations: usize,
    /// Throttles that are forgotten.
    pub throttles: usize,
    /// Answers kept for repeats.
    pub answers: usize,
    /// Attempts to deliver to webhooks that were too long ago.
    pub attempts: usize,
}
