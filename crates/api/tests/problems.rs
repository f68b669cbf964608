//! What is wrong with a request comes out as a problem document, whatever it is.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Call, Reply, Rig};
use mayfly_store::directory::Role;
use mayfly_testing::{Store, on_both};
use serde_json::json;

on_both! {
    lists_come_in_pages
    a_repeat_is_answered_again_and_done_once
    a_number_from_its_order_to_its_end
}

#[test]
fn each_kind_of_bad_request_has_its_code() {
    let rig = Rig::start();
    let ours = rig.issuer();
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let (account, programme) = (ours.account, ours.programme);
    let funds = format!("/v1/accounts/{account}/funds");
    let good = json!({ "amount": { "minor": 1, "currency": "USD" } });
    let post = || Call::post(&funds, &good);
    let order = |body| Call::post("/v1/numbers", &body);
    let body = |text: &str| post().body(text);
    for (call, status, code) in [
        // The path and the method.
        (Call::get("/"), 404, "route_unknown"),
        (Call::get("/v1/nothing"), 404, "route_unknown"),
        (Call::get("/v1/accounts/"), 404, "route_unknown"),
        (Call::new("DELETE", "/v1/accounts"), 405, "method_not_allowed"),
        (Call::new("PUT", &funds), 405, "method_not_allowed"),
        (Call::new("BREW", "/v1/health"), 405, "method_not_allowed"),
        (Call::get("/v1/accounts/num_1"), 400, "id_invalid"),
        (Call::get("/v1/accounts/acct_"), 400, "id_invalid"),
        (Call::get("/v1/accounts/acct_zzzzzzzzzzzzzzzzzz"), 400, "id_invalid"),
        (Call::get("/v1/accounts/%ff"), 400, "id_invalid"),
        (Call::get("/v1/accounts/acct_zz"), 404, "not_found"),
        // The query.
        (Call::get("/v1/accounts?nonsense=1"), 400, "parameter_invalid"),
        (Call::get("/v1/accounts?limit=0"), 400, "parameter_invalid"),
        (Call::get("/v1/accounts?limit=101"), 400, "parameter_invalid"),
        (Call::get("/v1/accounts?limit=-1"), 400, "parameter_invalid"),
        (Call::get("/v1/accounts?limit=many"), 400, "parameter_invalid"),
        (Call::get("/v1/accounts?limit=1&limit=2"), 400, "parameter_invalid"),
        (Call::get("/v1/accounts?issuer=acct_1"), 400, "parameter_invalid"),
        (Call::get("/v1/accounts?cursor=nonsense"), 422, "cursor_invalid"),
        (Call::get("/v1/accounts?cursor="), 422, "cursor_invalid"),
        (Call::get("/v1/numbers"), 400, "parameter_invalid"),
        (Call::get(&format!("/v1/numbers?account={account}&state=lost")), 400, "parameter_invalid"),
        (Call::get("/v1/authorisations?account=acct_1&number=num_1"), 422, "parameters_conflict"),
        (Call::get(&format!("/v1/accounts/{account}?x=1")), 400, "parameter_invalid"),
        (Call::post(&format!("{funds}?x=1"), &good), 400, "parameter_invalid"),
        (Call::get("/v1/health?x=1"), 400, "parameter_invalid"),
        (Call::get("/v1/openapi.json?x=1"), 400, "parameter_invalid"),
        // The idempotency key.
        (post().without("idempotency-key"), 400, "idempotency_key_missing"),
        (post().header("idempotency-key", "a b"), 400, "idempotency_key_invalid"),
        (post().header("idempotency-key", ""), 400, "idempotency_key_invalid"),
        (post().header("idempotency-key", &"a".repeat(256)), 400, "idempotency_key_invalid"),
        // The body as a whole.
        (post().without("content-type"), 415, "media_type_unsupported"),
        (post().header("content-type", "text/plain"), 415, "media_type_unsupported"),
        (post().header("content-type", "application/jsonx"), 415, "media_type_unsupported"),
        (body("{"), 400, "json_invalid"),
        (body(r#"{"amount":{"minor":1,"currency":"USD"}} {}"#), 400, "json_invalid"),
        (body("\"\\ud800\""), 400, "json_invalid"),
        (post().body([b'"', 0xff, b'"']), 400, "json_invalid"),
        (post().body(vec![b' '; 64 * 1024 + 1]), 413, "body_too_large"),
        (body(&"[".repeat(10_000)), 422, "body_invalid"),
        // What is in it.
        (body(""), 422, "body_invalid"),
        (body("null"), 422, "body_invalid"),
        (body("[]"), 422, "body_invalid"),
        (body(r#"{"amount":null}"#), 422, "body_invalid"),
        (body(r#"{"amount":{"minor":1.5,"currency":"USD"}}"#), 422, "body_invalid"),
        (body(r#"{"amount":{"minor":1e3,"currency":"USD"}}"#), 422, "body_invalid"),
        (body(r#"{"amount":{"minor":99999999999999999999,"currency":"USD"}}"#), 422, "body_invalid"),
        (body(r#"{"amount":{"minor":1000000000000,"currency":"USD"}}"#), 422, "body_invalid"),
        (body(r#"{"amount":{"minor":1,"minor":2,"currency":"USD"}}"#), 422, "body_invalid"),
        (body(r#"{"amount":{"minor":1,"currency":"XXX"}}"#), 422, "body_invalid"),
        (body(r#"{"amount":{"minor":1,"currency":"EUR"}}"#), 422, "currency_mismatch"),
        (body(r#"{"amount":{"minor":1,"currency":"USD"},"more":1}"#), 422, "body_invalid"),
        (body(r#"{"amount":{"minor":-999999999999,"currency":"USD"}}"#), 409, "funds_missing"),
        (Call::post(&format!("/v1/accounts/{account}/limit"), &json!({})), 422, "body_invalid"),
        (Call::post("/v1/accounts", &json!({ "currency": "USD", "name": "x" })), 422, "body_invalid"),
        (
            Call::post("/v1/programmes", &json!({ "name": " ", "terms": { "prefix": "499999" } })),
            422,
            "body_invalid",
        ),
        (
            Call::post(
                "/v1/programmes",
                &json!({ "name": "x", "terms": { "prefix": "499999", "hold_days": 91 } }),
            ),
            422,
            "out_of_bounds",
        ),
        (
            Call::post("/v1/programmes", &json!({ "name": "Shopping", "terms": { "prefix": "499999" } })),
            409,
            "name_taken",
        ),
        (order(json!({ "account": account.to_string(), "uses": 0 })), 422, "out_of_bounds"),
        (
            order(json!({ "account": account.to_string(), "lifetime_seconds": u64::MAX })),
            422,
            "out_of_bounds",
        ),
        (order(json!({ "account": account.to_string(), "programme": "prog_zz" })), 404, "not_found"),
        (
            order(json!({ "account": account.to_string(), "controls": { "mcc_allowed": vec!["5411"; 65] } })),
            422,
            "out_of_bounds",
        ),
        (
            order(json!({
                "account": account.to_string(), "programme": programme.to_string(),
                "controls": { "amount_max": { "minor": 5, "currency": "EUR" } },
            })),
            422,
            "currency_mismatch",
        ),
    ] {
        let reply = call.clone().key(&key).send(&rig);
        let shown = format!("{} {} {:?}", call.method, call.path, String::from_utf8_lossy(&call.body));
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{:.200}", shown);
        if code == "method_not_allowed" {
            assert!(reply.header("allow").is_some(), "{reply:?}");
        }
        if code == "body_invalid" {
            assert!(!reply.json()["errors"].as_array().unwrap().is_empty(), "{shown}");
        }
    }
    assert_eq!(rig.get(&key, &format!("/v1/accounts/{account}")).ok()["balance"]["minor"], 9_000);
    rig.stop();
}

/// What somebody puts where it does not belong is not repeated to him, nor to the log.
#[test]
fn a_card_number_in_the_wrong_place_is_not_repeated() {
    let rig = Rig::start();
    let ours = rig.issuer();
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let pan = "4569409360110520";
    let funds = format!("/v1/accounts/{}/funds", ours.account);
    for call in [
        Call::get(&format!("/v1/accounts/{pan}")),
        Call::get(&format!("/v1/{pan}")),
        Call::get(&format!("/v1/accounts?{pan}=1")),
        Call::get(&format!("/v1/accounts?issuer={pan}")),
        Call::get(&format!("/v1/accounts?cursor={pan}")),
        Call::get(&format!("/v1/accounts?limit={pan}")),
        Call::post(&funds, &json!({ pan: 1 })),
        Call::post(&funds, &json!({ "amount": pan })),
        Call::post(&funds, &json!({ "amount": { "minor": pan, "currency": "USD" } })),
        Call::post(&funds, &json!({ "amount": { "minor": 1, "currency": pan } })),
        Call::post("/v1/programmes", &json!({ "name": pan.repeat(3), "terms": { "prefix": pan } })),
        Call::new("POST", "/v1/accounts").header("idempotency-key", &format!("{pan} {pan}")),
    ] {
        let asked = call.header("x-request-id", "fixed").key(&key);
        let reply = asked.send(&rig);
        assert!(!format!("{reply:?}").contains(pan), "{reply:?}");
        reply.code();
    }
    rig.stop();
}

fn lists_come_in_pages(store: Store) {
    let rig = Rig::start_on(store);
    let ours = rig.issuer();
    for _ in 0..4 {
        rig.more(ours.issuer, ours.programme);
    }
    let key = rig.key(Role::Auditor, Some(ours.issuer)).secret;
    for path in ["/v1/accounts", "/v1/authorisations", "/v1/keys"] {
        let all = rig.get(&key, &format!("{path}?limit=100")).ok();
        assert_eq!(all["next_cursor"], json!(null), "{path}");
        let all = all["items"].as_array().unwrap().clone();
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = rig.get(&key, &format!("{path}?limit=2{cursor}")).ok();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            found.extend(items.iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, all, "{path}");
        assert!(found.len() >= 5, "{path}");
    }
    rig.stop();
}

fn a_repeat_is_answered_again_and_done_once(store: Store) {
    let rig = Rig::start_on(store);
    let (ours, theirs) = (rig.issuer(), rig.issuer());
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let funds = |minor: u64| {
        let body = json!({ "amount": { "minor": minor, "currency": "USD" } });
        Call::post(&format!("/v1/accounts/{}/funds", ours.account), &body)
            .header("idempotency-key", "f")
            .key(&key)
    };
    let first = funds(500).send(&rig).ok();
    assert_eq!(first["balance"]["minor"], 9_500);
    assert_eq!(funds(500).send(&rig).ok(), first);
    let other = funds(501).send(&rig);
    assert_eq!((other.status, other.code().as_str()), (409, "idempotency_key_reused"));
    // The same body for another account is something else, too.
    let more = rig.more(ours.issuer, ours.programme);
    let path = format!("/v1/accounts/{}/funds", more.account);
    let elsewhere = Call { path, ..funds(500) }.send(&rig);
    assert_eq!(elsewhere.code(), "idempotency_key_reused");
    assert_eq!(rig.get(&key, &format!("/v1/accounts/{}", ours.account)).ok()["balance"]["minor"], 9_500);

    // Another issuer's key is another key.
    let their_key = rig.key(Role::Issuer, Some(theirs.issuer)).secret;
    let body = json!({ "amount": { "minor": 700, "currency": "USD" } });
    let call = Call::post(&format!("/v1/accounts/{}/funds", theirs.account), &body);
    assert_eq!(
        call.header("idempotency-key", "f").key(&their_key).send(&rig).ok()["balance"]["minor"],
        9_700
    );

    // What is shown once is shown again to who did not hear it.
    for (path, body, secret) in [
        ("/v1/numbers", json!({ "account": ours.account.to_string() }), "number"),
        ("/v1/keys", json!({ "role": "auditor", "name": "x" }), "secret"),
    ] {
        let call = Call::post(path, &body).key(&key);
        let (first, again) = (call.send(&rig), call.send(&rig));
        assert_eq!(first.status, 201);
        assert!(first.json()[secret].is_string());
        assert_eq!(first.body, again.body);
        assert_eq!(first.header("location"), again.header("location"));
        let other =
            call.clone().body(json!({ "role": "issuer", "account": "acct_zz" }).to_string()).send(&rig);
        assert_ne!(other.status, 201);
    }
    rig.stop();
}

#[test]
fn requests_have_ids_and_answers_are_not_kept() {
    let rig = Rig::start();
    let sent = Call::get("/v1/health").header("x-request-id", "checkout-4711").send(&rig);
    assert_eq!(sent.header("x-request-id"), Some("checkout-4711"));
    assert_eq!(sent.ok(), json!({ "status": "ok" }));
    let refused = Call::get("/v1/accounts").header("x-request-id", "a/b").send(&rig);
    assert_ne!(refused.header("x-request-id"), Some("a/b"));
    assert_eq!(refused.code(), "unauthenticated");
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    let description = Call::get("/v1/openapi.json").send(&rig);
    assert_eq!(description.ok(), serde_json::to_value(mayfly_api::openapi()).unwrap());
    rig.stop();
}

/// What hyper refuses by itself has no document, but a status.
#[test]
fn headers_are_bounded() {
    let rig = Rig::start();
    let many = (0..100).fold(Call::get("/v1/health"), |call, at| call.header(&format!("x-{at}"), "1"));
    assert_eq!(many.send(&rig).status, 431);
    let long = Call::get("/v1/health").header("x-long", &"a".repeat(32 * 1024));
    assert_eq!(long.send(&rig).status, 431);
    let path = Call::get(&format!("/v1/{}", "a".repeat(32 * 1024)));
    assert!((400..=431).contains(&path.send(&rig).status));
    assert_eq!(Reply::parse(&rig.raw(b"nonsense\r\n\r\n")).status, 400);
    rig.stop();
}

fn a_number_from_its_order_to_its_end(store: Store) {
    let rig = Rig::start_on(store);
    let ours = rig.issuer();
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let controls = json!({
        "amount_max": { "minor": 5000, "currency": "USD" }, "total_max": null, "currency": "USD",
        "merchant": { "fixed": "M-1" }, "mcc_allowed": ["5411"], "mcc_refused": [], "countries": ["840"],
        "channel": "card_not_present",
    });
    let order = json!({ "account": ours.account.to_string(), "lifetime_seconds": 600, "controls": controls });
    let issued = rig.post(&key, "/v1/numbers", &order);
    assert_eq!(issued.status, 201);
    let (path, issued) = (issued.header("location").unwrap().to_owned(), issued.json());
    assert_eq!(issued["number"].as_str().map(str::len), Some(16));
    assert_eq!(issued["expiration_date"].as_str().map(|date| (date.len(), &date[2..3])), Some((5, "/")));
    let number = rig.get(&key, &path).ok();
    assert_eq!((&number["state"], &number["controls"]), (&json!("active"), &controls));
    assert!(issued["number"].as_str().unwrap().ends_with(number["last_four"].as_str().unwrap()));
    let cancelled = Call::new("POST", &format!("{path}/cancel")).header("idempotency-key", "c").key(&key);
    assert_eq!(cancelled.send(&rig).ok()["state"], "cancelled");
    assert_eq!(cancelled.send(&rig).ok()["state"], "cancelled", "a repeat");
    assert_eq!(rig.post(&key, &format!("{path}/cancel"), &json!({})).code(), "number_not_active");
    let list = rig.get(&key, &format!("/v1/numbers?account={}&state=cancelled", ours.account)).ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);

    let purchase = rig.get(&key, &format!("/v1/authorisations/{}", ours.authorisation)).ok();
    assert_eq!(purchase["standing"]["held"], json!({ "minor": 1000, "currency": "USD" }));
    assert_eq!((&purchase["kind"], &purchase["origin"]["merchant"]), (&json!("purchase"), &json!("M-001")));
    let path = format!("/v1/holds/{}/release", ours.authorisation);
    assert_eq!(rig.post(&key, &path, &json!({})).ok()["standing"]["held"]["minor"], 0);
    assert_eq!(rig.post(&key, &path, &json!({})).code(), "nothing_held");
    rig.stop();
}
