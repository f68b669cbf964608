//! What can go wrong with a token. No error has a PIN or a key in it.

use core::fmt;
use std::path::PathBuf;

use mayfly_keys::{CheckValue, ModuleError};

/// Why a token, or a root key in it, can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The module's library could not be loaded.
    Library {
        /// Its file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// No token has that label.
    NoToken {
        /// The label.
        label: String,
        /// The labels of those that are there.
        found: Vec<String>,
    },
    /// Several tokens have that label.
    SeveralTokens {
        /// The label.
        label: String,
    },
    /// The token refused the PIN.
    Pin {
        /// It takes no more PINs until its security officer sets a new one.
        locked: bool,
    },
    /// The token can't compute AES-CMACs.
    NoCmac,
    /// The token has no AES key with that label.
    NoKey {
        /// The label.
        label: String,
    },
    /// The token has several AES keys with that label.
    SeveralKeys {
        /// The label.
        label: String,
        /// How many.
        count: usize,
    },
    /// There is a key with the label that a new one should get.
    KeyExists {
        /// The label.
        label: String,
    },
    /// The key can't be a root key.
    Unfit {
        /// Its label.
        label: String,
        /// Why.
        reason: Unfit,
    },
    /// The token computes with another key than was brought into it; it was taken out again.
    CheckValueDiffers {
        /// The check value of the key that was brought.
        expected: CheckValue,
        /// The check value of what is in the token.
        found: CheckValue,
    },
    /// Anything else that the module refused.
    Module(ModuleError),
}

/// Why a key in a token can't be a root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It can be read or wrapped out: it is not sensitive, or extractable.
    Exposed,
    /// It is not allowed to sign.
    NoSign,
    /// It has not 32 bytes.
    Length,
}

impl From<ModuleError> for TokenError {
    fn from(error: ModuleError) -> Self {
        Self::Module(error)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library { path, reason } => write!(
                f,
                "the PKCS#11 module {} could not be loaded: {reason}; check the path",
                path.display()
            ),
            Self::NoToken { label, found } if found.is_empty() => {
                write!(f, "there is no token {label:?}, and no other; check that it is connected")
            }
            Self::NoToken { label, found } => {
                write!(f, "there is no token {label:?}, but {}; check the label", found.join(", "))
            }
            Self::SeveralTokens { label } => {
                write!(f, "several tokens are called {label:?}; disconnect or rename all but one")
            }
            Self::Pin { locked: false } => {
                f.write_str("the token refused the PIN; too many wrong ones lock it, so look it up first")
            }
            Self::Pin { locked: true } => f.write_str(
                "the token takes no PIN any more: too many were wrong; its security officer must set a new one",
            ),
            Self::NoCmac => {
                f.write_str("the token can't compute AES-CMACs (CKM_AES_CMAC); use one that can")
            }
            Self::NoKey { label } => {
                write!(f, "the token has no AES key {label:?}; check the label, or bring the key into it first")
            }
            Self::SeveralKeys { label, count } => {
                write!(f, "the token has {count} AES keys {label:?}; rename or remove all but the right one")
            }
            Self::KeyExists { label } => {
                write!(f, "the token has a key {label:?} already, which is never replaced; choose another label")
            }
            Self::Unfit { label, reason } => {
                write!(f, "the key {label:?} can't be a root key: ")?;
                f.write_str(match reason {
                    Unfit::Exposed => "the token would give it away; it must be sensitive and not extractable",
                    Unfit::NoSign => "the token does not let it sign (CKA_SIGN)",
                    Unfit::Length => "it has not 32 bytes",
                })
            }
            Self::CheckValueDiffers { expected, found } => write!(
                f,
                "the token has a key of check value {found} instead of {expected}, and it was taken out again; try \
                 another module"
            ),
            Self::Module(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Module(error) => Some(error),
            _ => None,
        }
    }
}
