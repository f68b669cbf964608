//! The number index: how a card number is found without being kept.

use core::fmt;

use crate::encode::number_prefix;
use crate::mac::MacKey;
use crate::opaque::opaque_debug;

/// A keyed 64-bit index of a card number. It is no secret: without the key it says nothing of the number, so it may
/// be stored, compared and shown. Two numbers can share one; a collision counts as taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct NumberIndex(pub u64);

impl fmt::Display for NumberIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NumberIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NumberIndex({self})")
    }
}

/// Computes number indexes; holds the prepared index key, wiped on drop.
pub struct NumberIndexer(pub(crate) MacKey);

impl NumberIndexer {
    /// The index of a number given as ASCII digits: the first eight bytes, big endian, of
    /// AES-256-CMAC(index key, `"NIDX\0" lp(number)`). Nothing is allocated.
    ///
    /// # Panics
    ///
    /// If `number` has more than 255 bytes; a parsed card number has at most 19.
    pub fn index(&self, number: &[u8]) -> NumberIndex {
        NumberIndex(self.0.mac(&[b"NIDX\0", &number_prefix(number), number]).leading_u64())
    }
}

opaque_debug!(NumberIndexer);
