//! What a number's cardholder is told again when its order is sent again with the same key: the number itself, which
//! is kept nowhere else.
//!
//! The note stands in the journal for good, so it is sealed under a key that does not: one for each day, drawn at
//! random and thrown away when nothing of that day is answered again. From then on nobody can read it any more, whoever
//! has the journal and the root key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_card::{MonthIndex, Pan};
use mayfly_core::{OnceKey, TimeMs};
use mayfly_keys::{OsRandom, Random, SealKey, SealPlace, SecretKey};

const DAY_MS: TimeMs = 24 * 3_600_000;

/// Where the keys of notes are.
pub trait NoteKeys: Send + Sync {
    /// The key of a day (counted from 1970, UTC); drawn, and made durable, if there is none yet.
    ///
    /// # Errors
    /// If it can't be read or written.
    fn of_day(&self, day: u32) -> Result<Arc<SealKey>, NoteError>;
}

/// Why a note could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// The key of its day can't be read or written.
    Key(String),
    /// It is not what was written.
    Damaged,
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(why) => write!(f, "the key for repeated answers can't be used: {why}"),
            Self::Damaged => {
                f.write_str("what was kept for a repeated answer is damaged, or its key is gone")
            }
        }
    }
}

impl std::error::Error for NoteError {}

/// Keys that are gone with the process: for benchmarks, and for tests that don't start again.
#[derive(Default)]
pub struct MemoryNoteKeys(Mutex<HashMap<u32, Arc<SealKey>>>);

impl fmt::Debug for MemoryNoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryNoteKeys")
    }
}

impl NoteKeys for MemoryNoteKeys {
    fn of_day(&self, day: u32) -> Result<Arc<SealKey>, NoteError> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(&day) {
            return Ok(key.clone());
        }
        let drawn = SecretKey::generate(&mut OsRandom).map_err(|error| NoteError::Key(error.to_string()))?;
        let key = Arc::new(SealKey::new(&drawn));
        keys.insert(day, key.clone());
        Ok(key)
    }
}

/// What was drawn for an order: enough to say the number again once it is known which candidate it became.
pub(crate) struct Note {
    pub(crate) expiry: MonthIndex,
    pub(crate) pans: Vec<Pan>,
}

impl Note {
    /// Sealed, for the order with this key.
    pub(crate) fn seal(
        &self,
        keys: &dyn NoteKeys,
        once: OnceKey,
        now: TimeMs,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, NoteError> {
        let day = (now / DAY_MS) as u32;
        let mut plain = zeroize::Zeroizing::new(Vec::with_capacity(96));
        plain.extend_from_slice(&self.expiry.value().to_be_bytes());
        for pan in &self.pans {
            // A card number has at most 19 digits.
            plain.push(pan.length() as u8);
            plain.extend_from_slice(pan.digits());
        }
        let sealed = keys.of_day(day)?.seal(&place(&once.key.0.to_be_bytes(), day), &plain, random);
        let sealed = sealed.map_err(|error| NoteError::Key(error.to_string()))?;
        Ok([&day.to_be_bytes()[..], &sealed].concat())
    }

    /// What was sealed for the order with this key.
    pub(crate) fn open(sealed: &[u8], keys: &dyn NoteKeys, once: OnceKey) -> Result<Self, NoteError> {
        let (day, sealed) = sealed.split_first_chunk::<4>().ok_or(NoteError::Damaged)?;
        let day = u32::from_be_bytes(*day);
        let row = once.key.0.to_be_bytes();
        let opened = keys.of_day(day)?.open(&place(&row, day), sealed).map_err(|_| NoteError::Damaged)?;
        Self::read(opened.expose()).ok_or(NoteError::Damaged)
    }

    fn read(plain: &[u8]) -> Option<Self> {
        let (month, mut rest) = plain.split_first_chunk::<2>()?;
        let expiry = MonthIndex::from_value(u16::from_be_bytes(*month))?;
        let mut pans = Vec::new();
        while let Some((length, after)) = rest.split_first() {
            let (digits, after) = after.split_at_checked(usize::from(*length))?;
            pans.push(Pan::parse(std::str::from_utf8(digits).ok()?).ok()?);
            rest = after;
        }
        Some(Self { expiry, pans })
    }
}

fn place(row: &[u8], day: u32) -> SealPlace<'_> {
    SealPlace { tenant: b"", table: "kept_answers", row, key_version: day }
}
