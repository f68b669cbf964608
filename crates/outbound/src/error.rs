//! What can go wrong when something is sent, in words that a receiver's engineer understands.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The file of additional certificates can't be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no certificate in it that can be used.
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// TLS could not be set up.
    Tls(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, why } => {
                write!(f, "{} can't be read ({why}); name a file with certificates as PEM", file.display())
            }
            Self::NoCertificate { file } => {
                write!(
                    f,
                    "there is no certificate in {} that can be used; name a file with some as PEM",
                    file.display()
                )
            }
            Self::Tls(why) => write!(f, "TLS could not be set up: {why}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Why there was no answer. Says nothing of path, query, headers or bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The host's name could not be looked up.
    Lookup,
    /// The host is on no public network, and others are not allowed. Which address it has is not told.
    AddressNotAllowed,
    /// Plain HTTP is not allowed any more.
    PlainHttpNotAllowed,
    /// No connection could be made.
    Connect(io::ErrorKind),
    /// It took too long to make one.
    ConnectTime,
    /// The two did not agree on TLS, or the certificate is not to be trusted.
    Tls(String),
    /// The answer did not come in time.
    Time,
    /// The connection broke before the answer was complete, or what came is no HTTP.
    Broken,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup => f.write_str("the host's name could not be looked up"),
            Self::AddressNotAllowed => {
                f.write_str("the host has no address on the public internet, and others are not allowed")
            }
            Self::PlainHttpNotAllowed => f.write_str("plain HTTP is not allowed"),
            Self::Connect(kind) => write!(f, "no connection could be made: {kind}"),
            Self::ConnectTime => f.write_str("no connection could be made in time"),
            Self::Tls(why) => write!(f, "no agreement on TLS: {why}"),
            Self::Time => f.write_str("no answer came in time"),
            Self::Broken => f.write_str("the connection broke before the answer was complete"),
        }
    }
}

impl std::error::Error for SendError {}
