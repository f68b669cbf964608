//! Issuers and programmes: decided in the first partition, known in all.

use std::collections::HashMap;

use mayfly_keys::NumberIndex;

use super::{Issuer, Programme};
use crate::{
    DecisionHook, HostTerms, IssuerId, IssuerOpened, PartitionId, ProgrammeId, ProgrammeOpened, Universal,
    ids,
};

/// The issuers and their programmes. They are few, and change rarely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    issuers: Vec<Issuer>,
    programmes: Vec<Programme>,
    /// By the indices of universal numbers.
    universal: HashMap<u64, ProgrammeId>,
}

impl Register {
    /// An issuer.
    pub fn issuer(&self, id: IssuerId) -> Option<&Issuer> {
        self.issuers.get(position(id.0)?)
    }

    /// A programme.
    pub fn programme(&self, id: ProgrammeId) -> Option<&Programme> {
        self.programmes.get(position(id.0)?)
    }

    /// All issuers, the first has id 1.
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// All programmes, the first has id 1.
    pub fn programmes(&self) -> &[Programme] {
        &self.programmes
    }

    /// The programme whose universal number has this index.
    pub fn universal(&self, index: NumberIndex) -> Option<ProgrammeId> {
        self.universal.get(&index.0).copied()
    }

    /// The next issuer's id.
    pub fn next_issuer(&self) -> IssuerId {
        IssuerId(PartitionId::FIRST.id(self.issuers.len() as u64 + 1))
    }

    /// The next programme's id.
    pub fn next_programme(&self) -> ProgrammeId {
        ProgrammeId(PartitionId::FIRST.id(self.programmes.len() as u64 + 1))
    }

    /// One more issuer.
    pub fn add_issuer(&mut self, issuer: Issuer) {
        self.issuers.push(issuer);
    }

    /// One more programme.
    pub fn add_programme(&mut self, programme: Programme) {
        let id = self.next_programme();
        if let Some(Universal { index, .. }) = programme.terms.universal {
            self.universal.insert(index.0, id);
        }
        self.programmes.push(programme);
    }

    pub(super) fn opened_issuer(&mut self, event: &IssuerOpened) {
        self.add_issuer(Issuer { name: event.name, hook: None, host: None });
    }

    pub(super) fn opened_programme(&mut self, event: &ProgrammeOpened) {
        let ProgrammeOpened { issuer, name, ref terms, .. } = *event;
        self.add_programme(Programme { issuer, name, terms: terms.clone(), closed: false });
    }

    pub(super) fn set_hook(&mut self, id: IssuerId, hook: Option<DecisionHook>) {
        if let Some(issuer) = position(id.0).and_then(|at| self.issuers.get_mut(at)) {
            issuer.hook = hook;
        }
    }

    pub(super) fn set_host(&mut self, id: IssuerId, host: Option<HostTerms>) {
        if let Some(issuer) = position(id.0).and_then(|at| self.issuers.get_mut(at)) {
            issuer.host = host;
        }
    }

    pub(super) fn close_programme(&mut self, id: ProgrammeId, closed: bool) {
        if let Some(programme) = position(id.0).and_then(|at| self.programmes.get_mut(at)) {
            programme.closed = closed;
        }
    }
}

/// Where the thing with that id stands in its list: serial numbers begin with 1.
fn position(id: u64) -> Option<usize> {
    if PartitionId::of_id(id) != PartitionId::FIRST {
        return None;
    }
    usize::try_from(ids::serial(id).checked_sub(1)?).ok()
}
