//! At the finest log level, nothing that the link writes, and no error of it, tells a card number or its date.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod linking;

use linking::{AT_MS, OPTIONS, card, eventually, host, link, register, sale};
use mayfly_card::MinorUnits;
use mayfly_iso8583::De;
use mayfly_lab::issuer::Fault;
use mayfly_network::link::LinkOptions;
use mayfly_testing::CaughtLog;

#[tokio::test]
async fn a_log_tells_no_secrets() {
    let log = CaughtLog::catch();
    let host = host().await;
    let (link, mut late) = link(&[&host], LinkOptions { answer_ms_max: 50, ..OPTIONS }).await;
    let (mut register, mut theirs, mut said) = (register(), register(), String::new());
    for fault in [
        None,
        Some(Fault::OtherStan),
        Some(Fault::OtherAmount),
        Some(Fault::OtherNumber),
        Some(Fault::Garbage),
        Some(Fault::Close),
        Some(Fault::Hold),
    ] {
        eventually("signed on", || link.in_service() == 1).await;
        host.script([fault]);
        said += &format!("{:?} {link:?}", link.send(sale(&mut register, 2498)).await);
    }
    host.release();
    said += &format!("{:?}", late.next().await);
    // What can't be written, and what the host asks.
    let mut wrong = sale(&mut register, 1);
    wrong.set(De::PAN, "4761739001010119x");
    said += &link.send(wrong).await.unwrap_err().to_string();
    assert!(host.say(&theirs.sale(AT_MS, &card(), MinorUnits::new(1).unwrap())));
    eventually("it is answered", || link.meter().asked_by_host.value() == 1).await;
    said += &format!("{:?} {}", link.meter(), host.ledger(|ledger| format!("{ledger:?}")));
    link.stop().await;
    let log = log.text();
    assert!(log.contains("received") && log.contains("signed on"));
    for (what, text) in [("the log", &log), ("what was said", &said)] {
        for secret in ["4761739001010119", "739001010", "4912", "4000000000000002"] {
            assert!(!text.contains(secret), "{what} tells {secret}");
        }
    }
}
