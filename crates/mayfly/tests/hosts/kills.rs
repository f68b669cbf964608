//! Server, issuer host and link are killed at random moments while merchants sell. In the end no purchase is approved without a
//! second request that the host approved, none of the host's stands that belongs to no purchase, and the books agree.
//!
//! `MAYFLY_SEED` repeats a run as far as a run of several processes can be repeated, `MAYFLY_ROUNDS` says how many rounds there
//! are. `scripts/crash-hosts ROUNDS` does both with a release build.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use mayfly_iso8583::Dialect;
use mayfly_lab::issuer::{Chances, Fault, Kind};
use mayfly_lab::{Acceptor, Acquirer, Card, Register};

use super::harness::Random;
use super::rig::{Rig, code, minor, now_ms};

/// How many rounds there are if nothing else is asked.
const ROUNDS: usize = 5;
/// How many merchants sell at the same time, and how many purchases each has in a round.
const MERCHANTS: usize = 4;
const PURCHASES: usize = 12;
/// How often something is killed in a round.
const KILLS: u64 = 4;
/// How long a merchant waits for an answer before he asks again.
const PATIENCE: Duration = Duration::from_secs(3);

const FAULTS: [(u16, Fault); 7] = [
    (40, Fault::Silent),
    (40, Fault::Deaf),
    (40, Fault::Hold),
    (100, Fault::Delay(Duration::from_millis(60))),
    (20, Fault::Close),
    (20, Fault::CloseDeaf),
    (30, Fault::Twice),
];

#[test]
fn kills_leave_no_purchase_without_its_second_request_and_none_without_its_purchase() {
    let mut random = Random::of_environment();
    let rounds = std::env::var("MAYFLY_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let per_round = MERCHANTS * PURCHASES;
    let mut rig = Rig::start(rounds * per_round);
    rig.terms(300, 0);
    let (mut approved, mut total) = (BTreeSet::new(), 0);
    for round in 0..rounds {
        rig.host().chances(Some(Chances::new(random.next(), FAULTS)));
        let cards: Vec<Vec<Card>> =
            (0..MERCHANTS).map(|_| (0..PURCHASES).map(|_| rig.card()).collect()).collect();
        let address = Mutex::new(rig.address());
        let sold: Vec<u64> = std::thread::scope(|scope| {
            let sellers: Vec<_> = cards
                .into_iter()
                .enumerate()
                .map(|(at, cards)| {
                    let first = 1_000 + (round * per_round + at * PURCHASES) as u64;
                    let (random, address) = (random.fork(), &address);
                    scope.spawn(move || sell(&cards, first, address, random))
                })
                .collect();
            for _ in 0..KILLS {
                std::thread::sleep(Duration::from_millis(20 + random.below(400)));
                match random.below(3) {
                    0 => {
                        rig.kill();
                        rig.serve();
                        *address.lock().unwrap() = rig.address();
                    }
                    1 => {
                        rig.cut_host();
                        std::thread::sleep(Duration::from_millis(random.below(200)));
                        rig.start_host();
                        rig.host().chances(Some(Chances::new(random.next(), FAULTS)));
                    }
                    _ => rig.host().cut_all(),
                }
            }
            sellers.into_iter().flat_map(|seller| seller.join().unwrap()).collect()
        });
        rig.host().chances(None);
        rig.host().release();
        total += per_round;
        approved.extend(sold);
        rig.agrees();
        let standing = rig.host().ledger(|ledger| {
            let spent = ledger.transactions().iter().filter(|one| one.kind != Kind::Refund);
            let (whole, parts): (Vec<_>, Vec<_>) = spent
                .filter(|one| one.standing().value() > 0)
                .map(|one| (one.amount.value(), one.standing().value()))
                .partition(|(amount, standing)| amount == standing);
            assert_eq!(parts, [], "round {round}: only a part of it stands");
            whole.into_iter().map(|(amount, _)| amount).collect::<Vec<_>>()
        });
        let once: BTreeSet<u64> = standing.iter().copied().collect();
        assert_eq!(standing.len(), once.len(), "round {round}: no purchase is there twice");
        assert_eq!(once, approved, "round {round}");
    }
    println!("{rounds} rounds: {} of {total} purchases approved", approved.len());
    assert!(approved.len() > total / 4, "most of them come through");
    rig.stop();
}

/// Sells with each card once, each for an amount of its own; gives the amounts that were approved.
fn sell(cards: &[Card], first: u64, address: &Mutex<SocketAddr>, mut random: Random) -> Vec<u64> {
    let acceptor = Acceptor::web_shop("BOOKSHOP").unwrap();
    let mut register = Register::starting_at(acceptor, (first % 999_999) as u32, first);
    let mut connection: Option<Acquirer> = None;
    let mut approved = Vec::new();
    for (amount, card) in (first..).zip(cards) {
        std::thread::sleep(Duration::from_millis(random.below(80)));
        let mut message = if random.below(2) == 0 {
            register.authorisation(now_ms(), card, minor(amount))
        } else {
            register.sale(now_ms(), card, minor(amount))
        };
        let answer = loop {
            let to = *address.lock().unwrap();
            if connection.is_none() {
                let dialect = Dialect::builtin("ascii87").unwrap();
                connection = Acquirer::connect(to, dialect).ok().map(|it| it.with_timeout(PATIENCE));
            }
            match connection.as_mut().map(|it| it.send(&message)) {
                Some(Ok(answer)) => break answer,
                // Nobody knows what became of it: he asks again until he is told.
                _ => {
                    connection = None;
                    message = register.repeat(&message);
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        };
        if code(&answer) == "00" {
            approved.push(amount);
        }
    }
    approved
}
