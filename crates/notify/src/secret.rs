//! The secret that signs, and the signature, in the form of Standard Webhooks.

use std::fmt;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{HeaderName, HeaderValue};
use mayfly_keys::{Random, RandomError};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The fewest bytes of a secret, and the most (Standard Webhooks, "Signature scheme").
pub const SECRET_BYTES_MIN: usize = 24;
/// The most bytes of a secret.
pub const SECRET_BYTES_MAX: usize = 64;
/// How many bytes a secret has that is drawn here.
const DRAWN_BYTES: usize = 32;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";
/// Which signature it is: a symmetric one.
const VERSION: &str = "v1";

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A secret that the server shares with a receiver; wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// It is no secret of that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretError;

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {PREFIX} and {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes as base64")
    }
}

impl std::error::Error for SecretError {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Draws one.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if there is no randomness.
    pub fn draw(random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new(vec![0; DRAWN_BYTES]);
        random.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// From its bytes.
    ///
    /// # Errors
    ///
    /// [`SecretError`] if there are too few or too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        let fits = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len());
        if fits { Ok(Self(Zeroizing::new(bytes.to_vec()))) } else { Err(SecretError) }
    }

    /// From the text that its holder was given.
    ///
    /// # Errors
    ///
    /// [`SecretError`] if it is none.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        Self::from_bytes(&Zeroizing::new(Base64::decode_vec(encoded).map_err(|_| SecretError)?))
    }

    /// Its bytes, to be sealed.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// As its holder is given it.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", *Zeroizing::new(Base64::encode_string(&self.0))))
    }

    /// The signature of a message.
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        // Every length is a key to HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp_s.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("{VERSION},{}", Base64::encode_string(&mac.finalize().into_bytes()))
    }
}

/// The headers of a message: with a signature by each secret, so that a receiver who knows any of them can check it.
pub(crate) fn headers<'a>(
    secrets: impl Iterator<Item = &'a Secret>,
    id: &str,
    timestamp_s: u64,
    body: &[u8],
) -> [(HeaderName, HeaderValue); 3] {
    let signatures: Vec<String> = secrets.map(|secret| secret.sign(id, timestamp_s, body)).collect();
    // Ids, numbers and base64 are always a header's value.
    let value =
        |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    [(ID, value(id)), (TIMESTAMP, HeaderValue::from(timestamp_s)), (SIGNATURE, value(&signatures.join(" ")))]
}

#[cfg(test)]
mod tests {
    use mayfly_keys::OsRandom;

    use super::*;

    /// From the tests of the libraries of Standard Webhooks (and of Svix, where the form comes from).
    const KNOWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_known_message_has_its_known_signature() {
        let secret = Secret::parse(KNOWN).unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_come_back_and_have_their_bounds() {
        let drawn = Secret::draw(&mut OsRandom).unwrap();
        assert_eq!(Secret::parse(&drawn.to_text()), Ok(drawn.clone()));
        assert_eq!(drawn.expose().len(), 32);
        assert_eq!(Secret::parse(KNOWN).unwrap().to_text().as_str(), KNOWN);
        for bytes in [0, 23, 65] {
            assert_eq!(Secret::from_bytes(&vec![1; bytes]), Err(SecretError));
        }
        for wrong in ["", "whsec_", "whsec_!!!!", &KNOWN[6..], "whsec_AAAA"] {
            assert_eq!(Secret::parse(wrong), Err(SecretError), "{wrong}");
        }
        assert_eq!(format!("{drawn:?}"), "Secret(..)");
    }

    #[test]
    fn during_a_rotation_both_sign() {
        let (old, new) = (Secret::parse(KNOWN).unwrap(), Secret::from_bytes(&[7; 24]).unwrap());
        let [id, timestamp, signature] = headers([&new, &old].into_iter(), "evt_1_0", 17, b"{}");
        assert_eq!((id.1.to_str().unwrap(), timestamp.1.to_str().unwrap()), ("evt_1_0", "17"));
        let expected = format!("{} {}", new.sign("evt_1_0", 17, b"{}"), old.sign("evt_1_0", 17, b"{}"));
        assert_eq!(signature.1.to_str().unwrap(), expected);
    }
}
