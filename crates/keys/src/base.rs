//! The base keys: what the key service is asked for at start, and where they live afterwards.

use core::convert::Infallible;
use core::fmt;

use crate::cards::{AuthenticationKey, CardBinKeys};
use crate::cvc2::Cvc2Key;
use crate::directory::DirectoryKeys;
use crate::encode::lp;
use crate::fingerprint::Fingerprinter;
use crate::holders::{HolderKeys, MorphKeys};
use crate::index::NumberIndexer;
use crate::kdf::{SecretKey, kdf, kdf_by};
use crate::mac::{Mac, MacKey};
use crate::module::{KeyModule, ModuleError};
use crate::opaque::opaque_debug;
use crate::partition::Partitioner;
use crate::root::{CheckValue, RootKey};
use crate::seal::SealKey;

/// The key service: what can compute with a root key, and the base keys that were derived when it was opened.
///
/// The module behind it is asked when it is opened, and when a BIN is set up; never for a request.
pub struct KeyService {
    module: Box<dyn KeyModule>,
    derived: Derived,
}

/// The base keys that no BIN enters.
struct Derived {
    check_value: CheckValue,
    numbers: SecretKey<32>,
    partitions: SecretKey<16>,
    references: SecretKey<16>,
    seals: SecretKey<32>,
    directory_seals: SecretKey<32>,
    directory_hashes: SecretKey<32>,
    password_pepper: SecretKey<32>,
    authentication: SecretKey<32>,
    holders: SecretKey<32>,
    morphs: SecretKey<32>,
}

impl Derived {
    fn by<E>(mut mac: impl FnMut(&[&[u8]]) -> Result<Mac, E>) -> Result<Self, E> {
        Ok(Self {
            check_value: CheckValue::of(&mac(&[&CheckValue::MESSAGE])?),
            numbers: kdf_by("number-index", b"", &mut mac)?,
            partitions: kdf_by("partition", b"", &mut mac)?,
            references: kdf_by("reference", b"", &mut mac)?,
            seals: kdf_by("seal", b"", &mut mac)?,
            directory_seals: kdf_by("directory-seal", b"", &mut mac)?,
            directory_hashes: kdf_by("directory-hash", b"", &mut mac)?,
            password_pepper: kdf_by("password-pepper", b"", &mut mac)?,
            authentication: kdf_by("akdk", b"", &mut mac)?,
            holders: kdf_by("holders", b"", &mut mac)?,
            morphs: kdf_by("morphs", b"", &mut mac)?,
        })
    }
}

impl KeyService {
    /// The key service of a root key in memory. The root itself is no longer needed and can be dropped.
    pub fn new(root: &RootKey) -> Self {
        let key = root.prepare();
        // Memory never fails.
        let Ok(derived) = Derived::by(|parts| Ok::<Mac, Infallible>(key.mac(parts)));
        Self { module: Box::new(key), derived }
    }

    /// The key service of a root key that a module keeps to itself.
    ///
    /// # Errors
    ///
    /// [`ModuleError`] if the module fails; then nothing can be started.
    pub fn open(module: Box<dyn KeyModule>) -> Result<Self, ModuleError> {
        let derived = Derived::by(|parts| module.root_mac(parts))?;
        Ok(Self { module, derived })
    }

    /// The root key's check value.
    pub fn check_value(&self) -> CheckValue {
        self.derived.check_value
    }

    /// The base keys that no BIN enters, prepared.
    pub fn base_keys(&self) -> BaseKeys {
        BaseKeys {
            numbers: NumberIndexer(self.derived.numbers.to_mac_key()),
            partitions: Partitioner(self.derived.partitions.to_mac_key()),
            references: Fingerprinter(self.derived.references.to_mac_key()),
            seals: self.derived.seals.to_mac_key(),
        }
    }

    /// The CVC2 key of one BIN: `kdf(root, "cvc2", lp(bin), 128)`.
    ///
    /// # Errors
    ///
    /// [`BinKeyError`] if `bin` is not 1 to 19 ASCII digits, or the module fails.
    pub fn cvc2_key(&self, bin: &[u8]) -> Result<Cvc2Key, BinKeyError> {
        Ok(Cvc2Key(self.derive::<16>("cvc2", &bin_context(bin)?)?.to_mac_key()))
    }

    /// The keys from which those of one BIN's cards are derived: `kdf(root, "bin", lp(bin), 256)` and
    /// `kdf(AKDK, "akbin", lp(bin), 256)`.
    ///
    /// # Errors
    ///
    /// As [`cvc2_key`](Self::cvc2_key).
    pub fn card_bin_keys(&self, bin: &[u8]) -> Result<CardBinKeys, BinKeyError> {
        let context = bin_context(bin)?;
        let own = self.derive::<32>("bin", &context)?;
        let authentication = kdf::<32>(&self.derived.authentication.to_mac_key(), "akbin", &context);
        Ok(CardBinKeys { own: own.to_mac_key(), authentication: authentication.to_mac_key() })
    }

    /// The authentication key derivation key (AKDK): `kdf(root, "akdk", "", 256)`.
    pub fn authentication_key(&self) -> AuthenticationKey {
        AuthenticationKey(self.derived.authentication.to_mac_key())
    }

    /// From which each cardholder's key is derived: `kdf(root, "holders", "", 256)`.
    pub fn holder_keys(&self) -> HolderKeys {
        HolderKeys(self.derived.holders.to_mac_key())
    }

    /// From which each cardholder's key for morph codes is derived: `kdf(root, "morphs", "", 256)`.
    pub fn morph_keys(&self) -> MorphKeys {
        MorphKeys(self.derived.morphs.to_mac_key())
    }

    /// The keys of the directory: what stands beside the money path, such as cardholders' names.
    pub fn directory_keys(&self) -> DirectoryKeys {
        DirectoryKeys {
            seals: SealKey::new(&self.derived.directory_seals),
            hashes: self.derived.directory_hashes.to_mac_key(),
        }
    }

    /// What is mixed into every password's hash, so that whoever has the hashes but not the root key can't even begin
    /// to guess: `kdf(root, "password-pepper", "", 256)`.
    pub fn password_pepper(&self) -> SecretKey<32> {
        self.derived.password_pepper.clone()
    }

    fn derive<const N: usize>(&self, label: &str, context: &[u8]) -> Result<SecretKey<N>, BinKeyError> {
        kdf_by(label, context, |parts| self.module.root_mac(parts)).map_err(BinKeyError::Module)
    }
}

/// The base keys, prepared and in memory, wiped on drop: all that the running system computes with.
pub struct BaseKeys {
    numbers: NumberIndexer,
    partitions: Partitioner,
    references: Fingerprinter,
    seals: MacKey,
}

impl BaseKeys {
    /// Number indexes, under `kdf(root, "number-index", "", 256)`.
    pub fn numbers(&self) -> &NumberIndexer {
        &self.numbers
    }

    /// Partitions, under `kdf(root, "partition", "", 128)`.
    pub fn partitions(&self) -> &Partitioner {
        &self.partitions
    }

    /// Fingerprints of message references and identities, under `kdf(root, "reference", "", 128)`.
    pub fn references(&self) -> &Fingerprinter {
        &self.references
    }

    /// The data key of one period (or key version): `kdf(kdf(root, "seal", "", 256), "period", period u32, 256)`, in
    /// two steps so that the key service is not asked for each period.
    ///
    /// It follows from the root, so it is never gone while the root exists. What must become unreadable when a period
    /// ends is sealed under a random key ([`SecretKey::generate`](crate::SecretKey::generate)) that is kept wrapped
    /// under this one ([`SealKey::wrap_key`](crate::SealKey::wrap_key)) and deleted in time.
    pub fn seal_key(&self, period: u32) -> SealKey {
        SealKey::new(&kdf::<32>(&self.seals, "period", &period.to_be_bytes()))
    }
}

opaque_debug!(KeyService, BaseKeys);

/// The most digits that a BIN, or any prefix that stands for one, can have.
pub const BIN_DIGITS_MAX: usize = 19;

fn bin_context(bin: &[u8]) -> Result<Vec<u8>, BinKeyError> {
    if bin.is_empty() || bin.len() > BIN_DIGITS_MAX {
        return Err(BinKeyError::Length { digits: bin.len() });
    }
    if let Some(position) = bin.iter().position(|byte| !byte.is_ascii_digit()) {
        return Err(BinKeyError::NotADigit { position });
    }
    lp(bin).map_err(|error| BinKeyError::Length { digits: error.bytes })
}

/// Why there are no keys of a BIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BinKeyError {
    /// It is empty or longer than [`BIN_DIGITS_MAX`].
    Length {
        /// Its length in bytes.
        digits: usize,
    },
    /// It has a byte that is no ASCII digit.
    NotADigit {
        /// Where, from 0.
        position: usize,
    },
    /// The module that has the root key failed.
    Module(ModuleError),
}

impl fmt::Display for BinKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { digits } => {
                write!(f, "a BIN has {digits} digits; set one of 1 to {BIN_DIGITS_MAX} (usually 6 or 8)")
            }
            Self::NotADigit { position } => {
                write!(f, "character {} of a BIN is no digit; set digits only", position + 1)
            }
            Self::Module(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BinKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Module(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::*;
    use crate::seal::SealPlace;
    use crate::testing::{Constant, hex};

    const NUMBER: &[u8] = b"4569409360110520";

    fn service() -> KeyService {
        KeyService::new(&RootKey::from_bytes(&core::array::from_fn(|at| at as u8)))
    }

    fn base() -> BaseKeys {
        service().base_keys()
    }

    /// Generated with CMAC and AESGCMSIV of the Python package `cryptography`, from the formulas in the doc comments:
    /// what is stored under these keys must be found again by every later version.
    #[test]
    fn every_derived_value_keeps_its_form() {
        let keys = base();
        assert_eq!(keys.numbers().index(NUMBER).to_string(), "72294eb328d85998");
        for (count, expected) in [(1, 0), (7, 0), (64, 23)] {
            assert_eq!(keys.partitions().partition(NUMBER, NonZeroU32::new(count).unwrap()), expected);
        }
        let parts: [&[u8]; 2] = [b"12345678901", b"123456"];
        assert_eq!(keys.references().fingerprint("request", &parts).to_string(), "e5ad70b80ea51547");
        assert_eq!(keys.references().fingerprint("", &[&[b'x'; 255]]).to_string(), "4abe049031e338b8");
        let place = SealPlace { tenant: b"acme-1", table: "cards", row: b"12345678", key_version: 7 };
        let sealed = keys.seal_key(7).seal(&place, b"secret", &mut Constant(9)).unwrap();
        assert_eq!(sealed, hex("0109090909090909090909090980986cef8c64317957ba9326e04ea681c341cf492cbb"));
    }

    /// Generated with CMAC and AESGCMSIV of the Python package `cryptography`, from the formulas in the doc comments.
    #[test]
    fn what_the_directory_keeps_keeps_its_form() {
        let keys = service().directory_keys();
        let parts: [&[u8]; 2] = [&7u64.to_be_bytes(), b"ada"];
        assert_eq!(keys.hash("login-name", &parts)[..], hex("59d184784d782fa05e4c41e34fdfbf1a"));
        assert_ne!(keys.hash("login-name", &parts), keys.hash("address", &parts));
        let place =
            SealPlace { tenant: b"acme-1", table: "cardholders.name", row: b"12345678", key_version: 1 };
        let sealed = keys.seals().seal(&place, b"secret", &mut Constant(9)).unwrap();
        assert_eq!(sealed, hex("01090909090909090909090909840d343aa2104c39dd37c26067e7396db92a5565dc78"));
        assert_eq!(
            service().password_pepper().expose()[..],
            hex("8bfebe52326ec88111d72b8b004ef237f47b48f41216a7b66360578950473ca6")
        );
    }

    #[test]
    fn what_is_no_bin_is_refused() {
        let refused = |bin: &[u8]| service().cvc2_key(bin).err();
        assert_eq!(refused(b""), Some(BinKeyError::Length { digits: 0 }));
        assert_eq!(refused(&[b'4'; 20]), Some(BinKeyError::Length { digits: 20 }));
        assert_eq!(refused(b"4569 0"), Some(BinKeyError::NotADigit { position: 4 }));
        assert!(BinKeyError::NotADigit { position: 4 }.to_string().contains("character 5"));
    }

    #[test]
    #[should_panic(expected = "passed the parser")]
    fn a_number_that_no_parser_lets_through_is_a_bug() {
        base().numbers().index(&[b'4'; 256]);
    }
}
