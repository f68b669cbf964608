//! The text of key files.

use zeroize::Zeroizing;

use super::{KeyFileReason, Protection, Wrapping};
use crate::encode::{decode_hex, push_hex};
use crate::passphrase::{PassphraseCost, PassphraseLock};
use crate::random::{Random, RandomError};
use crate::root::{CheckValue, RootKey};
use crate::seal::{SEAL_OVERHEAD_BYTES, SealError, SealKey, SealPlace};

const PLAIN: &str = "1";
const WRAPPED: &str = "2";
const WRAPPED_LINE: &str = "wrapped ";
const KEY: &str = "key ";
const CHECK: &str = "check ";
const BY_KEY_FILE: &str = "key-file";

/// Longer than any key file: reading stops here.
pub(super) const FILE_BYTES_MAX: usize = 256;
const SEALED_BYTES: usize = RootKey::BYTES + SEAL_OVERHEAD_BYTES;

/// What a key file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A root key, plain or wrapped.
    Root,
    /// A key that root keys are wrapped under.
    Wrapping,
}

impl Kind {
    /// How its first line begins; the format's version follows.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Root => "mayfly root key ",
            Self::Wrapping => "mayfly wrapping key ",
        }
    }
}

/// What was found in a file.
pub(super) enum Stored<'a> {
    Plain(RootKey),
    Wrapped(Wrapped<'a>),
}

/// A wrapped root key, as it is read.
pub(super) struct Wrapped<'a> {
    /// The line that says how, as it is bound in.
    line: &'a str,
    lock: Lock,
    sealed: [u8; SEALED_BYTES],
    check: CheckValue,
}

/// What opens a wrapped key.
enum Lock {
    Passphrase(PassphraseLock),
    KeyFile,
}

/// A file with the key as it is.
pub(super) fn plain(kind: Kind, key: &RootKey) -> Zeroizing<String> {
    compose(kind, PLAIN, None, key.expose(), key.check_value())
}

/// A file with the root key wrapped.
pub(super) fn wrapped(
    root: &RootKey,
    wrapping: Wrapping<'_>,
    cost: PassphraseCost,
    random: &mut dyn Random,
) -> Result<Zeroizing<String>, RandomError> {
    let lock = match wrapping {
        Wrapping::Passphrase(_) => Lock::Passphrase(PassphraseLock::draw(cost, random)?),
        Wrapping::Key(_) => Lock::KeyFile,
    };
    let line = lock.line();
    let key = lock.key(wrapping).expect("a lock is opened by what it was made of");
    let sealed = match key.seal(&place(&line), root.expose(), random) {
        Ok(sealed) => sealed,
        Err(SealError::Random(error)) => return Err(error),
        Err(error) => unreachable!("a key and its line are short enough to be sealed: {error}"),
    };
    Ok(compose(Kind::Root, WRAPPED, Some(&line), &sealed, root.check_value()))
}

fn compose(
    kind: Kind,
    version: &str,
    wrapped: Option<&str>,
    key: &[u8],
    check: CheckValue,
) -> Zeroizing<String> {
    // Reserved whole at once: growing would leave a copy of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    text.extend([kind.title(), version, "\n"]);
    if let Some(line) = wrapped {
        text.extend([WRAPPED_LINE, line, "\n"]);
    }
    text.push_str(KEY);
    push_hex(&mut text, key);
    text.extend(["\n", CHECK, check.to_string().as_str(), "\n"]);
    text
}

/// Reads a file of that kind.
pub(super) fn decode(kind: Kind, text: &[u8]) -> Result<Stored<'_>, KeyFileReason> {
    let not_one = KeyFileReason::NotAKeyFile { expected: kind };
    let text = str::from_utf8(text).map_err(|_| not_one)?;
    let (version, rest) =
        text.strip_prefix(kind.title()).and_then(|rest| rest.split_once('\n')).ok_or(not_one)?;
    match (kind, version) {
        (_, PLAIN) => decode_plain(rest).map(Stored::Plain),
        (Kind::Root, WRAPPED) => Wrapped::decode(rest).map(Stored::Wrapped),
        _ => Err(KeyFileReason::UnknownVersion),
    }
}

fn decode_plain(text: &str) -> Result<RootKey, KeyFileReason> {
    let mut bytes = Zeroizing::new([0; RootKey::BYTES]);
    let expected = decode_key(text, &mut *bytes)?;
    checked(RootKey::from_bytes(&bytes), expected)
}

/// The last two lines: fills `key`, gives the check value.
fn decode_key(text: &str, key: &mut [u8]) -> Result<CheckValue, KeyFileReason> {
    let (digits, rest) =
        text.strip_prefix(KEY).and_then(|rest| rest.split_once('\n')).ok_or(KeyFileReason::BrokenKeyLine)?;
    decode_hex(digits.as_bytes(), key).ok_or(KeyFileReason::BrokenKeyLine)?;
    rest.strip_prefix(CHECK)
        .and_then(|rest| rest.strip_suffix('\n'))
        .and_then(CheckValue::parse)
        .ok_or(KeyFileReason::BrokenCheckLine)
}

fn checked(root: RootKey, expected: CheckValue) -> Result<RootKey, KeyFileReason> {
    match root.check_value() {
        found if expected == found => Ok(root),
        found => Err(KeyFileReason::CheckValueDiffers { expected, found }),
    }
}

impl<'a> Wrapped<'a> {
    fn decode(text: &'a str) -> Result<Self, KeyFileReason> {
        let (line, rest) = text
            .strip_prefix(WRAPPED_LINE)
            .and_then(|rest| rest.split_once('\n'))
            .ok_or(KeyFileReason::BrokenWrappedLine)?;
        let lock = Lock::parse(line).ok_or(KeyFileReason::BrokenWrappedLine)?;
        let mut sealed = [0; SEALED_BYTES];
        let check = decode_key(rest, &mut sealed)?;
        Ok(Self { line, lock, sealed, check })
    }

    pub(super) fn protection(&self) -> Protection {
        match self.lock {
            Lock::Passphrase(lock) => Protection::Passphrase(lock.cost()),
            Lock::KeyFile => Protection::KeyFile,
        }
    }

    pub(super) fn open(&self, wrapping: Wrapping<'_>) -> Result<RootKey, KeyFileReason> {
        let key = self.lock.key(wrapping).ok_or(KeyFileReason::Wrapped { by: self.protection() })?;
        let opened = key.unwrap_key(&place(self.line), &self.sealed).map_err(|_| KeyFileReason::NotOpened)?;
        checked(RootKey::from_bytes(opened.expose()), self.check)
    }
}

impl Lock {
    /// What stands behind `wrapped`.
    fn line(&self) -> String {
        match self {
            Self::KeyFile => BY_KEY_FILE.to_owned(),
            Self::Passphrase(lock) => lock.to_string(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        if line == BY_KEY_FILE {
            return Some(Self::KeyFile);
        }
        PassphraseLock::parse(line).map(Self::Passphrase)
    }

    /// The key that it wraps under; none if `wrapping` is of another kind.
    fn key(&self, wrapping: Wrapping<'_>) -> Option<SealKey> {
        match (self, wrapping) {
            (Self::Passphrase(lock), Wrapping::Passphrase(passphrase)) => Some(lock.seal_key(passphrase)),
            (Self::KeyFile, Wrapping::Key(key)) => Some(key.seal_key()),
            _ => None,
        }
    }
}

/// Where a root key is sealed: in a file, below a line that says how.
fn place(line: &str) -> SealPlace<'_> {
    SealPlace { tenant: b"", table: "root-key", row: line.as_bytes(), key_version: 2 }
}
