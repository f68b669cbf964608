//! Views are cut, and say of everything that is left what they said before.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{Ground, Play, SEVERAL, fold, on_both, options};
use mayfly_card::MonthIndex;
use mayfly_core::{AccountId, NumberId, State, TransactionId};
use mayfly_engine::Journal;
use mayfly_store::{
    Asked, CUT_AGE_MIN_MS, Dropped, Home, JournalReader, NumberFilter, OpenOptions, Opened, Retention,
    RetentionOptions, StoreError, StoredJournal, Views, compare_with_archive, create, open,
};
use proptest::prelude::*;

const DAY_MS: u64 = 86_400_000;
/// All rows of a page.
const ALL: usize = 1000;

fn cut(home: &Home, archive: &Path, before_ms: u64) -> Dropped {
    let kept = Retention::open(home, RetentionOptions::forever(archive.to_owned())).unwrap();
    let asked = Asked { journal_before_ms: Some(before_ms), views_before_ms: Some(before_ms) };
    kept.run(&asked, before_ms, &|| true).unwrap()
}

fn reopen(home: &Home, archive: &Path) -> Opened {
    let options = OpenOptions { archive: Some(archive.to_owned()), ..options() };
    open(home, &options, |_| ()).unwrap()
}

/// The ids of a list, the latest first, however many pages it has.
fn list<C: Copy>(page: impl Fn(Option<C>) -> (Vec<u64>, Option<C>)) -> Vec<u64> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let (ids, next) = page(from);
        all.extend(ids);
        from = next;
        if from.is_none() {
            return all;
        }
    }
}

/// What both views say of the same history, one of them cut.
struct Both {
    cut: Views,
    whole: Views,
    transactions: Vec<TransactionId>,
    numbers: Vec<NumberId>,
    /// Whether nothing came after the cut.
    cut_once: bool,
}

impl Both {
    fn transactions_of_account(views: &Views, account: AccountId) -> Vec<u64> {
        list(|from| {
            let page = views.transactions_of_account(account, from, ALL).unwrap();
            (page.rows.iter().map(|row| row.transaction.id.0).collect(), page.next)
        })
    }

    fn transactions_of_number(views: &Views, number: NumberId) -> Vec<u64> {
        list(|from| {
            let page = views.transactions_of_number(number, from, ALL).unwrap();
            (page.rows.iter().map(|row| row.transaction.id.0).collect(), page.next)
        })
    }

    fn numbers(views: &Views, account: AccountId) -> Vec<u64> {
        list(|from| {
            let page = views.numbers(account, NumberFilter::All, from, ALL).unwrap();
            (page.rows.iter().map(|row| row.id.0).collect(), page.next)
        })
    }

    /// Rows that are left are the same; what is missing was over. Lists go on behind what is missing. Returns how many
    /// transactions and numbers are missing.
    fn compare(&self, before_ms: u64) -> (usize, usize) {
        let (mut left, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for id in self.transactions.iter().copied() {
            let whole = self.whole.transaction(id).unwrap().unwrap();
            match self.cut.transaction(id).unwrap() {
                Some(mut row) => {
                    // What came with a number that was gone by then: it follows nothing in that one's list.
                    let number = row.transaction.number.map(|number| number.id);
                    if number.is_some_and(|number| self.cut.number(number).unwrap().is_none()) {
                        row.transaction.previous_by_number = whole.transaction.previous_by_number;
                    }
                    assert_eq!(row, whole);
                    left.insert(id.0);
                }
                None => {
                    assert!(
                        whole.transaction.totals.held == 0 && whole.transaction.at_ms < before_ms,
                        "{whole:?}"
                    );
                    missing.insert(id.0);
                }
            }
            let reference = whole.transaction.reference;
            let found = |views: &Views| {
                let found = views.transactions_under(reference).unwrap();
                found
                    .into_iter()
                    .filter(|it| self.cut.transaction(it.id).unwrap().is_some())
                    .collect::<Vec<_>>()
            };
            // What belongs to a purchase is found through it: where it is missing the rest is found by itself.
            let cut: BTreeSet<u64> = found(&self.cut).iter().map(|it| it.id.0).collect();
            let whole: BTreeSet<u64> = found(&self.whole).iter().map(|it| it.id.0).collect();
            assert!(cut.is_subset(&whole), "{cut:?} {whole:?}");
            assert!(!left.contains(&id.0) || cut.contains(&id.0), "{id} is not found under its reference");
        }
        let (mut numbers, mut gone) = (BTreeSet::new(), 0);
        for id in self.numbers.iter().copied() {
            let whole = self.whole.number(id).unwrap().unwrap();
            match self.cut.number(id).unwrap() {
                Some(row) => {
                    assert_eq!(row, whole);
                    numbers.insert(id.0);
                    let ours = Self::transactions_of_number(&self.cut, id);
                    let mut theirs = Self::transactions_of_number(&self.whole, id);
                    theirs.retain(|id| left.contains(id));
                    assert_eq!(ours, theirs, "the transactions of {id}");
                    let found = self.cut.numbers_by_index(id.partition(), row.index).unwrap();
                    assert!(found.iter().any(|found| found.id == id));
                }
                None => {
                    let retired = whole.retired.unwrap_or_else(|| panic!("{id} is active"));
                    assert!(retired.at_ms < before_ms, "{whole:?}");
                    let used = Self::transactions_of_number(&self.whole, id);
                    // Unless they came when it was gone.
                    let was_used = self.cut_once && !used.iter().all(|id| missing.contains(id));
                    assert!(!was_used, "{id} still has transactions");
                    gone += 1;
                }
            }
        }
        let accounts = self.whole.accounts(None, ALL).unwrap().rows;
        assert_eq!(self.cut.accounts(None, ALL).unwrap().rows, accounts);
        for account in accounts {
            let ours = Self::transactions_of_account(&self.cut, account.id);
            let mut theirs = Self::transactions_of_account(&self.whole, account.id);
            theirs.retain(|id| left.contains(id));
            assert_eq!(ours, theirs, "the transactions of {}", account.id);
            let ours = Self::numbers(&self.cut, account.id);
            let mut theirs = Self::numbers(&self.whole, account.id);
            theirs.retain(|id| numbers.contains(id));
            assert_eq!(ours, theirs, "the numbers of {}", account.id);
        }
        assert_eq!(self.cut.books().unwrap(), self.whole.books().unwrap());
        (missing.len(), gone)
    }
}

/// All transactions of a history.
fn all_transactions(play: &Play) -> Vec<TransactionId> {
    let of = |state: &State| {
        let (partition, next) = (state.partition, state.transactions.next_id().0);
        (partition.id(1)..next).map(TransactionId).collect::<Vec<_>>()
    };
    play.partitions.iter().flat_map(of).collect()
}

/// All numbers of a history.
fn all_numbers(play: &Play) -> Vec<NumberId> {
    let of = |state: &State| (state.partition.id(1)..state.next_number).map(NumberId).collect::<Vec<_>>();
    play.partitions.iter().flat_map(of).collect()
}

/// A journal where none is, with as many partitions, for the same history.
fn journal_beside(play: &Play, home: &Home) -> StoredJournal {
    create(home, "test", play.partitions.count()).unwrap();
    StoredJournal::open(home).unwrap()
}

/// What must hold of all of them together, in SQL.
fn assert_sums(ground: &Ground) {
    let number = |sql: &str| ground.raw("views", sql);
    assert_eq!(number("SELECT coalesce(sum(amount), 0) FROM ledger_entries"), 0);
    for (book, column) in [("cardholder", "balance"), ("held", "held")] {
        let wrong = format!(
            "SELECT count(*) FROM accounts WHERE {column} <> (SELECT coalesce(sum(amount), 0)
            FROM ledger_entries WHERE account = accounts.id AND book = '{book}')"
        );
        assert_eq!(number(&wrong), 0, "{book}");
    }
    for book in ["settlement", "funding", "suspense"] {
        let wrong = format!(
            "SELECT count(*) FROM issuer_books WHERE {book} <> (SELECT coalesce(sum(amount), 0) FROM ledger_entries
            WHERE book = '{book}' AND partition = issuer_books.partition AND issuer = issuer_books.issuer AND currency = issuer_books.currency)"
        );
        assert_eq!(number(&wrong), 0, "{book}");
    }
    let lost = "SELECT (SELECT count(*) FROM numbers) - (SELECT count(*) FROM number_state)
        - (SELECT count(*) FROM retired_numbers)";
    assert_eq!(number(lost), 0);
    for (lookup, table) in
        [("reference_lookup", "transactions"), ("number_lookup", "numbers"), ("etsn_lookup", "etsns")]
    {
        let more = format!("SELECT (SELECT count(*) FROM {lookup}) - (SELECT count(*) FROM {table})");
        assert_eq!(number(&more), 0, "{lookup}");
    }
    // There is no gap that nobody needs.
    let (gaps, rows) = (
        number("SELECT count(*) FROM gaps"),
        "SELECT (SELECT count(*) FROM transactions) * 2
        + (SELECT count(*) FROM numbers) + (SELECT count(*) FROM accounts) * 2",
    );
    assert!(gaps <= number(rows), "{gaps}");
    assert_eq!(number("SELECT count(*) FROM dropping"), 0);
}

/// A history that is folded, and cut at random moments; the same without that; and what both then say.
fn cut_at_random_moments(
    ground: &Ground,
    whole: &Ground,
    partitions: u16,
    (seed, commands, rounds): (u64, usize, u64),
) {
    let mut play = Play::of(&ground.home, seed, partitions);
    let around = tempfile::tempdir().unwrap();
    let (archive, mut before_ms) = (around.path().join("archive"), 0);
    let mut copy = journal_beside(&play, &whole.home);
    let mut copied = 0;
    for _ in 0..rounds {
        play.run(commands);
        if play.draw(3) == 0 {
            play.now_ms += play.draw(40) * DAY_MS;
        }
        for entry in JournalReader::open(&ground.home).unwrap().entries(copied + 1) {
            let entry = entry.unwrap();
            copy.append(&entry).unwrap();
            copied = entry.number;
        }
        fold(&ground.home, &play.ends);
        let latest_ms = play.ends.at_ms().saturating_sub(CUT_AGE_MIN_MS);
        let back_ms = play.draw(60) * DAY_MS;
        let at_ms = latest_ms.saturating_sub(back_ms);
        cut(&ground.home, &archive, at_ms);
        before_ms = before_ms.max(at_ms);
        if play.draw(3) == 0 {
            drop(reopen(&ground.home, &archive));
        }
    }
    play.run(commands);
    for entry in JournalReader::open(&ground.home).unwrap().entries(copied + 1) {
        copy.append(&entry.unwrap()).unwrap();
    }
    fold(&ground.home, &play.ends);
    fold(&whole.home, &play.ends);
    drop(copy);
    let both = Both {
        cut: Views::open(&ground.home).unwrap(),
        whole: Views::open(&whole.home).unwrap(),
        transactions: all_transactions(&play),
        numbers: all_numbers(&play),
        cut_once: false,
    };
    both.compare(before_ms);
    assert_sums(ground);
    assert_sums(whole);
    assert_eq!(compare_with_archive(&ground.home, Some(&archive)), Ok(vec![]));
    let (cut, whole) = (reopen(&ground.home, &archive), common::reopen(&whole.home));
    assert_eq!(cut.rebuilt, None);
    for (cut, whole) in cut.partitions.iter().zip(whole.partitions.iter()) {
        assert_same_state(cut, whole, play.ends.at_ms());
    }
}

fn assert_same_state(cut: &State, whole: &State, now_ms: u64) {
    assert_eq!(cut.accounts, whole.accounts);
    assert_eq!(cut.issuer_books, whole.issuer_books);
    assert_eq!(cut.next_number, whole.next_number);
    common::cards::assert_cards(cut, whole, now_ms);
    assert_eq!(cut.numbers.len(), whole.numbers.len());
    for number in whole.numbers.iter() {
        assert_eq!(cut.numbers.find(number.index), Some(number));
    }
    let month = MonthIndex::of_unix_ms(now_ms);
    let (mut ours, mut theirs) = (cut.quarantine.clone(), whole.quarantine.clone());
    ours.forget(month);
    theirs.forget(month);
    assert_eq!(ours.len(), theirs.len());
    let (mut ours, mut theirs) = (cut.aliases.clone(), whole.aliases.clone());
    ours.forget(month);
    theirs.forget(month);
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(cut.kept.len(), whole.kept.len());
    assert_eq!(cut.transactions.next_id(), whole.transactions.next_id());
    let since_ms = now_ms.saturating_sub(CUT_AGE_MIN_MS);
    for transaction in whole.transactions.iter().filter(|it| it.at_ms >= since_ms) {
        let found = cut.transactions.find(transaction.id).unwrap();
        assert_eq!((found.totals, found.touched_ms), (transaction.totals, transaction.touched_ms));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 10, ..ProptestConfig::default() })]

    #[test]
    fn views_that_are_cut_say_the_same_on_sqlite(cut in (any::<u64>(), 50usize..800, 1u64..8)) {
        cut_at_random_moments(&Ground::files(), &Ground::files(), 1, cut);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 10, ..ProptestConfig::default() })]

    #[test]
    fn views_of_several_partitions_that_are_cut_say_the_same_on_sqlite(
        cut in (any::<u64>(), 50usize..600, 1u64..6),
    ) {
        cut_at_random_moments(&Ground::files(), &Ground::files(), SEVERAL, cut);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 4, ..ProptestConfig::default() })]

    #[test]
    fn views_that_are_cut_say_the_same_on_postgres(cut in (any::<u64>(), 50usize..400, 1u64..5)) {
        cut_at_random_moments(&Ground::postgres(), &Ground::files(), SEVERAL, cut);
    }
}

on_both!(what_is_over_for_long_is_dropped, views_that_were_cut_are_built_again, the_latest_is_never_dropped);

fn old_world(ground: &Ground, seed: u64) -> Play {
    let mut play = Play::new(&ground.home, seed);
    for _ in 0..10 {
        play.run(250);
        play.now_ms += 20 * DAY_MS;
    }
    play.run(300);
    fold(&ground.home, &play.ends);
    play
}

fn what_is_over_for_long_is_dropped(ground: Ground) {
    let play = old_world(&ground, 41);
    let around = tempfile::tempdir().unwrap();
    let whole = Ground::files();
    let mut copy = journal_beside(&play, &whole.home);
    for entry in JournalReader::open(&ground.home).unwrap().entries(1) {
        copy.append(&entry.unwrap()).unwrap();
    }
    fold(&whole.home, &play.ends);
    let before_ms = play.ends.at_ms() - 60 * DAY_MS;
    let count = |sql: &str| ground.raw("views", sql);
    let (transactions, numbers) =
        (count("SELECT count(*) FROM transactions"), count("SELECT count(*) FROM numbers"));
    let dropped = cut(&ground.home, around.path(), before_ms);
    assert!(dropped.whole && dropped.transactions > 500 && dropped.numbers > 50, "{dropped:?}");
    assert_eq!(count("SELECT count(*) FROM transactions"), transactions - dropped.transactions as i64);
    assert_eq!(count("SELECT count(*) FROM numbers"), numbers - dropped.numbers as i64);
    let both = Both {
        cut: Views::open(&ground.home).unwrap(),
        whole: Views::open(&whole.home).unwrap(),
        transactions: all_transactions(&play),
        numbers: all_numbers(&play),
        cut_once: true,
    };
    let missing = both.compare(before_ms);
    assert_eq!(missing, (dropped.transactions as usize, dropped.numbers as usize));
    assert_sums(&ground);
    assert!(count("SELECT count(*) FROM carried_entries") > 0);
    // Something that is held, or was touched lately, is as old as what went.
    let kept = format!("SELECT count(*) FROM transactions WHERE at_ms < {before_ms}");
    assert!(count(&kept) > 0 && count("SELECT count(*) FROM gaps") > 0, "the test shows nothing");
    // Numbers in quarantine are known.
    let quarantine = valid("quarantine", &play);
    let unknown =
        format!("SELECT count(*) FROM {quarantine} AS q WHERE number NOT IN (SELECT id FROM numbers)");
    assert!(count(&format!("SELECT count(*) FROM {quarantine} AS q")) > 0 && count(&unknown) == 0);
    // Once is enough.
    assert_eq!(cut(&ground.home, around.path(), before_ms), Dropped { whole: true, ..Dropped::default() });
}

/// From archive and journal come the same views; cut again, they are the same row by row.
fn views_that_were_cut_are_built_again(ground: Ground) {
    let play = old_world(&ground, 42);
    let around = tempfile::tempdir().unwrap();
    let archive = around.path().join("archive");
    let before_ms = play.ends.at_ms() - 60 * DAY_MS;
    let first = cut(&ground.home, &archive, before_ms);
    let tables = [
        "transactions",
        "numbers",
        "retired_numbers",
        "number_state",
        "accounts",
        "issuer_books",
        "quarantine",
        "reference_lookup",
        "number_lookup",
        "gaps",
        "carried_entries",
        "kept_answers",
        "cards",
        "etsns",
        "etsn_lookup",
        "open_etsns",
        "card_misses",
        "host_advices",
        "cut",
    ];
    let says = |ground: &Ground| tables.map(|table| said(ground, table, &play));
    let before = says(&ground);
    ground.lose_views();
    let opened = reopen(&ground.home, &archive);
    assert!(opened.rebuilt.is_some());
    common::assert_state(&opened.partitions, &play.partitions);
    drop(opened);
    fold(&ground.home, &play.ends);
    assert_eq!(ground.raw("views", "SELECT count(*) FROM cut"), 0);
    let again = cut(&ground.home, &archive, before_ms);
    assert_eq!((again.transactions, again.numbers, again.records), (first.transactions, first.numbers, 0));
    for ((table, before), after) in tables.iter().zip(before).zip(says(&ground)) {
        assert_eq!(before, after, "{table}");
    }
}

/// What of a table still counts: folding takes out what is over of one partition after the other.
fn valid(table: &str, play: &Play) -> String {
    let now_ms = play.ends.at_ms();
    match table {
        "quarantine" => {
            let month = MonthIndex::of_unix_ms(now_ms);
            format!("(SELECT * FROM quarantine WHERE free_month > '{month:?}')")
        }
        "open_etsns" => format!("(SELECT * FROM open_etsns WHERE expires_ms > {now_ms})"),
        "kept_answers" => format!("(SELECT * FROM kept_answers WHERE at_ms > {})", now_ms - DAY_MS),
        table => format!("(SELECT * FROM {table})"),
    }
}

/// How many rows a table has, and something that follows from all of its integers.
fn said(ground: &Ground, table: &str, play: &Play) -> (i64, i64) {
    let columns = match table {
        "transactions" => "id * 7 + coalesce(touched_ms, 1) + total_held + coalesce(last_follow_up, 3)",
        "numbers" => "id * 5 + issued_ms % 1009",
        "retired_numbers" => "id * 3 + uses_left + spent + coalesce(last_transaction, 2)",
        "number_state" => "id * 3 + uses_left + spent + coalesce(last_transaction, 2)",
        "accounts" => "id * 11 + balance + held + active_numbers",
        "issuer_books" => "issuer * 13 + settlement + funding + suspense",
        "quarantine" => "number * 3 + why",
        "cards" => "id * 3 + last_tsn * 5 + etsns + coalesce(locked_ms, 2) + refused * 7 + misses_from",
        "etsns" => "id * 3 + etsn + checks * 5 + coalesce(used_ms, 1) * 2 + coalesce(void_ms, 1) * 7",
        "open_etsns" => "id * 3 + etsn + checks * 5",
        "card_misses" => "id * 3 + number + at_ms * 5 + locks",
        "host_advices" => "entry * 3 + place * 7 + stan + amount + coalesce(about, 1)",
        "reference_lookup" | "number_lookup" | "etsn_lookup" => "id * 3 + hash % 1009",
        "gaps" => "list * 1000003 + id * 7 + next",
        "carried_entries" => "issuer * 7 + account * 3 + cardholder + held * 5 + settlement",
        "kept_answers" => "id",
        _ => "before_ms + next_transaction",
    };
    let table = valid(table, play);
    let rows = ground.raw("views", &format!("SELECT count(*) FROM {table} AS t"));
    let sum = format!("SELECT CAST(coalesce(sum({columns}), 0) AS BIGINT) FROM {table} AS t");
    (rows, ground.raw("views", &sum))
}

fn the_latest_is_never_dropped(ground: Ground) {
    let play = old_world(&ground, 43);
    let around = tempfile::tempdir().unwrap();
    let remember_ms = 10 * DAY_MS;
    let kept = RetentionOptions { remember_ms, ..RetentionOptions::forever(around.path().to_owned()) };
    let kept = Retention::open(&ground.home, kept).unwrap();
    let asked = |views_before_ms| Asked { views_before_ms: Some(views_before_ms), ..Asked::default() };
    let latest_ms = play.ends.at_ms() - remember_ms;
    let refused = kept.run(&asked(latest_ms + 1), 0, &|| true);
    assert_eq!(refused, Err(StoreError::TooRecent { before_ms: latest_ms }));
    // As far as the journal goes back nothing is dropped.
    assert_eq!(kept.plan(&asked(latest_ms)).unwrap().transactions, 0);
    let done = kept.run(&asked(latest_ms), 0, &|| true).unwrap();
    assert_eq!(done, Dropped { whole: true, ..Dropped::default() });
    let before_ms = play.ends.at_ms() - 90 * DAY_MS;
    let journal = Asked { journal_before_ms: Some(before_ms), ..Asked::default() };
    assert!(kept.run(&journal, 0, &|| true).unwrap().records > 0);
    let done = kept.run(&asked(latest_ms), 0, &|| true).unwrap();
    assert!(done.transactions > 0);
    let cut_ms = ground.raw("views", "SELECT max(before_ms) FROM cut") as u64;
    assert!(cut_ms <= before_ms, "{cut_ms} {before_ms}");
}
