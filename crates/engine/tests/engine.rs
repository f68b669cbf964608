//! What the engine promises: nothing is answered that is not on the disk, bounds hold, time never runs back.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use mayfly_core::{
    Answer, Command, Hash64, Once, OnceKey, Operation, PartitionId, Partitions, Reason, Refusal, ResponseCode,
};
use mayfly_engine::{
    AppendError, Desk, DeskError, Entry, Issued, Mailbox, MemoryNoteKeys, Options, Order, Refused, Submission,
};
use support::{NOON, Seeded, account, bank, fresh, order, purchase, replayed};

fn desk(bench: &support::Bench, seed: u64) -> Desk {
    Desk::new(
        bench.engine.handle(),
        bench.catalogue.clone(),
        Box::new(Seeded(seed)),
        bench.clock.clone(),
        Arc::new(MemoryNoteKeys::default()),
    )
}

fn issue(bench: &support::Bench, account: mayfly_core::AccountId, seed: u64) -> mayfly_engine::Issued {
    let desk = desk(bench, seed);
    let drawn = desk.draw(&order(account)).unwrap();
    let answer = bench.engine.handle().ask_blocking(Command::Issue(Box::new(drawn.command.clone())));
    desk.hand_out(drawn, answer).unwrap()
}

fn message(answer: Answer) -> mayfly_core::MessageAnswer {
    match answer {
        Answer::Message(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_answered_before_it_is_on_the_disk() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let issued = issue(&bench, account, 1);
    let tried = bench.journal.with(|disk| {
        disk.held = true;
        disk.tried
    });
    let buy = bench.engine.handle().ask(purchase(&bench, &issued.pan, issued.expiry, 1)).unwrap();
    // A look sees the state with the purchase in it, and waits with it.
    let look = bench.engine.handle().look(|all| all.first().numbers.len()).unwrap();
    while bench.journal.with(|disk| disk.tried) == tried {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send((buy.blocking_recv().unwrap(), look.blocking_recv().unwrap())));
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    bench.journal.with(|disk| disk.held = false);
    let (answer, numbers) = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(message(answer).reason, Reason::Approved);
    assert!(numbers <= 1);
    bench.engine.stop().unwrap();
}

#[test]
fn an_order_that_is_sent_again_with_its_key_gives_the_same_number() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let desk = desk(&bench, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let order = order(account);
    let key = |key, content| Some(OnceKey { key: Hash64(key), content: Hash64(content) });
    let issue = |once| runtime.block_on(desk.issue(&order, once));
    let first = issue(key(1, 2)).unwrap();
    let again = issue(key(1, 2)).unwrap();
    let same = |a: &Issued, b: &Issued| {
        (a.id, a.pan.digits(), a.expiry, a.expires_ms) == (b.id, b.pan.digits(), b.expiry, b.expires_ms)
            && a.cvc2.expose() == b.cvc2.expose()
    };
    assert!(same(&first, &again));
    assert!(!same(&first, &issue(key(2, 2)).unwrap()));
    assert!(!same(&first, &issue(None).unwrap()));
    assert_eq!(issue(key(1, 3)).err(), Some(DeskError::Refused(Refusal::KeyReused)));
    // What stands in the journal for this says nothing to whoever has not the day's key.
    bench.journal.with(|disk| {
        for record in disk.entries.iter().flat_map(|entry| &entry.records) {
            assert!(!record.payload.windows(16).any(|bytes| bytes == first.pan.digits()));
        }
    });
    bench.engine.stop().unwrap();
}

#[test]
fn a_look_that_breaks_off_harms_nobody_else() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let broken = bench.engine.handle().look(|all| all.first().accounts[usize::MAX].balance).unwrap();
    assert!(broken.blocking_recv().is_err());
    let issued = issue(&bench, account, 1);
    let buy = bench.engine.handle().ask_blocking(purchase(&bench, &issued.pan, issued.expiry, 1));
    assert_eq!(message(buy).reason, Reason::Approved);
    bench.engine.stop().unwrap();
}

#[test]
fn a_full_queue_is_answered_96_at_once() {
    let bench = fresh(Options { queue_max: 8, batch_max: 1, ..Options::default() });
    let account = bank(&bench);
    let issued = issue(&bench, account, 1);
    bench.journal.with(|disk| disk.held = true);
    let (sender, receiver) = channel();
    let mailbox = Mailbox::new(move || sender.send(()).unwrap_or_default());
    let mut submission = Submission::default();
    for key in 0..100 {
        submission.add(purchase(&bench, &issued.pan, issued.expiry, key), &mailbox, key);
    }
    bench.engine.handle().submit(&mut submission);
    receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    let mut letters = Vec::new();
    mailbox.take(&mut letters);
    assert_eq!(letters.len(), 92);
    for (_, answer) in letters {
        let answer = message(answer);
        assert_eq!((answer.response, answer.reason), (ResponseCode::Malfunction, Reason::Overloaded));
    }
    bench.journal.with(|disk| disk.held = false);
    bench.engine.stop().unwrap();
    let mut letters = Vec::new();
    mailbox.take(&mut letters);
    let approved =
        letters.into_iter().filter(|(_, answer)| message(answer.clone()).response == ResponseCode::Approved);
    assert_eq!(approved.count(), 1, "what was taken is answered before the engine stops");
}

#[test]
fn an_unknown_outcome_is_tried_again_with_the_same_record() {
    let bench = fresh(Options::default());
    bench.journal.with(|disk| {
        disk.errors = vec![AppendError::Unknown("lost".into()), AppendError::Unknown("lost".into())]
    });
    bank(&bench);
    assert!(bench.journal.with(|disk| disk.tried) >= 5);
    bench.engine.stop().unwrap();
}

#[test]
fn a_broken_disk_stops_the_engine_and_acknowledges_nothing() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let issued = issue(&bench, account, 1);
    bench.journal.with(|disk| disk.breaks_after = Some(0));
    let answer = bench.engine.handle().ask_blocking(purchase(&bench, &issued.pan, issued.expiry, 1));
    assert_eq!(message(answer).response, ResponseCode::Malfunction);
    let handle = bench.engine.handle();
    while !handle.is_stopping() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(handle.ask(Command::Sweep { limit: 1 }).unwrap_err(), Refused::Stopping);
    assert_eq!(bench.engine.stop(), Err(AppendError::Failed("the disk broke".into())));
}

#[test]
fn a_refused_append_makes_the_engine_step_down() {
    let bench = fresh(Options::default());
    bench.journal.with(|disk| disk.errors = vec![AppendError::Refused]);
    let open = Operation::OpenIssuer { name: mayfly_core::Name::parse("Bank").unwrap() };
    let answer = bench.engine.handle().ask_blocking(Command::Operate(Box::new(open)));
    assert_eq!(answer, Answer::Refused(Refusal::Storage));
    assert_eq!(bench.engine.stop(), Err(AppendError::Refused));
}

#[test]
fn time_never_runs_backwards() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    for (clock, seed) in [(NOON + 5000, 1), (NOON - 3_600_000, 2), (NOON + 6000, 3)] {
        bench.clock.set(clock);
        issue(&bench, account, seed);
    }
    let times = bench.journal.with(|disk| disk.entries.iter().map(Entry::at_ms).collect::<Vec<_>>());
    assert!(times.is_sorted());
    assert_eq!(times.last(), Some(&(NOON + 6000)));
    bench.engine.stop().unwrap();
}

#[test]
fn the_engine_sweeps_what_is_over() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    issue(&bench, account, 1);
    bench.clock.set(NOON + 3_600_000);
    let mut waited = 0;
    while bench.engine.handle().look(|all| all.first().numbers.len()).unwrap().blocking_recv().unwrap() > 0 {
        std::thread::sleep(Duration::from_millis(10));
        waited += 1;
        assert!(waited < 1000, "nothing was swept");
    }
    bench.engine.stop().unwrap();
}

#[test]
fn more_transactions_than_memory_is_for_are_not_taken() {
    let bench = fresh(Options { transactions_max: 2, ..Options::default() });
    let account = bank(&bench);
    let buy = |seed| {
        let issued = issue(&bench, account, seed);
        purchase(&bench, &issued.pan, issued.expiry, seed)
    };
    let ask = |command| message(bench.engine.handle().ask_blocking(command)).reason;
    let last = buy(100);
    // While the clock stands nothing is swept, and nothing counted.
    for seed in 0..5 {
        assert_eq!(ask(buy(seed)), Reason::Approved);
    }
    bench.clock.set(NOON + 1000);
    let mut waited = 0;
    while bench.engine.handle().look(|_| ()).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
        waited += 1;
        assert!(waited < 1000, "nobody counted");
    }
    assert_eq!(bench.engine.handle().look(|_| ()).err(), Some(mayfly_engine::Refused::ViewsLag));
    assert_eq!(ask(last), Reason::Overloaded);
    bench.engine.stop().unwrap();
}

/// The views lag by how long something waits for them, in the journal's time: a clock that was set back is no lag.
#[test]
fn a_clock_behind_the_journal_is_no_lag() {
    let bench = fresh(Options::default());
    bench.clock.set(NOON + 3_600_000);
    bank(&bench);
    bench.engine.stop().unwrap();
    let state = replayed(&bench.journal.with(|disk| disk.entries.clone()));
    let bench = support::start(Partitions::of_one(state), bench.journal.clone(), Options::default());
    let lag = bench.engine.handle().progress().lag(NOON + 3_600_000);
    assert!(lag.entries > 0 && lag.ms == 0, "{lag:?}");
    bench.engine.stop().unwrap();
}

/// A51: random numbers, none twice: taken ones are drawn again.
#[test]
fn a51_numbers_that_are_taken_are_drawn_again() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    // The same seed draws the same numbers: the second desk finds four of four taken after four issues.
    let first: Vec<_> = (0..4).map(|_| issue(&bench, account, 7).pan).collect();
    for (at, pan) in first.iter().enumerate() {
        assert!(!first[..at].contains(pan));
    }
    let desk = desk(&bench, 7);
    let drawn = desk.draw(&order(account)).unwrap();
    let answer = bench.engine.handle().ask_blocking(Command::Issue(Box::new(drawn.command.clone())));
    assert_eq!(desk.hand_out(drawn, answer).unwrap_err(), DeskError::Refused(Refusal::CandidatesTaken));
    bench.engine.stop().unwrap();
}

#[test]
fn the_journal_alone_gives_the_state_back() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    for seed in 0..20 {
        let issued = issue(&bench, account, seed);
        if seed % 2 == 0 {
            let answer =
                bench.engine.handle().ask_blocking(purchase(&bench, &issued.pan, issued.expiry, seed));
            assert_eq!(message(answer).reason, Reason::Approved);
        }
    }
    let before =
        bench.engine.handle().look(|all| (all.first().accounts.clone(), all.first().numbers.len())).unwrap();
    let (accounts, numbers) = before.blocking_recv().unwrap();
    bench.engine.stop().unwrap();
    let state = replayed(&bench.journal.with(|disk| disk.entries.clone()));
    assert_eq!((state.accounts, state.numbers.len()), (accounts, numbers));
}

#[test]
fn what_memory_has_forgotten_is_looked_up_and_then_decided() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let issued = issue(&bench, account, 1);
    let buy = purchase(&bench, &issued.pan, issued.expiry, 1);
    message(bench.engine.handle().ask_blocking(buy.clone()));
    // The state of a later day: numbers and transactions have left memory, the archive has them.
    let old = replayed(&bench.journal.with(|disk| disk.entries.clone()));
    let transactions: Vec<_> = old.transactions.iter().cloned().collect();
    bench.engine.stop().unwrap();
    let mut later = mayfly_core::State::new(PartitionId(0));
    later.register = old.register.clone();
    later.accounts = old.accounts.clone();
    later.load_counters(
        mayfly_core::NumberId(old.next_number),
        old.transactions.next_id(),
        mayfly_core::QuestionId(0),
    );
    let bench = support::start(Partitions::of_one(later), bench.journal.clone(), Options::default());
    *bench.archive.0.lock().unwrap() = transactions;
    let Command::Message(mut refund) = buy else { unreachable!() };
    refund.processing = mayfly_core::Processing::Refund;
    refund.identity = mayfly_core::Hash64(99);
    let answer = message(bench.engine.handle().ask_blocking(Command::Message(refund)));
    assert_eq!(answer.reason, Reason::Approved);
    let money = bench.engine.handle().look(move |state| state.account(account).unwrap().balance).unwrap();
    assert_eq!(money.blocking_recv().unwrap(), 0);
    bench.engine.stop().unwrap();
}

#[test]
fn a_mailbox_is_rung_once_for_a_batch() {
    let rings = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let issued = issue(&bench, account, 1);
    bench.journal.with(|disk| disk.held = true);
    let counter = rings.clone();
    let mailbox = Mailbox::new(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let mut submission = Submission::default();
    for key in 0..40 {
        submission.add(purchase(&bench, &issued.pan, issued.expiry, key), &mailbox, key);
    }
    bench.engine.handle().submit(&mut submission);
    bench.journal.with(|disk| disk.held = false);
    bench.engine.stop().unwrap();
    let mut letters = Vec::new();
    mailbox.take(&mut letters);
    assert_eq!(letters.len(), 40);
    assert_eq!(rings.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// An answer that memory had no room for any more is looked up, and what was done is not done again.
#[test]
fn a_key_that_memory_has_forgotten_is_looked_up() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let fund = || {
        let command = Command::Operate(Box::new(Operation::Fund { account, minor: 100 }));
        let once = OnceKey { key: Hash64(7), content: Hash64(8) };
        Command::Once(Box::new(Once { once, note: vec![9], command, recalled: None }))
    };
    assert_eq!(bench.engine.handle().ask_blocking(fund()), Answer::Done);
    bench.engine.stop().unwrap();
    let mut state = replayed(&bench.journal.with(|disk| disk.entries.clone()));
    let later = NOON + 11 * 60_000;
    let kept = state.kept.find(Hash64(7), later).cloned();
    state.kept.forget_beyond(later, 0);
    let again = support::start(Partitions::of_one(state), bench.journal.clone(), Options::default());
    again.clock.set(later);
    *again.archive.1.lock().unwrap() = kept;
    let repeated = again.engine.handle().ask_blocking(fund());
    assert_eq!(repeated, Answer::Repeated { outcome: mayfly_core::Outcome::Done, note: vec![9] });
    // Where nothing is found either, it is done.
    *again.archive.1.lock().unwrap() = None;
    assert_eq!(again.engine.handle().ask_blocking(fund()), Answer::Done);
    again.engine.stop().unwrap();
}

/// Whoever was told 91 because the answer came too late asks again. What he is told then stands.
#[test]
fn an_approval_that_came_too_late_is_taken_back_unless_it_was_told_again() {
    let bench = fresh(Options::default());
    let account = bank(&bench);
    let handle = bench.engine.handle();
    let held =
        || handle.look(move |state| state.account(account).unwrap().held).unwrap().blocking_recv().unwrap();
    let buy = |count| {
        let issued = issue(&bench, account, count);
        let purchase = purchase(&bench, &issued.pan, issued.expiry, count);
        let answer = message(handle.ask_blocking(purchase.clone()));
        assert_eq!(answer.reason, Reason::Approved);
        (purchase, answer.transaction.unwrap())
    };
    let late = |transaction, repeat| {
        let mut submission = Submission::default();
        submission.late(transaction, repeat);
        handle.submit(&mut submission);
    };
    let (first, transaction) = buy(1);
    late(transaction, false);
    assert_eq!(held(), 0);
    assert_eq!(message(handle.ask_blocking(first)).reason, Reason::TakenBack);

    let (second, transaction) = buy(2);
    let amount = held();
    assert_eq!(message(handle.ask_blocking(second.clone())).reason, Reason::Approved);
    late(transaction, false);
    assert_eq!(held(), amount, "it was told again");
    assert_eq!(message(handle.ask_blocking(second)).reason, Reason::Approved);
    // Both of those answers came too late, too.
    late(transaction, true);
    assert_eq!(held(), amount);
    late(transaction, true);
    assert_eq!(held(), 0);
    bench.engine.stop().unwrap();
}

/// A number that somebody else drew is one account's, and its purchases find their way to it, also after a restart.
#[test]
fn a_number_that_somebody_else_drew_is_claimed_and_pays() {
    let count = std::num::NonZeroU16::new(3).unwrap();
    let bench = support::start(Partitions::new(count), support::MemoryJournal::default(), Options::default());
    let accounts: Vec<_> =
        [support::bank(&bench)].into_iter().chain((0..2).map(|_| account(&bench))).collect();
    let desk = desk(&bench, 3);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let drawn = |free: u64| {
        let prefix = mayfly_card::Prefix::parse("456940").unwrap();
        mayfly_card::Layout::DEFAULT.number(&prefix, free).unwrap()
    };
    let (mut elsewhere, mut issued) = (0, Vec::new());
    for free in 0..20 {
        let pan = drawn(free);
        let order = |account| Order { number: Some(pan.clone()), ..order(account) };
        let (mine, theirs) = (accounts[free as usize % 3], accounts[(free as usize + 1) % 3]);
        elsewhere += u32::from(bench.catalogue.partition_of(&pan) != mine.partition());
        let number = runtime.block_on(desk.issue(&order(mine), None)).unwrap();
        assert_eq!((number.pan.as_str(), number.id.partition()), (pan.as_str(), mine.partition()));
        for account in [mine, theirs] {
            let again = runtime.block_on(desk.issue(&order(account), None)).map(|issued| issued.id);
            assert_eq!(again, Err(DeskError::Refused(Refusal::NumberTaken)));
        }
        issued.push(number);
    }
    assert!((5..20).contains(&elsewhere), "{elsewhere}: the test shows nothing");
    let foreign =
        mayfly_card::Layout::DEFAULT.number(&mayfly_card::Prefix::parse("512345").unwrap(), 1).unwrap();
    let order = Order { number: Some(foreign), ..order(accounts[0]) };
    assert_eq!(runtime.block_on(desk.issue(&order, None)).map(|_| ()), Err(DeskError::NotOfProgramme));
    let pay = |bench: &support::Bench, issued: &Issued, count| {
        let buy = purchase(bench, &issued.pan, issued.expiry, count);
        let answer = message(bench.engine.handle().ask_blocking(buy));
        (answer.response, answer.transaction.unwrap().partition())
    };
    for (at, number) in issued[..10].iter().enumerate() {
        assert_eq!(pay(&bench, number, at as u64), (ResponseCode::Approved, number.id.partition()));
        assert_eq!(pay(&bench, number, 100 + at as u64).0, ResponseCode::Declined, "it is used");
    }
    bench.engine.stop().unwrap();
    let partitions = support::replayed_of(&bench.journal.with(|disk| disk.entries.clone()), count);
    let again = support::start(partitions, bench.journal.clone(), Options::default());
    for (at, number) in issued[10..].iter().enumerate() {
        assert_eq!(pay(&again, number, 200 + at as u64), (ResponseCode::Approved, number.id.partition()));
    }
}
