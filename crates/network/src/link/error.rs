//! Why a question to an issuer host has no answer, or a link was not started.

use std::fmt;
use std::time::Duration;

use mayfly_core::LimitError;
use mayfly_iso8583::{De, EncodeError, Mti};

/// Why a question has no answer. None of them holds what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// The message has no answer: it is one itself, say.
    NoAnswer(Mti),
    /// Without this element its answer could not be told from another's.
    Missing(De),
    /// The element does not hold what it should.
    Malformed(De),
    /// The message can't be written in the host's dialect.
    Encode(EncodeError),
    /// The same question is under way: one that its answer could not be told from.
    Duplicate,
    /// No connection is signed on.
    NotSignedOn,
    /// As many questions are under way, and wait, as may; or it waited for its whole time.
    Busy,
    /// The link stops.
    Stopping,
    /// It was handed over to a connection, and no answer came in time.
    Timeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// It was handed over to a connection, and that was closed before an answer came.
    Lost,
}

impl LinkError {
    /// Whether the host may have the question, and have acted on it: then it must be reversed. Otherwise it never
    /// left this process.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Lost)
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(mti) => write!(f, "a message {mti} has no answer"),
            Self::Missing(element) => write!(f, "{element} is missing"),
            Self::Malformed(element) => write!(f, "{element} does not hold what it should"),
            Self::Encode(error) => write!(f, "the question can't be written: {error}"),
            Self::Duplicate => f.write_str("the same question is under way to the issuer host"),
            Self::NotSignedOn => f.write_str("no connection to the issuer host is signed on"),
            Self::Busy => f.write_str("as many questions are under way to the issuer host as may be"),
            Self::Stopping => f.write_str("the link to the issuer host stops"),
            Self::Timeout { after } => write!(f, "no answer came within {} ms", after.as_millis()),
            Self::Lost => f.write_str("the connection to the issuer host was closed before an answer came"),
        }
    }
}

impl std::error::Error for LinkError {}

/// Why a link was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStartError {
    /// A bound is out of its own bounds.
    Options(LimitError),
    /// A host's dialect lacks an element that sign-on and pairing need.
    Dialect {
        /// Its name.
        name: &'static str,
        /// What it lacks.
        lacks: De,
    },
    /// A sign-on can't be written in the hosts' dialect: because of the institution's number (DE 33), say.
    SignOn(EncodeError),
}

impl fmt::Display for LinkStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Dialect { name, lacks } => {
                write!(f, "dialect {name} lacks {lacks}, which a link to an issuer host needs")
            }
            Self::SignOn(error) => write!(f, "a sign-on can't be written: {error}"),
        }
    }
}

impl std::error::Error for LinkStartError {}
