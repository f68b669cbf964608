//! A journal is archived and cut, and stays what it was.

#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;
use std::fs;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Ground, PARTITION, Play, SEVERAL, assert_state, fold, options, reopen};
use mayfly_core::{IssuerId, PartitionId};
use mayfly_engine::{Ends, Entry, Journal, Record};
use mayfly_keys::{KeyService, OsRandom, RootKey};
use mayfly_store::directory::{By, Directory, DirectoryError, NewWebhook};
use mayfly_store::{
    ArchiveFile, Asked, CUT_AGE_MIN_MS, CopyOptions, Dropped, EventPlace, Follower, HeldBy, Home,
    JournalReader, Lease, OpenOptions, Opened, Retention, RetentionOptions, StoreError, StoredJournal,
    archive_files, compare_with_archive, copy, create, open, verify,
};
use tempfile::TempDir;

/// Each of these functions is a test for either store, with one partition and with several.
macro_rules! on_all {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $name() { super::$name(super::Ground::files(), 1); })*
        }
        mod on_sqlite_with_several_partitions {
            $(#[test] fn $name() { super::$name(super::Ground::files(), super::SEVERAL); })*
        }
        mod on_postgres {
            $(#[test] fn $name() { super::$name(super::Ground::postgres(), 1); })*
        }
        mod on_postgres_with_several_partitions {
            $(#[test] fn $name() { super::$name(super::Ground::postgres(), super::SEVERAL); })*
        }
    };
}

on_all!(
    what_is_archived_is_one_chain_with_the_journal,
    views_are_built_again_from_the_archive,
    what_is_interrupted_goes_on,
    damage_to_a_file_is_named,
    nothing_is_dropped_that_somebody_needs,
    days_have_files_of_their_own,
    partitions_that_have_nothing_left_are_known,
    a_journal_that_ends_before_it_begins_is_said_to_lack_records,
    a_copy_begins_where_the_journal_does,
);

const DAY_MS: u64 = 86_400_000;

/// A world of half a year, folded, and a directory for its archive.
fn world(ground: &Ground, seed: u64, partitions: u16) -> (Play, TempDir) {
    let mut play = Play::of(&ground.home, seed, partitions);
    play.run(3000);
    while play.now_ms < common::BEGUN_MS + 120 * DAY_MS {
        play.now_ms += 5 * DAY_MS;
        play.run(40);
    }
    fold(&play.home, &play.ends);
    (play, tempfile::tempdir().unwrap())
}

/// Small files, so that there are several.
fn retention(home: &Home, archive: &Path) -> Retention {
    let options = RetentionOptions {
        span_bytes_max: 40_000,
        journal_ms: Some(30 * DAY_MS),
        ..RetentionOptions::forever(archive.join("archive"))
    };
    Retention::open(home, options).unwrap()
}

fn cut(home: &Home, archive: &Path, before_ms: u64) -> Dropped {
    let asked = Asked { journal_before_ms: Some(before_ms), ..Asked::default() };
    retention(home, archive).run(&asked, before_ms, &|| true).unwrap()
}

fn reader(home: &Home) -> JournalReader {
    JournalReader::open(home).unwrap()
}

fn with_archive(archive: &Path) -> OpenOptions {
    OpenOptions { archive: Some(archive.join("archive")), ..options() }
}

fn reopen_with(home: &Home, archive: &Path) -> Result<Opened, StoreError> {
    open(home, &with_archive(archive), |_| ())
}

/// How many records there are up to there.
fn records(ends: &Ends) -> u64 {
    ends.heads.iter().map(|head| head.sequence).sum()
}

fn what_is_archived_is_one_chain_with_the_journal(ground: Ground, partitions: u16) {
    let (mut play, around) = world(&ground, 31, partitions);
    let before_ms = play.now_ms - 30 * DAY_MS;
    let (mut count, mut records, mut young) = (0, 0, 0);
    for entry in reader(&ground.home).entries(1) {
        let entry = entry.unwrap();
        count += 1;
        let is_young = entry.at_ms() >= before_ms;
        young += u64::from(is_young);
        records += if is_young { 0 } else { entry.records.len() as u64 };
    }
    let whole = verify(&reader(&ground.home), |_| ()).unwrap();
    let dropped = cut(&ground.home, around.path(), before_ms);
    assert_eq!((dropped.records, dropped.whole), (records, true));
    assert!(dropped.files >= 3 && young > 5, "{dropped:?} {young}: the test shows nothing");

    let cut_off = reader(&ground.home);
    let base = cut_off.base().unwrap();
    assert_eq!(base.number, count - young);
    for partition in PartitionId::all(cut_off.partitions()) {
        let head = base.head(partition);
        assert_eq!(cut_off.head_at(partition, head.sequence), Ok(Some(head)));
        if head.sequence > 1 {
            assert_eq!(cut_off.head_at(partition, head.sequence - 1), Ok(None));
        }
    }
    assert_eq!(cut_off.ends(), Ok(play.ends.clone()));
    // What is there is a chain that begins with the base.
    let left = verify(&cut_off, |_| ()).unwrap();
    assert_eq!((&left.base, &left.ends), (&base, &play.ends));
    let (location, begins) = (cut_off.location().clone(), base.number + 1);
    let archived = StoreError::Archived { location, number: 3, begins };
    assert_eq!(cut_off.entries(3).next().unwrap().unwrap_err(), archived);
    let of_partition = cut_off.records(PARTITION, 1).next().unwrap().unwrap_err();
    assert!(matches!(of_partition, StoreError::Archived { .. }), "{of_partition}");
    // With the archive it is what it was.
    let archive = around.path().join("archive");
    let joined = reader(&ground.home).with_archive(&archive);
    joined.require_archive().unwrap();
    assert_eq!(verify(&joined, |_| ()).unwrap(), whole);
    let numbers: Vec<u64> = joined.entries(base.number - 2).map(|entry| entry.unwrap().number).collect();
    assert_eq!(numbers, (base.number - 2..=play.ends.number).collect::<Vec<_>>());
    // And so is each file by itself.
    let spans = joined.archived().unwrap();
    let files = archive_files(&archive).unwrap();
    assert_eq!(files.len(), spans.len());
    let mut before = Ends::start(joined.partitions());
    for (file, span) in files.iter().zip(&spans) {
        let file = ArchiveFile::open(file).unwrap();
        assert_eq!((&file.span().before, &file.span().last), (&before, &span.last));
        before = span.last.clone();
        file.verify().unwrap();
    }
    assert_eq!(before, base);

    // It goes on, and there is nothing more to do.
    play.run(50);
    assert_eq!(reader(&ground.home).ends(), Ok(play.ends.clone()));
    assert_eq!(cut(&ground.home, around.path(), before_ms), Dropped { whole: true, ..Dropped::default() });
    let opened = reopen(&ground.home);
    assert_eq!((&opened.ends, opened.rebuilt.as_ref()), (&play.ends, None));
    assert_state(&opened.partitions, &play.partitions);
    drop(opened);
    assert_eq!(compare_with_archive(&ground.home, Some(&archive)), Ok(vec![]));
    let journal = StoredJournal::open(&ground.home).unwrap();
    assert_eq!(journal.begins_at(&play.ends), Ok(true));
    assert_eq!(journal.ends(), Ok(play.ends));
}

fn views_are_built_again_from_the_archive(ground: Ground, partitions: u16) {
    let (play, around) = world(&ground, 32, partitions);
    cut(&ground.home, around.path(), play.now_ms - 20 * DAY_MS);
    ground.lose_views();
    // Without the archive, or with a part of it, there is no way; and nothing is done.
    let none = open(&ground.home, &options(), |_| ()).err().unwrap();
    assert!(matches!(none, StoreError::Archived { number: 1, .. }), "{none}");
    let files = archive_files(&around.path().join("archive")).unwrap();
    let (second, aside) = (&files[1], around.path().join("aside"));
    fs::rename(second, &aside).unwrap();
    let missing = reopen_with(&ground.home, around.path()).err().unwrap();
    assert!(matches!(&missing, StoreError::ArchiveMissing { path, .. } if path == second), "{missing}");
    assert!(missing.to_string().contains(second.to_str().unwrap()), "{missing}");
    fs::rename(&aside, second).unwrap();
    let opened = reopen_with(&ground.home, around.path()).unwrap();
    assert!(opened.rebuilt.is_some());
    assert_eq!(opened.ends, play.ends);
    assert_state(&opened.partitions, &play.partitions);
    drop(opened);
    let archive = around.path().join("archive");
    assert_eq!(compare_with_archive(&ground.home, Some(&archive)), Ok(vec![]));
    // Views that are damaged are not put aside before it is known that they can be built again.
    ground.alter("views", "UPDATE accounts SET balance = balance + 1 WHERE id = 1");
    fs::rename(second, &aside).unwrap();
    let missing = reopen_with(&ground.home, around.path()).err().unwrap();
    assert!(matches!(missing, StoreError::ArchiveMissing { .. }), "{missing}");
    assert!(ground.raw("views", "SELECT count(*) FROM accounts") > 0);
    fs::rename(&aside, second).unwrap();
    assert!(reopen_with(&ground.home, around.path()).unwrap().rebuilt.is_some());
}

fn what_is_interrupted_goes_on(ground: Ground, partitions: u16) {
    let (play, around) = world(&ground, 33, partitions);
    let whole = verify(&reader(&ground.home), |_| ()).unwrap();
    let archive = around.path().join("archive");
    let before_ms = play.now_ms - 20 * DAY_MS;
    let asked = Asked { journal_before_ms: Some(before_ms), ..Asked::default() };
    let joined = reader(&ground.home).with_archive(&archive);
    let (mut steps, mut dropped, mut noted_again) = (1, 0, false);
    for round in 0.. {
        assert!(round < 5000, "it does not come to its end");
        let left = Cell::new(steps);
        let go_on = || {
            left.set(left.get() - 1);
            left.get() > 0
        };
        let done = retention(&ground.home, around.path()).run(&asked, before_ms, &go_on).unwrap();
        dropped += done.records;
        assert_eq!(verify(&joined, |_| ()).unwrap(), whole);
        let base = joined.base().unwrap();
        if let Some(last) = joined.archived().unwrap().last()
            && last.before == base
            && !noted_again
        {
            // A file that is whole and was not noted: whoever wrote it was killed between the two. It is not written again.
            let path = archive.join(&last.file);
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            assert_eq!(
                ground.alter("journal", &format!("DELETE FROM archived WHERE first = {}", last.first())),
                1
            );
            let one = Cell::new(true);
            let once = || one.replace(false);
            retention(&ground.home, around.path()).run(&asked, before_ms, &once).unwrap();
            assert_eq!(joined.archived().unwrap().last().unwrap().file, last.file);
            assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
            dropped += records(&joined.base().unwrap()) - records(&base);
            noted_again = true;
        }
        if done.whole {
            break;
        }
        steps += if noted_again { 1000 } else { 1 };
    }
    assert!(noted_again, "no file was left behind: the test shows nothing");
    let files = fs::read_dir(&archive).unwrap().count();
    assert_eq!(files, joined.archived().unwrap().len(), "something was left that is not whole");
    assert_eq!(dropped, records(&joined.base().unwrap()));
    assert!(dropped > 100);
}

fn damage_to_a_file_is_named(ground: Ground, partitions: u16) {
    let (play, around) = world(&ground, 34, partitions);
    cut(&ground.home, around.path(), play.now_ms - 20 * DAY_MS);
    let archive = around.path().join("archive");
    let joined = reader(&ground.home).with_archive(&archive);
    let span = joined.archived().unwrap()[1].clone();
    let path = archive.join(&span.file);
    let bytes = fs::read(&path).unwrap();
    let damaged = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let alone = ArchiveFile::open(&path).and_then(ArchiveFile::verify).unwrap_err();
        (alone, verify(&joined, |_| ()).unwrap_err())
    };
    let at_file = |error: &StoreError| error.to_string().contains(path.to_str().unwrap());
    let header = 16 + 2 + 24 + 96 * usize::from(partitions) + 32;
    // The header, a byte in the middle, the end, and what does not belong to it.
    for at in [16, 20, 60, 150, bytes.len() / 2, bytes.len() - 1] {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let (alone, chained) = damaged(&altered);
        assert!(at_file(&alone) && at_file(&chained), "{at}: {alone} / {chained}");
        if at > header {
            let within = |error: &StoreError| {
                matches!(error, StoreError::Damaged { .. })
                    || matches!(error, StoreError::Record { partition, sequence, .. }
                        if (span.before.head(*partition).sequence + 1..=span.last.head(*partition).sequence).contains(sequence))
            };
            assert!(within(&alone) && within(&chained), "{at}: {alone} / {chained}");
        }
    }
    for length in [0, 3, 100, bytes.len() / 2, bytes.len() - 1] {
        let (alone, chained) = damaged(&bytes[..length]);
        assert!(
            matches!(alone, StoreError::Damaged { .. }) && at_file(&chained),
            "{length}: {alone} / {chained}"
        );
    }
    let (alone, chained) = damaged(&[&bytes[..], b"more"].concat());
    assert!(matches!(alone, StoreError::Damaged { .. }) && at_file(&chained), "{alone} / {chained}");
    // A whole file, but another one's.
    let other = archive.join(&joined.archived().unwrap()[0].file);
    fs::copy(&other, &path).unwrap();
    let error = joined.require_archive().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }) && at_file(&error), "{error}");
    fs::write(&path, b"certainly no archive, but a letter to somebody".repeat(9)).unwrap();
    let error = joined.require_archive().unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    fs::write(&path, &bytes).unwrap();
    verify(&joined, |_| ()).unwrap();
}

fn nothing_is_dropped_that_somebody_needs(ground: Ground, partitions: u16) {
    let (mut play, around) = world(&ground, 35, partitions);
    let kept = retention(&ground.home, around.path());
    // What is too young.
    let now_ms = play.ends.at_ms();
    let asked = |before_ms| Asked { journal_before_ms: Some(before_ms), ..Asked::default() };
    let latest_ms = now_ms - CUT_AGE_MIN_MS;
    assert_eq!(kept.plan(&asked(latest_ms + 1)).err(), Some(StoreError::TooRecent { before_ms: latest_ms }));
    kept.plan(&asked(latest_ms)).unwrap();
    // By the options: whole days.
    let plan = kept.plan(&Asked::default()).unwrap();
    assert_eq!(plan.journal_before_ms, Some((now_ms - 30 * DAY_MS) / DAY_MS * DAY_MS));
    assert_eq!((plan.views_before_ms, plan.held_by), (None, None));
    assert!(plan.to > 100 && plan.to == plan.wanted);
    // What a webhook has not been told, even if it is paused.
    let keys = KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys();
    let directory = Directory::open(&ground.home, keys).unwrap();
    let place = EventPlace { sequence: 50, index: 0 };
    let new = NewWebhook {
        issuer: IssuerId(1),
        url: "https://shop.example/hook",
        description: "",
        kinds: &[],
        secret: &[7; 32],
        place,
    };
    let by = By { actor: "key_1", now_ms };
    let made = directory.write::<_, DirectoryError>(by, |w| w.create_webhook(&new, &mut OsRandom)).unwrap();
    let held = kept.plan(&Asked::default()).unwrap();
    assert_eq!((held.to, held.held_by), (49, Some(HeldBy::Webhook(made.id))));
    assert_eq!(held.wanted, plan.wanted);
    let done = kept.run(&Asked::default(), now_ms, &|| true).unwrap();
    assert_eq!((done.records > 0, done.whole), (true, true));
    assert_eq!(kept.plan(&Asked::default()).unwrap().first, 50);
    directory.write::<_, DirectoryError>(by, |w| w.delete_webhook(IssuerId(1), made.id)).unwrap();
    // What is not folded, and the last record.
    let folded = play.ends.number;
    play.now_ms += 400 * DAY_MS;
    play.run(30);
    let plan = kept.plan(&asked(latest_ms)).unwrap();
    assert!(plan.to < folded, "{plan:?}");
    fold(&play.home, &play.ends);
    play.now_ms += 400 * DAY_MS;
    play.run(10);
    fold(&play.home, &play.ends);
    let done = kept.run(&asked(play.ends.at_ms() - CUT_AGE_MIN_MS), now_ms, &|| true).unwrap();
    assert!(done.whole && done.records > 0);
    assert!(reader(&ground.home).last_number().unwrap() == play.ends.number);
    reopen(&ground.home);
}

fn days_have_files_of_their_own(ground: Ground, partitions: u16) {
    let begun = common::BEGUN_MS / DAY_MS * DAY_MS;
    plain(&ground, partitions, 40, |at| begun + at * DAY_MS / 4);
    let around = tempfile::tempdir().unwrap();
    let done = cut(&ground.home, around.path(), begun + 7 * DAY_MS + DAY_MS / 2);
    assert_eq!((done.records, done.files), (30, 8));
    let spans = reader(&ground.home).archived().unwrap();
    assert!(spans.iter().all(|span| span.first_ms / DAY_MS == span.last.at_ms() / DAY_MS));
    let names: Vec<&str> = spans.iter().map(|span| span.file.as_str()).collect();
    assert_eq!(names[1], "journal-000000000000005-000000000000008.archive");
    // Only their owner reads them.
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let archive = around.path().join("archive");
    assert_eq!((mode(archive.clone()), mode(archive.join(names[0]))), (0o700, 0o600));
}

/// One that happened something in long ago has no record left, and its last one is known nevertheless: nothing else says
/// where its next one belongs.
fn partitions_that_have_nothing_left_are_known(ground: Ground, partitions: u16) {
    let all = PartitionId::all(NonZeroU16::new(partitions).unwrap());
    let day = |at| common::BEGUN_MS + at * DAY_MS;
    // The first one writes always, the others only in the beginning.
    let of = |at| if at < 20 { all.clone().collect() } else { vec![PARTITION] };
    let mut ends = write(&ground, partitions, 60, of, day);
    let around = tempfile::tempdir().unwrap();
    let done = cut(&ground.home, around.path(), day(41));
    assert_eq!((done.records, done.whole), (41 + 20 * (u64::from(partitions) - 1), true));
    let cut_off = reader(&ground.home);
    assert_eq!(cut_off.base().unwrap().number, 41);
    assert_eq!(cut_off.ends(), Ok(ends.clone()));
    for partition in all.clone().skip(1) {
        assert_eq!(cut_off.head(partition), Ok(ends.head(partition)));
        assert_eq!(cut_off.head(partition).unwrap().sequence, 20);
    }
    let mut journal = StoredJournal::open(&ground.home).unwrap();
    assert_eq!(journal.begins_at(&ends), Ok(true));
    for partition in all.clone() {
        // Whoever knows something else of one of them does not begin.
        let mut other = ends.clone();
        other.heads[usize::from(partition.0)].hash[3] ^= 1;
        assert_eq!(journal.begins_at(&other), Ok(false), "{partition:?}");
    }
    reopen(&ground.home);
    // A follower that has read the last of what was cut off finds it.
    let mut follower = Follower::open(&ground.home, &options()).unwrap();
    assert_eq!(follower.follow(), Ok(Some(ends.clone())));
    let record = |partition| Record::seal(&ends.head(partition), partition, day(60), 0, Vec::new());
    let entry = Entry { number: 61, records: all.clone().map(record).collect() };
    journal.append(&entry).unwrap();
    ends.advance(&entry);
    assert_eq!(follower.follow(), Ok(Some(ends.clone())));
    write_on(&mut journal, &mut ends, 200, |at| day(61 + at));
    fold(&ground.home, &ends);
    assert_eq!(follower.follow(), Ok(Some(ends.clone())));
    // All that was there by then is cut off, but the last entry.
    assert!(cut(&ground.home, around.path(), day(250)).whole);
    assert_eq!(follower.follow(), Ok(Some(ends.clone())));
    assert_eq!(reader(&ground.home).ends(), Ok(ends.clone()));
    let joined = reader(&ground.home).with_archive(&around.path().join("archive"));
    assert_eq!(verify(&joined, |_| ()).unwrap().ends, ends);
    let left = verify(&cut_off, |_| ()).unwrap();
    assert_eq!((left.base, left.ends), (cut_off.base().unwrap(), ends));
}

/// So many entries more, of the first partition.
fn write_on(journal: &mut StoredJournal, ends: &mut Ends, entries: u64, at_ms: impl Fn(u64) -> u64) {
    for at in 0..entries {
        let record = Record::seal(&ends.head(PARTITION), PARTITION, at_ms(at), 0, Vec::new());
        let entry = Entry { number: ends.number + 1, records: vec![record] };
        journal.append(&entry).unwrap();
        ends.advance(&entry);
    }
}

/// Damage that nothing of ours does: it is named, and not looked at for ever.
fn a_journal_that_ends_before_it_begins_is_said_to_lack_records(ground: Ground, partitions: u16) {
    let day = |at| common::BEGUN_MS + at * DAY_MS;
    write(&ground, partitions, 11, |_| vec![PARTITION], |at| day(at * at));
    let around = tempfile::tempdir().unwrap();
    // All but the last one.
    assert_eq!(cut(&ground.home, around.path(), day(90)).records, 10);
    ground.alter("journal", "UPDATE journal_base SET sequence = 30 WHERE partition = 0");
    let (reader, journal) = (reader(&ground.home), StoredJournal::open(&ground.home).unwrap());
    let gap = StoreError::Gap { location: reader.location().clone(), sequence: 31 };
    assert_eq!(reader.head(PARTITION), Err(gap.clone()));
    assert_eq!((reader.ends(), journal.ends()), (Err(gap.clone()), Err(gap)));
}

fn a_copy_begins_where_the_journal_does(ground: Ground, partitions: u16) {
    let (play, around) = world(&ground, 36, partitions);
    let keys = KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys();
    drop(Directory::open(&ground.home, keys).unwrap());
    let before_ms = play.now_ms - 30 * DAY_MS;
    cut(&ground.home, around.path(), before_ms);
    let base = reader(&ground.home).base().unwrap();
    for to in [Ground::files(), Ground::postgres()] {
        let early = CopyOptions { until_ms: Some(base.at_ms() - 1), ..CopyOptions::default() };
        let refused = copy(&ground.home, &to.home, "abcdef", early, |_| ()).unwrap_err();
        assert!(matches!(refused, StoreError::BeforeJournal { .. }), "{refused}");
        let copied = copy(&ground.home, &to.home, "abcdef", CopyOptions::default(), |_| ()).unwrap();
        assert_eq!((&copied.journal.base, &copied.journal.ends), (&base, &play.ends));
        let (from, there) = (reader(&ground.home), reader(&to.home));
        assert_eq!(there.base(), Ok(base.clone()));
        assert_eq!(there.archived(), from.archived());
        // Its views are built from the archive.
        assert!(open(&to.home, &options(), |_| ()).is_err());
        let opened = reopen_with(&to.home, around.path()).unwrap();
        assert_state(&opened.partitions, &play.partitions);
        drop(opened);
        let archive = around.path().join("archive");
        assert_eq!(compare_with_archive(&to.home, Some(&archive)), Ok(vec![]));
        // As it was at some time after that.
        let back = Ground::files();
        let until_ms = Some(before_ms + 10 * DAY_MS);
        let until = CopyOptions { until_ms, ..CopyOptions::default() };
        let restored = copy(&to.home, &back.home, "abcdef", until, |_| ()).unwrap();
        assert!(restored.journal.ends.number > base.number);
        assert!(reopen_with(&back.home, around.path()).unwrap().ends.at_ms() <= before_ms + 10 * DAY_MS);
    }
}

/// One that was cut off while it was followed is loaded again.
#[test]
fn a_standby_that_finds_a_hole_loads_the_state_again() {
    let ground = Ground::postgres();
    let (mut play, around) = world(&ground, 37, SEVERAL);
    let mut follower = Follower::open(&ground.home, &options()).unwrap();
    assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
    // It stands still for days.
    for _ in 0..20 {
        play.now_ms += DAY_MS;
        play.run(20);
    }
    fold(&play.home, &play.ends);
    cut(&ground.home, around.path(), play.ends.at_ms() - 3 * DAY_MS);
    assert_eq!(follower.follow(), Ok(None));
    assert_eq!(follower.follow(), Ok(Some(play.ends.clone())));
    let opened = follower.take_over().map_err(|(_, error)| error).unwrap();
    assert_state(&opened.partitions, &play.partitions);
}

/// A directory for two installations is noticed before anything is written over.
#[test]
fn a_file_of_another_journal_is_not_written_over() {
    let around = tempfile::tempdir().unwrap();
    let asked = Asked { journal_before_ms: Some(common::BEGUN_MS + 7 * DAY_MS), ..Asked::default() };
    let run = |ground: &Ground| retention(&ground.home, around.path()).run(&asked, 0, &|| true);
    let (one, other) = (Ground::files(), Ground::files());
    plain(&one, 1, 40, |at| common::BEGUN_MS + at * DAY_MS);
    assert!(run(&one).unwrap().files >= 7);
    let files = archive_files(&around.path().join("archive")).unwrap();
    let read = || files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
    let before = read();
    // The same sequences, at other times.
    plain(&other, 1, 40, |at| common::BEGUN_MS + at * DAY_MS + 1);
    let refused = run(&other).unwrap_err();
    assert_eq!(refused, StoreError::Occupied { location: (&files[0]).into() });
    assert_eq!(before, read());
    assert_eq!(reader(&other.home).base().unwrap().number, 0);
}

/// So many entries without events, folded: one record each, of one partition after the other.
fn plain(ground: &Ground, partitions: u16, entries: u64, at_ms: impl Fn(u64) -> u64) -> Ends {
    let of = |at| PartitionId((at % u64::from(partitions)) as u16);
    write(ground, partitions, entries, |at| vec![of(at)], at_ms)
}

/// So many entries without events, with a record of each of some partitions, folded.
fn write(
    ground: &Ground,
    partitions: u16,
    entries: u64,
    of: impl Fn(u64) -> Vec<PartitionId>,
    at_ms: impl Fn(u64) -> u64,
) -> Ends {
    let count = NonZeroU16::new(partitions).unwrap();
    create(&ground.home, "test", count).unwrap();
    let mut journal = StoredJournal::open(&ground.home).unwrap();
    let mut ends = Ends::start(count);
    for at in 0..entries {
        let record = |partition| Record::seal(&ends.head(partition), partition, at_ms(at), 0, Vec::new());
        let records = of(at).into_iter().map(record).collect();
        let entry = Entry { number: at + 1, records };
        journal.append(&entry).unwrap();
        ends.advance(&entry);
    }
    fold(&ground.home, &ends);
    ends
}

/// Only the gateway that has the lease cuts.
#[test]
fn who_has_lost_the_lease_drops_nothing() {
    let ground = Ground::postgres();
    let (play, around) = world(&ground, 40, SEVERAL);
    let Home::Database(database) = &ground.home else { unreachable!() };
    let take = |owner: &str| {
        let lease = Lease::open(database, PARTITION, owner.to_owned(), Duration::from_millis(50)).unwrap();
        lease.take().unwrap().unwrap()
    };
    let standing = take("one");
    let asked = Asked { journal_before_ms: Some(play.now_ms - 30 * DAY_MS), ..Asked::default() };
    let one = retention(&ground.home, around.path()).under(PARTITION, standing);
    std::thread::sleep(Duration::from_millis(60));
    let other = retention(&ground.home, around.path()).under(PARTITION, take("other"));
    let refused = one.run(&asked, 0, &|| true).unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
    assert_eq!(reader(&ground.home).base().unwrap().number, 0);
    assert!(other.run(&asked, 0, &|| true).unwrap().records > 0);
}

/// What is copied while it is in service is whole, or it is no copy.
#[test]
fn a_copy_notices_that_records_are_archived_meanwhile() {
    for ground in [Ground::files(), Ground::postgres()] {
        let (play, around) = world(&ground, 41, SEVERAL);
        let keys = KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys();
        drop(Directory::open(&ground.home, keys).unwrap());
        let (to, online) = (Ground::files(), CopyOptions { online: true, ..CopyOptions::default() });
        let done = copy(&ground.home, &to.home, "abcdef", online, |step| {
            if matches!(step, mayfly_store::Copying::Journal { entries: 5, .. }) {
                cut(&ground.home, around.path(), play.now_ms - 20 * DAY_MS);
            }
        });
        assert!(matches!(done, Err(StoreError::Archived { .. })), "{done:?}");
        assert!(matches!(JournalReader::open(&to.home), Err(StoreError::Missing { .. })));
        let copied = copy(&ground.home, &to.home, "abcdef", online, |_| ()).unwrap();
        assert_eq!(copied.journal.ends, play.ends);
    }
}
