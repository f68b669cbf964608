//! Whether the views are what the journal says, row by row: for audits and tests.

use std::fmt;
use std::path::Path;

use mayfly_card::MonthIndex;
use mayfly_core::scheme::dynamic::MISSES_KEPT_MS;
use mayfly_core::state::{Card, Transaction};
use mayfly_core::{AccountId, Partitions, State, TimeMs};
use mayfly_engine::Ends;

use super::LOAD_CACHE_BYTES;
use super::state::{self, Loaded};
use crate::sql::Sql;
use crate::verify::each_event;
use crate::views::{self, cut, numbers, transactions};
use crate::{Home, JournalReader, StoreError};

/// What the views say differently from the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs: `account acct_1`, `transaction txn_5`.
    pub what: String,
    /// What the views say.
    pub views: String,
    /// What follows from the journal.
    pub journal: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the views say {}, the journal {}", self.what, self.views, self.journal)
    }
}

/// More differences than these are not told: something is wrong altogether.
const DIFFERENCES_MAX: usize = 100;

#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn compare<T: PartialEq + fmt::Debug>(&mut self, what: impl fmt::Display, views: &T, journal: &T) {
        if views != journal && self.0.len() < DIFFERENCES_MAX {
            let (views, journal) = (format!("{views:?}"), format!("{journal:?}"));
            self.0.push(Difference { what: what.to_string(), views, journal });
        }
    }
}

/// Replays the journal in memory up to where the views are folded, checks each of its records, and compares the
/// result with the state that the views give, and each transaction with its row. None found means that they are
/// the same. Nobody may fold meanwhile; all transactions must find room in memory, a few hundred bytes each.
pub fn compare_with_replay(home: &Home) -> Result<Vec<Difference>, StoreError> {
    compare_with_archive(home, None)
}

/// The same, of a journal that was cut: what was cut off is read from the archive's files in this directory.
pub fn compare_with_archive(home: &Home, archive: Option<&Path>) -> Result<Vec<Difference>, StoreError> {
    // Since ever: what is in memory must be what is in the tables, however old it is.
    let mut journal = JournalReader::open(home)?;
    if let Some(archive) = archive {
        journal = journal.with_archive(archive);
    }
    let count = journal.partitions();
    let Loaded { partitions: mut loaded, cursors, views } = state::load(home, count, TimeMs::MAX)?;
    let mut replayed = Partitions::new(count);
    // What comes after the cursors is not in the views yet.
    let through = cursors.number;
    let replay = |partition, event, at_ms| replayed.apply(partition, &event, at_ms);
    let verified = each_event(&journal, Ends::start(count), through, |_| (), replay)?;
    let mut found = Found::default();
    found.compare("the cursors", &cursors.ends(), &verified.ends);
    // What is over is forgotten by the time of whatever happened last, in any partition.
    let now_ms = replayed.now_ms();
    for (loaded, replayed) in loaded.iter_mut().zip(replayed.iter_mut()) {
        compare(loaded, replayed, &mut found);
        compare_cards(loaded, replayed, now_ms, &mut found);
        compare_transactions(loaded, replayed, &views, &mut found)?;
        compare_kept(loaded, replayed, now_ms, &mut found);
        compare_months(home, replayed, now_ms, &mut found)?;
    }
    Ok(found.0)
}

fn compare(loaded: &State, replayed: &State, found: &mut Found) {
    found.compare("the time", &loaded.now_ms, &replayed.now_ms);
    found.compare("the issuers and programmes", &loaded.register, &replayed.register);
    found.compare("the issuers' books", &loaded.issuer_books, &replayed.issuer_books);
    found.compare("the messages that wait", &loaded.pending, &replayed.pending);
    found.compare("the next number", &loaded.next_number, &replayed.next_number);
    found.compare("the count of accounts", &loaded.accounts.len(), &replayed.accounts.len());
    for (at, (views, journal)) in loaded.accounts.iter().zip(&replayed.accounts).enumerate() {
        found.compare(AccountId(loaded.partition.id(at as u64 + 1)), views, journal);
    }
    found.compare("the count of active numbers", &loaded.numbers.len(), &replayed.numbers.len());
    for views in loaded.numbers.iter() {
        found.compare(views.id, &Some(views), &replayed.numbers.find(views.index));
    }
    found.compare("the next transaction", &loaded.transactions.next_id(), &replayed.transactions.next_id());
}

/// As far as it changes a decision: what is over is dropped from memory when something else happens to the card.
fn compare_cards(loaded: &State, replayed: &State, now_ms: TimeMs, found: &mut Found) {
    let counts = |card: &Card| {
        let mut card = card.clone();
        card.open.retain(|open| now_ms < open.expires_ms);
        card.misses_ms.retain(|at_ms| now_ms < at_ms + MISSES_KEPT_MS);
        (card != Card::default()).then_some(card)
    };
    for (index, journal) in replayed.cards.iter() {
        let what = format_args!("the card of {index}");
        found.compare(what, &loaded.cards.find(index).and_then(counts), &counts(journal));
    }
    let count = |state: &State| state.cards.iter().filter_map(|(_, card)| counts(card)).count();
    found.compare("the count of cards", &count(loaded), &count(replayed));
}

fn compare_transactions(
    loaded: &State,
    replayed: &State,
    views: &Sql,
    found: &mut Found,
) -> Result<(), StoreError> {
    let cut = cut::find(views, loaded.partition)?;
    for journal in replayed.transactions.iter() {
        let row = match loaded.transactions.find(journal.id) {
            Some(row) => Some(unlinked(row)),
            None if journal.id < cut.next => {
                transactions::find(views, loaded.partition, journal.id)?.as_ref().map(unlinked)
            }
            None => None,
        };
        // It was over, and dropped. Something may have come for it nevertheless since then.
        let may_be_dropped =
            journal.id < cut.next && journal.at_ms < cut.before_ms && journal.totals.held == 0;
        if row.is_some() || !may_be_dropped {
            found.compare(journal.id, &row, &Some(unlinked(journal)));
        }
    }
    Ok(())
}

fn compare_kept(loaded: &mut State, replayed: &mut State, now: TimeMs, found: &mut Found) {
    loaded.kept.forget(now);
    replayed.kept.forget(now);
    found.compare("the count of kept answers", &loaded.kept.len(), &replayed.kept.len());
    for (key, journal) in replayed.kept.iter() {
        found.compare("a kept answer", &loaded.kept.find(key, now), &Some(journal));
    }
}

fn compare_months(
    home: &Home,
    replayed: &mut State,
    now_ms: TimeMs,
    found: &mut Found,
) -> Result<(), StoreError> {
    let month = MonthIndex::of_unix_ms(now_ms);
    replayed.quarantine.forget(month);
    replayed.aliases.forget(month);
    let views = views::open_to_read(home, LOAD_CACHE_BYTES)?;
    let mut count = 0;
    numbers::quarantine(&views, replayed.partition, month, |free, index, why| {
        count += 1;
        let before = last_month(free);
        found.compare(index, &Some(why), &replayed.quarantine.find(index, before));
        found.compare(index, &None, &replayed.quarantine.find(index, free));
    })?;
    found.compare("the count of numbers in quarantine", &count, &replayed.quarantine.len());
    let mut count = 0;
    numbers::aliases(&views, replayed.partition, month, |free, index, account| {
        count += 1;
        let before = last_month(free);
        found.compare(index, &Some(account), &replayed.aliases.find(index, before));
        // It may have been claimed again, for longer.
        let last = replayed.aliases.until(index).is_none_or(|until| until == free);
        if last {
            found.compare(index, &None, &replayed.aliases.find(index, free));
        }
    })?;
    found.compare("the count of numbers that others drew", &count, &replayed.aliases.len());
    Ok(())
}

/// In the last month something is still found, in the one in which it comes free it is not.
fn last_month(free: MonthIndex) -> MonthIndex {
    MonthIndex::from_value(free.value() - 1).unwrap_or(free)
}

/// Without its links, which depend on what else is in memory. The tables also link what came after a number had
/// retired.
fn unlinked(transaction: &Transaction) -> Transaction {
    Transaction { previous_by_reference: None, previous_by_number: None, ..transaction.clone() }
}
