//! Keyed 64-bit fingerprints of message references and identities.

use core::fmt;

use crate::encode::update_part;
use crate::mac::MacKey;
use crate::opaque::opaque_debug;

/// A keyed 64-bit hash. It is no secret: without the key nobody can compute it for chosen parts or aim at a
/// collision. By chance two of `n` collide with probability `n * n / 2^65`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Fingerprint64(pub u64);

impl fmt::Display for Fingerprint64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint64({self})")
    }
}

/// Computes fingerprints; holds the prepared reference key, wiped on drop.
pub struct Fingerprinter(pub(crate) MacKey);

impl Fingerprinter {
    /// The fingerprint of `parts` for one use, named by `label`: the first eight bytes, big endian, of
    /// AES-128-CMAC(reference key, `"FPRT\0" p(label) p(part)…`). `p` is a length and the bytes: the length is one
    /// byte up to 254, and 255 followed by a u64 beyond, so that parts of any length and number stay apart.
    pub fn fingerprint(&self, label: &str, parts: &[&[u8]]) -> Fingerprint64 {
        let mut state = self.0.start();
        state.update(b"FPRT\0");
        for part in core::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            update_part(&mut state, part);
        }
        Fingerprint64(state.finish().leading_u64())
    }
}

opaque_debug!(Fingerprinter);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fingerprint(label: &str, parts: &[Vec<u8>]) -> Fingerprint64 {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Fingerprinter(MacKey::aes128(&[7; 16])).fingerprint(label, &parts)
    }

    #[test]
    fn borders_count_and_label_enter() {
        let same = fingerprint("a", &[b"12".into(), b"3".into()]);
        assert_ne!(same, fingerprint("a", &[b"1".into(), b"23".into()]));
        assert_ne!(same, fingerprint("a", &[b"123".into()]));
        assert_ne!(same, fingerprint("a", &[b"12".into(), b"3".into(), b"".into()]));
        assert_ne!(same, fingerprint("b", &[b"12".into(), b"3".into()]));
        assert_ne!(fingerprint("a", &[vec![0; 255]]), fingerprint("a", &[vec![0; 254]]));
    }

    proptest! {
        #[test]
        fn different_parts_have_different_fingerprints(
            one in prop::collection::vec(prop::collection::vec(0u8..2, 0..4), 0..4),
            two in prop::collection::vec(prop::collection::vec(0u8..2, 0..4), 0..4),
        ) {
            prop_assert_eq!(one == two, fingerprint("a", &one) == fingerprint("a", &two));
        }
    }
}
