//! The cardholder's own software, as a library: what stands between him and a merchant's form.
//!
//! A [`Wallet`] holds the keys of a cardholder's cards. Before a purchase it asks the check site for an expected transaction
//! sequence number (ETSN) and turns that into what the merchant's form takes: a pseudo expiration date, or, where the form has
//! one, the MAC field.
//!
//! ```text
//! Wish + Form ──▶ Order ──▶ Wallet::ask ──▶ Asked ──▶ check site ──▶ SignedAnswer ──▶ Wallet::take ──▶ Filled
//!                              │ counts, and is saved                                    │ saved again
//! ```
//!
//! What holds, whatever happens on the way:
//!
//! * No transaction sequence number is sent twice. [`Wallet::ask`] gives the request only after the [`Store`] has the counter,
//!   so a program that dies at any moment, or whose answer is lost, asks with the next one.
//! * Nothing of an answer is used before its MAC was verified, and unless it says what was asked for.
//! * The mode follows from the merchant's form alone ([`Card::order`]): the MAC field is used where there is one.
//!
//! [`Enrolment`] is how a card comes into the wallet, [`enrol`], [`pay`] and [`restore`] are the whole conversations with a
//! [`Server`], and [`Vault`] makes the text of a file out of a wallet that only a passphrase opens.
//!
//! Nothing here does I/O or reads a clock, and nothing shows a key, a whole number, a date or a MAC in `Debug` or in an error.

mod card;
mod conversation;
mod enrolment;
mod error;
mod order;
mod purchase;
mod sealed;
mod stored;
mod wallet;

pub use card::{Card, CardId, CardIdError, OpenPurchase};
pub use conversation::{ASKS_MAX, Server, ServerError, enrol, pay, restore};
pub use enrolment::{APP_VERSION, Enrolment, Package, PackageError};
pub use error::WalletError;
pub use order::{Form, LIFETIME_S_MAX, MERCHANT_NAME_BYTES_MAX, Order, OrderError, Wish};
pub use purchase::{AnswerError, Asked, Filled, LastTsn, LastTsnError, SignedAnswer, TsnQuestion};
pub use sealed::{FILE_BYTES_MAX, FileReason, SealFailure, Vault};
pub use wallet::{CARDS_MAX, SERVER_BYTES_MAX, Session, Store, TOKEN_BYTES_MAX, Wallet};
