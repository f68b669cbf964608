//! Amounts and currencies.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TextError;

/// An amount in minor units (cents, where a currency has them), at most what DE 4 carries: 12 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct MinorUnits(u64);

impl MinorUnits {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount of DE 4: twelve nines.
    pub const MAX: Self = Self(999_999_999_999);

    /// An amount of at most twelve digits.
    pub fn new(minor: u64) -> Option<Self> {
        (minor <= Self::MAX.0).then_some(Self(minor))
    }

    /// The digits of DE 4 or DE 95.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        if let Some(position) = text.bytes().position(|byte| !byte.is_ascii_digit()) {
            return Err(TextError::BadCharacter { position });
        }
        match text.parse() {
            Ok(minor) => Self::new(minor).ok_or(TextError::OutOfRange),
            Err(_) if text.is_empty() => Err(TextError::TooShort { min: 1 }),
            Err(_) => Err(TextError::OutOfRange),
        }
    }

    /// As a number.
    pub fn value(self) -> u64 {
        self.0
    }

    /// As a signed number: it has at most twelve digits, so it always fits.
    pub fn signed(self) -> i64 {
        self.0 as i64
    }

    /// The sum, at most [`MinorUnits::MAX`].
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).min(Self::MAX.0))
    }

    /// The difference, at least nothing.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Debug for MinorUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A currency by its number of ISO 4217, as DE 49 carries it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Currency(u16);

/// Number, letters and minor digits of the currencies in use (ISO 4217 list one).
const CURRENCIES: &[(u16, &str, u8)] = &[
    (8, "ALL", 2),
    (12, "DZD", 2),
    (32, "ARS", 2),
    (36, "AUD", 2),
    (44, "BSD", 2),
    (48, "BHD", 3),
    (50, "BDT", 2),
    (51, "AMD", 2),
    (52, "BBD", 2),
    (60, "BMD", 2),
    (64, "BTN", 2),
    (68, "BOB", 2),
    (72, "BWP", 2),
    (84, "BZD", 2),
    (90, "SBD", 2),
    (96, "BND", 2),
    (104, "MMK", 2),
    (108, "BIF", 0),
    (116, "KHR", 2),
    (124, "CAD", 2),
    (132, "CVE", 2),
    (136, "KYD", 2),
    (144, "LKR", 2),
    (152, "CLP", 0),
    (156, "CNY", 2),
    (170, "COP", 2),
    (174, "KMF", 0),
    (188, "CRC", 2),
    (203, "CZK", 2),
    (208, "DKK", 2),
    (214, "DOP", 2),
    (222, "SVC", 2),
    (230, "ETB", 2),
    (238, "FKP", 2),
    (242, "FJD", 2),
    (262, "DJF", 0),
    (270, "GMD", 2),
    (292, "GIP", 2),
    (320, "GTQ", 2),
    (324, "GNF", 0),
    (328, "GYD", 2),
    (332, "HTG", 2),
    (340, "HNL", 2),
    (344, "HKD", 2),
    (348, "HUF", 2),
    (352, "ISK", 0),
    (356, "INR", 2),
    (360, "IDR", 2),
    (364, "IRR", 2),
    (368, "IQD", 3),
    (376, "ILS", 2),
    (388, "JMD", 2),
    (392, "JPY", 0),
    (398, "KZT", 2),
    (400, "JOD", 3),
    (404, "KES", 2),
    (410, "KRW", 0),
    (414, "KWD", 3),
    (417, "KGS", 2),
    (418, "LAK", 2),
    (422, "LBP", 2),
    (426, "LSL", 2),
    (430, "LRD", 2),
    (434, "LYD", 3),
    (446, "MOP", 2),
    (454, "MWK", 2),
    (458, "MYR", 2),
    (462, "MVR", 2),
    (480, "MUR", 2),
    (484, "MXN", 2),
    (496, "MNT", 2),
    (498, "MDL", 2),
    (504, "MAD", 2),
    (512, "OMR", 3),
    (516, "NAD", 2),
    (524, "NPR", 2),
    (533, "AWG", 2),
    (548, "VUV", 0),
    (554, "NZD", 2),
    (558, "NIO", 2),
    (566, "NGN", 2),
    (578, "NOK", 2),
    (586, "PKR", 2),
    (590, "PAB", 2),
    (598, "PGK", 2),
    (600, "PYG", 0),
    (604, "PEN", 2),
    (608, "PHP", 2),
    (634, "QAR", 2),
    (643, "RUB", 2),
    (646, "RWF", 0),
    (654, "SHP", 2),
    (682, "SAR", 2),
    (690, "SCR", 2),
    (702, "SGD", 2),
    (704, "VND", 0),
    (706, "SOS", 2),
    (710, "ZAR", 2),
    (728, "SSP", 2),
    (748, "SZL", 2),
    (752, "SEK", 2),
    (756, "CHF", 2),
    (760, "SYP", 2),
    (764, "THB", 2),
    (776, "TOP", 2),
    (780, "TTD", 2),
    (784, "AED", 2),
    (788, "TND", 3),
    (800, "UGX", 0),
    (807, "MKD", 2),
    (818, "EGP", 2),
    (826, "GBP", 2),
    (834, "TZS", 2),
    (840, "USD", 2),
    (858, "UYU", 2),
    (860, "UZS", 2),
    (882, "WST", 2),
    (886, "YER", 2),
    (901, "TWD", 2),
    (925, "SLE", 2),
    (928, "VES", 2),
    (929, "MRU", 2),
    (930, "STN", 2),
    (933, "BYN", 2),
    (934, "TMT", 2),
    (936, "GHS", 2),
    (938, "SDG", 2),
    (941, "RSD", 2),
    (943, "MZN", 2),
    (944, "AZN", 2),
    (946, "RON", 2),
    (949, "TRY", 2),
    (950, "XAF", 0),
    (951, "XCD", 2),
    (952, "XOF", 0),
    (953, "XPF", 0),
    (967, "ZMW", 2),
    (968, "SRD", 2),
    (969, "MGA", 2),
    (971, "AFN", 2),
    (972, "TJS", 2),
    (973, "AOA", 2),
    (975, "BGN", 2),
    (976, "CDF", 2),
    (977, "BAM", 2),
    (978, "EUR", 2),
    (980, "UAH", 2),
    (981, "GEL", 2),
    (985, "PLN", 2),
    (986, "BRL", 2),
];

impl Currency {
    /// By its number, if ISO 4217 has it in use.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::row(number).map(|_| Self(number))
    }

    /// By the three digits of DE 49.
    pub fn parse_numeric(text: &str) -> Result<Self, TextError> {
        if let Some(position) = text.bytes().position(|byte| !byte.is_ascii_digit()) {
            return Err(TextError::BadCharacter { position });
        }
        let number = text.parse().map_err(|_| TextError::OutOfRange)?;
        Self::from_number(number).ok_or(TextError::OutOfRange)
    }

    /// By its three letters, in either case.
    pub fn parse_alphabetic(text: &str) -> Option<Self> {
        CURRENCIES.iter().find(|row| row.1.eq_ignore_ascii_case(text)).map(|row| Self(row.0))
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its three letters.
    pub fn letters(self) -> &'static str {
        // Only numbers of the table become a `Currency`.
        Self::row(self.0).map_or("XXX", |row| row.1)
    }

    /// How many digits stand behind the decimal point.
    pub fn minor_digits(self) -> u8 {
        Self::row(self.0).map_or(2, |row| row.2)
    }

    /// One whole unit (a dollar, a yen) in minor units.
    pub fn one_unit(self) -> MinorUnits {
        MinorUnits(10u64.pow(u32::from(self.minor_digits())))
    }

    /// An amount for people: `24.98 USD`.
    pub fn show(self, minor: i64) -> String {
        let digits = usize::from(self.minor_digits());
        let sign = if minor < 0 { "-" } else { "" };
        let unit = 10u64.pow(self.minor_digits().into());
        let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
        let letters = self.letters();
        if digits == 0 {
            format!("{sign}{whole} {letters}")
        } else {
            format!("{sign}{whole}.{rest:0digits$} {letters}")
        }
    }

    /// An amount that a person typed in this currency: `24.98`, `24`, `.5`. At most as many decimals as it has.
    pub fn parse_amount(self, text: &str) -> Result<MinorUnits, TextError> {
        let digits = usize::from(self.minor_digits());
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        if rest.len() > digits {
            return Err(TextError::TooLong { max: whole.len() + 1 + digits });
        }
        MinorUnits::parse(&format!("{whole}{rest:0<digits$}"))
    }

    fn row(number: u16) -> Option<&'static (u16, &'static str, u8)> {
        CURRENCIES.binary_search_by_key(&number, |row| row.0).ok().map(|at| &CURRENCIES[at])
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letters())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_letters_are_unique() {
        assert!(CURRENCIES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut letters: Vec<_> = CURRENCIES.iter().map(|row| row.1).collect();
        letters.sort_unstable();
        assert!(letters.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn amounts_for_people() {
        let (usd, jpy, kwd) = (840, 392, 414).into_currencies();
        assert_eq!(usd.show(2498), "24.98 USD");
        assert_eq!(usd.show(-5), "-0.05 USD");
        assert_eq!(jpy.show(500), "500 JPY");
        assert_eq!(kwd.show(1), "0.001 KWD");
        assert_eq!(usd.parse_amount("24.9").unwrap().value(), 2490);
        assert_eq!(jpy.parse_amount("24").unwrap().value(), 24);
        assert!(jpy.parse_amount("24.5").is_err());
        assert!(usd.parse_amount("-1").is_err());
        assert_eq!(Currency::parse_numeric("999"), Err(TextError::OutOfRange));
        assert_eq!(usd.one_unit().value(), 100);
    }

    trait IntoCurrencies {
        fn into_currencies(self) -> (Currency, Currency, Currency);
    }
    impl IntoCurrencies for (u16, u16, u16) {
        fn into_currencies(self) -> (Currency, Currency, Currency) {
            let of = |number| Currency::from_number(number).unwrap();
            (of(self.0), of(self.1), of(self.2))
        }
    }
}
