//! Versions of the root key from which cards' keys are derived: which one new cards get, which ones still count, and
//! which ones count no more.
//!
//! Each version is a root key of its own. A card's row names the version that its key was derived from, so a new
//! version interrupts nothing: cards that have an older one are verified as before until they are enrolled anew, and
//! only then is the old version retired. What is found or opened by keys of the first root key (number indexes,
//! sealed rows) stays with that.

use core::fmt;
use core::num::NonZeroU16;

use crate::root::CheckValue;

/// Number of a version, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct KeyVersion(NonZeroU16);

impl KeyVersion {
    /// The version of an installation that never had another.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// From a stored number; none for 0.
    pub fn from_number(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// As a number.
    pub fn number(self) -> u16 {
        self.0.get()
    }

    /// The one after it, if there can be one.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyVersion({self})")
    }
}

/// What a version is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Standing {
    /// New cards get it. There is always exactly one.
    Current,
    /// Cards that have it are still verified.
    Accepted,
    /// Whatever has it is refused. It never comes back.
    Retired,
}

/// A version, as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct VersionEntry {
    /// Its root key's check value: another key under its name is noticed at the start.
    pub check_value: CheckValue,
    /// What it is good for.
    pub standing: Standing,
}

/// All versions that an installation has had; the first of the list is version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersions(Vec<VersionEntry>);

impl KeyVersions {
    /// How many versions there can be.
    pub const COUNT_MAX: usize = 999;

    /// The first version, and no other.
    pub fn first(check_value: CheckValue) -> Self {
        Self(vec![VersionEntry { check_value, standing: Standing::Current }])
    }

    /// From what was written down.
    ///
    /// # Errors
    ///
    /// [`VersionError::NotOneCurrent`] or [`VersionError::TooMany`] if that can't be right.
    pub fn from_entries(entries: Vec<VersionEntry>) -> Result<Self, VersionError> {
        let current = entries.iter().filter(|entry| entry.standing == Standing::Current).count();
        if current != 1 {
            return Err(VersionError::NotOneCurrent { found: current });
        }
        if entries.len() > Self::COUNT_MAX {
            return Err(VersionError::TooMany);
        }
        Ok(Self(entries))
    }

    /// All of them, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (KeyVersion, VersionEntry)> {
        core::iter::successors(Some(KeyVersion::FIRST), |version| version.next()).zip(self.0.iter().copied())
    }

    /// The version that new cards get.
    pub fn current(&self) -> KeyVersion {
        let current = self.entries().find(|(_, entry)| entry.standing == Standing::Current);
        // There is always one.
        current.map_or(KeyVersion::FIRST, |(version, _)| version)
    }

    /// A version that counts.
    ///
    /// # Errors
    ///
    /// [`VersionError::Unknown`], [`VersionError::Retired`].
    pub fn usable(&self, version: KeyVersion) -> Result<VersionEntry, VersionError> {
        let entry = self.0.get(usize::from(version.number()) - 1).copied();
        match entry.ok_or(VersionError::Unknown { version })? {
            VersionEntry { standing: Standing::Retired, .. } => Err(VersionError::Retired { version }),
            entry => Ok(entry),
        }
    }

    /// A new version, of the root key with this check value, is the current one from now on.
    ///
    /// # Errors
    ///
    /// [`VersionError::KeyAgain`] if a version has, or had, the same key; [`VersionError::TooMany`].
    pub fn rotate(&mut self, check_value: CheckValue) -> Result<KeyVersion, VersionError> {
        if let Some((version, _)) = self.entries().find(|(_, entry)| entry.check_value == check_value) {
            return Err(VersionError::KeyAgain { version });
        }
        if self.0.len() >= Self::COUNT_MAX {
            return Err(VersionError::TooMany);
        }
        for entry in &mut self.0 {
            if entry.standing == Standing::Current {
                entry.standing = Standing::Accepted;
            }
        }
        self.0.push(VersionEntry { check_value, standing: Standing::Current });
        Ok(self.current())
    }

    /// A version counts no more.
    ///
    /// # Errors
    ///
    /// [`VersionError::Current`] for the one that new cards get: rotate first. [`VersionError::Unknown`],
    /// [`VersionError::Retired`].
    pub fn retire(&mut self, version: KeyVersion) -> Result<(), VersionError> {
        if self.usable(version)?.standing == Standing::Current {
            return Err(VersionError::Current { version });
        }
        self.0[usize::from(version.number()) - 1].standing = Standing::Retired;
        Ok(())
    }
}

/// Why a version is none, or can't become what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionError {
    /// There is no such version.
    Unknown {
        /// Its number.
        version: KeyVersion,
    },
    /// It counts no more.
    Retired {
        /// Its number.
        version: KeyVersion,
    },
    /// It is the current one, so it can't be retired.
    Current {
        /// Its number.
        version: KeyVersion,
    },
    /// The key of the new version is that of another.
    KeyAgain {
        /// The other's number.
        version: KeyVersion,
    },
    /// There are as many versions as there can be.
    TooMany,
    /// A list of versions has none that is current, or several.
    NotOneCurrent {
        /// How many.
        found: usize,
    },
}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { version } => write!(f, "there is no key version {version}"),
            Self::Retired { version } => {
                write!(f, "key version {version} is retired; the card must be enrolled anew")
            }
            Self::Current { version } => {
                write!(
                    f,
                    "key version {version} is the current one; rotate to a new one before it is retired"
                )
            }
            Self::KeyAgain { version } => {
                write!(f, "key version {version} has the same key; a new version needs a new one")
            }
            Self::TooMany => write!(f, "there are {} key versions already", KeyVersions::COUNT_MAX),
            Self::NotOneCurrent { found } => {
                write!(f, "{found} key versions are current instead of one: the list is damaged; restore it")
            }
        }
    }
}

impl std::error::Error for VersionError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u16) -> KeyVersion {
        KeyVersion::from_number(number).unwrap()
    }

    #[test]
    fn a_new_version_is_current_and_the_one_before_still_counts() {
        let mut versions = KeyVersions::first(CheckValue([1; 3]));
        assert_eq!(versions.current(), KeyVersion::FIRST);
        assert_eq!(versions.rotate(CheckValue([2; 3])), Ok(version(2)));
        assert_eq!(versions.current(), version(2));
        assert_eq!(versions.usable(version(1)).map(|entry| entry.standing), Ok(Standing::Accepted));
        assert_eq!(versions.usable(version(2)).map(|entry| entry.standing), Ok(Standing::Current));
        let kept = versions.entries().map(|(_, entry)| entry).collect();
        assert_eq!(KeyVersions::from_entries(kept), Ok(versions));
    }

    #[test]
    fn what_is_retired_is_refused_for_good() {
        let mut versions = KeyVersions::first(CheckValue([1; 3]));
        assert_eq!(versions.retire(version(1)), Err(VersionError::Current { version: version(1) }));
        versions.rotate(CheckValue([2; 3])).unwrap();
        assert_eq!(versions.retire(version(1)), Ok(()));
        let retired = VersionError::Retired { version: version(1) };
        assert_eq!(versions.usable(version(1)), Err(retired));
        assert_eq!(versions.retire(version(1)), Err(retired));
        assert_eq!(versions.usable(version(3)), Err(VersionError::Unknown { version: version(3) }));
        // Not even under a new number.
        assert_eq!(versions.rotate(CheckValue([1; 3])), Err(VersionError::KeyAgain { version: version(1) }));
    }

    #[test]
    fn a_list_without_one_current_version_is_damaged() {
        let entry = VersionEntry { check_value: CheckValue([1; 3]), standing: Standing::Current };
        let other = VersionEntry { standing: Standing::Accepted, ..entry };
        for (entries, found) in [(vec![], 0), (vec![other], 0), (vec![entry, other, entry], 2)] {
            assert_eq!(KeyVersions::from_entries(entries), Err(VersionError::NotOneCurrent { found }));
        }
        let mut many = vec![other; KeyVersions::COUNT_MAX];
        many[7] = entry;
        let mut full = KeyVersions::from_entries(many.clone()).unwrap();
        assert_eq!(full.rotate(CheckValue([2; 3])), Err(VersionError::TooMany));
        many.push(other);
        assert_eq!(KeyVersions::from_entries(many), Err(VersionError::TooMany));
    }
}
