//! What a peer meets that sends garbage, sends too much, or does not do its part; and that nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;

use std::io::Write;
use std::time::{Duration, Instant};

use common::{Bench, Client, code, dialect, echo_test, eventually, purchase};
use mayfly_core::ResponseCode;
use mayfly_iso8583::{De, MessageBuilder, Mti};
use mayfly_network::{Closed, Options, Traffic};

fn bench(options: Options) -> Bench {
    Bench::with(options, mayfly_engine::Options::default())
}

fn serves(bench: &Bench) {
    assert_eq!(code(&bench.connect().ask(&echo_test(1))), "00");
}

fn encoded(message: &MessageBuilder, name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    message.encode_body(dialect(name), &mut body).unwrap();
    body
}

#[test]
fn a_message_of_every_length_is_answered_or_closes() {
    let bench = Bench::start();
    let mut request = purchase(&bench.issue(), 17);
    request.set_sub_elements(De::ADDITIONAL_DATA, &[(43, "AAAA"), (92, "123")]).unwrap();
    for (name, address, mti_len) in [("ascii87", 0, 4), ("binary87", 1, 2), ("ebcdic87", 2, 4)]
        .map(|(n, a, l)| (n, bench.addresses[a], l))
    {
        let whole = encoded(&request, name);
        for length in 1..whole.len() {
            let mut client = Client::connect(address, dialect(name));
            client.send_body(&whole[..length]);
            if length < mti_len {
                assert!(client.is_closed(), "{name} {length}");
                continue;
            }
            let answer = client.receive();
            assert_eq!((answer.mti(), code(&answer)), (Mti::AUTHORISATION_RESPONSE, "30"), "{name} {length}");
            assert_eq!(code(&client.ask(&echo_test(1))), "00", "the connection goes on");
        }
    }
    eventually("closed", || bench.meter.closed(Closed::Unreadable).value() == 3 + 1 + 3);
    assert_eq!(bench.meter.unreadable.value(), 7);
    assert_eq!(bench.meter.answers(ResponseCode::FormatError).value(), bench.meter.malformed.value());
}

#[test]
fn what_could_be_read_is_echoed() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let mut body = encoded(&purchase(&bench.issue(), 17), "ascii87");
    let end = body.len();
    body[end - 3..].copy_from_slice(b"8x0");
    client.send_body(&body);
    let answer = client.receive();
    assert_eq!(code(&answer), "30");
    assert_eq!(answer.text(De::STAN), Some("000017"));
    assert_eq!(answer.text(De::RRN), Some("000000000017"));
    assert!(!answer.has(De::CURRENCY));
}

#[test]
fn a_message_that_lacks_something_is_told_so() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let request = purchase(&bench.issue(), 17);
    for element in [De::PAN, De::PROCESSING_CODE, De::AMOUNT, De::STAN, De::CURRENCY] {
        let mut lacking = request.clone();
        lacking.remove(element);
        assert_eq!(code(&client.ask(&lacking)), "30", "{element}");
    }
    for (stan, (element, content, expected)) in (100..).zip([
        (De::PAN, "4569409360110523", "14"),
        (De::PAN, "4569", "14"),
        (De::PAN, "4761739001010119", "14"),
        (De::PROCESSING_CODE, "310000", "12"),
        (De::CURRENCY, "999", "12"),
        (De::CURRENCY, "978", "57"),
        (De::EXPIRATION_DATE, "2913", "30"),
        (De::EXPIRATION_DATE, "2001", "54"),
        (De::REPLACEMENT_AMOUNTS, "x", "30"),
    ]) {
        let mut wrong = request.clone();
        wrong.set(element, content).set_number(De::STAN, stan);
        assert_eq!(code(&client.ask(&wrong)), expected, "{element}");
    }
    for mti in ["0300", "1100", "0102", "0600"] {
        let mut other = request.clone();
        other.set_mti(Mti::parse(mti).unwrap());
        assert_eq!(code(&client.ask(&other)), "12", "{mti}");
    }
    assert_eq!(code(&client.ask(&request)), "00", "nothing of this has used the number up");
}

#[test]
fn an_answer_is_not_answered() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let mut answer = purchase(&bench.issue(), 17);
    answer.set_mti(Mti::AUTHORISATION_RESPONSE);
    client.send(&answer);
    assert_eq!(client.ask(&echo_test(9)).mti(), Mti::NETWORK_RESPONSE);
    assert_eq!(bench.meter.unanswerable.value(), 1);
}

#[test]
fn garbage_closes_its_connection_only() {
    let bench = Bench::start();
    let mut good = bench.connect();
    for garbage in [b"\x00\x10GET / HTTP/1.1\r\n\r\n".as_slice(), b"\xff\xff", b"\x00\x04\x00\x00\x00\x00"] {
        let mut bad = bench.connect();
        bad.stream.write_all(garbage).unwrap();
        assert!(bad.is_closed());
    }
    assert_eq!(code(&good.ask(&echo_test(1))), "00");
    eventually("closed", || bench.meter.closed(Closed::TooLong).value() == 1);
    eventually("closed", || bench.meter.closed(Closed::Unreadable).value() == 2);
}

#[test]
fn what_came_before_garbage_is_answered() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let mut wire = Vec::new();
    purchase(&bench.issue(), 17).encode(client.dialect, &mut wire).unwrap();
    wire.extend_from_slice(b"\xff\xff garbage that is never read");
    client.stream.write_all(&wire).unwrap();
    assert_eq!(code(&client.receive()), "00");
    assert!(client.is_closed());
}

#[test]
fn a_sign_of_life_is_not_answered() {
    let bench = bench(Options { idle_ms_max: 200, ..Options::default() });
    let mut client = bench.connect();
    for _ in 0..8 {
        client.stream.write_all(&[0, 0]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(code(&client.ask(&echo_test(1))), "00");
    assert!(client.is_closed(), "and then nothing came");
    eventually("closed", || bench.meter.closed(Closed::Idle).value() == 1);
}

#[test]
fn half_a_message_is_not_waited_for_long() {
    let bench = bench(Options { message_ms_max: 50, ..Options::default() });
    let mut stalls = bench.connect();
    let mut breaks = bench.connect();
    let body = encoded(&echo_test(1), "ascii87");
    stalls.stream.write_all(&[0, 45, b'0']).unwrap();
    breaks.stream.write_all(&[0, 45, b'0']).unwrap();
    drop(breaks);
    serves(&bench);
    assert_eq!(body.len(), 45);
    assert!(stalls.is_closed());
    eventually("half a message", || bench.meter.closed(Closed::HalfMessage).value() == 1);
    eventually("within", || bench.meter.closed(Closed::WithinMessage).value() == 1);
}

#[test]
fn a_message_may_come_in_pieces() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let mut wire = Vec::new();
    for stan in [1, 2] {
        echo_test(stan).encode(client.dialect, &mut wire).unwrap();
    }
    for byte in wire {
        client.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!([client.receive(), client.receive()].map(|answer| code(&answer).to_owned()), ["00", "00"]);
}

#[test]
fn a_peer_that_does_not_read_is_disconnected() {
    let options = Options { write_ms_max: 100, output_bytes_max: 4_096, ..Options::default() };
    let bench = bench(options);
    let mut deaf = bench.connect();
    deaf.stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut wire = Vec::new();
    (0..1000).for_each(|stan| echo_test(stan).encode(deaf.dialect, &mut wire).unwrap());
    let begun = Instant::now();
    while begun.elapsed() < common::WAIT {
        match deaf.stream.write(&wire) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        serves(&bench);
    }
    eventually("closed", || bench.meter.closed(Closed::NotReading).value() == 1);
}

#[test]
fn more_connections_than_may_be_are_closed_at_once() {
    let bench = bench(Options { connections_max: 2, ..Options::default() });
    let mut clients = [bench.connect(), bench.connect()];
    for client in &mut clients {
        assert_eq!(code(&client.ask(&echo_test(1))), "00");
    }
    assert!(bench.connect().is_closed());
    assert_eq!(bench.meter.refused.value(), 1);
    let [mut stays, goes] = clients;
    drop(goes);
    eventually("closed", || bench.meter.open() == 1);
    serves(&bench);
    assert_eq!(code(&stays.ask(&echo_test(2))), "00");
}

#[test]
fn a_full_queue_is_answered_at_once() {
    let engine = mayfly_engine::Options { queue_max: 4, ..mayfly_engine::Options::default() };
    let bench = Bench::with(Options::default(), engine);
    let mut client = bench.connect();
    let numbers: Vec<_> = (0..64).map(|_| bench.issue()).collect();
    bench.tape.hold(true);
    let requests: Vec<_> = numbers.iter().zip(0..).map(|(issued, at)| purchase(issued, at)).collect();
    client.send_all(&requests);
    for _ in 0..60 {
        assert_eq!(code(&client.receive()), "96");
    }
    bench.tape.hold(false);
    for _ in 0..4 {
        assert_eq!(code(&client.receive()), "00");
    }
    let refused = &requests[63];
    assert_eq!(code(&client.ask(refused)), "00", "what was refused can be tried again");
}

#[test]
fn what_takes_too_long_is_answered_96() {
    let bench = bench(Options { answer_ms_max: 50, ..Options::default() });
    let mut client = bench.connect();
    let request = purchase(&bench.issue(), 17);
    bench.tape.hold(true);
    let answer = client.ask(&request);
    assert_eq!((code(&answer), answer.text(De::STAN)), ("96", Some("000017")));
    bench.tape.hold(false);
    eventually("late", || bench.meter.late.value() == 1);
    assert_eq!(bench.meter.timed_out.value(), 1);
    // What was approved after that was taken back, and whoever asks again is told the same as before.
    assert_eq!(code(&client.ask(&request)), "96");
}

#[test]
fn while_the_journal_is_away_the_answer_is_91() {
    let bench = bench(Options { answer_ms_max: 100, ..Options::default() });
    let mut client = bench.connect();
    let (first, second) = (purchase(&bench.issue(), 17), purchase(&bench.issue(), 18));
    bench.tape.be_away(true);
    assert_eq!(code(&client.ask(&first)), "91", "it waited for as long as it may");
    assert_eq!(bench.meter.timed_out.value(), 1);
    assert_eq!(code(&client.ask(&second)), "91", "it is not even taken");
    assert_eq!(bench.meter.timed_out.value(), 1);
    bench.tape.be_away(false);
    eventually("late", || bench.meter.late.value() == 1);
    // What was taken and could not be answered was approved, and taken back; what was not taken is as if it never was.
    assert_eq!(code(&client.ask(&first)), "96");
    assert_eq!(code(&client.ask(&second)), "00");
}

#[test]
fn what_is_in_flight_is_bounded() {
    let bench = bench(Options { in_flight_max: 3, message_ms_max: 100, ..Options::default() });
    let mut client = bench.connect();
    let numbers: Vec<_> = (0..20).map(|_| bench.issue()).collect();
    bench.tape.hold(true);
    let requests: Vec<_> = numbers.iter().zip(0..).map(|(issued, at)| purchase(issued, at)).collect();
    client.send_all(&requests);
    let mut half = Vec::new();
    echo_test(99).encode(client.dialect, &mut half).unwrap();
    client.stream.write_all(&half[..20]).unwrap();
    eventually("read", || bench.meter.messages(Traffic::Authorisation).value() == 3);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bench.meter.messages(Traffic::Authorisation).value(), 3);
    assert_eq!(bench.meter.open(), 1, "whoever is not read is not late");
    bench.tape.hold(false);
    for _ in 0..20 {
        assert_eq!(code(&client.receive()), "00");
    }
    client.stream.write_all(&half[20..]).unwrap();
    assert_eq!(client.receive().mti(), Mti::NETWORK_RESPONSE);
}

#[test]
fn a_peer_that_is_done_sending_still_gets_its_answers() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let request = purchase(&bench.issue(), 1);
    bench.tape.hold(true);
    client.send(&request);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    eventually("read", || bench.meter.messages(Traffic::Authorisation).value() == 1);
    bench.tape.hold(false);
    assert_eq!(code(&client.receive()), "00");
    assert!(client.is_closed());
}

#[test]
fn a_peer_that_is_gone_leaves_nothing_behind() {
    let bench = Bench::start();
    let numbers: Vec<_> = (0..50).map(|_| bench.issue()).collect();
    bench.tape.hold(true);
    for (issued, at) in numbers.iter().zip(0..) {
        bench.connect().send(&purchase(issued, at));
    }
    eventually("read", || bench.meter.messages(Traffic::Authorisation).value() == 50);
    let before = bench.tape.events();
    bench.tape.hold(false);
    eventually("decided nevertheless", || bench.tape.events() == before + 50);
    eventually("closed", || bench.meter.open() == 0);
    serves(&bench);
}
