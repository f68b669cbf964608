//! What can go wrong in the directory, and what to do about it.

use std::fmt;

use mayfly_core::AccountId;
use mayfly_keys::{KeyVersion, OpenError, SealError, VersionError};

use super::{ACCOUNTS_MAX, KeyId, Role, WEBHOOKS_MAX};
use crate::{Location, StoreError};

/// Why the directory did not do what it was asked for. What a caller's own request can cause comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryError {
    /// An operator's key that has an issuer, or another one that has none.
    KeyIssuer {
        /// The role that was asked for.
        role: Role,
    },
    /// A merchant's key that names no merchant, or another one that does.
    KeyMerchant {
        /// The role that was asked for.
        role: Role,
    },
    /// The issuer has no such merchant.
    NoMerchant,
    /// The issuer has a merchant with this card acceptor id.
    CardAcceptorTaken,
    /// The key is revoked, expired, or was replaced by another one before.
    KeyOver {
        /// Which one.
        key: KeyId,
    },
    /// There is a token with this hash: it was not drawn at random.
    TokenTaken,
    /// Another cardholder of the issuer has the log-in name.
    LoginNameTaken,
    /// The account is linked to another cardholder.
    AccountTaken {
        /// Which one.
        account: AccountId,
    },
    /// The cardholder has as many accounts as one can have.
    TooManyAccounts,
    /// The issuer has as many webhooks as one can have.
    TooManyWebhooks,
    /// A version of the cards' keys is none, or can't become what it should.
    KeyVersion(VersionError),
    /// The new version of the cards' keys is another one's turn.
    KeyVersionNext {
        /// The one whose turn it is.
        version: KeyVersion,
    },
    /// Cards still have a version of the keys that should count no more.
    KeyVersionUsed {
        /// Which one.
        version: KeyVersion,
        /// How many cards.
        cards: u64,
    },
    /// Something was not sealed.
    Seal(SealError),
    /// Something sealed does not open.
    Sealed {
        /// Table and column.
        what: &'static str,
        /// Why.
        why: OpenError,
    },
    /// Something sealed opens, but is not what is sealed there.
    Unreadable {
        /// Table and column.
        what: &'static str,
    },
    /// It was written under another root key.
    OtherRootKey {
        /// The file, or the schema.
        location: Location,
    },
    /// The audit stream is not what was written.
    Audit {
        /// The first entry that does not fit.
        sequence: u64,
        /// What is wrong with it.
        why: AuditFault,
    },
    /// The file, or the database.
    Store(StoreError),
}

/// What is wrong with an entry of the audit stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFault {
    /// It is not there.
    Missing,
    /// It, or the one before it, was changed.
    Altered,
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyIssuer { role: Role::Operator } => {
                f.write_str("an operator's key belongs to no issuer; leave the issuer out")
            }
            Self::KeyIssuer { role } => write!(f, "a key with the role {role} belongs to an issuer; name it"),
            Self::KeyMerchant { role: Role::Merchant } => {
                f.write_str("a merchant's key is for one merchant; name it")
            }
            Self::KeyMerchant { role } => {
                write!(f, "a key with the role {role} is for no single merchant; leave the merchant out")
            }
            Self::NoMerchant => f.write_str("the issuer has no such merchant; enter it first"),
            Self::CardAcceptorTaken => {
                f.write_str("another merchant of the issuer has this card acceptor id; choose another one")
            }
            Self::KeyOver { key } => {
                write!(f, "{key} is revoked, expired or replaced already; create a new key instead")
            }
            Self::TokenTaken => f.write_str("this token was used before; draw another one"),
            Self::LoginNameTaken => f.write_str("this log-in name is taken; choose another one"),
            Self::AccountTaken { account } => {
                write!(f, "{account} belongs to another cardholder; name the right account")
            }
            Self::TooManyAccounts => write!(
                f,
                "the cardholder has {ACCOUNTS_MAX} accounts, the most that one can have; create another cardholder"
            ),
            Self::TooManyWebhooks => write!(
                f,
                "the issuer has {WEBHOOKS_MAX} webhooks, the most that one can have; delete one first"
            ),
            Self::KeyVersion(error) => error.fmt(f),
            Self::KeyVersionNext { version } => {
                write!(
                    f,
                    "the next version of the cards' keys is {version}; somebody else made one meanwhile"
                )
            }
            Self::KeyVersionUsed { version, cards } => write!(
                f,
                "{cards} cards still have key version {version}; enrol them anew first, or retire it all the same: \
                 then they are refused"
            ),
            Self::Seal(error) => error.fmt(f),
            Self::Sealed { what, why } => write!(f, "{what}: {why}"),
            Self::Unreadable { what } => {
                write!(f, "{what}: something else was sealed there; update the software, or restore the row")
            }
            Self::OtherRootKey { location } => write!(
                f,
                "{location} was written under another root key: put the right root.key back; nothing was changed"
            ),
            Self::Audit { sequence, why } => {
                let why = match why {
                    AuditFault::Missing => "is missing",
                    AuditFault::Altered => "was altered, or the one before it was",
                };
                write!(f, "entry {sequence} of the audit stream {why}: compare the file with a backup")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DirectoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::KeyVersion(error) => Some(error),
            Self::Seal(error) => Some(error),
            Self::Sealed { why, .. } => Some(why),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for DirectoryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SealError> for DirectoryError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}
