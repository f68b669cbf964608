//! The check site's cards, as the connections' tasks know them: what a card's key follows from, and which of its ETSNs
//! are open.
//!
//! A message's MACs are computed where it is read, so that the writer compares nothing but numbers. What is open is the
//! writer's to say: he shows each change here when he has decided it, which is before anybody hears of it. So a wallet
//! that has its answer finds its ETSN here; and that one which was found here is still open when its message is decided,
//! the writer looks at himself.

mod desk;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mayfly_card::{Expiry, MonthIndex, Pan};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::state::{Card, State};
use mayfly_core::{CardRef, Event, Partitions, ProgrammeId, Transacted};
use mayfly_dynamic::{CardKey, CardMacs, Conversion, KeyRefusal, MacField, Mode, Purchase, SpecialBin};
use mayfly_keys::{CardKeyring, CardKeys, NumberIndex};

pub use desk::{CardDesk, CardDeskError, DrawnCard, EnrolOrder, Package, Verified, WalletRequest};

/// How many pieces the book is in: readers of one don't wait for the writer of another.
const SHARDS: usize = 256;

/// All cards of the check site. Read by many, changed by the writer and when a card is enrolled.
pub struct CardBook {
    keys: Arc<CardKeys>,
    shards: Vec<RwLock<HashMap<u64, Entry>>>,
}

/// A card, as it is in the book.
#[derive(Debug)]
struct Entry {
    conversion: Conversion,
    /// None before its number is issued, and when it is not active any more.
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    card: CardRef,
    programme: ProgrammeId,
    standing: Card,
}

/// What a message shows of a purchase's proof.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// DE 14.
    pub expiry: Option<Expiry>,
    /// The MAC field, DE 48.43, and what it covers.
    pub field: Option<(&'a [u8], Purchase)>,
}

/// Where a card's own number and date are: for whoever asks its issuer host.
#[derive(Debug)]
pub struct Own {
    /// The card's own number.
    pub pan: Pan,
    /// Its real expiration date.
    pub expiry: MonthIndex,
}

impl CardBook {
    /// Without cards. Theirs are made from these keys.
    pub fn new(keys: Arc<CardKeys>) -> Self {
        Self { keys, shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    /// What cards' keys are made from.
    pub fn keys(&self) -> &Arc<CardKeys> {
        &self.keys
    }

    /// A card is enrolled: its number is not issued yet. It has a new conversion if it had one before.
    pub fn add(&self, index: NumberIndex, conversion: Conversion) {
        let mut shard = self.write(index);
        match shard.get_mut(&index.0) {
            Some(entry) => entry.conversion = conversion,
            None => drop(shard.insert(index.0, Entry { conversion, active: None })),
        }
    }

    /// Its number was not issued after all.
    pub fn remove(&self, index: NumberIndex) {
        self.write(index).remove(&index.0);
    }

    /// How many cards there are.
    pub fn len(&self) -> usize {
        let count = |shard: &RwLock<HashMap<u64, Entry>>| shard.read().map_or(0, |shard| shard.len());
        self.shards.iter().map(count).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The card's own number and date, also of one that is not active any more: what was bought with it goes on.
    pub fn own(&self, index: NumberIndex) -> Option<Own> {
        self.read(index)
            .get(&index.0)
            .map(|entry| Own { pan: entry.conversion.pan.clone(), expiry: entry.conversion.expiry })
    }

    /// What a card's wallet computes with, for whoever plays wallets. None if the card has no key.
    pub fn macs(&self, bin: &SpecialBin, index: NumberIndex) -> Option<CardMacs> {
        self.read(index).get(&index.0)?.macs(&self.ring(), bin).ok()
    }

    /// Which of its card's open ETSNs a message belongs to, if to any.
    pub fn proof(&self, bin: &SpecialBin, index: NumberIndex, shown: &Shown<'_>) -> Proof {
        let shard = self.read(index);
        let Some(entry) = shard.get(&index.0) else { return Proof::NoKey };
        let Some(active) = &entry.active else { return Proof::NoKey };
        let Ok(macs) = entry.macs(&self.ring(), bin) else { return Proof::NoKey };
        let open = |mode| active.standing.open.iter().filter(move |open| open.mode == mode);
        // A MAC field that is there decides, be it right or wrong.
        let (mode, hit) = match (shown.field, shown.expiry) {
            (Some((field, purchase)), _) => {
                let open = open(Mode::Field).map(|open| (open.etsn, open.version));
                let field = MacField::parse(field).ok();
                (Mode::Field, field.and_then(|field| macs.find_field(open, &field, &purchase)))
            }
            (None, Some(expiry)) => {
                let dates = open(Mode::Expiry).map(|open| open.of_date());
                (Mode::Expiry, macs.expiry_macs().find(dates, expiry))
            }
            (None, None) => (Mode::Expiry, None),
        };
        hit.map_or(Proof::Missed(mode), |etsn| Proof::Of(etsn, mode))
    }

    /// Shows what an event has changed, once it is applied. Called by the writer.
    pub(crate) fn follow(&self, state: &State, event: &Event) {
        match event {
            Event::NumberIssued(issued) if is_card(state, issued.programme) => {
                self.show(state, CardRef { number: issued.number, account: issued.account });
            }
            // What is no card is not in the book.
            Event::NumbersRetired(retired) => {
                retired.iter().for_each(|(number, _)| self.retire(number.index))
            }
            Event::Transacted(Transacted { number: Some(number), retires: Some(_), .. }) => {
                self.retire(number.index);
            }
            Event::EtsnOpened(opened) => self.show(state, opened.card),
            Event::EtsnUsed { card, .. }
            | Event::EtsnChecked { card, .. }
            | Event::CardMissed { card, .. }
            | Event::CardUnlocked { card } => self.show(state, *card),
            _ => {}
        }
    }

    fn retire(&self, index: NumberIndex) {
        if let Some(entry) = self.write(index).get_mut(&index.0) {
            entry.active = None;
        }
    }

    /// Shows how a card stands now.
    fn show(&self, state: &State, card: CardRef) {
        let index = card.number.index;
        let mut shard = self.write(index);
        let Some(entry) = shard.get_mut(&index.0) else { return };
        entry.active = state.numbers.active(card.number).map(|number| Active {
            card,
            programme: number.programme,
            standing: state.cards.find(index).cloned().unwrap_or_default(),
        });
    }

    /// Shows how all cards stand, once what they are is known.
    pub(crate) fn show_all(&self, partitions: &Partitions) {
        for state in partitions.iter() {
            for number in state.numbers.iter() {
                if is_card(state, number.programme) {
                    self.show(state, CardRef { number: number.reference(), account: number.account });
                }
            }
        }
    }

    fn ring(&self) -> RwLockReadGuard<'_, CardKeyring> {
        // Nobody panics while he holds this lock.
        self.keys.ring().read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, index: NumberIndex) -> RwLockReadGuard<'_, HashMap<u64, Entry>> {
        self.shard(index).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, index: NumberIndex) -> RwLockWriteGuard<'_, HashMap<u64, Entry>> {
        self.shard(index).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, index: NumberIndex) -> &RwLock<HashMap<u64, Entry>> {
        &self.shards[index.0 as usize % SHARDS]
    }
}

fn is_card(state: &State, programme: ProgrammeId) -> bool {
    state.programme(programme).is_some_and(|programme| programme.terms.scheme.dynamic().is_some())
}

impl Entry {
    fn key(&self, ring: &CardKeyring, bin: &SpecialBin) -> Result<CardKey, KeyRefusal> {
        self.conversion.key(ring, bin)
    }

    fn macs(&self, ring: &CardKeyring, bin: &SpecialBin) -> Result<CardMacs, KeyRefusal> {
        self.key(ring, bin).map(|key| CardMacs::new(&key, self.conversion.number.clone()))
    }
}

impl fmt::Debug for CardBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardBook")
    }
}
