//! Merchants, and what they ordered, as the directory keeps them.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

#[macro_use]
mod homes;

use homes::Place;
use mayfly_card::{Country, Mcc, MerchantId};
use mayfly_core::{IssuerId, Name};
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::{KeyService, OsRandom, RootKey};
use mayfly_store::directory::{
    AuditScope, By, Directory, DirectoryError, Merchant, MerchantEntryId, MerchantState, NewKey, NewMerchant,
    NewSecret, Role, Writing,
};

on_both! {
    an_issuers_merchants_are_its_own
    a_merchants_key_is_for_one_merchant_of_its_issuer
}

const ACME: IssuerId = IssuerId(1);
const OTHER: IssuerId = IssuerId(2);
const NOW_MS: u64 = 1_790_000_000_000;

struct World {
    directory: Directory,
}

fn world(place: &Place) -> World {
    let keys = KeyService::new(&RootKey::generate(&mut OsRandom).unwrap()).directory_keys();
    World { directory: Directory::open(place.home(), keys).unwrap() }
}

impl World {
    fn write<T>(
        &self,
        work: impl FnOnce(&Writing<'_>) -> Result<T, DirectoryError>,
    ) -> Result<T, DirectoryError> {
        self.directory.write(By { actor: "key_1", now_ms: NOW_MS }, work)
    }

    fn merchant(&self, issuer: IssuerId, card_acceptor: &str) -> Result<Merchant, DirectoryError> {
        let new = NewMerchant {
            issuer,
            name: Name::parse("Bookshop").unwrap(),
            card_acceptor: MerchantId::parse(card_acceptor).unwrap(),
            mcc: Mcc::parse("5942").unwrap(),
            country: Country::parse("840").unwrap(),
        };
        self.write(|writing| writing.create_merchant(&new))
    }
}

fn an_issuers_merchants_are_its_own(place: &Place) {
    let world = world(place);
    let made = world.merchant(ACME, "SHOP-1").unwrap();
    assert_eq!(world.merchant(ACME, "SHOP-1"), Err(DirectoryError::CardAcceptorTaken));
    // What another issuer calls its merchants is its own business.
    let theirs = world.merchant(OTHER, "SHOP-1").unwrap();
    assert_eq!(world.directory.merchant(ACME, made.id), Ok(Some(made)));
    assert_eq!(world.directory.merchant(ACME, theirs.id), Ok(None));
    let more = world.merchant(ACME, "SHOP-2").unwrap();
    let page = world.directory.merchants(ACME, None, 1).unwrap();
    assert_eq!((page.rows, page.next), (vec![made], Some(made.id)));
    assert_eq!(world.directory.merchants(ACME, page.next, 10).unwrap().rows, [more]);

    let closed = world.write(|writing| writing.set_merchant_state(ACME, made.id, MerchantState::Closed));
    assert_eq!(closed, Ok(Some(Merchant { state: MerchantState::Closed, ..made })));
    assert_eq!(world.directory.merchant(ACME, made.id), Ok(closed.unwrap()));
    let not_theirs = world.write(|writing| writing.set_merchant_state(OTHER, made.id, MerchantState::Active));
    assert_eq!(not_theirs, Ok(None));
    let entries = world.directory.audit(AuditScope::Of(Some(ACME)), None, 10).unwrap().rows;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["merchant.created", "merchant.created", "merchant.closed"]);
}

fn a_merchants_key_is_for_one_merchant_of_its_issuer(place: &Place) {
    let world = world(place);
    let (ours, theirs) = (world.merchant(ACME, "SHOP-1").unwrap(), world.merchant(OTHER, "SHOP-1").unwrap());
    let key = |role, merchant: Option<MerchantEntryId>| {
        let token = Token::draw(TokenKind::ApiKey, &mut OsRandom).unwrap();
        let (label, hint, hash) = (Name::parse("till").unwrap(), token.hint(), token.hash());
        let new = NewKey { role, issuer: Some(ACME), merchant, label, hint, hash, expires_ms: None };
        world.write(|writing| writing.create_key(&new))
    };
    let made = key(Role::Merchant, Some(ours.id)).unwrap();
    assert_eq!(made.merchant, Some(ours.id));
    let next = Token::draw(TokenKind::ApiKey, &mut OsRandom).unwrap();
    let rotated = world
        .write(|writing| writing.rotate_key(Some(ACME), made.id, &NewSecret::of(&next, None, 0)))
        .unwrap();
    assert_eq!(rotated.unwrap().merchant, Some(ours.id));
    assert_eq!(key(Role::Merchant, Some(theirs.id)), Err(DirectoryError::NoMerchant));
    assert_eq!(key(Role::Merchant, None), Err(DirectoryError::KeyMerchant { role: Role::Merchant }));
    for role in [Role::Issuer, Role::Gateway, Role::Auditor] {
        assert_eq!(key(role, Some(ours.id)), Err(DirectoryError::KeyMerchant { role }));
        assert_eq!(key(role, None).unwrap().merchant, None);
    }
}
