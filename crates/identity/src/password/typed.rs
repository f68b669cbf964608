//! A password as somebody types it.

use core::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A password as it enters the hash: after NFKC (Unicode Standard Annex 15), so that the same characters typed on
/// another keyboard are the same password (NIST SP 800-63B, section 5.1.1.2). No readable `Debug`, wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

impl Password {
    /// The fewest characters of a new one.
    pub const CHARS_MIN: usize = 8;
    /// The most characters of a new one.
    pub const CHARS_MAX: usize = 128;
    /// The most bytes (UTF-8) of any.
    pub const BYTES_MAX: usize = 1024;

    /// A password that somebody chooses. The caller wipes `text`.
    ///
    /// # Errors
    ///
    /// [`PasswordError`] says what is wrong, without the password.
    pub fn choose(text: &str) -> Result<Self, PasswordError> {
        let password = Self::attempt(text)?;
        match password.0.chars().count() {
            chars if chars < Self::CHARS_MIN => Err(PasswordError::TooShort { chars }),
            chars if chars > Self::CHARS_MAX => Err(PasswordError::TooLong),
            _ => Ok(password),
        }
    }

    /// A password that somebody tries. Only its length is bounded: rules for new ones may have changed since.
    ///
    /// # Errors
    ///
    /// [`PasswordError::TooLong`] if it has more than [`BYTES_MAX`](Self::BYTES_MAX) bytes.
    pub fn attempt(text: &str) -> Result<Self, PasswordError> {
        if text.len() > Self::BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        // Reserved whole at once: growing would leave a copy behind.
        let mut password = Self(String::with_capacity(Self::BYTES_MAX));
        for c in text.nfkc() {
            if password.0.len() + c.len_utf8() > Self::BYTES_MAX {
                return Err(PasswordError::TooLong);
            }
            password.0.push(c);
        }
        Ok(password)
    }

    pub(super) fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why a password was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// It has fewer characters than a new one must have.
    TooShort {
        /// How many it has.
        chars: usize,
    },
    /// It has more characters, or bytes, than one may have.
    TooLong,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { chars } => write!(
                f,
                "the password has {chars} characters; choose one of {} or more",
                Password::CHARS_MIN
            ),
            Self::TooLong => write!(
                f,
                "the password has more than {} characters or {} bytes; choose a shorter one",
                Password::CHARS_MAX,
                Password::BYTES_MAX
            ),
        }
    }
}

impl std::error::Error for PasswordError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_password_has_bounds_and_an_attempt_only_one() {
        let refused = |text: &str| Password::choose(text).err();
        assert_eq!(refused("1234567"), Some(PasswordError::TooShort { chars: 7 }));
        assert_eq!(refused("12345678"), None);
        assert_eq!(refused(&"ä".repeat(128)), None);
        assert_eq!(refused(&"ä".repeat(129)), Some(PasswordError::TooLong));
        assert!(Password::attempt("").is_ok());
        assert!(Password::attempt(&"x".repeat(1024)).is_ok());
        assert_eq!(Password::attempt(&"x".repeat(1025)).err(), Some(PasswordError::TooLong));
        // One character of three bytes that becomes eighteen characters.
        assert_eq!(Password::attempt(&"\u{fdfa}".repeat(341)).err(), Some(PasswordError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,400}") {
            if let Ok(password) = Password::attempt(&text) {
                prop_assert!(password.expose().len() <= Password::BYTES_MAX);
                prop_assert_eq!(password.0.capacity(), Password::BYTES_MAX);
            }
        }
    }
}
