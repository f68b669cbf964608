//! The profile's reference values, `tests/vectors/mayfly-v1.json`: all that belong to dynamic card authentication.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

use hmac::{Hmac, KeyInit, Mac as _};
use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits, MonthIndex, Pan};
use mayfly_dynamic::{
    Answer, AppVersion, Bin, CardKey, CardMacs, CardNumber, ControlDigit, Enrolment, Etsn, FieldMac,
    FieldOrigin, KeyMaterial, MacField, Months, Numbers, OpenEtsn, PseudoExpiry, Purchase, ReferenceData,
    SpecialBin, Tsn, VerificationRequest,
};
use mayfly_keys::{CardKeyring, KeyService, KeyVersion, KeyVersions, RootKey, SecretKey};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/mayfly-v1.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = text(value);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

/// The keyring of the vectors' root key, and their special BIN.
fn keyring(vectors: &Value) -> (CardKeyring, Bin) {
    let service = KeyService::new(&RootKey::from_bytes(&array(&vectors["root_key"])));
    let bin = Bin::parse(text(&vectors["special_bin"])).unwrap();
    let mut ring = CardKeyring::new(KeyVersions::first(service.check_value()));
    ring.load(KeyVersion::FIRST, &service, [&bin.digits()[..]]).unwrap();
    (ring, bin)
}

/// The card of process 2, whose key the other vectors use.
fn card(vectors: &Value) -> CardMacs {
    let key = CardKey::from_secret(SecretKey::from_bytes(&array(&vectors["keys"]["cards"][2]["key"])));
    CardMacs::new(&key, pseudo(&vectors["keys"]["cards"][2]["pseudo"]))
}

fn pseudo(value: &Value) -> CardNumber {
    let pan = Pan::parse(text(value)).unwrap();
    let numbers = Numbers::Pseudo(ControlDigit::ALL.into_iter().collect());
    SpecialBin { bin: Bin::of(&pan), numbers }.recognise(&pan).unwrap()
}

fn version(vector: &Value) -> AppVersion {
    AppVersion(number(&vector["version"]).try_into().unwrap())
}

#[test]
fn a36_a44_a45_keys_of_cards() {
    let vectors = vectors();
    let (ring, bin) = keyring(&vectors);
    let pan = Pan::parse(text(&vectors["pan"])).unwrap();
    let numbers = Numbers::Pseudo(ControlDigit::ALL.into_iter().collect());
    let special = SpecialBin { bin, numbers };
    for card in vectors["keys"]["cards"].as_array().unwrap() {
        let number = special.recognise(&Pan::parse(text(&card["pseudo"])).unwrap()).unwrap();
        let digit = ControlDigit::parse(b'0' + card["process"].as_u64().unwrap() as u8);
        assert_eq!(number.control_digit(), digit);
        let enrolment =
            Enrolment { pan: &pan, digit, version: KeyVersion::FIRST, material: KeyMaterial::None };
        let key = CardKey::of(&ring, &special, &number, &enrolment).unwrap();
        assert_eq!(key.expose().expose()[..], bytes(&card["key"]), "{digit:?}");
    }
}

/// The vectors have a PAN of another BIN than the special one, so here the keys are made as the formulas have them.
#[test]
fn keys_of_cards_without_a_pseudo_number() {
    let vectors = vectors();
    let (ring, bin) = keyring(&vectors);
    let base = ring.base(KeyVersion::FIRST, bin.digits()).unwrap();
    let key = CardKey::from_secret(base.of_pan(text(&vectors["pan"]).as_bytes()));
    let keys = &vectors["keys"];
    assert_eq!(key.expose().expose()[..], bytes(&keys["card_key_without_pseudo"]));
    let share = SecretKey::from_bytes(&array(&keys["share"]));
    assert_eq!(key.with_share(&share).expose().expose()[..], bytes(&keys["card_key_with_share"]));
}

#[test]
fn mac_of_the_verification_request() {
    let vectors = vectors();
    let vector = &vectors["verification_mac"];
    let macs = card(&vectors);
    assert_eq!(macs.number(), &pseudo(&vector["number"]));
    let expiry = Expiry::parse_mmyy(text(&vector["expiry_mmyy"])).unwrap();
    let request = VerificationRequest::new(&macs, expiry, version(vector), Tsn(number(&vector["tsn"])));
    assert_eq!(request.mac[..], bytes(&vector["mac"]));
}

/// A33 and A34: ETSN 8 with reference date 01/26 and 60 months is 03/28; the wrap of month, year and century is among them.
#[test]
fn a33_a34_pseudo_expiration_dates() {
    let vectors = vectors();
    let macs = card(&vectors);
    let expiry_macs = macs.expiry_macs();
    let mut seen = 0;
    for vector in vectors["pseudo_expiry"].as_array().unwrap() {
        let etsn = Etsn(number(&vector["etsn"]));
        let mac = expiry_macs.mac(AppVersion(1), etsn);
        assert!(mac.verify(&bytes(&vector["mac"])));
        let (year, month) = text(&vector["reference"]).split_once('-').unwrap();
        let date = MonthIndex::new(year.parse().unwrap(), month.parse().unwrap()).unwrap();
        let months = Months::new(number(&vector["months"]).try_into().unwrap()).unwrap();
        let reference = ReferenceData::new(date, months).unwrap();
        assert_eq!(u64::from(reference.month(&mac).value() - date.value()), number(&vector["offset"]));
        assert_eq!(PseudoExpiry::of(&mac, &reference).expose().mmyy(), text(&vector["mmyy"]));
        let open = OpenEtsn { etsn, version: AppVersion(1), reference };
        let presented = Expiry::parse_mmyy(text(&vector["mmyy"])).unwrap();
        assert_eq!(expiry_macs.find([open], presented), Some(etsn));
        seen += 1;
    }
    assert_eq!(seen, 16);
}

fn origin(vector: &Value) -> FieldOrigin {
    let part = |name: &str| vector[name].as_u64().map_or(1, |value| value.try_into().unwrap());
    FieldOrigin { acs: part("acs"), method: part("method"), key: part("key_id") }
}

/// A46: MACT, and the field that it travels in.
#[test]
fn a46_mac_field_of_a_purchase() {
    let vectors = vectors();
    let vector = &vectors["field_mac"];
    let macs = card(&vectors);
    let purchase = Purchase {
        amount: MinorUnits::new(number(&vector["amount_minor"])).unwrap(),
        currency: Currency::parse_alphabetic(text(&vector["currency"])).unwrap(),
        merchant: MerchantId::parse(text(&vector["merchant"])).unwrap(),
    };
    let etsn = Etsn(number(&vector["tsn"]));
    let mac = macs.field(version(vector), etsn, &purchase);
    let field = MacField::parse(text(&vector["aav"]).as_bytes()).unwrap();
    assert!(field.verify(&mac) && field.is_of(etsn) && field.names(text(&vector["merchant_name"])));
    assert!(field.verify(&FieldMac::from_bytes(bytes(&vector["mac"])[..5].try_into().unwrap())));
    let made = MacField::new(text(&vector["merchant_name"]), origin(vector), etsn, &mac).unwrap();
    assert_eq!(made.text()[..], *text(&vector["aav"]).as_bytes());

    let others = [
        Purchase { amount: MinorUnits::new(2499).unwrap(), ..purchase },
        Purchase { currency: Currency::parse_alphabetic("EUR").unwrap(), ..purchase },
        Purchase { merchant: MerchantId::parse("M-002").unwrap(), ..purchase },
    ];
    for other in others {
        assert!(!field.verify(&macs.field(version(vector), etsn, &other)), "{other:?}");
    }
    assert!(!field.verify(&macs.field(AppVersion(2), etsn, &purchase)));
    assert!(!field.verify(&macs.field(version(vector), Etsn(etsn.0 + (1 << 32)), &purchase)));
}

/// The published example of the field, whose MAC is five bytes of HMAC-SHA-1 over number and field: kept to see that the
/// form is that which others read.
#[test]
fn the_published_mac_field() {
    let vectors = vectors();
    let vector = &vectors["aav"];
    let field = MacField::parse(text(&vector["base64"]).as_bytes()).unwrap();
    assert_eq!(number(&vector["control"]), u64::from(MacField::CONTROL));
    assert_eq!(u64::from(field.tsn()), number(&vector["tsn"]));
    assert_eq!(field.origin(), origin(vector));
    assert!(field.names(text(&vector["merchant_name"])) && !field.names("SPA Merchant"));
    let mac = FieldMac::from_bytes(array(&vector["mac5"]));
    assert!(field.verify(&mac));
    let etsn = Etsn(number(&vector["tsn"]));
    let made = MacField::new(text(&vector["merchant_name"]), origin(vector), etsn, &mac).unwrap();
    assert_eq!(made.text()[..], *text(&vector["base64"]).as_bytes());

    let mut hmac = Hmac::<sha1::Sha1>::new_from_slice(&[0x0B; 20]).unwrap();
    hmac.update(&[0x54, 0x32, 0x10, 0x98, 0x76, 0x54, 0x32, 0x10, 0xFF, 0xFF]);
    hmac.update(&[0x8C, 0x7C, 0xA7, 0xFB, 0xB6, 0x05, 0x8B, 0x51, 0x14, 0x01, 0x11, 0x00, 0x00, 0x00, 0x2F]);
    assert_eq!(hmac.finalize().into_bytes()[..5], bytes(&vector["mac5"]));
}

#[test]
fn mac_of_the_answer() {
    let vectors = vectors();
    let vector = &vectors["response_mac"];
    let date = text(&vector["reference_mmyy"]);
    let year = 2000 + date[2..].parse::<i16>().unwrap();
    let date = MonthIndex::new(year, date[..2].parse().unwrap()).unwrap();
    let months = Months::new(number(&vector["months"]).try_into().unwrap()).unwrap();
    let currency = Currency::parse_alphabetic(text(&vector["currency"])).unwrap();
    let answer = Answer {
        tsn: Tsn(number(&vector["tsn"])),
        etsn: Etsn(number(&vector["etsn"])),
        reference: ReferenceData::new(date, months).unwrap(),
        expires_unix_s: number(&vector["expires_unix"]),
        cap: Some((MinorUnits::new(number(&vector["cap_minor"])).unwrap(), currency)),
        merchant: Some(MerchantId::parse(text(&vector["merchant"])).unwrap()),
    };
    let macs = card(&vectors);
    assert!(macs.response(&answer).verify(&bytes(&vector["mac"])));
    let other = ReferenceData::new(date, Months::new(59).unwrap()).unwrap();
    let changed = [
        Answer { tsn: Tsn(6), ..answer },
        Answer { etsn: Etsn(9), ..answer },
        Answer { reference: other, ..answer },
        Answer { expires_unix_s: 0, ..answer },
        Answer { cap: None, ..answer },
        Answer { merchant: None, ..answer },
    ];
    for changed in changed {
        assert!(!macs.response(&changed).verify(&bytes(&vector["mac"])), "{changed:?}");
    }
    // With neither cap nor merchant; generated with CMAC of the Python package `cryptography`.
    let bare = Answer { cap: None, merchant: None, ..answer };
    assert!(macs.response(&bare).verify(&bytes(&Value::from("a0475ff0f1b2f5a186d683d3e77dc8f6"))));
}

/// The profile has no value for it; generated with CMAC of the Python package `cryptography`, from the description.
#[test]
fn mac_of_the_last_tsn() {
    let macs = card(&vectors());
    let nonce = core::array::from_fn(|at| at as u8);
    let expected = bytes(&Value::from("9b5b38b542fe53662ef5cda4e01dccce"));
    assert!(macs.last_tsn(&nonce, Tsn(123)).verify(&expected));
    assert!(!macs.last_tsn(&nonce, Tsn(124)).verify(&expected));
    assert!(!macs.last_tsn(&[0; 16], Tsn(123)).verify(&expected));
}
