//! What the journal promises.

#![allow(clippy::unwrap_used)]

mod common;

use std::num::NonZeroU16;

use common::{Ground, PARTITION, Play, SEVERAL, alone, on_both, record};
use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Ends, Entry, Head, Journal, Record, RecordError};
use mayfly_store::{Home, JOURNAL_FILE, JournalReader, StoreError, StoredJournal, verify};
use rusqlite::Connection;

fn raw(directory: &std::path::Path) -> Connection {
    Connection::open(directory.join(JOURNAL_FILE)).unwrap()
}

on_both!(
    a_record_is_appended_once,
    a_stale_writer_is_refused,
    what_is_written_together_stands_together,
    where_it_ends_is_one_moment,
    a_journal_with_one_partition_lists_no_entries,
    every_damage_is_found_and_named,
);

fn a_record_is_appended_once(ground: Ground) {
    let mut journal = StoredJournal::open(&ground.home).unwrap();
    assert_eq!(journal.ends(), Ok(Ends::of_one(Head::START)));
    let first = record(&Head::START, PARTITION, b"");
    assert_eq!(journal.append(&alone(&first)), Ok(()));
    // Tried again, because nobody knew whether it had come through.
    assert_eq!(journal.append(&alone(&first)), Ok(()));
    // Somebody else's record in its place.
    let other = Record::seal(&Head::START, PARTITION, 77, 0, Vec::new());
    assert_eq!(journal.append(&alone(&other)), Err(AppendError::Refused));
    assert_eq!(journal.ends(), Ok(Ends::of_one(first.head())));
    assert_eq!(JournalReader::open(&ground.home).unwrap().last_number(), Ok(1));
}

fn a_stale_writer_is_refused(ground: Ground) {
    let mut stale = StoredJournal::open(&ground.home).unwrap();
    let mut owner = StoredJournal::open(&ground.home).unwrap();
    let first = record(&Head::START, PARTITION, b"");
    stale.append(&alone(&first)).unwrap();
    owner.append(&alone(&Record::seal(&first.head(), PARTITION, 9, 0, b"owner".to_vec()))).unwrap();
    let late = Record::seal(&first.head(), PARTITION, 9, 0, b"stale".to_vec());
    assert_eq!(stale.append(&alone(&late)), Err(AppendError::Refused));
}

/// Several partitions: each has a chain of its own, and entries say what was written together, and in which order.
fn what_is_written_together_stands_together(ground: Ground) {
    let count = NonZeroU16::new(SEVERAL).unwrap();
    mayfly_store::create(&ground.home, "test", count).unwrap();
    let mut journal = StoredJournal::open(&ground.home).unwrap();
    let mut ends = Ends::start(count);
    assert_eq!((journal.partitions(), journal.ends()), (count, Ok(ends.clone())));
    let entry = |ends: &Ends, partitions: &[u16], later_ms: u64| Entry {
        number: ends.number + 1,
        records: partitions
            .iter()
            .map(|partition| PartitionId(*partition))
            .map(|partition| {
                let head = ends.head(partition);
                Record::seal(&head, partition, ends.at_ms() + later_ms, 0, Vec::new())
            })
            .collect(),
    };
    let mut entries = Vec::new();
    for partitions in [&[0, 2, 4][..], &[2], &[1, 2], &[0, 1, 2, 3, 4]] {
        let entry = entry(&ends, partitions, 1);
        assert_eq!(journal.append(&entry), Ok(()));
        // Tried again, because nobody knew whether it had come through.
        assert_eq!(journal.append(&entry), Ok(()));
        ends.advance(&entry);
        assert_eq!(journal.ends().as_ref(), Ok(&ends));
        entries.push(entry);
    }
    let reader = JournalReader::open(&ground.home).unwrap();
    assert_eq!(reader.entries(1).map(Result::unwrap).collect::<Vec<_>>(), entries);
    assert_eq!(reader.entries(3).map(Result::unwrap).collect::<Vec<_>>(), entries[2..]);
    assert_eq!(reader.time_of(3), Ok(Some(entries[2].at_ms())));
    let of_two: Vec<_> = reader.records(PartitionId(2), 2).map(|record| record.unwrap().sequence).collect();
    assert_eq!(of_two, [2, 3, 4]);
    assert_eq!(verify(&reader, |_| ()).unwrap().ends, ends);

    // One of its records is somebody else's: none is written.
    let mut stale = StoredJournal::open(&ground.home).unwrap();
    let (late, other) = (entry(&ends, &[1, 3], 2), entry(&ends, &[3, 4], 3));
    assert_eq!(journal.append(&other), Ok(()));
    ends.advance(&other);
    assert_eq!(stale.append(&late), Err(AppendError::Refused));
    assert_eq!(journal.ends().as_ref(), Ok(&ends));
    // Another entry has its number: the order in which things happened is one, whoever writes.
    let twin = Entry { number: ends.number, ..entry(&ends, &[0], 4) };
    assert_eq!(stale.append(&twin), Err(AppendError::Refused));
    assert_eq!(journal.ends().as_ref(), Ok(&ends));

    // A record that no entry has, and an entry that has a record which is not there.
    let stray = "UPDATE entries SET number = number + 1 WHERE number = 5";
    assert_eq!(ground.alter("journal", stray), 1);
    assert!(matches!(verify(&reader, |_| ()), Err(StoreError::Gap { sequence: 5, .. })));
    assert_eq!(ground.alter("journal", "DELETE FROM entries WHERE number = 6"), 1);
    let said = verify(&reader, |_| ()).unwrap_err();
    assert!(said.to_string().contains("is in no entry"), "{said}");
    let lost = "DELETE FROM journal WHERE partition = 2 AND sequence = 2";
    assert_eq!(ground.alter("journal", lost), 1);
    let said = verify(&reader, |_| ()).unwrap_err();
    assert!(said.to_string().contains("of entry 2 a record is missing"), "{said}");
}

/// Whoever asks while somebody appends hears where the journal ended after one entry, of all its partitions.
fn where_it_ends_is_one_moment(ground: Ground) {
    const ENTRIES: u64 = 300;
    let count = NonZeroU16::new(SEVERAL).unwrap();
    mayfly_store::create(&ground.home, "test", count).unwrap();
    let mut journal = StoredJournal::open(&ground.home).unwrap();
    let reader = JournalReader::open(&ground.home).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut ends = Ends::start(count);
            for number in 1..=ENTRIES {
                let record = |partition| {
                    Record::seal(&ends.head(partition), partition, number, 0, number.to_be_bytes().to_vec())
                };
                let entry = Entry { number, records: PartitionId::all(count).map(record).collect() };
                journal.append(&entry).unwrap();
                ends.advance(&entry);
            }
            ends
        });
        let mut seen = 0;
        while !writer.is_finished() {
            let ends = reader.ends().unwrap();
            assert!(ends.heads.iter().all(|head| head.sequence == ends.number), "{ends:?}");
            seen += u64::from((1..ENTRIES).contains(&ends.number));
        }
        assert!(seen > 0, "nothing was asked meanwhile: the test shows nothing");
        assert_eq!(reader.ends(), Ok(writer.join().unwrap()));
    });
}

fn a_journal_with_one_partition_lists_no_entries(ground: Ground) {
    let mut play = Play::of(&ground.home, 9, 1);
    play.run(100);
    assert_eq!(ground.raw("journal", "SELECT count(*) FROM entries"), 0);
    let reader = JournalReader::open(&ground.home).unwrap();
    let last = reader.entries(1).map(Result::unwrap).last().unwrap();
    assert_eq!((last.number, last.records[0].sequence), (play.ends.number, play.ends.number));
}

#[test]
fn a_full_disk_is_said_and_costs_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = StoredJournal::open(&directory.path().into()).unwrap();
    let first = record(&Head::START, PARTITION, b"first");
    journal.append(&alone(&first)).unwrap();
    // The limit is a connection's own, so a statement that fills the file up stands in for the disk.
    let reader = JournalReader::open(&directory.path().into()).unwrap();
    journal.limit_pages(4).unwrap();
    let large = Record::seal(&first.head(), PARTITION, 5, 0, vec![7; 1 << 20]);
    match journal.append(&alone(&large)) {
        Err(AppendError::Failed(why)) => assert!(why.contains("the disk is full"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(reader.ends(), Ok(Ends::of_one(first.head())));
    journal.limit_pages(1 << 20).unwrap();
    assert_eq!(journal.append(&alone(&large)), Ok(()));
}

fn every_damage_is_found_and_named(ground: Ground) {
    // As it was before there were several.
    let mut play = Play::of(&ground.home, 4, 1);
    play.run(400);
    let reader = JournalReader::open(&ground.home).unwrap();
    let mut seen = 0;
    let verified = verify(&reader, |number| seen = number).unwrap();
    assert_eq!((&verified.ends, verified.events, seen), (&play.ends, play.events, play.ends.number));

    let location = reader.location().clone();
    let named = |sequence, why| StoreError::Record {
        location: location.clone(),
        partition: PARTITION,
        sequence,
        why,
    };
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
        assert_eq!(verify(&reader, |_| ()), Ok(verified.clone()));
    }

    // A record that is whole, but another one: the chain breaks at the next.
    let records: Vec<_> = reader.records(PARTITION, 1).take(2).map(Result::unwrap).collect();
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
    let newer = StoreError::Newer { location: (&path).into(), version: 9, known: 4 };
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
    assert_eq!(JournalReader::open(&directory.path().into()).err(), Some(missing));
}
