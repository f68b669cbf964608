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
use mayfly_keys::{Opened, OsRandom, Random, SealKey, SealPlace, SecretKey};

const DAY_MS: TimeMs = 24 * 3_600_000;

/// The day of a time, counted from 1970, UTC.
pub fn day_of(at_ms: TimeMs) -> u32 {
    // 32 bits of days are eleven million years.
    (at_ms / DAY_MS) as u32
}

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

/// Seals what is kept for a day.
pub struct DaySeal {
    day: u32,
    key: Arc<SealKey>,
}

impl fmt::Debug for DaySeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DaySeal(day {})", self.day)
    }
}

impl DaySeal {
    /// Under the key of the day of `now`.
    ///
    /// # Errors
    /// If that can't be read or written.
    pub fn of(keys: &dyn NoteKeys, now: TimeMs) -> Result<Self, NoteError> {
        let day = day_of(now);
        Ok(Self { day, key: keys.of_day(day)? })
    }

    /// Seals `plain` for a row of a table; the day stands before it.
    ///
    /// # Errors
    /// If there is no randomness, or it is too long.
    pub fn seal(
        &self,
        (table, row): (&str, &[u8]),
        plain: &[u8],
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, NoteError> {
        let sealed = self.key.seal(&place((table, row), self.day), plain, random);
        let sealed = sealed.map_err(|error| NoteError::Key(error.to_string()))?;
        Ok([&self.day.to_be_bytes()[..], &sealed].concat())
    }

    /// What was sealed for a row of a table, on whatever day.
    ///
    /// # Errors
    /// If the key of that day can't be read, or is gone, or it is not what was sealed.
    pub fn open(keys: &dyn NoteKeys, at: (&str, &[u8]), sealed: &[u8]) -> Result<Opened, NoteError> {
        let (day, sealed) = sealed.split_first_chunk::<4>().ok_or(NoteError::Damaged)?;
        let day = u32::from_be_bytes(*day);
        keys.of_day(day)?.open(&place(at, day), sealed).map_err(|_| NoteError::Damaged)
    }
}

fn place<'a>((table, row): (&'a str, &'a [u8]), day: u32) -> SealPlace<'a> {
    SealPlace { tenant: b"", table, row, key_version: day }
}

/// The table in which notes stand.
const TABLE: &str = "kept_answers";

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
        let mut plain = zeroize::Zeroizing::new(Vec::with_capacity(96));
        plain.extend_from_slice(&self.expiry.value().to_be_bytes());
        for pan in &self.pans {
            // A card number has at most 19 digits.
            plain.push(pan.length() as u8);
            plain.extend_from_slice(pan.digits());
        }
        DaySeal::of(keys, now)?.seal((TABLE, &once.key.0.to_be_bytes()), &plain, random)
    }

    /// What was sealed for the order with this key.
    pub(crate) fn open(sealed: &[u8], keys: &dyn NoteKeys, once: OnceKey) -> Result<Self, NoteError> {
        let opened = DaySeal::open(keys, (TABLE, &once.key.0.to_be_bytes()), sealed)?;
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
