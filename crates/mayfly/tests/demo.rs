//! The demonstration, as whoever sees Mayfly for the first time runs it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;

use common::mayfly;

/// Whether a whole number of the demonstration's programmes, or of a card behind them, stands in a text.
fn shows_a_number(text: &str) -> bool {
    let digits = |at: usize| text[at..].bytes().take_while(u8::is_ascii_digit).count();
    let bins = ["456940", "545454", "546464", "541234"];
    bins.iter().any(|bin| text.match_indices(bin).any(|(at, _)| digits(at) >= 16))
}

/// Acceptance rows A22, A23, A26, A30, A35 and A40, as somebody sees them who only looks.
#[test]
fn every_step_comes_out_as_it_should() {
    let text = mayfly(&["demo"]).ok();
    for words in [
        "Anna buys a book: 00 approved  [ok]",
        "the same number for a second purchase: 05 declined  [ok]",
        "because",
        "number-expired",
        "universal-alone",
        "steps came out as they should",
        "456940******",
        "Dora pays with a pseudo number and a date for this purchase: 00 approved; the shop never sees her number",
        "no-etsn-open",
        "card-locked",
        "field-wrong",
        "N7 the issuer's own answer",
        "91 issuer unavailable; it is told to reverse, and acknowledges",
        "the issuer's host hears:\n          0100 authorisation request\n            DE 2    Primary account number                     541234******",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let sum = text.lines().find(|line| line.starts_with("sum ")).unwrap();
    assert!(sum.ends_with(" 0.00 USD"), "{sum}");
    assert!(!shows_a_number(&text), "{text}");
    for holder in ["Dora ", "Evan "] {
        let both = text.lines().find(|line| line.starts_with(holder)).unwrap();
        assert!(both.ends_with("  ok"), "{both}");
    }
    assert!(!text.contains('\x1b'), "no colours where nobody sees them");
}

#[test]
fn scripts_get_json_and_the_traffic_as_a_capture() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("demo.pcap");
    let report = mayfly(&["--json", "demo", "--pcap", capture.to_str().unwrap()]).json();
    assert_eq!((&report["ok"], &report["sum_minor"]), (&true.into(), &0.into()));
    let steps = report["steps"].as_array().unwrap();
    assert!(steps.len() >= 34);
    let expected = |code: &str| steps.iter().filter(|step| step["got"] == code).count();
    assert!(
        [("00", 14), ("05", 13), ("51", 2), ("61", 1), ("91", 1), ("N7", 1)]
            .iter()
            .all(|(code, count)| expected(code) >= *count)
    );
    for step in steps {
        assert_eq!(step["ok"], true, "{step}");
        assert!(step["request"]["elements"].as_array().unwrap().len() > 2, "{step}");
    }
    // What shops send is never what the issuer's host hears, but for the card with its own number.
    let number = |view: &serde_json::Value| view["elements"][0]["value"].as_str().unwrap().to_owned();
    let heard = steps.iter().flat_map(|step| {
        step["host_heard"].as_array().unwrap().iter().map(|heard| (number(&step["request"]), number(heard)))
    });
    let heard: Vec<_> = heard.collect();
    assert_eq!(heard.len(), 9);
    for (shop, host) in heard {
        let is_own = host.starts_with("546464******");
        assert!(is_own || host.starts_with("541234******"), "{host}");
        assert_eq!(shop == host, is_own, "{shop} {host}");
    }
    for account in report["at_host"].as_array().unwrap() {
        assert_eq!((&account["agree"], &account["ours"]), (&true.into(), &account["host"]), "{account}");
    }
    assert_eq!(report["at_host"].as_array().unwrap().len(), 2);
    let capture = std::fs::read(capture).unwrap();
    assert_eq!(capture[..4], 0xa1b2_c3d4u32.to_le_bytes());
    // Handshake, four packets a step, end.
    let mut packets = 0;
    let mut at = 24;
    while at < capture.len() {
        at += 16 + u32::from_le_bytes(capture[at + 8..at + 12].try_into().unwrap()) as usize;
        packets += 1;
    }
    assert_eq!(packets, 3 + 4 * steps.len() + 3);
}

#[test]
fn a_capture_that_can_not_be_written_is_said() {
    mayfly(&["demo", "--pcap", "/nonexistent/demo.pcap"]).fails(3, "/nonexistent/demo.pcap");
}
