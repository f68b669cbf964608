//! Whoever waits for the answer to a message about which somebody is asked.

use std::collections::HashMap;

use mayfly_core::{Answer, MessageAnswer, QuestionId, Reason};

use crate::Ticket;

/// How often a message may be sent again while it waits. Whoever sends it more often is answered 96.
const JOINED_MAX: usize = 16;

/// Those who wait, by the question that their message's answer depends on.
#[derive(Default)]
pub(crate) struct Waiting(HashMap<QuestionId, Vec<Ticket>>);

impl Waiting {
    /// One more waits. Gives the ticket back if too many do.
    pub(crate) fn add(&mut self, question: QuestionId, ticket: Ticket) -> Option<Ticket> {
        let joined = self.0.entry(question).or_default();
        if joined.len() >= JOINED_MAX {
            return Some(ticket);
        }
        joined.push(ticket);
        None
    }

    /// The answer for each who waits. It is the last one's: whoever asked before is told the same as whoever repeats.
    /// So an approval that comes too late for somebody who has asked again since is not taken back.
    pub(crate) fn answers(
        &mut self,
        question: QuestionId,
        answer: MessageAnswer,
    ) -> impl Iterator<Item = (Ticket, Answer)> {
        let mut joined = self.0.remove(&question).unwrap_or_default();
        let last = joined.pop().map(|ticket| (ticket, Answer::Message(answer)));
        let repeated = Answer::Message(MessageAnswer { repeat: true, ..answer });
        joined.into_iter().map(move |ticket| (ticket, repeated.clone())).chain(last)
    }

    /// Nobody is asked any more: everybody who waits is told to try again.
    pub(crate) fn give_up(&mut self) -> Vec<(Ticket, Answer)> {
        let answer = Answer::Message(MessageAnswer::unrecorded(Reason::Overloaded));
        self.0.drain().flat_map(|(_, joined)| joined).map(|ticket| (ticket, answer.clone())).collect()
    }
}
