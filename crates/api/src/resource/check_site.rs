//! The terms of programmes whose numbers are cards of the check site.

use mayfly_core::scheme::dynamic::DynamicTerms;
use mayfly_dynamic::{ControlDigit, Numbers};
use mayfly_office::{CheckSiteAsked, OfficeError};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::programmes::milliseconds;
use crate::problem::Problem;
use crate::text::{Merchant, Shown};

/// The check site's terms: cards keep their number, and each purchase carries a MAC of its own, in the expiration date or in
/// the MAC field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckSite {
    /// What merchants get for a number.
    pub numbers: CardKind,
    /// By which processes a card's key may be made, as the control digit of its number says; none where it has its own.
    #[schema(example = json!([2]))]
    pub processes: Vec<u8>,
    /// Among how many months pseudo expiration dates lie: a guess hits with one in so many.
    #[schema(example = 96)]
    pub months: u8,
    /// How many months ahead merchants' forms accept a date.
    #[schema(example = 120)]
    pub furthest_months: u16,
    /// How long a wallet's purchase is expected if nothing else is asked, in seconds.
    #[schema(example = 900)]
    pub etsn_lifetime_seconds: u64,
    /// How long it may be expected at the most, in seconds.
    #[schema(example = 86_400)]
    pub etsn_lifetime_seconds_max: u64,
    /// How many purchases of a card may be open at a time.
    #[schema(example = 3)]
    pub open_max: u8,
    /// How many failed proofs within 24 hours lock a card.
    #[schema(example = 3)]
    pub lock_after: u8,
    /// Which versions of the wallet count.
    pub versions: WalletVersions,
    /// Whether the wallet must say what a purchase may come to.
    pub amount_required: bool,
    /// Whether the wallet must say at which merchant.
    pub merchant_required: bool,
    /// What MAC fields say of their origin; null if purchases have none.
    #[schema(required)]
    pub mac_field: Option<MacFieldOrigin>,
    /// Merchants whose messages have a MAC field: a date alone is declined there.
    pub field_merchants: Vec<Merchant>,
}

/// What merchants get for a card's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CardKind {
    /// One in its place.
    Pseudo,
    /// Its own.
    Own,
}

impl CardKind {
    pub(super) fn of(is_own: bool) -> Self {
        if is_own { Self::Own } else { Self::Pseudo }
    }
}

/// Which versions of the wallet count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WalletVersions {
    /// The oldest.
    #[schema(example = 1)]
    pub oldest: u8,
    /// The newest.
    #[schema(example = 1)]
    pub newest: u8,
}

/// What a MAC field says beside the purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MacFieldOrigin {
    /// The access control server's id.
    #[schema(example = 0)]
    pub acs: u8,
    /// The authentication method, 0 to 15.
    #[schema(minimum = 0, maximum = 15, example = 0)]
    pub method: u8,
    /// The key's id, 0 to 15.
    #[schema(minimum = 0, maximum = 15, example = 0)]
    pub key: u8,
}

/// The check site's terms that are asked for; what is left out has its default.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCheckSite {
    /// What merchants get for a card's number. Where that is its own, the programme's prefix is that of the cards.
    pub numbers: CardKind,
    /// By which processes a card's key may be made: 0 from its number, 1 from number and BIN, 2 from the card's own number and
    /// its number, 3 drawn and stored. `[2]` if left out; nothing may be said where cards have their own numbers.
    #[serde(default)]
    #[schema(max_items = 4, example = json!([2]))]
    pub processes: Option<Vec<u8>>,
    /// Among how many months pseudo expiration dates lie; 96 if left out.
    #[serde(default)]
    #[schema(minimum = 12, maximum = 120, example = 96)]
    pub months: Option<u8>,
    /// How many months ahead merchants' forms accept a date; 120 if left out, or one more than `months` if that is more.
    #[serde(default)]
    #[schema(minimum = 13, maximum = 122, example = 120)]
    pub furthest_months: Option<u16>,
    /// How long a wallet's purchase is expected if nothing else is asked, in seconds; 900 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2_592_000, example = 900)]
    pub etsn_lifetime_seconds: Option<u64>,
    /// How long it may be expected at the most, in seconds; 86400 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2_592_000, example = 86_400)]
    pub etsn_lifetime_seconds_max: Option<u64>,
    /// How many purchases of a card may be open at a time; 3 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 8, example = 3)]
    pub open_max: Option<u8>,
    /// How many failed proofs within 24 hours lock a card; 3 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 8, example = 3)]
    pub lock_after: Option<u8>,
    /// Which versions of the wallet count; 1 only if left out.
    #[serde(default)]
    pub versions: Option<WalletVersions>,
    /// Whether the wallet must say what a purchase may come to; yes, if left out.
    #[serde(default)]
    pub amount_required: Option<bool>,
    /// Whether the wallet must say at which merchant; no, if left out.
    #[serde(default)]
    pub merchant_required: Option<bool>,
    /// What MAC fields say of their origin; all zero if left out, and null if purchases are to have none.
    #[serde(default, deserialize_with = "also_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MacFieldOrigin>)]
    pub mac_field: Option<Option<MacFieldOrigin>>,
    /// Merchants whose messages have a MAC field: a date alone is declined there. None if left out.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub field_merchants: Option<Vec<Merchant>>,
}

/// What is null is said, too.
fn also_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl NewCheckSite {
    /// With the core's defaults; the core checks the bounds.
    pub(super) fn terms(&self) -> Result<DynamicTerms, Problem> {
        let asked = CheckSiteAsked {
            own: self.numbers == CardKind::Own,
            processes: self.processes.clone(),
            months: self.months,
            furthest_months: self.furthest_months,
            lifetime_ms: self.etsn_lifetime_seconds.map(milliseconds).transpose()?,
            lifetime_max_ms: self.etsn_lifetime_seconds_max.map(milliseconds).transpose()?,
            open_max: self.open_max,
            lock_after: self.lock_after,
            versions: self.versions.map(|versions| (versions.oldest, versions.newest)),
            amount_required: self.amount_required,
            merchant_required: self.merchant_required,
            field: self.mac_field.map(|field| field.map(|origin| (origin.acs, origin.method, origin.key))),
            field_merchants: self
                .field_merchants
                .as_ref()
                .map(|merchants| merchants.iter().map(|merchant| merchant.0).collect()),
        };
        Ok(asked.terms().map_err(OfficeError::Terms)?)
    }
}

/// As it is shown.
pub(super) fn shown(terms: &DynamicTerms) -> CheckSite {
    let processes = match terms.numbers {
        Numbers::Pseudo(enabled) => {
            let enabled = ControlDigit::ALL.into_iter().filter(|digit| enabled.contains(*digit));
            enabled.map(|digit| digit.digit() - b'0').collect()
        }
        Numbers::Real => Vec::new(),
    };
    CheckSite {
        numbers: CardKind::of(terms.numbers == Numbers::Real),
        processes,
        months: terms.months.count(),
        furthest_months: terms.furthest_months,
        etsn_lifetime_seconds: terms.lifetime_ms / 1000,
        etsn_lifetime_seconds_max: terms.lifetime_max_ms / 1000,
        open_max: terms.open_max,
        lock_after: terms.misses_max,
        versions: WalletVersions { oldest: terms.versions.oldest.0, newest: terms.versions.newest.0 },
        amount_required: terms.cap_required,
        merchant_required: terms.merchant_required,
        mac_field: terms.field.map(|origin| MacFieldOrigin {
            acs: origin.acs,
            method: origin.method,
            key: origin.key,
        }),
        field_merchants: terms.field_merchants.iter().copied().map(Shown).collect(),
    }
}
