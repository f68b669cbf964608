//! The link to issuer hosts: questions out, each answer back to whoever asked.
//!
//! An [`IssuerLink`] keeps connections to the hosts, signs on before it uses them, and opens them again when they
//! break. Any number of tasks may ask at the same time over the same connections; an answer is paired with its question
//! by everything that both have in common, and what fits nothing is counted and delivered to nobody. Every question
//! gets exactly one result: its answer, or a [`LinkError`] that says whether the host may have acted on it.
//!
//! What happens when is decided by `mux` and `session`, which have neither sockets nor clocks; `line` moves bytes.
//! The link knows nothing of cards or money: who asked decides what follows from an answer, or from none.

mod ended;
mod error;
mod key;
mod line;
mod meter;
mod mux;
mod options;
mod session;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mayfly_card::{AcquirerId, Stan};
use mayfly_engine::Clock;
use mayfly_iso8583::{De, Dialect, Message, MessageBuilder};
use mayfly_keys::Random;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time;
use zeroize::Zeroizing;

pub use ended::Ended;
pub use error::{LinkError, LinkStartError};
pub use meter::LinkMeter;
pub use options::LinkOptions;

use key::Key;
use mux::{Bounds, GivenUp, Mux};

/// What sign-on and pairing need: a dialect without these can't be used.
const NEEDED: [De; 4] = [De::TRANSMISSION_TIME, De::STAN, De::RESPONSE_CODE, De::NETWORK_CODE];

/// How many late answers wait to be taken.
const LATE_WAITING_MAX: usize = 4_096;

/// Room for a usual question.
const QUESTION_LEN: usize = 512;

/// An issuer host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name or address, and port. A name is looked up whenever a connection is opened.
    pub address: String,
    /// How many connections are kept to it.
    pub connections: usize,
}

/// Where a link works.
pub struct Setting {
    /// The hosts. All of them are used at the same time.
    pub hosts: Vec<Host>,
    /// What they speak.
    pub dialect: &'static Dialect,
    /// Who signs on (DE 33); left out where it is empty.
    pub institution: AcquirerId,
    /// The bounds.
    pub options: LinkOptions,
    /// The time that messages of network management carry.
    pub clock: Arc<dyn Clock>,
    /// Where STANs begin, and how long to wait before a connection is opened again.
    pub random: Box<dyn Random + Send>,
}

/// An answer that came when nobody waited for it any more. Whoever asked was told that it is unknown what became of his
/// question, and reverses it in any case.
#[derive(Debug)]
pub struct Late {
    /// The answer.
    pub answer: MessageBuilder,
}

/// The late answers of a link.
#[derive(Debug)]
pub struct LateAnswers(mpsc::Receiver<Late>);

impl LateAnswers {
    /// The next; none when the link has stopped.
    pub async fn next(&mut self) -> Option<Late> {
        self.0.recv().await
    }
}

/// What a link is up to. Each follows on the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Nothing more is asked; answers are waited for.
    Draining,
    SigningOff,
    Over,
}

/// Who waits for an answer.
type Waiter = oneshot::Sender<Result<MessageBuilder, LinkError>>;

/// What the handles and all connections share. No lock in it is held over I/O.
struct Hub {
    hosts: Vec<Host>,
    dialect: &'static Dialect,
    institution: AcquirerId,
    options: LinkOptions,
    clock: Arc<dyn Clock>,
    random: Mutex<Box<dyn Random + Send>>,
    meter: Arc<LinkMeter>,
    mux: Mutex<Mux<Waiter>>,
    /// One for each connection.
    wakes: Vec<Notify>,
    phase: watch::Sender<Phase>,
    /// Told when nothing is under way any more.
    drained: Notify,
    late: mpsc::Sender<Late>,
}

impl Hub {
    fn mux(&self) -> MutexGuard<'_, Mux<Waiter>> {
        // Nobody panics while he holds this lock.
        self.mux.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the questions, and wakes the connections that have something to write after it.
    fn with_mux<T>(&self, act: impl FnOnce(&mut Mux<Waiter>) -> T) -> T {
        let mut mux = self.mux();
        let result = act(&mut mux);
        mux.drain_wakes().for_each(|line| self.wakes[line].notify_one());
        result
    }

    /// Any number.
    fn chance(&self) -> u64 {
        let mut bytes = [0; 8];
        let filled = self.random.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut bytes);
        // Without chance it is always the same: links that failed together then try again together.
        filled.map_or(u64::MAX, |()| u64::from_le_bytes(bytes))
    }

    fn late(&self, answer: MessageBuilder) {
        self.meter.late.one();
        if self.late.try_send(Late { answer }).is_err() {
            self.meter.late_dropped.one();
        }
    }
}

/// A link to issuer hosts, to be cloned freely. Stop it with [`IssuerLink::stop`]; when the last handle is dropped it
/// ends at once.
#[derive(Clone)]
pub struct IssuerLink(Arc<Running>);

struct Running {
    hub: Arc<Hub>,
    lines: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.hub.phase.send_replace(Phase::Over);
    }
}

impl fmt::Debug for IssuerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerLink").field("hosts", &self.0.hub.hosts).finish_non_exhaustive()
    }
}

impl IssuerLink {
    /// Begins to open connections, and returns at once: hosts that are away are no reason not to start.
    ///
    /// # Errors
    ///
    /// If a bound is out of its own bounds, or the dialect can't be used.
    pub fn start(setting: Setting) -> Result<(Self, LateAnswers), LinkStartError> {
        let Setting { hosts, dialect, institution, options, clock, mut random } = setting;
        let lines: Vec<usize> = hosts
            .iter()
            .enumerate()
            .flat_map(|(at, host)| std::iter::repeat_n(at, host.connections.min(1 << 16)))
            .collect();
        options.check(lines.len()).map_err(LinkStartError::Options)?;
        if let Some(lacks) = NEEDED.into_iter().find(|element| !dialect.specifies(*element)) {
            return Err(LinkStartError::Dialect { name: dialect.name(), lacks });
        }
        // Better said now than by a host that never hears of us.
        line::management("001", Stan::default(), clock.now_ms(), institution)
            .encode(dialect, &mut Vec::new())
            .map_err(LinkStartError::SignOn)?;
        let bounds = Bounds {
            in_flight_max: options.in_flight_max,
            queue_max: options.queue_max,
            late_max: options.late_max,
            output_bytes_max: options.output_bytes_max,
        };
        let mut bytes = [0; 8];
        // Wherever STANs begin, they are unique among those that are under way.
        let stan = random.fill(&mut bytes).map_or(clock.now_ms(), |()| u64::from_le_bytes(bytes));
        let (late, late_answers) = mpsc::channel(LATE_WAITING_MAX);
        let hub = Arc::new(Hub {
            hosts,
            dialect,
            institution,
            options,
            clock,
            random: Mutex::new(random),
            meter: Arc::default(),
            mux: Mutex::new(Mux::new(lines.iter().copied(), bounds, stan)),
            wakes: lines.iter().map(|_| Notify::new()).collect(),
            phase: watch::Sender::new(Phase::Running),
            drained: Notify::new(),
            late,
        });
        let serve = |(line, host)| tokio::spawn(line::serve(hub.clone(), line, host));
        let tasks = lines.into_iter().enumerate().map(serve).collect();
        Ok((Self(Arc::new(Running { hub, lines: Mutex::new(tasks) })), LateAnswers(late_answers)))
    }

    /// A STAN that no question under way has, for whoever writes a question down before he asks it.
    pub fn stan(&self) -> Stan {
        self.0.hub.mux().next_stan()
    }

    /// Asks, and waits for the answer. A question without a STAN gets one; it must have a transmission time (DE 7).
    ///
    /// Whoever drops this future gives the question up as if its time were over: an answer that comes then is late.
    ///
    /// # Errors
    ///
    /// Why there is no answer. [`LinkError::may_have_arrived`] says whether the question must be reversed.
    pub async fn send(&self, question: MessageBuilder) -> Result<MessageBuilder, LinkError> {
        self.send_within(question, Duration::MAX).await
    }

    /// As [`IssuerLink::send`], and waits no longer than that for the answer.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_within(
        &self,
        mut question: MessageBuilder,
        limit: Duration,
    ) -> Result<MessageBuilder, LinkError> {
        let hub = &*self.0.hub;
        let since = Instant::now();
        let after = limit.min(Duration::from_millis(hub.options.answer_ms_max));
        if !question.has(De::STAN) {
            question.set_number(De::STAN, self.stan().value().into());
        }
        let mut asked = Asked::ask(hub, &question)?;
        let answered = time::timeout_at((since + after).into(), &mut asked.answer).await;
        match answered {
            Ok(told) => asked.told(told.unwrap_or(Err(LinkError::Lost)), since),
            Err(_) => match asked.give_up() {
                (GivenUp::Told, Ok(told)) => asked.told(told, since),
                (GivenUp::Queued, _) => asked.told(Err(LinkError::Busy), since),
                _ => asked.told(Err(LinkError::Timeout { after }), since),
            },
        }
    }

    /// How many connections are signed on.
    pub fn in_service(&self) -> usize {
        self.0.hub.mux().in_service()
    }

    /// How many questions are under way or wait for room.
    pub fn under_way(&self) -> usize {
        self.0.hub.mux().len()
    }

    /// Whether it stops, or has stopped: nothing more is asked.
    pub fn is_stopping(&self) -> bool {
        *self.0.hub.phase.borrow() > Phase::Running
    }

    /// What it counts.
    pub fn meter(&self) -> Arc<LinkMeter> {
        self.0.hub.meter.clone()
    }

    /// Asks nothing more, waits for the answers that are under way, signs off and closes all connections. Each of the
    /// two takes [`LinkOptions::stop_ms_max`] at the most. Says how many questions were left without an answer: who
    /// asked them was told [`LinkError::Lost`].
    pub async fn stop(&self) -> usize {
        let hub = &*self.0.hub;
        let limit = Duration::from_millis(hub.options.stop_ms_max);
        let enter = |phase| {
            hub.phase.send_if_modified(|now| {
                *now < phase && {
                    *now = phase;
                    true
                }
            })
        };
        enter(Phase::Draining);
        let drained = async {
            while self.under_way() > 0 {
                hub.drained.notified().await;
            }
        };
        // What is not answered by then is lost.
        drop(time::timeout(limit, drained).await);
        let unanswered = self.under_way();
        enter(Phase::SigningOff);
        let lines = std::mem::take(&mut *self.0.lines.lock().unwrap_or_else(PoisonError::into_inner));
        let all_closed = async {
            for line in lines {
                // A connection whose task has panicked is closed too.
                drop(line.await);
            }
        };
        let mut all_closed = std::pin::pin!(all_closed);
        if time::timeout(limit, &mut all_closed).await.is_err() {
            enter(Phase::Over);
            all_closed.await;
        }
        unanswered
    }
}

/// A question that is under way. Dropped, it is given up.
struct Asked<'a> {
    hub: &'a Hub,
    known: Option<(Key, u64)>,
    answer: oneshot::Receiver<Result<MessageBuilder, LinkError>>,
}

impl<'a> Asked<'a> {
    fn ask(hub: &'a Hub, question: &MessageBuilder) -> Result<Self, LinkError> {
        let mut wire = Zeroizing::new(Vec::with_capacity(QUESTION_LEN));
        question.encode(hub.dialect, &mut wire).map_err(LinkError::Encode)?;
        // Read back, because contents are filled up when they are written.
        let body = wire.get(hub.dialect.header().header_len()..).unwrap_or_default();
        // What was just written by the same dialect can be read by it.
        let message = Message::parse(hub.dialect, body).map_err(|_| LinkError::Malformed(De::STAN))?;
        tracing::trace!(message = %message.describe(), "asked");
        let (waiter, answer) = oneshot::channel();
        let asked = hub.with_mux(|mux| {
            // Under the lock, so that a stop that has seen nothing under way is right.
            if *hub.phase.borrow() > Phase::Running {
                return Err(LinkError::Stopping);
            }
            mux.ask(&message, &wire, waiter)
        });
        match asked {
            Ok(_) => hub.meter.asks(message.mti()),
            Err(error) => hub.meter.fails(error),
        }
        Ok(Self { hub, known: Some(asked?), answer })
    }

    /// Counts what it was told, which is all that becomes of it.
    fn told(
        &mut self,
        told: Result<MessageBuilder, LinkError>,
        since: Instant,
    ) -> Result<MessageBuilder, LinkError> {
        self.known = None;
        let meter = &self.hub.meter;
        match &told {
            Ok(_) => {
                meter.answered.one();
                meter.latency.record(since.elapsed());
            }
            Err(error) => meter.fails(*error),
        }
        told
    }

    /// Waits no longer. In the same moment it may have been told.
    fn give_up(
        &mut self,
    ) -> (GivenUp, Result<Result<MessageBuilder, LinkError>, oneshot::error::TryRecvError>) {
        let given_up = match self.known.take() {
            Some((key, turn)) => self.hub.with_mux(|mux| mux.give_up(&key, turn)),
            None => GivenUp::Told,
        };
        self.answer.close();
        (given_up, self.answer.try_recv())
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.known.is_some() {
            let (given_up, told) = self.give_up();
            if given_up == GivenUp::Sent {
                self.hub.meter.timed_out.one();
            }
            if let Ok(Ok(answer)) = told {
                self.hub.late(answer);
            }
        }
        if *self.hub.phase.borrow() > Phase::Running && self.hub.mux().len() == 0 {
            self.hub.drained.notify_one();
        }
    }
}
