//! The root key, from which every base key follows.

use core::fmt;

use crate::kdf::SecretKey;
use crate::mac::MacKey;
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
        let mac = self.prepare().mac(&[&[0; 16]]);
        let [first, second, third, ..] = *mac.expose();
        CheckValue([first, second, third])
    }

    pub(crate) fn prepare(&self) -> MacKey {
        self.0.to_mac_key()
    }

    pub(crate) fn expose(&self) -> &[u8; Self::BYTES] {
        self.0.expose()
    }
}

opaque_debug!(RootKey);

/// A key check value; shown as six hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckValue(pub [u8; 3]);

impl fmt::Display for CheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.0;
        write!(f, "{first:02x}{second:02x}{third:02x}")
    }
}
