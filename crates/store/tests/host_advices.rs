//! What issuer hosts are owed outlives the process, in order, and is taken over once.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ground, on_both};
use mayfly_card::{Currency, MinorUnits};
use mayfly_core::{
    AccountId, Facts, Hash64, HostAdvice, HostTrace, IssuerId, MessageKind, NumberId, NumberRef, Told,
};
use mayfly_keys::{KeyService, NumberIndex, RootKey};
use mayfly_store::directory::{By, Directory, DirectoryError, StoredAdvice};
use mayfly_store::{EventPlace, Home};

on_both!(they_are_kept_until_they_are_settled);

const ACME: IssuerId = IssuerId(1);
const OTHER: IssuerId = IssuerId(2);
const BY: By<'static> = By { actor: "issuer-hosts", now_ms: 5 };

fn open(home: &Home) -> Directory {
    Directory::open(home, KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys()).unwrap()
}

fn at(sequence: u64, index: u32) -> EventPlace {
    EventPlace { sequence, index }
}

fn stored(issuer: IssuerId, place: EventPlace) -> StoredAdvice {
    let trace = HostTrace {
        message: MessageKind::Authorisation,
        reference: Hash64(u64::MAX - place.sequence),
        identity: Hash64(u64::MAX),
        transmitted: 1_123_135_606,
    };
    let advice = HostAdvice {
        told: Told::Reversal,
        trace: trace.reversal(0),
        about: Some(trace),
        issuer,
        account: AccountId(7),
        number: NumberRef { id: NumberId(3), index: NumberIndex(u64::MAX) },
        amount: MinorUnits::new(2_498).unwrap(),
        stays: MinorUnits::new(1_000),
        currency: Currency::parse_alphabetic("USD").unwrap(),
        approval: None,
        facts: Facts::default(),
    };
    StoredAdvice { place, at_ms: 1_790_000_000_000, advice }
}

fn note(
    directory: &Directory,
    span: (Option<EventPlace>, EventPlace),
    new: &[StoredAdvice],
    settled: &[EventPlace],
) -> bool {
    directory.write::<_, DirectoryError>(BY, |w| w.note_host_advices(span, new, settled)).unwrap()
}

fn they_are_kept_until_they_are_settled(ground: Ground) {
    let home = &ground.home;
    let directory = open(home);
    assert_eq!(directory.host_place(), Ok(None));
    let all = [stored(ACME, at(3, 1)), stored(OTHER, at(3, 2)), stored(ACME, at(9, 0))];
    assert!(note(&directory, (None, at(4, 0)), &all[..2], &[]));
    assert!(!note(&directory, (None, at(4, 0)), &all[..2], &[]), "it was begun");
    assert!(note(&directory, (Some(at(4, 0)), at(12, 0)), &all[2..], &[]));
    assert!(!note(&directory, (Some(at(4, 0)), at(5, 0)), &[], &[at(3, 1)]), "another has gone on");
    drop(directory);
    let directory = open(home);
    assert_eq!(directory.host_place(), Ok(Some(at(12, 0))));
    assert_eq!(directory.host_advices(ACME, None, 10).unwrap(), [all[0].clone(), all[2].clone()]);
    assert_eq!(directory.host_advices(ACME, None, 1).unwrap(), all[..1]);
    assert_eq!(directory.host_advices(ACME, Some(at(3, 1)), 10).unwrap(), all[2..]);
    assert_eq!(directory.count_host_advices().unwrap(), [(ACME, 2), (OTHER, 1)]);
    assert!(note(&directory, (Some(at(12, 0)), at(12, 0)), &[], &[at(3, 1), at(3, 2)]));
    assert_eq!(directory.count_host_advices().unwrap(), [(ACME, 1)]);
}
