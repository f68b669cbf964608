//! How a card's key comes to the cardholder's software (S2 cl. 3a, b), which makes it its own where the number is the
//! card's own (S1 cl. 3).
//!
//! Wallet and server each draw a [`Half`], used once, and exchange their [`Point`]s (P-256, uncompressed as in SEC 1) in the
//! channel in which the cardholder has logged in. Both compute the same secret by ECDH, and from it by HKDF-SHA-256
//! (RFC 5869, without salt) a share of 16 bytes (info `mayfly/share/v1`) and a wrapping key of 32 (info `mayfly/wrap/v1`). The
//! server [wraps](Half::wrap) the card's key of its own derivation under that (AES-256-GCM), the wallet [unwraps](Half::unwrap)
//! it. Where merchants get the card's own number both put the share into it ([`CardKey::with_share`]): that is the card's key,
//! and the server has no other way to it than to keep the share. Behind a pseudo number the key is taken as it is, so that the
//! server derives it again and keeps nothing. Which of both it is follows from the number's kind and is bound in. Neither share
//! nor key crosses the wire in clear, and what an eavesdropper of the channel recorded tells nobody anything later.
//!
//! The primitives are those that a browser has. The channel must be authenticated: who can put himself between both
//! parties can be the other one to each.
//!
//! Nothing here does I/O, and nothing shows a secret.

mod exchange;

pub use exchange::{EnrolError, Enrolled, Half, POINT_BYTES, Point, WRAPPED_BYTES};
#[cfg(doc)]
use mayfly_dynamic::CardKey;
