//! What is known of a number until a month comes: why it must not be drawn again, or whose it is.

use std::collections::BTreeMap;

use mayfly_card::MonthIndex;
use mayfly_keys::NumberIndex;

use super::sharded::ShardedMap;
use crate::{AccountId, Retirement};

/// Numbers that were active once and must not be drawn again yet: refunds and disputes may still come.
pub type Quarantine = ByMonth<Retirement>;

/// Numbers that others drew, by the partition of their hash, and whose they are: their purchases are decided where that
/// account is. Kept until the longest life that such a number can have, and its quarantine, are over.
pub type Aliases = ByMonth<AccountId>;

/// Something about number indices, by the month in which it is over. A whole month is forgotten at once.
#[derive(Clone, Debug)]
pub struct ByMonth<V> {
    months: BTreeMap<MonthIndex, ShardedMap<V>>,
}

impl<V> Default for ByMonth<V> {
    fn default() -> Self {
        Self { months: BTreeMap::new() }
    }
}

impl<V: Copy> ByMonth<V> {
    /// Keeps it until the end of the month before `free`.
    pub fn insert(&mut self, index: NumberIndex, value: V, free: MonthIndex) {
        self.months.entry(free).or_default().insert(index.0, value);
    }

    /// What is kept of a number in `month`, if anything is: the latest.
    pub fn find(&self, index: NumberIndex, month: MonthIndex) -> Option<V> {
        self.months
            .iter()
            .rev()
            .take_while(|(free, _)| **free > month)
            .find_map(|(_, set)| set.find(index.0).copied())
    }

    /// The month in which the latest that is kept of a number is over.
    pub fn until(&self, index: NumberIndex) -> Option<MonthIndex> {
        self.months.iter().rev().find_map(|(free, set)| set.find(index.0).map(|_| *free))
    }

    /// Forgets the months that are over. Changes no answer, only memory.
    pub fn forget(&mut self, month: MonthIndex) {
        self.months.retain(|free, _| *free > month);
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.months.values().all(|month| month.len() == 0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.months.values().map(ShardedMap::len).sum()
    }
}
