//! The state in memory, from the views.

use std::collections::BTreeSet;

use mayfly_card::MonthIndex;
use mayfly_core::state::Account;
use mayfly_core::{AccountId, Event, PartitionId, State, TimeMs, TransactionId};
use mayfly_engine::Head;

use super::LOAD_CACHE_BYTES;
use crate::sql::{Access, Sql};
use crate::verify::each_event;
use crate::views::cursor::Cursor;
use crate::views::{self, accounts, cut, issuers, kept, numbers, pending, transactions};
use crate::{Home, JournalReader, StoreError};

/// A state that was loaded from the views, and the views.
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) cursor: Cursor,
    pub(super) views: Sql,
}

/// Loads the state as it was after the last folded record, with the transactions that were touched in the last
/// `remember_ms`.
pub(super) fn load(home: &Home, partition: PartitionId, remember_ms: TimeMs) -> Result<Loaded, StoreError> {
    let views = views::open_to_read(home, LOAD_CACHE_BYTES)?;
    // One transaction, so that all tables are read as of the same record.
    let reading = views.begin(Access::Read)?;
    let cursor = views::cursor(&reading, partition)?;
    let mut state = State::new(partition);
    state.now_ms = cursor.head.at_ms;
    let since_ms = cursor.head.at_ms.saturating_sub(remember_ms);
    if let Some(what) = fill(&mut state, &reading, &cursor, since_ms)? {
        let why = format!("one of the {what} is missing");
        return Err(StoreError::Damaged { location: views.location().clone(), why });
    }
    drop(reading);
    Ok(Loaded { state, cursor, views })
}

impl Loaded {
    /// Applies the records that are not folded yet, up to `head`. Older purchases that they touch are brought back
    /// into memory, where they would have been, had there been no stop.
    pub(super) fn replay(&mut self, journal: &JournalReader, head: &Head) -> Result<(), StoreError> {
        let Self { state, cursor, views } = self;
        let mut result = Ok(());
        each_event(
            journal,
            cursor.head,
            head.sequence,
            |_| (),
            |event, at_ms| {
                if let Event::Transacted(event) = &event {
                    for id in touched_by(event.target, event.reverses.map(|(id, _)| id)) {
                        if let Err(error) = admit(state, views, id) {
                            result = Err(error);
                        }
                    }
                }
                state.apply(&event, at_ms);
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
    for (id, issuer) in issuers::issuers(views, partition)? {
        state.issuers.push(issuer);
        if state.issuers.len() as u64 != id.0 {
            return Ok(Some("issuers"));
        }
    }
    for (id, programme) in issuers::programmes(views, partition)? {
        if let Some(universal) = programme.terms.universal {
            state.universal.insert(universal.index.0, id);
        }
        state.programmes.push(programme);
        if state.programmes.len() as u64 != id.0 {
            return Ok(Some("programmes"));
        }
    }
    state.issuer_books.extend(issuers::books(views, partition)?);
    let mut active = Vec::new();
    let mut gap = false;
    accounts::list(views, partition, AccountId(0), usize::MAX, |row| {
        active.push(row.account.active_numbers);
        // Counted up again as the numbers are loaded.
        state.accounts.push(Account { active_numbers: 0, ..row.account });
        gap |= state.accounts.len() as u64 != row.id.0;
    })?;
    if gap {
        return Ok(Some("accounts"));
    }
    numbers::each_active(views, partition, |number| state.load_number(number))?;
    if state.accounts.iter().map(|account| account.active_numbers).ne(active) {
        return Ok(Some("numbers"));
    }
    let month = MonthIndex::of_unix_ms(cursor.head.at_ms);
    numbers::quarantine(views, partition, month, |free, index, why| {
        state.quarantine.insert(index, why, free);
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
