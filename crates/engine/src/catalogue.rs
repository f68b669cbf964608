//! What the connections' tasks know and compute by themselves: the programmes as they were a moment ago, and
//! the keyed hashes and checks that a command carries.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use mayfly_card::{Expiry, Pan};
use mayfly_core::state::{Programme, Register};
use mayfly_core::{Cvc2Check, Hash64, IssuerId, PartitionId, Presented, ProgrammeId};
use mayfly_keys::{BaseKeys, Cvc2, Cvc2Key, KeyService, NumberIndex};

/// Programmes and keys: read by many, changed when an operator opens a programme. Nothing is ever taken out.
pub struct Catalogue {
    service: KeyService,
    keys: BaseKeys,
    partitions: NonZeroU16,
    entries: RwLock<Vec<Arc<Listing>>>,
}

/// A programme, with the key of its CVC2.
pub struct Listing {
    /// The programme.
    pub programme: Programme,
    cvc2: Option<Cvc2Key>,
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalogue")
    }
}

impl Catalogue {
    /// Without programmes.
    pub fn new(service: KeyService) -> Self {
        let keys = service.base_keys();
        Self { service, keys, partitions: NonZeroU16::MIN, entries: RwLock::default() }
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

    pub(crate) fn update(&self, register: &Register) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for programme in register.programmes().iter().skip(entries.len()) {
            // A prefix has at least two digits, so its BIN is always one, and a root key in memory never fails. One in a
            // module may: whoever opens such a service must ask it before the programme is opened, and not here.
            let cvc2 = self.service.cvc2_key(&programme.terms.prefix.bin()).ok();
            entries.push(Arc::new(Listing { programme: programme.clone(), cvc2 }));
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
