//! Notify: what the server tells issuers by HTTPS, and what it asks them.
//!
//! **Webhooks** ([`Delivery`]): each has a place of its own in the journal and is told everything from there on, in order.
//! The place only moves past an event that was delivered, so a receiver that was away for a day loses nothing. **The
//! decision hook** ([`DecisionCaller`]): an issuer is asked whether a purchase may be. Both speak the form of
//! [Standard Webhooks](https://www.standardwebhooks.com): an id by which a repeat is known, a time, and an HMAC-SHA-256 over
//! both and the body.
//!
//! What must never happen here: an event is left out or overtaken; an issuer is told of another's things; a secret or a URL
//! stands in a log, an error or a metric.

mod backoff;
mod decision;
mod delivery;
mod hook;
mod judge;
mod meter;
mod notifier;
mod secret;

pub use decision::{
    Asked, DECISIONS_MAX, DecisionCaller, Failed, Question, QuestionKind, Unusable, Verdict, WAIT_DEFAULT,
};
pub use delivery::{Delivery, DeliveryOptions, DeliveryParts};
pub use hook::{Hook, HookFailure, HookMeter, HookOutcome, HookParts, HookQueue, hook};
pub use meter::{DeliveryCounts, Outcome};
pub use notifier::{Lagging, Notifier, Pinged};
pub use secret::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, Secret, SecretError};
