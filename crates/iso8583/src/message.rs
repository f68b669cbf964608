//! A message that came in.

use std::fmt;

use crate::composite::{CompositeError, OriginalData, ReplacementAmounts};
use crate::describe::Description;
use crate::dialect::Dialect;
use crate::element::{De, Elements, SECONDARY};
use crate::error::ParseError;
use crate::mti::Mti;
use crate::parse;
use crate::sub_element::SubElements;
use crate::wiped::Wiped;

/// The longest message that can be read or written, in bytes and without its header.
pub const MESSAGE_LEN_MAX: usize = 32_767;

/// A message that came in, checked against its dialect.
///
/// It borrows the bytes from which it was parsed. What they hold as ASCII is not copied; packed digits,
/// EBCDIC and raw bytes are decoded into a buffer of the message's own. Contents are always given as ASCII
/// text; those of attribute `b` as hexadecimal.
pub struct Message<'a> {
    pub(crate) dialect: &'a Dialect,
    pub(crate) input: &'a [u8],
    /// What had to be decoded. Empty, and without memory of its own, if everything is ASCII.
    pub(crate) decoded: Wiped,
    /// The elements that are there, see [`De::bit`].
    pub(crate) present: u128,
    /// Those of them that are in `decoded`, not in `input`.
    pub(crate) in_decoded: u128,
    /// By [`De::index`].
    pub(crate) spans: [Span; 128],
    pub(crate) mti: Mti,
}

/// A part of a buffer. 16 bits are enough: decoding at most doubles [`MESSAGE_LEN_MAX`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) len: u16,
}

impl Span {
    fn of(self, buffer: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        buffer.get(start..start + usize::from(self.len)).unwrap_or_default()
    }
}

/// Why bytes are no message, and what could be read of them nevertheless.
#[derive(Debug)]
pub struct ParseFailure<'a> {
    /// What is wrong first.
    pub error: ParseError,
    /// The message type and the elements that could be read, so that the sender can get an answer. None if
    /// not even the message type could be read.
    ///
    /// An element whose content is wrong is not in it, but those behind it are.
    pub partial: Option<Box<Message<'a>>>,
}

impl fmt::Display for ParseFailure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ParseFailure<'_> {}

impl<'a> Message<'a> {
    /// Reads a message, without its header, in one walk.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and what could be read.
    pub fn parse(dialect: &'a Dialect, input: &'a [u8]) -> Result<Self, ParseFailure<'a>> {
        parse::parse(dialect, input)
    }

    /// The dialect in which the message was written.
    pub fn dialect(&self) -> &'a Dialect {
        self.dialect
    }

    /// The message type indicator.
    pub fn mti(&self) -> Mti {
        self.mti
    }

    /// Whether an element is there.
    pub fn has(&self, element: De) -> bool {
        self.present & element.bit() != 0
    }

    /// Whether the message came with a secondary bitmap, be it empty.
    pub fn has_secondary_bitmap(&self) -> bool {
        self.present & SECONDARY != 0
    }

    /// The elements that are there, in ascending order.
    pub fn elements(&self) -> Elements {
        Elements::of(self.present)
    }

    /// The content of an element as ASCII bytes.
    pub fn bytes(&self, element: De) -> Option<&[u8]> {
        let bit = element.bit();
        if self.present & bit == 0 {
            return None;
        }
        let buffer = if self.in_decoded & bit == 0 { self.input } else { self.decoded.as_slice() };
        Some(self.spans[element.index()].of(buffer))
    }

    /// The content of an element.
    pub fn text(&self, element: De) -> Option<&str> {
        // Attributes allow nothing but ASCII, so this never fails.
        std::str::from_utf8(self.bytes(element)?).ok()
    }

    /// The number that an element spells. None if it is not there, is no number, or does not fit.
    pub fn number(&self, element: De) -> Option<u64> {
        let text = self.text(element)?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    }

    /// The sub-elements of an element; none if it is not there.
    ///
    /// For the elements that the dialect lists as `sub_elements` there are no errors: they were checked.
    pub fn sub_elements(&self, element: De) -> SubElements<'_> {
        SubElements::new(self.text(element).unwrap_or_default())
    }

    /// The data of one sub-element.
    pub fn sub_element(&self, element: De, id: u8) -> Option<&str> {
        self.sub_elements(element).map_while(Result::ok).find(|found| found.id == id).map(|found| found.data)
    }

    /// The original data elements (DE 90), if they are there.
    ///
    /// # Errors
    ///
    /// If the element is not made as the standard says.
    pub fn original_data(&self) -> Result<Option<OriginalData>, CompositeError> {
        self.text(De::ORIGINAL_DATA).map(OriginalData::parse).transpose()
    }

    /// The replacement amounts (DE 95), if they are there.
    ///
    /// # Errors
    ///
    /// If the element is not made as the standard says.
    pub fn replacement_amounts(&self) -> Result<Option<ReplacementAmounts>, CompositeError> {
        self.text(De::REPLACEMENT_AMOUNTS).map(ReplacementAmounts::parse).transpose()
    }

    /// The message for people to read, with everything secret masked.
    pub fn describe(&self) -> Description<'_> {
        Description::of_message(self)
    }
}

/// Shows which elements are there, never what they hold.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_elements("Message", self.mti, self.elements(), f)
    }
}

pub(crate) fn debug_elements(
    name: &str,
    mti: Mti,
    elements: Elements,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let numbers: Vec<u8> = elements.map(De::number).collect();
    write!(f, "{name}({mti}, {numbers:?})")
}
