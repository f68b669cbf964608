//! What store and forward counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Settled;
use crate::meter::Counter;

/// Counters, for as long as the process lives, and how many are owed now.
#[derive(Debug, Default)]
pub struct ForwardMeter {
    /// First sendings (0420).
    pub first: Counter,
    /// Repeats (0421).
    pub repeats: Counter,
    /// Those that a host acknowledged and did.
    pub accepted: Counter,
    /// Those that a host acknowledged and refused. Somebody should look at them.
    pub refused: Counter,
    owed: AtomicU64,
}

impl ForwardMeter {
    /// How many are known and not acknowledged.
    pub fn owed(&self) -> u64 {
        self.owed.load(Ordering::Relaxed)
    }

    pub(super) fn set_owed(&self, owed: usize) {
        self.owed.store(owed as u64, Ordering::Relaxed);
    }

    pub(super) fn sends(&self, repeat: bool) {
        if repeat { &self.repeats } else { &self.first }.one();
    }

    pub(super) fn settled(&self, how: Settled) {
        match how {
            Settled::Accepted => self.accepted.one(),
            Settled::Refused(_) => self.refused.one(),
        }
    }
}
