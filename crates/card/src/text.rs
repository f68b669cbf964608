//! Short ASCII text that lives inside the value that holds it: no allocation on the money path.

use std::fmt;

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Printable ASCII of at most `N` characters, without spaces around it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ascii<const N: usize>(ArrayString<N>);

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// Longer than the field takes.
    TooLong {
        /// How many characters fit.
        max: usize,
    },
    /// Shorter than it must be, or empty.
    TooShort {
        /// How many characters it must have.
        min: usize,
    },
    /// A character that is not allowed in this field.
    BadCharacter {
        /// Where it stands, from 0.
        position: usize,
    },
    /// A number outside the range of the field.
    OutOfRange,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "is longer than {max} characters"),
            Self::TooShort { min } => write!(f, "is shorter than {min} characters"),
            Self::BadCharacter { position } => {
                write!(f, "has a character that is not allowed, at position {position}")
            }
            Self::OutOfRange => f.write_str("is outside the range of its field"),
        }
    }
}

impl std::error::Error for TextError {}

impl<const N: usize> Ascii<N> {
    /// Parses `text`: spaces around it are dropped (fixed fields of messages are padded with them).
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let text = text.trim_matches(' ');
        if let Some(position) = text.bytes().position(|byte| !(0x20..0x7f).contains(&byte)) {
            return Err(TextError::BadCharacter { position });
        }
        ArrayString::from(text).map(Self).map_err(|_| TextError::TooLong { max: N })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing stands here.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> fmt::Display for Ascii<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<const N: usize> fmt::Debug for Ascii<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl<const N: usize> Serialize for Ascii<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Ascii<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<const N: usize> de::Visitor<'_> for Visitor<N> {
            type Value = Ascii<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "printable ASCII of at most {N} characters")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ascii<N>, E> {
                Ascii::parse(text).map_err(|error| E::custom(format_args!("text {error}")))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_dropped_and_the_rest_kept() {
        assert_eq!(Ascii::<15>::parse("  M 001   ").unwrap().as_str(), "M 001");
    }

    #[test]
    fn each_refusal_has_its_reason() {
        assert_eq!(Ascii::<3>::parse("abcd"), Err(TextError::TooLong { max: 3 }));
        assert_eq!(Ascii::<9>::parse("a\u{7}b"), Err(TextError::BadCharacter { position: 1 }));
        assert_eq!(Ascii::<9>::parse("aé"), Err(TextError::BadCharacter { position: 1 }));
    }
}
