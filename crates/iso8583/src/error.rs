//! What can be wrong with a message, and where. Errors never hold contents, so that they may be logged.

use std::fmt;

use crate::{Attribute, De, SubElementError};

/// Where in a message something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The message as a whole.
    Message,
    /// The message type indicator.
    Mti,
    /// The primary bitmap.
    Bitmap,
    /// The secondary bitmap.
    SecondaryBitmap,
    /// A data element.
    Element(De),
    /// A sub-element of a data element.
    SubElement(De, u8),
}

impl Path {
    /// The path of what is wrong with the sub-elements of a data element.
    pub(crate) fn of_sub_element(element: De, error: SubElementError) -> Self {
        error.id().map_or(Self::Element(element), |id| Self::SubElement(element, id))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message => f.write_str("message"),
            Self::Mti => f.write_str("MTI"),
            Self::Bitmap => f.write_str("primary bitmap"),
            Self::SecondaryBitmap => f.write_str("secondary bitmap"),
            Self::Element(element) => element.fmt(f),
            Self::SubElement(element, id) => write!(f, "{element}.{id:02}"),
        }
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where.
    pub path: Path,
    /// Why.
    pub reason: ParseReason,
}

/// What is wrong at the [`Path`] of a [`ParseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseReason {
    /// The message is longer than [`MESSAGE_LEN_MAX`](crate::MESSAGE_LEN_MAX).
    MessageTooLong,
    /// The message ends before this does.
    Truncated,
    /// The MTI is not four digits.
    NotDigits,
    /// The bitmap is not hexadecimal text.
    NotHex,
    /// The length prefix is not a number.
    LengthNotANumber,
    /// The length prefix says more than the dialect allows.
    TooLong {
        /// What the prefix says.
        length: u16,
        /// What the dialect allows.
        length_max: u16,
    },
    /// The length prefix counts an odd number of hexadecimal digits.
    OddHex,
    /// The content has a character that the attribute does not allow.
    Attribute(Attribute),
    /// The nibble that pads an odd count of digits is not the dialect's.
    OddDigit,
    /// The content should be sub-elements and is not.
    SubElements(SubElementError),
    /// The bitmap announces a data element that the dialect does not specify.
    Unspecified,
    /// Bytes are left after the last data element.
    TrailingBytes,
}

impl fmt::Display for ParseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageTooLong => write!(f, "is longer than {} bytes", crate::MESSAGE_LEN_MAX),
            Self::Truncated => f.write_str("is cut off"),
            Self::NotDigits => f.write_str("is not four digits"),
            Self::NotHex => f.write_str("is not hexadecimal"),
            Self::LengthNotANumber => f.write_str("has a length that is not a number"),
            Self::TooLong { length, length_max } => {
                write!(f, "has length {length}, but at most {length_max} are allowed")
            }
            Self::OddHex => f.write_str("has an odd number of hexadecimal digits"),
            Self::Attribute(attribute) => write!(f, "has a character that is not \"{attribute}\""),
            Self::OddDigit => f.write_str("has the wrong padding before or after an odd count of digits"),
            Self::SubElements(error) => error.fmt(f),
            Self::Unspecified => f.write_str("is not specified in this dialect"),
            Self::TrailingBytes => f.write_str("goes on after the last data element"),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.reason)
    }
}

impl std::error::Error for ParseError {}

/// Why a message can't be written in a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// Where.
    pub path: Path,
    /// Why.
    pub reason: EncodeReason,
}

/// What is wrong at the [`Path`] of an [`EncodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeReason {
    /// The dialect does not specify this data element.
    Unspecified,
    /// The content has a character that the attribute does not allow.
    Attribute(Attribute),
    /// The content is longer than the dialect allows.
    TooLong {
        /// What the dialect allows, in characters.
        length_max: u16,
    },
    /// The content is shorter than the dialect demands, and its attribute (`b`, `z`, `x+n`) has no padding.
    TooShort {
        /// What the dialect demands, in characters.
        length: u16,
    },
    /// The content is an odd number of hexadecimal digits.
    OddHex,
    /// The content should be sub-elements and is not.
    SubElements(SubElementError),
    /// The message is longer than its header can say, or than [`MESSAGE_LEN_MAX`](crate::MESSAGE_LEN_MAX).
    MessageTooLong,
}

impl fmt::Display for EncodeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unspecified => f.write_str("is not specified in this dialect"),
            Self::Attribute(attribute) => write!(f, "has a character that is not \"{attribute}\""),
            Self::TooLong { length_max } => write!(f, "is longer than {length_max} characters"),
            Self::TooShort { length } => write!(f, "is shorter than {length} characters"),
            Self::OddHex => f.write_str("has an odd number of hexadecimal digits"),
            Self::SubElements(error) => error.fmt(f),
            Self::MessageTooLong => f.write_str("is too long"),
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.reason)
    }
}

impl std::error::Error for EncodeError {}
