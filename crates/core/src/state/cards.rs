//! The cards of the check site: what of them changes from purchase to purchase.

use mayfly_card::{Currency, MerchantId, MinorUnits};
use mayfly_dynamic::{AppVersion, Etsn, Mode, OpenEtsn, ReferenceData, Tsn};
use mayfly_keys::NumberIndex;

use super::CHECKS;
use super::sharded::ShardedMap;
use crate::scheme::dynamic::MISSES_KEPT_MS;
use crate::{EtsnOpened, TimeMs};

/// A card of the check site. One of which nothing was asked yet is the default, and needs no memory.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Card {
    /// The TSN of its last good request.
    pub last_tsn: Tsn,
    /// The last ETSN that it got.
    pub last_etsn: Etsn,
    /// The ETSNs that no purchase has used, the oldest first; some may be over.
    pub open: Vec<Open>,
    /// When proofs failed, within the last 24 hours, the oldest first.
    pub misses_ms: Vec<TimeMs>,
    /// When it was locked, if it is.
    pub locked_ms: Option<TimeMs>,
}

/// An open ETSN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The ETSN.
    pub etsn: Etsn,
    /// Where its MAC has to be.
    pub mode: Mode,
    /// The version of the cardholder's software that asked for it.
    pub version: AppVersion,
    /// How many zero-amount checks are left.
    pub checks_left: u8,
    /// How its MAC becomes a date.
    pub reference: ReferenceData,
    /// When its lifetime is over.
    pub expires_ms: TimeMs,
    /// What it is bound to: most memory is that of cards that have none.
    bound: Option<Box<Bound>>,
}

/// What a purchase is bound to by the wallet that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Bound {
    cap: Option<(MinorUnits, Currency)>,
    merchant: Option<MerchantId>,
}

impl Open {
    /// As it is opened.
    pub fn opened(event: &EtsnOpened) -> Self {
        let EtsnOpened { etsn, mode, version, reference, expires_ms, cap, merchant, .. } = *event;
        let bound = (cap.is_some() || merchant.is_some()).then(|| Box::new(Bound { cap, merchant }));
        Self { etsn, mode, version, checks_left: CHECKS, reference, expires_ms, bound }
    }

    /// The most that it pays, if that is limited.
    pub fn cap(&self) -> Option<(MinorUnits, Currency)> {
        self.bound.as_ref()?.cap
    }

    /// The one merchant that it pays, if it is bound to one.
    pub fn merchant(&self) -> Option<MerchantId> {
        self.bound.as_ref()?.merchant
    }

    /// As its date is computed.
    pub fn of_date(&self) -> OpenEtsn {
        OpenEtsn { etsn: self.etsn, version: self.version, reference: self.reference }
    }
}

impl Card {
    /// The open ETSN with this number, whether or not it is over.
    pub fn find(&self, etsn: Etsn) -> Option<&Open> {
        self.open.iter().find(|open| open.etsn == etsn)
    }

    /// Those that are open at `now`.
    pub fn open_at(&self, now: TimeMs) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(move |open| now < open.expires_ms)
    }

    /// Whether any is open at `now`.
    pub fn has_open(&self, now: TimeMs) -> bool {
        self.open_at(now).next().is_some()
    }

    /// How many proofs failed in the 24 hours before `now`.
    pub fn misses(&self, now: TimeMs) -> usize {
        self.misses_ms.iter().filter(|at_ms| now < **at_ms + MISSES_KEPT_MS).count()
    }

    fn opened(&mut self, event: &EtsnOpened, at_ms: TimeMs) {
        self.last_tsn = self.last_tsn.max(event.tsn);
        self.last_etsn = self.last_etsn.max(event.etsn);
        // What is over makes room.
        self.open.retain(|open| at_ms < open.expires_ms);
        self.open.push(Open::opened(event));
    }

    fn missed(&mut self, locks: bool, at_ms: TimeMs) {
        self.misses_ms.retain(|earlier_ms| at_ms < *earlier_ms + MISSES_KEPT_MS);
        self.misses_ms.push(at_ms);
        if locks {
            self.locked_ms = Some(at_ms);
            self.open.clear();
        }
    }
}

/// All cards of which something was asked.
#[derive(Clone, Debug, Default)]
pub struct Cards(ShardedMap<Card>);

impl Cards {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By the index of its number.
    pub fn find(&self, index: NumberIndex) -> Option<&Card> {
        if self.is_empty() { None } else { self.0.find(index.0) }
    }

    /// Each of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (NumberIndex, &Card)> {
        self.0.iter().map(|(index, card)| (NumberIndex(index), card))
    }

    /// Puts one back that the views had.
    pub fn load(&mut self, index: NumberIndex, card: Card) {
        self.0.insert(index.0, card);
    }

    pub(super) fn opened(&mut self, event: &EtsnOpened, at_ms: TimeMs) {
        self.of(event.card.number.index).opened(event, at_ms);
    }

    pub(super) fn used(&mut self, index: NumberIndex, etsn: Etsn) {
        if let Some(card) = self.0.find_mut(index.0) {
            card.open.retain(|open| open.etsn != etsn);
        }
    }

    pub(super) fn checked(&mut self, index: NumberIndex, etsn: Etsn) {
        let card = self.0.find_mut(index.0);
        if let Some(open) = card.and_then(|card| card.open.iter_mut().find(|open| open.etsn == etsn)) {
            open.checks_left = open.checks_left.saturating_sub(1);
        }
    }

    pub(super) fn missed(&mut self, index: NumberIndex, locks: bool, at_ms: TimeMs) {
        self.of(index).missed(locks, at_ms);
    }

    pub(super) fn unlocked(&mut self, index: NumberIndex) {
        if let Some(card) = self.0.find_mut(index.0) {
            card.locked_ms = None;
            card.misses_ms.clear();
        }
    }

    pub(super) fn remove(&mut self, index: NumberIndex) {
        if !self.is_empty() {
            self.0.remove(index.0);
        }
    }

    fn of(&mut self, index: NumberIndex) -> &mut Card {
        self.0.find_or_default(index.0)
    }
}
