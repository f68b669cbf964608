//! What people and logs may see of a message.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use mayfly_iso8583::{De, Dialect, Message, MessageBuilder, Mti};

fn message() -> MessageBuilder {
    let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
    message
        .set(De::PAN, "4761739001010119")
        .set(De::AMOUNT, "000000002498")
        .set(De::STAN, "000017")
        .set(De::EXPIRATION_DATE, "2912")
        .set(De::TRACK_2, "4761739001010119=2912")
        .set(De::CARD_ACCEPTOR_NAME, "ACME BOOKS             SPRINGFIELD   USA")
        .set(De::PIN, "0123456789ABCDEF")
        .set(De::CHIP, "9F2608AABBCCDDEEFF0011");
    message.set_sub_elements(De::ADDITIONAL_DATA, &[(43, "c2VjcmV0"), (92, "987")]).unwrap();
    message.set_sub_elements(De::PRIVATE, &[(1, "Anna Muster"), (2, "12345")]).unwrap();
    message
}

const DESCRIPTION: &str = "\
MTI 0100
  2 Primary account number: 476173******0119
  4 Amount, transaction: 000000002498
 11 System trace audit number: 000017
 14 Date, expiration: ***
 35 Track 2 data: ***
 43 Card acceptor name and location: ACME BOOKS             SPRINGFIELD   USA
 48 Additional data, private: 43=*** 92=***
 52 PIN data: ***
 55 Chip data: ***
120 Reserved, private: 01=*** 02=***
";

#[test]
fn a_description_masks_what_is_secret() {
    for name in Dialect::BUILTIN {
        let dialect = Dialect::builtin(name).unwrap();
        let message = message();
        assert_eq!(message.describe(dialect).to_string(), DESCRIPTION);
        let mut wire = Vec::new();
        message.encode_body(dialect, &mut wire).unwrap();
        let message = Message::parse(dialect, &wire).unwrap();
        assert_eq!(message.describe().to_string(), DESCRIPTION);
        let first = message.describe().elements().next().unwrap();
        assert_eq!(
            (first.element, first.title, &*first.masked),
            (De::PAN, "Primary account number", "476173******0119")
        );
    }
}

#[test]
fn debug_shows_numbers_of_elements_only() {
    let dialect = Dialect::builtin("binary87").unwrap();
    let elements = "(0100, [2, 4, 11, 14, 35, 43, 48, 52, 55, 120])";
    assert_eq!(format!("{:?}", message()), format!("MessageBuilder{elements}"));
    let mut wire = Vec::new();
    message().encode_body(dialect, &mut wire).unwrap();
    let parsed = Message::parse(dialect, &wire).unwrap();
    assert_eq!(format!("{parsed:?}"), format!("Message{elements}"));
    wire.push(0);
    let failure = Message::parse(dialect, &wire).unwrap_err();
    let error = "ParseError { path: Message, reason: TrailingBytes }";
    assert_eq!(
        format!("{failure:?}"),
        format!("ParseFailure {{ error: {error}, partial: Some(Message{elements}) }}")
    );
}

#[test]
fn numbers_and_bytes_are_set_and_read() {
    let dialect = Dialect::builtin("ascii87").unwrap();
    let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
    message
        .set_number(De::AMOUNT, 2498)
        .set_number(De::STAN, 0)
        .set_binary(De::PIN, &[0x01, 0xab, 0, 0, 0, 0, 0, 0xff]);
    let mut wire = Vec::new();
    message.encode_body(dialect, &mut wire).unwrap();
    let message = Message::parse(dialect, &wire).unwrap();
    assert_eq!(message.text(De::AMOUNT), Some("000000002498"));
    assert_eq!(message.number(De::AMOUNT), Some(2498));
    assert_eq!(message.number(De::STAN), Some(0));
    assert_eq!(message.number(De::PAN), None);
    assert_eq!(message.text(De::PIN), Some("01AB0000000000FF"));
    assert_eq!(message.number(De::PIN), None);
}
