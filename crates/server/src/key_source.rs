//! Root keys are opened here, wherever they are, and nowhere else; and brought to where they shall be.
//!
//! A key service is asked when it is opened, which is at start, and when a BIN or a version of the cards' keys is set up.

use std::env::VarError;
use std::fmt;
use std::path::PathBuf;

use mayfly_hsm::{Access, Token, TokenError};
use mayfly_keys::file::{self, KeyFileError, Wrapping};
use mayfly_keys::{
    CheckValue, KeyService, ModuleError, Passphrase, PassphraseError, Random, RandomError, RootKey,
};
use zeroize::Zeroizing;

use crate::config::{KeyFile, KeySource, SecretFault, SecretFrom, TokenKey, Wrapped, read_secret};

/// Why a root key can't be had, or was not brought to its place. It has no key, passphrase or PIN in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySourceError {
    /// Its file, or that of its wrapping key.
    File(KeyFileError),
    /// The token.
    Token(TokenError),
    /// The module, while keys were derived.
    Module(ModuleError),
    /// What opens it is nowhere, or can't be read.
    Secret {
        /// Where it should be.
        from: SecretFrom,
        /// What is wrong with its file, or with the variable; none if neither is there.
        fault: Option<SecretFault>,
    },
    /// The passphrase is none.
    Passphrase(PassphraseError),
    /// The operating system gave no randomness.
    Random(RandomError),
    /// A file would have the key as it is.
    Unwrapped {
        /// The file.
        file: PathBuf,
    },
}

impl KeySource {
    /// The key service of the root key that is there.
    ///
    /// # Errors
    /// [`KeySourceError`] says what is wrong, and what to do.
    pub fn open(&self) -> Result<KeyService, KeySourceError> {
        match self {
            Self::File(file) => Ok(KeyService::new(&file.read()?)),
            Self::Token(key) => {
                let root = key.open()?.root(&key.key).map_err(KeySourceError::Token)?;
                KeyService::open(Box::new(root)).map_err(KeySourceError::Module)
            }
        }
    }

    /// Brings a root key that was put together of components to where none is, protected as the source says: never as it
    /// is.
    ///
    /// # Errors
    /// [`KeySourceError`]; then nothing was made. What is there is never overwritten.
    pub fn create(&self, root: &RootKey, random: &mut dyn Random) -> Result<CheckValue, KeySourceError> {
        match self {
            Self::File(KeyFile { file, wrapped: Wrapped::Plain }) => {
                Err(KeySourceError::Unwrapped { file: file.clone() })
            }
            Self::File(file) => file.write(root, random).map(|()| root.check_value()),
            Self::Token(key) => key.open()?.import_root(&key.key, root).map_err(KeySourceError::Token),
        }
    }

    /// Draws a root key there. In a token it is drawn by the token, and nobody ever has it.
    ///
    /// # Errors
    /// [`KeySourceError`]; then nothing was made. What is there is never overwritten.
    pub fn generate(&self, random: &mut dyn Random) -> Result<CheckValue, KeySourceError> {
        match self {
            Self::File(file) => {
                let root = RootKey::generate(random).map_err(KeySourceError::Random)?;
                file.write(&root, random).map(|()| root.check_value())
            }
            Self::Token(key) => key.open()?.generate_root(&key.key).map_err(KeySourceError::Token),
        }
    }
}

impl KeyFile {
    fn read(&self) -> Result<RootKey, KeySourceError> {
        let path = &self.file;
        match &self.wrapped {
            Wrapped::Plain => file::read(path),
            Wrapped::Passphrase(from) => file::read_wrapped(path, Wrapping::Passphrase(&passphrase(from)?)),
            Wrapped::Key(wrapping) => file::read_wrapping_key(wrapping)
                .and_then(|wrapping| file::read_wrapped(path, Wrapping::Key(&wrapping))),
        }
        .map_err(KeySourceError::File)
    }

    fn write(&self, root: &RootKey, random: &mut dyn Random) -> Result<(), KeySourceError> {
        let path = &self.file;
        match &self.wrapped {
            Wrapped::Plain => file::create(path, root),
            Wrapped::Passphrase(from) => {
                file::create_wrapped(path, root, Wrapping::Passphrase(&passphrase(from)?), random)
            }
            Wrapped::Key(wrapping) => file::read_wrapping_key(wrapping)
                .and_then(|wrapping| file::create_wrapped(path, root, Wrapping::Key(&wrapping), random)),
        }
        .map_err(KeySourceError::File)
    }
}

impl TokenKey {
    fn open(&self) -> Result<Token, KeySourceError> {
        let pin = self.pin.read()?;
        let access = Access { library: &self.module, token: &self.token, pin: &pin };
        Token::open(access).map_err(KeySourceError::Token)
    }
}

fn passphrase(from: &SecretFrom) -> Result<Passphrase, KeySourceError> {
    Passphrase::new(&from.read()?).map_err(KeySourceError::Passphrase)
}

impl SecretFrom {
    fn read(&self) -> Result<Zeroizing<String>, KeySourceError> {
        let wrong = |fault| KeySourceError::Secret { from: self.clone(), fault };
        match self.variable.map(std::env::var) {
            Some(Ok(secret)) if !secret.is_empty() => return Ok(Zeroizing::new(secret)),
            Some(Err(VarError::NotUnicode(_))) => return Err(wrong(Some(SecretFault::NotOneLine))),
            _ => {}
        }
        let file = self.file.as_deref().ok_or_else(|| wrong(None))?;
        read_secret(file).map_err(|fault| wrong(Some(fault)))
    }
}

impl fmt::Display for KeySourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Token(error) => error.fmt(f),
            Self::Module(error) => error.fmt(f),
            Self::Secret { from: SecretFrom { setting, file: Some(file), what, .. }, fault: Some(fault) } => {
                write!(f, "`{setting}` {}", fault.of(file, what))
            }
            Self::Secret { from: SecretFrom { what, variable: Some(variable), .. }, fault: Some(_) } => {
                write!(f, "the environment variable {variable} is no text; write the {what} there")
            }
            Self::Secret { from: SecretFrom { setting, what, variable, .. }, .. } => {
                write!(f, "there is no {what}; set `{setting}` to a file that has it")?;
                variable.map_or(Ok(()), |variable| write!(f, ", or the environment variable {variable}"))
            }
            Self::Passphrase(error) => error.fmt(f),
            Self::Random(error) => error.fmt(f),
            Self::Unwrapped { file } => write!(
                f,
                "{} would have the key as it is, for everybody who reads it; set keys.source to passphrase, wrapping-key \
                 or pkcs11",
                file.display()
            ),
        }
    }
}

impl std::error::Error for KeySourceError {}
