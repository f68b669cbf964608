//! What a cardholder logs in with, and what he is called.

use core::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A cardholder's log-in name: 1 to 64 characters, the same however it is typed.
///
/// It is kept in one form (NFKC, without regard to case), so that two names that look the same to whoever types them
/// are one. An e-mail address is a good one. No readable `Debug`, wiped on drop: it says who somebody is.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LoginName(String);

impl LoginName {
    /// The most characters, in the form in which it is kept.
    pub const CHARS_MAX: usize = 64;

    /// Reads what somebody typed.
    ///
    /// # Errors
    ///
    /// [`NameError`] says what is wrong, without the name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // Folding one character can make room for another composition; it ends after a round or two.
        let mut name = Self(fold(checked_size(text)?));
        for _ in 0..FOLDS_MAX {
            let again = Self(fold(&name.0));
            if again == name {
                return checked(&name.0, Self::CHARS_MAX).map(|()| name);
            }
            name = again;
        }
        Err(NameError::BadCharacter)
    }

    /// The name, in the form in which it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a person is called: 1 to 100 characters, NFC. No readable `Debug`, wiped on drop.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PersonName(String);

impl PersonName {
    /// The most characters.
    pub const CHARS_MAX: usize = 100;

    /// Reads a name as somebody wrote it.
    ///
    /// # Errors
    ///
    /// [`NameError`] says what is wrong, without the name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = Self(checked_size(text)?.nfc().collect());
        checked(&name.0, Self::CHARS_MAX).map(|()| name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginName(..)")
    }
}

impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonName(..)")
    }
}

/// More than any name has; so that nothing long is worked on.
const BYTES_MAX: usize = 1024;
const FOLDS_MAX: usize = 4;

fn checked_size(text: &str) -> Result<&str, NameError> {
    if text.len() > BYTES_MAX {
        Err(NameError::TooLong { chars_max: PersonName::CHARS_MAX })
    } else {
        Ok(text)
    }
}

/// Case folding by way of the capital letters: `ß` and `SS`, `ς` and `Σ` and `σ` are the same in a name.
fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
}

fn checked(name: &str, chars_max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        Err(NameError::Empty)
    } else if name.chars().count() > chars_max {
        Err(NameError::TooLong { chars_max })
    } else if name.chars().any(char::is_control) {
        Err(NameError::BadCharacter)
    } else if name.trim() != name {
        Err(NameError::Space)
    } else {
        Ok(())
    }
}

/// Why a text is no name. Never contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing stands there.
    Empty,
    /// It has too many characters.
    TooLong {
        /// How many it may have.
        chars_max: usize,
    },
    /// It has a control character, such as a line feed.
    BadCharacter,
    /// It begins or ends with a space.
    Space,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty; give one of at least one character"),
            Self::TooLong { chars_max } => {
                write!(f, "the name is too long; give one of at most {chars_max} characters")
            }
            Self::BadCharacter => f.write_str("the name has a control character; leave it out"),
            Self::Space => f.write_str("the name begins or ends with a space; leave it out"),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        let login = |text: &str| LoginName::parse(text).unwrap();
        assert_eq!(login("Ada@Example.com").as_str(), "ada@example.com");
        assert_eq!(login("ＡＤＡ"), login("ada"));
        assert_eq!(login("JOSE\u{301}"), login("josé"));
        assert_eq!(login("STRASSE"), login("straße"));
        assert_eq!(login("ΟΔΟΣ"), login("οδος"));
        assert_ne!(login("ada"), login("ada2"));
    }

    #[test]
    fn a_person_is_called_as_he_writes_it() {
        assert_eq!(PersonName::parse("José d'Ávila").unwrap().as_str(), "José d'Ávila");
        assert_eq!(PersonName::parse("Jose\u{301}").unwrap().as_str(), "José");
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let error = |text: &str| LoginName::parse(text).err();
        assert_eq!(error(""), Some(NameError::Empty));
        assert_eq!(error(&"a".repeat(64)), None);
        assert_eq!(error(&"a".repeat(65)), Some(NameError::TooLong { chars_max: 64 }));
        // 64 characters that are 128 when folded.
        assert_eq!(error(&"ß".repeat(64)), Some(NameError::TooLong { chars_max: 64 }));
        assert_eq!(error("a\nb"), Some(NameError::BadCharacter));
        assert_eq!(error(" ada"), Some(NameError::Space));
        // Becomes a space.
        assert_eq!(error("ada\u{3000}"), Some(NameError::Space));
        assert_eq!(PersonName::parse(&"a".repeat(101)).err(), Some(NameError::TooLong { chars_max: 100 }));
        assert!(PersonName::parse(&"a".repeat(2000)).is_err());
    }

    #[test]
    fn nothing_shows_who_somebody_is() {
        let (login, name) = (LoginName::parse("ada").unwrap(), PersonName::parse("Ada").unwrap());
        assert_eq!(format!("{login:?} {name:?}"), "LoginName(..) PersonName(..)");
    }

    proptest! {
        #[test]
        fn the_form_in_which_it_is_kept_is_kept(text in "\\PC{1,70}") {
            if let Ok(name) = LoginName::parse(&text) {
                prop_assert_eq!(LoginName::parse(name.as_str()), Ok(name));
            }
        }

        #[test]
        fn case_does_not_matter(text in "\\PC{1,40}") {
            if let Ok(name) = LoginName::parse(&text) {
                prop_assert_eq!(LoginName::parse(&text.to_uppercase()), Ok(name));
            }
        }
    }
}
