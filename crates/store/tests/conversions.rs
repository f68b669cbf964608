//! The conversion table and the versions of the cards' keys, as the directory keeps them.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{Ground, on_both};
use mayfly_card::{MonthIndex, Pan};
use mayfly_core::{AccountId, IssuerId, ProgrammeId};
use mayfly_dynamic::{Bin, CardNumber, ControlDigit, Conversion, PseudoPan};
use mayfly_keys::{
    CheckValue, DirectoryKeys, KeyService, KeyVersion, KeyVersions, NumberIndex, OsRandom, RootKey,
    SecretKey, Standing, VersionError,
};
use mayfly_store::directory::*;
use mayfly_store::{CopyOptions, copy};

on_both!(
    a_row_comes_back_as_it_was_written,
    a_number_that_is_taken_is_no_error,
    a_wallet_is_enrolled_anew,
    what_came_to_nothing_is_forgotten,
    all_rows_are_streamed_page_by_page,
    what_was_turned_to_another_account_or_version_does_not_open,
    no_number_stands_there_readably,
    a_copy_has_the_table,
    versions_are_rotated_and_retired,
    a_version_that_cards_have_is_not_retired,
    a_version_that_is_missing_is_noticed,
);

const ACME: IssuerId = IssuerId(1);
const ACCOUNT: AccountId = AccountId(7);
const PROGRAMME: ProgrammeId = ProgrammeId(3);
const NOW_MS: u64 = 1_790_000_000_000;
const PAN: &str = "5400001234567892";

fn keys() -> DirectoryKeys {
    KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys()
}

fn open(ground: &Ground) -> Directory {
    Directory::open(&ground.home, keys()).unwrap()
}

fn try_write<T>(
    directory: &Directory,
    work: impl FnOnce(&Writing<'_>) -> Result<T, DirectoryError>,
) -> Result<T, DirectoryError> {
    directory.write(By { actor: "operator", now_ms: NOW_MS }, work)
}

fn write<T>(directory: &Directory, work: impl FnOnce(&Writing<'_>) -> Result<T, DirectoryError>) -> T {
    try_write(directory, work).unwrap()
}

fn version(number: u16) -> KeyVersion {
    KeyVersion::from_number(number).unwrap()
}

/// A card of each kind, by its number's body.
fn card(body: u32) -> Conversion {
    let bin = Bin::parse("541999").unwrap();
    let (number, secret) = match body % 5 {
        4 => (CardNumber::Real(Pan::parse(PAN).unwrap()), Some(SecretKey::from_bytes(&[4; 16]))),
        kind => {
            let digit = ControlDigit::ALL[kind as usize];
            let secret = (digit == ControlDigit::Stored).then(|| SecretKey::from_bytes(&[3; 16]));
            (CardNumber::Pseudo(PseudoPan::new(bin, digit, body)), secret)
        }
    };
    Conversion {
        number,
        pan: Pan::parse(PAN).unwrap(),
        expiry: MonthIndex::new(2027, 12).unwrap(),
        version: KeyVersion::FIRST,
        secret,
    }
}

fn new(index: u64, conversion: &Conversion) -> NewConversion<'_> {
    let index = NumberIndex(index);
    NewConversion { index, issuer: ACME, account: ACCOUNT, programme: PROGRAMME, conversion }
}

fn add(directory: &Directory, index: u64, conversion: &Conversion) -> bool {
    write(directory, |w| w.add_conversion(&new(index, conversion), &mut OsRandom))
}

#[track_caller]
fn assert_same(found: &StoredConversion, index: u64, card: &Conversion) {
    assert_eq!((found.index, found.issuer), (NumberIndex(index), ACME));
    assert_eq!((found.account, found.programme, found.created_ms), (ACCOUNT, PROGRAMME, NOW_MS));
    let Conversion { number, pan, expiry, version, secret } = &found.conversion;
    assert_eq!((number, pan, expiry), (&card.number, &card.pan, &card.expiry));
    assert_eq!(*version, card.version);
    let bytes = |secret: &Option<SecretKey<16>>| secret.as_ref().map(|secret| *secret.expose());
    assert_eq!(bytes(secret), bytes(&card.secret));
}

fn actions(directory: &Directory) -> Vec<(String, String)> {
    let entries = directory.audit(AuditScope::All, None, 100).unwrap().rows;
    entries.into_iter().map(|entry| (entry.action, entry.subject)).collect()
}

fn a_row_comes_back_as_it_was_written(ground: Ground) {
    let directory = open(&ground);
    // The last index is one that a column shows as negative.
    let indexes = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX];
    for (body, index) in (0..).zip(indexes) {
        assert!(add(&directory, index, &card(body)));
    }
    drop(directory);
    let directory = open(&ground);
    for (body, index) in (0..).zip(indexes) {
        let found = directory.conversion(NumberIndex(index)).unwrap().unwrap();
        assert_same(&found, index, &card(body));
        assert_eq!(found.replaced_ms, None);
    }
    assert!(directory.conversion(NumberIndex(2)).unwrap().is_none());
    assert_eq!(directory.conversions_by_version(), Ok(vec![(KeyVersion::FIRST, 5)]));
    let process = "SELECT count(*) FROM conversions WHERE process IS NULL";
    assert_eq!(ground.raw("directory", process), 1);
}

fn a_number_that_is_taken_is_no_error(ground: Ground) {
    let directory = open(&ground);
    let done = write(&directory, |w| {
        assert!(w.add_conversion(&new(5, &card(1)), &mut OsRandom)?);
        assert!(!w.add_conversion(&new(5, &card(2)), &mut OsRandom)?);
        // And the transaction goes on.
        w.add_conversion(&new(6, &card(2)), &mut OsRandom)
    });
    assert!(done);
    assert_same(&directory.conversion(NumberIndex(5)).unwrap().unwrap(), 5, &card(1));
    let added = ("conversion.added".to_owned(), ACCOUNT.to_string());
    assert_eq!(actions(&directory), [added.clone(), added]);
}

fn a_wallet_is_enrolled_anew(ground: Ground) {
    let directory = open(&ground);
    add(&directory, 5, &card(4));
    let share = Some(SecretKey::from_bytes(&[0xee; 16]));
    let anew = Conversion { version: version(2), secret: share, ..card(4) };
    let by = By { actor: "operator", now_ms: NOW_MS + 5 };
    let replace = |index| {
        directory.write::<_, DirectoryError>(by, |w| {
            w.replace_conversion(NumberIndex(index), &anew, &mut OsRandom)
        })
    };
    assert_eq!((replace(5), replace(6)), (Ok(true), Ok(false)));
    let found = directory.conversion(NumberIndex(5)).unwrap().unwrap();
    assert_same(&found, 5, &anew);
    assert_eq!(found.replaced_ms, Some(NOW_MS + 5));
    assert_eq!(directory.conversions_by_version(), Ok(vec![(version(2), 1)]));
    assert_eq!(actions(&directory)[1].0, "conversion.replaced");
}

fn what_came_to_nothing_is_forgotten(ground: Ground) {
    let directory = open(&ground);
    add(&directory, 5, &card(1));
    let remove = || write(&directory, |w| w.remove_conversion(NumberIndex(5)));
    assert!(remove());
    assert!(!remove());
    assert!(directory.conversion(NumberIndex(5)).unwrap().is_none());
    assert!(add(&directory, 5, &card(2)));
    let actions = actions(&directory);
    assert_eq!(actions[1].0, "conversion.removed");
    assert_eq!(actions.len(), 3);
}

fn all_rows_are_streamed_page_by_page(ground: Ground) {
    let directory = open(&ground);
    let count = 10_000u64;
    let index = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    write(&directory, |w| {
        for at in 0..count {
            assert!(w.add_conversion(&new(index(at), &card(at as u32)), &mut OsRandom)?);
        }
        Ok(())
    });
    let mut found = BTreeMap::new();
    let mut order = Vec::new();
    directory
        .each_conversion(None, |row| {
            order.push(row.index);
            assert!(found.insert(row.index.0, row).is_none());
        })
        .unwrap();
    assert_eq!(found.len() as u64, count);
    for at in [0, 1, 77, count - 1] {
        assert_same(&found[&index(at)], index(at), &card(at as u32));
    }
    // From the middle on.
    let mut rest = Vec::new();
    directory.each_conversion(Some(order[6_000]), |row| rest.push(row.index)).unwrap();
    assert_eq!(rest, order[6_001..]);
}

fn what_was_turned_to_another_account_or_version_does_not_open(ground: Ground) {
    let directory = open(&ground);
    add(&directory, 5, &card(1));
    add(&directory, 6, &card(4));
    let refused = |index| directory.conversion(NumberIndex(index)).err();
    for (change, back) in [
        ("account = 8", "account = 7"),
        ("programme = 4", "programme = 3"),
        ("issuer = 2", "issuer = 1"),
        ("key_version = 2", "key_version = 1"),
        ("process = 2", "process = 1"),
        ("number = 9", "number = 5"),
        ("process = NULL", "process = 1"),
    ] {
        let moved = if change == "number = 9" { 9 } else { 5 };
        assert_eq!(
            ground.alter("directory", &format!("UPDATE conversions SET {change} WHERE number = 5")),
            1
        );
        let said = refused(moved).unwrap().to_string();
        assert!(said.contains("conversions.card"), "{change}: {said}");
        assert!(!said.contains(&PAN[6..12]), "{said}");
        assert!(directory.each_conversion(None, |_| ()).is_err(), "{change}");
        let sql = format!("UPDATE conversions SET {back} WHERE number = {moved}");
        assert_eq!(ground.alter("directory", &sql), 1);
        assert_eq!(refused(5), None, "{back}");
    }
    let exchanged =
        "UPDATE conversions SET card = (SELECT card FROM conversions WHERE number = 6) WHERE number = 5";
    assert_eq!(ground.alter("directory", exchanged), 1);
    assert!(matches!(refused(5), Some(DirectoryError::Sealed { what: "conversions.card", .. })));
}

fn no_number_stands_there_readably(ground: Ground) {
    let directory = open(&ground);
    let stored = Conversion { secret: Some(SecretKey::from_bytes(b"a share in clear")), ..card(3) };
    add(&directory, 5, &stored);
    add(&directory, 6, &card(4));
    write(&directory, |w| w.replace_conversion(NumberIndex(5), &card(3), &mut OsRandom));
    write(&directory, |w| w.remove_conversion(NumberIndex(6)));
    let found = directory.conversion(NumberIndex(5)).unwrap().unwrap();
    assert!(!format!("{found:?}").contains("1234567"), "{found:?}");
    let number = &stored.number.pan().as_str()[6..];
    ground.assert_nowhere(&[&PAN.as_bytes()[4..], number.as_bytes(), b"a share in clear"]);
}

fn a_copy_has_the_table(ground: Ground) {
    let play = common::Play::new(&ground.home, 3);
    drop(play);
    let directory = open(&ground);
    let check_value = CheckValue([1; 3]);
    write(&directory, |w| w.begin_key_versions(check_value));
    for body in 0..50 {
        add(&directory, u64::from(body), &card(body));
    }
    drop(directory);
    let to = Ground::files();
    copy(&ground.home, &to.home, "010101", CopyOptions::default(), |_| ()).unwrap();
    let copied = open(&to);
    let mut count = 0;
    copied
        .each_conversion(None, |row| {
            assert_same(&row, row.index.0, &card(row.index.0 as u32));
            count += 1;
        })
        .unwrap();
    assert_eq!(count, 50);
    assert_eq!(copied.key_versions().unwrap()[0].entry.check_value, check_value);
}

fn versions_are_rotated_and_retired(ground: Ground) {
    let directory = open(&ground);
    let [one, two, three] = [1, 2, 3].map(|byte| CheckValue([byte; 3]));
    assert_eq!(key_versions_of(&ground.home), Ok(Vec::new()));
    let begun = write(&directory, |w| w.begin_key_versions(one));
    assert_eq!(begun, KeyVersions::first(one));
    // Of another root key: whoever opens the directory notices that, and so does who compares.
    assert_eq!(write(&directory, |w| w.begin_key_versions(two)), begun);
    let rotate = |number, check| try_write(&directory, |w| w.rotate_key_version(version(number), check));
    assert_eq!(rotate(3, two), Err(DirectoryError::KeyVersionNext { version: version(2) }));
    assert_eq!(
        rotate(2, one),
        Err(DirectoryError::KeyVersion(VersionError::KeyAgain { version: version(1) }))
    );
    let rotated = rotate(2, two).unwrap();
    assert_eq!(rotated.current(), version(2));
    // Who did not hear it asks again.
    assert_eq!(rotate(2, two), Ok(rotated.clone()));
    assert_eq!(rotate(3, three).unwrap().current(), version(3));
    let retire = |number| try_write(&directory, |w| w.retire_key_version(version(number), false));
    let current = VersionError::Current { version: version(3) };
    assert_eq!(retire(3), Err(DirectoryError::KeyVersion(current)));
    assert_eq!(retire(9), Err(DirectoryError::KeyVersion(VersionError::Unknown { version: version(9) })));
    let left = retire(1).unwrap();
    let retired = VersionError::Retired { version: version(1) };
    assert_eq!(left.usable(version(1)), Err(retired));
    assert_eq!(retire(1), Err(DirectoryError::KeyVersion(retired)));
    assert_eq!(
        rotate(4, one),
        Err(DirectoryError::KeyVersion(VersionError::KeyAgain { version: version(1) }))
    );
    drop(directory);
    let directory = open(&ground);
    let rows = directory.key_versions().unwrap();
    assert_eq!(key_versions_of(&ground.home), Ok(rows.clone()));
    let standings: Vec<_> = rows.iter().map(|row| (row.entry.standing, row.retired_ms)).collect();
    assert_eq!(
        standings,
        [(Standing::Retired, Some(NOW_MS)), (Standing::Accepted, None), (Standing::Current, None)]
    );
    let actions: Vec<_> = actions(&directory).into_iter().map(|(action, _)| action).collect();
    let added = "key_version.added";
    assert_eq!(actions, [added, added, added, "key_version.retired"]);
}

fn a_version_that_cards_have_is_not_retired(ground: Ground) {
    let directory = open(&ground);
    write(&directory, |w| w.begin_key_versions(CheckValue([1; 3])));
    write(&directory, |w| w.rotate_key_version(version(2), CheckValue([2; 3])));
    for index in 0..3 {
        add(&directory, index, &card(1));
    }
    let retire = |although| try_write(&directory, |w| w.retire_key_version(version(1), although));
    let used = DirectoryError::KeyVersionUsed { version: version(1), cards: 3 };
    assert_eq!(retire(false), Err(used));
    assert!(retire(true).is_ok());
    assert_eq!(directory.conversions_by_version(), Ok(vec![(version(1), 3)]));
}

fn a_version_that_is_missing_is_noticed(ground: Ground) {
    let directory = open(&ground);
    write(&directory, |w| w.begin_key_versions(CheckValue([1; 3])));
    write(&directory, |w| w.rotate_key_version(version(2), CheckValue([2; 3])));
    ground.alter("directory", "DELETE FROM key_versions WHERE version = 1");
    let begun = try_write(&directory, |w| w.begin_key_versions(CheckValue([1; 3])));
    assert!(begun.unwrap_err().to_string().contains("is missing"));
}
