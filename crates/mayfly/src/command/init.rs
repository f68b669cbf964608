//! `mayfly init`: makes a data directory.

use std::path::PathBuf;

use clap::Args;
use mayfly_keys::OsRandom;
use mayfly_server::{InitError, Initialised};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::pairs;

/// Make a data directory: root key, empty journal, configuration
///
/// Nothing that is there is ever overwritten.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The directory; that of --data-dir if not given
    dir: Option<PathBuf>,
}

impl Init {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let place = match self.dir {
            Some(dir) => place.clone().with_dir(dir),
            None => place.clone(),
        };
        let made = mayfly_server::init(&place.settings()?, &mut OsRandom).map_err(|error| match error {
            InitError::Exists(_) => Failure::Refused(error.to_string()),
            _ => Failure::Unreachable(error.to_string()),
        })?;
        let Initialised { data_dir, root_key_file, check_value, config_file } = made;
        let value = json!({
            "data_dir": data_dir, "root_key_file": root_key_file, "check_value": check_value.to_string(),
            "config_file": config_file,
        });
        output.either(&value, || {
            let (dir, key) = (data_dir.display(), root_key_file.display());
            let kept = || "was there, and was left as it is".to_owned();
            let config = config_file.as_ref().map_or_else(kept, |file| file.display().to_string());
            let made = pairs(&[
                ("data directory", dir.to_string()),
                ("configuration", config),
                ("root key", format!("{key} (check value {check_value})")),
            ]);
            format!(
                "{made}\nKeep a copy of the root key elsewhere: without it no number can be recognised.\n\
                 Start the server with: mayfly serve --data-dir {dir}"
            )
        })
    }
}
