//! What the API shows of what was archived and dropped.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::sync::Arc;

use common::{Call, Rig, Side};
use mayfly_card::MinorUnits;
use mayfly_core::CreditLimit;
use mayfly_engine::{Clock, Issued, ManualClock, SystemClock};
use mayfly_store::directory::{By, DirectoryError, Role, Writing};
use mayfly_store::{Asked, Dropped, JournalReader, Retention, RetentionOptions};
use mayfly_testing::{Store, on_both};
use serde_json::{Value, json};

on_both! {
    events_begin_where_the_journal_does
    a_payment_of_long_ago_is_archived
}

const DAY_MS: u64 = 86_400_000;

fn cut(rig: &Rig, archive: &tempfile::TempDir, before_ms: u64) -> Dropped {
    let kept = RetentionOptions::forever(archive.path().to_owned());
    let kept = Retention::open(&rig.home, kept).unwrap();
    let asked = Asked { journal_before_ms: Some(before_ms), views_before_ms: Some(before_ms) };
    kept.run(&asked, 0, &|| true).unwrap()
}

/// Of an issuer whose webhook, which nobody listens to, holds nothing up any more.
fn issuer(rig: &Rig) -> Side {
    let side = rig.issuer();
    let by = By { actor: "test", now_ms: 0 };
    let delete = |writing: &Writing<'_>| writing.delete_webhook(side.issuer, side.webhook);
    assert!(rig.directory.write::<_, DirectoryError>(by, delete).unwrap());
    side
}

/// Something that happens.
fn happen(rig: &Rig, side: &Side, credit: u64) {
    let limit = CreditLimit::Credit(MinorUnits::new(credit).unwrap());
    rig.runtime.block_on(rig.office.set_limit(side.account, limit, None)).unwrap();
    // An answer that was read afterwards rests on the views: they have it by then.
    rig.runtime.block_on(rig.office.transactions(mayfly_office::Part { from: None, limit: 1 })).unwrap();
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn events_begin_where_the_journal_does(store: Store) {
    let clock = Arc::new(ManualClock::at(SystemClock.now_ms()));
    let rig = Rig::at(store, clock.clone());
    let side = issuer(&rig);
    for credit in 1..20 {
        happen(&rig, &side, credit);
    }
    let key = rig.key(Role::Issuer, Some(side.issuer)).secret;
    let before = ids(&rig.get(&key, "/v1/events?limit=100").ok());
    let cursor = rig.get(&key, "/v1/events?limit=2").ok()["next_cursor"].as_str().unwrap().to_owned();
    clock.set(clock.now_ms() + 100 * DAY_MS);
    for credit in 1..5 {
        happen(&rig, &side, credit);
    }
    let archive = tempfile::tempdir().unwrap();
    assert!(cut(&rig, &archive, clock.now_ms() - 50 * DAY_MS).records > 10);
    let base = JournalReader::open(&rig.home).unwrap().base().unwrap();
    // From the beginning, and from a place that was archived: what comes next is what is there.
    let listed = |more: &str| ids(&rig.get(&key, &format!("/v1/events?limit=100&kind=limit_set{more}")).ok());
    let left = listed("");
    let sequence = |id: &String| id.split('_').nth(1).unwrap().parse::<u64>().unwrap();
    assert!(left.len() == 4 && left.iter().all(|id| sequence(id) > base.number), "{left:?}");
    assert_eq!(listed(&format!("&cursor={cursor}")), left);
    let everything = ids(&rig.get(&rig.operator(), "/v1/events?limit=100").ok());
    assert_eq!(sequence(&everything[0]), base.number + 1);
    // A webhook that is set back there goes on with what is there, too: it is told, or would be, nothing else.
    let new = json!({ "url": "https://shop.example/hook" });
    let webhook = rig.post(&key, "/v1/webhooks", &new).ok()["webhook"]["id"].as_str().unwrap().to_owned();
    let replay = format!("/v1/webhooks/{webhook}/replay");
    let by_time = rig.post(&key, &replay, &json!({ "from": "2020-01-01T00:00:00Z" })).ok();
    assert_eq!(by_time["next"], format!("evt_{}_0", base.number + 1));
    let by_event = rig.post(&key, &replay, &json!({ "after": before[0] })).ok();
    assert!(by_event["next"].is_string());
    rig.stop();
}

fn order(rig: &Rig, key: &str, issued: &Issued) -> Value {
    let date = issued.expiry.mmyy();
    let body = json!({
        "number": issued.pan.as_str(), "expiration_date": format!("{}/{}", &date[..2], &date[2..]),
        "cvc2": std::str::from_utf8(issued.cvc2.expose()).unwrap(), "reference": format!("order {}", rig.next()),
        "amount": { "minor": 100, "currency": "USD" }, "capture": true,
    });
    Call::post("/v1/payments", &body).key(key).send(rig).ok()
}

fn a_payment_of_long_ago_is_archived(store: Store) {
    let clock = Arc::new(ManualClock::at(SystemClock.now_ms()));
    let rig = Rig::at(store, clock.clone());
    let side = issuer(&rig);
    let key = rig.merchant_key(side.issuer, side.merchant).secret;
    let old = order(&rig, &key, &rig.order(side.account, side.programme));
    assert_eq!(old["state"], "captured");
    rig.forget(&clock);
    clock.set(clock.now_ms() + 100 * DAY_MS);
    let young = order(&rig, &key, &rig.order(side.account, side.programme));
    rig.forget(&clock);
    clock.set(clock.now_ms() + 10 * DAY_MS);
    happen(&rig, &side, 5);
    let shown =
        |payment: &Value| rig.get(&key, &format!("/v1/payments/{}", payment["id"].as_str().unwrap())).ok();
    assert_eq!(shown(&old)["state"], "captured");
    let archive = tempfile::tempdir().unwrap();
    assert!(cut(&rig, &archive, clock.now_ms() - 50 * DAY_MS).transactions > 0);
    assert_eq!((&shown(&old)["state"], &shown(&young)["state"]), (&json!("archived"), &json!("captured")));
    let path = format!("/v1/payments/{}/refund", old["id"].as_str().unwrap());
    assert_eq!(rig.post(&key, &path, &json!({})).code(), "payment_state");
    rig.stop();
}
