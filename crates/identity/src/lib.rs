//! Who somebody is: what a cardholder, an operator or a program shows to be let in.
//!
//! * [`password`]: what a cardholder knows, kept as an Argon2id hash
//! * [`name`]: what he logs in with, and what he is called
//! * [`token`]: opaque bearer tokens: API keys, sessions, invitations
//! * [`throttle`]: what failed log-ins cost
//!
//! Everything here is pure: time and randomness are arguments, nothing is stored and nobody is asked. What must never
//! happen here: a password or a token in a log, an error or a `Debug`; a comparison of secrets whose time tells how far
//! they agree; an answer that comes sooner for a name that nobody has.

pub mod name;
pub mod password;
pub mod throttle;
pub mod token;

#[cfg(test)]
mod testing;
