//! What comes after an authorisation: more of it, its completion, its reversal.
//!
//! All of them find their original by its reference, and check that merchant and number are the same.

use mayfly_card::MinorUnits;

use super::{Case, Verdict, purchase};
use crate::scheme::{self, Located};
use crate::state::{REVIVAL_MS, Transaction};
use crate::{
    Effect, Kind, MessageKind, NumberRef, PageRequest, Presented, Reason, ResponseCode, Terms, TotalsChange,
    TransactionId,
};

/// Either a verdict, or something has to be looked up first.
pub(super) type Found<T> = Result<T, PageRequest>;

impl<'a> Case<'a> {
    /// The transaction that this message is about.
    fn original(&self) -> Found<Result<&'a Transaction, Reason>> {
        let (state, request) = (self.state, self.request);
        let reference = request.original.map_or(request.reference, |original| original.reference);
        let named = request.original.and_then(|original| original.message);
        let meant = |earlier: &&Transaction| match named {
            Some((message, stan)) => earlier.message == message && earlier.stan == stan,
            None => earlier.target.is_none() && earlier.kind != Kind::Reversal,
        };
        // Others may stand under the same reference: what failed, or what another merchant sent. The one that
        // fits is meant; only if none does, another one says why.
        let ours = |earlier: &&Transaction| {
            self.is_ours(earlier).is_ok() && (named.is_some() || earlier.is_purchase())
        };
        let under = || state.transactions.under(reference).filter(meant);
        match under().find(ours).or_else(|| under().next()) {
            Some(earlier) => Ok(self.is_ours(earlier).map(|()| earlier)),
            None if request.paged.is_none() && state.transactions.has_forgotten() => {
                Err(PageRequest::Reference(reference))
            }
            None => Ok(Err(Reason::OriginalUnknown)),
        }
    }

    /// Whether an earlier transaction is this merchant's, of this number, and was approved.
    fn is_ours(&self, earlier: &Transaction) -> Result<(), Reason> {
        let number = match self.request.number {
            Presented::Number { index, .. } => self.state.numbers.find(index).map(|number| number.id),
            Presented::Invalid => return Err(Reason::NotANumber),
        };
        // A number that is not active any more can't be compared; its reference and merchant still can.
        let other_number = number.is_some() && earlier.number.is_some() && number != earlier.number;
        if earlier.merchant != self.request.facts.merchant || other_number {
            return Err(Reason::OriginalNotYours);
        }
        if earlier.response == ResponseCode::Approved { Ok(()) } else { Err(Reason::OriginalDeclined) }
    }

    /// The purchase that a transaction belongs to: itself, or its target.
    fn purchase_of(&self, transaction: &'a Transaction) -> Found<Option<&'a Transaction>> {
        let Some(target) = transaction.target else { return Ok(Some(transaction)) };
        match self.state.transactions.find(target) {
            None if self.request.paged.is_none() => Err(PageRequest::Reference(transaction.reference)),
            found => Ok(found),
        }
    }

    /// A verdict about something that belongs to `purchase`.
    fn about(&self, purchase: &Transaction, kind: Kind, reason: Reason, effect: Effect) -> Verdict {
        let mut verdict = self.verdict(kind, reason, effect);
        verdict.target = Some(purchase.id);
        verdict.account = purchase.account;
        verdict.issuer = purchase.account.and_then(|id| self.state.account(id)).map(|account| account.issuer);
        verdict.number = self.number_of(purchase);
        verdict
    }

    fn number_of(&self, purchase: &Transaction) -> Option<NumberRef> {
        match (purchase.number, self.request.number) {
            (Some(id), Presented::Number { index, .. }) => Some(NumberRef { id, index }),
            _ => None,
        }
    }

    /// The terms of the presented number's programme.
    fn terms(&self) -> Option<&'a Terms> {
        let Presented::Number { programme, .. } = self.request.number else { return None };
        programme.and_then(|id| self.state.programme(id)).map(|programme| &programme.terms)
    }

    fn hold_is_over(&self, purchase: &Transaction) -> bool {
        self.terms().is_some_and(|terms| self.now >= purchase.at_ms + terms.hold_ms())
    }
}

fn totals(authorised: i64, held: i64, captured: i64) -> TotalsChange {
    TotalsChange { authorised, held, captured, refunded: 0 }
}

/// An incremental authorisation: more for a purchase that is authorised and not yet captured.
pub(super) fn increment(case: &Case<'_>) -> Found<Verdict> {
    let original = match case.original()? {
        Ok(original) => original,
        Err(reason) => return Ok(case.declined(Kind::Increment, reason)),
    };
    let Some(purchase) = case.purchase_of(original)? else {
        return Ok(case.declined(Kind::Increment, Reason::OriginalUnknown));
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
    if request.currency != account.currency {
        return Reason::CurrencyNotAccounts;
    }
    // The number may be used up by now; its limits hold as long as it is known.
    if let Located::Number(number) = scheme::locate(case.state, request, case.now)
        && let Some(programme) = case.state.programme(number.programme)
    {
        let whole = MinorUnits::new(purchase.totals.authorised.unsigned_abs()).unwrap_or(MinorUnits::MAX);
        if let Err(reason) =
            purchase::amounts(number, programme, whole.saturating_add(request.amount), request.amount)
        {
            return reason;
        }
    }
    purchase::fund(case, account).err().unwrap_or(Reason::Approved)
}

/// A completion (0220): an authorised purchase, or a part of it, is charged. Without an original it is a charge
/// that nothing went before.
pub(super) fn completion(case: &Case<'_>) -> Found<Verdict> {
    let purchase = match case.original()? {
        Ok(original) => case.purchase_of(original)?,
        Err(Reason::OriginalUnknown) => return Ok(force_post(case)),
        Err(reason) => return Ok(case.declined(Kind::Completion, reason)),
    };
    let Some(purchase) = purchase else { return Ok(force_post(case)) };
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
    if !purchase.is_purchase() {
        return (Reason::OriginalDeclined, none);
    }
    if case.request.currency != purchase.currency {
        return (Reason::CurrencyNotAccounts, none);
    }
    if purchase.totals.held == 0 && case.hold_is_over(purchase) {
        return (Reason::HoldOver, none);
    }
    let (tolerance_bp, single) =
        case.terms().map_or((0, false), |terms| (terms.tolerance_bp, terms.single_completion));
    let authorised = purchase.totals.authorised;
    // At most twelve digits times ten thousand: far below what 63 bits hold.
    let ceiling = authorised + authorised * i64::from(tolerance_bp) / 10_000;
    let left = ceiling - purchase.totals.captured;
    if left <= 0 {
        return (Reason::NothingLeft, none);
    }
    if amount > left {
        return (Reason::MoreThanLeft, none);
    }
    let from_hold = if single { purchase.totals.held } else { amount.min(purchase.totals.held) };
    (Reason::Approved, totals(0, -from_hold, amount))
}

/// A charge that no authorisation went before (0220): it can't be refused. Whose number it is, pays; whose
/// nobody can be sure of, goes to suspense.
fn force_post(case: &Case<'_>) -> Verdict {
    let amount = case.request.amount.signed();
    let located = scheme::locate(case.state, case.request, case.now);
    let account = match located {
        Located::Number(number) => case.state.account(number.account).map(|account| (number, account)),
        Located::Nothing(..) => None,
    };
    match account {
        Some((number, account)) if account.currency == case.request.currency => {
            let effect = Effect {
                totals: totals(amount, 0, amount),
                uses: -i32::from(number.usage.uses_left > 0),
                spent: amount,
                ..Effect::default()
            };
            case.verdict(Kind::ForcePost, Reason::ToldNotProven, effect).of_number(number, Some(account))
        }
        _ => {
            // A charge to nobody: the network is owed, and until it is found out whose it is, suspense owes.
            let mut verdict = case.verdict(
                Kind::ForcePost,
                Reason::Suspense,
                Effect { suspended: -amount, ..Effect::default() },
            );
            verdict.issuer = match located {
                Located::Number(number) => case.state.account(number.account).map(|account| account.issuer),
                Located::Nothing(_, programme) => {
                    programme.and_then(|id| case.state.programme(id)).map(|p| p.issuer)
                }
            };
            if verdict.issuer.is_none() {
                verdict.effect = Effect::default();
                verdict.reason = Reason::UnknownPrefix;
            }
            verdict
        }
    }
}

/// A reversal, full or (with DE 95) partial: funds come back, and a small purchase's use, once.
pub(super) fn reversal(case: &Case<'_>) -> Found<Verdict> {
    let original = match case.original()? {
        Ok(original) => original,
        Err(Reason::OriginalUnknown) => return Ok(case.declined(Kind::Reversal, Reason::ReversalFirst)),
        // There is nothing to take back from what was declined, and the reversal has what it wants.
        Err(Reason::OriginalDeclined) => return Ok(case.declined(Kind::Reversal, Reason::NothingLeft)),
        Err(reason) => return Ok(case.declined(Kind::Reversal, reason)),
    };
    let Some(purchase) = case.purchase_of(original)? else {
        return Ok(case.declined(Kind::Reversal, Reason::OriginalUnknown));
    };
    let (reason, effect) = reverse(case, original, purchase);
    Ok(case.about(purchase, Kind::Reversal, reason, effect))
}

fn reverse(case: &Case<'_>, original: &Transaction, purchase: &Transaction) -> (Reason, Effect) {
    let none = Effect::default();
    // DE 95 carries the amount that stays; without it, nothing stays.
    let stays = case.request.replacement.map_or(0, MinorUnits::signed);
    let amount = original.amount.signed() - stays;
    if amount < 0 {
        return (Reason::MoreThanLeft, none);
    }
    let standing = &purchase.totals;
    let change = match original.kind {
        Kind::Refund => {
            let back = amount.min(standing.refunded);
            TotalsChange { refunded: -back, ..TotalsChange::default() }
        }
        Kind::Completion | Kind::ForcePost => {
            totals(0, 0, -amount.min(standing.captured - standing.refunded))
        }
        _ if original.message == MessageKind::Financial => {
            let back = amount.min(standing.captured - standing.refunded);
            totals(-back, 0, -back)
        }
        Kind::Purchase | Kind::Advice | Kind::Increment => {
            let back = amount.min(standing.held);
            totals(-back, -back, 0)
        }
        _ => TotalsChange::default(),
    };
    if change == TotalsChange::default() {
        let over = standing.held == 0 && standing.captured == 0 && case.hold_is_over(purchase);
        return (if over { Reason::HoldOver } else { Reason::NothingLeft }, none);
    }
    let nothing_stands = standing.held + change.held == 0 && standing.captured + change.captured == 0;
    let uses = i32::from(nothing_stands && gives_use_back(case, original));
    let spent = if uses > 0 { -amount } else { 0 };
    (Reason::Approved, Effect { totals: change, uses, spent, ..none })
}

/// A purchase of up to one unit of the currency is how some merchants test a number: its full reversal, soon
/// and by the same merchant, gives the use back, once.
fn gives_use_back(case: &Case<'_>, original: &Transaction) -> bool {
    original.kind == Kind::Purchase
        && original.amount <= original.currency.one_unit()
        && !original.use_returned
        && case.now < original.at_ms + REVIVAL_MS
        && matches!(case.request.number, Presented::Number { index, .. }
            if case.state.numbers.find(index).is_some_and(|number| Some(number.id) == original.number))
}

/// An operator's act: a hold that waited longer than its programme says is given back.
pub(super) fn held(state: &crate::State, id: TransactionId) -> Option<&Transaction> {
    state.transactions.find(id).filter(|transaction| transaction.totals.held > 0)
}
