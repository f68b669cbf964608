//! The keys under which notes for repeated answers are sealed: one for each day, thrown away when nobody may ask any
//! more. The notes stay in the journal, and can't be read from then on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mayfly_core::TimeMs;
use mayfly_engine::{NoteError, NoteKeys, day_of};
use mayfly_keys::{OsRandom, SealKey, SealPlace, SecretKey};

use super::{Directory, DirectoryError, begin};
use crate::StoreError;
use crate::sql::{Sql, values};

pub(super) const CREATE: &str = "
-- `day` counts from 1970, UTC. The key is random, and wrapped under the directory's seal key.
CREATE TABLE note_keys (
    day INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT;";

const FIND: &str = "SELECT wrapped FROM note_keys WHERE day = ?";
const ADD: &str = "INSERT INTO note_keys (day, wrapped) VALUES (?, ?)";
/// What a deleted row was is overwritten.
const FORGET: &str = "DELETE FROM note_keys WHERE day < ?";

/// How many days a key is kept after its own: answers are kept for 24 hours.
const KEPT_DAYS: u32 = 2;

/// The version of the directory's seal key that wraps them.
const WRAPPED_UNDER: u32 = 1;

/// The keys that were asked for: two or three of them.
#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<u32, Arc<SealKey>>>);

impl NoteKeys for Directory {
    fn of_day(&self, day: u32) -> Result<Arc<SealKey>, NoteError> {
        if let Some(key) = self.note_keys.lock().get(&day) {
            return Ok(key.clone());
        }
        // Whoever asks may be within an asynchronous runtime, where nobody can wait for a database: that is done by a
        // thread of its own, once a day.
        let found = std::thread::scope(|scope| scope.spawn(|| self.find_or_draw(day)).join());
        let key = Arc::new(found.map_err(|_| NoteError::Key("it was not looked up to the end".to_owned()))??);
        let mut cache = self.note_keys.lock();
        cache.retain(|cached, _| cached + KEPT_DAYS >= day);
        cache.insert(day, key.clone());
        Ok(key)
    }
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<SealKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    fn find_or_draw(&self, day: u32) -> Result<SealKey, NoteError> {
        let row = day.to_be_bytes();
        let place = SealPlace { tenant: b"", table: "note_keys", row: &row, key_version: WRAPPED_UNDER };
        let wrapped = match self.read(|sql| find(sql, day)).map_err(failed)? {
            Some(wrapped) => wrapped,
            None => {
                let mut random = OsRandom;
                let key = SecretKey::<32>::generate(&mut random).map_err(failed)?;
                let wrapped = self.keys.seals().wrap_key(&place, &key, &mut random).map_err(failed)?;
                self.find_or_add(day, wrapped).map_err(failed)?
            }
        };
        self.keys.seals().unwrap_key(&place, &wrapped).map(|key| SealKey::new(&key)).map_err(failed)
    }

    /// The key of a day: the one that is there, or this one. Keys that are over by then are thrown away.
    fn find_or_add(&self, day: u32, wrapped: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let sql = self.writer();
        let writing = begin(&sql)?;
        // Somebody else may have drawn one meanwhile.
        if let Some(before) = find(&writing, day)? {
            return Ok(before);
        }
        writing.run(ADD, values![day, &wrapped])?;
        writing.run(FORGET, values![day.saturating_sub(KEPT_DAYS)])?;
        writing.commit()?;
        Ok(wrapped)
    }
}

impl Directory {
    /// Throws the keys away that nobody needs any more at `now_ms`, and empties the write-ahead log: what was deleted or
    /// replaced stands in neither of the two files then. A database cleans up when its time has come (`autovacuum`), and
    /// what stands in its log and its backups is not in our hands.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn sweep(&self, now_ms: TimeMs) -> Result<(), DirectoryError> {
        let over = day_of(now_ms).saturating_sub(KEPT_DAYS);
        self.note_keys.lock().retain(|day, _| *day >= over);
        let sql = self.writer();
        sql.run(FORGET, values![over])?;
        if sql.is_sqlite() {
            sql.one("PRAGMA wal_checkpoint(TRUNCATE)", &[], |_| Ok(()))?;
        }
        Ok(())
    }
}

fn find(sql: &Sql, day: u32) -> Result<Option<Vec<u8>>, StoreError> {
    sql.one(FIND, values![day], |cells| cells.next())
}

fn failed(error: impl std::fmt::Display) -> NoteError {
    NoteError::Key(error.to_string())
}
