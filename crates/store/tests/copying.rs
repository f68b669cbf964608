//! An installation is moved from one store to another, and is the same there.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ground, PARTITION, Play, assert_same, reopen};
use mayfly_core::{IssuerId, Name};
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::{DirectoryKeys, KeyService, OsRandom, RootKey};
use mayfly_store::directory::{By, Directory, DirectoryError, NewKey, Role};
use mayfly_store::{Home, JournalReader, StoreError, copy, root_check};

fn keys() -> DirectoryKeys {
    KeyService::new(&RootKey::from_bytes(&[3; 32])).directory_keys()
}

/// A world that was played for a while, with a few keys for its API.
fn furnished(home: &Home) -> Play {
    let mut play = Play::new(home, 17);
    play.run(2500);
    let directory = Directory::open(home, keys()).unwrap();
    for at in 0..1500 {
        let token = Token::draw(TokenKind::ApiKey, &mut OsRandom).unwrap();
        let new = NewKey {
            role: Role::Issuer,
            issuer: Some(IssuerId(1 + at % 2)),
            merchant: None,
            label: Name::parse(&format!("key {at}")).unwrap(),
            hint: token.hint(),
            hash: token.hash(),
            expires_ms: None,
        };
        let by = By { actor: "operator", now_ms: 1_790_000_000_000 + at };
        directory.write::<_, DirectoryError>(by, |writing| writing.create_key(&new)).unwrap();
    }
    play
}

fn moved(from: &Ground, to: &Ground) {
    let play = furnished(&from.home);
    let (head, state) = (play.head, play.state);
    drop(play.journal);
    let copied = copy(&from.home, &to.home, "abcdef", |_| ()).unwrap();
    assert_eq!(copied.partitions.len(), 1);
    assert_eq!((copied.partitions[0].0, copied.partitions[0].1.head), (PARTITION, head));
    assert!(copied.rows > 3000, "{}", copied.rows);
    if matches!(to.home, Home::Database(_)) {
        assert_eq!(root_check(&to.home).unwrap().as_deref(), Some("abcdef"));
    }
    let opened = reopen(&to.home);
    assert_eq!(opened.head, head);
    assert_eq!(opened.state.accounts, state.accounts);
    assert_eq!(opened.state.issuer_books, state.issuer_books);
    assert_eq!(opened.state.numbers.len(), state.numbers.len());
    drop(opened);
    assert_same(&to.home);
    let (before, after) =
        (Directory::open(&from.home, keys()).unwrap(), Directory::open(&to.home, keys()).unwrap());
    assert_eq!(before.verify_audit().unwrap(), after.verify_audit().unwrap());
    for issuer in [IssuerId(1), IssuerId(2)] {
        assert_eq!(
            before.keys(Some(issuer), None, 1000).unwrap(),
            after.keys(Some(issuer), None, 1000).unwrap()
        );
    }
    // What is there is not overwritten.
    let again = copy(&from.home, &to.home, "abcdef", |_| ());
    assert!(matches!(again, Err(StoreError::Occupied { .. })), "{again:?}");
}

#[test]
fn from_files_to_a_database_and_back() {
    let (files, database, other) = (Ground::files(), Ground::postgres(), Ground::files());
    moved(&files, &database);
    let copied = copy(&database.home, &other.home, "abcdef", |_| ()).unwrap();
    let reader = JournalReader::open(&files.home, PARTITION).unwrap();
    assert_eq!(copied.partitions[0].1.head, reader.head().unwrap());
    reopen(&other.home);
    assert_same(&other.home);
}

#[test]
fn from_files_to_files() {
    moved(&Ground::files(), &Ground::files());
}

#[test]
fn from_a_database_to_another_one() {
    moved(&Ground::postgres(), &Ground::postgres());
}

/// A record that is not what was written ends the copy, and nothing that could be taken for an installation is left; nor is
/// anything after a copy that was cut off in the middle.
#[test]
fn what_is_half_copied_is_no_installation() {
    for (from, to) in [(Ground::files(), Ground::postgres()), (Ground::postgres(), Ground::files())] {
        let play = furnished(&from.home);
        let alter = |by: i64| {
            let sql = format!(
                "UPDATE journal SET at_ms = at_ms + {by} WHERE sequence = {}",
                play.head.sequence - 2
            );
            assert_eq!(from.alter("journal", &sql), 1);
        };
        alter(1);
        let refused = copy(&from.home, &to.home, "abcdef", |_| ());
        assert!(matches!(refused, Err(StoreError::Record { .. })), "{refused:?}");
        let cut_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            copy(&from.home, &to.home, "abcdef", |step| {
                assert!(!matches!(step, mayfly_store::Copying::Journal { records: 5, .. }), "cut off");
            })
        }));
        assert!(cut_off.is_err());
        assert_eq!(root_check(&to.home).unwrap(), None);
        if matches!(to.home, Home::Files(_)) {
            let missing = JournalReader::open(&to.home, PARTITION).err();
            assert!(matches!(missing, Some(StoreError::Missing { .. })), "{missing:?}");
        }
        alter(-1);
        let copied = copy(&from.home, &to.home, "abcdef", |_| ()).unwrap();
        assert_eq!(copied.partitions[0].1.head, play.head);
    }
}
