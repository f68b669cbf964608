//! A primary that is lost, and the standby that takes its place: no record that was acknowledged is lost, and none that was
//! appended again, because nobody knew what had become of it, is there twice.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Head, Journal, Record};
use mayfly_store::{Database, DatabaseOptions, Home, JournalReader, StoredJournal};
use mayfly_testing::{TestDatabase, TestPair};

const PARTITION: PartitionId = PartitionId(0);
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

/// Appends a record, and the same one again as long as nobody knows what became of it. Returns how often that was.
fn append(journal: &mut StoredJournal, record: &Record) -> u32 {
    let (begun, mut unknown) = (Instant::now(), 0);
    loop {
        match journal.append(record) {
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
    let mut journal = StoredJournal::open(&home).unwrap();
    let mut heads = vec![Head::START];
    let mut write = |journal: &mut StoredJournal, count: usize| {
        let mut unknown = 0;
        for _ in 0..count {
            let head = heads.last().unwrap();
            let payload = vec![heads.len() as u8; 3000];
            let record = Record::seal(head, PARTITION, head.at_ms + 1, 0, payload);
            unknown += append(journal, &record);
            heads.push(record.head());
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
    let reader = JournalReader::open(&home, PARTITION).unwrap();
    let mut head = Head::START;
    for record in reader.records(1) {
        let record = record.unwrap();
        assert_eq!(record.check(&head), Ok(()));
        head = record.head();
    }
    assert_eq!(head, *heads.last().unwrap());
    // The database goes before its servers.
    drop((journal, reader, database));
    drop(pair);
}
