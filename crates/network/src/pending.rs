//! The messages of one connection that wait for their answers.

use std::time::{Duration, Instant};

use crate::reply::Echo;

/// Places for messages, each used again and again. A key names a place and which use of it is meant, so that an
/// answer that comes after its time does not go to another message.
#[derive(Default)]
pub(crate) struct Pending {
    places: Vec<Place>,
    free: Vec<u32>,
}

struct Place {
    /// Which use of the place it is.
    turn: u32,
    taken: bool,
    since: Instant,
    echo: Echo,
}

impl Pending {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Takes a place, to be filled with what the answer needs. Returns the key under which the answer comes.
    pub(crate) fn take(&mut self, since: Instant) -> (u64, &mut Echo) {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.places.push(Place { turn: 0, taken: false, since, echo: Echo::default() });
                // The bound on messages in flight is far below what 32 bits count.
                (self.places.len() - 1) as u32
            }
        };
        let place = &mut self.places[at as usize];
        place.taken = true;
        place.since = since;
        (u64::from(place.turn) << 32 | u64::from(at), &mut place.echo)
    }

    /// Gives the place of an answered message back after `answer` has seen it. False if nobody waits under this
    /// key any more.
    pub(crate) fn finish(&mut self, key: u64, answer: impl FnOnce(&Echo, Instant)) -> bool {
        let at = key as u32;
        let Some(place) = self.places.get_mut(at as usize) else { return false };
        if !place.taken || u64::from(place.turn) != key >> 32 {
            return false;
        }
        answer(&place.echo, place.since);
        place.echo.wipe();
        place.taken = false;
        place.turn = place.turn.wrapping_add(1);
        self.free.push(at);
        true
    }

    /// The key of one that has waited longer than `limit`, if there is one.
    pub(crate) fn overdue(&self, now: Instant, limit: Duration) -> Option<u64> {
        let overdue = |place: &Place| place.taken && now.saturating_duration_since(place.since) > limit;
        let at = self.places.iter().position(overdue)?;
        Some(u64::from(self.places[at].turn) << 32 | at as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_late_goes_to_nobody() {
        let mut pending = Pending::default();
        let begun = Instant::now();
        let (first, _) = pending.take(begun);
        assert_eq!(pending.overdue(begun, Duration::ZERO), None);
        assert_eq!(pending.overdue(begun + Duration::from_secs(1), Duration::ZERO), Some(first));
        assert!(pending.finish(first, |_, _| ()));
        let (second, _) = pending.take(begun);
        assert_ne!(first, second);
        assert!(!pending.finish(first, |_, _| panic!("goes to nobody")));
        assert_eq!(pending.len(), 1);
        assert!(pending.finish(second, |_, _| ()));
        assert!(!pending.finish(second, |_, _| panic!("only once")));
        assert!(!pending.finish(77, |_, _| panic!("never given")));
        assert_eq!(pending.len(), 0);
    }
}
