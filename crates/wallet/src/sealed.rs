//! The text of a wallet's file: lines, each ended by a line feed.
//!
//! ```text
//! mayfly wallet 1
//! wrapped argon2id m=65536,t=3,p=1 09090909090909090909090909090909
//! sealed AQkJCQkJ…
//! check 0123456789abcdef
//! ```
//!
//! The number in the first line is the format's version, `wrapped` says how the key follows from the passphrase
//! ([`PassphraseLock`]), `sealed` is all the rest ([`SealKey`], in base64) with the line `wrapped` bound in. `check` is the
//! beginning of SHA-256 of all lines before it: it keeps nobody from anything, but tells a damaged file from a wrong
//! passphrase.

use std::fmt;

use base64ct::{Base64, Encoding};
use mayfly_keys::{
    Passphrase, PassphraseCost, PassphraseLock, Random, RandomError, SEAL_OVERHEAD_BYTES,
    SEAL_PLAINTEXT_BYTES_MAX, SealError, SealKey, SealPlace,
};
use sha2::{Digest, Sha256};

use crate::stored;
use crate::wallet::Wallet;

const TITLE: &str = "mayfly wallet ";
const VERSION: &str = "1";
const WRAPPED: &str = "wrapped ";
const SEALED: &str = "sealed ";
const CHECK: &str = "check ";

/// The longest text, in bytes: the longest that can be sealed, in base64, and the other lines.
pub const FILE_BYTES_MAX: usize = (SEAL_PLAINTEXT_BYTES_MAX + SEAL_OVERHEAD_BYTES).div_ceil(3) * 4 + 256;

/// What a passphrase opened: it seals the wallet again, as often as that changes.
#[derive(Debug)]
pub struct Vault {
    lock: PassphraseLock,
    key: SealKey,
}

impl Vault {
    /// For a new wallet, or a new passphrase.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn new(
        passphrase: &Passphrase,
        cost: PassphraseCost,
        random: &mut dyn Random,
    ) -> Result<Self, RandomError> {
        let lock = PassphraseLock::draw(cost, random)?;
        Ok(Self { key: lock.seal_key(passphrase), lock })
    }

    /// Opens the text of a file.
    ///
    /// # Errors
    ///
    /// [`FileReason`].
    pub fn open(text: &[u8], passphrase: &Passphrase) -> Result<(Self, Wallet), FileReason> {
        let lines = Lines::read(text)?;
        let lock = PassphraseLock::parse(lines.wrapped).ok_or(FileReason::Damaged)?;
        let sealed = Base64::decode_vec(lines.sealed).map_err(|_| FileReason::Damaged)?;
        let key = lock.seal_key(passphrase);
        let opened = key.open(&place(lines.wrapped), &sealed).map_err(|_| FileReason::NotOpened)?;
        let wallet = stored::read(opened.expose()).ok_or(FileReason::Damaged)?;
        Ok((Self { lock, key }, wallet))
    }

    /// The text of a file with this wallet.
    ///
    /// # Errors
    ///
    /// [`SealFailure`].
    pub fn seal(&self, wallet: &Wallet, random: &mut dyn Random) -> Result<String, SealFailure> {
        let written = stored::write(wallet).ok_or(SealFailure::TooLong)?;
        let line = self.lock.to_string();
        let sealed = self.key.seal(&place(&line), written.expose(), random).map_err(|error| match error {
            SealError::Random(error) => SealFailure::Random(error),
            SealError::PlaintextTooLong { .. } | SealError::Place(_) => SealFailure::TooLong,
        })?;
        let mut text =
            format!("{TITLE}{VERSION}\n{WRAPPED}{line}\n{SEALED}{}\n", Base64::encode_string(&sealed));
        text.push_str(&check_line(&text));
        Ok(text)
    }
}

/// What stands behind the words of a file's lines.
struct Lines<'a> {
    wrapped: &'a str,
    sealed: &'a str,
}

impl<'a> Lines<'a> {
    fn read(text: &'a [u8]) -> Result<Self, FileReason> {
        if !text.starts_with(TITLE.as_bytes()) {
            return Err(FileReason::NotAWallet);
        }
        let text = str::from_utf8(text).map_err(|_| FileReason::Damaged)?;
        let at = text.rfind(CHECK).ok_or(FileReason::Damaged)?;
        let (lines, check) = text.split_at(at);
        if check != check_line(lines) {
            return Err(FileReason::Damaged);
        }
        // From here on it is as somebody has written it, in whatever version.
        let mut lines = lines.lines();
        let mut line = |word: &str| lines.next().and_then(|line| line.strip_prefix(word));
        if line(TITLE) != Some(VERSION) {
            return Err(FileReason::UnknownVersion);
        }
        match (line(WRAPPED), line(SEALED), lines.next()) {
            (Some(wrapped), Some(sealed), None) => Ok(Self { wrapped, sealed }),
            _ => Err(FileReason::Damaged),
        }
    }
}

fn check_line(lines: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(lines.as_bytes()).into();
    let digits: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{CHECK}{digits}\n")
}

/// Where a wallet is sealed: in a file, below a line that says how.
fn place(line: &str) -> SealPlace<'_> {
    SealPlace { tenant: b"", table: "wallet", row: line.as_bytes(), key_version: 1 }
}

/// Why a text is no wallet that this passphrase opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileReason {
    /// It does not begin like one.
    NotAWallet,
    /// It is one of another version.
    UnknownVersion,
    /// It is one, and bytes of it were changed or are missing.
    Damaged,
    /// It is whole, and does not open.
    NotOpened,
}

impl fmt::Display for FileReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAWallet => "is no wallet: it does not begin with `mayfly wallet`; check the path",
            Self::UnknownVersion => "is a wallet of another version; use the program that wrote it, or a newer one",
            Self::Damaged => {
                "is damaged: bytes of it were changed or are missing; put a copy in its place and run `mayfly wallet \
                 restore`, or enrol the cards anew"
            }
            Self::NotOpened => "does not open with this passphrase; try again",
        })
    }
}

impl std::error::Error for FileReason {}

/// Why a wallet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealFailure {
    /// There is more in it than can be sealed at once.
    TooLong,
    /// Nothing could be drawn.
    Random(RandomError),
}

impl fmt::Display for SealFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("there is more in the wallet than fits; forget a card"),
            Self::Random(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SealFailure {}
