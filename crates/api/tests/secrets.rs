//! Nothing that lets somebody pay or in is in the log, nor readably on the disk.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::wallet::{Phone, wish};
use common::{Call, Rig, Side};
use mayfly_store::directory::Role;
use mayfly_testing::CaughtLog;
use serde_json::json;

#[test]
fn neither_the_log_nor_the_disk_has_them() {
    let log = CaughtLog::catch();
    let rig = Rig::start();
    let ours = rig.issuer();
    let operator = rig.operator();
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let universal = "4999990000000014";
    let terms = json!({ "prefix": "499999" });
    let body = json!({ "name": "Universal", "terms": terms, "universal_number": universal });
    let programme = rig.post(&key, "/v1/programmes", &body);
    let order = json!({ "account": ours.account.to_string(), "programme": ours.programme.to_string() });
    let order = Call::post("/v1/numbers", &order).key(&key);
    let issued = order.send(&rig).ok();
    assert_eq!(order.send(&rig).ok(), issued);
    let made = rig.post(&key, "/v1/keys", &json!({ "role": "auditor", "name": "x" })).ok();
    let unknown = format!("mfk_{}", "A".repeat(43));
    assert_eq!(rig.get(&unknown, "/v1/accounts").status, 401);
    let number = issued["number"].as_str().unwrap().to_owned();
    rig.get(&key, &format!("/v1/accounts/{number}?{number}={number}")).code();
    rig.post(&key, &format!("/v1/{number}"), &json!({ &number: &number })).code();
    let cards = cards(&rig, &ours, &key);
    let data = rig.stop();

    let told = log.text();
    assert!(told.contains("/v1/numbers") && told.contains("answered"), "the log is on: {told}");
    let mut written = told.into_bytes();
    for file in std::fs::read_dir(data.path()).unwrap() {
        written.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let written = String::from_utf8_lossy(&written);
    let secret = made["secret"].as_str().unwrap().to_owned();
    let mut secrets = vec![number, secret, key, operator, unknown];
    secrets.extend(cards);
    if programme.status == 201 {
        secrets.push(universal.to_owned());
    }
    for secret in secrets {
        assert!(!written.contains(&secret), "{secret} was written");
    }
}

/// A25, A42: a card of each kind is enrolled, taken into a wallet, asked for, and refused in all ways. What of it must be
/// nowhere: the cards' own numbers and those in their place, both halves of the exchange, the wrapped key and all MACs.
fn cards(rig: &Rig, ours: &Side, key: &str) -> Vec<String> {
    let session = rig.session(ours.issuer, ours.cardholder);
    let link = format!("/v1/cardholders/{}/accounts", ours.cardholder);
    rig.post(key, &link, &json!({ "account": ours.account.to_string() })).ok();
    let mut secrets = vec![session.clone()];
    for (kind, prefix) in [("pseudo", "540001"), ("own", "374000")] {
        let terms = json!({ "prefix": prefix, "check_site": { "numbers": kind } });
        let programme = rig.post(key, "/v1/programmes", &json!({ "name": kind, "terms": terms })).ok();
        let own = mayfly_card::Pan::with_check_digit(format!("{prefix}440055660")).unwrap();
        let own = if kind == "own" { own.as_str().to_owned() } else { "4569409360110520".to_owned() };
        let path = format!("/v1/accounts/{}/cards", ours.account);
        let body = json!({ "programme": programme["id"], "number": own, "expiry": "12/29" });
        let order = Call::post(&path, &body).key(key);
        let card = order.send(rig).ok()["id"].as_str().unwrap().to_owned();
        order.send(rig).ok();
        for (wrong, value) in [("expiry", json!("01/20")), ("control_digit", json!(9)), ("number", json!(1))]
        {
            let mut body = body.clone();
            body[wrong] = value;
            let refused = rig.post(key, &path, &body);
            assert!(refused.status >= 400 && !refused.body.contains(&own), "{refused:?}");
        }
        let mut phone = Phone::new(rig, &session);
        phone.enrol(&card).unwrap();
        let filled = phone.pay(&card, wish(500), false).unwrap();
        let field = phone.pay(&card, shop_wish(), true).unwrap();
        phone.restore(&card).unwrap();
        let asked = phone.request(&card, wish(500));
        let verify = |body: &serde_json::Value| Call::post("/v1/verifications", body).send(rig);
        let answer = verify(&asked).ok();
        assert_eq!(verify(&asked).code(), "verification_refused");
        let mut garbled = asked.clone();
        garbled["tsn"] = json!("17");
        assert_eq!(verify(&garbled).code(), "body_invalid");
        let point = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";
        let give =
            Call::post(&format!("/v1/me/cards/{card}/wallet"), &json!({ "point": point })).key(&session);
        let package = give.send(rig).ok();
        assert_eq!(give.send(rig).ok(), package, "kept for its repeats, sealed");
        let texts = [&package["point"], &package["wrapped_key"], &asked["mac"], &answer["mac"]];
        secrets.extend(texts.map(|text| text.as_str().unwrap().to_owned()));
        let field = String::from_utf8(field.mac_field.unwrap().text().to_vec()).unwrap();
        secrets.extend([own, filled.number.as_str().to_owned(), point.to_owned(), field]);
    }
    secrets
}

fn shop_wish() -> mayfly_wallet::Wish {
    let merchant = mayfly_card::MerchantId::parse("SHOP-1").ok();
    mayfly_wallet::Wish { merchant, merchant_name: Some("Shop".to_owned()), ..wish(500) }
}
