//! The journal as a list, oldest first: whose an event is, and which are wanted.
//!
//! An event belongs to the issuer that it names, or to that of the account or the numbers that it names. One event may
//! retire numbers of several issuers: each is shown its own. What names nobody is for whoever runs the server.

use std::collections::{HashMap, HashSet};

use mayfly_core::{AccountId, Event, IssuerId, NumberId, NumberRef, Retirement, TimeMs};
use mayfly_store::{JournalReader, StoreError};

use super::{EventKind, EventPlace};
use crate::{Items, Office, OfficeError, Part};

/// How often a part is read on for until it is full. A part comes to at most 4,096 entries, or 65,536 events and the
/// rest of an entry; then it is short, and says where to go on.
const ROUNDS_MAX: usize = 16;
/// How many entries one reading looks at.
const RECORDS: u64 = 256;
/// How many events one reading looks at, but always at a whole entry. Each retired number counts as one.
const EVENTS: usize = 4096;
/// How many events that may be wanted one reading brings at most.
const CANDIDATES: usize = 512;

/// Which events are wanted; all if nothing is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only this issuer's.
    pub issuer: Option<IssuerId>,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only about this account.
    pub account: Option<AccountId>,
    /// Only about this number.
    pub number: Option<NumberId>,
}

/// An event, with where and when it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNow {
    /// Where.
    pub place: EventPlace,
    /// The time of its entry.
    pub at_ms: TimeMs,
    /// What happened. Of several retired numbers, those that are wanted.
    pub event: Event,
}

/// What one reading brought.
pub(super) struct Read {
    pub(super) found: Vec<EventNow>,
    /// Where the next one begins; none at the journal's end.
    pub(super) next: Option<EventPlace>,
}

impl Office {
    /// Events in the order in which they happened, as far as they are on the disk by now. A part may have few items,
    /// or none, and still not be the last. It may begin at a place where there is no event: it begins with the next.
    ///
    /// # Errors
    /// If the journal or the views can't be read, the views are behind, or the engine can't be asked.
    pub async fn events(
        &self,
        filter: EventFilter,
        part: Part<EventPlace>,
    ) -> Result<Items<EventNow, EventPlace>, OfficeError> {
        let durable = self.handle.progress().durable();
        let from = part.from.unwrap_or(EventPlace::FIRST);
        let mut found = Items { items: Vec::new(), next: Some(from).filter(|from| from.sequence <= durable) };
        for _ in 0..ROUNDS_MAX {
            let Some(from) = found.next else { break };
            let wanted = move |event: &mut Event| may_be_wanted(event, &filter);
            let read = self.views.journal(move |journal| read(journal, from, durable, wanted)).await?;
            found.next = read.next;
            let mut wanted = self.wanted(read.found, &filter).await?.into_iter();
            found.items.extend(wanted.by_ref().take(part.limit - found.items.len()));
            if let Some(more) = wanted.next() {
                found.next = Some(more.place);
            }
            if found.items.len() >= part.limit {
                break;
            }
        }
        Ok(found)
    }

    /// Those of them that are wanted, by what they don't say themselves.
    async fn wanted(
        &self,
        mut found: Vec<EventNow>,
        filter: &EventFilter,
    ) -> Result<Vec<EventNow>, OfficeError> {
        let EventFilter { issuer, account, .. } = *filter;
        if issuer.is_none() && account.is_none() {
            return Ok(found);
        }
        let accounts = self.accounts_of(&found).await?;
        if let Some(account) = account {
            found.retain_mut(|now| keep(&mut now.event, |number| accounts.get(&number.id) == Some(&account)));
        }
        let Some(issuer) = issuer else { return Ok(found) };
        let named = found.iter().filter_map(|now| match whose(&now.event) {
            Whose::Account(id) => Some(id),
            _ => None,
        });
        let named: HashSet<AccountId> = named.chain(accounts.values().copied()).collect();
        let own = self.look(move |partitions| {
            let is_own =
                |id: &AccountId| partitions.account(*id).is_some_and(|account| account.issuer == issuer);
            named.into_iter().filter(is_own).collect::<HashSet<_>>()
        });
        let own = own.await?;
        let is_own = |number: &NumberRef| accounts.get(&number.id).is_some_and(|id| own.contains(id));
        found.retain_mut(|now| match whose(&now.event) {
            Whose::Issuer(id) => id == issuer,
            Whose::Account(id) => own.contains(&id),
            Whose::Numbers => keep(&mut now.event, is_own),
            Whose::Nobody => false,
        });
        Ok(found)
    }

    /// The accounts of the numbers that these events retire.
    pub(super) async fn accounts_of(
        &self,
        found: &[EventNow],
    ) -> Result<HashMap<NumberId, AccountId>, OfficeError> {
        let retired = found.iter().filter_map(|now| match &now.event {
            Event::NumbersRetired(retired) => Some(retired.iter().map(|(number, _)| number.id)),
            _ => None,
        });
        let numbers: Vec<NumberId> = retired.flatten().collect();
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        self.views
            .read(move |views| {
                let mut accounts = HashMap::with_capacity(numbers.len());
                for id in &numbers {
                    accounts.extend(views.number(*id)?.map(|row| (*id, row.account)));
                }
                Ok(accounts)
            })
            .await
    }
}

/// Reads on from a place, to entry `durable` at most, for what may be wanted; from where the journal begins, if that is
/// later: what was before was archived.
pub(super) fn read(
    journal: &JournalReader,
    from: EventPlace,
    durable: u64,
    mut wanted: impl FnMut(&mut Event) -> bool,
) -> Result<Read, StoreError> {
    match read_from(journal, from, durable, &mut wanted) {
        Err(StoreError::Archived { number, begins, .. }) if number == from.sequence => {
            read_from(journal, EventPlace { sequence: begins, index: 0 }, durable, &mut wanted)
        }
        read => read,
    }
}

fn read_from(
    journal: &JournalReader,
    from: EventPlace,
    durable: u64,
    wanted: &mut impl FnMut(&mut Event) -> bool,
) -> Result<Read, StoreError> {
    let (mut found, mut looked) = (Vec::new(), 0);
    let mut next = from;
    for entry in journal.entries(from.sequence) {
        let entry = entry?;
        if entry.number > durable {
            break;
        }
        let (sequence, at_ms, mut index) = (entry.number, entry.at_ms(), 0);
        let mut full_at = None;
        let mut look = |mut event| {
            let place = EventPlace { sequence, index };
            index += 1;
            if place < from || full_at.is_some() {
                return;
            }
            if found.len() >= CANDIDATES {
                full_at = Some(place);
                return;
            }
            looked += weight(&event);
            if wanted(&mut event) {
                found.push(EventNow { place, at_ms, event });
            }
        };
        for record in &entry.records {
            journal.each_event(record, &mut look)?;
        }
        if let Some(place) = full_at {
            return Ok(Read { found, next: Some(place) });
        }
        next = EventPlace { sequence: sequence + 1, index: 0 };
        if looked >= EVENTS || next.sequence >= from.sequence + RECORDS {
            break;
        }
    }
    Ok(Read { found, next: Some(next).filter(|next| next.sequence <= durable) })
}

/// How much an event takes to look at.
fn weight(event: &Event) -> usize {
    match event {
        Event::NumbersRetired(retired) => retired.len().max(1),
        _ => 1,
    }
}

/// Whether it may be wanted, by what it says itself. Of retired numbers another than the wanted one are left out.
fn may_be_wanted(event: &mut Event, filter: &EventFilter) -> bool {
    let EventFilter { issuer, kind, account, number } = *filter;
    let may_be_theirs = issuer.is_none_or(|issuer| match whose(event) {
        Whose::Issuer(id) => id == issuer,
        Whose::Account(_) | Whose::Numbers => true,
        Whose::Nobody => false,
    });
    if !may_be_theirs || kind.is_some_and(|kind| EventKind::of(event) != kind) {
        return false;
    }
    if matches!(event, Event::NumbersRetired(_)) {
        return number.is_none_or(|number| keep(event, |retired| retired.id == number));
    }
    account.is_none_or(|account| account_of(event) == Some(account))
        && number.is_none_or(|number| number_of(event) == Some(number))
}

/// Leaves some of the numbers that an event retires; whether any is left. All of another event is left.
pub(super) fn keep(event: &mut Event, is_kept: impl Fn(&NumberRef) -> bool) -> bool {
    match event {
        Event::NumbersRetired(retired) => {
            retired.retain(|(number, _): &(NumberRef, Retirement)| is_kept(number));
            !retired.is_empty()
        }
        _ => true,
    }
}

/// Whose an event is.
pub(super) enum Whose {
    /// This issuer's.
    Issuer(IssuerId),
    /// That of this account's issuer.
    Account(AccountId),
    /// Each number is its account's.
    Numbers,
    /// Nobody's: for whoever runs the server.
    Nobody,
}

pub(super) fn whose(event: &Event) -> Whose {
    match event {
        // A message for which no issuer was found is nobody's.
        Event::Transacted(transacted) => transacted.issuer.map_or(Whose::Nobody, Whose::Issuer),
        Event::IssuerOpened(opened) => Whose::Issuer(opened.issuer),
        Event::ProgrammeOpened(opened) => Whose::Issuer(opened.issuer),
        Event::AccountOpened(opened) => Whose::Issuer(opened.issuer),
        Event::NumberIssued(issued) => Whose::Account(issued.account),
        Event::LimitSet { account, .. }
        | Event::ChannelBlocked { account, .. }
        | Event::AccountClosed { account, .. } => Whose::Account(*account),
        Event::ProgrammeClosed { issuer, .. } => Whose::Issuer(*issuer),
        Event::NumbersRetired(_) => Whose::Numbers,
        // What an account's issuer is told is that the number was issued.
        Event::AnswerKept(_) | Event::NumberClaimed(_) => Whose::Nobody,
        Event::HookSet { issuer, .. } => Whose::Issuer(*issuer),
        Event::Asked(asked) => Whose::Issuer(asked.issuer),
        Event::Resolved(resolved) => Whose::Issuer(resolved.issuer),
        Event::AnsweredLate(late) => Whose::Issuer(late.issuer),
        Event::EtsnOpened(opened) => Whose::Account(opened.card.account),
        Event::EtsnUsed { card, .. }
        | Event::EtsnChecked { card, .. }
        | Event::CardMissed { card, .. }
        | Event::CardUnlocked { card }
        | Event::RequestRefused { card, .. } => Whose::Account(card.account),
        Event::HostSet { issuer, .. } => Whose::Issuer(*issuer),
        Event::HostAdvised(advice) => Whose::Issuer(advice.issuer),
    }
}

/// The account that an event names.
fn account_of(event: &Event) -> Option<AccountId> {
    match event {
        Event::Transacted(transacted) => transacted.account,
        Event::NumberIssued(issued) => Some(issued.account),
        Event::Asked(asked) => asked.account,
        Event::AccountOpened(opened) => Some(opened.account),
        Event::LimitSet { account, .. }
        | Event::ChannelBlocked { account, .. }
        | Event::AccountClosed { account, .. } => Some(*account),
        Event::NumbersRetired(_)
        | Event::IssuerOpened(_)
        | Event::ProgrammeOpened(_)
        | Event::AnswerKept(_)
        | Event::HookSet { .. }
        | Event::HostSet { .. }
        | Event::ProgrammeClosed { .. }
        | Event::Resolved(_)
        | Event::AnsweredLate(_) => None,
        Event::EtsnOpened(opened) => Some(opened.card.account),
        Event::EtsnUsed { card, .. }
        | Event::EtsnChecked { card, .. }
        | Event::CardMissed { card, .. }
        | Event::CardUnlocked { card }
        | Event::RequestRefused { card, .. } => Some(card.account),
        Event::HostAdvised(advice) => Some(advice.account),
        Event::NumberClaimed(claimed) => Some(claimed.account),
    }
}

/// The number that an event is about, if it is about one.
fn number_of(event: &Event) -> Option<NumberId> {
    match event {
        Event::Transacted(transacted) => transacted.number.map(|number| number.id),
        Event::NumberIssued(issued) => Some(issued.number.id),
        Event::Asked(asked) => asked.number.map(|number| number.id),
        Event::EtsnOpened(opened) => Some(opened.card.number.id),
        Event::EtsnUsed { card, .. }
        | Event::EtsnChecked { card, .. }
        | Event::CardMissed { card, .. }
        | Event::CardUnlocked { card }
        | Event::RequestRefused { card, .. } => Some(card.number.id),
        Event::HostAdvised(advice) => Some(advice.number.id),
        _ => None,
    }
}
