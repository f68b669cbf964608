//! What is to be sent when. Pure: it has no clock, no socket, and no store; what is owed is known here by its id alone.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Instant;

use mayfly_core::LimitError;
use mayfly_iso8583::{De, MessageBuilder};

use crate::backoff::Backoff;
use crate::link::LinkError;

/// With these codes the host says that it could not take the message now. Every other code is its last word.
const TRY_AGAIN: [&str; 6] = ["09", "19", "90", "91", "92", "96"];

/// With these codes the host says that it does not know what is to be reversed. It may not know it yet: a reversal can
/// overtake its original, over another connection or in the host itself.
const NOT_FOUND: [&str; 2] = ["25", "76"];

/// The bounds of a [`Forward`]. [`ForwardOptions::check`] holds the bounds of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardOptions {
    /// How many are under way at once, so that what was owed for hours does not keep purchases waiting.
    /// Default 16; 1 to 1,024.
    pub at_once_max: usize,
    /// How many are known at once; the others stay where they are written down. Default 65,536; 1 to 1,048,576.
    pub known_max: usize,
    /// The first wait before a repeat, in milliseconds. It doubles with every repeat, and up to half of it is left to
    /// chance. Default 1,000; 1 to 600,000.
    pub retry_ms_first: u64,
    /// How often a host may say that it does not know the original before that is its last word: as long as an original
    /// may still be on its way. Default 8, which is one to two minutes; 1 to 100.
    pub not_found_max: u32,
    /// The longest of these waits, in milliseconds. Default 300,000; 1 to 86,400,000, and not less than the first.
    pub retry_ms_max: u64,
}

impl Default for ForwardOptions {
    fn default() -> Self {
        Self {
            at_once_max: 16,
            known_max: 65_536,
            not_found_max: 8,
            retry_ms_first: 1_000,
            retry_ms_max: 300_000,
        }
    }
}

impl ForwardOptions {
    /// Whether every bound is within its own bounds.
    pub fn check(&self) -> Result<(), LimitError> {
        LimitError::of_first([
            ((1..=1_024).contains(&self.at_once_max), "reversals under way", "1 to 1024"),
            ((1..=1 << 20).contains(&self.known_max), "waiting reversals", "1 to 1048576"),
            ((1..=100).contains(&self.not_found_max), "answers that an original is not known", "1 to 100"),
            ((1..=600_000).contains(&self.retry_ms_first), "first wait", "1 ms to 10 minutes"),
            (
                (self.retry_ms_first..=86_400_000).contains(&self.retry_ms_max),
                "longest wait",
                "the first wait to 24 hours",
            ),
        ])
    }
}

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<I> {
    /// Which.
    pub id: I,
    /// Whether it may have been sent before: then it goes as a repeat (0421), so that the host does it once.
    pub repeat: bool,
}

/// What became of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The host acknowledged it: it did as it was told.
    Accepted,
    /// The host acknowledged it and will not do it, with this code (DE 39).
    Refused([u8; 2]),
    /// The host does not know the original, with this code (DE 39), at least not yet.
    NotFound([u8; 2]),
    /// The host may have it or not, or can't take it now.
    Unknown,
    /// It never left.
    NotSent,
}

impl Sent {
    /// By what became of a message that was sent over a link.
    pub fn of(result: &Result<MessageBuilder, LinkError>) -> Self {
        match result {
            Ok(answer) => {
                let Some(text) = answer.text(De::RESPONSE_CODE) else { return Self::Unknown };
                match text.as_bytes() {
                    b"00" => Self::Accepted,
                    _ if TRY_AGAIN.contains(&text) => Self::Unknown,
                    &[first, second] if NOT_FOUND.contains(&text) => Self::NotFound([first, second]),
                    &[first, second] => Self::Refused([first, second]),
                    _ => Self::Unknown,
                }
            }
            Err(error) if error.may_have_arrived() => Self::Unknown,
            Err(_) => Self::NotSent,
        }
    }
}

/// How it ended: the host has it, and is told no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The host did as it was told.
    Accepted,
    /// The host will not, with this code (DE 39). Somebody should look at it.
    Refused([u8; 2]),
}

/// Which messages are to be sent when.
///
/// What is due longest is sent first, so one that a host never acknowledges holds up none of the others.
#[derive(Debug)]
pub struct Forward<I> {
    options: ForwardOptions,
    known: HashMap<I, Entry>,
    /// What waits, by when it is due; of those that are due at once, the one that was added first.
    waiting: BTreeMap<(Instant, u64), I>,
    under_way: usize,
    order: u64,
}

#[derive(Debug)]
struct Entry {
    failures: u32,
    /// How often the host has said that it does not know the original.
    not_found: u32,
    repeat: bool,
    /// Its place among those that wait; none while it is under way.
    place: Option<(Instant, u64)>,
}

impl<I: Copy + Eq + Hash> Forward<I> {
    /// Nothing is owed yet.
    pub fn new(options: ForwardOptions) -> Self {
        Self { options, known: HashMap::new(), waiting: BTreeMap::new(), under_way: 0, order: 0 }
    }

    /// How many more can be added.
    pub fn room(&self) -> usize {
        self.options.known_max.saturating_sub(self.known.len())
    }

    /// How many are owed, as far as they are known here.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Something is owed from now on. `repeat` says that it may have been sent before, by another process. False if it
    /// is known already, or there is no room.
    pub fn add(&mut self, id: I, repeat: bool, now: Instant) -> bool {
        if self.room() == 0 || self.known.contains_key(&id) {
            return false;
        }
        self.known.insert(id, Entry { failures: 0, not_found: 0, repeat, place: None });
        self.wait(id, now);
        true
    }

    /// The next that is due, as long as not too many are under way. Say with [`Forward::sent`] what became of it.
    pub fn next(&mut self, now: Instant) -> Option<Due<I>> {
        if self.next_at()? > now {
            return None;
        }
        let (_, id) = self.waiting.pop_first()?;
        let entry = self.known.get_mut(&id)?;
        entry.place = None;
        self.under_way += 1;
        Some(Due { id, repeat: entry.repeat })
    }

    /// When the next is due; none if nothing waits, or too many are under way.
    pub fn next_at(&self) -> Option<Instant> {
        if self.under_way >= self.options.at_once_max {
            return None;
        }
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// What became of one that was due. Says if that was the end of it. `chance` is any number.
    pub fn sent(&mut self, id: I, sent: Sent, now: Instant, chance: u64) -> Option<Settled> {
        let entry = self.known.get_mut(&id).filter(|entry| entry.place.is_none())?;
        self.under_way -= 1;
        if let Sent::NotFound(_) = sent {
            entry.not_found += 1;
        }
        let settled = match sent {
            Sent::Accepted => Settled::Accepted,
            Sent::Refused(code) => Settled::Refused(code),
            Sent::NotFound(code) if entry.not_found >= self.options.not_found_max => Settled::Refused(code),
            _ => {
                let left = sent != Sent::NotSent;
                entry.repeat |= left;
                // What never left says nothing of how the host fares: it is tried again soon.
                entry.failures = if left { entry.failures.saturating_add(1) } else { 1 };
                let failures = entry.failures;
                self.wait(id, now + self.backoff().wait(failures, chance));
                return None;
            }
        };
        self.known.remove(&id);
        Some(settled)
    }

    /// It is owed no more, whatever is under way.
    pub fn forget(&mut self, id: I) {
        if let Some(entry) = self.known.remove(&id) {
            match entry.place {
                Some(place) => drop(self.waiting.remove(&place)),
                None => self.under_way -= 1,
            }
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff { first_ms: self.options.retry_ms_first, longest_ms: self.options.retry_ms_max }
    }

    fn wait(&mut self, id: I, at: Instant) {
        self.order += 1;
        let place = (at, self.order);
        if let Some(entry) = self.known.get_mut(&id) {
            entry.place = Some(place);
            self.waiting.insert(place, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use mayfly_iso8583::Mti;
    use proptest::prelude::*;

    use super::*;

    const OPTIONS: ForwardOptions = ForwardOptions {
        at_once_max: 2,
        known_max: 4,
        not_found_max: 3,
        retry_ms_first: 100,
        retry_ms_max: 1_000,
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_is_repeated_until_it_is_acknowledged() {
        let mut now = Instant::now();
        let mut forward = Forward::new(OPTIONS);
        assert!(forward.add(7, false, now));
        assert!(!forward.add(7, false, now));
        assert_eq!(forward.next(now), Some(Due { id: 7, repeat: false }));
        assert_eq!(forward.next(now), None, "it is under way");
        for wait_ms in [100, 200, 400, 800, 1_000, 1_000] {
            assert_eq!(forward.sent(7, Sent::Unknown, now, wait_ms / 2), None);
            assert_eq!(forward.next_at(), Some(now + ms(wait_ms)));
            assert_eq!(forward.next(now + ms(wait_ms - 1)), None);
            now += ms(wait_ms);
            assert_eq!(forward.next(now), Some(Due { id: 7, repeat: true }));
        }
        assert_eq!(forward.sent(7, Sent::Accepted, now, 0), Some(Settled::Accepted));
        assert_eq!(forward.sent(7, Sent::Accepted, now, 0), None);
        assert!(forward.is_empty());
    }

    #[test]
    fn what_never_left_is_no_repeat_and_does_not_wait_longer_each_time() {
        let mut now = Instant::now();
        let mut forward = Forward::new(OPTIONS);
        forward.add(7, false, now);
        for _ in 0..5 {
            assert_eq!(forward.next(now), Some(Due { id: 7, repeat: false }));
            assert_eq!(forward.sent(7, Sent::NotSent, now, 50), None);
            now += ms(100);
        }
    }

    #[test]
    fn what_another_process_may_have_sent_begins_as_a_repeat() {
        let now = Instant::now();
        let mut forward = Forward::new(OPTIONS);
        forward.add(7, true, now);
        assert_eq!(forward.next(now), Some(Due { id: 7, repeat: true }));
        assert_eq!(forward.sent(7, Sent::Refused(*b"12"), now, 0), Some(Settled::Refused(*b"12")));
    }

    #[test]
    fn an_original_that_is_not_known_may_still_be_on_its_way() {
        let mut now = Instant::now();
        let mut forward = Forward::new(OPTIONS);
        forward.add(7, false, now);
        for sent in [Sent::NotFound(*b"25"), Sent::Unknown, Sent::NotFound(*b"25"), Sent::NotSent] {
            assert!(forward.next(now).is_some());
            assert_eq!(forward.sent(7, sent, now, 0), None);
            now += ms(OPTIONS.retry_ms_max);
        }
        assert_eq!(forward.next(now), Some(Due { id: 7, repeat: true }));
        assert_eq!(forward.sent(7, Sent::NotFound(*b"25"), now, 0), Some(Settled::Refused(*b"25")));
    }

    #[test]
    fn so_many_at_once_and_no_more() {
        let now = Instant::now();
        let mut forward = Forward::new(OPTIONS);
        assert!((1..=4).all(|id| forward.add(id, false, now)));
        assert!(!forward.add(5, false, now), "there is no room");
        let first: Vec<_> = std::iter::from_fn(|| forward.next(now)).map(|due| due.id).collect();
        assert_eq!(first, [1, 2]);
        assert_eq!(forward.next_at(), None);
        forward.sent(1, Sent::Unknown, now, 0);
        assert_eq!(forward.next(now).map(|due| due.id), Some(3), "one that fails holds up no other");
        forward.forget(2);
        assert_eq!(forward.next(now).map(|due| due.id), Some(4));
        forward.forget(1);
        assert_eq!((forward.len(), forward.room()), (2, 2));
    }

    #[test]
    fn only_some_codes_ask_for_a_repeat() {
        let answered = |code: &str| {
            let mut answer = MessageBuilder::new(Mti::REVERSAL_ADVICE_RESPONSE);
            answer.set(De::RESPONSE_CODE, code);
            Sent::of(&Ok(answer))
        };
        assert_eq!(answered("00"), Sent::Accepted);
        assert_eq!(answered("12"), Sent::Refused(*b"12"));
        assert_eq!(answered("25"), Sent::NotFound(*b"25"));
        assert_eq!(answered("91"), Sent::Unknown);
        assert_eq!(Sent::of(&Ok(MessageBuilder::new(Mti::REVERSAL_RESPONSE))), Sent::Unknown);
        assert_eq!(Sent::of(&Err(LinkError::Lost)), Sent::Unknown);
        assert_eq!(Sent::of(&Err(LinkError::Timeout { after: ms(1) })), Sent::Unknown);
        assert_eq!(Sent::of(&Err(LinkError::NotSignedOn)), Sent::NotSent);
        assert_eq!(Sent::of(&Err(LinkError::Busy)), Sent::NotSent);
    }

    #[test]
    fn every_bound_is_checked() {
        let defaults = ForwardOptions::default();
        assert_eq!(defaults.check(), Ok(()));
        for options in [
            ForwardOptions { at_once_max: 0, ..defaults },
            ForwardOptions { known_max: 0, ..defaults },
            ForwardOptions { not_found_max: 0, ..defaults },
            ForwardOptions { retry_ms_first: 0, ..defaults },
            ForwardOptions { retry_ms_max: 999, ..defaults },
        ] {
            assert!(options.check().is_err(), "{options:?}");
        }
    }

    proptest! {
        /// Whatever the host does: all that is owed is sent again and again until it is acknowledged, as a repeat after
        /// it may have arrived, and never too many at once.
        #[test]
        fn nothing_is_forgotten(
            owed in prop::collection::vec((0..2_000_u64, any::<bool>()), 1..4),
            outcomes in prop::collection::vec((0..6_u8, any::<u64>()), 0..100),
        ) {
            let start = Instant::now();
            let mut forward = Forward::new(OPTIONS);
            let mut arrived = HashSet::new();
            for (id, (at_ms, before)) in owed.iter().enumerate() {
                forward.add(id, *before, start + ms(*at_ms));
                if *before {
                    arrived.insert(id);
                }
            }
            let (mut now, mut under_way, mut settled) = (start, Vec::new(), HashSet::new());
            // In the end the host accepts everything.
            let outcomes = outcomes.into_iter().chain(std::iter::repeat((5, 0)));
            for (outcome, chance) in outcomes {
                while let Some(due) = forward.next(now) {
                    prop_assert_eq!(due.repeat, arrived.contains(&due.id));
                    under_way.push(due.id);
                }
                prop_assert!(under_way.len() <= OPTIONS.at_once_max);
                if let Some(id) = under_way.pop() {
                    let sent = match outcome {
                        0 | 1 => Sent::Unknown,
                        2 | 3 => Sent::NotSent,
                        4 => Sent::NotFound(*b"25"),
                        _ => Sent::Accepted,
                    };
                    if sent != Sent::NotSent {
                        arrived.insert(id);
                    }
                    if forward.sent(id, sent, now, chance).is_some() {
                        prop_assert!(settled.insert(id));
                    }
                } else {
                    let Some(next) = forward.next_at() else { break };
                    prop_assert!(next <= now.max(start + ms(2_000)) + ms(OPTIONS.retry_ms_max));
                    now = next;
                }
            }
            prop_assert!(forward.is_empty());
            prop_assert_eq!(settled.len(), owed.len());
        }
    }
}
