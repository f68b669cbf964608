//! Whether the server takes work, and if not, why.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mayfly_engine::Progress;

/// What the server is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is not ready yet; what it is at.
    Starting(String),
    /// It takes work.
    Serving,
    /// It takes no more work and finishes what it has.
    Stopping,
    /// It can't go on; why.
    Failed(String),
}

/// The server's health, for everybody who asks.
#[derive(Debug)]
pub struct Health {
    inner: Mutex<Inner>,
    lag_max: Duration,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    lag: LagWatch,
}

impl Health {
    /// Of a server that begins to start. Views that lag more than `lag_max` make it not ready.
    pub fn starting(lag_max: Duration) -> Self {
        let inner = Inner { phase: Phase::Starting("the server starts".to_owned()), lag: LagWatch::default() };
        Self { inner: Mutex::new(inner), lag_max }
    }

    /// What the server is doing.
    pub fn phase(&self) -> Phase {
        self.lock().phase.clone()
    }

    /// The server does something else now. What has failed stays failed.
    pub fn enter(&self, phase: Phase) {
        let mut inner = self.lock();
        if !matches!(inner.phase, Phase::Failed(_)) {
            inner.phase = phase;
        }
    }

    /// Why the server takes no work; none if it does.
    pub fn not_ready(&self) -> Option<String> {
        let inner = self.lock();
        let lag = inner.lag.oldest(Instant::now());
        match &inner.phase {
            Phase::Starting(what) => Some(what.clone()),
            Phase::Stopping => Some("the server stops".to_owned()),
            Phase::Failed(why) => Some(why.clone()),
            Phase::Serving if lag > self.lag_max => {
                Some(format!("the views lag {} s behind the journal", lag.as_secs()))
            }
            Phase::Serving => None,
        }
    }

    /// Looks how far journal and views are. Called a few times a second.
    pub fn observe(&self, progress: &Progress) {
        self.lock().lag.observe(progress, Instant::now());
    }

    /// How long the oldest record that is not folded has been waiting for it.
    pub fn lag(&self) -> Duration {
        self.lock().lag.oldest(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody panics while he holds this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many observations are kept: more than the longest lag that is let pass, at four a second.
const OBSERVATIONS_MAX: usize = 16_384;

/// When which record was durable first: so the lag is right after an idle hour too, when the last folded record
/// is an hour old and yet nothing lags.
#[derive(Debug, Default)]
struct LagWatch {
    seen: VecDeque<(u64, Instant)>,
}

impl LagWatch {
    fn observe(&mut self, progress: &Progress, now: Instant) {
        let (folded, durable) = (progress.folded(), progress.durable());
        while self.seen.front().is_some_and(|(sequence, _)| *sequence <= folded) {
            self.seen.pop_front();
        }
        let known = self.seen.back().map_or(folded, |(sequence, _)| *sequence);
        if durable > known && self.seen.len() < OBSERVATIONS_MAX {
            self.seen.push_back((durable, now));
        }
    }

    fn oldest(&self, now: Instant) -> Duration {
        self.seen.front().map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use mayfly_core::TransactionId;

    use super::*;

    #[test]
    fn the_lag_is_that_of_the_oldest_record_that_waits() {
        let (progress, begun) = (Progress::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut lag = LagWatch::default();
        let mut step = |durable, folded, at| {
            progress.set_durable(durable);
            progress.set_folded(folded, 0, TransactionId(1));
            lag.observe(&progress, after(at));
            lag.oldest(after(at)).as_secs()
        };
        assert_eq!(step(1, 1, 0), 0);
        assert_eq!(step(2, 1, 3600), 0, "an idle hour is no lag");
        assert_eq!(step(5, 1, 3602), 2);
        assert_eq!(step(9, 2, 3603), 1, "what was seen first is folded, what came next waits since 3602");
        assert_eq!(step(9, 5, 3604), 1);
        assert_eq!(step(9, 9, 3605), 0);
    }

    #[test]
    fn what_has_failed_stays_failed() {
        let health = Health::starting(Duration::from_secs(1));
        assert!(health.not_ready().is_some());
        health.enter(Phase::Serving);
        assert_eq!(health.not_ready(), None);
        health.enter(Phase::Failed("the disk is full".into()));
        health.enter(Phase::Stopping);
        assert_eq!(health.not_ready(), Some("the disk is full".into()));
    }
}
