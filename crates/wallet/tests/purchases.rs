//! From the wish to the merchant's form, against a check site that loses, changes and repeats.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

mod support;

use mayfly_card::{Expiry, MerchantId, MinorUnits, Pan};
use mayfly_dynamic::{AnswerRefusal, Etsn, Mode, NumberRefusal, Tsn};
use mayfly_enrol::{EnrolError, Point};
use mayfly_wallet::{
    AnswerError, Asked, CardId, Form, LastTsn, LastTsnError, Order, OrderError, Package, PackageError,
    Server, ServerError, Session, SignedAnswer, WalletError, Wish, enrol, pay, restore,
};
use proptest::prelude::*;
use support::{Broken, Counting, Fate, Kept, OWN, PSEUDO, Site, enrolled, id, wish};

const PLAIN: Form = Form { mac_field: false };
const WITH_FIELD: Form = Form { mac_field: true };

/// Something that somebody changes on the way, and what the wallet says to it.
type Change<T> = (fn(&mut T), AnswerError);

/// A25, A37: both forms of enrolment, each with what its kind of number needs.
#[test]
fn a25_a37_cards_of_both_kinds_are_enrolled_and_pay_in_both_modes() {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    for (name, number) in [("num_1", PSEUDO), ("num_2", OWN)] {
        let card = id(name);
        assert_eq!(wallet.card(&card).unwrap().number().pan().as_str(), number);
        // The key is made with the share where the number is the card's own.
        assert_eq!(site.card(&card).share.is_some(), number == OWN);
        for form in [PLAIN, WITH_FIELD] {
            let filled = pay(&mut wallet, &card, wish(), form, &mut site, &mut kept).unwrap();
            let etsn = site.card(&card).verify(&filled).expect("the check site finds its ETSN");
            assert_eq!(wallet.card(&card).unwrap().tsn(), etsn.as_tsn());
            assert_eq!(site.card(&card).verify(&filled), None, "it is good once");
            let again = kept.load();
            let last = again.card(&card).unwrap().fill_last().unwrap().unwrap();
            assert_eq!(last.expiry.mmyy(), filled.expiry.mmyy());
            assert_eq!(last.mac_field.map(|field| field.text()), filled.mac_field.map(|field| field.text()));
        }
    }
}

/// A47: the MAC field is used where there is one, and then the date is the card's own.
#[test]
fn a47_the_form_decides_where_the_mac_travels() {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    let card = id("num_1");
    let real = Expiry::parse_mmyy("1227").unwrap();

    let filled = pay(&mut wallet, &card, wish(), WITH_FIELD, &mut site, &mut kept).unwrap();
    assert_eq!(filled.mac_field.map(|field| field.text().len()), Some(28));
    assert_eq!(filled.expiry, real);
    let filled = pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept).unwrap();
    assert!(filled.mac_field.is_none());
    assert_eq!(filled.number.as_str(), PSEUDO);

    // A card that has no MAC field pays without.
    site.card(&card).origin = None;
    enrol(&mut wallet, &card, &mut site, &mut kept, &mut Counting(9)).unwrap();
    let filled = pay(&mut wallet, &card, wish(), WITH_FIELD, &mut site, &mut kept).unwrap();
    assert!(filled.mac_field.is_none());
    assert!(site.card(&card).verify(&filled).is_some());
}

#[test]
fn an_order_has_all_that_its_mode_needs() {
    let (wallet, _) = enrolled(&mut Site::new());
    let card = wallet.card(&id("num_1")).unwrap();
    let order = |wish: Wish, form| card.order(wish, form).map(|order: Order| order.mode());
    assert_eq!(order(Wish::default(), PLAIN), Ok(Mode::Expiry));
    assert_eq!(order(wish(), WITH_FIELD), Ok(Mode::Field));
    let missing = |what| Err(OrderError::Missing { what });
    assert_eq!(order(Wish { amount: None, ..wish() }, WITH_FIELD), missing("the amount"));
    assert_eq!(order(Wish { merchant: None, ..wish() }, WITH_FIELD), missing("the merchant's id"));
    assert_eq!(order(Wish { merchant_name: None, ..wish() }, WITH_FIELD), missing("the merchant's name"));
    let empty = MerchantId::parse("  ").unwrap_or_default();
    assert_eq!(order(Wish { merchant: Some(empty), ..wish() }, PLAIN), Err(OrderError::EmptyMerchant));
    let nothing = wish().amount.map(|(_, currency)| (MinorUnits::ZERO, currency));
    assert_eq!(order(Wish { amount: nothing, ..wish() }, PLAIN), Err(OrderError::NoAmount));
    for lifetime_s in [0, 86_401] {
        let wish = Wish { lifetime_s: Some(lifetime_s), ..wish() };
        assert_eq!(order(wish, PLAIN), Err(OrderError::Lifetime));
    }
    for name in [String::new(), "x".repeat(101)] {
        let wish = Wish { merchant_name: Some(name), ..wish() };
        assert_eq!(order(wish, PLAIN), Err(OrderError::MerchantName));
    }
}

#[test]
fn no_request_leaves_before_the_counter_is_kept() {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    let card = id("num_1");
    kept.broken = true;
    let failed = pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept);
    assert_eq!(failed.err(), Some(WalletError::Store(Broken)));
    assert!(site.sent.is_empty());
    kept.broken = false;
    pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept).unwrap();
    // The number that was counted before is left out.
    assert_eq!(site.sent, [(card, Tsn(8))]);
}

#[test]
fn after_a_lost_answer_the_wallet_asks_with_the_next_number() {
    let card = id("num_2");
    for lost in [Fate::RequestLost, Fate::AnswerLost] {
        let mut site = Site::new();
        let (mut wallet, mut kept) = enrolled(&mut site);
        site.fates = [lost, lost].into();
        let filled = pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept).unwrap();
        assert_eq!(site.sent, [7, 8, 9].map(|tsn| (card.clone(), Tsn(tsn))));
        assert!(site.card(&card).verify(&filled).is_some());

        site.fates = [lost; 3].into();
        let failed = pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept);
        assert!(matches!(failed, Err(WalletError::Server(ServerError::Lost(_)))), "{failed:?}");
        // Whoever tries again is not held up by that.
        let filled = pay(&mut wallet, &card, wish(), WITH_FIELD, &mut site, &mut kept).unwrap();
        assert!(site.card(&card).verify(&filled).is_some());
    }
}

#[test]
fn an_answer_that_was_changed_is_not_taken() {
    use AnswerError::Refused;
    let mac = Refused(AnswerRefusal::Mac);
    let changes: [Change<SignedAnswer>; 8] = [
        (|signed| signed.answer.etsn = Etsn(signed.answer.etsn.0 + 1), mac),
        (|signed| signed.answer.tsn = Tsn(signed.answer.tsn.0 + 1), mac),
        (|signed| signed.answer.expires_unix_s += 1, mac),
        (|signed| signed.answer.cap = None, mac),
        (|signed| signed.answer.merchant = None, mac),
        (|signed| signed.answer.merchant = Some(MerchantId::parse("M-002").unwrap()), mac),
        (|signed| signed.mac[15] ^= 1, mac),
        (|signed| signed.mac = [0; 16], mac),
    ];
    for (at, (change, error)) in changes.into_iter().enumerate() {
        let mut site = Site::new();
        let (mut wallet, mut kept) = enrolled(&mut site);
        site.tamper = Some(change);
        let failed = pay(&mut wallet, &id("num_1"), wish(), PLAIN, &mut site, &mut kept);
        assert_eq!(failed.err(), Some(WalletError::Answer(error)), "{at}");
        // Asked once: what is forged is no reason to ask again.
        assert_eq!(site.sent.len(), 1);
        assert!(wallet.card(&id("num_1")).unwrap().last().is_none());
    }
}

/// What was wished is not under MAC1, so somebody on the way can change it in the request; then RSP1 is right for the
/// changed one, and the wallet sees it.
#[test]
fn an_answer_for_something_else_than_was_asked_is_not_taken() {
    let card = id("num_1");
    let changes: [Change<Wish>; 4] = [
        (|wish| wish.amount = None, AnswerError::OtherAmount),
        (|wish| wish.amount = wish.amount.map(|(_, of)| (MinorUnits::MAX, of)), AnswerError::OtherAmount),
        (|wish| wish.merchant = None, AnswerError::OtherMerchant),
        (|wish| wish.merchant = MerchantId::parse("M-666").ok(), AnswerError::OtherMerchant),
    ];
    for (change, error) in changes {
        let mut site = Site::new();
        let (mut wallet, mut kept) = enrolled(&mut site);
        // Another wallet with the same counter stands for the changed request.
        let mut others = kept.load();
        let mut changed = wish();
        change(&mut changed);
        let order = others.card(&card).unwrap().order(changed, PLAIN).unwrap();
        let changed = others.ask(&card, order, &mut Kept::new()).unwrap();
        let order = wallet.card(&card).unwrap().order(wish(), PLAIN).unwrap();
        let asked = wallet.ask(&card, order, &mut kept).unwrap();
        assert_eq!(asked.request().mac, changed.request().mac);
        let answer = site.verify(&changed).unwrap();
        let failed = wallet.take(asked, &answer, &mut kept);
        assert_eq!(failed.err(), Some(WalletError::Answer(error)));
    }
}

#[test]
fn an_answer_to_another_request_is_not_taken() {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    let card = id("num_1");
    let order = wallet.card(&card).unwrap().order(wish(), PLAIN).unwrap();
    let first = wallet.ask(&card, order.clone(), &mut kept).unwrap();
    let answer = site.verify(&first).unwrap();
    let second = wallet.ask(&card, order, &mut kept).unwrap();
    let failed = wallet.take(second, &answer, &mut kept);
    let other = AnswerError::Refused(AnswerRefusal::OtherRequest);
    assert_eq!(failed.err(), Some(WalletError::Answer(other)));
    // The first one's is good for the first one; the counter does not go back for it.
    let filled = wallet.take(first, &answer, &mut kept).unwrap();
    assert!(site.card(&card).verify(&filled).is_some());
    assert_eq!(wallet.card(&card).unwrap().tsn(), Tsn(8));
}

#[test]
fn a_restored_copy_is_refused_until_it_has_asked_for_the_last_tsn() {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    let card = id("num_2");
    let copy = kept.text.clone();
    for _ in 0..5 {
        pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept).unwrap();
    }
    let used = wallet.card(&card).unwrap().tsn();

    kept.text = copy;
    let mut wallet = kept.load();
    let refused = pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept);
    assert_eq!(refused.err(), Some(WalletError::Server(ServerError::Refused)));
    let tsn = restore(&mut wallet, &card, &mut site, &mut kept, &mut Counting(7)).unwrap();
    assert_eq!(tsn, site.card(&card).last_tsn);
    let filled = pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept).unwrap();
    assert!(site.card(&card).verify(&filled).is_some());
    assert!(wallet.card(&card).unwrap().tsn() > used);
}

#[test]
fn a_last_tsn_that_is_not_the_servers_is_not_taken() {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    let card = id("num_1");
    let mut random = Counting(7);
    let question = wallet.ask_last_tsn(&card, &mut random).unwrap();
    let other = wallet.ask_last_tsn(&card, &mut random).unwrap();
    let last = site.last_tsn(&card, question.nonce()).unwrap();
    let far = LastTsn { tsn: Tsn(last.tsn.0 + 500), ..last };
    let mut refused = |question, last| wallet.take_last_tsn(question, &last, &mut kept).err();
    let mac = Some(WalletError::LastTsn(LastTsnError::Mac));
    assert_eq!(refused(&question, far), mac);
    assert_eq!(refused(&other, last), mac, "an old answer is none");
    assert_eq!(refused(&question, last), None);

    // Never back; and beyond what the server follows there is only another enrolment.
    let order = wallet.card(&card).unwrap().order(wish(), PLAIN).unwrap();
    for asked in 1..=1000 {
        wallet.ask(&card, order.clone(), &mut Nowhere).unwrap();
        let taken = wallet.take_last_tsn(&question, &last, &mut Nowhere);
        match asked {
            1000 => assert_eq!(taken.err(), Some(WalletError::LastTsn(LastTsnError::TooFarAhead))),
            _ => assert_eq!(taken, Ok(Tsn(6 + asked))),
        }
    }
    enrol(&mut wallet, &card, &mut site, &mut kept, &mut random).unwrap();
    pay(&mut wallet, &card, wish(), PLAIN, &mut site, &mut kept).unwrap();
}

/// Keeps nothing.
struct Nowhere;

impl mayfly_wallet::Store for Nowhere {
    type Error = Broken;

    fn save(&mut self, _: &mayfly_wallet::Wallet) -> Result<(), Broken> {
        Ok(())
    }
}

/// A38 and what else can be wrong with a package.
#[test]
fn a38_a_package_that_does_not_fit_is_no_card() {
    struct Changing(Site, fn(&mut Package));
    impl Server for Changing {
        fn enrol(&mut self, id: &CardId, point: &Point) -> Result<Package, ServerError> {
            let mut package = self.0.enrol(id, point)?;
            self.1(&mut package);
            Ok(package)
        }
        fn verify(&mut self, asked: &Asked) -> Result<SignedAnswer, ServerError> {
            self.0.verify(asked)
        }
        fn last_tsn(&mut self, id: &CardId, nonce: &[u8; 16]) -> Result<LastTsn, ServerError> {
            self.0.last_tsn(id, nonce)
        }
    }
    let refused = |name: &str, change: fn(&mut Package)| {
        let mut kept = Kept::new();
        let mut wallet = mayfly_wallet::Wallet::new("https://issuer.example");
        let mut site = Changing(Site::new(), change);
        let failed = enrol(&mut wallet, &id(name), &mut site, &mut kept, &mut Counting(1)).err();
        assert!(wallet.cards().is_empty() && kept.saves == 0);
        match failed {
            Some(WalletError::Package(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let not_authentic = PackageError::Key(EnrolError::NotAuthentic);
    assert_eq!(refused("num_1", |package| package.wrapped[0] ^= 1), not_authentic);
    // Nobody turns one way of making the key into the other.
    assert_eq!(refused("num_1", |package| package.own = true), not_authentic);
    assert_eq!(refused("num_2", |package| package.own = false), not_authentic);
    let reserved = |package: &mut Package| package.number = Pan::with_check_digit("541999700000042").unwrap();
    assert_eq!(refused("num_1", reserved), PackageError::Number(NumberRefusal::ReservedDigit));
    let newer = |package: &mut Package| package.versions.oldest.0 = 2;
    assert!(matches!(refused("num_1", newer), PackageError::Version { .. }));
}

#[test]
fn nothing_secret_is_shown() {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    wallet.set_session(Some(Session {
        token: "mfs_secret".to_owned(),
        expires_unix_s: 1,
        refresh: "mfr_secret".to_owned(),
        refresh_expires_unix_s: 2,
    }));
    let card = id("num_1");
    let order = wallet.card(&card).unwrap().order(wish(), WITH_FIELD).unwrap();
    let asked = wallet.ask(&card, order, &mut kept).unwrap();
    let answer = site.verify(&asked).unwrap();
    let mut shown = format!("{asked:?}");
    let filled = wallet.take(asked, &answer, &mut kept).unwrap();
    let aav = String::from_utf8(filled.mac_field.as_ref().unwrap().text().to_vec()).unwrap();
    shown += &format!("{wallet:?} {filled:?}");
    for secret in [PSEUDO, OWN, "secret", "1227", "12/27", &aav, &PSEUDO[6..12]] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(!kept.text.contains(PSEUDO) && !kept.text.contains("secret"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is lost, and whenever the program dies and starts again with what was kept: no number leaves twice, and
    /// what the wallet fills in is what the check site expects.
    #[test]
    fn no_number_leaves_twice(
        steps in prop::collection::vec((0usize..2, any::<bool>(), 0u8..9, 0u8..10), 1..24),
    ) {
        let mut site = Site::new();
        let (mut wallet, mut kept) = enrolled(&mut site);
        for (which, mac_field, fate, crash) in steps {
            let card = id(["num_1", "num_2"][which]);
            let form = Form { mac_field };
            match fate {
                0 => site.fates = [Fate::RequestLost].into(),
                1 => site.fates = [Fate::AnswerLost].into(),
                2 => site.fates = [Fate::AnswerLost; 3].into(),
                _ => site.fates.clear(),
            }
            if crash == 0 {
                // It dies with the request on its way.
                let order = wallet.card(&card).unwrap().order(wish(), form).unwrap();
                let asked = wallet.ask(&card, order, &mut kept).unwrap();
                let _ = site.verify(&asked);
                wallet = kept.load();
                continue;
            }
            kept.broken = crash == 1;
            let paid = pay(&mut wallet, &card, wish(), form, &mut site, &mut kept);
            kept.broken = false;
            match paid {
                Ok(filled) => prop_assert!(site.card(&card).verify(&filled).is_some()),
                Err(WalletError::Server(ServerError::Lost(_))) => prop_assert_eq!(fate, 2),
                Err(error) => prop_assert_eq!(error, WalletError::Store(Broken)),
            }
            if crash == 2 {
                wallet = kept.load();
            }
        }
        let mut sent = site.sent.clone();
        sent.sort();
        sent.dedup();
        prop_assert_eq!(sent.len(), site.sent.len());
    }
}
