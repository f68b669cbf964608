//! AES-CMAC (NIST SP 800-38B, RFC 4493): the one primitive that computes every MAC and derives every key.

use core::fmt;
use core::num::NonZeroU64;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::opaque::opaque_debug;

/// AES-CMAC of the concatenated `parts` under a key of 16 or 32 bytes.
///
/// Whoever needs more than one MAC under a key prepares a [`MacKey`] once.
///
/// # Errors
///
/// [`KeyLengthError`] if the key has any other length.
pub fn cmac(key: &[u8], parts: &[&[u8]]) -> Result<Mac, KeyLengthError> {
    Ok(MacKey::new(key)?.mac(parts))
}

/// A prepared AES-CMAC key: the key schedule and both subkeys are computed once; wiped on drop.
///
/// The chaining stands here, on the `aes` crate alone: the `cmac` crate copies and wipes the whole key schedule for each
/// message and computes the subkeys anew, which doubles the time of a number index. A test holds both against each
/// other.
pub struct MacKey {
    cipher: Cipher,
    /// Subkey K1, for a message that ends with a whole block.
    whole: Block,
    /// Subkey K2, for a message whose last block is padded.
    padded: Block,
}

enum Cipher {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

/// A block as an integer: the first byte is the highest.
type Block = u128;

impl MacKey {
    /// Prepares a key of 16 bytes (AES-128) or 32 bytes (AES-256).
    ///
    /// # Errors
    ///
    /// [`KeyLengthError`] if the key has any other length.
    pub fn new(key: &[u8]) -> Result<Self, KeyLengthError> {
        if let Ok(key) = key.try_into() {
            Ok(Self::aes128(key))
        } else if let Ok(key) = key.try_into() {
            Ok(Self::aes256(key))
        } else {
            Err(KeyLengthError { bytes: key.len() })
        }
    }

    /// Prepares an AES-128 key.
    pub fn aes128(key: &[u8; 16]) -> Self {
        Self::prepare(Cipher::Aes128(Aes128Enc::new(key.into())))
    }

    /// Prepares an AES-256 key.
    pub fn aes256(key: &[u8; 32]) -> Self {
        Self::prepare(Cipher::Aes256(Aes256Enc::new(key.into())))
    }

    /// Subkey generation, SP 800-38B section 6.1.
    fn prepare(cipher: Cipher) -> Self {
        let whole = double(cipher.encrypt(0));
        Self { cipher, whole, padded: double(whole) }
    }

    /// The MAC over the concatenated `parts`; nothing is allocated.
    ///
    /// The parts' borders do not enter the MAC: whoever joins parts of varying length prefixes them with
    /// [`lp`](crate::lp).
    #[inline]
    pub fn mac(&self, parts: &[&[u8]]) -> Mac {
        let mut state = self.start();
        for part in parts {
            state.update(part);
        }
        state.finish()
    }

    /// A MAC whose message comes piece by piece.
    #[inline]
    pub fn start(&self) -> MacState<'_> {
        MacState { key: self, chain: 0, filled: 0 }
    }
}

impl Drop for MacKey {
    fn drop(&mut self) {
        // The cipher wipes its own schedule.
        self.whole.zeroize();
        self.padded.zeroize();
    }
}

impl Cipher {
    #[inline]
    fn encrypt(&self, block: Block) -> Block {
        let mut bytes = block.to_be_bytes().into();
        match self {
            Self::Aes128(cipher) => cipher.encrypt_block(&mut bytes),
            Self::Aes256(cipher) => cipher.encrypt_block(&mut bytes),
        }
        Block::from_be_bytes(bytes.into())
    }
}

/// Multiplication by x in GF(2^128), without a branch on the secret.
fn double(block: Block) -> Block {
    (block << 1) ^ ((block >> 127) * 0x87)
}

/// A MAC under way; wiped on drop. A clone continues from where this one stands: what begins many messages is computed
/// once.
#[derive(Clone)]
pub struct MacState<'key> {
    key: &'key MacKey,
    /// The chaining value, into which the current block's bytes are already added.
    chain: Block,
    /// How many bytes of the current block there are; a full one waits, because the last is treated otherwise.
    filled: usize,
}

impl MacState<'_> {
    /// Appends bytes to the message.
    #[inline]
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == Mac::BYTES {
                self.chain = self.key.cipher.encrypt(self.chain);
                self.filled = 0;
            }
            let (now, later) = bytes.split_at(bytes.len().min(Mac::BYTES - self.filled));
            self.chain ^= load(now) >> (8 * self.filled);
            self.filled += now.len();
            bytes = later;
        }
    }

    /// The MAC of all bytes so far.
    #[inline]
    pub fn finish(self) -> Mac {
        let last = if self.filled == Mac::BYTES {
            self.chain ^ self.key.whole
        } else {
            self.chain ^ (PADDING >> (8 * self.filled)) ^ self.key.padded
        };
        Mac(self.key.cipher.encrypt(last).to_be_bytes())
    }
}

impl Drop for MacState<'_> {
    fn drop(&mut self) {
        self.chain.zeroize();
    }
}

/// The bit that follows a message's end, at the start of a block.
const PADDING: Block = 0x80 << 120;

/// One to 16 bytes, at the start of a block.
///
/// Most parts are shorter than a block, so this is where the time goes: two overlapping words instead of a copy of
/// variable length. Where they overlap they hold the same bytes, so that "or" joins them.
#[inline]
fn load(bytes: &[u8]) -> Block {
    let free_bits = 8 * (Mac::BYTES - bytes.len());
    if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        Block::from(u64::from_be_bytes(*head)) << 64 | Block::from(u64::from_be_bytes(*tail)) << free_bits
    } else if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        Block::from(u32::from_be_bytes(*head)) << 96 | Block::from(u32::from_be_bytes(*tail)) << free_bits
    } else {
        bytes.iter().fold(0, |block, &byte| block << 8 | Block::from(byte)) << free_bits
    }
}

/// A MAC of 16 bytes. It is secret until somebody says otherwise: compared in constant time, no readable
/// `Debug`, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Mac([u8; Mac::BYTES]);

impl Mac {
    /// Length of a whole MAC in bytes.
    pub const BYTES: usize = 16;

    /// A MAC that was computed elsewhere, as by a hardware module.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// All 16 bytes as a big-endian integer, modulo `bound`.
    pub fn below(&self, bound: NonZeroU64) -> u64 {
        let reduced = u128::from_be_bytes(self.0) % u128::from(bound.get());
        // Smaller than `bound`, so it fits.
        reduced as u64
    }

    /// The first eight bytes as a big-endian integer.
    pub fn leading_u64(&self) -> u64 {
        // The upper half of 128 bits has 64.
        (u128::from_be_bytes(self.0) >> 64) as u64
    }

    /// Whether `received` is this MAC, whole (16 bytes); in constant time.
    pub fn verify(&self, received: &[u8]) -> bool {
        self.0.ct_eq(received).into()
    }

    /// Whether `received` is the leading `received.len()` bytes of this MAC, as in a MAC field of five bytes; in
    /// constant time. Fewer than four bytes or more than 16 never match.
    pub fn verify_truncated(&self, received: &[u8]) -> bool {
        received.len() >= 4
            && self.0.get(..received.len()).is_some_and(|leading| leading.ct_eq(received).into())
    }

    /// The bytes, for a MAC that is sent or becomes a key. Call it where the MAC leaves, not before.
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl ConstantTimeEq for Mac {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

opaque_debug!(MacKey, Mac);

impl fmt::Debug for MacState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacState(..)")
    }
}

/// A key is neither 16 nor 32 bytes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLengthError {
    /// Length of the refused key in bytes.
    pub bytes: usize,
}

impl fmt::Display for KeyLengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key has {} bytes; AES-CMAC keys have 16 or 32: pass one of these", self.bytes)
    }
}

impl std::error::Error for KeyLengthError {}

#[cfg(test)]
mod tests {
    use aes::{Aes128, Aes256};
    use cmac::{Cmac, Mac as _};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::hex;

    /// The message of all examples, cut to the example's length.
    const MESSAGE: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                           30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

    fn check(key: &str, examples: &[(usize, &str)]) {
        let (key, message) = (hex(key), hex(MESSAGE));
        for &(bytes, expected) in examples {
            assert_eq!(
                cmac(&key, &[&message[..bytes]]).unwrap().expose()[..],
                hex(expected),
                "{bytes} bytes"
            );
        }
    }

    /// RFC 4493 section 4, examples 1 to 4 (also SP 800-38B, examples for AES-128).
    #[test]
    fn aes_128_agrees_with_rfc_4493() {
        check(
            "2b7e151628aed2a6abf7158809cf4f3c",
            &[
                (0, "bb1d6929e95937287fa37d129b756746"),
                (16, "070a16b46b4d4144f79bdd9dd04a287c"),
                (40, "dfa66747de9ae63030ca32611497c827"),
                (64, "51f0bebf7e3b9d92fc49741779363cfe"),
            ],
        );
    }

    /// SP 800-38B, appendix D.3 and NIST's "Examples with Intermediate Values", CMAC-AES256.
    #[test]
    fn aes_256_agrees_with_sp_800_38b() {
        check(
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            &[
                (0, "028962f61b7bf89efc6b551f4667d983"),
                (16, "28a7023f452e8f82bd4bf28d8c37c35c"),
                (40, "aaf3d8f1de5640c232f5b169b9c911e6"),
                (64, "e1992190549f6ed5696a2c056c315410"),
            ],
        );
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for bytes in [0, 15, 17, 24, 31, 33] {
            assert_eq!(cmac(&vec![1; bytes], &[]).err(), Some(KeyLengthError { bytes }));
        }
        assert!(KeyLengthError { bytes: 24 }.to_string().contains("24 bytes"));
    }

    #[test]
    fn a_mac_is_reduced_as_a_whole() {
        let mac = Mac([0xff; 16]);
        assert_eq!(mac.below(NonZeroU64::MIN), 0);
        // 2^128 - 1 = 455 modulo 1000.
        assert_eq!(mac.below(NonZeroU64::new(1000).unwrap()), 455);
        assert_eq!(mac.below(NonZeroU64::MAX), 0);
        assert_eq!(Mac(*b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0").leading_u64(), 1);
    }

    #[test]
    fn only_the_whole_mac_or_enough_of_its_start_verifies() {
        let mac = cmac(&[1; 16], &[b"message"]).unwrap();
        let bytes = *mac.expose();
        assert!(mac.verify(&bytes) && mac.verify_truncated(&bytes) && mac.verify_truncated(&bytes[..5]));
        assert!(!mac.verify(&bytes[..15]) && !mac.verify(&[]));
        assert!(!mac.verify_truncated(&[]) && !mac.verify_truncated(&bytes[..3]));
        assert!(!mac.verify_truncated(&bytes[1..6]) && !mac.verify_truncated(&[0; 17]));
        assert!(bool::from(mac.ct_eq(&mac.clone())));
    }

    proptest! {
        #[test]
        fn the_chaining_agrees_with_the_cmac_crate(
            key: [u8; 32], parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        ) {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let message = parts.concat();
            let short: &[u8; 16] = key.first_chunk().unwrap();
            let mut other = <Cmac<Aes256> as cmac::KeyInit>::new(&key.into());
            other.update(&message);
            prop_assert!(MacKey::aes256(&key).mac(&slices).verify(&other.finalize().into_bytes()));
            let mut other = <Cmac<Aes128> as cmac::KeyInit>::new(short.into());
            other.update(&message);
            prop_assert!(MacKey::aes128(short).mac(&slices).verify(&other.finalize().into_bytes()));
        }

        #[test]
        fn any_changed_bit_is_noticed(message: [u8; 21], bit in 0usize..128) {
            let mac = cmac(&[5; 32], &[&message]).unwrap();
            let mut changed = *mac.expose();
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!mac.verify(&changed));
        }

        #[test]
        fn below_stays_below(bytes: [u8; 16], bound in 1u64..) {
            let value = Mac(bytes).below(NonZeroU64::new(bound).unwrap());
            prop_assert!(value < bound);
            prop_assert_eq!(u128::from(value), u128::from_be_bytes(bytes) % u128::from(bound));
        }
    }
}
