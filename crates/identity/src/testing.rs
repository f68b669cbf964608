//! What the unit tests share.

use mayfly_keys::{Random, RandomError};

/// Fills with one byte, again and again.
pub(crate) struct Constant(pub(crate) u8);

impl Random for Constant {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        out.fill(self.0);
        Ok(())
    }
}
