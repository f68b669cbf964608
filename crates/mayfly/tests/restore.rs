//! A database that is restored by its own means as it was at some time: what was bought before is there, what was bought later
//! is not, and it goes on from there.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod harness;

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use harness::{Card, History, Home, Kind, Message, Peer, Sent, Server, until};
use mayfly_testing::TestCluster;

const AMOUNT: u64 = 1000;

/// Buys so many times, and gives what was sent.
fn buy(server: &Server, card: &Arc<Card>, stans: std::ops::Range<u32>) -> Vec<Sent> {
    let mut peer: Peer = server.connect();
    let purchase = |stan| {
        let rrn = format!("{stan:012}");
        let message =
            Message { kind: Kind::Purchase, card: card.clone(), amount: AMOUNT, stan, rrn, original: None };
        let answer = peer.ask(&message).unwrap();
        assert!(answer.approved(), "{answer:?}");
        Sent { message, answer: Some(answer) }
    };
    stans.map(purchase).collect()
}

#[test]
fn a_database_is_restored_as_it_was_at_some_time() {
    let cluster = TestCluster::archiving();
    let mut home = Home::on(cluster.database());
    let server = home.start();
    let mut admin = server.admin();
    let issuer = admin.open_issuer("Restored", "456940");
    let account = admin.open_account(&issuer, 1_000_000);
    let card = Arc::new(admin.issue(&account, 1000).unwrap().unwrap());
    let mut before = buy(&server, &card, 1..20);
    cluster.back_up();
    before.extend(buy(&server, &card, 20..40));
    // After the backup, before the disaster; and nothing happens in the same moment.
    sleep(Duration::from_millis(300));
    let time = home.database().unwrap().psql("SELECT clock_timestamp()");
    sleep(Duration::from_millis(300));
    let after = buy(&server, &card, 40..60);
    server.stop();
    let last = home.database().unwrap().psql("SELECT pg_walfile_name(pg_switch_wal())");
    until("the log to be archived", || {
        let archived = "SELECT last_archived_wal FROM pg_stat_archiver";
        (home.database().unwrap().psql(archived) >= last).then_some(())
    });

    let restored = cluster.restore(&time);
    home.lead_to(&restored.url_of(home.database().unwrap()));
    home.json(["journal", "verify"]);
    let server = home.start();
    let told = server.admin().money(&account);
    let held = before.len() as i64 * AMOUNT as i64;
    assert_eq!(told, (-held, held));
    let mut history = History::default();
    history.read_on(&home);
    history.has_answered(&before);
    assert!(after.iter().all(|sent| history.message(&sent.message).is_none()), "what came later is there");
    history.books_balance(&[account], &[told]);
    // The repeat of what it knows is the same answer; the rest is new to it.
    for Sent { message, answer } in &before {
        let mut peer = server.connect();
        peer.send(&message.wire(true)).unwrap();
        assert_eq!(Some(peer.receive().unwrap().1), *answer);
    }
    buy(&server, &card, 60..80);
    server.stop();
    assert!(home.verify()["records"].as_u64().unwrap() > 0);
    // The database goes before its server.
    drop(home);
}
