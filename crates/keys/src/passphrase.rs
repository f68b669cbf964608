//! A passphrase, and the key that follows from it: for what is sealed where no key service is at hand.

use core::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encode::{decode_hex, push_hex};
use crate::kdf::SecretKey;
use crate::opaque::opaque_debug;
use crate::random::{Random, RandomError};
use crate::seal::SealKey;

/// What a passphrase's key is drawn with, besides the passphrase: it is no secret.
pub type Salt = [u8; SALT_BYTES];

/// Length of a [`Salt`] in bytes.
pub const SALT_BYTES: usize = 16;

/// A passphrase, after NFKC (Unicode Standard Annex 15), so that the same characters typed on another keyboard are the
/// same; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(String);

impl Passphrase {
    /// The fewest characters.
    pub const CHARS_MIN: usize = 12;
    /// The most bytes (UTF-8), before and after normalisation.
    pub const BYTES_MAX: usize = 1024;

    /// Takes what was typed; spaces count.
    ///
    /// # Errors
    ///
    /// [`PassphraseError`] if it is too short or too long.
    pub fn new(typed: &str) -> Result<Self, PassphraseError> {
        if typed.len() > Self::BYTES_MAX {
            return Err(PassphraseError::TooLong);
        }
        // Reserved whole at once: growing would leave a copy behind.
        let mut normal = Self(String::with_capacity(Self::BYTES_MAX));
        for character in typed.nfkc() {
            if normal.0.len() + character.len_utf8() > Self::BYTES_MAX {
                return Err(PassphraseError::TooLong);
            }
            normal.0.push(character);
        }
        let chars = normal.0.chars().count();
        if chars < Self::CHARS_MIN { Err(PassphraseError::TooShort { chars }) } else { Ok(normal) }
    }

    /// Argon2id (RFC 9106) of the passphrase: 32 bytes.
    pub fn key(&self, cost: PassphraseCost, salt: &Salt) -> SecretKey<32> {
        let mut key = Zeroizing::new([0; 32]);
        let params = cost.params();
        // The first blocks follow from the passphrase without any effort: whoever found them would guess fast.
        let mut memory = Zeroizing::new(vec![Block::new(); params.block_count()]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(self.0.as_bytes(), salt, &mut *key, &mut memory[..])
            // The bounds of a cost and of a passphrase are narrower than those of Argon2.
            .expect("every passphrase and every cost that was let in fits Argon2");
        SecretKey::from_bytes(&key)
    }
}

opaque_debug!(Passphrase);

/// What one guess of a passphrase costs. Made only within its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    memory_kib: u32,
    passes: u32,
}

impl PassphraseCost {
    /// 64 MiB, three passes: the second of RFC 9106's recommended settings, on one lane.
    pub const DEFAULT: Self = Self { memory_kib: 65_536, passes: 3 };
    /// The least that is accepted: 19 MiB, two passes.
    pub const MIN: Self = Self { memory_kib: 19_456, passes: 2 };
    /// The most that a file may ask for: a damaged one must not exhaust the machine.
    pub const MAX: Self = Self { memory_kib: 1_048_576, passes: 16 };

    /// A cost: memory in KiB, and passes over it. None outside the bounds.
    pub const fn new(memory_kib: u32, passes: u32) -> Option<Self> {
        if memory_kib < Self::MIN.memory_kib
            || memory_kib > Self::MAX.memory_kib
            || passes < Self::MIN.passes
            || passes > Self::MAX.passes
        {
            return None;
        }
        Some(Self { memory_kib, passes })
    }

    /// Reads what `Display` writes: `m=65536,t=3,p=1`.
    pub fn parse(text: &str) -> Option<Self> {
        let (memory_kib, rest) = text.strip_prefix("m=")?.split_once(",t=")?;
        let cost = Self::new(memory_kib.parse().ok()?, rest.strip_suffix(",p=1")?.parse().ok()?)?;
        // One text for each cost: no sign, no leading zeros.
        (cost.to_string() == text).then_some(cost)
    }

    fn params(self) -> Params {
        Params::new(self.memory_kib, self.passes, 1, Some(32))
            .expect("the bounds of a cost are narrower than those of Argon2")
    }
}

impl fmt::Display for PassphraseCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={},t={},p=1", self.memory_kib, self.passes)
    }
}

/// How a passphrase opens something: its cost, and its salt. A file says it in clear beside what is sealed, as
/// `argon2id m=65536,t=3,p=1 09…`, and binds it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseLock {
    cost: PassphraseCost,
    salt: Salt,
}

impl PassphraseLock {
    const ALGORITHM: &str = "argon2id ";

    /// With a new salt.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn draw(cost: PassphraseCost, random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt)?;
        Ok(Self { cost, salt })
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (cost, digits) = text.strip_prefix(Self::ALGORITHM)?.split_once(' ')?;
        let mut salt = [0; SALT_BYTES];
        decode_hex(digits.as_bytes(), &mut salt)?;
        Some(Self { cost: PassphraseCost::parse(cost)?, salt })
    }

    /// What one guess costs.
    pub fn cost(&self) -> PassphraseCost {
        self.cost
    }

    /// The key that it opens, and was sealed, with. It takes as long as the cost says.
    pub fn seal_key(&self, passphrase: &Passphrase) -> SealKey {
        SealKey::new(&passphrase.key(self.cost, &self.salt))
    }
}

impl fmt::Display for PassphraseLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = String::with_capacity(2 * SALT_BYTES);
        push_hex(&mut digits, &self.salt);
        write!(f, "{}{} {digits}", Self::ALGORITHM, self.cost)
    }
}

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassphraseError {
    /// It has fewer characters than [`Passphrase::CHARS_MIN`].
    TooShort {
        /// How many it has.
        chars: usize,
    },
    /// It has more bytes than [`Passphrase::BYTES_MAX`].
    TooLong,
}

impl fmt::Display for PassphraseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { chars } => {
                let min = Passphrase::CHARS_MIN;
                write!(f, "the passphrase has {chars} characters; take at least {min}, such as four words")
            }
            Self::TooLong => write!(f, "the passphrase has more than {} bytes", Passphrase::BYTES_MAX),
        }
    }
}

impl std::error::Error for PassphraseError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    /// Generated with `Argon2id` of the Python package `cryptography`.
    #[test]
    fn the_key_agrees_with_an_independent_implementation() {
        let passphrase = Passphrase::new("this is my passphrase").unwrap();
        let key = passphrase.key(PassphraseCost::MIN, b"0123456789abcdef");
        assert_eq!(key.expose()[..], hex("970600da282368460901e5b0ef0fc30a104687e9b43a19eeea5ba2b5cb18d3ed"));
    }

    #[test]
    fn the_same_characters_are_the_same_passphrase() {
        let key = |typed: &str| {
            *Passphrase::new(typed).unwrap().key(PassphraseCost::MIN, &[7; SALT_BYTES]).expose()
        };
        assert_eq!(key("caf\u{e9} au lait!"), key("cafe\u{301} au lait!"));
        assert_ne!(key("caf\u{e9} au lait!"), key("Caf\u{e9} au lait!"));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_refused() {
        assert_eq!(Passphrase::new("elevenchars").err(), Some(PassphraseError::TooShort { chars: 11 }));
        assert!(Passphrase::new("twelve chars").is_ok());
        assert!(Passphrase::new(&"x".repeat(1024)).is_ok());
        assert_eq!(Passphrase::new(&"x".repeat(1025)).err(), Some(PassphraseError::TooLong));
        // One character that NFKC writes with 18.
        assert_eq!(Passphrase::new(&"\u{fdfa}".repeat(100)).err(), Some(PassphraseError::TooLong));
    }

    #[test]
    fn a_cost_has_bounds_and_one_text() {
        let cost = PassphraseCost::DEFAULT;
        assert_eq!(cost.to_string(), "m=65536,t=3,p=1");
        assert_eq!(PassphraseCost::parse("m=65536,t=3,p=1"), Some(cost));
        for text in [
            "",
            "m=65536,t=3",
            "m=65536,t=3,p=2",
            "m=+65536,t=3,p=1",
            "m=065536,t=3,p=1",
            "m=1024,t=3,p=1",
            "m=65536,t=1,p=1",
            "m=2000000,t=3,p=1",
            "m=65536,t=17,p=1",
        ] {
            assert_eq!(PassphraseCost::parse(text), None, "{text}");
        }
    }
}
