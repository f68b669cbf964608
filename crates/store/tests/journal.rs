//! What the journal promises.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ground, PARTITION, Play, on_both};
use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Head, Journal, Record, RecordError};
use mayfly_store::{Home, JOURNAL_FILE, JournalReader, StoreError, StoredJournal, verify};
use rusqlite::Connection;

fn raw(directory: &std::path::Path) -> Connection {
    Connection::open(directory.join(JOURNAL_FILE)).unwrap()
}

on_both!(
    a_record_is_appended_once,
    a_stale_writer_is_refused,
    partitions_have_journals_of_their_own,
    every_damage_is_found_and_named,
);

fn record(head: &Head, partition: PartitionId, payload: &[u8]) -> Record {
    Record::seal(head, partition, head.at_ms + 1, 0, payload.to_vec())
}

fn a_record_is_appended_once(ground: Ground) {
    let mut journal = StoredJournal::open(&ground.home).unwrap();
    assert_eq!(journal.head(PARTITION), Ok(Head::START));
    let first = record(&Head::START, PARTITION, b"");
    assert_eq!(journal.append(&first), Ok(()));
    // Tried again, because nobody knew whether it had come through.
    assert_eq!(journal.append(&first), Ok(()));
    // Somebody else's record in its place.
    let other = Record::seal(&Head::START, PARTITION, 77, 0, Vec::new());
    assert_eq!(journal.append(&other), Err(AppendError::Refused));
    assert_eq!(journal.head(PARTITION), Ok(first.head()));
    assert_eq!(JournalReader::open(&ground.home, PARTITION).unwrap().last_sequence(), Ok(1));
}

fn a_stale_writer_is_refused(ground: Ground) {
    let mut stale = StoredJournal::open(&ground.home).unwrap();
    let mut owner = StoredJournal::open(&ground.home).unwrap();
    let first = record(&Head::START, PARTITION, b"");
    stale.append(&first).unwrap();
    owner.append(&Record::seal(&first.head(), PARTITION, 9, 0, b"owner".to_vec())).unwrap();
    let late = Record::seal(&first.head(), PARTITION, 9, 0, b"stale".to_vec());
    assert_eq!(stale.append(&late), Err(AppendError::Refused));
}

fn partitions_have_journals_of_their_own(ground: Ground) {
    let mut journal = StoredJournal::open(&ground.home).unwrap();
    for partition in [PartitionId(0), PartitionId(1), PartitionId(u16::MAX)] {
        let first = record(&Head::START, partition, b"a");
        let second = record(&first.head(), partition, b"b");
        journal.append(&first).unwrap();
        journal.append(&second).unwrap();
        assert_eq!(journal.head(partition), Ok(second.head()));
    }
    for partition in [PartitionId(0), PartitionId(1), PartitionId(u16::MAX)] {
        let reader = JournalReader::open(&ground.home, partition).unwrap();
        let sequences: Vec<_> = reader.records(1).map(|record| record.unwrap().sequence).collect();
        assert_eq!(sequences, [1, 2]);
    }
    let keys = "SELECT count(*) FROM journal WHERE partition = 1 AND sequence = 2";
    assert_eq!(ground.raw("journal", keys), 1);
}

#[test]
fn a_full_disk_is_said_and_costs_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = StoredJournal::open(&directory.path().into()).unwrap();
    let first = record(&Head::START, PARTITION, b"first");
    journal.append(&first).unwrap();
    // The limit is a connection's own, so a statement that fills the file up stands in for the disk.
    let reader = JournalReader::open(&directory.path().into(), PARTITION).unwrap();
    journal.limit_pages(4).unwrap();
    let large = Record::seal(&first.head(), PARTITION, 5, 0, vec![7; 1 << 20]);
    match journal.append(&large) {
        Err(AppendError::Failed(why)) => assert!(why.contains("the disk is full"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(reader.head(), Ok(first.head()));
    journal.limit_pages(1 << 20).unwrap();
    assert_eq!(journal.append(&large), Ok(()));
}

fn every_damage_is_found_and_named(ground: Ground) {
    let mut play = Play::new(&ground.home, 4);
    play.run(400);
    let reader = JournalReader::open(&ground.home, PARTITION).unwrap();
    let mut seen = 0;
    let verified = verify(&reader, |sequence| seen = sequence).unwrap();
    assert_eq!((verified.head, verified.events, seen), (play.head, play.events, play.head.sequence));

    let location = reader.location().clone();
    let named = |sequence, why| StoreError::Record { location: location.clone(), sequence, why };
    // The databases name a record's place and put bytes together in ways of their own.
    let is_file = matches!(ground.home, Home::Files(_));
    let place = if is_file { "key" } else { "sequence" };
    let longer = if is_file { "CAST(payload || x'00' AS BLOB)" } else { "payload || '\\x00'::bytea" };
    let (moved, moved_back) = (
        format!("UPDATE journal SET {place} = {place} + 1000 WHERE sequence = 5"),
        format!("UPDATE journal SET {place} = {place} - 1000 WHERE sequence = 1005"),
    );
    let longer = format!("UPDATE journal SET payload = {longer} WHERE sequence = 9");
    for (damage, repair, found) in [
        (
            longer.as_str(),
            "UPDATE journal SET payload = substr(payload, 1, length(payload) - 1) WHERE sequence = 9",
            named(9, RecordError::Hash),
        ),
        (
            "UPDATE journal SET count = count + 1 WHERE sequence = 3",
            "UPDATE journal SET count = count - 1 WHERE sequence = 3",
            named(3, RecordError::Hash),
        ),
        (moved.as_str(), moved_back.as_str(), StoreError::Gap { location: location.clone(), sequence: 5 }),
    ] {
        assert_eq!(ground.alter("journal", damage), 1);
        assert_eq!(verify(&reader, |_| ()), Err(found));
        assert_eq!(ground.alter("journal", repair), 1);
        assert_eq!(verify(&reader, |_| ()), Ok(verified));
    }

    // A record that is whole, but another one: the chain breaks at the next.
    let records: Vec<_> = reader.records(1).take(2).map(Result::unwrap).collect();
    let forged = Record::seal(&records[0].head(), PARTITION, records[1].at_ms, 0, Vec::new());
    let bytes = |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if is_file { format!("x'{hex}'") } else { format!("'\\x{hex}'::bytea") }
    };
    let Record { at_ms, count, previous, hash, payload, .. } = &forged;
    let replace = format!(
        "UPDATE journal SET at_ms = {at_ms}, count = {count}, previous = {}, hash = {}, payload = {} WHERE sequence = 2",
        bytes(previous),
        bytes(hash),
        bytes(payload)
    );
    assert_eq!(ground.alter("journal", &replace), 1);
    assert_eq!(verify(&reader, |_| ()), Err(named(3, RecordError::Chain)));
}

#[test]
fn other_files_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(JOURNAL_FILE);
    drop(StoredJournal::open(&directory.path().into()).unwrap());
    raw(directory.path()).execute_batch("PRAGMA user_version = 9").unwrap();
    let newer = StoreError::Newer { location: (&path).into(), version: 9, known: 2 };
    assert_eq!(StoredJournal::open(&directory.path().into()).err(), Some(newer.clone()));
    assert!(newer.to_string().contains("update it"), "{newer}");

    std::fs::remove_file(&path).unwrap();
    raw(directory.path()).execute_batch("CREATE TABLE somebody_elses (a)").unwrap();
    assert_eq!(
        StoredJournal::open(&directory.path().into()).err(),
        Some(StoreError::Foreign { location: (&path).into() })
    );

    std::fs::write(&path, "certainly no database, but a letter to somebody".repeat(100)).unwrap();
    let error = StoredJournal::open(&directory.path().into()).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"certainly"));

    std::fs::remove_file(&path).unwrap();
    let missing = StoreError::Missing { location: path.into(), views: false };
    assert_eq!(JournalReader::open(&directory.path().into(), PARTITION).err(), Some(missing));
}
