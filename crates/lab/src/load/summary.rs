//! What came of a load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{LoadError, Options};

/// The longest latency that is told apart, in microseconds: longer ones count as that.
const LATENCY_MAX_US: u64 = 60_000_000;

/// From how long on nothing coming at all is a stall.
const STALL: Duration = Duration::from_millis(100);

/// What came of a load. All but the first four numbers are about the measured time only, without the warm-up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Messages sent.
    pub sent: u64,
    /// Messages that were not answered until five seconds after the last was sent.
    pub unanswered: u64,
    /// Answers that belong to no message, or came twice.
    pub unmatched: u64,
    /// Whether the numbers ran out before the time did.
    pub exhausted: bool,
    /// How many connections there were.
    pub connections: usize,
    /// How many messages each kept in flight.
    pub in_flight: usize,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Answers.
    pub answered: u64,
    /// Answers per second.
    pub per_second: f64,
    /// Answers by response code.
    pub codes: BTreeMap<String, u64>,
    /// From when a message was written to when its answer was read.
    pub latency_us: LatencyUs,
    /// The longest time in which no answer came on any connection (of a thread), in milliseconds.
    pub longest_gap_ms: f64,
    /// How often that was 100 ms or longer.
    pub stalls: u64,
    /// Answers in each second.
    pub seconds_answered: Vec<u64>,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct LatencyUs {
    /// On average.
    pub mean: f64,
    /// Half of them took at most that.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// All of them.
    pub max: u64,
}

/// What is counted while it runs.
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) unmatched: u64,
    pub(super) exhausted: bool,
    all_answered: u64,
    measured_from: Instant,
    /// When answers came last; at first, when measuring began.
    last: Instant,
    ended: Option<Instant>,
    answered: u64,
    codes: Vec<([u8; 2], u64)>,
    latency: Histogram<u64>,
    gap_max: Duration,
    stalls: u64,
    seconds_answered: Vec<u64>,
}

impl Tally {
    pub(super) fn new(measured_from: Instant) -> Result<Self, LoadError> {
        Ok(Self {
            sent: 0,
            unmatched: 0,
            exhausted: false,
            all_answered: 0,
            measured_from,
            last: measured_from,
            ended: None,
            answered: 0,
            codes: Vec::new(),
            // Exact to three digits: bounds that it always takes.
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).map_err(|_| LoadError::Options)?,
            gap_max: Duration::ZERO,
            stalls: 0,
            seconds_answered: Vec::new(),
        })
    }

    /// One answer.
    pub(super) fn answered(&mut self, measured: bool, code: [u8; 2], took: Duration) {
        self.all_answered += 1;
        if !measured || self.ended.is_some() {
            return;
        }
        self.answered += 1;
        self.latency.saturating_record((took.as_micros() as u64).clamp(1, LATENCY_MAX_US));
        match self.codes.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.codes.push((code, 1)),
        }
    }

    /// So many answers came together.
    pub(super) fn came(&mut self, measured: bool, now: Instant, count: usize) {
        if !measured || self.ended.is_some() {
            return;
        }
        self.gap(now);
        let second = now.saturating_duration_since(self.measured_from).as_secs() as usize;
        if self.seconds_answered.len() <= second {
            self.seconds_answered.resize(second + 1, 0);
        }
        self.seconds_answered[second] += count as u64;
    }

    /// Nothing more is sent, and what still comes is not measured.
    pub(super) fn ended(&mut self, now: Instant) {
        self.gap(now);
        self.ended = Some(now);
    }

    fn gap(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.last);
        self.gap_max = self.gap_max.max(gap);
        self.stalls += u64::from(gap >= STALL);
        self.last = now;
    }

    /// Adds what another thread has counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.unmatched += other.unmatched;
        self.exhausted |= other.exhausted;
        self.all_answered += other.all_answered;
        self.measured_from = other.measured_from;
        self.last = self.last.max(other.last);
        self.ended = self.ended.max(other.ended);
        self.answered += other.answered;
        for (code, count) in &other.codes {
            match self.codes.iter_mut().find(|(known, _)| known == code) {
                Some((_, sum)) => *sum += count,
                None => self.codes.push((*code, *count)),
            }
        }
        // Both have the same bounds, so everything fits.
        let _ = self.latency.add(&other.latency);
        self.gap_max = self.gap_max.max(other.gap_max);
        self.stalls += other.stalls;
        self.seconds_answered.resize(self.seconds_answered.len().max(other.seconds_answered.len()), 0);
        for (sum, count) in self.seconds_answered.iter_mut().zip(&other.seconds_answered) {
            *sum += count;
        }
    }

    pub(super) fn summary(self, options: &Options) -> Summary {
        let until = self.ended.unwrap_or(self.last);
        let seconds = until.saturating_duration_since(self.measured_from).as_secs_f64();
        let at = |quantile| self.latency.value_at_quantile(quantile);
        Summary {
            sent: self.sent,
            unanswered: self.sent.saturating_sub(self.all_answered),
            unmatched: self.unmatched,
            exhausted: self.exhausted,
            connections: options.connections,
            in_flight: options.in_flight,
            seconds,
            answered: self.answered,
            per_second: if seconds > 0.0 { self.answered as f64 / seconds } else { 0.0 },
            codes: self
                .codes
                .iter()
                .map(|(code, count)| (String::from_utf8_lossy(code).into_owned(), *count))
                .collect(),
            latency_us: LatencyUs {
                mean: self.latency.mean(),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: self.latency.max(),
            },
            longest_gap_ms: self.gap_max.as_secs_f64() * 1000.0,
            stalls: self.stalls,
            seconds_answered: self.seconds_answered,
        }
    }
}
