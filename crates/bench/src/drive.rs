//! Drives an engine in a closed loop: so many requests are always under way.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mayfly_card::{
    AcquirerId, Country, Currency, LastFour, Mcc, MerchantId, MinorUnits, PosEntryMode, Rrn, Stan, TerminalId,
};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::{
    Answer, Command, Cvc2Check, Facts, Hash64, MessageKind, Presented, Processing, Reason, Request,
    ResponseCode,
};
use mayfly_engine::{Handle, Mailbox, Submission};
use serde::Serialize;

use crate::credentials::{Bank, Credential};

/// Wakes a thread that waits for answers.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Answers have come.
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Waits until answers have come.
    pub fn wait(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            rung = self.changed.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        *rung = false;
    }

    /// Waits until answers have come, or so long.
    pub fn wait_for(&self, limit: Duration) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if !*rung {
            rung = self.changed.wait_timeout(rung, limit).unwrap_or_else(PoisonError::into_inner).0;
        }
        *rung = false;
    }
}

/// A figure of a closed loop.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// How many answers came.
    pub answers: u64,
    /// How many of them approved.
    pub approved: u64,
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Answers a second.
    pub rate: f64,
    /// Median latency, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 are faster.
    pub p99_ms: f64,
    /// 999 of 1,000 are faster.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// The longest time in which no answer came.
    pub stall_ms: f64,
}

/// Collects latencies.
pub struct Latency {
    histogram: Histogram<u64>,
    approved: u64,
    last: Instant,
    stall: Duration,
}

impl Latency {
    /// From `begun` on.
    pub fn new(begun: Instant) -> Self {
        // One microsecond to one minute in three digits: these bounds are always valid.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|_| {
            Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"))
        });
        Self { histogram, approved: 0, last: begun, stall: Duration::ZERO }
    }

    /// An answer to a request that was sent at `sent` came at `now`.
    pub fn came(&mut self, sent: Instant, now: Instant, approved: bool) {
        self.histogram.saturating_record((now - sent).as_micros() as u64);
        self.approved += u64::from(approved);
        self.stall = self.stall.max(now - self.last);
        self.last = now;
    }

    /// The figures after `took`.
    pub fn figures(&self, took: Duration) -> Figures {
        let ms = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let answers = self.histogram.len();
        Figures {
            answers,
            approved: self.approved,
            seconds: took.as_secs_f64(),
            rate: answers as f64 / took.as_secs_f64(),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: self.histogram.max() as f64 / 1000.0,
            stall_ms: self.stall.as_secs_f64() * 1000.0,
        }
    }
}

/// Makes authorisation requests like those of the network's connections.
pub struct Requests {
    counter: u64,
    merchant: MerchantId,
    acquirer: AcquirerId,
    terminal: TerminalId,
    currency: Currency,
}

/// Spreads a counter over 64 bits, so that it can stand for a keyed hash.
fn spread(counter: u64) -> u64 {
    let mut value = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Default for Requests {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl Requests {
    /// With references that no other start has.
    pub fn starting_at(counter: u64) -> Self {
        Self {
            counter,
            merchant: MerchantId::parse("MERCHANT-000042").unwrap_or_default(),
            acquirer: AcquirerId::parse("40000123456").unwrap_or_default(),
            terminal: TerminalId::parse("TERM0001").unwrap_or_default(),
            currency: Currency::parse_alphabetic("USD")
                .unwrap_or_else(|| unreachable!("the dollar is in use")),
        }
    }

    /// The next number to present, out of `count`: every one as likely as the other.
    pub fn pick(&self, count: usize) -> usize {
        (spread(self.counter ^ 0x5555) % count as u64) as usize
    }

    /// An authorisation of 24.98 with a number.
    pub fn next(&mut self, credential: &Credential) -> Box<Request> {
        self.counter += 1;
        let counter = self.counter;
        let mut rrn = [b'0'; 12];
        let mut rest = counter;
        for digit in rrn.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Box::new(Request {
            message: MessageKind::Authorisation,
            processing: Processing::Purchase,
            reference: Hash64(spread(counter)),
            identity: Hash64(spread(counter ^ (1 << 63))),
            content: Hash64(spread(credential.digits)),
            original: None,
            number: Presented::Number {
                index: credential.index,
                programme: credential.programme,
                last_four: LastFour::from_value((credential.digits % 10_000) as u16)
                    .unwrap_or_else(|| unreachable!("four digits")),
            },
            expiry: Some(credential.expiry),
            cvc2: Cvc2Check::Absent,
            proof: Proof::NoKey,
            amount: MinorUnits::new(2498).unwrap_or(MinorUnits::MAX),
            replacement: None,
            currency: self.currency,
            declined_elsewhere: false,
            repeat: false,
            facts: Facts {
                acquirer: self.acquirer,
                stan: Stan::from_value((counter % 1_000_000) as u32).unwrap_or_default(),
                rrn: Rrn::parse(std::str::from_utf8(&rrn).unwrap_or_default()).unwrap_or_default(),
                terminal: self.terminal,
                merchant: self.merchant,
                mcc: Mcc::from_value(5411),
                country: Country::from_value(840),
                entry_mode: PosEntryMode::parse("812").unwrap_or_default(),
                transmitted: 1_122_120_000,
                local_date: 1122,
                local_time: 120_000,
            },
            paged: None,
            partition: credential.partition,
        })
    }
}

/// How requests are offered.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many may be under way.
    pub in_flight: usize,
    /// For how long.
    pub run_for: Duration,
    /// How many a second; as many as go, if none. Where a rate is given, latency counts from the moment at which
    /// a request was due, so that a stall counts for everything that it held up.
    pub rate: Option<f64>,
}

/// The requests under way: which slots are free, when the others were sent, and when the next one is due.
struct Slots {
    load: Load,
    begun: Instant,
    free: Vec<u64>,
    sent: Vec<Instant>,
    count: u64,
}

impl Slots {
    fn new(load: Load, begun: Instant) -> Self {
        Self {
            load,
            begun,
            free: (0..load.in_flight as u64).rev().collect(),
            sent: vec![begun; load.in_flight],
            count: 0,
        }
    }

    fn due(&self) -> Option<Instant> {
        self.load.rate.map(|rate| self.begun + Duration::from_secs_f64(self.count as f64 / rate))
    }

    /// A slot for the next request, if one is free and it is time.
    fn next(&mut self, now: Instant) -> Option<u64> {
        let due = self.due().unwrap_or(now);
        if now - self.begun >= self.load.run_for || due > now {
            return None;
        }
        let slot = self.free.pop()?;
        self.count += 1;
        self.sent[slot as usize] = due;
        Some(slot)
    }

    fn is_done(&self, now: Instant) -> bool {
        now - self.begun >= self.load.run_for && self.free.len() == self.load.in_flight
    }

    /// How long to wait at the most: until the next one is due, if only time keeps it back.
    fn patience(&self, now: Instant) -> Duration {
        match self.due() {
            Some(due) if !self.free.is_empty() => {
                due.saturating_duration_since(now).max(Duration::from_micros(200))
            }
            _ => Duration::from_millis(100),
        }
    }
}

/// Where an engine's answers to a driver come in.
struct Inbox {
    bell: Arc<Bell>,
    mailbox: Arc<Mailbox>,
    letters: Vec<(u64, Answer)>,
}

impl Inbox {
    fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let ring = bell.clone();
        Self { bell, mailbox: Mailbox::new(move || ring.ring()), letters: Vec::new() }
    }
}

/// Authorises under a load, each time with a number picked at random.
pub fn authorise(
    handle: &Handle,
    credentials: &[Credential],
    load: Load,
    requests: &mut Requests,
) -> Figures {
    ask(handle, load, || Some(requests.next(&credentials[requests.pick(credentials.len())])))
}

/// Asks under a load, for as long as there is something to ask.
pub fn ask(handle: &Handle, load: Load, mut next: impl FnMut() -> Option<Box<Request>>) -> Figures {
    let mut inbox = Inbox::new();
    let mut submission = Submission::default();
    let begun = Instant::now();
    let mut latency = Latency::new(begun);
    let mut slots = Slots::new(load, begun);
    loop {
        let now = Instant::now();
        while let Some(slot) = slots.next(now) {
            let Some(request) = next() else {
                slots.free.push(slot);
                slots.load.run_for = Duration::ZERO;
                break;
            };
            submission.add(Command::Message(request), &inbox.mailbox, slot);
        }
        handle.submit(&mut submission);
        if slots.is_done(now) {
            return latency.figures(begun.elapsed());
        }
        inbox.bell.wait_for(slots.patience(now));
        inbox.mailbox.take(&mut inbox.letters);
        let now = Instant::now();
        for (slot, answer) in inbox.letters.drain(..) {
            latency.came(slots.sent[slot as usize], now, approved(&answer));
            slots.free.push(slot);
        }
    }
}

/// Issues single-use numbers and buys with each of them at once. An answer counts for the pair; its latency is
/// that of both steps together.
pub fn pairs(handle: &Handle, bank: &mut Bank, load: Load, requests: &mut Requests) -> Figures {
    let mut inbox = Inbox::new();
    let mut submission = Submission::default();
    let begun = Instant::now();
    let mut latency = Latency::new(begun);
    let mut slots = Slots::new(load, begun);
    let mut bought_with: Vec<Option<Credential>> = vec![None; load.in_flight];
    loop {
        let now = Instant::now();
        while let Some(slot) = slots.next(now) {
            let Some((order, credential)) = bank.order(1) else { return latency.figures(begun.elapsed()) };
            bought_with[slot as usize] = Some(credential);
            submission.add(order, &inbox.mailbox, slot);
        }
        handle.submit(&mut submission);
        if slots.is_done(now) {
            return latency.figures(begun.elapsed());
        }
        inbox.bell.wait_for(slots.patience(now));
        inbox.mailbox.take(&mut inbox.letters);
        let now = Instant::now();
        for (slot, answer) in inbox.letters.drain(..) {
            match (answer, &bought_with[slot as usize]) {
                (Answer::Issued { .. }, Some(credential)) => {
                    submission.add(Command::Message(requests.next(credential)), &inbox.mailbox, slot);
                }
                (answer, _) => {
                    latency.came(slots.sent[slot as usize], now, approved(&answer));
                    slots.free.push(slot);
                }
            }
        }
    }
}

/// Whether an answer approved. That a benchmark is declined for any other reason than its numbers being used up
/// would make its figures worthless, so they are counted.
pub fn approved(answer: &Answer) -> bool {
    matches!(answer, Answer::Message(answer) if answer.response == ResponseCode::Approved && answer.reason == Reason::Approved)
}
