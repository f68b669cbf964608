//! Issuer hosts that have the money: what they are asked before one of their accounts pays, what their answers mean, and
//! what they are told afterwards.
//!
//! A question of the core's becomes a *second request* (S1 claims 1f and 4, S2 claim 2): the same purchase with the card's
//! own number and date, our acquirer id, and neither MAC nor CVC2. [`HostAsker`] sends it and tells the engine what the
//! host said. Whatever the host has to be told later stands in the journal; [`Owed`] says in which order it leaves.
//!
//! The card's own number is in memory from the card book to the link and nowhere else: no answer to a merchant, no error and
//! no log has it.

mod asker;
mod given_up;
mod messages;
mod owed;
mod word;

pub use asker::{HostAsker, HostMeter, HostOutcome, HostParts, HostQueue, host_asker};
pub use messages::{Identity, advice, second_request};
pub use owed::{Owed, OwedAdvice};
pub use word::answer;
