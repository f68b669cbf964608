//! The database goes away under load, for a moment: the server comes back by itself, and nothing that was acknowledged is
//! lost, done twice, or told differently.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds and counts, for whoever reads the output")]

mod harness;
#[path = "crash/load.rs"]
mod load;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{Card, History, Home, Kind, Message, Peer, Random, Sent, Server, until};
use load::Load;
use mayfly_testing::{Store, TestCluster};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How many workers load the server.
const WORKERS: usize = 8;
/// How long it is loaded before each outage, in milliseconds.
const LOAD_MS: (u64, u64) = (100, 700);
/// How long the server has for an answer, and what the machine may need besides.
const ANSWER_TIMEOUT: &str = "answer_timeout_ms = 3000";
const ANSWERED_IN: Duration = Duration::from_secs(3 + 5);
/// A page of the database, in bytes.
const PAGE: u64 = 8192;
/// A file of its log, of the least size that it may have, in bytes.
const LOG_FILE: u64 = 1 << 20;
/// How soon the server must be ready again.
const READY_IN: Duration = Duration::from_secs(20);

#[test]
fn connections_that_break_lose_nothing() {
    let home = Home::new(Store::Postgres);
    endure(&home, 10, |_, _| {
        // The writer's at least, the folder's, some readers'.
        assert!(home.database().unwrap().end_connections() > 3);
    });
}

#[test]
fn a_database_that_is_restarted_loses_nothing() {
    let cluster = TestCluster::start();
    let home = Home::on(cluster.database());
    endure(&home, 4, |outage, _| cluster.restart(outage % 2 == 0, Duration::ZERO));
}

/// Away for longer than a gateway is sure to be the active one.
#[test]
fn a_database_that_is_away_for_long_loses_nothing() {
    let cluster = TestCluster::start();
    let home = Home::on(cluster.database());
    endure(&home, 2, |outage, _| cluster.restart(outage == 1, Duration::from_secs(8)));
}

/// The disk is full for the journal's own table: it is not lengthened any more, until there is room again.
#[test]
fn a_database_without_room_for_the_journal_loses_nothing() {
    without_room_for("mayfly_journal.journal", "91", "");
}

/// The disk is full for the views: purchases go on until the views lag too far behind, and again when there is room.
#[test]
fn a_database_without_room_for_the_views_loses_nothing() {
    without_room_for("mayfly_views.transactions", "96", "[engine]\nviews_lag_max_s = 1");
}

/// No table grows by much any more until somebody is told so, and for a while after that.
fn without_room_for(table: &str, told: &str, more: &str) {
    let cluster = TestCluster::with(&["wal_segment_size=1"]);
    let home = Home::with_database(cluster.database(), &format!("{ANSWER_TIMEOUT}\n{more}"));
    endure(&home, 2, |_, bystander| {
        // The first one for which there is no room: from now on its pages are hardly filled.
        home.database().unwrap().psql(&format!("ALTER TABLE {table} SET (fillfactor = 10)"));
        // A page that it comes to in a second, or the second half of that, has no room. The files of the database's own log have.
        let pages = (cluster.longest_file().max(LOG_FILE) + 2 * LOG_FILE) / PAGE;
        cluster.limit_files(Some(pages * PAGE + PAGE / 2));
        bystander.is_told(told);
        std::thread::sleep(Duration::from_secs(1));
        cluster.limit_files(None);
    });
}

/// The disk is full for the database's own log: the database stops at once, and comes back when there is room.
#[test]
fn a_database_without_room_for_its_log_loses_nothing() {
    let cluster = TestCluster::with(&["wal_segment_size=64"]);
    let home = Home::with_database(cluster.database(), ANSWER_TIMEOUT);
    endure(&home, 2, |_, bystander| {
        let end = "SELECT file_offset FROM pg_walfile_name_offset(pg_current_wal_lsn())";
        let end: u64 = home.database().unwrap().psql(end).parse().unwrap();
        // Tables have room.
        cluster.limit_files(Some(end.max(cluster.longest_file() + 8 * LOG_FILE)));
        bystander.is_told("91");
        std::thread::sleep(Duration::from_secs(1));
        cluster.limit_files(None);
        // It tries to recover, and may have given that up.
        std::thread::sleep(Duration::from_secs(1));
        if cluster.processes().is_empty() {
            cluster.start_again();
        }
    });
}

/// Whatever the database wants of its disk takes long: for one of its processes, or for all of them.
#[test]
fn a_database_that_stands_still_loses_nothing() {
    let cluster = TestCluster::start();
    let home = Home::with_database(cluster.database(), ANSWER_TIMEOUT);
    // What it did last; everybody else ends a transaction with one word more.
    let writer = "SELECT pid FROM pg_stat_activity WHERE query IN ('BEGIN', 'COMMIT')
        OR query LIKE 'INSERT INTO entries%' OR query LIKE 'COPY journal%' LIMIT 1";
    endure(&home, 3, |outage, bystander| {
        let (still, seconds) = match outage {
            // The journal's, for less and for more than the gateway waits for it.
            1 => (vec![home.database().unwrap().psql(writer).parse().unwrap()], 4),
            2 => (vec![home.database().unwrap().psql(writer).parse().unwrap()], 14),
            // And all of them, for longer than the lease is good.
            _ => (cluster.processes(), 7),
        };
        signal(&still, Signal::STOP);
        bystander.is_told("91");
        std::thread::sleep(Duration::from_secs(seconds));
        signal(&still, Signal::CONT);
    });
}

fn signal(processes: &[i32], signal: Signal) {
    for pid in processes {
        // It may have ended, if it is a connection's.
        let _ = kill_process(Pid::from_raw(*pid).unwrap(), signal);
    }
}

/// One more client, who looks how the server answers while its database can't be used.
struct Bystander {
    address: SocketAddr,
    card: Arc<Card>,
    /// Twelve digits: those of its next purchase.
    rrn: u64,
    sent: Vec<Sent>,
}

impl Bystander {
    /// Buys until it is told that the server can't, each time within the time that the server has for an answer.
    fn is_told(&mut self, code: &str) {
        until(&format!("an answer {code}"), || {
            self.rrn += 1;
            let (card, rrn) = (self.card.clone(), format!("{:012}", self.rrn));
            let stan = (self.rrn % 1_000_000) as u32;
            let message = Message { kind: Kind::Purchase, card, amount: 1000, stan, rrn, original: None };
            let begun = Instant::now();
            let answer = Peer::connect(self.address).unwrap().ask(&message).unwrap();
            let waited = begun.elapsed();
            assert!(waited < ANSWERED_IN, "an answer took {waited:?}");
            let told = answer.code == code;
            self.sent.push(Sent { message, answer: (!answer.is_shed()).then_some(answer) });
            told.then_some(())
        });
    }
}

/// Loads a server through so many outages. Every time it is ready again by itself, and afterwards accounts for everything.
fn endure(home: &Home, outages: u64, mut outage: impl FnMut(u64, &mut Bystander)) {
    let mut random = Random::of_environment();
    let mut server = home.start();
    let accounts = {
        let mut admin = server.admin();
        let issuer = admin.open_issuer("Outages", "456940");
        (0..WORKERS).map(|_| admin.open_account(&issuer, 999_999_999_999)).collect::<Vec<_>>()
    };
    let (mut sent, mut issued) = (Vec::new(), Vec::new());
    for round in 1..=outages {
        let card = Arc::new(server.admin().issue(&accounts[0], 1000).unwrap().unwrap());
        issued.push(card.id.clone());
        let rrn = round * 1_000_000_000 + 990_000_000;
        let mut bystander = Bystander { address: server.address, card, rrn, sent: Vec::new() };
        let load = Load::begin(&server, &accounts, round, &mut random);
        let (shortest, longest) = LOAD_MS;
        std::thread::sleep(Duration::from_millis(shortest + random.below(longest - shortest)));
        let begun = Instant::now();
        outage(round, &mut bystander);
        let lasted = begun.elapsed();
        let waited = ready_again(home, &server);
        server.find_again(home);
        std::thread::sleep(Duration::from_millis(shortest));
        let done = load.stop();
        let answered = done.sent.iter().filter(|sent| sent.answer.is_some()).count();
        println!(
            "outage {round}: {lasted:.1?}, ready {waited:.1?} later, {answered} answered, {} not",
            done.sent.len() - answered
        );
        sent.extend(done.sent);
        sent.extend(bystander.sent);
        issued.extend(done.issued);
    }
    let mut history = History::default();
    history.read_on(home);
    // What was approved too late was taken back, and is answered 96 for ever. Nobody was told that it was approved.
    let (taken_back, mut sent): (Vec<_>, Vec<_>) = sent
        .into_iter()
        .partition(|sent| history.message(&sent.message).is_some_and(|it| history.was_taken_back(it)));
    assert!(taken_back.iter().all(|sent| sent.answer.is_none()), "{taken_back:?}");
    load::ask_again(&server, &mut sent, 0, &mut random);
    let told: Vec<_> = accounts.iter().map(|account| server.admin().money(account)).collect();
    // What was broken is used again, by whoever reads the views.
    history.read_on(home);
    history.views_show(home, &mut random);
    server.stop();
    home.verify();
    history.has_issued(&issued);
    history.has_answered(&sent);
    history.no_number_was_overused();
    history.books_balance(&accounts, &told);
    let (count, written) = (sent.len() + taken_back.len(), history.len());
    println!("{count} messages, {written} of them in the journal, {} taken back", taken_back.len());
}

/// Waits until the server writes its journal again: how long that took.
fn ready_again(home: &Home, server: &Server) -> Duration {
    let begun = Instant::now();
    let durable = || {
        until("the server to be ready again", || {
            // It is refused like everything else while the journal does not confirm.
            let status = home.cli(["--json", "status"]);
            let status: Value = serde_json::from_slice(&status.stdout).ok()?;
            status["durable"].as_u64().filter(|_| status["ready"] == true)
        })
    };
    let first = durable();
    until("the journal to go on", || (durable() > first).then_some(()));
    let waited = begun.elapsed();
    assert!(waited < READY_IN, "the server was not ready for {waited:?}\n{}", server.log());
    waited
}
