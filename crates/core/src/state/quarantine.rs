//! Numbers that were active once and must not be drawn again yet: refunds and disputes may still come.

use std::collections::BTreeMap;

use mayfly_card::MonthIndex;
use mayfly_keys::NumberIndex;

use super::sharded::ShardedMap;
use crate::Retirement;

/// The indices in quarantine, by the month in which they come free. A whole month comes free at once.
#[derive(Clone, Debug, Default)]
pub struct Quarantine {
    months: BTreeMap<MonthIndex, ShardedMap<Retirement>>,
}

impl Quarantine {
    /// Puts a number in until the end of the month before `free`.
    pub fn insert(&mut self, index: NumberIndex, why: Retirement, free: MonthIndex) {
        self.months.entry(free).or_default().insert(index.0, why);
    }

    /// Why a number is in quarantine in `month`, if it is: its latest stay.
    pub fn find(&self, index: NumberIndex, month: MonthIndex) -> Option<Retirement> {
        self.months
            .iter()
            .rev()
            .take_while(|(free, _)| **free > month)
            .find_map(|(_, set)| set.find(index.0).copied())
    }

    /// Forgets the months that are over. Changes no answer, only memory.
    pub fn forget(&mut self, month: MonthIndex) {
        self.months.retain(|free, _| *free > month);
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many numbers are in.
    pub fn len(&self) -> usize {
        self.months.values().map(ShardedMap::len).sum()
    }
}
