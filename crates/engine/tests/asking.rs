//! Questions leave when they are on the disk, are given up in time, and end when the engine does.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mayfly_core::{
    Answer, Command, DecisionHook, IssuerId, MessageAnswer, Operation, Partitions, Reason, Resolution,
    WhenLate, Word,
};
use mayfly_engine::{Desk, Issued, MemoryNoteKeys, Options};
use support::{Bench, NOON, Seeded, bank, fresh, order, purchase, replayed, start};
use tokio::sync::oneshot::Receiver;

const BANK: IssuerId = IssuerId(1);

/// An engine whose issuer wants to be asked, and a number with several uses.
fn asking(when_late: WhenLate) -> (Bench, Issued) {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let hook = Some(DecisionHook { wait_ms: 2000, when_late });
    let set = Operation::SetHook { issuer: BANK, hook };
    assert_eq!(bench.engine.handle().ask_blocking(Command::Operate(Box::new(set))), Answer::Done);
    let desk = Desk::new(
        bench.engine.handle(),
        bench.catalogue.clone(),
        Box::new(Seeded(5)),
        bench.clock.clone(),
        Arc::new(MemoryNoteKeys::default()),
    );
    let drawn = desk.draw(&mayfly_engine::Order { uses: 100, ..order(account) }).unwrap();
    let answer = bench.engine.handle().ask_blocking(Command::Issue(Box::new(drawn.command.clone())));
    let issued = desk.hand_out(drawn, answer).unwrap();
    (bench, issued)
}

fn buy(bench: &Bench, issued: &Issued, count: u64) -> Receiver<Answer> {
    bench.engine.handle().ask(purchase(bench, &issued.pan, issued.expiry, count)).unwrap()
}

fn answered(receiver: Receiver<Answer>) -> MessageAnswer {
    match receiver.blocking_recv().unwrap() {
        Answer::Message(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn say(bench: &Bench, question: mayfly_core::QuestionId, word: Word) -> Answer {
    bench.engine.handle().ask_blocking(Command::Resolve(Resolution { question, issuer: BANK, word }))
}

#[test]
fn a_question_leaves_when_it_is_on_the_disk_and_not_before() {
    let (bench, issued) = asking(WhenLate::Decline);
    let tried = bench.journal.with(|disk| {
        disk.held = true;
        disk.tried
    });
    let waits = buy(&bench, &issued, 1);
    while bench.journal.with(|disk| disk.tried) == tried {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(20));
    assert!(bench.asked.0.lock().unwrap().is_empty());
    bench.journal.with(|disk| disk.held = false);
    let question = bench.asked.await_count(1).remove(0);
    assert_eq!((question.at_ms, question.asked.deadline_ms), (NOON, NOON + 2000));
    assert!(matches!(say(&bench, question.asked.question, Word::Approve), Answer::Resolved { .. }));
    let answer = answered(waits);
    assert_eq!((answer.reason, answer.repeat), (Reason::Approved, false));
    bench.engine.stop().unwrap();
}

#[test]
fn a_question_that_can_not_be_written_never_leaves() {
    let (bench, issued) = asking(WhenLate::Approve);
    bench.journal.with(|disk| disk.breaks_after = Some(disk.entries.len()));
    let answer = answered(buy(&bench, &issued, 1));
    assert_eq!(answer.reason, Reason::Overloaded);
    assert!(bench.engine.stop().is_err());
    assert!(bench.asked.0.lock().unwrap().is_empty());
}

#[test]
fn repeats_join_and_all_are_answered_alike() {
    let (bench, issued) = asking(WhenLate::Decline);
    let mut waiting: Vec<_> = (0..3).map(|_| buy(&bench, &issued, 1)).collect();
    let asked = bench.asked.await_count(1);
    // Whoever asks once more than seventeen times is turned away, and nobody else.
    waiting.extend((0..13).map(|_| buy(&bench, &issued, 1)));
    assert_eq!(answered(buy(&bench, &issued, 1)).reason, Reason::Overloaded);
    assert_eq!(asked.len(), 1);
    say(&bench, asked[0].asked.question, Word::Approve);
    let answers: Vec<_> = waiting.into_iter().map(answered).collect();
    assert!(answers.iter().all(|answer| answer.approval == answers[0].approval && answer.approval.is_some()));
    // Only who asked last may take back what comes too late for him.
    let repeats: Vec<bool> = answers.iter().map(|answer| answer.repeat).collect();
    assert_eq!(repeats, [vec![true; 15], vec![false]].concat());
    bench.engine.stop().unwrap();
}

#[test]
fn nobody_is_waited_for_longer_than_was_said() {
    for (when_late, reason) in [(WhenLate::Decline, Reason::HookLate), (WhenLate::Approve, Reason::StoodIn)] {
        let (bench, issued) = asking(when_late);
        let mut waits = buy(&bench, &issued, 1);
        let question = bench.asked.await_count(1).remove(0).asked.question;
        bench.clock.set(NOON + 1999);
        std::thread::sleep(Duration::from_millis(150));
        assert!(waits.try_recv().is_err());
        bench.clock.set(NOON + 2000);
        assert_eq!(answered(waits).reason, reason);
        // What is said now is on record, and nothing else.
        assert_eq!(say(&bench, question, Word::Decline), Answer::Done);
        bench.engine.stop().unwrap();
    }
}

#[test]
fn a_stop_leaves_nobody_waiting_and_the_next_start_ends_what_was_asked() {
    let (bench, issued) = asking(WhenLate::Approve);
    let waits = buy(&bench, &issued, 1);
    bench.asked.await_count(1);
    bench.engine.stop().unwrap();
    assert_eq!(answered(waits).reason, Reason::Overloaded);

    let state = replayed(&bench.journal.with(|disk| disk.entries.clone()));
    assert_eq!(state.pending.len(), 1);
    let again = start(Partitions::of_one(state), bench.journal.clone(), Options::default());
    let repeat = answered(buy(&again, &issued, 1));
    assert_eq!((repeat.reason, repeat.repeat), (Reason::Unfinished, true));
    let next = buy(&again, &issued, 2);
    let question = again.asked.await_count(1).remove(0).asked.question;
    say(&again, question, Word::Approve);
    assert_eq!(answered(next).reason, Reason::Approved);
    again.engine.stop().unwrap();
    let state = replayed(&again.journal.with(|disk| disk.entries.clone()));
    assert!(state.pending.is_empty());
    assert_eq!(state.trial_balance().sum(), 0);
}
