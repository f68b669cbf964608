//! The root key, from which every base key follows.

use core::fmt;

use crate::encode::decode_hex;
use crate::kdf::SecretKey;
use crate::mac::{Mac, MacKey};
use crate::opaque::opaque_debug;
use crate::random::{Random, RandomError};

/// The root key: 32 bytes that never leave the key service; wiped on drop.
pub struct RootKey(SecretKey<{ RootKey::BYTES }>);

impl RootKey {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// Draws a new root key.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomError> {
        SecretKey::generate(random).map(Self)
    }

    /// Copies a root key that stands elsewhere; wiping that is the caller's part.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self(SecretKey::from_bytes(bytes))
    }

    /// The key check value: the first three bytes of the CMAC of a block of zeros. It is public: people compare it
    /// to see that they hold the same key.
    pub fn check_value(&self) -> CheckValue {
        CheckValue::of(&self.prepare().mac(&[&CheckValue::MESSAGE]))
    }

    pub(crate) fn prepare(&self) -> MacKey {
        self.0.to_mac_key()
    }

    pub(crate) fn expose(&self) -> &[u8; Self::BYTES] {
        self.0.expose()
    }

    /// The key's bytes, for the ceremony that brings them into a hardware module. Call it there and nowhere else.
    pub fn expose_to_module(&self) -> &[u8; Self::BYTES] {
        self.0.expose()
    }
}

opaque_debug!(RootKey);

/// A key check value; shown as six hexadecimal digits.
///
/// It is the first three bytes of the AES-CMAC of a block of zeros under the key. No derivation has that input: theirs
/// begin with a counter from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct CheckValue(pub [u8; 3]);

impl CheckValue {
    /// What the MAC is computed of.
    pub(crate) const MESSAGE: [u8; 16] = [0; 16];

    /// From the MAC of the message above.
    pub(crate) fn of(mac: &Mac) -> Self {
        let [first, second, third, ..] = *mac.expose();
        Self([first, second, third])
    }

    /// Reads six hexadecimal digits, of either case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 3];
        decode_hex(text.as_bytes(), &mut bytes)?;
        Some(Self(bytes))
    }
}

impl fmt::Display for CheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.0;
        write!(f, "{first:02x}{second:02x}{third:02x}")
    }
}
