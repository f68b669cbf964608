//! What does not work for a while, as when a database is away: it is said once, and tried again less and less often.

use std::time::{Duration, Instant};

/// How long it is waited before something is tried again: at first, and at the most.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How one kind of work goes.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// When it may be tried again, and how long it is waited after that.
    until: Option<(Instant, Duration)>,
}

impl Trouble {
    /// Whether it may be tried at `now`.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.until.is_none_or(|(until, _)| now >= until)
    }

    /// It works.
    pub(super) fn over(&mut self) {
        self.until = None;
    }

    /// It did not work at `now`. Says whether that is new, and worth a word.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        let (is_new, pause) = match self.until {
            None => (true, PAUSE),
            Some((_, pause)) => (false, (pause * 2).min(PAUSE_MAX)),
        };
        self.until = Some((now + pause, pause));
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_and_tried_less_often() {
        let (mut trouble, begun) = (Trouble::default(), Instant::now());
        let (mut now, mut tries, mut said) = (begun, 0, 0);
        while now < begun + Duration::from_secs(60) {
            if trouble.may_try(now) {
                tries += 1;
                said += u32::from(trouble.again(now));
            }
            now += Duration::from_millis(50);
        }
        assert_eq!(said, 1);
        assert!((10..20).contains(&tries), "{tries} tries in a minute");
        trouble.over();
        assert!(trouble.may_try(now));
        assert!(trouble.again(now), "new again");
        assert!(!trouble.may_try(now) && trouble.may_try(now + PAUSE));
    }
}
