//! What a request is made of, and what it is recognised by.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;

use common::{catalogue, dialect};
use mayfly_core::{Cvc2Check, MessageKind, Presented, Processing, Request};
use mayfly_engine::Catalogue;
use mayfly_iso8583::{De, Message, MessageBuilder, Mti, OriginalData, ReplacementAmounts};
use mayfly_network::{Fault, translate};

fn message(changes: &[(De, &str)]) -> MessageBuilder {
    let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
    let usual = [
        (De::PAN, "4569409360110520"),
        (De::PROCESSING_CODE, "000000"),
        (De::AMOUNT, "2498"),
        (De::TRANSMISSION_TIME, "1122135606"),
        (De::STAN, "000017"),
        (De::LOCAL_TIME, "145606"),
        (De::LOCAL_DATE, "1122"),
        (De::EXPIRATION_DATE, "2912"),
        (De::MCC, "5411"),
        (De::ACQUIRER_COUNTRY, "840"),
        (De::POS_ENTRY_MODE, "812"),
        (De::ACQUIRER, "423935"),
        (De::RRN, "RRN000000001"),
        (De::TERMINAL, "TERM0001"),
        (De::CARD_ACCEPTOR, "MERCHANT1"),
        (De::CURRENCY, "840"),
    ];
    for (element, content) in usual.iter().chain(changes) {
        message.set(*element, content);
        if content.is_empty() {
            message.remove(*element);
        }
    }
    message
}

fn translated_by(message: &MessageBuilder, catalogue: &Catalogue) -> Result<Request, Fault> {
    let mut wire = Vec::new();
    message.encode_body(dialect("ascii87"), &mut wire).unwrap();
    let message = Message::parse(dialect("ascii87"), &wire).unwrap();
    translate(&message, catalogue).map(|request| *request)
}

fn translated(message: &MessageBuilder) -> Request {
    translated_by(message, &catalogue()).unwrap()
}

fn of(changes: &[(De, &str)]) -> Request {
    translated(&message(changes))
}

fn as_mti(mti: &str, changes: &[(De, &str)]) -> Request {
    translated(message(changes).set_mti(Mti::parse(mti).unwrap()))
}

fn original(stan: u32, acquirer: u64) -> String {
    OriginalData::new(Mti::AUTHORISATION_REQUEST.with_repeat(), stan, 1_122_135_606, acquirer, 0)
        .unwrap()
        .to_string()
}

#[test]
fn a_request_says_what_its_message_said() {
    let request = of(&[]);
    assert_eq!(request.message, MessageKind::Authorisation);
    assert_eq!(request.processing, Processing::Purchase);
    let Presented::Number { programme, last_four, .. } = request.number else { panic!("a number") };
    assert_eq!((programme, last_four.value()), (None, 520));
    assert_eq!(request.amount.value(), 2498);
    assert_eq!(request.currency.number(), 840);
    assert_eq!(request.expiry.unwrap().yymm(), "2912");
    assert_eq!(request.cvc2, Cvc2Check::Absent);
    assert_eq!((request.original, request.replacement), (None, None));
    let facts = request.facts;
    assert_eq!(facts.acquirer.as_str(), "423935");
    assert_eq!(facts.stan.value(), 17);
    assert_eq!(facts.rrn.as_str(), "RRN000000001");
    assert_eq!(facts.terminal.as_str(), "TERM0001");
    assert_eq!(facts.merchant.as_str(), "MERCHANT1");
    assert_eq!(facts.mcc.unwrap().value(), 5411);
    assert_eq!(facts.country.unwrap().value(), 840);
    assert_eq!(facts.entry_mode.value(), 812);
    assert_eq!((facts.transmitted, facts.local_date, facts.local_time), (1_122_135_606, 1122, 145_606));
}

#[test]
fn processing_codes_and_kinds() {
    for (code, processing) in
        [("000000", Processing::Purchase), ("203000", Processing::Refund), ("010000", Processing::Other)]
    {
        assert_eq!(of(&[(De::PROCESSING_CODE, code)]).processing, processing);
    }
    for (mti, kind) in [
        ("0101", MessageKind::Authorisation),
        ("0120", MessageKind::AuthorisationAdvice),
        ("0201", MessageKind::Financial),
        ("0221", MessageKind::FinancialAdvice),
        ("0401", MessageKind::Reversal),
        ("0421", MessageKind::ReversalAdvice),
    ] {
        assert_eq!(as_mti(mti, &[]).message, kind);
    }
    assert_eq!(as_mti("0400", &[(De::PROCESSING_CODE, "")]).processing, Processing::Other);
}

#[test]
fn a_wrong_number_is_presented_as_such() {
    for number in ["4569409360110523", "45694093", "4569409360110520123"] {
        assert_eq!(of(&[(De::PAN, number)]).number, Presented::Invalid);
    }
}

#[test]
fn a_code_that_nobody_can_check_is_wrong() {
    assert_eq!(of(&[(De::ADDITIONAL_DATA, "9203123")]).cvc2, Cvc2Check::Wrong);
    assert_eq!(of(&[(De::ADDITIONAL_DATA, "4304AAAA")]).cvc2, Cvc2Check::Absent);
}

#[test]
fn what_another_declined() {
    let said = |mti, code| as_mti(mti, &[(De::RESPONSE_CODE, code)]).declined_elsewhere;
    assert!(said("0120", "05") && said("0121", "51"));
    assert!(!said("0120", "00") && !said("0100", "05") && !said("0220", ""));
}

#[test]
fn a_repeat_is_recognised() {
    let first = of(&[]);
    let repeat = as_mti("0101", &[(De::TRANSMISSION_TIME, "1122140000"), (De::ADDITIONAL_DATA, "9203123")]);
    assert_eq!(
        (first.reference, first.identity, first.content),
        (repeat.reference, repeat.identity, repeat.content)
    );
    // The number itself does not decide; its padding even less.
    let padded = of(&[(De::ACQUIRER, "00000423935")]);
    assert_eq!((first.reference, first.identity), (padded.reference, padded.identity));
}

#[test]
fn whatever_differs_is_told_apart() {
    let first = of(&[]);
    for (element, content) in [(De::ACQUIRER, "423936"), (De::RRN, "RRN000000002")] {
        assert_ne!(of(&[(element, content)]).reference, first.reference, "{element}");
    }
    for (element, content) in [(De::STAN, "18"), (De::LOCAL_DATE, "1123")] {
        let other = of(&[(element, content)]);
        assert_eq!(other.reference, first.reference, "{element}");
        assert_ne!(other.identity, first.identity, "{element}");
    }
    for mti in ["0120", "0200", "0220", "0400", "0420"] {
        assert_eq!(as_mti(mti, &[]).reference, first.reference, "{mti}");
        assert_ne!(as_mti(mti, &[]).identity, first.identity, "{mti}");
    }
    let replacement = ReplacementAmounts::new(100, 0, 0, 0).unwrap().to_string();
    for (element, content) in [
        (De::PAN, "4761739001010119"),
        (De::PROCESSING_CODE, "003000"),
        (De::AMOUNT, "2499"),
        (De::CURRENCY, "978"),
        (De::EXPIRATION_DATE, "2911"),
        (De::CARD_ACCEPTOR, "MERCHANT2"),
        (De::REPLACEMENT_AMOUNTS, &replacement),
        (De::ORIGINAL_DATA, &original(17, 423_935)),
    ] {
        let other = of(&[(element, content)]);
        assert_eq!((other.reference, other.identity), (first.reference, first.identity), "{element}");
        assert_ne!(other.content, first.content, "{element}");
    }
}

#[test]
fn without_a_reference_number_more_counts() {
    let first = of(&[(De::RRN, "")]);
    let blank = of(&[(De::RRN, "            ")]);
    assert_eq!((first.reference, first.identity), (blank.reference, blank.identity));
    for (element, content) in [(De::STAN, "18"), (De::TERMINAL, "TERM0002"), (De::LOCAL_DATE, "1123")] {
        assert_ne!(of(&[(De::RRN, ""), (element, content)]).reference, first.reference, "{element}");
    }
    let later = of(&[(De::RRN, ""), (De::LOCAL_TIME, "145607")]);
    assert_eq!(later.reference, first.reference);
    assert_ne!(later.identity, first.identity);
}

#[test]
fn originals_are_found_by_reference_number() {
    let purchase = of(&[]);
    let reversal = as_mti("0400", &[(De::STAN, "18"), (De::ORIGINAL_DATA, &original(17, 0))]);
    let named = reversal.original.unwrap();
    assert_eq!(named.reference, purchase.reference);
    assert_eq!(named.message, Some((MessageKind::Authorisation, purchase.facts.stan)));
    assert_eq!(as_mti("0400", &[]).original, None, "then its own reference counts");
}

#[test]
fn originals_are_found_without_a_reference_number() {
    let purchase = of(&[(De::RRN, ""), (De::ACQUIRER, "0423935")]);
    let rest = [(De::RRN, ""), (De::STAN, "18")];
    let by = |changes: &[(De, &str)], stan, acquirer| {
        let text = original(stan, acquirer);
        let changes: Vec<_> =
            rest.iter().chain(changes).copied().chain([(De::ORIGINAL_DATA, &*text)]).collect();
        as_mti("0420", &changes)
    };
    for reversal in [
        by(&[], 17, 0),
        by(&[(De::ACQUIRER, "")], 17, 423_935),
        by(&[(De::LOCAL_DATE, "")], 17, 0),
        by(&[(De::STAN, "17")], 0, 0),
    ] {
        assert_eq!(reversal.original.unwrap().reference, purchase.reference);
        assert_eq!(reversal.reference, purchase.reference, "so that it is found if it comes first");
        assert_ne!(reversal.identity, purchase.identity);
    }
    assert_eq!(by(&[(De::STAN, "17")], 0, 0).original.unwrap().message, None);
    assert_ne!(by(&[], 16, 0).original.unwrap().reference, purchase.reference);
}

#[test]
fn an_approval_code_asks_for_more() {
    let more = of(&[(De::APPROVAL_CODE, "000042")]);
    let named = more.original.unwrap();
    assert_eq!((named.message, named.reference), (None, more.reference));
    assert_eq!(of(&[(De::APPROVAL_CODE, "      ")]).original, None);
    assert_eq!(as_mti("0220", &[(De::APPROVAL_CODE, "000042")]).original, None);
}

#[test]
fn partial_reversals() {
    let replacement = ReplacementAmounts::new(1_000, 0, 0, 0).unwrap().to_string();
    let reversal = as_mti("0400", &[(De::REPLACEMENT_AMOUNTS, &replacement)]);
    assert_eq!(reversal.replacement.unwrap().value(), 1_000);
}

#[test]
fn every_fault() {
    let catalogue = catalogue();
    let fault = |message: &MessageBuilder| translated_by(message, &catalogue).unwrap_err();
    for element in [De::PAN, De::PROCESSING_CODE, De::AMOUNT, De::STAN, De::CURRENCY] {
        assert_eq!(fault(&message(&[(element, "")])), Fault::Missing(element));
    }
    for (element, content) in [
        (De::EXPIRATION_DATE, "2913".to_owned()),
        (De::TRANSMISSION_TIME, "9999999999".to_owned()),
        (De::ORIGINAL_DATA, "9".repeat(42)),
        (De::REPLACEMENT_AMOUNTS, "A".repeat(42)),
    ] {
        let expected = if element == De::ORIGINAL_DATA { None } else { Some(Fault::Malformed(element)) };
        assert_eq!(translated_by(&message(&[(element, &content)]), &catalogue).err(), expected, "{element}");
    }
    assert_eq!(fault(&message(&[(De::CURRENCY, "999")])), Fault::UnknownCurrency);
    assert_eq!(fault(message(&[]).set_mti(Mti::NETWORK_REQUEST)), Fault::Unsupported);
    assert_eq!(Fault::Missing(De::PAN).to_string(), "DE 2 is missing");
}
