//! The acquirer and the load generator against servers that answer out of order, too late, or not at all.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mayfly_card::{Expiry, MinorUnits, Pan};
use mayfly_iso8583::{De, Dialect, Frame, Message, MessageBuilder};
use mayfly_lab::{Acceptor, Acquirer, AcquirerError, Card, Register, load};

const AT_MS: u64 = 1_700_000_000_000;

fn dialect() -> &'static Dialect {
    Dialect::builtin("ascii87").unwrap()
}

fn card() -> Card {
    Card {
        pan: Pan::parse("4569409360110520").unwrap(),
        expiry: Expiry::parse_yymm("2912").unwrap(),
        cvc2: None,
    }
}

fn register() -> Register {
    Register::new(Acceptor::web_shop("SHOP").unwrap())
}

fn purchase(register: &mut Register) -> MessageBuilder {
    register.authorisation(AT_MS, &card(), MinorUnits::new(2498).unwrap())
}

/// Serves every connection by `serve`, which gets whatever whole messages have come, and says what to answer.
fn serving(
    serve: impl FnMut(Vec<MessageBuilder>) -> Vec<MessageBuilder> + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut serve = serve.clone();
            thread::spawn(move || while_open(stream.unwrap(), &mut serve));
        }
    });
    address
}

fn while_open(mut stream: TcpStream, serve: &mut impl FnMut(Vec<MessageBuilder>) -> Vec<MessageBuilder>) {
    let (mut came, mut chunk) = (Vec::new(), [0; 65_536]);
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        came.extend_from_slice(&chunk[..count]);
        let mut messages = Vec::new();
        while let Frame::Message { range } = dialect().header().next_frame(&came, 9_999).unwrap() {
            messages.push(MessageBuilder::from(&Message::parse(dialect(), &came[range.clone()]).unwrap()));
            came.drain(..range.end);
        }
        let mut wire = Vec::new();
        for answer in serve(messages) {
            answer.encode(dialect(), &mut wire).unwrap();
        }
        if stream.write_all(&wire).is_err() {
            return;
        }
    }
}

fn approved(mut request: MessageBuilder) -> MessageBuilder {
    let mti = request.mti().response().unwrap();
    request.set_mti(mti).set(De::RESPONSE_CODE, "00");
    request
}

#[test]
fn answers_are_paired_however_they_come() {
    let mut waiting = Vec::new();
    let address = serving(move |messages| {
        waiting.extend(messages);
        if waiting.len() < 3 {
            return Vec::new();
        }
        let mut stray = waiting[0].clone();
        stray.set(De::RRN, "NOBODYS");
        waiting.drain(..).rev().chain([stray]).map(approved).collect()
    });
    let mut acquirer = Acquirer::connect(address, dialect()).unwrap();
    let mut register = register();
    let sent: Vec<_> = (0..3).map(|_| purchase(&mut register)).collect();
    let pairings: Vec<_> = sent.iter().map(|message| acquirer.post(message).unwrap()).collect();
    for (message, pairing) in sent.iter().zip(&pairings) {
        let answer = acquirer.wait_for(pairing).unwrap();
        assert_eq!(answer.text(De::RRN), message.text(De::RRN));
    }
    assert_eq!(acquirer.unmatched(), 1);
}

#[test]
fn what_is_not_answered_times_out() {
    let mut first = true;
    let address = serving(move |messages| {
        if std::mem::take(&mut first) {
            thread::sleep(Duration::from_millis(100));
        }
        messages.into_iter().map(approved).collect()
    });
    let mut acquirer = Acquirer::connect(address, dialect()).unwrap().with_timeout(Duration::from_millis(50));
    let mut register = register();
    let timed_out = acquirer.send(&purchase(&mut register)).unwrap_err();
    assert!(matches!(timed_out, AcquirerError::TimedOut { .. }), "{timed_out}");
    thread::sleep(Duration::from_millis(100));
    let answer = acquirer.send(&register.echo(AT_MS)).unwrap();
    assert_eq!(answer.mti().as_str(), "0810");
    assert_eq!(acquirer.unmatched(), 1, "the late one belongs to nobody");
}

#[test]
fn an_acquirer_says_what_is_wrong() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(Acquirer::connect(closed, dialect()), Err(AcquirerError::Connect(_))));
    let mut acquirer = Acquirer::connect(serving(|_| Vec::new()), dialect()).unwrap();
    let answer = approved(purchase(&mut register()));
    assert!(matches!(acquirer.send(&answer), Err(AcquirerError::NoAnswer(_))));
    let mut wrong = purchase(&mut register());
    wrong.set(De::AMOUNT, "much");
    assert!(matches!(acquirer.send(&wrong), Err(AcquirerError::Encode(_))));
}

fn cards(count: u64) -> Arc<[(Pan, Expiry)]> {
    let card = |nth| (Pan::with_check_digit(format!("456940{nth:09}")).unwrap(), card().expiry);
    (0..count).map(card).collect()
}

fn options(address: SocketAddr) -> load::Options {
    load::Options {
        connections: 5,
        in_flight: 7,
        threads: 2,
        duration: Duration::from_millis(300),
        warm_up: Duration::ZERO,
        ..load::Options::to(address)
    }
}

fn load_of(options: &load::Options, count: u64) -> Result<load::Summary, load::LoadError> {
    load::run(options, dialect(), &purchase(&mut register()), cards(count))
}

#[test]
fn a_load_presents_every_number_once() {
    let address = serving(|messages| messages.into_iter().map(approved).collect());
    let summary = load_of(&options(address), 1_000).unwrap();
    assert!(summary.exhausted);
    assert_eq!((summary.sent, summary.answered, summary.unanswered), (1_000, 1_000, 0));
    assert_eq!(summary.codes.into_iter().collect::<Vec<_>>(), [("00".to_owned(), 1_000)]);
    assert_eq!(summary.seconds_answered.iter().sum::<u64>(), 1_000);
    assert_eq!(summary.unmatched, 0);
}

#[test]
fn a_load_goes_on_as_long_as_it_should() {
    let address = serving(|messages| messages.into_iter().rev().map(approved).collect());
    let summary = load_of(&load::Options { again: true, ..options(address) }, 3).unwrap();
    assert!(!summary.exhausted && summary.sent > 1_000);
    assert_eq!((summary.unanswered, summary.unmatched), (0, 0));
    assert!((0.29..0.6).contains(&summary.seconds), "{}", summary.seconds);
    assert!(
        summary.latency_us.p50 <= summary.latency_us.p99 && summary.latency_us.p99 <= summary.latency_us.max
    );
}

#[test]
fn a_stall_is_seen() {
    let address = serving(|messages| {
        let stalls = messages.iter().any(|message| message.text(De::STAN) == Some("000016"));
        thread::sleep(Duration::from_millis(if stalls { 150 } else { 0 }));
        messages.into_iter().map(approved).collect()
    });
    let stalling = load::Options { connections: 1, again: true, ..options(address) };
    let summary = load_of(&stalling, 10).unwrap();
    assert!(summary.stalls >= 1 && summary.longest_gap_ms >= 150.0);
}

#[test]
fn a_load_that_can_not_be_made() {
    let address = serving(|_| Vec::new());
    for wrong in [
        load::Options { connections: 0, ..options(address) },
        load::Options { threads: 0, ..options(address) },
        load::Options { in_flight: 0, ..options(address) },
        load::Options { in_flight: 10_001, ..options(address) },
    ] {
        assert!(matches!(load_of(&wrong, 1), Err(load::LoadError::Options)));
    }
    assert!(matches!(load_of(&options(address), 0), Err(load::LoadError::Options)));
    let other = (Pan::with_check_digit("47617390010").unwrap(), card().expiry);
    let mixed: Arc<[_]> = cards(1).iter().cloned().chain([other]).collect();
    let refused = load::run(&options(address), dialect(), &purchase(&mut register()), mixed);
    assert!(matches!(refused, Err(load::LoadError::Numbers)));
}
