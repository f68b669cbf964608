//! How long to wait after failures in a row.

use std::time::Duration;

/// After so many doublings any longest wait is reached.
const DOUBLINGS_MAX: u32 = 24;

/// Waits that double from the first to the longest, of which the last half is left to chance: whoever failed together
/// does not try again together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first_ms: u64,
    pub(crate) longest_ms: u64,
}

impl Backoff {
    /// The wait after so many failures in a row. `chance` is any number.
    pub(crate) fn wait(self, failures: u32, chance: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
        let whole_ms = self.first_ms.saturating_mul(1 << doublings).min(self.longest_ms);
        let half_ms = whole_ms / 2;
        Duration::from_millis(whole_ms - half_ms + chance % (half_ms + 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_double_and_half_of_each_is_chance(
            first_ms in 1_u64..10_000, times in 1_u64..1_000, failures in 0_u32..100, chance: u64,
        ) {
            let backoff = Backoff { first_ms, longest_ms: first_ms * times };
            let whole_ms = first_ms
                .saturating_mul(1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX))
                .min(backoff.longest_ms);
            let wait_ms = backoff.wait(failures, chance).as_millis() as u64;
            prop_assert!(wait_ms >= whole_ms / 2 && wait_ms <= whole_ms);
            prop_assert!(wait_ms > 0);
        }
    }
}
