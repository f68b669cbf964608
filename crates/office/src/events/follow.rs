//! The journal as it grows, for whoever tells several issuers at once: one reading for all of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mayfly_core::{AccountId, Event, HostAdvice, IssuerId, TimeMs};
use mayfly_store::{JournalReader, StoreError};

use super::list::{Whose, keep, read, whose};
use super::{EventNow, EventPlace};
use crate::{Office, OfficeError};

/// Of how many accounts a follower remembers the issuers; beyond it he looks them up again.
const ACCOUNTS_MAX: usize = 100_000;

/// What somebody who follows the journal remembers: whose accounts are. That never changes.
#[derive(Debug, Default)]
pub struct Follower {
    issuers: HashMap<AccountId, IssuerId>,
}

/// A part of the journal, by issuers.
#[derive(Debug)]
pub struct Followed {
    /// The events of the issuers that were asked for, in order. One that retires numbers of several issuers comes once
    /// for each, with its own numbers.
    pub events: Vec<(IssuerId, EventNow)>,
    /// Where the next part begins.
    pub next: EventPlace,
}

/// What issuer hosts have to be told, as a part of the journal has it.
#[derive(Debug)]
pub struct Advised {
    /// Each with its place and its time, in order.
    pub advices: Vec<(EventPlace, TimeMs, HostAdvice)>,
    /// Where the next part begins.
    pub next: EventPlace,
}

impl Office {
    /// What issuer hosts have to be told from a place on, as far as it is on the disk and one reading goes.
    ///
    /// # Errors
    /// If the journal can't be read.
    pub async fn advised(&self, from: EventPlace) -> Result<Advised, OfficeError> {
        let end = self.events_end();
        if from >= end {
            return Ok(Advised { advices: Vec::new(), next: from });
        }
        let wanted = |event: &mut Event| matches!(event, Event::HostAdvised(_));
        let read = self.views.journal(move |journal| read(journal, from, end.sequence - 1, wanted)).await?;
        let advices = read.found.into_iter().filter_map(|EventNow { place, at_ms, event }| match event {
            Event::HostAdvised(advice) => Some((place, at_ms, *advice)),
            _ => None,
        });
        Ok(Advised { advices: advices.collect(), next: read.next.unwrap_or(end) })
    }

    /// Before which place everything is on the disk.
    pub fn events_end(&self) -> EventPlace {
        EventPlace { sequence: self.handle.progress().durable() + 1, index: 0 }
    }

    /// The events of some issuers from a place on, as far as they are on the disk and one reading goes.
    ///
    /// # Errors
    /// If the journal or the views can't be read, the views are behind, or the engine can't be asked.
    pub async fn follow(
        &self,
        follower: &mut Follower,
        issuers: &Arc<HashSet<IssuerId>>,
        from: EventPlace,
    ) -> Result<Followed, OfficeError> {
        let end = self.events_end();
        if from >= end {
            return Ok(Followed { events: Vec::new(), next: from });
        }
        let (durable, asked) = (end.sequence - 1, issuers.clone());
        let wanted = move |event: &mut Event| match whose(event) {
            Whose::Issuer(id) => asked.contains(&id),
            Whose::Account(_) | Whose::Numbers => true,
            Whose::Nobody => false,
        };
        let read = self.views.journal(move |journal| read(journal, from, durable, &wanted)).await?;
        let accounts = self.accounts_of(&read.found).await?;
        let named = read.found.iter().filter_map(|now| match whose(&now.event) {
            Whose::Account(id) => Some(id),
            _ => None,
        });
        self.learn(follower, named.chain(accounts.values().copied()).collect()).await?;
        let mut events = Vec::with_capacity(read.found.len());
        for now in read.found {
            match whose(&now.event) {
                Whose::Issuer(id) => events.push((id, now)),
                Whose::Account(account) => {
                    let issuer = follower.issuers.get(&account).filter(|id| issuers.contains(id));
                    events.extend(issuer.map(|id| (*id, now)));
                }
                Whose::Numbers => {
                    let owner = |number| follower.issuers.get(accounts.get(&number)?);
                    let mut owners: Vec<IssuerId> = match &now.event {
                        Event::NumbersRetired(retired) => {
                            retired.iter().filter_map(|(number, _)| owner(number.id).copied()).collect()
                        }
                        _ => Vec::new(),
                    };
                    owners.sort_unstable();
                    owners.dedup();
                    for id in owners.into_iter().filter(|id| issuers.contains(id)) {
                        let mut own = now.clone();
                        keep(&mut own.event, |number| owner(number.id) == Some(&id));
                        events.push((id, own));
                    }
                }
                Whose::Nobody => {}
            }
        }
        Ok(Followed { events, next: read.next.unwrap_or(end) })
    }

    /// Looks up whose those accounts are of which it is not known yet.
    async fn learn(
        &self,
        follower: &mut Follower,
        mut accounts: HashSet<AccountId>,
    ) -> Result<(), OfficeError> {
        if follower.issuers.len() > ACCOUNTS_MAX {
            follower.issuers.clear();
        }
        accounts.retain(|id| !follower.issuers.contains_key(id));
        if accounts.is_empty() {
            return Ok(());
        }
        let found = self.look(move |partitions| {
            let issuer = |id: AccountId| partitions.account(id).map(|account| (id, account.issuer));
            accounts.into_iter().filter_map(issuer).collect::<Vec<_>>()
        });
        follower.issuers.extend(found.await?);
        Ok(())
    }

    /// The first place at which something stands that was recorded then or later; the journal's end if there is none.
    ///
    /// # Errors
    /// If the journal can't be read.
    pub async fn events_since(&self, at_ms: TimeMs) -> Result<EventPlace, OfficeError> {
        let durable = self.handle.progress().durable();
        self.views.journal(move |journal| since(journal, durable, at_ms)).await
    }
}

/// Times never go back from one entry to the next: so the entry is found by halving.
fn since(journal: &JournalReader, durable: u64, at_ms: TimeMs) -> Result<EventPlace, StoreError> {
    // What was archived is not there to begin with.
    let (mut low, mut high) = (journal.base()?.number + 1, durable + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let is_before = journal.time_of(middle)?.is_none_or(|middle_ms| middle_ms < at_ms);
        if is_before { low = middle + 1 } else { high = middle }
    }
    Ok(EventPlace { sequence: low, index: 0 })
}
