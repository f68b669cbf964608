//! The scheme from the wallet's request to the purchase, as both sides compute it; and how it behaves when somebody
//! guesses.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits, MonthIndex, Pan};
use mayfly_dynamic::{
    Answer, AnswerRefusal, AppVersion, AppVersions, Bin, CardKey, CardMacs, CardNumber, CardStanding,
    ControlDigit, ControlDigits, Enrolment, Etsn, FieldOrigin, KeyMaterial, KeyRefusal, MacField, Months,
    NumberRefusal, Numbers, OpenEtsn, PseudoPan, Purchase, ReferenceData, RequestRefusal, SpecialBin,
    TSN_AHEAD_MAX, Tsn, VerificationRequest, issue, odds,
};
use mayfly_keys::{CardKeyring, KeyService, KeyVersion, KeyVersions, RootKey, SecretKey, VersionError};
use proptest::prelude::*;

const V1: AppVersion = AppVersion(1);

fn bin() -> Bin {
    Bin::parse("541999").unwrap()
}

fn special(numbers: Numbers) -> SpecialBin {
    SpecialBin { bin: bin(), numbers }
}

fn all_digits() -> Numbers {
    Numbers::Pseudo(ControlDigit::ALL.into_iter().collect())
}

fn pan() -> Pan {
    Pan::parse("5400001234567892").unwrap()
}

fn service(root: u8) -> KeyService {
    KeyService::new(&RootKey::from_bytes(&[root; 32]))
}

fn ring() -> CardKeyring {
    let service = service(1);
    let mut ring = CardKeyring::new(KeyVersions::first(service.check_value()));
    ring.load(KeyVersion::FIRST, &service, [&bin().digits()[..]]).unwrap();
    ring
}

fn macs(key: [u8; 16]) -> CardMacs {
    let number = PseudoPan::new(bin(), ControlDigit::Stored, 42);
    CardMacs::new(&CardKey::from_secret(SecretKey::from_bytes(&key)), CardNumber::Pseudo(number))
}

fn reference(months: u8) -> ReferenceData {
    ReferenceData::new(MonthIndex::new(2026, 1).unwrap(), Months::new(months).unwrap()).unwrap()
}

fn expiry(mmyy: &str) -> Expiry {
    Expiry::parse_mmyy(mmyy).unwrap()
}

#[test]
fn a43_the_control_digit_names_how_the_key_is_made() {
    let (ring, pan, stored) = (ring(), pan(), SecretKey::from_bytes(&[9; 16]));
    let key = |number: &CardNumber, digit, material| {
        let enrolment = Enrolment { pan: &pan, digit, version: KeyVersion::FIRST, material };
        CardKey::of(&ring, &special(all_digits()), number, &enrolment)
    };
    let mut keys = Vec::new();
    for digit in ControlDigit::ALL {
        let number = CardNumber::Pseudo(PseudoPan::new(bin(), digit, 42));
        let material = match digit {
            ControlDigit::Stored => KeyMaterial::Stored(&stored),
            _ => KeyMaterial::None,
        };
        keys.push(*key(&number, Some(digit), material).unwrap().expose().expose());
        // What is stored must fit, and the enrolment must name the same process.
        let other = match digit {
            ControlDigit::Stored => KeyMaterial::None,
            _ => KeyMaterial::Stored(&stored),
        };
        assert_eq!(key(&number, Some(digit), other).err(), Some(KeyRefusal::OtherMaterial));
        let share = KeyMaterial::Share(&stored);
        assert_eq!(key(&number, Some(digit), share).err(), Some(KeyRefusal::OtherMaterial));
        for enrolled in [None, Some(ControlDigit::ALL[(usize::from(digit.digit() - b'0') + 1) % 4])] {
            assert_eq!(key(&number, enrolled, material).err(), Some(KeyRefusal::OtherProcess));
        }
        // A process that is not enabled is refused, whatever the enrolment says.
        let without: ControlDigits = ControlDigit::ALL.into_iter().filter(|other| *other != digit).collect();
        let enrolment = Enrolment { pan: &pan, digit: Some(digit), version: KeyVersion::FIRST, material };
        assert_eq!(
            CardKey::of(&ring, &special(Numbers::Pseudo(without)), &number, &enrolment).err(),
            Some(KeyRefusal::Number(NumberRefusal::NotEnabled { digit }))
        );
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    assert_eq!(keys.iter().filter(|key| *key == stored.expose()).count(), 1);
}

/// A43: whoever alters the digit alters the number, and with it every MAC.
#[test]
fn a43_an_altered_digit_breaks_the_mac() {
    let key = CardKey::from_secret(SecretKey::from_bytes(&[5; 16]));
    let [one, other] = [ControlDigit::OfNumber, ControlDigit::OfNumberAndBin]
        .map(|digit| CardMacs::new(&key, CardNumber::Pseudo(PseudoPan::new(bin(), digit, 42))));
    let mac = *one.verification(expiry("1227"), V1, Tsn(1)).expose();
    assert!(!other.verification(expiry("1227"), V1, Tsn(1)).verify(&mac));
}

#[test]
fn a_card_without_a_pseudo_number_has_a_key_of_its_own_number() {
    let (ring, stored) = (ring(), SecretKey::from_bytes(&[9; 16]));
    let own = Pan::with_check_digit("541999123456789").unwrap();
    let number = special(Numbers::Real).recognise(&own).unwrap();
    let key = |pan: &Pan, material| {
        let enrolment = Enrolment { pan, digit: None, version: KeyVersion::FIRST, material };
        CardKey::of(&ring, &special(Numbers::Real), &number, &enrolment)
    };
    let derived = key(&own, KeyMaterial::None).unwrap();
    let shared = key(&own, KeyMaterial::Share(&stored)).unwrap();
    assert_ne!(derived.expose().expose(), shared.expose().expose());
    assert_eq!(derived.with_share(&stored).expose().expose(), shared.expose().expose());
    assert_eq!(key(&pan(), KeyMaterial::None).err(), Some(KeyRefusal::OtherCard));
    assert_eq!(key(&own, KeyMaterial::Stored(&stored)).err(), Some(KeyRefusal::OtherMaterial));
}

#[test]
fn a_retired_version_makes_no_key() {
    let (mut ring, pan) = (ring(), pan());
    let number = CardNumber::Pseudo(PseudoPan::new(bin(), ControlDigit::OfNumber, 42));
    let digit = number.control_digit();
    ring.rotate(&service(2), [&bin().digits()[..]]).unwrap();
    let enrolment = Enrolment { pan: &pan, digit, version: KeyVersion::FIRST, material: KeyMaterial::None };
    assert!(CardKey::of(&ring, &special(all_digits()), &number, &enrolment).is_ok());
    ring.retire(KeyVersion::FIRST).unwrap();
    let refused = CardKey::of(&ring, &special(all_digits()), &number, &enrolment).err();
    assert_eq!(refused, Some(KeyRefusal::Version(VersionError::Retired { version: KeyVersion::FIRST })));
    // A stored key is of a version, too: its wrapping was.
    let stored = SecretKey::from_bytes(&[9; 16]);
    let number = CardNumber::Pseudo(PseudoPan::new(bin(), ControlDigit::Stored, 42));
    let enrolment =
        Enrolment { digit: number.control_digit(), material: KeyMaterial::Stored(&stored), ..enrolment };
    assert!(matches!(
        CardKey::of(&ring, &special(all_digits()), &number, &enrolment),
        Err(KeyRefusal::Version(VersionError::Retired { .. }))
    ));
}

/// A32, A38: every field of a request is under its MAC and is checked.
#[test]
fn a32_a38_a_request_is_refused_for_each_thing_that_is_not_as_it_was_maced() {
    let macs = macs([5; 16]);
    let card = CardStanding {
        expiry: expiry("1227"),
        last_tsn: Tsn(7),
        versions: AppVersions { oldest: V1, newest: AppVersion(2) },
    };
    let request = VerificationRequest::new(&macs, expiry("1227"), V1, Tsn(8));
    let verified = request.verify(&macs, &card).unwrap();
    assert_eq!((verified.tsn(), verified.version()), (Tsn(8), V1));
    let refused = |request: &VerificationRequest| request.verify(&macs, &card).err();

    let changed = VerificationRequest { expiry: expiry("0128"), ..request };
    assert_eq!(refused(&changed), Some(RequestRefusal::Expiry));
    let of_other_date = CardStanding { expiry: expiry("0128"), ..card };
    assert_eq!(changed.verify(&macs, &of_other_date), Err(RequestRefusal::Mac));
    let changed = VerificationRequest { version: AppVersion(2), ..request };
    assert_eq!(refused(&changed), Some(RequestRefusal::Mac));
    let changed = VerificationRequest { tsn: Tsn(9), ..request };
    assert_eq!(refused(&changed), Some(RequestRefusal::Mac));
    for bit in 0..128 {
        let mut changed = request;
        changed.mac[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refused(&changed), Some(RequestRefusal::Mac));
    }

    let made = |version, tsn| VerificationRequest::new(&macs, expiry("1227"), version, Tsn(tsn));
    for version in [0, 3] {
        assert_eq!(refused(&made(AppVersion(version), 8)), Some(RequestRefusal::Version));
    }
    for tsn in [0, 6, 7] {
        assert_eq!(refused(&made(V1, tsn)), Some(RequestRefusal::TsnReplayed));
    }
    assert_eq!(refused(&made(V1, 7 + TSN_AHEAD_MAX)), None);
    assert_eq!(refused(&made(V1, 8 + TSN_AHEAD_MAX)), Some(RequestRefusal::TsnTooFarAhead));
    assert_eq!(refused(&made(V1, u64::MAX)), Some(RequestRefusal::TsnTooFarAhead));
    assert!(!format!("{request:?}").contains("1227"));
}

/// A38: the version enters MAC2, so a date of one version is none of another.
#[test]
fn a38_the_version_of_the_software_changes_the_date() {
    let macs = macs([5; 16]);
    let macs = macs.expiry_macs();
    let mac = *macs.mac(V1, Etsn(8)).expose();
    assert!(macs.mac(V1, Etsn(8)).verify(&mac));
    assert!(!macs.mac(AppVersion(2), Etsn(8)).verify(&mac));
    assert!(!macs.mac(V1, Etsn(9)).verify(&mac));
}

/// A39, A40: of several open ETSNs the one whose date arrives is found, and no other.
#[test]
fn a39_a40_the_open_etsn_of_a_date_is_found() {
    let macs = macs([5; 16]);
    let macs = macs.expiry_macs();
    let open = [8, 9, 10].map(|etsn| OpenEtsn { etsn: Etsn(etsn), version: V1, reference: reference(60) });
    let dates = open.map(|open| macs.expiry(&open).expose());
    for (open_one, date) in open.iter().zip(dates) {
        assert_eq!(macs.find(open, date), Some(open_one.etsn));
    }
    let others = (0..60).map(|offset| Expiry::from(reference(60).date().plus(offset).unwrap()));
    assert_eq!(others.filter(|date| macs.find(open, *date).is_some()).count(), 3);
    // Consumed ones are not among the open.
    assert_eq!(macs.find([open[0], open[2]], dates[1]), None);
    assert_eq!(macs.find([], dates[1]), None);
    // If two had the same date, the older one would be meant.
    assert_eq!(macs.find([open[1], open[1], open[0]], dates[1]), Some(open[1].etsn));
}

/// A46, A48: a field is verified by its own rule, against the ETSNs of its own mode, or not at all.
#[test]
fn a46_a48_a_mac_field_is_right_or_declined() {
    let macs = macs([5; 16]);
    let purchase = Purchase {
        amount: MinorUnits::new(2498).unwrap(),
        currency: Currency::parse_alphabetic("USD").unwrap(),
        merchant: MerchantId::parse("M-001").unwrap(),
    };
    let origin = FieldOrigin { acs: 1, method: 1, key: 1 };
    let field = |etsn, version, purchase: &Purchase| {
        let mac = macs.field(version, etsn, purchase);
        MacField::new("Merchant", origin, etsn, &mac).unwrap()
    };
    let open = [(Etsn(9), V1), (Etsn(11), AppVersion(2))];
    let find = |field: &MacField| macs.find_field(open, field, &purchase);
    for (etsn, version) in open {
        assert_eq!(find(&field(etsn, version, &purchase)), Some(etsn));
    }
    // Of none that is open, of another version, of another purchase.
    assert_eq!(find(&field(Etsn(10), V1, &purchase)), None);
    assert_eq!(find(&field(Etsn(9), AppVersion(2), &purchase)), None);
    let other = Purchase { amount: MinorUnits::new(2499).unwrap(), ..purchase };
    assert_eq!(find(&field(Etsn(9), V1, &other)), None);
    assert_eq!(macs.find_field([], &field(Etsn(9), V1, &purchase), &purchase), None);
}

/// A29: what the wallet takes as reference data and ETSN is what the server said, to this very request.
#[test]
fn a29_only_the_servers_answer_to_this_request_is_taken() {
    let site = macs([5; 16]);
    let answer = Answer {
        tsn: Tsn(7),
        etsn: Etsn(8),
        reference: reference(60),
        expires_unix_s: 1_700_000_600,
        cap: None,
        merchant: None,
    };
    let mac = *site.response(&answer).expose();
    let wallet = macs([5; 16]);
    assert_eq!(answer.verify(&wallet, Tsn(7), &mac), Ok(()));
    assert_eq!(answer.verify(&wallet, Tsn(8), &mac), Err(AnswerRefusal::OtherRequest));
    assert_eq!(answer.verify(&macs([6; 16]), Tsn(7), &mac), Err(AnswerRefusal::Mac));
    let changed = Answer { reference: reference(61), ..answer };
    assert_eq!(changed.verify(&wallet, Tsn(7), &mac), Err(AnswerRefusal::Mac));
    let again = Answer { etsn: Etsn(7), ..answer };
    let mac = *site.response(&again).expose();
    assert_eq!(again.verify(&wallet, Tsn(7), &mac), Err(AnswerRefusal::NotGreater));
}

/// A33: dates of random keys are even. Chi-squared with 59 degrees of freedom exceeds 98.3 once in a thousand; the keys
/// are fixed, so this is no lottery.
#[test]
fn a33_dates_of_random_keys_are_even() {
    let reference = reference(60);
    let mut hits = [0f64; 60];
    for card in 0..6000u32 {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&card.to_be_bytes());
        let macs = macs(key);
        let month = reference.month(&macs.expiry_macs().mac(V1, Etsn(8)));
        hits[usize::from(month.value() - reference.date().value())] += 1.0;
    }
    let chi_squared: f64 = hits.iter().map(|hits| (hits - 100.0).powi(2) / 100.0).sum();
    assert!(chi_squared < 98.3, "{chi_squared}");
}

/// A49: random dates against fresh cards hit as often as is computed, within five standard deviations. (A laboratory does
/// the same at greater length; seeds are fixed, so this is no lottery.)
#[test]
fn a49_random_dates_hit_as_often_as_is_computed() {
    const CARDS: u64 = 4000;
    // What the wallet asks with does not matter here.
    let asking = macs([1; 16]);
    for (months, open) in [(24, 1), (60, 3), (60, 8), (120, 2)] {
        let reference = reference(months);
        let mut hits = 0;
        // An xorshift generator: the guesser needs no better one.
        let mut state = 0x9E37_79B9_7F4A_7C15u64 ^ u64::from(months) << 8 ^ u64::from(open);
        for card in 0..CARDS {
            let mut key = [months; 16];
            key[..8].copy_from_slice(&card.to_be_bytes());
            let macs = macs(key);
            let macs = macs.expiry_macs();
            let (mut etsns, mut dates, mut last) = (Vec::new(), Vec::new(), Etsn(0));
            for _ in 0..open {
                let of = |etsn| OpenEtsn { etsn, version: V1, reference };
                let request = verified(&asking, last);
                let issued = issue(last, &request, &dates, |etsn| macs.expiry(&of(etsn))).unwrap();
                last = issued.etsn;
                etsns.push(of(last));
                dates.push(issued.expiry);
            }
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let guess = reference.date().plus((state % u64::from(months)) as u16).unwrap();
            hits += u64::from(macs.find(etsns.clone(), guess.into()).is_some());
        }
        let chance = odds::expiry_forgery(Months::new(months).unwrap(), open, 1);
        let off = odds::deviations(CARDS, hits, chance);
        assert!(off < 5.0, "{hits} of {CARDS} with {open} of {months} open: {off} standard deviations");
    }
}

fn verified(macs: &CardMacs, last: Etsn) -> mayfly_dynamic::VerifiedRequest {
    let card = CardStanding {
        expiry: expiry("1227"),
        last_tsn: last.as_tsn(),
        versions: AppVersions { oldest: V1, newest: V1 },
    };
    let tsn = last.as_tsn().next().unwrap();
    VerificationRequest::new(macs, card.expiry, V1, tsn).verify(macs, &card).unwrap()
}

#[test]
fn no_secret_shows() {
    let key = CardKey::from_secret(SecretKey::from_bytes(&[0xA7; 16]));
    let macs = macs([0xA7; 16]);
    let open = OpenEtsn { etsn: Etsn(8), version: V1, reference: reference(60) };
    let shown = [
        (format!("{key:?}"), "CardKey(..)"),
        (format!("{macs:?}"), "CardMacs(..)"),
        (format!("{:?}", macs.expiry_macs()), "ExpiryMacs(..)"),
        (format!("{:?}", macs.expiry_macs().mac(V1, Etsn(8))), "Mac(..)"),
        (format!("{:?}", macs.expiry_macs().expiry(&open)), "PseudoExpiry(..)"),
        (format!("{:?}", KeyMaterial::Stored(key.expose())), "Stored(SecretKey(..))"),
    ];
    for (shown, expected) in shown {
        assert_eq!(shown, expected);
    }
}

proptest! {
    /// Both sides of a purchase, whatever key, number and reference data.
    #[test]
    fn what_the_wallet_computes_the_check_site_finds(
        key: [u8; 16], digit in 0usize..4, body in 0..PseudoPan::BODIES, months in 12u8..121, first in 0u16..900,
        last in 0u64..4_000_000_000, ahead in 1..=TSN_AHEAD_MAX, version: u8,
    ) {
        let number = CardNumber::Pseudo(PseudoPan::new(bin(), ControlDigit::ALL[digit], body));
        let [wallet, site] =
            [(); 2].map(|()| CardMacs::new(&CardKey::from_secret(SecretKey::from_bytes(&key)), number.clone()));
        let version = AppVersion(version);
        let card = CardStanding {
            expiry: expiry("1227"),
            last_tsn: Tsn(last),
            versions: AppVersions { oldest: version, newest: version },
        };
        let request = VerificationRequest::new(&wallet, expiry("1227"), version, Tsn(last + ahead));
        let verified = request.verify(&site, &card).unwrap();
        let date = MonthIndex::new(2026, 1).unwrap().plus(first).unwrap();
        let reference = ReferenceData::new(date, Months::new(months).unwrap()).unwrap();
        let site_macs = site.expiry_macs();
        let open = |etsn| OpenEtsn { etsn, version: verified.version(), reference };
        let issued = issue(Etsn(last), &verified, &[], |etsn| site_macs.expiry(&open(etsn))).unwrap();
        prop_assert_eq!(issued.etsn, Etsn(last + ahead + 1));
        let typed = wallet.expiry_macs().expiry(&open(issued.etsn)).expose();
        prop_assert_eq!(site_macs.find([open(issued.etsn)], typed), Some(issued.etsn));
    }
}
