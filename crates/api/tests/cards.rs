//! Cards of the check site, as issuers, cardholders, wallets and shops meet them.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::wallet::{Phone, wish};
use common::{Call, Reply, Rig, Side};
use mayfly_core::AccountId;
use mayfly_store::directory::{By, CardholderId, DirectoryError, Role};
use mayfly_testing::{Store, on_both};
use mayfly_wallet::{Filled, ServerError, WalletError, Wish};
use serde_json::{Value, json};

on_both! {
    a_card_of_every_process_pays_once_for_each_purchase
    a_card_with_its_own_number_pays_with_the_last_wallet_only
    what_is_not_proved_is_one_refusal_and_opens_nothing
    three_wrong_dates_lock_and_the_cardholder_unlocks
    what_is_wrong_after_the_mac_is_said
    an_enrolment_is_done_once_and_leaves_nothing_when_it_fails
    cards_are_their_cardholders_and_their_issuers
    a_restored_wallet_counts_on
    what_is_left_of_an_enrolment_is_removed_at_the_next_start
    a_restart_forgets_neither_cards_nor_open_purchases
}

/// An issuer's desk, a cardholder's phone and a shop.
struct Town {
    rig: Rig,
    side: Side,
    issuer: String,
    shop: String,
    session: String,
}

impl Town {
    fn new(store: Store) -> Self {
        let rig = Rig::start_on(store);
        let side = rig.issuer();
        let issuer = rig.key(Role::Issuer, Some(side.issuer)).secret;
        let shop = rig.merchant_key(side.issuer, side.merchant).secret;
        let town = Self { session: rig.session(side.issuer, side.cardholder), rig, side, issuer, shop };
        town.link(side.cardholder, side.account);
        town
    }

    fn link(&self, cardholder: CardholderId, account: AccountId) {
        let path = format!("/v1/cardholders/{cardholder}/accounts");
        self.rig.post(&self.issuer, &path, &json!({ "account": account.to_string() })).ok();
    }

    fn programme(&self, prefix: &str, check_site: Value) -> String {
        let body = json!({
            "name": format!("Cards {prefix}"), "terms": { "prefix": prefix, "check_site": check_site },
        });
        self.rig.post(&self.issuer, "/v1/programmes", &body).ok()["id"].as_str().unwrap().to_owned()
    }

    fn order(&self, body: &Value) -> Call {
        Call::post(&format!("/v1/accounts/{}/cards", self.side.account), body).key(&self.issuer)
    }

    fn card(&self, programme: &str, number: &str) -> String {
        let body = json!({ "programme": programme, "number": number, "expiry": "12/29" });
        let card = self.order(&body).send(&self.rig).ok();
        assert_eq!(
            (&card["object"], &card["status"], &card["open_etsns"]),
            (&json!("card"), &json!("active"), &json!(0))
        );
        card["id"].as_str().unwrap().to_owned()
    }

    fn phone(&self) -> Phone<'_> {
        Phone::new(&self.rig, &self.session)
    }

    fn shown(&self, card: &str) -> Value {
        self.rig.get(&self.issuer, &format!("/v1/cards/{card}")).ok()
    }

    /// What the shop is answered for so many cents.
    fn buy(&self, filled: &Filled, minor: u64) -> String {
        self.buy_with(filled.number.as_str(), &filled.expiry.mmyy(), minor)
    }

    fn buy_with(&self, number: &str, date: &str, minor: u64) -> String {
        let body = json!({
            "reference": format!("order {}", self.rig.next()), "number": number,
            "expiration_date": format!("{}/{}", &date[..2], &date[2..]),
            "amount": { "minor": minor, "currency": "USD" },
        });
        let paid = self.rig.post(&self.shop, "/v1/payments", &body).ok();
        format!("{} {}", paid["state"].as_str().unwrap(), paid["response_code"].as_str().unwrap())
    }

    fn verify(&self, body: &Value) -> Reply {
        Call::post("/v1/verifications", body).without("idempotency-key").send(&self.rig)
    }
}

/// A date that is not this one.
fn other_date(filled: &Filled, by: usize) -> String {
    let date = filled.expiry.mmyy();
    let month: usize = date[..2].parse().unwrap();
    format!("{:02}{}", (month - 1 + by) % 12 + 1, &date[2..])
}

fn said(error: &WalletError<()>) -> String {
    match error {
        WalletError::Server(ServerError::Said(code)) => code.clone(),
        WalletError::Server(ServerError::Refused) => "refused".to_owned(),
        WalletError::Server(ServerError::Wait { .. }) => "wait".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A28, A29, A30, A31, A36, A41, A43, A44, A45 as a user meets them: the wallet's ETSN becomes a date, and that pays once.
fn a_card_of_every_process_pays_once_for_each_purchase(store: Store) {
    let town = Town::new(store);
    let programme = town.programme("540001", json!({ "numbers": "pseudo", "processes": [0, 1, 2, 3] }));
    for process in 0..4 {
        let own = town.rig.own_number();
        let body = json!({
            "programme": programme, "number": own.as_str(), "expiry": "12/29", "control_digit": process,
        });
        let card = town.order(&body).send(&town.rig).ok()["id"].as_str().unwrap().to_owned();
        let mut phone = town.phone();
        phone.enrol(&card).unwrap();
        let first = phone.pay(&card, wish(500), false).unwrap();
        let number = first.number.as_str().to_owned();
        assert_eq!((&number[..6], &number[6..7]), ("540001", process.to_string().as_str()));
        assert_ne!(number, own.as_str());
        // Several are open, and are told apart; a date that has paid is worth nothing.
        let second = phone.pay(&card, wish(300), false).unwrap();
        assert_eq!(town.shown(&card)["open_etsns"], 2);
        assert_eq!(town.buy(&second, 300), "authorised 00");
        assert_eq!(town.buy(&first, 501), "declined 05", "more than the wallet asked for");
        assert_eq!(town.buy(&first, 500), "authorised 00");
        assert_eq!(town.buy(&first, 500), "declined 05", "the same date again");
        assert_eq!(town.shown(&card)["open_etsns"], 0);
        // A42: a number that is in no row of the conversion table, and an altered digit.
        let altered = format!("{}{}{}", &number[..6], (process + 1) % 4, &number[7..15]);
        let altered = mayfly_card::Pan::with_check_digit(&altered).unwrap();
        let third = phone.pay(&card, wish(100), false).unwrap();
        assert_eq!(town.buy_with(altered.as_str(), &third.expiry.mmyy(), 100), "declined 05");
        assert_eq!(town.buy(&third, 100), "authorised 00");
    }
    let spent = town.rig.get(&town.issuer, &format!("/v1/accounts/{}", town.side.account)).ok();
    assert_eq!(spent["balance"]["minor"], 10_000 - 1_000 - 4 * 900, "{spent}");
    town.rig.stop();
}

/// A25, A30: the card's own number, a key of which the wallet has made its share, and another one for each wallet.
fn a_card_with_its_own_number_pays_with_the_last_wallet_only(store: Store) {
    let town = Town::new(store);
    let programme = town.programme("374000", json!({ "numbers": "own" }));
    let own = mayfly_card::Pan::with_check_digit("374000000000001").unwrap();
    let card = town.card(&programme, own.as_str());
    assert_eq!(town.shown(&card)["kind"], "own");
    let (mut old, mut new) = (town.phone(), town.phone());
    old.enrol(&card).unwrap();
    let filled = old.pay(&card, wish(200), false).unwrap();
    assert_eq!(filled.number.as_str(), own.as_str());
    assert_eq!(town.buy(&filled, 200), "authorised 00");
    assert_eq!(town.buy_with(own.as_str(), "1229", 200), "declined 05", "the card's own date pays nothing");
    new.enrol(&card).unwrap();
    assert_eq!(said(&old.pay(&card, wish(200), false).unwrap_err()), "refused");
    let filled = new.pay(&card, wish(200), false).unwrap();
    assert_eq!(town.buy(&filled, 200), "authorised 00");

    // The same card again, by any account, and one of another BIN.
    let again = json!({ "programme": programme, "number": own.as_str(), "expiry": "12/29" });
    assert_eq!(town.order(&again).send(&town.rig).code(), "number_taken");
    let other = json!({ "programme": programme, "number": "4569409360110520", "expiry": "12/29" });
    assert_eq!(town.order(&other).send(&town.rig).code(), "out_of_bounds");
    town.rig.stop();
}

/// A28, A32, A38: whatever is not as it was MACed is refused in the same words, and creates no ETSN.
fn what_is_not_proved_is_one_refusal_and_opens_nothing(store: Store) {
    let town = Town::new(store);
    let programme = town.programme("540002", json!({ "numbers": "pseudo" }));
    let card = town.card(&programme, "4569409360110520");
    let mut phone = town.phone();
    phone.enrol(&card).unwrap();
    let good = phone.request(&card, wish(500));
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let nobody = mayfly_card::Pan::with_check_digit("540002200000001").unwrap();
    let refusal = town.verify(&with("number", json!(nobody.as_str())));
    assert_eq!((refusal.status, refusal.code().as_str()), (403, "verification_refused"));
    for wrong in [
        with("expiry", json!("1130")),
        with("version", json!(2)),
        with("tsn", json!(0)),
        with("mac", json!("00".repeat(16))),
    ] {
        assert_eq!(town.verify(&wrong).shape(), refusal.shape(), "{wrong}");
    }
    let far = with("tsn", json!(2_000));
    assert_eq!(town.verify(&far).shape(), refusal.shape());
    assert_eq!(town.shown(&card)["open_etsns"], 0);

    // The number has failed often: wrong ones are told to wait, and the right one gets through.
    let waits = (0..15).map(|_| town.verify(&far)).find(|reply| reply.status == 429);
    let wait = waits.expect("the sixth failure costs a second, the next twice as long");
    assert_eq!(wait.code(), "too_many_failures");
    assert!(wait.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let answer = town.verify(&good).ok();
    assert!(answer["etsn"].as_u64() > answer["tsn"].as_u64());
    assert_eq!(answer["amount_max"], good["amount_max"]);
    assert_eq!(town.shown(&card)["open_etsns"], 1);
    // Once.
    assert!([403, 429].contains(&town.verify(&good).status));
    assert_eq!(town.shown(&card)["open_etsns"], 1);
    let listed = town.rig.get(&town.issuer, &format!("/v1/cards/{card}/purchases")).ok();
    assert_eq!(
        (&listed["items"][0]["etsn"], &listed["items"][0]["mode"]),
        (&answer["etsn"], &json!("expiry"))
    );
    assert!(!listed.to_string().contains("reference"));

    // What can't be a request at all says so.
    for (wrong, pointer) in [
        (with("number", json!("123")), "/number"),
        (with("mac", json!("zz")), "/mac"),
        (with("expiry", json!("05/28")), "/expiry"),
        (with("mode", json!("x")), "/mode"),
    ] {
        let reply = town.verify(&wrong);
        assert_eq!(reply.code(), "body_invalid", "{wrong}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
    }

    // An address that fails on and on waits, whatever it asks: each of these numbers fails once only.
    let other = |at: u32| mayfly_card::Pan::with_check_digit(format!("5400022{at:08}")).unwrap();
    let waits = (0..120).any(|at| town.verify(&with("number", json!(other(at).as_str()))).status == 429);
    assert!(waits, "fifty failures are free");
    town.rig.stop();
}

/// A40 as its cardholder meets it: guesses lock, and only he unlocks.
fn three_wrong_dates_lock_and_the_cardholder_unlocks(store: Store) {
    let town = Town::new(store);
    let programme = town.programme("540003", json!({ "numbers": "pseudo", "lock_after": 3 }));
    let card = town.card(&programme, "4569409360110520");
    let mut phone = town.phone();
    phone.enrol(&card).unwrap();
    let filled = phone.pay(&card, wish(500), false).unwrap();
    for by in 1..=3 {
        assert_eq!(town.buy_with(filled.number.as_str(), &other_date(&filled, by), 500), "declined 05");
    }
    let locked = town.shown(&card);
    assert_eq!((&locked["status"], &locked["open_etsns"]), (&json!("locked"), &json!(0)));
    assert!(locked["locked_at"].is_string());
    assert_eq!(town.buy(&filled, 500), "declined 05");
    assert_eq!(said(&phone.pay(&card, wish(500), false).unwrap_err()), "card_locked");

    let unlock = Call::post(&format!("/v1/me/cards/{card}/unlock"), &json!({})).key(&town.session);
    let unlocked = unlock.send(&town.rig).ok();
    assert_eq!((&unlocked["status"], &unlocked["locked_at"]), (&json!("active"), &Value::Null));
    assert_eq!(unlock.send(&town.rig).ok(), unlocked);
    assert_eq!(town.buy(&filled, 500), "declined 05", "what was open when it was locked is void");
    let filled = phone.pay(&card, wish(500), false).unwrap();
    assert_eq!(town.buy(&filled, 500), "authorised 00");

    let closed = town.rig.post(&town.issuer, &format!("/v1/cards/{card}/close"), &json!({})).ok();
    assert_eq!(closed["status"], "closed");
    assert_eq!(said(&phone.pay(&card, wish(500), false).unwrap_err()), "refused");
    for what in ["unlock", "close"] {
        let path = format!("/v1/cards/{card}/{what}");
        assert_eq!(town.rig.post(&town.issuer, &path, &json!({})).code(), "number_not_active");
    }
    let gone = Call::post(&format!("/v1/me/cards/{card}/tsn"), &json!({ "nonce": "00".repeat(16) }));
    assert_eq!(gone.key(&town.session).send(&town.rig).code(), "number_not_active");
    town.rig.stop();
}

fn what_is_wrong_after_the_mac_is_said(store: Store) {
    let town = Town::new(store);
    let terms = json!({
        "numbers": "pseudo", "open_max": 1, "merchant_required": true, "mac_field": null,
        "etsn_lifetime_seconds": 60, "etsn_lifetime_seconds_max": 120,
    });
    let programme = town.programme("540004", terms);
    let card = town.card(&programme, "4569409360110520");
    let mut phone = town.phone();
    phone.enrol(&card).unwrap();
    let shop = mayfly_card::MerchantId::parse("SHOP-1").ok();
    let at_shop = |minor| Wish { merchant: shop, ..wish(minor) };
    let nothing = Wish { merchant: shop, ..Wish::default() };
    for (asked, what) in [
        (nothing, "say what the purchase may come to"),
        (wish(500), "say at which merchant"),
        (Wish { lifetime_s: Some(121), ..at_shop(500) }, "1 to 120 seconds"),
    ] {
        let reply = town.verify(&phone.request(&card, asked));
        assert_eq!((reply.status, reply.code().as_str()), (422, "out_of_bounds"));
        assert!(reply.body.contains(what), "{reply:?}");
    }
    let mut field = phone.request(&card, at_shop(500));
    field["mode"] = json!("field");
    assert!(town.verify(&field).body.contains("no MAC field"));
    let filled = phone.pay(&card, at_shop(500), false).unwrap();
    assert_eq!(town.verify(&phone.request(&card, at_shop(500))).code(), "open_purchases_max");
    assert_eq!(town.buy(&filled, 500), "declined 05", "another merchant");
    let path = format!("/v1/accounts/{}/state", town.side.account);
    town.rig.post(&town.issuer, &path, &json!({ "closed": true })).ok();
    assert_eq!(town.verify(&phone.request(&card, at_shop(500))).code(), "account_closed");
    town.rig.stop();
}

fn an_enrolment_is_done_once_and_leaves_nothing_when_it_fails(store: Store) {
    let town = Town::new(store);
    let rows = || {
        let mut count = 0;
        town.rig.directory.each_conversion(None, |_| count += 1).unwrap();
        count
    };
    let pseudo = town.programme("540005", json!({ "numbers": "pseudo", "processes": [0, 2] }));
    let own = town.programme("374001", json!({ "numbers": "own" }));
    let number = mayfly_card::Pan::with_check_digit("374001000000001").unwrap();
    for (programme, number) in [(&pseudo, "4569409360110520"), (&own, number.as_str())] {
        let order = town.order(&json!({ "programme": programme, "number": number, "expiry": "12/29" }));
        let before = rows();
        let (first, again) = (order.send(&town.rig), order.send(&town.rig));
        assert_eq!((first.status, first.shape()), (201, again.shape()));
        assert!(first.header("location").is_some_and(|at| at.starts_with("/v1/cards/num_")));
        assert!(!first.body.contains(number), "{first:?}");
        let other = order
            .clone()
            .body(json!({ "programme": programme, "number": number, "expiry": "11/29" }).to_string());
        let other = other.send(&town.rig).code();
        assert!(["idempotency_key_reused", "number_taken"].contains(&other.as_str()), "{other}");
        assert_eq!(rows(), before + 1);
    }
    let before = rows();
    let with = |field: &str, value: Value| {
        let mut body = json!({ "programme": pseudo, "number": "4569409360110520", "expiry": "12/29" });
        body[field] = value;
        town.order(&body).send(&town.rig)
    };
    let theirs = town.rig.with_cards(town.rig.issuer());
    let before = before + 1;
    for (reply, code) in [
        (with("expiry", json!("01/25")), "body_invalid"),
        (with("control_digit", json!(1)), "body_invalid"),
        // A43: reserved.
        (with("control_digit", json!(4)), "body_invalid"),
        (with("number", json!("4569409360110521")), "body_invalid"),
        (with("programme", json!(town.side.programme.to_string())), "programme_not_of_cards"),
        (with("programme", json!(theirs.cards.to_string())), "not_found"),
    ] {
        assert_eq!(reply.code(), code);
        assert!(!reply.body.contains("45694093601105"), "{reply:?}");
    }
    // No one-time numbers in a programme of cards.
    let body = json!({ "account": town.side.account.to_string(), "programme": pseudo });
    assert_eq!(town.rig.post(&town.issuer, "/v1/numbers", &body).code(), "programme_of_cards");
    let limited = json!({ "prefix": "540006", "active_max": 1, "check_site": { "numbers": "pseudo" } });
    let limited =
        town.rig.post(&town.issuer, "/v1/programmes", &json!({ "name": "One", "terms": limited })).ok();
    let limited = with("programme", limited["id"].clone());
    assert_eq!(limited.code(), "active_numbers_max");
    assert_eq!(rows(), before, "nothing is left of what was refused");
    let path = format!("/v1/programmes/{pseudo}/state");
    town.rig.post(&town.issuer, &path, &json!({ "closed": true })).ok();
    assert_eq!(with("expiry", json!("12/29")).code(), "programme_closed");
    assert_eq!(rows(), before);
    town.rig.stop();
}

fn cards_are_their_cardholders_and_their_issuers(store: Store) {
    let town = Town::new(store);
    let programme = town.programme("540007", json!({ "numbers": "pseudo" }));
    let ids: Vec<String> = (0..3).map(|_| town.card(&programme, town.rig.own_number().as_str())).collect();
    let more = town.rig.more(town.side.issuer, town.side.programme);
    town.link(town.side.cardholder, more.account);
    let path = format!("/v1/accounts/{}/cards", more.account);
    let body = json!({ "programme": programme, "number": "4569409360110520", "expiry": "12/29" });
    let last = town.rig.post(&town.issuer, &path, &body).ok();

    // Pages: account after account, nothing twice, and no one-time numbers among them.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..10 {
        let page =
            Call::get(&format!("/v1/me/cards?limit=2{cursor}")).key(&town.session).send(&town.rig).ok();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|card| card["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut expected: Vec<String> = ids.iter().rev().cloned().collect();
    expected.push(last["id"].as_str().unwrap().to_owned());
    assert_eq!(seen, expected);
    let listed = town.rig.get(&town.issuer, &format!("/v1/accounts/{}/cards", town.side.account)).ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    assert_eq!(listed["items"][0].as_object().unwrap().len(), 9, "{listed}");

    // Anybody else's, and what is no card, is as good as not there.
    let other = town.rig.session(more.issuer, more.cardholder);
    let number = town.side.number.to_string();
    let empty = Call::get("/v1/me/cards").key(&other).send(&town.rig).ok();
    assert_eq!(empty["items"], json!([]));
    for (session, card) in [(&other, &ids[0]), (&town.session, &number)] {
        for (what, body) in [
            (
                "wallet",
                json!({ "point": "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU" }),
            ),
            ("tsn", json!({ "nonce": "00".repeat(16) })),
            ("unlock", json!({})),
        ] {
            let path = format!("/v1/me/cards/{card}/{what}");
            assert_eq!(Call::post(&path, &body).key(session).send(&town.rig).code(), "not_found", "{path}");
        }
    }
    let path = format!("/v1/cards/{number}");
    assert_eq!(town.rig.get(&town.issuer, &path).code(), "not_found");
    let theirs = town.rig.key(Role::Issuer, Some(town.rig.issuer().issuer)).secret;
    assert_eq!(town.rig.get(&theirs, &format!("/v1/cards/{}", ids[0])).code(), "not_found");

    // A package is answered again to its repeat, and is another one the next time.
    let point = json!({ "point": "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU" });
    let path = format!("/v1/me/cards/{}/wallet", ids[0]);
    let give = Call::post(&path, &point).key(&town.session);
    let package = give.send(&town.rig).ok();
    assert_eq!(give.send(&town.rig).ok(), package);
    assert_ne!(Call::post(&path, &point).key(&town.session).send(&town.rig).ok(), package);
    // A37: what a wallet gets.
    let mut names: Vec<&String> = package.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        ["expiry", "field", "last_tsn", "number", "point", "shared", "versions", "wrapped_key"]
    );
    assert_eq!((&package["expiry"], &package["shared"]), (&json!("1229"), &json!(false)));
    let wrong = Call::post(&path, &json!({ "point": "AAAA" })).key(&town.session).send(&town.rig);
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/point");
    town.rig.stop();
}

fn a_restored_wallet_counts_on(store: Store) {
    let town = Town::new(store);
    let programme = town.programme("540008", json!({ "numbers": "pseudo", "open_max": 8 }));
    let card = town.card(&programme, "4569409360110520");
    let (mut phone, mut copy) = (town.phone(), town.phone());
    phone.enrol(&card).unwrap();
    copy.enrol(&card).unwrap();
    for _ in 0..3 {
        phone.pay(&card, wish(100), false).unwrap();
    }
    assert_eq!(said(&copy.pay(&card, wish(100), false).unwrap_err()), "refused");
    copy.restore(&card).unwrap();
    let filled = copy.pay(&card, wish(100), false).unwrap();
    assert_eq!(town.buy(&filled, 100), "authorised 00");
    town.rig.stop();
}

fn a_restart_forgets_neither_cards_nor_open_purchases(store: Store) {
    let town = Town::new(store);
    let pseudo = town.programme("540020", json!({ "numbers": "pseudo", "processes": [3] }));
    let own = town.programme("374020", json!({ "numbers": "own" }));
    let number = mayfly_card::Pan::with_check_digit("374020000000001").unwrap();
    let cards = [town.card(&pseudo, "4569409360110520"), town.card(&own, number.as_str())];
    let mut phone = town.phone();
    let filled: Vec<Filled> = cards
        .iter()
        .map(|card| {
            phone.enrol(card).unwrap();
            phone.pay(card, wish(500), false).unwrap()
        })
        .collect();
    let wallet = phone.wallet;
    let Town { rig, side, issuer, shop, session } = town;
    let town = Town { rig: rig.restart(), side, issuer, shop, session };
    let mut phone = Phone { wallet, ..town.phone() };
    for (card, filled) in cards.iter().zip(&filled) {
        assert_eq!(town.shown(card)["open_etsns"], 1);
        assert_eq!(town.buy(filled, 500), "authorised 00");
        let next = phone.pay(card, wish(100), false).unwrap();
        assert_eq!(town.buy(&next, 100), "authorised 00");
        assert_eq!(town.buy(filled, 500), "declined 05");
    }
    town.rig.stop();
}

/// A crash between the row and its number leaves a card that nobody has.
fn what_is_left_of_an_enrolment_is_removed_at_the_next_start(store: Store) {
    let town = Town::new(store);
    let programme = town.programme("540009", json!({ "numbers": "pseudo" }));
    let card = town.card(&programme, "4569409360110520");
    let mut kept = Vec::new();
    town.rig.directory.each_conversion(None, |row| kept.push(row)).unwrap();
    let [row] = &kept[..] else { panic!("there is one card") };
    let left = mayfly_keys::NumberIndex(row.index.0 ^ 1);
    let by = By { actor: "test", now_ms: 1 };
    let new = mayfly_store::directory::NewConversion {
        index: left,
        issuer: row.issuer,
        account: row.account,
        programme: row.programme,
        conversion: &row.conversion,
    };
    let added: Result<_, DirectoryError> =
        town.rig.directory.write(by, |writing| writing.add_conversion(&new, &mut mayfly_keys::OsRandom));
    assert!(added.unwrap());
    // A closed card is kept: what was bought with it goes on.
    town.rig.post(&town.issuer, &format!("/v1/cards/{card}/close"), &json!({})).ok();
    assert_eq!(town.rig.load_cards(), (1, 1));
    assert!(town.rig.directory.conversion(left).unwrap().is_none());
    assert!(town.rig.directory.conversion(row.index).unwrap().is_some());
    town.rig.stop();
}

/// The check site's terms: all of them are shown, what is left out has its default, and what can't be says why.
#[test]
fn programmes_of_cards_say_what_they_are() {
    let town = Town::new(Store::Sqlite);
    let programme = town.programme("540010", json!({ "numbers": "pseudo" }));
    let shown = town.rig.get(&town.issuer, &format!("/v1/programmes/{programme}")).ok();
    let expected = json!({
        "numbers": "pseudo", "processes": [2], "months": 96, "furthest_months": 120, "etsn_lifetime_seconds": 900,
        "etsn_lifetime_seconds_max": 86_400, "open_max": 3, "lock_after": 3,
        "versions": { "oldest": 1, "newest": 1 }, "amount_required": true, "merchant_required": false,
        "mac_field": { "acs": 0, "method": 0, "key": 0 }, "field_merchants": [],
    });
    assert_eq!(shown["terms"]["check_site"], expected);
    assert_eq!(shown["terms"]["lifetime_seconds_max"], 3660 * 86_400);
    let own = town.programme(
        "540011",
        json!({ "numbers": "own", "mac_field": null, "months": 120, "field_merchants": ["M-1"] }),
    );
    let shown = town.rig.get(&town.issuer, &format!("/v1/programmes/{own}")).ok();
    let check_site = &shown["terms"]["check_site"];
    assert_eq!((&check_site["processes"], &check_site["mac_field"]), (&json!([]), &Value::Null));
    assert_eq!(
        (&check_site["furthest_months"], &check_site["field_merchants"]),
        (&json!(121), &json!(["M-1"]))
    );
    for (terms, what) in [
        (json!({ "prefix": "54001", "check_site": { "numbers": "pseudo" } }), "6-9"),
        (json!({ "prefix": "540012", "check_site": { "numbers": "pseudo", "processes": [4] } }), "reserved"),
        (
            json!({ "prefix": "540012", "check_site": { "numbers": "pseudo", "processes": [] } }),
            "one at least",
        ),
        (json!({ "prefix": "540012", "check_site": { "numbers": "own", "processes": [0] } }), "own numbers"),
        (json!({ "prefix": "540012", "check_site": { "numbers": "pseudo", "months": 11 } }), "12 to 120"),
        (json!({ "prefix": "540012", "check_site": { "numbers": "pseudo", "open_max": 9 } }), "1 to 8"),
    ] {
        let reply = town.rig.post(&town.issuer, "/v1/programmes", &json!({ "name": "X", "terms": terms }));
        assert_eq!(reply.code(), "out_of_bounds", "{terms}");
        assert!(reply.body.contains(what), "{reply:?}");
    }
    let one_time = town.rig.get(&town.issuer, &format!("/v1/programmes/{}", town.side.programme)).ok();
    assert_eq!(one_time["terms"]["check_site"], Value::Null);
    town.rig.stop();
}
