//! The CVC2: three digits that go with a number and its expiration date.

use core::fmt;
use core::num::NonZeroU64;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::encode::number_prefix;
use crate::mac::MacKey;
use crate::opaque::opaque_debug;

const CVC2_VALUES: NonZeroU64 = NonZeroU64::new(1000).unwrap();

/// The key of one BIN's CVC2s, prepared; wiped on drop.
pub struct Cvc2Key(pub(crate) MacKey);

impl Cvc2Key {
    /// The CVC2 of a number (ASCII digits) and its expiration date (ASCII, MMYY):
    /// AES-128-CMAC(key, `"CVC2\0" lp(number) MMYY`) modulo 1000.
    ///
    /// # Panics
    ///
    /// If `number` has more than 255 bytes; a parsed card number has at most 19.
    pub fn compute(&self, number: &[u8], expiry_mmyy: [u8; 4]) -> Cvc2 {
        let mac = self.0.mac(&[b"CVC2\0", &number_prefix(number), number, &expiry_mmyy]);
        let mut rest = mac.below(CVC2_VALUES);
        let mut digits = [b'0'; Cvc2::DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Cvc2(digits)
    }

    /// Whether `received` is the CVC2 of this number and expiration date; compared in constant time.
    ///
    /// # Panics
    ///
    /// As [`compute`](Self::compute).
    pub fn verify(&self, number: &[u8], expiry_mmyy: [u8; 4], received: &Cvc2) -> bool {
        self.compute(number, expiry_mmyy).0.ct_eq(&received.0).into()
    }
}

/// Three digits: no readable `Debug`, wiped on drop, compared only by [`Cvc2Key::verify`].
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Cvc2([u8; Cvc2::DIGITS]);

impl Cvc2 {
    /// How many digits a CVC2 has.
    pub const DIGITS: usize = 3;

    /// Reads exactly three ASCII digits.
    ///
    /// # Errors
    ///
    /// [`InvalidCvc2`] says what is wrong, without the digits.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidCvc2> {
        let digits: [u8; Self::DIGITS] =
            text.try_into().map_err(|_| InvalidCvc2::Length { bytes: text.len() })?;
        match digits.iter().position(|byte| !byte.is_ascii_digit()) {
            Some(position) => Err(InvalidCvc2::NotADigit { position }),
            None => Ok(Self(digits)),
        }
    }

    /// The three ASCII digits, to hand them to the cardholder or put them into a message.
    pub fn expose(&self) -> &[u8; Self::DIGITS] {
        &self.0
    }
}

opaque_debug!(Cvc2Key, Cvc2);

/// Why a text is no CVC2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidCvc2 {
    /// It has not three bytes.
    Length {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It has a byte that is no ASCII digit.
    NotADigit {
        /// Where, from 0.
        position: usize,
    },
}

impl fmt::Display for InvalidCvc2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { bytes } => write!(f, "a CVC2 has {bytes} bytes; send exactly three digits"),
            Self::NotADigit { position } => {
                write!(f, "character {} of a CVC2 is no digit; send exactly three digits", position + 1)
            }
        }
    }
}

impl std::error::Error for InvalidCvc2 {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_three_digits_are_a_cvc2() {
        assert_eq!(Cvc2::parse(b"007").unwrap().expose(), b"007");
        assert_eq!(Cvc2::parse(b"07").err(), Some(InvalidCvc2::Length { bytes: 2 }));
        assert_eq!(Cvc2::parse(b"0007").err(), Some(InvalidCvc2::Length { bytes: 4 }));
        assert_eq!(Cvc2::parse(b"0 7").err(), Some(InvalidCvc2::NotADigit { position: 1 }));
        assert!(InvalidCvc2::NotADigit { position: 1 }.to_string().contains("character 2"));
    }

    proptest! {
        #[test]
        fn it_verifies_for_its_number_and_date_and_nothing_else_than_it(
            number in "[0-9]{16}", expiry in "(0[1-9]|1[0-2])[0-9]{2}", other in 0u32..1000,
        ) {
            let key = Cvc2Key(MacKey::aes128(&[7; 16]));
            let expiry = expiry.as_bytes().try_into().unwrap();
            let cvc2 = key.compute(number.as_bytes(), expiry);
            prop_assert!(key.verify(number.as_bytes(), expiry, &cvc2));
            let other = Cvc2::parse(format!("{other:03}").as_bytes()).unwrap();
            prop_assert_eq!(
                key.verify(number.as_bytes(), expiry, &other),
                other.expose() == cvc2.expose()
            );
        }
    }
}
