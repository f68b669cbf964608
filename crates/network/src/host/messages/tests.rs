use mayfly_card::{
    ApprovalCode, Country, LastFour, Mcc, MerchantId, MonthIndex, Pan, PosEntryMode, Rrn, Stan, TerminalId,
};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::{
    AccountId, Cvc2Check, Hash64, IssuerId, Kind, MessageKind, NumberId, NumberRef, PartitionId, Presented,
    Processing, QuestionId, Request, WhenLate, Whom,
};
use mayfly_iso8583::{Dialect, Message};
use mayfly_keys::NumberIndex;

use super::*;

const AT_MS: TimeMs = 1_795_442_166_000;
const NUMBER: NumberRef = NumberRef { id: NumberId(1), index: NumberIndex(5) };

fn identity() -> Identity {
    Identity { acquirer: AcquirerId::parse("990001").unwrap() }
}

fn own() -> Own {
    Own { pan: Pan::parse("4761739001010119").unwrap(), expiry: MonthIndex::new(2029, 12).unwrap() }
}

fn merchants() -> Facts {
    Facts {
        acquirer: AcquirerId::parse("423935").unwrap(),
        stan: Stan::from_value(17).unwrap(),
        rrn: Rrn::parse("632513000017").unwrap(),
        terminal: TerminalId::parse("TILL0001").unwrap(),
        merchant: MerchantId::parse("BOOKSHOP-1").unwrap(),
        mcc: Some(Mcc::parse("5942").unwrap()),
        country: Some(Country::parse("840").unwrap()),
        entry_mode: PosEntryMode::parse("812").unwrap(),
        transmitted: 1_123_135_606,
        local_date: 1_123,
        local_time: 85_606,
    }
}

fn asked(message: MessageKind, facts: Facts) -> Asked {
    Asked {
        question: QuestionId(1),
        issuer: IssuerId(1),
        kind: Kind::Purchase,
        request: Request {
            message,
            processing: Processing::Purchase,
            reference: Hash64(0x0123_4567_89ab_cdef),
            identity: Hash64(0xfedc_ba98_7654_3210),
            content: Hash64(0),
            original: None,
            number: Presented::Number {
                index: NUMBER.index,
                programme: None,
                last_four: LastFour::from_value(42).unwrap(),
            },
            expiry: Some(Expiry::parse_yymm("3107").unwrap()),
            cvc2: Cvc2Check::Right,
            proof: Proof::NoKey,
            amount: MinorUnits::new(2_498).unwrap(),
            replacement: None,
            currency: Currency::parse_alphabetic("USD").unwrap(),
            declined_elsewhere: false,
            repeat: false,
            facts,
            paged: None,
            partition: PartitionId::FIRST,
        },
        account: Some(AccountId(1)),
        programme: None,
        number: Some(NUMBER),
        keeps_use: true,
        deadline_ms: AT_MS + 5_000,
        when_late: WhenLate::Decline,
        whom: Whom::Host,
        ceiling: MinorUnits::MAX,
    }
}

fn told(told: Told, about: Option<HostTrace>) -> HostAdvice {
    let asked = asked(MessageKind::Authorisation, merchants());
    let trace = HostTrace { identity: Hash64(4_711), ..asked.trace() };
    HostAdvice {
        told,
        trace,
        about,
        issuer: asked.issuer,
        account: AccountId(1),
        number: NUMBER,
        amount: asked.request.amount,
        stays: None,
        currency: asked.request.currency,
        approval: None,
        facts: asked.request.facts,
    }
}

fn wire(message: &MessageBuilder) -> String {
    let mut wire = Vec::new();
    message.encode_body(Dialect::builtin("ascii87").unwrap(), &mut wire).unwrap();
    String::from_utf8(wire).unwrap()
}

fn read<T>(message: &MessageBuilder, look: impl FnOnce(&Message<'_>) -> T) -> T {
    let wire = wire(message);
    look(&Message::parse(Dialect::builtin("ascii87").unwrap(), wire.as_bytes()).unwrap())
}

#[test]
fn the_second_request_byte_by_byte() {
    let message = second_request(&asked(MessageKind::Authorisation, merchants()), AT_MS, &own(), &identity());
    assert_eq!(wire(&message), known("second request"));
    let sale = second_request(&asked(MessageKind::Financial, merchants()), AT_MS, &own(), &identity());
    assert_eq!(wire(&sale), known("second request").replacen("0100", "0200", 1));
}

/// What other implementations read in tests/python/test_second_requests.py. DE 11 and 37 were computed by hand, from the hashes
/// above.
const KNOWN: &str = include_str!("known.txt");

fn known(name: &str) -> &'static str {
    let mut lines = KNOWN.lines().filter_map(|line| line.split_once('|'));
    lines.find(|(of, _)| *of == name).unwrap().1
}

/// A35: the card's own number and date, our own acquirer, and nothing that proved the first request.
#[test]
fn a_second_request_has_neither_the_first_ones_number_nor_its_proof() {
    let first = asked(MessageKind::Authorisation, merchants());
    let message = second_request(&first, AT_MS, &own(), &identity());
    let numbers: Vec<_> = message.elements().map(De::number).collect();
    assert_eq!(numbers, [2, 3, 4, 7, 11, 12, 13, 14, 18, 19, 22, 32, 37, 41, 42, 49]);
    for (element, content) in [
        (De::PAN, "4761739001010119"),
        (De::EXPIRATION_DATE, "2912"),
        (De::ACQUIRER, "990001"),
        (De::TRANSMISSION_TIME, "1123135606"),
        (De::POS_ENTRY_MODE, "812"),
        (De::CARD_ACCEPTOR, "BOOKSHOP-1"),
        (De::TERMINAL, "TILL0001"),
        (De::MCC, "5942"),
        (De::ACQUIRER_COUNTRY, "840"),
    ] {
        assert_eq!(message.text(element), Some(content), "{element}");
    }
    assert_ne!(message.text(De::RRN), Some("632513000017"), "what the acquirer drew may come twice");
    // Whoever makes it again makes the same, whenever that is.
    assert_eq!(wire(&message), wire(&second_request(&first, AT_MS + 1, &own(), &identity())));
}

#[test]
fn what_the_first_lacks_the_second_lacks_but_for_its_time() {
    let bare = asked(MessageKind::Financial, Facts::default());
    let message = second_request(&bare, AT_MS, &own(), &identity());
    let numbers: Vec<_> = message.elements().map(De::number).collect();
    assert_eq!(numbers, [2, 3, 4, 7, 11, 14, 22, 32, 37, 49]);
    assert_eq!(message.text(De::TRANSMISSION_TIME), Some(&*transmission_time(AT_MS)));
}

#[test]
fn a_reversal_names_its_original_and_what_stays_of_it() {
    let first = asked(MessageKind::Authorisation, merchants());
    let request = second_request(&first, AT_MS, &own(), &identity());
    let trace = first.trace();
    let mut whole = told(Told::Reversal, Some(trace));
    whole.trace = trace.reversal(0);
    let message = advice(&whole, AT_MS, &own(), &identity());
    assert_eq!(message.mti(), Mti::REVERSAL_ADVICE);
    assert_eq!(wire(&message), known("reversal"));
    for element in [De::PAN, De::EXPIRATION_DATE, De::RRN, De::AMOUNT, De::ACQUIRER, De::TERMINAL] {
        assert_eq!(message.text(element), request.text(element), "{element}");
    }
    assert_ne!(message.text(De::STAN), request.text(De::STAN));
    read(&message, |message| {
        let original = message.original_data().unwrap().unwrap();
        let stan = u64::from(original.stan());
        assert_eq!((original.mti(), original.acquirer()), (Mti::AUTHORISATION_REQUEST, 990_001));
        assert_eq!((stan, original.transmission_time()), (trace.stan().value().into(), 1_123_135_606));
        assert_eq!(message.replacement_amounts(), Ok(None));
    });
    let part = advice(&HostAdvice { stays: MinorUnits::new(1_000), ..whole }, AT_MS, &own(), &identity());
    read(&part, |message| {
        assert_eq!(message.replacement_amounts().unwrap().unwrap().transaction(), 1_000);
        assert_eq!(message.number(De::AMOUNT), Some(2_498), "that of the original");
    });
}

#[test]
fn advices_by_what_they_tell() {
    let about = asked(MessageKind::Authorisation, merchants()).trace();
    for (what, about, mti, processing) in [
        (Told::StandIn, None, Mti::AUTHORISATION_ADVICE, PURCHASE),
        (Told::Charge, Some(about), Mti::FINANCIAL_ADVICE, PURCHASE),
        (Told::Charge, None, Mti::FINANCIAL_ADVICE, PURCHASE),
        (Told::Refund, Some(about), Mti::FINANCIAL_ADVICE, REFUND),
        (Told::Refund, None, Mti::FINANCIAL_ADVICE, REFUND),
    ] {
        let told = HostAdvice { approval: ApprovalCode::parse("A1B2C3").ok(), ..told(what, about) };
        let message = advice(&told, AT_MS, &own(), &identity());
        assert_eq!((message.mti(), message.text(De::PROCESSING_CODE)), (mti, Some(processing)));
        assert_eq!(message.text(De::APPROVAL_CODE), Some("A1B2C3"));
        assert_eq!(message.has(De::ORIGINAL_DATA), about.is_some());
        assert_eq!(message.text(De::PAN), Some("4761739001010119"));
        read(&message, |_| ());
    }
}

#[test]
fn an_operators_act_has_the_time_at_which_it_was_owed() {
    let mut released = told(Told::Reversal, Some(asked(MessageKind::Authorisation, merchants()).trace()));
    released.trace.transmitted = 0;
    released.facts = Facts::default();
    let message = advice(&released, AT_MS, &own(), &identity());
    assert_eq!(message.text(De::TRANSMISSION_TIME), Some(&*transmission_time(AT_MS)));
    assert!(!message.has(De::TERMINAL) && !message.has(De::LOCAL_DATE));
}
