//! Two gateways, one lease.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Ground, PARTITION, record};
use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Ends, Entry, Journal};
use mayfly_store::{
    Database, DatabaseOptions, Home, Lease, LeaseKeeper, Standing, StoredJournal, lease_owner,
};

/// Long enough for a busy machine.
const TIME: Duration = Duration::from_millis(2500);

fn database(ground: &Ground) -> &Arc<Database> {
    match &ground.home {
        Home::Database(database) => database,
        Home::Files(_) => panic!("files need no lease"),
    }
}

fn lease(ground: &Ground, owner: &str) -> Lease {
    Lease::open(database(ground), PARTITION, owner.to_owned(), TIME).unwrap()
}

fn fence(taken: Option<Arc<Standing>>) -> Option<u64> {
    taken.map(|standing| standing.fence())
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_has_it_until_it_is_over_and_numbers_only_grow() {
    let ground = Ground::postgres();
    let (first, second) = (lease(&ground, "first"), lease(&ground, "second"));
    assert_eq!(first.holder(), Ok(None));
    let asked = Instant::now();
    let standing = first.take().unwrap().unwrap();
    assert_eq!((standing.fence(), standing.is_good(), standing.is_lost()), (1, true, false));
    // Whoever did not hear that he has it asks again.
    assert_eq!(fence(first.take().unwrap()), Some(2));
    let holder = second.holder().unwrap().unwrap();
    assert_eq!((&*holder.owner, holder.fence), ("first", 2));
    assert!(holder.left <= TIME && holder.left > TIME / 2, "{holder:?}");
    let taken = until("the lease to be over", || second.take().unwrap());
    assert_eq!(taken.fence(), 3);
    assert!(asked.elapsed() >= TIME, "it was taken while it was good");
    assert!(!standing.is_good(), "its holder believed in it for longer than it was good");
    // The first one finds out when it asks.
    assert!(!standing.is_lost());
    first.renew(&standing).unwrap();
    assert!(standing.is_lost() && !standing.is_good());
}

#[test]
fn it_is_kept_by_renewals_and_given_back_at_once() {
    let ground = Ground::postgres();
    let second = lease(&ground, "second");
    let first = lease(&ground, "first");
    let standing = first.take().unwrap().unwrap();
    let keeper = LeaseKeeper::start(first, standing.clone()).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 2 * TIME {
        assert_eq!(fence(second.take().unwrap()), None);
        assert!(standing.is_good());
        sleep(TIME / 20);
    }
    keeper.release().unwrap();
    assert!(standing.is_lost());
    assert_eq!(second.holder().unwrap().unwrap().left, Duration::ZERO);
    assert_eq!(fence(second.take().unwrap()), Some(2));
}

#[test]
fn a_keeper_that_was_too_late_learns_that_it_lost() {
    let ground = Ground::postgres();
    let second = lease(&ground, "second");
    let first = lease(&ground, "first");
    let standing = first.take().unwrap().unwrap();
    let keeper = LeaseKeeper::start(first, standing.clone()).unwrap();
    // As if the process had stood still, and another one had come.
    ground.alter("journal", "UPDATE lease SET until_ms = 0");
    let taken = second.take().unwrap().unwrap();
    until("it to be lost", || standing.is_lost().then_some(()));
    // Whatever it does now, it does not take the new one's lease.
    keeper.release().unwrap();
    assert_eq!(second.holder().unwrap().unwrap().fence, taken.fence());
    assert!(second.holder().unwrap().unwrap().left > Duration::ZERO);
}

#[test]
fn renewals_that_fail_let_it_run_out_and_one_that_nobody_took_comes_back() {
    let ground = Ground::postgres();
    let first = lease(&ground, "first");
    let standing = first.take().unwrap().unwrap();
    let _keeper = LeaseKeeper::start(first, standing.clone()).unwrap();
    ground.raw("journal", "ALTER TABLE lease RENAME TO away; SELECT 1");
    until("it to run out", || (!standing.is_good()).then_some(()));
    assert!(!standing.is_lost());
    ground.raw("journal", "ALTER TABLE away RENAME TO lease; SELECT 1");
    until("it to be good again", || standing.is_good().then_some(()));
    assert_eq!(standing.fence(), 1);
}

#[test]
fn the_databases_clock_decides() {
    let ground = Ground::postgres();
    let (first, second) = (lease(&ground, "first"), lease(&ground, "second"));
    let standing = first.take().unwrap().unwrap();
    // A holder whose database is an hour ahead of it, or behind: what counts is what is left by the database's own clock.
    ground.alter("journal", "UPDATE lease SET until_ms = until_ms + 3600000");
    sleep(TIME);
    assert_eq!(fence(second.take().unwrap()), None);
    assert!(!standing.is_good(), "it trusts what it asked for, and not what somebody wrote");
    ground.alter("journal", "UPDATE lease SET until_ms = until_ms - 7200000");
    assert_eq!(fence(second.take().unwrap()), Some(2));
}

#[test]
fn partitions_have_leases_of_their_own_and_names_differ() {
    let ground = Ground::postgres();
    let first = lease(&ground, "first");
    let other = PartitionId(1);
    let second = Lease::open(database(&ground), other, "second".to_owned(), TIME).unwrap();
    assert_eq!(fence(first.take().unwrap()), Some(1));
    assert_eq!(fence(second.take().unwrap()), Some(1));
    assert_ne!(lease_owner(), lease_owner());
    assert!(lease_owner().contains(&format!("pid {}", std::process::id())));
}

/// An entry that follows, with a record in every partition; and where the journal ends with it.
fn entry(before: &Ends, payload: &[u8]) -> (Entry, Ends) {
    let heads = (0..).map(PartitionId).zip(&before.heads);
    let records = heads.map(|(partition, head)| record(head, partition, payload)).collect();
    let entry = Entry { number: before.number + 1, records };
    let mut ends = before.clone();
    ends.advance(&entry);
    (entry, ends)
}

#[test]
fn whoever_lost_it_writes_and_answers_nothing() {
    nothing_is_written_without_it(1);
}

#[test]
fn whoever_lost_it_writes_nothing_in_any_partition() {
    nothing_is_written_without_it(common::SEVERAL);
}

fn nothing_is_written_without_it(partitions: u16) {
    let ground = Ground::postgres();
    let start = Ends::start(partitions.try_into().unwrap());
    mayfly_store::create(&ground.home, "test", partitions.try_into().unwrap()).unwrap();
    let (first, second) = (lease(&ground, "first"), lease(&ground, "second"));
    let journal = |standing: &Arc<Standing>| {
        StoredJournal::open(&ground.home).unwrap().under(PARTITION, standing.clone())
    };
    let standing = first.take().unwrap().unwrap();
    let mut stale = journal(&standing);
    assert_eq!(stale.confirm(&start), Ok(()));
    let (one, after_one) = entry(&start, b"one");
    assert_eq!(stale.append(&one), Ok(()));
    assert_eq!(stale.append(&one), Ok(()), "the same once more, because nobody heard");
    assert_eq!(stale.confirm(&after_one), Ok(()));

    // Another one takes it while the first believes that it still has it.
    ground.alter("journal", "UPDATE lease SET until_ms = 0");
    let taken = second.take().unwrap().unwrap();
    assert!(standing.is_good());
    let (two, _) = entry(&after_one, b"stale");
    assert_eq!(
        stale.append(&two),
        Err(AppendError::Refused),
        "by its number, before anybody else has written"
    );
    assert!(standing.is_lost(), "that is how it learns");
    let mut owner = journal(&taken);
    let (better, after_better) = entry(&after_one, b"owner");
    assert_eq!(owner.append(&better), Ok(()));
    assert_eq!(stale.append(&two), Err(AppendError::Refused));
    assert_eq!(stale.confirm(&after_one), Err(AppendError::Refused));
    assert_eq!(owner.confirm(&after_better), Ok(()));
    // Whoever finds another end than the one he knows has lost it, too.
    let surprised = second.take().unwrap().unwrap();
    assert_eq!(journal(&surprised).confirm(&after_one), Err(AppendError::Refused));
    assert!(surprised.is_lost());
    let taken = second.take().unwrap().unwrap();
    let mut owner = journal(&taken);

    // Over, and nobody knows whose it is: that is no refusal yet.
    until("it to be over", || (!taken.is_good()).then_some(()));
    let (third, _) = entry(&after_better, b"third");
    assert!(matches!(owner.append(&third), Err(AppendError::Unknown(_))));
    assert!(matches!(owner.confirm(&after_better), Err(AppendError::Unknown(_))));
    assert!(owner.is_hopeful(Duration::from_secs(3600)));
    second.renew(&taken).unwrap();
    assert_eq!(owner.append(&third), Ok(()));
    second.release(&taken).unwrap();
    assert_eq!(owner.append(&third), Err(AppendError::Refused));
    assert!(!owner.is_hopeful(Duration::ZERO));
}

/// A primary that was restarted shows a record that its standby does not have yet. If it is lost then, the record was never there.
#[test]
fn nothing_is_written_after_a_record_that_is_gone() {
    for partitions in [1, 5] {
        let ground = Ground::postgres();
        let start = Ends::start(partitions.try_into().unwrap());
        mayfly_store::create(&ground.home, "test", partitions.try_into().unwrap()).unwrap();
        let standing = lease(&ground, "first").take().unwrap().unwrap();
        let mut journal = StoredJournal::open(&ground.home).unwrap().under(PARTITION, standing.clone());
        let (one, after_one) = entry(&start, b"one");
        let (two, after_two) = entry(&after_one, b"two");
        let (three, _) = entry(&after_two, b"three");
        assert_eq!((journal.append(&one), journal.append(&two)), (Ok(()), Ok(())));
        assert_eq!(journal.begins_at(&after_two), Ok(true));
        ground.alter("journal", "DELETE FROM journal WHERE sequence = 2");
        assert_eq!(journal.begins_at(&after_two), Ok(false), "nobody begins with it");
        if partitions == 1 {
            assert_eq!(journal.append(&three), Err(AppendError::Refused), "nor goes on with it");
            assert!(standing.is_lost(), "whoever takes it next begins with what is there");
        }
    }
}

/// A gateway that stands still while it copies rows is within its statement for the server, whatever time limits there are. So
/// whoever has the lease ends it: it would hold its locks for as long as it stands still.
#[test]
fn who_stands_still_while_copying_holds_nobody_up() {
    let ground = Ground::postgres();
    drop(StoredJournal::open(&ground.home).unwrap());
    let mut still = std::process::Command::new("psql")
        .args(["--no-psqlrc", "--quiet", &ground.url()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut words = still.stdin.take().unwrap();
    let begin = "SET search_path = mayfly_journal; SET statement_timeout = 1000;
        SET idle_in_transaction_session_timeout = 1000; BEGIN; SELECT version FROM format FOR UPDATE;
        COPY entries FROM STDIN;\n1\t";
    words.write_all(begin.as_bytes()).unwrap();
    words.flush().unwrap();
    let others =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'";
    until("the copying to begin", || (ground.raw("journal", others) == 1).then_some(()));
    let limit = Duration::from_secs(1);
    let options = DatabaseOptions {
        url: &ground.url(),
        password: None,
        ca_file: None,
        statement_time_max: limit,
        connect_time_max: limit,
    };
    let database = Arc::new(Database::new(&options).unwrap());
    let lease = Lease::open(&database, PARTITION, "other".to_owned(), TIME).unwrap();
    let standing = lease.take().unwrap().unwrap();
    let keeper = LeaseKeeper::start(lease, standing).unwrap();
    until("the one that stands still to be ended", || (ground.raw("journal", others) == 0).then_some(()));
    // Nobody has to wait for what it had locked.
    assert_eq!(
        ground.raw("journal", "SELECT count(*) FROM (SELECT version FROM format FOR UPDATE NOWAIT) AS free"),
        1
    );
    assert!(keeper.standing().is_good());
    keeper.release().unwrap();
    drop(words);
    still.wait().unwrap();
}
