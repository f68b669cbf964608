//! Money back for something that was bought: by reference if there is one, else the latest captured purchase of
//! that number at that merchant. Never more than was captured, and never to somebody who may not be the one.

use mayfly_card::MinorUnits;

use super::original::Found;
use super::purchase::Unknown;
use super::{Case, Verdict, after};
use crate::state::Transaction;
use crate::{Effect, Kind, PageRequest, Presented, Reason, TotalsChange};

pub(super) fn refund(case: &Case<'_>) -> Found<Verdict> {
    let Presented::Number { .. } = case.request.number else {
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
    verdict.number = latest.number;
    verdict.programme = latest.programme;
    verdict.account = latest.account;
    verdict.issuer = latest.account.and_then(|id| case.state.account(id)).map(|account| account.issuer);
    Ok(verdict)
}

/// The purchases that may be meant.
fn purchases<'a>(case: &Case<'a>) -> Found<Vec<&'a Transaction>> {
    let (state, request) = (case.state, case.request);
    let fits = |purchase: &&Transaction| {
        purchase.is_purchase() && purchase.currency == request.currency && case.is_ours(purchase)
    };
    let reference = case.original_reference();
    let by_reference: Vec<_> = state.transactions.under(reference).filter(fits).collect();
    if !by_reference.is_empty() {
        return Ok(by_reference);
    }
    let Presented::Number { index, programme: Some(_), .. } = request.number else { return Ok(Vec::new()) };
    let Some(paged) = &request.paged else {
        // The views know every purchase that was ever made with the number, and whether this refund was heard of
        // before; memory knows a part of that.
        let merchant = request.facts.merchant;
        return Err(PageRequest::Purchases { reference: request.reference, index, merchant });
    };
    Ok(paged.iter().filter_map(|id| state.transactions.find(*id)).filter(fits).collect())
}

/// What comes as an advice has happened: it is kept in suspense. A request is declined.
fn refused(case: &Case<'_>, reason: Reason) -> Verdict {
    if case.request.message.is_advice() { suspended(case) } else { case.declined(Kind::Refund, reason) }
}

fn suspended(case: &Case<'_>) -> Verdict {
    after::suspended(case, Kind::Refund, case.request.amount.signed(), Unknown::default())
}
