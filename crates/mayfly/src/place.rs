//! Where the server is: its data directory, its configuration, its admin socket.

use std::path::PathBuf;

use clap::Args;
use mayfly_server::config::{CONFIG_FILE, Config, Settings};

use crate::failure::{Failure, Outcome};

/// The data directory if none is named.
pub(crate) const DATA_DIR: &str = "mayfly-data";

/// The options that say where the server is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Where the server is")]
pub(crate) struct Place {
    /// Its data directory
    #[arg(long, global = true, value_name = "DIR", env = "MAYFLY_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Its configuration file; mayfly.toml in the data directory if not given
    #[arg(long, global = true, value_name = "FILE", env = "MAYFLY_CONFIG")]
    config: Option<PathBuf>,
    /// Its admin socket; where the configuration says if not given
    #[arg(long, global = true, value_name = "PATH", env = "MAYFLY_SOCKET")]
    socket: Option<PathBuf>,
}

impl Place {
    /// The same, but for the data directory.
    pub(crate) fn with_dir(self, data_dir: PathBuf) -> Self {
        Self { data_dir, ..self }
    }

    /// The configuration, as it was read; all defaults where there is no file.
    pub(crate) fn config(&self) -> Outcome<Config> {
        let file = self.config.clone().unwrap_or_else(|| self.data_dir.join(CONFIG_FILE));
        if self.config.is_none() && !file.exists() {
            return Ok(Config::standard(&file));
        }
        Config::read(&file).map_err(|error| Failure::Usage(error.to_string()))
    }

    /// What follows from the configuration.
    pub(crate) fn settings(&self) -> Outcome<Settings> {
        self.config()?.check().map_err(|error| Failure::Usage(error.to_string()))
    }

    /// The admin socket.
    pub(crate) fn socket(&self) -> Outcome<PathBuf> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(self.settings()?.socket),
        }
    }
}
