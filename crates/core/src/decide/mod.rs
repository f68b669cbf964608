//! Decisions: what follows from a command, and what is answered.

mod after;
mod issue;
mod operate;
mod purchase;
mod refund;

use mayfly_card::ApprovalCode;

use crate::state::{Account, Number, PER_REFERENCE_MAX, State};
use crate::{
    AccountId, Answer, Command, Effect, Event, IssuerId, Kind, MessageAnswer, MessageKind, NumberRef,
    Processing, Reason, Request, ResponseCode, TimeMs, Transacted, TransactionId,
};

/// Decides one command at `now`. The events that follow are appended to `events`; whoever calls applies them
/// before he decides the next one. Pure: the same arguments give the same events and the same answer.
pub fn decide(state: &State, command: &Command, now: TimeMs, events: &mut Vec<Event>) -> Answer {
    match command {
        Command::Message(request) => message(state, request, now, events),
        Command::Issue(request) => issue::issue(state, request, now, events),
        Command::Operate(operation) => operate::operate(state, operation, now, events),
        Command::Sweep { limit } => issue::sweep(state, *limit, now, events),
    }
}

fn message(state: &State, request: &Request, now: TimeMs, events: &mut Vec<Event>) -> Answer {
    let mut under = 0;
    for earlier in state.transactions.under(request.reference) {
        under += 1;
        if earlier.identity == request.identity {
            let same = earlier.content == request.content;
            return Answer::Message(if same {
                earlier.repeated()
            } else {
                MessageAnswer::unrecorded(Reason::OtherContent)
            });
        }
    }
    if under >= PER_REFERENCE_MAX {
        return Answer::Message(MessageAnswer::unrecorded(Reason::TooManyMessages));
    }
    let case = Case { state, request, now };
    let verdict = match (request.message, request.processing) {
        (MessageKind::Reversal | MessageKind::ReversalAdvice, _) => after::reversal(&case),
        (_, Processing::Other) => Ok(case.declined(Kind::Purchase, Reason::ProcessingUnknown)),
        (_, Processing::Refund) => refund::refund(&case),
        (MessageKind::Authorisation, Processing::Purchase) if request.original.is_some() => {
            after::increment(&case)
        }
        (MessageKind::Authorisation | MessageKind::Financial, Processing::Purchase) => {
            Ok(purchase::purchase(&case))
        }
        (MessageKind::AuthorisationAdvice, Processing::Purchase) => Ok(purchase::advice(&case)),
        (MessageKind::FinancialAdvice, Processing::Purchase) => after::completion(&case),
        (MessageKind::Operator, _) => Ok(case.declined(Kind::Funding, Reason::ProcessingUnknown)),
    };
    match verdict {
        Ok(verdict) => Answer::Message(case.record(verdict, events)),
        Err(page) => Answer::Page(page),
    }
}

/// A message, with what it is decided by.
struct Case<'a> {
    state: &'a State,
    request: &'a Request,
    now: TimeMs,
}

/// What was decided about a message, before it is written down.
struct Verdict {
    kind: Kind,
    reason: Reason,
    number: Option<NumberRef>,
    account: Option<AccountId>,
    issuer: Option<IssuerId>,
    target: Option<TransactionId>,
    effect: Effect,
}

impl Verdict {
    /// For the number and its account.
    fn of_number(mut self, number: &Number, account: Option<&Account>) -> Self {
        self.number = Some(NumberRef { id: number.id, index: number.index });
        self.account = Some(number.account);
        self.issuer = account.map(|account| account.issuer);
        self
    }
}

impl<'a> Case<'a> {
    fn verdict(&self, kind: Kind, reason: Reason, effect: Effect) -> Verdict {
        Verdict { kind, reason, number: None, account: None, issuer: None, target: None, effect }
    }

    fn declined(&self, kind: Kind, reason: Reason) -> Verdict {
        self.verdict(kind, reason, Effect::default())
    }

    /// Writes the decision down and gives its answer.
    fn record(&self, verdict: Verdict, events: &mut Vec<Event>) -> MessageAnswer {
        let request = self.request;
        let id = self.state.transactions.next_id();
        let response = verdict.reason.response();
        let approval =
            (response == ResponseCode::Approved && verdict.kind != Kind::Check).then(|| approval(id));
        events.push(Event::Transacted(Transacted {
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
            account: verdict.account,
            issuer: verdict.issuer,
            target: verdict.target,
            amount: request.amount,
            currency: request.currency,
            facts: request.facts,
            effect: verdict.effect,
        }));
        MessageAnswer { response, approval, reason: verdict.reason, transaction: Some(id), repeat: false }
    }
}

/// Six digits that no other of a partition's last million approvals has.
fn approval(id: TransactionId) -> ApprovalCode {
    // Always below a million, so never the default.
    ApprovalCode::from_value((id.0 % 1_000_000) as u32).unwrap_or_default()
}
