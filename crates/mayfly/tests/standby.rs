//! Two gateways on one database, and purchases that go on while the active one is stopped, killed, or stands still: whatever
//! was acknowledged is there, and nothing was done twice.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds, for whoever reads the output")]

mod harness;

use std::thread::sleep;
use std::time::Duration;

use harness::buying::{CLIENT, TAKEN_OVER_WITHIN, World};
use harness::{Gateway, Proxy, until};
use mayfly_testing::TestDatabase;
use rustix::process::Signal;

#[test]
fn whatever_becomes_of_the_active_gateway_another_one_goes_on() {
    let database = TestDatabase::create();
    let mut first = Gateway::new(&database.url(), None);
    let mut second = Gateway::new(&database.url(), Some(&first));
    first.start();
    first.await_active();
    second.start();
    second.await_standby();
    // Whoever asks the one that stands by is told so.
    let status = second.home.cli(["status"]);
    let told = harness::said(&status);
    assert!(status.status.code() == Some(1) && told.contains("standby: the active gateway is"), "{told}");
    let mut world = World::new(&first);

    // Stopped: it hands over at once.
    let bought = world.while_buying([&mut first, &mut second], |active, other| {
        active.stop();
        other.await_active();
    });
    println!("stopped: {bought:?}");
    assert!(bought.silence < Duration::from_secs(5), "{bought:?}");
    world.check(&second);

    // Killed: the other one takes over when the lease is over.
    first.start();
    first.await_standby();
    let bought = world.while_buying([&mut second, &mut first], |active, other| {
        active.kill();
        other.await_active();
    });
    println!("killed: {bought:?}");
    assert!(bought.silence < TAKEN_OVER_WITHIN + CLIENT, "{bought:?}");
    world.check(&first);

    // Standing still, and going on when it is not the active one any more.
    second.start();
    second.await_standby();
    let bought = world.while_buying([&mut first, &mut second], |active, other| {
        active.signal(Signal::STOP);
        other.await_active();
        sleep(Duration::from_secs(1));
        active.signal(Signal::CONT);
        active.await_standby();
    });
    println!("stood still: {bought:?}");
    assert!(bought.silence < TAKEN_OVER_WITHIN + CLIENT, "{bought:?}");
    world.check(&second);

    // The one that stood still is as good as any.
    let bought = world.while_buying([&mut second, &mut first], |active, other| {
        active.stop();
        other.await_active();
    });
    println!("stopped again: {bought:?}");
    world.check(&first);
    first.stop();
    first.home.verify();
}

#[test]
fn a_database_that_is_away_costs_time_and_nothing_else() {
    let database = TestDatabase::create();
    let proxy = Proxy::before(&database.url());
    let mut first = Gateway::new(proxy.url(), None);
    let mut second = Gateway::new(&database.url(), Some(&first));
    first.start();
    first.await_active();
    let mut world = World::new(&first);

    // Connections break in the middle of commits.
    let bought = world.while_buying([&mut first, &mut second], |_, _| {
        for _ in 0..20 {
            proxy.cut();
            sleep(Duration::from_millis(30));
            proxy.mend();
            sleep(Duration::from_millis(170));
        }
    });
    println!("broken: {bought:?}");
    first.await_active();
    world.check(&first);

    // Away for longer than the lease is good, and nobody else is there: it comes back by itself.
    let bought = world.while_buying([&mut first, &mut second], |active, _| {
        proxy.cut();
        until("the gateway to doubt its lease", || active.page("/ready").contains("lease").then_some(()));
        sleep(Duration::from_secs(1));
        proxy.mend();
        active.await_active();
    });
    println!("away: {bought:?}");
    assert!(bought.unavailable > 0, "nobody was told 91");
    world.check(&first);

    // Away for the active one alone: the other one takes over.
    second.start();
    second.await_standby();
    let bought = world.while_buying([&mut first, &mut second], |active, other| {
        proxy.cut();
        other.await_active();
        sleep(Duration::from_secs(1));
        proxy.mend();
        active.await_standby();
    });
    println!("away from one: {bought:?}");
    assert!(bought.silence < TAKEN_OVER_WITHIN + CLIENT, "{bought:?}");
    world.check(&second);
}
