//! Where an installation's data are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::Format;
use crate::sql::Sql;
use crate::sql::postgres::{Database, schema};
use crate::sqlite::{self, Access};
use crate::{Location, StoreError, journal};

/// Where an installation's data are: in the files of a directory, or in a database.
#[derive(Clone, Debug)]
pub enum Home {
    /// In this directory, in files of SQLite.
    Files(PathBuf),
    /// In this database of PostgreSQL.
    Database(Arc<Database>),
}

impl From<&Path> for Home {
    fn from(directory: &Path) -> Self {
        Self::Files(directory.to_owned())
    }
}

impl Home {
    /// Opens what is stored in this form. Files have a cache of so many bytes.
    pub(crate) fn open(
        &self,
        format: &Format,
        access: Access,
        cache_bytes: usize,
    ) -> Result<Sql, StoreError> {
        match self {
            Self::Files(directory) => {
                let path = directory.join(format.file);
                let connection = sqlite::open(&path, format, access, cache_bytes)?;
                Ok(Sql::sqlite(connection, path.into()))
            }
            Self::Database(database) => schema::open(database, format, access),
        }
    }

    /// Where the journal is: what people are told of an installation's place.
    pub fn journal(&self) -> Location {
        self.location(&journal::FORMAT)
    }

    /// Where what is stored in this form is.
    pub(crate) fn location(&self, format: &Format) -> Location {
        match self {
            Self::Files(directory) => directory.join(format.file).into(),
            Self::Database(database) => database.location(format.schema),
        }
    }
}
