//! The root key in a hardware module: PKCS#11 behind the key service.
//!
//! A [`Token`] is one token of a PKCS#11 module, logged into. It is asked for its root keys by their label when the
//! program starts ([`Token::root`]), and a [`TokenRoot`] is what a [`KeyService`](mayfly_keys::KeyService) is
//! [opened](mayfly_keys::KeyService::open) with: the module computes AES-CMACs (`CKM_AES_CMAC`), so the root key never
//! leaves it, and the base keys are the same as of the same root key in memory. Objects are looked up then and never
//! again.
//!
//! A root key gets into a token by a ceremony: drawn there ([`Token::generate_root`]), so that nobody ever has it, or put
//! together from two custodians' components ([`Token::import_root`]). Either way it is sensitive and not extractable, and a
//! root key that is not is refused. Nothing here exports a key.
//!
//! It is a crate of its own since it loads foreign code into the process: what does without a module does without this,
//! the cardholder's software above all.

mod error;
mod token;

pub use error::{TokenError, Unfit};
pub use token::{Access, Token, TokenRoot};
