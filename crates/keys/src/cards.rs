//! The keys of cards: what each is derived from, in memory, for one request.
//!
//! Which of the derivations a card has is said by the control digit of its pseudo account number; that is decided above.
//! Here stand the derivations themselves, one label for each. Nothing is allocated.

use core::fmt;

use zeroize::Zeroizing;

use crate::encode::{LP_BYTES_MAX, number_prefix};
use crate::kdf::{SecretKey, kdf};
use crate::mac::MacKey;
use crate::opaque::opaque_debug;

/// The authentication key derivation key (AKDK), prepared; wiped on drop.
pub struct AuthenticationKey(pub(crate) MacKey);

/// The keys of one BIN from which those of its cards are derived, prepared; wiped on drop.
pub struct CardBinKeys {
    /// `kdf(root, "bin", lp(bin), 256)`.
    pub(crate) own: MacKey,
    /// `kdf(AKDK, "akbin", lp(bin), 256)`.
    pub(crate) authentication: MacKey,
}

/// All that the keys of one BIN's cards are derived from, in one version. Numbers are ASCII digits.
#[derive(Clone, Copy)]
pub struct CardBase<'a> {
    pub(crate) authentication: &'a AuthenticationKey,
    pub(crate) bin: &'a CardBinKeys,
}

impl<'a> CardBase<'a> {
    /// Of keys that stand by themselves; a [`CardKeyring`](crate::CardKeyring) has them by version and BIN.
    pub fn new(authentication: &'a AuthenticationKey, bin: &'a CardBinKeys) -> Self {
        Self { authentication, bin }
    }

    /// Process 0: `kdf(AKDK, "card0", lp(pseudo number), 128)`. It needs no conversion table (S2 cl. 11).
    ///
    /// # Panics
    ///
    /// As all of these, if a number has more than 19 digits, which no parser lets through.
    pub fn of_number(&self, pseudo: &[u8]) -> SecretKey<16> {
        kdf(&self.authentication.0, "card0", Numbers::one(pseudo).bytes())
    }

    /// Process 1: `kdf(kdf(AKDK, "akbin", lp(bin), 256), "card1", lp(pseudo number), 128)` (S2 cl. 12).
    ///
    /// # Panics
    ///
    /// As [`of_number`](Self::of_number).
    pub fn of_number_and_bin(&self, pseudo: &[u8]) -> SecretKey<16> {
        kdf(&self.bin.authentication, "card1", Numbers::one(pseudo).bytes())
    }

    /// Process 2: `kdf(per-BIN key, "card2", lp(PAN) lp(pseudo number), 128)` (S2 cl. 3a, 4, 8).
    ///
    /// # Panics
    ///
    /// As [`of_number`](Self::of_number).
    pub fn of_pan_and_number(&self, pan: &[u8], pseudo: &[u8]) -> SecretKey<16> {
        kdf(&self.bin.own, "card2", Numbers::two(pan, pseudo).bytes())
    }

    /// Without a pseudo number: `kdf(per-BIN key, "cardr", lp(PAN), 128)` (S1).
    ///
    /// # Panics
    ///
    /// As [`of_number`](Self::of_number).
    pub fn of_pan(&self, pan: &[u8]) -> SecretKey<16> {
        kdf(&self.bin.own, "cardr", Numbers::one(pan).bytes())
    }
}

/// The key that the user's software makes of the one that it was given and the share that only it and the server have:
/// `kdf(key, "share", share, 128)` (S1 cl. 3).
pub fn with_share(key: &SecretKey<16>, share: &SecretKey<16>) -> SecretKey<16> {
    kdf(&key.to_mac_key(), "share", share.expose())
}

opaque_debug!(AuthenticationKey, CardBinKeys);

impl fmt::Debug for CardBase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardBase(..)")
    }
}

/// `lp` of one or two numbers, on the stack; wiped on drop.
struct Numbers {
    bytes: Zeroizing<[u8; 2 * NUMBER_BYTES]>,
    length: usize,
}

/// The most digits of a card number (ISO/IEC 7812-1), and their length byte.
const NUMBER_BYTES: usize = 1 + 19;
const _: () = assert!(NUMBER_BYTES <= LP_BYTES_MAX);

impl Numbers {
    fn one(number: &[u8]) -> Self {
        let mut numbers = Self { bytes: Zeroizing::new([0; 2 * NUMBER_BYTES]), length: 0 };
        numbers.push(number);
        numbers
    }

    fn two(first: &[u8], second: &[u8]) -> Self {
        let mut numbers = Self::one(first);
        numbers.push(second);
        numbers
    }

    fn push(&mut self, number: &[u8]) {
        assert!(number.len() < NUMBER_BYTES, "a card number of more than 19 digits passed the parser");
        for part in [&number_prefix(number), number] {
            self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
            self.length += part.len();
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyService, RootKey};

    fn service(root: u8) -> KeyService {
        KeyService::new(&RootKey::from_bytes(&[root; 32]))
    }

    /// A36, A45: what the key must depend on. The values themselves are those of the profile's vectors.
    #[test]
    fn every_input_makes_another_key() {
        let (one, other) = (service(1), service(2));
        let akdk = [one.authentication_key(), other.authentication_key()];
        let bins = [
            one.card_bin_keys(b"541999").unwrap(),
            one.card_bin_keys(b"541998").unwrap(),
            other.card_bin_keys(b"541999").unwrap(),
        ];
        let (pan, pseudo) = (b"5400001234567892", b"5419992000000424");
        let base = CardBase::new(&akdk[0], &bins[0]);
        let of_other_bin = CardBase::new(&akdk[0], &bins[1]);
        let of_other_root = CardBase::new(&akdk[1], &bins[2]);
        let keys = [
            base.of_number(pseudo),
            base.of_number(pan),
            base.of_number_and_bin(pseudo),
            of_other_bin.of_number_and_bin(pseudo),
            base.of_pan_and_number(pan, pseudo),
            base.of_pan_and_number(pseudo, pan),
            base.of_pan_and_number(pan, pan),
            of_other_bin.of_pan_and_number(pan, pseudo),
            base.of_pan(pan),
            base.of_pan(pseudo),
            of_other_bin.of_pan(pan),
            of_other_root.of_number(pseudo),
            of_other_root.of_number_and_bin(pseudo),
            of_other_root.of_pan_and_number(pan, pseudo),
            of_other_root.of_pan(pan),
            with_share(&base.of_pan(pan), &SecretKey::from_bytes(&[0; 16])),
            with_share(&base.of_pan(pan), &SecretKey::from_bytes(&[1; 16])),
        ];
        for (at, key) in keys.iter().enumerate() {
            for earlier in &keys[..at] {
                assert_ne!(key.expose(), earlier.expose(), "{at}");
            }
        }
        // A44: the AKDK and the number are enough, whatever the BIN.
        assert_eq!(base.of_number(pseudo).expose(), of_other_bin.of_number(pseudo).expose());
    }

    #[test]
    #[should_panic(expected = "passed the parser")]
    fn a_number_that_no_parser_lets_through_is_a_bug() {
        let (akdk, bin) = (service(1).authentication_key(), service(1).card_bin_keys(b"541999").unwrap());
        CardBase::new(&akdk, &bin).of_pan(&[b'4'; 20]);
    }
}
