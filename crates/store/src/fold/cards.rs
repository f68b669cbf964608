//! What happens to the cards of the check site in one batch, and how it comes into their tables.
//!
//! Opening an ETSN and using it up are as frequent as purchases. An ETSN that is used in the batch in which it was opened never
//! comes into the table of the open ones; of those that were opened before, all are taken out together.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use mayfly_core::{CardRef, EtsnOpened, NumberId, TimeMs};
use mayfly_dynamic::{Etsn, RequestRefusal, Tsn};

use super::card_rows::{self as rows, EtsnTouch, OpenEtsn, Opening};
use super::tables::Tables;
use crate::StoreError;

type Result<T> = std::result::Result<T, StoreError>;

/// What happens to a card.
#[derive(Clone, Copy, Debug)]
enum CardChange {
    /// An ETSN is opened: where it stands in the list of those.
    Opened(usize),
    Used(Etsn, TimeMs),
    Checked(Etsn),
    Locked(TimeMs),
    Unlocked {
        /// From which one on failed proofs count.
        misses_from: u64,
    },
    Refused(RequestRefusal, TimeMs),
}

/// What happens to cards, as it gathers.
#[derive(Default)]
pub(super) struct CardChanges<'e> {
    changes: Vec<(&'e CardRef, CardChange)>,
    opened: Vec<Opening<'e>>,
}

/// What of the ETSNs that were opened before changes.
#[derive(Default)]
struct Earlier {
    used: Vec<((NumberId, Etsn), TimeMs)>,
    checked: BTreeMap<(NumberId, Etsn), u8>,
    locked: Vec<(NumberId, TimeMs)>,
}

impl<'e> CardChanges<'e> {
    pub(super) fn opened(&mut self, id: u64, event: &'e EtsnOpened, at_ms: TimeMs) {
        self.changes.push((&event.card, CardChange::Opened(self.opened.len())));
        self.opened.push(Opening { id, event, at_ms, after: EtsnTouch::default() });
    }

    pub(super) fn used(&mut self, card: &'e CardRef, etsn: Etsn, at_ms: TimeMs) {
        self.changes.push((card, CardChange::Used(etsn, at_ms)));
    }

    pub(super) fn checked(&mut self, card: &'e CardRef, etsn: Etsn) {
        self.changes.push((card, CardChange::Checked(etsn)));
    }

    pub(super) fn locked(&mut self, card: &'e CardRef, at_ms: TimeMs) {
        self.changes.push((card, CardChange::Locked(at_ms)));
    }

    pub(super) fn unlocked(&mut self, card: &'e CardRef, misses_from: u64) {
        self.changes.push((card, CardChange::Unlocked { misses_from }));
    }

    pub(super) fn refused(&mut self, card: &'e CardRef, why: RequestRefusal, at_ms: TimeMs) {
        self.changes.push((card, CardChange::Refused(why, at_ms)));
    }

    /// Writes what has gathered, in the order of the cards. Returns what was opened.
    pub(super) fn write(mut self, tables: &mut impl Tables) -> Result<Vec<Opening<'e>>> {
        // Stable: what happened to one card stays in its order.
        self.changes.sort_by_key(|(card, _)| card.number.id);
        let mut earlier = Earlier::default();
        for life in self.changes.chunk_by(|a, b| a.0.number.id == b.0.number.id) {
            write_card(life, &mut self.opened, &mut earlier, tables)?;
        }
        earlier.write(tables)?;
        self.opened.iter().try_for_each(|opening| tables.add(rows::etsn(opening)))?;
        let mut open: Vec<_> = self.opened.iter().filter(|opening| opening.after.is_open()).collect();
        open.sort_unstable_by_key(|opening| (opening.event.card.number.id, opening.event.etsn));
        open.into_iter().try_for_each(|opening| tables.add(rows::open(opening)))?;
        Ok(self.opened)
    }
}

/// Writes what happened to one card, and notes what of that concerns ETSNs that were opened before.
fn write_card(
    life: &[(&CardRef, CardChange)],
    opened: &mut [Opening<'_>],
    earlier: &mut Earlier,
    tables: &mut impl Tables,
) -> Result<()> {
    let Some((card, _)) = life.first() else { return Ok(()) };
    let number = card.number.id;
    // Those that were opened in this batch and are open: as few as a card may have.
    let mut open: Vec<usize> = Vec::new();
    let (mut last, mut count) = ((Tsn::default(), Etsn::default()), 0);
    let (mut lock, mut misses_from, mut was_locked) = (None, 0, false);
    let (mut refused, mut refusal) = (0, None);
    for (_, change) in life {
        match *change {
            CardChange::Opened(at) => {
                let Opening { event, at_ms, .. } = opened[at];
                last = (last.0.max(event.tsn), last.1.max(event.etsn));
                count += 1;
                open.retain(|at| at_ms < opened[*at].event.expires_ms);
                open.push(at);
            }
            CardChange::Used(etsn, at_ms) => {
                match open.iter().position(|at| opened[*at].event.etsn == etsn) {
                    Some(place) => opened[open.remove(place)].after.used_ms = Some(at_ms),
                    // What was open before is void.
                    None if was_locked => {}
                    None => earlier.used.push(((number, etsn), at_ms)),
                }
            }
            CardChange::Checked(etsn) => match open.iter().find(|at| opened[**at].event.etsn == etsn) {
                Some(at) => opened[*at].after.checks += 1,
                None if was_locked => {}
                None => *earlier.checked.entry((number, etsn)).or_default() += 1,
            },
            CardChange::Locked(at_ms) => {
                for at in open.drain(..) {
                    let opening = &mut opened[at];
                    opening.after.void_ms = (at_ms < opening.event.expires_ms).then_some(at_ms);
                }
                if !was_locked {
                    earlier.locked.push((number, at_ms));
                }
                (lock, was_locked) = (Some(Some(at_ms)), true);
            }
            CardChange::Unlocked { misses_from: from } => (lock, misses_from) = (Some(None), from),
            CardChange::Refused(why, at_ms) => {
                refused += 1;
                refusal = Some((why, at_ms));
            }
        }
    }
    if count > 0 {
        tables.change(rows::card_opened(card, last, count))?;
    }
    if let Some(locked_ms) = lock {
        tables.change(rows::card_locked(card, locked_ms, misses_from))?;
    }
    refusal.map_or(Ok(()), |refusal| tables.change(rows::card_refused(card, refused, refusal)))
}

impl Earlier {
    fn write(mut self, tables: &mut impl Tables) -> Result<()> {
        let mut touched: BTreeMap<u64, EtsnTouch> = BTreeMap::new();
        if !self.used.is_empty() {
            self.used.sort_unstable();
            let etsns: Vec<_> = self.used.iter().map(|(etsn, _)| *etsn).collect();
            let used: HashMap<_, _> = self.used.into_iter().collect();
            for OpenEtsn { number, etsn, id, .. } in tables.take_open(&etsns)? {
                let checks = self.checked.remove(&(number, etsn)).unwrap_or(0);
                let used_ms = used.get(&(number, etsn)).copied();
                touched.insert(id, EtsnTouch { checks, used_ms, void_ms: None });
            }
        }
        if !self.checked.is_empty() {
            let checks: Vec<_> =
                self.checked.iter().map(|((number, etsn), count)| (*number, *etsn, *count)).collect();
            for OpenEtsn { number, etsn, id, .. } in tables.check_open(&checks)? {
                touched.entry(id).or_default().checks =
                    self.checked.get(&(number, etsn)).copied().unwrap_or(0);
            }
        }
        if !self.locked.is_empty() {
            let numbers: Vec<_> = self.locked.iter().map(|(number, _)| *number).collect();
            let locked: HashMap<_, _> = self.locked.into_iter().collect();
            for OpenEtsn { number, id, expires_ms, .. } in tables.take_cards(&numbers)? {
                let at_ms = locked.get(&number).copied().filter(|at_ms| *at_ms < expires_ms);
                touched.entry(id).or_default().void_ms = at_ms;
            }
        }
        touched.iter().try_for_each(|(id, touch)| tables.change(rows::etsn_touched(*id, touch)))
    }
}
