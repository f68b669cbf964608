//! Finding what a message is about.
//!
//! Several purchases may stand under one reference: references wrap, and acquirers count them per terminal. So the
//! original must be the same merchant's and of the same number, and whoever presents another number is told nothing
//! of it.

use super::Case;
use crate::state::Transaction;
use crate::{Hash64, Kind, PageRequest, Presented, Reason, ResponseCode, Terms, TransactionId};

/// Either what was looked for, or something has to be looked up in the views first.
pub(super) type Found<T> = Result<T, PageRequest>;

impl<'a> Case<'a> {
    /// The transaction that this message is about, and the purchase to which that belongs: itself, or its target.
    pub(super) fn original(&self) -> Found<Result<(&'a Transaction, &'a Transaction), Reason>> {
        let reference = self.original_reference();
        let named = self.request.original.and_then(|original| original.message);
        let exact = |earlier: &&Transaction| match named {
            Some((message, stan)) => earlier.message == message && earlier.stan == stan,
            None => earlier.is_purchase() || earlier.is_suspended(),
        };
        let under = || self.state.transactions.under(reference);
        let ours =
            |earlier: &&Transaction| self.is_ours(earlier) && earlier.response == ResponseCode::Approved;
        if let Some(original) = under().find(|earlier| exact(earlier) && ours(earlier)) {
            return Ok(self
                .purchase_of(original)?
                .map(|purchase| (original, purchase))
                .ok_or(Reason::OriginalUnknown));
        }
        self.page_once(reference)?;
        // All that there ever was is in memory now. DE 90 may name the message by another STAN than it had: then
        // the one purchase that fits is meant.
        if let Some(purchase) =
            under().find(|earlier| (earlier.is_purchase() || earlier.is_suspended()) && ours(earlier))
        {
            return Ok(Ok((purchase, purchase)));
        }
        let about = |earlier: &&Transaction| {
            earlier.target.is_none() && !matches!(earlier.kind, Kind::Reversal | Kind::Check)
        };
        Ok(Err(match under().find(about) {
            Some(earlier) if !self.is_ours(earlier) => Reason::OriginalNotYours,
            Some(_) => Reason::OriginalDeclined,
            None => Reason::OriginalUnknown,
        }))
    }

    /// Where the earlier message stands, if there is one.
    pub(super) fn original_reference(&self) -> Hash64 {
        self.request.original.map_or(self.request.reference, |original| original.reference)
    }

    /// Has a reference looked up, if memory has forgotten anything and nobody has looked yet. What can be no
    /// number of ours is not worth a look.
    pub(super) fn page_once(&self, reference: Hash64) -> Found<()> {
        let ours = matches!(self.request.number, Presented::Number { programme: Some(_), .. });
        if ours && self.request.paged.is_none() && self.state.transactions.has_forgotten() {
            return Err(PageRequest::Reference(reference));
        }
        Ok(())
    }

    /// Whether an earlier transaction is of this merchant and of this number.
    pub(super) fn is_ours(&self, earlier: &Transaction) -> bool {
        let Presented::Number { index, .. } = self.request.number else { return false };
        earlier.merchant == self.request.facts.merchant
            && earlier.number.is_none_or(|number| number.index == index)
    }

    /// Whether a reversal of this message came before it: that one has won, for it would not come again.
    pub(super) fn was_reversed_before(&self) -> bool {
        self.state.transactions.under(self.request.reference).any(|earlier| {
            earlier.reason == Reason::ReversalFirst && earlier.merchant == self.request.facts.merchant
        })
    }

    fn purchase_of(&self, transaction: &'a Transaction) -> Found<Option<&'a Transaction>> {
        let Some(target) = transaction.target else { return Ok(Some(transaction)) };
        let found = self.state.transactions.find(target);
        if found.is_none() {
            self.page_once(transaction.reference)?;
        }
        Ok(found)
    }

    /// The terms of a purchase's programme: never those of a number that somebody merely presents.
    pub(super) fn terms(&self, purchase: &Transaction) -> Option<&'a Terms> {
        let programme = purchase.programme.and_then(|id| self.state.programme(id));
        programme.map(|programme| &programme.terms)
    }

    pub(super) fn hold_is_over(&self, purchase: &Transaction) -> bool {
        self.terms(purchase).is_some_and(|terms| self.now >= purchase.at_ms + terms.hold_ms())
    }
}

/// An approved transaction on which something is held.
pub(super) fn held(state: &crate::State, id: TransactionId) -> Option<&Transaction> {
    state.transactions.find(id).filter(|transaction| transaction.totals.held > 0)
}
