//! Merchants, and what they ordered, as the directory keeps them.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use common::{Ground, on_both};
use mayfly_card::{Country, Currency, LastFour, Mcc, MerchantId, MinorUnits};
use mayfly_core::{IssuerId, Name, ProgrammeId};
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::{KeyService, OsRandom, RootKey};
use mayfly_store::directory::{
    AuditScope, By, Directory, DirectoryError, Merchant, MerchantEntryId, MerchantState, NewKey, NewMerchant,
    NewSecret, OrderReference, Payment, PaymentId, Placed, Role, WebAddress, Writing,
};

on_both!(
    an_issuers_merchants_are_its_own,
    a_merchants_key_is_for_one_merchant_of_its_issuer,
    an_order_is_written_once_and_listed_the_latest_first,
    a_programme_has_one_console,
);

const ACME: IssuerId = IssuerId(1);
const OTHER: IssuerId = IssuerId(2);
const NOW_MS: u64 = 1_790_000_000_000;

struct World {
    directory: Directory,
}

fn world(ground: &Ground) -> World {
    let keys = KeyService::new(&RootKey::generate(&mut OsRandom).unwrap()).directory_keys();
    World { directory: Directory::open(&ground.home, keys).unwrap() }
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

fn an_issuers_merchants_are_its_own(ground: Ground) {
    let world = world(&ground);
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

fn a_merchants_key_is_for_one_merchant_of_its_issuer(ground: Ground) {
    let world = world(&ground);
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

fn an_order_is_written_once_and_listed_the_latest_first(ground: Ground) {
    let world = world(&ground);
    let shop = world.merchant(ACME, "SHOP-1").unwrap();
    let order = |id: u8, reference: &str| Payment {
        number: 0,
        id: PaymentId([id; 16]),
        content: [id; 16],
        issuer: ACME,
        merchant: shop.id,
        reference: OrderReference::parse(reference).unwrap(),
        amount: MinorUnits::new(1999).unwrap(),
        currency: Currency::from_number(840).unwrap(),
        captures: id == 2,
        last_four: LastFour::from_value(7).unwrap(),
        return_url: (id == 1).then(|| WebAddress::parse("https://shop.example/back").unwrap()),
        programme: (id == 2).then_some(ProgrammeId(3)),
        created_ms: NOW_MS + u64::from(id),
    };
    let placed: Vec<Payment> = [(1, "a"), (2, "b"), (3, "a")]
        .into_iter()
        .map(|(id, reference)| match world.directory.place_payment(order(id, reference)) {
            Ok(Placed::New(payment)) => payment,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(placed.iter().map(|payment| payment.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(placed[1], Payment { number: 2, ..order(2, "b") });
    assert_eq!(world.directory.place_payment(order(2, "b")), Ok(Placed::Before(placed[1].clone())));
    let other = Payment { content: [9; 16], ..order(2, "b") };
    assert_eq!(world.directory.place_payment(other), Ok(Placed::OtherContent));
    assert_eq!(world.directory.payment(ACME, placed[0].id), Ok(Some(placed[0].clone())));
    assert_eq!(world.directory.payment(OTHER, placed[0].id), Ok(None));
    let list = |issuer, reference: Option<&str>, before, limit| {
        let reference = reference.map(|text| OrderReference::parse(text).unwrap());
        world.directory.payments((issuer, shop.id), reference.as_ref(), before, limit).unwrap()
    };
    let page = list(ACME, None, None, 2);
    assert_eq!(page.rows, [placed[2].clone(), placed[1].clone()]);
    assert_eq!(list(ACME, None, page.next, 2).rows, [placed[0].clone()]);
    assert_eq!(list(ACME, Some("a"), None, 10).rows, [placed[2].clone(), placed[0].clone()]);
    assert!(list(OTHER, None, None, 10).rows.is_empty());
}

fn a_programme_has_one_console(ground: Ground) {
    let world = world(&ground);
    let set = |issuer, url: Option<&str>| {
        let url = url.map(|url| WebAddress::parse(url).unwrap());
        world.write(|w| w.set_console(issuer, ProgrammeId(4), url.as_ref())).unwrap();
    };
    let console = |issuer| {
        let found = world.directory.console(issuer, ProgrammeId(4)).unwrap();
        found.map(|url| url.as_str().to_owned())
    };
    assert_eq!(console(ACME), None);
    for url in ["https://bank.example/cards", "https://bank.example/console"] {
        set(ACME, Some(url));
        assert_eq!(console(ACME).as_deref(), Some(url));
    }
    assert_eq!(console(OTHER), None);
    set(OTHER, None);
    assert!(console(ACME).is_some());
    set(ACME, None);
    assert_eq!(console(ACME), None);
}
