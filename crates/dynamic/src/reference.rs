//! How a MAC becomes an expiration date: so many months, from a reference month on.

use core::num::{NonZeroU8, NonZeroU64};
use std::fmt;

use mayfly_card::{Expiry, MonthIndex};
use mayfly_keys::Mac;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};

/// Among how many months a pseudo expiration date lies: 1 to 120. New reference data have at least
/// [`Months::CHOSEN_MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Months(NonZeroU8);

impl Months {
    /// The most.
    pub const MAX: Self = Self(NonZeroU8::new(120).unwrap());
    /// The fewest that are chosen: a guess hits with one in so many.
    pub const CHOSEN_MIN: Self = Self(NonZeroU8::new(12).unwrap());

    /// From their number; none outside 1 to 120.
    pub fn new(months: u8) -> Option<Self> {
        NonZeroU8::new(months).filter(|months| *months <= Self::MAX.0).map(Self)
    }

    /// Their number.
    pub fn count(self) -> u8 {
        self.0.get()
    }

    /// From the one digit that an older field has for them: 0 is 12 months, each more is 12 more, 9 is 120.
    pub fn from_indicator(indicator: u8) -> Option<Self> {
        Self::new(indicator.checked_add(1).filter(|years| *years <= 10)? * 12)
    }

    /// That digit, for whole years.
    pub fn indicator(self) -> Option<u8> {
        self.count().is_multiple_of(12).then(|| self.count() / 12 - 1)
    }
}

impl TryFrom<u8> for Months {
    type Error = ReferenceError;

    fn try_from(months: u8) -> Result<Self, ReferenceError> {
        Self::new(months).ok_or(ReferenceError::Months { months })
    }
}

impl From<Months> for u8 {
    fn from(months: Months) -> Self {
        months.count()
    }
}

/// What turns MACs into dates: the reference date, and the number of months (S1 cl. 11, S2 cl. 7). The cardholder's
/// software and the check site hold the same for an ETSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(MonthIndex, Months)", into = "(MonthIndex, Months)")]
pub struct ReferenceData {
    date: MonthIndex,
    months: Months,
}

/// How reference data are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferencePolicy {
    /// Among how many months dates lie.
    pub months: Months,
    /// How long after the ETSN's end a date must not be over yet, in milliseconds.
    pub margin_ms: u64,
    /// How many months ahead of the current one merchants' forms accept a date.
    pub furthest_months: u16,
}

impl ReferenceData {
    /// From its parts.
    ///
    /// # Errors
    ///
    /// [`ReferenceError::Calendar`] if its last month is beyond what can be counted.
    pub fn new(date: MonthIndex, months: Months) -> Result<Self, ReferenceError> {
        let last = date.plus(u16::from(months.count()) - 1);
        last.map(|_| Self { date, months }).ok_or(ReferenceError::Calendar)
    }

    /// For an ETSN that is good for `lifetime_ms` from `now_ms` (Unix time): the month in which that and the margin
    /// are over, but the next month at least, so that no date is over when it is presented.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] if merchants' forms don't accept the last of the months, or there are too few.
    pub fn choose(now_ms: u64, lifetime_ms: u64, policy: &ReferencePolicy) -> Result<Self, ReferenceError> {
        if policy.months < Months::CHOSEN_MIN {
            return Err(ReferenceError::Months { months: policy.months.count() });
        }
        let today = MonthIndex::of_unix_ms(now_ms);
        let end_ms = now_ms.saturating_add(lifetime_ms).saturating_add(policy.margin_ms);
        let next = today.plus(1).ok_or(ReferenceError::Calendar)?;
        let reference = Self::new(MonthIndex::of_unix_ms(end_ms).max(next), policy.months)?;
        let ahead = reference.last().value() - today.value();
        if ahead > policy.furthest_months {
            return Err(ReferenceError::BeyondForms { ahead, furthest: policy.furthest_months });
        }
        Ok(reference)
    }

    /// The reference month.
    pub fn date(&self) -> MonthIndex {
        self.date
    }

    /// The number of months.
    pub fn months(&self) -> Months {
        self.months
    }

    /// The last month that a date can have.
    pub fn last(&self) -> MonthIndex {
        self.after(self.months.count() - 1)
    }

    /// The month that a MAC (MAC2, all of its 16 bytes) becomes: so many after the reference month as it is modulo the
    /// number of months.
    pub fn month(&self, mac: &Mac) -> MonthIndex {
        // Below 120, so it fits.
        self.after(mac.below(NonZeroU64::from(self.months.0)) as u8)
    }

    fn after(&self, months: u8) -> MonthIndex {
        // It was checked, when this was made, that the last of them can be counted.
        self.date.plus(months.into()).unwrap_or(self.date)
    }
}

impl TryFrom<(MonthIndex, Months)> for ReferenceData {
    type Error = ReferenceError;

    fn try_from((date, months): (MonthIndex, Months)) -> Result<Self, ReferenceError> {
        Self::new(date, months)
    }
}

impl From<ReferenceData> for (MonthIndex, Months) {
    fn from(reference: ReferenceData) -> Self {
        (reference.date, reference.months)
    }
}

/// An expiration date that a MAC became. It proves a purchase until it was used, so it shows nothing and is compared in
/// constant time.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct PseudoExpiry(Expiry);

impl PseudoExpiry {
    /// The date of a MAC (MAC2).
    pub fn of(mac: &Mac, reference: &ReferenceData) -> Self {
        Self(reference.month(mac).into())
    }

    /// As the expiration date of a merchant's form, or of DE 14. Call it where it leaves, not before.
    pub fn expose(self) -> Expiry {
        self.0
    }

    /// Whether a message's date is this one; in constant time.
    pub fn matches(self, presented: Expiry) -> Choice {
        self.0.mmyy_bytes().ct_eq(&presented.mmyy_bytes())
    }
}

impl ConstantTimeEq for PseudoExpiry {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.matches(other.0)
    }
}

impl fmt::Debug for PseudoExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudoExpiry(..)")
    }
}

/// Why there are no reference data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceError {
    /// The number of months is out of range.
    Months {
        /// The number.
        months: u8,
    },
    /// The last month is later than can be counted (2119).
    Calendar,
    /// Merchants' forms don't accept the last of the months.
    BeyondForms {
        /// How far it is ahead, in months.
        ahead: u16,
        /// How far they accept.
        furthest: u16,
    },
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Months { months } => write!(
                f,
                "{months} is not a number of months for dates; set {} to {}",
                Months::CHOSEN_MIN.count(),
                Months::MAX.count()
            ),
            Self::Calendar => f.write_str("dates would be later than the year 2119"),
            Self::BeyondForms { ahead, furthest } => write!(
                f,
                "dates would be up to {ahead} months ahead, and forms accept {furthest}; set fewer months or a \
                 shorter lifetime"
            ),
        }
    }
}

impl std::error::Error for ReferenceError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn month(year: i16, month: i8) -> MonthIndex {
        MonthIndex::new(year, month).unwrap()
    }

    fn months(count: u8) -> Months {
        Months::new(count).unwrap()
    }

    #[test]
    fn months_have_a_bound_and_an_indicator() {
        assert_eq!(Months::new(0), None);
        assert_eq!(Months::new(121), None);
        for (indicator, count) in (0u8..10).zip([12u8, 24, 36, 48, 60, 72, 84, 96, 108, 120]) {
            assert_eq!(Months::from_indicator(indicator), Some(months(count)));
            assert_eq!(months(count).indicator(), Some(indicator));
        }
        assert_eq!(Months::from_indicator(10), None);
        assert_eq!(Months::from_indicator(255), None);
        assert_eq!(months(61).indicator(), None);
        assert!(postcard::from_bytes::<Months>(&[0]).is_err());
    }

    /// A34: December and January, and the year 99 and 00.
    #[test]
    fn a34_years_and_centuries_wrap() {
        let mac = |offset: u128| Mac::from_bytes(offset.to_be_bytes());
        let shown =
            |reference: &ReferenceData, offset| PseudoExpiry::of(&mac(offset), reference).expose().mmyy();
        let reference = ReferenceData::new(month(2098, 11), months(120)).unwrap();
        for (offset, mmyy) in
            [(0, "1198"), (1, "1298"), (2, "0199"), (13, "1299"), (14, "0100"), (119, "1008"), (120, "1198")]
        {
            assert_eq!(shown(&reference, offset), mmyy, "{offset}");
        }
        // 2^128 - 1 is 15 modulo 60.
        let reference = ReferenceData::new(month(2026, 1), months(60)).unwrap();
        assert_eq!(shown(&reference, u128::MAX), "0427");
    }

    #[test]
    fn reference_data_begin_when_the_lifetime_is_over() {
        let policy = ReferencePolicy { months: months(60), margin_ms: 3_600_000, furthest_months: 120 };
        let minute_ms = 60_000;
        // 2023-11-14.
        let now_ms = 1_700_000_000_000;
        let chosen =
            |now_ms, lifetime_ms| ReferenceData::choose(now_ms, lifetime_ms, &policy).unwrap().date();
        assert_eq!(chosen(now_ms, 10 * minute_ms), month(2023, 12));
        assert_eq!(chosen(now_ms, 40 * 24 * 60 * minute_ms), month(2023, 12));
        assert_eq!(chosen(now_ms, 50 * 24 * 60 * minute_ms), month(2024, 1));
        // One minute before the year ends, the next month is the next year's first.
        assert_eq!(chosen(1_704_067_200_000 - minute_ms, 10 * minute_ms), month(2024, 1));

        let refused = |policy| ReferenceData::choose(now_ms, minute_ms, &policy).err();
        let few = ReferencePolicy { months: months(11), ..policy };
        assert_eq!(refused(few), Some(ReferenceError::Months { months: 11 }));
        let beyond = ReferenceError::BeyondForms { ahead: 60, furthest: 59 };
        assert_eq!(refused(ReferencePolicy { furthest_months: 59, ..policy }), Some(beyond));
        assert_eq!(refused(ReferencePolicy { furthest_months: 60, ..policy }), None);
        assert_eq!(ReferenceData::choose(u64::MAX, minute_ms, &policy), Err(ReferenceError::Calendar),);
    }

    #[test]
    fn a_date_shows_nothing() {
        let reference = ReferenceData::new(month(2026, 1), months(60)).unwrap();
        let date = PseudoExpiry::of(&Mac::from_bytes([7; 16]), &reference);
        assert_eq!(format!("{date:?}"), "PseudoExpiry(..)");
    }

    proptest! {
        /// A33: every date lies in the window, every one of it is reached, and only its own month matches.
        #[test]
        fn a33_dates_stay_in_their_window(
            bytes: [u8; 16], year in 2000i16..2109, first in 1i8..13, count in 1u8..121, other in 0u16..120,
        ) {
            let reference = ReferenceData::new(month(year, first), months(count)).unwrap();
            let reached = reference.month(&Mac::from_bytes(bytes));
            prop_assert!((reference.date()..=reference.last()).contains(&reached));
            prop_assert_eq!(
                u128::from(reached.value() - reference.date().value()),
                u128::from_be_bytes(bytes) % u128::from(count)
            );
            let date = PseudoExpiry::of(&Mac::from_bytes(bytes), &reference);
            prop_assert!((1..=12).contains(&date.expose().mmyy()[..2].parse::<u8>().unwrap()));
            let other = reference.date().plus(other % u16::from(count)).unwrap();
            prop_assert_eq!(bool::from(date.matches(other.into())), other == reached);
            let kept = postcard::to_stdvec(&reference).unwrap();
            prop_assert_eq!(postcard::from_bytes(&kept), Ok(reference));
        }

        #[test]
        fn what_cannot_be_counted_is_refused(months_after in 0u16..200, count in 1u8..121) {
            if let Some(date) = month(2110, 1).plus(months_after) {
                let reference = ReferenceData::new(date, months(count));
                prop_assert_eq!(reference.is_ok(), date.plus(u16::from(count) - 1).is_some());
            }
        }
    }
}
