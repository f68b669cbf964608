//! A gateway that stands by has the state of whoever is active.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Ground, Play, assert_same, assert_state, options};
use mayfly_engine::{Ends, Entry, Journal, Progress, Record};
use mayfly_store::{Folder, Follower};

fn folder(ground: &Ground, progress: &Arc<Progress>) -> Folder {
    Folder::start(&ground.home, options().fold, progress.clone(), |_| ()).unwrap()
}

/// Waits until the views are folded up to an entry.
fn folded(progress: &Progress, ends: &Ends) {
    progress.set_durable(ends.number, ends.at_ms());
    let begun = Instant::now();
    while progress.folded() < ends.number {
        assert!(begun.elapsed() < Duration::from_secs(60), "the views are not folded");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn follower(ground: &Ground) -> Follower {
    Follower::open(&ground.home, &options()).unwrap()
}

/// Tries until it gets through.
fn follow(follower: &mut Follower) {
    let begun = Instant::now();
    while let Err(error) = follower.follow() {
        assert!(error.is_passing() && begun.elapsed() < Duration::from_secs(10), "{error}");
    }
}

#[test]
fn it_has_the_state_of_whoever_is_active() {
    let ground = Ground::postgres();
    let mut play = Play::new(&ground.home, 11);
    // Most of this is too old to be loaded.
    play.run(1500);
    let progress = Arc::new(Progress::default());
    let folding = folder(&ground, &progress);
    folded(&progress, &play.ends);
    let mut follower = follower(&ground);
    assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
    for round in 0..24 {
        play.run(150);
        // Now it is ahead of the views, now behind them: then old transactions are looked up that have changed since.
        if round % 3 == 0 {
            assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
        }
        folded(&progress, &play.ends);
        // So that it forgets what is old.
        std::thread::sleep(Duration::from_millis(if round % 6 == 0 { 550 } else { 0 }));
        assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
    }
    folding.stop().unwrap();
    play.run(50);
    let opened = follower.take_over().map_err(|(_, error)| error).unwrap();
    assert_eq!((opened.ends, opened.rebuilt), (play.ends.clone(), None));
    assert!(opened.folded < play.ends.number);
    assert_state(&opened.partitions, &play.partitions);
    assert_same(&ground.home);
}

#[test]
fn it_follows_while_the_other_writes_and_folds() {
    let ground = Ground::postgres();
    let mut play = Play::new(&ground.home, 12);
    play.run(1500);
    let progress = Arc::new(Progress::default());
    let folding = folder(&ground, &progress);
    folded(&progress, &play.ends);
    let over = Arc::new(AtomicBool::new(false));
    let (is_over, mut follower) = (over.clone(), follower(&ground));
    let following = std::thread::spawn(move || {
        while !is_over.load(Ordering::Acquire) {
            follower.follow().unwrap();
            std::thread::sleep(Duration::from_millis(3));
        }
        follower
    });
    for _ in 0..100 {
        play.run(30);
        progress.set_durable(play.ends.number, play.ends.at_ms());
    }
    over.store(true, Ordering::Release);
    let opened = following.join().unwrap().take_over().map_err(|(_, error)| error).unwrap();
    assert_eq!(opened.ends, play.ends);
    assert_state(&opened.partitions, &play.partitions);
    folding.stop().unwrap();
}

#[test]
fn views_that_are_built_again_are_waited_for() {
    let ground = Ground::postgres();
    let mut play = Play::new(&ground.home, 13);
    let mut follower = follower(&ground);
    assert_eq!(follower.follow(), Ok(None), "there are none yet");
    let progress = Arc::new(Progress::default());
    let folding = folder(&ground, &progress);
    folded(&progress, &play.ends);
    assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
    play.run(600);
    assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
    folding.stop().unwrap();
    ground.lose_views();
    std::thread::sleep(Duration::from_millis(550));
    play.run(600);
    let begun = Instant::now();
    while follower.follow() != Ok(None) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it did not notice");
    }
    let progress = Arc::new(Progress::default());
    let folding = folder(&ground, &progress);
    folded(&progress, &play.ends);
    assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
    folding.stop().unwrap();
    let opened = follower.take_over().map_err(|(_, error)| error).unwrap();
    assert_state(&opened.partitions, &play.partitions);
}

#[test]
fn without_views_it_takes_over_as_a_start_does() {
    let ground = Ground::postgres();
    let mut play = Play::new(&ground.home, 14);
    play.run(300);
    let opened = follower(&ground).take_over().map_err(|(_, error)| error).unwrap();
    assert_eq!(opened.ends, play.ends);
    assert_state(&opened.partitions, &play.partitions);
}

#[test]
fn a_connection_that_breaks_costs_nothing_but_time() {
    let ground = Ground::postgres();
    let mut play = Play::new(&ground.home, 15);
    let progress = Arc::new(Progress::default());
    let folding = folder(&ground, &progress);
    folded(&progress, &play.ends);
    let mut follower = follower(&ground);
    for _ in 0..5 {
        play.run(100);
        follow(&mut follower);
        ground.raw(
            "journal",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        follow(&mut follower);
        play.journal = mayfly_store::StoredJournal::open(&ground.home).unwrap();
    }
    follow(&mut follower);
    let opened = follower.take_over().map_err(|(_, error)| error).unwrap();
    assert_state(&opened.partitions, &play.partitions);
    drop(folding);
}

/// A primary that was restarted shows a record that its standby does not have yet. If it is lost then, the record was never there,
/// and another one may be in its place.
#[test]
fn a_record_that_is_gone_is_forgotten() {
    let ground = Ground::postgres();
    let mut play = Play::new(&ground.home, 16);
    play.run(100);
    let progress = Arc::new(Progress::default());
    let folding = folder(&ground, &progress);
    folded(&progress, &play.ends);
    let stands = play.ends.clone();
    let (mut ahead, mut elsewhere) = (follower(&ground), follower(&ground));
    play.run(20);
    assert_ne!(play.ends, stands);
    for follower in [&mut ahead, &mut elsewhere] {
        assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
    }
    for (partition, head) in mayfly_core::PartitionId::all(play.journal.partitions()).zip(&stands.heads) {
        let (partition, last) = (partition.0, head.sequence);
        ground.alter(
            "journal",
            &format!("DELETE FROM journal WHERE partition = {partition} AND sequence > {last}"),
        );
    }
    ground.alter("journal", &format!("DELETE FROM entries WHERE number > {}", stands.number));
    let opened = ahead.take_over().map_err(|(_, error)| error).unwrap();
    assert_eq!(opened.ends, stands);
    let expected = follower(&ground).take_over().map_err(|(_, error)| error).unwrap();
    assert_state(&opened.partitions, &expected.partitions);

    let mut journal = mayfly_store::StoredJournal::open(&ground.home).unwrap();
    let partition = mayfly_core::PartitionId::FIRST;
    let mut ends = stands.clone();
    while ends.number < play.ends.number {
        let head = ends.head(partition);
        let records = vec![Record::seal(&head, partition, ends.at_ms() + 1, 0, Vec::new())];
        let entry = Entry { number: ends.number + 1, records };
        journal.append(&entry).unwrap();
        ends.advance(&entry);
        assert_eq!(elsewhere.follow(), Ok(Some(ends.clone())));
    }
    let opened = elsewhere.take_over().map_err(|(_, error)| error).unwrap();
    assert_eq!(opened.ends, ends);
    assert_state(&opened.partitions, &expected.partitions);
    drop(folding);
}

#[test]
fn whoever_stops_folds_to_the_end_although_his_connections_broke() {
    let ground = Ground::postgres();
    let mut play = Play::new(&ground.home, 17);
    let progress = Arc::new(Progress::default());
    let folding = folder(&ground, &progress);
    play.run(100);
    folded(&progress, &play.ends);
    play.run(10);
    ground.raw(
        "journal",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    progress.set_durable(play.ends.number, play.ends.at_ms());
    folding.stop().unwrap();
    assert_eq!(progress.folded(), play.ends.number);
}

#[test]
fn two_that_fold_at_the_same_time_fold_each_record_once() {
    let ground = Ground::postgres();
    let mut play = Play::new(&ground.home, 16);
    let both = [Arc::new(Progress::default()), Arc::new(Progress::default())];
    let folding = [folder(&ground, &both[0]), folder(&ground, &both[1])];
    for _ in 0..10 {
        play.run(100);
        for progress in &both {
            progress.set_durable(play.ends.number, play.ends.at_ms());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    both.iter().for_each(|progress| folded(progress, &play.ends));
    // Whoever stops while the other has just folded may say so.
    drop(folding.map(Folder::stop));
    assert_same(&ground.home);
}
