//! The keys of Mayfly: one root, base keys that follow from it, and the few computations made with them.
//!
//! A [`RootKey`] is drawn once, or made of two custodians' [components](Component), and kept in a [file](mod@file), wrapped
//! or not, or in a hardware module that never gives it away ([`KeyModule`]). At start the [`KeyService`] derives the
//! [`BaseKeys`] from it; from then on everything is computed in memory, without allocation where a request waits for it:
//!
//! * [`NumberIndexer`]: how a card number is found without being kept
//! * [`Partitioner`]: which partition a request belongs to
//! * [`Fingerprinter`]: keyed 64-bit hashes of message references
//! * [`Cvc2Key`]: the three digits that go with a number and its expiration date
//! * [`CardKeyring`]: what the keys of cards are derived from, in all [versions](KeyVersions) that count; [`CardKeys`]
//!   changes it while others read it
//! * [`HolderKeys`], [`MorphKeys`]: the keys of cardholders
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
//! | per-BIN key | root | `bin`, context `lp(bin)` | 256 |
//! | authentication key derivation key (AKDK) | root | `akdk` | 256 |
//! | per-BIN authentication key | AKDK | `akbin`, context `lp(bin)` | 256 |
//! | card key, process 0 | AKDK | `card0`, context `lp(pseudo number)` | 128 |
//! | card key, process 1 | per-BIN authentication key | `card1`, context `lp(pseudo number)` | 128 |
//! | card key, process 2 | per-BIN key | `card2`, context `lp(PAN) lp(pseudo number)` | 128 |
//! | card key, without pseudo number | per-BIN key | `cardr`, context `lp(PAN)` | 128 |
//! | card key that the cardholder's software made | card key | `share`, context the share | 128 |
//! | cardholders' base key, morph base key | root | `holders`, `morphs` | 256 |
//! | cardholder's key, his morph key | these | `holder`, `morph`, context `lp(cardholder)` | 128 |
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
mod card_keys;
mod cards;
mod component;
mod cvc2;
mod directory;
mod encode;
pub mod file;
mod fingerprint;
mod holders;
mod index;
mod kdf;
mod keyring;
mod mac;
mod module;
mod opaque;
mod partition;
mod passphrase;
mod random;
mod root;
mod seal;
#[cfg(test)]
mod testing;
mod version;

pub use base::{BIN_DIGITS_MAX, BaseKeys, BinKeyError, KeyService};
pub use card_keys::CardKeys;
pub use cards::{AuthenticationKey, CardBase, CardBinKeys, with_share};
pub use component::{Component, ComponentError};
pub use cvc2::{Cvc2, Cvc2Key, InvalidCvc2};
pub use directory::DirectoryKeys;
pub use encode::{LP_BYTES_MAX, PartTooLong, lp, lp_prefix};
pub use fingerprint::{Fingerprint64, Fingerprinter};
pub use holders::{HolderKeys, MorphKeys};
pub use index::{NumberIndex, NumberIndexer};
pub use kdf::{KDF_BYTES_MAX, SecretKey, kdf};
pub use keyring::{CardKeyring, KeyringError, VersionKeys};
pub use mac::{KeyLengthError, Mac, MacKey, MacState, cmac};
pub use module::{KeyModule, ModuleError};
pub use partition::Partitioner;
pub use passphrase::{Passphrase, PassphraseCost, PassphraseError, SALT_BYTES, Salt};
pub use random::{OsRandom, Random, RandomError};
pub use root::{CheckValue, RootKey};
pub use seal::{
    OpenError, Opened, PlacePartTooLong, SEAL_OVERHEAD_BYTES, SEAL_PLAINTEXT_BYTES_MAX, SealError, SealKey,
    SealPlace,
};
pub use version::{KeyVersion, KeyVersions, Standing, VersionEntry, VersionError};
