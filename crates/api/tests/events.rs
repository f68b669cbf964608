//! The journal, as each of its readers sees it.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Rig, Side};
use mayfly_card::{Channel, MinorUnits};
use mayfly_core::{CreditLimit, Event, Hash64, NumberId, OnceKey};
use mayfly_engine::{Clock, ManualClock, SystemClock};
use mayfly_store::JournalReader;
use mayfly_store::directory::Role;
use mayfly_testing::{Store, on_both};
use serde_json::{Value, json};

on_both! {
    an_issuer_sees_exactly_its_own_events
    events_of_an_account_or_a_number_are_found
    numbers_that_retire_at_once_are_shown_to_each_issuer_apart
    few_among_many_are_all_found
}

/// All events that a key is shown, page by page.
fn all(rig: &Rig, key: &str, query: &str, limit: usize) -> Vec<Value> {
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page = rig.get(key, &format!("/v1/events?limit={limit}{query}{cursor}")).ok();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        found.extend(items.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// What happens to an account besides what [`Rig::more`] does.
fn change(rig: &Rig, side: &Side) {
    let (office, runtime) = (&rig.office, &rig.runtime);
    let limit = CreditLimit::Credit(MinorUnits::new(5_000).unwrap());
    let once = OnceKey { key: Hash64(rig.next()), content: Hash64(1) };
    runtime.block_on(office.set_limit(side.account, limit, Some(once))).unwrap();
    runtime.block_on(office.block_channel(side.account, Channel::CardPresent, true, None)).unwrap();
    runtime.block_on(office.cancel_number(side.number, None)).unwrap();
}

/// The kinds of these events.
fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

fn an_issuer_sees_exactly_its_own_events(store: Store) {
    let rig = Rig::start_on(store);
    let (ours, theirs) = (rig.issuer(), rig.issuer());
    // One after the other, so that each issuer's stand between the other's.
    let more = rig.more(ours.issuer, ours.programme);
    change(&rig, &theirs);
    change(&rig, &ours);
    let theirs_more = rig.more(theirs.issuer, theirs.programme);
    let operator = rig.operator();

    let everything = all(&rig, &operator, "", 100);
    let journal = JournalReader::open(&rig.home).unwrap();
    let mut events = 0;
    for record in journal.records(mayfly_core::PartitionId::FIRST, 1) {
        record.unwrap().each_event(|_: Event| events += 1).unwrap();
    }
    assert_eq!(everything.len(), events, "an operator sees all of the journal");
    let kept = everything.iter().filter(|event| event["kind"] == "answer_kept").count();
    assert!(kept >= 2, "{:?}", kinds(&everything));

    let mut shown = 0;
    for (side, also) in [(&ours, &more), (&theirs, &theirs_more)] {
        let mut own: Option<Vec<Value>> = None;
        for role in [Role::Issuer, Role::Auditor] {
            let key = rig.key(role, Some(side.issuer)).secret;
            for limit in [1, 2, 7, 100] {
                let found = all(&rig, &key, "", limit);
                assert_eq!(own.get_or_insert_with(|| found.clone()), &found, "{role} {limit}");
            }
        }
        let own = own.unwrap();
        shown += own.len();
        let expected = [
            &["issuer_opened", "programme_opened"][..],
            &["account_opened", "transacted", "number_issued", "transacted", "number_issued"],
        ]
        .concat();
        assert_eq!(kinds(&own)[..expected.len()], expected);
        let mut counts =
            [("transacted", 4), ("number_issued", 4), ("numbers_retired", 1), ("limit_set", 1)].to_vec();
        counts.extend([("channel_blocked", 1), ("account_opened", 2), ("answer_kept", 0)]);
        for (kind, count) in counts {
            assert_eq!(own.iter().filter(|event| event["kind"] == kind).count(), count, "{kind}");
            // What is asked for by its kind is the same, and in the same order.
            let of_kind: Vec<_> = own.iter().filter(|event| event["kind"] == kind).cloned().collect();
            let key = rig.key(Role::Auditor, Some(side.issuer)).secret;
            assert_eq!(all(&rig, &key, &format!("&kind={kind}"), 1), of_kind);
        }
        // In the journal's order, and as an operator sees them who asks for this issuer's.
        let mut rest = everything.iter();
        assert!(own.iter().all(|event| rest.any(|other| other == event)));
        assert_eq!(all(&rig, &operator, &format!("&issuer={}", side.issuer), 3), own);
        // Every id of an account or a number in them is this issuer's.
        for event in &own {
            let data = &event["data"];
            let account = data["account"].as_str();
            assert!(
                account.is_none_or(|id| id == side.account.to_string() || id == also.account.to_string()),
                "{event}"
            );
            assert!(data["issuer"].as_str().is_none_or(|id| id == side.issuer.to_string()), "{event}");
        }
    }
    assert_eq!(shown + kept, everything.len(), "each event is somebody's, or a kept answer");
    rig.stop();
}

fn events_of_an_account_or_a_number_are_found(store: Store) {
    let rig = Rig::start_on(store);
    let (ours, theirs) = (rig.issuer(), rig.issuer());
    let more = rig.more(ours.issuer, ours.programme);
    change(&rig, &ours);
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;

    let of_account = all(&rig, &key, &format!("&account={}", ours.account), 1);
    let expected = ["account_opened", "transacted", "number_issued", "transacted", "number_issued"];
    let expected = [&expected[..], &["limit_set", "channel_blocked", "numbers_retired"]].concat();
    assert_eq!(kinds(&of_account), expected);
    let of_number = all(&rig, &key, &format!("&number={}", ours.number), 1);
    assert_eq!(kinds(&of_number), ["number_issued", "numbers_retired"]);
    let retired = json!({ "numbers": [{ "number": ours.number.to_string(), "why": "cancelled" }] });
    assert_eq!(of_number[1]["data"], retired);
    assert_eq!(of_number[1], of_account[7]);
    let both = format!("&number={}&account={}", ours.number, more.account);
    assert_eq!(all(&rig, &key, &both, 1), Vec::<Value>::new());

    // An event's id asks for what happened later; what happened since shows, too.
    let last = of_account[7]["id"].as_str().unwrap();
    assert_eq!(all(&rig, &key, &format!("&after={last}"), 100), Vec::<Value>::new());
    rig.more(ours.issuer, ours.programme);
    assert_eq!(all(&rig, &key, &format!("&after={last}"), 2).len(), 5);

    for (query, code) in [
        (format!("account={}", theirs.account), "not_found"),
        (format!("number={}", theirs.number), "not_found"),
        (format!("number={}", NumberId(90_000)), "not_found"),
        (format!("issuer={}", theirs.issuer), "not_found"),
        ("kind=numbers-retired".to_owned(), "parameter_invalid"),
        ("after=evt_0_0".to_owned(), "parameter_invalid"),
        ("cursor=AAAA".to_owned(), "cursor_invalid"),
        ("limit=0".to_owned(), "parameter_invalid"),
    ] {
        assert_eq!(rig.get(&key, &format!("/v1/events?{query}")).code(), code, "{query}");
    }
    // A place beyond the journal's end is just its end.
    let beyond = rig.get(&key, "/v1/events?after=evt_281474976710655_4294967295").ok();
    assert_eq!(beyond, json!({ "items": [], "next_cursor": null }));
    rig.stop();
}

/// The numbers that retired because their time was over, event by event.
fn expired(rig: &Rig, key: &str, query: &str) -> Vec<Vec<String>> {
    let events = all(rig, key, &format!("&kind=numbers_retired{query}"), 100);
    let of = |event: &Value| -> Vec<String> {
        let numbers = event["data"]["numbers"].as_array().unwrap().iter();
        let expired = numbers.filter(|number| number["why"] == "expired");
        expired.map(|number| number["number"].as_str().unwrap().to_owned()).collect()
    };
    events.iter().map(of).filter(|event| !event.is_empty()).collect()
}

/// Numbers of several issuers that retire at once are one event; each issuer is shown its own of them.
fn numbers_that_retire_at_once_are_shown_to_each_issuer_apart(store: Store) {
    let clock = Arc::new(ManualClock::at(SystemClock.now_ms()));
    let rig = Rig::at(store, clock.clone());
    let sides = [rig.issuer(), rig.issuer()];
    let mut issued = sides.map(|side| HashSet::from([side.number.to_string()]));
    for _ in 0..12 {
        for (side, issued) in sides.iter().zip(&mut issued) {
            issued.insert(rig.order(side.account, side.programme).id.to_string());
        }
    }
    // What is folded does not lag behind when an hour has passed.
    let operator = rig.operator();
    rig.get(&operator, "/v1/authorisations").ok();
    clock.set(clock.now_ms() + 3_600_000);
    let until = Instant::now() + Duration::from_secs(20);
    while expired(&rig, &operator, "").concat().len() < 26 {
        assert!(Instant::now() < until, "they were not retired");
        std::thread::sleep(Duration::from_millis(50));
    }
    let whole = expired(&rig, &operator, "");
    let has = |event: &[String], issued: &HashSet<String>| event.iter().any(|id| issued.contains(id));
    let of_both = |event: &Vec<String>| issued.iter().all(|issued| has(event, issued));
    assert!(whole.iter().any(of_both), "none is of both: {whole:?}");
    for (side, issued) in sides.iter().zip(&issued) {
        let key = rig.key(Role::Auditor, Some(side.issuer)).secret;
        let own = whole.iter().map(|event| event.iter().filter(|id| issued.contains(*id)).cloned().collect());
        let own: Vec<Vec<String>> = own.filter(|event: &Vec<String>| !event.is_empty()).collect();
        assert_eq!(own.concat().len(), 13);
        assert_eq!(expired(&rig, &key, ""), own);
        for key in [&key, &operator] {
            assert_eq!(expired(&rig, key, &format!("&account={}", side.account)), own);
            assert_eq!(expired(&rig, key, &format!("&number={}", side.number)), [[side.number.to_string()]]);
        }
    }
    rig.stop();
}

/// One who has few events among many, in one record or in many, is shown all of them.
fn few_among_many_are_all_found(store: Store) {
    let rig = Rig::start_on(store);
    let (ours, theirs) = (rig.issuer(), rig.issuer());
    for _ in 0..300 {
        let block = rig.office.block_channel(theirs.account, Channel::CardPresent, true, None);
        rig.runtime.block_on(block).unwrap();
    }
    let more = rig.more(ours.issuer, ours.programme);
    let at_once = (0..1_500).map(|count| {
        let (office, side) = (rig.office.clone(), if count % 100 == 0 { ours } else { theirs });
        rig.runtime.spawn(async move {
            office.block_channel(side.account, Channel::CardPresent, count % 200 == 0, None).await.unwrap()
        })
    });
    for done in at_once.collect::<Vec<_>>() {
        rig.runtime.block_on(done).unwrap();
    }
    change(&rig, &more);
    let operator = rig.operator();
    let key = rig.key(Role::Issuer, Some(ours.issuer)).secret;
    let everything = all(&rig, &operator, "", 100);
    let of_kind = everything.iter().filter(|event| event["kind"] == "channel_blocked").count();
    assert_eq!(of_kind, 300 + 1_500 + 1);
    let own = all(&rig, &key, "", 100);
    assert_eq!(own.len(), 2 + 5 + 5 + 15 + 3, "{:?}", kinds(&own));
    assert_eq!(all(&rig, &key, "", 4), own);
    let ids: HashSet<&str> = everything.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), everything.len());
    rig.stop();
}
