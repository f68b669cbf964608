//! Clients of two gateways that want the same numbers: they wait for a while, go to the other gateway, repeat, give up, reverse
//! what they have and what they don't know, and write down when they asked what, and when they heard what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::harness::{Admin, Answer, Card, Gateway, Kind, Message, Random, Roamer, Sent};
use crate::model::{Op, SMALL};

/// Accounts: what each may spend, in cents, and how often each of its numbers may be used.
const KINDS: &[(u64, &[u32])] = &[(1_000_000, &[1]), (1_000_000, &[3]), (3000, &[5, 5]), (3000, &[20])];
/// How many messages are about one account, at the most: more for numbers that can be used more often.
const MESSAGES: (usize, usize) = (12, 40);
/// How many accounts are in use at the same time.
const IN_USE: usize = 4;
/// How long a client waits for an answer: not always until the gateway itself gives up.
const PATIENCE_MS: &[u64] = &[300, 1500, 4000];
/// How long a client repeats a message, at the most.
const INSISTS_MS: &[u64] = &[1, 2000, 12_000];
/// How long a client rests between two messages, after it was told to try again, and before it connects elsewhere, in
/// milliseconds.
const REST_MS: u64 = 30;
const RESPITE_MS: u64 = 300;
const RECONNECT_MS: u64 = 40;
/// So many of those that were told to try again do it where they are, to one who goes elsewhere.
const STAY: u64 = 8;
/// Of so many messages that nobody answered one is given up for good.
const ABANDONED: u64 = 4;
/// What an account's clients have asked is taken back: so many of a client's latest purchases may still be completed,
/// reversed, or refunded.
const RECENT: usize = 4;

/// An account, and the numbers that pay from it.
pub(crate) struct Purse {
    pub(crate) account: String,
    pub(crate) available: i64,
    pub(crate) cards: Vec<Arc<Card>>,
    /// How many messages may still be about it.
    left: AtomicUsize,
}

/// What a round's clients share.
pub(crate) struct Bazaar {
    pub(crate) purses: Vec<Purse>,
    first: AtomicUsize,
    /// How many messages were answered.
    answered: AtomicU64,
}

impl Bazaar {
    /// So many accounts, opened at whichever gateway is active.
    pub(crate) fn open(active: &Gateway, issuer: &str, count: usize) -> Self {
        const HANDS: usize = 4;
        let open = |hand: usize| {
            let mut admin = active.admin();
            (hand..count)
                .step_by(HANDS)
                .map(|at| Purse::open(&mut admin, issuer, KINDS[at % KINDS.len()]))
                .collect()
        };
        let purses: Vec<Vec<_>> = std::thread::scope(|scope| {
            let hands: Vec<_> = (0..HANDS).map(|hand| scope.spawn(move || open(hand))).collect();
            hands.into_iter().map(|hand| hand.join().unwrap()).collect()
        });
        let purses = purses.into_iter().flatten().collect();
        Self { purses, first: AtomicUsize::new(0), answered: AtomicU64::new(0) }
    }

    /// Where a message may be about: one of a few accounts, so that clients meet. None when all have had enough.
    fn somewhere(&self, random: &mut Random) -> Option<usize> {
        loop {
            let first = self.first.load(Ordering::Relaxed);
            let at = first + random.below(IN_USE as u64) as usize;
            let take = |left: usize| left.checked_sub(1);
            let taken =
                |purse: &Purse| purse.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
            if self.purses.get(at).is_some_and(taken) {
                return Some(at);
            }
            if first >= self.purses.len() {
                return None;
            }
            let spent = self.purses.get(first).is_none_or(|purse| purse.left.load(Ordering::Relaxed) == 0);
            if spent {
                let _ = self.first.compare_exchange(first, first + 1, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// How many messages were answered until now.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Purse {
    fn open(admin: &mut Admin, issuer: &str, (available, uses): (u64, &[u32])) -> Self {
        let account = admin.open_account(issuer, available);
        let card = |uses: &u32| Arc::new(admin.issue(&account, *uses).unwrap().unwrap());
        let cards = uses.iter().map(card).collect();
        let (few, many) = MESSAGES;
        let left = AtomicUsize::new(if uses == [1] { few } else { many });
        Self { account, available: available as i64, cards, left }
    }
}

/// A message, which account it was about, and when what was known of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) purse: usize,
    pub(crate) op: Op,
    pub(crate) sent: Sent,
    pub(crate) called: u64,
    /// When it was answered.
    pub(crate) returned: Option<u64>,
    /// Nobody will ask again.
    pub(crate) abandoned: bool,
}

/// A time that all clients share, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Clients at work.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Asked>>>,
}

impl Load {
    /// So many clients. `round` makes references differ.
    pub(crate) fn begin(
        gateways: &[Gateway; 2],
        bazaar: &Arc<Bazaar>,
        (count, round): (usize, u64),
        clock: Clock,
        random: &mut Random,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let addresses = [gateways[0].card, gateways[1].card];
        let clients = (0..count).map(|lane| {
            let client = Client {
                gateways: Roamer::new(addresses, Duration::ZERO),
                bazaar: bazaar.clone(),
                over: over.clone(),
                clock,
                random: random.fork(),
                lane,
                // Twelve digits: round, lane, and a number of its own for each purchase.
                rrn: (round % 1000) * 1_000_000_000 + lane as u64 * 10_000_000,
                stan: 0,
                asked: Vec::new(),
                recent: Vec::new(),
            };
            std::thread::spawn(move || client.run())
        });
        Self { clients: clients.collect(), over }
    }

    /// What they did.
    pub(crate) fn end(self) -> Vec<Asked> {
        self.over.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

struct Client {
    gateways: Roamer,
    bazaar: Arc<Bazaar>,
    over: Arc<AtomicBool>,
    clock: Clock,
    random: Random,
    lane: usize,
    rrn: u64,
    stan: u32,
    asked: Vec<Asked>,
    /// The latest purchases, by their place in `asked`, and what may still be done about them.
    recent: Vec<Recent>,
}

struct Recent {
    purchase: usize,
    kinds: Vec<Kind>,
}

impl Client {
    fn run(mut self) -> Vec<Asked> {
        while !self.over.load(Ordering::Relaxed) {
            let (purse, op, message) = match self.random.below(10) {
                0..3 => self.follow_up().or_else(|| self.purchase()),
                3 => {
                    self.ask_again();
                    continue;
                }
                _ => self.purchase(),
            }
            .unwrap_or_else(|| panic!("all accounts have had enough"));
            self.ask(purse, op, message);
            sleep(Duration::from_millis(self.random.below(REST_MS)));
        }
        self.asked
    }

    fn purchase(&mut self) -> Option<(usize, Op, Message)> {
        let purse = self.bazaar.somewhere(&mut self.random)?;
        let Purse { cards, available, .. } = &self.bazaar.purses[purse];
        let number = self.random.below(cards.len() as u64) as usize;
        let amount = match self.random.below(4) {
            0 => 1 + self.random.below(SMALL as u64),
            _ => 1 + self.random.below((*available as u64).min(4000) / 2),
        };
        let financial = self.random.below(3) == 0;
        let kind = if financial { Kind::Financial } else { Kind::Purchase };
        self.rrn += 1;
        let (card, rrn) = (cards[number].clone(), format!("{:012}", self.rrn));
        let message = Message { kind, card, amount, stan: self.next_stan(), rrn, original: None };
        let id = (self.lane << 20 | self.asked.len()) as u32;
        let op = Op::Purchase { id, number, amount: amount as i64, financial };
        let follow =
            if financial { [Kind::Reversal, Kind::Refund] } else { [Kind::Reversal, Kind::Completion] };
        self.recent.push(Recent { purchase: self.asked.len(), kinds: follow.to_vec() });
        if self.recent.len() > RECENT {
            self.recent.remove(0);
        }
        Some((purse, op, message))
    }

    /// Something about an earlier purchase: its reversal, whatever became of it; what is only for an approved one otherwise.
    fn follow_up(&mut self) -> Option<(usize, Op, Message)> {
        if self.recent.is_empty() {
            return None;
        }
        let at = self.random.below(self.recent.len() as u64) as usize;
        let Recent { purchase, kinds } = &mut self.recent[at];
        let kind = kinds.swap_remove(self.random.below(kinds.len() as u64) as usize);
        let first = self.asked[*purchase].clone();
        if kinds.is_empty() {
            self.recent.remove(at);
        }
        let Op::Purchase { id, amount, .. } = first.op else { return None };
        let approved = first.sent.answer.is_some_and(|answer| answer.approved());
        let op = match kind {
            Kind::Reversal => Op::Reverse { id },
            Kind::Completion if approved && amount >= 3 => Op::Complete { id, amount: amount / 3 },
            Kind::Refund if approved && amount >= 2 => Op::Refund { id, amount: amount / 2 },
            _ => return None,
        };
        let original = (kind != Kind::Refund).then_some((first.sent.message.kind, first.sent.message.stan));
        let amount = match op {
            Op::Complete { amount, .. } | Op::Refund { amount, .. } => amount,
            _ => amount,
        };
        let stan = self.next_stan();
        let message = Message { kind, amount: amount as u64, stan, original, ..first.sent.message };
        Some((first.purse, op, message))
    }

    fn next_stan(&mut self) -> u32 {
        self.stan += 1;
        self.stan
    }

    /// What was answered before is answered the same, wherever it is asked.
    fn ask_again(&mut self) {
        let answered: Vec<_> =
            self.asked.iter().rev().take(20).filter(|it| it.sent.answer.is_some()).collect();
        let Some(Asked { sent, .. }) = self.random.of(&answered) else {
            return sleep(Duration::from_millis(5));
        };
        self.gateways.patience = Duration::from_millis(PATIENCE_MS[0]);
        let again = self.gateways.ask(&sent.message, true).filter(|answer| !answer.is_shed());
        assert!(again.is_none() || again == sent.answer, "{sent:?} is answered {again:?} now");
    }

    /// Sends it, and again as a repeat, until there is an answer or no patience left.
    fn ask(&mut self, purse: usize, op: Op, message: Message) {
        self.gateways.patience = Duration::from_millis(*self.random.of(PATIENCE_MS).unwrap_or(&0));
        let insists = Duration::from_millis(*self.random.of(INSISTS_MS).unwrap_or(&0));
        let begun = Instant::now();
        let called = self.clock.now();
        let mut answer = self.once(&message, false);
        while answer.is_none() && begun.elapsed() < insists && !self.over.load(Ordering::Relaxed) {
            answer = self.once(&message, true);
        }
        let returned = answer.is_some().then(|| self.clock.now());
        self.bazaar.answered.fetch_add(u64::from(answer.is_some()), Ordering::Relaxed);
        let abandoned = answer.is_none() && self.random.below(ABANDONED) == 0;
        self.asked.push(Asked { purse, op, sent: Sent { message, answer }, called, returned, abandoned });
    }

    fn once(&mut self, message: &Message, repeat: bool) -> Option<Answer> {
        let answer = self.gateways.ask(message, repeat);
        let rest = match &answer {
            Some(answer) if !answer.is_shed() => return Some(answer.clone()),
            Some(_) => {
                // Here or there: the same one may know in a moment.
                if self.random.below(STAY) == 0 {
                    self.gateways.turn();
                }
                RESPITE_MS
            }
            None => RECONNECT_MS,
        };
        sleep(Duration::from_millis(1 + self.random.below(rest)));
        None
    }
}

/// How often a message is sent again, when nothing fails any more, before it is believed that it will not be answered.
const TRIES: usize = 20;

/// Asks once more for everything that was not answered and not given up. What is still told to try again then was taken
/// back by the server; it is left without an answer. Gives how much was open.
pub(crate) fn resolve(active: &Gateway, asked: &mut [Asked], clock: Clock) -> usize {
    let mut gateway = Roamer::new([active.card; 2], Duration::from_secs(10));
    let mut open = 0;
    for asked in asked.iter_mut().filter(|asked| asked.sent.answer.is_none() && !asked.abandoned) {
        open += 1;
        for _ in 0..TRIES {
            let answer = gateway.ask(&asked.sent.message, true);
            if let Some(answer) = answer.filter(|answer| !answer.is_shed()) {
                asked.returned = Some(clock.now());
                asked.sent.answer = Some(answer);
                break;
            }
            sleep(Duration::from_millis(RESPITE_MS));
        }
    }
    open
}
