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

/// Adds what the issuer host has to be told of a transaction that nobody asked it about. The state is as before it.
pub(super) fn owe(state: &State, event: &Transacted, events: &mut Vec<Event>) {
    if event.approved() && is_hosts(state, event.account) {
        let owed = Owed { state, event }.advices().unwrap_or_default();
        events.extend(owed.into_iter().map(|advice| Event::HostAdvised(Box::new(advice))));
    }
}

/// A transaction on an account whose money is with the issuer host.
#[derive(Clone, Copy)]
struct Owed<'a> {
    state: &'a State,
    event: &'a Transacted,
}

impl<'a> Owed<'a> {
    fn advices(self) -> Option<Vec<HostAdvice>> {
        let event = self.event;
        let target = event.target.and_then(|id| self.state.transactions.find(id));
        let one = |told, about| self.advice(told, about, event.amount, None).map(|advice| vec![advice]);
        match event.kind {
            Kind::Completion => Some(self.completed(target?)),
            Kind::ForcePost => one(Told::Charge, None),
            Kind::Refund => one(Told::Refund, target),
            // Whoever stood in for us told us of it; the host has not heard.
            Kind::Advice if target.is_none() => one(Told::StandIn, None),
            Kind::Reversal if event.message != MessageKind::Operator => {
                let (id, back) = event.reverses?;
                self.reversal(self.state.transactions.find(id)?, back.signed()).map(|advice| vec![advice])
            }
            // We give back ourselves what is left of a purchase.
            Kind::Reversal | Kind::HoldReleased => {
                Some(self.told_apart(self.given_back(target?, event.amount.signed())))
            }
            _ => None,
        }
    }

    /// A charge; and what is given back of the hold with it, where only one charge comes.
    fn completed(self, purchase: &'a Transaction) -> Vec<HostAdvice> {
        let charge = self.advice(Told::Charge, Some(purchase), self.event.amount, None);
        let rest = -self.event.effect.totals.held - self.event.amount.signed();
        let given_back = if rest > 0 { self.given_back(purchase, rest) } else { Vec::new() };
        self.told_apart(charge.into_iter().chain(given_back))
    }

    /// What is given back of a purchase, from the last of the messages that made it up to the first.
    fn given_back(self, purchase: &'a Transaction, mut left: i64) -> Vec<HostAdvice> {
        let added = self.state.transactions.under(purchase.reference).filter(|added| {
            added.kind == Kind::Increment && added.target == Some(purchase.id) && added.approval.is_some()
        });
        let mut advices = Vec::new();
        for message in added.chain([purchase]) {
            let back = left.min(message.amount.signed() - message.reversed);
            if back > 0 {
                left -= back;
                advices.extend(self.reversal(message, back));
            }
        }
        advices
    }

    /// Several that are made of one message: each needs a trace of its own.
    fn told_apart(self, advices: impl IntoIterator<Item = HostAdvice>) -> Vec<HostAdvice> {
        let apart = (0..).zip(advices).map(|(turn, mut advice)| {
            advice.trace.identity.0 = advice.trace.identity.0.rotate_left(7 * turn);
            advice
        });
        apart.collect()
    }

    /// Of a message of which so much is given back now.
    fn reversal(self, original: &Transaction, back: i64) -> Option<HostAdvice> {
        let stays = (original.amount.signed() - original.reversed - back).max(0).unsigned_abs();
        let stays = MinorUnits::new(stays).filter(|stays| *stays > MinorUnits::ZERO);
        self.advice(Told::Reversal, Some(original), original.amount, stays)
    }

    fn advice(
        self,
        told: Told,
        about: Option<&Transaction>,
        amount: MinorUnits,
        stays: Option<MinorUnits>,
    ) -> Option<HostAdvice> {
        let event = self.event;
        Some(HostAdvice {
            told,
            trace: HostTrace {
                message: event.message,
                // What is about a purchase goes by its reference, also what we do by ourselves.
                reference: about.map_or(event.reference, |about| about.reference),
                identity: event.identity,
                transmitted: event.facts.transmitted,
            },
            about: about.map(Transaction::host_trace),
            issuer: event.issuer?,
            account: event.account?,
            number: event.number.or_else(|| about?.number)?,
            amount,
            stays,
            currency: event.currency,
            approval: about.map_or(event.approval, |about| about.approval),
            facts: event.facts,
        })
    }
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
            let own = asked.trace().stood_in();
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
