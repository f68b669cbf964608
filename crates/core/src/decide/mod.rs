//! Decisions: what follows from a command, and what is answered.

mod advise;
mod after;
mod asked;
mod card;
mod issue;
mod operate;
mod original;
mod purchase;
mod refund;

use mayfly_card::{ApprovalCode, MinorUnits};

use self::card::OfCard;
use crate::state::{Account, Number, PER_REFERENCE_MAX, State, Transaction};
use crate::{
    AccountId, Answer, AnswerKept, Asked, Books, Command, Effect, Event, HostAnswer, IssuerId, Kind,
    MessageAnswer, MessageKind, NumberRef, Once, OnceKey, Outcome, Previous, Processing, ProgrammeId, Reason,
    Refusal, Request, ResponseCode, Retirement, TimeMs, Transacted, TransactionId,
};

/// Decides one command at `now`. The events that follow are appended to `events`; whoever calls applies them
/// before he decides the next one. Pure: the same arguments give the same events and the same answer.
pub fn decide(state: &State, command: &Command, now: TimeMs, events: &mut Vec<Event>) -> Answer {
    match command {
        Command::Message(request) => message(state, request, now, events),
        Command::Issue(request) => issue::issue(state, request, now, events),
        Command::Claim(claim) => issue::claim(state, claim, now, events),
        Command::Operate(operation) => operate::operate(state, operation, events),
        Command::Once(once) => self::once(state, once, now, events),
        Command::Resolve(resolution) => asked::resolve(state, resolution, now, events),
        Command::OpenEtsn { open, last } => card::open(state, open, *last, now, events),
        Command::RefuseRequest { card, why } => card::refuse(state, *card, *why, events),
        Command::Advise(advice) => {
            events.push(Event::HostAdvised(advice.clone()));
            Answer::Done
        }
        Command::Sweep { limit } => issue::sweep(state, *limit, now, events),
    }
}

/// A command with a key: done, or answered as it was when it was done. One that is refused changes nothing and is
/// decided anew when it comes again.
fn once(state: &State, once: &Once, now: TimeMs, events: &mut Vec<Event>) -> Answer {
    let OnceKey { key, content } = once.once;
    let recalled = once.recalled.as_ref().and_then(Option::as_ref).filter(|kept| kept.is_kept(now));
    let kept = state.kept.find(key, now).or(recalled);
    if kept.is_none() && once.recalled.is_none() && state.kept.has_forgotten_early(now) {
        return Answer::Recall(key);
    }
    if let Some(kept) = kept {
        return if kept.content == content {
            Answer::Repeated { outcome: kept.outcome, note: kept.note.to_vec() }
        } else {
            Answer::Refused(Refusal::KeyReused)
        };
    }
    // A key within a key would be kept twice, and a message has an identity of its own.
    let answer = match &once.command {
        Command::Issue(request) => issue::issue(state, request, now, events),
        Command::Operate(operation) => operate::operate(state, operation, events),
        Command::Message(_)
        | Command::Claim(_)
        | Command::Once(_)
        | Command::Resolve(_)
        | Command::OpenEtsn { .. }
        | Command::RefuseRequest { .. }
        | Command::Advise(_)
        | Command::Sweep { .. } => {
            return Answer::Refused(Refusal::NoKeyHere);
        }
    };
    if let Some(outcome) = Outcome::of(&answer) {
        let kept = AnswerKept { key, content, outcome, note: once.note.clone() };
        events.push(Event::AnswerKept(Box::new(kept)));
    }
    answer
}

fn message(state: &State, request: &Request, now: TimeMs, events: &mut Vec<Event>) -> Answer {
    let mut under = 0;
    for earlier in state.transactions.under(request.reference) {
        under += 1;
        if earlier.identity == request.identity {
            return Answer::Message(if earlier.content != request.content {
                MessageAnswer::unrecorded(Reason::OtherContent)
            } else if was_taken_back(state, earlier) {
                MessageAnswer::unrecorded(Reason::TakenBack)
            } else {
                earlier.repeated()
            });
        }
    }
    if let Some(asked) = state.pending.find(request.reference, request.identity) {
        return if asked.request.content == request.content {
            Answer::Waits(asked.question)
        } else {
            Answer::Message(MessageAnswer::unrecorded(Reason::OtherContent))
        };
    }
    // What gives money back has room of its own: nobody can keep it out by filling the list.
    let reverses = matches!(request.message, MessageKind::Reversal | MessageKind::ReversalAdvice);
    let gives_back = reverses || request.processing == Processing::Refund;
    if under >= if gives_back { 2 * PER_REFERENCE_MAX } else { PER_REFERENCE_MAX } {
        return Answer::Message(MessageAnswer::unrecorded(Reason::TooManyMessages));
    }
    let case = Case { state, request, now, asked: None };
    let verdict = match case.decide() {
        Ok(verdict) if case.fits_the_books(&verdict) => verdict,
        Ok(_) => return Answer::Message(MessageAnswer::unrecorded(Reason::BooksFull)),
        Err(page) => return Answer::Page(page),
    };
    match case.question(&verdict) {
        None => Answer::Message(case.record(verdict, events)),
        Some(_) if state.pending.is_full() => Answer::Message(MessageAnswer::unrecorded(Reason::Overloaded)),
        Some(asked) => {
            let question = asked.question;
            // Whatever the word will be, no other purchase can use it any more.
            verdict.change_card(events);
            events.push(Event::Asked(Box::new(asked)));
            Answer::Waits(question)
        }
    }
}

/// Whether we took it back ourselves, because our approval came too late: whoever asked was told 96.
fn was_taken_back(state: &State, earlier: &Transaction) -> bool {
    state.transactions.under(earlier.reference).any(|later| {
        later.message == MessageKind::Operator
            && later.kind == Kind::Reversal
            && later.target == Some(earlier.id)
    })
}

/// The largest balance of an account, in minor units: ten million million units of most currencies.
pub const ACCOUNT_MAX: i64 = 1_000_000_000_000_000;
/// The largest balance of an issuer's book: half of what 63 bits hold.
const BOOK_MAX: i64 = i64::MAX / 2;

/// A message, with what it is decided by.
struct Case<'a> {
    state: &'a State,
    request: &'a Request,
    now: TimeMs,
    /// What was asked about it, if its word has come.
    asked: Option<&'a Asked>,
}

/// What was decided about a message, before it is written down.
struct Verdict {
    kind: Kind,
    reason: Reason,
    number: Option<NumberRef>,
    account: Option<AccountId>,
    issuer: Option<IssuerId>,
    programme: Option<ProgrammeId>,
    target: Option<TransactionId>,
    reverses: Option<(TransactionId, MinorUnits)>,
    ceiling: MinorUnits,
    effect: Effect,
    /// What it does to the card of its number.
    card: OfCard,
    /// What the issuer host answered, where that is passed on.
    host: Option<HostAnswer>,
    /// [`MessageAnswer::good_until_ms`].
    good_until_ms: Option<TimeMs>,
}

impl Verdict {
    /// For the number and its account.
    fn of_number(mut self, number: &Number, account: Option<&Account>) -> Self {
        self.number = Some(number.reference());
        self.programme = Some(number.programme);
        self.account = Some(number.account);
        self.issuer = account.map(|account| account.issuer);
        self
    }
}

impl Case<'_> {
    fn decide(&self) -> original::Found<Verdict> {
        let request = self.request;
        // Whoever repeats knows that he was heard before, perhaps longer ago than memory reaches.
        if request.repeat {
            self.page_once(request.reference)?;
        }
        if request.message.is_advice() && request.declined_elsewhere {
            return Ok(self.declined(Kind::Advice, Reason::ToldDeclined));
        }
        match (request.message, request.processing) {
            (MessageKind::Reversal | MessageKind::ReversalAdvice, _) => after::reversal(self),
            (_, Processing::Other) => Ok(self.declined(Kind::Purchase, Reason::ProcessingUnknown)),
            (_, Processing::Refund) => refund::refund(self),
            (MessageKind::Authorisation, Processing::Purchase) if request.original.is_some() => {
                after::increment(self)
            }
            (MessageKind::Authorisation | MessageKind::Financial, Processing::Purchase) => {
                Ok(purchase::purchase(self))
            }
            (MessageKind::AuthorisationAdvice, Processing::Purchase) => purchase::advice(self),
            (MessageKind::FinancialAdvice, Processing::Purchase) => after::completion(self),
            (MessageKind::Operator, _) => Ok(self.declined(Kind::Funding, Reason::ProcessingUnknown)),
        }
    }

    /// Whether the books can take it: sums must never come near what a number can hold.
    fn fits_the_books(&self, verdict: &Verdict) -> bool {
        let change = verdict.effect.books();
        if change == Books::default() {
            return true;
        }
        let mut after = change;
        if let Some(account) = verdict.account.and_then(|id| self.state.account(id)) {
            after.add(&Books { cardholder: account.balance, held: account.held, ..Books::default() });
        }
        let key = verdict.issuer.map(|issuer| (issuer, self.request.currency));
        if let Some(books) = key.and_then(|key| self.state.issuer_books.get(&key)) {
            after.add(books);
        }
        let fits = |amount: i64, limit: i64| amount.abs() <= limit;
        fits(after.cardholder, ACCOUNT_MAX)
            && fits(after.held, ACCOUNT_MAX)
            && [after.settlement, after.funding, after.suspense].into_iter().all(|book| fits(book, BOOK_MAX))
    }

    fn verdict(&self, kind: Kind, reason: Reason, effect: Effect) -> Verdict {
        Verdict {
            kind,
            reason,
            number: None,
            account: None,
            issuer: None,
            programme: None,
            target: None,
            reverses: None,
            ceiling: MinorUnits::ZERO,
            effect,
            card: None,
            host: None,
            good_until_ms: None,
        }
    }

    fn declined(&self, kind: Kind, reason: Reason) -> Verdict {
        self.verdict(kind, reason, Effect::default())
    }

    /// Writes the decision down and gives its answer.
    fn record(&self, mut verdict: Verdict, events: &mut Vec<Event>) -> MessageAnswer {
        let request = self.request;
        let id = self.state.transactions.next_id();
        let response = verdict.host.map_or(verdict.reason.response(), |answer| answer.response);
        let approved = response == ResponseCode::Approved;
        let own = || (approved && verdict.kind != Kind::Check).then(|| approval(id));
        let approval = verdict.host.filter(|_| approved).and_then(|answer| answer.approval).or_else(own);
        let (previous, retires) = self.of_its_number(&mut verdict, approved);
        let event = Transacted {
            id,
            kind: verdict.kind,
            message: request.message,
            response,
            reason: verdict.reason,
            approval,
            reference: request.reference,
            identity: request.identity,
            content: request.content,
            number: verdict.number,
            previous,
            retires,
            account: verdict.account,
            issuer: verdict.issuer,
            programme: verdict.programme,
            target: verdict.target,
            reverses: verdict.reverses,
            ceiling: verdict.ceiling,
            amount: request.amount,
            currency: request.currency,
            facts: request.facts,
            effect: verdict.effect,
        };
        if self.asked.is_none() {
            advise::owe(self.state, &event, events);
        }
        events.push(Event::Transacted(event));
        verdict.change_card(events);
        let Verdict { reason, good_until_ms, .. } = verdict;
        MessageAnswer { response, approval, reason, transaction: Some(id), repeat: false, good_until_ms }
    }

    /// What it comes after in the life of its number, and whether that ends with it.
    fn of_its_number(&self, verdict: &mut Verdict, approved: bool) -> (Previous, Option<Retirement>) {
        let Some(reference) = verdict.number else { return (Previous::Nothing, None) };
        let Some(number) = self.state.numbers.active(reference) else { return (Previous::Retired, None) };
        let is_small = self.request.amount <= self.request.currency.one_unit();
        let (revival, retires) = number.usage.outcome(&verdict.effect, approved, is_small, self.now);
        verdict.effect.revival = revival;
        (number.usage.last_transaction.map_or(Previous::Nothing, Previous::Transaction), retires)
    }
}

/// Six digits that no other of a partition's last million approvals has.
fn approval(id: TransactionId) -> ApprovalCode {
    // Always below a million, so never the default.
    ApprovalCode::from_value((id.0 % 1_000_000) as u32).unwrap_or_default()
}
