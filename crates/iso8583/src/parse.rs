//! Reads a message in one walk.

use crate::attribute::Attribute;
use crate::dialect::{Dialect, FieldSpec, Length, MtiEncoding};
use crate::ebcdic;
use crate::element::{De, Elements, SECONDARY};
use crate::error::{ParseError, ParseReason, Path};
use crate::message::{MESSAGE_LEN_MAX, Message, ParseFailure, Span};
use crate::mti::Mti;
use crate::sub_element::SubElements;
use crate::wiped::Wiped;
use crate::wire::Encoding;

pub(crate) fn parse<'a>(dialect: &'a Dialect, input: &'a [u8]) -> Result<Message<'a>, ParseFailure<'a>> {
    let unreadable = |error| ParseFailure { error, partial: None };
    if input.len() > MESSAGE_LEN_MAX {
        return Err(unreadable(fault(Path::Message, ParseReason::MessageTooLong)));
    }
    let mut reader = Reader { input, position: 0 };
    let mti = read_mti(dialect, &mut reader).map_err(unreadable)?;
    let mut message = Message {
        dialect,
        input,
        decoded: Wiped::default(),
        present: 0,
        in_decoded: 0,
        spans: [Span::default(); 128],
        mti,
    };
    match read_elements(&mut message, &mut reader) {
        Ok(()) => Ok(message),
        Err(error) => Err(ParseFailure { error, partial: Some(Box::new(message)) }),
    }
}

fn fault(path: Path, reason: ParseReason) -> ParseError {
    ParseError { path, reason }
}

struct Reader<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ParseReason> {
        let end = self.position + len;
        let taken = self.input.get(self.position..end).ok_or(ParseReason::Truncated)?;
        self.position = end;
        Ok(taken)
    }
}

fn read_mti(dialect: &Dialect, reader: &mut Reader<'_>) -> Result<Mti, ParseError> {
    let wrong = |reason| fault(Path::Mti, reason);
    let len = if dialect.mti == MtiEncoding::Bcd { 2 } else { 4 };
    let wire = reader.take(len).map_err(wrong)?;
    let digits = match (dialect.mti, wire) {
        (MtiEncoding::Ascii, &[a, b, c, d]) => [a, b, c, d],
        (MtiEncoding::Ebcdic, &[a, b, c, d]) => [a, b, c, d].map(ebcdic::to_ascii),
        (_, &[high, low, ..]) => [high >> 4, high & 0xf, low >> 4, low & 0xf].map(|nibble| b'0' + nibble),
        _ => return Err(wrong(ParseReason::Truncated)),
    };
    Mti::from_digits(digits).ok_or(wrong(ParseReason::NotDigits))
}

fn read_bitmap(dialect: &Dialect, reader: &mut Reader<'_>, path: Path) -> Result<u128, ParseError> {
    let wire = reader.take(dialect.bitmap.wire_len()).map_err(|reason| fault(path, reason))?;
    dialect.bitmap.decode(wire).map(u128::from).ok_or(fault(path, ParseReason::NotHex))
}

/// Reads bitmaps and elements into the message.
///
/// A wrong content does not hinder the walk, because its length is known; a wrong length does.
fn read_elements(message: &mut Message<'_>, reader: &mut Reader<'_>) -> Result<(), ParseError> {
    let dialect = message.dialect;
    let mut bitmap = read_bitmap(dialect, reader, Path::Bitmap)? << 64;
    if bitmap & SECONDARY != 0 {
        bitmap |= read_bitmap(dialect, reader, Path::SecondaryBitmap)?;
        message.present = SECONDARY;
    }
    let mut first = Ok(());
    for element in Elements::of(bitmap) {
        let path = Path::Element(element);
        let stop = |reason| first.and(Err(fault(path, reason)));
        let Some(field) = dialect.field(element) else { return stop(ParseReason::Unspecified) };
        let content = match read_content(field, reader) {
            Ok(content) => content,
            Err(reason) => return stop(reason),
        };
        let read = store(message, element, field, &content);
        first = first.and(read);
    }
    if reader.position < reader.input.len() {
        return first.and(Err(fault(Path::Message, ParseReason::TrailingBytes)));
    }
    first
}

/// A content on the wire.
struct Content<'a> {
    start: usize,
    wire: &'a [u8],
    chars: u16,
}

fn read_content<'a>(field: &FieldSpec, reader: &mut Reader<'a>) -> Result<Content<'a>, ParseReason> {
    let chars = match field.length {
        Length::Fixed(chars) => chars,
        Length::Variable { prefix, digits, max } => {
            let wire = reader.take(prefix.wire_len(digits))?;
            let length = prefix.decode(wire).ok_or(ParseReason::LengthNotANumber)?;
            let length_max = max / field.chars_per_unit();
            if length > length_max {
                return Err(ParseReason::TooLong { length, length_max });
            }
            length * field.chars_per_unit()
        }
    };
    let start = reader.position;
    let wire = reader.take(field.encoding.wire_len(usize::from(chars)))?;
    Ok(Content { start, wire, chars })
}

/// Checks a content and makes it part of the message.
fn store(
    message: &mut Message<'_>,
    element: De,
    field: &FieldSpec,
    content: &Content<'_>,
) -> Result<(), ParseError> {
    let wrong = |reason| fault(Path::Element(element), reason);
    let (start, in_decoded) = match field.encoding {
        Encoding::Ascii => (content.start, 0),
        encoding => {
            let start = message.decoded.len();
            // Enough for all that may follow: decoding at most doubles.
            let room = (message.input.len() - content.start) * 2;
            let decoded = message.decoded.reserve(room);
            let chars = usize::from(content.chars);
            encoding.decode(field.odd, chars, content.wire, decoded).map_err(wrong)?;
            (start, element.bit())
        }
    };
    let buffer = if in_decoded == 0 { message.input } else { message.decoded.as_slice() };
    let text = &buffer[start..start + usize::from(content.chars)];
    if !field.attribute.allows(text) {
        return Err(wrong(ParseReason::Attribute(field.attribute)));
    }
    if field.attribute == Attribute::Binary && text.len() % 2 == 1 {
        return Err(wrong(ParseReason::OddHex));
    }
    if field.sub_elements {
        let text = std::str::from_utf8(text).unwrap_or_default();
        SubElements::check(text)
            .map_err(|error| fault(Path::of_sub_element(element, error), ParseReason::SubElements(error)))?;
    }
    message.spans[element.index()] = Span { start: start as u16, len: content.chars };
    message.present |= element.bit();
    message.in_decoded |= in_decoded;
    Ok(())
}
