//! The profile's reference values, `tests/vectors/mayfly-v1.json`, from the wallet's side: what it sends, what it believes,
//! and what it puts where.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

mod support;

use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits, MonthIndex};
use mayfly_dynamic::{Answer, Etsn, Months, ReferenceData, Tsn};
use mayfly_wallet::{Form, SignedAnswer, Wish};
use serde_json::Value;
use support::{MERCHANT_NAME, Site, enrolled, id, wish};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/mayfly-v1.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> [u8; 16] {
    let digits = value.as_str().unwrap();
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

fn month(mmyy: &Value) -> MonthIndex {
    let today = MonthIndex::new(2026, 1).unwrap();
    Expiry::parse_mmyy(mmyy.as_str().unwrap()).unwrap().month_near(today)
}

#[test]
fn what_the_wallet_asks_believes_and_fills_in() {
    let vectors = vectors();
    let card = id("num_1");
    let (mut wallet, mut kept) = enrolled(&mut Site::new());

    // MAC1: the card's last TSN was 6.
    let vector = &vectors["verification_mac"];
    let of_answer = &vectors["response_mac"];
    let currency = Currency::parse_alphabetic(of_answer["currency"].as_str().unwrap()).unwrap();
    let cap = (MinorUnits::new(of_answer["cap_minor"].as_u64().unwrap()).unwrap(), currency);
    let merchant = MerchantId::parse(of_answer["merchant"].as_str().unwrap()).unwrap();
    let wished = Wish { amount: Some(cap), merchant: Some(merchant), ..Wish::default() };
    let order = wallet.card(&card).unwrap().order(wished, Form::default()).unwrap();
    let asked = wallet.ask(&card, order, &mut kept).unwrap();
    assert_eq!(asked.number().as_str(), vector["number"].as_str().unwrap());
    assert_eq!(asked.request().expiry.mmyy(), vector["expiry_mmyy"].as_str().unwrap());
    assert_eq!(u64::from(asked.request().version.0), vector["version"].as_u64().unwrap());
    assert_eq!(asked.request().tsn, Tsn(vector["tsn"].as_u64().unwrap()));
    assert_eq!(asked.request().mac, bytes(&vector["mac"]));

    // RSP1.
    let months = Months::new(of_answer["months"].as_u64().unwrap() as u8).unwrap();
    let answer = Answer {
        tsn: Tsn(of_answer["tsn"].as_u64().unwrap()),
        etsn: Etsn(of_answer["etsn"].as_u64().unwrap()),
        reference: ReferenceData::new(month(&of_answer["reference_mmyy"]), months).unwrap(),
        expires_unix_s: of_answer["expires_unix"].as_u64().unwrap(),
        cap: Some(cap),
        merchant: Some(merchant),
    };
    let signed = SignedAnswer { answer, mac: bytes(&of_answer["mac"]) };
    let filled = wallet.take(asked, &signed, &mut kept).unwrap();
    assert_eq!(wallet.card(&card).unwrap().tsn(), Tsn(8));

    // A33: ETSN 8 with reference 01/26 and 60 months is 03/28.
    let of_date = &vectors["pseudo_expiry"][0];
    assert_eq!(Some(answer.etsn.0), of_date["etsn"].as_u64());
    assert_eq!(filled.expiry.mmyy(), of_date["mmyy"].as_str().unwrap());
    assert!(filled.mac_field.is_none());
    assert_eq!(Some(filled.expires_unix_s), of_answer["expires_unix"].as_u64());
}

/// A46: the MAC field of ETSN 9.
#[test]
fn a46_the_mac_field_that_the_wallet_makes() {
    let vectors = vectors();
    let vector = &vectors["field_mac"];
    let card = id("num_1");
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    // The next request has TSN 7, and the last ETSN was 8.
    site.card(&card).last_etsn = Etsn(8);
    let form = Form { mac_field: true };
    let filled = mayfly_wallet::pay(&mut wallet, &card, wish(), form, &mut site, &mut kept).unwrap();
    assert_eq!(vector["merchant_name"].as_str().unwrap(), MERCHANT_NAME);
    assert_eq!(filled.mac_field.unwrap().text()[..], *vector["aav"].as_str().unwrap().as_bytes());
    assert_eq!(wallet.card(&card).unwrap().tsn(), Tsn(vector["tsn"].as_u64().unwrap()));
}
