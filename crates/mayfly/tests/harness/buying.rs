//! Purchases that go on while something happens to the gateways, and what they came to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use super::{Card, Gateway, Kind, Message, Roamer};

/// How long a lease is good, and what a standby may take after that.
pub(crate) const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(5 + 2);
/// What the client itself needs to notice, and the machine to do it.
pub(crate) const CLIENT: Duration = Duration::from_secs(2);
/// So long a client waits for an answer before it asks the other gateway.
const PATIENCE: Duration = Duration::from_millis(500);
const USES: u32 = 1000;
const AMOUNT: u64 = 100;

/// A client that buys and buys, and asks whichever gateway answers until each purchase is decided.
struct Client {
    gateways: Roamer,
    /// When it heard the last answer that decided something, and the longest time between two of them.
    heard: Instant,
    longest: Duration,
    /// How often it was told 91.
    unavailable: u64,
}

impl Client {
    /// Sends it until it is decided; again as a repeat.
    fn buy(&mut self, message: &Message, over: &AtomicBool) {
        let Self { gateways, heard, unavailable, .. } = self;
        let answer = gateways.decided(message, false, |shed| {
            *unavailable += u64::from(shed.is_some_and(|shed| shed.code == "91"));
            assert!(!over.load(Ordering::Acquire) || heard.elapsed() < 3 * TAKEN_OVER_WITHIN);
        });
        assert!(answer.approved(), "{message:?}: {answer:?}");
        self.longest = self.longest.max(self.heard.elapsed());
        self.heard = Instant::now();
    }
}

/// What clients did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bought {
    pub(crate) purchases: u64,
    /// For how long none was approved, at the most.
    pub(crate) silence: Duration,
    pub(crate) unavailable: u64,
}

/// Clients that go on until they are told to end.
struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Bought>>,
}

impl Load {
    /// Each client has a card; cards are good for a thousand purchases. `round` makes references differ.
    fn begin(gateways: &[&Gateway; 2], cards: &[Arc<Card>], round: u64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let addresses = gateways.map(|gateway| gateway.card);
        let clients = cards.iter().enumerate().map(|(lane, card)| {
            let (over, card) = (over.clone(), card.clone());
            std::thread::spawn(move || {
                let mut client = Client {
                    gateways: Roamer::new(addresses, PATIENCE),
                    heard: Instant::now(),
                    longest: Duration::ZERO,
                    unavailable: 0,
                };
                let mut bought = 0;
                while !over.load(Ordering::Acquire) && bought < u64::from(USES) {
                    bought += 1;
                    let rrn = format!("{:012}", round * 1_000_000_000 + lane as u64 * 10_000_000 + bought);
                    let message = Message {
                        kind: Kind::Financial,
                        card: card.clone(),
                        amount: AMOUNT,
                        stan: bought as u32,
                        rrn,
                        original: None,
                    };
                    client.buy(&message, &over);
                    sleep(Duration::from_millis(10));
                }
                Bought { purchases: bought, silence: client.longest, unavailable: client.unavailable }
            })
        });
        Self { clients: clients.collect(), over }
    }

    fn end(self) -> Bought {
        self.over.store(true, Ordering::Release);
        let done = self.clients.into_iter().map(|client| client.join().unwrap());
        done.fold(Bought::default(), |all, one| Bought {
            purchases: all.purchases + one.purchases,
            silence: all.silence.max(one.silence),
            unavailable: all.unavailable + one.unavailable,
        })
    }
}

/// An account, and what was bought for it.
pub(crate) struct World {
    account: String,
    bought: u64,
    round: u64,
}

impl World {
    /// One account, at whichever gateway is active.
    pub(crate) fn new(active: &Gateway) -> Self {
        let mut admin = active.admin();
        let issuer = admin.open_issuer("Bank", "456940");
        let account = admin.open_account(&issuer, 1_000_000_000);
        Self { account, bought: 0, round: 0 }
    }

    /// Purchases flow while something happens to the active gateway.
    pub(crate) fn while_buying(
        &mut self,
        [active, other]: [&mut Gateway; 2],
        happens: impl FnOnce(&mut Gateway, &mut Gateway),
    ) -> Bought {
        self.round += 1;
        let mut admin = active.admin();
        let cards: Vec<_> =
            (0..3).map(|_| Arc::new(admin.issue(&self.account, USES).unwrap().unwrap())).collect();
        let load = Load::begin(&[active, other], &cards, self.round);
        sleep(Duration::from_secs(1));
        happens(active, other);
        sleep(Duration::from_secs(1));
        let bought = load.end();
        self.bought += bought.purchases;
        bought
    }

    /// All that was bought, once.
    pub(crate) fn check(&self, active: &Gateway) {
        let spent = (self.bought * AMOUNT) as i64;
        assert_eq!(active.admin().money(&self.account), (-spent, 0), "{} purchases", self.bought);
    }
}
