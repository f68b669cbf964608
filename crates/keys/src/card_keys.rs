//! The keys of cards while a server runs: read for every request, changed when a BIN is set up or a version comes or goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::base::KeyService;
use crate::keyring::{CardKeyring, KeyringError, VersionKeys};
use crate::opaque::opaque_debug;
use crate::root::CheckValue;
use crate::version::{KeyVersion, KeyVersions, Standing, VersionError};

/// A [`CardKeyring`] that requests read, and the key services behind its versions, for what is set up later.
///
/// A service may wait for a hardware module, so it is asked while nobody who reads the ring has to wait: what it gives is
/// put into the ring when all of it is there. Changes take turns.
pub struct CardKeys {
    ring: Arc<RwLock<CardKeyring>>,
    /// Of each version that counts. Whoever changes the ring holds this lock, however long he asks.
    services: Mutex<BTreeMap<KeyVersion, Arc<KeyService>>>,
}

impl CardKeys {
    /// Of these versions, with the key service of each one that counts, for these BINs (ASCII digits). Services of versions
    /// that count no more are left alone.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NotLoaded`] for a version whose service is missing; [`KeyringError::OtherKey`] for one that has
    /// another root key; [`KeyringError::Bin`].
    pub fn load(
        versions: KeyVersions,
        services: &BTreeMap<KeyVersion, Arc<KeyService>>,
        bins: &[&[u8]],
    ) -> Result<Self, KeyringError> {
        let mut ring = CardKeyring::new(versions.clone());
        let mut used = BTreeMap::new();
        for (version, _) in versions.entries().filter(|(_, entry)| entry.standing != Standing::Retired) {
            let service = services.get(&version).ok_or(KeyringError::NotLoaded { version })?;
            ring.load(version, service, bins.iter().copied())?;
            used.insert(version, service.clone());
        }
        Ok(Self { ring: Arc::new(RwLock::new(ring)), services: Mutex::new(used) })
    }

    /// What requests read.
    pub fn ring(&self) -> &Arc<RwLock<CardKeyring>> {
        &self.ring
    }

    /// Sets a BIN up in all versions that count. It may wait for a module, unless the BIN is there.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Bin`]; then no version has it.
    pub fn add_bin(&self, bin: &[u8]) -> Result<(), KeyringError> {
        let services = self.services();
        if self.read().has_bin(bin) {
            return Ok(());
        }
        let derived = services.iter().map(|(version, service)| Ok((*version, service.card_bin_keys(bin)?)));
        let derived: Vec<_> = derived.collect::<Result<_, KeyringError>>()?;
        let mut ring = self.write();
        derived.into_iter().try_for_each(|(version, keys)| ring.put_bin(version, bin, keys))
    }

    /// A new version, of this service's root key, is the current one from now on. It is handed to `write_down` when its
    /// keys are derived; only what was written down comes into the ring.
    ///
    /// # Errors
    ///
    /// [`KeyringError`], or what `write_down` says; then nothing is changed here.
    pub fn rotate<E: From<KeyringError>>(
        &self,
        service: Arc<KeyService>,
        write_down: impl FnOnce(KeyVersion, CheckValue) -> Result<(), E>,
    ) -> Result<KeyVersion, E> {
        let mut services = self.services();
        let check_value = service.check_value();
        let (version, keys) = {
            let ring = self.read();
            let version = ring.versions().clone().rotate(check_value).map_err(KeyringError::from)?;
            let bins: Vec<Box<[u8]>> = ring.bins().map(Box::from).collect();
            drop(ring);
            let keys = VersionKeys::derive(&service, bins.iter().map(|bin| &**bin));
            (version, keys.map_err(KeyringError::from)?)
        };
        write_down(version, check_value)?;
        // Tried above, and nobody else has changed it.
        self.write().rotate_to(keys).map_err(KeyringError::from)?;
        services.insert(version, service);
        Ok(version)
    }

    /// A version counts no more, as soon as that is written down; its keys are wiped.
    ///
    /// # Errors
    ///
    /// As [`KeyVersions::retire`], or what `write_down` says; then nothing is changed here.
    pub fn retire<E: From<VersionError>>(
        &self,
        version: KeyVersion,
        write_down: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut services = self.services();
        self.read().versions().clone().retire(version)?;
        write_down()?;
        self.write().retire(version)?;
        services.remove(&version);
        Ok(())
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<KeyVersion, Arc<KeyService>>> {
        // A map is whole between its changes.
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, CardKeyring> {
        // Nobody panics while he changes it.
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, CardKeyring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

opaque_debug!(CardKeys);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::base::BinKeyError;
    use crate::mac::{Mac, MacKey};
    use crate::module::{KeyModule, ModuleError};
    use crate::root::RootKey;

    const BIN: &[u8] = b"541999";
    const OTHER: &[u8] = b"541998";

    /// A module that can be away, and counts how often it is asked.
    #[derive(Clone)]
    struct Module(Arc<State>);

    struct State {
        key: MacKey,
        away: AtomicBool,
        asked: AtomicUsize,
    }

    impl Module {
        fn new(root: u8) -> Self {
            let key = RootKey::from_bytes(&[root; 32]).prepare();
            Self(Arc::new(State { key, away: AtomicBool::new(false), asked: AtomicUsize::new(0) }))
        }

        fn service(&self) -> Arc<KeyService> {
            Arc::new(KeyService::open(Box::new(self.clone())).unwrap())
        }

        fn asked(&self) -> usize {
            self.0.asked.load(Ordering::SeqCst)
        }

        fn away(&self, away: bool) {
            self.0.away.store(away, Ordering::SeqCst);
        }
    }

    impl KeyModule for Module {
        fn root_mac(&self, parts: &[&[u8]]) -> Result<Mac, ModuleError> {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            if self.0.away.load(Ordering::SeqCst) { Err(lost()) } else { Ok(self.0.key.mac(parts)) }
        }
    }

    fn lost() -> ModuleError {
        ModuleError::Failed { function: "C_Sign".to_owned(), reason: "DeviceRemoved".to_owned() }
    }

    fn version(number: u16) -> KeyVersion {
        KeyVersion::from_number(number).unwrap()
    }

    fn loaded(module: &Module) -> CardKeys {
        let service = module.service();
        let versions = KeyVersions::first(service.check_value());
        CardKeys::load(versions, &BTreeMap::from([(KeyVersion::FIRST, service)]), &[BIN]).unwrap()
    }

    fn rotate(keys: &CardKeys, module: &Module) -> Result<KeyVersion, KeyringError> {
        keys.rotate(module.service(), |_, _| Ok(()))
    }

    #[test]
    fn a_bin_is_asked_for_once_and_not_at_all_if_a_module_is_away() {
        let (one, two) = (Module::new(1), Module::new(2));
        let keys = loaded(&one);
        rotate(&keys, &two).unwrap();
        let asked = (one.asked(), two.asked());
        keys.add_bin(BIN).unwrap();
        assert_eq!((one.asked(), two.asked()), asked);
        two.away(true);
        assert_eq!(keys.add_bin(OTHER), Err(KeyringError::Bin(BinKeyError::Module(lost()))));
        let ring = keys.ring().read().unwrap();
        assert_eq!(
            ring.base(version(1), OTHER).err(),
            Some(KeyringError::UnknownBin { version: version(1) })
        );
        drop(ring);
        two.away(false);
        keys.add_bin(OTHER).unwrap();
        assert!(keys.ring().read().unwrap().has_bin(OTHER));
        assert_eq!(keys.add_bin(b"x"), Err(KeyringError::Bin(BinKeyError::NotADigit { position: 0 })));
    }

    #[test]
    fn what_is_not_written_down_does_not_come() {
        let (one, two) = (Module::new(1), Module::new(2));
        let keys = loaded(&one);
        let refused = KeyringError::NotLoaded { version: version(7) };
        let service = two.service();
        assert_eq!(keys.rotate(service.clone(), |_, _| Err(refused.clone())), Err(refused));
        assert_eq!(keys.ring().read().unwrap().current(), version(1));
        two.away(true);
        let never = |_, _| -> Result<(), KeyringError> { panic!("it is written down without its keys") };
        assert_eq!(keys.rotate(service, never), Err(KeyringError::Bin(BinKeyError::Module(lost()))));
        let again = KeyringError::Version(VersionError::KeyAgain { version: version(1) });
        assert_eq!(rotate(&keys, &one), Err(again));
        two.away(false);
        assert_eq!(rotate(&keys, &two), Ok(version(2)));
        // The new version has what the old one has.
        assert!(keys.ring().read().unwrap().has_bin(BIN));
        assert_eq!(keys.retire(version(1), || Err(VersionError::TooMany)), Err(VersionError::TooMany));
        assert!(keys.ring().read().unwrap().base(version(1), BIN).is_ok());
        let current = VersionError::Current { version: version(2) };
        assert_eq!(keys.retire::<VersionError>(version(2), || panic!("it is current")), Err(current));
        assert_eq!(keys.retire::<VersionError>(version(1), || Ok(())), Ok(()));
        assert!(keys.ring().read().unwrap().base(version(1), BIN).is_err());
        // A version that counts no more is asked for nothing.
        one.away(true);
        keys.add_bin(OTHER).unwrap();
    }

    #[test]
    fn every_version_that_counts_must_be_there_and_be_the_right_one() {
        let (one, two) = (Module::new(1).service(), Module::new(2).service());
        let mut versions = KeyVersions::first(one.check_value());
        versions.rotate(two.check_value()).unwrap();
        let load = |versions: &KeyVersions, services: &[(u16, &Arc<KeyService>)]| {
            let services = services.iter().map(|(number, service)| (version(*number), (*service).clone()));
            CardKeys::load(versions.clone(), &services.collect(), &[BIN]).err()
        };
        assert_eq!(load(&versions, &[(1, &one), (2, &two)]), None);
        assert_eq!(load(&versions, &[(1, &one)]), Some(KeyringError::NotLoaded { version: version(2) }));
        let (expected, found) = (two.check_value(), one.check_value());
        let other = KeyringError::OtherKey { version: version(2), expected, found };
        assert_eq!(load(&versions, &[(1, &one), (2, &one)]), Some(other));
        versions.retire(version(1)).unwrap();
        assert_eq!(load(&versions, &[(2, &two)]), None);
    }
}
