//! The configuration: one TOML file. What an operator got wrong is found here, before anything is started.
//!
//! The [table of keys](KEYS) has every key with its default, bounds and unit; [`Config`] is what was read by
//! it, and [`Settings`] what was made of it: addresses, paths and dialects instead of texts.

mod database;
mod hosts;
mod key_source;
mod keys;
mod mistake;
mod print;
mod read;
mod secret;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use database::{DatabaseAsked, PASSWORD_VARIABLE};
pub use hosts::HostWrong;
pub use key_source::{
    KeyFile, KeySettings, KeySource, PASSPHRASE_VARIABLE, PIN_VARIABLE, SecretFrom, TokenKey, Wrapped,
};
pub use keys::{KEYS, Key, Kind};
pub use mistake::{ConfigError, Mistake, SecretFault, Wrong};
pub use secret::read as read_secret;
pub use settings::{ApiSettings, LogFilter, LogFormat, Settings};

/// The configuration's file name within a data directory.
pub const CONFIG_FILE: &str = "mayfly.toml";
/// The longest configuration file, in bytes.
const CONFIG_BYTES_MAX: u64 = 256 * 1024;
/// The longest path of a socket, in bytes: what every system has room for.
pub const SOCKET_BYTES_MAX: usize = 100;

/// A configuration as it was read: every value has its type and is within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    file: PathBuf,
    /// What was set, by the key's path, with the line in which it was.
    values: BTreeMap<String, (Value, Option<usize>)>,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Flag(bool),
    Number(u64),
    Text(String),
    Texts(Vec<String>),
    Listeners(Vec<ListenerText>),
    IssuerHosts(Vec<hosts::HostText>),
    CardKeys(Vec<CardKeyText>),
}

/// A listener as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerText {
    pub(crate) address: String,
    pub(crate) dialect: String,
}

/// A version of the cards' keys as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CardKeyText {
    pub(crate) version: u16,
    /// What it says of its source, by the key's name.
    pub(crate) texts: BTreeMap<&'static str, String>,
}

impl Config {
    /// All defaults, as of a file at that place.
    pub fn standard(file: &Path) -> Self {
        Self { file: file.to_owned(), values: BTreeMap::new() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Every mistake in it, with its line.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let wrong = |wrong| ConfigError {
            file: file.to_owned(),
            mistakes: vec![Mistake { line: None, key: String::new(), wrong }],
        };
        let unreadable = |error: std::io::Error| wrong(Wrong::Unreadable(error.kind()));
        if std::fs::metadata(file).map_err(unreadable)?.len() > CONFIG_BYTES_MAX {
            return Err(wrong(Wrong::TooLong));
        }
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        Self::parse(&text, file)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Every mistake in it, with its line.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        read::read(text, file)
    }

    /// Makes settings of it: looks addresses, paths and dialects up.
    ///
    /// # Errors
    /// Every mistake, with its line.
    pub fn check(&self) -> Result<Settings, ConfigError> {
        settings::check(self)
    }

    /// As a file, every key with its meaning, default, bounds and unit.
    pub fn print(&self) -> String {
        print::print(self)
    }

    /// The file that it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn number(&self, key: &Key) -> u64 {
        match (self.value(key), &key.kind) {
            (Some(Value::Number(number)), _) => *number,
            (_, Kind::Number { default, .. }) => *default,
            _ => 0,
        }
    }

    fn flag(&self, key: &Key) -> bool {
        match (self.value(key), &key.kind) {
            (Some(Value::Flag(flag)), _) => *flag,
            (_, Kind::Flag { default }) => *default,
            _ => false,
        }
    }

    fn text(&self, key: &Key) -> &str {
        match (self.value(key), &key.kind) {
            (Some(Value::Text(text)), _) => text,
            (_, Kind::Text { default, .. } | Kind::Choice { default, .. }) => default,
            _ => "",
        }
    }

    fn listeners(&self, key: &Key) -> Vec<ListenerText> {
        match (self.value(key), &key.kind) {
            (Some(Value::Listeners(listeners)), _) => listeners.clone(),
            (_, Kind::Listeners { default: (address, dialect), .. }) => {
                vec![ListenerText { address: (*address).to_owned(), dialect: (*dialect).to_owned() }]
            }
            _ => Vec::new(),
        }
    }

    fn issuer_hosts(&self, key: &Key) -> &[hosts::HostText] {
        match self.value(key) {
            Some(Value::IssuerHosts(hosts)) => hosts,
            _ => &[],
        }
    }

    fn card_keys(&self, key: &Key) -> &[CardKeyText] {
        if let Some(Value::CardKeys(texts)) = self.value(key) { texts } else { &[] }
    }

    fn value(&self, key: &Key) -> Option<&Value> {
        self.values.get(&key.path()).map(|(value, _)| value)
    }

    fn line(&self, key: &Key) -> Option<usize> {
        self.values.get(&key.path()).and_then(|(_, line)| *line)
    }
}

/// The configuration file that has every default.
pub fn print_config() -> String {
    Config::standard(Path::new(CONFIG_FILE)).print()
}
