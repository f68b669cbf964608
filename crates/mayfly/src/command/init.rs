//! `mayfly init`: makes an installation, or joins one.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use clap::Args;
use mayfly_keys::OsRandom;
use mayfly_server::config::{Config, DatabaseAsked, KeySource};
use mayfly_server::{InitError, Initialised};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::pairs;

/// Make a data directory: root key, empty journal, configuration
///
/// A root key that is wrapped, or in a hardware module, is brought there before, by `mayfly keys`.
///
/// With a database, the journal is made there and not in the directory. Nothing that is there is ever overwritten.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The directory; that of --data-dir if not given
    dir: Option<PathBuf>,
    /// The PostgreSQL database to keep everything in, as in postgres://user@host:5432/database; without a password
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The file that holds the password of the database's user
    #[arg(long, value_name = "FILE", requires = "database")]
    database_password_file: Option<PathBuf>,
    /// The certificate authorities, in PEM, that the database's certificate is checked by
    #[arg(long, value_name = "FILE", requires = "database")]
    database_ca_file: Option<PathBuf>,
    /// How many partitions it has, from 1 to 1024, for as long as it lives; 64 in a database, 1 otherwise, if not given
    #[arg(long, value_name = "COUNT", conflicts_with = "join")]
    partitions: Option<NonZeroU16>,
    /// Add one more gateway to the installation in the database, whose root key has been copied here
    #[arg(long)]
    join: bool,
}

impl Init {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let place = match &self.dir {
            Some(dir) => place.clone().with_dir(dir.clone()),
            None => place.clone(),
        };
        let config = self.config(place.config()?)?;
        let made = if self.join {
            mayfly_server::join(&config)
        } else {
            mayfly_server::init(&config, self.partitions, &mut OsRandom)
        };
        let made = made.map_err(|error| match error {
            InitError::Exists(_)
            | InitError::Inhabited { .. }
            | InitError::Empty { .. }
            | InitError::OtherKey { .. } => Failure::Refused(error.to_string()),
            InitError::Config(_) | InitError::NoDatabase | InitError::Partitions(_) => {
                Failure::Usage(error.to_string())
            }
            _ => Failure::Unreachable(error.to_string()),
        })?;
        show(&made, self.join, output)
    }

    /// With the database that was named.
    fn config(&self, config: Config) -> Outcome<Config> {
        let Some(url) = &self.database else { return Ok(config) };
        let files = [&self.database_password_file, &self.database_ca_file];
        if config.file().exists() {
            if config.database_url() == Some(url) && files.iter().all(|file| file.is_none()) {
                return Ok(config);
            }
            return Err(Failure::Refused(format!(
                "{} is there already and is not overwritten; set the keys of [database] in it, and leave --database out",
                config.file().display()
            )));
        }
        let [password_file, ca_file] = files.map(|file| file.as_deref().map(absolute).transpose());
        let asked = DatabaseAsked { url: url.clone(), password_file: password_file?, ca_file: ca_file? };
        config.with_database(&asked).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// A path as a configuration can have it, wherever that is.
pub(crate) fn absolute(path: &Path) -> Outcome<String> {
    std::path::absolute(path)
        .ok()
        .and_then(|path| path.to_str().map(str::to_owned))
        .ok_or_else(|| Failure::Usage(format!("{} can't stand in a configuration", path.display())))
}

fn show(made: &Initialised, joined: bool, output: Output) -> Outcome {
    let Initialised { data_dir, database, root_key, check_value, config_file } = made;
    let value = json!({
        "data_dir": data_dir, "database": database, "root_key": root_key.to_string(),
        "root_key_file": root_key.file(), "check_value": check_value.to_string(), "config_file": config_file,
    });
    output.either(&value, || {
        let dir = data_dir.display();
        let kept = || "was there, and was left as it is".to_owned();
        let config = config_file.as_ref().map_or_else(kept, |file| file.display().to_string());
        let mut lines = vec![("data directory", dir.to_string())];
        if let Some(database) = database {
            lines.push(("database", database.clone()));
        }
        lines.push(("configuration", config));
        lines.push(("root key", format!("{root_key} (check value {check_value})")));
        let advice = match root_key {
            _ if joined => "The root key is that of the installation.",
            KeySource::File(_) => {
                "Keep a copy of the root key elsewhere: without it no number can be recognised."
            }
            KeySource::Token(_) => "Without the token, or a copy of its key, no number can be recognised.",
        };
        format!("{}\n{advice}\nStart the server with: mayfly serve --data-dir {dir}", pairs(&lines))
    })
}
