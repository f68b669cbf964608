//! What the connections' tasks know and compute by themselves: the programmes as they were a moment ago, and
//! the keyed hashes and checks that a command carries.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use mayfly_card::{Expiry, Pan, Prefix};
use mayfly_core::state::{Programme, Register};
use mayfly_core::{Cvc2Check, Hash64, IssuerId, PartitionId, Presented, ProgrammeId};
use mayfly_keys::{BaseKeys, BinKeyError, CardKeys, Cvc2, Cvc2Key, KeyService, KeyringError, NumberIndex};

/// Programmes and keys: read by many, changed when an operator opens a programme. Nothing is ever taken out.
pub struct Catalogue {
    service: Arc<KeyService>,
    keys: BaseKeys,
    cards: Option<Arc<CardKeys>>,
    /// By BIN, as the service gave them.
    cvc2: Mutex<BTreeMap<[u8; 6], Arc<Cvc2Key>>>,
    partitions: NonZeroU16,
    entries: RwLock<Vec<Arc<Listing>>>,
}

/// A programme, with the key of its CVC2.
pub struct Listing {
    /// The programme.
    pub programme: Programme,
    cvc2: Option<Arc<Cvc2Key>>,
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalogue")
    }
}

impl Catalogue {
    /// Without programmes.
    pub fn new(service: impl Into<Arc<KeyService>>) -> Self {
        let service = service.into();
        let keys = service.base_keys();
        Self {
            service,
            keys,
            cards: None,
            cvc2: Mutex::default(),
            partitions: NonZeroU16::MIN,
            entries: RwLock::default(),
        }
    }

    /// With the keys of cards, for the numbers of the check site.
    #[must_use]
    pub fn with_cards(mut self, cards: Arc<CardKeys>) -> Self {
        self.cards = Some(cards);
        self
    }

    /// The keys of cards, if there are any.
    pub fn cards(&self) -> Option<&Arc<CardKeys>> {
        self.cards.as_ref()
    }

    /// Among so many partitions, if not one.
    #[must_use]
    pub fn among(mut self, partitions: NonZeroU16) -> Self {
        self.partitions = partitions;
        self
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> NonZeroU16 {
        self.partitions
    }

    /// The partition of a number: a keyed hash of all its digits, so that nobody can aim at one.
    pub fn partition_of(&self, pan: &Pan) -> PartitionId {
        if self.partitions == NonZeroU16::MIN {
            return PartitionId::FIRST;
        }
        // Below a count of 16 bits.
        PartitionId(self.keys.partitions().partition(pan.digits(), self.partitions.into()) as u16)
    }

    /// Asks the key service for the keys of a prefix's BIN, unless they are there. Whoever opens a programme does so before:
    /// a root key in a module may be away, and then nothing may be opened. It may wait for the module.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Bin`] if the module failed; [`KeyringError`] if a version of the cards' keys can't have it.
    pub fn prepare(&self, prefix: &Prefix) -> Result<(), KeyringError> {
        self.cvc2_key(prefix)?;
        self.cards.as_ref().map_or(Ok(()), |cards| cards.add_bin(&prefix.bin()))
    }

    fn cvc2_key(&self, prefix: &Prefix) -> Result<Arc<Cvc2Key>, BinKeyError> {
        let bin = prefix.bin();
        let there = || self.cvc2.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = there().get(&bin) {
            return Ok(key.clone());
        }
        // Asked while nobody waits for the lock: the writer takes it, too.
        let key = Arc::new(self.service.cvc2_key(&bin)?);
        there().insert(bin, key.clone());
        Ok(key)
    }

    pub(crate) fn update(&self, register: &Register) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for programme in register.programmes().iter().skip(entries.len()) {
            // It was prepared, or the root key is in memory, which never fails.
            let cvc2 = self.cvc2_key(&programme.terms.prefix).map_err(|error| {
                let prefix = programme.terms.prefix.as_str();
                tracing::error!(%error, prefix, "a programme was opened before its keys were there: each CVC2 is wrong");
            });
            entries.push(Arc::new(Listing { programme: programme.clone(), cvc2: cvc2.ok() }));
        }
    }

    /// A programme.
    pub fn programme(&self, id: ProgrammeId) -> Option<Arc<Listing>> {
        let at = usize::try_from(id.0.checked_sub(1)?).ok()?;
        self.read().get(at).cloned()
    }

    /// The programme whose prefix a number has. Prefixes never overlap, so there is at most one.
    pub fn programme_of(&self, pan: &Pan) -> Option<ProgrammeId> {
        let at = self.read().iter().position(|entry| entry.programme.terms.prefix.leads(pan.digits()))?;
        Some(ProgrammeId(at as u64 + 1))
    }

    /// The programmes of an issuer.
    pub fn programmes_of(&self, issuer: IssuerId) -> Vec<ProgrammeId> {
        let entries = self.read();
        let ids = (1..).map(ProgrammeId).zip(entries.iter());
        ids.filter(|(_, entry)| entry.programme.issuer == issuer).map(|(id, _)| id).collect()
    }

    /// The programme whose universal number has this index.
    pub fn universal(&self, index: NumberIndex) -> Option<ProgrammeId> {
        let is_it =
            |entry: &Arc<Listing>| entry.programme.terms.universal.is_some_and(|known| known.index == index);
        let at = self.read().iter().position(is_it)?;
        Some(ProgrammeId(at as u64 + 1))
    }

    /// A number as a message presents it: what can be decided by it, and nothing that could be used elsewhere.
    pub fn presented(&self, pan: &Pan) -> Presented {
        Presented::Number {
            index: self.index(pan),
            programme: self.programme_of(pan),
            last_four: pan.last_four(),
        }
    }

    /// How a number is found.
    pub fn index(&self, pan: &Pan) -> NumberIndex {
        self.keys.numbers().index(pan.digits())
    }

    /// A keyed hash of parts, each counted with its length, under a label of its own.
    pub fn hash(&self, label: &str, parts: &[&[u8]]) -> Hash64 {
        Hash64(self.keys.references().fingerprint(label, parts).0)
    }

    /// Whether the CVC2 that a message carried belongs to the number and date that it carried.
    pub fn check_cvc2(&self, pan: &Pan, expiry: Option<Expiry>, sent: Option<&[u8]>) -> Cvc2Check {
        let Some(sent) = sent else { return Cvc2Check::Absent };
        let (Some(expiry), Ok(sent)) = (expiry, Cvc2::parse(sent)) else { return Cvc2Check::Wrong };
        let entry =
            self.read().iter().find(|entry| entry.programme.terms.prefix.leads(pan.digits())).cloned();
        match entry.as_ref().and_then(|entry| entry.cvc2.as_ref()) {
            Some(key) if key.verify(pan.digits(), expiry.mmyy_bytes(), &sent) => Cvc2Check::Right,
            _ => Cvc2Check::Wrong,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Listing>>> {
        // Nobody panics while he holds this lock.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listing {
    /// The CVC2 that goes with a number and its date.
    pub fn cvc2(&self, pan: &Pan, expiry: Expiry) -> Option<Cvc2> {
        self.cvc2.as_ref().map(|key| key.compute(pan.digits(), expiry.mmyy_bytes()))
    }
}
