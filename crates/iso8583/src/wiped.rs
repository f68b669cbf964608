//! A buffer that leaves nothing behind.

use zeroize::Zeroize;

/// Bytes that may be secret, wiped on drop.
#[derive(Clone, Default)]
pub(crate) struct Wiped(Vec<u8>);

impl Wiped {
    /// An empty buffer with room for this many bytes, so that growing does not leave copies behind.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes, for appending. Whoever needs more room than there is gets it without leaving the old bytes
    /// behind.
    pub(crate) fn reserve(&mut self, additional: usize) -> &mut Vec<u8> {
        if self.0.capacity() - self.0.len() < additional {
            let mut larger = Vec::with_capacity((self.0.len() + additional).next_power_of_two());
            larger.extend_from_slice(&self.0);
            self.wipe();
            self.0 = larger;
        }
        &mut self.0
    }

    fn wipe(&mut self) {
        // Only what was used: wiping the whole capacity would cost more than building a message.
        self.0.as_mut_slice().zeroize();
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.wipe();
    }
}
