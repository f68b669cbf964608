//! Which versions the keys of cards have had: their root keys' check values, and what each is good for. No key is here.

use mayfly_core::TimeMs;
use mayfly_keys::{CheckValue, KeyVersion, KeyVersions, Standing, VersionEntry, VersionError};
use serde_json::json;

use super::{CACHE_BYTES, Directory, DirectoryError, Entry, FORMAT, Writing, ms};
use crate::sql::{Cells, Sql, values};
use crate::{Home, Location, StoreError, sqlite};

pub(super) const CREATE: &str = "
-- `check_value` is that of the version's root key: six hexadecimal digits.
CREATE TABLE key_versions (
    version INTEGER PRIMARY KEY,
    check_value TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (standing IN ('current', 'accepted', 'retired')),
    created_ms INTEGER NOT NULL,
    retired_ms INTEGER
) STRICT;";

const LIST: &str =
    "SELECT version, check_value, standing, created_ms, retired_ms FROM key_versions ORDER BY version";
const ADD: &str =
    "INSERT INTO key_versions (version, check_value, standing, created_ms) VALUES (?, ?, 'current', ?)";
const ACCEPT: &str = "UPDATE key_versions SET standing = 'accepted' WHERE standing = 'current'";
const RETIRE: &str = "UPDATE key_versions SET standing = 'retired', retired_ms = ? WHERE version = ?";

/// A version of the keys of cards, as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyVersionRow {
    /// Its number.
    pub version: KeyVersion,
    /// Its root key's check value, and what it is good for.
    pub entry: VersionEntry,
    /// Since when it has been there.
    pub created_ms: TimeMs,
    /// Since when it has counted no more.
    pub retired_ms: Option<TimeMs>,
}

impl Directory {
    /// All versions, the oldest first. None in a directory that never had any.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn key_versions(&self) -> Result<Vec<KeyVersionRow>, DirectoryError> {
        self.read(list)
    }
}

/// The versions in the directory of `home`, for who has not opened it yet: none if there is no directory, or it is of a
/// version of the software that knew none.
///
/// # Errors
///
/// [`StoreError`] if it can't be read.
pub fn key_versions_of(home: &Home) -> Result<Vec<KeyVersionRow>, StoreError> {
    if let Location::File(path) = home.location(&FORMAT)
        && !path.exists()
    {
        return Ok(Vec::new());
    }
    let sql = match home.open(&FORMAT, sqlite::Access::Read, CACHE_BYTES) {
        Ok(sql) => sql,
        Err(StoreError::Missing { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (is_there, values): (_, &[_]) = if sql.is_sqlite() {
        ("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'key_versions'", &[])
    } else {
        (
            "SELECT 1 FROM pg_tables WHERE schemaname = ? AND tablename = 'key_versions'",
            values![FORMAT.schema],
        )
    };
    match sql.one(is_there, values, |_| Ok(()))? {
        Some(()) => list(&sql),
        None => Ok(Vec::new()),
    }
}

impl Writing<'_> {
    /// The versions; where there are none, the first, of the root key with this check value.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::KeyVersion`] if what is there can't be right, [`DirectoryError::Store`] if it could not be
    /// written.
    pub fn begin_key_versions(&self, check_value: CheckValue) -> Result<KeyVersions, DirectoryError> {
        let found = list(self.sql())?;
        if !found.is_empty() {
            return versions(self.sql(), found);
        }
        self.add_key_version(KeyVersion::FIRST, check_value)?;
        Ok(KeyVersions::first(check_value))
    }

    /// A new version, of the root key with this check value, is the current one from now on. It must be the one after the
    /// last. Where it is the current one already nothing is changed: whoever did not hear that it was written asks again.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::KeyVersion`] if a version has or had the same key, or there can't be more;
    /// [`DirectoryError::KeyVersionNext`] if it is another one's turn; [`DirectoryError::Store`].
    pub fn rotate_key_version(
        &self,
        version: KeyVersion,
        check_value: CheckValue,
    ) -> Result<KeyVersions, DirectoryError> {
        let mut versions = versions(self.sql(), list(self.sql())?)?;
        if versions.current() == version
            && versions.usable(version).is_ok_and(|entry| entry.check_value == check_value)
        {
            return Ok(versions);
        }
        let next = versions.rotate(check_value).map_err(DirectoryError::KeyVersion)?;
        if next != version {
            return Err(DirectoryError::KeyVersionNext { version: next });
        }
        self.sql().run(ACCEPT, &[])?;
        self.add_key_version(version, check_value)?;
        Ok(versions)
    }

    /// A version counts no more, for good.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::KeyVersion`] for one that is unknown, retired or the current one;
    /// [`DirectoryError::KeyVersionUsed`] if cards still have it and it is not retired `although_used`.
    pub fn retire_key_version(
        &self,
        version: KeyVersion,
        although_used: bool,
    ) -> Result<KeyVersions, DirectoryError> {
        let mut versions = versions(self.sql(), list(self.sql())?)?;
        versions.retire(version).map_err(DirectoryError::KeyVersion)?;
        let cards = self.conversions_of(version)?;
        if cards > 0 && !although_used {
            return Err(DirectoryError::KeyVersionUsed { version, cards });
        }
        self.sql().run(RETIRE, values![ms(self.now_ms()), version.number()])?;
        let detail = json!({ "cards": cards });
        self.note_version("key_version.retired", version, detail)?;
        Ok(versions)
    }

    fn add_key_version(&self, version: KeyVersion, check_value: CheckValue) -> Result<(), DirectoryError> {
        let check_value = check_value.to_string();
        self.sql().run(ADD, values![version.number(), &check_value, ms(self.now_ms())])?;
        self.note_version("key_version.added", version, json!({ "check_value": check_value }))
    }

    fn note_version(
        &self,
        action: &str,
        version: KeyVersion,
        detail: serde_json::Value,
    ) -> Result<(), DirectoryError> {
        let subject = format!("key version {version}");
        self.audit(Entry { action, subject: &subject, issuer: None, detail })?;
        Ok(())
    }
}

fn list(sql: &Sql) -> Result<Vec<KeyVersionRow>, StoreError> {
    sql.all(LIST, &[], read)
}

/// What stands there as one value.
fn versions(sql: &Sql, rows: Vec<KeyVersionRow>) -> Result<KeyVersions, DirectoryError> {
    // Numbers without a gap: none was ever deleted.
    if !(1u16..).zip(&rows).all(|(number, row)| row.version.number() == number) {
        let location = sql.location().clone();
        let why = "a version of the cards' keys is missing".to_owned();
        return Err(StoreError::Damaged { location, why }.into());
    }
    let entries = rows.into_iter().map(|row| row.entry).collect();
    KeyVersions::from_entries(entries).map_err(DirectoryError::KeyVersion)
}

fn read(cells: &mut Cells<'_>) -> Result<KeyVersionRow, StoreError> {
    Ok(KeyVersionRow {
        version: cells.code(KeyVersion::from_number)?,
        entry: VersionEntry {
            check_value: cells.code(CheckValue::parse)?,
            standing: cells.code(|name: &str| match name {
                "current" => Some(Standing::Current),
                "accepted" => Some(Standing::Accepted),
                "retired" => Some(Standing::Retired),
                _ => None,
            })?,
        },
        created_ms: cells.bits()?,
        retired_ms: cells.bits_or_none()?,
    })
}

impl From<VersionError> for DirectoryError {
    fn from(error: VersionError) -> Self {
        Self::KeyVersion(error)
    }
}
