//! Approvals that were told again, and answers that came too late for whoever waited.
//!
//! What was approved too late is taken back, because its peer was told that it could not be answered. But a peer that was told
//! so asks again, and may hear of the approval by then: what somebody was told stands.

use std::collections::{HashMap, VecDeque};

use mayfly_core::{Answer, ResponseCode, TransactionId};

/// How many are known. Networks repeat within minutes, and few messages.
const KNOWN_MAX: usize = 65_536;

/// What the writer knows of approvals that were asked for again, in this process.
#[derive(Default)]
pub(crate) struct Told {
    known: HashMap<TransactionId, Tellings>,
    /// In the order in which they came.
    order: VecDeque<TransactionId>,
}

#[derive(Clone, Copy, Default)]
struct Tellings {
    /// Whether the first answer came too late.
    late: bool,
    /// How often it was told again, and how many of those answers came too late.
    again: u32,
    again_late: u32,
}

impl Told {
    /// Looks at an answer that is given.
    pub(crate) fn look_at(&mut self, answer: &Answer) {
        if let Answer::Message(answer) = answer
            && answer.repeat
            && answer.response == ResponseCode::Approved
            && let Some(transaction) = answer.transaction
        {
            self.of(transaction).again += 1;
        }
    }

    /// An approval, or its repetition, came too late. Says whether nobody has heard of it: then it must not stand.
    pub(crate) fn is_unheard(&mut self, transaction: TransactionId, repeat: bool) -> bool {
        let tellings = self.of(transaction);
        if repeat {
            tellings.again_late += 1
        } else {
            tellings.late = true
        }
        // Without the first: that was told, or whoever waited for it has gone and asks again.
        tellings.late && tellings.again_late >= tellings.again
    }

    fn of(&mut self, transaction: TransactionId) -> &mut Tellings {
        if !self.known.contains_key(&transaction) {
            if self.order.len() >= KNOWN_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(transaction);
        }
        self.known.entry(transaction).or_default()
    }
}

#[cfg(test)]
mod tests {
    use mayfly_core::{MessageAnswer, Reason};

    use super::*;

    fn repeated(id: u64) -> Answer {
        let answer = MessageAnswer::unrecorded(Reason::Approved);
        Answer::Message(MessageAnswer { transaction: Some(TransactionId(id)), repeat: true, ..answer })
    }

    #[test]
    fn what_nobody_asked_for_again_is_unheard() {
        let mut told = Told::default();
        assert!(told.is_unheard(TransactionId(1), false));
    }

    #[test]
    fn what_was_told_again_stands() {
        let mut told = Told::default();
        told.look_at(&repeated(1));
        assert!(!told.is_unheard(TransactionId(1), false));
        assert!(told.is_unheard(TransactionId(2), false), "another one");
    }

    #[test]
    fn what_came_too_late_each_time_is_unheard() {
        let mut told = Told::default();
        told.look_at(&repeated(1));
        told.look_at(&repeated(1));
        assert!(!told.is_unheard(TransactionId(1), true));
        assert!(!told.is_unheard(TransactionId(1), false));
        assert!(told.is_unheard(TransactionId(1), true), "the last one, too");
    }

    #[test]
    fn a_repetition_alone_that_came_too_late_takes_nothing_back() {
        let mut told = Told::default();
        told.look_at(&repeated(1));
        assert!(!told.is_unheard(TransactionId(1), true));
    }

    #[test]
    fn there_are_only_so_many() {
        let mut told = Told::default();
        for id in 0..KNOWN_MAX as u64 + 10 {
            told.look_at(&repeated(id));
        }
        assert_eq!((told.known.len(), told.order.len()), (KNOWN_MAX, KNOWN_MAX));
    }
}
