//! A10: many connections present one number at the same time, and one of them gets the purchase.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds and counts, for whoever reads the output")]

mod harness;

use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::Instant;

use harness::{Card, Home, Kind, Message, Peer};
use mayfly_testing::{Store, on_both};

/// How many connections race.
const CONNECTIONS: usize = 64;
/// How often.
const ROUNDS: usize = 1000;
/// What each of them wants to pay, in cents.
const AMOUNT: u64 = 2498;

/// What the racers of a round share: the number, once it is issued.
type Prize = Arc<Mutex<Option<Arc<Card>>>>;

on_both! { a10_of_sixty_four_at_once_exactly_one_is_approved }

/// A10: of 64 that present one number at the same time, a thousand times over, exactly one is approved.
fn a10_of_sixty_four_at_once_exactly_one_is_approved(store: Store) {
    let home = Home::new(store);
    let server = home.start();
    let mut admin = server.admin();
    let issuer = admin.open_issuer("Race", "456940");
    let account = admin.open_account(&issuer, 999_999_999_999);

    let barrier = Arc::new(Barrier::new(CONNECTIONS + 1));
    let prize = Prize::default();
    let racers: Vec<_> = (0..CONNECTIONS)
        .map(|lane| {
            let (peer, barrier, prize) = (server.connect(), Arc::clone(&barrier), Arc::clone(&prize));
            std::thread::spawn(move || race(peer, lane, &barrier, &prize))
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let card = admin.issue(&account, 1).unwrap().unwrap();
        *lock(&prize) = Some(Arc::new(card));
        barrier.wait();
        // Everybody has his answer.
        barrier.wait();
    }
    let elapsed = begun.elapsed();

    let mut won = vec![0; ROUNDS];
    for racer in racers {
        for (round, code) in racer.join().unwrap().into_iter().enumerate() {
            match code.as_str() {
                "00" => won[round] += 1,
                "05" => {}
                other => panic!("round {round} was answered {other}"),
            }
        }
    }
    let wrong: Vec<_> = won.iter().enumerate().filter(|(_, approved)| **approved != 1).collect();
    assert!(wrong.is_empty(), "rounds with another number of approvals than one: {wrong:?}");
    println!("{ROUNDS} rounds of {CONNECTIONS} in {elapsed:.1?}");

    // The books agree: each number was paid once.
    let held = i64::try_from(AMOUNT).unwrap() * ROUNDS as i64;
    assert_eq!(admin.money(&account), (-held, held));
    server.stop();
    home.verify();
}

/// Presents each round's number once, and gives what was answered.
fn race(mut peer: Peer, lane: usize, barrier: &Barrier, prize: &Prize) -> Vec<String> {
    (0..ROUNDS)
        .map(|round| {
            barrier.wait();
            let card = lock(prize).clone().unwrap();
            let stan = lane as u32 + 1;
            let rrn = format!("{:012}", round * CONNECTIONS + lane);
            let purchase = Message { kind: Kind::Purchase, card, amount: AMOUNT, stan, rrn, original: None };
            let answer = peer.ask(&purchase);
            barrier.wait();
            answer.map_or_else(|error| error.to_string(), |answer| answer.code)
        })
        .collect()
}

fn lock(prize: &Prize) -> std::sync::MutexGuard<'_, Option<Arc<Card>>> {
    prize.lock().unwrap_or_else(PoisonError::into_inner)
}
