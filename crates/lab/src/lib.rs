//! The laboratory: what stands around the server, to try it out and to measure it.
//!
//! * [`Acquirer`]: sends card messages over TCP and pairs the answers, as an acquirer does
//! * [`Register`]: makes the messages of purchases and of what comes after them
//! * [`issuer`]: an issuer host with accounts and a ledger, which fails on demand
//! * [`load`]: many connections that keep so many messages in flight, for benchmarks
//!
//! Nothing here is part of the money path, and nothing here knows anything of the server but its messages.

mod acquirer;
pub mod issuer;
pub mod load;
mod register;

pub use acquirer::{Acquirer, AcquirerError, Pairing};
pub use register::{Acceptor, Card, Register};
