//! Who may do what, with whose things.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Call, Reply, Rig, Side};
use mayfly_api::{Access, ROUTES, Route};
use mayfly_store::directory::Role;
use mayfly_testing::{Store, on_both};
use serde_json::{Value, json};

on_both! {
    every_route_with_every_role_and_the_wrong_issuer
    lists_show_nothing_of_another_issuer
    a_taken_prefix_names_nobody
    keys_are_made_rotated_and_revoked
}

/// A request on a route that names things of one side, and would be done for who may do it.
fn call(rig: &Rig, route: &Route, role: Role, side: &Side) -> Call {
    let [authorised, captured, declined] = side.payments;
    let path = match route.path {
        path if path.starts_with("/v1/issuers/") => path.replace("{id}", &side.issuer.to_string()),
        path if path.starts_with("/v1/programmes/") => path.replace("{id}", &side.programme.to_string()),
        path if path.starts_with("/v1/accounts/") => path.replace("{id}", &side.account.to_string()),
        path if path.starts_with("/v1/cards/") => path.replace("{id}", &side.card.to_string()),
        path if path.starts_with("/v1/numbers/") => path.replace("{id}", &side.number.to_string()),
        path if path.starts_with("/v1/cardholders/") => path.replace("{id}", &side.cardholder.to_string()),
        path if path.starts_with("/v1/merchants/") => path.replace("{id}", &side.merchant.to_string()),
        path if path.ends_with("/refund") => path.replace("{id}", &captured.to_string()),
        path if path.ends_with("/number") => path.replace("{id}", &declined.to_string()),
        path if path.starts_with("/v1/payments/") => path.replace("{id}", &authorised.to_string()),
        path if path.starts_with("/v1/webhooks/") => path.replace("{id}", &side.webhook.to_string()),
        path if path.starts_with("/v1/keys/") => path.replace("{id}", &side.key.to_string()),
        path => path.replace("{id}", &side.authorisation.to_string()),
    };
    if route.method == "GET" {
        let query = match route.path {
            "/v1/programmes" | "/v1/accounts" | "/v1/keys" | "/v1/events" => {
                format!("?issuer={}", side.issuer)
            }
            "/v1/payments" if role != Role::Merchant => format!("?merchant={}", side.merchant),
            "/v1/numbers" | "/v1/authorisations" => format!("?account={}", side.account),
            _ => String::new(),
        };
        return Call::get(&(path + &query));
    }
    Call::post(&path, &body(rig, route, role, side))
}

fn body(rig: &Rig, route: &Route, role: Role, side: &Side) -> Value {
    let unique = rig.next();
    let id = |text: &dyn ToString| text.to_string();
    match route.path {
        "/v1/issuers" => json!({ "name": format!("New {unique}") }),
        "/v1/programmes" => json!({
            "issuer": id(&side.issuer), "name": format!("New {unique}"),
            "terms": { "prefix": format!("5{unique:05}") },
        }),
        "/v1/accounts" => json!({ "issuer": id(&side.issuer), "currency": "USD" }),
        "/v1/issuers/{id}/host" => json!({ "time_limit_ms": 1000, "stand_in_max_minor": 500 }),
        "/v1/accounts/{id}/limit" => json!({ "credit_limit": { "minor": 5000, "currency": "USD" } }),
        "/v1/accounts/{id}/funds" => json!({ "amount": { "minor": 100, "currency": "USD" } }),
        // The programme of all fresh things stays open.
        "/v1/accounts/{id}/state" => json!({ "closed": true }),
        "/v1/programmes/{id}/state" => json!({ "closed": false }),
        "/v1/accounts/{id}/cards" => json!({
            "programme": id(&side.cards), "number": rig.own_number().as_str(), "expiry": "12/29",
        }),
        "/v1/cards/{id}/unlock" | "/v1/cards/{id}/close" => json!({}),
        "/v1/accounts/{id}/channels" => json!({ "channel": "card_present", "blocked": true }),
        "/v1/numbers" => json!({ "account": id(&side.account), "programme": id(&side.programme) }),
        "/v1/keys" => json!({ "issuer": id(&side.issuer), "role": "auditor", "name": "new" }),
        "/v1/keys/{id}/rotate" => json!({ "issuer": id(&side.issuer), "overlap_seconds": 60 }),
        "/v1/keys/{id}/revoke" => json!({ "issuer": id(&side.issuer) }),
        "/v1/cardholders" => json!({ "name": format!("Person {unique}") }),
        "/v1/cardholders/{id}/state" => json!({ "state": "blocked" }),
        "/v1/cardholders/{id}/accounts" => json!({ "account": id(&side.account) }),
        "/v1/merchants" => json!({
            "name": "Bookshop", "card_acceptor": format!("NEW-{unique}"), "mcc": "5942", "country": "840",
        }),
        "/v1/programmes/{id}/console" => json!({ "url": "https://bank.example/console" }),
        "/v1/payments" => {
            let mut order = number(rig, side);
            order["reference"] = json!("order 17");
            order["amount"] = json!({ "minor": 100, "currency": "USD" });
            if role != Role::Merchant {
                order["merchant"] = json!(id(&side.merchant));
            }
            order
        }
        "/v1/payments/{id}/number" => number(rig, side),
        "/v1/payments/{id}/capture" | "/v1/payments/{id}/cancel" | "/v1/payments/{id}/refund" => json!({}),
        "/v1/merchants/{id}/state" => json!({ "state": "closed" }),
        "/v1/webhooks" => json!({ "url": "http://127.0.0.1:9/nobody-listens-there" }),
        // What is bought until it is removed is approved soon.
        "/v1/decision_hook" => json!({
            "url": "http://127.0.0.1:9/nobody-listens-there", "time_limit_ms": 100, "when_late": "approve",
        }),
        "/v1/decision_hook/remove" => json!({}),
        "/v1/webhooks/{id}" => json!({ "state": "paused" }),
        "/v1/webhooks/{id}/secret" => json!({ "overlap_seconds": 60 }),
        "/v1/webhooks/{id}/replay" => json!({ "after": "evt_1_0" }),
        "/v1/webhooks/{id}/test" | "/v1/webhooks/{id}/delete" => json!({}),
        "/v1/cardholders/{id}/invitations" | "/v1/numbers/{id}/cancel" | "/v1/holds/{id}/release" => {
            json!({})
        }
        "/v1/simulate/sales" => {
            let mut sale = number(rig, side);
            sale["amount"] = json!({ "minor": 100, "currency": "USD" });
            sale
        }
        "/v1/simulate/authorisations/{id}/reversals" => json!({}),
        path if path.starts_with("/v1/simulate/authorisations/") => {
            json!({ "amount": { "minor": 100, "currency": "USD" } })
        }
        other => panic!("{other}: say what is posted there"),
    }
}

/// A number of that side's, as a shop sends it; any number where there is no such side.
fn number(rig: &Rig, side: &Side) -> Value {
    if side.account == Side::nowhere().account {
        return json!({ "number": "4569409360110520", "expiration_date": "05/30" });
    }
    let issued = rig.order(side.account, side.programme);
    let date = issued.expiry.mmyy();
    json!({
        "number": issued.pan.as_str(), "expiration_date": format!("{}/{}", &date[..2], &date[2..]),
        "cvc2": std::str::from_utf8(issued.cvc2.expose()).unwrap(),
    })
}

/// Acceptance row A89: every route, with every role, and with the wrong issuer's things.
///
/// Whoever has no key, or a wrong one, learns nothing; a role that may not is told so, whatever it names; one that may
/// does it with its own issuer's things; and another issuer's are answered exactly as what there never was.
fn every_route_with_every_role_and_the_wrong_issuer(store: Store) {
    let rig = Rig::start_on(store);
    let whole = |side| rig.with_cards(rig.with_payments(side));
    let (ours, theirs) = (whole(rig.issuer()), whole(rig.issuer()));
    let nowhere = Side::nowhere();
    let mut walked = 0;
    for route in ROUTES {
        let allowed = match route.access {
            Access::Keys(allowed) => allowed,
            Access::Anybody => {
                call(&rig, route, Role::Operator, &ours).send(&rig).ok();
                continue;
            }
            // What they need is no key: tests of their own show that.
            Access::Session | Access::Stranger { .. } | Access::Wallet => continue,
        };
        for role in Role::ALL {
            let what = format!("{} {} as {role}", route.method, route.path);
            let tenant = (role != Role::Operator).then_some(ours.issuer);
            let fresh = whole(rig.more(ours.issuer, ours.programme));
            let key = match role {
                Role::Merchant => rig.merchant_key(ours.issuer, fresh.merchant).secret,
                _ => rig.key(role, tenant).secret,
            };
            let send = |side: &Side| call(&rig, route, role, side).key(&key).send(&rig);
            walked += 1;
            if !allowed.contains(&role) {
                for side in [&ours, &theirs, &nowhere] {
                    let reply = send(side);
                    assert_eq!((reply.status, reply.code().as_str()), (403, "role_not_allowed"), "{what}");
                }
                continue;
            }
            let own = send(&fresh);
            assert!((200..300).contains(&own.status), "{what}: {own:?}");
            // It names nobody: it is about the caller's own issuer always, or the merchant himself.
            let is_own = matches!(route.path, "/v1/cardholders" | "/v1/merchants" | "/v1/webhooks")
                || route.path.starts_with("/v1/decision_hook")
                || (role == Role::Merchant && route.path == "/v1/payments");
            if tenant.is_some() && !is_own {
                let (other, none) = (send(&theirs), send(&nowhere));
                let unknown = match route.path {
                    "/v1/simulate/sales" => (409, "not_sandbox"),
                    _ => (404, "not_found"),
                };
                assert_eq!((none.status, none.code().as_str()), unknown, "{what}");
                assert_eq!(other.shape(), none.shape(), "{what}");
                assert_eq!(names(&other), names(&none), "{what}");
                // To a merchant another merchant of his issuer is nobody, too.
                if role == Role::Merchant {
                    assert_eq!(send(&ours).shape(), none.shape(), "{what}");
                }
            }
        }
    }
    assert_eq!(walked, ROUTES.iter().filter(|route| route.roles().is_some()).count() * Role::ALL.len());
    assert!(walked > 100);
    rig.stop();
}

/// The names of the headers of an answer.
fn names(reply: &Reply) -> Vec<&str> {
    reply.headers.iter().map(|(name, _)| name.as_str()).collect()
}

/// What a list shows is of the caller's issuer only, whatever its cursor says.
fn lists_show_nothing_of_another_issuer(store: Store) {
    let rig = Rig::start_on(store);
    let (ours, theirs) = (rig.issuer(), rig.issuer());
    rig.more(ours.issuer, ours.programme);
    let issuer = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let paths = [
        "/v1/programmes".to_owned(),
        "/v1/accounts".to_owned(),
        "/v1/keys".to_owned(),
        "/v1/cardholders".to_owned(),
        "/v1/merchants".to_owned(),
        "/v1/authorisations".to_owned(),
        "/v1/events".to_owned(),
        format!("/v1/numbers?account={}", ours.account),
    ];
    let hidden = [
        theirs.issuer.to_string(),
        theirs.programme.to_string(),
        theirs.account.to_string(),
        theirs.number.to_string(),
        theirs.authorisation.to_string(),
        theirs.key.to_string(),
        theirs.cardholder.to_string(),
        theirs.merchant.to_string(),
        theirs.webhook.to_string(),
    ];
    for path in &paths {
        let (mut cursor, mut seen) = (String::new(), 0);
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = rig.get(&issuer, &format!("{path}{sign}limit=1{cursor}")).ok();
            seen += page["items"].as_array().unwrap().len();
            for id in &hidden {
                assert!(!page["items"].to_string().contains(&format!("\"{id}\"")), "{path} shows {id}");
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(seen > 0, "{path}");
    }
    let webhooks = rig.get(&issuer, "/v1/webhooks").ok()["items"].to_string();
    assert!(webhooks.contains(&ours.webhook.to_string()) && !webhooks.contains(&theirs.webhook.to_string()));
    // Another account's number as a cursor shows nothing.
    let operator = rig.operator();
    let page = rig.get(&operator, &format!("/v1/authorisations?account={}&limit=1", theirs.account)).ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("/v1/authorisations?account={}&cursor={cursor}", ours.account);
    assert_eq!(rig.get(&issuer, &path).ok()["items"], json!([]));
    rig.stop();
}

/// What is refused because of another issuer's things does not say whose they are.
fn a_taken_prefix_names_nobody(store: Store) {
    let rig = Rig::start_on(store);
    let (ours, theirs) = (rig.issuer(), rig.issuer());
    let operator = rig.operator();
    let prefix =
        rig.get(&operator, &format!("/v1/programmes/{}", theirs.programme)).ok()["terms"]["prefix"].clone();
    let issuer = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let body = json!({ "name": "Mine", "terms": { "prefix": prefix } });
    let reply = rig.post(&issuer, "/v1/programmes", &body);
    assert_eq!((reply.status, reply.code().as_str()), (409, "prefix_taken"));
    assert!(!reply.body.contains("prog_"), "{reply:?}");
    rig.stop();
}

#[test]
fn whoever_has_no_valid_key_learns_nothing() {
    let rig = Rig::start();
    let ours = rig.issuer();
    let operator = rig.operator();
    let revoked = rig.key(Role::Issuer, Some(ours.issuer));
    let path = format!("/v1/accounts/{}", ours.account);
    rig.get(&revoked.secret, &path).ok();
    let body = json!({ "issuer": ours.issuer.to_string() });
    let shown = rig.post(&operator, &format!("/v1/keys/{}/revoke", revoked.id), &body).ok();
    assert!(shown["revoked_at"].is_string());

    let expected = Call::get(&path).send(&rig);
    assert_eq!((expected.status, expected.code().as_str()), (401, "unauthenticated"));
    assert!(expected.header("www-authenticate").unwrap().starts_with("Bearer"));
    let unknown = format!("mfk_{}", "A".repeat(43));
    for value in [
        format!("Bearer {}", revoked.secret),
        format!("Bearer {unknown}"),
        format!("Bearer {}x", operator),
        format!("Basic {operator}"),
        operator.clone(),
        "Bearer".to_owned(),
        "Bearer mfs_AAAA".to_owned(),
    ] {
        let reply = Call::get(&path).header("Authorization", &value).send(&rig);
        assert_eq!(reply.shape(), expected.shape());
    }
    let two = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {operator}\r\nAuthorization: Bearer {operator}\r\n\r\n"
    );
    assert_eq!(Reply::parse(&rig.raw(two.as_bytes())).shape(), expected.shape());
    for route in ROUTES.iter().filter(|route| route.roles().is_some()) {
        let reply = call(&rig, route, Role::Operator, &ours).send(&rig);
        assert_eq!(reply.shape(), expected.shape(), "{} {}", route.method, route.path);
    }
    // The scheme's name is written in any case.
    Call::get(&path).header("Authorization", &format!("bearer {operator}")).send(&rig).ok();
    rig.stop();
}

/// Cardholders' routes let in nobody without a session, whatever key he has.
#[test]
fn no_key_is_a_session() {
    let rig = Rig::start();
    let ours = rig.with_payments(rig.issuer());
    let keys = [None, Some(rig.operator()), Some(rig.key(Role::Issuer, Some(ours.issuer)).secret)];
    for route in ROUTES.iter().filter(|route| route.access == Access::Session) {
        let path = match route.path {
            path if path.contains("/numbers/") || path.contains("/cards/") => {
                path.replace("{id}", &ours.number.to_string())
            }
            path if path.contains("/payments/") => path.replace("{id}", &ours.payments[0].to_string()),
            path => path.replace("{id}", &ours.account.to_string()),
        };
        for key in &keys {
            let call = if route.method == "GET" { Call::get(&path) } else { Call::post(&path, &json!({})) };
            let reply = key.iter().fold(call, |call, key| call.key(key)).send(&rig);
            assert_eq!((reply.status, reply.code().as_str()), (401, "session_unknown"), "{path}");
        }
    }
    rig.stop();
}

fn keys_are_made_rotated_and_revoked(store: Store) {
    let rig = Rig::start_on(store);
    let ours = rig.issuer();
    let issuer = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let made =
        rig.post(&issuer, "/v1/keys", &json!({ "role": "issuer", "name": "shop", "lifetime_seconds": 600 }));
    assert_eq!(made.status, 201);
    let made = made.json();
    let secret = made["secret"].as_str().unwrap();
    let (id, hint) = (made["key"]["id"].as_str().unwrap(), made["key"]["hint"].as_str().unwrap());
    assert!(secret.starts_with(hint) && hint.len() < 10);
    rig.get(secret, "/v1/accounts").ok();

    // Only its hint is shown later.
    let listed = rig.get(&issuer, "/v1/keys");
    assert!(!listed.body.contains(secret) && listed.body.contains(hint));

    let path = format!("/v1/keys/{id}/rotate");
    let rotated = rig.post(&issuer, &path, &json!({ "overlap_seconds": 60 })).ok();
    let next = rotated["secret"].as_str().unwrap();
    for both in [secret, next] {
        rig.get(both, "/v1/accounts").ok();
    }
    assert_eq!(rig.post(&issuer, &path, &json!({ "overlap_seconds": 60 })).code(), "key_over");
    let path = format!("/v1/keys/{}/rotate", rotated["key"]["id"].as_str().unwrap());
    let last = rig.post(&issuer, &path, &json!({ "overlap_seconds": 0 })).ok();
    assert_eq!(rig.get(next, "/v1/accounts").status, 401, "without an overlap the old one ends at once");
    let last_secret = last["secret"].as_str().unwrap();
    let path = format!("/v1/keys/{}/revoke", last["key"]["id"].as_str().unwrap());
    rig.post(last_secret, &path, &json!({})).ok();
    assert_eq!(rig.get(last_secret, "/v1/accounts").status, 401);

    // An issuer makes no operators, and an operator's key has no issuer.
    let operator = rig.operator();
    for (key, body) in [
        (&issuer, json!({ "role": "operator", "name": "x" })),
        (&operator, json!({ "role": "operator", "name": "x", "issuer": ours.issuer.to_string() })),
        (&operator, json!({ "role": "issuer", "name": "x" })),
        (&issuer, json!({ "role": "issuer", "name": "x", "lifetime_seconds": 0 })),
    ] {
        assert_eq!(rig.post(key, "/v1/keys", &body).code(), "body_invalid", "{body}");
    }
    let made = rig.post(&operator, "/v1/keys", &json!({ "role": "operator", "name": "x" })).ok();
    rig.get(made["secret"].as_str().unwrap(), "/v1/issuers").ok();
    rig.stop();
}
