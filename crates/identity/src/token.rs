//! Opaque bearer tokens: 256 random bits, shown once, kept as a hash.
//!
//! A token says nothing of its own: whoever holds it is looked up by its [`TokenHash`]. Because it is random and long,
//! a fast hash is enough; because only the hash is kept, whoever steals the database can't use it.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use mayfly_keys::{Random, RandomError};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What a token is for. One kind is never taken for another: the kind is in the prefix and in the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    /// A program's key for the API.
    ApiKey,
    /// A cardholder who is logged in. Short-lived.
    Session,
    /// Gets the next session without a password; changes every time.
    Refresh,
    /// Lets a new cardholder choose his name and password, once.
    Invitation,
}

impl TokenKind {
    /// What a token of this kind begins with, so that people and secret scanners know one when they see it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "mfk_",
            Self::Session => "mfs_",
            Self::Refresh => "mfr_",
            Self::Invitation => "mfi_",
        }
    }

    /// What the hash of a token of this kind begins with. Never change one: stored hashes would not be found again.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::ApiKey => b"mayfly-token/api-key\0",
            Self::Session => b"mayfly-token/session\0",
            Self::Refresh => b"mayfly-token/refresh\0",
            Self::Invitation => b"mayfly-token/invitation\0",
        }
    }
}

const RANDOM_BYTES: usize = 32;
const PREFIX_CHARS: usize = 4;
const DIGITS: usize = 43;
/// How many characters of the random part [`Token::hint`] shows: 24 bits of 256.
const HINT_DIGITS: usize = 4;

/// A token: no readable `Debug`, wiped on drop, compared only by its hash.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token {
    #[zeroize(skip)]
    kind: TokenKind,
    /// ASCII: prefix and digits.
    text: [u8; Token::CHARS],
}

impl Token {
    /// How many characters (all ASCII) every token has.
    pub const CHARS: usize = PREFIX_CHARS + DIGITS;

    /// Draws a new one: 32 random bytes as base64url without padding (RFC 4648, section 5) behind the kind's prefix.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn draw(kind: TokenKind, random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        random.fill(&mut *bytes)?;
        let mut token = Self { kind, text: [0; Self::CHARS] };
        let (prefix, digits) = token.text.split_at_mut(PREFIX_CHARS);
        prefix.copy_from_slice(kind.prefix().as_bytes());
        // 32 bytes are exactly 43 digits, so this never fails; a token of zeros must not come of it if it did.
        let written = Base64UrlUnpadded::encode(&*bytes, digits).map(str::len);
        assert_eq!(written.ok(), Some(DIGITS), "32 bytes are 43 digits in base64");
        Ok(token)
    }

    /// Reads a token of one kind.
    ///
    /// # Errors
    ///
    /// [`TokenError`] says what is wrong, without the token.
    pub fn parse(kind: TokenKind, text: &str) -> Result<Self, TokenError> {
        let digits =
            text.strip_prefix(kind.prefix()).ok_or(TokenError::Prefix { expected: kind.prefix() })?;
        let whole = text.as_bytes().try_into().map_err(|_| TokenError::Length { bytes: text.len() })?;
        // Decoding refuses other characters, and set bits behind the last byte: each token has one text only.
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        match Base64UrlUnpadded::decode(digits, &mut *bytes) {
            Ok(decoded) if decoded.len() == RANDOM_BYTES => Ok(Self { kind, text: whole }),
            _ => Err(TokenError::Digits),
        }
    }

    /// What it is for.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The text, to hand it to whom it belongs. Never write it to a log, an error or a file.
    pub fn expose(&self) -> &str {
        // Only ASCII was put in, so this is never the fallback.
        core::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// What is stored of it and looked for: the SHA-256 of the kind's label and the text.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::new().chain_update(self.kind.label()).chain_update(self.text).finalize().into())
    }

    /// The first few characters, by which people tell their keys apart in a list. Safe to store and to show.
    pub fn hint(&self) -> String {
        self.expose().chars().take(PREFIX_CHARS + HINT_DIGITS).collect()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}..)", self.kind.prefix())
    }
}

/// What is kept of a token: the SHA-256 of a label for its kind and its text. No secret: 256 random bits can't be found
/// from it. So it may be compared in variable time, by an index as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The bytes, as they are stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    /// The first four bytes: enough to follow one through a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TokenHash({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// Why a text is no token of the kind that was wanted. Never contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It begins with something else: no token, or one of another kind.
    Prefix {
        /// What it should begin with.
        expected: &'static str,
    },
    /// It was cut off, or something was added.
    Length {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Behind the prefix stands something that is not 32 bytes in base64url.
    Digits,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { expected } => {
                write!(f, "the token does not begin with {expected}; send one that does")
            }
            Self::Length { bytes } => write!(
                f,
                "the token has {bytes} bytes instead of {}; send all of it and nothing else",
                Token::CHARS
            ),
            Self::Digits => f.write_str("the token has characters that none has; send it as it was shown"),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Constant;

    const KINDS: [TokenKind; 4] =
        [TokenKind::ApiKey, TokenKind::Session, TokenKind::Refresh, TokenKind::Invitation];

    #[test]
    fn a_token_is_its_prefix_and_base64url() {
        let token = Token::draw(TokenKind::ApiKey, &mut Constant(0xff)).unwrap();
        assert_eq!(token.expose(), "mfk___________________________________________8");
        assert_eq!(token.hint(), "mfk_____");
        assert_eq!(token.kind(), TokenKind::ApiKey);
    }

    /// `printf 'mayfly-token/api-key\0mfk_AAAA…' | sha256sum`: what is stored must be found by every later version.
    #[test]
    fn the_hash_keeps_its_form() {
        let token = Token::draw(TokenKind::ApiKey, &mut Constant(0)).unwrap();
        assert_eq!(token.expose(), format!("mfk_{}", "A".repeat(43)));
        let hash: String = token.hash().0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "cb240f5e239ee6833a9e06aa473ced5a5ce018a734048a97733ba188fd27097c");
    }

    #[test]
    fn one_kind_is_not_taken_for_another() {
        for kind in KINDS {
            let token = Token::draw(kind, &mut Constant(7)).unwrap();
            for other in KINDS {
                let parsed = Token::parse(other, token.expose());
                assert_eq!(parsed.map(|parsed| parsed.hash()).ok(), (kind == other).then(|| token.hash()));
            }
        }
        let hashes: std::collections::HashSet<_> =
            KINDS.map(|kind| Token::draw(kind, &mut Constant(7)).unwrap().hash()).into();
        assert_eq!(hashes.len(), KINDS.len());
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let error = |text: &str| Token::parse(TokenKind::Session, text).err();
        assert_eq!(error("mfk_abc"), Some(TokenError::Prefix { expected: "mfs_" }));
        assert_eq!(error("mfs_abc"), Some(TokenError::Length { bytes: 7 }));
        assert_eq!(error(&format!("mfs_{}", "+".repeat(43))), Some(TokenError::Digits));
        assert_eq!(error(&format!("mfs_{}", "é".repeat(21) + "A")), Some(TokenError::Digits));
        // The last digit has two bits that belong to no byte.
        assert_eq!(error(&format!("mfs_{}B", "A".repeat(42))), Some(TokenError::Digits));
    }

    #[test]
    fn nothing_shows_the_secret_part() {
        let token = Token::draw(TokenKind::Refresh, &mut Constant(0x5a)).unwrap();
        assert_eq!(format!("{token:?}"), "Token(mfr_..)");
        assert!(format!("{:?}", token.hash()).len() < 24);
    }

    proptest! {
        #[test]
        fn what_was_drawn_is_read_again(byte: u8) {
            for kind in KINDS {
                let token = Token::draw(kind, &mut Constant(byte)).unwrap();
                prop_assert_eq!(Token::parse(kind, token.expose()).unwrap().hash(), token.hash());
            }
        }

        #[test]
        fn any_text_is_refused_or_is_the_token(text in "mfk_[A-Za-z0-9_-]{42,44}") {
            if let Ok(token) = Token::parse(TokenKind::ApiKey, &text) {
                prop_assert_eq!(token.expose(), text);
            }
        }
    }
}
