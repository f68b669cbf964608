//! The keys of the directory: sealing what people are called, and finding it without keeping it readable.

use crate::encode::update_part;
use crate::mac::MacKey;
use crate::opaque::opaque_debug;
use crate::seal::SealKey;

/// What the directory computes with, prepared; wiped on drop.
///
/// None of it is used on the money path, and none of the money path's keys is used here.
pub struct DirectoryKeys {
    pub(crate) seals: SealKey,
    pub(crate) hashes: MacKey,
}

impl DirectoryKeys {
    /// Seals names and card numbers at rest, under `kdf(root, "directory-seal", "", 256)`. It is version 1.
    pub fn seals(&self) -> &SealKey {
        &self.seals
    }

    /// A keyed 128-bit hash of `parts` for one use, named by `label`: AES-256-CMAC(directory hash key,
    /// `"DHSH\0" p(label) p(part)…`), with `p` as in [`Fingerprinter`](crate::Fingerprinter), and the key
    /// `kdf(root, "directory-hash", "", 256)`. It is no secret, and it is long enough to be unique: by chance two of
    /// `n` collide with probability `n * n / 2^129`.
    pub fn hash(&self, label: &str, parts: &[&[u8]]) -> [u8; 16] {
        let mut state = self.hashes.start();
        state.update(b"DHSH\0");
        for part in core::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            update_part(&mut state, part);
        }
        *state.finish().expose()
    }
}

opaque_debug!(DirectoryKeys);
