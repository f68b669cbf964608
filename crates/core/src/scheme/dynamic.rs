//! Fixed numbers, and a MAC of each purchase in the expiration date or in the MAC field (S1, S2).
//!
//! The cardholder's software asks for an ETSN before each purchase. Which of a card's open ETSNs a message belongs to was
//! found before it was queued ([`Proof`]), for that takes the card's key; whether that ETSN is still open is
//! decided here.

use mayfly_card::{Layout, MerchantId};
use mayfly_dynamic::{
    AppVersion, AppVersions, ControlDigit, ControlDigits, Etsn, FieldOrigin, Mode, Months, Numbers, OPEN_MAX,
};
use serde::{Deserialize, Serialize};

use crate::state::{Card, Number, Open};
use crate::{LimitError, MccSet, Reason, Request, Terms, TimeMs};

use super::{issued, retired};

/// How long after an ETSN's end its date is not over yet, in milliseconds: clocks differ, and so do time zones.
pub const MARGIN_MS: TimeMs = 3 * 24 * 3_600_000;

/// How long a failed proof is remembered, in milliseconds.
pub const MISSES_KEPT_MS: TimeMs = 24 * 3_600_000;

/// The terms of a programme whose numbers are the check site's. [`DynamicTerms::standard`] has the defaults, which `mayfly
/// lab forge` is measured with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynamicTerms {
    /// What the numbers of its BIN are, and which key processes are enabled. Default: pseudo account numbers of process 2.
    pub numbers: Numbers,
    /// Among how many months pseudo expiration dates lie. Default 96.
    pub months: Months,
    /// How many months ahead merchants' forms accept a date. Default 120.
    pub furthest_months: u16,
    /// How long an ETSN is good if nothing else is asked, in milliseconds. Default 15 minutes.
    pub lifetime_ms: TimeMs,
    /// How long an ETSN may be good at the most, in milliseconds. Default 24 hours.
    pub lifetime_max_ms: TimeMs,
    /// How many ETSNs of a card may be open at a time, 1 to 8. Default 3.
    pub open_max: u8,
    /// How many failed proofs within 24 hours lock a card, 1 to 8. Default 3.
    pub misses_max: u8,
    /// Which versions of the cardholder's software count. Default 1 only.
    pub versions: AppVersions,
    /// Whether the wallet must say what a purchase may come to. Default yes.
    pub cap_required: bool,
    /// Whether the wallet must say at which merchant. Default no: not every merchant's DE 42 is known to his customers.
    pub merchant_required: bool,
    /// What MAC fields say of their origin; none if the programme has no MAC field mode. Default: all zero.
    pub field: Option<FieldOrigin>,
    /// Merchants whose messages have a MAC field: a pseudo expiration date alone is declined there. At most 64.
    pub field_merchants: Vec<MerchantId>,
}

impl DynamicTerms {
    /// The defaults.
    pub fn standard() -> Self {
        Self {
            numbers: Numbers::Pseudo(ControlDigits::NONE.with(ControlDigit::OfPanAndNumber)),
            months: Months::new(96).unwrap_or(Months::MAX),
            furthest_months: 120,
            lifetime_ms: 15 * 60_000,
            lifetime_max_ms: 24 * 3_600_000,
            open_max: 3,
            misses_max: 3,
            versions: AppVersions { oldest: AppVersion(1), newest: AppVersion(1) },
            cap_required: true,
            merchant_required: false,
            field: Some(FieldOrigin { acs: 0, method: 0, key: 0 }),
            field_merchants: Vec::new(),
        }
    }

    /// Whether every term is within its bounds and fits the programme's others.
    pub(crate) fn check(&self, terms: &Terms) -> Result<(), LimitError> {
        let months = u16::from(self.months.count());
        // An ETSN of a day that is asked for at a month's end begins two months later.
        let furthest = months + 1..=120 + 2;
        LimitError::of_first([
            (terms.layout == Layout::DEFAULT, "layout", "6 digits of BIN, 9 more and the check digit: 6-9"),
            (
                self.numbers != Numbers::Pseudo(ControlDigits::NONE),
                "key processes",
                "one at least, of 0, 1, 2, 3",
            ),
            (terms.universal.is_none(), "universal number", "none in a programme of the check site"),
            (self.months >= Months::CHOSEN_MIN, "months", "12 to 120"),
            (
                furthest.contains(&self.furthest_months),
                "furthest months",
                "one more than the months at least, 122 at most",
            ),
            (
                (1000..=self.lifetime_max_ms).contains(&self.lifetime_ms),
                "ETSN lifetime",
                "1 s to the longest",
            ),
            (self.lifetime_max_ms <= 30 * 24 * 3_600_000, "longest ETSN lifetime", "at most 30 days"),
            ((1..=OPEN_MAX as u8).contains(&self.open_max), "open ETSNs", "1 to 8"),
            ((1..=8).contains(&self.misses_max), "failed proofs", "1 to 8"),
            (self.versions.oldest <= self.versions.newest, "versions", "the oldest first"),
            (
                self.field.is_none_or(|origin| origin.method < 16 && origin.key < 16),
                "MAC field",
                "with method and key from 0 to 15",
            ),
            (self.field_merchants.len() <= MccSet::MAX, "merchants with a MAC field", "at most 64"),
        ])
    }
}

/// What came of looking for the open ETSN of a message, before it was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Proof {
    /// The number is none of the check site, or has no key there.
    #[default]
    NoKey,
    /// It is that of no open ETSN.
    Missed(Mode),
    /// This one's. It was open when it was looked for.
    Of(Etsn, Mode),
}

/// Whether a message proves itself: the ETSN that it uses up.
pub fn prove<'a>(
    terms: &DynamicTerms,
    number: &Number,
    card: Option<&'a Card>,
    request: &Request,
    now: TimeMs,
) -> Result<&'a Open, Reason> {
    if let Some(why) = number.over(now) {
        return Err(retired(why));
    }
    if card.is_some_and(|card| card.locked_ms.is_some()) {
        return Err(Reason::CardLocked);
    }
    let (etsn, mode) = match request.proof {
        Proof::NoKey => return Err(Reason::NoCardKey),
        Proof::Missed(_) if !card.is_some_and(|card| card.has_open(now)) => return Err(Reason::NoEtsnOpen),
        Proof::Missed(Mode::Field) => return Err(Reason::FieldWrong),
        Proof::Missed(Mode::Expiry) if request.expiry.is_none() => return Err(Reason::DateMissing),
        Proof::Missed(Mode::Expiry) => return Err(Reason::MacWrong),
        Proof::Of(etsn, mode) => (etsn, mode),
    };
    let open = card.and_then(|card| card.find(etsn)).filter(|open| open.mode == mode);
    let open = open.ok_or(Reason::EtsnUsed)?;
    if now >= open.expires_ms {
        return Err(Reason::EtsnExpired);
    }
    let merchant = request.facts.merchant;
    if mode == Mode::Expiry && terms.field_merchants.contains(&merchant) {
        return Err(Reason::FieldExpected);
    }
    if open.merchant().is_some_and(|only| only != merchant) {
        return Err(Reason::MerchantWrong);
    }
    if let Some((cap, currency)) = open.cap() {
        if currency != request.currency {
            return Err(Reason::CurrencyWrong);
        }
        if request.amount > cap {
            return Err(Reason::OverCap);
        }
    }
    issued::bound(number, request).map(|()| open)
}

/// Whether a failed proof counts towards the lock, where the card has an open ETSN: those that somebody who guesses would
/// make do.
pub fn counts(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MacWrong
            | Reason::FieldWrong
            | Reason::FieldExpected
            | Reason::MerchantWrong
            | Reason::CurrencyWrong
            | Reason::OverCap
    )
}
