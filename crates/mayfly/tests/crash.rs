//! The server is killed at random moments under load, its views are damaged, and nothing that was acknowledged
//! may be lost, done twice, or told differently.
//!
//! `MAYFLY_SEED` repeats a run as far as a run of several processes can be repeated, `MAYFLY_ROUNDS` says how
//! often the server is killed. `scripts/crash ROUNDS` does both with a release build.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds and counts, for whoever reads the output")]

#[path = "crash/damage.rs"]
mod damage;
mod harness;
#[path = "crash/load.rs"]
mod load;

use std::time::{Duration, Instant};

use damage::Damage;
use harness::{History, Home, Random, Sent};
use load::Load;
use mayfly_testing::{Store, on_both};

/// How often the server is killed if nothing else is asked.
const ROUNDS: u64 = 5;
/// How many of those rounds a data directory lives through; then a new one is begun.
const LIFE: u64 = 20;
/// How many workers load it.
const WORKERS: usize = 12;
/// How long a load lasts before the kill, in milliseconds.
const LOAD_MS: (u64, u64) = (50, 1500);

on_both! { kill_nine_loses_nothing }

fn kill_nine_loses_nothing(store: Store) {
    let mut random = Random::of_environment();
    let rounds = std::env::var("MAYFLY_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let mut left = rounds;
    while left > 0 {
        let rounds = left.min(LIFE);
        live(store, rounds, &mut random);
        left -= rounds;
    }
    println!("{rounds} rounds on {store:?}");
}

/// The life of a data directory.
fn live(store: Store, rounds: u64, random: &mut Random) {
    let home = Home::new(store);
    let mut server = home.start();
    let accounts = {
        let mut admin = server.admin();
        let issuer = admin.open_issuer("Crash", "456940");
        (0..WORKERS).map(|_| admin.open_account(&issuer, 999_999_999_999)).collect::<Vec<_>>()
    };
    let mut history = History::default();
    let mut sent: Vec<Sent> = Vec::new();
    let mut damage = Damage::default();
    for round in 1..=rounds {
        let before = sent.len();
        let load = Load::begin(&server, &accounts, round, random);
        let (shortest, longest) = LOAD_MS;
        let lasts = Duration::from_millis(shortest + random.below(longest - shortest));
        std::thread::sleep(lasts);
        server.kill();
        let done = load.end();
        sent.extend(done.sent);
        let what = damage.inflict(&home, random);
        // Without a server: what is on the disk is a whole chain, however the server ended.
        home.json(["journal", "verify"]);

        let begun = Instant::now();
        server = home.start();
        let started = begun.elapsed();
        if random.below(4) == 0 {
            // Killed while it was at recovering, or shortly after.
            std::thread::sleep(Duration::from_millis(random.below(100)));
            server.kill();
            server = home.start();
        }
        let open = load::ask_again(&server, &mut sent, before, random);
        let told: Vec<_> = accounts.iter().map(|account| server.admin().money(account)).collect();
        server.stop();

        let verified = home.verify();
        history.read_on(&home);
        history.has_issued(&done.issued);
        history.has_answered(&sent[before..]);
        history.no_number_was_overused();
        history.books_balance(&accounts, &told);
        damage.keep_copy(&home, round, random);
        server = home.start();
        history.views_show(&home, random);
        println!(
            "round {round}: killed after {} ms, {} answered, {open} not, {} records, views {what}, \
             ready after {} ms",
            lasts.as_millis(),
            sent.len() - before - open,
            verified["entries"],
            started.as_millis()
        );
    }
    server.stop();

    // From the first record once more, as a whole.
    history.read_on(&home);
    let mut whole = History::default();
    whole.read_on(&home);
    whole.has_answered(&sent);
    whole.no_number_was_overused();
    assert!(whole == history, "the journal's past has changed");
    println!("{} messages, {} of them in the journal", sent.len(), whole.len());
}
