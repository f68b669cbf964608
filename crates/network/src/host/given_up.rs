//! Questions that were given up, for a while: a host that approves one of them after all has to be told once more.

use std::collections::{HashMap, VecDeque};

use mayfly_card::{Rrn, Stan};
use mayfly_core::{Asked, HostAdvice, Told};
use mayfly_iso8583::{De, MessageBuilder};

/// What names a question in its answer.
type Name = (Stan, Rrn);

/// A question that was given up.
pub(super) type GaveUp = Box<Asked>;

/// The latest of them, so many at most.
///
/// It is memory and no more. After a restart the link pairs no answer of before with anything, so none is handed out as
/// late; what was open then was given up by the start, and its reversal is repeated for as long as the host says that it does
/// not know the original.
#[derive(Debug)]
pub(super) struct GivenUp {
    max: usize,
    questions: HashMap<Name, GaveUp>,
    /// In the order in which they were given up. What was taken may still be in it.
    order: VecDeque<Name>,
}

impl GivenUp {
    /// Keeps so many.
    pub(super) fn new(max: usize) -> Self {
        Self { max, questions: HashMap::new(), order: VecDeque::new() }
    }

    /// A question was given up; the oldest is forgotten for it if there are too many.
    pub(super) fn add(&mut self, asked: GaveUp) {
        let name = (asked.trace().stan(), asked.trace().rrn());
        if self.questions.insert(name, asked).is_none() {
            self.order.push_back(name);
        }
        while self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.questions.remove(&oldest);
        }
    }

    /// What a late answer is about, once.
    pub(super) fn take(&mut self, answer: &MessageBuilder) -> Option<GaveUp> {
        let text = |element| answer.text(element).unwrap_or_default();
        let stan = Stan::parse(text(De::STAN)).ok()?;
        let rrn = Rrn::parse(text(De::RRN)).ok()?;
        self.questions.remove(&(stan, rrn))
    }
}

/// What a host is told that approved what was given up. Its reversal is owed already; but the host may have done that before it
/// came to the question, and would take the same again for a repeat.
pub(super) fn second_reversal(asked: &Asked) -> Option<HostAdvice> {
    let (first, request) = (asked.trace(), &asked.request);
    Some(HostAdvice {
        told: Told::Reversal,
        trace: first.reversal(1),
        about: Some(first),
        issuer: asked.issuer,
        account: asked.account?,
        number: asked.number?,
        amount: request.amount,
        stays: None,
        currency: request.currency,
        approval: None,
        facts: request.facts,
    })
}
