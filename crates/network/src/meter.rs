//! What the network counts of itself. Plain numbers: whoever serves metrics renders them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mayfly_core::ResponseCode;
use mayfly_iso8583::{Mti, MtiClass};

use crate::Closed;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// What was counted up to now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }
}

/// Messages by what they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// 0100, 0101
    Authorisation,
    /// 0120, 0121
    AuthorisationAdvice,
    /// 0200, 0201
    Financial,
    /// 0220, 0221
    FinancialAdvice,
    /// 0400, 0401
    Reversal,
    /// 0420, 0421
    ReversalAdvice,
    /// 0800
    Management,
    /// Everything else.
    Other,
}

impl Traffic {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Authorisation,
        Self::AuthorisationAdvice,
        Self::Financial,
        Self::FinancialAdvice,
        Self::Reversal,
        Self::ReversalAdvice,
        Self::Management,
        Self::Other,
    ];

    /// By the message's indicator.
    pub fn of(mti: Mti) -> Self {
        match &mti.without_repeat().digits() {
            b"0100" => Self::Authorisation,
            b"0120" => Self::AuthorisationAdvice,
            b"0200" => Self::Financial,
            b"0220" => Self::FinancialAdvice,
            b"0400" => Self::Reversal,
            b"0420" => Self::ReversalAdvice,
            _ if mti.version() == 0 && mti.class() == MtiClass::NetworkManagement => Self::Management,
            _ => Self::Other,
        }
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorisation => "0100",
            Self::AuthorisationAdvice => "0120",
            Self::Financial => "0200",
            Self::FinancialAdvice => "0220",
            Self::Reversal => "0400",
            Self::ReversalAdvice => "0420",
            Self::Management => "0800",
            Self::Other => "other",
        }
    }
}

/// Counters and a histogram, for as long as the process lives.
#[derive(Debug, Default)]
pub struct Meter {
    /// Connections that were accepted.
    pub opened: Counter,
    /// Connections that were closed at once, because as many were open as may be.
    pub refused: Counter,
    /// Bytes that came in.
    pub bytes_in: Counter,
    /// Bytes that went out.
    pub bytes_out: Counter,
    /// Messages that could not be read, or lacked what they must have: answered 30.
    pub malformed: Counter,
    /// Messages of which not even the MTI could be read. Each has cost its connection.
    pub unreadable: Counter,
    /// Messages that have no answer: answers to questions that nobody asked.
    pub unanswerable: Counter,
    /// Messages that were answered 96 because the engine took too long.
    pub timed_out: Counter,
    /// Answers of the engine that came after that.
    pub late: Counter,
    /// From when a message was read to when its answer was written.
    pub latency: Latency,
    closed: [Counter; Closed::ALL.len()],
    messages: [Counter; Traffic::ALL.len()],
    answers: [Counter; ResponseCode::ALL.len()],
    /// Those that an issuer host gave and we never do.
    pub other_answers: Counter,
}

impl Meter {
    /// How many connections are open.
    pub fn open(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(Counter::value).sum();
        self.opened.value().saturating_sub(closed)
    }

    /// How many connections were closed for that reason.
    pub fn closed(&self, why: Closed) -> &Counter {
        &self.closed[why as usize]
    }

    /// How many messages of a kind came in whose MTI could be read.
    pub fn messages(&self, traffic: Traffic) -> &Counter {
        &self.messages[traffic as usize]
    }

    /// How many answers with that code were given.
    pub fn answers(&self, code: ResponseCode) -> &Counter {
        code.position().map_or(&self.other_answers, |at| &self.answers[at])
    }
}

/// The upper bounds of the buckets of [`Latency`], in microseconds. What is longer than the last is in one more.
pub const LATENCY_BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// How long things took, in fixed buckets.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [Counter; LATENCY_BOUNDS_US.len() + 1],
    sum_us: Counter,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        // Half a million years fit.
        let took_us = took.as_micros() as u64;
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound_us| *bound_us < took_us);
        self.buckets[bucket].one();
        self.sum_us.add(took_us);
    }

    /// How many took at most each bound and more than the one before; the last without a bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = LATENCY_BOUNDS_US.into_iter().map(Some).chain([None]);
        bounds.zip(self.buckets.iter().map(Counter::value))
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::value).sum()
    }

    /// How long all of them took together, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_lists() {
        for (at, traffic) in Traffic::ALL.into_iter().enumerate() {
            assert_eq!(traffic as usize, at);
        }
        for (at, why) in Closed::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
        for (at, code) in ResponseCode::ALL.iter().enumerate() {
            assert_eq!(code.position(), Some(at));
        }
    }

    #[test]
    fn traffic_is_told_by_the_mti() {
        for (mti, name) in [
            ("0100", "0100"),
            ("0101", "0100"),
            ("0421", "0420"),
            ("0800", "0800"),
            ("0820", "0800"),
            ("1800", "other"),
            ("0110", "other"),
        ] {
            assert_eq!(Traffic::of(Mti::parse(mti).unwrap()).name(), name, "{mti}");
        }
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let latency = Latency::default();
        for took_us in [0, 100, 101, 30_000_000, 30_000_001] {
            latency.record(Duration::from_micros(took_us));
        }
        let filled: Vec<_> = latency.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(Some(100), 2), (Some(250), 1), (Some(30_000_000), 1), (None, 1)]);
        assert_eq!(latency.count(), 5);
        assert_eq!(latency.sum_us(), 60_000_202);
    }
}
