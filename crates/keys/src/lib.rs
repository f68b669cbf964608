//! The keys of Mayfly: one root, base keys that follow from it, and the few computations made with them.
//!
//! A [`RootKey`] is drawn once and kept in a [file](mod@file) (or, later, in a hardware module). At start the [`KeyService`]
//! derives the [`BaseKeys`] from it; from then on everything is computed in memory, without allocation where a request
//! waits for it:
//!
//! * [`NumberIndexer`]: how a card number is found without being kept
//! * [`Partitioner`]: which partition a request belongs to
//! * [`Fingerprinter`]: keyed 64-bit hashes of message references
//! * [`Cvc2Key`]: the three digits that go with a number and its expiration date
//! * [`SealKey`]: what is secret at rest, bound to the place where it stands
//! * [`DirectoryKeys`]: both for what stands beside the money path: people's names and what they log in with
//!
//! One primitive carries all but the sealing: AES-CMAC (NIST SP 800-38B), in counter mode also for key derivation
//! (SP 800-108r1), so that a hardware module can do all of it. Every input starts with a label of its own; no two uses
//! share one.
//!
//! | derived | from | label | bits |
//! |---|---|---|---|
//! | number index key | root | `number-index` | 256 |
//! | partition key | root | `partition` | 128 |
//! | reference key | root | `reference` | 128 |
//! | CVC2 key, per BIN | root | `cvc2`, context `lp(bin)` | 128 |
//! | seal base key | root | `seal` | 256 |
//! | data key, per period | seal base key | `period`, context the period as u32 | 256 |
//! | directory seal key | root | `directory-seal` | 256 |
//! | directory hash key | root | `directory-hash` | 256 |
//! | password pepper | root | `password-pepper` | 256 |
//!
//! This crate never logs, never shows a key, a CVC2 or a plaintext in `Debug` or in an error, never compares a secret
//! in variable time, and does no I/O outside [file](mod@file) and [`OsRandom`]. What it wipes are its own copies: not those that
//! a compiler left in registers or on the stack.

mod base;
mod cvc2;
mod directory;
mod encode;
pub mod file;
mod fingerprint;
mod index;
mod kdf;
mod mac;
mod opaque;
mod partition;
mod random;
mod root;
mod seal;
#[cfg(test)]
mod testing;

pub use base::{BIN_DIGITS_MAX, BaseKeys, InvalidBin, KeyService};
pub use cvc2::{Cvc2, Cvc2Key, InvalidCvc2};
pub use directory::DirectoryKeys;
pub use encode::{LP_BYTES_MAX, PartTooLong, lp, lp_prefix};
pub use fingerprint::{Fingerprint64, Fingerprinter};
pub use index::{NumberIndex, NumberIndexer};
pub use kdf::{KDF_BYTES_MAX, SecretKey, kdf};
pub use mac::{KeyLengthError, Mac, MacKey, MacState, cmac};
pub use partition::Partitioner;
pub use random::{OsRandom, Random, RandomError};
pub use root::{CheckValue, RootKey};
pub use seal::{
    OpenError, Opened, PlacePartTooLong, SEAL_OVERHEAD_BYTES, SEAL_PLAINTEXT_BYTES_MAX, SealError, SealKey,
    SealPlace,
};
