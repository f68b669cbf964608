//! `Idempotency-Key`: a POST that is sent again with its key is done once and answered again.

use axum::http::HeaderMap;
use mayfly_core::OnceKey;
use mayfly_office::Office;
use mayfly_office::payments::Asked;
use mayfly_store::directory::{self, Directory};
use sha2::{Digest, Sha256};

use crate::problem::{Code, Problem};

/// The header.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest key, in characters.
pub const KEY_CHARS_MAX: usize = 255;

/// Who sends a request, as far as its key goes: the same key of another sender is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender(pub(crate) String);

/// Whose key it is, the key, and what was asked with it.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    sender: String,
    key: String,
    content: [u8; 32],
}

impl Once {
    /// Of a key that came with a request.
    ///
    /// The same key of another sender or on another route is another key; what is asked with it is the path and the
    /// body.
    pub(crate) fn of(key: String, sender: &Sender, (route, path): (&str, &str), body: &[u8]) -> Self {
        let mut content = Sha256::new();
        content.update((path.len() as u64).to_be_bytes());
        content.update(path);
        content.update(body);
        let sender = format!("{} {route}", sender.0);
        Self { sender, key, content: content.finalize().into() }
    }

    /// As the core knows it.
    pub(crate) fn for_office(&self, office: &Office) -> Option<OnceKey> {
        Some(self.in_office(office))
    }

    /// The same, for what always has a key.
    pub(crate) fn in_office(&self, office: &Office) -> OnceKey {
        office.once_key(self.sender.as_bytes(), self.key.as_bytes(), &self.content)
    }

    /// As the payment gateway knows it.
    pub(crate) fn for_gateway(&self) -> Asked {
        Asked { sender: self.sender.clone(), key: self.key.clone(), content: self.content }
    }

    /// As the directory knows it.
    pub(crate) fn for_directory(&self, directory: &Directory) -> (directory::OnceKey, [u8; 32]) {
        let parts = [self.sender.as_bytes(), self.key.as_bytes()];
        (directory::OnceKey(directory.keyed_hash("api-once", &parts)), self.content)
    }
}

/// The key that came with a request.
pub(crate) fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = keys.next().ok_or_else(|| Problem::new(Code::IdempotencyKeyMissing))?;
    let key = key.to_str().ok().filter(|key| {
        (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let key = key.filter(|_| keys.next().is_none()).map(str::to_owned);
    key.ok_or_else(|| Problem::new(Code::IdempotencyKeyInvalid))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn sender(text: &str) -> Sender {
        Sender(text.to_owned())
    }

    fn once(sender: &Sender, route: &str, path: &str, body: &[u8]) -> (String, [u8; 32]) {
        let once = Once::of("k".to_owned(), sender, (route, path), body);
        (once.sender, once.content)
    }

    #[test]
    fn a_key_belongs_to_its_sender_and_route_and_stands_for_path_and_body() {
        let first = once(&sender("iss_1 issuer"), "/a/{id}", "/a/1", b"x");
        assert_eq!(once(&sender("iss_1 issuer"), "/a/{id}", "/a/1", b"x"), first);
        assert_ne!(once(&sender("iss_2 issuer"), "/a/{id}", "/a/1", b"x").0, first.0);
        assert_ne!(once(&sender("iss_1 merchant"), "/a/{id}", "/a/1", b"x").0, first.0);
        assert_ne!(once(&sender("iss_1 issuer"), "/b/{id}", "/a/1", b"x").0, first.0);
        for (path, body) in [("/a/2", &b"x"[..]), ("/a/1", b"y"), ("/a/1x", b"")] {
            let other = once(&sender("iss_1 issuer"), "/a/{id}", path, body);
            assert_eq!(other.0, first.0);
            assert_ne!(other.1, first.1);
        }
    }

    #[test]
    fn keys_are_visible_ascii() {
        let with = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            }
            key(&headers).map_err(|problem| problem.code())
        };
        assert_eq!(with(&[b"a"]), Ok("a".to_owned()));
        assert_eq!(with(&[&[b'~'; 255]]).map(|key| key.len()), Ok(255));
        assert_eq!(with(&[]), Err(Code::IdempotencyKeyMissing));
        for wrong in [&[&b""[..]][..], &[b"a b"], &[b"\xe9"], &[&[b'a'; 256]], &[b"a", b"a"]] {
            assert_eq!(with(wrong), Err(Code::IdempotencyKeyInvalid));
        }
    }
}
