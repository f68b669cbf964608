//! A load generator: connections that keep so many messages in flight for so long.
//!
//! It costs as little of the machine as possible, because it often runs beside what it measures: messages are
//! copied from a template and patched in place, answers are recognised by where their STAN and response code
//! stand, and each connection reads and writes whatever there is at once.

mod connection;
mod summary;
mod template;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use mayfly_card::{Expiry, Pan};
use mayfly_iso8583::{Dialect, EncodeError, MessageBuilder};
use tokio::task::LocalSet;
use tokio::time;

pub use summary::{LatencyUs, Summary};

use connection::{Connection, Shared};
use summary::Tally;
use template::Template;

/// How long answers are waited for after the last message was sent.
const DRAIN: Duration = Duration::from_secs(5);

/// The numbers that a load presents, with their dates.
pub type Cards = Arc<[(Pan, Expiry)]>;

/// What load to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whom to ask.
    pub address: SocketAddr,
    /// How many connections. Default 64.
    pub connections: usize,
    /// How many messages each of them keeps in flight; at most 10,000. Default 16.
    pub in_flight: usize,
    /// How many threads share the connections. Default 1.
    pub threads: usize,
    /// How long it is measured. Default 10 s.
    pub duration: Duration,
    /// How long load is made before it is measured. Default 1 s.
    pub warm_up: Duration,
    /// Whether numbers are presented again when all were presented; otherwise no more is sent then. Default no.
    pub again: bool,
    /// How many messages a second all connections send together, at the most; as many as go, if none. Where a rate
    /// is given, latency counts from the moment at which a message was due: a stall counts for all that it held up.
    pub rate: Option<f64>,
    /// What tells this run's references from those of another against the same server.
    pub run: u32,
}

impl Options {
    /// The defaults.
    pub fn to(address: SocketAddr) -> Self {
        Self {
            address,
            connections: 64,
            in_flight: 16,
            threads: 1,
            duration: Duration::from_secs(10),
            warm_up: Duration::from_secs(1),
            again: false,
            rate: None,
            run: 0,
        }
    }
}

/// Why there was no load.
#[derive(Debug)]
pub enum LoadError {
    /// There must be at least one connection, one thread, one number, and 1 to 10,000 messages in flight.
    Options,
    /// All numbers must have the same length.
    Numbers,
    /// The template can't be written.
    Encode(EncodeError),
    /// The template lacks an element that is patched (DE 2, 11, 14, 37), or the dialect does not write digits as
    /// ASCII.
    Template,
    /// A connection was not made, or broke.
    Connection(io::Error),
    /// What came is no answer to what was sent.
    Answer,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options => f.write_str(
                "load needs a connection, a thread, a number and 1 to 10000 messages in flight at least",
            ),
            Self::Numbers => f.write_str("all numbers of a load must have the same length"),
            Self::Encode(error) => write!(f, "the template can't be written: {error}"),
            Self::Template => f.write_str("the template needs DE 2, 11, 14 and 37, in a dialect of ASCII"),
            Self::Connection(error) => write!(f, "a connection failed: {error}"),
            Self::Answer => f.write_str("what came is no answer to what was sent"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Makes load and says what came of it. Blocks until it is over.
///
/// Every message is a copy of `template` with a number of `cards` and a STAN and reference of its own.
///
/// # Errors
///
/// If nothing could be measured. An answer that did not come is no error, see [`Summary::unanswered`].
pub fn run(
    options: &Options,
    dialect: &'static Dialect,
    template: &MessageBuilder,
    cards: Cards,
) -> Result<Summary, LoadError> {
    let possible =
        options.connections > 0 && options.threads > 0 && (1..=10_000).contains(&options.in_flight);
    let first = cards.first().filter(|_| possible).ok_or(LoadError::Options)?;
    if cards.iter().any(|(pan, _)| pan.length() != first.0.length()) {
        return Err(LoadError::Numbers);
    }
    let template = Template::new(dialect, template, first)?;
    let begun = Instant::now();
    let threads = options.threads.min(options.connections);
    let tallies: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|nth| {
                let (template, cards) = (template.clone(), cards.clone());
                scope.spawn(move || one_thread(options, nth, threads, template, cards, begun))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(Err(LoadError::Answer))).collect()
    });
    let mut all = Tally::new(begun)?;
    for tally in tallies {
        all.add(&tally?);
    }
    Ok(all.summary(options))
}

/// Runs every `threads`th connection, from the `nth` on.
fn one_thread(
    options: &Options,
    nth: usize,
    threads: usize,
    template: Template,
    cards: Cards,
    begun: Instant,
) -> Result<Tally, LoadError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Connection)?;
    let shared = Rc::new(Shared {
        template,
        cards,
        step: options.connections,
        again: options.again,
        run: options.run,
        interval: options.rate.map(|rate| Duration::from_secs_f64(options.connections as f64 / rate)),
        in_flight: options.in_flight,
        measured_from: begun + options.warm_up,
        sending: Cell::new(true),
        tally: RefCell::new(Tally::new(begun + options.warm_up)?),
    });
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime, async {
        let mut tasks = Vec::new();
        for at in (nth..options.connections).step_by(threads) {
            let mut connection = Connection::open(options.address, at, shared.clone()).await?;
            tasks.push(tokio::task::spawn_local(async move { connection.run().await }));
        }
        let until = time::Instant::from_std(begun + options.warm_up + options.duration);
        let all = async {
            for task in &mut tasks {
                task.await.unwrap_or(Err(LoadError::Answer))?;
            }
            Ok(())
        };
        tokio::pin!(all);
        match time::timeout_at(until, &mut all).await {
            Ok(done) => done,
            Err(_) => {
                shared.sending.set(false);
                shared.tally.borrow_mut().ended(Instant::now());
                // Those that are still not answered show in the summary.
                time::timeout(DRAIN, all).await.unwrap_or(Ok(()))
            }
        }
    });
    outcome?;
    drop(local);
    drop(runtime);
    let tally = Rc::try_unwrap(shared).map_err(|_| LoadError::Answer)?.tally;
    Ok(tally.into_inner())
}
