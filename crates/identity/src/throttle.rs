//! What failed log-ins cost: after some free ones, each makes the next wait twice as long.
//!
//! Nobody is locked out for good, or everybody could lock out everybody: a right password gets in as soon as the wait
//! is over.

/// Failed log-ins for one name, or from one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Throttle {
    /// How many there were since the last success.
    pub failures: u32,
    /// When the last one was, in ms since 1970.
    pub last_failure_ms: u64,
}

/// How long to wait after how many failures. All durations in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// So many failures cost nothing.
    pub free: u32,
    /// The wait after the first one that costs; each further one doubles it.
    pub delay_ms: u64,
    /// No wait is longer.
    pub delay_max_ms: u64,
    /// After so long without a failure all of them are forgotten.
    pub forgotten_ms: u64,
}

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;

impl ThrottlePolicy {
    /// For one log-in name: five are free (people mistype), then 1 s doubling to 15 min; forgotten after 24 h. In the
    /// long run that is four guesses an hour at one name.
    pub const NAME: Self =
        Self { free: 5, delay_ms: SECOND_MS, delay_max_ms: 15 * MINUTE_MS, forgotten_ms: 24 * HOUR_MS };
    /// For one address: fifty are free, because many people can share one; otherwise the same.
    pub const ADDRESS: Self = Self { free: 50, ..Self::NAME };
}

impl Throttle {
    /// Nothing failed yet.
    pub const CLEAR: Self = Self { failures: 0, last_failure_ms: 0 };

    /// How long to wait from `now_ms` on before the next try; 0 if none is needed. Never longer than
    /// [`delay_max_ms`](ThrottlePolicy::delay_max_ms), even if the clock was put back.
    pub fn retry_after_ms(&self, policy: &ThrottlePolicy, now_ms: u64) -> u64 {
        if self.is_forgotten(policy, now_ms) {
            return 0;
        }
        policy.delay_after(self.failures).saturating_sub(self.idle_ms(now_ms))
    }

    /// After one more failure.
    #[must_use]
    pub fn failed(self, policy: &ThrottlePolicy, now_ms: u64) -> Self {
        let before = if self.is_forgotten(policy, now_ms) { 0 } else { self.failures };
        Self { failures: before.saturating_add(1), last_failure_ms: now_ms }
    }

    /// After a success of the name: all is forgiven.
    #[must_use]
    pub fn succeeded(self) -> Self {
        Self::CLEAR
    }

    /// Without the last failure, which was counted before it was known to be none. For an address, where one success
    /// must not forgive what others tried from it.
    #[must_use]
    pub fn uncounted(self) -> Self {
        Self { failures: self.failures.saturating_sub(1), ..self }
    }

    /// Whether all of it is so long ago that it doesn't count any more.
    pub fn is_forgotten(&self, policy: &ThrottlePolicy, now_ms: u64) -> bool {
        self.failures == 0 || self.idle_ms(now_ms) >= policy.forgotten_ms
    }

    fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.last_failure_ms)
    }
}

impl ThrottlePolicy {
    /// How long to wait after the last of so many failures.
    fn delay_after(&self, failures: u32) -> u64 {
        let Some(doublings) = failures.checked_sub(self.free + 1) else { return 0 };
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.delay_ms.saturating_mul(factor).min(self.delay_max_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: &ThrottlePolicy = &ThrottlePolicy::NAME;

    fn after(failures: u32) -> Throttle {
        (0..failures).fold(Throttle::CLEAR, |throttle, _| throttle.failed(POLICY, 1_000_000))
    }

    #[test]
    fn five_are_free_and_then_it_doubles() {
        let waits: Vec<u64> =
            (0..18).map(|failures| after(failures).retry_after_ms(POLICY, 1_000_000) / 1000).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(after(500).retry_after_ms(POLICY, 1_000_000), 900_000);
    }

    #[test]
    fn waiting_helps_and_a_day_forgets() {
        let throttle = after(8);
        assert_eq!(throttle.retry_after_ms(POLICY, 1_001_000), 3_000);
        assert_eq!(throttle.retry_after_ms(POLICY, 1_004_000), 0);
        let tomorrow_ms = 1_000_000 + 24 * HOUR_MS;
        assert_eq!(throttle.failed(POLICY, tomorrow_ms - 1).failures, 9);
        assert_eq!(throttle.failed(POLICY, tomorrow_ms).failures, 1);
        assert_eq!(throttle.succeeded(), Throttle::CLEAR);
        assert_eq!(throttle.uncounted().failures, 7);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest(failures: u32, last_failure_ms: u64, now_ms: u64) {
            let throttle = Throttle { failures, last_failure_ms };
            prop_assert!(throttle.retry_after_ms(POLICY, now_ms) <= POLICY.delay_max_ms);
            prop_assert!(throttle.failed(POLICY, now_ms).failures >= 1);
        }

        #[test]
        fn more_failures_never_wait_shorter(failures in 0u32..u32::MAX, now_ms in 0..u64::MAX / 2) {
            let throttle = Throttle { failures, last_failure_ms: now_ms };
            let more = throttle.failed(POLICY, now_ms);
            prop_assert!(more.retry_after_ms(POLICY, now_ms) >= throttle.retry_after_ms(POLICY, now_ms));
        }

        #[test]
        fn the_wait_is_over_when_it_was_waited(failures: u32, now_ms in 0..u64::MAX / 2) {
            let throttle = Throttle { failures, last_failure_ms: now_ms };
            let wait_ms = throttle.retry_after_ms(POLICY, now_ms);
            prop_assert_eq!(throttle.retry_after_ms(POLICY, now_ms + wait_ms), 0);
            if wait_ms > 0 {
                prop_assert!(throttle.retry_after_ms(POLICY, now_ms + wait_ms - 1) > 0);
            }
        }
    }
}
