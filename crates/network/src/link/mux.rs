//! Which question waits for which answer, on which connection. Pure: it has no socket and no clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::RandomState;

use mayfly_card::Stan;
use mayfly_iso8583::Message;
use zeroize::{Zeroize, Zeroizing};

use super::LinkError;
use super::key::{Content, Key};
use crate::buffer::make_room;

/// STANs are drawn from 1 to this. Zero is what is written where a STAN is not known.
const STAN_MAX: u32 = 999_999;

/// A message as it goes over the wire. It holds a card number.
pub(crate) type Wire = Zeroizing<Vec<u8>>;

/// The bounds of a [`Mux`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) in_flight_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) late_max: usize,
    pub(crate) output_bytes_max: usize,
}

/// All questions of a link. `W` is who waits for an answer.
pub(crate) struct Mux<W> {
    bounds: Bounds,
    lines: Vec<Line>,
    waiting: HashMap<Key, Waiting<W>>,
    /// Of those in `waiting`: how many have each.
    stans: HashMap<Stan, usize>,
    /// Of those in `waiting`, what waits for room on a connection, by turn: in the order in which it came.
    queue: BTreeMap<u64, (Key, Wire)>,
    /// What was given up after it had left: the host, and which question it was.
    late: HashMap<Key, (usize, u64)>,
    /// The order in which it was given up, so that the oldest is forgotten first. What came may still be in it.
    late_order: VecDeque<(Key, u64)>,
    last_turn: u64,
    last_stan: u32,
    next_line: usize,
    /// The connections that have got something to write since [`Mux::drain_wakes`].
    to_wake: Vec<usize>,
    hasher: RandomState,
}

/// One connection, whether it is there or not.
struct Line {
    host: usize,
    in_service: bool,
    in_flight: usize,
    outbox: Wire,
    /// What was taken from the outbox and is not written yet, in bytes.
    unwritten: usize,
}

struct Waiting<W> {
    turn: u64,
    content: Content,
    waiter: W,
    /// The connection that has it; none while it is in the queue.
    line: Option<usize>,
}

/// What an answer that came in is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came<W> {
    /// The answer that this one waits for.
    For(W),
    /// The answer to a question that was given up.
    Late,
    /// It has the key of a question, and says another number, processing, amount or currency. The question waits on.
    Contradicts,
    /// No question has this key, or it was asked elsewhere, or is answered.
    Unmatched,
}

/// What became of a question whose asker waits no longer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// A host may have it.
    Sent,
    /// It never left the queue.
    Queued,
    /// It was answered or lost in the same moment: who waited was told.
    Told,
}

/// Who waited for answers that will not come over a connection.
pub(crate) struct Down<W> {
    /// A host may have their questions.
    pub(crate) sent: Vec<W>,
    /// Theirs never left the queue, and no connection is left for them.
    pub(crate) queued: Vec<W>,
}

impl<W> Mux<W> {
    /// For connections to these hosts, none of which is there yet. `stan` is where STANs begin.
    pub(crate) fn new(hosts: impl IntoIterator<Item = usize>, bounds: Bounds, stan: u64) -> Self {
        let line =
            |host| Line { host, in_service: false, in_flight: 0, outbox: Wire::default(), unwritten: 0 };
        Self {
            bounds,
            lines: hosts.into_iter().map(line).collect(),
            waiting: HashMap::new(),
            stans: HashMap::new(),
            queue: BTreeMap::new(),
            late: HashMap::new(),
            late_order: VecDeque::new(),
            last_turn: 0,
            // Less than a million.
            last_stan: (stan % u64::from(STAN_MAX)) as u32,
            next_line: 0,
            to_wake: Vec::new(),
            hasher: RandomState::new(),
        }
    }

    /// A STAN that no question under way has; the same comes again after a million others.
    pub(crate) fn next_stan(&mut self) -> Stan {
        loop {
            self.last_stan = self.last_stan % STAN_MAX + 1;
            // Far fewer are under way than there are, by the bound on the bounds: one is free.
            if let Some(stan) = Stan::from_value(self.last_stan).filter(|stan| !self.stans.contains_key(stan))
            {
                return stan;
            }
        }
    }

    /// How many questions are under way or wait in the queue.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many connections are in service.
    pub(crate) fn in_service(&self) -> usize {
        self.lines.iter().filter(|line| line.in_service).count()
    }

    /// The connections that have got something to write since this was asked last.
    pub(crate) fn drain_wakes(&mut self) -> impl Iterator<Item = usize> {
        self.to_wake.drain(..)
    }

    /// Takes a question: gives it to the connection that has the fewest in flight, or queues it. Says under which key
    /// and turn it is known.
    pub(crate) fn ask(
        &mut self,
        question: &Message<'_>,
        wire: &[u8],
        waiter: W,
    ) -> Result<(Key, u64), LinkError> {
        let key = Key::of_question(question)?;
        if self.waiting.contains_key(&key) {
            return Err(LinkError::Duplicate);
        }
        let line = self.free_line();
        if line.is_none() {
            if self.in_service() == 0 {
                return Err(LinkError::NotSignedOn);
            }
            if self.queue.len() >= self.bounds.queue_max {
                return Err(LinkError::Busy);
            }
        }
        self.last_turn += 1;
        let turn = self.last_turn;
        let content = Content::of(question, &self.hasher);
        // A repeat of what was given up: whatever answer comes now is the one that is waited for.
        self.late.remove(&key);
        *self.stans.entry(key.stan).or_default() += 1;
        self.waiting.insert(key, Waiting { turn, content, waiter, line });
        match line {
            Some(at) => self.put(at, wire),
            None => drop(self.queue.insert(turn, (key, Wire::new(wire.to_vec())))),
        }
        Ok((key, turn))
    }

    /// The connection in service with the fewest in flight, if it has room; of several they take turns.
    fn free_line(&mut self) -> Option<usize> {
        let count = self.lines.len();
        let turns = (self.next_line..self.next_line + count).map(|at| at % count);
        let free = turns
            .filter(|at| self.lines[*at].has_room(&self.bounds))
            .min_by_key(|at| self.lines[*at].in_flight)?;
        self.next_line = free + 1;
        Some(free)
    }

    /// An answer came in over a connection.
    pub(crate) fn came(&mut self, line: usize, answer: &Message<'_>) -> Came<W> {
        let Some(key) = Key::of_answer(answer) else { return Came::Unmatched };
        let host = self.lines[line].host;
        let Some(waiting) = self.waiting.get(&key) else {
            if self.late.get(&key).is_some_and(|(of, _)| *of == host) {
                self.late.remove(&key);
                return Came::Late;
            }
            return Came::Unmatched;
        };
        // Another host can't answer it, and nobody can before it was sent.
        let Some(asked) = waiting.line.filter(|asked| self.lines[*asked].host == host) else {
            return Came::Unmatched;
        };
        if !waiting.content.agrees(&Content::of(answer, &self.hasher)) {
            return Came::Contradicts;
        }
        match self.forget(&key) {
            Some(waiting) => {
                self.lines[asked].in_flight -= 1;
                self.fill(asked);
                Came::For(waiting.waiter)
            }
            None => Came::Unmatched,
        }
    }

    /// Whoever asked waits no longer.
    pub(crate) fn give_up(&mut self, key: &Key, turn: u64) -> GivenUp {
        if self.waiting.get(key).is_none_or(|waiting| waiting.turn != turn) {
            return GivenUp::Told;
        }
        match self.forget(key).and_then(|waiting| waiting.line) {
            Some(line) => {
                self.lines[line].in_flight -= 1;
                self.remember(*key, self.lines[line].host, turn);
                self.fill(line);
                GivenUp::Sent
            }
            None => {
                self.queue.remove(&turn);
                GivenUp::Queued
            }
        }
    }

    /// A connection is signed on: it takes questions.
    pub(crate) fn up(&mut self, line: usize) {
        self.lines[line].in_service = true;
        self.fill(line);
    }

    /// A connection takes no more questions, but what was asked may still be answered. Gives back who waits in the
    /// queue if no connection is left.
    pub(crate) fn out_of_service(&mut self, line: usize) -> Vec<W> {
        self.lines[line].in_service = false;
        if self.in_service() > 0 {
            return Vec::new();
        }
        let queue = std::mem::take(&mut self.queue);
        queue.into_values().filter_map(|(key, _)| self.forget(&key)).map(|waiting| waiting.waiter).collect()
    }

    /// A connection was closed. What was asked over it is known to be late, should the host answer it elsewhere.
    pub(crate) fn down(&mut self, line: usize) -> Down<W> {
        let queued = self.out_of_service(line);
        let on_it = |(key, waiting): (&Key, &Waiting<W>)| (waiting.line == Some(line)).then_some(*key);
        let keys: Vec<Key> = self.waiting.iter().filter_map(on_it).collect();
        let host = self.lines[line].host;
        let mut sent = Vec::new();
        for key in keys {
            if let Some(waiting) = self.forget(&key) {
                self.remember(key, host, waiting.turn);
                sent.push(waiting.waiter);
            }
        }
        let line = &mut self.lines[line];
        line.outbox.zeroize();
        (line.in_flight, line.unwritten) = (0, 0);
        Down { sent, queued }
    }

    /// Hands out what is to be written over a connection, and is told how many bytes before it are still unwritten.
    pub(crate) fn take_outbox(&mut self, line: usize, unwritten: usize, take: impl FnOnce(&[u8])) {
        self.lines[line].unwritten = unwritten;
        self.fill(line);
        let line = &mut self.lines[line];
        if !line.outbox.is_empty() {
            take(&line.outbox);
        }
        line.unwritten = unwritten + line.outbox.len();
        line.outbox.as_mut_slice().zeroize();
        line.outbox.clear();
    }

    fn forget(&mut self, key: &Key) -> Option<Waiting<W>> {
        let waiting = self.waiting.remove(key)?;
        if let Some(count) = self.stans.get_mut(&key.stan) {
            *count -= 1;
            if *count == 0 {
                self.stans.remove(&key.stan);
            }
        }
        Some(waiting)
    }

    fn remember(&mut self, key: Key, host: usize, turn: u64) {
        self.late.insert(key, (host, turn));
        self.late_order.push_back((key, turn));
        if self.late_order.len() > self.bounds.late_max
            && let Some((oldest, turn)) = self.late_order.pop_front()
            && self.late.get(&oldest).is_some_and(|(_, of)| *of == turn)
        {
            self.late.remove(&oldest);
        }
    }

    /// Moves what waits in the queue to a connection, as far as that has room.
    fn fill(&mut self, line: usize) {
        while self.lines[line].has_room(&self.bounds)
            && let Some((_, (key, wire))) = self.queue.pop_first()
        {
            if let Some(waiting) = self.waiting.get_mut(&key) {
                waiting.line = Some(line);
                self.put(line, &wire);
            }
        }
    }

    fn put(&mut self, at: usize, wire: &[u8]) {
        let line = &mut self.lines[at];
        line.in_flight += 1;
        if line.outbox.is_empty() {
            self.to_wake.push(at);
        }
        make_room(&mut line.outbox, wire.len()).extend_from_slice(wire);
    }
}

impl Line {
    fn has_room(&self, bounds: &Bounds) -> bool {
        self.in_service
            && self.in_flight < bounds.in_flight_max
            && self.outbox.len() + self.unwritten < bounds.output_bytes_max
    }
}

#[cfg(test)]
mod tests;
