//! Cards of the check site: what is asked, and what is answered.

use mayfly_card::{MerchantId, Pan};
use mayfly_core::{AccountId, NumberId, ProgrammeId};
use serde::{Deserialize, Serialize};

use super::{NumberControls, Secret, Time};

/// The check site's terms, as they are asked for and as they are shown: what is none has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckSite {
    /// What merchants get for a card's number.
    pub numbers: CardKind,
    /// By which processes a card's key may be made, 0 to 3. Default 2; none where cards have their own numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<u8>>,
    /// Among how many months pseudo expiration dates lie. Default 96.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub months: Option<u8>,
    /// How many months ahead merchants' forms accept a date. Default 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub furthest_months: Option<u16>,
    /// How long a wallet's purchase is expected if nothing else is asked, in seconds. Default 900.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etsn_lifetime_s: Option<u64>,
    /// How long it may be expected at the most, in seconds. Default 86400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etsn_lifetime_max_s: Option<u64>,
    /// How many purchases of a card may be open at a time. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_max: Option<u8>,
    /// How many failed proofs within 24 hours lock a card. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_after: Option<u8>,
    /// The oldest and the newest version of the wallet that count. Default 1 and 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<(u8, u8)>,
    /// Whether the wallet must say what a purchase may come to. Default yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_required: Option<bool>,
    /// Whether it must say at which merchant. Default no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant_required: Option<bool>,
    /// What MAC fields say of their origin. Default: all zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_field: Option<MacField>,
    /// Merchants whose messages have a MAC field: a date alone is declined there. Default: none.
    #[serde(with = "crate::text::list", skip_serializing_if = "Vec::is_empty")]
    pub field_merchants: Vec<MerchantId>,
}

/// What merchants get for a card's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardKind {
    /// One in its place.
    #[default]
    Pseudo,
    /// Its own.
    Own,
}

impl CardKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pseudo => "pseudo",
            Self::Own => "own",
        }
    }
}

/// The MAC fields of a programme's purchases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MacField {
    /// They have none.
    None,
    /// They say that they come from here.
    Origin {
        /// The access control server's id.
        acs: u8,
        /// The authentication method, 0 to 15.
        method: u8,
        /// The key's id, 0 to 15.
        key: u8,
    },
}

/// A card that is to be enrolled.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolCard {
    /// Which account pays.
    #[serde(with = "crate::text")]
    pub account: AccountId,
    /// By whose terms.
    #[serde(with = "crate::text")]
    pub programme: ProgrammeId,
    /// The card's own number: sealed wherever it is kept, and never shown again.
    #[serde(with = "crate::text")]
    pub number: Pan,
    /// Its real expiration date, MMYY.
    pub expiry: Secret,
    /// The process by which its key is made; the first that the programme has enabled if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u8>,
    /// What it may do.
    #[serde(default)]
    pub controls: NumberControls,
}

/// A card as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Card {
    /// Its id: that of its number.
    #[serde(with = "crate::text")]
    pub id: NumberId,
    /// Which account pays.
    #[serde(with = "crate::text")]
    pub account: AccountId,
    /// By whose terms.
    #[serde(with = "crate::text")]
    pub programme: ProgrammeId,
    /// The number that merchants get, masked.
    pub masked: String,
    /// What merchants get for a number.
    pub kind: CardKind,
    /// What has become of it.
    pub status: CardStatus,
    /// How many purchases its wallet has asked for that nobody has made yet.
    pub open_etsns: usize,
    /// When it was locked, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<Time>,
    /// When it was enrolled.
    pub enrolled: Time,
}

/// What becomes of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardStatus {
    /// Its wallet can ask for purchases.
    Active,
    /// Too many proofs failed: its cardholder, or an operator, has to unlock it.
    Locked,
    /// It is closed, or its date is over.
    Closed,
}

impl CardStatus {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Closed => "closed",
        }
    }
}
