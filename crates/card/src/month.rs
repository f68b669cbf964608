//! Months and expiration dates.
//!
//! People write MMYY, ISO 8583 DE 14 carries YYMM. A card is good through the last day of its month.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TextError;

/// From 1970-01-01 to 2000-01-01.
const DAYS_TO_2000: u64 = 10_957;

/// A month of the years 2000 to 2119, as `year * 12 + month - 1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MonthIndex(u16);

impl MonthIndex {
    const FIRST: u16 = 2000 * 12;
    const LAST: u16 = 2119 * 12 + 11;

    /// From a year 2000 to 2119 and a month 1 to 12.
    pub fn new(year: i16, month: i8) -> Option<Self> {
        let year = u16::try_from(year).ok().filter(|year| (2000..=2119).contains(year))?;
        let month = u16::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
        Some(Self(year * 12 + month - 1))
    }

    /// From a stored index.
    pub fn from_value(value: u16) -> Option<Self> {
        (Self::FIRST..=Self::LAST).contains(&value).then_some(Self(value))
    }

    /// The month in which a time in milliseconds since 1970 (UTC) falls; the nearest one outside 2000 to 2119.
    pub fn of_unix_ms(unix_ms: u64) -> Self {
        let (year, month) = civil_month(unix_ms / 86_400_000);
        let index = (year * 12 + month - 1).clamp(u64::from(Self::FIRST), u64::from(Self::LAST));
        // Clamped to the range of the type.
        Self(index as u16)
    }

    /// When it begins, in milliseconds since 1970 (UTC).
    pub fn start_unix_ms(self) -> u64 {
        let (year, month) = (u64::from(self.year()), u64::from(self.month()));
        // The days of the years before, with a leap day after each fourth of them: 2100 is the only year of the range that
        // should have one by that and has none.
        let since_2000 = year - 2000;
        let leap_days = since_2000.div_ceil(4) - u64::from(year > 2100);
        let is_leap = year.is_multiple_of(4) && year != 2100;
        let days_before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
        let days = since_2000 * 365 + leap_days + days_before + u64::from(is_leap && month > 2);
        (DAYS_TO_2000 + days) * 86_400_000
    }

    /// The index itself.
    pub fn value(self) -> u16 {
        self.0
    }

    /// That many months later, if still in range.
    pub fn plus(self, months: u16) -> Option<Self> {
        Self::from_value(self.0.checked_add(months)?)
    }

    /// The year, 2000 to 2119.
    pub fn year(self) -> u16 {
        self.0 / 12
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u16 {
        self.0 % 12 + 1
    }
}

impl fmt::Debug for MonthIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

/// Year and month of a day counted from 1970-01-01, by the proleptic Gregorian calendar (days_to_civil of
/// H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil_month(day: u64) -> (u64, u64) {
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month)
}

/// An expiration date as a message carries it: two digits of the year, and a month.
///
/// Which century is meant follows from the day on which it is read: see [`Expiry::month_near`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expiry {
    year: u8,
    month: u8,
}

impl Expiry {
    /// From YYMM, the order of ISO 8583 DE 14.
    pub fn parse_yymm(text: &str) -> Result<Self, TextError> {
        let (first, second) = two_pairs(text)?;
        Self::of(first, second)
    }

    /// From MMYY, the order in which people write it.
    pub fn parse_mmyy(text: &str) -> Result<Self, TextError> {
        let (first, second) = two_pairs(text)?;
        Self::of(second, first)
    }

    fn of(year: u8, month: u8) -> Result<Self, TextError> {
        if (1..=12).contains(&month) { Ok(Self { year, month }) } else { Err(TextError::OutOfRange) }
    }

    /// As YYMM.
    pub fn yymm(self) -> String {
        format!("{:02}{:02}", self.year, self.month)
    }

    /// As MMYY.
    pub fn mmyy(self) -> String {
        format!("{:02}{:02}", self.month, self.year)
    }

    /// As MMYY in ASCII bytes, for a MAC.
    pub fn mmyy_bytes(self) -> [u8; 4] {
        [b'0' + self.month / 10, b'0' + self.month % 10, b'0' + self.year / 10, b'0' + self.year % 10]
    }

    /// The month that is meant, read in `today`: the century in which it is nearest.
    pub fn month_near(self, today: MonthIndex) -> MonthIndex {
        let of_century = |century: u16| (century + u16::from(self.year)) * 12 + u16::from(self.month) - 1;
        let nearest = [2000, 2100]
            .map(of_century)
            .into_iter()
            .filter_map(MonthIndex::from_value)
            .min_by_key(|month| month.value().abs_diff(today.value()));
        // The years 2000 to 2099 are all in range, so there is always one.
        nearest.unwrap_or(today)
    }
}

impl From<MonthIndex> for Expiry {
    fn from(month: MonthIndex) -> Self {
        // Both fit: the year modulo 100 and a month of 1 to 12.
        Self { year: (month.year() % 100) as u8, month: month.month() as u8 }
    }
}

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expiry(**/**)")
    }
}

fn two_pairs(text: &str) -> Result<(u8, u8), TextError> {
    let bytes = text.as_bytes();
    if let Some(position) = bytes.iter().position(|byte| !byte.is_ascii_digit()) {
        return Err(TextError::BadCharacter { position });
    }
    match bytes {
        [a, b, c, d] => Ok(((a - b'0') * 10 + (b - b'0'), (c - b'0') * 10 + (d - b'0'))),
        _ if bytes.len() < 4 => Err(TextError::TooShort { min: 4 }),
        _ => Err(TextError::TooLong { max: 4 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn months_of_days() {
        for (unix_s, year, month) in [
            (951_782_399, 2000, 2),
            (951_868_800, 2000, 3),
            (1_700_000_000, 2023, 11),
            (4_102_444_799, 2099, 12),
        ] {
            assert_eq!(Some(MonthIndex::of_unix_ms(unix_s * 1000)), MonthIndex::new(year, month));
        }
    }

    #[test]
    fn a_month_begins_when_the_one_before_is_over() {
        let all = (MonthIndex::FIRST..=MonthIndex::LAST).filter_map(MonthIndex::from_value);
        let mut before = None;
        for month in all {
            assert_eq!(MonthIndex::of_unix_ms(month.start_unix_ms()), month);
            assert!(before.is_none_or(|before| MonthIndex::of_unix_ms(month.start_unix_ms() - 1) == before));
            before = Some(month);
        }
    }

    #[test]
    fn the_century_is_the_nearest() {
        let today = MonthIndex::new(2098, 11).unwrap();
        let month = Expiry::parse_mmyy("0305").unwrap().month_near(today);
        assert_eq!(Some(month), MonthIndex::new(2105, 3));
        assert_eq!(Expiry::parse_yymm("2613"), Err(TextError::OutOfRange));
        assert_eq!(Expiry::parse_yymm("26a1"), Err(TextError::BadCharacter { position: 2 }));
    }

    proptest! {
        #[test]
        fn both_orders_round_trip(year in 0u8..100, month in 1u8..13) {
            let expiry = Expiry { year, month };
            prop_assert_eq!(Expiry::parse_yymm(&expiry.yymm()), Ok(expiry));
            prop_assert_eq!(Expiry::parse_mmyy(&expiry.mmyy()), Ok(expiry));
            prop_assert_eq!(expiry.mmyy().into_bytes(), expiry.mmyy_bytes());
        }
    }
}
