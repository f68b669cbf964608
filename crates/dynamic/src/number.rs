//! Numbers that lead to the check site: pseudo account numbers, and cards' own numbers on a special BIN.

use std::fmt;

use mayfly_card::{Pan, TextError};
use mayfly_keys::{Random, RandomError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The first six digits of a number: where the network sends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "[u8; 6]", into = "[u8; 6]")]
pub struct Bin([u8; Bin::DIGITS]);

impl Bin {
    /// How many digits it has.
    pub const DIGITS: usize = 6;

    /// From exactly six ASCII digits.
    ///
    /// # Errors
    ///
    /// [`TextError`] says what is wrong.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, TextError> {
        let text = text.as_ref();
        if let Some(position) = text.iter().position(|byte| !byte.is_ascii_digit()) {
            return Err(TextError::BadCharacter { position });
        }
        match text.try_into() {
            Ok(digits) => Ok(Self(digits)),
            Err(_) if text.len() < Self::DIGITS => Err(TextError::TooShort { min: Self::DIGITS }),
            Err(_) => Err(TextError::TooLong { max: Self::DIGITS }),
        }
    }

    /// That of a number.
    pub fn of(pan: &Pan) -> Self {
        let mut digits = [0; Self::DIGITS];
        // Every number has at least twelve digits.
        digits.copy_from_slice(&pan.digits()[..Self::DIGITS]);
        Self(digits)
    }

    /// The ASCII digits.
    pub fn digits(&self) -> &[u8; Self::DIGITS] {
        &self.0
    }
}

impl TryFrom<[u8; Bin::DIGITS]> for Bin {
    type Error = TextError;

    fn try_from(digits: [u8; Self::DIGITS]) -> Result<Self, TextError> {
        Self::parse(digits)
    }
}

impl From<Bin> for [u8; Bin::DIGITS] {
    fn from(bin: Bin) -> Self {
        bin.0
    }
}

impl fmt::Display for Bin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl fmt::Debug for Bin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bin({self})")
    }
}

/// The digit of a pseudo account number that names the process by which its card's key is made (S2 cl. 10). 4 to 9 are
/// reserved. It is part of every derivation's input, so altering it makes another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ControlDigit {
    /// 0: derived from the number alone, under the AKDK (S2 cl. 11).
    OfNumber,
    /// 1: derived from the number, under a key of the AKDK and the BIN (S2 cl. 12).
    OfNumberAndBin,
    /// 2: derived from the card's own number and the pseudo number, under the per-BIN key (S2 cl. 3a, 4, 8).
    OfPanAndNumber,
    /// 3: random, and stored wrapped with the card.
    Stored,
}

impl ControlDigit {
    /// All of them, by their digit.
    pub const ALL: [Self; 4] = [Self::OfNumber, Self::OfNumberAndBin, Self::OfPanAndNumber, Self::Stored];

    /// From an ASCII digit; none for one that is reserved, or none at all.
    pub fn parse(digit: u8) -> Option<Self> {
        Self::ALL.get(usize::from(digit.checked_sub(b'0')?)).copied()
    }

    /// The ASCII digit.
    pub fn digit(self) -> u8 {
        b'0' + self.value()
    }

    fn value(self) -> u8 {
        match self {
            Self::OfNumber => 0,
            Self::OfNumberAndBin => 1,
            Self::OfPanAndNumber => 2,
            Self::Stored => 3,
        }
    }
}

/// Which control digits, and with them which key processes, a BIN has enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlDigits(u8);

impl ControlDigits {
    /// None.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub fn with(self, digit: ControlDigit) -> Self {
        Self(self.0 | 1 << digit.value())
    }

    /// Whether a digit is one of them.
    pub fn contains(self, digit: ControlDigit) -> bool {
        self.0 & 1 << digit.value() != 0
    }
}

impl FromIterator<ControlDigit> for ControlDigits {
    fn from_iter<I: IntoIterator<Item = ControlDigit>>(digits: I) -> Self {
        digits.into_iter().fold(Self::NONE, Self::with)
    }
}

/// A pseudo account number: `special BIN (6) | control digit (1) | body (8) | check digit (1)`.
///
/// It is a card number like any other to everybody but the check site, and shows itself like one.
#[derive(Clone, PartialEq, Eq)]
pub struct PseudoPan {
    pan: Pan,
    digit: ControlDigit,
}

impl PseudoPan {
    /// How many digits it has.
    pub const DIGITS: usize = 16;
    /// How many bodies there are.
    pub const BODIES: u32 = 100_000_000;
    const CONTROL_AT: usize = Bin::DIGITS;

    /// Of its parts; the body is reduced to its eight digits.
    pub fn new(bin: Bin, digit: ControlDigit, body: u32) -> Self {
        let mut payload = Zeroizing::new([0; Self::DIGITS - 1]);
        let (head, tail) = payload.split_at_mut(Self::CONTROL_AT);
        head.copy_from_slice(bin.digits());
        tail[0] = digit.digit();
        let mut rest = body;
        for place in tail[1..].iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let pan = Pan::with_check_digit(&payload[..]).expect("fifteen digits make a number");
        Self { pan, digit }
    }

    /// Draws a body. Whoever issues it sees to it that no number, pseudo or not, is the same: draws until one is free.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn draw(bin: Bin, digit: ControlDigit, random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; 8];
        random.fill(&mut bytes)?;
        // Of 64 bits: one body is likelier than another by less than one in 10^11.
        let body = u64::from_be_bytes(bytes) % u64::from(Self::BODIES);
        Ok(Self::new(bin, digit, body as u32))
    }

    /// Reads a number that should be one.
    ///
    /// # Errors
    ///
    /// [`NumberRefusal::Length`], [`NumberRefusal::ReservedDigit`].
    pub fn from_pan(pan: Pan) -> Result<Self, NumberRefusal> {
        if pan.length() != Self::DIGITS {
            return Err(NumberRefusal::Length);
        }
        let digit =
            ControlDigit::parse(pan.digits()[Self::CONTROL_AT]).ok_or(NumberRefusal::ReservedDigit)?;
        Ok(Self { pan, digit })
    }

    /// Its BIN.
    pub fn bin(&self) -> Bin {
        Bin::of(&self.pan)
    }

    /// Its control digit.
    pub fn control_digit(&self) -> ControlDigit {
        self.digit
    }

    /// As a card number.
    pub fn pan(&self) -> &Pan {
        &self.pan
    }
}

impl fmt::Display for PseudoPan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pan.fmt(f)
    }
}

impl fmt::Debug for PseudoPan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PseudoPan({self})")
    }
}

/// The number that merchants get: what every MAC is computed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardNumber {
    /// One in the place of the card's own (S2).
    Pseudo(PseudoPan),
    /// The card's own, on a special BIN (S1).
    Real(Pan),
}

impl CardNumber {
    /// As a card number.
    pub fn pan(&self) -> &Pan {
        match self {
            Self::Pseudo(number) => number.pan(),
            Self::Real(pan) => pan,
        }
    }

    /// Its BIN.
    pub fn bin(&self) -> Bin {
        Bin::of(self.pan())
    }

    /// Its control digit; a card's own number has none.
    pub fn control_digit(&self) -> Option<ControlDigit> {
        match self {
            Self::Pseudo(number) => Some(number.control_digit()),
            Self::Real(_) => None,
        }
    }
}

/// A BIN whose numbers the network sends to the check site, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialBin {
    /// The BIN.
    pub bin: Bin,
    /// What its numbers are.
    pub numbers: Numbers,
}

/// What the numbers of a special BIN are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Numbers {
    /// Pseudo account numbers, with these key processes.
    Pseudo(ControlDigits),
    /// Cards' own.
    Real,
}

impl SpecialBin {
    /// What a number is that came by this BIN.
    ///
    /// # Errors
    ///
    /// [`NumberRefusal`]: it is of another BIN, or is none that this BIN has enabled.
    pub fn recognise(&self, pan: &Pan) -> Result<CardNumber, NumberRefusal> {
        if Bin::of(pan) != self.bin {
            return Err(NumberRefusal::OtherBin);
        }
        let number = match self.numbers {
            Numbers::Real => CardNumber::Real(pan.clone()),
            Numbers::Pseudo(_) => CardNumber::Pseudo(PseudoPan::from_pan(pan.clone())?),
        };
        self.check(&number).map(|()| number)
    }

    /// Whether a number can be one of this BIN.
    ///
    /// # Errors
    ///
    /// [`NumberRefusal`].
    pub fn check(&self, number: &CardNumber) -> Result<(), NumberRefusal> {
        if number.bin() != self.bin {
            return Err(NumberRefusal::OtherBin);
        }
        match (self.numbers, number.control_digit()) {
            (Numbers::Real, None) => Ok(()),
            (Numbers::Pseudo(enabled), Some(digit)) if enabled.contains(digit) => Ok(()),
            (Numbers::Pseudo(_), Some(digit)) => Err(NumberRefusal::NotEnabled { digit }),
            (Numbers::Real, Some(_)) | (Numbers::Pseudo(_), None) => Err(NumberRefusal::OtherKind),
        }
    }
}

/// Why a number is none that the check site knows how to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberRefusal {
    /// It is of another BIN.
    OtherBin,
    /// It is a card's own where the BIN has pseudo numbers, or the other way round.
    OtherKind,
    /// It has not the 16 digits of a pseudo account number.
    Length,
    /// Its control digit is 4 to 9.
    ReservedDigit,
    /// The process that its control digit names is not enabled for the BIN.
    NotEnabled {
        /// The control digit.
        digit: ControlDigit,
    },
}

impl fmt::Display for NumberRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBin => f.write_str("the number is of another BIN"),
            Self::OtherKind => f.write_str("the number is not of the kind that its BIN has"),
            Self::Length => write!(f, "a pseudo account number has {} digits", PseudoPan::DIGITS),
            Self::ReservedDigit => f.write_str("the number's control digit is reserved"),
            Self::NotEnabled { digit } => write!(
                f,
                "the process of the number's control digit, {}, is not enabled for its BIN",
                char::from(digit.digit())
            ),
        }
    }
}

impl std::error::Error for NumberRefusal {}

#[cfg(test)]
mod tests {
    use mayfly_card::luhn;
    use proptest::prelude::*;

    use super::*;

    fn bin(text: &str) -> Bin {
        Bin::parse(text).unwrap()
    }

    /// Fills with one byte, again and again.
    struct Constant(u8);

    impl Random for Constant {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
            out.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn a_bin_has_six_digits() {
        assert_eq!(bin("541999").to_string(), "541999");
        assert_eq!(Bin::parse("54199"), Err(TextError::TooShort { min: 6 }));
        assert_eq!(Bin::parse("5419990"), Err(TextError::TooLong { max: 6 }));
        assert_eq!(Bin::parse("5419x9"), Err(TextError::BadCharacter { position: 4 }));
        assert_eq!(postcard::from_bytes(&postcard::to_stdvec(&bin("541999")).unwrap()), Ok(bin("541999")));
        assert!(postcard::from_bytes::<Bin>(b"54199x").is_err());
    }

    /// A43: reserved and disabled digits are refused, each with its reason.
    #[test]
    fn a43_reserved_and_disabled_digits_are_refused() {
        let enabled = ControlDigits::NONE.with(ControlDigit::OfNumber).with(ControlDigit::OfPanAndNumber);
        let special = SpecialBin { bin: bin("541999"), numbers: Numbers::Pseudo(enabled) };
        for value in 0u8..10 {
            let pan = Pan::with_check_digit(format!("541999{value}00000042")).unwrap();
            let expected = match ControlDigit::parse(b'0' + value) {
                None => Err(NumberRefusal::ReservedDigit),
                Some(digit) if enabled.contains(digit) => Ok(Some(digit)),
                Some(digit) => Err(NumberRefusal::NotEnabled { digit }),
            };
            assert_eq!(special.recognise(&pan).map(|number| number.control_digit()), expected, "{value}");
            assert_eq!(expected.is_ok(), [0, 2].contains(&value));
        }
        assert_eq!(ControlDigit::parse(b'/'), None);
        assert_eq!(ControlDigit::parse(b'4'), None);
    }

    /// A24: other BINs are none of the check site's.
    #[test]
    fn a24_a_bin_says_what_its_numbers_are() {
        let pan = Pan::parse("5419992000000424").unwrap();
        let numbers = Numbers::Pseudo(ControlDigit::ALL.into_iter().collect());
        let pseudo = SpecialBin { bin: bin("541999"), numbers };
        let real = SpecialBin { numbers: Numbers::Real, ..pseudo };
        let as_pseudo = pseudo.recognise(&pan).unwrap();
        let as_real = real.recognise(&pan).unwrap();
        assert_eq!(as_pseudo.control_digit(), Some(ControlDigit::OfPanAndNumber));
        assert_eq!(as_real, CardNumber::Real(pan.clone()));
        assert_eq!(pseudo.check(&as_real), Err(NumberRefusal::OtherKind));
        assert_eq!(real.check(&as_pseudo), Err(NumberRefusal::OtherKind));
        let elsewhere = SpecialBin { bin: bin("541998"), ..pseudo };
        assert_eq!(elsewhere.recognise(&pan), Err(NumberRefusal::OtherBin));
        assert_eq!(elsewhere.check(&as_pseudo), Err(NumberRefusal::OtherBin));
        let long = Pan::with_check_digit("541999200000042").unwrap();
        assert!(pseudo.recognise(&long).is_ok());
        let long = Pan::with_check_digit("54199920000004200").unwrap();
        assert_eq!(pseudo.recognise(&long), Err(NumberRefusal::Length));
        assert!(real.recognise(&long).is_ok());
    }

    #[test]
    fn a_number_shows_six_and_four_digits_only() {
        let number = PseudoPan::new(bin("541999"), ControlDigit::OfPanAndNumber, 42);
        assert_eq!(format!("{number:?}"), "PseudoPan(541999******0424)");
        assert!(!format!("{:?}", CardNumber::Pseudo(number)).contains("2000000"));
    }

    #[test]
    fn a_body_is_drawn_below_its_bound() {
        let drawn = PseudoPan::draw(bin("541999"), ControlDigit::Stored, &mut Constant(0xff)).unwrap();
        // 2^64 - 1 modulo 10^8.
        assert_eq!(&drawn.pan().digits()[..15], b"541999309551615");
    }

    proptest! {
        #[test]
        fn a_number_of_parts_has_these_parts(
            digits in "[0-9]{6}", value in 0usize..4, body in 0..PseudoPan::BODIES,
        ) {
            let (bin, digit) = (bin(&digits), ControlDigit::ALL[value]);
            let number = PseudoPan::new(bin, digit, body);
            let text = format!("{digits}{value}{body:08}");
            prop_assert_eq!(&number.pan().as_str()[..15], text);
            prop_assert!(luhn::is_valid(number.pan().digits()));
            prop_assert_eq!((number.bin(), number.control_digit()), (bin, digit));
            prop_assert_eq!(PseudoPan::from_pan(number.pan().clone()), Ok(number));
        }

        #[test]
        fn any_number_is_recognised_or_refused(payload in "[0-9]{11,18}", mask in 0u8..16) {
            let pan = Pan::with_check_digit(payload).unwrap();
            let enabled: ControlDigits =
                ControlDigit::ALL.into_iter().filter(|digit| mask >> digit.value() & 1 == 1).collect();
            let special = SpecialBin { bin: Bin::of(&pan), numbers: Numbers::Pseudo(enabled) };
            match special.recognise(&pan) {
                Ok(number) => {
                    prop_assert_eq!(number.pan(), &pan);
                    prop_assert!(enabled.contains(number.control_digit().unwrap()));
                }
                Err(NumberRefusal::Length) => prop_assert_ne!(pan.length(), 16),
                Err(NumberRefusal::ReservedDigit) => prop_assert!(pan.digits()[6] > b'3'),
                Err(NumberRefusal::NotEnabled { digit }) => prop_assert!(!enabled.contains(digit)),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
