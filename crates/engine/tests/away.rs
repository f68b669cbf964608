//! A journal that is away for a while, or that somebody else writes by now.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use mayfly_core::{Answer, Command, MessageAnswer, Reason, Refusal, ResponseCode};
use mayfly_engine::{
    AppendError, Desk, Engine, Issued, Mailbox, MemoryNoteKeys, Options, Refused, Submission,
};
use support::{Bench, Seeded, bank, fresh, order, purchase, replayed};

fn issue(bench: &Bench) -> Issued {
    let account = bank(bench);
    let notes = std::sync::Arc::new(MemoryNoteKeys::default());
    let random = Box::new(Seeded(1));
    let desk = Desk::new(bench.engine.handle(), bench.catalogue.clone(), random, bench.clock.clone(), notes);
    let drawn = desk.draw(&order(account)).unwrap();
    let answer = bench.engine.handle().ask_blocking(Command::Issue(Box::new(drawn.command.clone())));
    desk.hand_out(drawn, answer).unwrap()
}

fn message(answer: Answer) -> MessageAnswer {
    match answer {
        Answer::Message(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn await_shedding(engine: &Engine) {
    while !engine.handle().is_unconfirmed() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn while_the_journal_is_away_new_work_is_answered_91_and_what_was_taken_is_decided_once() {
    let bench = fresh(Options::default());
    let issued = issue(&bench);
    let handle = bench.engine.handle();
    // The record is written, and nobody hears of it.
    bench.journal.with(|disk| disk.mute = true);
    let first = purchase(&bench, &issued.pan, issued.expiry, 1);
    let waits = handle.ask(first.clone()).unwrap();
    await_shedding(&bench.engine);
    let shed = message(handle.ask_blocking(first.clone()));
    assert_eq!((shed.response, shed.reason), (ResponseCode::IssuerUnavailable, Reason::Unconfirmed));
    assert_eq!(handle.ask_blocking(Command::Sweep { limit: 1 }), Answer::Refused(Refusal::Busy));
    assert_eq!(handle.look(|_| ()).unwrap_err(), Refused::Unconfirmed);
    bench.journal.with(|disk| disk.away = false);
    let approved = message(waits.blocking_recv().unwrap());
    assert_eq!(approved.response, ResponseCode::Approved);
    // It comes back by itself, and whoever was shed hears the first one's answer.
    while handle.is_unconfirmed() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let again = message(handle.ask_blocking(first));
    assert_eq!((again.repeat, again.transaction), (true, approved.transaction));
    bench.engine.stop().unwrap();
    let state = replayed(&bench.journal.with(|disk| disk.entries.clone()));
    assert_eq!(state.accounts[0].balance, -100);
}

#[test]
fn an_answer_that_changed_nothing_is_given_only_by_whoever_still_writes() {
    let bench = fresh(Options::default());
    let issued = issue(&bench);
    let handle = bench.engine.handle();
    let buy = purchase(&bench, &issued.pan, issued.expiry, 1);
    assert_eq!(message(handle.ask_blocking(buy.clone())).response, ResponseCode::Approved);
    assert!(message(handle.ask_blocking(buy.clone())).repeat);
    bench.journal.with(|disk| disk.away = true);
    let waits = handle.ask(buy.clone()).unwrap();
    await_shedding(&bench.engine);
    bench.journal.with(|disk| disk.away = false);
    assert!(message(waits.blocking_recv().unwrap()).repeat);
    bench.journal.with(|disk| disk.taken_over = true);
    let refused = message(handle.ask_blocking(buy));
    assert_eq!((refused.response, refused.repeat), (ResponseCode::IssuerUnavailable, false));
    assert_eq!(bench.engine.stop(), Err(AppendError::Refused));
}

#[test]
fn what_was_being_written_when_somebody_else_took_over_is_answered_91() {
    let bench = fresh(Options::default());
    let issued = issue(&bench);
    bench.journal.with(|disk| disk.errors = vec![AppendError::Refused]);
    let buy = purchase(&bench, &issued.pan, issued.expiry, 1);
    let refused = message(bench.engine.handle().ask_blocking(buy));
    assert_eq!((refused.response, refused.reason), (ResponseCode::IssuerUnavailable, Reason::Unconfirmed));
    assert_eq!(bench.engine.stop(), Err(AppendError::Refused));
}

#[test]
fn everybody_who_waits_is_told_when_the_engine_steps_down() {
    const WAITING: u64 = 100;
    for _ in 0..20 {
        let bench = fresh(Options { batch_max: 1, ..Options::default() });
        let issued = issue(&bench);
        bench.journal.with(|disk| disk.errors = vec![AppendError::Refused]);
        let mailbox = Mailbox::new(|| ());
        let mut submission = Submission::default();
        for key in 0..WAITING {
            submission.add(purchase(&bench, &issued.pan, issued.expiry, key), &mailbox, key);
        }
        bench.engine.handle().submit(&mut submission);
        let mut letters = Vec::new();
        let begun = Instant::now();
        // Not only when it is stopped: whoever stops it waits for these.
        while letters.len() < WAITING as usize {
            assert!(begun.elapsed() < Duration::from_secs(10), "{} are still waiting", letters.len());
            let mut come = Vec::new();
            mailbox.take(&mut come);
            letters.append(&mut come);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(letters.into_iter().all(|(_, answer)| message(answer).response != ResponseCode::Approved));
        assert_eq!(bench.engine.stop(), Err(AppendError::Refused));
    }
}
