//! What was answered to a change of the directory, kept for repeats of it: sealed, because it may hold a key, under a
//! key of its day that is thrown away when nobody may ask any more.

use mayfly_core::TimeMs;
use mayfly_engine::{DaySeal, NoteError};
use mayfly_keys::OsRandom;
use mayfly_store::directory::{Directory, OnceKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// The table in which answers stand.
const TABLE: &str = "api_answers";

/// Seals answers of one day.
pub(crate) struct Kept(DaySeal);

impl Kept {
    /// Of the day of `now_ms`. Not to be called within a change: both use the same connection.
    pub(crate) fn of_day(directory: &Directory, now_ms: TimeMs) -> Result<Self, Problem> {
        Ok(Self(DaySeal::of(directory, now_ms)?))
    }

    /// An answer, as it is kept.
    pub(crate) fn seal(&self, once: OnceKey, answer: &impl Serialize) -> Result<Vec<u8>, Problem> {
        let plain = Zeroizing::new(serde_json::to_vec(answer).map_err(|_| NoteError::Damaged)?);
        Ok(self.0.seal((TABLE, &once.0), &plain, &mut OsRandom)?)
    }

    /// An answer that was kept.
    pub(crate) fn open<T: DeserializeOwned>(
        directory: &Directory,
        once: OnceKey,
        kept: &[u8],
    ) -> Result<T, Problem> {
        let opened = DaySeal::open(directory, (TABLE, &once.0), kept)?;
        Ok(serde_json::from_slice(opened.expose()).map_err(|_| NoteError::Damaged)?)
    }
}
