//! Two gateways, purchases that go on, and a journal and views that are cut again and again. By a seeded plan the gateway that
//! cuts is killed, stopped, or stands still in the middle of it; the other one, which followed across the cuts or has just been
//! started, takes over, and cuts on. Afterwards the gateways say of every account what the clients' books say, journal and
//! archive are one chain in which everything is that was answered, and nothing twice, and the views are those that follow from it.
//!
//! `MAYFLY_SEED` repeats a plan, `MAYFLY_ROUNDS` says how many times the gateways change places.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds and counts, for whoever reads the output")]

#[path = "retention/ageing.rs"]
mod ageing;
#[path = "cutting/clients.rs"]
mod clients;
mod harness;
#[path = "cutting/views.rs"]
mod views;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use ageing::DAY_MS;
use clients::{Client, Load, Market};
use harness::buying::World;
use harness::{Card, Gateway, History, Random, Sent, mayfly, said, until};
use mayfly_testing::TestDatabase;
use rustix::process::Signal;
use serde_json::json;

/// How many times the gateways change places if nothing else is asked.
const ROUNDS: u64 = 6;
const CLIENTS: u64 = 4;
/// How many accounts there are, and how many purchases each client made long ago, with a number for each.
const ACCOUNTS: usize = 6;
const OLD_PURCHASES: usize = 60;
/// How long ago they began: what is held is not given back yet, and numbers that were used up then are out of quarantine.
const DAYS: u64 = 86;
const HOLD_DAYS: u64 = 90;
/// How far the old entries are apart, in milliseconds: so it comes to some twenty days.
const APART_MS: Range<u64> = 1_200_000..7_200_000;
/// Shorter than by default, so that a gateway that is lost is missed sooner.
const LEASE: &str = "lease_ms = 2000\nstatement_time_max_ms = 2000\nconnect_time_max_ms = 2000";

/// What becomes of the gateway that cuts.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is killed.
    Kill,
    /// It stands still until the other one has taken over.
    Freeze,
    /// It is asked to stop.
    Stop,
}

/// When: so many files after it has begun, and so many milliseconds after that. If there are no more files, when it is done.
#[derive(Clone, Copy, Debug)]
struct Moment {
    files: usize,
    after_ms: u64,
}

impl Moment {
    fn drawn(random: &mut Random) -> Self {
        let files = random.below(5) as usize;
        // While it is at a file, or later.
        let within_ms = *random.of(&[20, 500]).unwrap();
        Self { files, after_ms: random.below(within_ms) }
    }
}

#[test]
fn whoever_takes_over_in_the_middle_of_a_cut_goes_on_with_it() {
    let mut random = Random::of_environment();
    // What is drawn for the plan is the same whatever the clients come to.
    let mut plan = random.fork();
    let rounds = std::env::var("MAYFLY_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let database = TestDatabase::create();
    let (mut gateways, archive) = gateways(&database);

    let (market, mut clients) = long_ago(&mut gateways, &mut random);
    let apart = APART_MS;
    let aged = ageing::age(&gateways[0].home, Some(&database), DAYS, || {
        apart.start + random.below(apart.end - apart.start)
    });
    market.grow_old();

    gateways[0].start();
    gateways[0].await_active();
    let cards: Vec<_> = clients.iter().map(|_| cards(&gateways[0], &market.accounts)).collect();
    // What was asked long ago is not asked again.
    let old: Vec<Sent> = clients.iter_mut().flat_map(|client| std::mem::take(&mut client.sent)).collect();
    let load = Load::begin(clients, &cards);
    let (begins, ends) = (aged.times_ms[0], *aged.times_ms.last().unwrap());
    let mut active = 0;
    for round in 0..rounds {
        let other = 1 - active;
        if round == 0 {
            gateways[other].start();
            gateways[other].await_standby();
        }
        // Some days more each time, and all that is old the last time.
        let part = (ends - begins) / rounds;
        let before_ms =
            begins + part * round + if round + 1 < rounds { plan.below(part) } else { DAY_MS + part };
        let fault = *plan.of(&[Fault::Kill, Fault::Kill, Fault::Kill, Fault::Freeze, Fault::Stop]).unwrap();
        let moment = Moment::drawn(&mut plan);
        // One that follows across the cut; or one that is started in the middle of it, and loads what is being cut.
        let starts = plan.below(3) == 0;
        if starts {
            gateways[other].kill();
        }
        let cutting = cut(&gateways[active], before_ms);
        if starts {
            gateways[other].start();
        }
        await_moment(moment, &archive, &cutting);
        let done = cutting.is_finished();
        match fault {
            Fault::Kill => gateways[active].kill(),
            Fault::Freeze => gateways[active].signal(Signal::STOP),
            Fault::Stop => gateways[active].stop(),
        }
        let stands = database.psql(STANDS);
        println!("round {round}: {fault:?} at {moment:?}, starts: {starts}, done: {done}, {stands}");
        gateways[other].await_active();
        market.check(&gateways[other]);
        match fault {
            Fault::Freeze => gateways[active].signal(Signal::CONT),
            Fault::Kill | Fault::Stop => gateways[active].start(),
        }
        gateways[active].await_standby();
        let ended = cutting.join().unwrap();
        assert!(ended.status.success() || !done, "{}", said(&ended));

        // What was begun is brought to its end.
        let ended = cut(&gateways[other], before_ms).join().unwrap();
        assert!(ended.status.success(), "{}", said(&ended));
        let wanted = aged.times_ms.iter().filter(|at_ms| **at_ms < before_ms).count() as u64;
        let base: u64 = database.psql("SELECT max(number) FROM mayfly_journal.journal_base").parse().unwrap();
        assert_eq!(base, wanted, "{}", said(&ended));
        market.check(&gateways[other]);
        await_purchases(&market);
        active = other;
    }
    let mut sent = old;
    sent.extend(load.end().into_iter().flat_map(|client| client.sent));
    market.check(&gateways[active]);
    gateways[1 - active].stop();
    gateways[active].stop();
    check(&mut gateways[active], &database, &market, &sent);
}

#[test]
fn one_that_stood_still_for_days_finds_what_it_would_read_next_archived() {
    let database = TestDatabase::create();
    let ([mut first, mut second], _) = gateways(&database);
    first.start();
    first.await_active();
    second.start();
    second.await_standby();
    let mut world = World::new(&first);
    world.while_buying([&mut first, &mut second], |_, other| other.signal(Signal::STOP));
    world.check(&first);
    first.stop();
    let at_ms = ageing::pass(&first.home, 10);
    first.start();
    first.await_active();
    world.while_buying([&mut first, &mut second], |_, _| ());
    let ended = cut(&first, at_ms - 3 * DAY_MS).join().unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    let left = first.home.json(["journal", "verify", "--no-archive"]);
    assert!(left["first"].as_u64() > Some(1), "{left}");

    second.signal(Signal::CONT);
    until("the state to be loaded again", || {
        second.log().contains("was archived: the state is loaded again").then_some(())
    });
    second.await_standby();
    first.kill();
    second.await_active();
    world.check(&second);
    world.while_buying([&mut second, &mut first], |_, _| ());
    world.check(&second);
    second.stop();
    let verified = second.home.verify();
    assert_eq!(verified["first"].as_u64(), Some(1), "{verified}");
}

/// Two gateways on a database, and the one directory in which both write what they archive.
fn gateways(database: &TestDatabase) -> ([Gateway; 2], PathBuf) {
    let first = Gateway::with(&database.url(), None, LEASE, "");
    let second = Gateway::with(&database.url(), Some(&first), LEASE, "");
    let archive = first.home.beside("archive");
    for gateway in [&first, &second] {
        gateway.home.configure_more(&format!("[retention]\narchive_dir = {archive:?}\n"));
    }
    ([first, second], archive)
}

/// Where a cut stands: files that are noted, up to which entry they are, after which entry the journal begins, and how many
/// partitions' views have been cut.
const STANDS: &str = "SELECT format('%s files up to %s, journal cut up to %s, views of %s partitions', \
    (SELECT count(*) FROM mayfly_journal.archived), (SELECT coalesce(max(last), 0) FROM mayfly_journal.archived), \
    (SELECT coalesce(max(number), 0) FROM mayfly_journal.journal_base), (SELECT count(*) FROM mayfly_views.cut))";

/// What happened long ago: two issuers, of which one lets its numbers be drawn again a month later at the latest, accounts of both, and
/// purchases with a number for each. Some are still open.
fn long_ago(gateways: &mut [Gateway; 2], random: &mut Random) -> (Arc<Market>, Vec<Client>) {
    gateways[0].start();
    gateways[0].await_active();
    let mut admin = gateways[0].admin();
    let keeps = admin.open_issuer_with("Keeps", "456940", json!({ "hold_days": HOLD_DAYS }));
    let forgets = admin.open_issuer_with(
        "Forgets",
        "456941",
        json!({ "hold_days": HOLD_DAYS, "quarantine_months": 1 }),
    );
    let issuers = [keeps, forgets];
    let accounts = (0..ACCOUNTS).map(|at| admin.open_account(&issuers[at % 2], 1_000_000_000)).collect();
    let market = Arc::new(Market::new(accounts));
    let clients: Vec<Client> =
        (1..=CLIENTS).map(|lane| Client::new(gateways, &market, lane, random.fork())).collect();
    let (active, market_now) = (&gateways[0], &market);
    let clients = std::thread::scope(|scope| {
        let buy = |mut client: Client| {
            move || {
                let mut admin = active.admin();
                for at in (0..ACCOUNTS).cycle().take(OLD_PURCHASES) {
                    let number = admin.issue(&market_now.accounts[at], 1).unwrap().unwrap();
                    client.buy(at, &Arc::new(number));
                }
                client
            }
        };
        let buying: Vec<_> = clients.into_iter().map(|client| scope.spawn(buy(client))).collect();
        buying.into_iter().map(|client| client.join().unwrap()).collect()
    });
    market.check(&gateways[0]);
    gateways[0].stop();
    (market, clients)
}

/// A number of each account, for as many purchases as it can be good for.
fn cards(active: &Gateway, accounts: &[String]) -> Vec<Arc<Card>> {
    let mut admin = active.admin();
    accounts.iter().map(|account| Arc::new(admin.issue(account, 1000).unwrap().unwrap())).collect()
}

/// Has a gateway cut journal and views, and waits until it has, beside.
fn cut(active: &Gateway, before_ms: u64) -> JoinHandle<Output> {
    let before = jiff::Timestamp::from_millisecond(before_ms as i64).unwrap().to_string();
    let mut command = mayfly();
    command.arg("--data-dir").arg(&active.home.dir);
    command.args(["retention", "run", "--journal-before", &before, "--views-before", &before]);
    std::thread::spawn(move || command.output().unwrap())
}

fn await_moment(moment: Moment, archive: &Path, cutting: &JoinHandle<Output>) {
    let files = || std::fs::read_dir(archive).map_or(0, Iterator::count);
    let before = files();
    until("the cut", || (files() >= before + moment.files || cutting.is_finished()).then_some(()));
    sleep(Duration::from_millis(moment.after_ms));
}

/// Everybody who waits has been answered.
fn await_purchases(market: &Market) {
    let before = market.answered();
    until("purchases", || (market.answered() >= before + 10 * CLIENTS).then_some(()));
}

/// What was answered is in journal and archive once, and the views follow from them: those that were in service, and those that are
/// built from them now.
fn check(gateway: &mut Gateway, database: &TestDatabase, market: &Market, sent: &[Sent]) {
    let verified = gateway.home.verify();
    assert_eq!(verified["first"].as_u64(), Some(1), "{verified}");
    let mut history = History::default();
    history.read_on(&gateway.home);
    history.has_answered(sent);
    assert_eq!(history.len(), sent.len(), "there is something in the journal that nobody has sent");
    assert_eq!(history.taken_back(), 0);
    history.no_number_was_overused();
    history.books_balance(&market.accounts, &market.books());
    println!("{} messages, {}", sent.len(), verified);
    views::are_those_that_are_built_anew(gateway, database);
}
