//! A purchase: locate, prove, control, consume, fund, record.

use mayfly_card::{MinorUnits, MonthIndex};

use super::card::OfCard;
use super::original::Found;
use super::{Case, Verdict, after};
use crate::scheme::{self, Located, Proved};
use crate::state::{Account, Number, Programme};
use crate::{Effect, FailedControl, Kind, MerchantRule, MessageKind, Reason, Scheme, TotalsChange};

/// An authorisation (0100: the amount is held) or a financial request (0200: it is captured at once).
pub(super) fn purchase(case: &Case<'_>) -> Verdict {
    let kind = if case.request.amount == MinorUnits::ZERO { Kind::Check } else { Kind::Purchase };
    if let Err(reason) = of_itself(case) {
        return case.declined(kind, reason);
    }
    let number = match scheme::locate(case.state, case.request, case.now) {
        Located::Number(number) => number,
        Located::Nothing(reason, programme) => {
            let mut verdict = case.declined(kind, reason);
            verdict.issuer =
                programme.and_then(|id| case.state.programme(id)).map(|programme| programme.issuer);
            return verdict;
        }
    };
    let (Some(programme), Some(account)) =
        (case.state.programme(number.programme), case.state.account(number.account))
    else {
        // An event names only accounts and programmes that were opened before it.
        return case.declined(kind, Reason::UnknownNumber);
    };
    let scheme = &programme.terms.scheme;
    let proved = case.prove(scheme, number, case.uses_waiting(number));
    let mut verdict = match &proved {
        Err(reason) => case.verdict(kind, *reason, after_failed_proof(scheme, *reason)),
        Ok(proved) => match decide_on(case, kind, *proved, number, programme, account) {
            Ok(effect) => {
                let mut verdict = case.verdict(kind, Reason::Approved, effect);
                verdict.ceiling = case.ceiling(*proved, number, programme);
                verdict.good_until_ms = (kind == Kind::Purchase).then_some(number.expires_ms);
                verdict
            }
            Err((reason, effect)) => case.verdict(kind, reason, effect),
        },
    };
    verdict.card = case.card_change(scheme, number, kind, proved);
    verdict.of_number(number, Some(account))
}

/// What can be said of a purchase without looking at any number.
fn of_itself(case: &Case<'_>) -> Result<(), Reason> {
    let today = MonthIndex::of_unix_ms(case.now);
    if case.request.expiry.is_some_and(|expiry| expiry.month_near(today) < today) {
        return Err(Reason::DateOver);
    }
    if case.was_reversed_before() { Err(Reason::ReversedBefore) } else { Ok(()) }
}

fn decide_on(
    case: &Case<'_>,
    kind: Kind,
    proved: Proved<'_>,
    number: &Number,
    programme: &Programme,
    account: &Account,
) -> Result<Effect, (Reason, Effect)> {
    if kind == Kind::Check {
        return check(case, proved, number, account).map_err(|reason| (reason, Effect::default()));
    }
    control(case, number, programme, account)
        .and_then(|()| fund(case, account))
        .map_err(|reason| (reason, after_failed_control(programme, number)))?;
    let amount = case.request.amount.signed();
    let mut effect = approved_now(case.request.message, amount, &programme.terms.scheme);
    effect.binds_merchant =
        number.controls().merchant == MerchantRule::FirstUse && number.usage.bound_to.is_none();
    Ok(effect)
}

/// Consumed and held, or consumed and captured.
fn approved_now(message: MessageKind, amount: i64, scheme: &Scheme) -> Effect {
    let totals = if matches!(message, MessageKind::Authorisation | MessageKind::AuthorisationAdvice) {
        TotalsChange { authorised: amount, held: amount, ..TotalsChange::default() }
    } else {
        TotalsChange { authorised: amount, captured: amount, ..TotalsChange::default() }
    };
    Effect { totals, uses: -uses_of(scheme), spent: amount, ..Effect::default() }
}

/// How many uses of its number a purchase takes: a card's number stays, and its ETSN is used up instead.
pub(super) fn uses_of(scheme: &Scheme) -> i32 {
    i32::from(scheme.dynamic().is_none())
}

/// A failed proof is counted and consumes nothing. Those of a card count for it, not for its number.
fn after_failed_proof(scheme: &Scheme, reason: Reason) -> Effect {
    let counts = scheme.dynamic().is_none() && scheme::issued::counts(reason);
    Effect { misses: u8::from(counts), ..Effect::default() }
}

/// A failed control leaves two more tries, or uses the number up: the programme says which.
pub(super) fn after_failed_control(programme: &Programme, number: &Number) -> Effect {
    match programme.terms.failed_control {
        // Its ETSN is used up.
        _ if programme.terms.scheme.dynamic().is_some() => Effect::default(),
        FailedControl::KeepUsable => Effect { tries: 1, ..Effect::default() },
        // A number has at most a million uses, so this never saturates.
        FailedControl::UseUp => {
            Effect { uses: -i32::try_from(number.usage.uses_left).unwrap_or(i32::MAX), ..Effect::default() }
        }
    }
}

/// A zero-amount check tells that the number is good, and never consumes.
fn check(case: &Case<'_>, proved: Proved<'_>, number: &Number, account: &Account) -> Result<Effect, Reason> {
    channel(case, number, account)?;
    let (left, of_number) = match proved {
        Proved::Open(open) => (open.checks_left, 0),
        Proved::Unused | Proved::Before => (number.usage.checks_left, 1),
    };
    if left == 0 {
        return Err(Reason::TooManyChecks);
    }
    Ok(Effect { checks: of_number, ..Effect::default() })
}

/// Whether account, programme and number allow it.
fn control(case: &Case<'_>, number: &Number, programme: &Programme, account: &Account) -> Result<(), Reason> {
    let request = case.request;
    channel(case, number, account)?;
    if request.currency != account.currency {
        return Err(Reason::CurrencyNotAccounts);
    }
    if let Some((mccs, countries)) = number.controls().lists.as_deref() {
        if !mccs.allows(request.facts.mcc) {
            return Err(Reason::MccNotAllowed);
        }
        if !countries.is_empty() && !request.facts.country.is_some_and(|country| countries.contains(&country))
        {
            return Err(Reason::CountryNotAllowed);
        }
    }
    if request.amount > amount_max(number, programme) {
        return Err(Reason::OverAmount);
    }
    if request.amount > ceiling(number, programme) { Err(Reason::OverTotal) } else { Ok(()) }
}

/// The largest amount of one purchase.
fn amount_max(number: &Number, programme: &Programme) -> MinorUnits {
    number.controls().amount_max.unwrap_or(MinorUnits::MAX).min(programme.terms.amount_max)
}

impl Case<'_> {
    /// What a purchase may come to, increments included: also not more than its wallet said, when it was asked for.
    fn ceiling(&self, proved: Proved<'_>, number: &Number, programme: &Programme) -> MinorUnits {
        let of_wallet = match proved {
            Proved::Open(open) => open.cap().map(|(cap, _)| cap),
            // It was found when it was asked about.
            Proved::Before => self.asked.map(|asked| asked.ceiling),
            Proved::Unused => None,
        };
        ceiling(number, programme).min(of_wallet.unwrap_or(MinorUnits::MAX))
    }
}

/// What a purchase made now may come to, by the limits of number and programme.
fn ceiling(number: &Number, programme: &Programme) -> MinorUnits {
    let amount_max = amount_max(number, programme);
    match number.controls().total_max {
        Some(total_max) => amount_max.min(total_max.saturating_sub(number.usage.spent)),
        None => amount_max,
    }
}

fn channel(case: &Case<'_>, number: &Number, account: &Account) -> Result<(), Reason> {
    let channel = case.request.facts.entry_mode.channel();
    if account.closed {
        return Err(Reason::AccountClosed);
    }
    if account.blocks(channel) {
        return Err(Reason::ChannelBlocked);
    }
    match number.controls().channel {
        Some(only) if only != channel => Err(Reason::ChannelNotAllowed),
        _ => Ok(()),
    }
}

/// Whether the account has the money.
pub(super) fn fund(case: &Case<'_>, account: &Account) -> Result<(), Reason> {
    if case.request.amount.signed() <= account.available() { Ok(()) } else { Err(Reason::FundsMissing) }
}

/// Somebody else authorised a purchase while we could not be asked (0120). It can't be refused: what is proven to
/// be the number's is held, whether or not we would have approved it; what is not goes to suspense.
pub(super) fn advice(case: &Case<'_>) -> Found<Verdict> {
    if case.request.amount == MinorUnits::ZERO {
        return Ok(case.declined(Kind::Advice, Reason::AmountZero));
    }
    if case.was_reversed_before() {
        return Ok(case.declined(Kind::Advice, Reason::ReversedBefore));
    }
    // We may have approved it, and only our answer was lost.
    if let Ok((_, purchase)) = case.original()? {
        let mut verdict = case.declined(Kind::Advice, Reason::ToldBefore);
        verdict.target = Some(purchase.id);
        return Ok(verdict);
    }
    Ok(match told(case) {
        Ok(Known { number, account, scheme, card }) => {
            let effect = approved_now(case.request.message, case.request.amount.signed(), scheme);
            let mut verdict = case.verdict(Kind::Advice, Reason::Approved, effect);
            verdict.ceiling = case.request.amount;
            verdict.card = card;
            verdict.of_number(number, Some(account))
        }
        // Nothing is held in suspense: only its completion will move money.
        Err(unknown) => after::suspended(case, Kind::Advice, 0, unknown),
    })
}

/// Whose purchase somebody tells us of.
pub(super) struct Known<'a> {
    pub(super) number: &'a Number,
    pub(super) account: &'a Account,
    pub(super) scheme: &'a Scheme,
    /// What it does to the number's card.
    pub(super) card: OfCard,
}

/// What failed proofs of a purchase that somebody tells us of count.
#[derive(Default)]
pub(super) struct Unknown {
    pub(super) misses: u8,
    pub(super) card: OfCard,
}

/// Whose purchase somebody tells us of, if its proof holds; what it counts, if not.
pub(super) fn told<'a>(case: &Case<'a>) -> Result<Known<'a>, Unknown> {
    let Located::Number(number) = scheme::locate(case.state, case.request, case.now) else {
        return Err(Unknown::default());
    };
    let account = case.state.account(number.account).ok_or_else(Unknown::default)?;
    let scheme = &case.state.programme(number.programme).ok_or_else(Unknown::default)?.terms.scheme;
    // It has happened, whatever else waits.
    let proved = case.prove(scheme, number, 0);
    let reason = proved.as_ref().err().copied();
    let card = case.card_change(scheme, number, Kind::Advice, proved);
    if let Some(reason) = reason {
        return Err(Unknown { misses: after_failed_proof(scheme, reason).misses, card });
    }
    if account.currency == case.request.currency {
        Ok(Known { number, account, scheme, card })
    } else {
        Err(Unknown { misses: 0, card })
    }
}
