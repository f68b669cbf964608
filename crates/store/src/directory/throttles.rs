//! How many log-ins failed, for each name and each address, and how many requests of wallets, for each number. Kept on the disk, or a restart would forgive all.

use mayfly_core::TimeMs;
use mayfly_identity::throttle::{Throttle, ThrottlePolicy};

use super::{Directory, DirectoryError, Writing, ms};
use crate::StoreError;
use crate::sql::{Sql, values};

pub(super) const CREATE: &str = "
-- Failed log-ins. `key` is a keyed hash of what was tried or from where; there may be no such name.
CREATE TABLE throttles (
    scope TEXT NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 16),
    failures INTEGER NOT NULL,
    last_failure_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX throttles_by_time ON throttles (last_failure_ms);";

const FIND: &str = "SELECT failures, last_failure_ms FROM throttles WHERE scope = ? AND key = ?";
const SET: &str =
    "INSERT INTO throttles (scope, key, failures, last_failure_ms) VALUES (?, ?, ?, ?) ON CONFLICT (scope, key)
    DO UPDATE SET failures = excluded.failures, last_failure_ms = excluded.last_failure_ms";
const CLEAR: &str = "DELETE FROM throttles WHERE scope = ? AND key = ?";
const PURGE: &str = "DELETE FROM throttles WHERE (scope, key) IN
    (SELECT scope, key FROM throttles WHERE last_failure_ms <= ? ORDER BY last_failure_ms LIMIT ?)";

/// What failures are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThrottleScope {
    /// For a log-in name, whether anybody has it or not.
    Name,
    /// For the address that they come from.
    Address,
    /// For the number of a card that a wallet's request names, whether anybody has it or not.
    Number,
    /// For the address that wallets' requests come from: not that of log-ins, so that neither keeps the other out.
    Wallets,
}

impl ThrottleScope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Address => "address",
            Self::Number => "number",
            Self::Wallets => "wallets",
        }
    }
}

/// Whose failures: a keyed hash of the name with its issuer, or of the address, so that neither stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThrottleKey(pub [u8; 16]);

/// Whether somebody may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Attempt {
    /// He may, and it is counted as a failure until it is said to be none: so that many at once are as many.
    Counted(Throttle),
    /// He may not. Nothing was counted.
    Wait {
        /// For so long, in milliseconds.
        retry_after_ms: u64,
    },
}

impl Directory {
    /// The key of what `parts` say, such as an issuer's id and a log-in name, or an address.
    pub fn throttle_key(&self, scope: ThrottleScope, parts: &[&[u8]]) -> ThrottleKey {
        let label = match scope {
            ThrottleScope::Name => "throttle-name",
            ThrottleScope::Address => "throttle-address",
            ThrottleScope::Number => "throttle-number",
            ThrottleScope::Wallets => "throttle-wallets",
        };
        ThrottleKey(self.keyed_hash(label, parts))
    }

    /// What failed so far.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn throttle(&self, scope: ThrottleScope, key: ThrottleKey) -> Result<Throttle, DirectoryError> {
        self.read(|sql| find(sql, scope, key))
    }
}

impl Writing<'_> {
    /// Counts an attempt, if one is allowed now. What of it is a success is set right with
    /// [`set_throttle`](Self::set_throttle) afterwards.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn attempt(
        &self,
        scope: ThrottleScope,
        key: ThrottleKey,
        policy: &ThrottlePolicy,
    ) -> Result<Attempt, DirectoryError> {
        let throttle = self.throttle(scope, key)?;
        match throttle.retry_after_ms(policy, self.now_ms()) {
            0 => {
                let counted = throttle.failed(policy, self.now_ms());
                self.set_throttle(scope, key, counted)?;
                Ok(Attempt::Counted(counted))
            }
            retry_after_ms => Ok(Attempt::Wait { retry_after_ms }),
        }
    }

    /// What failed so far, within this transaction.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn throttle(&self, scope: ThrottleScope, key: ThrottleKey) -> Result<Throttle, DirectoryError> {
        Ok(find(self.sql(), scope, key)?)
    }

    /// Says what failed so far: after a success, that nothing did. Not in the audit stream, which strangers could fill
    /// up otherwise.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn set_throttle(
        &self,
        scope: ThrottleScope,
        key: ThrottleKey,
        throttle: Throttle,
    ) -> Result<(), DirectoryError> {
        let Throttle { failures, last_failure_ms } = throttle;
        match failures {
            0 => self.sql().run(CLEAR, values![scope.as_str(), key.0])?,
            _ => self.sql().run(SET, values![scope.as_str(), key.0, failures, ms(last_failure_ms)])?,
        };
        Ok(())
    }

    /// Those whose last failure is at least so long ago.
    pub(super) fn purge_throttles(&self, forgotten_ms: TimeMs, limit: i64) -> Result<usize, DirectoryError> {
        let values = values![ms(self.now_ms().saturating_sub(forgotten_ms)), limit];
        Ok(self.sql().run(PURGE, values)? as usize)
    }
}

fn find(sql: &Sql, scope: ThrottleScope, key: ThrottleKey) -> Result<Throttle, StoreError> {
    let found = sql.one(FIND, values![scope.as_str(), key.0], |cells| {
        Ok(Throttle { failures: cells.next()?, last_failure_ms: cells.bits()? })
    });
    Ok(found?.unwrap_or_default())
}
