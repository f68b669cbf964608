//! The HTTP API `/v1`: what issuers' systems, their auditors and whoever runs the server use.
//!
//! A thin layer over the [office](mayfly_office) and the [directory](mayfly_store::directory): it reads requests, finds
//! out whose they are, has them done, and says what came of it. Every handler's first argument says who may call it
//! ([`ROUTES`] lists them all), and what it is given to work with shows its caller's things only: another issuer's are
//! answered exactly like those that do not exist. What is refused is a problem document with a stable
//! [code](problem::Code).
//!
//! What must never happen here: a card number, a CVC2 or a key in a log, an error or a `Debug`; a decision about money
//! that the office does not make.

mod body;
mod caller;
mod customer;
mod directory;
mod extract;
pub mod frame;
pub mod idempotency;
mod kept;
mod money;
mod objects;
mod openapi;
pub mod page;
mod peer;
pub mod problem;
mod refusal;
pub mod resource;
mod routes;
mod scope;
mod serve;
mod shared;
mod stranger;
pub mod text;
pub mod wire;

pub use money::Amount;
pub use openapi::openapi;
pub use routes::{Access, BODY_BYTES_MAX, ROUTES, Route};
pub use serve::{Api, ApiOptions, ApiParts, ApiStartError, RunningApi, TlsError, TlsFiles};
