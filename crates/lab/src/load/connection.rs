//! One connection of the load generator.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mayfly_iso8583::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

use super::summary::Tally;
use super::template::{Answers, Template};
use super::{Cards, LoadError};

/// How much is read at once: some hundred answers.
const READ_LEN: usize = 64 * 1024;

/// What the connections of one thread share.
pub(super) struct Shared {
    pub(super) template: Template,
    pub(super) cards: Cards,
    /// Each connection takes every so manieth number.
    pub(super) step: usize,
    pub(super) again: bool,
    pub(super) run: u32,
    /// How long after each other a connection's messages are due; at once, if none.
    pub(super) interval: Option<Duration>,
    pub(super) in_flight: usize,
    pub(super) measured_from: Instant,
    pub(super) sending: Cell<bool>,
    pub(super) tally: RefCell<Tally>,
}

pub(super) struct Connection {
    stream: TcpStream,
    shared: Rc<Shared>,
    answers: Answers,
    at: usize,
    /// The number that is presented next.
    card: usize,
    sent: u64,
    /// When its messages began to be due.
    opened: Instant,
    /// For each place in flight, when its message was sent and with which STAN; none while it is free.
    places: Vec<Option<(Instant, u32)>>,
    free: Vec<usize>,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr, at: usize, shared: Rc<Shared>) -> Result<Self, LoadError> {
        let stream = TcpStream::connect(address).await.map_err(LoadError::Connection)?;
        stream.set_nodelay(true).map_err(LoadError::Connection)?;
        Ok(Self {
            stream,
            answers: Answers::default(),
            at,
            card: at,
            sent: 0,
            opened: Instant::now(),
            places: vec![None; shared.in_flight],
            free: (0..shared.in_flight).rev().collect(),
            input: vec![0; READ_LEN],
            filled: 0,
            output: Vec::new(),
            shared,
        })
    }

    /// Sends as long as it should, and reads until all is answered.
    pub(super) async fn run(&mut self) -> Result<(), LoadError> {
        loop {
            self.fill();
            if !self.output.is_empty() {
                self.stream.write_all(&self.output).await.map_err(LoadError::Connection)?;
                self.output.clear();
            }
            let due = self.due().filter(|_| !self.free.is_empty() && self.shared.sending.get());
            if self.free.len() == self.places.len() && due.is_none() {
                return Ok(());
            }
            let read = self.stream.read(&mut self.input[self.filled..]);
            let read = match due {
                Some(due) => match time::timeout_at(due.into(), read).await {
                    Ok(read) => read,
                    Err(_) => continue,
                },
                None => read.await,
            };
            match read.map_err(LoadError::Connection)? {
                0 => return Err(LoadError::Connection(std::io::ErrorKind::UnexpectedEof.into())),
                count => self.filled += count,
            }
            self.take_answers()?;
        }
    }

    /// When the next message is due, if they are paced.
    fn due(&self) -> Option<Instant> {
        // Far fewer than 2^32 messages go over one connection.
        self.shared.interval.map(|interval| self.opened + interval * self.sent as u32)
    }

    /// A message for every free place, as far as they are due.
    fn fill(&mut self) {
        let shared = &*self.shared;
        if !shared.sending.get() || self.free.is_empty() {
            return;
        }
        let now = Instant::now();
        let before = self.sent;
        loop {
            let sent_at = self.due().unwrap_or(now);
            if sent_at > now {
                break;
            }
            let Some(place) = self.free.pop() else { break };
            let Some(card) = shared.cards.get(self.card) else {
                if shared.again {
                    self.card = self.at % shared.cards.len();
                    self.free.push(place);
                    continue;
                }
                self.free.push(place);
                shared.tally.borrow_mut().exhausted = true;
                break;
            };
            self.card += shared.step;
            // The place can be told from the STAN, and the STAN comes again only after a million messages.
            let turns = 1_000_000 / shared.in_flight as u64;
            let stan = (self.sent % turns) as usize * shared.in_flight + place;
            // Below a million.
            let stan = stan as u32;
            let run = u64::from(shared.run) & 0xf_ffff;
            let reference = run << 40 | (self.at as u64 & 0xfff) << 28 | (self.sent & 0xfff_ffff);
            shared.template.append(card, stan, reference, &mut self.output);
            self.places[place] = Some((sent_at, stan));
            self.sent += 1;
        }
        shared.tally.borrow_mut().sent += self.sent - before;
    }

    fn take_answers(&mut self) -> Result<(), LoadError> {
        let shared = &*self.shared;
        let now = Instant::now();
        let mut tally = shared.tally.borrow_mut();
        let measured = now >= shared.measured_from;
        let header = shared.template.dialect.header();
        let mut start = 0;
        let mut answered = 0;
        loop {
            let frame = header.next_frame(&self.input[start..self.filled], READ_LEN - header.header_len());
            match frame.map_err(|_| LoadError::Answer)? {
                Frame::Incomplete { .. } => break,
                Frame::KeepAlive { consumed } => start += consumed,
                Frame::Message { range } => {
                    let body = &self.input[start + range.start..start + range.end];
                    start += range.end;
                    let (stan, code) =
                        self.answers.read(shared.template.dialect, body).ok_or(LoadError::Answer)?;
                    let place = stan as usize % shared.in_flight;
                    match self.places[place].take_if(|(_, sent)| *sent == stan) {
                        Some((sent_at, _)) => {
                            self.free.push(place);
                            answered += 1;
                            tally.answered(measured, code, now.saturating_duration_since(sent_at));
                        }
                        None => tally.unmatched += 1,
                    }
                }
            }
        }
        if answered > 0 {
            tally.came(measured, now, answered);
        }
        self.input.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(())
    }
}
