//! What an issuer host has to be told of what was decided.

use mayfly_card::MinorUnits;

use super::Case;
use crate::state::{State, Transaction};
use crate::{
    Asked, CreditLimit, Event, HostAdvice, HostTrace, Kind, MessageKind, Reason, Told, Transacted, Whom, Word,
};

/// Whether the money of an account is with its issuer's host.
pub(super) fn is_hosts(state: &State, account: Option<crate::AccountId>) -> bool {
    account.and_then(|id| state.account(id)).is_some_and(|account| account.limit == CreditLimit::IssuerHost)
}

/// What the issuer host has to be told of a transaction that nobody asked it about.
pub(super) fn of_transaction(state: &State, event: &Transacted) -> Option<HostAdvice> {
    let (account, issuer) = (event.account?, event.issuer?);
    if !event.approved() || !is_hosts(state, event.account) {
        return None;
    }
    let target = event.target.and_then(|id| state.transactions.find(id));
    let reversed = event.reverses.and_then(|(id, back)| Some((state.transactions.find(id)?, back)));
    let number = event.number.or_else(|| target?.number)?;
    let own = HostTrace {
        message: event.message,
        reference: event.reference,
        identity: event.identity,
        transmitted: event.facts.transmitted,
    };
    let advice = |told, about: Option<&Transaction>, amount, stays| HostAdvice {
        told,
        trace: own,
        about: about.map(Transaction::host_trace),
        issuer,
        account,
        number,
        amount,
        stays,
        currency: event.currency,
        approval: event.approval.or_else(|| about?.approval),
        facts: event.facts,
    };
    Some(match event.kind {
        Kind::Completion | Kind::ForcePost => advice(Told::Charge, target, event.amount, None),
        Kind::Refund => advice(Told::Refund, target, event.amount, None),
        // Whoever stood in for us told us of it; the host has not heard.
        Kind::Advice if event.target.is_none() => advice(Told::StandIn, None, event.amount, None),
        Kind::Reversal => {
            let (original, _) = reversed?;
            // What is reversed now was not counted yet when the transaction was looked at.
            let back = original.reversed + event.reverses.map_or(0, |(_, back)| back.signed());
            reversal(advice, original, back)
        }
        Kind::HoldReleased => {
            let purchase = target?;
            reversal(advice, purchase, purchase.reversed + event.amount.signed())
        }
        _ => return None,
    })
}

/// Of which nothing stands any more, or only what is left without `back` minor units.
fn reversal(
    advice: impl FnOnce(Told, Option<&Transaction>, MinorUnits, Option<MinorUnits>) -> HostAdvice,
    original: &Transaction,
    back: i64,
) -> HostAdvice {
    let stays = MinorUnits::new((original.amount.signed() - back).max(0).unsigned_abs());
    advice(Told::Reversal, Some(original), original.amount, stays.filter(|stays| *stays > MinorUnits::ZERO))
}

impl Case<'_> {
    /// What the issuer host has to be told when its word has come, or is not waited for any more: that the second request does
    /// not stand, if it may, and that we approved in its place.
    pub(super) fn advise_after(
        &self,
        asked: &Asked,
        word: Word,
        decided: Option<Reason>,
        events: &mut Vec<Event>,
    ) {
        if asked.whom != Whom::Host {
            return;
        }
        let may_stand = match word {
            Word::Host(answer) => answer.approved(),
            Word::Late | Word::Unfinished => true,
            Word::NotAsked | Word::Approve | Word::Decline => false,
        };
        if may_stand && decided != Some(Reason::Approved) {
            let first = asked.trace();
            events.extend(self.advice(asked, Told::Reversal, first.reversal(0), Some(first)));
        }
        if decided == Some(Reason::StoodIn) {
            let own = HostTrace { message: MessageKind::AuthorisationAdvice, ..asked.trace() };
            events.extend(self.advice(asked, Told::StandIn, own, None));
        }
    }

    fn advice(&self, asked: &Asked, told: Told, trace: HostTrace, about: Option<HostTrace>) -> Option<Event> {
        Some(Event::HostAdvised(Box::new(HostAdvice {
            told,
            trace,
            about,
            issuer: asked.issuer,
            account: asked.account?,
            number: asked.number?,
            amount: self.request.amount,
            stays: None,
            currency: self.request.currency,
            approval: None,
            facts: self.request.facts,
        })))
    }
}
