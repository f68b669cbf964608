//! The cards of the check site in the views, and what issuer hosts are told: for people, and to load them again.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::cards::counts;
use common::{Ground, Play, assert_same, assert_state, fold, on_both, reopen};
use mayfly_core::state::Card;
use mayfly_core::{CardRef, Event, HostAdvice, IssuerId, NumberId, TimeMs};
use mayfly_dynamic::Etsn;
use mayfly_store::{
    Asked, CUT_AGE_MIN_MS, CardStatus, EtsnStatus, EventPlace, JournalReader, Retention, RetentionOptions,
    Views,
};

const DAY_MS: u64 = 86_400_000;

on_both!(
    people_see_what_happened_to_cards,
    cards_are_loaded_as_they_were,
    issuer_hosts_own_answers_are_shown,
    what_is_over_of_cards_and_advices_is_dropped,
);

/// What an ETSN came to, by the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Life {
    opened_ms: TimeMs,
    expires_ms: TimeMs,
    checks: u8,
    used_ms: Option<TimeMs>,
    void_ms: Option<TimeMs>,
}

/// What the journal tells of ETSNs and of what hosts are owed.
#[derive(Default)]
struct Told {
    etsns: BTreeMap<NumberId, BTreeMap<Etsn, Life>>,
    refused: BTreeMap<NumberId, u64>,
    advices: BTreeMap<IssuerId, Vec<(EventPlace, TimeMs, HostAdvice)>>,
}

fn told(play: &Play) -> Told {
    let mut told = Told::default();
    let journal = JournalReader::open(&play.home).unwrap();
    for entry in journal.entries(1) {
        let entry = entry.unwrap();
        let mut place = EventPlace { sequence: entry.number, index: 0 };
        for record in &entry.records {
            let at_ms = record.at_ms;
            journal
                .each_event(record, |event| {
                    told.take(event, place, at_ms);
                    place = place.after();
                })
                .unwrap();
        }
    }
    told
}

impl Told {
    fn take(&mut self, event: Event, place: EventPlace, at_ms: TimeMs) {
        match event {
            Event::EtsnOpened(event) => {
                let life = Life { opened_ms: at_ms, expires_ms: event.expires_ms, ..Life::default() };
                self.etsns.entry(event.card.number.id).or_default().insert(event.etsn, life);
            }
            Event::EtsnUsed { card, etsn } => {
                self.etsns.get_mut(&card.number.id).unwrap().get_mut(&etsn).unwrap().used_ms = Some(at_ms);
            }
            Event::EtsnChecked { card, etsn } => {
                self.etsns.get_mut(&card.number.id).unwrap().get_mut(&etsn).unwrap().checks += 1;
            }
            Event::CardMissed { card, locks: true } => {
                for life in self.etsns.get_mut(&card.number.id).unwrap().values_mut() {
                    if life.used_ms.is_none() && life.void_ms.is_none() && at_ms < life.expires_ms {
                        life.void_ms = Some(at_ms);
                    }
                }
            }
            Event::RequestRefused { card, .. } => *self.refused.entry(card.number.id).or_default() += 1,
            Event::HostAdvised(advice) => {
                self.advices.entry(advice.issuer).or_default().push((place, at_ms, *advice));
            }
            _ => {}
        }
    }
}

fn people_see_what_happened_to_cards(ground: Ground) {
    let mut play = Play::new(&ground.home, 61);
    // In several transactions, so that some ETSNs are used in the one in which they were opened, and some in a later one.
    for _ in 0..6 {
        play.run(400);
        fold(&play.home, &play.ends);
    }
    let number = play.new_card();
    let account = play.active(number.index).unwrap().account;
    play.open_etsn(CardRef { number, account }, &Card::default());
    play.commit();
    fold(&play.home, &play.ends);
    assert_same(&ground.home);
    let told = told(&play);
    let views = Views::open(&ground.home).unwrap();
    let now_ms = play.partitions.now_ms();
    let mut states = BTreeMap::new();
    for (card, lives) in &told.etsns {
        let (mut found, mut before) = (BTreeMap::new(), None);
        loop {
            let page = views.etsns(*card, before, 3).unwrap();
            for row in page.rows {
                let life = Life {
                    opened_ms: row.opened_ms,
                    expires_ms: row.expires_ms,
                    checks: row.checks,
                    used_ms: row.used_ms,
                    void_ms: row.void_ms,
                };
                *states.entry(format!("{:?}", row.status(now_ms))).or_insert(0) += 1;
                // Latest first.
                assert!(found.keys().all(|later| *later > row.etsn));
                found.insert(row.etsn, life);
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(&found, lives, "{card}");
        let row = views.card(*card, now_ms).unwrap().unwrap();
        assert_eq!(row.life.etsns, lives.len() as u64);
        assert_eq!(row.life.last_etsn, *lives.keys().last().unwrap());
        assert_eq!(row.life.refused, told.refused.get(card).copied().unwrap_or(0));
    }
    for state in [EtsnStatus::Used, EtsnStatus::Void, EtsnStatus::Expired, EtsnStatus::Open] {
        let count = states.get(&format!("{state:?}")).copied().unwrap_or(0);
        assert!(count > 0, "none is {state:?}: the test shows nothing");
    }
    let checked = told.etsns.values().flat_map(|lives| lives.values()).filter(|life| life.checks > 0).count();
    assert!(checked > 0 && !told.refused.is_empty());

    // The cards of all accounts, as if one cardholder had them all, in pages.
    let accounts: Vec<_> = views.accounts(None, 1000).unwrap().rows.iter().map(|row| row.id).collect();
    let (mut cards, mut from) = (Vec::new(), None);
    loop {
        let page = views.cards(&accounts, now_ms, from, 7).unwrap();
        cards.extend(page.rows);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let ids: BTreeSet<_> = cards.iter().map(|card| card.number.id).collect();
    assert_eq!(ids.len(), cards.len());
    assert!(told.etsns.keys().all(|card| ids.contains(card)));
    let mut stands = BTreeSet::new();
    for card in &cards {
        stands.insert(format!("{:?}", card.status(now_ms)));
        let state = play.partitions.get(card.number.id.partition()).unwrap();
        let number = state.numbers.find(card.number.index).filter(|number| number.id == card.number.id);
        let in_memory = number.and_then(|number| counts(state.cards.find(number.index)?, now_ms));
        match in_memory {
            Some(memory) => {
                assert_eq!(card.life.open as usize, memory.open.len());
                assert_eq!(card.life.locked_ms, memory.locked_ms);
                assert_eq!(card.life.last_tsn, memory.last_tsn);
            }
            None => assert!(number.is_none() || card.life.etsns == 0),
        }
    }
    let all = [CardStatus::Active, CardStatus::Locked, CardStatus::Closed];
    assert_eq!(stands, all.map(|status| format!("{status:?}")).into());
    // The same for whoever reads tables.
    let number = |sql: &str| ground.raw("views", sql);
    let etsns: usize = told.etsns.values().map(BTreeMap::len).sum();
    assert_eq!(number("SELECT count(*) FROM etsn_list"), etsns as i64);
    assert!(number("SELECT count(*) FROM etsn_list WHERE state = 'used'") > 0);
    assert_eq!(
        number("SELECT count(*) FROM card_list WHERE length(last_four) = 4"),
        number("SELECT count(*) FROM cards")
    );
    assert!(number("SELECT count(*) FROM card_list WHERE state = 'locked'") > 0);
    // A number that is no card's.
    let plain = play.numbers.iter().find(|number| !ids.contains(&number.id)).unwrap();
    assert_eq!(views.card(plain.id, now_ms).unwrap(), None);

    for (issuer, advices) in &told.advices {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = views.host_advices(*issuer, before, 5).unwrap();
            found.extend(page.rows);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        found.reverse();
        assert_eq!(found.len(), advices.len());
        for (row, (place, at_ms, advice)) in found.iter().zip(advices) {
            assert_eq!((row.place, row.at_ms, row.told), (*place, *at_ms, advice.told));
            assert_eq!((row.number, row.account), (advice.number.id, advice.account));
            assert_eq!((row.stan, row.rrn), (advice.trace.stan(), advice.trace.rrn()));
            assert_eq!(row.about, advice.about.map(|about| about.stan()));
            assert_eq!((row.amount, row.stays), (advice.amount, advice.stays));
            assert_eq!((row.currency, row.approval), (advice.currency, advice.approval));
        }
    }
    assert!(told.advices.len() == 2, "{:?}: the test shows nothing", told.advices.keys());
    drop(play.journal);
    let opened = reopen(&ground.home);
    assert_state(&opened.partitions, &play.partitions);
}

/// From the views and what of the journal they don't have yet.
fn cards_are_loaded_as_they_were(ground: Ground) {
    let mut play = Play::new(&ground.home, 62);
    let mut loaded_with = (0, 0, 0);
    for round in 0..6 {
        play.run(250);
        fold(&play.home, &play.ends);
        // A few entries that are not folded: they are replayed.
        if round % 2 == 0 {
            play.run(40);
        }
        let opened = reopen(&ground.home);
        assert_eq!(opened.rebuilt, None);
        assert_state(&opened.partitions, &play.partitions);
        let now_ms = opened.partitions.now_ms();
        for card in opened.partitions.iter().flat_map(|state| state.cards.iter()) {
            let Some(card) = counts(card.1, now_ms) else { continue };
            loaded_with.0 += card.open.len();
            loaded_with.1 += card.misses_ms.len();
            loaded_with.2 += usize::from(card.locked_ms.is_some());
        }
    }
    assert!(
        loaded_with.0 > 0 && loaded_with.1 > 0 && loaded_with.2 > 0,
        "{loaded_with:?}: the test shows nothing"
    );
}

fn issuer_hosts_own_answers_are_shown(ground: Ground) {
    let mut play = Play::new(&ground.home, 63);
    play.run(5000);
    fold(&play.home, &play.ends);
    assert_same(&ground.home);
    let number = |sql: &str| ground.raw("views", sql);
    // A name for each of them that was given, and none for others.
    let given = ["1A", "ZZ"].map(|code| {
        let shown = number(&format!("SELECT count(*) FROM transaction_list WHERE response = '{code}'"));
        let named = number(&format!("SELECT count(*) FROM responses WHERE name = '{code}'"));
        assert_eq!(named, i64::from(shown > 0), "{code}");
        shown
    });
    assert!(given.iter().sum::<i64>() > 0, "the test shows nothing");
    assert_eq!(number("SELECT count(*) FROM transactions"), number("SELECT count(*) FROM transaction_list"));
    let letters = "SELECT count(*) FROM transaction_list WHERE approval IN ('AB12C3', '00000Z')";
    assert!(number(letters) > 0, "the test shows nothing");
    let others = "SELECT count(*) FROM transactions WHERE approval >= 1000000";
    assert_eq!(number(letters), number(others));
    assert!(number("SELECT count(*) FROM accounts WHERE issuer_host = 1 AND credit_limit IS NULL") >= 2);
    let waits = play.partitions.iter().map(|state| state.pending.len()).sum::<usize>();
    assert_eq!(number("SELECT count(*) FROM pending"), waits as i64);
}

fn what_is_over_of_cards_and_advices_is_dropped(ground: Ground) {
    let mut play = Play::new(&ground.home, 64);
    for _ in 0..6 {
        play.run(250);
        play.now_ms += 20 * DAY_MS;
    }
    play.run(200);
    fold(&play.home, &play.ends);
    let before_ms = play.ends.at_ms() - 40 * DAY_MS;
    let number = |sql: &str| ground.raw("views", sql);
    let over = format!("coalesce(used_ms, void_ms, expires_ms) < {before_ms}");
    let old = |table: &str, over: &str| number(&format!("SELECT count(*) FROM {table} WHERE {over}"));
    let at = format!("at_ms < {before_ms}");
    let (etsns, misses, advices) = (old("etsns", &over), old("card_misses", &at), old("host_advices", &at));
    assert!(etsns > 0 && misses > 0 && advices > 0, "{etsns} {misses} {advices}: the test shows nothing");
    let left = number("SELECT count(*) FROM etsns") - etsns;
    let around = tempfile::tempdir().unwrap();
    let kept = Retention::open(&ground.home, RetentionOptions::forever(around.path().to_owned())).unwrap();
    assert!(before_ms + CUT_AGE_MIN_MS < play.ends.at_ms());
    let asked = Asked { journal_before_ms: Some(before_ms), views_before_ms: Some(before_ms) };
    let dropped = kept.run(&asked, before_ms, &|| true).unwrap();
    assert!(dropped.whole);
    // As far as the journal was cut: the last entry before that time stands a little further back.
    let journal_ms = JournalReader::open(&ground.home).unwrap().base().unwrap().at_ms();
    assert!(journal_ms <= before_ms);
    let over = format!("coalesce(used_ms, void_ms, expires_ms) < {journal_ms}");
    let at = format!("at_ms < {journal_ms}");
    assert_eq!((old("etsns", &over), old("card_misses", &at), old("host_advices", &at)), (0, 0, 0));
    assert!(dropped.etsns > 0 && dropped.etsns as i64 <= etsns && dropped.advices > 0);
    assert_eq!(number("SELECT count(*) FROM etsns"), left + etsns - dropped.etsns as i64);
    assert_eq!(number("SELECT count(*) FROM etsn_lookup"), number("SELECT count(*) FROM etsns"));
    // Those of numbers that are gone, too.
    assert_eq!(number("SELECT count(*) FROM cards WHERE id NOT IN (SELECT id FROM numbers)"), 0);
    drop(play.journal);
    let opened = reopen(&ground.home);
    assert_eq!(opened.rebuilt, None);
    assert_state(&opened.partitions, &play.partitions);
}
