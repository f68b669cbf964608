//! The laboratory: what stands around the server, to try it out and to measure it.
//!
//! * [`Acquirer`]: sends card messages over TCP and pairs the answers, as an acquirer does
//! * [`Register`]: makes the messages of purchases and of what comes after them
//! * [`issuer`]: an issuer host with accounts and a ledger, which fails on demand
//! * [`forge`]: attacks on the check site's MACs, measured against their computed bounds
//! * [`load`]: many connections that keep so many messages in flight, for benchmarks
//!
//! Nothing here is part of the money path. What stands around the server knows nothing of it but its messages; the attacks
//! are made on the decision core itself.

mod acquirer;
pub mod forge;
pub mod issuer;
pub mod load;
mod register;
mod seeded;

pub use acquirer::{Acquirer, AcquirerError, Pairing};
pub use register::{Acceptor, Card, Register};
