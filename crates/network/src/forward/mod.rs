//! Store and forward: what issuer hosts must be told until they have acknowledged it.
//!
//! A reversal is owed as soon as it is not known what became of a question. It is written down elsewhere, behind
//! [`Reversals`], which outlives this process; [`Forward`] says when each is sent, as the first or as a repeat; [`run`]
//! sends them over a link. So whatever ends, between any two steps, the reversal is found and sent again, and the host,
//! which knows a repeat, does it once.

mod meter;
mod queue;
mod run;

pub use meter::ForwardMeter;
pub use queue::{Due, Forward, ForwardOptions, Sent, Settled};
pub use run::{Reversals, run};
