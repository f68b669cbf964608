//! What has to be asked before it is decided, and what follows from the word that came.
//!
//! A message is decided twice: when it comes, to see whether there is anything to ask, and when the word is there, with
//! everything as it is by then. So whatever happened meanwhile (the number was cancelled, the money was spent, the
//! message was reversed) counts, and a yes is never more than a yes.

use super::{Case, Verdict, advise, purchase};
use crate::state::State;
use crate::{
    Answer, AnsweredLate, Asked, DecisionHook, Effect, Event, HostTerms, IssuerId, Kind, MessageAnswer,
    PartitionId, Reason, Refusal, Resolution, Resolved, TimeMs, WhenLate, Whom, Word,
};

impl Case<'_> {
    /// The question whose answer this verdict depends on, if there is one.
    pub(super) fn question(&self, verdict: &Verdict) -> Option<Asked> {
        if verdict.reason != Reason::Approved || !matches!(verdict.kind, Kind::Purchase | Kind::Increment) {
            return None;
        }
        let issuer = verdict.issuer?;
        let (whom, wait_ms, when_late) = self.asks(issuer, verdict)?;
        let mut request = self.request.clone();
        // What was looked up is in memory now, and stays there for longer than anybody is waited for.
        request.paged.get_or_insert_default();
        // As it is read back.
        request.partition = PartitionId::default();
        Some(Asked {
            question: self.state.pending.next_id(),
            issuer,
            kind: verdict.kind,
            request,
            account: verdict.account,
            programme: verdict.programme,
            number: verdict.number,
            keeps_use: verdict.effect.uses < 0,
            deadline_ms: self.now + TimeMs::from(wait_ms),
            when_late,
            whom,
            ceiling: verdict.ceiling,
        })
    }

    /// Who answers for an account before it pays, how long that is waited for, and what counts after that: the issuer host
    /// where that has the money, else the issuer's own endpoint if there is one.
    fn asks(&self, issuer: IssuerId, verdict: &Verdict) -> Option<(Whom, u32, WhenLate)> {
        let issuer = self.state.issuer(issuer)?;
        if !advise::is_hosts(self.state, verdict.account) {
            let DecisionHook { wait_ms, when_late } = issuer.hook?;
            return Some((Whom::Hook, wait_ms, when_late));
        }
        let HostTerms { wait_ms, stand_in_max } = issuer.host.unwrap_or_default();
        // Nobody stands in for more of a purchase: many times a little would be much.
        let stands_in = verdict.kind == Kind::Purchase && self.request.amount <= stand_in_max;
        let when_late = if stands_in { WhenLate::Approve } else { WhenLate::Decline };
        Some((Whom::Host, wait_ms, when_late))
    }

    /// How many uses of its number wait for somebody's word, its own not counted.
    pub(super) fn uses_waiting(&self, number: &crate::state::Number) -> u32 {
        let own = self.asked.and_then(Asked::kept).is_some_and(|own| own.index == number.index);
        self.state.pending.uses_of(number.index).saturating_sub(u32::from(own))
    }

    /// A verdict that was to be approved, with the word that came.
    fn with_word(&self, mut verdict: Verdict, asked: &Asked, word: Word) -> Verdict {
        if verdict.reason != Reason::Approved {
            return verdict;
        }
        if let Word::Host(answer) = word {
            verdict.host = Some(answer);
        }
        let reason = match word {
            Word::Approve => return verdict,
            Word::Host(answer) if answer.approved() => return verdict,
            Word::Late | Word::NotAsked if asked.when_late == WhenLate::Approve => {
                verdict.reason = Reason::StoodIn;
                return verdict;
            }
            Word::Decline => Reason::HookDeclined,
            Word::Host(_) => Reason::IssuerDeclined,
            Word::Late if asked.whom == Whom::Host => Reason::IssuerSilent,
            Word::Late => Reason::HookLate,
            Word::NotAsked => Reason::IssuerAway,
            Word::Unfinished => Reason::Unfinished,
        };
        let effect = match reason {
            _ if verdict.kind != Kind::Purchase => Effect::default(),
            Reason::HookDeclined | Reason::IssuerDeclined => self.after_no(&verdict),
            // It is not the cardholder's fault, but must not be tried for ever either.
            Reason::HookLate | Reason::IssuerSilent => self.after_silence(&verdict),
            _ => Effect::default(),
        };
        Verdict { reason, effect, ceiling: mayfly_card::MinorUnits::ZERO, good_until_ms: None, ..verdict }
    }

    /// A try of a number less; a card's ETSN is used up already.
    fn after_silence(&self, verdict: &Verdict) -> Effect {
        let programme = verdict.programme.and_then(|id| self.state.programme(id));
        let tries = programme.map_or(0, |programme| purchase::uses_of(&programme.terms.scheme));
        Effect { tries: u8::from(tries > 0), ..Effect::default() }
    }

    /// The issuer's own no is a failed control like any other.
    fn after_no(&self, verdict: &Verdict) -> Effect {
        let number = verdict.number.and_then(|number| self.state.numbers.active(number));
        let programme = verdict.programme.and_then(|id| self.state.programme(id));
        number.zip(programme).map_or_else(Effect::default, |(number, programme)| {
            purchase::after_failed_control(programme, number)
        })
    }
}

/// The word is there, or is not waited for any longer.
pub(super) fn resolve(
    state: &State,
    resolution: &Resolution,
    now: TimeMs,
    events: &mut Vec<Event>,
) -> Answer {
    let Resolution { question, issuer, word } = *resolution;
    let Some(asked) = state.pending.get(question).filter(|asked| asked.issuer == issuer) else {
        return late(state, resolution, events);
    };
    let case = Case { state, request: &asked.request, now, asked: Some(asked) };
    let decided = match case.decide() {
        Ok(verdict) => Ok(case.with_word(verdict, asked, word)),
        // Only if memory has forgotten within seconds what was looked up for it.
        Err(_) => Err(Reason::LookUpFailed),
    };
    let decided = decided
        .and_then(|verdict| if case.fits_the_books(&verdict) { Ok(verdict) } else { Err(Reason::BooksFull) });
    let transaction = decided.is_ok().then(|| state.transactions.next_id());
    events.push(Event::Resolved(Resolved { question, issuer, word, transaction }));
    case.advise_after(asked, word, decided.as_ref().ok().map(|verdict| verdict.reason), events);
    let answer = match decided {
        Ok(verdict) => case.record(verdict, events),
        Err(reason) => MessageAnswer::unrecorded(reason),
    };
    Answer::Resolved { question, answer }
}

/// Nothing waits for it any more. What somebody said is written down nevertheless.
fn late(state: &State, resolution: &Resolution, events: &mut Vec<Event>) -> Answer {
    let Resolution { question, issuer, word } = *resolution;
    if state.issuer(issuer).is_none() || question >= state.pending.next_id() {
        return Answer::Refused(Refusal::NoQuestion(question));
    }
    if matches!(word, Word::Approve | Word::Decline) {
        events.push(Event::AnsweredLate(AnsweredLate { question, issuer, word }));
    }
    Answer::Done
}
