//! The versions of the cards' keys: loaded at start, rotated and retired while the server runs.
//!
//! What counts stands in the directory; where each version's root key is says the configuration. Version 1 is the root
//! key itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use mayfly_core::state::Register;
use mayfly_engine::Clock;
use mayfly_keys::{
    CardKeys, KeyService, KeyVersion, KeyVersions, KeyringError, Standing, VersionEntry, VersionError,
};
use mayfly_office::OfficeError;
use mayfly_store::directory::{By, Directory, DirectoryError, key_versions_of};

use crate::config::{ConfigError, KeySettings, KeySource, Settings};
use crate::protocol::{self, AdminError, ErrorCode, Time};
use crate::server::StartError;

/// Who has the command line, in the audit stream; and who starts the server.
pub(crate) const OPERATOR: &str = "operator";

/// The key services of a start: that of the root key, and those of versions that count.
pub(crate) struct KeyServices {
    root: Arc<KeyService>,
    of_versions: BTreeMap<KeyVersion, Arc<KeyService>>,
}

impl KeyServices {
    /// Opens what the directory says that counts, as far as that is known already: whoever stands by must not find out only
    /// when he is needed that a key is missing.
    ///
    /// # Errors
    /// If one is missing, or another key than the one that the version was made with: its version is named.
    pub(crate) fn open(settings: &Settings, root: KeyService) -> Result<Self, StartError> {
        let root = Arc::new(root);
        let mut services = Self { root, of_versions: BTreeMap::new() };
        let rows = key_versions_of(&settings.home).map_err(StartError::Store)?;
        services.complete(&settings.keys, rows.into_iter().map(|row| (row.version, row.entry)))?;
        Ok(services)
    }

    /// The service of the root key.
    pub(crate) fn root(&self) -> &Arc<KeyService> {
        &self.root
    }

    /// Opens those of versions that count and are not open yet.
    fn complete(
        &mut self,
        settings: &KeySettings,
        versions: impl Iterator<Item = (KeyVersion, VersionEntry)>,
    ) -> Result<(), StartError> {
        for (version, entry) in versions.filter(|(_, entry)| entry.standing != Standing::Retired) {
            let service = match self.of_versions.get(&version) {
                Some(service) => service.clone(),
                None if version == KeyVersion::FIRST => self.root.clone(),
                None => Arc::new(open(settings, version)?),
            };
            let (expected, found) = (entry.check_value, service.check_value());
            if expected != found {
                return Err(StartError::Keys(KeyringError::OtherKey { version, expected, found }));
            }
            self.of_versions.insert(version, service);
        }
        Ok(())
    }

    /// The keys of cards, for the BINs of all programmes, in all versions that count by now.
    ///
    /// # Errors
    /// As [`open`](Self::open), or if the directory can't be written.
    pub(crate) fn card_keys(
        mut self,
        settings: &Settings,
        directory: &Directory,
        now_ms: u64,
        register: &Register,
    ) -> Result<CardKeys, StartError> {
        let by = By { actor: OPERATOR, now_ms };
        let check_value = self.root.check_value();
        let versions: KeyVersions = directory
            .write(by, |writing| writing.begin_key_versions(check_value))
            .map_err(StartError::Records)?;
        let is_missing = |(version, entry): (KeyVersion, VersionEntry)| {
            entry.standing != Standing::Retired && !self.of_versions.contains_key(&version)
        };
        if versions.entries().any(is_missing) {
            // Another gateway may have made one while this one stood by; where it is was written down since.
            self.complete(&key_settings(settings).map_err(StartError::Config)?, versions.entries())?;
        }
        let bins: Vec<_> = register.programmes().iter().map(|it| it.terms.prefix.bin()).collect();
        let bins: Vec<&[u8]> = bins.iter().map(|bin| &bin[..]).collect();
        let current = versions.current();
        let loaded = CardKeys::load(versions, &self.of_versions, &bins).map_err(StartError::Keys)?;
        let versions = self.of_versions.len();
        tracing::info!(versions, %current, "the keys of cards were loaded");
        Ok(loaded)
    }
}

fn open(settings: &KeySettings, version: KeyVersion) -> Result<KeyService, StartError> {
    let source = settings.cards.get(&version).ok_or(StartError::CardKeyUnnamed { version })?;
    source.open().map_err(|error| StartError::CardKey { version, source: source.to_string(), error })
}

/// What the configuration says now; that of the start if there is no file.
fn key_settings(settings: &Settings) -> Result<KeySettings, ConfigError> {
    if settings.file.exists() {
        Settings::of_file(&settings.file).map(|settings| settings.keys)
    } else {
        Ok(settings.keys.clone())
    }
}

/// Where operators see, rotate and retire versions. All of it blocks.
pub(crate) struct VersionDesk {
    cards: Arc<CardKeys>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    settings: Settings,
}

impl VersionDesk {
    pub(crate) fn new(
        cards: Arc<CardKeys>,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self { cards, directory, clock, settings }
    }

    /// All versions, and how many cards have each.
    pub(crate) fn list(&self) -> Result<Vec<protocol::KeyVersion>, AdminError> {
        let rows = self.directory.key_versions().map_err(refused)?;
        let cards: BTreeMap<_, _> =
            self.directory.conversions_by_version().map_err(refused)?.into_iter().collect();
        let shown = rows.into_iter().map(|row| protocol::KeyVersion {
            version: row.version.number(),
            standing: match row.entry.standing {
                Standing::Current => protocol::KeyStanding::Current,
                Standing::Accepted => protocol::KeyStanding::Accepted,
                Standing::Retired => protocol::KeyStanding::Retired,
            },
            check_value: row.entry.check_value.to_string(),
            cards: cards.get(&row.version).copied().unwrap_or(0),
            created: Time(row.created_ms),
            retired: row.retired_ms.map(Time),
        });
        Ok(shown.collect())
    }

    /// Makes the version after the last one the current one. Where its root key is says the configuration as it is now.
    pub(crate) fn rotate(&self) -> Result<Vec<protocol::KeyVersion>, AdminError> {
        let settings =
            key_settings(&self.settings).map_err(|error| AdminError::new(ErrorCode::Conflict, error))?;
        let next = {
            let ring = self.cards.ring().read();
            let ring = ring.map_err(|_| AdminError::new(ErrorCode::Internal, "the keys can't be read"))?;
            ring.versions().entries().last().and_then(|(last, _)| last.next())
        };
        let too_many = || AdminError::new(ErrorCode::Limit, VersionError::TooMany);
        let version = next.ok_or_else(too_many)?;
        let source = settings.cards.get(&version).ok_or_else(|| unnamed(version))?;
        let opened = source.open().map_err(|error| unopened(version, source, &error))?;
        let rotated = self.cards.rotate(Arc::new(opened), |asked, check_value| {
            let write = |writing: &mayfly_store::directory::Writing<'_>| {
                writing.rotate_key_version(asked, check_value).map(drop)
            };
            self.directory.write(self.by(), write).map_err(Failed::Directory)
        });
        let version = rotated.map_err(AdminError::from)?;
        tracing::info!(%version, "new cards get another version of the keys from now on");
        self.list()
    }

    /// A version counts no more, for good.
    pub(crate) fn retire(&self, number: u16, force: bool) -> Result<Vec<protocol::KeyVersion>, AdminError> {
        let version = KeyVersion::from_number(number)
            .ok_or_else(|| AdminError::new(ErrorCode::Invalid, "versions count from 1"))?;
        let retired = self.cards.retire(version, || {
            let write = |writing: &mayfly_store::directory::Writing<'_>| {
                writing.retire_key_version(version, force).map(drop)
            };
            self.directory.write(self.by(), write).map_err(Failed::Directory)
        });
        retired.map_err(AdminError::from)?;
        tracing::info!(%version, force, "a version of the cards' keys counts no more");
        self.list()
    }

    fn by(&self) -> By<'static> {
        By { actor: OPERATOR, now_ms: self.clock.now_ms() }
    }
}

/// Why a version was not made or retired.
enum Failed {
    Keys(KeyringError),
    Directory(DirectoryError),
}

impl From<KeyringError> for Failed {
    fn from(error: KeyringError) -> Self {
        Self::Keys(error)
    }
}

impl From<VersionError> for Failed {
    fn from(error: VersionError) -> Self {
        Self::Keys(KeyringError::Version(error))
    }
}

impl From<Failed> for AdminError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Keys(KeyringError::Version(error)) => refused(DirectoryError::KeyVersion(error)),
            Failed::Keys(error) => Self::new(ErrorCode::Keys, error),
            Failed::Directory(error) => refused(error),
        }
    }
}

fn refused(error: DirectoryError) -> AdminError {
    OfficeError::Directory(error).into()
}

fn unnamed(version: KeyVersion) -> AdminError {
    AdminError::new(
        ErrorCode::Conflict,
        format!(
            "the configuration does not say where the root key of version {version} is; add {{ version = {version}, … }} \
             to keys.card_keys first"
        ),
    )
}

fn unopened(version: KeyVersion, source: &KeySource, error: &crate::KeySourceError) -> AdminError {
    AdminError::new(
        ErrorCode::Keys,
        format!("key version {version} ({source}): {error}; nothing was changed"),
    )
}
