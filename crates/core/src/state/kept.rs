//! Answers that are kept, so that a command which is sent again is done once.

use std::collections::{HashMap, VecDeque};

use crate::{AnswerKept, Hash64, Outcome, TimeMs};

/// For how long answers are kept, in milliseconds: 24 hours.
pub const ANSWERS_KEPT_MS: TimeMs = 24 * 3_600_000;
/// How many are kept in memory, some 150 bytes each: when more come, the oldest are forgotten early, and whoever may have
/// had one of them is looked up in the views.
pub const ANSWERS_MAX: usize = 1 << 22;
/// None is forgotten before it is that old, in milliseconds: by then it is folded.
const EARLIEST_MS: TimeMs = 10 * 60_000;

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When it was given.
    pub at_ms: TimeMs,
    /// What was asked, hashed.
    pub content: Hash64,
    /// What was answered.
    pub outcome: Outcome,
    /// What whoever asked wants back with it.
    pub note: Box<[u8]>,
}

impl Kept {
    /// Whether it is kept at `now`.
    pub fn is_kept(&self, now: TimeMs) -> bool {
        self.at_ms.saturating_add(ANSWERS_KEPT_MS) > now
    }
}

/// The answers of the last day, by the keys that came with what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswers {
    by_key: HashMap<u64, Kept>,
    /// In the order in which they were given. One whose key was used again since is outdated.
    order: VecDeque<(TimeMs, u64)>,
    /// When the latest of those was given that were forgotten before their day was over.
    early_ms: Option<TimeMs>,
    room: usize,
}

impl Default for KeptAnswers {
    fn default() -> Self {
        Self::with_room(ANSWERS_MAX)
    }
}

impl KeptAnswers {
    /// None, with room for so many.
    pub fn with_room(room: usize) -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new(), early_ms: None, room }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The answer under a key, if it is still kept at `now`.
    pub fn find(&self, key: Hash64, now: TimeMs) -> Option<&Kept> {
        self.by_key.get(&key.0).filter(|kept| kept.is_kept(now))
    }

    /// Whether an answer that is kept at `now` may not be in memory any more.
    pub fn has_forgotten_early(&self, now: TimeMs) -> bool {
        self.early_ms.is_some_and(|at_ms| at_ms.saturating_add(ANSWERS_KEPT_MS) > now)
    }

    /// Each of them with its key, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Hash64, &Kept)> {
        self.by_key.iter().map(|(key, kept)| (Hash64(*key), kept))
    }

    /// Keeps an answer that was given at `at_ms`, and forgets those that are too old by then.
    pub fn keep(&mut self, event: &AnswerKept, at_ms: TimeMs) {
        let note = event.note.clone().into_boxed_slice();
        let kept = Kept { at_ms, content: event.content, outcome: event.outcome, note };
        self.by_key.insert(event.key.0, kept);
        self.order.push_back((at_ms, event.key.0));
        self.forget(at_ms);
    }

    /// Forgets what is not kept any more at `now`, and what there is no room for.
    pub fn forget(&mut self, now: TimeMs) {
        self.forget_beyond(now, self.room);
    }

    /// The same, with room for so many.
    pub fn forget_beyond(&mut self, now: TimeMs, room: usize) {
        while let Some((at_ms, key)) = self.order.front().copied() {
            let old = at_ms.saturating_add(ANSWERS_KEPT_MS) <= now;
            let crowded = self.order.len() > room && at_ms.saturating_add(EARLIEST_MS) <= now;
            if !old && !crowded {
                return;
            }
            if !old {
                self.early_ms = self.early_ms.max(Some(at_ms));
            }
            self.order.pop_front();
            if self.by_key.get(&key).is_some_and(|kept| kept.at_ms == at_ms) {
                self.by_key.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(key: u64) -> AnswerKept {
        AnswerKept { key: Hash64(key), content: Hash64(7), outcome: Outcome::Done, note: vec![1, 2] }
    }

    #[test]
    fn answers_are_kept_for_a_day() {
        let mut answers = KeptAnswers::default();
        answers.keep(&kept(1), 1000);
        answers.keep(&kept(2), 2000);
        assert_eq!(answers.find(Hash64(1), 999 + ANSWERS_KEPT_MS).map(|kept| &*kept.note), Some(&[1, 2][..]));
        // Not found any more, although nobody has forgotten it yet.
        assert_eq!(answers.find(Hash64(1), 1000 + ANSWERS_KEPT_MS), None);
        answers.forget(1000 + ANSWERS_KEPT_MS);
        assert_eq!((answers.len(), answers.order.len()), (1, 1));
        answers.keep(&kept(3), 2000 + ANSWERS_KEPT_MS);
        assert_eq!(answers.len(), 1);
    }

    #[test]
    fn what_is_forgotten_early_is_known_to_be() {
        let mut answers = KeptAnswers::default();
        for key in 1..=4 {
            answers.keep(&kept(key), key * 1000);
        }
        let (first, later) = (4000, 2000 + EARLIEST_MS);
        // None is forgotten that may not be folded yet.
        answers.forget_beyond(first, 1);
        assert_eq!((answers.len(), answers.has_forgotten_early(first)), (4, false));
        answers.forget_beyond(later, 1);
        assert_eq!((answers.len(), answers.has_forgotten_early(later)), (2, true));
        assert!(answers.has_forgotten_early(1999 + ANSWERS_KEPT_MS));
        assert!(!answers.has_forgotten_early(2000 + ANSWERS_KEPT_MS));
    }

    #[test]
    fn a_key_that_is_used_again_after_a_day_begins_anew() {
        let mut answers = KeptAnswers::default();
        let later = 1000 + ANSWERS_KEPT_MS;
        answers
            .by_key
            .insert(1, Kept { at_ms: 1000, content: Hash64(7), outcome: Outcome::Done, note: [].into() });
        answers.order.push_back((1000, 1));
        answers.keep(&kept(1), later);
        assert_eq!(answers.find(Hash64(1), later).map(|kept| kept.at_ms), Some(later));
        assert_eq!(answers.order.len(), 1);
    }
}
