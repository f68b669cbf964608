//! An issuer host to try out whoever asks one: a real TCP server with accounts and a ledger, which answers as it should,
//! and fails on demand.
//!
//! The [`Ledger`] is apart from the [`IssuerHost`] that serves it, as a host's database is apart from its process: a
//! host can be stopped and another started on the same ledger. What the ledger says at the end is what the cardholders'
//! bank believes, whatever became of the answers; so it can be compared with what the other side believes, to the cent.

mod fault;
mod host;
mod ledger;
mod plan;

pub use fault::{Chances, Fault};
pub use host::{Heard, IssuerHost, SharedLedger};
pub use ledger::{Account, Balance, Kind, Ledger, Transaction};
pub use plan::SignOn;
