//! The one HTTPS client: posts JSON to addresses that others chose, and gets it where a person chose.
//!
//! Whoever has an issuer's API key chooses where the server connects to. So what is connected to is looked at: `https`
//! only, and no address of a private network, this machine, or any other place that is not on the public internet. It
//! is the address itself that is looked at, after the name was looked up and right before the connection is made; a name
//! that means something else a moment later gains nothing. Redirects are not followed.
//!
//! What must never happen here: a URL's path or query in a log or an error (they can hold a secret), a wait without a
//! limit, an answer that is read without one.

mod address;
mod client;
mod connect;
mod error;
mod pool;
mod target;
mod tls;

pub use address::is_public;
pub use client::{Client, ClientOptions, Limits, REPLY_BYTES_MAX, Reply};
pub use error::{ClientError, SendError};
pub use target::{TARGET_BYTES_MAX, Target, TargetError, TargetRules};
