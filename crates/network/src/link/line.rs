//! One connection to an issuer host: opens it, moves bytes, and opens it again. What is to be done is decided by
//! [`Session`] and [`Mux`](super::Mux).

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_card::{AcquirerId, Stan};
use mayfly_core::ResponseCode;
use mayfly_iso8583::{De, FrameError, Message, MessageBuilder, Mti, MtiClass, ParseFailure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{self, MissedTickBehavior};
use tracing::Instrument;

use super::mux::{Came, Down};
use super::session::{Due, Heard, Session};
use super::{Ended, Hub, LinkError, Phase};
use crate::buffer::{Input, Output};
use crate::management::Management;
use crate::reply::respond;
use crate::times::transmission_time;

/// Keeps one connection to a host until the link stops.
pub(super) async fn serve(hub: Arc<Hub>, line: usize, host: usize) {
    let span = tracing::info_span!("issuer", line, host = %hub.hosts[host].address);
    async {
        let mut failures = 0;
        while *hub.phase.borrow() < Phase::SigningOff {
            if let Some(stream) = open(&hub, host).await {
                let mut connection = Connection::new(&hub, line);
                let why = connection.run(stream).await;
                if connection.was_in_service {
                    failures = 0;
                }
                connection.down(why);
            }
            failures += 1;
            let wait = hub.options.backoff().wait(failures, hub.chance());
            let mut phase = hub.phase.subscribe();
            let stopping = phase.wait_for(|phase| *phase >= Phase::SigningOff);
            // Whichever it was, the phase tells.
            drop(time::timeout(wait, stopping).await);
        }
    }
    .instrument(span)
    .await;
}

async fn open(hub: &Hub, host: usize) -> Option<TcpStream> {
    let mut phase = hub.phase.subscribe();
    let limit = Duration::from_millis(hub.options.connect_ms_max);
    let opened = tokio::select! {
        opened = time::timeout(limit, TcpStream::connect(&hub.hosts[host].address)) => opened,
        _ = phase.wait_for(|phase| *phase >= Phase::SigningOff) => return None,
    };
    match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => {
            hub.meter.opened.one();
            // Questions are written whole: there is nothing to wait for. A socket that can't is used nevertheless.
            drop(stream.set_nodelay(true));
            Some(stream)
        }
        Err(error) => {
            hub.meter.not_opened.one();
            tracing::warn!(%error, "the issuer host can't be reached");
            None
        }
    }
}

/// An open connection's state; the socket is not part of it.
struct Connection<'a> {
    hub: &'a Hub,
    line: usize,
    session: Session,
    input: Input,
    output: Output,
    /// How many bytes of the output answer what the host asked, at the most.
    owed: usize,
    /// What the questions were told.
    in_service: bool,
    was_in_service: bool,
    /// Since when a message is half there.
    half_since: Option<Instant>,
    /// When the host took some of the questions last, or had taken all of them.
    taken: Instant,
}

impl<'a> Connection<'a> {
    fn new(hub: &'a Hub, line: usize) -> Self {
        let now = Instant::now();
        Self {
            hub,
            line,
            session: Session::open(&hub.options, now),
            input: Input::new(hub.dialect.header(), hub.options.message_bytes_max),
            output: Output::default(),
            owed: 0,
            in_service: false,
            was_in_service: false,
            half_since: None,
            taken: now,
        }
    }

    /// Uses the connection until it ends, and says why it did.
    async fn run(&mut self, mut stream: TcpStream) -> Ended {
        let hub = self.hub;
        let mut phase = hub.phase.subscribe();
        let (mut reader, mut writer) = stream.split();
        let mut beat = time::interval(hub.options.beat());
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(why) = self.work() {
                return why;
            }
            let (may_read, may_write) = (self.may_read(), !self.output.rest().is_empty());
            // Whichever is ready, by chance: questions that come without end must hold up neither writing nor reading.
            let happened = tokio::select! {
                // The link outlives its connections, so this is no error.
                _ = phase.changed() => Ok(()),
                () = hub.wakes[self.line].notified() => Ok(()),
                written = writer.write(self.output.rest()), if may_write => self.written(written),
                read = reader.read(self.input.room()), if may_read => self.read(read),
                _ = beat.tick() => self.look_at_times(),
            };
            if let Err(why) = happened {
                return why;
            }
        }
    }

    /// Whether the host may say more. Not if it does not read what it has asked for. Questions that wait for it are no reason: a host
    /// that reads nothing either, before it has written its answers, would wait for us as we for it.
    fn may_read(&self) -> bool {
        self.owed < self.hub.options.output_bytes_max
    }

    /// Everything that can be done without waiting.
    fn work(&mut self) -> Result<(), Ended> {
        let phase = *self.hub.phase.borrow();
        if phase == Phase::Over {
            return Err(Ended::Stopping);
        }
        if phase == Phase::SigningOff
            && let Some(why) = self.session.stop()
        {
            return Err(why);
        }
        self.tell_service();
        match self.session.due(Instant::now()) {
            Some(Due::Ask(what)) => self.ask(what),
            Some(Due::Close(why)) => return Err(why),
            None => {}
        }
        let nothing_before = self.output.rest().is_empty();
        let output = &mut self.output;
        let unwritten = output.rest().len();
        self.hub.with_mux(|mux| mux.take_outbox(self.line, unwritten, |wire| output.append(wire)));
        if nothing_before {
            // From now on the host has something to take.
            self.taken = Instant::now();
        }
        Ok(())
    }

    /// Tells the questions whether this connection takes some.
    fn tell_service(&mut self) {
        let in_service = self.session.is_in_service();
        if in_service == self.in_service {
            return;
        }
        self.in_service = in_service;
        if in_service {
            self.was_in_service = true;
            self.hub.meter.signed_on.one();
            tracing::info!("signed on");
            self.hub.with_mux(|mux| mux.up(self.line));
        } else {
            tracing::info!("signed off");
            let queued = self.hub.with_mux(|mux| mux.out_of_service(self.line));
            for waiter in queued {
                // Who waits no longer need not be told.
                drop(waiter.send(Err(LinkError::NotSignedOn)));
            }
        }
    }

    /// Sends a message of network management.
    fn ask(&mut self, what: Management) {
        let Some(code) = what.code() else { return };
        let stan = self.hub.mux().next_stan();
        let message = management(code, stan, self.hub.clock.now_ms(), self.hub.institution);
        if what == Management::Echo {
            self.hub.meter.echoes.one();
        }
        self.session.asked(what, stan, Instant::now());
        self.put(&message);
    }

    fn put(&mut self, message: &MessageBuilder) {
        if self.output.rest().is_empty() {
            self.taken = Instant::now();
        }
        tracing::trace!(message = %message.describe(self.hub.dialect), "sent");
        if let Err(error) = message.encode(self.hub.dialect, self.output.bytes()) {
            // What is asked was tried at the start; what is answered came in by the same dialect.
            tracing::error!(%error, "a message can't be written in this dialect");
        }
    }

    fn read(&mut self, read: io::Result<usize>) -> Result<(), Ended> {
        match read {
            Ok(0) => return Err(Ended::ByHost),
            Ok(count) => {
                self.session.heard(Instant::now());
                self.hub.meter.bytes_in.add(count as u64);
                self.input.filled(count);
            }
            Err(_) => return Err(Ended::Broken),
        }
        loop {
            match self.input.next_message() {
                Ok(Some(range)) => self.take(range)?,
                Ok(None) => break,
                Err(FrameError::NotDigits) => return Err(Ended::Unreadable),
                Err(FrameError::TooLong { .. }) => return Err(Ended::TooLong),
            }
            self.half_since = None;
        }
        self.input.close_up();
        if self.input.is_half() {
            self.half_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn take(&mut self, range: Range<usize>) -> Result<(), Ended> {
        let Self { hub, line, session, input, .. } = self;
        let meter = &hub.meter;
        let message = match Message::parse(hub.dialect, input.message(range)) {
            Ok(message) => message,
            Err(ParseFailure { error, partial }) => {
                tracing::warn!(%error, "a message of the issuer host could not be read");
                meter.malformed.one();
                // What can't be read as a whole answers nothing.
                return partial.map(|_| ()).ok_or(Ended::Unreadable);
            }
        };
        tracing::trace!(message = %message.describe(), "received");
        if !message.mti().is_response() {
            meter.asked_by_host.one();
            session.asks(&message);
            let code = match message.mti().class() {
                MtiClass::NetworkManagement => Management::of(&message).response(),
                _ => ResponseCode::InvalidTransaction,
            };
            if let Some(answer) = respond(&message, code, None) {
                drop(message);
                let before = self.output.rest().len();
                self.put(&answer);
                self.owed += self.output.rest().len() - before;
            }
            return Ok(());
        }
        if message.mti().class() == MtiClass::NetworkManagement {
            return match session.answered(&message) {
                Heard::Fine => {
                    self.tell_service();
                    Ok(())
                }
                Heard::Unmatched => {
                    meter.unmatched.one();
                    Ok(())
                }
                Heard::Close(why) => Err(why),
            };
        }
        match hub.with_mux(|mux| mux.came(*line, &message)) {
            Came::For(waiter) => {
                if let Err(Ok(answer)) = waiter.send(Ok(MessageBuilder::from(&message))) {
                    // Given up in the same moment.
                    hub.late(answer);
                }
            }
            Came::Late => hub.late(MessageBuilder::from(&message)),
            Came::Contradicts => {
                meter.contradicting.one();
                tracing::warn!(mti = %message.mti(), "an answer contradicts its question, and is not delivered");
            }
            Came::Unmatched => {
                meter.unmatched.one();
                tracing::warn!(mti = %message.mti(), "an answer belongs to nothing that was asked");
            }
        }
        Ok(())
    }

    fn written(&mut self, written: io::Result<usize>) -> Result<(), Ended> {
        let count = match written {
            Ok(0) | Err(_) => return Err(Ended::Broken),
            Ok(count) => count,
        };
        self.taken = Instant::now();
        self.hub.meter.bytes_out.add(count as u64);
        self.output.wrote(count, |_| ());
        self.owed = self.owed.min(self.output.rest().len());
        Ok(())
    }

    fn look_at_times(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let over = |since: Instant, ms_max: u64| {
            now.saturating_duration_since(since) > Duration::from_millis(ms_max)
        };
        let options = &self.hub.options;
        if !self.output.rest().is_empty() && over(self.taken, options.write_ms_max) {
            return Err(Ended::NotReading);
        }
        match self.half_since {
            // While we don't read, it is not the host who is late.
            Some(_) if !self.may_read() => self.half_since = Some(now),
            Some(since) if over(since, options.message_ms_max) => return Err(Ended::HalfMessage),
            _ => {}
        }
        Ok(())
    }

    /// It is closed: whoever waits for an answer over it is told.
    fn down(&self, why: Ended) {
        self.hub.meter.closed(why).one();
        match why {
            Ended::Stopping => tracing::info!(%why, "closed"),
            _ => tracing::warn!(%why, "closed"),
        }
        let Down { sent, queued } = self.hub.with_mux(|mux| mux.down(self.line));
        for waiter in sent {
            drop(waiter.send(Err(LinkError::Lost)));
        }
        for waiter in queued {
            drop(waiter.send(Err(LinkError::NotSignedOn)));
        }
    }
}

/// A message of network management.
pub(super) fn management(code: &str, stan: Stan, at_ms: u64, institution: AcquirerId) -> MessageBuilder {
    let mut message = MessageBuilder::new(Mti::NETWORK_REQUEST);
    message
        .set(De::TRANSMISSION_TIME, &transmission_time(at_ms))
        .set_number(De::STAN, stan.value().into())
        .set(De::NETWORK_CODE, code);
    if !institution.is_empty() {
        message.set(De::FORWARDER, institution.as_str());
    }
    message
}
