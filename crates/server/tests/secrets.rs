//! Whatever happens, at the finest log level: no number and no CVC2 is written anywhere but to its owner.
//!
//! A file of its own, because a process has one log.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::fs;

use common::{Running, purchase, send};
use mayfly_server::protocol::{AdminRequest, NumberControls};
use mayfly_testing::{CaughtLog, Store};

#[test]
fn no_number_leaves_but_to_its_owner() {
    let log = CaughtLog::catch();
    let mut running = Running::start(Store::Sqlite);
    running.furnished();
    let issued: Vec<_> = (0..8).map(|_| running.issue(NumberControls::default(), None)).collect();
    let mut network = running.network();
    for (issued, stan) in issued.iter().zip(1..) {
        let response = if stan % 2 == 0 { "00" } else { "51" };
        let minor = if stan % 2 == 0 { 100 } else { 999_999 };
        assert_eq!(send(&mut network, &purchase(issued, "0100", stan, minor)), response);
        running.number(issued);
    }
    running.ask(AdminRequest::CancelNumber { number: issued[0].id });
    let metrics = running.page("/metrics").1;
    let directory = running.stop();

    let log = log.text();
    assert!(log.contains("TRACE") && log.contains("serving"), "the log was captured");
    let mut places =
        vec![("the log".to_owned(), log.into_bytes()), ("the metrics".to_owned(), metrics.into_bytes())];
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        places.push((path.display().to_string(), fs::read(&path).unwrap()));
    }
    for (place, bytes) in &places {
        for issued in &issued {
            let pan = issued.number.as_str();
            // The nine digits that were drawn are as bad as the whole number.
            for secret in [pan, &pan[6..15]] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "a number stands in {place}");
            }
        }
    }
}
