//! The load: purchases with fresh numbers, the same number twice, numbers for many purchases, reversals,
//! completions, refunds, repeats. Several messages of each connection are under way at any time.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{Admin, Answer, Card, Kind, Message, Peer, Random, Sent, Server};

/// How many messages a worker sends before it reads their answers, at the most.
const BURST_MAX: u64 = 16;
/// How many numbers a worker has in stock.
const STOCK: usize = 8;
/// How often a number for many purchases may be used.
const MANY: u32 = 1000;
/// How many messages that were answered in the last round are sent again after it, and of all before.
const REPEATED: (usize, usize) = (300, 100);
/// How long a server that sheds work is left alone.
const RESPITE: Duration = Duration::from_millis(200);
/// How often a message is sent again that was shed.
const TRIES: usize = 200;

/// What a load did.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) sent: Vec<Sent>,
    /// The ids of the numbers whose issue was acknowledged.
    pub(crate) issued: Vec<String>,
}

/// Workers that go on until the server is gone, or they are told to stop.
// Only one of the tests that share this tells them to.
#[allow(dead_code)]
pub(crate) struct Load {
    workers: Vec<JoinHandle<Done>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// One worker for each account.
    pub(crate) fn begin(server: &Server, accounts: &[String], round: u64, random: &mut Random) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = accounts.iter().enumerate().map(|(lane, account)| {
            let mut admin = server.admin();
            let many = admin.issue(account, MANY).unwrap().unwrap();
            let worker = Worker {
                peer: server.connect(),
                admin,
                account: account.clone(),
                random: random.fork(),
                // Twelve digits: round, lane, and a number of its own for each purchase.
                rrn: (round % 1000) * 1_000_000_000 + lane as u64 * 10_000_000,
                stan: 0,
                stock: Vec::new(),
                done: Done { issued: vec![many.id.clone()], ..Done::default() },
                many: Arc::new(many),
                uses: 0,
                used: Vec::new(),
                approved: Vec::new(),
            };
            let stop = stop.clone();
            std::thread::spawn(move || worker.run(&stop))
        });
        Self { workers: workers.collect(), stop }
    }

    /// Has them stop; the server is there. Gives what they did.
    #[allow(dead_code)]
    pub(crate) fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        self.end()
    }

    /// What they did until the server was gone.
    pub(crate) fn end(self) -> Done {
        let mut all = Done::default();
        for worker in self.workers {
            let done = worker.join().unwrap();
            all.sent.extend(done.sent);
            all.issued.extend(done.issued);
        }
        all
    }
}

/// Sends a message again, as a repeat, until it is answered.
fn repeat(peer: &mut Peer, message: &Message) -> Answer {
    for _ in 0..TRIES {
        peer.send(&message.wire(true)).unwrap();
        let (key, answer) = peer.receive().unwrap();
        assert_eq!(key, message.key());
        if !answer.is_shed() {
            return answer;
        }
        std::thread::sleep(RESPITE);
    }
    panic!("{message:?} is shed again and again");
}

/// Sends what was not answered once more, and some of what was: the latter gets the same answer, the former one
/// that holds from now on. Gives how many had not been answered.
pub(crate) fn ask_again(server: &Server, sent: &mut [Sent], before: usize, random: &mut Random) -> usize {
    let mut peer = server.connect();
    let open: Vec<_> = (before..sent.len()).filter(|at| sent[*at].answer.is_none()).collect();
    let (of_round, of_before) = REPEATED;
    let latest = (sent.len() - before) as u64;
    let mut again = open.clone();
    again.extend((0..of_round.min(latest as usize)).map(|_| before + random.below(latest) as usize));
    again.extend((0..of_before.min(before)).map(|_| random.below(before as u64) as usize));
    for at in again {
        let answer = repeat(&mut peer, &sent[at].message);
        let first = sent[at].answer.get_or_insert_with(|| answer.clone());
        assert_eq!(*first, answer, "{:?} is answered differently now", sent[at].message);
    }
    open.len()
}

struct Worker {
    peer: Peer,
    admin: Admin,
    account: String,
    random: Random,
    rrn: u64,
    stan: u32,
    /// Numbers that nothing was bought with yet.
    stock: Vec<Arc<Card>>,
    /// A number for many purchases.
    many: Arc<Card>,
    /// How often that was used.
    uses: u32,
    /// Numbers that were presented.
    used: Vec<Arc<Card>>,
    /// Purchases that were approved and are not reversed yet: where they stand in `done`.
    approved: Vec<usize>,
    done: Done,
}

impl Worker {
    fn run(mut self, stop: &AtomicBool) -> Done {
        while !stop.load(Ordering::Relaxed) && self.work().is_ok() {}
        self.done
    }

    fn work(&mut self) -> io::Result<()> {
        self.fill_stock()?;
        let first = self.done.sent.len();
        let mut wire = Vec::new();
        for _ in 0..=self.random.below(BURST_MAX) {
            let message = self.compose();
            wire.extend_from_slice(&message.wire(false));
            self.done.sent.push(Sent { message, answer: None });
        }
        // What was answered before is sent again between the others, and must be answered the same.
        let repeated = self.of_the_past(first);
        if let Some(at) = repeated {
            wire.extend_from_slice(&self.done.sent[at].message.wire(true));
        }
        self.peer.send(&wire)?;
        self.read_answers(first, repeated)
    }

    fn fill_stock(&mut self) -> io::Result<()> {
        if self.uses >= MANY
            && let Some(card) = self.issue(MANY)?
        {
            (self.many, self.uses) = (card, 0);
        }
        while self.stock.len() < STOCK {
            match self.issue(1)? {
                Some(card) => self.stock.push(card),
                // The server sheds work: go on with what there is.
                None => break,
            }
        }
        Ok(())
    }

    fn issue(&mut self, uses: u32) -> io::Result<Option<Arc<Card>>> {
        let issued = self.admin.issue(&self.account, uses)?;
        if let Err(error) = &issued {
            assert_eq!(error["code"], "busy", "{error}");
        }
        Ok(issued.ok().map(|card| {
            self.done.issued.push(card.id.clone());
            Arc::new(card)
        }))
    }

    fn compose(&mut self) -> Message {
        match self.random.below(10) {
            0 => self.presented_again(),
            1 => self.completed(),
            2 => self.reversed(),
            3 => self.refunded(),
            4..7 => self.of_many(),
            _ => None,
        }
        .unwrap_or_else(|| self.fresh())
    }

    /// A purchase of 10.00 to 49.99: too much to give a use back when it is reversed.
    fn purchase(&mut self, card: Arc<Card>) -> Message {
        self.rrn += 1;
        self.stan += 1;
        let kind = if self.random.below(4) == 0 { Kind::Financial } else { Kind::Purchase };
        let amount = 1000 + self.random.below(4000);
        Message { kind, card, amount, stan: self.stan, rrn: format!("{:012}", self.rrn), original: None }
    }

    fn fresh(&mut self) -> Message {
        let card = self.stock.pop().or_else(|| self.random.of(&self.used).cloned());
        let card = card.unwrap_or_else(|| Arc::clone(&self.many));
        self.used.push(Arc::clone(&card));
        self.purchase(card)
    }

    fn presented_again(&mut self) -> Option<Message> {
        let card = self.random.of(&self.used).cloned()?;
        Some(self.purchase(card))
    }

    fn of_many(&mut self) -> Option<Message> {
        self.uses += 1;
        Some(self.purchase(Arc::clone(&self.many)))
    }

    fn completed(&mut self) -> Option<Message> {
        let at = *self.random.of(&self.approved)?;
        let purchase = self.done.sent[at].message.clone();
        (purchase.kind == Kind::Purchase)
            .then(|| self.about(&purchase, Kind::Completion, purchase.amount / 3))
    }

    fn reversed(&mut self) -> Option<Message> {
        let at = self.approved.pop()?;
        let purchase = self.done.sent[at].message.clone();
        Some(self.about(&purchase, Kind::Reversal, purchase.amount))
    }

    /// Without a reference: what was bought with the number has to be looked up.
    fn refunded(&mut self) -> Option<Message> {
        let at = *self.random.of(&self.approved)?;
        let Message { kind, card, amount, .. } = self.done.sent[at].message.clone();
        let whole = self.purchase(card);
        (kind == Kind::Financial).then_some(Message { kind: Kind::Refund, amount: amount / 2, ..whole })
    }

    fn about(&mut self, purchase: &Message, kind: Kind, amount: u64) -> Message {
        self.stan += 1;
        let original = Some((purchase.kind, purchase.stan));
        Message { kind, amount, stan: self.stan, original, ..purchase.clone() }
    }

    fn of_the_past(&mut self, end: usize) -> Option<usize> {
        if end == 0 || self.random.below(2) == 0 {
            return None;
        }
        let at = self.random.below(end as u64) as usize;
        // What was shed has no answer that would have to stay the same.
        self.done.sent[at].answer.is_some().then_some(at)
    }

    /// The answers come in any order.
    fn read_answers(&mut self, first: usize, repeated: Option<usize>) -> io::Result<()> {
        let mut waiting: HashMap<_, _> = (first..self.done.sent.len())
            .chain(repeated)
            .map(|at| (self.done.sent[at].message.key(), at))
            .collect();
        let mut shed = false;
        while !waiting.is_empty() {
            let (key, answer) = self.peer.receive()?;
            let at = waiting.remove(&key).unwrap_or_else(|| panic!("{key:?} was not asked"));
            if answer.is_shed() {
                // Whether it was done shows when it is sent again.
                shed = true;
                continue;
            }
            let sent = &mut self.done.sent[at];
            let known = *sent.answer.get_or_insert(answer.clone()) == answer;
            assert!(known, "{:?} was answered {:?} and now {answer:?}", sent.message, sent.answer);
            let purchase = matches!(sent.message.kind, Kind::Purchase | Kind::Financial);
            if Some(at) != repeated && purchase && answer.approved() {
                self.approved.push(at);
            }
        }
        if shed {
            std::thread::sleep(RESPITE);
        }
        Ok(())
    }
}
