//! An installation is moved from one store to another, and is the same there.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ground, PARTITION, Play, assert_same, reopen};
use mayfly_core::state::Account;
use mayfly_core::{AccountId, IssuerId, Name, Partitions};
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::{DirectoryKeys, KeyService, OsRandom, RootKey};
use mayfly_store::directory::{By, Directory, DirectoryError, NewKey, Role};
use mayfly_store::{CopyOptions, Home, JournalReader, StoreError, copy, root_check};

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
    let (ends, partitions) = (play.ends, play.partitions);
    drop(play.journal);
    let copied = copy(&from.home, &to.home, "abcdef", CopyOptions::default(), |_| ()).unwrap();
    assert_eq!(copied.journal.ends, ends);
    assert!(copied.rows > 3000, "{}", copied.rows);
    if matches!(to.home, Home::Database(_)) {
        assert_eq!(root_check(&to.home).unwrap().as_deref(), Some("abcdef"));
    }
    let opened = reopen(&to.home);
    assert_eq!(opened.ends, ends);
    for (opened, before) in opened.partitions.iter().zip(partitions.iter()) {
        assert_eq!(opened.accounts, before.accounts);
        assert_eq!(opened.issuer_books, before.issuer_books);
        assert_eq!(opened.numbers.len(), before.numbers.len());
    }
    assert_eq!(opened.partitions.count(), partitions.count());
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
    let again = copy(&from.home, &to.home, "abcdef", CopyOptions::default(), |_| ());
    assert!(matches!(again, Err(StoreError::Occupied { .. })), "{again:?}");
}

#[test]
fn from_files_to_a_database_and_back() {
    let (files, database, other) = (Ground::files(), Ground::postgres(), Ground::files());
    moved(&files, &database);
    let copied = copy(&database.home, &other.home, "abcdef", CopyOptions::default(), |_| ()).unwrap();
    let reader = JournalReader::open(&files.home).unwrap();
    assert_eq!(copied.journal.ends, reader.ends().unwrap());
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
                "UPDATE journal SET at_ms = at_ms + {by} WHERE partition = 0 AND sequence = {}",
                play.ends.head(PARTITION).sequence - 2
            );
            assert_eq!(from.alter("journal", &sql), 1);
        };
        alter(1);
        let refused = copy(&from.home, &to.home, "abcdef", CopyOptions::default(), |_| ());
        assert!(matches!(refused, Err(StoreError::Record { .. })), "{refused:?}");
        let cut_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            copy(&from.home, &to.home, "abcdef", CopyOptions::default(), |step| {
                assert!(!matches!(step, mayfly_store::Copying::Journal { entries: 5, .. }), "cut off");
            })
        }));
        assert!(cut_off.is_err());
        assert_eq!(root_check(&to.home).unwrap(), None);
        if matches!(to.home, Home::Files(_)) {
            let missing = JournalReader::open(&to.home).err();
            assert!(matches!(missing, Some(StoreError::Missing { .. })), "{missing:?}");
        }
        alter(-1);
        let copied = copy(&from.home, &to.home, "abcdef", CopyOptions::default(), |_| ()).unwrap();
        assert_eq!(copied.journal.ends, play.ends);
    }
}

/// What everybody has.
fn balances(partitions: &Partitions) -> Vec<(AccountId, Account)> {
    partitions.accounts_from(AccountId(0)).map(|(id, account)| (id, *account)).collect()
}

/// A backup while the installation is in service, and the installation as it was at some time.
fn backed_up(from: &Ground, to: &Ground, back: &Ground) {
    let mut play = furnished(&from.home);
    let (until_ms, balances) = (play.now_ms, balances(&play.partitions));
    let at = play.ends.clone();
    play.now_ms += 1;
    play.run(500);
    // Whoever serves it goes on.
    let serving = reopen(&from.home);
    let online = CopyOptions { online: true, until_ms: None };
    let backup = copy(&from.home, &to.home, "abcdef", online, |_| ()).unwrap();
    assert_eq!(backup.journal.ends, play.ends);
    drop(serving);
    play.run(100);
    let earlier = CopyOptions { online: false, until_ms: Some(until_ms) };
    let restored = copy(&to.home, &back.home, "abcdef", earlier, |_| ()).unwrap();
    assert_eq!(restored.journal.ends, at);
    let opened = reopen(&back.home);
    assert_eq!(self::balances(&opened.partitions), balances);
    drop(opened);
    assert_same(&back.home);
}

#[test]
fn a_backup_of_files_in_service_is_brought_back_as_of_a_time() {
    backed_up(&Ground::files(), &Ground::files(), &Ground::files());
}

#[test]
fn a_backup_of_a_database_in_service_is_brought_back_as_of_a_time() {
    backed_up(&Ground::postgres(), &Ground::files(), &Ground::postgres());
}
