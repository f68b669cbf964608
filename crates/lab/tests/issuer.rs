//! The issuer host over TCP, as an acquirer meets it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mayfly_card::{Currency, Expiry, MinorUnits, Pan};
use mayfly_iso8583::{De, Dialect, MessageBuilder, Mti};
use mayfly_lab::issuer::{Account, Fault, IssuerHost, Ledger, SharedLedger, SignOn};
use mayfly_lab::{Acceptor, Acquirer, AcquirerError, Card, Register};
use tokio::runtime::Runtime;

const AT_MS: u64 = 1_700_000_000_000;

fn card() -> Card {
    Card {
        pan: Pan::parse("4761739001010119").unwrap(),
        expiry: Expiry::parse_yymm("4912").unwrap(),
        cvc2: None,
    }
}

fn amount(minor: u64) -> MinorUnits {
    MinorUnits::new(minor).unwrap()
}

fn ledger() -> SharedLedger {
    let mut ledger = Ledger::new();
    let (expiry, currency) = (card().expiry, Currency::from_number(840).unwrap());
    ledger.open(&card().pan, Account { expiry, currency, funds: amount(10_000), blocked: false });
    Arc::new(Mutex::new(ledger))
}

fn register() -> Register {
    Register::new(Acceptor::web_shop("SHOP").unwrap())
}

fn start(runtime: &Runtime, port: u16, dialect: &'static Dialect, ledger: SharedLedger) -> IssuerHost {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    runtime.block_on(IssuerHost::start(address, dialect, ledger)).unwrap()
}

fn code(answer: &MessageBuilder) -> &str {
    answer.text(De::RESPONSE_CODE).unwrap()
}

#[test]
fn it_answers_as_an_issuer_does_in_every_dialect() {
    let runtime = Runtime::new().unwrap();
    for name in Dialect::BUILTIN {
        let dialect = Dialect::builtin(name).unwrap();
        let host = start(&runtime, 0, dialect, ledger());
        let mut acquirer = Acquirer::connect(host.address(), dialect).unwrap();
        let mut register = register();
        let early = register.sale(AT_MS, &card(), amount(1));
        assert_eq!(code(&acquirer.send(&early).unwrap()), "12", "it has not signed on");
        assert_eq!(host.before_sign_on(), 1);
        for question in [register.sign_on(AT_MS), register.echo(AT_MS)] {
            let answer = acquirer.send(&question).unwrap();
            assert_eq!((answer.mti(), code(&answer)), (Mti::NETWORK_RESPONSE, "00"));
        }
        let hold = register.authorisation(AT_MS, &card(), amount(2_498));
        let answer = acquirer.send(&hold).unwrap();
        assert_eq!((answer.mti(), code(&answer)), (Mti::AUTHORISATION_RESPONSE, "00"));
        assert_eq!(answer.text(De::APPROVAL_CODE).map(str::len), Some(6));
        assert_eq!(answer.text(De::AMOUNT), Some("000000002498"));
        let sale = register.sale(AT_MS, &card(), amount(7_503));
        assert_eq!(code(&acquirer.send(&sale).unwrap()), "51");
        let mut reversal = register.reversal(AT_MS, &hold, None);
        reversal.set_mti(Mti::REVERSAL_ADVICE);
        let answer = acquirer.send(&reversal).unwrap();
        assert_eq!((answer.mti(), code(&answer)), (Mti::REVERSAL_ADVICE_RESPONSE, "00"));
        assert_eq!(answer.text(De::ORIGINAL_DATA), reversal.text(De::ORIGINAL_DATA));
        assert_eq!(code(&acquirer.send(&register.repeat(&reversal)).unwrap()), "00");
        assert_eq!(code(&acquirer.send(&register.sale(AT_MS, &card(), amount(7_503))).unwrap()), "00");
        assert_eq!(host.ledger(|ledger| ledger.balance(&card().pan).unwrap().available()), 2_497);
        assert_eq!(
            (host.ledger(|ledger| ledger.standing()), host.ledger(|ledger| ledger.transactions().len())),
            (7_503, 2)
        );
        assert!(host.ledger(|ledger| ledger.adds_up()));
        assert_eq!(code(&acquirer.send(&register.sign_off(AT_MS)).unwrap()), "00");
        assert_eq!((host.connections(), host.signed_on()), (1, 0));
    }
}

#[test]
fn it_fails_on_demand() {
    let runtime = Runtime::new().unwrap();
    let dialect = Dialect::builtin("ascii87").unwrap();
    let host = start(&runtime, 0, dialect, ledger());
    let mut register = register();
    host.sign_on(SignOn::Refuse);
    let connect = || Acquirer::connect(host.address(), dialect).unwrap();
    let mut acquirer = connect().with_timeout(Duration::from_millis(300));
    assert_eq!(code(&acquirer.send(&register.sign_on(AT_MS)).unwrap()), "91");
    host.sign_on(SignOn::Accept);
    assert_eq!(code(&acquirer.send(&register.sign_on(AT_MS)).unwrap()), "00");
    for (fault, booked) in [
        (Fault::Silent, 1),
        (Fault::Deaf, 1),
        (Fault::OtherStan, 2),
        (Fault::OtherReference, 3),
        (Fault::Hold, 4),
        (Fault::Say(*b"96"), 4),
        (Fault::Delay(Duration::from_millis(1)), 5),
        (Fault::Garbage, 6),
    ] {
        host.script([Some(fault)]);
        let answer = acquirer.send(&register.sale(AT_MS, &card(), amount(1)));
        assert_eq!(host.ledger(|ledger| ledger.standing()), booked, "{fault:?}");
        match fault {
            Fault::Say(_) => assert_eq!(code(&answer.unwrap()), "96"),
            Fault::Delay(_) => assert_eq!(code(&answer.unwrap()), "00"),
            Fault::Garbage => assert!(matches!(answer, Err(AcquirerError::Unreadable(_)))),
            _ => assert!(matches!(answer, Err(AcquirerError::TimedOut { .. })), "{fault:?}"),
        }
    }
    assert_eq!((acquirer.unmatched(), host.held()), (2, 1));
    for (fault, booked) in [(Fault::Close, 7), (Fault::CloseDeaf, 7)] {
        let mut acquirer = connect();
        assert_eq!(code(&acquirer.send(&register.sign_on(AT_MS)).unwrap()), "00");
        host.script([Some(fault)]);
        let answer = acquirer.send(&register.sale(AT_MS, &card(), amount(1)));
        assert!(matches!(answer, Err(AcquirerError::Closed | AcquirerError::Broken(_))), "{fault:?}");
        assert_eq!(host.ledger(|ledger| ledger.standing()), booked, "{fault:?}");
    }
}

#[test]
fn another_host_goes_on_with_the_ledger_of_one_that_was_killed() {
    let runtime = Runtime::new().unwrap();
    let dialect = Dialect::builtin("ascii87").unwrap();
    let first = start(&runtime, 0, dialect, ledger());
    let (port, mut register) = (first.address().port(), register());
    let connect = |host: &IssuerHost, register: &mut Register| {
        let mut acquirer = Acquirer::connect(host.address(), dialect).unwrap();
        assert_eq!(code(&acquirer.send(&register.sign_on(AT_MS)).unwrap()), "00");
        acquirer
    };
    let sale = register.sale(AT_MS, &card(), amount(6_000));
    let mut acquirer = connect(&first, &mut register);
    assert_eq!(code(&acquirer.send(&sale).unwrap()), "00");
    let ledger = runtime.block_on(first.stop());
    assert!(acquirer.send(&sale).is_err());
    let second = start(&runtime, port, dialect, ledger);
    let mut acquirer = connect(&second, &mut register);
    assert_eq!(code(&acquirer.send(&register.repeat(&sale)).unwrap()), "00");
    assert_eq!(code(&acquirer.send(&register.sale(AT_MS, &card(), amount(6_000))).unwrap()), "51");
    assert_eq!(second.ledger(|ledger| ledger.standing()), 6_000);
}
