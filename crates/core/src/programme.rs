//! What an issuer sets for a programme, and what a cardholder sets for a number.

use std::fmt;

use mayfly_card::{
    Ascii, Channel, Country, Currency, LastFour, Layout, Mcc, MerchantId, MinorUnits, Pan, Prefix,
};
use mayfly_dynamic::{Bin, SpecialBin};
use mayfly_keys::NumberIndex;
use serde::{Deserialize, Serialize};

use crate::scheme::dynamic::DynamicTerms;
use crate::{ACCOUNT_MAX, TimeMs, fixed};

/// How a programme's numbers come to be and how a purchase proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// The server draws the number; it is good while it is unused.
    Issued,
    /// The number stays, and each purchase carries a MAC of its own (S1, S2).
    Dynamic(Box<DynamicTerms>),
}

impl Scheme {
    /// The terms of the check site, if its numbers are the check site's.
    pub fn dynamic(&self) -> Option<&DynamicTerms> {
        match self {
            Self::Issued => None,
            Self::Dynamic(terms) => Some(terms),
        }
    }
}

/// What happens to a number when a purchase proved itself but was not allowed, or the money was missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FailedControl {
    /// It stays usable for at most two more tries.
    #[default]
    KeepUsable,
    /// It is used up at once.
    UseUp,
}

/// What stands in the holder digits of a programme's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HolderDigits {
    /// They are drawn like those after them.
    #[default]
    Drawn,
    /// The last digits of the cardholder's own, genuine number (S4 claims 19 and 24).
    Own,
    /// The same digits of the programme's universal number (S4 claims 20, 21, 25, 26).
    Universal(Ascii<12>),
}

impl HolderDigits {
    /// Of what a programme's numbers have a part: its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drawn => "nothing",
            Self::Own => "own-number",
            Self::Universal(_) => "universal-number",
        }
    }
}

/// A number that everybody of a programme shares: it authorises nothing by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Universal {
    /// How it is recognised.
    #[serde(with = "fixed")]
    pub index: NumberIndex,
    /// What people see of it.
    pub last_four: LastFour,
}

/// A programme's terms. [`Terms::check`] holds every bound; [`Terms::standard`] has the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The digits at which its numbers begin.
    pub prefix: Prefix,
    /// How the other digits are divided.
    pub layout: Layout,
    /// How numbers come to be.
    pub scheme: Scheme,
    /// How long a number is good if nothing else is asked, in milliseconds. Default 15 minutes.
    pub lifetime_ms: TimeMs,
    /// How long a number may be good at the most, in milliseconds. Default 24 hours.
    pub lifetime_max_ms: TimeMs,
    /// How many uses may be asked for at the most. Default 1000.
    pub uses_max: u32,
    /// How far ahead the printed expiration date may lie, in months. Default 36.
    pub expiry_months: u16,
    /// How long a number stays out of use after its last use, in months. Default 13.
    pub quarantine_months: u16,
    /// How many active numbers an account may have. Default 100.
    pub active_max: u32,
    /// The largest amount of one purchase. Default: what DE 4 carries.
    pub amount_max: MinorUnits,
    /// How much more than authorised may be completed, in hundredths of a percent. Default 0.
    pub tolerance_bp: u16,
    /// How long an authorisation waits for its completion before the hold is given back, in days. Default 7.
    pub hold_days: u16,
    /// Whether the first completion gives the rest of the hold back. Default no: several may come.
    pub single_completion: bool,
    /// What a failed control does.
    pub failed_control: FailedControl,
    /// The universal number, if it has one.
    pub universal: Option<Universal>,
    /// What stands in the holder digits, where the layout has some. Default: they are drawn.
    pub holder: HolderDigits,
    /// Whether purchases may be simulated. Default no; a programme stays what it was opened as.
    pub sandbox: bool,
}

/// A term outside its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    /// The term.
    pub term: &'static str,
    /// What is allowed.
    pub bounds: &'static str,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.term, self.bounds)
    }
}

impl std::error::Error for LimitError {}

impl LimitError {
    /// Of the first term that is not within its bounds: each with whether it is, what it is called, and what is allowed.
    pub fn of_first(terms: impl IntoIterator<Item = (bool, &'static str, &'static str)>) -> Result<(), Self> {
        match terms.into_iter().find(|(holds, ..)| !holds) {
            Some((_, term, bounds)) => Err(Self { term, bounds }),
            None => Ok(()),
        }
    }
}

const MINUTE_MS: TimeMs = 60_000;
const DAY_MS: TimeMs = 24 * 60 * MINUTE_MS;

impl Terms {
    /// Whether a number could be one of the programme's, by its first digits and its length.
    pub fn could_have(&self, number: &Pan) -> bool {
        self.prefix.leads(number.digits()) && number.length() == self.layout.length()
    }

    /// The defaults, for numbers that begin with `prefix` and are laid out by `layout`.
    pub fn standard(prefix: Prefix, layout: Layout) -> Self {
        Self {
            prefix,
            layout,
            scheme: Scheme::Issued,
            lifetime_ms: 15 * MINUTE_MS,
            lifetime_max_ms: DAY_MS,
            uses_max: 1000,
            expiry_months: 36,
            quarantine_months: 13,
            active_max: 100,
            amount_max: MinorUnits::MAX,
            tolerance_bp: 0,
            hold_days: 7,
            single_completion: false,
            failed_control: FailedControl::default(),
            universal: None,
            holder: HolderDigits::Drawn,
            sandbox: false,
        }
    }

    /// How many digits of a number are drawn at random.
    pub fn drawn_digits(&self) -> u8 {
        match self.holder {
            HolderDigits::Drawn => self.layout.free_digits(),
            HolderDigits::Own | HolderDigits::Universal(_) => {
                self.layout.free_digits() - self.layout.holder_digits()
            }
        }
    }

    /// What the numbers of its BIN are, if they are the check site's.
    pub fn special_bin(&self) -> Option<SpecialBin> {
        let numbers = self.scheme.dynamic()?.numbers;
        Some(SpecialBin { bin: Bin::parse(self.prefix.as_str()).ok()?, numbers })
    }

    /// Whether every term is within its bounds and they fit each other.
    pub fn check(&self) -> Result<(), LimitError> {
        if let Some(terms) = self.scheme.dynamic() {
            terms.check(self)?;
        }
        let digits = usize::from(self.layout.prefix_digits());
        LimitError::of_first([
            (
                self.prefix.as_str().len() == digits,
                "prefix",
                "as long as the layout's network and issuer digits",
            ),
            (self.drawn_digits() >= 6, "layout", "such that at least 6 digits are drawn"),
            (
                match &self.holder {
                    HolderDigits::Drawn => true,
                    HolderDigits::Own => self.layout.holder_digits() > 0,
                    HolderDigits::Universal(digits) => {
                        let fit = digits.as_str().len() == usize::from(self.layout.holder_digits());
                        self.universal.is_some() && !digits.is_empty() && fit
                    }
                },
                "layout",
                "such that it has holder digits, for a part of the cardholder's own or of the universal number",
            ),
            (
                (1000..=self.lifetime_max_ms).contains(&self.lifetime_ms),
                "lifetime",
                "1 s to the longest lifetime",
            ),
            (self.lifetime_max_ms <= 3660 * DAY_MS, "longest lifetime", "at most 3660 days"),
            ((1..=1_000_000).contains(&self.uses_max), "most uses", "1 to 1000000"),
            ((1..=240).contains(&self.expiry_months), "expiration months", "1 to 240"),
            ((1..=120).contains(&self.quarantine_months), "quarantine months", "1 to 120"),
            ((1..=100_000_000).contains(&self.active_max), "active numbers", "1 to 100000000"),
            (self.amount_max > MinorUnits::ZERO, "largest amount", "more than nothing"),
            (self.tolerance_bp <= 10_000, "tolerance", "0 to 100 percent"),
            ((1..=90).contains(&self.hold_days), "hold days", "1 to 90"),
        ])
    }

    /// How long a hold waits, in milliseconds.
    pub fn hold_ms(&self) -> TimeMs {
        u64::from(self.hold_days) * DAY_MS
    }
}

/// Which merchant may use a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MerchantRule {
    /// Any.
    #[default]
    Any,
    /// This one (DE 42).
    Fixed(MerchantId),
    /// The first whose purchase is approved; from then on only that one.
    FirstUse,
}

/// Merchant categories that a number is limited to, or kept from. At most [`MccSet::MAX`] each.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MccSet {
    /// Only these, if any are named.
    pub allowed: Vec<Mcc>,
    /// None of these.
    pub refused: Vec<Mcc>,
}

impl MccSet {
    /// How many categories a list may name.
    pub const MAX: usize = 64;

    /// Whether a category may buy. A message without one is refused where only some are allowed.
    pub fn allows(&self, mcc: Option<Mcc>) -> bool {
        match mcc {
            Some(mcc) => {
                (self.allowed.is_empty() || self.allowed.contains(&mcc)) && !self.refused.contains(&mcc)
            }
            None => self.allowed.is_empty(),
        }
    }
}

/// Countries that a number is limited to; all, if none is named. At most [`MccSet::MAX`].
pub type CountrySet = Vec<Country>;

/// What the cardholder allows a number to do.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Controls {
    /// The largest amount of one purchase.
    pub amount_max: Option<MinorUnits>,
    /// The largest sum of all purchases.
    pub total_max: Option<MinorUnits>,
    /// Purchases in this currency only: another is a failed proof.
    pub currency: Option<Currency>,
    /// Who may use it.
    pub merchant: MerchantRule,
    /// In this channel only.
    pub channel: Option<Channel>,
    /// Lists of categories and countries, for the few numbers that have them.
    pub lists: Option<Box<(MccSet, CountrySet)>>,
}

impl Controls {
    /// Whether the lists are within their bounds.
    pub fn check(&self) -> Result<(), LimitError> {
        let longest = self
            .lists
            .as_deref()
            .map_or(0, |(mccs, countries)| mccs.allowed.len().max(mccs.refused.len()).max(countries.len()));
        if longest > MccSet::MAX {
            return Err(LimitError { term: "a list of categories or countries", bounds: "at most 64 long" });
        }
        Ok(())
    }
}

/// How an account is funded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreditLimit {
    /// From what was paid in.
    Prepaid,
    /// Up to this much may be owed.
    Credit(MinorUnits),
    /// The issuer host has the money, and is asked for each purchase. What our books say of the account is what was
    /// bought through us.
    IssuerHost,
}

impl CreditLimit {
    /// How far below nothing the balance may go.
    pub fn below_zero(self) -> i64 {
        match self {
            Self::Prepaid => 0,
            Self::Credit(limit) => limit.signed(),
            Self::IssuerHost => ACCOUNT_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_bounds() {
        let terms = Terms::standard(Prefix::parse("456940").unwrap(), Layout::DEFAULT);
        assert_eq!(terms.check(), Ok(()));
        let long = Terms { lifetime_ms: terms.lifetime_max_ms + 1, ..terms };
        assert_eq!(long.check().unwrap_err().term, "lifetime");
    }

    #[test]
    fn categories_by_list() {
        let mcc = |text| Mcc::parse(text).ok();
        let only = MccSet { allowed: vec![mcc("5411").unwrap()], refused: vec![] };
        assert!(only.allows(mcc("5411")) && !only.allows(mcc("5812")) && !only.allows(None));
        let not = MccSet { allowed: vec![], refused: vec![mcc("7995").unwrap()] };
        assert!(not.allows(mcc("5411")) && !not.allows(mcc("7995")) && not.allows(None));
    }
}
