//! One connection: reads messages, asks the engine, writes answers. One task, which waits for whatever comes next.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mayfly_card::ApprovalCode;
use mayfly_core::{Answer, Command, MessageAnswer, Reason, ResponseCode};
use mayfly_engine::{Mailbox, Submission};
use mayfly_iso8583::{Dialect, FrameError, Message, MtiClass, ParseFailure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{self, MissedTickBehavior};

use crate::buffer::{Input, Output};
use crate::listener::{OVER, STOPPING, Service};
use crate::management::Management;
use crate::meter::Traffic;
use crate::pending::Pending;
use crate::reasons::reasons;
use crate::reply::Echo;
use crate::translate::{Fault, translate};

/// How long a peer has to notice that nothing more comes before the connection is closed in earnest.
const LINGER: Duration = Duration::from_millis(500);

reasons! {
    /// Why a connection was closed.
    Closed:
    /// The peer was done.
    ByPeer => "by-peer", "the peer closed it";
    /// The peer closed it within a message.
    WithinMessage => "within-message", "the peer closed it within a message";
    /// The connection broke.
    Broken => "broken", "it broke";
    /// What came in is no message: not even its length, or its MTI, could be read.
    Unreadable => "unreadable", "what came in is no message of this dialect";
    /// A message is longer than allowed.
    TooLong => "too-long", "a message is longer than allowed";
    /// Nothing came for too long.
    Idle => "idle", "nothing came for too long";
    /// The rest of a message did not come.
    HalfMessage => "half-message", "the rest of a message did not come in time";
    /// The peer did not read its answers.
    NotReading => "not-reading", "the peer did not read its answers in time";
    /// The server stopped.
    Stopping => "stopping", "the server stops";
}

/// A connection's state; the socket is not part of it.
pub(crate) struct Connection {
    service: Arc<Service>,
    dialect: &'static Dialect,
    wake: Arc<Notify>,
    mailbox: Arc<Mailbox>,
    letters: Vec<(u64, Answer)>,
    submission: Submission,
    pending: Pending,
    input: Input,
    output: Output,
    signed_on: bool,
    malformed: u64,
    /// Nothing more is read: what is in flight is answered, and then it is closed, for this reason.
    ending: Option<Closed>,
    /// When something came in last.
    heard: Instant,
    /// Since when a message is half there.
    half_since: Option<Instant>,
    /// When the peer took some of its answers last, or had taken all of them.
    taken: Instant,
}

impl Connection {
    pub(crate) fn new(service: Arc<Service>, dialect: &'static Dialect, wake: Arc<Notify>) -> Self {
        let to_wake = wake.clone();
        let now = Instant::now();
        Self {
            input: Input::new(dialect.header(), service.options.message_bytes_max),
            service,
            dialect,
            wake,
            mailbox: Mailbox::new(move || to_wake.notify_one()),
            letters: Vec::new(),
            submission: Submission::default(),
            pending: Pending::default(),
            output: Output::default(),
            signed_on: false,
            malformed: 0,
            ending: None,
            heard: now,
            half_since: None,
            taken: now,
        }
    }

    /// How many messages could not be read.
    pub(crate) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Serves the connection until it ends, and says why it did.
    pub(crate) async fn run(&mut self, mut stream: TcpStream) -> Closed {
        let (mut reader, mut writer) = stream.split();
        let mut beat = time::interval(self.service.options.beat());
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let why = loop {
            if let Err(why) = self.work() {
                break why;
            }
            let (may_read, may_write) = (self.may_read(), !self.output.rest().is_empty());
            let happened = tokio::select! {
                biased;
                () = self.wake.notified() => Ok(()),
                written = writer.write(self.output.rest()), if may_write => self.written(written),
                read = reader.read(self.input.room()), if may_read => self.read(read),
                _ = beat.tick() => self.look_at_times(),
            };
            if let Err(why) = happened {
                break why;
            }
        };
        let unread = !matches!(why, Closed::ByPeer | Closed::Broken | Closed::NotReading);
        if unread && writer.shutdown().await.is_ok() {
            // Closing while the peer still sends would make its system throw away answers that it has not read.
            let mut scrap = vec![0; 4 * 1024];
            let discard = async { while matches!(reader.read(&mut scrap).await, Ok(1..)) {} };
            // Whether it noticed or not, it is closed now.
            drop(time::timeout(LINGER, discard).await);
        }
        why
    }

    /// Everything that can be done without waiting. Ends the connection when nothing is left to do.
    fn work(&mut self) -> Result<(), Closed> {
        match self.service.phase.load(Ordering::Acquire) {
            OVER => return Err(Closed::Stopping),
            STOPPING => self.end(Closed::Stopping),
            _ => {}
        }
        self.collect();
        if self.ending.is_none() {
            self.take_messages();
        }
        match self.ending {
            Some(why) if self.pending.len() == 0 && self.output.rest().is_empty() => Err(why),
            _ => Ok(()),
        }
    }

    /// Reads no more. The first reason counts.
    fn end(&mut self, why: Closed) {
        self.ending.get_or_insert(why);
        self.half_since = None;
    }

    /// Whether there is room for one more message and its answer.
    fn has_room(&self) -> bool {
        self.pending.len() < self.service.options.in_flight_max
            && self.output.rest().len() < self.service.options.output_bytes_max
    }

    fn may_read(&self) -> bool {
        self.ending.is_none() && self.has_room()
    }

    fn read(&mut self, read: io::Result<usize>) -> Result<(), Closed> {
        match read {
            Ok(0) if self.input.is_half() => self.end(Closed::WithinMessage),
            Ok(0) => self.end(Closed::ByPeer),
            Ok(count) => {
                self.heard = Instant::now();
                self.service.meter.bytes_in.add(count as u64);
                self.input.filled(count);
            }
            Err(_) => return Err(Closed::Broken),
        }
        Ok(())
    }

    fn written(&mut self, written: io::Result<usize>) -> Result<(), Closed> {
        let count = match written {
            Ok(0) | Err(_) => return Err(Closed::Broken),
            Ok(count) => count,
        };
        let now = Instant::now();
        self.taken = now;
        let meter = &self.service.meter;
        meter.bytes_out.add(count as u64);
        self.output.wrote(count, |since| meter.latency.record(now.saturating_duration_since(since)));
        Ok(())
    }

    /// Hands every whole message to the engine, at once, as far as there is room.
    fn take_messages(&mut self) {
        while self.ending.is_none() && self.has_room() {
            match self.input.next_message() {
                Ok(Some(range)) => {
                    self.half_since = None;
                    self.take(range);
                }
                Ok(None) => break,
                Err(FrameError::NotDigits) => {
                    self.service.meter.unreadable.one();
                    self.end(Closed::Unreadable);
                }
                Err(FrameError::TooLong { .. }) => self.end(Closed::TooLong),
            }
        }
        self.input.close_up();
        if self.input.is_half() && self.ending.is_none() {
            self.half_since.get_or_insert_with(Instant::now);
        }
        if !self.submission.is_empty() {
            self.service.handle.submit(&mut self.submission);
        }
    }

    fn take(&mut self, range: Range<usize>) {
        let Self { input, service, dialect, signed_on, pending, heard, .. } = self;
        let admitted = match Message::parse(dialect, input.message(range)) {
            Ok(message) => {
                tracing::trace!(message = %message.describe(), "read");
                *signed_on = signs_on(&message).unwrap_or(*signed_on);
                let outcome = consider(&message, service, *signed_on);
                admit(&message, outcome, pending, *heard)
            }
            Err(ParseFailure { error, partial }) => {
                tracing::debug!(%error, "a message could not be read");
                partial.map_or(Admitted::Unreadable, |partial| {
                    service.meter.messages(Traffic::of(partial.mti())).one();
                    admit(&partial, Outcome::Answer(ResponseCode::FormatError), pending, *heard)
                })
            }
        };
        match admitted {
            Admitted::Asked(key, command) => self.submission.add(command, &self.mailbox, key),
            Admitted::Answered(key, code) => {
                if code == ResponseCode::FormatError {
                    self.malformed += 1;
                    self.service.meter.malformed.one();
                }
                self.answer(key, code, None);
            }
            Admitted::Unanswerable => self.service.meter.unanswerable.one(),
            Admitted::Unreadable => {
                self.malformed += 1;
                self.service.meter.unreadable.one();
                self.end(Closed::Unreadable);
            }
        }
    }

    /// Makes messages of the answers that have come.
    fn collect(&mut self) {
        let mut letters = std::mem::take(&mut self.letters);
        self.mailbox.take(&mut letters);
        for (key, answer) in letters.drain(..) {
            let MessageAnswer { response, approval, transaction, repeat, .. } = match answer {
                Answer::Message(answer) => answer,
                // Nothing but messages is asked from here, so nothing else is answered.
                _ => MessageAnswer::unrecorded(Reason::Overloaded),
            };
            if !self.answer(key, response, approval) {
                self.service.meter.late.one();
                tracing::warn!(code = response.code(), "an answer came after its time");
                // The peer was told 96, or 91: what was approved after that must not stand, unless he has heard of it since.
                if let Some(transaction) = transaction.filter(|_| response == ResponseCode::Approved) {
                    self.submission.late(transaction, repeat);
                }
            }
        }
        self.letters = letters;
        if !self.submission.is_empty() {
            self.service.handle.submit(&mut self.submission);
        }
    }

    /// Appends an answer to what is to be written. False if nobody waits for it any more.
    fn answer(&mut self, key: u64, code: ResponseCode, approval: Option<ApprovalCode>) -> bool {
        let Self { pending, output, dialect, service, .. } = self;
        if output.rest().is_empty() {
            // From now on the peer has something to take.
            self.taken = Instant::now();
        }
        pending.finish(key, |echo, since| {
            service.meter.answers(code).one();
            append(echo, code, approval, dialect, output, since);
        })
    }

    fn look_at_times(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        let options = self.service.options;
        let over = |since: Instant, ms_max: u64| {
            now.saturating_duration_since(since) > Duration::from_millis(ms_max)
        };
        let unwritten = !self.output.rest().is_empty();
        if unwritten && over(self.taken, options.write_ms_max) {
            return Err(Closed::NotReading);
        }
        if !unwritten && self.pending.len() == 0 && over(self.heard, options.idle_ms_max) {
            return Err(Closed::Idle);
        }
        match self.half_since {
            // While we don't read, it is not the peer who is late.
            Some(_) if !self.may_read() => self.half_since = Some(now),
            Some(since) if over(since, options.message_ms_max) => self.end(Closed::HalfMessage),
            _ => {}
        }
        let limit = Duration::from_millis(options.answer_ms_max);
        while let Some(key) = self.pending.overdue(now, limit) {
            self.service.meter.timed_out.one();
            let away = self.service.handle.is_unconfirmed();
            let code = if away { ResponseCode::IssuerUnavailable } else { ResponseCode::Malfunction };
            self.answer(key, code, None);
        }
        Ok(())
    }
}

/// What is to be done with a message.
enum Outcome {
    Ask(Command),
    Answer(ResponseCode),
}

/// What became of it.
enum Admitted {
    Asked(u64, Command),
    Answered(u64, ResponseCode),
    Unanswerable,
    Unreadable,
}

fn consider(message: &Message<'_>, service: &Service, signed_on: bool) -> Outcome {
    let traffic = Traffic::of(message.mti());
    service.meter.messages(traffic).one();
    if traffic == Traffic::Management {
        return Outcome::Answer(Management::of(message).response());
    }
    let translated = if service.options.sign_on_required && !signed_on {
        Err(Fault::NotSignedOn)
    } else {
        translate(message, &service.catalogue)
    };
    match translated {
        Ok(request) => Outcome::Ask(Command::Message(request)),
        Err(fault) => {
            tracing::debug!(%fault, mti = %message.mti(), "a message was not taken");
            Outcome::Answer(fault.response())
        }
    }
}

/// Whether a message signs its sender on, or off.
fn signs_on(message: &Message<'_>) -> Option<bool> {
    if message.mti().class() != MtiClass::NetworkManagement || message.mti().is_response() {
        return None;
    }
    match Management::of(message) {
        Management::SignOn => Some(true),
        Management::SignOff => Some(false),
        _ => None,
    }
}

/// Keeps what the answer needs, if there can be one.
fn admit(message: &Message<'_>, outcome: Outcome, pending: &mut Pending, since: Instant) -> Admitted {
    if message.mti().response().is_none() {
        return Admitted::Unanswerable;
    }
    let (key, echo) = pending.take(since);
    echo.take_over(message);
    match outcome {
        Outcome::Ask(command) => Admitted::Asked(key, command),
        Outcome::Answer(code) => Admitted::Answered(key, code),
    }
}

fn append(
    echo: &Echo,
    code: ResponseCode,
    approval: Option<ApprovalCode>,
    dialect: &Dialect,
    output: &mut Output,
    since: Instant,
) {
    let Some(answer) = echo.answer(code, approval) else { return };
    tracing::trace!(message = %answer.describe(dialect), "answered");
    match answer.encode(dialect, output.bytes()) {
        Ok(()) => output.appended(since),
        // Everything in it came in by the same dialect; start has made sure that it has the rest.
        Err(error) => tracing::error!(%error, "an answer can't be written in this dialect"),
    }
}
