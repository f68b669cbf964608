//! Messages that wait for somebody's word.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU16;

use mayfly_keys::NumberIndex;

use crate::{Asked, Hash64, QuestionId, TimeMs};

/// How many messages may wait, some 600 bytes each: three seconds of five thousand a second. Beyond that, what would
/// have to be asked is turned away.
pub const PENDING_MAX: usize = 16_384;

/// How much more than its part of that one of several partitions takes.
const UNEVEN: usize = 4;

/// The messages that wait for somebody's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    by_question: HashMap<QuestionId, Box<Asked>>,
    by_identity: BTreeMap<(Hash64, Hash64), QuestionId>,
    by_deadline: BTreeSet<(TimeMs, QuestionId)>,
    /// How many uses of a number wait, by its index.
    uses: HashMap<u64, u32>,
    last: u64,
    room: usize,
}

impl Pending {
    /// Nothing waits, and this was the last question so far, in one of so many partitions.
    pub fn after(last: QuestionId, partitions: NonZeroU16) -> Self {
        let room = match usize::from(partitions.get()) {
            1 => PENDING_MAX,
            // They don't come evenly.
            partitions => UNEVEN * PENDING_MAX / partitions,
        };
        Self { last: last.0, room, ..Self::default() }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.by_question.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_question.len()
    }

    /// Whether no more may wait.
    pub fn is_full(&self) -> bool {
        self.len() >= self.room
    }

    /// The next question's id.
    pub fn next_id(&self) -> QuestionId {
        QuestionId(self.last + 1)
    }

    /// A message by its question.
    pub fn get(&self, question: QuestionId) -> Option<&Asked> {
        self.by_question.get(&question).map(|asked| &**asked)
    }

    /// The message with this reference and identity, if it waits.
    pub fn find(&self, reference: Hash64, identity: Hash64) -> Option<&Asked> {
        if self.is_empty() {
            return None;
        }
        self.get(*self.by_identity.get(&(reference, identity))?)
    }

    /// How many uses of a number wait.
    pub fn uses_of(&self, index: NumberIndex) -> u32 {
        if self.uses.is_empty() { 0 } else { self.uses.get(&index.0).copied().unwrap_or(0) }
    }

    /// Those whose time is over at `now`, the longest first.
    pub fn overdue(&self, now: TimeMs) -> impl Iterator<Item = &Asked> {
        let due = self.by_deadline.iter().take_while(move |(deadline_ms, _)| *deadline_ms <= now);
        due.filter_map(|(_, question)| self.get(*question))
    }

    /// Each of them, in the order in which they were asked.
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        let mut all: Vec<&Asked> = self.by_question.values().map(|asked| &**asked).collect();
        all.sort_unstable_by_key(|asked| asked.question);
        all.into_iter()
    }

    /// One more waits.
    pub fn add(&mut self, asked: Asked) {
        self.count_up_to(asked.question);
        self.by_identity.insert((asked.request.reference, asked.request.identity), asked.question);
        self.by_deadline.insert((asked.deadline_ms, asked.question));
        if let Some(number) = asked.kept() {
            *self.uses.entry(number.index.0).or_default() += 1;
        }
        self.by_question.insert(asked.question, Box::new(asked));
    }

    /// One waits no longer.
    pub fn remove(&mut self, question: QuestionId) {
        let Some(asked) = self.by_question.remove(&question) else { return };
        self.by_identity.remove(&(asked.request.reference, asked.request.identity));
        self.by_deadline.remove(&(asked.deadline_ms, question));
        if let Some(number) = asked.kept()
            && let Some(uses) = self.uses.get_mut(&number.index.0)
        {
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(&number.index.0);
            }
        }
    }

    /// That question was asked, whether or not it still waits.
    pub fn count_up_to(&mut self, question: QuestionId) {
        self.last = self.last.max(question.0);
    }
}
