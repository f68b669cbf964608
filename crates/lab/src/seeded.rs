//! Chance that can be had again.

use mayfly_keys::{Random, RandomError};

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers each time for the same seed. For simulations, and never for what has
/// to be secret.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below a small bound: what it is uneven by is far below what any simulation can see.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomError> {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.draw().to_le_bytes()[..piece.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_published_one() {
        assert_eq!(Seeded::new(1_234_567).draw(), 6_457_827_717_110_365_317);
    }
}
