//! The active numbers.

use std::collections::BTreeMap;

use mayfly_card::{LastFour, MerchantId, MinorUnits, MonthIndex};
use mayfly_keys::NumberIndex;

use super::REVIVAL_MS;
use super::sharded::ShardedMap;
use crate::{
    AccountId, Controls, Effect, MerchantRule, NumberId, NumberIssued, NumberRef, ProgrammeId, Retirement,
    Revival, TimeMs, Transacted, TransactionId,
};

/// How many purchases may fail a control, or lack funds, before a number is blocked.
pub const TRIES: u8 = 3;
/// How many failed proofs (a wrong date, CVC2, merchant, currency) block a number.
pub const MISSES: u8 = 3;
/// How many zero-amount checks a number has.
pub const CHECKS: u8 = 3;

/// The controls of a number of which nothing was said.
static NO_CONTROLS: Controls = Controls {
    amount_max: None,
    total_max: None,
    currency: None,
    merchant: MerchantRule::Any,
    channel: None,
    lists: None,
};

/// An active number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// How it is found.
    pub index: NumberIndex,
    /// Its id.
    pub id: NumberId,
    /// Whose purchases it makes.
    pub account: AccountId,
    /// By whose terms.
    pub programme: ProgrammeId,
    /// What people see of it.
    pub last_four: LastFour,
    /// The printed expiration date.
    pub expiry: MonthIndex,
    /// When its lifetime is over.
    pub expires_ms: TimeMs,
    /// What it may do, if anything was said about that: most numbers need no memory for it.
    pub controls: Option<Box<Controls>>,
    /// What purchases change in it.
    pub usage: Usage,
}

impl Number {
    /// As it is issued.
    pub fn issued(event: &NumberIssued) -> Self {
        Self {
            index: event.number.index,
            id: event.number.id,
            account: event.account,
            programme: event.programme,
            last_four: event.last_four,
            expiry: event.expiry,
            expires_ms: event.expires_ms,
            controls: Some(&event.controls)
                .filter(|controls| **controls != NO_CONTROLS)
                .cloned()
                .map(Box::new),
            usage: Usage::issued(event.uses),
        }
    }

    /// Its id and its index.
    pub fn reference(&self) -> NumberRef {
        NumberRef { id: self.id, index: self.index }
    }

    /// What it may do.
    pub fn controls(&self) -> &Controls {
        self.controls.as_deref().unwrap_or(&NO_CONTROLS)
    }

    /// The one merchant that may use it, if there is only one.
    pub fn only_merchant(&self) -> Option<MerchantId> {
        match self.controls().merchant {
            MerchantRule::Any => None,
            MerchantRule::Fixed(merchant) => Some(merchant),
            MerchantRule::FirstUse => self.usage.bound_to,
        }
    }

    /// Why it can't be used at `now`, if it can't.
    pub fn over(&self, now: TimeMs) -> Option<Retirement> {
        self.usage.over().or((now >= self.expires_ms).then_some(Retirement::Expired))
    }

    /// When the sweep should look at it next.
    fn due_ms(&self) -> TimeMs {
        if self.usage.uses_left == 0 { self.usage.revivable_until_ms } else { self.expires_ms }
    }
}

/// The part of a number that purchases change: the same for the state in memory and for the tables that are
/// folded from the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many uses are left. None are left only while a reversal may still give one back.
    pub uses_left: u32,
    /// How many purchases may still fail a control.
    pub tries_left: u8,
    /// How many proofs may still fail.
    pub misses_left: u8,
    /// How many zero-amount checks are left.
    pub checks_left: u8,
    /// What was bought with it.
    pub spent: MinorUnits,
    /// The merchant that it was bound to by its first use.
    pub bound_to: Option<MerchantId>,
    /// The last transaction that was made with it.
    pub last_transaction: Option<TransactionId>,
    /// Until when a small purchase that is reversed gives its use back; 0 if none can.
    pub revivable_until_ms: TimeMs,
    /// Whether a reversal has given a use back: that happens once.
    pub revived: bool,
}

impl Usage {
    /// Of a number that was just issued.
    pub fn issued(uses: u32) -> Self {
        Self {
            uses_left: uses,
            tries_left: TRIES,
            misses_left: MISSES,
            checks_left: CHECKS,
            spent: MinorUnits::ZERO,
            bound_to: None,
            last_transaction: None,
            revivable_until_ms: 0,
            revived: false,
        }
    }

    /// Why it can't be used any more, whatever the time.
    pub fn over(&self) -> Option<Retirement> {
        if self.uses_left == 0 {
            Some(Retirement::Used)
        } else if self.tries_left == 0 || self.misses_left == 0 {
            Some(Retirement::Blocked)
        } else {
            None
        }
    }

    /// What a transaction with this effect does to the time in which a use may be given back, and why the number
    /// retires with it, if it does: it is used up or blocked, and no reversal may bring it back.
    pub(crate) fn outcome(
        &self,
        effect: &Effect,
        approved: bool,
        is_small: bool,
        now: TimeMs,
    ) -> (Revival, Option<Retirement>) {
        let revival = if effect.uses > 0 {
            Revival::Happened
        } else if effect.uses < 0 && !approved {
            // A failed control that used it up has the last word.
            Revival::Ends
        } else if effect.uses < 0 && is_small && !self.revived {
            Revival::Begins
        } else {
            Revival::Unchanged
        };
        let mut after = *self;
        after.apply(&UsageChange::of_effect(&Effect { revival, ..*effect }, now));
        let retires =
            after.over().filter(|why| *why == Retirement::Blocked || now >= after.revivable_until_ms);
        (revival, retires)
    }

    /// Changes it by a transaction, or by several in a row.
    pub fn apply(&mut self, change: &UsageChange) {
        self.uses_left = (i64::from(self.uses_left) + change.uses).clamp(0, u32::MAX.into()) as u32;
        let spent = self.spent.signed().saturating_add(change.spent).max(0);
        self.spent = MinorUnits::new(spent.unsigned_abs()).unwrap_or(MinorUnits::MAX);
        self.tries_left = self.tries_left.saturating_sub(change.tries);
        self.misses_left = self.misses_left.saturating_sub(change.misses);
        self.checks_left = self.checks_left.saturating_sub(change.checks);
        self.bound_to = change.bound_to.or(self.bound_to);
        self.last_transaction = change.last_transaction.or(self.last_transaction);
        self.revivable_until_ms = change.revivable_until_ms.unwrap_or(self.revivable_until_ms);
        self.revived |= change.revived;
    }
}

/// By how much transactions change the usage of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UsageChange {
    /// Uses: fewer, or one more that was given back.
    pub uses: i64,
    /// Bought, in minor units.
    pub spent: i64,
    /// Failed tries.
    pub tries: u8,
    /// Failed proofs.
    pub misses: u8,
    /// Zero-amount checks.
    pub checks: u8,
    /// To which merchant it is bound from now on, if that changed.
    pub bound_to: Option<MerchantId>,
    /// The last transaction.
    pub last_transaction: Option<TransactionId>,
    /// Until when a use may be given back, if that changed.
    pub revivable_until_ms: Option<TimeMs>,
    /// Whether a use was given back.
    pub revived: bool,
}

impl UsageChange {
    /// By one transaction.
    pub fn of(event: &Transacted, at_ms: TimeMs) -> Self {
        Self {
            bound_to: event.effect.binds_merchant.then_some(event.facts.merchant),
            last_transaction: Some(event.id),
            ..Self::of_effect(&event.effect, at_ms)
        }
    }

    fn of_effect(effect: &Effect, at_ms: TimeMs) -> Self {
        Self {
            uses: effect.uses.into(),
            spent: effect.spent,
            tries: effect.tries,
            misses: effect.misses,
            checks: effect.checks,
            bound_to: None,
            last_transaction: None,
            revivable_until_ms: match effect.revival {
                Revival::Unchanged => None,
                Revival::Begins => Some(at_ms + REVIVAL_MS),
                Revival::Happened | Revival::Ends => Some(0),
            },
            revived: effect.revival == Revival::Happened,
        }
    }

    /// Adds what a later one changed.
    pub fn then(&mut self, later: &Self) {
        self.uses += later.uses;
        self.spent = self.spent.saturating_add(later.spent);
        self.tries = self.tries.saturating_add(later.tries);
        self.misses = self.misses.saturating_add(later.misses);
        self.checks = self.checks.saturating_add(later.checks);
        self.bound_to = later.bound_to.or(self.bound_to);
        self.last_transaction = later.last_transaction.or(self.last_transaction);
        self.revivable_until_ms = later.revivable_until_ms.or(self.revivable_until_ms);
        self.revived |= later.revived;
    }
}

/// How fine the sweep's calendar is: numbers are looked at within so many milliseconds after they are due.
const DUE_STEP_MS: TimeMs = 16_384;

type Slot = u32;

/// All active numbers: found by index, and by the time at which they are over.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    by_index: ShardedMap<Slot>,
    slots: Vec<Option<Number>>,
    free: Vec<Slot>,
    /// By steps of [`DUE_STEP_MS`]. An entry may be outdated: whoever reads it looks at the number again.
    due: BTreeMap<u64, Vec<NumberIndex>>,
}

impl Numbers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of an index.
    pub fn find(&self, index: NumberIndex) -> Option<&Number> {
        self.slots[*self.by_index.find(index.0)? as usize].as_ref()
    }

    /// The number of that index, if it is still the one of that id.
    pub fn active(&self, reference: NumberRef) -> Option<&Number> {
        self.find(reference.index).filter(|number| number.id == reference.id)
    }

    /// Each of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Number> {
        self.slots.iter().flatten()
    }

    /// How many entries of the calendar are due at `now`, at most `limit`.
    pub fn due_count(&self, now: TimeMs, limit: usize) -> usize {
        let mut count = 0;
        for (_, indices) in self.due.range(..now / DUE_STEP_MS) {
            count += indices.len();
            if count >= limit {
                return limit;
            }
        }
        count
    }

    /// The numbers of the first `limit` entries that are due at `now`. A number that was used up or cancelled
    /// since has an entry and is not there any more.
    pub fn due(&self, now: TimeMs, limit: usize) -> impl Iterator<Item = &Number> {
        self.due
            .range(..now / DUE_STEP_MS)
            .flat_map(|(_, indices)| indices.iter().rev())
            .take(limit)
            .filter_map(|index| self.find(*index))
    }

    pub(super) fn insert(&mut self, number: Number) {
        let (index, due_ms) = (number.index, number.due_ms());
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(number);
                slot
            }
            None => {
                self.slots.push(Some(number));
                // Four thousand million numbers would fill the memory long before the slots end.
                (self.slots.len() - 1) as Slot
            }
        };
        self.by_index.insert(index.0, slot);
        self.schedule(index, due_ms);
    }

    pub(super) fn active_mut(&mut self, reference: NumberRef) -> Option<&mut Number> {
        let slot = *self.by_index.find(reference.index.0)?;
        self.slots[slot as usize].as_mut().filter(|number| number.id == reference.id)
    }

    pub(super) fn remove(&mut self, index: NumberIndex) -> Option<Number> {
        let slot = self.by_index.remove(index.0)?;
        self.free.push(slot);
        self.slots[slot as usize].take()
    }

    /// Has the sweep look at a number again when it is due.
    pub(super) fn reschedule(&mut self, index: NumberIndex) {
        if let Some(due_ms) = self.find(index).map(Number::due_ms) {
            self.schedule(index, due_ms);
        }
    }

    /// Forgets what the sweep has looked at: the first `limit` entries that are due.
    pub(super) fn swept(&mut self, now: TimeMs, mut limit: usize) {
        while limit > 0 {
            let Some(mut entry) = self.due.first_entry().filter(|entry| *entry.key() < now / DUE_STEP_MS)
            else {
                return;
            };
            let indices = entry.get_mut();
            if indices.len() <= limit {
                limit -= indices.len();
                entry.remove();
            } else {
                // From the end, as they were looked at: nothing has to move up.
                indices.truncate(indices.len() - limit);
                return;
            }
        }
    }

    fn schedule(&mut self, index: NumberIndex, due_ms: TimeMs) {
        self.due.entry(due_ms / DUE_STEP_MS).or_default().push(index);
    }
}
