//! Payments where time matters: a number's age when its authorisation comes back, and what has been forgotten since.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Call, Rig, Side, loopback};
use mayfly_engine::{AppendError, Clock, Entry, Issued, Journal, ManualClock, SystemClock};
use mayfly_store::directory::Role;
use mayfly_testing::{Store, on_both};
use serde_json::{Value, json};

on_both! {
    a53_an_authorisation_that_comes_back_too_late_is_not_passed_on
    a53_an_unused_number_ends_with_its_lifetime
    a_payment_that_memory_has_forgotten_goes_on_where_it_was
    another_number_is_tried_within_half_an_hour_and_three_in_all
}

const DAY_MS: u64 = 86_400_000;

/// A journal that takes its time: when it has written the next record, it is another time.
struct Slow {
    journal: Box<dyn Journal>,
    clock: Arc<ManualClock>,
    then_ms: Arc<AtomicU64>,
}

impl Journal for Slow {
    fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        self.journal.append(entry)?;
        match self.then_ms.swap(0, Ordering::SeqCst) {
            0 => {}
            then_ms => self.clock.set(then_ms),
        }
        Ok(())
    }
}

struct Shop {
    rig: Rig,
    clock: Arc<ManualClock>,
    then_ms: Arc<AtomicU64>,
    side: Side,
    key: String,
}

impl Shop {
    fn open(store: Store) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now_ms()));
        let then_ms = Arc::new(AtomicU64::new(0));
        let (of_journal, then) = (clock.clone(), then_ms.clone());
        let rig = Rig::on(store, loopback(), clock.clone(), |journal| {
            Box::new(Slow { journal, clock: of_journal, then_ms: then })
        });
        let side = rig.issuer();
        let key = rig.merchant_key(side.issuer, side.merchant).secret;
        Self { rig, clock, then_ms, side, key }
    }

    fn number(&self) -> Issued {
        self.rig.order(self.side.account, self.side.programme)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.rig.post(&self.key, path, body).ok()
    }

    fn shown(&self, payment: &Value) -> Value {
        self.rig.get(&self.key, &path(payment, "")).ok()
    }

    fn held(&self) -> i64 {
        self.rig.runtime.block_on(self.rig.office.account(self.side.account)).unwrap().held
    }
}

fn path(payment: &Value, what: &str) -> String {
    format!("/v1/payments/{}{what}", payment["id"].as_str().unwrap())
}

fn card(issued: &Issued) -> Value {
    let date = issued.expiry.mmyy();
    json!({
        "number": issued.pan.as_str(), "expiration_date": format!("{}/{}", &date[..2], &date[2..]),
        "cvc2": std::str::from_utf8(issued.cvc2.expose()).unwrap(),
    })
}

fn order(issued: &Issued) -> Call {
    let mut order = card(issued);
    order["reference"] = json!("order 17");
    order["amount"] = json!({ "minor": 100, "currency": "USD" });
    Call::post("/v1/payments", &order)
}

/// Acceptance row A53: the authorisation comes back at issue+T−1 and is passed on; at issue+T it is not, and nothing of it
/// stands. So it is if the clock has gone back behind the issue.
fn a53_an_authorisation_that_comes_back_too_late_is_not_passed_on(store: Store) {
    let shop = Shop::open(store);
    let before = shop.held();
    for (late_by, state, held) in [(-1, "authorised", 100), (0, "declined", 0), (60_000, "declined", 0)] {
        let number = shop.number();
        let held_before = shop.held();
        let answered_ms = number.expires_ms.saturating_add_signed(late_by);
        shop.then_ms.store(answered_ms, Ordering::SeqCst);
        let order = order(&number).key(&shop.key);
        let paid = order.send(&shop.rig);
        assert_eq!(shop.clock.now_ms(), answered_ms, "it took as long as it should");
        assert_eq!(paid.status, 201);
        assert_eq!(paid.json()["state"], state, "{late_by}: {paid:?}");
        assert_eq!(shop.held() - held_before, held, "{late_by}");
        // Whoever asks again, or looks, hears the same.
        assert_eq!(order.send(&shop.rig).ok(), paid.json());
        assert_eq!(shop.shown(&paid.json()), paid.json());
    }
    assert_eq!(shop.held() - before, 100);

    // The clock goes back behind the time at which the number was issued.
    let number = shop.number();
    let issued_ms = shop.clock.now_ms();
    shop.then_ms.store(issued_ms - 2 * DAY_MS, Ordering::SeqCst);
    let paid = order(&number).key(&shop.key).send(&shop.rig).ok();
    assert_eq!((&paid["state"], &paid["response_code"]), (&json!("declined"), &json!("05")));
    shop.clock.set(issued_ms);
    assert_eq!(shop.held() - before, 100);
    shop.rig.stop();
}

/// Acceptance row A53: a number that nobody used is unusable after T.
fn a53_an_unused_number_ends_with_its_lifetime(store: Store) {
    let shop = Shop::open(store);
    let (last, late) = (shop.number(), shop.number());
    shop.clock.set(last.expires_ms - 1);
    assert_eq!(order(&last).key(&shop.key).send(&shop.rig).ok()["state"], "authorised");
    shop.clock.set(late.expires_ms);
    let paid = order(&late).key(&shop.key).send(&shop.rig).ok();
    assert_eq!((&paid["state"], &paid["response_code"]), (&json!("declined"), &json!("05")));
    shop.rig.stop();
}

/// What is asked long after is done to the payment as it is, and once: memory has forgotten it, and the views know it.
fn a_payment_that_memory_has_forgotten_goes_on_where_it_was(store: Store) {
    let shop = Shop::open(store);
    let [first, second, third] = [(); 3].map(|()| order(&shop.number()).key(&shop.key));
    let [part, whole, declined] = [&first, &second, &third].map(|order| order.send(&shop.rig).ok());
    assert_eq!(declined["state"], "authorised");
    let capture =
        Call::post(&path(&part, "/capture"), &json!({ "amount": { "minor": 40, "currency": "USD" } }));
    let capture = capture.key(&shop.key);
    let captured = capture.send(&shop.rig).ok();
    assert_eq!(captured["state"], "partially_captured");
    shop.post(&path(&whole, "/capture"), &json!({}));

    shop.rig.forget(&shop.clock);
    assert_eq!(shop.shown(&part), captured);
    assert_eq!(capture.send(&shop.rig).ok(), captured, "it was done, and is not done again");
    assert_eq!(first.send(&shop.rig).ok(), captured);
    let rest = shop.post(&path(&part, "/capture"), &json!({}));
    assert_eq!((&rest["state"], &rest["captured"]["minor"]), (&json!("captured"), &json!(100)));
    let refunded = shop.post(&path(&whole, "/refund"), &json!({}));
    assert_eq!((&refunded["state"], &refunded["refunded"]["minor"]), (&json!("refunded"), &json!(100)));
    assert_eq!(shop.post(&path(&declined, "/cancel"), &json!({}))["state"], "cancelled");
    let page = shop.rig.get(&shop.key, "/v1/payments").ok();
    let states: Vec<_> = page["items"].as_array().unwrap().iter().map(|it| it["state"].clone()).collect();
    assert_eq!(states, ["cancelled", "refunded", "captured"]);
    shop.rig.stop();
}

fn another_number_is_tried_within_half_an_hour_and_three_in_all(store: Store) {
    let shop = Shop::open(store);
    let wrong = || {
        let mut issued = shop.number();
        issued.expiry = mayfly_card::Expiry::parse_mmyy("0189").unwrap();
        issued
    };
    let try_number = |payment: &Value, issued: &Issued| {
        Call::post(&path(payment, "/number"), &card(issued)).key(&shop.key).send(&shop.rig)
    };
    let ordered_ms = shop.clock.now_ms();
    let [three, late] = [(); 2].map(|()| order(&wrong()).key(&shop.key).send(&shop.rig).ok());
    assert_eq!(three["state"], "declined");
    for _ in 0..2 {
        assert_eq!(try_number(&three, &wrong()).ok()["state"], "declined");
    }
    assert_eq!(try_number(&three, &shop.number()).code(), "payment_state");

    shop.clock.set(ordered_ms + 30 * 60_000 - 1);
    let number = shop.number();
    shop.clock.set(ordered_ms + 30 * 60_000);
    assert_eq!(try_number(&late, &number).code(), "payment_state");
    shop.clock.set(ordered_ms + 30 * 60_000 - 1);
    assert_eq!(try_number(&late, &number).ok()["state"], "authorised");
    assert_eq!(try_number(&late, &shop.number()).code(), "payment_state", "it is paid");

    // Nobody else's key helps.
    let gateway = shop.rig.key(Role::Gateway, Some(shop.rig.issuer().issuer)).secret;
    assert_eq!(shop.rig.get(&gateway, &path(&late, "")).code(), "not_found");
    shop.rig.stop();
}
