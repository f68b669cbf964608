//! What a peer that keeps to the rules meets.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;

use common::{Bench, catalogue, code, dialect, echo_test, eventually, management, purchase};
use mayfly_core::ResponseCode;
use mayfly_iso8583::{De, Mti, OriginalData};
use mayfly_network::{Closed, Endpoint, Network, Options, StartError, Stopped, Traffic};

#[test]
fn a_number_pays_once_in_every_dialect() {
    let bench = Bench::start();
    for (mut client, stan) in bench.connect_all().into_iter().zip([17, 18, 19]) {
        let issued = bench.issue();
        let request = purchase(&issued, stan);
        let answer = client.ask(&request);
        assert_eq!(answer.mti(), Mti::AUTHORISATION_RESPONSE);
        assert_eq!(code(&answer), "00");
        for element in [De::PAN, De::PROCESSING_CODE, De::TRANSMISSION_TIME, De::ACQUIRER, De::RRN] {
            assert_eq!(answer.text(element), request.text(element), "{element}");
        }
        assert_eq!(answer.text(De::AMOUNT), Some("000000002498"));
        assert_eq!(answer.text(De::APPROVAL_CODE).map(str::len), Some(6));
        let answer = client.ask(&purchase(&issued, 100 + stan));
        assert_eq!(code(&answer), "05");
        assert!(!answer.has(De::APPROVAL_CODE));
    }
}

#[test]
fn every_dialect_is_served_at_once() {
    let bench = Bench::start();
    let mut clients = bench.connect_all();
    for (at, client) in clients.iter_mut().enumerate() {
        let answer = client.ask(&purchase(&bench.issue(), 100 + at as u32));
        assert_eq!(code(&answer), "00");
        assert_eq!(answer.text(De::CARD_ACCEPTOR), Some("MERCHANT1      "));
        assert_eq!(code(&client.ask(&echo_test(7))), "00");
    }
    assert_eq!(bench.meter.open(), 3);
    assert_eq!(bench.meter.messages(Traffic::Authorisation).value(), 3);
    assert_eq!(bench.meter.answers(ResponseCode::Approved).value(), 6);
    eventually("written", || bench.meter.latency.count() == 6);
}

#[test]
fn a_repeat_gets_the_identical_answer() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let mut request = purchase(&bench.issue(), 17);
    client.send(&request);
    let first = client.receive_bytes().unwrap();
    let events = bench.tape.events();
    request.set_mti(request.mti().with_repeat());
    client.send(&request);
    assert_eq!(client.receive_bytes().unwrap(), first);
    // From another connection, with another transmission time.
    let mut other = bench.connect();
    request.set(De::TRANSMISSION_TIME, "1122135706");
    other.send(&request);
    let again = other.receive();
    assert_eq!(code(&again), "00");
    assert_eq!(bench.tape.events(), events, "a repeat changes nothing");
    request.set(De::AMOUNT, "2499");
    assert_eq!(code(&other.ask(&request)), "94");
}

#[test]
fn a_purchase_is_completed_reversed_and_refunded() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let request = purchase(&bench.issue(), 17);
    assert_eq!(code(&client.ask(&request)), "00");

    let mut completion = request.clone();
    completion.set_mti(Mti::FINANCIAL_ADVICE).set(De::STAN, "18");
    let answer = client.ask(&completion);
    assert_eq!((answer.mti(), code(&answer)), (Mti::FINANCIAL_ADVICE_RESPONSE, "00"));

    let mut refund = request.clone();
    refund.set_mti(Mti::FINANCIAL_REQUEST).set(De::STAN, "19").set(De::PROCESSING_CODE, "200000");
    refund.set(De::AMOUNT, "500");
    assert_eq!(code(&client.ask(&refund)), "00");

    let original = OriginalData::new(Mti::FINANCIAL_ADVICE, 18, 1_122_135_606, 423_935, 0).unwrap();
    let mut reversal = request.clone();
    reversal.set_mti(Mti::REVERSAL_ADVICE).set(De::STAN, "20").set(De::ORIGINAL_DATA, &original.to_string());
    let answer = client.ask(&reversal);
    assert_eq!((answer.mti(), code(&answer)), (Mti::REVERSAL_ADVICE_RESPONSE, "00"));
    assert_eq!(answer.text(De::ORIGINAL_DATA), Some(&*original.to_string()));
}

#[test]
fn a_reversal_without_a_reference_number_finds_its_original() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let mut request = purchase(&bench.issue(), 17);
    request.remove(De::RRN);
    assert_eq!(code(&client.ask(&request)), "00");
    let original = OriginalData::new(request.mti(), 17, 1_122_135_606, 423_935, 0).unwrap();
    let mut reversal = request.clone();
    reversal.set_mti(Mti::REVERSAL_REQUEST).set(De::STAN, "18").set(De::ORIGINAL_DATA, &original.to_string());
    let events = bench.tape.events();
    assert_eq!(code(&client.ask(&reversal)), "00");
    assert_eq!(bench.tape.events(), events + 1);
    // A second one finds nothing left: so the first one found the purchase.
    reversal.set(De::STAN, "19");
    assert_eq!(code(&client.ask(&reversal)), "12");
}

#[test]
fn a_reversal_that_overtakes_its_original_wins() {
    let bench = Bench::start();
    let mut client = bench.connect();
    for remove in [false, true] {
        let mut request = purchase(&bench.issue(), 17 + u32::from(remove));
        if remove {
            request.remove(De::RRN);
        }
        let stan = request.text(De::STAN).unwrap().parse().unwrap();
        let original = OriginalData::new(request.mti(), stan, 1_122_135_606, 423_935, 0).unwrap();
        let mut reversal = request.clone();
        reversal.set_mti(Mti::REVERSAL_ADVICE).set(De::STAN, "99");
        reversal.set(De::ORIGINAL_DATA, &original.to_string());
        assert_eq!(code(&client.ask(&reversal)), "00");
        assert_eq!(code(&client.ask(&request)), "05", "RRN removed: {remove}");
    }
}

#[test]
fn an_authorisation_is_increased() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let request = purchase(&bench.issue(), 17);
    let approved = client.ask(&request);
    let mut more = request.clone();
    more.set(De::STAN, "18").set(De::APPROVAL_CODE, approved.text(De::APPROVAL_CODE).unwrap());
    assert_eq!(code(&client.ask(&more)), "00");
    let mut completion = request.clone();
    completion.set_mti(Mti::FINANCIAL_ADVICE).set(De::STAN, "19").set(De::AMOUNT, "4996");
    assert_eq!(code(&client.ask(&completion)), "00");
}

#[test]
fn answers_leave_when_they_are_ready() {
    let bench = Bench::start();
    let mut client = bench.connect();
    let numbers: Vec<_> = (0..50).map(|_| bench.issue()).collect();
    bench.tape.hold(true);
    let mut requests: Vec<_> =
        numbers.iter().enumerate().map(|(at, issued)| purchase(issued, at as u32)).collect();
    requests.push(echo_test(999));
    client.send_all(&requests);
    let first = client.receive();
    assert_eq!((first.mti(), first.text(De::STAN)), (Mti::NETWORK_RESPONSE, Some("000999")));
    bench.tape.hold(false);
    let mut stans: Vec<u32> = Vec::new();
    for _ in 0..50 {
        let answer = client.receive();
        assert_eq!(code(&answer), "00");
        stans.push(answer.text(De::STAN).unwrap().parse().unwrap());
    }
    stans.sort_unstable();
    assert!(stans.into_iter().eq(0..50));
}

#[test]
fn network_management() {
    let bench = Bench::start();
    let mut client = bench.connect();
    for (asked, answered) in [("001", "00"), ("301", "00"), ("002", "00"), ("999", "12")] {
        let answer = client.ask(&management(5, asked));
        assert_eq!((answer.mti(), code(&answer)), (Mti::NETWORK_RESPONSE, answered));
        assert_eq!(answer.text(De::STAN), Some("000005"));
        assert_eq!(answer.text(De::NETWORK_CODE), Some(asked));
    }
    let mut without = management(6, "301");
    without.remove(De::NETWORK_CODE);
    assert_eq!(code(&client.ask(&without)), "30");
}

#[test]
fn where_sign_on_is_required_nothing_goes_without() {
    let options = Options { sign_on_required: true, ..Options::default() };
    let bench = Bench::with(options, mayfly_engine::Options::default());
    let mut client = bench.connect();
    let request = purchase(&bench.issue(), 1);
    assert_eq!(code(&client.ask(&request)), "12");
    assert_eq!(code(&client.ask(&management(2, "001"))), "00");
    assert_eq!(code(&client.ask(&request)), "00");
    assert_eq!(code(&client.ask(&management(3, "002"))), "00");
    assert_eq!(code(&client.ask(&request)), "12");
    assert_eq!(code(&bench.connect().ask(&request)), "12", "each connection signs on for itself");
}

#[test]
fn a_stop_loses_no_answer() {
    let mut bench = Bench::start();
    let mut client = bench.connect();
    let numbers: Vec<_> = (0..300).map(|_| bench.issue()).collect();
    let requests: Vec<_> =
        numbers.iter().enumerate().map(|(at, issued)| purchase(issued, at as u32)).collect();
    let before = bench.tape.events();
    bench.tape.hold(true);
    client.send_all(&requests);
    eventually("read", || bench.meter.messages(Traffic::Authorisation).value() == 300);
    let tape = bench.tape.clone();
    let (meter, address) = (bench.meter.clone(), bench.addresses[0]);
    let reading = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        tape.hold(false);
        let mut answers = 0;
        while let Some(answer) = client.receive_bytes() {
            assert_eq!(&answer[..4], b"0110");
            answers += 1;
        }
        answers
    });
    assert_eq!(bench.stop(), Stopped::Clean);
    assert_eq!(reading.join().unwrap(), 300);
    assert_eq!(bench.tape.events() - before, 300);
    assert_eq!(meter.closed(Closed::Stopping).value(), 1);
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let options = Options { stop_ms_max: 50, ..Options::default() };
    let mut bench = Bench::with(options, mayfly_engine::Options::default());
    let mut client = bench.connect();
    let request = purchase(&bench.issue(), 1);
    bench.tape.hold(true);
    client.send(&request);
    eventually("read", || bench.meter.messages(Traffic::Authorisation).value() == 1);
    assert_eq!(bench.stop(), Stopped::Cut { connections: 1 });
    assert!(client.is_closed());
}

#[test]
fn what_can_not_be_served_is_not_started() {
    let bench = Bench::start();
    let poor = "base = \"iso8583-1987\"\nnumeric = \"ascii\"\ntext = \"ascii\"\nbinary = \"hex\"\nlength = \"ascii\"\n\
                header = \"binary2\"\nmti = \"ascii\"\nbitmap = \"hex\"\n[fields]\n39 = \"none\"\n";
    let poor = mayfly_iso8583::Dialect::parse("poor", poor);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = || bench.connect_engine();
    let start = |address, dialect, options| {
        let endpoint = Endpoint { address, dialect };
        runtime.block_on(Network::start(&[endpoint], engine(), catalogue(), options)).unwrap_err()
    };
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let wrong = Options { in_flight_max: 0, ..Options::default() };
    assert!(matches!(start(free, dialect("ascii87"), wrong), StartError::Options(_)));
    let poor = Box::leak(Box::new(poor.unwrap()));
    let lacks = start(free, poor, Options::default());
    assert_eq!(lacks.to_string(), "dialect poor lacks DE 39, which answers need");
    let taken = start(bench.addresses[0], dialect("ascii87"), Options::default());
    assert!(matches!(taken, StartError::Listen { .. }));
}
