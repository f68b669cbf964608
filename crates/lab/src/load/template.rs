//! A message that is sent again and again with other numbers in it, and how its answers look.

use std::ops::Range;

use mayfly_card::{Expiry, Pan};
use mayfly_iso8583::{De, Dialect, Message, MessageBuilder};

use super::LoadError;

/// A message as bytes, with the places where each sending differs.
#[derive(Clone)]
pub(super) struct Template {
    pub(super) dialect: &'static Dialect,
    wire: Vec<u8>,
    pan: Range<usize>,
    stan: Range<usize>,
    expiry: Range<usize>,
    rrn: Range<usize>,
}

impl Template {
    pub(super) fn new(
        dialect: &'static Dialect,
        message: &MessageBuilder,
        (pan, expiry): &(Pan, Expiry),
    ) -> Result<Self, LoadError> {
        let mut message = message.clone();
        message
            .set(De::PAN, pan.as_str())
            .set(De::EXPIRATION_DATE, &expiry.yymm())
            .set(De::STAN, "0")
            .set(De::RRN, "0");
        let mut wire = Vec::new();
        message.encode(dialect, &mut wire).map_err(LoadError::Encode)?;
        let header = dialect.header().header_len();
        let body = wire.get(header..).unwrap_or_default();
        let read = Message::parse(dialect, body).map_err(|_| LoadError::Template)?;
        let place = |element| {
            let found = place_of(body, read.bytes(element)).ok_or(LoadError::Template)?;
            Ok(found.start + header..found.end + header)
        };
        let [pan, stan, expiry, rrn] =
            [place(De::PAN)?, place(De::STAN)?, place(De::EXPIRATION_DATE)?, place(De::RRN)?];
        drop(read);
        Ok(Self { dialect, wire, pan, stan, expiry, rrn })
    }

    /// Appends one sending.
    pub(super) fn append(&self, (pan, expiry): &(Pan, Expiry), stan: u32, reference: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.wire);
        let message = &mut out[start..];
        message[self.pan.clone()].copy_from_slice(pan.digits());
        let [m, n, y, z] = expiry.mmyy_bytes();
        message[self.expiry.clone()].copy_from_slice(&[y, z, m, n]);
        decimal(stan, &mut message[self.stan.clone()]);
        base_32(reference, &mut message[self.rrn.clone()]);
    }
}

/// Where a content stands in the bytes from which it was read; nowhere, if it had to be decoded.
fn place_of(body: &[u8], content: Option<&[u8]>) -> Option<Range<usize>> {
    let content = content?;
    let start = (content.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let place = start..start.checked_add(content.len())?;
    (body.get(place.clone())? == content).then_some(place)
}

fn decimal(mut value: u32, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Twelve letters and digits carry sixty bits.
fn base_32(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(value % 32) as usize];
        value /= 32;
    }
}

/// How long MTI and primary bitmap are in ASCII.
const HEAD_LEN: usize = 20;

/// Recognises answers. All answers to one template that have the same elements have them at the same places.
#[derive(Default)]
pub(super) struct Answers {
    known: Vec<Layout>,
}

struct Layout {
    head: [u8; HEAD_LEN],
    len: usize,
    stan: Range<usize>,
    code: Range<usize>,
}

impl Answers {
    /// STAN and response code of an answer.
    pub(super) fn read(&mut self, dialect: &Dialect, body: &[u8]) -> Option<(u32, [u8; 2])> {
        let head = body.first_chunk::<HEAD_LEN>()?;
        let known = self.known.iter().find(|layout| layout.len == body.len() && layout.head == *head);
        let (stan, code) = match known {
            Some(Layout { stan, code, .. }) => (stan.clone(), code.clone()),
            None => self.learn(dialect, head, body)?,
        };
        let number = |value: u32, digit: &u8| value.wrapping_mul(10) + u32::from(digit.wrapping_sub(b'0'));
        Some((body.get(stan)?.iter().fold(0, number), *body.get(code)?.first_chunk()?))
    }

    fn learn(
        &mut self,
        dialect: &Dialect,
        head: &[u8; HEAD_LEN],
        body: &[u8],
    ) -> Option<(Range<usize>, Range<usize>)> {
        let answer = Message::parse(dialect, body).ok()?;
        let stan = place_of(body, answer.bytes(De::STAN))?;
        let code = place_of(body, answer.bytes(De::RESPONSE_CODE))?;
        // An approval, a decline, and what else a server may think of: a few.
        self.known.truncate(15);
        self.known.push(Layout { head: *head, len: body.len(), stan: stan.clone(), code: code.clone() });
        Some((stan, code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mayfly_card::MinorUnits;

    use crate::{Acceptor, Card, Register};

    fn card(digits: &str) -> (Pan, Expiry) {
        (Pan::parse(digits).unwrap(), Expiry::parse_yymm("2912").unwrap())
    }

    fn purchase() -> MessageBuilder {
        let (pan, expiry) = card("4569409360110520");
        let card = Card { pan, expiry, cvc2: None };
        let mut register = Register::new(Acceptor::web_shop("SHOP").unwrap());
        register.authorisation(1_700_000_000_000, &card, MinorUnits::new(2498).unwrap())
    }

    #[test]
    fn what_is_patched_reads_as_it_should() {
        let dialect = Dialect::builtin("ascii87").unwrap();
        let template = Template::new(dialect, &purchase(), &card("4569409360110520")).unwrap();
        let mut wire = Vec::new();
        template.append(&card("4761739001010119"), 123_456, u64::MAX >> 4, &mut wire);
        let message = Message::parse(dialect, &wire[2..]).unwrap();
        assert_eq!(message.text(De::PAN), Some("4761739001010119"));
        assert_eq!(message.text(De::STAN), Some("123456"));
        assert_eq!(message.text(De::EXPIRATION_DATE), Some("2912"));
        assert_eq!(message.text(De::RRN), Some("ZZZZZZZZZZZZ"));
        assert_eq!(message.text(De::AMOUNT), Some("000000002498"));
    }

    #[test]
    fn answers_are_read_by_their_places() {
        let dialect = Dialect::builtin("ascii87").unwrap();
        let mut answers = Answers::default();
        for (stan, code) in [(17, "00"), (18, "00"), (999_999, "05")] {
            let mut answer = purchase();
            answer
                .set_mti(answer.mti().response().unwrap())
                .set_number(De::STAN, stan)
                .set(De::RESPONSE_CODE, code);
            let mut body = Vec::new();
            answer.encode_body(dialect, &mut body).unwrap();
            let read = answers.read(dialect, &body).unwrap();
            assert_eq!((u64::from(read.0), read.1.as_slice()), (stan, code.as_bytes()));
        }
        assert_eq!(answers.known.len(), 1);
        assert_eq!(answers.read(dialect, b"0110"), None);
        assert_eq!(answers.read(dialect, b"0110000000000000000000"), None);
    }

    #[test]
    fn other_dialects_are_refused() {
        let dialect = Dialect::builtin("binary87").unwrap();
        let refused = Template::new(dialect, &purchase(), &card("4569409360110520"));
        assert!(matches!(refused, Err(LoadError::Template)));
    }
}
