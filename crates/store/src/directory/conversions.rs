//! The conversion table: which card stands behind each number that leads to the check site (S2 cl. 3a, 8).
//!
//! A number is found by its keyed index. What identifies the card (the number, the card's own, its date and what its key
//! is made with) is one sealed value, bound to its row with all that stands there readably: nobody who can write to the
//! table turns a number to another account, or to another version of the keys.

use mayfly_card::{MonthIndex, Pan};
use mayfly_core::{AccountId, IssuerId, ProgrammeId, TimeMs};
use mayfly_dynamic::{CardNumber, ControlDigit, Conversion, PseudoPan};
use mayfly_keys::{DirectoryKeys, KeyVersion, NumberIndex, Random, SealPlace, SecretKey};
use serde_json::json;
use zeroize::Zeroizing;

use super::sealed::KEY_VERSION;
use super::{Directory, DirectoryError, Writing, ms};
use crate::StoreError;
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `number` is the keyed index of the number that merchants get, `process` its control digit, none where the number is the
-- card's own. `card` is both numbers, the card's date and what is stored towards its key, sealed with the rest of the row.
CREATE TABLE conversions (
    number INTEGER PRIMARY KEY,
    issuer INTEGER NOT NULL,
    account INTEGER NOT NULL,
    programme INTEGER NOT NULL,
    process INTEGER,
    key_version INTEGER NOT NULL,
    card BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    replaced_ms INTEGER
) STRICT;";

macro_rules! columns {
    () => {
        "number, issuer, account, programme, process, key_version, card, created_ms, replaced_ms"
    };
}

const ADD: &str = concat!(
    "INSERT INTO conversions (",
    columns!(),
    ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (number) DO NOTHING"
);
const REPLACE: &str =
    "UPDATE conversions SET process = ?, key_version = ?, card = ?, replaced_ms = ? WHERE number = ?";
const REMOVE: &str = "DELETE FROM conversions WHERE number = ?";
const FIND: &str = concat!("SELECT ", columns!(), " FROM conversions WHERE number = ?");
const FIRST: &str = concat!("SELECT ", columns!(), " FROM conversions ORDER BY number LIMIT ?");
const AFTER: &str =
    concat!("SELECT ", columns!(), " FROM conversions WHERE number > ? ORDER BY number LIMIT ?");
const COUNT: &str = "SELECT key_version, count(*) FROM conversions GROUP BY key_version ORDER BY key_version";
const COUNT_OF: &str = "SELECT count(*) FROM conversions WHERE key_version = ?";

/// How errors call what is sealed here, and the name that it is bound to.
const CARD: &str = "conversions.card";
/// How many rows are read at once: no reader is busy for long, and what is not yet opened takes little room.
const PAGE: usize = 4_096;
/// The form of what is sealed.
const FORM: u8 = 1;
/// As long as it ever gets: form and kind, two numbers of at most 19 digits with their lengths, date, secret.
const CARD_BYTES_MAX: usize = 2 + 20 + 20 + 2 + 16;

/// A number that a card gets.
#[derive(Clone, Copy, Debug)]
pub struct NewConversion<'a> {
    /// The keyed index of the number.
    pub index: NumberIndex,
    /// Whose account it is.
    pub issuer: IssuerId,
    /// Which account pays.
    pub account: AccountId,
    /// By which programme's terms.
    pub programme: ProgrammeId,
    /// The card behind it.
    pub conversion: &'a Conversion,
}

/// A row of the conversion table.
#[derive(Clone, Debug)]
pub struct StoredConversion {
    /// The keyed index of the number.
    pub index: NumberIndex,
    /// Whose account it is.
    pub issuer: IssuerId,
    /// Which account pays.
    pub account: AccountId,
    /// By which programme's terms.
    pub programme: ProgrammeId,
    /// The card behind it.
    pub conversion: Conversion,
    /// When it was made.
    pub created_ms: TimeMs,
    /// When its wallet was last enrolled anew.
    pub replaced_ms: Option<TimeMs>,
}

impl Directory {
    /// The card behind a number.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read, [`DirectoryError::Sealed`] if what is in it does not open.
    pub fn conversion(&self, index: NumberIndex) -> Result<Option<StoredConversion>, DirectoryError> {
        let found = self.read(|sql| find(sql, index))?;
        found.map(|row| row.open(&self.keys)).transpose()
    }

    /// Each row, or each that comes after `after`, in the order in which they stand. What changes meanwhile may be seen or
    /// not.
    ///
    /// # Errors
    ///
    /// As [`conversion`](Self::conversion), at the first row that fails.
    pub fn each_conversion(
        &self,
        mut after: Option<NumberIndex>,
        mut each: impl FnMut(StoredConversion),
    ) -> Result<(), DirectoryError> {
        loop {
            let page = self.read(|sql| match after {
                None => sql.all(FIRST, values![PAGE as i64], Row::read),
                Some(NumberIndex(after)) => sql.all(AFTER, values![after as i64, PAGE as i64], Row::read),
            })?;
            let is_last = page.len() < PAGE;
            for row in page {
                after = Some(row.clear.index);
                each(row.open(&self.keys)?);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// How many cards have each version of the keys; versions that none has are left out.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn conversions_by_version(&self) -> Result<Vec<(KeyVersion, u64)>, DirectoryError> {
        self.read(|sql| sql.all(COUNT, &[], |cells| Ok((version(cells)?, cells.bits()?))))
    }
}

impl Writing<'_> {
    /// Keeps a card under its number. False, and nothing is changed, if the number is taken: whoever drew it draws
    /// another one.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Seal`] if it could not be sealed, [`DirectoryError::Store`] if it could not be written.
    pub fn add_conversion(
        &self,
        new: &NewConversion<'_>,
        random: &mut dyn Random,
    ) -> Result<bool, DirectoryError> {
        let clear = Clear::of(new);
        let card = clear.seal(self.secrets(), new.conversion, random)?;
        let NewConversion { index, issuer, account, programme, .. } = *new;
        let (account, programme) = (account.0 as i64, ms(programme.0));
        let (process, version) = (clear.process, clear.version.number());
        let created_ms = ms(self.now_ms());
        let values =
            values![index.0 as i64, ms(issuer.0), account, programme, process, version, card, created_ms];
        if self.sql().run(ADD, values)? == 0 {
            return Ok(false);
        }
        self.note("conversion.added", &clear)?;
        Ok(true)
    }

    /// Keeps another share and another version of the keys for a number: its wallet was enrolled anew. Account and
    /// programme stay. False if there is no such number.
    ///
    /// # Errors
    ///
    /// As [`add_conversion`](Self::add_conversion).
    pub fn replace_conversion(
        &self,
        index: NumberIndex,
        conversion: &Conversion,
        random: &mut dyn Random,
    ) -> Result<bool, DirectoryError> {
        let Some(before) = find(self.sql(), index)? else { return Ok(false) };
        let clear = Clear {
            process: conversion.number.control_digit().map(digit),
            version: conversion.version,
            ..before.clear
        };
        let card = clear.seal(self.secrets(), conversion, random)?;
        let (version, replaced_ms) = (clear.version.number(), ms(self.now_ms()));
        self.sql().run(REPLACE, values![clear.process, version, card, replaced_ms, index.0 as i64])?;
        self.note("conversion.replaced", &clear)?;
        Ok(true)
    }

    /// Forgets a number: its enrolment came to nothing, or the card is over. False if there is no such number.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it could not be written.
    pub fn remove_conversion(&self, index: NumberIndex) -> Result<bool, DirectoryError> {
        let Some(before) = find(self.sql(), index)? else { return Ok(false) };
        self.sql().run(REMOVE, values![index.0 as i64])?;
        self.note("conversion.removed", &before.clear)?;
        Ok(true)
    }

    /// How many cards have a version of the keys.
    pub(super) fn conversions_of(&self, version: KeyVersion) -> Result<u64, DirectoryError> {
        let count = self.sql().one(COUNT_OF, values![version.number()], |cells| cells.bits())?;
        Ok(count.unwrap_or(0))
    }

    fn note(&self, action: &str, clear: &Clear) -> Result<(), DirectoryError> {
        let detail = json!({
            "number_index": clear.index.to_string(), "programme": clear.programme.to_string(),
            "process": clear.process, "key_version": clear.version.number(),
        });
        let (subject, issuer) = (clear.account.to_string(), Some(clear.issuer));
        self.audit(super::Entry { action, subject: &subject, issuer, detail })?;
        Ok(())
    }
}

/// What stands in a row readably, and is sealed with the rest.
#[derive(Clone, Copy)]
struct Clear {
    index: NumberIndex,
    issuer: IssuerId,
    account: AccountId,
    programme: ProgrammeId,
    process: Option<u8>,
    version: KeyVersion,
}

impl Clear {
    fn of(new: &NewConversion<'_>) -> Self {
        let NewConversion { index, issuer, account, programme, conversion } = *new;
        let process = conversion.number.control_digit().map(digit);
        Self { index, issuer, account, programme, process, version: conversion.version }
    }

    fn seal(
        &self,
        keys: &DirectoryKeys,
        conversion: &Conversion,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, DirectoryError> {
        let (tenant, row) = self.place();
        Ok(keys.seals().seal(&place(&tenant, &row), &encode(conversion), random)?)
    }

    fn open(&self, keys: &DirectoryKeys, sealed: &[u8]) -> Result<Conversion, DirectoryError> {
        let (tenant, row) = self.place();
        let opened = keys.seals().open(&place(&tenant, &row), sealed);
        let opened = opened.map_err(|why| DirectoryError::Sealed { what: CARD, why })?;
        let decoded = decode(opened.expose(), self.version);
        // What was sealed was parsed before: another version of the software knows more.
        let as_said = decoded.filter(|card| card.number.control_digit().map(digit) == self.process);
        as_said.ok_or(DirectoryError::Unreadable { what: CARD })
    }

    /// The issuer, and everything else that stands readably. The control digit is one of the sealed number's.
    fn place(&self) -> ([u8; 8], [u8; 26]) {
        let mut row = [0; 26];
        row[..8].copy_from_slice(&self.index.0.to_be_bytes());
        row[8..16].copy_from_slice(&self.account.0.to_be_bytes());
        row[16..24].copy_from_slice(&self.programme.0.to_be_bytes());
        row[24..].copy_from_slice(&self.version.number().to_be_bytes());
        (self.issuer.0.to_be_bytes(), row)
    }
}

fn place<'a>(tenant: &'a [u8], row: &'a [u8]) -> SealPlace<'a> {
    SealPlace { tenant, table: CARD, row, key_version: KEY_VERSION }
}

fn digit(digit: ControlDigit) -> u8 {
    digit.digit() - b'0'
}

/// A row as it stands there.
struct Row {
    clear: Clear,
    card: Vec<u8>,
    created_ms: TimeMs,
    replaced_ms: Option<TimeMs>,
}

impl Row {
    fn read(cells: &mut Cells<'_>) -> Result<Self, StoreError> {
        let clear = Clear {
            index: NumberIndex(cells.bits()?),
            issuer: IssuerId(cells.bits()?),
            account: AccountId(cells.bits()?),
            programme: ProgrammeId(cells.bits()?),
            process: cells.next()?,
            version: version(cells)?,
        };
        let (card, created_ms, replaced_ms) = (cells.next()?, cells.bits()?, cells.bits_or_none()?);
        Ok(Self { clear, card, created_ms, replaced_ms })
    }

    fn open(self, keys: &DirectoryKeys) -> Result<StoredConversion, DirectoryError> {
        let Self { clear, card, created_ms, replaced_ms } = self;
        let conversion = clear.open(keys, &card)?;
        let Clear { index, issuer, account, programme, .. } = clear;
        Ok(StoredConversion { index, issuer, account, programme, conversion, created_ms, replaced_ms })
    }
}

fn find(sql: &Sql, index: NumberIndex) -> Result<Option<Row>, StoreError> {
    sql.one(FIND, values![index.0 as i64], Row::read)
}

fn version(cells: &mut Cells<'_>) -> Result<KeyVersion, StoreError> {
    cells.code(KeyVersion::from_number)
}

/// `form | kind | lp(number) | lp(PAN) | date u16 | secret (0 or 16)`, where the kind is 0 for a card's own number and 1
/// for one in its place.
fn encode(conversion: &Conversion) -> Zeroizing<Vec<u8>> {
    let Conversion { number, pan, expiry, secret, .. } = conversion;
    // Reserved whole at once: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(CARD_BYTES_MAX));
    bytes.extend([FORM, u8::from(matches!(number, CardNumber::Pseudo(_)))]);
    for digits in [number.pan().digits(), pan.digits()] {
        // A number has at most 19 digits.
        bytes.push(digits.len() as u8);
        bytes.extend(digits);
    }
    bytes.extend(expiry.value().to_be_bytes());
    bytes.extend(secret.iter().flat_map(|secret| secret.expose()));
    bytes
}

fn decode(bytes: &[u8], version: KeyVersion) -> Option<Conversion> {
    let (&[FORM, kind], rest) = bytes.split_first_chunk()? else { return None };
    let (number, rest) = pan(rest)?;
    let (pan, rest) = pan(rest)?;
    let (expiry, rest) = rest.split_first_chunk()?;
    let number = match kind {
        0 => CardNumber::Real(number),
        1 => CardNumber::Pseudo(PseudoPan::from_pan(number).ok()?),
        _ => return None,
    };
    let expiry = MonthIndex::from_value(u16::from_be_bytes(*expiry))?;
    let secret = match rest {
        [] => None,
        secret => Some(SecretKey::from_bytes(secret.try_into().ok()?)),
    };
    Some(Conversion { number, pan, expiry, version, secret })
}

fn pan(bytes: &[u8]) -> Option<(Pan, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (digits, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((Pan::parse(digits).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use mayfly_dynamic::Bin;

    use super::*;

    fn card(number: CardNumber, secret: Option<[u8; 16]>) -> Conversion {
        Conversion {
            number,
            pan: Pan::parse("5400001234567892").unwrap(),
            expiry: MonthIndex::new(2027, 12).unwrap(),
            version: KeyVersion::FIRST,
            secret: secret.map(|bytes| SecretKey::from_bytes(&bytes)),
        }
    }

    #[test]
    fn what_is_sealed_keeps_its_form() {
        let bin = Bin::parse("541999").unwrap();
        let number = CardNumber::Pseudo(PseudoPan::new(bin, ControlDigit::Stored, 42));
        let digits = String::from_utf8(number.pan().digits().to_vec()).unwrap();
        let encoded = encode(&card(number, Some([9; 16])));
        let mut expected = b"\x01\x01\x10".to_vec();
        expected.extend(digits.as_bytes());
        expected.extend(b"\x105400001234567892");
        expected.extend((2027u16 * 12 + 11).to_be_bytes());
        expected.extend([9; 16]);
        assert_eq!(*encoded, expected);
        assert!(encoded.len() <= CARD_BYTES_MAX);
    }

    #[test]
    fn what_was_sealed_is_read_again_and_nothing_else_is() {
        let real = CardNumber::Real(Pan::with_check_digit("541999000000000001").unwrap());
        assert_eq!(real.pan().length(), 19);
        for (number, secret) in [(real.clone(), None), (real, Some([7; 16]))] {
            let card = card(number, secret);
            let encoded = encode(&card);
            let again = decode(&encoded, KeyVersion::FIRST).unwrap();
            assert_eq!((&again.number, &again.pan, again.expiry), (&card.number, &card.pan, card.expiry));
            assert_eq!(again.secret.map(|secret| *secret.expose()), secret);
            for length in 0..encoded.len() {
                let without_secret = encoded.len() - 16;
                let is_whole = secret.is_some() && length == without_secret;
                assert_eq!(decode(&encoded[..length], KeyVersion::FIRST).is_some(), is_whole, "{length}");
            }
            for at in [0, 1] {
                let mut other = encoded.clone();
                other[at] = 7;
                assert!(decode(&other, KeyVersion::FIRST).is_none());
            }
        }
    }
}
