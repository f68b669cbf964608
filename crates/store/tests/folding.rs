//! What is folded is what was decided.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Ground, PARTITION, Play, assert_same, on_both, options, reopen};
use mayfly_card::{MerchantId, MinorUnits};
use mayfly_core::state::Transaction;
use mayfly_core::{
    AccountId, Effect, Event, Facts, Hash64, IssuerId, Kind, MessageKind, NumberId, NumberRef, PageRequest,
    Previous, ProgrammeId, Reason, ResponseCode, Retirement, TotalsChange, Transacted, TransactionId,
};
use mayfly_engine::{Archive, Lag, Progress};
use mayfly_keys::NumberIndex;
use mayfly_store::{FoldOptions, Folder, GENERATION, Home, NumberFilter, Views, ViewsArchive};
use proptest::prelude::*;

fn fold(play: &Play, options: FoldOptions) {
    let progress = Arc::new(Progress::default());
    progress.set_durable(play.ends.number, play.ends.at_ms());
    let folder = Folder::start(&play.home, options, progress.clone(), |_| ()).unwrap();
    folder.stop().unwrap();
    assert_eq!(progress.folded(), play.ends.number);
    for state in play.partitions.iter() {
        assert_eq!(progress.folded_transaction(state.partition), state.transactions.next_id());
    }
    assert_eq!(progress.lag(u64::MAX), Lag { entries: 0, ms: 0 });
}

/// However the events are cut into transactions of the views, the views are the state.
fn folding_is_applying(ground: &Ground, partitions: u16, (seed, commands, events_max): (u64, usize, u64)) {
    let mut play = Play::of(&ground.home, seed, partitions);
    play.run(commands);
    fold(&play, FoldOptions { events_max, ..FoldOptions::default() });
    assert_same(&ground.home);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn folding_is_applying_on_sqlite(
        partitions in prop_oneof![Just(1), Just(common::SEVERAL), Just(64)],
        cut in (any::<u64>(), 100usize..2500, 1u64..2000),
    ) {
        folding_is_applying(&Ground::files(), partitions, cut);
    }

    // Each transaction takes twenty ways to the server.
    #[test]
    fn folding_is_applying_on_postgres(
        partitions in prop_oneof![Just(1), Just(common::SEVERAL), Just(64)],
        cut in (any::<u64>(), 100usize..1500, 100u64..2000),
    ) {
        folding_is_applying(&Ground::postgres(), partitions, cut);
    }
}

on_both!(
    folding_goes_on_where_it_stopped,
    the_books_add_up_in_sql,
    the_archive_finds_what_memory_had,
    the_archive_looks_into_every_generation,
    an_archive_that_waits_in_vain_says_so,
    a_folder_that_fails_says_so_and_loses_nothing,
    queries_see_what_memory_has,
);

/// Folded in small pieces while the journal grows, by one folder after the other.
fn folding_goes_on_where_it_stopped(ground: Ground) {
    let mut play = Play::new(&ground.home, 11);
    for _ in 0..8 {
        play.run(300);
        fold(&play, options().fold);
        assert_same(&ground.home);
    }
}

fn the_books_add_up_in_sql(ground: Ground) {
    let mut play = Play::new(&ground.home, 5);
    play.run(4000);
    fold(&play, FoldOptions::default());
    let number = |sql: &str| ground.raw("views", sql);
    assert!(number("SELECT count(*) FROM ledger_entries") > 1000);
    for book in ["cardholder", "held", "settlement", "funding", "suspense"] {
        let sql = format!("SELECT count(*) FROM ledger_entries WHERE book = '{book}'");
        assert!(number(&sql) > 0, "{book} is never used: the test shows nothing");
    }
    assert_eq!(number("SELECT sum(amount) FROM ledger_entries"), 0);
    let unbalanced = "SELECT count(*) FROM
        (SELECT 1 FROM ledger_entries GROUP BY \"transaction\" HAVING sum(amount) <> 0) AS unbalanced";
    assert_eq!(number(unbalanced), 0);
    // Balances are the sums of their entries.
    let accounts = "SELECT count(*) FROM accounts WHERE balance <> (SELECT coalesce(sum(amount), 0)
        FROM ledger_entries WHERE account = accounts.id AND book = 'cardholder')
        OR held <> (SELECT coalesce(sum(amount), 0)
        FROM ledger_entries WHERE account = accounts.id AND book = 'held')";
    assert_eq!(number(accounts), 0);
    let held = "SELECT (SELECT sum(total_held) FROM transactions) - (SELECT sum(held) FROM accounts)";
    assert_eq!(number(held), 0);
    // Everything that was issued is either active or retired.
    let lost = "SELECT (SELECT count(*) FROM numbers) - (SELECT count(*) FROM number_state)
        - (SELECT count(*) FROM retired_numbers)";
    assert_eq!(number(lost), 0);
    assert!(number("SELECT count(*) FROM number_list WHERE state = 'active'") > 0);
    assert!(number("SELECT count(*) FROM number_list WHERE state = 'used'") > 0);
    let transactions = number("SELECT count(*) FROM transactions");
    assert_eq!(number("SELECT count(*) FROM transaction_list"), transactions);
    // What people read is the same from either, wherever they are.
    let zone = if matches!(ground.home, Home::Database(_)) { "SET timezone = 'Asia/Tokyo'; " } else { "" };
    let readable = format!(
        "{zone}SELECT count(*) FROM transactions JOIN transaction_list AS list
        ON list.partition = transactions.partition AND list.id = transactions.id
        WHERE list.at LIKE '2%-%-%T__:__:__.___Z' AND length(list.stan) = 6 AND length(list.entry_mode) = 3
        AND CAST(substr(list.at, 12, 2) AS INTEGER) = (transactions.at_ms / 3600000) % 24
        AND CAST(substr(list.at, 18, 2) AS INTEGER) * 1000 + CAST(substr(list.at, 21, 3) AS INTEGER) =
            transactions.at_ms % 60000
        AND CAST(list.stan AS INTEGER) = transactions.stan
        AND coalesce(length(list.approval), 6) = 6
        AND (transactions.approval >= 1000000 OR
            coalesce(CAST(list.approval AS INTEGER), -1) = coalesce(transactions.approval, -1))"
    );
    assert_eq!(number(&readable), transactions);
    assert_eq!(
        number("SELECT count(*) FROM number_list WHERE length(last_four) = 4"),
        number("SELECT count(*) FROM numbers")
    );
}

fn unlinked(transactions: impl IntoIterator<Item = Transaction>) -> Vec<Transaction> {
    let mut found: Vec<_> = transactions
        .into_iter()
        .map(|it| Transaction { previous_by_reference: None, previous_by_number: None, ..it })
        .collect();
    found.sort_by_key(|transaction| transaction.id);
    found
}

fn the_archive_finds_what_memory_had(ground: Ground) {
    let mut play = Play::new(&ground.home, 23);
    play.run(4000);
    // Within the last day, wherever that ended.
    (0..300).for_each(|_| play.issue());
    play.commit();
    let progress = Arc::new(Progress::default());
    let folder = Folder::start(&play.home, options().fold, progress.clone(), |_| ()).unwrap();
    let archive = ViewsArchive::open(&play.home, progress.clone(), &folder).unwrap();
    // Only now: the archive waits until what it is asked for is folded.
    progress.set_durable(play.ends.number, play.ends.at_ms());

    for state in play.partitions.iter() {
        let partition = state.partition;
        for reference in state.transactions.iter().step_by(7).map(|it| it.reference) {
            let request = PageRequest::Reference(reference);
            let found = archive.page(partition, &request, play.ends.number).unwrap();
            let expected = play.look_up(partition, &request);
            let expected = expected.iter().map(|id| state.transactions.find(*id).unwrap().clone());
            assert_eq!(unlinked(found), unlinked(expected));
        }
    }
    let merchant = MerchantId::parse("SHOP-1").unwrap();
    let mut purchases = 0;
    for number in play.numbers.iter().step_by(3) {
        let request = PageRequest::Purchases { reference: Hash64(5), index: number.index, merchant };
        let partition = number.id.partition();
        let found = archive.page(partition, &request, play.ends.number).unwrap();
        let ids: Vec<_> = found.iter().map(|it| it.id).collect();
        assert_eq!(ids, play.look_up(partition, &request));
        purchases += ids.len();
    }
    assert!(purchases > 20, "{purchases}: the test shows nothing");
    let mut kept = 0;
    let all = play.partitions.iter().flat_map(|state| state.kept.iter().map(|kept| (state.partition, kept)));
    let now_ms = play.partitions.now_ms();
    for (partition, (key, answer)) in all.filter(|(_, (_, answer))| answer.is_kept(now_ms)) {
        assert_eq!(archive.recall(partition, key).unwrap().as_ref(), Some(answer), "{key:?}");
        kept += 1;
    }
    assert!(kept > 20, "{kept}: the test shows nothing");
    assert_eq!(archive.recall(PARTITION, Hash64(u64::MAX - 1)).unwrap(), None);
    drop(archive);
    folder.stop().unwrap();
}

/// One purchase, told by messages that lie generations of look-ups apart; and a number that was issued again.
fn the_archive_looks_into_every_generation(ground: Ground) {
    let mut play = Play::new(&ground.home, 1);
    let number = |id| NumberRef { id: NumberId(id), index: NumberIndex(u64::MAX - 3) };
    let ids = [7, GENERATION + 1, 4 * GENERATION];
    for id in ids {
        play.issue_as(number(id));
        play.record(&Event::Transacted(made_up(id, number(id))));
        play.record(&Event::NumbersRetired(vec![(number(id), Retirement::Cancelled)]));
    }
    play.commit();
    let progress = Arc::new(Progress::default());
    let folder = Folder::start(&play.home, options().fold, progress.clone(), |_| ()).unwrap();
    let archive = ViewsArchive::open(&play.home, progress.clone(), &folder).unwrap();
    progress.set_durable(play.ends.number, play.ends.at_ms());
    let merchant = MerchantId::parse("SHOP-1").unwrap();
    for request in [
        PageRequest::Reference(Hash64(u64::MAX - 9)),
        PageRequest::Purchases { reference: Hash64(5), index: number(7).index, merchant },
    ] {
        let found = archive.page(PARTITION, &request, play.ends.number).unwrap();
        let found: Vec<_> = found.iter().map(|transaction| transaction.id.0).collect();
        assert_eq!(found, [ids[2], ids[1], ids[0]], "{request:?}");
    }
    let nothing = PageRequest::Reference(Hash64(5));
    assert_eq!(archive.page(PARTITION, &nothing, play.ends.number), Ok(Vec::new()));
}

fn made_up(id: u64, number: NumberRef) -> Transacted {
    let totals = TotalsChange { authorised: 500, captured: 500, ..TotalsChange::default() };
    Transacted {
        id: TransactionId(id),
        kind: Kind::Purchase,
        message: MessageKind::Financial,
        response: ResponseCode::Approved,
        reason: Reason::Approved,
        approval: None,
        reference: Hash64(u64::MAX - 9),
        identity: Hash64(id),
        content: Hash64(id),
        number: Some(number),
        previous: Previous::Nothing,
        retires: None,
        account: Some(AccountId(1)),
        issuer: Some(IssuerId(1)),
        programme: Some(ProgrammeId(1)),
        target: None,
        reverses: None,
        ceiling: MinorUnits::MAX,
        amount: MinorUnits::new(500).unwrap(),
        currency: common::usd(),
        facts: Facts { merchant: MerchantId::parse("SHOP-1").unwrap(), ..Facts::default() },
        effect: Effect { totals, uses: -1, spent: 500, ..Effect::default() },
    }
}

fn an_archive_that_waits_in_vain_says_so(ground: Ground) {
    let play = Play::new(&ground.home, 1);
    let progress = Arc::new(Progress::default());
    let folder = Folder::start(&play.home, options().fold, progress.clone(), |_| ()).unwrap();
    let archive = ViewsArchive::open(&play.home, progress, &folder).unwrap();
    let error = archive.page(PARTITION, &PageRequest::Reference(Hash64(1)), 99).unwrap_err();
    assert!(error.to_string().contains("not yet up to 99"), "{error}");
}

fn a_folder_that_fails_says_so_and_loses_nothing(ground: Ground) {
    let mut play = Play::new(&ground.home, 3);
    play.run(300);
    fold(&play, options().fold);
    let (folded, record) = (play.ends.number, play.ends.head(PARTITION).sequence + 5);
    play.run(300);
    // Somebody alters a record that is not folded yet.
    let altered = ground.alter(
        "journal",
        &format!("UPDATE journal SET at_ms = at_ms + 1 WHERE partition = 0 AND sequence = {record}"),
    );
    assert_eq!(altered, 1);
    let progress = Arc::new(Progress::default());
    let (send, receive) = std::sync::mpsc::channel();
    let folder = Folder::start(&play.home, options().fold, progress.clone(), move |error| {
        send.send(error.clone()).unwrap();
    })
    .unwrap();
    progress.set_durable(play.ends.number, play.ends.at_ms());
    let reported = receive.recv().unwrap();
    assert!(reported.to_string().contains(&format!("record {record}")), "{reported}");
    assert_eq!(folder.stop(), Err(reported));
    // In transactions of a few hundred events: what came before the damage may be folded, what comes after it is not.
    assert!(progress.folded() >= folded && progress.folded() < play.ends.number);
}

fn queries_see_what_memory_has(ground: Ground) {
    let mut play = Play::new(&ground.home, 31);
    play.run(3000);
    fold(&play, FoldOptions::default());
    let views = Views::open(&ground.home).unwrap();
    assert_eq!(views.folded().unwrap(), play.ends);
    let issuers: Vec<_> = views.issuers().unwrap().into_iter().map(|(_, it)| it).collect();
    assert_eq!(issuers, play.partitions.register().issuers());
    let programmes: Vec<_> = views.programmes().unwrap().into_iter().map(|(_, it)| it).collect();
    assert_eq!(programmes, play.partitions.register().programmes());
    let mut books = std::collections::BTreeMap::<_, mayfly_core::Books>::new();
    for (whose, of_one) in play.partitions.iter().flat_map(|state| &state.issuer_books) {
        books.entry(*whose).or_default().add(of_one);
    }
    assert_eq!(views.books().unwrap(), books);

    let mut accounts = Vec::new();
    let mut next = None;
    loop {
        let page = views.accounts(next, 3).unwrap();
        accounts.extend(page.rows);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let found: Vec<_> = accounts.iter().map(|row| (row.id, row.account)).collect();
    let expected = play.partitions.accounts_from(AccountId(0)).map(|(id, account)| (id, *account));
    assert_eq!(found, expected.collect::<Vec<_>>());
    let all = || play.partitions.iter().flat_map(|state| state.transactions.iter());

    let mut active = 0;
    for account in &accounts {
        let mut transactions = Vec::new();
        let mut next = None;
        loop {
            let page = views.transactions_of_account(account.id, next, 10).unwrap();
            transactions.extend(page.rows.into_iter().map(|row| row.transaction.id));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let mut expected: Vec<_> =
            all().filter(|it| it.account == Some(account.id)).map(|it| it.id).collect();
        expected.reverse();
        assert_eq!(transactions, expected);
        let mut next = None;
        loop {
            let page = views.numbers(account.id, NumberFilter::Active, next, 5).unwrap();
            active += page.rows.len();
            next = page.next;
            if next.is_none() {
                break;
            }
        }
    }
    assert_eq!(active, play.partitions.iter().map(|state| state.numbers.len()).sum::<usize>());

    // A refund of a number that is long over stands in its list, too.
    for number in &play.numbers {
        let rows = views.transactions_of_number(number.id, None, 1000).unwrap().rows;
        let expected = all().filter(|it| it.number.is_some_and(|it| it.id == number.id)).count();
        assert_eq!(rows.len(), expected, "{}", number.id);
        assert!(
            views
                .numbers_by_index(number.id.partition(), number.index)
                .unwrap()
                .iter()
                .any(|row| row.id == number.id)
        );
    }
    // The latest of all partitions, in parts.
    let mut expected: Vec<_> = all().map(|it| (it.at_ms, it.id)).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let (mut latest, mut next) = (Vec::new(), None);
    loop {
        let page = views.transactions(next, 97).unwrap();
        latest.extend(page.rows.iter().map(|row| (row.transaction.at_ms, row.transaction.id)));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(latest, expected);
    drop(play.journal);
    reopen(&ground.home);
}
