//! What operators do, over a real socket, with a real server on a real directory.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use common::{Running, purchase, send};
use mayfly_server::client::{Client, ClientError};
use mayfly_server::protocol::{
    AccountLimit, AdminRequest, AdminResponse, ErrorCode, IssueNumber, Merchant, NumberControls, NumberState,
    OpenProgramme, Page, TermsAsked, Text, Transaction,
};
use mayfly_testing::{Store, on_both};

on_both! {
    a_number_from_its_order_to_its_end
    what_was_written_is_seen_at_once_and_after_a_restart
    a_lifetime_that_is_over_shows
    lists_come_in_pages
    accounts_are_changed
}

fn id<T: Text>(text: &str) -> T {
    T::read(text).unwrap()
}

fn transactions(running: &mut Running, request: AdminRequest) -> (Vec<Transaction>, Option<String>) {
    match running.ask(request) {
        AdminResponse::Transactions(list) => (list.items, list.next),
        other => panic!("{other:?}"),
    }
}

fn of_account(limit: u32, cursor: Option<String>) -> AdminRequest {
    let page = Page { limit: Some(limit), cursor };
    AdminRequest::ListTransactions { account: Some(id("acct_1")), number: None, page }
}

fn a_number_from_its_order_to_its_end(store: Store) {
    let mut running = Running::start(store);
    let account = running.furnished();
    assert_eq!((account.balance.minor, account.available.minor, account.active_numbers), (10_000, 10_000, 0));

    let controls = NumberControls {
        amount_max_minor: Some(5_000),
        merchant: Merchant::FirstUse,
        mcc_allowed: vec![id("5411")],
        countries: vec![],
        ..NumberControls::default()
    };
    let issued = running.issue(controls.clone(), Some(600));
    assert_eq!(issued.number.length(), 16);
    assert!(issued.number.as_str().starts_with("456940") && issued.cvc2.expose().len() == 3);
    assert_eq!(running.account().active_numbers, 1);

    let number = running.number(&issued);
    assert_eq!((number.state, number.uses_left, number.retired), (NumberState::Active, 1, None));
    assert_eq!(number.masked, issued.number.to_string(), "masked as the number masks itself");
    assert_eq!(number.controls, controls);
    assert_eq!(number.expires, issued.expires);

    let mut network = running.network();
    assert_eq!(send(&mut network, &purchase(&issued, "0100", 1, 5_001)), "61");
    assert_eq!(send(&mut network, &purchase(&issued, "0100", 2, 2_498)), "00");
    let account = running.account();
    assert_eq!((account.balance.minor, account.held.minor), (7_502, 2_498));

    let number = running.number(&issued);
    assert_eq!((number.state, number.uses_left, number.spent.minor), (NumberState::Used, 0, 2_498));
    assert_eq!(number.bound_to.map(|merchant| merchant.to_string()).as_deref(), Some("M-0001"));
    assert!(number.retired.is_some());

    let (made, _) = transactions(
        &mut running,
        AdminRequest::ListTransactions { account: None, number: Some(issued.id), page: Page::default() },
    );
    let told: Vec<_> =
        made.iter().map(|it| (it.response.as_str(), it.reason.as_str(), it.amount.to_string())).collect();
    assert_eq!(told, [("00", "approved", "24.98 USD".into()), ("61", "over-amount", "50.01 USD".into())]);
    assert_eq!(made[0].standing.map(|it| (it.authorised, it.held)), Some((2_498, 2_498)));
    let entries: Vec<_> = made[0].entries.iter().map(|entry| (entry.book.as_str(), entry.minor)).collect();
    assert_eq!(entries, [("cardholder", -2_498), ("held", 2_498)]);
    let merchant = made[0].merchant.as_ref().unwrap();
    assert_eq!((merchant.id.as_str(), merchant.entry_mode.value()), ("M-0001", 812));

    let refused = running.refused(AdminRequest::CancelNumber { number: issued.id });
    assert_eq!(refused.code, ErrorCode::Conflict);
    running.stop();
}

fn what_was_written_is_seen_at_once_and_after_a_restart(store: Store) {
    let mut running = Running::start(store);
    running.furnished();
    let first = running.issue(NumberControls::default(), None);
    let second = running.issue(NumberControls::default(), None);
    let AdminResponse::Number(cancelled) = running.ask(AdminRequest::CancelNumber { number: first.id })
    else {
        panic!("a number was expected")
    };
    assert_eq!(cancelled.state, NumberState::Cancelled);
    let list = |running: &mut Running, state| {
        let account = id("acct_1");
        match running.ask(AdminRequest::ListNumbers { account, state, page: Page::default() }) {
            AdminResponse::Numbers(list) => list.items.iter().map(|number| number.id).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let look = |running: &mut Running| {
        assert_eq!(list(running, None), [second.id, first.id]);
        assert_eq!(list(running, Some(NumberState::Active)), [second.id]);
        assert_eq!(list(running, Some(NumberState::Cancelled)), [first.id]);
        assert_eq!(list(running, Some(NumberState::Used)), []);
        assert_eq!(running.account().balance.minor, 10_000);
    };
    look(&mut running);
    let before = running.status();
    let mut running = Running::on(running.stop(), "");
    look(&mut running);
    assert_eq!(running.status().durable, before.durable);
    let mut network = running.network();
    assert_eq!(send(&mut network, &purchase(&first, "0100", 1, 100)), "05");
    assert_eq!(send(&mut network, &purchase(&second, "0100", 2, 100)), "00");
    running.stop();
}

fn a_lifetime_that_is_over_shows(store: Store) {
    let mut running = Running::start(store);
    running.furnished();
    let issued = running.issue(NumberControls::default(), Some(1));
    assert_eq!(running.number(&issued).state, NumberState::Active);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(running.number(&issued).state, NumberState::Expired);
    running.stop();
}

fn lists_come_in_pages(store: Store) {
    let mut running = Running::start(store);
    running.furnished();
    for minor in 1..=6 {
        running.ask(AdminRequest::Fund { account: id("acct_1"), minor });
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let (items, next) = transactions(&mut running, of_account(3, cursor));
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|it| it.amount.minor));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 10_000]);
    let (all, _) = transactions(
        &mut running,
        AdminRequest::ListTransactions { account: None, number: None, page: Page::default() },
    );
    assert_eq!(all.len(), 7);
    assert!(all[0].merchant.is_none() && all[0].message.is_empty());

    for name in ["Beta", "Gamma", "Delta"] {
        running.ask(AdminRequest::OpenIssuer { name: id(name) });
    }
    let page = Page { limit: Some(3), cursor: None };
    let AdminResponse::Issuers(list) = running.ask(AdminRequest::ListIssuers { page }) else { panic!() };
    assert_eq!((list.items.len(), list.next.as_deref()), (3, Some("iss_4")));
    let AdminResponse::Issuers(list) =
        running.ask(AdminRequest::ListIssuers { page: Page { limit: None, cursor: list.next } })
    else {
        panic!()
    };
    assert_eq!((list.items.len(), list.next), (1, None));

    for (limit, cursor) in [(0, None), (501, None), (1, Some("acct_1".to_owned()))] {
        let page = Page { limit: Some(limit), cursor };
        let refused = running.refused(AdminRequest::ListIssuers { page });
        assert!(matches!(refused.code, ErrorCode::Limit | ErrorCode::Invalid), "{refused}");
    }
    running.stop();
}

fn accounts_are_changed(store: Store) {
    let mut running = Running::start(store);
    running.furnished();
    let account = id("acct_1");
    let AdminResponse::Account(shown) =
        running.ask(AdminRequest::SetLimit { account, limit: AccountLimit::Credit { minor: 500 } })
    else {
        panic!()
    };
    assert_eq!((shown.limit, shown.available.minor), (AccountLimit::Credit { minor: 500 }, 10_500));
    let channel = id("card-not-present");
    running.ask(AdminRequest::BlockChannel { account, channel, blocked: true });
    assert_eq!(running.account().blocked_channels, [channel]);
    let issued = running.issue(NumberControls::default(), None);
    let mut network = running.network();
    assert_eq!(send(&mut network, &purchase(&issued, "0100", 1, 100)), "57");
    running.ask(AdminRequest::BlockChannel { account, channel, blocked: false });
    assert_eq!(send(&mut network, &purchase(&issued, "0100", 2, 100)), "00");
    let refused = running.refused(AdminRequest::Fund { account, minor: -20_000 });
    assert_eq!(refused.code, ErrorCode::Funds);
    running.stop();
}

#[test]
fn every_refusal_has_its_code() {
    let mut running = Running::start(Store::Sqlite);
    running.furnished();
    let issuer = id("iss_1");
    let open = |terms, universal: Option<&str>| {
        let name = id("Other");
        AdminRequest::OpenProgramme(Box::new(OpenProgramme {
            issuer,
            name,
            terms,
            universal: universal.map(id),
        }))
    };
    let standard = TermsAsked::standard(id("541999"));
    let order = |uses, programme: Option<&str>| {
        AdminRequest::IssueNumber(Box::new(IssueNumber {
            account: id("acct_1"),
            programme: programme.map(id),
            uses,
            lifetime_s: None,
            controls: NumberControls::default(),
        }))
    };
    for (request, code) in [
        (AdminRequest::OpenIssuer { name: id("Acme") }, ErrorCode::Taken),
        (AdminRequest::OpenIssuer { name: id(" ") }, ErrorCode::Invalid),
        (AdminRequest::ShowIssuer { issuer: id("iss_9") }, ErrorCode::NotFound),
        (AdminRequest::ShowAccount { account: id("acct_9") }, ErrorCode::NotFound),
        (AdminRequest::ShowNumber { number: id("num_9") }, ErrorCode::NotFound),
        (AdminRequest::CancelNumber { number: id("num_9") }, ErrorCode::NotFound),
        (AdminRequest::ShowTransaction { transaction: id("txn_9") }, ErrorCode::NotFound),
        (
            AdminRequest::ListAccounts { issuer: Some(id("iss_9")), page: Page::default() },
            ErrorCode::NotFound,
        ),
        (open(TermsAsked::standard(id("456940")), None), ErrorCode::Taken),
        (open(TermsAsked { hold_days: Some(91), ..standard.clone() }, None), ErrorCode::Limit),
        (open(TermsAsked { tolerance_percent: Some(0.001), ..standard.clone() }, None), ErrorCode::Limit),
        (open(TermsAsked { layout: Some(id("1+3+0+11+0")), ..standard.clone() }, None), ErrorCode::Limit),
        (open(standard.clone(), Some("4569409360110520")), ErrorCode::Limit),
        (order(Some(0), None), ErrorCode::Limit),
        (order(None, Some("prog_9")), ErrorCode::NotFound),
        (AdminRequest::Fund { account: id("acct_1"), minor: i64::MIN }, ErrorCode::Limit),
        (
            AdminRequest::ListTransactions {
                account: Some(id("acct_1")),
                number: Some(id("num_1")),
                page: Page::default(),
            },
            ErrorCode::Invalid,
        ),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(running.refused(request).code, code, "{shown}");
    }
    let universal = open(TermsAsked { lifetime_s: Some(60), ..standard }, Some("5419990000000014"));
    let AdminResponse::Programme(programme) = running.ask(universal) else { panic!() };
    assert_eq!(programme.universal.as_deref(), Some("541999******0014"));
    assert_eq!(programme.terms.lifetime_s, Some(60));
    assert_eq!(programme.terms.layout.map(|layout| layout.to_string()).as_deref(), Some("1+5+0+9+0"));
    assert_eq!(running.refused(order(None, None)).code, ErrorCode::Conflict, "two programmes: one is named");
    running.stop();
}

/// What another program than our own client may send.
#[test]
fn raw_lines() {
    let running = Running::start(Store::Sqlite);
    let stream = UnixStream::connect(running.socket()).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |line: &str| {
        (&stream).write_all(line.as_bytes()).unwrap();
        answers.next().unwrap().unwrap()
    };
    assert_eq!(
        ask("{\"version\":1,\"request\":{\"open-issuer\":{\"name\":\"Acme\"}}}\n"),
        r#"{"version":1,"response":{"issuer":{"id":"iss_1","name":"Acme","host_wait_ms":5000,"stand_in_max_minor":0}}}"#
    );
    assert_eq!(
        ask("{\"version\":1,\"request\":{\"show-issuer\":{\"issuer\":\"iss_9\"}}}\n"),
        r#"{"version":1,"error":{"code":"not-found","message":"there is no issuer iss_9"}}"#
    );
    assert!(ask("hello\n").contains(r#""code":"invalid""#));
    assert!(ask("{\"version\":7,\"request\":\"anything\"}\n").contains(r#""code":"version""#));
    assert!(ask(&format!("{}\n", "x".repeat(70_000))).contains(r#""code":"limit""#));
    assert!(answers.next().is_none_or(|line| line.is_err()), "the connection is closed then");

    // Half a request does not keep a server from stopping.
    let mut half = UnixStream::connect(running.socket()).unwrap();
    half.write_all(b"{\"version\":1,").unwrap();
    running.stop();
}

#[test]
fn a_client_without_a_server_is_told_what_to_do() {
    let directory = Running::start(Store::Sqlite).stop();
    let path = directory.path().join("admin.sock");
    let error = Client::connect(&path).unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }));
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("mayfly serve"), "{text}");
}
