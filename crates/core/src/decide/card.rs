//! The cards of the check site: ETSNs are opened and used, proofs fail, a card is locked and unlocked.

use mayfly_dynamic::{Etsn, RequestRefusal};

use super::{Case, Verdict};
use crate::scheme::Proved;
use crate::scheme::dynamic;
use crate::state::{Number, State};
use crate::{Answer, CardRef, EtsnOpened, Event, Kind, Reason, Refusal, Scheme, TimeMs, scheme};

/// What a message does to a card of the check site, and to which.
pub(super) type OfCard = Option<(CardRef, CardChange)>;

/// What a message does to a card of the check site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CardChange {
    /// It uses an ETSN up, whatever comes of it.
    Used(Etsn),
    /// It checks whether the card is good, with an ETSN.
    Checked(Etsn),
    /// Its proof failed, which counts; the card may be locked with that.
    Missed {
        /// Whether it is.
        locks: bool,
    },
}

impl CardChange {
    fn event(self, card: CardRef) -> Event {
        match self {
            Self::Used(etsn) => Event::EtsnUsed { card, etsn },
            Self::Checked(etsn) => Event::EtsnChecked { card, etsn },
            Self::Missed { locks } => Event::CardMissed { card, locks },
        }
    }
}

impl Verdict {
    /// Writes down what the message does to its card.
    pub(super) fn change_card(&self, events: &mut Vec<Event>) {
        events.extend(self.card.map(|(card, change)| change.event(card)));
    }
}

impl Case<'_> {
    /// Step two: whether the message proves itself as the number's scheme wants it. An ETSN that was used up before
    /// the issuer was asked is not asked for again.
    pub(super) fn prove(&self, scheme: &Scheme, number: &Number, waiting: u32) -> Result<Proved<'_>, Reason> {
        if self.asked.is_some() && scheme.dynamic().is_some() {
            return number.over(self.now).map_or(Ok(Proved::Before), |why| Err(scheme::retired(why)));
        }
        scheme::prove(scheme, self.state, number, self.request, waiting, self.now)
    }

    /// What a proof, or a failed one, does to the card of a number. One that fails does nothing unless the card has an open
    /// ETSN, so that whoever merely knows the number can't have it locked.
    pub(super) fn card_change(
        &self,
        scheme: &Scheme,
        number: &Number,
        kind: Kind,
        proved: Result<Proved<'_>, Reason>,
    ) -> OfCard {
        let terms = scheme.dynamic()?;
        let of_card = CardRef { number: number.reference(), account: number.account };
        let reason = match proved {
            Ok(Proved::Open(open)) if kind == Kind::Check => {
                return Some((of_card, CardChange::Checked(open.etsn)));
            }
            Ok(Proved::Open(open)) => return Some((of_card, CardChange::Used(open.etsn))),
            Ok(Proved::Unused | Proved::Before) => return None,
            Err(reason) => reason,
        };
        let card = self.state.cards.find(number.index).filter(|card| card.has_open(self.now))?;
        let locks = card.misses(self.now) + 1 >= terms.misses_max.into();
        dynamic::counts(reason).then_some((of_card, CardChange::Missed { locks }))
    }
}

/// A wallet has shown that it has the card's key.
pub(super) fn open(
    state: &State,
    wanted: &EtsnOpened,
    last: Etsn,
    now: TimeMs,
    events: &mut Vec<Event>,
) -> Answer {
    match may_open(state, wanted, last, now) {
        Ok(()) => {
            events.push(Event::EtsnOpened(Box::new(*wanted)));
            Answer::Done
        }
        Err(refusal) => Answer::Refused(refusal),
    }
}

fn may_open(state: &State, wanted: &EtsnOpened, last: Etsn, now: TimeMs) -> Result<(), Refusal> {
    let id = wanted.card.number.id;
    let number = state.numbers.active(wanted.card.number).ok_or(Refusal::NoCard(id))?;
    let programme = state.programme(number.programme).ok_or(Refusal::NoCard(id))?;
    let terms = programme.terms.scheme.dynamic().ok_or(Refusal::NotOfCheckSite(number.programme))?;
    if number.over(now).is_some() {
        return Err(Refusal::NoCard(id));
    }
    let account = state.account(number.account).ok_or(Refusal::NoCard(id))?;
    if account.closed {
        return Err(Refusal::AccountClosed(number.account));
    }
    let Some(card) = state.cards.find(number.index) else {
        return if last == Etsn::default() { Ok(()) } else { Err(Refusal::CardChanged) };
    };
    if card.locked_ms.is_some() {
        return Err(Refusal::CardLocked(id));
    }
    if card.open_at(now).count() >= terms.open_max.into() {
        return Err(Refusal::OpenPurchases { max: terms.open_max });
    }
    // The one that was chosen is greater than all before it, and its date that of none that is open: if nothing was opened since.
    if card.last_etsn != last || wanted.etsn <= last || wanted.tsn <= card.last_tsn {
        return Err(Refusal::CardChanged);
    }
    Ok(())
}

/// A wallet's request was refused: that is counted.
pub(super) fn refuse(state: &State, card: CardRef, why: RequestRefusal, events: &mut Vec<Event>) -> Answer {
    if state.numbers.active(card.number).is_none() {
        return Answer::Refused(Refusal::NoCard(card.number.id));
    }
    events.push(Event::RequestRefused { card, why });
    Answer::Done
}

/// The cardholder unlocks his card. One that is not locked stays as it is.
pub(super) fn unlock(state: &State, card: CardRef, events: &mut Vec<Event>) -> Result<Answer, Refusal> {
    state.numbers.active(card.number).ok_or(Refusal::NoCard(card.number.id))?;
    if state.cards.find(card.number.index).is_some_and(|card| card.locked_ms.is_some()) {
        events.push(Event::CardUnlocked { card });
    }
    Ok(Answer::Done)
}
