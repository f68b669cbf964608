//! Messages that independent implementations wrote.
//!
//! Made with PyPI's `pyiso8583` 4.0.1: for `ascii87` with its `specs.default_ascii` as it comes out of the
//! box, for the others with specifications of the same fields in its own terms (nibble counts, `cp037`). The
//! last ones are from npm's `iso_8583` 2.6.7.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use mayfly_iso8583::{De, Dialect, Message, MessageBuilder, Mti};

const REQUEST: [(u8, &str); 22] = [
    (2, "4761739001010119"),
    (3, "000000"),
    (4, "000000002498"),
    (7, "1122135606"),
    (11, "000017"),
    (12, "135606"),
    (13, "1122"),
    (14, "2912"),
    (18, "5411"),
    (19, "840"),
    (22, "810"),
    (28, "D00000012"),
    (32, "42393"),
    (35, "4761739001010119=2912"),
    (37, "632613000017"),
    (41, "TERM0001"),
    (42, "MERCHANT0000001"),
    (43, "ACME BOOKS             SPRINGFIELD   USA"),
    (48, "9203123"),
    (49, "840"),
    (52, "0123456789ABCDEF"),
    (55, "9F2608AABBCCDDEEFF0011"),
];

const REVERSAL: [(u8, &str); 12] = [
    (3, "000000"),
    (4, "000000002498"),
    (7, "1122135706"),
    (11, "000018"),
    (32, "42393"),
    (37, "632613000017"),
    (39, "00"),
    (41, "TERM0001"),
    (42, "MERCHANT0000001"),
    (49, "840"),
    (90, "010000001711221356060000004239300000000000"),
    (95, "000000001500000000000000000000000000000000"),
];

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

fn check(dialect: &str, mti: Mti, elements: &[(u8, &str)], wire: &[u8]) {
    let dialect = Dialect::builtin(dialect).unwrap();
    let elements: Vec<(De, &str)> =
        elements.iter().map(|(number, content)| (De::new(*number).unwrap(), *content)).collect();

    let message = Message::parse(dialect, wire).unwrap();
    assert_eq!(message.mti(), mti);
    let read: Vec<(De, &str)> = message.elements().map(|at| (at, message.text(at).unwrap())).collect();
    assert_eq!(read, elements);

    let mut builder = MessageBuilder::new(mti);
    for (element, content) in elements {
        builder.set(element, content);
    }
    let mut written = Vec::new();
    builder.encode_body(dialect, &mut written).unwrap();
    assert_eq!(written, wire);
}

#[test]
fn ascii87() {
    check(
        "ascii87",
        Mti::AUTHORISATION_REQUEST,
        &REQUEST,
        b"0100723C641128E192001647617390010101190000000000000024981122135606000017135606112229125411\
        840810D000000120542393214761739001010119=2912632613000017TERM0001MERCHANT0000001ACME BOOK\
        S             SPRINGFIELD   USA00792031238400123456789ABCDEF0229F2608AABBCCDDEEFF0011",
    );
    check(
        "ascii87",
        Mti::REVERSAL_ADVICE,
        &REVERSAL,
        b"0420B22000010AC080000000004200000000000000000000002498112213570600001805423936326130000170\
        0TERM0001MERCHANT0000001840010000001711221356060000004239300000000000000000001500000000000\
        000000000000000000000",
    );
}

#[test]
fn binary87() {
    check(
        "binary87",
        Mti::AUTHORISATION_REQUEST,
        &REQUEST,
        &bytes_of(
            "0100723c641128e192001647617390010101190000000000000024981122135606000017135606112229125411\
            08400810443030303030303132050423932104761739001010119d29123633323631333030303031375445524d\
            303030314d45524348414e543030303030303141434d4520424f4f4b5320202020202020202020202020535052\
            494e474649454c4420202055534100073932303331323308400123456789abcdef00119f2608aabbccddeeff00\
            11",
        ),
    );
    check(
        "binary87",
        Mti::REVERSAL_ADVICE,
        &REVERSAL,
        &bytes_of(
            "0420b22000010ac080000000004200000000000000000000002498112213570600001805042393363332363133\
            30303030313730305445524d303030314d45524348414e54303030303030310840010000001711221356060000\
            004239300000000000303030303030303031353030303030303030303030303030303030303030303030303030\
            303030303030",
        ),
    );
}

#[test]
fn ebcdic87() {
    check(
        "ebcdic87",
        Mti::AUTHORISATION_REQUEST,
        &REQUEST,
        &bytes_of(
            "f0f1f0f0723c641128e19200f1f6f4f7f6f1f7f3f9f0f0f1f0f1f0f1f1f9f0f0f0f0f0f0f0f0f0f0f0f0f0f0f2\
            f4f9f8f1f1f2f2f1f3f5f6f0f6f0f0f0f0f1f7f1f3f5f6f0f6f1f1f2f2f2f9f1f2f5f4f1f1f8f4f0f8f1f0c4f0\
            f0f0f0f0f0f1f2f0f5f4f2f3f9f3f2f1f4f7f6f1f7f3f9f0f0f1f0f1f0f1f1f97ef2f9f1f2f6f3f2f6f1f3f0f0\
            f0f0f1f7e3c5d9d4f0f0f0f1d4c5d9c3c8c1d5e3f0f0f0f0f0f0f1c1c3d4c540c2d6d6d2e24040404040404040\
            4040404040e2d7d9c9d5c7c6c9c5d3c4404040e4e2c1f0f0f7f9f2f0f3f1f2f3f8f4f00123456789abcdeff0f1\
            f19f2608aabbccddeeff0011",
        ),
    );
    check(
        "ebcdic87",
        Mti::REVERSAL_ADVICE,
        &REVERSAL,
        &bytes_of(
            "f0f4f2f0b22000010ac080000000004200000000f0f0f0f0f0f0f0f0f0f0f0f0f0f0f2f4f9f8f1f1f2f2f1f3f5\
            f7f0f6f0f0f0f0f1f8f0f5f4f2f3f9f3f6f3f2f6f1f3f0f0f0f0f1f7f0f0e3c5d9d4f0f0f0f1d4c5d9c3c8c1d5\
            e3f0f0f0f0f0f0f1f8f4f0f0f1f0f0f0f0f0f0f1f7f1f1f2f2f1f3f5f6f0f6f0f0f0f0f0f0f4f2f3f9f3f0f0f0\
            f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f1f5f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0\
            f0f0f0f0f0",
        ),
    );
}

/// npm's `iso_8583`, told to write its bitmap as text, always writes two bitmaps, and reads nothing else.
#[test]
fn an_empty_secondary_bitmap_is_answered_with_one() {
    let dialect = Dialect::builtin("ascii87").unwrap();
    let wire = b"0100F23C640108E180000000000000000000164761739001010119000000000000002498112213560600001713\
        56061122291254118408100542393632613000017TERM0001MERCHANT0000001ACME BOOKS             SPR\
        INGFIELD   USA0079203123840";
    let request = Message::parse(dialect, wire).unwrap();
    assert!(request.has_secondary_bitmap());
    assert_eq!(request.sub_element(De::ADDITIONAL_DATA, 92), Some("123"));

    let mut answer = MessageBuilder::answer(&request).unwrap();
    answer.echo(&request, &[De::STAN, De::RRN, De::PIN]).set(De::RESPONSE_CODE, "00");
    let mut written = Vec::new();
    answer.encode(dialect, &mut written).unwrap();
    assert_eq!(written, b"\x00\x380110802000000A000000000000000000000000001763261300001700");
    let again = MessageBuilder::from(&request);
    let mut copy = Vec::new();
    again.encode_body(dialect, &mut copy).unwrap();
    assert_eq!(copy, wire);
}
