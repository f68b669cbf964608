//! A primary that is lost, and the standby that takes its place: no record that was acknowledged is lost, and none that was
//! appended again, because nobody knew what had become of it, is there twice.

#![allow(clippy::unwrap_used)]

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Ends, Entry, Journal, Record};
use mayfly_store::{Database, DatabaseOptions, Home, JournalReader, StoredJournal};
use mayfly_testing::{TestDatabase, TestPair};

/// How long a failover may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

fn home(database: &TestDatabase) -> Home {
    let options = DatabaseOptions {
        url: &database.url(),
        password: None,
        ca_file: None,
        statement_time_max: Duration::from_secs(3),
        connect_time_max: Duration::from_secs(4),
    };
    Home::Database(Arc::new(Database::new(&options).unwrap()))
}

/// Appends an entry, and the same one again as long as nobody knows what became of it. Returns how often that was.
fn append(journal: &mut StoredJournal, entry: &Entry) -> u32 {
    let (begun, mut unknown) = (Instant::now(), 0);
    loop {
        match journal.append(entry) {
            Ok(()) => return unknown,
            Err(AppendError::Unknown(why)) => {
                assert!(begun.elapsed() < PATIENCE, "{why}");
                unknown += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_lost_primary_costs_no_record() {
    let mut pair = TestPair::start();
    let database = pair.database();
    let home = home(&database);
    let count = NonZeroU16::new(5).unwrap();
    mayfly_store::create(&home, "test", count).unwrap();
    let mut journal = StoredJournal::open(&home).unwrap();
    let mut ends = Ends::start(count);
    let mut write = |journal: &mut StoredJournal, count: usize| {
        let mut unknown = 0;
        for _ in 0..count {
            // Two partitions at a time, in turn.
            let number = ends.number + 1;
            let record = |turn: u64| {
                let partition = PartitionId::of_hash(turn, journal.partitions());
                let head = ends.head(partition);
                Record::seal(&head, partition, head.at_ms + 1, 0, vec![turn as u8; 1500])
            };
            let mut records = vec![record(number), record(number + 1)];
            records.sort_by_key(|record| record.partition);
            let entry = Entry { number, records };
            unknown += append(journal, &entry);
            ends.advance(&entry);
        }
        unknown
    };
    assert_eq!(write(&mut journal, 200), 0);
    // Without a word to anybody; the standby is promoted while records are appended.
    let failing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        pair.fail_over(Duration::from_millis(300));
        pair
    });
    let mut unknown = 0;
    while !failing.is_finished() {
        unknown += write(&mut journal, 10);
    }
    let pair = failing.join().unwrap();
    unknown += write(&mut journal, 200);
    assert!(unknown > 0, "nothing was ever unknown: the test shows nothing");
    let reader = JournalReader::open(&home).unwrap();
    let mut found = Ends::start(count);
    for entry in reader.entries(1) {
        let entry = entry.unwrap();
        assert_eq!(found.check(&entry), Ok(()));
        found.advance(&entry);
    }
    assert_eq!((&found, reader.ends().as_ref()), (&ends, Ok(&ends)));
    // The database goes before its servers.
    drop((journal, reader, database));
    drop(pair);
}
