//! Money back for something that was bought: by reference if there is one, else the latest captured purchase of
//! that number at that merchant. Never more than was captured, and never to somebody who may not be the one.

use mayfly_card::MinorUnits;

use super::after::Found;
use super::{Case, Verdict};
use crate::scheme::{self, Located};
use crate::state::Transaction;
use crate::{Effect, Kind, NumberRef, PageRequest, Presented, Reason, TotalsChange};

pub(super) fn refund(case: &Case<'_>) -> Found<Verdict> {
    let Presented::Number { index, .. } = case.request.number else {
        return Ok(case.declined(Kind::Refund, Reason::NotANumber));
    };
    if case.request.amount == MinorUnits::ZERO {
        return Ok(case.declined(Kind::Refund, Reason::AmountZero));
    }
    let amount = case.request.amount.signed();
    let purchases = purchases(case)?;
    let at_merchant = || purchases.iter().filter(|purchase| purchase.totals.captured > 0);
    let payable = |purchase: &&&Transaction| purchase.totals.captured - purchase.totals.refunded >= amount;
    let Some(latest) = at_merchant().filter(payable).max_by_key(|purchase| purchase.id) else {
        let reason =
            if at_merchant().next().is_some() { Reason::MoreThanCaptured } else { Reason::OriginalUnknown };
        return Ok(refused(case, reason));
    };
    // A number that was used by two cardholders, years apart, at the same merchant: either could be meant.
    if at_merchant().any(|other| other.account != latest.account) {
        return Ok(suspended(case));
    }
    let totals = TotalsChange { refunded: amount, ..TotalsChange::default() };
    let mut verdict = case.verdict(Kind::Refund, Reason::Approved, Effect { totals, ..Effect::default() });
    verdict.target = Some(latest.id);
    verdict.number = latest.number.map(|id| NumberRef { id, index });
    verdict.account = latest.account;
    verdict.issuer = latest.account.and_then(|id| case.state.account(id)).map(|account| account.issuer);
    Ok(verdict)
}

/// The purchases that may be meant.
fn purchases<'a>(case: &Case<'a>) -> Found<Vec<&'a Transaction>> {
    let (state, request) = (case.state, case.request);
    let fits = |purchase: &&Transaction| {
        purchase.is_purchase()
            && purchase.merchant == request.facts.merchant
            && purchase.currency == request.currency
    };
    let reference = request.original.map_or(request.reference, |original| original.reference);
    let by_reference: Vec<_> = state.transactions.under(reference).filter(fits).collect();
    if !by_reference.is_empty() {
        return Ok(by_reference);
    }
    let Presented::Number { index, .. } = request.number else { return Ok(Vec::new()) };
    let Some(paged) = &request.paged else {
        // The views know every purchase that was ever made with the number; memory knows a part of them.
        return Err(PageRequest::Purchases { index, merchant: request.facts.merchant });
    };
    Ok(paged.iter().filter_map(|id| state.transactions.find(*id)).filter(fits).collect())
}

/// What comes as an advice has happened: it is kept in suspense. A request is declined.
fn refused(case: &Case<'_>, reason: Reason) -> Verdict {
    if case.request.message.is_advice() { suspended(case) } else { case.declined(Kind::Refund, reason) }
}

fn suspended(case: &Case<'_>) -> Verdict {
    let programme = match scheme::locate(case.state, case.request, case.now) {
        Located::Number(number) => Some(number.programme),
        Located::Nothing(_, programme) => programme,
    };
    let Some(programme) = programme.and_then(|id| case.state.programme(id)) else {
        return case.declined(Kind::Refund, Reason::UnknownPrefix);
    };
    let effect = Effect { suspended: case.request.amount.signed(), ..Effect::default() };
    let mut verdict = case.verdict(Kind::Refund, Reason::Suspense, effect);
    verdict.issuer = Some(programme.issuer);
    verdict
}
