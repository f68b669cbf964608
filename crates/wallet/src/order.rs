//! What the cardholder wants to buy, and what is asked for so that he can.

use std::fmt;

use mayfly_card::{Currency, MerchantId, MinorUnits};
use mayfly_dynamic::{Mode, Purchase};
use serde::{Deserialize, Serialize};

/// The longest name of a merchant, in bytes.
pub const MERCHANT_NAME_BYTES_MAX: usize = 100;

/// The longest time that can be asked for, in seconds: a day.
pub const LIFETIME_S_MAX: u32 = 86_400;

/// What the cardholder wants. What he leaves out binds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// What it costs: the most that the purchase may come to.
    pub amount: Option<(MinorUnits, Currency)>,
    /// At which merchant, by his id (DE 42).
    pub merchant: Option<MerchantId>,
    /// What the merchant calls himself. Only the MAC field needs it.
    pub merchant_name: Option<String>,
    /// For how many seconds the check site should expect it; as long as it does anyhow if not said.
    pub lifetime_s: Option<u32>,
}

/// What a merchant's form has, beside the number and the date that every form has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// A field for the MAC (the accountholder authentication value).
    pub mac_field: bool,
}

/// What is asked for: a wish that has all that its mode needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    wish: Wish,
    /// What the MAC field covers; none in mode E.
    field: Option<Purchase>,
}

impl Order {
    pub(crate) fn new(wish: Wish, mode: Mode) -> Result<Self, OrderError> {
        // None is said by saying nothing: in a MAC, an empty one could not be told from none.
        if wish.merchant.is_some_and(|merchant| merchant.is_empty()) {
            return Err(OrderError::EmptyMerchant);
        }
        if wish.amount.is_some_and(|(amount, _)| amount == MinorUnits::ZERO) {
            return Err(OrderError::NoAmount);
        }
        if wish.lifetime_s.is_some_and(|lifetime_s| !(1..=LIFETIME_S_MAX).contains(&lifetime_s)) {
            return Err(OrderError::Lifetime);
        }
        let name = wish.merchant_name.as_deref();
        if name.is_some_and(|name| name.is_empty() || name.len() > MERCHANT_NAME_BYTES_MAX) {
            return Err(OrderError::MerchantName);
        }
        let field = match mode {
            Mode::Expiry => None,
            Mode::Field => {
                let missing = |what| OrderError::Missing { what };
                let (amount, currency) = wish.amount.ok_or(missing("the amount"))?;
                let merchant = wish.merchant.ok_or(missing("the merchant's id"))?;
                name.ok_or(missing("the merchant's name"))?;
                Some(Purchase { amount, currency, merchant })
            }
        };
        Ok(Self { wish, field })
    }

    /// What was wished.
    pub fn wish(&self) -> &Wish {
        &self.wish
    }

    /// Where the MAC will travel.
    pub fn mode(&self) -> Mode {
        match self.field {
            Some(_) => Mode::Field,
            None => Mode::Expiry,
        }
    }

    /// What the MAC field covers, and the merchant's name in it.
    pub(crate) fn field(&self) -> Option<(&Purchase, &str)> {
        self.field.as_ref().zip(self.wish.merchant_name.as_deref())
    }
}

/// Why a wish can't be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// The MAC field covers something that was not said.
    Missing {
        /// What.
        what: &'static str,
    },
    /// The amount is zero.
    NoAmount,
    /// The merchant's id is empty.
    EmptyMerchant,
    /// The merchant's name is empty or too long.
    MerchantName,
    /// The time is zero or too long.
    Lifetime,
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what } => write!(f, "the MAC field needs {what}, too"),
            Self::NoAmount => {
                f.write_str("the amount must be more than nothing; leave it out to set no limit")
            }
            Self::EmptyMerchant => f.write_str("the merchant's id is empty; leave it out to name none"),
            Self::MerchantName => {
                write!(f, "the merchant's name must have 1 to {MERCHANT_NAME_BYTES_MAX} bytes")
            }
            Self::Lifetime => write!(f, "a purchase can be expected for 1 to {LIFETIME_S_MAX} seconds"),
        }
    }
}

impl std::error::Error for OrderError {}
