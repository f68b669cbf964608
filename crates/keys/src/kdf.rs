//! Key derivation, NIST SP 800-108r1 in counter mode with AES-CMAC, and the wiped memory that derived keys live in.

use core::convert::Infallible;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::mac::{Mac, MacKey};
use crate::random::{Random, RandomError};

/// Derives `N` bytes (at most [`KDF_BYTES_MAX`], checked when compiling) from `key` for one `label` and `context`.
///
/// Block `i` (from 1) is the CMAC of `i` as u32, `label`, a zero byte, `context`, and the wanted length in bits as
/// u32; integers are big endian. So keys of different length share no block.
pub fn kdf<const N: usize>(key: &MacKey, label: &str, context: &[u8]) -> SecretKey<N> {
    // Memory never fails.
    let Ok(out) = kdf_by(label, context, |parts| Ok::<Mac, Infallible>(key.mac(parts)));
    out
}

/// As [`kdf`], with whatever has the key and computes its CMAC: memory, or a module that keeps it to itself.
pub(crate) fn kdf_by<const N: usize, E>(
    label: &str,
    context: &[u8],
    mut mac: impl FnMut(&[&[u8]]) -> Result<Mac, E>,
) -> Result<SecretKey<N>, E> {
    const { assert!(N > 0 && N <= KDF_BYTES_MAX, "a derived key has 1 to KDF_BYTES_MAX bytes") };
    let bits = (N as u32 * 8).to_be_bytes();
    let mut out = SecretKey([0; N]);
    counter_mode(&mut out.0, |counter| mac(&[counter, label.as_bytes(), &[0], context, &bits]))?;
    Ok(out)
}

/// SP 800-108r1 section 4.1: each block is the MAC of a 32-bit counter and the fixed data, which `block_of` knows.
fn counter_mode<E>(out: &mut [u8], mut block_of: impl FnMut(&[u8; 4]) -> Result<Mac, E>) -> Result<(), E> {
    for (counter, block) in (1u32..).zip(out.chunks_mut(Mac::BYTES)) {
        block.copy_from_slice(&block_of(&counter.to_be_bytes())?.expose()[..block.len()]);
    }
    Ok(())
}

/// The most bytes that [`kdf`] derives at once.
pub const KDF_BYTES_MAX: usize = 64;

/// `N` bytes of key: no readable `Debug`, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey<const N: usize>([u8; N]);

impl<const N: usize> SecretKey<N> {
    /// Draws a key that follows from nothing: once every copy, wrapped or not, is deleted, it is gone for good.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut key = Self([0; N]);
        random.fill(&mut key.0)?;
        Ok(key)
    }

    /// Copies key bytes that stand elsewhere; wiping those is the caller's part.
    pub fn from_bytes(bytes: &[u8; N]) -> Self {
        Self(*bytes)
    }

    /// The key's bytes. Call it where they enter a cipher or are wrapped, nowhere else.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl SecretKey<16> {
    /// Prepares the key for AES-128-CMAC.
    pub fn to_mac_key(&self) -> MacKey {
        MacKey::aes128(&self.0)
    }
}

impl SecretKey<32> {
    /// Prepares the key for AES-256-CMAC.
    pub fn to_mac_key(&self) -> MacKey {
        MacKey::aes256(&self.0)
    }
}

impl<const N: usize> core::fmt::Debug for SecretKey<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Broken, hex};

    /// NIST CAVP, "Key Derivation Using Pseudorandom Functions" (SP 800-108), KDFCTR_gen: CMAC, counter of 32 bits
    /// before the fixed data, count 0. The fixed data there has no inner structure.
    #[test]
    fn the_counter_mode_agrees_with_nist() {
        let vectors = [
            (
                "c10b152e8c97b77e18704e0f0bd38305",
                "98cd4cbbbebe15d17dc86e6dbad800a2dcbd64f7c7ad0e78e9cf94ffdba89d03e97eadf6c4f7b806caf52aa38f09d0eb\
                 71d71f497bcc6906b48d36c4",
                "26faf61908ad9ee881b8305c221db53f",
            ),
            (
                "d0b1b3b70b2393c48ca05159e7e28cbeadea93f28a7cdae964e5136070c45d5c",
                "dd2f151a3f173492a6fbbb602189d51ddf8ef79fc8e96b8fcbe6dabe73a35b48104f9dff2d63d48786d2b3af177091d6\
                 46a9efae005bdfacb61a1214",
                "8c449fb474d1c1d4d2a33827103b656a",
            ),
        ];
        for (key, fixed, expected) in vectors {
            let mut out = [0; 16];
            let (key, fixed) = (MacKey::new(&hex(key)).unwrap(), hex(fixed));
            let Ok(()) = counter_mode(&mut out, |counter| Ok::<_, Infallible>(key.mac(&[counter, &fixed])));
            assert_eq!(out.as_slice(), hex(expected));
        }
    }

    /// Generated with `KBKDFCMAC` of the Python package `cryptography` (counter mode, 4-byte counter before the
    /// fixed data, 4-byte length): label, zero byte, context and length, several blocks, and a part of a block.
    #[test]
    fn label_and_context_enter_as_an_independent_implementation_has_them() {
        let long: Vec<u8> = (0..40).collect();
        let key: Vec<u8> = (0..32).collect();
        let (short, key) = (MacKey::new(&key[..16]).unwrap(), MacKey::new(&key).unwrap());
        let bin = b"\x06456940";
        assert_eq!(kdf::<16>(&short, "cvc2", bin).expose()[..], hex("8e6887084bac1528d3a7e2955424959c"));
        assert_eq!(kdf::<16>(&key, "cvc2", bin).expose()[..], hex("c40c2860acf9786a96475b1d4cfcf2ae"));
        assert_eq!(
            kdf::<48>(&key, "seal", &[0; 4]).expose()[..],
            hex("a76dfbb2eea12ac279f0ff6b6789cd6af833aadbff422117ad1c91ef8bc03b6d\
                 27196ce4ec3d9de023e4417a2bf01876")
        );
        assert_eq!(
            kdf::<64>(&short, "x", &long).expose()[..],
            hex("9ac31be7b3972af01b58a6a87cfdbffb881e10a03d457ecee495cce4d05ac03b\
                 4331d92dcdeb36396b646a6b1994eb794ca9efcfbcfebec4c2344e34371f5867")
        );
        assert_eq!(kdf::<5>(&key, "odd", b"c").expose()[..], hex("712c71905f"));
    }

    #[test]
    fn lengths_labels_and_contexts_share_nothing() {
        let key = MacKey::aes256(&[7; 32]);
        let derived = kdf::<16>(&key, "a", b"b");
        assert_ne!(derived.expose()[..], kdf::<32>(&key, "a", b"b").expose()[..16]);
        assert_ne!(derived.expose(), kdf::<16>(&key, "ab", b"").expose());
        assert_ne!(derived.expose(), kdf::<16>(&key, "b", b"b").expose());
    }

    #[test]
    fn without_randomness_there_is_no_key() {
        assert_eq!(
            SecretKey::<32>::generate(&mut Broken).err(),
            Some(RandomError::Unavailable { os_error: Some(38) })
        );
    }
}
