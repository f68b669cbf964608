//! Crashes by seed: the disk breaks at a random record under random work from several threads; what is replayed
//! from it must have everything that was acknowledged, once.
#![allow(clippy::unwrap_used)]

mod support;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::thread;

use mayfly_core::{AccountId, Answer, Command, Partitions, ResponseCode, TransactionId};
use mayfly_engine::{Desk, MemoryNoteKeys, Options};
use support::{Bench, MemoryJournal, Seeded, account, bank, order, purchase, replayed_of};

/// How many accounts there are, over all partitions.
const ACCOUNTS: usize = 20;

/// One acknowledged answer: the command, and what was said.
type Acknowledged = (Command, ResponseCode, Option<TransactionId>);

fn work(bench: &Bench, seed: u64, accounts: &[AccountId]) -> Vec<Acknowledged> {
    let mut random = Seeded(seed);
    let handle = bench.engine.handle();
    let desk = Desk::new(
        handle.clone(),
        bench.catalogue.clone(),
        Box::new(Seeded(seed ^ 1)),
        bench.clock.clone(),
        Arc::new(MemoryNoteKeys::default()),
    );
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    let mut number = None;
    for step in 0..400u64 {
        if number.is_none() || random.below(3) == 0 {
            let account = accounts[random.below(accounts.len() as u64) as usize];
            let Ok(drawn) = desk.draw(&order(account)) else { break };
            let answer = handle.ask_blocking(Command::Issue(Box::new(drawn.command.clone())));
            match desk.hand_out(drawn, answer) {
                Ok(issued) => number = Some(issued),
                Err(_) => break,
            }
        }
        let Some(issued) = &number else { continue };
        let command = purchase(bench, &issued.pan, issued.expiry, seed << 32 | step);
        match handle.ask_blocking(command.clone()) {
            Answer::Message(answer) if answer.response != ResponseCode::Malfunction => {
                acknowledged.push((command, answer.response, answer.transaction));
            }
            _ => break,
        }
    }
    acknowledged
}

fn crash(seed: u64) {
    let journal = MemoryJournal::default();
    let mut random = Seeded(seed);
    let count = [1, 3, 64][random.below(3) as usize];
    let count = NonZeroU16::new(count).unwrap();
    journal.with(|disk| disk.breaks_after = Some(4 + ACCOUNTS + random.below(300) as usize));
    let options = Options { batch_max: 1 + random.below(64) as usize, ..Options::default() };
    let bench = Arc::new(support::start(Partitions::new(count), journal.clone(), options));
    bank(&bench);
    let accounts = (0..ACCOUNTS).map(|_| account(&bench)).collect::<Vec<_>>();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (bench, accounts) = (bench.clone(), accounts.clone());
            thread::spawn(move || work(&bench, seed * 10 + worker, &accounts))
        })
        .collect();
    let acknowledged: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    // Whether or not it broke while they worked.
    drop(Arc::into_inner(bench).unwrap().engine.stop());

    let entries = journal.with(|disk| {
        disk.breaks_after = None;
        disk.entries.clone()
    });
    let partitions = replayed_of(&entries, count);
    for state in partitions.iter() {
        assert_eq!(state.trial_balance().sum(), 0);
    }
    let approved =
        acknowledged.iter().filter(|(_, response, _)| *response == ResponseCode::Approved).count() as i64;
    let balances = partitions.accounts_from(AccountId(0)).map(|(_, account)| account.balance);
    let spent = -balances.sum::<i64>() / 100;
    assert!(spent >= approved, "seed {seed}: {approved} were acknowledged, {spent} are in the books");
    let again = support::start(partitions, journal, Options::default());
    for (command, response, transaction) in &acknowledged {
        match again.engine.handle().ask_blocking(command.clone()) {
            Answer::Message(answer) => {
                assert!(answer.repeat, "seed {seed}: an acknowledged answer is not in the journal");
                assert_eq!((answer.response, answer.transaction), (*response, *transaction), "seed {seed}");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    again.engine.stop().unwrap();
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_crash() {
    let first = std::env::var("MAYFLY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + 20 {
        println!("seed {seed}");
        crash(seed);
    }
}
