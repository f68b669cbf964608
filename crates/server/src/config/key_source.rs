//! What the configuration says of root keys: where each of them is, and what opens it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use mayfly_keys::KeyVersion;

use super::keys::{self, Key};
use super::mistake::Wrong;
use super::settings::Check;
use super::{CardKeyText, Config};

/// The environment variable that can hold the passphrase of a wrapped root key instead of a file.
pub const PASSPHRASE_VARIABLE: &str = "MAYFLY_KEY_PASSPHRASE";
/// The environment variable that can hold the PIN of a token instead of a file.
pub const PIN_VARIABLE: &str = "MAYFLY_PKCS11_PIN";

/// The root keys of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// The root key: also the first version of the cards' keys.
    pub root: KeySource,
    /// Those of further versions of the cards' keys.
    pub cards: BTreeMap<KeyVersion, KeySource>,
}

/// Where a root key is, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(KeyFile),
    /// In a token of a PKCS#11 module.
    Token(TokenKey),
}

/// A root key in a file that is its owner's alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// The file.
    pub file: PathBuf,
    /// What it is wrapped by.
    pub wrapped: Wrapped,
}

/// What a root key in a file is wrapped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrapped {
    /// Nothing: it stands there as it is.
    Plain,
    /// A passphrase.
    Passphrase(SecretFrom),
    /// The key of this other file.
    Key(PathBuf),
}

/// A root key in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The library that speaks to the module.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The key's label.
    pub key: String,
    /// The PIN of the token's user.
    pub pin: SecretFrom,
}

/// Where a secret is: in the environment, if that has it, or else in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFrom {
    /// What people call it.
    pub what: &'static str,
    /// The environment variable, if it counts.
    pub variable: Option<&'static str>,
    /// The setting that names the file.
    pub setting: String,
    /// The file.
    pub file: Option<PathBuf>,
}

impl KeySource {
    /// The file that holds the key, if one does.
    pub fn file(&self) -> Option<&Path> {
        if let Self::File(KeyFile { file, .. }) = self { Some(file) } else { None }
    }
}

/// As people find it.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(KeyFile { file, wrapped }) => {
                write!(f, "{}", file.display())?;
                match wrapped {
                    Wrapped::Plain => Ok(()),
                    Wrapped::Passphrase(_) => f.write_str(", wrapped by a passphrase"),
                    Wrapped::Key(file) => write!(f, ", wrapped by {}", file.display()),
                }
            }
            Self::Token(TokenKey { token, key, .. }) => write!(f, "the key {key:?} of the token {token:?}"),
        }
    }
}

/// The words for sources that settings belong to.
const PASSPHRASE: &str = "passphrase";
const WRAPPING_KEY: &str = "wrapping-key";
const PKCS11: &str = "pkcs11";

/// Which settings are for which source only.
static BELONGS: [(&Key, &str); 6] = [
    (&keys::PASSPHRASE_FILE, PASSPHRASE),
    (&keys::WRAPPING_KEY_FILE, WRAPPING_KEY),
    (&keys::PKCS11_MODULE, PKCS11),
    (&keys::PKCS11_TOKEN, PKCS11),
    (&keys::PKCS11_KEY, PKCS11),
    (&keys::PKCS11_PIN_FILE, PKCS11),
];

impl Check<'_> {
    /// Where root keys are. None if that can't be known; why not is among the mistakes.
    pub(super) fn keys(&mut self, data_dir: &Path) -> Option<KeySettings> {
        let root = self.source(Place { config: self.config, version: None }, data_dir);
        let mut cards = BTreeMap::new();
        let mut sources = BTreeSet::from([self.config.text(&keys::KEY_SOURCE)]);
        let mut complete = true;
        for (at, text) in self.config.card_keys(&keys::CARD_KEYS).iter().enumerate() {
            let place = Place { config: self.config, version: Some((at, text)) };
            sources.insert(place.source());
            match (KeyVersion::from_number(text.version), self.source(place, data_dir)) {
                (Some(version), Some(source)) => drop(cards.insert(version, source)),
                _ => complete = false,
            }
        }
        for (key, source) in BELONGS {
            if !self.config.text(key).is_empty() && !sources.contains(source) {
                self.wrong(key, Wrong::NoSuchSource { source });
            }
        }
        complete.then_some(KeySettings { root: root?, cards })
    }

    fn source(&mut self, place: Place<'_>, data_dir: &Path) -> Option<KeySource> {
        let secret = |what, variable, key: &Key| {
            // What a version says of itself goes before what is said for all.
            let is_own = place.own_of_version(key).is_some();
            SecretFrom {
                what,
                variable: (!is_own).then_some(variable),
                setting: if is_own { place.path(key) } else { key.path() },
                file: Some(place.text(key)).filter(|text| !text.is_empty()).map(|text| data_dir.join(text)),
            }
        };
        let wrapped = match place.source() {
            PKCS11 => {
                let mut needed = |key: &'static Key, text| self.needed(&place, key, text, PKCS11);
                let module = needed(&keys::PKCS11_MODULE, Some(place.text(&keys::PKCS11_MODULE)));
                let token = needed(&keys::PKCS11_TOKEN, Some(place.text(&keys::PKCS11_TOKEN)));
                let key = needed(&keys::PKCS11_KEY, place.own(&keys::PKCS11_KEY));
                let pin = secret("PIN", PIN_VARIABLE, &keys::PKCS11_PIN_FILE);
                let module = data_dir.join(module?);
                return Some(KeySource::Token(TokenKey { module, token: token?, key: key?, pin }));
            }
            WRAPPING_KEY => {
                let wrapping = Some(place.text(&keys::WRAPPING_KEY_FILE));
                let wrapping = self.needed(&place, &keys::WRAPPING_KEY_FILE, wrapping, WRAPPING_KEY);
                Wrapped::Key(data_dir.join(wrapping?))
            }
            PASSPHRASE => {
                Wrapped::Passphrase(secret("passphrase", PASSPHRASE_VARIABLE, &keys::PASSPHRASE_FILE))
            }
            _ => Wrapped::Plain,
        };
        // Only the root key's own file has a name if none is given.
        let text = place.own(&keys::ROOT_KEY_FILE);
        let file = self.needed(&place, &keys::ROOT_KEY_FILE, text, place.source())?;
        Some(KeySource::File(KeyFile { file: data_dir.join(file), wrapped }))
    }

    fn needed(
        &mut self,
        place: &Place<'_>,
        key: &'static Key,
        text: Option<&str>,
        source: &str,
    ) -> Option<String> {
        let found = text.filter(|text| !text.is_empty());
        if found.is_none() {
            let wrong = Wrong::KeyLacks { source: source.to_owned() };
            let line_of = if place.version.is_none() { key } else { &keys::CARD_KEYS };
            self.wrong_at(line_of, place.path(key), wrong);
        }
        found.map(str::to_owned)
    }
}

/// Where settings of a source stand: those of the root key, or of one version of the cards' keys.
#[derive(Clone, Copy)]
struct Place<'a> {
    config: &'a Config,
    version: Option<(usize, &'a CardKeyText)>,
}

impl<'a> Place<'a> {
    /// What holds: its own word, or that of the root key.
    fn text(&self, key: &Key) -> &'a str {
        self.own_of_version(key).unwrap_or_else(|| self.config.text(key))
    }

    /// The setting as people find it.
    fn path(&self, key: &Key) -> String {
        match self.version {
            None => key.path(),
            Some((at, _)) => format!("{}[{at}].{}", keys::CARD_KEYS.path(), key.name),
        }
    }

    fn source(&self) -> &'a str {
        self.text(&keys::KEY_SOURCE)
    }

    /// What it says itself.
    fn own(&self, key: &Key) -> Option<&'a str> {
        if self.version.is_some() { self.own_of_version(key) } else { Some(self.config.text(key)) }
    }

    fn own_of_version(&self, key: &Key) -> Option<&'a str> {
        self.version.and_then(|(_, text)| text.texts.get(key.name)).map(String::as_str)
    }
}
