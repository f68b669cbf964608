//! The database goes away under load, for a moment: the server comes back by itself, and nothing that was acknowledged is
//! lost, done twice, or told differently.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds and counts, for whoever reads the output")]

mod harness;
#[path = "crash/history.rs"]
mod history;
#[path = "crash/load.rs"]
mod load;

use std::time::{Duration, Instant};

use harness::{Home, Random, Server, until};
use history::History;
use load::Load;
use mayfly_testing::{Store, TestCluster};
use serde_json::Value;

/// How many workers load the server.
const WORKERS: usize = 8;
/// How long it is loaded before each outage, in milliseconds.
const LOAD_MS: (u64, u64) = (100, 700);
/// How soon the server must be ready again.
const READY_IN: Duration = Duration::from_secs(20);

#[test]
fn connections_that_break_lose_nothing() {
    let home = Home::new(Store::Postgres);
    endure(&home, 10, |_| {
        // The writer's at least, the folder's, some readers'.
        assert!(home.database().unwrap().end_connections() > 3);
    });
}

#[test]
fn a_database_that_is_restarted_loses_nothing() {
    let cluster = TestCluster::start();
    let home = Home::on(cluster.database());
    endure(&home, 4, |outage| cluster.restart(outage % 2 == 0, Duration::ZERO));
}

/// Away for longer than a gateway is sure to be the active one.
#[test]
fn a_database_that_is_away_for_long_loses_nothing() {
    let cluster = TestCluster::start();
    let home = Home::on(cluster.database());
    endure(&home, 2, |outage| cluster.restart(outage == 1, Duration::from_secs(8)));
}

/// Loads a server through so many outages. Every time it is ready again by itself, and afterwards accounts for everything.
fn endure(home: &Home, outages: u64, mut outage: impl FnMut(u64)) {
    let mut random = Random::of_environment();
    let mut server = home.start();
    let accounts = {
        let mut admin = server.admin();
        let issuer = admin.open_issuer("Outages", "456940");
        (0..WORKERS).map(|_| admin.open_account(&issuer, 999_999_999_999)).collect::<Vec<_>>()
    };
    let (mut sent, mut issued) = (Vec::new(), Vec::new());
    for round in 1..=outages {
        let load = Load::begin(&server, &accounts, round, &mut random);
        let (shortest, longest) = LOAD_MS;
        std::thread::sleep(Duration::from_millis(shortest + random.below(longest - shortest)));
        let begun = Instant::now();
        outage(round);
        let lasted = begun.elapsed();
        let waited = ready_again(home, &server);
        server.find_again(home);
        std::thread::sleep(Duration::from_millis(shortest));
        let done = load.stop();
        let answered = done.sent.iter().filter(|sent| sent.answer.is_some()).count();
        println!(
            "outage {round}: {lasted:.1?}, ready {waited:.1?} later, {answered} answered, {} not",
            done.sent.len() - answered
        );
        sent.extend(done.sent);
        issued.extend(done.issued);
    }
    load::ask_again(&server, &mut sent, 0, &mut random);
    let told: Vec<_> = accounts.iter().map(|account| server.admin().money(account)).collect();
    // What was broken is used again, by whoever reads the views.
    let mut history = History::default();
    history.read_on(home);
    history.views_show(home, &mut random);
    server.stop();
    home.verify();
    history.has_issued(&issued);
    history.has_answered(&sent);
    history.no_number_was_overused();
    history.books_balance(&accounts, &told);
    println!("{} messages, {} of them in the journal", sent.len(), history.len());
}

/// Waits until the server writes its journal again: how long that took.
fn ready_again(home: &Home, server: &Server) -> Duration {
    let begun = Instant::now();
    let durable = || {
        until("the server to be ready again", || {
            // It is refused like everything else while the journal does not confirm.
            let status = home.cli(["--json", "status"]);
            let status: Value = serde_json::from_slice(&status.stdout).ok()?;
            status["durable"].as_u64().filter(|_| status["ready"] == true)
        })
    };
    let first = durable();
    until("the journal to go on", || (durable() > first).then_some(()));
    let waited = begun.elapsed();
    assert!(waited < READY_IN, "the server was not ready for {waited:?}\n{}", server.log());
    waited
}
