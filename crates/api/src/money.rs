//! Amounts.

use mayfly_card::{Currency, MinorUnits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::{Code, Problem};
use crate::text::{CurrencyCode, Shown};

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "minor": 2498, "currency": "USD" }))]
pub struct Amount {
    /// In minor units of the currency: cents, where it has them.
    #[schema(minimum = -999_999_999_999_i64, maximum = 999_999_999_999_i64)]
    pub minor: i64,
    /// In which currency.
    pub currency: CurrencyCode,
}

/// What many movements come to: an account's money, which is bounded far above a single amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "minor": 100_000, "currency": "USD" }))]
pub struct Sum {
    /// In minor units of the currency: cents, where it has them.
    #[schema(minimum = -1_000_999_999_999_999_i64, maximum = 1_000_999_999_999_999_i64)]
    pub minor: i64,
    /// In which currency.
    pub currency: CurrencyCode,
}

impl Sum {
    /// Of so many minor units.
    pub(crate) fn of(minor: i64, currency: Currency) -> Self {
        Self { minor, currency: Shown(currency) }
    }
}

impl Amount {
    /// Of so many minor units.
    pub(crate) fn of(minor: i64, currency: Currency) -> Self {
        Self { minor, currency: Shown(currency) }
    }

    /// An amount that is not negative; `pointer` says where it stands in the body.
    pub(crate) fn unsigned(self, pointer: &str) -> Result<MinorUnits, Problem> {
        let minor = u64::try_from(self.minor).ok().and_then(MinorUnits::new);
        minor.ok_or_else(|| {
            Problem::field(format!("{pointer}/minor"), format!("must be 0 to {}", MinorUnits::MAX.value()))
        })
    }

    /// An amount that is paid: not nothing.
    pub(crate) fn paid(self, pointer: &str) -> Result<MinorUnits, Problem> {
        self.unsigned(pointer).ok().filter(|amount| *amount > MinorUnits::ZERO).ok_or_else(|| {
            Problem::field(format!("{pointer}/minor"), format!("must be 1 to {}", MinorUnits::MAX.value()))
        })
    }

    /// An amount of an account, paid in or, if negative, out.
    pub(crate) fn signed(self, pointer: &str) -> Result<i64, Problem> {
        let max = MinorUnits::MAX.signed();
        if !(-max..=max).contains(&self.minor) {
            let detail = format!("must be -{max} to {max}");
            return Err(Problem::field(format!("{pointer}/minor"), detail));
        }
        Ok(self.minor)
    }

    /// The same, if it is in this currency.
    pub(crate) fn in_currency(self, currency: Currency) -> Result<Self, Problem> {
        if self.currency.0 == currency { Ok(self) } else { Err(Problem::new(Code::CurrencyMismatch)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest balance with the largest limit on top of it is what an account may have to spend.
    #[test]
    fn an_accounts_money_is_within_its_description() {
        let described = serde_json::to_value(<Sum as utoipa::PartialSchema>::schema()).unwrap();
        let minor = &described["properties"]["minor"];
        let most = mayfly_core::ACCOUNT_MAX + MinorUnits::MAX.signed();
        assert_eq!((minor["minimum"].as_i64(), minor["maximum"].as_i64()), (Some(-most), Some(most)));
    }

    #[test]
    fn amounts_are_bounded_and_of_one_currency() {
        let usd = Currency::parse_alphabetic("USD").unwrap();
        let eur = Currency::parse_alphabetic("EUR").unwrap();
        assert_eq!(Amount::of(5, usd).unsigned("").unwrap().value(), 5);
        assert_eq!(Amount::of(-5, usd).unsigned("/limit").unwrap_err().code(), Code::BodyInvalid);
        assert_eq!(Amount::of(i64::MIN, usd).signed("").unwrap_err().code(), Code::BodyInvalid);
        assert_eq!(Amount::of(5, usd).in_currency(eur).unwrap_err().code(), Code::CurrencyMismatch);
    }
}
