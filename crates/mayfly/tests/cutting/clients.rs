//! Clients of two gateways, and their books: they buy, and come back to what was bought long ago, and to what was bought just
//! now. Whatever they ask they ask until it is decided, at whichever gateway answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Card, Gateway, Kind, Message, Random, Roamer, Sent};

/// So long a client waits for an answer before it asks the other gateway.
const PATIENCE: Duration = Duration::from_millis(500);
/// So long after it was asked first everything must be decided.
const DECIDED_WITHIN: Duration = Duration::from_secs(60);
/// How long a client rests after each message, in milliseconds, at the most.
const REST_MS: u64 = 25;
/// One in so many of those that come back to a purchase come back to one of long ago.
const OLD: u64 = 8;
/// A purchase can be used for so many refunds.
const REFUNDS: u32 = 2;

/// What stands on an account: what it has, and what of it is held, in cents.
pub(crate) type Money = (i64, i64);

/// A purchase that something may still come for.
pub(crate) struct Deal {
    account: usize,
    message: Message,
    /// Of an authorisation, what is still held; of another purchase, what may still be refunded.
    left: u64,
    follow_ups: u32,
}

/// What all clients share.
pub(crate) struct Market {
    pub(crate) accounts: Vec<String>,
    /// What was bought just now, and what long ago.
    deals: Mutex<Vec<Deal>>,
    old_deals: Mutex<Vec<Deal>>,
    books: Mutex<Vec<Money>>,
    /// Whoever has it alone finds nothing under way.
    gate: RwLock<()>,
    answered: AtomicU64,
}

impl Market {
    pub(crate) fn new(accounts: Vec<String>) -> Self {
        let books = Mutex::new(vec![(0, 0); accounts.len()]);
        let (deals, old_deals, gate) = (Mutex::default(), Mutex::default(), RwLock::new(()));
        Self { accounts, deals, old_deals, books, gate, answered: AtomicU64::new(0) }
    }

    /// How many messages were answered until now.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    /// What was bought until now was bought long ago.
    pub(crate) fn grow_old(&self) {
        self.old_deals.lock().unwrap().append(&mut self.deals.lock().unwrap());
    }

    /// What the clients' books say of each account, in the order of the accounts.
    pub(crate) fn books(&self) -> Vec<Money> {
        self.books.lock().unwrap().clone()
    }

    /// What a gateway says of the accounts is to the cent what the clients' books say. Nobody buys meanwhile.
    pub(crate) fn check(&self, active: &Gateway) {
        let _alone = self.gate.write().unwrap();
        let mut admin = active.admin();
        let told: Vec<Money> = self.accounts.iter().map(|account| admin.money(account)).collect();
        assert_eq!(told, self.books(), "as the gateway tells, and in the clients' books");
    }

    fn book(&self, account: usize, (balance, held): Money) {
        let mut books = self.books.lock().unwrap();
        books[account].0 += balance;
        books[account].1 += held;
    }
}

/// A client of two gateways.
pub(crate) struct Client {
    gateways: Roamer,
    market: Arc<Market>,
    random: Random,
    lane: u64,
    count: u64,
    /// Each of its messages, with the answer.
    pub(crate) sent: Vec<Sent>,
}

impl Client {
    /// `lane` makes its messages differ from all others.
    pub(crate) fn new(gateways: &[Gateway; 2], market: &Arc<Market>, lane: u64, random: Random) -> Self {
        let addresses = [gateways[0].card, gateways[1].card];
        let gateways = Roamer::new(addresses, PATIENCE);
        Self { gateways, market: market.clone(), random, lane, count: 0, sent: Vec::new() }
    }

    /// Buys something, which must be approved, and now and then has only so much held.
    pub(crate) fn buy(&mut self, account: usize, card: &Arc<Card>) {
        let kind = if self.random.below(3) == 0 { Kind::Purchase } else { Kind::Financial };
        let amount = 100 + self.random.below(1000);
        let stan = self.next_stan();
        let rrn = format!("{:012}", self.lane * 10_000_000 + self.count);
        let message = Message { kind, card: card.clone(), amount, stan, rrn, original: None };
        let answer = self.ask(&message);
        assert!(answer.approved(), "{message:?}: {answer:?}");
        let held = if kind == Kind::Purchase { amount as i64 } else { 0 };
        self.market.book(account, (-(amount as i64), held));
        let deal = Deal { account, message, left: amount, follow_ups: 0 };
        self.market.deals.lock().unwrap().push(deal);
    }

    /// Completes or reverses what is held, or refunds what was bought. Nobody else does anything about the same purchase.
    fn follow_up(&mut self) {
        let is_old = self.random.below(OLD) == 0;
        let market = self.market.clone();
        let deals = if is_old { &market.old_deals } else { &market.deals };
        let Some(mut deal) = self.any_of(&mut deals.lock().unwrap()) else { return };
        let kind = match deal.message.kind {
            Kind::Purchase if self.random.below(3) == 0 => Kind::Reversal,
            Kind::Purchase => Kind::Completion,
            _ => Kind::Refund,
        };
        let part = 1 + self.random.below(deal.left);
        let amount = if kind == Kind::Reversal { deal.message.amount } else { part };
        let original = (kind != Kind::Refund).then_some((deal.message.kind, deal.message.stan));
        let stan = self.next_stan();
        let message = Message { kind, amount, stan, original, ..deal.message.clone() };
        let answer = self.ask(&message);
        if !answer.approved() {
            // What it is about is in no table any more.
            let forgotten = kind == Kind::Refund && is_old && matches!(answer.code.as_str(), "12" | "14");
            assert!(forgotten, "{message:?}: {answer:?}, about {:?}", deal.message);
            return;
        }
        let moved = match kind {
            Kind::Reversal => (deal.left as i64, -(deal.left as i64)),
            Kind::Completion => (0, -(part as i64)),
            _ => (part as i64, 0),
        };
        self.market.book(deal.account, moved);
        deal.left = if kind == Kind::Reversal { 0 } else { deal.left - part };
        deal.follow_ups += 1;
        if deal.left > 0 && (kind == Kind::Completion || deal.follow_ups < REFUNDS) {
            deals.lock().unwrap().push(deal);
        }
    }

    fn any_of(&mut self, deals: &mut Vec<Deal>) -> Option<Deal> {
        let at = self.random.below((deals.len() as u64).max(1)) as usize;
        (at < deals.len()).then(|| deals.swap_remove(at))
    }

    /// What was answered before is answered the same, wherever it is asked.
    fn ask_again(&mut self) {
        let Some(Sent { message, answer: Some(first) }) = self.random.of(&self.sent).cloned() else { return };
        let again = self.decided(&message, true);
        assert_eq!(again, first, "{message:?}, asked again");
    }

    fn ask(&mut self, message: &Message) -> Answer {
        let answer = self.decided(message, false);
        self.sent.push(Sent { message: message.clone(), answer: Some(answer.clone()) });
        answer
    }

    fn decided(&mut self, message: &Message, repeat: bool) -> Answer {
        let begun = Instant::now();
        let answer = self.gateways.decided(message, repeat, |_| {
            assert!(begun.elapsed() < DECIDED_WITHIN, "{message:?} is not decided");
        });
        self.market.answered.fetch_add(1, Ordering::AcqRel);
        answer
    }

    fn next_stan(&mut self) -> u32 {
        self.count += 1;
        (self.lane * 50_000 + self.count) as u32
    }
}

/// Clients at work, until they are told to end.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Client>>,
}

impl Load {
    /// Each client has a card for each account.
    pub(crate) fn begin(clients: Vec<Client>, cards: &[Vec<Arc<Card>>]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let clients = clients.into_iter().zip(cards.to_vec()).map(|(mut client, cards)| {
            let over = over.clone();
            std::thread::spawn(move || {
                let market = client.market.clone();
                while !over.load(Ordering::Acquire) {
                    let open = market.gate.read().unwrap();
                    match client.random.below(10) {
                        0..4 => {
                            let account = client.random.below(cards.len() as u64) as usize;
                            client.buy(account, &cards[account]);
                        }
                        4..8 => client.follow_up(),
                        _ => client.ask_again(),
                    }
                    drop(open);
                    sleep(Duration::from_millis(client.random.below(REST_MS)));
                }
                client
            })
        });
        Self { clients: clients.collect(), over }
    }

    pub(crate) fn end(self) -> Vec<Client> {
        self.over.store(true, Ordering::Release);
        self.clients.into_iter().map(|client| client.join().unwrap()).collect()
    }
}
