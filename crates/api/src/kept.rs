//! What was answered to a change of the directory, kept for repeats of it: sealed, because it may hold a key, under a
//! key of its day that is thrown away when nobody may ask any more.

use std::sync::Arc;

use mayfly_core::TimeMs;
use mayfly_engine::{NoteError, NoteKeys};
use mayfly_keys::{OsRandom, SealKey, SealPlace};
use mayfly_store::directory::{Directory, OnceKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::problem::{Code, Problem};

const DAY_MS: TimeMs = 24 * 3_600_000;

/// Seals answers of one day.
pub(crate) struct Kept {
    day: u32,
    key: Arc<SealKey>,
}

impl Kept {
    /// Of the day of `now_ms`. Not to be called within a change: both use the same connection.
    pub(crate) fn of_day(directory: &Directory, now_ms: TimeMs) -> Result<Self, Problem> {
        let day = (now_ms / DAY_MS) as u32;
        Ok(Self { day, key: directory.of_day(day).map_err(lost)? })
    }

    /// An answer, as it is kept.
    pub(crate) fn seal(&self, once: OnceKey, answer: &impl Serialize) -> Result<Vec<u8>, Problem> {
        let plain = Zeroizing::new(serde_json::to_vec(answer).map_err(damaged)?);
        let sealed = self.key.seal(&place(&once, self.day), &plain, &mut OsRandom).map_err(damaged)?;
        Ok([&self.day.to_be_bytes()[..], &sealed].concat())
    }

    /// An answer that was kept.
    pub(crate) fn open<T: DeserializeOwned>(
        directory: &Directory,
        once: OnceKey,
        kept: &[u8],
    ) -> Result<T, Problem> {
        let (day, sealed) = kept.split_first_chunk::<4>().ok_or_else(|| lost(NoteError::Damaged))?;
        let day = u32::from_be_bytes(*day);
        let key = directory.of_day(day).map_err(lost)?;
        let opened = key.open(&place(&once, day), sealed).map_err(damaged)?;
        serde_json::from_slice(opened.expose()).map_err(|_| lost(NoteError::Damaged))
    }
}

fn place(once: &OnceKey, day: u32) -> SealPlace<'_> {
    SealPlace { tenant: b"", table: "api_answers", row: &once.0, key_version: day }
}

fn damaged(_: impl std::error::Error) -> Problem {
    lost(NoteError::Damaged)
}

fn lost(error: NoteError) -> Problem {
    tracing::error!(%error, "a repeated answer could not be kept or read");
    Problem::new(Code::Storage)
}
