//! Numbers come and go: issue, cancel, sweep.

use crate::state::{State, quarantine_over};
use crate::{
    Answer, ClaimNumber, Event, IssueNumber, NumberClaimed, NumberId, NumberIssued, NumberRef, Refusal,
    Retirement, TimeMs,
};

pub(super) fn issue(state: &State, request: &IssueNumber, now: TimeMs, events: &mut Vec<Event>) -> Answer {
    match issued(state, request, now) {
        Ok((candidate, event)) => {
            let answer = Answer::Issued { number: event.number.id, candidate, expires_ms: event.expires_ms };
            events.push(Event::NumberIssued(Box::new(event)));
            answer
        }
        Err(refusal) => Answer::Refused(refusal),
    }
}

fn issued(state: &State, request: &IssueNumber, now: TimeMs) -> Result<(usize, NumberIssued), Refusal> {
    let account = state.account(request.account).ok_or(Refusal::NoAccount(request.account))?;
    let programme = state.programme(request.programme).ok_or(Refusal::NoProgramme(request.programme))?;
    if account.issuer != programme.issuer {
        return Err(Refusal::OtherIssuer);
    }
    if account.closed {
        return Err(Refusal::AccountClosed(request.account));
    }
    if programme.closed {
        return Err(Refusal::ProgrammeClosed(request.programme));
    }
    let terms = &programme.terms;
    if !(1..=terms.uses_max).contains(&request.uses) {
        return Err(Refusal::Uses { max: terms.uses_max });
    }
    let lifetime_ms = request.lifetime_ms.unwrap_or(terms.lifetime_ms);
    if !(1000..=terms.lifetime_max_ms).contains(&lifetime_ms) {
        return Err(Refusal::Lifetime { max_ms: terms.lifetime_max_ms });
    }
    request.controls.check().map_err(Refusal::Limit)?;
    if account.active_numbers >= terms.active_max {
        return Err(Refusal::ActiveNumbers { max: terms.active_max });
    }
    let free = |candidate: &&crate::Candidate| !state.is_taken(candidate.index, now);
    let mut candidates = request.candidates.iter().enumerate();
    let (at, candidate) =
        candidates.find(|(_, candidate)| free(candidate)).ok_or(Refusal::CandidatesTaken)?;
    let event = NumberIssued {
        number: NumberRef { id: NumberId(state.next_number), index: candidate.index },
        last_four: candidate.last_four,
        account: request.account,
        programme: request.programme,
        expiry: request.expiry,
        expires_ms: now + lifetime_ms,
        uses: request.uses,
        controls: request.controls.clone(),
    };
    Ok((at, event))
}

/// A number that somebody else drew, in the partition of its hash.
pub(super) fn claim(state: &State, claim: &ClaimNumber, now: TimeMs, events: &mut Vec<Event>) -> Answer {
    let ClaimNumber { index, account, programme, .. } = *claim;
    let Some(terms) = state.programme(programme).map(|programme| &programme.terms) else {
        return Answer::Refused(Refusal::NoProgramme(programme));
    };
    let owner = state.owner(index, now);
    if owner.is_some_and(|owner| owner != account) || owner.is_none() && state.is_taken(index, now) {
        return Answer::Refused(Refusal::NumberTaken);
    }
    // Longer than it can be needed: the longest life, and the quarantine after it.
    match quarantine_over(now + terms.lifetime_max_ms, terms.quarantine_months) {
        // Claimed before, and for long enough.
        Some(free) if state.aliases.until(index).is_some_and(|until| until >= free) => Answer::Done,
        Some(free) => {
            events.push(Event::NumberClaimed(NumberClaimed { index, account, free }));
            Answer::Done
        }
        None => Answer::Refused(Refusal::Lifetime { max_ms: terms.lifetime_max_ms }),
    }
}

/// Cancels a number that is in memory: also one that is used up and might get its use back.
pub(super) fn cancel(state: &State, reference: NumberRef, events: &mut Vec<Event>) -> Answer {
    if state.numbers.active(reference).is_none() {
        return Answer::Refused(Refusal::NoNumber(reference.id));
    }
    events.push(Event::NumbersRetired(vec![(reference, Retirement::Cancelled)]));
    Answer::Done
}

/// Retires those that are over among the first `limit` that the calendar has due. One that is not over was
/// extended since, and stands in the calendar again.
pub(super) fn sweep(state: &State, limit: usize, now: TimeMs, events: &mut Vec<Event>) -> Answer {
    let mut over: Vec<_> = state
        .numbers
        .due(now, limit)
        .filter_map(|number| {
            let usage = &number.usage;
            let why = number.over(now).filter(|_| usage.uses_left > 0 || now >= usage.revivable_until_ms)?;
            Some((number.reference(), why))
        })
        .collect();
    // A number that was extended may be due by two entries.
    over.sort_unstable_by_key(|(reference, _)| reference.id);
    over.dedup_by_key(|(reference, _)| reference.id);
    let swept = over.len();
    if swept > 0 {
        events.push(Event::NumbersRetired(over));
    }
    Answer::Swept(swept)
}
