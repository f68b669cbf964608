//! What is counted of deliveries.

use std::sync::atomic::{AtomicU64, Ordering};

/// What came of an attempt, for who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Delivered,
    /// The receiver answered that it did not take it.
    Refused,
    /// The receiver is gone for good.
    Gone,
    /// There was no answer.
    Unanswered,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Refused, Self::Gone, Self::Unanswered];

    /// Its name, for a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Unanswered => "unanswered",
        }
    }
}

/// How often there was each outcome.
#[derive(Debug, Default)]
pub struct DeliveryCounts([AtomicU64; Outcome::ALL.len()]);

impl DeliveryCounts {
    pub(crate) fn add(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often there was this one.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}
