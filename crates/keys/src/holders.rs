//! The keys of cardholders: derived in memory from base keys, so that no key service is asked for each of them.

use crate::encode::{PartTooLong, lp};
use crate::kdf::{SecretKey, kdf};
use crate::mac::MacKey;
use crate::opaque::opaque_debug;

/// Derives the key of each cardholder, for numbers that follow from a purchase; wiped on drop.
pub struct HolderKeys(pub(crate) MacKey);

impl HolderKeys {
    /// `kdf(kdf(root, "holders", "", 256), "holder", lp(cardholder), 128)`.
    ///
    /// # Errors
    ///
    /// [`PartTooLong`] if the cardholder's name has more than 255 bytes.
    pub fn key(&self, cardholder: &[u8]) -> Result<SecretKey<16>, PartTooLong> {
        Ok(kdf(&self.0, "holder", &lp(cardholder)?))
    }
}

/// Derives the key of each cardholder for morph codes; wiped on drop.
pub struct MorphKeys(pub(crate) MacKey);

impl MorphKeys {
    /// `kdf(kdf(root, "morphs", "", 256), "morph", lp(cardholder), 128)`.
    ///
    /// # Errors
    ///
    /// [`PartTooLong`] if the cardholder's name has more than 255 bytes.
    pub fn key(&self, cardholder: &[u8]) -> Result<SecretKey<16>, PartTooLong> {
        Ok(kdf(&self.0, "morph", &lp(cardholder)?))
    }
}

opaque_debug!(HolderKeys, MorphKeys);
