//! Dynamic card authentication: a fixed number, and a proof that is worth one purchase.
//!
//! The cardholder's software and the check site share a key for each card. Before a purchase the software asks for an
//! *expected transaction sequence number* ([`Etsn`]) in a request under a MAC of its own; then it puts a MAC of that number
//! where a merchant's form has a place for it: into the expiration date (mode E), which every form has, or into the MAC
//! field (mode F). The check site finds which open ETSN the MAC belongs to.
//!
//! Here stands all of it that both sides compute alike, and what is decided by arithmetic alone:
//!
//! * [`PseudoPan`], [`ControlDigit`], [`SpecialBin`]: numbers in the place of a card's own, and which key process they name
//! * [`Conversion`]: which card a number stands for
//! * [`CardKey`], [`CardMacs`]: a card's key, and its MACs, each under a label of its own
//! * [`ReferenceData`], [`PseudoExpiry`]: how a MAC becomes an expiration date
//! * [`VerificationRequest`], [`issue`]: from the wallet's request to an ETSN
//! * [`ExpiryMacs::find`], [`CardMacs::find_field`], [`MacField`]: from a purchase back to its ETSN
//! * [`odds`]: how hard all of that is to guess
//!
//! Nothing here reads a clock, does I/O or keeps state, and nothing is allocated where a request waits: a card's key
//! schedule is computed once for a request, and each open ETSN costs one block more. No key, MAC or date shows in `Debug`
//! or in an error.

mod conversion;
mod etsn;
mod field;
mod key;
mod macs;
mod number;
pub mod odds;
mod reference;
mod request;

pub use conversion::Conversion;
pub use etsn::{
    AppVersion, Etsn, EtsnExhausted, IssueError, Issued, Mode, OPEN_MAX, SKIPS_MAX, Tsn, issue,
    issue_for_field,
};
pub use field::{FieldMac, FieldOrigin, MacField, MacFieldError};
pub use key::{CardKey, Enrolment, KeyMaterial, KeyRefusal};
pub use macs::{Answer, AnswerRefusal, CardMacs, ExpiryMacs, LAST_TSN_NONCE_BYTES, OpenEtsn, Purchase};
pub use number::{
    Bin, CardNumber, ControlDigit, ControlDigits, NumberRefusal, Numbers, PseudoPan, SpecialBin,
};
pub use reference::{Months, PseudoExpiry, ReferenceData, ReferenceError, ReferencePolicy};
pub use request::{
    AppVersions, CardStanding, RequestRefusal, TSN_AHEAD_MAX, VerificationRequest, VerifiedRequest,
};
