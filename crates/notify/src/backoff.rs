//! How long to wait after a failure.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// At the most, whatever a receiver says.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);
/// After so many doublings the longest is reached anyway.
const DOUBLINGS_MAX: u32 = 12;

/// How long to wait after so many failures in a row: from a second doubling up to an hour, of which the last half is
/// left to chance, so that receivers that failed together are not tried together. `chance` is any number. A receiver
/// that asks for more time gets it, up to the same hour.
pub(crate) fn wait(failures: u32, chance: u64, asked: Option<Duration>) -> Duration {
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
    let whole = (FIRST * 2u32.pow(doublings)).min(LONGEST);
    let half_ms = (whole.as_millis() / 2) as u64;
    let wait = Duration::from_millis(half_ms + chance % (half_ms + 1));
    wait.max(asked.unwrap_or_default()).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let longest = |failures| wait(failures, u64::MAX - 1, None);
        for failures in 1..100 {
            for chance in [0, 1, 499, 500, 12_345_678_901] {
                let waited = wait(failures, chance, None);
                let whole = FIRST * 2u32.pow((failures - 1).min(12));
                assert!(waited >= whole.min(LONGEST) / 2 && waited <= whole.min(LONGEST), "{failures}");
            }
        }
        assert!(longest(1) <= Duration::from_secs(1));
        assert!(longest(100) >= LONGEST / 2);
    }

    #[test]
    fn whoever_asks_for_time_gets_it_within_bounds() {
        let asked = |seconds| wait(1, 0, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(0), Duration::from_millis(500));
        assert_eq!(asked(120), Duration::from_secs(120));
        assert_eq!(asked(1_000_000), LONGEST);
    }
}
