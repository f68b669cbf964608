//! Names of things: small numbers inside, prefixed text outside.

use std::fmt;
use std::num::NonZeroU16;

use mayfly_card::Ascii;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC, as the engine stamps them: never earlier than the last record's.
pub type TimeMs = u64;

/// What an issuer or a programme is called: up to 40 characters of printable ASCII.
pub type Name = Ascii<40>;

/// A partition of an installation: a part of its accounts, with their numbers and transactions, that one decides about
/// without looking at any other. How many there are is fixed when the installation is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct PartitionId(pub u16);

/// How many bits of an id are its serial number; those above are its partition.
const SERIAL_BITS: u32 = 48;

impl PartitionId {
    /// The one that every installation has. Issuers and programmes are decided here, and known in all.
    pub const FIRST: Self = Self(0);
    /// How many an installation may have.
    pub const COUNT_MAX: u16 = 1024;

    /// All partitions of an installation that has so many.
    pub fn all(count: NonZeroU16) -> impl ExactSizeIterator<Item = Self> + Clone {
        (0..count.get()).map(Self)
    }

    /// The partition that something with a 64-bit keyed hash belongs to, among so many.
    pub fn of_hash(hash: u64, count: NonZeroU16) -> Self {
        // Smaller than the count, so it fits.
        Self((hash % u64::from(count.get())) as u16)
    }

    /// The partition of what has this id: ids are unique in an installation.
    pub fn of_id(id: u64) -> Self {
        Self((id >> SERIAL_BITS) as u16)
    }

    /// The id of what was the `serial`th of its kind here, the first with 1.
    pub fn id(self, serial: u64) -> u64 {
        (u64::from(self.0) << SERIAL_BITS) | serial
    }
}

/// The how-manieth of its kind in its partition something with this id is.
pub fn serial(id: u64) -> u64 {
    id & ((1 << SERIAL_BITS) - 1)
}

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError {
    /// The prefix that an id of this kind begins with.
    pub prefix: &'static str,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id of this kind looks like {}1a", self.prefix)
    }
}

impl std::error::Error for IdError {}

/// Digits of ids: letters and digits that are not mistaken for each other (Crockford's base 32, small).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn show(prefix: &str, mut value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [0u8; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = ALPHABET[(value % 32) as usize];
        value /= 32;
        if value == 0 {
            break;
        }
    }
    let text = std::str::from_utf8(&digits[at..]).map_err(|_| fmt::Error)?;
    f.pad(&format!("{prefix}{text}"))
}

fn parse(prefix: &'static str, text: &str) -> Result<u64, IdError> {
    let error = IdError { prefix };
    let digits = text.strip_prefix(prefix).ok_or(error)?;
    if digits.is_empty() {
        return Err(error);
    }
    digits.bytes().try_fold(0u64, |value, byte| {
        let digit = ALPHABET.iter().position(|letter| *letter == byte).ok_or(error)?;
        value.checked_mul(32).and_then(|value| value.checked_add(digit as u64)).ok_or(error)
    })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// Where it was made.
            pub fn partition(self) -> PartitionId {
                PartitionId::of_id(self.0)
            }

            /// Parses its text form.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show($prefix, self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show($prefix, self.0, f)
            }
        }
    };
}

id!(
    /// An issuer: `iss_…`.
    IssuerId, "iss_"
);
id!(
    /// A programme of an issuer: `prog_…`.
    ProgrammeId, "prog_"
);
id!(
    /// A cardholder's account: `acct_…`.
    AccountId, "acct_"
);
id!(
    /// A number that was issued: `num_…`. Never the number itself.
    NumberId, "num_"
);
id!(
    /// One message that was processed: `txn_…`.
    TransactionId, "txn_"
);

id!(
    /// Something that somebody was asked: `ask_…`.
    QuestionId, "ask_"
);

/// A keyed 64-bit hash: of a reference, of a request's identity, of its content. Written as eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hash64(#[serde(with = "fixed")] pub u64);

impl fmt::Debug for Hash64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Serde for values that are spread over all 64 bits: eight bytes, where a variable length would take ten.
pub mod fixed {
    use mayfly_keys::NumberIndex;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// What is written as eight bytes.
    pub trait Fixed: Sized {
        /// The bits.
        fn bits(&self) -> u64;
        /// From the bits.
        fn from_bits(bits: u64) -> Self;
    }

    impl Fixed for u64 {
        fn bits(&self) -> u64 {
            *self
        }
        fn from_bits(bits: u64) -> Self {
            bits
        }
    }

    impl Fixed for NumberIndex {
        fn bits(&self) -> u64 {
            self.0
        }
        fn from_bits(bits: u64) -> Self {
            Self(bits)
        }
    }

    /// Writes eight bytes, little endian.
    pub fn serialize<T: Fixed, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.bits().to_le_bytes().serialize(serializer)
    }

    /// Reads eight bytes, little endian.
    pub fn deserialize<'de, T: Fixed, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        <[u8; 8]>::deserialize(deserializer).map(|bytes| T::from_bits(u64::from_le_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_their_partition() {
        let id = AccountId(PartitionId(63).id(7));
        assert_eq!((id.partition(), serial(id.0)), (PartitionId(63), 7));
        assert_eq!(PartitionId::FIRST.id(7), 7);
        assert_eq!(PartitionId::all(NonZeroU16::MIN).collect::<Vec<_>>(), [PartitionId::FIRST]);
    }

    #[test]
    fn ids_round_trip_and_keep_their_kind() {
        for value in [0, 1, 31, 32, 12_345_678_901, u64::MAX] {
            let id = NumberId(value);
            assert_eq!(NumberId::parse(&id.to_string()), Ok(id));
        }
        assert_eq!(NumberId::parse("acct_1"), Err(IdError { prefix: "num_" }));
        assert_eq!(NumberId::parse("num_"), Err(IdError { prefix: "num_" }));
        assert_eq!(NumberId::parse("num_u"), Err(IdError { prefix: "num_" }));
        assert_eq!(NumberId::parse("num_zzzzzzzzzzzzzz"), Err(IdError { prefix: "num_" }));
    }
}
