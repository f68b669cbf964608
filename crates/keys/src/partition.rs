//! Which partition a request belongs to: a keyed hash of the digits that route it.

use core::num::NonZeroU32;

use crate::encode::number_prefix;
use crate::mac::MacKey;
use crate::opaque::opaque_debug;

/// Assigns routing digits to partitions; holds the prepared partition key, wiped on drop.
///
/// The hash is keyed so that nobody outside can aim all his numbers at one partition.
pub struct Partitioner(pub(crate) MacKey);

impl Partitioner {
    /// The partition, from 0, of `routing_digits` (ASCII) among `count`:
    /// AES-128-CMAC(partition key, `"PART\0" lp(digits)`) modulo `count`. `count` is fixed for a journal's life.
    ///
    /// # Panics
    ///
    /// If `routing_digits` has more than 255 bytes; those of a parsed number have at most 19.
    pub fn partition(&self, routing_digits: &[u8], count: NonZeroU32) -> u32 {
        let mac = self.0.mac(&[b"PART\0", &number_prefix(routing_digits), routing_digits]);
        // Smaller than `count`, so it fits.
        mac.below(count.into()) as u32
    }
}

opaque_debug!(Partitioner);

#[cfg(test)]
mod tests {
    use super::*;

    /// Chi-squared with 15 degrees of freedom exceeds 37.7 once in a thousand; the key is fixed, so this is no lottery.
    #[test]
    fn numbers_spread_evenly() {
        let partitioner = Partitioner(MacKey::aes128(&[7; 16]));
        let count = NonZeroU32::new(16).unwrap();
        let mut hits = [0f64; 16];
        for number in 0..16_000 {
            hits[partitioner.partition(format!("{number:016}").as_bytes(), count) as usize] += 1.0;
        }
        let chi_squared: f64 = hits.iter().map(|hits| (hits - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_squared < 37.7, "{chi_squared}");
    }
}
