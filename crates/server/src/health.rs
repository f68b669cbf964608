//! Whether the server takes work, and if not, why.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mayfly_core::TimeMs;
use mayfly_engine::{Clock, Lag, Progress};
use mayfly_store::Standing;

/// What the server is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is not ready yet; what it is at.
    Starting(String),
    /// Another gateway is active; which one. This one follows, and takes over when it must.
    Standby(String),
    /// It takes work.
    Serving,
    /// It takes no more work and finishes what it has.
    Stopping,
    /// It can't go on; why.
    Failed(String),
}

/// The server's health, for everybody who asks.
pub(crate) struct Health {
    phase: Mutex<Phase>,
    lag_max_ms: TimeMs,
    clock: Arc<dyn Clock>,
    progress: OnceLock<Arc<Progress>>,
    standing: OnceLock<Arc<Standing>>,
}

impl Health {
    /// Of a server that begins to start. Views that lag more than `lag_max_ms` make it not ready.
    pub(crate) fn starting(lag_max_ms: TimeMs, clock: Arc<dyn Clock>) -> Self {
        let phase = Mutex::new(Phase::Starting("the server starts".to_owned()));
        Self { phase, lag_max_ms, clock, progress: OnceLock::new(), standing: OnceLock::new() }
    }

    /// Says how this gateway stands with the lease that makes it the active one. Once.
    pub(crate) fn hold(&self, standing: &Arc<Standing>) {
        drop(self.standing.set(standing.clone()));
    }

    /// How it stands with the lease; none if it never had one.
    pub(crate) fn standing(&self) -> Option<&Arc<Standing>> {
        self.standing.get()
    }

    /// Says where to see how far journal and views are. Once.
    pub(crate) fn watch(&self, progress: &Arc<Progress>) {
        drop(self.progress.set(progress.clone()));
    }

    /// What the server is doing.
    pub(crate) fn phase(&self) -> Phase {
        self.lock().clone()
    }

    /// The server does something else now. What has failed stays failed.
    pub(crate) fn enter(&self, next: Phase) {
        let mut phase = self.lock();
        if !matches!(*phase, Phase::Failed(_)) {
            *phase = next;
        }
    }

    /// Why the server takes no work; none if it does.
    pub(crate) fn not_ready(&self) -> Option<String> {
        match self.phase() {
            Phase::Starting(what) => Some(what),
            Phase::Standby(active) => Some(format!("standby: the active gateway is {active}")),
            Phase::Stopping => Some("the server stops".to_owned()),
            Phase::Failed(why) => Some(why),
            Phase::Serving if self.standing().is_some_and(|standing| !standing.is_good()) => {
                Some("the lease could not be renewed: nothing is written until it is known who has it".into())
            }
            Phase::Serving => {
                let lag_ms = self.lag().ms;
                let lags = lag_ms > self.lag_max_ms;
                lags.then(|| format!("the views lag {} s behind the journal", lag_ms / 1000))
            }
        }
    }

    /// How far the views are behind the journal.
    pub(crate) fn lag(&self) -> Lag {
        self.progress.get().map_or(Lag { entries: 0, ms: 0 }, |progress| progress.lag(self.clock.now_ms()))
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        // Nobody panics while he holds this lock.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use mayfly_engine::ManualClock;

    use super::*;

    #[test]
    fn what_has_failed_stays_failed() {
        let health = Health::starting(1000, Arc::new(ManualClock::at(0)));
        assert!(health.not_ready().is_some());
        health.enter(Phase::Serving);
        assert_eq!(health.not_ready(), None);
        health.enter(Phase::Failed("the disk is full".into()));
        health.enter(Phase::Stopping);
        assert_eq!(health.not_ready(), Some("the disk is full".into()));
    }

    #[test]
    fn a_server_whose_views_lag_too_far_is_not_ready() {
        let (clock, progress) = (Arc::new(ManualClock::at(0)), Arc::new(Progress::default()));
        let health = Health::starting(1000, clock.clone());
        health.watch(&progress);
        health.enter(Phase::Serving);
        progress.set_durable(1, 0);
        clock.set(1000);
        assert_eq!(health.not_ready(), None);
        clock.set(1001);
        assert_eq!(health.not_ready(), Some("the views lag 1 s behind the journal".into()));
        progress.set_folded(1, 0, std::iter::empty());
        assert_eq!(health.not_ready(), None);
    }
}
