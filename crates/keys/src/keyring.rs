//! The base keys of cards in all versions that count, in memory.

use core::fmt;
use std::collections::BTreeMap;

use crate::base::{BinKeyError, KeyService};
use crate::cards::{AuthenticationKey, CardBase, CardBinKeys};
use crate::opaque::opaque_debug;
use crate::root::CheckValue;
use crate::version::{KeyVersion, KeyVersions, Standing, VersionError};

/// What cards' keys are derived from: by version, and in each by BIN. Wiped on drop.
///
/// A version is loaded with the key service of its root key; from then on nobody is asked for a request. Whoever runs
/// keeps the services, for BINs that are set up later.
pub struct CardKeyring {
    versions: KeyVersions,
    loaded: BTreeMap<KeyVersion, VersionKeys>,
}

/// The keys of one version, derived for the BINs that there are, and not yet in a ring. Wiped on drop.
pub struct VersionKeys {
    check_value: CheckValue,
    authentication: AuthenticationKey,
    /// Few, and looked up by reference: no allocation.
    bins: BTreeMap<Box<[u8]>, CardBinKeys>,
}

impl VersionKeys {
    /// Derives them, for these BINs (ASCII digits): whoever has a module behind its service waits for it here.
    ///
    /// # Errors
    ///
    /// [`BinKeyError`] if a BIN is none, or the module fails.
    pub fn derive<'a>(
        service: &KeyService,
        bins: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, BinKeyError> {
        let bins = bins.into_iter().map(|bin| Ok((bin.into(), service.card_bin_keys(bin)?)));
        Ok(Self {
            check_value: service.check_value(),
            authentication: service.authentication_key(),
            bins: bins.collect::<Result<_, BinKeyError>>()?,
        })
    }
}

impl CardKeyring {
    /// Of these versions, none of them loaded yet.
    pub fn new(versions: KeyVersions) -> Self {
        Self { versions, loaded: BTreeMap::new() }
    }

    /// The versions, to be written down.
    pub fn versions(&self) -> &KeyVersions {
        &self.versions
    }

    /// Derives the keys of a version, for these BINs (ASCII digits).
    ///
    /// # Errors
    ///
    /// [`KeyringError`] if the version is unknown or retired, if the service has another root key than the version
    /// was made with, or if a BIN is none. Then nothing is changed.
    pub fn load<'a>(
        &mut self,
        version: KeyVersion,
        service: &KeyService,
        bins: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), KeyringError> {
        self.check(version, service.check_value())?;
        self.put(version, VersionKeys::derive(service, bins)?)
    }

    /// Takes the keys of a version that were derived before.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn put(&mut self, version: KeyVersion, keys: VersionKeys) -> Result<(), KeyringError> {
        self.check(version, keys.check_value)?;
        self.loaded.insert(version, keys);
        Ok(())
    }

    /// Derives the keys of a BIN that is set up while running, in a version that was loaded.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn add_bin(
        &mut self,
        version: KeyVersion,
        service: &KeyService,
        bin: &[u8],
    ) -> Result<(), KeyringError> {
        self.check(version, service.check_value())?;
        self.loaded.get(&version).ok_or(KeyringError::NotLoaded { version })?;
        self.put_bin(version, bin, service.card_bin_keys(bin)?)
    }

    /// Takes the keys of a BIN that were derived before, by the service of that version.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NotLoaded`].
    pub fn put_bin(
        &mut self,
        version: KeyVersion,
        bin: &[u8],
        keys: CardBinKeys,
    ) -> Result<(), KeyringError> {
        let loaded = self.loaded.get_mut(&version).ok_or(KeyringError::NotLoaded { version })?;
        loaded.bins.insert(bin.into(), keys);
        Ok(())
    }

    /// The BINs that the current version has keys of.
    pub fn bins(&self) -> impl Iterator<Item = &[u8]> {
        self.loaded.get(&self.current()).into_iter().flat_map(|loaded| loaded.bins.keys().map(|bin| &**bin))
    }

    /// Whether each version that counts has keys of a BIN.
    pub fn has_bin(&self, bin: &[u8]) -> bool {
        self.usable().all(|(version, _)| self.base(version, bin).is_ok())
    }

    fn usable(&self) -> impl Iterator<Item = (KeyVersion, CheckValue)> {
        let usable = self.versions.entries().filter(|(_, entry)| entry.standing != Standing::Retired);
        usable.map(|(version, entry)| (version, entry.check_value))
    }

    /// A new version, of this service's root key, is the current one from now on, with keys for these BINs. Cards of
    /// the one before are verified as they were.
    ///
    /// # Errors
    ///
    /// [`KeyringError`]; then nothing is changed.
    pub fn rotate<'a>(
        &mut self,
        service: &KeyService,
        bins: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<KeyVersion, KeyringError> {
        Ok(self.rotate_to(VersionKeys::derive(service, bins)?)?)
    }

    /// The same, with keys that were derived before.
    ///
    /// # Errors
    ///
    /// As [`KeyVersions::rotate`]; then nothing is changed.
    pub fn rotate_to(&mut self, keys: VersionKeys) -> Result<KeyVersion, VersionError> {
        let version = self.versions.rotate(keys.check_value)?;
        self.loaded.insert(version, keys);
        Ok(version)
    }

    /// A version counts no more; its keys are wiped.
    ///
    /// # Errors
    ///
    /// As [`KeyVersions::retire`]; then nothing is changed.
    pub fn retire(&mut self, version: KeyVersion) -> Result<(), VersionError> {
        self.versions.retire(version)?;
        self.loaded.remove(&version);
        Ok(())
    }

    /// The version that new cards get.
    pub fn current(&self) -> KeyVersion {
        self.versions.current()
    }

    /// What the keys of a BIN's cards are derived from, in one version.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Version`] for a version that is unknown or retired, [`KeyringError::NotLoaded`],
    /// [`KeyringError::UnknownBin`].
    pub fn base(&self, version: KeyVersion, bin: &[u8]) -> Result<CardBase<'_>, KeyringError> {
        self.versions.usable(version)?;
        let loaded = self.loaded.get(&version).ok_or(KeyringError::NotLoaded { version })?;
        let bin = loaded.bins.get(bin).ok_or(KeyringError::UnknownBin { version })?;
        Ok(CardBase { authentication: &loaded.authentication, bin })
    }

    fn check(&self, version: KeyVersion, found: CheckValue) -> Result<(), KeyringError> {
        let expected = self.versions.usable(version)?.check_value;
        if expected == found { Ok(()) } else { Err(KeyringError::OtherKey { version, expected, found }) }
    }
}

opaque_debug!(CardKeyring, VersionKeys);

/// Why there are no keys of a version or BIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyringError {
    /// The version is unknown or retired, or can't become what it should.
    Version(VersionError),
    /// The version counts, and its root key was not there when the keys were loaded.
    NotLoaded {
        /// The version.
        version: KeyVersion,
    },
    /// The BIN was not set up in this version.
    UnknownBin {
        /// The version.
        version: KeyVersion,
    },
    /// The root key is not the one that the version was made with.
    OtherKey {
        /// The version.
        version: KeyVersion,
        /// The check value of the version's key.
        expected: CheckValue,
        /// The check value of the key that is there.
        found: CheckValue,
    },
    /// The keys of a BIN could not be derived.
    Bin(BinKeyError),
}

impl From<VersionError> for KeyringError {
    fn from(error: VersionError) -> Self {
        Self::Version(error)
    }
}

impl From<BinKeyError> for KeyringError {
    fn from(error: BinKeyError) -> Self {
        Self::Bin(error)
    }
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(error) => error.fmt(f),
            Self::NotLoaded { version } => {
                write!(
                    f,
                    "the keys of version {version} are not loaded; start with its root key, or retire it"
                )
            }
            Self::UnknownBin { version } => {
                write!(f, "there are no keys of this BIN in version {version}; set it up first")
            }
            Self::OtherKey { version, expected, found } => write!(
                f,
                "key version {version} was made with the root key of check value {expected}, this one has {found}; \
                 bring the right one"
            ),
            Self::Bin(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for KeyringError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Version(error) => Some(error),
            Self::Bin(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RootKey;

    const BIN: &[u8] = b"541999";
    const PAN: &[u8] = b"5400001234567892";

    fn service(root: u8) -> KeyService {
        KeyService::new(&RootKey::from_bytes(&[root; 32]))
    }

    fn version(number: u16) -> KeyVersion {
        KeyVersion::from_number(number).unwrap()
    }

    fn ring(service: &KeyService) -> CardKeyring {
        let mut ring = CardKeyring::new(KeyVersions::first(service.check_value()));
        ring.load(KeyVersion::FIRST, service, [BIN]).unwrap();
        ring
    }

    #[test]
    fn rotation_interrupts_nothing_and_retirement_ends_a_version() {
        let (old, new) = (service(1), service(2));
        let mut ring = ring(&old);
        let before = ring.base(version(1), BIN).unwrap().of_pan(PAN);

        assert_eq!(ring.rotate(&new, [BIN]), Ok(version(2)));
        assert_eq!(ring.current(), version(2));
        assert_eq!(ring.base(version(1), BIN).unwrap().of_pan(PAN).expose(), before.expose());
        assert_ne!(ring.base(version(2), BIN).unwrap().of_pan(PAN).expose(), before.expose());

        assert_eq!(ring.retire(version(2)), Err(VersionError::Current { version: version(2) }));
        assert_eq!(ring.retire(version(1)), Ok(()));
        let retired = KeyringError::Version(VersionError::Retired { version: version(1) });
        assert_eq!(ring.base(version(1), BIN).err(), Some(retired.clone()));
        assert_eq!(ring.load(version(1), &old, [BIN]), Err(retired));
        assert!(ring.loaded.keys().eq(&[version(2)]));
        assert!(ring.base(version(2), BIN).is_ok());
    }

    #[test]
    fn a_failed_rotation_changes_nothing() {
        let mut ring = ring(&service(1));
        let before = ring.versions().clone();
        assert_eq!(
            ring.rotate(&service(2), [BIN, b"5419x9"]),
            Err(KeyringError::Bin(BinKeyError::NotADigit { position: 4 }))
        );
        assert_eq!(
            ring.rotate(&service(1), [BIN]),
            Err(KeyringError::Version(VersionError::KeyAgain { version: version(1) }))
        );
        assert_eq!(*ring.versions(), before);
        assert_eq!(ring.loaded.len(), 1);
    }

    #[test]
    fn another_root_key_is_noticed_and_what_is_missing_is_named() {
        let (right, wrong) = (service(1), service(2));
        let mut ring = CardKeyring::new(KeyVersions::first(right.check_value()));
        assert_eq!(ring.base(version(1), BIN).err(), Some(KeyringError::NotLoaded { version: version(1) }));
        assert_eq!(
            ring.add_bin(version(1), &right, BIN),
            Err(KeyringError::NotLoaded { version: version(1) })
        );
        let (expected, found) = (right.check_value(), wrong.check_value());
        assert_eq!(
            ring.load(version(1), &wrong, [BIN]),
            Err(KeyringError::OtherKey { version: version(1), expected, found })
        );
        ring.load(version(1), &right, []).unwrap();
        assert_eq!(ring.base(version(1), BIN).err(), Some(KeyringError::UnknownBin { version: version(1) }));
        ring.add_bin(version(1), &right, BIN).unwrap();
        assert!(ring.base(version(1), BIN).is_ok());
        let unknown = VersionError::Unknown { version: version(2) };
        assert_eq!(ring.base(version(2), BIN).err(), Some(KeyringError::Version(unknown)));
    }
}
