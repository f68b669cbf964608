//! Numbers that the server draws: a purchase proves itself by an unused number with the right date, the right
//! CVC2 where one is sent, and the merchant and currency that the number is bound to.

use crate::state::Number;
use crate::{Cvc2Check, MerchantRule, Reason, Request, TimeMs};

use super::retired;

/// Whether the request proves itself. Every refusal here looks the same to the merchant, except for a date that
/// is over, which he can read off it himself.
pub fn prove(number: &Number, request: &Request, waiting: u32, now: TimeMs) -> Result<(), Reason> {
    if let Some(why) = number.over(now) {
        return Err(retired(why));
    }
    if number.usage.uses_left <= waiting {
        return Err(Reason::NumberUsed);
    }
    let today = mayfly_card::MonthIndex::of_unix_ms(now);
    match request.expiry.map(|expiry| expiry.month_near(today)) {
        None => return Err(Reason::DateMissing),
        Some(month) if month != number.expiry => return Err(Reason::DateWrong),
        Some(_) => {}
    }
    if request.cvc2 == Cvc2Check::Wrong {
        return Err(Reason::Cvc2Wrong);
    }
    bound(number, request)
}

/// Whether it is by the merchant and in the currency that the number is bound to.
pub fn bound(number: &Number, request: &Request) -> Result<(), Reason> {
    let merchant = request.facts.merchant;
    let binds = number.controls().merchant != MerchantRule::Any;
    if number.only_merchant().is_some_and(|only| only != merchant) || binds && merchant.is_empty() {
        return Err(Reason::MerchantWrong);
    }
    if number.controls().currency.is_some_and(|currency| currency != request.currency) {
        return Err(Reason::CurrencyWrong);
    }
    Ok(())
}

/// Whether a failed proof counts against the number: those that somebody who guesses would make do; that it is
/// used or over says nothing about who asks.
pub fn counts(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DateMissing
            | Reason::DateWrong
            | Reason::Cvc2Wrong
            | Reason::MerchantWrong
            | Reason::CurrencyWrong
    )
}
