use mayfly_iso8583::Dialect;
use proptest::prelude::*;

use super::*;
use crate::{Acceptor, Card, Register};

/// 2023-11-14 22:13:20 UTC.
const AT_MS: u64 = 1_700_000_000_000;

fn card(number: &str) -> Card {
    Card { pan: Pan::parse(number).unwrap(), expiry: Expiry::parse_yymm("2612").unwrap(), cvc2: None }
}

fn rich() -> Card {
    card("4761739001010119")
}

fn amount(minor: u64) -> MinorUnits {
    MinorUnits::new(minor).unwrap()
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.open(
        &rich().pan,
        Account {
            expiry: rich().expiry,
            currency: Currency::from_number(840).unwrap(),
            funds: amount(10_000),
            blocked: false,
        },
    );
    ledger
}

fn register() -> Register {
    Register::new(Acceptor::web_shop("SHOP").unwrap())
}

fn ask(ledger: &mut Ledger, question: &MessageBuilder) -> MessageBuilder {
    let dialect = Dialect::builtin("ascii87").unwrap();
    let mut wire = Vec::new();
    question.encode_body(dialect, &mut wire).unwrap();
    let message = Message::parse(dialect, &wire).unwrap();
    let answer = ledger.answer(&message, MonthIndex::of_unix_ms(AT_MS)).unwrap();
    assert!(ledger.adds_up());
    answer
}

fn code(ledger: &mut Ledger, question: &MessageBuilder) -> String {
    ask(ledger, question).text(De::RESPONSE_CODE).unwrap().to_owned()
}

fn balance(ledger: &Ledger) -> (i64, i64) {
    let Balance { booked, held } = ledger.balance(&rich().pan).unwrap();
    (booked, held)
}

#[test]
fn each_decline_has_its_code() {
    let (mut ledger, mut register) = (ledger(), register());
    let mut date = rich();
    date.expiry = Expiry::parse_yymm("2712").unwrap();
    for (question, expected) in [
        (register.authorisation(AT_MS, &card("4000000000000002"), amount(1)), "14"),
        (register.authorisation(AT_MS, &rich(), amount(10_001)), "51"),
        (register.authorisation(AT_MS, &date, amount(1)), "05"),
        (register.authorisation(AT_MS, &rich(), amount(10_000)), "00"),
        (register.sale(AT_MS, &rich(), amount(1)), "51"),
    ] {
        assert_eq!(code(&mut ledger, &question), expected);
    }
    ledger.block(&rich().pan, true);
    assert_eq!(code(&mut ledger, &register.authorisation(AT_MS, &rich(), amount(0))), "05");
    let over = card("5413330089010012");
    let currency = Currency::from_number(840).unwrap();
    let expiry = Expiry::parse_yymm("2310").unwrap();
    ledger.open(&over.pan, Account { expiry, currency, funds: amount(1), blocked: false });
    let question = register.authorisation(AT_MS, &Card { expiry, ..over }, amount(1));
    assert_eq!(code(&mut ledger, &question), "54");
    assert_eq!(balance(&ledger), (10_000, 10_000));
}

#[test]
fn holds_sales_and_refunds_are_reversed_to_the_cent() {
    let (mut ledger, mut register) = (ledger(), register());
    let hold = register.authorisation(AT_MS, &rich(), amount(2_498));
    let sale = register.sale(AT_MS, &rich(), amount(100));
    let refund = register.refund_of_card(AT_MS, &rich(), amount(30));
    for question in [&hold, &sale, &refund] {
        assert_eq!(code(&mut ledger, question), "00");
    }
    assert_eq!(balance(&ledger), (9_930, 2_498));
    assert_eq!(ledger.standing(), 2_598);
    let partial = register.reversal(AT_MS, &hold, Some(amount(498)));
    assert_eq!(code(&mut ledger, &partial), "00");
    assert_eq!(balance(&ledger), (9_930, 498));
    for question in [&hold, &sale, &refund] {
        // Told twice, once as a question and once as an advice, it is reversed once.
        let mut reversal = register.reversal(AT_MS, question, None);
        assert_eq!(code(&mut ledger, &reversal), "00");
        assert_eq!(code(&mut ledger, reversal.set_mti(Mti::REVERSAL_ADVICE)), "00");
    }
    assert_eq!(balance(&ledger), (10_000, 0));
    assert_eq!(ledger.standing(), 0);
}

#[test]
fn a_repeat_is_answered_alike_and_booked_once() {
    let (mut ledger, mut register) = (ledger(), register());
    let mut question = register.sale(AT_MS, &rich(), amount(6_000));
    let first = ask(&mut ledger, &question);
    question.set_mti(question.mti().with_repeat());
    let again = ask(&mut ledger, &question);
    for element in [De::RESPONSE_CODE, De::APPROVAL_CODE, De::STAN, De::RRN] {
        assert_eq!(first.text(element), again.text(element));
    }
    assert_eq!(first.mti(), again.mti());
    assert_eq!(balance(&ledger), (4_000, 0));
    question.set(De::AMOUNT, "1");
    assert_eq!(code(&mut ledger, &question), "94");
    let declined = register.sale(AT_MS, &rich(), amount(6_000));
    assert_eq!(code(&mut ledger, &declined), "51");
    assert_eq!(code(&mut ledger, &register.reversal(AT_MS, &declined, None)), "00");
    assert_eq!(balance(&ledger), (4_000, 0));
}

#[test]
fn what_was_reversed_before_it_came_does_not_stand() {
    let (mut ledger, mut register) = (ledger(), register());
    let question = register.authorisation(AT_MS, &rich(), amount(1));
    assert_eq!(code(&mut ledger, &register.reversal(AT_MS, &question, None)), "00");
    assert_eq!(code(&mut ledger, &question), "05");
    assert_eq!(balance(&ledger), (10_000, 0));
}

proptest! {
    /// Whatever is asked, repeated and reversed in whatever order, the balances follow from the transactions, and what
    /// was reversed in full stands for nothing.
    #[test]
    fn it_always_adds_up(steps in prop::collection::vec((0..4_u8, 0..8_usize, 0..4_000_u64), 1..60)) {
        let (mut ledger, mut register) = (ledger(), register());
        let mut asked: Vec<MessageBuilder> = Vec::new();
        for (what, which, minor) in steps {
            let question = match (what, asked.get(which).cloned()) {
                (0, _) => register.authorisation(AT_MS, &rich(), amount(minor)),
                (1, _) => register.sale(AT_MS, &rich(), amount(minor)),
                (2, Some(earlier)) => register.repeat(&earlier),
                (_, Some(earlier)) => register.reversal(AT_MS, &earlier, None),
                _ => continue,
            };
            ask(&mut ledger, &question);
            if what < 2 {
                asked.push(question);
            }
            prop_assert!(ledger.balance(&rich().pan).unwrap().available() >= 0);
        }
        for question in asked {
            ask(&mut ledger, &register.reversal(AT_MS, &question, None));
        }
        prop_assert_eq!(balance(&ledger), (10_000, 0));
        prop_assert_eq!(ledger.standing(), 0);
    }
}

#[test]
fn advices_are_booked_whatever_there_is() {
    let (mut ledger, mut register) = (ledger(), register());
    let mut stood_in = register.authorisation(AT_MS, &rich(), amount(9_000));
    stood_in.set_mti(Mti::AUTHORISATION_ADVICE);
    let first = register.authorisation(AT_MS, &rich(), amount(4_000));
    assert_eq!(code(&mut ledger, &first), "00");
    assert_eq!(code(&mut ledger, &stood_in), "00");
    assert_eq!(balance(&ledger), (10_000, 13_000));
    // A charge takes from what is held for it, and a reversal of the rest leaves what was charged.
    let charge = register.completion(AT_MS, &first, amount(2_500));
    assert_eq!(code(&mut ledger, &charge), "00");
    assert_eq!(code(&mut ledger, &register.repeat(&charge)), "00");
    assert_eq!(balance(&ledger), (7_500, 10_500));
    assert_eq!(code(&mut ledger, &register.reversal(AT_MS, &first, Some(amount(2_500)))), "00");
    assert_eq!(balance(&ledger), (7_500, 9_000));
    assert_eq!(code(&mut ledger, &register.reversal(AT_MS, &charge, None)), "00");
    assert_eq!(balance(&ledger), (10_000, 9_000));
    let mut refund = register.refund(AT_MS, &first, amount(100));
    refund.set_mti(Mti::FINANCIAL_ADVICE);
    assert_eq!(code(&mut ledger, &refund), "00");
    assert_eq!(balance(&ledger), (10_100, 9_000));
    let mut unknown = stood_in.clone();
    unknown.set(De::PAN, "4000000000000002").set(De::STAN, "999");
    assert_eq!(code(&mut ledger, &unknown), "14");
}
