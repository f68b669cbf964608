//! What the configuration says of a database: which one it is, its password, whom it is believed by.

use std::env::VarError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mayfly_store::{Database, DatabaseError, DatabaseOptions, Home};
use zeroize::Zeroizing;

use super::keys::{self, Key};
use super::mistake::{ConfigError, Mistake, Wrong};
use super::settings::Check;
use super::{Config, Value, secret};

/// The environment variable that can hold the password instead of a file.
pub const PASSWORD_VARIABLE: &str = "MAYFLY_DATABASE_PASSWORD";

/// A database that a new installation is to be in, as it is named on the command line. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseAsked {
    /// For `database.url`.
    pub url: String,
    /// For `database.password_file`.
    pub password_file: Option<String>,
    /// For `database.ca_file`.
    pub ca_file: Option<String>,
}

impl Config {
    /// The same configuration, with a database.
    ///
    /// # Errors
    /// If no database can be meant by the URL.
    pub fn with_database(mut self, asked: &DatabaseAsked) -> Result<Self, ConfigError> {
        check_url(&asked.url).map_err(|error| ConfigError {
            file: self.file.clone(),
            mistakes: vec![Mistake {
                line: None,
                key: keys::DATABASE_URL.path(),
                wrong: Wrong::Database(error),
            }],
        })?;
        let texts = [
            (&keys::DATABASE_URL, Some(&asked.url)),
            (&keys::DATABASE_PASSWORD_FILE, asked.password_file.as_ref()),
            (&keys::DATABASE_CA_FILE, asked.ca_file.as_ref()),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                self.values.insert(key.path(), (Value::Text(text.clone()), None));
            }
        }
        Ok(self)
    }

    /// The database's URL; none if what is stored is in files.
    pub fn database_url(&self) -> Option<&str> {
        Some(self.text(&keys::DATABASE_URL)).filter(|url| !url.is_empty())
    }
}

/// Whether a database can be meant by this URL, or none.
pub(super) fn check_url(url: &str) -> Result<(), DatabaseError> {
    if url.is_empty() {
        return Ok(());
    }
    let limit = Duration::from_secs(1);
    let (password, ca_file) = (None, None);
    Database::new(&DatabaseOptions {
        url,
        password,
        ca_file,
        statement_time_max: limit,
        connect_time_max: limit,
    })
    .map(drop)
}

impl Check<'_> {
    /// Where what is stored is. None if that can't be known; why not is among the mistakes.
    pub(super) fn home(&mut self, data_dir: &Path) -> Option<Home> {
        let password_file = self.file(&keys::DATABASE_PASSWORD_FILE, data_dir);
        let ca_file = self.file(&keys::DATABASE_CA_FILE, data_dir);
        let Some(url) = self.config.database_url() else {
            for (key, file) in
                [(&keys::DATABASE_PASSWORD_FILE, password_file), (&keys::DATABASE_CA_FILE, ca_file)]
            {
                if file.is_some() {
                    self.wrong(key, Wrong::NoDatabase);
                }
            }
            return Some(Home::Files(data_dir.to_owned()));
        };
        let password = self.password(password_file.as_deref());
        let ms = |key: &Key| Duration::from_millis(self.config.number(key));
        let options = DatabaseOptions {
            url,
            password: password.as_ref().map(|password| password.as_str()),
            ca_file: ca_file.as_deref(),
            statement_time_max: ms(&keys::DATABASE_STATEMENT_TIME_MAX_MS),
            connect_time_max: ms(&keys::DATABASE_CONNECT_TIME_MAX_MS),
        };
        match Database::new(&options) {
            Ok(database) => Some(Home::Database(Arc::new(database))),
            Err(DatabaseError::CaFile(why)) => {
                let path = ca_file.unwrap_or_default();
                self.wrong(&keys::DATABASE_CA_FILE, Wrong::CaFile { path, why });
                None
            }
            Err(error) => {
                self.wrong(&keys::DATABASE_URL, Wrong::Database(error));
                None
            }
        }
    }

    /// From the environment, or else from the file.
    fn password(&mut self, file: Option<&Path>) -> Option<Zeroizing<String>> {
        match std::env::var(PASSWORD_VARIABLE) {
            Ok(password) if !password.is_empty() => return Some(Zeroizing::new(password)),
            Ok(_) | Err(VarError::NotPresent) => {}
            Err(VarError::NotUnicode(_)) => {
                self.wrong(&keys::DATABASE_PASSWORD_FILE, Wrong::PasswordVariable);
                return None;
            }
        }
        let path = file?;
        secret::read(path)
            .map_err(|fault| {
                let wrong = Wrong::PasswordFile { path: path.to_owned(), fault };
                self.wrong(&keys::DATABASE_PASSWORD_FILE, wrong);
            })
            .ok()
    }
}
