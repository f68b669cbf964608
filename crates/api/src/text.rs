//! Values that are written as text: ids, currencies, codes, times. What they are and how they are parsed stands with
//! their types; here stands how the API shows them, and what its description says of them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use mayfly_card::{Channel, Country, Currency, Expiry, Layout, Mcc, MerchantId, Pan, PosEntryMode, Prefix};
use mayfly_core::{AccountId, IssuerId, Kind, Name, NumberId, ProgrammeId, Reason, TimeMs, TransactionId};
use mayfly_office::events::{EventKind, EventPlace, rfc_3339};
use mayfly_store::directory::{
    AttemptId, CardholderId, KeyId, MerchantEntryId, OrderReference, PaymentId, Role, WebAddress, WebhookId,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::schema::{SchemaFormat, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use zeroize::Zeroizing;

/// What the description of the API says of values of one type.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// What the type is called.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// How the text looks, as a regular expression; none if all texts are listed, or there is a format.
    pub pattern: Option<&'static str>,
    /// A text.
    pub example: &'static str,
    /// A format of JSON Schema.
    pub format: Option<&'static str>,
}

/// A value that is written as text.
pub trait Text: Sized + Send {
    /// What the description says of it.
    const ABOUT: About;

    /// As text.
    fn show(&self) -> String;

    /// From text.
    ///
    /// # Errors
    ///
    /// What such a text must be. Never any of the text itself: it could be a card number.
    fn read(text: &str) -> Result<Self, String>;

    /// All texts, if there are few.
    fn all() -> Vec<String> {
        Vec::new()
    }
}

/// A value that is written as text in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shown<T>(pub T);

/// An issuer's id.
pub type IssuerRef = Shown<IssuerId>;
/// A programme's id.
pub type ProgrammeRef = Shown<ProgrammeId>;
/// An account's id.
pub type AccountRef = Shown<AccountId>;
/// A number's id.
pub type NumberRef = Shown<NumberId>;
/// An authorisation's id.
pub type AuthorisationRef = Shown<TransactionId>;
/// An event's id: its place in the journal.
pub type EventRef = Shown<EventPlace>;
/// An API key's id.
pub type KeyRef = Shown<KeyId>;
/// A cardholder's id.
pub type CardholderRef = Shown<CardholderId>;
/// A merchant's entry.
pub type MerchantRef = Shown<MerchantEntryId>;
/// A payment's id.
pub type PaymentRef = Shown<PaymentId>;
/// What a merchant calls an order.
pub type Reference = Shown<OrderReference>;
/// The address of a web page.
pub type PageAddress = Shown<WebAddress>;
/// An expiration date.
pub type ExpirationDate = Shown<Expiry>;
/// How a number was entered.
pub type EntryMode = Shown<PosEntryMode>;
/// A webhook's id.
pub type WebhookRef = Shown<WebhookId>;
/// The id of an attempt to deliver an event.
pub type AttemptRef = Shown<AttemptId>;
/// What something is called.
pub type Title = Shown<Name>;
/// A currency.
pub type CurrencyCode = Shown<Currency>;
/// The digits at which numbers begin.
pub type PrefixDigits = Shown<Prefix>;
/// How a number's digits are divided.
pub type LayoutWidths = Shown<Layout>;
/// A merchant category.
pub type Category = Shown<Mcc>;
/// A country.
pub type CountryCode = Shown<Country>;
/// A merchant.
pub type Merchant = Shown<MerchantId>;
/// A whole card number. Its `Debug` and `Display` stay masked.
pub type CardNumber = Shown<Pan>;
/// A channel.
pub type ChannelName = Shown<Channel>;
/// A kind of authorisation.
pub type KindName = Shown<Kind>;
/// Why an authorisation was answered as it was.
pub type ReasonName = Shown<Reason>;
/// A kind of event.
pub type EventName = Shown<EventKind>;
/// What the holder of an API key may do.
pub type RoleName = Shown<Role>;
/// A time.
pub type Time = Shown<Moment>;

/// A time in milliseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(pub TimeMs);

/// As the API shows it.
pub(crate) fn time(at_ms: TimeMs) -> Time {
    Shown(Moment(at_ms))
}

impl<T: Text> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // One of these is a card number: the copy is wiped.
        serializer.serialize_str(&Zeroizing::new(self.0.show()))
    }
}

impl<'de, T: Text> Deserialize<'de> for Shown<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<T: Text> de::Visitor<'_> for Visitor<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
                T::read(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor(PhantomData)).map(Shown)
    }
}

impl<T: Text> PartialSchema for Shown<T> {
    fn schema() -> RefOr<Schema> {
        let About { what, pattern, example, format, .. } = T::ABOUT;
        let values = T::all();
        let mut schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(what))
            .examples([example])
            .pattern(pattern)
            .format(format.map(|format| SchemaFormat::Custom(format.to_owned())));
        if !values.is_empty() {
            schema = schema.enum_values(Some(values));
        }
        schema.into()
    }
}

impl<T: Text> ToSchema for Shown<T> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(T::ABOUT.name)
    }
}

const fn about(
    name: &'static str,
    what: &'static str,
    pattern: &'static str,
    example: &'static str,
) -> About {
    About { name, what, pattern: Some(pattern), example, format: None }
}

/// What the core parses and shows.
macro_rules! by_display {
    ($($type:ty, $name:literal, $what:literal, $pattern:literal, $example:literal, $wrong:literal;)*) => { $(
        impl Text for $type {
            const ABOUT: About = about($name, $what, $pattern, $example);

            fn show(&self) -> String {
                self.to_string()
            }

            fn read(text: &str) -> Result<Self, String> {
                let is_bare = !text.trim().is_empty() && text.trim_matches(' ') == text;
                Self::parse(text).ok().filter(|_| is_bare).ok_or_else(|| $wrong.to_owned())
            }
        }
    )* };
}

by_display! {
    IssuerId, "IssuerId", "An issuer.", "^iss_[0-9a-hjkmnp-tv-z]{1,12}$", "iss_1",
        "must be an issuer's id: iss_1 for example";
    ProgrammeId, "ProgrammeId", "A programme.", "^prog_[0-9a-hjkmnp-tv-z]{1,12}$", "prog_1",
        "must be a programme's id: prog_1 for example";
    AccountId, "AccountId", "An account.", "^acct_[0-9a-hjkmnp-tv-z]{1,12}$", "acct_1",
        "must be an account's id: acct_1 for example";
    NumberId, "NumberId", "A number that was issued. Never the number itself.",
        "^num_[0-9a-hjkmnp-tv-z]{1,12}$", "num_1", "must be a number's id: num_1 for example";
    TransactionId, "AuthorisationId", "One message that was processed.",
        "^txn_[0-9a-hjkmnp-tv-z]{1,12}$", "txn_1", "must be an authorisation's id: txn_1 for example";
    EventPlace, "EventId", "An event, by its place in the journal.", "^evt_[0-9]{1,15}_[0-9]{1,10}$", "evt_17_0",
        "must be an event's id: evt_17_0 for example";
    KeyId, "KeyId", "A key for the API. Never the key itself.", "^key_[0-9a-hjkmnp-tv-z]{1,12}$", "key_1",
        "must be a key's id: key_1 for example";
    CardholderId, "CardholderId", "A cardholder.", "^chd_[0-9a-hjkmnp-tv-z]{1,12}$", "chd_1",
        "must be a cardholder's id: chd_1 for example";
    MerchantEntryId, "MerchantEntryId", "A merchant that takes payments.", "^mer_[0-9a-hjkmnp-tv-z]{1,12}$", "mer_1",
        "must be a merchant's id: mer_1 for example";
    PaymentId, "PaymentId", "A payment.", "^pay_[0-7][0-9a-hjkmnp-tv-z]{25}$", "pay_01jdaz8q3v5m7x2c4b6n8d0f1g",
        "must be a payment's id, as the API showed it";
    WebhookId, "WebhookId", "Where an issuer is told of what happens.", "^whk_[0-9a-hjkmnp-tv-z]{1,12}$", "whk_1",
        "must be a webhook's id: whk_1 for example";
    AttemptId, "AttemptId", "An attempt to deliver an event.", "^att_[0-9a-hjkmnp-tv-z]{1,12}$", "att_1",
        "must be an attempt's id: att_1 for example";
    Name, "Name", "What something is called: printable ASCII, without spaces around it.",
        "^[!-~]([ -~]{0,38}[!-~])?$", "Acme Bank", "must be 1 to 40 printable ASCII characters";
    Layout, "Layout",
        "How a number's digits are divided: network, issuer, holder, drawn digits and MAC; the check digit is left out.",
        "^[0-9]{1,2}([+][0-9]{1,2}){4}(/[0-9]{1,2})?$", "1+5+0+9+0",
        "must be five numbers of digits that fit a card number: 1+5+0+9+0 for example";
    MerchantId, "MerchantId", "A merchant (DE 42).", "^[!-~]([ -~]{0,13}[!-~])?$", "MERCHANT-1",
        "must be 1 to 15 printable ASCII characters";
}

/// Codes of so many digits, and no fewer.
macro_rules! by_digits {
    ($($type:ty, $name:literal, $what:literal, $digits:literal, $pattern:literal, $example:literal, $wrong:literal;)*) => { $(
        impl Text for $type {
            const ABOUT: About = about($name, $what, $pattern, $example);

            fn show(&self) -> String {
                self.to_string()
            }

            fn read(text: &str) -> Result<Self, String> {
                let whole = Some(text).filter(|text| text.len() == $digits);
                whole.and_then(|text| Self::parse(text).ok()).ok_or_else(|| $wrong.to_owned())
            }
        }
    )* };
}

by_digits! {
    Mcc, "Mcc", "A merchant category (ISO 18245).", 4, "^[0-9]{4}$", "5411", "must be four digits";
    Country, "Country", "A country, by its number (ISO 3166).", 3, "^[0-9]{3}$", "840", "must be three digits";
}

impl Text for OrderReference {
    const ABOUT: About = about(
        "OrderReference",
        "What a merchant calls an order: printable ASCII, without spaces around it.",
        "^[!-~]([ -~]{0,62}[!-~])?$",
        "order 4711",
    );

    fn show(&self) -> String {
        self.as_str().to_owned()
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            "must be 1 to 64 printable ASCII characters, without spaces around them".to_owned()
        })
    }
}

impl Text for WebAddress {
    const ABOUT: About = About {
        name: "WebAddress",
        what: "The address of a web page: https, or http on this machine; without a fragment.",
        pattern: Some("^https?://[!-~]{1,504}$"),
        example: "https://shop.example/order/4711",
        format: None,
    };

    fn show(&self) -> String {
        self.as_str().to_owned()
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
}

impl Text for Expiry {
    const ABOUT: About =
        about("ExpirationDate", "Month and year, as printed.", "^(0[1-9]|1[0-2])/[0-9]{2}$", "05/28");

    fn show(&self) -> String {
        let [month_tens, month, year_tens, year] = self.mmyy_bytes().map(char::from);
        format!("{month_tens}{month}/{year_tens}{year}")
    }

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || "must be month and year: 05/28 for example".to_owned();
        let (month, year) = text.split_once('/').filter(|(month, _)| month.len() == 2).ok_or_else(wrong)?;
        Self::parse_mmyy(&format!("{month}{year}")).map_err(|_| wrong())
    }
}

impl Text for PosEntryMode {
    const ABOUT: About = about(
        "EntryMode",
        "How the number was entered (DE 22): 812 in a shop on the web, 012 by hand, 051 by chip.",
        "^[0-9]{3}$",
        "812",
    );

    fn show(&self) -> String {
        format!("{:03}", self.value())
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|_| "must be three digits: 812 for example".to_owned())
    }
}

impl Text for Prefix {
    const ABOUT: About =
        about("Prefix", "The digits at which a programme's numbers begin.", "^[0-9]{2,14}$", "456940");

    fn show(&self) -> String {
        self.as_str().to_owned()
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|_| "must be 2 to 14 digits".to_owned())
    }
}

impl Text for Currency {
    const ABOUT: About = about("Currency", "A currency, by its letters (ISO 4217).", "^[A-Z]{3}$", "USD");

    fn show(&self) -> String {
        self.letters().to_owned()
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::parse_alphabetic(text)
            .filter(|currency| currency.letters() == text)
            .ok_or_else(|| "must be three letters of a currency in use: USD for example".to_owned())
    }
}

impl Text for Pan {
    const ABOUT: About =
        about("CardNumber", "A whole card number: 12 to 19 digits.", "^[0-9]{12,19}$", "4569409360110520");

    fn show(&self) -> String {
        self.as_str().to_owned()
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
}

/// What somebody typed as a card number: one, or something else. What it is not is told together with whose it is not.
#[derive(Debug)]
pub struct Typed(pub Option<Pan>);

/// What somebody typed as a card number.
pub type TypedNumber = Shown<Typed>;

impl Text for Typed {
    const ABOUT: About = About { name: "TypedNumber", ..Pan::ABOUT };

    fn show(&self) -> String {
        self.0.as_ref().map(Text::show).unwrap_or_default()
    }

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(Pan::parse(text).ok()))
    }
}

impl Text for Moment {
    const ABOUT: About = About {
        name: "Time",
        what: "A time: RFC 3339, UTC, to the millisecond.",
        pattern: None,
        example: "2026-11-22T14:26:51.005Z",
        format: Some("date-time"),
    };

    fn show(&self) -> String {
        rfc_3339(self.0)
    }

    fn read(text: &str) -> Result<Self, String> {
        let time: Result<Timestamp, _> = text.parse();
        let at_ms = time.ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
        at_ms.map(Self).ok_or_else(|| "must be a time of RFC 3339 after 1970".to_owned())
    }
}

/// Names of the core, in the manner of this API: with underscores.
macro_rules! by_name {
    ($($type:ty, $all:expr, $show:expr, $name:literal, $what:literal, $example:literal;)*) => { $(
        impl Text for $type {
            const ABOUT: About =
                About { name: $name, what: $what, pattern: None, example: $example, format: None };

            fn show(&self) -> String {
                let show: fn($type) -> &'static str = $show;
                show(*self).replace('-', "_")
            }

            fn read(text: &str) -> Result<Self, String> {
                let found = $all.iter().copied().find(|value| value.show() == text);
                found.ok_or_else(|| format!("must be one of {}", Self::all().join(", ")))
            }

            fn all() -> Vec<String> {
                $all.iter().map(Self::show).collect()
            }
        }
    )* };
}

by_name! {
    Channel, Channel::ALL, Channel::name, "Channel", "Whether a card was read at the point of service.",
        "card_not_present";
    Kind, Kind::ALL, Kind::name, "AuthorisationKind", "What kind of message it was.", "purchase";
    Reason, Reason::ALL, Reason::name, "Reason", "Exactly why it was answered so. Never sent to the network.",
        "approved";
    EventKind, EventKind::ALL, EventKind::name, "EventKind", "What kind of event it is.", "transacted";
    Role, Role::ALL, Role::as_str, "Role", "What the holder of an API key may do.", "issuer";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(Moment(1_795_357_611_005).show(), "2026-11-22T14:26:51.005Z");
        assert_eq!(Moment::read("2026-11-22T14:26:51.005Z"), Ok(Moment(1_795_357_611_005)));
        assert!(Moment::read("yesterday").is_err());
    }

    #[test]
    fn nothing_that_was_sent_is_in_an_error() {
        let sent = "4569409360110523";
        let errors = [
            AccountId::read(sent).unwrap_err(),
            Pan::read(sent).unwrap_err(),
            Prefix::read(sent).unwrap_err(),
            Currency::read(sent).unwrap_err(),
            Channel::read(sent).unwrap_err(),
            Layout::read(sent).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| !error.contains("4569")), "{errors:?}");
    }

    #[test]
    fn names_are_read_as_they_are_shown() {
        for channel in Channel::ALL {
            assert_eq!(Channel::read(&channel.show()), Ok(channel));
        }
        assert_eq!(Channel::CardPresent.show(), "card_present");
        assert!(Channel::read("card-present").is_err());
        for blank in ["", " "] {
            assert!(Name::read(blank).is_err() && MerchantId::read(blank).is_err());
        }
    }
}
