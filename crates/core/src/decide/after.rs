//! What comes after an authorisation: more of it, its completion, its reversal.

use mayfly_card::{MinorUnits, MonthIndex};

use super::original::Found;
use super::purchase::{Known, Unknown};
use super::{Case, Verdict, purchase};
use crate::scheme::{self, Located};
use crate::state::{REVIVAL_MS, Transaction};
use crate::{Effect, Kind, MessageKind, Presented, Reason, Retirement, TotalsChange};

impl Case<'_> {
    /// A verdict about something that belongs to `purchase`.
    fn about(&self, purchase: &Transaction, kind: Kind, reason: Reason, effect: Effect) -> Verdict {
        let mut verdict = self.verdict(kind, reason, effect);
        verdict.target = Some(purchase.id);
        verdict.number = purchase.number;
        verdict.programme = purchase.programme;
        verdict.account = purchase.account;
        let account = purchase.account.and_then(|id| self.state.account(id)).map(|account| account.issuer);
        let programme = purchase.programme.and_then(|id| self.state.programme(id));
        verdict.issuer = account.or(programme.map(|programme| programme.issuer));
        verdict
    }
}

fn totals(authorised: i64, held: i64, captured: i64) -> TotalsChange {
    TotalsChange { authorised, held, captured, refunded: 0 }
}

/// An incremental authorisation: more for a purchase that is authorised and not yet captured.
pub(super) fn increment(case: &Case<'_>) -> Found<Verdict> {
    let purchase = match case.original()? {
        Ok((_, purchase)) => purchase,
        Err(reason) => return Ok(case.declined(Kind::Increment, reason)),
    };
    let reason = increment_reason(case, purchase);
    let amount = case.request.amount.signed();
    let effect = match reason {
        Reason::Approved => Effect { totals: totals(amount, amount, 0), spent: amount, ..Effect::default() },
        _ => Effect::default(),
    };
    Ok(case.about(purchase, Kind::Increment, reason, effect))
}

fn increment_reason(case: &Case<'_>, purchase: &Transaction) -> Reason {
    let request = case.request;
    let Some(account) = purchase.account.and_then(|id| case.state.account(id)) else {
        return Reason::OriginalUnknown;
    };
    if purchase.totals.held == 0 || !purchase.is_purchase() {
        return if case.hold_is_over(purchase) { Reason::HoldOver } else { Reason::NothingLeft };
    }
    if request.amount == MinorUnits::ZERO {
        return Reason::AmountZero;
    }
    if account.closed {
        return Reason::AccountClosed;
    }
    if account.blocks(request.facts.entry_mode.channel()) {
        return Reason::ChannelBlocked;
    }
    if request.currency != account.currency {
        return Reason::CurrencyNotAccounts;
    }
    // The number may be used up by now, and is then not in memory. That it was switched off still counts.
    if let Presented::Number { index, .. } = request.number {
        let retired = case.state.quarantine.find(index, MonthIndex::of_unix_ms(case.now));
        if let Some(why @ (Retirement::Cancelled | Retirement::Blocked)) = retired {
            return scheme::retired(why);
        }
    }
    // What the limits left for this purchase was written down with it.
    if purchase.totals.authorised + request.amount.signed() > purchase.ceiling.signed() {
        return Reason::OverAmount;
    }
    purchase::fund(case, account).err().unwrap_or(Reason::Approved)
}

/// A completion (0220): an authorised purchase, or a part of it, is charged. Without an original it is a charge
/// that nothing went before.
pub(super) fn completion(case: &Case<'_>) -> Found<Verdict> {
    let purchase = match case.original()? {
        Ok((_, purchase)) => purchase,
        Err(Reason::OriginalUnknown) => return Ok(force_post(case)),
        Err(reason) => return Ok(case.declined(Kind::Completion, reason)),
    };
    if purchase.account.is_none() {
        // It is in suspense, and its charge goes where it is.
        return Ok(force_post(case));
    }
    let (reason, change) = complete(case, purchase);
    let effect = match reason {
        Reason::Approved => {
            // What was counted as spent is what was authorised; what is completed beyond it counts now.
            let beyond = purchase.totals.captured + change.captured - purchase.totals.authorised;
            Effect { totals: change, spent: beyond.clamp(0, change.captured), ..Effect::default() }
        }
        _ => Effect::default(),
    };
    Ok(case.about(purchase, Kind::Completion, reason, effect))
}

fn complete(case: &Case<'_>, purchase: &Transaction) -> (Reason, TotalsChange) {
    let none = TotalsChange::default();
    let amount = case.request.amount.signed();
    if amount == 0 {
        return (Reason::AmountZero, none);
    }
    if case.request.currency != purchase.currency {
        return (Reason::CurrencyNotAccounts, none);
    }
    if purchase.totals.held == 0 && case.hold_is_over(purchase) {
        return (Reason::HoldOver, none);
    }
    let terms = case.terms(purchase);
    let mut left = completable(purchase, terms.map_or(0, |terms| terms.tolerance_bp));
    if terms.is_some_and(|terms| terms.scheme.dynamic().is_some()) {
        // What the wallet said is the end of it, whatever the programme tolerates.
        left = left.min(purchase.ceiling.signed() - purchase.totals.captured);
    }
    if left <= 0 {
        return (Reason::NothingLeft, none);
    }
    if amount > left {
        return (Reason::MoreThanLeft, none);
    }
    let single = terms.is_some_and(|terms| terms.single_completion);
    let from_hold = if single { purchase.totals.held } else { amount.min(purchase.totals.held) };
    (Reason::Approved, totals(0, -from_hold, amount))
}

/// How much may still be completed: what was authorised and the tolerance, without what was captured.
fn completable(purchase: &Transaction, tolerance_bp: u16) -> i64 {
    let authorised = i128::from(purchase.totals.authorised);
    let ceiling = authorised + authorised * i128::from(tolerance_bp) / 10_000;
    // At most twice what 63 bits hold: more than that is as good as all.
    i64::try_from(ceiling).unwrap_or(i64::MAX) - purchase.totals.captured
}

/// A charge that no authorisation went before (0220): it can't be refused. Whose number it is, and who proves it,
/// pays; what nobody can be sure of goes to suspense.
fn force_post(case: &Case<'_>) -> Verdict {
    if case.request.amount == MinorUnits::ZERO {
        return case.declined(Kind::ForcePost, Reason::AmountZero);
    }
    if case.was_reversed_before() {
        return case.declined(Kind::ForcePost, Reason::ReversedBefore);
    }
    let amount = case.request.amount.signed();
    match purchase::told(case) {
        Ok(Known { number, account, scheme, card }) => {
            let totals = totals(amount, 0, amount);
            let uses = -purchase::uses_of(scheme);
            let effect = Effect { totals, uses, spent: amount, ..Effect::default() };
            let mut verdict = case.verdict(Kind::ForcePost, Reason::Approved, effect);
            verdict.card = card;
            verdict.of_number(number, Some(account))
        }
        // The network is owed; until it is found out by whom, suspense owes.
        Err(unknown) => suspended(case, Kind::ForcePost, -amount, unknown),
    }
}

/// Put into suspense of the issuer whose number it seems to be. What is nobody's here is declined: another
/// institution's money can't be kept in our books.
pub(super) fn suspended(case: &Case<'_>, kind: Kind, minor: i64, unknown: Unknown) -> Verdict {
    let located = scheme::locate(case.state, case.request, case.now);
    let programme = match located {
        Located::Number(number) => Some(number.programme),
        Located::Nothing(_, programme) => programme,
    };
    let Some((id, programme)) = programme.and_then(|id| Some((id, case.state.programme(id)?))) else {
        return case.declined(kind, Reason::UnknownPrefix);
    };
    let effect = Effect { suspended: minor, misses: unknown.misses, ..Effect::default() };
    let mut verdict = case.verdict(kind, Reason::Suspense, effect);
    verdict.card = unknown.card;
    verdict.issuer = Some(programme.issuer);
    verdict.programme = Some(id);
    if let Located::Number(number) = located {
        verdict.number = Some(number.reference());
    }
    verdict
}

/// A reversal, full or (with DE 95) partial: funds come back, and a small purchase's use, once.
pub(super) fn reversal(case: &Case<'_>) -> Found<Verdict> {
    let (original, purchase) = match case.original()? {
        Ok(found) => found,
        Err(Reason::OriginalUnknown) => return Ok(case.declined(Kind::Reversal, Reason::ReversalFirst)),
        // There is nothing to take back from what was declined, and the reversal has what it wants.
        Err(Reason::OriginalDeclined) => return Ok(case.declined(Kind::Reversal, Reason::NothingStood)),
        Err(reason) => return Ok(case.declined(Kind::Reversal, reason)),
    };
    let (reason, effect, back) = reverse(case, original, purchase);
    let mut verdict = case.about(purchase, Kind::Reversal, reason, effect);
    verdict.reverses =
        (back > 0).then(|| (original.id, MinorUnits::new(back.unsigned_abs()).unwrap_or(MinorUnits::MAX)));
    Ok(verdict)
}

fn reverse(case: &Case<'_>, original: &Transaction, purchase: &Transaction) -> (Reason, Effect, i64) {
    let none = Effect::default();
    // DE 95 carries the amount that stays; without it, nothing stays.
    let stays = case.request.replacement.map_or(0, MinorUnits::signed);
    if stays > original.amount.signed() {
        return (Reason::MoreThanLeft, none, 0);
    }
    let wanted = (original.amount.signed() - stays - original.reversed).max(0);
    if original.is_suspended() && wanted > 0 {
        // An advice put nothing there, a refund what it gave, a charge what is owed for it.
        let suspended = match original.kind {
            Kind::Refund => -wanted,
            Kind::ForcePost => wanted,
            _ => 0,
        };
        return (Reason::Approved, Effect { suspended, ..none }, wanted);
    }
    let standing = &purchase.totals;
    let (back, change) = match original.kind {
        Kind::Refund => {
            let back = wanted.min(standing.refunded);
            (back, TotalsChange { refunded: -back, ..TotalsChange::default() })
        }
        Kind::Completion => {
            let back = wanted.min(standing.captured - standing.refunded);
            (back, totals(0, 0, -back))
        }
        Kind::ForcePost => captured_back(wanted, purchase),
        Kind::Purchase if original.message == MessageKind::Financial => captured_back(wanted, purchase),
        Kind::Purchase | Kind::Advice | Kind::Increment => {
            let back = wanted.min(standing.held);
            (back, totals(-back, -back, 0))
        }
        _ => (0, TotalsChange::default()),
    };
    if back == 0 {
        let over = standing.held == 0 && standing.captured == 0 && case.hold_is_over(purchase);
        let reason = match case.request.message {
            // An advice is sent until it is accepted; that nothing stands any more is what it wants.
            MessageKind::ReversalAdvice => Reason::NothingStood,
            _ if over => Reason::HoldOver,
            _ => Reason::NothingLeft,
        };
        return (reason, none, 0);
    }
    let nothing_stands = standing.held + change.held == 0 && standing.captured + change.captured == 0;
    let uses = i32::from(stays == 0 && nothing_stands && gives_use_back(case, original));
    let spent = if uses > 0 { -back } else { 0 };
    (Reason::Approved, Effect { totals: change, uses, spent, ..none }, back)
}

fn captured_back(wanted: i64, purchase: &Transaction) -> (i64, TotalsChange) {
    let back = wanted.min(purchase.totals.captured - purchase.totals.refunded);
    (back, totals(-back, 0, -back))
}

/// A purchase of up to one unit of the currency is how some merchants test a number: its full reversal, soon
/// and by the same merchant, gives the use back, once for each number.
fn gives_use_back(case: &Case<'_>, original: &Transaction) -> bool {
    original.kind == Kind::Purchase
        && original.amount <= original.currency.one_unit()
        && case.now < original.at_ms + REVIVAL_MS
        && original.number.is_some_and(|reference| {
            let number = case.state.numbers.find(reference.index).filter(|number| number.id == reference.id);
            number.is_some_and(|number| !number.usage.revived)
        })
}
