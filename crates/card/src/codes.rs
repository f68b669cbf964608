//! The short codes of card messages, each under the name that ISO 8583 gives it.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use crate::{Ascii, TextError};

macro_rules! ascii_code {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        pub struct $name(Ascii<$max>);

        impl $name {
            /// Parses a field; the spaces that pad it are dropped.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                Ascii::parse(text).map(Self)
            }

            /// The text, without padding; empty where the message had none.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// Whether the message had none.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

ascii_code!(
    /// DE 32, acquiring institution identification code: up to 11 digits.
    AcquirerId,
    11
);
ascii_code!(
    /// DE 37, retrieval reference number: up to 12 characters, the same for all that belongs to one purchase.
    Rrn,
    12
);
ascii_code!(
    /// DE 41, card acceptor terminal identification: up to 8 characters.
    TerminalId,
    8
);
ascii_code!(
    /// DE 42, card acceptor identification code: up to 15 characters, without trailing spaces.
    MerchantId,
    15
);

macro_rules! numeric_code {
    ($(#[$doc:meta])* $name:ident, $digits:literal, $max:literal, $kind:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        pub struct $name($kind);

        impl $name {
            /// Parses the digits of its field.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                if let Some(position) = text.bytes().position(|byte| !byte.is_ascii_digit()) {
                    return Err(TextError::BadCharacter { position });
                }
                text.parse().ok().and_then(Self::from_value).ok_or(TextError::OutOfRange)
            }

            /// From a stored value, if its field can carry it.
            pub fn from_value(value: $kind) -> Option<Self> {
                (value <= $max).then_some(Self(value))
            }

            /// As a number.
            pub fn value(self) -> $kind {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $digits, "}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

numeric_code!(
    /// DE 11, systems trace audit number.
    Stan, 6, 999_999, u32
);
numeric_code!(
    /// DE 18, merchant category code (ISO 18245).
    Mcc, 4, 9999, u16
);
numeric_code!(
    /// DE 19, country of the acquirer, by its number of ISO 3166-1.
    Country, 3, 999, u16
);

/// DE 38, approval code (ISO 8583: authorisation identification response): six digits, as we give it, or six letters and
/// digits, as an issuer may.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ApprovalCode(u32);

impl ApprovalCode {
    /// How many characters it has.
    const LENGTH: usize = 6;
    /// How many have digits only: they stand first, by their value.
    const DIGITS_ONLY: u32 = 1_000_000;
    /// How many there are.
    const COUNT: u32 = Self::DIGITS_ONLY + 36u32.pow(Self::LENGTH as u32);

    /// Parses the six characters of its field; small letters are none of it.
    ///
    /// # Errors
    ///
    /// [`TextError`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let known = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        if let Some(position) = text.bytes().position(|byte| !known(byte)) {
            return Err(TextError::BadCharacter { position });
        }
        if text.len() != Self::LENGTH {
            return Err(TextError::OutOfRange);
        }
        if let Ok(digits) = text.parse() {
            return Ok(Self(digits));
        }
        // Six characters of 36: below the count.
        let value = u32::from_str_radix(text, 36).map_err(|_| TextError::OutOfRange)?;
        Ok(Self(Self::DIGITS_ONLY + value))
    }

    /// From a stored value, if its field can carry it.
    pub fn from_value(value: u32) -> Option<Self> {
        (value < Self::COUNT).then_some(Self(value))
    }

    /// As a number: the digits', or beyond all of those.
    pub fn value(self) -> u32 {
        self.0
    }

    /// The six characters.
    pub fn characters(self) -> [u8; Self::LENGTH] {
        let (mut rest, radix) = match self.0.checked_sub(Self::DIGITS_ONLY) {
            None => (self.0, 10),
            Some(value) => (value, 36),
        };
        let mut characters = [b'0'; Self::LENGTH];
        for place in characters.iter_mut().rev() {
            *place = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(rest % radix) as usize];
            rest /= radix;
        }
        characters
    }
}

impl fmt::Display for ApprovalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.characters().into_iter().try_for_each(|character| f.write_char(character.into()))
    }
}

impl fmt::Debug for ApprovalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// DE 22, point of service entry mode: how the number was read, and whether a PIN could be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PosEntryMode(u16);

impl PosEntryMode {
    /// Typed into a web page, where no PIN could be entered.
    pub const E_COMMERCE: Self = Self(810);

    /// Parses the three digits.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        Country::parse(text).map(|three_digits| Self(three_digits.value()))
    }

    /// As a number of three digits.
    pub fn value(self) -> u16 {
        self.0
    }

    /// Where the card was. Only modes that read the card itself mean that it was present; what is unknown
    /// counts as not present, the channel in which a one-time number is normally used.
    pub fn channel(self) -> Channel {
        match self.0 / 10 {
            2 | 5 | 7 | 90 | 91 => Channel::CardPresent,
            _ => Channel::CardNotPresent,
        }
    }
}

/// Whether a card was read at the point of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Channel {
    /// A stripe or a chip was read.
    CardPresent,
    /// The number was typed, by a clerk or in a web page.
    CardNotPresent,
}

impl Channel {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::CardPresent, Self::CardNotPresent];

    /// Its bit in a set of channels.
    pub fn bit(self) -> u8 {
        match self {
            Self::CardPresent => 1,
            Self::CardNotPresent => 2,
        }
    }

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::CardPresent => "card-present",
            Self::CardNotPresent => "card-not-present",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approval_codes_are_six_characters() {
        for text in ["000000", "004711", "999999", "A1B2C3", "00000A", "ZZZZZZ"] {
            let code = ApprovalCode::parse(text).unwrap();
            assert_eq!(code.to_string(), text);
            assert_eq!(ApprovalCode::from_value(code.value()), Some(code));
        }
        assert_eq!(ApprovalCode::from_value(4711).unwrap().to_string(), "004711");
        assert_eq!(ApprovalCode::from_value(u32::MAX), None);
        for text in ["", "12345", "1234567", "12 456", "abcdef", "+12345"] {
            assert!(ApprovalCode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn entry_modes_tell_the_channel() {
        for (mode, channel) in [
            ("012", Channel::CardNotPresent),
            ("812", Channel::CardNotPresent),
            ("000", Channel::CardNotPresent),
            ("021", Channel::CardPresent),
            ("051", Channel::CardPresent),
            ("071", Channel::CardPresent),
            ("901", Channel::CardPresent),
            ("911", Channel::CardPresent),
        ] {
            assert_eq!(PosEntryMode::parse(mode).unwrap().channel(), channel, "mode {mode}");
        }
    }

    #[test]
    fn codes_keep_their_width() {
        assert_eq!(Stan::parse("000042").unwrap().to_string(), "000042");
        assert_eq!(Mcc::parse("5411").unwrap().to_string(), "5411");
        assert_eq!(Stan::parse("1000000"), Err(TextError::OutOfRange));
        assert_eq!(Stan::parse("12a"), Err(TextError::BadCharacter { position: 2 }));
        assert_eq!(MerchantId::parse("M-001          ").unwrap().as_str(), "M-001");
    }
}
