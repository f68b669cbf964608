//! The standard's attributes: which characters a data element may hold.

use std::fmt;

/// Which characters a data element may hold, in the standard's notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `n`: digits.
    Numeric,
    /// `a`: letters, and the space that pads them.
    Alphabetic,
    /// `an`: letters, digits, and the space that pads them.
    Alphanumeric,
    /// `ans`: everything that ASCII can print.
    Text,
    /// `ns`: digits and special characters, no letters.
    NumericSpecial,
    /// `z`: tracks 2 and 3: digits and the separators `:` to `?`, and `D` for the `=` of systems that pack
    /// digits.
    Track,
    /// `x+n`: `C` (credit) or `D` (debit), then digits.
    SignedNumeric,
    /// `b`: bytes; as text, two hexadecimal digits for each.
    Binary,
}

impl Attribute {
    /// The attribute that this notation means.
    pub(crate) fn parse(notation: &str) -> Option<Self> {
        Some(match notation {
            "n" => Self::Numeric,
            "a" => Self::Alphabetic,
            "an" => Self::Alphanumeric,
            "ans" => Self::Text,
            "ns" => Self::NumericSpecial,
            "z" => Self::Track,
            "x+n" => Self::SignedNumeric,
            "b" => Self::Binary,
            _ => return None,
        })
    }

    /// Whether the attribute allows this content.
    pub(crate) fn allows(self, content: &[u8]) -> bool {
        match (self, content) {
            (Self::SignedNumeric, [b'C' | b'D', digits @ ..]) => all_of(NUMERIC, digits),
            (Self::SignedNumeric, _) => false,
            _ => all_of(self.flag(), content),
        }
    }

    fn flag(self) -> u8 {
        match self {
            Self::Numeric | Self::SignedNumeric => NUMERIC,
            Self::Alphabetic => ALPHABETIC,
            Self::Alphanumeric => ALPHANUMERIC,
            Self::Text => TEXT,
            Self::NumericSpecial => NUMERIC_SPECIAL,
            Self::Track => TRACK,
            Self::Binary => HEX,
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Numeric => "n",
            Self::Alphabetic => "a",
            Self::Alphanumeric => "an",
            Self::Text => "ans",
            Self::NumericSpecial => "ns",
            Self::Track => "z",
            Self::SignedNumeric => "x+n",
            Self::Binary => "b",
        })
    }
}

/// Whether every byte belongs to the flag's set. No early exit: contents are short, and a branch for each
/// byte costs more.
fn all_of(flag: u8, content: &[u8]) -> bool {
    content.iter().fold(flag, |flags, byte| flags & FLAGS[usize::from(*byte)]) != 0
}

const NUMERIC: u8 = 1;
const ALPHABETIC: u8 = 2;
const ALPHANUMERIC: u8 = 4;
const TEXT: u8 = 8;
const NUMERIC_SPECIAL: u8 = 16;
const TRACK: u8 = 32;
const HEX: u8 = 64;

/// For each byte the sets to which it belongs.
static FLAGS: [u8; 256] = {
    let mut flags = [0; 256];
    let mut byte = 0x20_u8;
    while byte <= 0x7e {
        flags[byte as usize] = TEXT | flags_of(byte);
        byte += 1;
    }
    flags
};

const fn flags_of(byte: u8) -> u8 {
    let mut flags = 0;
    if byte.is_ascii_digit() {
        flags |= NUMERIC;
    }
    if byte.is_ascii_alphabetic() || byte == b' ' {
        flags |= ALPHABETIC;
    }
    if byte.is_ascii_alphanumeric() || byte == b' ' {
        flags |= ALPHANUMERIC;
    }
    if !byte.is_ascii_alphabetic() {
        flags |= NUMERIC_SPECIAL;
    }
    if matches!(byte, b'0'..=b'?' | b'D') {
        flags |= TRACK;
    }
    if byte.is_ascii_hexdigit() {
        flags |= HEX;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Attribute, &str); 8] = [
        (Attribute::Numeric, "0123456789"),
        (Attribute::Alphabetic, "Az "),
        (Attribute::Alphanumeric, "Az 09"),
        (Attribute::Text, "Az 09~!=/"),
        (Attribute::NumericSpecial, "09 /-="),
        (Attribute::Track, "0123456789:;<=>?D"),
        (Attribute::SignedNumeric, "C00000012"),
        (Attribute::Binary, "0189abcdefABCDEF"),
    ];

    #[test]
    fn each_attribute_allows_its_characters() {
        for (attribute, content) in ALL {
            assert!(attribute.allows(content.as_bytes()), "{attribute}");
            assert_eq!(Attribute::parse(&attribute.to_string()), Some(attribute));
        }
    }

    #[test]
    fn no_attribute_allows_what_is_not_printable() {
        for (attribute, _) in ALL {
            for byte in [0x00, 0x1f, 0x7f, 0x80, 0xff] {
                assert!(!attribute.allows(&[byte]), "{attribute} {byte}");
            }
        }
    }

    #[test]
    fn attributes_refuse_their_neighbours() {
        assert!(!Attribute::Numeric.allows(b"12a"));
        assert!(!Attribute::Alphabetic.allows(b"a1"));
        assert!(!Attribute::Alphanumeric.allows(b"a-1"));
        assert!(!Attribute::NumericSpecial.allows(b"1a"));
        assert!(!Attribute::Track.allows(b"1E"));
        assert!(!Attribute::SignedNumeric.allows(b"E1"));
        assert!(!Attribute::SignedNumeric.allows(b""));
        assert!(!Attribute::Binary.allows(b"0g"));
        assert_eq!(Attribute::parse("N"), None);
    }
}
