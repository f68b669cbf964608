//! The text of a wallet's file: what opens it, and what is said of one that does not open.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

mod support;

use mayfly_dynamic::{AppVersion, Tsn};
use mayfly_keys::{Passphrase, PassphraseCost};
use mayfly_wallet::{CARDS_MAX, Card, FileReason, Form, Session, Vault, Wallet, WalletError, pay};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use support::{Counting, Kept, PSEUDO, Site, SiteCard, enrolled, id, passphrase, wish};

/// Made with `Argon2id` and `AESGCMSIV` of the Python package `cryptography`, from the description of the form: a file that
/// was written once must open in every later version.
const KEPT_TEXT: &str = "mayfly wallet 1\n\
    wrapped argon2id m=19456,t=2,p=1 09090909090909090909090909090909\n\
    sealed AQkJCQkJCQkJCQkJCfv8zEKy7Y/S54Y/flMoLxDw1kaQoJ4/QPrrXBMcvMvV42zd1jWevBEazLilWHEXYf6HtzusT\
    TPpIe0NNo+C8vcAsl/5Bhdivsa0WPkW0U9jQwERxEINnm2wJxeYS68sh8dy1xCebvez1PR/TWb0yhLqnE1FJm/bZV1S\n\
    check e2ad186f42ff1e5e\n";

fn open(text: &[u8]) -> Result<Wallet, FileReason> {
    Vault::open(text, &passphrase()).map(|(_, wallet)| wallet)
}

fn session() -> Session {
    Session {
        token: "mfs_token".to_owned(),
        expires_unix_s: 1_900_000_000,
        refresh: "mfr_token".to_owned(),
        refresh_expires_unix_s: 1_900_000_900,
    }
}

/// A wallet with purchases in both modes, and a session.
fn full() -> Kept {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    wallet.set_session(Some(session()));
    pay(&mut wallet, &id("num_1"), wish(), Form::default(), &mut site, &mut kept).unwrap();
    pay(&mut wallet, &id("num_2"), wish(), Form { mac_field: true }, &mut site, &mut kept).unwrap();
    kept
}

#[test]
fn what_was_sealed_is_there_again() {
    let kept = full();
    let wallet = kept.load();
    assert_eq!(wallet.server(), "https://issuer.example");
    assert_eq!(wallet.session(), Some(&session()));
    let facts = |card: &Card| {
        let last = card.last().cloned().unwrap();
        (card.id().to_string(), card.number().clone(), card.expiry(), card.tsn(), card.has_mac_field(), last)
    };
    let [one, two] = wallet.cards() else { panic!("two cards were enrolled") };
    assert_eq!(one.number().pan().as_str(), PSEUDO);
    let mut again = Kept::new();
    mayfly_wallet::Store::save(&mut again, &wallet).unwrap();
    let reread = again.load();
    assert_eq!(reread.cards().iter().map(facts).collect::<Vec<_>>(), [facts(one), facts(two)]);

    let lines: Vec<&str> = kept.text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], "mayfly wallet 1");
    assert!(lines[1].starts_with("wrapped argon2id m=19456,t=2,p=1 "));
}

#[test]
fn what_was_written_once_opens() {
    let wallet = open(KEPT_TEXT.as_bytes()).unwrap();
    assert_eq!((wallet.server(), wallet.session()), ("https://issuer.example", Some(&session())));
    let [card] = wallet.cards() else { panic!("there is one card in it") };
    assert_eq!((card.id(), card.number().pan().as_str()), (&id("num_1"), PSEUDO));
    assert_eq!(
        (card.expiry().mmyy().as_str(), card.tsn(), card.version()),
        ("1227", Tsn(300), AppVersion(1))
    );
    assert!(card.has_mac_field() && card.last().is_none());
    // Its key is that of process 2 in the profile's vectors: MAC1 with TSN 301 is that of the check site.
    let mut site = Site::new();
    let mut wallet = wallet;
    let filled =
        pay(&mut wallet, &id("num_1"), wish(), Form::default(), &mut site, &mut Kept::new()).unwrap();
    assert!(site.card(&id("num_1")).verify(&filled).is_some());

    // And what is written now is what was written then.
    let (vault, wallet) = Vault::open(KEPT_TEXT.as_bytes(), &passphrase()).unwrap();
    assert_eq!(vault.seal(&wallet, &mut Counting(8)).unwrap(), KEPT_TEXT);
}

#[test]
fn a_wrong_passphrase_and_a_damaged_file_are_told_apart() {
    let text = full().text;
    let other = Passphrase::new("four words are not it").unwrap();
    assert_eq!(Vault::open(text.as_bytes(), &other).err(), Some(FileReason::NotOpened));
    let refused = |text: &[u8]| open(text).err();
    assert_eq!(refused(&text.as_bytes()[..text.len() - 30]), Some(FileReason::Damaged));
    assert_eq!(refused(&text.as_bytes()[..40]), Some(FileReason::Damaged));
    assert_eq!(refused((text.clone() + "\n").as_bytes()), Some(FileReason::Damaged));
    assert_eq!(refused(b""), Some(FileReason::NotAWallet));
    assert_eq!(refused(b"mayfly root key 1\n"), Some(FileReason::NotAWallet));
    assert_eq!(refused(b"mayfly wallet 1\n"), Some(FileReason::Damaged));
    // Whole, with its check, in a form that is not known yet.
    let newer = "mayfly wallet 2\nand something else\n";
    let digits: String = Sha256::digest(newer)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(refused(format!("{newer}check {digits}\n").as_bytes()), Some(FileReason::UnknownVersion));
    for (reason, word) in [(FileReason::NotOpened, "passphrase"), (FileReason::Damaged, "damaged")] {
        assert!(reason.to_string().contains(word));
    }
}

#[test]
fn a_new_passphrase_opens_and_the_old_one_does_not() {
    let wallet = full().load();
    let new = Passphrase::new("an entirely new one").unwrap();
    let vault = Vault::new(&new, PassphraseCost::MIN, &mut Counting(40)).unwrap();
    let text = vault.seal(&wallet, &mut Counting(41)).unwrap();
    assert_eq!(open(text.as_bytes()).err(), Some(FileReason::NotOpened));
    let (_, again) = Vault::open(text.as_bytes(), &new).unwrap();
    assert_eq!(again.cards().len(), 2);
}

#[test]
fn a_wallet_has_room_for_its_cards_and_no_more() {
    let mut site = Site::new();
    let (mut wallet, mut kept) = enrolled(&mut site);
    let number = site.cards[0].number.clone();
    for at in 3..=CARDS_MAX + 1 {
        let name = format!("num_{at}");
        site.cards.push(SiteCard::new(&name, number.clone()));
        let added =
            mayfly_wallet::enrol(&mut wallet, &id(&name), &mut site, &mut kept, &mut Counting(at as u8));
        assert_eq!(added.err(), (at > CARDS_MAX).then_some(WalletError::Full));
    }
    for card in site.cards.iter().take(CARDS_MAX).map(|card| card.id.clone()).collect::<Vec<_>>() {
        pay(&mut wallet, &card, wish(), Form { mac_field: true }, &mut site, &mut kept).unwrap();
    }
    assert_eq!(kept.load().cards().len(), CARDS_MAX);
    wallet.forget(&id("num_3"), &mut kept).unwrap();
    assert_eq!(wallet.forget(&id("num_3"), &mut kept).err(), Some(WalletError::UnknownCard));
    assert!(kept.load().card(&id("num_3")).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Found by what the file says of itself, before a passphrase is tried.
    #[test]
    fn any_changed_bit_is_damage(bit in any::<prop::sample::Index>()) {
        thread_local!(static TEXT: String = full().text);
        let mut bytes = TEXT.with(|text| text.clone().into_bytes());
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit / 8 < "mayfly wallet ".len() { FileReason::NotAWallet } else { FileReason::Damaged };
        prop_assert_eq!(open(&bytes).err(), Some(expected));
    }
}
