//! Two servers of PostgreSQL that Patroni looks after, as docs/operations.md has it: purchases flow while they switch over, and
//! while the primary is killed. It takes Patroni and etcd: `scripts/patroni test` runs it, `scripts/test` does not.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "how long it took, for whoever reads the output")]

mod harness;

use harness::buying::World;
use harness::{Gateway, until};
use mayfly_testing::TestPatroni;

#[test]
fn patroni_may_switch_over_and_fail_over() {
    let patroni = TestPatroni::start();
    let mut first = Gateway::new(&patroni.url, None);
    let mut second = Gateway::new(&patroni.url, Some(&first));
    first.start();
    first.await_active();
    second.start();
    second.await_standby();
    let mut world = World::new(&first);
    let mut step = |what: &str, actions: &[&str]| {
        let bought = world.while_buying([&mut first, &mut second], |active, other| {
            for action in actions {
                patroni.have(action);
                // Whichever of them: if the database was away for longer than a lease, the other one may have been faster.
                until("a gateway to be active", || (active.is_active() || other.is_active()).then_some(()));
            }
        });
        println!("{what}: {bought:?}");
        if second.is_active() {
            std::mem::swap(&mut first, &mut second);
        }
        world.check(&first);
    };
    step("switched over", &["switchover"]);
    step("the primary was killed", &["crash", "recover"]);
    step("switched back", &["switchover"]);
    first.home.verify();
}
