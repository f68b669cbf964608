//! ISO 8583 over TCP: how card messages come in and answers go out.
//!
//! A [`Network`] listens on any number of addresses, each with its dialect. Each connection is one task: it reads
//! what has come, [`translate()`]s every whole message, hands all of them to the engine at once, and writes whatever
//! answers are there with one write. Answers leave in the order in which they become durable, not in the order of
//! the requests: the peer pairs them by STAN and reference.
//!
//! The other direction is an [`IssuerLink`](link::IssuerLink): questions that go out to issuer hosts, and their
//! answers. What a host must be told in any case is [forwarded](forward) until it has acknowledged it. Which questions
//! those are, for accounts whose money the host has, is said in [`host`].
//!
//! Everything has a bound, see [`Options`]. What is over a bound is refused, or waits in the peer's own buffers
//! (back-pressure); one connection can neither slow another down nor make this process grow. Nothing here decides
//! anything about money, nothing here keeps a card number longer than its request is being answered, and nothing
//! here writes the contents of a message to a log: at level TRACE it writes them masked.

mod backoff;
mod buffer;
mod connection;
mod digest;
pub mod forward;
pub mod host;
pub mod link;
mod listener;
mod management;
mod meter;
mod options;
mod pending;
mod reasons;
mod reply;
mod times;
mod translate;

pub use connection::Closed;
pub use listener::{Endpoint, Network, StartError, Stopped};
pub use meter::{Counter, LATENCY_BOUNDS_US, Latency, Meter, Traffic};
pub use options::Options;
pub use reply::respond;
pub use translate::{Fault, translate};
