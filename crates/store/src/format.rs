//! The forms in which things are stored: whose file or schema it is, of which version, and how an older one becomes a
//! newer one.

use crate::{Location, StoreError};

/// One kind of file, or of schema in a database.
pub(crate) struct Format {
    /// The file's name.
    pub(crate) file: &'static str,
    /// The schema's name in a database.
    pub(crate) schema: &'static str,
    /// Stands in the file's header or the schema's `format` table: whose it is.
    pub(crate) application_id: u32,
    pub(crate) durability: Durability,
    /// What each version added, in order. Steps are appended, never changed.
    pub(crate) steps: &'static [Step],
    /// Whether one of an older version can be brought up to date by the steps that it lacks. Views can't: they are built
    /// again.
    pub(crate) upgrades: bool,
    /// The oldest version that can be read as it is.
    pub(crate) reads_from: u32,
}

/// When what is committed is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// At once: on the disk, and on those of the standby servers that a database waits for.
    Full,
    /// Later. What is lost when the power goes follows from something else.
    Later,
}

/// What a version added.
pub(crate) struct Step {
    pub(crate) version: u32,
    pub(crate) script: Script,
}

/// Statements that make or change tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    /// For both databases: see [`dialect`](crate::sql::dialect).
    Both(&'static str),
    /// What only one of them understands.
    Each { sqlite: &'static str, postgres: &'static str },
}

impl Step {
    pub(crate) const fn new(version: u32, script: &'static str) -> Self {
        Self { version, script: Script::Both(script) }
    }

    pub(crate) const fn each(version: u32, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { version, script: Script::Each { sqlite, postgres } }
    }
}

impl Format {
    /// Whether something with this id and version is one of ours, and not of a newer version.
    pub(crate) fn check(
        &self,
        location: Location,
        application_id: u32,
        version: u32,
    ) -> Result<(), StoreError> {
        if application_id != self.application_id {
            return Err(StoreError::Foreign { location });
        }
        let known = self.version();
        if version > known { Err(StoreError::Newer { location, version, known }) } else { Ok(()) }
    }

    /// Of one that is older and must not be.
    pub(crate) fn older(&self, location: Location, version: u32) -> StoreError {
        let why = format!("its format {version} is older than this software's {}", self.version());
        StoreError::Damaged { location, why }
    }

    /// The newest version.
    pub(crate) fn version(&self) -> u32 {
        self.steps.last().map_or(0, |step| step.version)
    }

    /// What one of version `from` lacks.
    pub(crate) fn after(&self, from: u32) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.version > from)
    }
}
