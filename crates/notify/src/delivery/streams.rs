//! The latest events of each issuer that has webhooks, ready to be sent.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mayfly_core::{IssuerId, TimeMs};
use mayfly_office::events::{EventKind, EventNow, EventPlace, Manner, fields, rfc_3339};
use serde_json::json;
use tokio::sync::watch;

/// How many events are kept in memory, of all issuers together.
const EVENTS_MAX: usize = 16_384;
/// How many of one issuer, at the least and at the most.
const OF_ISSUER_MIN: usize = 16;
const OF_ISSUER_MAX: usize = 1024;
/// How many are taken at a time.
const TAKEN_MAX: usize = 64;

/// An event as it is sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) place: EventPlace,
    pub(super) at_ms: TimeMs,
    pub(super) kind: String,
    pub(super) body: Bytes,
}

impl Ready {
    /// In the words of `GET /v1/events`.
    pub(super) fn of(now: &EventNow) -> Self {
        let EventNow { place, at_ms, event } = now;
        let kind = (Manner::PROGRAMS.name)(EventKind::of(event).name());
        let body = json!({
            "type": kind,
            "id": place.to_string(),
            "timestamp": rfc_3339(*at_ms),
            "data": fields(event, &Manner::PROGRAMS),
        });
        Self { place: *place, at_ms: *at_ms, kind, body: Bytes::from(body.to_string()) }
    }
}

/// What a webhook does next.
#[derive(Debug)]
pub(super) enum Next {
    /// It delivers these, and has come to this place then.
    Deliver(Vec<Arc<Ready>>, EventPlace),
    /// It reads on its own: what is kept begins later.
    Read,
    /// There is nothing more for it.
    Wait,
}

/// The latest events of an issuer.
struct Stream {
    /// Nothing that is later than this is missing.
    from: EventPlace,
    events: VecDeque<Arc<Ready>>,
    grown: watch::Sender<()>,
    webhooks: usize,
}

/// The latest events of each issuer that has webhooks.
pub(super) struct Streams {
    inner: Mutex<Inner>,
}

struct Inner {
    by_issuer: HashMap<IssuerId, Stream>,
    /// Whose streams there are, for who reads.
    issuers: Arc<HashSet<IssuerId>>,
    /// How far the journal was walked.
    walked: EventPlace,
}

impl Streams {
    /// Before the first webhook: nothing before `from` is kept.
    pub(super) fn new(from: EventPlace) -> Self {
        let issuers = Arc::new(HashSet::new());
        Self { inner: Mutex::new(Inner { by_issuer: HashMap::new(), issuers, walked: from }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic leaves an event out at the most in a list that is made in single steps; none of them panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A webhook of an issuer begins. What comes back is told when there is more.
    pub(super) fn join(&self, issuer: IssuerId) -> watch::Receiver<()> {
        let mut inner = self.lock();
        let walked = inner.walked;
        let stream = inner.by_issuer.entry(issuer).or_insert_with(|| Stream {
            from: walked,
            events: VecDeque::new(),
            grown: watch::Sender::new(()),
            webhooks: 0,
        });
        stream.webhooks += 1;
        let grown = stream.grown.subscribe();
        if !inner.issuers.contains(&issuer) {
            inner.renew();
        }
        grown
    }

    /// A webhook of an issuer has ended.
    pub(super) fn leave(&self, issuer: IssuerId) {
        let mut inner = self.lock();
        let Some(stream) = inner.by_issuer.get_mut(&issuer) else { return };
        stream.webhooks -= 1;
        if stream.webhooks == 0 {
            inner.by_issuer.remove(&issuer);
            inner.renew();
        }
    }

    /// Whose events are wanted, and from where on.
    pub(super) fn wanted(&self) -> (Arc<HashSet<IssuerId>>, EventPlace) {
        let inner = self.lock();
        (inner.issuers.clone(), inner.walked)
    }

    /// Nobody wants anything before `to`.
    pub(super) fn skip(&self, to: EventPlace) {
        let mut inner = self.lock();
        if inner.by_issuer.is_empty() {
            inner.walked = inner.walked.max(to);
        }
    }

    /// The journal was walked for those `issuers`, to `next`. Who joined meanwhile has missed what was walked.
    pub(super) fn grow(
        &self,
        issuers: &HashSet<IssuerId>,
        events: Vec<(IssuerId, Arc<Ready>)>,
        next: EventPlace,
    ) {
        let mut inner = self.lock();
        inner.walked = next;
        let room = (EVENTS_MAX / inner.by_issuer.len().max(1)).clamp(OF_ISSUER_MIN, OF_ISSUER_MAX);
        for (issuer, stream) in &mut inner.by_issuer {
            if !issuers.contains(issuer) {
                (stream.from, stream.events) = (next, VecDeque::new());
                // Whoever found nothing before may have missed something now.
                stream.grown.send_replace(());
            }
        }
        let mut grown = HashSet::new();
        for (issuer, ready) in events {
            let Some(stream) = inner.by_issuer.get_mut(&issuer) else { continue };
            stream.events.push_back(ready);
            while stream.events.len() > room {
                if let Some(oldest) = stream.events.pop_front() {
                    stream.from = oldest.place.after();
                }
            }
            grown.insert(issuer);
        }
        for issuer in grown {
            if let Some(stream) = inner.by_issuer.get(&issuer) {
                stream.grown.send_replace(());
            }
        }
    }

    /// What a webhook at that place does next, which wants those kinds; all if there is none.
    pub(super) fn next(&self, issuer: IssuerId, place: EventPlace, kinds: &[String]) -> Next {
        let inner = self.lock();
        let Some(stream) = inner.by_issuer.get(&issuer) else { return Next::Wait };
        if place < stream.from {
            return Next::Read;
        }
        let begin = stream.events.partition_point(|ready| ready.place < place);
        let found: Vec<_> = stream.events.range(begin..).take(TAKEN_MAX).cloned().collect();
        match found.last() {
            None => Next::Wait,
            Some(last) => {
                let next = last.place.after();
                let wanted = found.into_iter().filter(|ready| wants(kinds, &ready.kind)).collect();
                Next::Deliver(wanted, next)
            }
        }
    }

    /// How far a webhook has come that waits at `place`, with nothing for it behind that.
    pub(super) fn reached(&self, issuer: IssuerId, place: EventPlace, kinds: &[String]) -> EventPlace {
        let inner = self.lock();
        let Some(stream) = inner.by_issuer.get(&issuer) else { return place };
        let later = stream.events.iter().rev().take_while(|ready| ready.place >= place);
        let something = later.into_iter().any(|ready| wants(kinds, &ready.kind));
        if place < stream.from || something { place } else { place.max(inner.walked) }
    }
}

impl Inner {
    fn renew(&mut self) {
        self.issuers = Arc::new(self.by_issuer.keys().copied().collect());
    }
}

/// Whether a webhook that wants those kinds wants this one.
pub(super) fn wants(kinds: &[String], kind: &str) -> bool {
    kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: IssuerId = IssuerId(1);
    const OTHER: IssuerId = IssuerId(2);

    fn at(sequence: u64) -> EventPlace {
        EventPlace { sequence, index: 0 }
    }

    fn ready(sequence: u64, kind: &str) -> Arc<Ready> {
        Arc::new(Ready { place: at(sequence), at_ms: 0, kind: kind.to_owned(), body: Bytes::new() })
    }

    fn places(next: Next) -> (Vec<u64>, EventPlace) {
        match next {
            Next::Deliver(ready, next) => (ready.iter().map(|ready| ready.place.sequence).collect(), next),
            other => panic!("{other:?}"),
        }
    }

    fn grow(streams: &Streams, events: Vec<(IssuerId, Arc<Ready>)>, next: u64) {
        let (issuers, _) = streams.wanted();
        streams.grow(&issuers, events, at(next));
    }

    #[test]
    fn each_is_given_its_own_from_its_place_on() {
        let streams = Streams::new(at(10));
        let _grown = streams.join(ACME);
        grow(&streams, vec![(ACME, ready(10, "a")), (ACME, ready(12, "b"))], 13);
        assert_eq!(places(streams.next(ACME, at(10), &[])), (vec![10, 12], at(12).after()));
        assert_eq!(places(streams.next(ACME, at(11), &[])), (vec![12], at(12).after()));
        let only_b = ["b".to_owned()];
        assert_eq!(places(streams.next(ACME, at(10), &only_b)), (vec![12], at(12).after()));
        assert!(matches!(streams.next(ACME, at(13), &[]), Next::Wait));
        assert!(matches!(streams.next(ACME, at(9), &[]), Next::Read));
        assert!(matches!(streams.next(OTHER, at(10), &[]), Next::Wait));
        // Nothing waits for it, so it has come as far as the journal was walked.
        assert_eq!(streams.reached(ACME, at(12).after(), &[]), at(13));
        assert_eq!(streams.reached(ACME, at(12), &[]), at(12));
        assert_eq!(streams.reached(ACME, at(12), &["a".to_owned()]), at(13));
        assert_eq!(streams.reached(ACME, at(9), &[]), at(9));
    }

    #[test]
    fn who_joins_while_the_journal_is_walked_reads_what_it_missed() {
        let streams = Streams::new(at(1));
        let _acme = streams.join(ACME);
        let (issuers, _) = streams.wanted();
        let other = streams.join(OTHER);
        assert!(matches!(streams.next(OTHER, at(1), &[]), Next::Wait));
        streams.grow(&issuers, vec![(ACME, ready(1, "a"))], at(3));
        // It waits by now: so it must be told.
        assert!(other.has_changed().unwrap());
        assert!(matches!(streams.next(OTHER, at(1), &[]), Next::Read));
        assert!(matches!(streams.next(OTHER, at(3), &[]), Next::Wait));
        grow(&streams, vec![(OTHER, ready(3, "a"))], 4);
        assert_eq!(places(streams.next(OTHER, at(3), &[])).0, [3]);
        assert_eq!(places(streams.next(ACME, at(1), &[])).0, [1]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_who_is_late_is_told_so() {
        let streams = Streams::new(at(1));
        let mut grown = streams.join(ACME);
        for sequence in 1..=2000 {
            grow(&streams, vec![(ACME, ready(sequence, "a"))], sequence + 1);
        }
        assert!(grown.has_changed().unwrap());
        grown.mark_unchanged();
        assert!(matches!(streams.next(ACME, at(976), &[]), Next::Read));
        assert_eq!(places(streams.next(ACME, at(977), &[])).0.first(), Some(&977));
        streams.leave(ACME);
        streams.skip(at(5000));
        let _grown = streams.join(ACME);
        assert!(matches!(streams.next(ACME, at(4999), &[]), Next::Read));
    }
}
