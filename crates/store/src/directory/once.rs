//! Changes that a client may send again: done once, answered every time.

use super::{By, Directory, DirectoryError, Writing, ms};
use crate::sql::values;

pub(super) const CREATE: &str = "
-- What was answered to a change that came with a key, sealed by whoever answered it. `content` is a hash of what was
-- asked for.
CREATE TABLE answers (
    key BLOB PRIMARY KEY CHECK (length(key) = 16),
    content BLOB NOT NULL CHECK (length(content) = 32),
    answer BLOB NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_by_time ON answers (at_ms);";

const FIND: &str = "SELECT content, answer FROM answers WHERE key = ? AND at_ms > ?";
// One that is too old is not found and makes way.
const KEEP: &str = "INSERT INTO answers (key, content, answer, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT (key)
    DO UPDATE SET content = excluded.content, answer = excluded.answer, at_ms = excluded.at_ms";
const PURGE: &str = "DELETE FROM answers WHERE key IN
    (SELECT key FROM answers WHERE at_ms <= ? ORDER BY at_ms LIMIT ?)";

/// How long an answer is kept for repeats: 24 hours.
pub const ONCE_KEPT_MS: u64 = 86_400_000;

/// A client's key for one change, hashed with whoever the client is: [`Directory::keyed_hash`]. Two clients never share
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OnceKey(pub [u8; 16]);

/// What came of a change that came with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Once {
    /// It was done now; this is to be answered.
    Done(Vec<u8>),
    /// It was done before; this was answered then.
    Repeated(Vec<u8>),
    /// Something else was done with this key before. Nothing was done now.
    OtherContent,
}

/// The hash of what was asked for, and what was answered.
type Kept = ([u8; 32], Vec<u8>);

impl Directory {
    /// Changes things as [`write`](Self::write) does, but only the first time that `key` comes. What `work` returns is
    /// kept for [`ONCE_KEPT_MS`] in the same transaction, as it is: seal it before, if it holds a secret. `content` is a
    /// hash of everything that was asked for.
    ///
    /// What fails is not kept: the next one with the key is tried again.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn once<E: From<DirectoryError>>(
        &self,
        by: By<'_>,
        (key, content): (OnceKey, [u8; 32]),
        work: impl FnOnce(&Writing<'_>) -> Result<Vec<u8>, E>,
    ) -> Result<Once, E> {
        self.write(by, |writing| {
            if let Some((before, answer)) = writing.answer(key)? {
                return Ok(if before == content { Once::Repeated(answer) } else { Once::OtherContent });
            }
            let answer = work(writing)?;
            writing.keep_answer(key, content, &answer)?;
            Ok(Once::Done(answer))
        })
    }
}

impl Writing<'_> {
    /// The hash of what was asked for with this key, and what was answered.
    fn answer(&self, key: OnceKey) -> Result<Option<Kept>, DirectoryError> {
        let values = values![key.0, self.answers_from_ms()];
        Ok(self.sql().one(FIND, values, |cells| Ok((cells.next()?, cells.next()?)))?)
    }

    fn keep_answer(&self, key: OnceKey, content: [u8; 32], answer: &[u8]) -> Result<(), DirectoryError> {
        let values = values![key.0, content, answer, ms(self.now_ms())];
        self.sql().run(KEEP, values)?;
        Ok(())
    }

    pub(super) fn purge_answers(&self, limit: i64) -> Result<usize, DirectoryError> {
        let values = values![self.answers_from_ms(), limit];
        Ok(self.sql().run(PURGE, values)? as usize)
    }

    /// Answers of this time and earlier count for nothing any more. Before the first day of all, none does.
    fn answers_from_ms(&self) -> i64 {
        ms(self.now_ms()) - ms(ONCE_KEPT_MS)
    }
}
