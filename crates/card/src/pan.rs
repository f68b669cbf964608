//! Primary account numbers.

use std::fmt;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::luhn;

/// A primary account number: 12 to 19 ASCII digits whose last is the Luhn check digit (ISO/IEC 7812-1).
///
/// It shows itself as first six and last four digits, and wipes itself when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Pan {
    digits: [u8; Pan::LENGTH_MAX],
    length: u8,
}

/// Why digits are no card number. None of these says anything about the digits themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanError {
    /// Shorter than 12 or longer than 19 characters.
    Length,
    /// A character that is no digit.
    NotDigits,
    /// The last digit is not the check digit of the others.
    CheckDigit,
}

impl fmt::Display for PanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a card number has 12 to 19 digits",
            Self::NotDigits => "a card number has digits only",
            Self::CheckDigit => "the check digit is wrong",
        })
    }
}

impl std::error::Error for PanError {}

impl Pan {
    /// The fewest digits of a number.
    pub const LENGTH_MIN: usize = 12;
    /// The most digits of a number (ISO/IEC 7812-1).
    pub const LENGTH_MAX: usize = 19;

    /// Parses ASCII digits without separators.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, PanError> {
        let text = text.as_ref();
        if !(Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&text.len()) {
            return Err(PanError::Length);
        }
        if !text.iter().all(u8::is_ascii_digit) {
            return Err(PanError::NotDigits);
        }
        if !luhn::is_valid(text) {
            return Err(PanError::CheckDigit);
        }
        let mut digits = [0; Self::LENGTH_MAX];
        digits[..text.len()].copy_from_slice(text);
        // At most 19, by the check above.
        Ok(Self { digits, length: text.len() as u8 })
    }

    /// The number whose digits before the check digit are `payload`.
    pub fn with_check_digit(payload: impl AsRef<[u8]>) -> Result<Self, PanError> {
        let payload = payload.as_ref();
        let mut digits: ArrayVec<u8, { Self::LENGTH_MAX }> = ArrayVec::new();
        digits.try_extend_from_slice(payload).map_err(|_| PanError::Length)?;
        digits.try_push(luhn::check_digit(payload)).map_err(|_| PanError::Length)?;
        let pan = Self::parse(&digits);
        digits.as_mut_slice().zeroize();
        pan
    }

    /// The digits, as they go into a MAC or a message. Never write them to a log, an error or a file.
    pub fn digits(&self) -> &[u8] {
        &self.digits[..usize::from(self.length)]
    }

    /// The digits as text, with the same warning as [`Pan::digits`].
    pub fn as_str(&self) -> &str {
        // Only ASCII digits were let in, so this is never the fallback.
        std::str::from_utf8(self.digits()).unwrap_or_default()
    }

    /// The last four digits, which may be shown and stored.
    pub fn last_four(&self) -> LastFour {
        let tail = &self.digits()[usize::from(self.length) - 4..];
        LastFour(tail.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
    }

    /// How many digits it has.
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }
}

impl Drop for Pan {
    fn drop(&mut self) {
        self.digits.zeroize();
    }
}

impl fmt::Display for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.as_str();
        let (head, tail) = (&digits[..6], &digits[digits.len() - 4..]);
        f.pad(&format!("{head}{}{tail}", "*".repeat(digits.len() - 10)))
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pan({self})")
    }
}

/// The last four digits of a number: what people are shown of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LastFour(u16);

impl LastFour {
    /// From a stored value; none for a value over 9999.
    pub fn from_value(value: u16) -> Option<Self> {
        (value <= 9999).then_some(Self(value))
    }

    /// As a number of four digits.
    pub fn value(self) -> u16 {
        self.0
    }
}

impl fmt::Display for LastFour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

impl fmt::Debug for LastFour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LastFour({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_shows_six_and_four_digits_only() {
        let pan = Pan::parse("4569409360110520").unwrap();
        assert_eq!(pan.to_string(), "456940******0520");
        assert_eq!(format!("{pan:?}"), "Pan(456940******0520)");
        assert_eq!(pan.last_four().to_string(), "0520");
    }

    #[test]
    fn each_refusal_has_its_reason() {
        assert_eq!(Pan::parse("45694093601"), Err(PanError::Length));
        assert_eq!(Pan::parse("45694093601105201234"), Err(PanError::Length));
        assert_eq!(Pan::parse("4569 409360110520"), Err(PanError::NotDigits));
        assert_eq!(Pan::parse("4569409360110523"), Err(PanError::CheckDigit));
        assert_eq!(Pan::with_check_digit("4569409360110520999"), Err(PanError::Length));
    }
}
