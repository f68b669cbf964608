//! Every way in which bytes can fail to be a message, and a message to become bytes: each with its exact
//! reason.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use mayfly_iso8583::{
    Attribute, De, Dialect, EncodeError, EncodeReason, MESSAGE_LEN_MAX, Message, MessageBuilder, Mti,
    ParseError, ParseReason, Path, SubElementError,
};

fn ascii() -> &'static Dialect {
    Dialect::builtin("ascii87").unwrap()
}

/// Says what is wrong, and which elements could be read nevertheless: none if not even the MTI could.
fn parse(dialect: &Dialect, wire: &[u8]) -> (ParseError, Option<Vec<u8>>) {
    let failure = Message::parse(dialect, wire).unwrap_err();
    (failure.error, failure.partial.map(|partial| partial.elements().map(De::number).collect()))
}

fn error(path: Path, reason: ParseReason) -> ParseError {
    ParseError { path, reason }
}

fn in_element(number: u8, reason: ParseReason) -> ParseError {
    error(Path::Element(De::new(number).unwrap()), reason)
}

#[test]
fn without_an_mti_nothing_is_readable() {
    let long = vec![b'0'; MESSAGE_LEN_MAX + 1];
    assert_eq!(parse(ascii(), &long), (error(Path::Message, ParseReason::MessageTooLong), None));
    assert_eq!(parse(ascii(), b""), (error(Path::Mti, ParseReason::Truncated), None));
    assert_eq!(parse(ascii(), b"010"), (error(Path::Mti, ParseReason::Truncated), None));
    assert_eq!(parse(ascii(), b"01x0"), (error(Path::Mti, ParseReason::NotDigits), None));
    let binary = Dialect::builtin("binary87").unwrap();
    assert_eq!(parse(binary, b"\x01"), (error(Path::Mti, ParseReason::Truncated), None));
    assert_eq!(parse(binary, b"\x01\x0f"), (error(Path::Mti, ParseReason::NotDigits), None));
    let ebcdic = Dialect::builtin("ebcdic87").unwrap();
    assert_eq!(parse(ebcdic, b"0100"), (error(Path::Mti, ParseReason::NotDigits), None));
}

#[test]
fn bitmaps() {
    let none = Some(vec![]);
    let cases: [(&[u8], Path, ParseReason); 4] = [
        (b"0100002000", Path::Bitmap, ParseReason::Truncated),
        (b"010000200000000000x0", Path::Bitmap, ParseReason::NotHex),
        (b"01008000000000000000000", Path::SecondaryBitmap, ParseReason::Truncated),
        (b"0100800000000000000000000000000000 0", Path::SecondaryBitmap, ParseReason::NotHex),
    ];
    for (wire, path, reason) in cases {
        assert_eq!(parse(ascii(), wire), (error(path, reason), none.clone()));
    }
    // Element 65 is a third bitmap.
    let third = in_element(65, ParseReason::Unspecified);
    assert_eq!(parse(ascii(), b"010080000000000000008000000000000000"), (third, none));
}

#[test]
fn lengths() {
    // Elements 2 and 11.
    let wire = |rest: &str| format!("01004020000000000000{rest}").into_bytes();
    let none = Some(vec![]);
    assert_eq!(parse(ascii(), &wire("1")), (in_element(2, ParseReason::Truncated), none.clone()));
    assert_eq!(parse(ascii(), &wire("1647617390")), (in_element(2, ParseReason::Truncated), none.clone()));
    assert_eq!(parse(ascii(), &wire("1x4")), (in_element(2, ParseReason::LengthNotANumber), none.clone()));
    let too_long = ParseReason::TooLong { length: 20, length_max: 19 };
    assert_eq!(parse(ascii(), &wire("20")), (in_element(2, too_long), none));
    assert_eq!(parse(ascii(), &wire("01700001")), (in_element(11, ParseReason::Truncated), Some(vec![2])));
    let trailing = error(Path::Message, ParseReason::TrailingBytes);
    assert_eq!(parse(ascii(), &wire("0170000170")), (trailing, Some(vec![2, 11])));
}

#[test]
fn a_wrong_content_does_not_hide_what_follows() {
    let numeric = ParseReason::Attribute(Attribute::Numeric);
    let wire = b"0100402000000000000003x1x000017";
    assert_eq!(parse(ascii(), wire), (in_element(2, numeric), Some(vec![11])));
    // The first of two errors is told.
    let wire = b"0100402000000000000003x1x00001";
    assert_eq!(parse(ascii(), wire), (in_element(2, numeric), Some(vec![])));
    let wire = b"0100402000000000000003x1x0000177";
    assert_eq!(parse(ascii(), wire), (in_element(2, numeric), Some(vec![11])));
}

#[test]
fn contents() {
    // Element 55, then 52: hexadecimal text.
    let odd = b"010000000000000002000039F2";
    assert_eq!(parse(ascii(), odd), (in_element(55, ParseReason::OddHex), Some(vec![])));
    let not_hex = b"01000000000000001000012345678x000000";
    let binary = ParseReason::Attribute(Attribute::Binary);
    assert_eq!(parse(ascii(), not_hex), (in_element(52, binary), Some(vec![])));

    let packed = Dialect::builtin("binary87").unwrap();
    // Element 19, three digits in two bytes.
    let wire = |high, low| [0x01, 0x00, 0, 0, 0x20, 0, 0, 0, 0, 0, high, low];
    assert_eq!(parse(packed, &wire(0x18, 0x40)), (in_element(19, ParseReason::OddDigit), Some(vec![])));
    let numeric = ParseReason::Attribute(Attribute::Numeric);
    assert_eq!(parse(packed, &wire(0x08, 0x4a)), (in_element(19, numeric), Some(vec![])));
}

#[test]
fn sub_elements() {
    let wire = |content: &str| format!("01000000000000010000{:03}{content}", content.len()).into_bytes();
    let at = |path, error| ParseError { path, reason: ParseReason::SubElements(error) };
    let whole = Path::Element(De::ADDITIONAL_DATA);
    let cvc2 = Path::SubElement(De::ADDITIONAL_DATA, 92);
    let cases = [
        ("920", at(whole, SubElementError::HeadTruncated)),
        ("92x3123", at(whole, SubElementError::HeadNotDigits)),
        ("9203", at(cvc2, SubElementError::DataTruncated { id: 92 })),
        ("9201192011", at(cvc2, SubElementError::Duplicate { id: 92 })),
    ];
    for (content, error) in cases {
        assert_eq!(parse(ascii(), &wire(content)), (error, Some(vec![])), "{content}");
    }
}

#[test]
fn cut_off_anywhere_a_message_is_an_error() {
    for name in Dialect::BUILTIN {
        let dialect = Dialect::builtin(name).unwrap();
        let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
        message.set(De::PAN, "4761739001010119").set(De::AMOUNT, "2498").set(De::STAN, "17");
        message.set(De::ADDITIONAL_DATA, "9203123").set(De::PIN, "0123456789ABCDEF").set(De::PRIVATE, "");
        let mut wire = Vec::new();
        message.encode_body(dialect, &mut wire).unwrap();
        assert!(Message::parse(dialect, &wire).is_ok());
        for len in 0..wire.len() {
            let failure = Message::parse(dialect, &wire[..len]).unwrap_err();
            assert_eq!(failure.error.reason, ParseReason::Truncated, "{name} {len}");
        }
    }
}

#[test]
fn what_can_not_be_encoded() {
    let at = |element, reason| Err(EncodeError { path: Path::Element(element), reason });
    let cases = [
        (De::STAN, "1234567", EncodeReason::TooLong { length_max: 6 }),
        (De::PAN, "12345678901234567890", EncodeReason::TooLong { length_max: 19 }),
        (De::STAN, "17x", EncodeReason::Attribute(Attribute::Numeric)),
        (De::TERMINAL, "café", EncodeReason::Attribute(Attribute::Text)),
        (De::PIN, "0123", EncodeReason::TooShort { length: 16 }),
        (De::PIN, "0123456789ABCDEF00", EncodeReason::TooLong { length_max: 16 }),
        (De::new(28).unwrap(), "C1", EncodeReason::TooShort { length: 9 }),
        (De::CHIP, "123", EncodeReason::OddHex),
        (De::new(65).unwrap(), "00", EncodeReason::Unspecified),
        (De::ADDITIONAL_DATA, "92", EncodeReason::SubElements(SubElementError::HeadTruncated)),
        (De::CARD_ACCEPTOR, &*"x".repeat(100_000), EncodeReason::TooLong { length_max: 15 }),
    ];
    for (element, content, reason) in cases {
        for name in Dialect::BUILTIN {
            let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
            message.set(element, content);
            let mut out = b"before".to_vec();
            assert_eq!(message.encode(Dialect::builtin(name).unwrap(), &mut out), at(element, reason));
            assert_eq!(out, b"before");
        }
    }
    let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
    message.set(De::PRIVATE, "0203");
    let reason = EncodeReason::SubElements(SubElementError::DataTruncated { id: 2 });
    let path = Path::SubElement(De::PRIVATE, 2);
    assert_eq!(message.encode(ascii(), &mut Vec::new()), Err(EncodeError { path, reason }));
    assert_eq!(
        message.set_sub_elements(De::PRIVATE, &[(1, "a"), (100, "b")]).unwrap_err(),
        SubElementError::NotWritable { id: 100 }
    );
    assert_eq!(message.text(De::PRIVATE), Some("0203"));
}

#[test]
fn a_message_can_be_too_long_for_its_header() {
    let short = "base = 'iso8583-1987'\nheader = 'ascii4'\nmti = 'ascii'\nbitmap = 'hex'\nnumeric = 'ascii'\n\
        text = 'ascii'\nbinary = 'hex'\nlength = 'ascii'\n";
    let dialect = Dialect::parse("short", short).unwrap();
    let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
    let full = "x".repeat(999);
    for number in 105..115 {
        message.set(De::new(number).unwrap(), &full);
    }
    let too_long = EncodeError { path: Path::Message, reason: EncodeReason::MessageTooLong };
    let mut out = Vec::new();
    assert_eq!(message.encode(&dialect, &mut out), Err(too_long));
    assert_eq!(out, b"");
    message.remove(De::new(114).unwrap()).encode(&dialect, &mut out).unwrap();
    assert_eq!(&out[..8], b"90540100");
    assert!(message.encode(ascii(), &mut Vec::new()).is_ok());
}

#[test]
fn errors_speak_of_places_not_of_contents() {
    let wire = b"01000000000000010000007920345\x00";
    let said = Message::parse(ascii(), wire).unwrap_err().to_string();
    assert_eq!(said, "DE 48 has a character that is not \"ans\"");
    let wire = b"010000000000000100000069203AB";
    assert_eq!(Message::parse(ascii(), wire).unwrap_err().to_string(), "DE 48.92 ends within sub-element 92");
}
