//! The books of clients, journal and views are compared, entry by entry, and the history of every account with its numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use mayfly_core::{AccountId, TransactionId};
use serde_json::Value;

use crate::checker::{self, Call, Returned};
use crate::clients::{Asked, Bazaar, Clock};
use crate::harness::{Gateway, History};
use crate::model::{Account, Op, Said, code};
use crate::plan::World;

/// All transactions in the views: id, message, response, amount, approval code.
const TRANSACTIONS: &str = "SELECT concat_ws(' ', id, m.name, r.name, amount, approval) \
    FROM mayfly_views.transactions t JOIN mayfly_views.responses r ON r.code = t.response \
    JOIN mayfly_views.messages m ON m.code = t.message ORDER BY id";
/// All accounts.
const ACCOUNTS: &str = "SELECT concat_ws(' ', id, balance, held) FROM mayfly_views.accounts ORDER BY id";
/// All records.
const RECORDS: &str =
    "SELECT concat_ws(' ', partition, sequence, encode(hash, 'hex')) FROM mayfly_journal.journal ORDER BY 1";

/// What clients wrote down is what the journal has, and the other way round.
pub(crate) fn clients_and_journal_agree(asked: &[Asked], history: &History) {
    let mut sent = HashSet::new();
    for Asked { sent: message, .. } in asked {
        let (message, answer) = (&message.message, &message.answer);
        assert!(sent.insert(message.key()), "{message:?} was sent as two");
        let written = history.message(message);
        let Some(answer) = answer else { continue };
        let Some(written) = written else {
            panic!("{message:?} was answered {answer:?}, and is not in the journal")
        };
        assert_eq!(written.answer, *answer, "{message:?}: in the journal, and as it was answered");
        assert_eq!(written.amount, message.amount, "{message:?}");
        if answer.approved() {
            assert!(!history.was_taken_back(written), "{message:?} was answered {answer:?}, and taken back");
        }
        if answer.approved() && matches!(message.kind.mti().as_str(), "0100" | "0200" | "0220") {
            assert_eq!(written.number, message.card.id, "{message:?} was made with another number");
        }
    }
    for (key, written) in history.messages() {
        assert!(sent.contains(key), "{key:?} is in the journal ({written:?}), and nobody sent it");
    }
}

/// The views have each of the journal's transactions once, and the same of it; so do those of the database's standby.
pub(crate) fn journal_and_views_agree(world: &World, history: &History) {
    let transactions = world.database.psql(TRANSACTIONS);
    let mut shown: HashMap<i64, &str> = HashMap::new();
    for line in transactions.lines() {
        let (id, what) = line.split_once(' ').unwrap();
        assert_eq!(shown.insert(id.parse().unwrap(), what), None, "{line} is there twice");
    }
    let mut found = 0;
    for ((message, ..), written) in history.messages() {
        let id = TransactionId::parse(&written.id).unwrap().0 as i64;
        let mut expected = format!("{message} {} {}", written.answer.code, written.amount);
        if let Some(approval) = &written.answer.approval {
            expected.push_str(&format!(" {}", approval.parse::<u32>().unwrap()));
        }
        assert_eq!(shown.get(&id).copied(), Some(expected.as_str()), "{id} in the views");
        found += 1;
    }
    let of_messages = shown.values().filter(|what| !what.starts_with("operator")).count();
    assert_eq!(of_messages, found, "the views have transactions that the journal has not");

    let accounts = world.database.psql(ACCOUNTS);
    for line in accounts.lines() {
        let values: Vec<i64> = line.split(' ').map(|value| value.parse().unwrap()).collect();
        let account = AccountId(values[0] as _).to_string();
        let written = history.accounts().get(&account).copied().unwrap_or_default();
        assert_eq!((values[1], values[2]), written, "{account} in the views, and in the journal");
    }
    for (query, here) in
        [(TRANSACTIONS, transactions), (ACCOUNTS, accounts), (RECORDS, world.database.psql(RECORDS))]
    {
        assert!(
            world.pair.on_standby(&world.database, query) == here,
            "another answer on the standby: {query}"
        );
    }
}

/// What the server tells of each account, in a round, at its end: what has happened with it is an order of calls.
pub(crate) fn histories_are_linearizable(
    active: &Gateway,
    bazaar: &Bazaar,
    asked: &[Asked],
    history: &History,
    clock: Clock,
) -> usize {
    let mut calls: BTreeMap<usize, Vec<Call<Op, Said>>> = BTreeMap::new();
    for asked in asked {
        let of_purse = calls.entry(asked.purse).or_default();
        let mut returned = asked
            .sent
            .answer
            .as_ref()
            .map(|answer| Returned { at: asked.returned.unwrap_or(u64::MAX), answer: code(&answer.code) });
        // What was never answered, and was taken back, has happened: both of it.
        if let (Some(written), Op::Purchase { id, .. }) = (history.message(&asked.sent.message), &asked.op)
            && history.was_taken_back(written)
        {
            returned = Some(Returned { at: u64::MAX, answer: code("00") });
            let taken_back = Some(Returned { at: u64::MAX, answer: code("00") });
            of_purse.push(Call { op: Op::TakeBack { id: *id }, called: asked.called, returned: taken_back });
        }
        of_purse.push(Call { op: asked.op.clone(), called: asked.called, returned });
    }
    let mut admin = active.admin();
    let count = calls.len();
    for (at, mut calls) in calls {
        let purse = &bazaar.purses[at];
        let (balance, held) = admin.money(&purse.account);
        let written = history.accounts().get(&purse.account).copied().unwrap_or_default();
        assert_eq!((balance, held), written, "{}: as the server tells, and in the journal", purse.account);
        let now = clock.now();
        let available = Said::Available(purse.available + balance);
        calls.push(Call {
            op: Op::Look,
            called: now,
            returned: Some(Returned { at: now + 1, answer: available }),
        });
        let uses: Vec<_> = purse.cards.iter().map(|card| card.uses).collect();
        let account = Account::new(purse.available, &uses);
        if let Err(why) = checker::check(&account, &calls) {
            panic!("{}: there is no order in which this can have happened\n{why}", purse.account);
        }
    }
    count
}

/// The journal is a whole chain, and the views follow from it.
pub(crate) fn verified(gateway: &Gateway) -> Value {
    gateway.home.verify()
}
