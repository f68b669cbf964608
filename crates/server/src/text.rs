//! How values look in the admin protocol: ids, currencies, codes and layouts as the text that people write.

use std::fmt;

use jiff::Timestamp;
use mayfly_card::{
    AcquirerId, Channel, Country, Currency, Layout, Mcc, MerchantId, Pan, PosEntryMode, Prefix, Rrn, Stan,
    TerminalId,
};
use mayfly_core::{AccountId, IssuerId, Kind, Name, NumberId, ProgrammeId, TimeMs, TransactionId};
use mayfly_store::directory::{KeyId, MerchantEntryId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value that is written as text.
pub trait Text: Sized {
    /// As text.
    fn show(&self) -> String;
    /// From text; the error says what is wrong with it.
    fn read(text: &str) -> Result<Self, String>;
}

macro_rules! by_display {
    ($($name:ty),*) => { $(impl Text for $name {
        fn show(&self) -> String {
            self.to_string()
        }
        fn read(text: &str) -> Result<Self, String> {
            Self::parse(text).map_err(|error| format!("`{}`: {error}", shortened(text)))
        }
    })* };
}

by_display!(
    IssuerId,
    ProgrammeId,
    AccountId,
    NumberId,
    TransactionId,
    Mcc,
    Country,
    MerchantId,
    AcquirerId,
    TerminalId,
    Rrn,
    Stan,
    Layout,
    Name,
    KeyId,
    MerchantEntryId
);

/// What somebody sent, for an error message: never so much that it could hold a card number.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(8).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl Text for Prefix {
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!("prefix `{}`: {error}", shortened(text)))
    }
}

impl Text for PosEntryMode {
    fn show(&self) -> String {
        format!("{:03}", self.value())
    }
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!("entry mode `{}`: {error}", shortened(text)))
    }
}

impl Text for Currency {
    fn show(&self) -> String {
        self.letters().to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        Self::parse_alphabetic(text)
            .ok_or_else(|| format!("`{}` is no currency; write three letters, as in USD", shortened(text)))
    }
}

impl Text for Channel {
    fn show(&self) -> String {
        self.name().to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|channel| channel.name() == text).ok_or_else(|| {
            format!("`{}` is no channel; there are card-present and card-not-present", shortened(text))
        })
    }
}

impl Text for Kind {
    fn show(&self) -> String {
        self.name().to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("`{}` is no kind of transaction", shortened(text)))
    }
}

/// A whole card number, for the one who ordered it. Its `Debug` and `Display` stay masked.
impl Text for Pan {
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!("a card number: {error}"))
    }
}

/// Serde for a value that is written as text.
pub(crate) fn serialize<T: Text, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    // Some of these are card numbers: the copy is wiped.
    serializer.serialize_str(&zeroize::Zeroizing::new(value.show()))
}

/// Serde for a value that is written as text.
pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Visitor<T>(std::marker::PhantomData<T>);
    impl<T: Text> de::Visitor<'_> for Visitor<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            T::read(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Visitor(std::marker::PhantomData))
}

/// A value within something that holds several, or none.
#[derive(Serialize, Deserialize)]
struct One<T: Text>(#[serde(with = "crate::text")] T);

/// The same for a value that may be missing.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, One, Serialize, Serializer, Text};

    pub(crate) fn serialize<T: Text + Clone, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.clone().map(One).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<One<T>>::deserialize(deserializer).map(|value| value.map(|one| one.0))
    }
}

/// The same for a list.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, One, Serialize, Serializer, Text};

    pub(crate) fn serialize<T: Text + Clone, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        values.iter().cloned().map(One).collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        Vec::<One<T>>::deserialize(deserializer).map(|values| values.into_iter().map(|one| one.0).collect())
    }
}

/// A time: RFC 3339, UTC, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub TimeMs);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        // What lies after the year 9999 is shown as its end.
        f.pad(&format!("{:.3}", time.unwrap_or(Timestamp::MAX)))
    }
}

impl Text for Time {
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Result<Self, String> {
        let time: Timestamp = text.parse().map_err(|_| "not a time of RFC 3339".to_owned())?;
        u64::try_from(time.as_millisecond()).map(Self).map_err(|_| "a time before 1970".to_owned())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(Time(1_795_357_611_005).to_string(), "2026-11-22T14:26:51.005Z");
        assert_eq!(Time::read("2026-11-22T14:26:51.005Z"), Ok(Time(1_795_357_611_005)));
        assert_eq!(Time(u64::MAX).to_string(), "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn what_is_wrong_is_named_but_never_so_much_that_a_number_shows() {
        let error = AccountId::read("4569409360110520").unwrap_err();
        assert!(error.contains("45694093…") && error.contains("acct_"), "{error}");
        assert!(!Pan::read("4569409360110523").unwrap_err().contains("4569"));
        assert!(Currency::read("usd").is_ok() && Currency::read("XYZ").is_err());
    }
}
