//! The keys under which notes for repeats are sealed, as the directory keeps them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ground, on_both};
use mayfly_engine::{DaySeal, NoteError};
use mayfly_keys::{KeyService, OsRandom, RootKey};
use mayfly_store::directory::Directory;

on_both!(a_days_key_is_the_same_for_all_and_is_thrown_away, a_key_is_found_from_within_a_runtime,);

const DAY_MS: u64 = 86_400_000;
const NOW_MS: u64 = 20_000 * DAY_MS;
const AT: (&str, &[u8]) = ("kept", b"row");

fn open(ground: &Ground) -> Directory {
    let keys = KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys();
    Directory::open(&ground.home, keys).unwrap()
}

fn sealed(directory: &Directory, now_ms: u64) -> Vec<u8> {
    DaySeal::of(directory, now_ms).unwrap().seal(AT, b"a note", &mut OsRandom).unwrap()
}

fn a_days_key_is_the_same_for_all_and_is_thrown_away(ground: Ground) {
    let directories = [open(&ground), open(&ground), open(&ground), open(&ground)];
    // All of them draw it at once.
    let notes: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            directories.iter().map(|directory| scope.spawn(|| sealed(directory, NOW_MS))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for note in &notes {
        for directory in &directories {
            assert_eq!(DaySeal::open(directory, AT, note).unwrap().expose(), b"a note");
        }
    }
    drop(directories);
    let directory = open(&ground);
    assert_eq!(DaySeal::open(&directory, AT, &notes[0]).unwrap().expose(), b"a note");
    directory.sweep(NOW_MS + 2 * DAY_MS).unwrap();
    assert_eq!(ground.raw("directory", "SELECT count(*) FROM note_keys"), 1);
    directory.sweep(NOW_MS + 3 * DAY_MS).unwrap();
    assert_eq!(ground.raw("directory", "SELECT count(*) FROM note_keys"), 0);
    // Another one is drawn, and does not open what was sealed before.
    assert_eq!(DaySeal::open(&directory, AT, &notes[0]).err(), Some(NoteError::Damaged));
}

fn a_key_is_found_from_within_a_runtime(ground: Ground) {
    let directory = open(&ground);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let note = runtime.block_on(async { sealed(&directory, NOW_MS) });
    assert_eq!(DaySeal::open(&open(&ground), AT, &note).unwrap().expose(), b"a note");
}
