//! What can be asked.

use mayfly_card::{Channel, Country, Currency, Layout, Mcc, MerchantId, Pan, Prefix};
use mayfly_core::{AccountId, IssuerId, Name, NumberId, ProgrammeId, TransactionId};
use mayfly_store::directory::{KeyId, MerchantEntryId, Role};
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::{AdminResponse, List, PAGE_DEFAULT, PAGE_MAX};
use super::{CheckSite, EnrolCard, Time};

/// What an operator can ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdminRequest {
    /// A new issuer. → [`AdminResponse::Issuer`]
    OpenIssuer {
        /// What it is called.
        #[serde(with = "crate::text")]
        name: Name,
    },
    /// → [`AdminResponse::Issuers`]
    ListIssuers {
        /// Which page.
        #[serde(default)]
        page: Page,
    },
    /// → [`AdminResponse::Issuer`]
    ShowIssuer {
        /// Which one.
        #[serde(with = "crate::text")]
        issuer: IssuerId,
    },
    /// By which terms an issuer's host is asked. → [`AdminResponse::Issuer`]
    SetHost {
        /// Whose.
        #[serde(with = "crate::text")]
        issuer: IssuerId,
        /// How long its answer is waited for, in milliseconds.
        wait_ms: u32,
        /// Up to which amount we approve in its place, in minor units.
        stand_in_max_minor: u64,
    },
    /// A new programme. → [`AdminResponse::Programme`]
    OpenProgramme(Box<OpenProgramme>),
    /// → [`AdminResponse::Programmes`]
    ListProgrammes {
        /// Only of this issuer.
        #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
        issuer: Option<IssuerId>,
        /// Which page.
        #[serde(default)]
        page: Page,
    },
    /// → [`AdminResponse::Programme`]
    ShowProgramme {
        /// Which one.
        #[serde(with = "crate::text")]
        programme: ProgrammeId,
    },
    /// A new account. → [`AdminResponse::Account`]
    OpenAccount {
        /// With which issuer.
        #[serde(with = "crate::text")]
        issuer: IssuerId,
        /// In which currency.
        #[serde(with = "crate::text")]
        currency: Currency,
        /// How it is funded.
        limit: AccountLimit,
    },
    /// → [`AdminResponse::Accounts`]
    ListAccounts {
        /// Only of this issuer.
        #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
        issuer: Option<IssuerId>,
        /// Which page.
        #[serde(default)]
        page: Page,
    },
    /// → [`AdminResponse::Account`]
    ShowAccount {
        /// Which one.
        #[serde(with = "crate::text")]
        account: AccountId,
    },
    /// Another way of funding, or another credit limit. → [`AdminResponse::Account`]
    SetLimit {
        /// Of which account.
        #[serde(with = "crate::text")]
        account: AccountId,
        /// The new one.
        limit: AccountLimit,
    },
    /// Money is paid in, or out if negative. → [`AdminResponse::Account`]
    Fund {
        /// To which account.
        #[serde(with = "crate::text")]
        account: AccountId,
        /// How much, in minor units of its currency.
        minor: i64,
    },
    /// A channel is switched off, or on again. → [`AdminResponse::Account`]
    BlockChannel {
        /// Of which account.
        #[serde(with = "crate::text")]
        account: AccountId,
        /// Which one.
        #[serde(with = "crate::text")]
        channel: Channel,
        /// Off?
        blocked: bool,
    },
    /// A number is wanted. → [`AdminResponse::Issued`]
    IssueNumber(Box<IssueNumber>),
    /// → [`AdminResponse::Number`]
    ShowNumber {
        /// Which one.
        #[serde(with = "crate::text")]
        number: NumberId,
    },
    /// A number is not wanted any more. → [`AdminResponse::Number`]
    CancelNumber {
        /// Which one.
        #[serde(with = "crate::text")]
        number: NumberId,
    },
    /// An account's numbers, the latest first. → [`AdminResponse::Numbers`]
    ListNumbers {
        /// Whose.
        #[serde(with = "crate::text")]
        account: AccountId,
        /// Only those in this state.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<NumberState>,
        /// Which page.
        #[serde(default)]
        page: Page,
    },
    /// A card of the check site is enrolled. → [`AdminResponse::Card`]
    EnrolCard(Box<EnrolCard>),
    /// → [`AdminResponse::Card`]
    ShowCard {
        /// Which one.
        #[serde(with = "crate::text")]
        card: NumberId,
    },
    /// An account's cards, the latest first. → [`AdminResponse::Cards`]
    ListCards {
        /// Whose.
        #[serde(with = "crate::text")]
        account: AccountId,
        /// Which page.
        #[serde(default)]
        page: Page,
    },
    /// A card's lock ends. → [`AdminResponse::Card`]
    UnlockCard {
        /// Which one.
        #[serde(with = "crate::text")]
        card: NumberId,
    },
    /// A card is closed for good. → [`AdminResponse::Card`]
    CloseCard {
        /// Which one.
        #[serde(with = "crate::text")]
        card: NumberId,
    },
    /// → [`AdminResponse::Transaction`]
    ShowTransaction {
        /// Which one.
        #[serde(with = "crate::text")]
        transaction: TransactionId,
    },
    /// Transactions, the latest first: all of them, an account's, or a number's. → [`AdminResponse::Transactions`]
    ListTransactions {
        /// Of this account.
        #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
        account: Option<AccountId>,
        /// With this number. Not together with an account.
        #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
        number: Option<NumberId>,
        /// Which page.
        #[serde(default)]
        page: Page,
    },
    /// A new key for the HTTP API. → [`AdminResponse::KeyGiven`]
    CreateKey(Box<CreateKey>),
    /// The keys of an issuer, or of the operators. → [`AdminResponse::Keys`]
    ListKeys {
        /// Of which issuer; of the operators if none.
        #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
        issuer: Option<IssuerId>,
        /// Which page.
        #[serde(default)]
        page: Page,
    },
    /// A new key comes in the place of another one. → [`AdminResponse::KeyGiven`]
    RotateKey {
        /// Which one.
        #[serde(with = "crate::text")]
        key: KeyId,
        /// Of which issuer; of the operators if none.
        #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
        issuer: Option<IssuerId>,
        /// How long the old one stays valid, in seconds.
        overlap_s: u64,
    },
    /// A key is not valid any more. → [`AdminResponse::Key`]
    RevokeKey {
        /// Which one.
        #[serde(with = "crate::text")]
        key: KeyId,
        /// Of which issuer; of the operators if none.
        #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
        issuer: Option<IssuerId>,
    },
    /// The versions of the cards' keys. → [`AdminResponse::KeyVersions`]
    ListKeyVersions {},
    /// The version after the last one, whose root key the configuration names, is the current one from now on. →
    /// [`AdminResponse::KeyVersions`]
    RotateKeyVersion {},
    /// A version of the cards' keys counts no more, for good. → [`AdminResponse::KeyVersions`]
    RetireKeyVersion {
        /// Which one.
        version: u16,
        /// Also if cards have it: they are refused then.
        #[serde(default)]
        force: bool,
    },
    /// What is kept, and what would be dropped. → [`AdminResponse::Retention`]
    ShowRetention(RetentionAsked),
    /// What is old is archived and dropped now. It is answered when that has begun. → [`AdminResponse::Retention`]
    RunRetention(RetentionAsked),
    /// Whether that has come to its end. It may be asked often. → [`AdminResponse::RetentionRuns`]
    RetentionRuns {},
    /// How the server is. → [`AdminResponse::Status`]
    Status {},
}

/// What is to be dropped. Where nothing is said, the configuration says it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionAsked {
    /// From the journal: records of before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_before: Option<Time>,
    /// From the views: what has been over since this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views_before: Option<Time>,
}

/// A new key for the HTTP API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What its holder may do.
    pub role: Role,
    /// On whose things; none for an operator's key, and only for that.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerId>,
    /// For whose payments: needed for a merchant's own key, and only for that.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
    pub merchant: Option<MerchantEntryId>,
    /// What people call it.
    #[serde(with = "crate::text")]
    pub label: Name,
    /// How long it is good, in seconds; for good if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u64>,
}

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// How many items, 1 to [`PAGE_MAX`]; [`PAGE_DEFAULT`] if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the last page said that the next one begins: [`List::next`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// How an account is funded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AccountLimit {
    /// From what was paid in.
    Prepaid,
    /// Up to this much may be owed.
    Credit {
        /// In minor units.
        minor: u64,
    },
    /// The issuer host has the money, and is asked.
    IssuerHost,
}

/// A new programme.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenProgramme {
    /// Whose.
    #[serde(with = "crate::text")]
    pub issuer: IssuerId,
    /// What it is called.
    #[serde(with = "crate::text")]
    pub name: Name,
    /// Its terms; what is not named has its default.
    pub terms: TermsAsked,
    /// The universal number, whole. Only its index and last four digits are kept.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
    pub universal: Option<Pan>,
}

/// Terms as they are asked for: what is none has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsAsked {
    /// The digits at which its numbers begin.
    #[serde(with = "crate::text")]
    pub prefix: Prefix,
    /// The digits of network, issuer, holder, transaction id and MAC, as in `1+5+0+9+0`. Default: as many drawn
    /// digits after the prefix as make 16 with the check digit.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// How long a number is good if nothing else is asked, in seconds. Default 900.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u64>,
    /// How long a number may be good at the most, in seconds. Default 86400, and 3660 days for cards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_max_s: Option<u64>,
    /// How many uses may be asked for at the most. Default 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_max: Option<u32>,
    /// How far ahead the printed expiration date may lie, in months. Default 36.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_months: Option<u16>,
    /// How long a number stays out of use after its last use, in months. Default 13.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_months: Option<u16>,
    /// How many active numbers an account may have. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_max: Option<u32>,
    /// The largest amount of one purchase, in minor units. Default 999999999999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_max_minor: Option<u64>,
    /// How much more than authorised may be completed, in percent, at most two decimals. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance_percent: Option<f64>,
    /// How long an authorisation waits for its completion, in days. Default 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_days: Option<u16>,
    /// Whether the first completion gives the rest of the hold back. Default no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_completion: Option<bool>,
    /// What a failed control does to a number. Default keep-usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_control: Option<FailedControl>,
    /// Of what its numbers have a part, in the holder digits of their layout. Default nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub includes: Option<Includes>,
    /// Whether purchases may be simulated. Default no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<bool>,
    /// The check site's terms, if its numbers are cards. Default: they are one-time numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_site: Option<Box<CheckSite>>,
}

impl TermsAsked {
    /// All defaults, for numbers that begin with `prefix`.
    pub fn standard(prefix: Prefix) -> Self {
        Self {
            prefix,
            layout: None,
            lifetime_s: None,
            lifetime_max_s: None,
            uses_max: None,
            expiry_months: None,
            quarantine_months: None,
            active_max: None,
            amount_max_minor: None,
            tolerance_percent: None,
            hold_days: None,
            single_completion: None,
            failed_control: None,
            includes: None,
            sandbox: None,
            check_site: None,
        }
    }
}

/// Of what a programme's numbers have a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Includes {
    /// Of nothing: all digits after the prefix are drawn.
    Nothing,
    /// Of the cardholder's own number.
    OwnNumber,
    /// Of the programme's universal number.
    UniversalNumber,
}

/// What a failed control does to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedControl {
    /// It stays usable for at most two more tries.
    KeepUsable,
    /// It is used up at once.
    UseUp,
}

/// A number is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueNumber {
    /// Whose purchases it will make.
    #[serde(with = "crate::text")]
    pub account: AccountId,
    /// By whose terms; the issuer's only programme if none.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
    pub programme: Option<ProgrammeId>,
    /// How often it may be used; 1 if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How long it is good, in seconds; the programme's default if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u64>,
    /// What it may do.
    #[serde(default)]
    pub controls: NumberControls,
}

/// What a number may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberControls {
    /// The largest amount of one purchase, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_max_minor: Option<u64>,
    /// The largest sum of all purchases, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_max_minor: Option<u64>,
    /// Purchases in this currency only.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Who may use it.
    #[serde(default)]
    pub merchant: Merchant,
    /// Only these categories, if any are named.
    #[serde(default, with = "crate::text::list", skip_serializing_if = "Vec::is_empty")]
    pub mcc_allowed: Vec<Mcc>,
    /// None of these categories.
    #[serde(default, with = "crate::text::list", skip_serializing_if = "Vec::is_empty")]
    pub mcc_refused: Vec<Mcc>,
    /// Only these countries (three digits of ISO 3166), if any are named.
    #[serde(default, with = "crate::text::list", skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<Country>,
    /// In this channel only.
    #[serde(default, with = "crate::text::option", skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
}

/// Which merchant may use a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merchant {
    /// Any.
    #[default]
    Any,
    /// The first whose purchase is approved.
    FirstUse,
    /// This one (DE 42).
    Fixed(#[serde(with = "crate::text")] MerchantId),
}

/// What becomes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumberState {
    /// It can be used.
    Active,
    /// All its uses were used.
    Used,
    /// Its lifetime is over.
    Expired,
    /// Somebody cancelled it.
    Cancelled,
    /// Too many failed tries.
    Blocked,
}

impl NumberState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Active, Self::Used, Self::Expired, Self::Cancelled, Self::Blocked];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Blocked => "blocked",
        }
    }
}
