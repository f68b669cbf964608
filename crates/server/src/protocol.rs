//! The admin protocol: what an operator asks of a running server over its socket.
//!
//! Each request is one line of JSON, answered by one line of JSON; a connection may send several, one after the
//! other.
//!
//! ```text
//! → {"version":1,"request":{"open-issuer":{"name":"Acme"}}}
//! ← {"version":1,"response":{"issuer":{"id":"iss_1","name":"Acme"}}}
//! → {"version":1,"request":{"show-issuer":{"issuer":"iss_9"}}}
//! ← {"version":1,"error":{"code":"not-found","message":"there is no issuer iss_9"}}
//! ```
//!
//! Ids, currencies, codes and times are text as people write them; amounts are minor units. What is answered
//! with a response is on the disk.

mod cards;
mod request;
mod response;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::text::{Text, Time};
pub use cards::{Card, CardKind, CardStatus, CheckSite, EnrolCard, MacField};
pub use request::{
    AccountLimit, AdminRequest, CreateKey, FailedControl, Includes, IssueNumber, Merchant, NumberControls,
    NumberState, OpenProgramme, Page, RetentionAsked, TermsAsked,
};
pub use response::{
    Account, Addresses, AdminResponse, Amount, ApiKey, Counts, Entry, Issued, Issuer, IssuerHostStatus,
    KeyGiven, KeyStanding, KeyVersion, List, Listening, MerchantFacts, Number, Programme, Retention,
    RetentionRun, RetentionRuns, Secret, Standing, Status, Transaction,
};

/// The version of the protocol.
pub const VERSION: u16 = 1;
/// The longest request, in bytes, the line feed included.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// The longest response, in bytes, the line feed included.
pub const RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// How many items a page has if nothing else is asked.
pub const PAGE_DEFAULT: u32 = 50;
/// How many items a page may have.
pub const PAGE_MAX: u32 = 500;

/// A request as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestLine {
    /// [`VERSION`].
    pub version: u16,
    /// What is asked.
    pub request: AdminRequest,
}

/// A response as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResponseLine {
    /// [`VERSION`].
    pub version: u16,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// What was asked for.
    Response(Box<AdminResponse>),
    /// Why not.
    Error(AdminError),
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminError {
    /// For programs: it never changes.
    pub code: ErrorCode,
    /// For people: what is wrong, and what to do.
    pub message: String,
}

impl AdminError {
    /// With a text.
    pub fn new(code: ErrorCode, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AdminError {}

/// The kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request could not be read, or a value in it is none.
    Invalid,
    /// The request has another version of the protocol.
    Version,
    /// There is no such thing.
    NotFound,
    /// A name or a prefix is taken.
    Taken,
    /// Outside a bound: of a term, of a control, of a list.
    Limit,
    /// It does not fit what is there: another issuer's programme, a number that is not active.
    Conflict,
    /// Not enough money.
    Funds,
    /// The server is busy, stopping or behind: try again.
    Busy,
    /// Nothing could be written, or nothing read. The server's log says why.
    Storage,
    /// A root key can't be had, or is another one: its file, its token or its module says why.
    Keys,
    /// Something that should not happen. The server's log says what.
    Internal,
}

impl ErrorCode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Version => "version",
            Self::NotFound => "not-found",
            Self::Taken => "taken",
            Self::Limit => "limit",
            Self::Conflict => "conflict",
            Self::Funds => "funds",
            Self::Busy => "busy",
            Self::Storage => "storage",
            Self::Keys => "keys",
            Self::Internal => "internal",
        }
    }
}
