//! Two gateways, and a database with a synchronous standby. Many clients want the same numbers, while by a seeded plan gateways
//! are killed, stopped and stand still, and the database is restarted, lost, and replaced by its standby. Afterwards the books of
//! clients, journal and views agree in every entry, and what clients saw of each account and its numbers can have happened
//! one after the other.
//!
//! `MAYFLY_SEED` repeats a plan, `MAYFLY_ROUNDS` says how many rounds there are. `scripts/faults ROUNDS SEED` does both with a
//! release build.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds and counts, for whoever reads the output")]

#[path = "linear/books.rs"]
mod books;
#[path = "linear/checker.rs"]
mod checker;
#[path = "linear/clients.rs"]
mod clients;
mod harness;
#[path = "linear/model.rs"]
mod model;
#[path = "linear/plan.rs"]
mod plan;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clients::{Asked, Bazaar, Clock, Load};
use harness::{History, Random};
use plan::{Fault, World};

/// How many rounds there are if nothing else is asked.
const ROUNDS: u64 = 5;
/// How many rounds two gateways and two servers live through; then new ones are made.
const LIFE: u64 = 10;
/// How many clients there are.
const CLIENTS: usize = 12;
/// How many faults a round has, at least and at the most.
const FAULTS: (u64, u64) = (2, 4);
/// How many accounts are opened for a round: clients come to a fifth of them in a quiet one.
const ACCOUNTS: usize = 300;
/// Shorter than by default, so that a round shows more: a gateway that is lost is missed sooner, and answers come too late.
const LEASE: &str = "lease_ms = 2000\nstatement_time_max_ms = 2000\nconnect_time_max_ms = 2000";
const ANSWER_TIMEOUT: &str = "answer_timeout_ms = 1000";

#[test]
fn whatever_fails_every_history_is_linearizable() {
    let mut random = Random::of_environment();
    let rounds = std::env::var("MAYFLY_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let begun = Instant::now();
    for first in (1..=rounds).step_by(LIFE as usize) {
        live(first..(first + LIFE).min(rounds + 1), &mut random);
    }
    println!("{rounds} rounds in {:.0?}", begun.elapsed());
}

/// The life of two gateways and two servers.
fn live(rounds: std::ops::Range<u64>, random: &mut Random) {
    let mut world = World::new(LEASE, ANSWER_TIMEOUT);
    let active = world.start();
    let issuer = world.gateways[active].admin().open_issuer("Faults", "456940");
    world.stop();
    let (mut history, mut asked) = (History::default(), Vec::new());
    for round in rounds {
        live_through(&mut world, (&issuer, round), (&mut history, &mut asked), random);
    }
}

fn live_through(
    world: &mut World,
    (issuer, round): (&str, u64),
    (history, asked_before): (&mut History, &mut Vec<Asked>),
    random: &mut Random,
) {
    let active = world.start();
    let bazaar = Arc::new(Bazaar::open(&world.gateways[active], issuer, ACCOUNTS));
    let clock = Clock::start();
    let load = Load::begin(&world.gateways, &bazaar, (CLIENTS, round), clock, random);
    let (least, most) = FAULTS;
    for _ in 0..least + random.below(most - least + 1) {
        std::thread::sleep(Duration::from_millis(300 + random.below(700)));
        let fault = Fault::drawn(random);
        println!("round {round}: {fault:?}");
        world.suffer(fault, &bazaar);
        // Or the next one comes before this one is over.
        if random.below(4) > 0 {
            println!("round {round}:   answered again {:.1?} later", world.await_answers(&bazaar));
        }
    }
    world.await_answers(&bazaar);
    let mut asked = load.end();
    let active = world.await_active();
    let open = clients::resolve(&world.gateways[active], &mut asked, clock);
    let abandoned = asked.iter().filter(|asked| asked.abandoned).count();
    // Whoever is the active one when the next one begins knows all of it.
    world.stop();
    let active = world.start();
    history.read_on(&world.gateways[active].home);
    let histories =
        books::histories_are_linearizable(&world.gateways[active], &bazaar, &asked, history, clock);
    let count = asked.len();
    asked_before.extend(asked);
    books::clients_and_journal_agree(asked_before, history);
    world.stop();
    let verified = books::verified(&world.gateways[active]);
    books::journal_and_views_agree(world, history);
    println!(
        "round {round}: {count} messages, {open} open at the end, {abandoned} given up, {} taken back until now, \
         {histories} histories, {} records",
        history.taken_back(),
        verified["records"]
    );
}
