//! At the finest log level, nothing that is written tells a card number, its date or its code.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;

use common::{Bench, code, echo_test, eventually, purchase};
use mayfly_iso8583::De;
use mayfly_network::Closed;
use mayfly_testing::CaughtLog;

#[test]
fn a_log_tells_no_secrets() {
    let log = CaughtLog::catch();
    let bench = Bench::start();
    let issued = bench.issue();
    let cvc2 = std::str::from_utf8(issued.cvc2.expose()).unwrap().to_owned();
    for mut client in bench.connect_all() {
        let mut request = purchase(&issued, 17);
        request.set_sub_elements(De::ADDITIONAL_DATA, &[(92, &cvc2)]).unwrap();
        let answer = client.ask(&request);
        assert!(["00", "05"].contains(&code(&answer)));
        let mut body = Vec::new();
        request.encode_body(client.dialect, &mut body).unwrap();
        body.pop();
        client.send_body(&body);
        assert_eq!(code(&client.receive()), "30");
        request.remove(De::AMOUNT);
        assert_eq!(code(&client.ask(&request)), "30");
        assert_eq!(code(&client.ask(&echo_test(1))), "00");
        client.send_body(issued.pan.digits().get(..1).unwrap());
        assert!(client.is_closed());
    }
    eventually("closed", || bench.meter.closed(Closed::Unreadable).value() == 3);
    drop(bench);
    let log = log.text();
    let number = issued.pan.as_str();
    let masked = format!("{}******{}", &number[..6], &number[12..]);
    for shown in [&*masked, "Date, expiration: ***", "92=***", "DE 4 is missing", "closed", "malformed=3"] {
        assert!(log.contains(shown), "{shown}");
    }
    let hex: String = number.bytes().map(|byte| format!("{byte:02x}")).collect();
    for hidden in [number, &number[..7], &number[6..], &hex, &format!("9203{cvc2}")] {
        assert!(!log.contains(hidden), "{hidden}");
    }
    assert!(!log.contains(&format!("expiration: {}", issued.expiry.yymm())));
}
