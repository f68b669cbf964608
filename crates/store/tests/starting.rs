//! A start always ends in views and a state that are what the journal says, or in an error that names the culprit.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use common::{Ground, PARTITION, Play, assert_same, assert_state, on_both, options, reopen};
use mayfly_engine::{Progress, RecordError};
use mayfly_store::{
    Folder, Home, JOURNAL_FILE, JournalReader, OpenOptions, StoreError, VIEWS_FILE, compare_with_replay, open,
};

on_both!(
    a_start_finds_the_state_as_it_was,
    views_that_say_something_else_are_built_again,
    views_that_can_not_be_folded_are_built_again,
    the_comparison_sees_differences,
    a_damaged_journal_stops_the_start,
);

/// Folds everything, as a server that is stopped does.
fn fold(home: &Home, through: u64) {
    let progress = Arc::new(Progress::default());
    progress.set_durable(through, 0);
    Folder::start(home, options().fold, progress, |_| ()).unwrap().stop().unwrap();
}

/// A world that was played for a while, folded and stopped.
fn played(home: &Home, seed: u64) -> Play {
    let mut play = Play::new(home, seed);
    play.run(1500);
    fold(home, play.ends.number);
    play
}

fn a_start_finds_the_state_as_it_was(ground: Ground) {
    let mut play = Play::new(&ground.home, 7);
    for _ in 0..6 {
        play.run(400);
        fold(&ground.home, play.ends.number);
        // What comes after the views' cursor is replayed.
        play.run(60);
        let opened = reopen(&ground.home);
        assert_eq!(opened.rebuilt, None);
        assert_eq!(opened.ends, play.ends);
        assert!(opened.folded < play.ends.number, "nothing was replayed: the test shows nothing");
        assert_state(&opened.partitions, &play.partitions);
    }
}

#[test]
fn a_new_directory_is_opened_empty() {
    let directory = tempfile::tempdir().unwrap();
    let refuse = OpenOptions { create: false, ..options() };
    let missing = StoreError::Missing { location: directory.path().join(JOURNAL_FILE).into(), views: false };
    assert_eq!(open(&directory.path().into(), &refuse, |_| ()).err(), Some(missing));
    let opened = reopen(&directory.path().into());
    assert_eq!((opened.ends.number, opened.rebuilt), (0, None));
    assert_same(&directory.path().into());
}

/// Does something to the views of a stopped server; the next start must build them again.
fn rebuilds(what: &str, spoil: impl FnOnce(&Path, &mut Play)) {
    let directory = tempfile::tempdir().unwrap();
    let mut play = played(&directory.path().into(), 42);
    spoil(directory.path(), &mut play);
    let opened = reopen(&directory.path().into());
    assert!(opened.rebuilt.is_some(), "{what}: went unnoticed");
    assert_state(&opened.partitions, &play.partitions);
    drop(opened);
    fold(&directory.path().into(), play.ends.number);
    assert_same(&directory.path().into());
    assert_eq!(reopen(&directory.path().into()).rebuilt, None, "{what}: not cured");
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).unwrap().len()
}

#[test]
fn lost_views_are_built_again() {
    rebuilds("deleted", |directory, _| fs::remove_file(directory.join(VIEWS_FILE)).unwrap());
    rebuilds("empty", |directory, _| fs::write(directory.join(VIEWS_FILE), "").unwrap());
    rebuilds("no database", |directory, _| {
        fs::write(directory.join(VIEWS_FILE), "garbage".repeat(9999)).unwrap();
    });
}

#[test]
fn torn_views_are_built_again() {
    for part in [2, 3, 5, 9] {
        rebuilds("truncated", |directory, _| {
            let file = directory.join(VIEWS_FILE);
            let pages = length(&file) / 16_384;
            fs::File::options().write(true).open(&file).unwrap().set_len(pages / part * 16_384).unwrap();
        });
    }
    rebuilds("truncated within a page", |directory, _| {
        let file = directory.join(VIEWS_FILE);
        let length = length(&file);
        fs::File::options().write(true).open(&file).unwrap().set_len(length - 1000).unwrap();
    });
}

#[test]
fn overwritten_views_are_built_again() {
    for at in 1..9 {
        rebuilds("overwritten", |directory, _| {
            let file = directory.join(VIEWS_FILE);
            let garbage: Vec<u8> =
                (0..40_000u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            let place = length(&file) * at / 10;
            fs::File::options().write(true).open(&file).unwrap().write_all_at(&garbage, place).unwrap();
        });
    }
}

/// What is wrong with the views is found in a database as it is in a file.
fn views_that_say_something_else_are_built_again(ground: Ground) {
    let both = [
        "UPDATE cursor SET sequence = sequence + 1",
        "UPDATE cursor SET sequence = sequence - 1",
        "DELETE FROM cursor",
        "UPDATE accounts SET balance = balance + 1 WHERE id = 2",
        "UPDATE accounts SET active_numbers = active_numbers + 1 WHERE id = 2",
        "DELETE FROM accounts WHERE id = 1",
        "DELETE FROM number_state WHERE id = (SELECT max(id) FROM number_state)",
        "DELETE FROM transactions WHERE id = (SELECT max(id) FROM transactions)",
        "UPDATE programmes SET terms = '{}'",
        "UPDATE transactions SET kind = 200 WHERE id = (SELECT max(id) FROM transactions)",
    ];
    let of_one: &[&str] = match ground.home {
        Home::Files(_) => {
            &["UPDATE cursor SET hash = zeroblob(32)", "PRAGMA user_version = 0", "DROP TABLE number_state"]
        }
        Home::Database(_) => &[
            "UPDATE cursor SET hash = decode(repeat('00', 32), 'hex')",
            "UPDATE format SET version = 0",
            "DROP TABLE number_state CASCADE",
            "DROP SCHEMA mayfly_views CASCADE",
        ],
    };
    let play = played(&ground.home, 42);
    for spoil in both.iter().chain(of_one) {
        ground.spoil("views", spoil);
        let opened = reopen(&ground.home);
        assert!(opened.rebuilt.is_some(), "{spoil}: went unnoticed");
        assert_state(&opened.partitions, &play.partitions);
        drop(opened);
        fold(&ground.home, play.ends.number);
        assert_same(&ground.home);
        assert_eq!(reopen(&ground.home).rebuilt, None, "{spoil}: not cured");
    }
    if matches!(ground.home, Home::Database(_)) {
        let aside = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'mayfly_views_bad'";
        assert_eq!(ground.raw("views", aside), 1);
    }
}

/// A server that is killed: the files as they lie, write-ahead logs and all.
#[test]
fn a_crash_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut play = Play::new(&directory.path().into(), 15);
    let progress = Arc::new(Progress::default());
    let folder = Folder::start(&directory.path().into(), options().fold, progress.clone(), |_| ()).unwrap();
    for _ in 0..10 {
        play.run(150);
        // Sometimes the views have all of it by then, sometimes a part.
        progress.set_durable(play.ends.number, play.ends.at_ms());
        let crashed = tempfile::tempdir().unwrap();
        for file in ["journal.db", "journal.db-wal"] {
            fs::copy(directory.path().join(file), crashed.path().join(file)).unwrap();
        }
        while progress.folded() < play.ends.number {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for file in ["views.db", "views.db-wal"] {
            fs::copy(directory.path().join(file), crashed.path().join(file)).unwrap();
        }
        let opened = reopen(&crashed.path().into());
        assert_eq!((opened.ends, opened.rebuilt), (play.ends.clone(), None));
        assert_state(&opened.partitions, &play.partitions);
        assert_same(&crashed.path().into());
    }
    folder.stop().unwrap();
}

/// Views that look whole and can't be folded any further: the folder says so, and the next start cures it.
fn views_that_can_not_be_folded_are_built_again(ground: Ground) {
    let mut play = played(&ground.home, 12);
    let next = play.partitions.first().next_number as i64;
    // Among the retired ones a number that is yet to be issued.
    let sql = format!(
        "UPDATE numbers SET id = {next} WHERE partition = 0 AND id = (SELECT max(id) FROM retired_numbers WHERE partition = 0)"
    );
    assert_eq!(ground.alter("views", &sql), 1);
    while play.partitions.first().next_number as i64 == next {
        play.issue();
    }
    play.commit();
    let progress = Arc::new(Progress::default());
    progress.set_durable(play.ends.number, play.ends.at_ms());
    let folder = Folder::start(&ground.home, options().fold, progress, |_| ()).unwrap();
    let stopped = folder.stop();
    assert!(matches!(stopped, Err(StoreError::Taken { .. })), "{stopped:?}");
    let opened = reopen(&ground.home);
    assert!(opened.rebuilt.is_some());
    assert_state(&opened.partitions, &play.partitions);
    drop(opened);
    fold(&ground.home, play.ends.number);
    assert_same(&ground.home);
    assert_eq!(reopen(&ground.home).rebuilt, None);
}

/// An older copy is as good as any: what came after it is folded.
#[test]
fn an_older_copy_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let mut play = played(&directory.path().into(), 8);
    let copy = directory.path().join("copy");
    fs::copy(directory.path().join(VIEWS_FILE), &copy).unwrap();
    play.run(2500);
    fold(&directory.path().into(), play.ends.number);
    fs::copy(&copy, directory.path().join(VIEWS_FILE)).unwrap();
    let opened = reopen(&directory.path().into());
    assert_eq!(opened.rebuilt, None);
    assert_state(&opened.partitions, &play.partitions);
    drop(opened);
    assert_same(&directory.path().into());
}

/// A newer file with an older one's write-ahead log, as a careless restore leaves it.
#[test]
fn views_with_another_times_log_end_right() {
    let directory = tempfile::tempdir().unwrap();
    let mut play = played(&directory.path().into(), 9);
    let views = directory.path().join(VIEWS_FILE);
    // Opened by somebody, so that the log stays; then copied as they lie.
    let reader = rusqlite::Connection::open(&views).unwrap();
    reader.query_row("SELECT count(*) FROM cursor", (), |_| Ok(())).unwrap();
    play.run(200);
    fold(&directory.path().into(), play.ends.number);
    let log = directory.path().join("views.db-wal");
    let copy = fs::read(&log).unwrap();
    drop(reader);
    play.run(2000);
    fold(&directory.path().into(), play.ends.number);
    fs::write(&log, copy).unwrap();
    let opened = reopen(&directory.path().into());
    assert_state(&opened.partitions, &play.partitions);
    drop(opened);
    fold(&directory.path().into(), play.ends.number);
    assert_same(&directory.path().into());
}

#[test]
fn views_ahead_of_the_journal_are_built_again() {
    rebuilds("ahead", |directory, play| {
        // The journal of another directory, which has less.
        let other = tempfile::tempdir().unwrap();
        let mut shorter = Play::new(&other.path().into(), 42);
        shorter.run(300);
        let (target, source) = (directory.join(JOURNAL_FILE), other.path().join(JOURNAL_FILE));
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(directory.join(format!("{JOURNAL_FILE}{suffix}")));
        }
        let raw = rusqlite::Connection::open(&source).unwrap();
        raw.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        *play = shorter;
        play.home = directory.into();
        fs::copy(source, target).unwrap();
    });
}

#[test]
fn newer_views_are_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    played(&directory.path().into(), 2);
    let path = directory.path().join(VIEWS_FILE);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 8").unwrap();
    let newer = StoreError::Newer { location: (&path).into(), version: 8, known: 7 };
    assert_eq!(open(&directory.path().into(), &options(), |_| ()).err(), Some(newer));
    assert!(path.exists());
}

fn a_damaged_journal_stops_the_start(ground: Ground) {
    let mut play = played(&ground.home, 3);
    play.run(100);
    let location = JournalReader::open(&ground.home).unwrap().location().clone();
    let last = play.ends.head(PARTITION).sequence;
    for sequence in [last, last - 3] {
        let spoil = |by: i64| {
            let sql = format!(
                "UPDATE journal SET at_ms = at_ms + {by} WHERE partition = 0 AND sequence = {sequence}"
            );
            assert_eq!(ground.alter("journal", &sql), 1);
        };
        spoil(1);
        let error = open(&ground.home, &options(), |_| ()).err();
        let named = StoreError::Record {
            location: location.clone(),
            partition: PARTITION,
            sequence,
            why: RecordError::Hash,
        };
        assert_eq!(error, Some(named));
        spoil(-1);
    }
    assert_state(&reopen(&ground.home).partitions, &play.partitions);
}

#[test]
fn a_lost_journal_is_not_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    drop(played(&directory.path().into(), 3));
    let path = directory.path().join(JOURNAL_FILE);
    fs::remove_file(&path).unwrap();
    let missing = StoreError::Missing { location: (&path).into(), views: true };
    assert_eq!(open(&directory.path().into(), &options(), |_| ()).err(), Some(missing));
    assert!(!path.exists());
}

#[test]
fn a_second_server_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = reopen(&directory.path().into());
    let error = open(&directory.path().into(), &options(), |_| ()).err().unwrap();
    assert!(matches!(error, StoreError::Locked { pid: Some(_), .. }), "{error}");
    drop(first);
    reopen(&directory.path().into());
}

/// The comparison that the other tests rely on sees a difference where there is one.
fn the_comparison_sees_differences(ground: Ground) {
    let play = played(&ground.home, 6);
    let same = |sql: &str| {
        assert!(ground.alter("views", sql) > 0, "{sql}");
        compare_with_replay(&ground.home).unwrap().is_empty()
    };
    let middle = play.partitions.first().transactions.next_id().0 / 2;
    for (change, back) in [
        (
            format!("UPDATE transactions SET total_held = total_held + 1 WHERE id = {middle}"),
            format!("UPDATE transactions SET total_held = total_held - 1 WHERE id = {middle}"),
        ),
        (
            "UPDATE number_state SET uses_left = uses_left + 1".to_owned(),
            "UPDATE number_state SET uses_left = uses_left - 1".to_owned(),
        ),
        ("UPDATE quarantine SET why = 3 - why".to_owned(), "UPDATE quarantine SET why = 3 - why".to_owned()),
        (
            "UPDATE accounts SET balance = balance + id".to_owned(),
            "UPDATE accounts SET balance = balance - id".to_owned(),
        ),
    ] {
        assert!(!same(&change), "{change}");
        assert!(same(&back), "{back}");
    }
}

/// Says nothing where the tests run as root, who may write everywhere.
#[test]
fn a_directory_that_can_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
    match open(&directory.path().into(), &options(), |_| ()) {
        Ok(_) => assert!(fs::write(directory.path().join("file"), "").is_ok()),
        Err(StoreError::Directory { path, why }) => {
            assert_eq!(path, directory.path());
            assert!(why.contains("Permission denied"), "{why}");
        }
        Err(other) => panic!("{other}"),
    }
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_journal_that_can_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    drop(played(&directory.path().into(), 3));
    let path = directory.path().join(JOURNAL_FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    match open(&directory.path().into(), &options(), |_| ()) {
        Ok(_) => assert!(fs::File::options().write(true).open(&path).is_ok()),
        Err(error) => assert_eq!(error, StoreError::ReadOnly { location: path.into() }),
    }
}

#[test]
fn a_database_that_is_not_ours_or_newer_is_refused_and_kept() {
    let ground = Ground::postgres();
    let refuse = OpenOptions { create: false, ..options() };
    let error = || open(&ground.home, &options(), |_| ()).err().unwrap();
    let none = open(&ground.home, &refuse, |_| ()).err().unwrap();
    assert!(matches!(none, StoreError::Missing { views: false, .. }), "{none}");
    played(&ground.home, 2);
    ground.raw("views", "UPDATE format SET version = 8; SELECT 1");
    assert!(matches!(error(), StoreError::Newer { version: 8, known: 7, .. }));
    ground.raw("views", "UPDATE format SET version = 6; SELECT 1");
    ground.raw("journal", "UPDATE format SET application_id = 7; SELECT 1");
    assert!(matches!(error(), StoreError::Foreign { .. }));
    // A journal that was lost is not begun anew.
    ground.raw("journal", "DROP SCHEMA mayfly_journal CASCADE; SELECT 1");
    assert!(matches!(error(), StoreError::Missing { views: true, .. }));
    assert!(ground.raw("views", "SELECT count(*) FROM transactions") > 0);
}
