//! The state in memory, from the views.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;

use mayfly_card::MonthIndex;
use mayfly_core::state::{Account, Card};
use mayfly_core::{AccountId, Event, PartitionId, Partitions, State, TimeMs, TransactionId};

use super::LOAD_CACHE_BYTES;
use crate::sql::{Access, Sql};
use crate::verify::each_event;
use crate::views::cursor::Cursor;
use crate::views::{self, Cursors, accounts, cards, cut, issuers, kept, numbers, pending, transactions};
use crate::{Home, JournalReader, StoreError};

/// The states that were loaded from the views, and the views.
pub(super) struct Loaded {
    pub(super) partitions: Partitions,
    pub(super) cursors: Cursors,
    pub(super) views: Sql,
}

/// Loads the states as they were after the last folded entry, with the transactions that were touched in the last
/// `remember_ms`.
pub(super) fn load(home: &Home, count: NonZeroU16, remember_ms: TimeMs) -> Result<Loaded, StoreError> {
    let views = views::open_to_read(home, LOAD_CACHE_BYTES)?;
    // One transaction, so that all tables are read as of the same entry.
    let reading = views.begin(Access::Read)?;
    let cursors = views::cursors(&reading, count)?;
    let mut partitions = Partitions::new(count);
    for state in partitions.iter_mut() {
        let cursor = cursors.of(state.partition);
        state.now_ms = cursor.head.at_ms;
        let since_ms = cursor.head.at_ms.saturating_sub(remember_ms);
        if let Some(what) = fill(state, &reading, &cursor, since_ms)? {
            let why = format!("one of the {what} is missing");
            return Err(StoreError::Damaged { location: views.location().clone(), why });
        }
    }
    partitions.show_register();
    drop(reading);
    Ok(Loaded { partitions, cursors, views })
}

impl Loaded {
    /// Applies the entries that are not folded yet, up to entry `through`. Older purchases that they touch are brought back
    /// into memory, where they would have been, had there been no stop.
    pub(super) fn replay(&mut self, journal: &JournalReader, through: u64) -> Result<(), StoreError> {
        let Self { partitions, cursors, views } = self;
        let mut result = Ok(());
        each_event(
            journal,
            cursors.ends(),
            through,
            |_| (),
            |partition, event, at_ms| {
                if let Event::Transacted(event) = &event {
                    for id in touched_by(event.target, event.reverses.map(|(id, _)| id)) {
                        let admitted = partitions.get_mut(partition).map(|state| admit(state, views, id));
                        if let Some(Err(error)) = admitted {
                            result = Err(error);
                        }
                    }
                }
                partitions.apply(partition, &event, at_ms);
            },
        )?;
        result
    }
}

/// The earlier transactions that one changes.
pub(super) fn touched_by(
    target: Option<TransactionId>,
    reverses: Option<TransactionId>,
) -> impl Iterator<Item = TransactionId> {
    target.into_iter().chain(reverses)
}

/// Brings an old transaction back, if it is not in memory, with the purchase that it belongs to and all that was
/// done to that. Says whether it was there.
fn admit(state: &mut State, views: &Sql, id: TransactionId) -> Result<bool, StoreError> {
    if state.transactions.find(id).is_some() {
        return Ok(true);
    }
    for member in transactions::family(views, state.partition, id)? {
        state.admit(member);
    }
    Ok(state.transactions.find(id).is_some())
}

/// Loads all tables. Says in which one a row is missing, if one is.
fn fill(
    state: &mut State,
    views: &Sql,
    cursor: &Cursor,
    since_ms: TimeMs,
) -> Result<Option<&'static str>, StoreError> {
    let partition = state.partition;
    if partition == PartitionId::FIRST {
        let register = Arc::make_mut(&mut state.register);
        for (id, issuer) in issuers::issuers(views)? {
            if register.next_issuer() != id {
                return Ok(Some("issuers"));
            }
            register.add_issuer(issuer);
        }
        for (id, programme) in issuers::programmes(views)? {
            if register.next_programme() != id {
                return Ok(Some("programmes"));
            }
            register.add_programme(programme);
        }
    }
    state.issuer_books.extend(issuers::books(views, partition)?);
    let mut active = Vec::new();
    let mut gap = false;
    accounts::list(views, partition, AccountId(0), usize::MAX, |row| {
        active.push(row.account.active_numbers);
        gap |= state.next_account() != row.id;
        // Counted up again as the numbers are loaded.
        state.accounts.push(Account { active_numbers: 0, ..row.account });
    })?;
    if gap {
        return Ok(Some("accounts"));
    }
    numbers::each_active(views, partition, |number| state.load_number(number))?;
    if state.accounts.iter().map(|account| account.active_numbers).ne(active) {
        return Ok(Some("numbers"));
    }
    cards::each(views, partition, cursor.head.at_ms, |number, card| {
        // That of a number which retired stays for people; one of which only requests were refused is as good as none.
        if state.numbers.active(number).is_some() && card != Card::default() {
            state.cards.load(number.index, card);
        }
    })?;
    let month = MonthIndex::of_unix_ms(cursor.head.at_ms);
    numbers::quarantine(views, partition, month, |free, index, why| {
        state.quarantine.insert(index, why, free);
    })?;
    numbers::aliases(views, partition, month, |free, index, account| {
        state.aliases.insert(index, account, free);
    })?;
    kept::each(views, partition, |event, at_ms| state.kept.keep(&event, at_ms))?;
    let whole = load_transactions(state, views, cursor, since_ms)?;
    pending::each(views, partition, |asked| state.pending.add(asked))?;
    state.load_counters(cursor.next_number, cursor.next_transaction, cursor.last_question);
    Ok((!whole).then_some("transactions"))
}

/// Loads the transactions that were decided since `since_ms`, and older ones that were touched by one of them.
/// Says whether all of them were there.
fn load_transactions(
    state: &mut State,
    views: &Sql,
    cursor: &Cursor,
    since_ms: TimeMs,
) -> Result<bool, StoreError> {
    let first = transactions::first_since(views, state.partition, since_ms, cursor.next_transaction)?;
    let (mut next, mut whole) = (first, true);
    let mut older = BTreeSet::new();
    transactions::each_from(views, state.partition, first, |transaction, reverses| {
        // Once one is missing nothing is loaded any more: ids in memory have no gaps.
        whole &= transaction.id == next;
        if whole {
            older.extend(touched_by(transaction.target, reverses).filter(|id| *id < first));
            state.load_transaction(transaction);
            next = TransactionId(next.0 + 1);
        }
    })?;
    let cut = cut::find(views, state.partition)?;
    for id in older {
        // One that was dropped was over; what came for it nevertheless has changed all the rest.
        whole &= admit(state, views, id)? || id < cut.next;
    }
    Ok(whole && next == cursor.next_transaction)
}
