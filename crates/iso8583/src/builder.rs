//! A message that is to go out.

use std::fmt;

use zeroize::Zeroizing;

use crate::attribute::Attribute;
use crate::describe::Description;
use crate::dialect::{Dialect, FieldSpec, Length, MtiEncoding};
use crate::ebcdic;
use crate::element::{De, Elements, SECONDARY};
use crate::error::{EncodeError, EncodeReason, Path};
use crate::message::{MESSAGE_LEN_MAX, Message, debug_elements};
use crate::mti::Mti;
use crate::sub_element::{SubElementError, SubElements, push_sub_element};
use crate::wiped::Wiped;
use crate::wire::{Encoding, OddDigit};

/// Room for the contents of a usual message.
const CONTENTS_LEN: usize = 512;

/// What is kept of a content: enough for any that a dialect allows (999 bytes in hexadecimal), and two
/// characters more, so that what is too long stays too long.
const CONTENT_LEN_KEPT: usize = 2_000;

/// A message that is to go out.
///
/// Contents are ASCII text, for attribute `b` hexadecimal text. They are checked when the message is encoded,
/// because a dialect is known only then.
///
/// ```
/// use mayfly_iso8583::{De, Dialect, Message, MessageBuilder, Mti};
///
/// let dialect = Dialect::builtin("ascii87").ok_or("built in")?;
/// let mut request = MessageBuilder::new(Mti::NETWORK_REQUEST);
/// request.set(De::STAN, "17").set(De::NETWORK_CODE, "301");
/// let mut wire = Vec::new();
/// request.encode(dialect, &mut wire)?;
/// assert_eq!(wire, b"\x00\x2d080080200000000000000400000000000000000017301");
///
/// let request = Message::parse(dialect, &wire[2..]).map_err(|failure| failure.error)?;
/// let mut answer = MessageBuilder::answer(&request).ok_or("is an answer itself")?;
/// answer.echo(&request, &[De::STAN, De::NETWORK_CODE]).set(De::RESPONSE_CODE, "00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MessageBuilder {
    mti: Mti,
    /// The elements that are set, see [`De::bit`]; [`SECONDARY`] demands a secondary bitmap.
    present: u128,
    /// By [`De::index`].
    spans: [Span; 128],
    contents: Wiped,
}

#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    len: u16,
}

impl MessageBuilder {
    /// A message without elements.
    pub fn new(mti: Mti) -> Self {
        Self { mti, present: 0, spans: [Span::default(); 128], contents: Wiped::with_capacity(CONTENTS_LEN) }
    }

    /// The answer to a message, without elements; none if the message is an answer itself.
    ///
    /// It has a secondary bitmap if the request had one, because some implementations read a fixed number of
    /// bitmaps.
    pub fn answer(request: &Message<'_>) -> Option<Self> {
        let mut answer = Self::new(request.mti().response()?);
        answer.present = request.present & SECONDARY;
        Some(answer)
    }

    /// The message type indicator.
    pub fn mti(&self) -> Mti {
        self.mti
    }

    /// Changes the message type indicator: for a repeat, say.
    pub fn set_mti(&mut self, mti: Mti) -> &mut Self {
        self.mti = mti;
        self
    }

    /// Sets an element. A fixed length is filled up when the message is encoded: `n` with zeros in front,
    /// text with spaces behind.
    pub fn set(&mut self, element: De, content: &str) -> &mut Self {
        self.set_bytes(element, content.as_bytes())
    }

    /// Sets an element to a number.
    pub fn set_number(&mut self, element: De, number: u64) -> &mut Self {
        let mut digits = [b'0'; 20];
        let mut start = digits.len();
        let mut rest = number;
        while start == digits.len() || rest > 0 {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.set_bytes(element, &digits[start..])
    }

    /// Sets an element of attribute `b`.
    pub fn set_binary(&mut self, element: De, content: &[u8]) -> &mut Self {
        let kept = &content[..content.len().min(CONTENT_LEN_KEPT)];
        let mut hex = Wiped::with_capacity(kept.len() * 2);
        // Raw bytes can't fail to decode.
        let _ = Encoding::Raw.decode(OddDigit::LeftZero, kept.len() * 2, kept, hex.reserve(0));
        self.set_bytes(element, hex.as_slice())
    }

    /// Sets an element to sub-elements, in this order.
    ///
    /// # Errors
    ///
    /// If one of them can't be written; then the element stays as it was.
    pub fn set_sub_elements(
        &mut self,
        element: De,
        sub_elements: &[(u8, &str)],
    ) -> Result<&mut Self, SubElementError> {
        let capacity = sub_elements.iter().map(|(_, data)| 4 + data.len()).sum();
        let mut content = Zeroizing::new(String::with_capacity(capacity));
        for (id, data) in sub_elements {
            push_sub_element(&mut content, *id, data)?;
        }
        Ok(self.set(element, &content))
    }

    /// Copies those of these elements that the message has.
    pub fn echo(&mut self, message: &Message<'_>, elements: &[De]) -> &mut Self {
        for element in elements {
            if let Some(content) = message.bytes(*element) {
                self.set_bytes(*element, content);
            }
        }
        self
    }

    /// Takes an element out again.
    pub fn remove(&mut self, element: De) -> &mut Self {
        self.present &= !element.bit();
        self
    }

    /// The elements that are set, in ascending order.
    pub fn elements(&self) -> Elements {
        Elements::of(self.present)
    }

    /// Whether an element is set.
    pub fn has(&self, element: De) -> bool {
        self.present & element.bit() != 0
    }

    /// The content of an element as it was set, before it is filled up. None also for what is not ASCII and
    /// can't be encoded.
    pub fn text(&self, element: De) -> Option<&str> {
        self.has(element).then(|| std::str::from_utf8(self.content(element)).ok())?
    }

    /// Appends the message with the header of its dialect.
    ///
    /// # Errors
    ///
    /// Names the element that the dialect does not allow. Then nothing is appended.
    pub fn encode(&self, dialect: &Dialect, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let header = dialect.header();
        let start = out.len();
        out.extend_from_slice(&[0; 4][..header.header_len()]);
        let body = out.len();
        let encoded = self.encode_body(dialect, out).and_then(|()| {
            let too_long = EncodeError { path: Path::Message, reason: EncodeReason::MessageTooLong };
            header.encode(out.len() - body).ok_or(too_long)
        });
        match encoded {
            Ok(length) => out[start..body].copy_from_slice(&length[..header.header_len()]),
            Err(_) => out.truncate(start),
        }
        encoded.map(|_| ())
    }

    /// Appends the message without a header.
    ///
    /// # Errors
    ///
    /// Names the element that the dialect does not allow. Then nothing is appended.
    pub fn encode_body(&self, dialect: &Dialect, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let encoded = self.append(dialect, out).and_then(|()| {
            let fits = out.len() - start <= MESSAGE_LEN_MAX;
            fits.then_some(())
                .ok_or(EncodeError { path: Path::Message, reason: EncodeReason::MessageTooLong })
        });
        if encoded.is_err() {
            out.truncate(start);
        }
        encoded
    }

    /// The message for people to read, with everything secret masked.
    pub fn describe<'a>(&'a self, dialect: &'a Dialect) -> Description<'a> {
        Description::of_builder(self, dialect)
    }

    fn set_bytes(&mut self, element: De, content: &[u8]) -> &mut Self {
        let kept = &content[..content.len().min(CONTENT_LEN_KEPT)];
        let start = self.contents.len() as u32;
        self.contents.reserve(kept.len()).extend_from_slice(kept);
        self.spans[element.index()] = Span { start, len: kept.len() as u16 };
        self.present |= element.bit();
        self
    }

    fn content(&self, element: De) -> &[u8] {
        let Span { start, len } = self.spans[element.index()];
        let start = start as usize;
        self.contents.as_slice().get(start..start + usize::from(len)).unwrap_or_default()
    }

    fn append(&self, dialect: &Dialect, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut bitmap = self.present;
        if dialect.secondary_always || bitmap as u64 != 0 {
            bitmap |= SECONDARY;
        }
        append_mti(dialect.mti, self.mti, out);
        dialect.bitmap.encode((bitmap >> 64) as u64, out);
        if bitmap & SECONDARY != 0 {
            dialect.bitmap.encode(bitmap as u64, out);
        }
        for element in self.elements() {
            let wrong = |reason| EncodeError { path: Path::Element(element), reason };
            let field = dialect.field(element).ok_or(wrong(EncodeReason::Unspecified))?;
            append_content(field, self.content(element), out).map_err(|reason| match reason {
                EncodeReason::SubElements(error) => {
                    EncodeError { path: Path::of_sub_element(element, error), reason }
                }
                _ => wrong(reason),
            })?;
        }
        Ok(())
    }
}

fn append_mti(encoding: MtiEncoding, mti: Mti, out: &mut Vec<u8>) {
    let digits = mti.digits();
    match encoding {
        MtiEncoding::Ascii => out.extend_from_slice(&digits),
        MtiEncoding::Ebcdic => out.extend_from_slice(&digits.map(ebcdic::from_ascii)),
        MtiEncoding::Bcd => {
            let [a, b, c, d] = digits.map(|digit| digit & 0xf);
            out.extend_from_slice(&[a << 4 | b, c << 4 | d]);
        }
    }
}

fn append_content(field: &FieldSpec, text: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeReason> {
    let attribute = field.attribute;
    if !attribute.allows(text) {
        return Err(EncodeReason::Attribute(attribute));
    }
    if attribute == Attribute::Binary && text.len() % 2 == 1 {
        return Err(EncodeReason::OddHex);
    }
    if field.sub_elements {
        SubElements::check(std::str::from_utf8(text).unwrap_or_default())
            .map_err(EncodeReason::SubElements)?;
    }
    match field.length {
        Length::Fixed(len) if text.len() == usize::from(len) => field.encoding.encode(field.odd, text, out),
        Length::Fixed(len) => append_padded(field, len, text, out)?,
        Length::Variable { prefix, digits, max } => {
            if text.len() > usize::from(max) {
                return Err(EncodeReason::TooLong { length_max: max });
            }
            prefix.encode(digits, text.len() as u16 / field.chars_per_unit(), out);
            field.encoding.encode(field.odd, text, out);
        }
    }
    Ok(())
}

/// Fills a content up to its fixed length, in the characters of ASCII, before it is encoded.
fn append_padded(field: &FieldSpec, length: u16, text: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeReason> {
    let Some(missing) = usize::from(length).checked_sub(text.len()) else {
        return Err(EncodeReason::TooLong { length_max: length });
    };
    let mut filled = Wiped::with_capacity(usize::from(length));
    let content = filled.reserve(0);
    match field.attribute {
        Attribute::Numeric => {
            content.resize(missing, b'0');
            content.extend_from_slice(text);
        }
        Attribute::Alphabetic | Attribute::Alphanumeric | Attribute::Text | Attribute::NumericSpecial => {
            content.extend_from_slice(text);
            content.resize(usize::from(length), b' ');
        }
        Attribute::Track | Attribute::SignedNumeric | Attribute::Binary => {
            return Err(EncodeReason::TooShort { length });
        }
    }
    field.encoding.encode(field.odd, filled.as_slice(), out);
    Ok(())
}

/// An owned copy of all elements.
impl From<&Message<'_>> for MessageBuilder {
    fn from(message: &Message<'_>) -> Self {
        let mut copy = Self::new(message.mti());
        for element in message.elements() {
            if let Some(content) = message.bytes(element) {
                copy.set_bytes(element, content);
            }
        }
        copy.present |= message.present & SECONDARY;
        copy
    }
}

/// Shows which elements are set, never what they hold.
impl fmt::Debug for MessageBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_elements("MessageBuilder", self.mti, self.elements(), f)
    }
}
