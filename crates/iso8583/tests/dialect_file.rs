//! What a dialect's file may say, and what is said about files that are wrong.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use mayfly_iso8583::{De, Dialect, DialectError, Header, Message, MessageBuilder, Mti};

const HEAD: &str = "\
header = 'ascii4'
mti = 'ascii'
bitmap = 'hex-ebcdic'
numeric = 'bcd'
text = 'ascii'
binary = 'binary'
length = 'binary'
odd_digit = 'right-f'
";

fn element(number: u8) -> De {
    De::new(number).unwrap()
}

fn error(text: &str) -> DialectError {
    Dialect::parse("test", text).unwrap_err()
}

fn wrong_value(text: &str) -> String {
    match error(text) {
        DialectError::Value { key, .. } => key,
        other => panic!("{other}"),
    }
}

#[test]
fn every_built_in_dialect_is_there() {
    for name in Dialect::BUILTIN {
        let dialect = Dialect::builtin(name).unwrap();
        assert_eq!(dialect.name(), name);
        assert_eq!(dialect.header(), Header::Binary2);
        for number in 2..=128 {
            assert_eq!(dialect.specifies(element(number)), number != 65, "{name} {number}");
            assert_eq!(dialect.title(element(number)).is_empty(), number == 65, "{name} {number}");
        }
    }
    assert!(Dialect::builtin("nobody").is_none());
}

#[test]
fn axes_are_independent() {
    let fields = "
        [fields]
        2 = 'n..19 Number'
        11 = { format = 'n5', encoding = 'ebcdic' }
        35 = { format = 'z..37', length = 'bcd', odd_digit = 'right-zero' }
        55 = { format = 'b..20', encoding = 'hex' }
    ";
    let file = format!("{HEAD}secondary_bitmap = 'always'{fields}");
    let dialect = Dialect::parse("mixed", &file).unwrap();
    assert_eq!(dialect.title(De::PAN), "Number");
    assert!(!dialect.specifies(De::AMOUNT));
    let mut message = MessageBuilder::new(Mti::NETWORK_REQUEST);
    message.set(De::PAN, "123").set(De::STAN, "17").set(De::TRACK_2, "1=3").set(De::CHIP, "ab");
    let mut wire = Vec::new();
    message.encode(&dialect, &mut wire).unwrap();

    let mut expected = b"00500800".to_vec();
    // The bitmaps' 32 hexadecimal digits in EBCDIC.
    expected.extend(
        b"C0200000200002000000000000000000".map(|byte| if byte == b'C' { 0xc3 } else { byte + 0xc0 }),
    );
    expected.extend([3, 0x12, 0x3f]);
    expected.extend([0xf0, 0xf0, 0xf0, 0xf1, 0xf7]);
    expected.extend([0x03, 0x1d, 0x30]);
    expected.extend([2, b'a', b'b']);
    assert_eq!(wire, expected);

    let message = Message::parse(&dialect, &wire[4..]).unwrap();
    let read: Vec<_> = message.elements().map(|at| message.text(at).unwrap()).collect();
    assert_eq!(read, ["123", "00017", "1=3", "ab"]);
}

#[test]
fn a_file_changes_its_base() {
    let file = format!(
        "base = 'iso8583-1987'\nsub_elements = [60]\n{HEAD}[fields]\n2 = {{ encoding = 'ascii' }}\n\
        11 = {{ name = 'Trace' }}\n54 = 'none'\n"
    );
    let dialect = Dialect::parse("changed", &file).unwrap();
    assert_eq!(dialect.title(De::PAN), "Primary account number");
    assert_eq!(dialect.title(De::STAN), "Trace");
    assert!(!dialect.specifies(De::ADDITIONAL_AMOUNTS));
    let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
    assert!(message.set(De::ADDITIONAL_DATA, "free").encode(&dialect, &mut Vec::new()).is_ok());
    assert!(message.set(element(60), "free").encode(&dialect, &mut Vec::new()).is_err());
}

#[test]
fn every_error() {
    assert!(matches!(error("header ="), DialectError::Toml(_)));
    assert!(matches!(error("colour = 1"), DialectError::UnknownKey { key, .. } if key == "colour"));
    let missing = error("header = 'binary2'");
    assert_eq!(missing.to_string(), "\"numeric\" is missing: set it to \"ascii\", \"ebcdic\" or \"bcd\"");
    assert!(matches!(missing, DialectError::Missing { key: "numeric", .. }));

    let unknown = error(&format!("{HEAD}[fields]\n2 = {{ format = 'n6', pad = 'x' }}"));
    assert_eq!(
        unknown.to_string(),
        "unknown key \"fields.2.pad\": use one of format, name, encoding, length, odd_digit"
    );
    let wrong = error(&HEAD.replace("'bcd'", "'binary'"));
    let said = "\"numeric\" has a value that does not fit: set it to \"ascii\", \"ebcdic\" or \"bcd\"";
    assert_eq!(wrong.to_string(), said);
}

#[test]
fn values_that_do_not_fit_are_named() {
    assert_eq!(wrong_value(&format!("base = 'iso8583-2003'\n{HEAD}")), "base");
    assert_eq!(wrong_value(&format!("base = 1987\n{HEAD}")), "base");
    assert_eq!(wrong_value(&HEAD.replace("'ascii4'", "4")), "header");
    assert_eq!(wrong_value(&format!("fields = 1\n{HEAD}")), "fields");
    for list in ["48", "[48]", "['48']", "[1]", "[1000]"] {
        assert_eq!(wrong_value(&format!("sub_elements = {list}\n{HEAD}")), "sub_elements");
    }
    let numeric = format!("sub_elements = [11]\nbase = 'iso8583-1987'\n{HEAD}");
    assert_eq!(wrong_value(&numeric), "sub_elements");
    let fields = [
        ("1 = 'n6'", "fields.1"),
        ("129 = 'n6'", "fields.129"),
        ("x = 'n6'", "fields.x"),
        ("2 = 6", "fields.2"),
        ("2 = ''", "fields.2"),
        ("2 = 'n'", "fields.2"),
        ("2 = '6'", "fields.2"),
        ("2 = 'q6'", "fields.2"),
        ("2 = 'n0'", "fields.2"),
        ("2 = 'n.6'", "fields.2"),
        ("2 = 'n..100'", "fields.2"),
        ("2 = 'n....6'", "fields.2"),
        ("2 = 'n1000'", "fields.2"),
        ("2 = 'n6x'", "fields.2"),
        ("2 = { format = 'n' }", "fields.2.format"),
        ("2 = { format = 6 }", "fields.2.format"),
        ("2 = { encoding = 'ascii' }", "fields.2.format"),
        ("2 = { format = 'n6', encoding = 'hex' }", "fields.2.encoding"),
        ("2 = { format = 'b6', encoding = 'bcd' }", "fields.2.encoding"),
        ("2 = { format = 'ans6', encoding = 'bcd' }", "fields.2.encoding"),
        ("2 = { format = 'n6', length = 'hex' }", "fields.2.length"),
        ("2 = { format = 'n6', odd_digit = 'f' }", "fields.2.odd_digit"),
        ("2 = { format = 'n6', name = 6 }", "fields.2.name"),
        ("2 = { format = 'b..50', encoding = 'hex' }", "fields.2"),
    ];
    for (field, key) in fields {
        assert_eq!(wrong_value(&format!("{HEAD}[fields]\n{field}")), key, "{field}");
    }
}
