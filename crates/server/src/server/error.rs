//! Why a server did not start, or did not end well.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use mayfly_engine::AppendError;
use mayfly_keys::{CheckValue, KeyVersion, KeyringError};
use mayfly_store::StoreError;
use mayfly_store::directory::DirectoryError as RecordsError;

use crate::admin::SocketError;
use crate::config::ConfigError;
use crate::directory::DirectoryError;
use crate::key_source::KeySourceError;

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The data directory can't be used.
    Directory(DirectoryError),
    /// The root key can't be had.
    Key(KeySourceError),
    /// The root key of a version of the cards' keys can't be had.
    CardKey {
        /// The version.
        version: KeyVersion,
        /// Where it should be.
        source: String,
        /// Why not.
        error: KeySourceError,
    },
    /// The configuration does not say where the root key of a version of the cards' keys is.
    CardKeyUnnamed {
        /// The version.
        version: KeyVersion,
    },
    /// The keys of cards or of a BIN can't be had.
    Keys(KeyringError),
    /// What the configuration says now of the cards' keys is wrong.
    Config(ConfigError),
    /// The data were made with another root key.
    OtherKey {
        /// Where the root key is.
        root_key: String,
        /// The check value of the key that the data were made with.
        expected: String,
        /// The check value of the key that is there.
        found: CheckValue,
    },
    /// The journal or its views can't be used.
    Store(StoreError),
    /// Somebody wanted it to end while it stood by: which signal came.
    Unwanted(&'static str),
    /// Keys, cardholders and sessions can't be used.
    Records(RecordsError),
    /// The admin pages can't be served.
    Pages {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The HTTP API can't be served.
    Api(mayfly_api::ApiStartError),
    /// Nothing can be sent to webhooks.
    Outbound(mayfly_outbound::ClientError),
    /// The admin socket can't be had.
    Socket(SocketError),
    /// The network can't be served.
    Network(mayfly_network::StartError),
    /// Issuer hosts can't be asked, or told what they have to hear.
    Hosts(crate::hosts::HostsError),
    /// The system gave no threads, or a file could not be written.
    System {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl StartError {
    /// Whether it may be over after a while without anybody's doing: a database that is away.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) | Self::Records(RecordsError::Store(error)) => error.is_passing(),
            _ => false,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Api(error) => error.fmt(f),
            Self::Outbound(error) => write!(f, "outbound.ca_file: {error}"),
            Self::Records(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::CardKey { version, source, error } => {
                write!(f, "key version {version} of the cards ({source}): {error}")
            }
            Self::CardKeyUnnamed { version } => write!(
                f,
                "key version {version} of the cards counts, and the configuration does not say where its root key is; \
                 name it in keys.card_keys"
            ),
            Self::Keys(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::OtherKey { root_key, expected, found } => write!(
                f,
                "{root_key} is another key (check value {found}) than the one these data were made with \
                 ({expected}); put the right key there, or no number would be found"
            ),
            Self::Store(error @ StoreError::Missing { views: false, .. }) => {
                write!(f, "{error} A new one is made with `mayfly init`.")
            }
            Self::Store(error) => error.fmt(f),
            Self::Unwanted(signal) => write!(f, "{signal} came while the gateway stood by"),
            Self::Pages { address, error } => write!(
                f,
                "the admin pages can't be served on {address} ({error}); set another admin.http_address, or \
                 stop what listens there"
            ),
            Self::Socket(error) => error.fmt(f),
            Self::Network(error) => write!(f, "{error}; check iso8583 in the configuration"),
            Self::Hosts(error) => error.fmt(f),
            Self::System { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Why a server did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopError {
    /// Why the journal could not be written.
    pub journal: Option<AppendError>,
    /// Why the views could not be folded to the end. The next start folds what is missing.
    pub views: Option<StoreError>,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.journal, &self.views) {
            (Some(journal), Some(views)) => write!(f, "{journal}; and the views: {views}"),
            (Some(journal), None) => write!(f, "{journal}; what was acknowledged is on the disk"),
            (None, Some(views)) => {
                write!(
                    f,
                    "the views: {views}; the journal is whole, and the next start folds what is missing"
                )
            }
            (None, None) => f.write_str("nothing went wrong"),
        }
    }
}

impl std::error::Error for StopError {}

/// Why `serve` ended other than by a wish.
#[derive(Debug)]
pub enum ServeError {
    /// It did not start.
    Start(StartError),
    /// It could not go on.
    Failed(String),
    /// It did not end well.
    Stop(StopError),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Failed(why) => f.write_str(why),
            Self::Stop(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}
