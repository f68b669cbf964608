//! The keys under which notes for repeated answers are sealed: one for each day, thrown away when nobody may ask any
//! more. The notes stay in the journal, and can't be read from then on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_core::TimeMs;
use mayfly_engine::{NoteError, NoteKeys, day_of};
use mayfly_keys::{OsRandom, SealKey, SealPlace, SecretKey};
use rusqlite::{Connection, OptionalExtension};

use super::{Directory, DirectoryError};
use crate::error::At;

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
        let mut cache = self.note_keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = cache.get(&day) {
            return Ok(key.clone());
        }
        let key = Arc::new(self.find_or_draw(day)?);
        cache.retain(|cached, _| cached + KEPT_DAYS >= day);
        cache.insert(day, key.clone());
        Ok(key)
    }
}

impl Directory {
    fn find_or_draw(&self, day: u32) -> Result<SealKey, NoteError> {
        let failed = |why: String| NoteError::Key(why);
        let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let row = day.to_be_bytes();
        let place = SealPlace { tenant: b"", table: "note_keys", row: &row, key_version: WRAPPED_UNDER };
        let found = find(&connection, day).at(&self.path).map_err(|error| failed(error.to_string()))?;
        if let Some(wrapped) = found {
            let key = self.keys.seals().unwrap_key(&place, &wrapped);
            return key.map(|key| SealKey::new(&key)).map_err(|error| failed(error.to_string()));
        }
        let mut random = OsRandom;
        let key = SecretKey::generate(&mut random).map_err(|error| failed(error.to_string()))?;
        let wrapped = self.keys.seals().wrap_key(&place, &key, &mut random);
        let wrapped = wrapped.map_err(|error| failed(error.to_string()))?;
        add(&connection, day, &wrapped).at(&self.path).map_err(|error| failed(error.to_string()))?;
        Ok(SealKey::new(&key))
    }
}

impl Directory {
    /// Throws the keys away that nobody needs any more at `now_ms`, and empties the write-ahead log: what was deleted or
    /// replaced stands in neither of the two files then.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn sweep(&self, now_ms: TimeMs) -> Result<(), DirectoryError> {
        let over = day_of(now_ms).saturating_sub(KEPT_DAYS);
        self.note_keys.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|day, _| *day >= over);
        let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let sweep = || {
            connection.execute(FORGET, [over])?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
        };
        Ok(sweep().at(&self.path)?)
    }
}

fn find(connection: &Connection, day: u32) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.query_row(FIND, [day], |row| row.get(0)).optional()
}

/// Adds the key of a day, and throws those away that are over by then.
fn add(connection: &Connection, day: u32, wrapped: &[u8]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute(ADD, (day, wrapped))?;
    transaction.execute(FORGET, [day.saturating_sub(KEPT_DAYS)])?;
    transaction.commit()
}
