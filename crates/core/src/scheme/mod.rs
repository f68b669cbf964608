//! The first two steps of a purchase: *locate* the record that it can belong to, and *prove* that it was meant.
//!
//! One module per scheme. What comes after (control, consume, fund, record, answer) is the same for all.

pub mod common;
pub mod dynamic;
pub mod issued;

use crate::state::{Number, Open, State};
use crate::{Presented, ProgrammeId, Reason, Request, Retirement, Scheme, TimeMs};

/// What a purchase's number leads to.
#[derive(Clone, Copy, Debug)]
pub enum Located<'a> {
    /// An active number.
    Number(&'a Number),
    /// Nothing that could pay, and why. With the programme, where one owns such numbers.
    Nothing(Reason, Option<ProgrammeId>),
}

/// Step one: which record can this request belong to?
pub fn locate<'a>(state: &'a State, request: &Request, now: TimeMs) -> Located<'a> {
    let Presented::Number { index, programme, .. } = request.number else {
        return Located::Nothing(Reason::NotANumber, None);
    };
    if let Some(number) = state.numbers.find(index) {
        return Located::Number(number);
    }
    if let Some(programme) = common::universal(state, index) {
        return Located::Nothing(Reason::UniversalAlone, Some(programme));
    }
    let Some(programme) = programme else {
        return Located::Nothing(Reason::UnknownPrefix, None);
    };
    let month = mayfly_card::MonthIndex::of_unix_ms(now);
    let reason = state.quarantine.find(index, month).map_or(Reason::UnknownNumber, retired);
    Located::Nothing(reason, Some(programme))
}

/// Step two: does it carry proof for this one purchase?
///
/// `waiting` uses of the number are kept for purchases about which somebody is being asked.
pub fn prove<'a>(
    scheme: &Scheme,
    state: &'a State,
    number: &Number,
    request: &Request,
    waiting: u32,
    now: TimeMs,
) -> Result<Proved<'a>, Reason> {
    match scheme {
        Scheme::Issued => issued::prove(number, request, waiting, now).map(|()| Proved::Unused),
        Scheme::Dynamic(terms) => {
            let card = state.cards.find(number.index);
            dynamic::prove(terms, number, card, request, now).map(Proved::Open)
        }
    }
}

/// What proved a purchase.
#[derive(Clone, Copy, Debug)]
pub enum Proved<'a> {
    /// Its number, which has a use left.
    Unused,
    /// An open ETSN.
    Open(&'a Open),
    /// An ETSN that was used up for it before its issuer was asked.
    Before,
}

/// The reason that belongs to a retirement.
pub fn retired(why: Retirement) -> Reason {
    match why {
        Retirement::Used => Reason::NumberUsed,
        Retirement::Expired => Reason::NumberExpired,
        Retirement::Cancelled => Reason::NumberCancelled,
        Retirement::Blocked => Reason::NumberBlocked,
    }
}
