//! What is kept of a password, and what it cost to compute.

use core::fmt;

use argon2::Params;
use base64ct::{Base64Unpadded, Encoding};

/// What one guess costs. Made only within its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// 19 MiB, two passes, one lane: the second of OWASP's recommended settings, which are of equal strength.
    pub const DEFAULT: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };
    /// The most memory that a record may ask for, in KiB: a damaged one must not exhaust the machine.
    pub const MEMORY_KIB_MAX: u32 = 262_144;
    /// The most passes that a record may ask for.
    pub const PASSES_MAX: u32 = 16;
    /// The most lanes that a record may ask for.
    pub const LANES_MAX: u32 = 16;
    /// The least memory per lane, in KiB (RFC 9106, section 3.1).
    const MEMORY_KIB_PER_LANE: u32 = 8;

    /// A cost: memory in KiB, passes over it, lanes. None outside the bounds.
    pub const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Option<Self> {
        if lanes == 0
            || lanes > Self::LANES_MAX
            || passes == 0
            || passes > Self::PASSES_MAX
            || memory_kib < Self::MEMORY_KIB_PER_LANE * lanes
            || memory_kib > Self::MEMORY_KIB_MAX
        {
            return None;
        }
        Some(Self { memory_kib, passes, lanes })
    }

    /// How much memory one computation takes, in KiB.
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    pub(super) fn is_below(self, wanted: Self) -> bool {
        self.memory_kib < wanted.memory_kib || self.passes < wanted.passes || self.lanes < wanted.lanes
    }

    pub(super) fn params(self) -> Params {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_BYTES))
            .expect("the bounds of a cost are narrower than those of Argon2")
    }
}

pub(super) const SALT_BYTES: usize = 16;
pub(super) const HASH_BYTES: usize = 32;

/// What is kept of a password: cost, salt and hash. Of no use without the pepper, and still nothing to show: `Debug`
/// names the cost only. As text it looks like `$argon2id$v=19$m=19456,t=2,p=1$salt$hash` (PHC string format; salt and
/// hash in base64 without padding).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordRecord {
    pub(super) cost: Cost,
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) hash: [u8; HASH_BYTES],
}

impl PasswordRecord {
    /// Its text, to be stored.
    pub fn to_text(&self) -> String {
        let Cost { memory_kib, passes, lanes } = self.cost;
        format!(
            "{PHC_HEAD}m={memory_kib},t={passes},p={lanes}${}${}",
            Base64Unpadded::encode_string(&self.salt),
            Base64Unpadded::encode_string(&self.hash)
        )
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    ///
    /// [`RecordError`] names the part that can't be read.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let rest = text.strip_prefix(PHC_HEAD).ok_or(RecordError::Algorithm)?;
        let mut parts = rest.split('$');
        let mut part = || parts.next().unwrap_or_default();
        let cost = parse_cost(part()).ok_or(RecordError::Cost)?;
        let (mut salt, mut hash) = ([0; SALT_BYTES], [0; HASH_BYTES]);
        decode(part(), &mut salt).ok_or(RecordError::Salt)?;
        decode(part(), &mut hash).ok_or(RecordError::Hash)?;
        parts.next().is_none().then_some(Self { cost, salt, hash }).ok_or(RecordError::Hash)
    }
}

/// Algorithm and version; 19 is 1.3, the version of RFC 9106.
const PHC_HEAD: &str = "$argon2id$v=19$";

fn parse_cost(text: &str) -> Option<Cost> {
    let mut numbers = text.split(',');
    let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse().ok();
    let cost = Cost::new(number("m=")?, number("t=")?, number("p=")?);
    cost.filter(|_| numbers.next().is_none())
}

fn decode(text: &str, out: &mut [u8]) -> Option<()> {
    let bytes = out.len();
    Base64Unpadded::decode(text, out).ok().filter(|decoded| decoded.len() == bytes).map(|_| ())
}

impl fmt::Debug for PasswordRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordRecord({:?}, ..)", self.cost)
    }
}

/// Why a text is no password record: which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Made by another algorithm, or by another version of it.
    Algorithm,
    /// The cost is unreadable or outside its bounds.
    Cost,
    /// The salt is not 16 bytes in base64.
    Salt,
    /// The hash is not 32 bytes in base64, or something follows it.
    Hash,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self {
            Self::Algorithm => "algorithm",
            Self::Cost => "cost",
            Self::Salt => "salt",
            Self::Hash => "hash",
        };
        write!(
            f,
            "the {part} of a password record can't be read; restore the row, or invite the cardholder anew"
        )
    }
}

impl std::error::Error for RecordError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_record_is_named() {
        let salt = "AQEBAQEBAQEBAQEBAQEBAQ";
        let hash = "A".repeat(43);
        let error = |text: String| PasswordRecord::parse(&text).err();
        assert_eq!(error(format!("$argon2id$v=19$m=64,t=1,p=1${salt}${hash}")), None);
        assert_eq!(error(format!("$argon2i$v=19$m=64,t=1,p=1${salt}${hash}")), Some(RecordError::Algorithm));
        for cost in ["m=64,t=1", "m=64,t=1,p=1,x=1", "m=1,t=1,p=1", "m=4194304,t=1,p=1", "m=64,t=99,p=1", ""]
        {
            assert_eq!(
                error(format!("$argon2id$v=19${cost}${salt}${hash}")),
                Some(RecordError::Cost),
                "{cost}"
            );
        }
        assert_eq!(error(format!("$argon2id$v=19$m=64,t=1,p=1$A${hash}")), Some(RecordError::Salt));
        assert_eq!(error(format!("$argon2id$v=19$m=64,t=1,p=1${salt}$AAAA")), Some(RecordError::Hash));
        assert_eq!(error(format!("$argon2id$v=19$m=64,t=1,p=1${salt}${hash}$x")), Some(RecordError::Hash));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,80}") {
            prop_assert!(PasswordRecord::parse(&text).is_err());
        }
    }
}
