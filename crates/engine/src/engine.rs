//! Starting, asking and stopping the engine.

use std::fmt;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use mayfly_core::state::Transaction;
use mayfly_core::{
    Answer, Command, MessageAnswer, Partitions, Reason, Refusal, Resolution, TimeMs, TransactionId, Word,
};
use tokio::sync::oneshot;

use crate::committer::Committer;
use crate::pager::Pager;
use crate::queue::{Queue, Resumed, Work};
use crate::told::Told;
use crate::waiting::Waiting;
use crate::writer::{Writer, refusal};
use crate::{
    AppendError, Archive, Asker, Catalogue, Clock, Ends, Journal, Look, Mailbox, Meter, Progress, Refused,
    Ticket,
};

/// The engine's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many commands may wait. Default 65,536.
    pub queue_max: usize,
    /// How many commands one record may hold. Default 4,096.
    pub batch_max: usize,
    /// How far the views may lag before new work is shed, in milliseconds. Default 60,000.
    pub views_lag_max_ms: TimeMs,
    /// How long an idle transaction is remembered, in milliseconds. Default 48 hours.
    pub remember_ms: TimeMs,
    /// How many transactions are remembered before the oldest go early. Default 20,000,000.
    pub transactions_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_max: 65_536,
            batch_max: 4_096,
            views_lag_max_ms: 60_000,
            remember_ms: 48 * 3600 * 1000,
            transactions_max: 20_000_000,
        }
    }
}

/// What the engine is made of, all from outside.
pub struct Parts {
    /// The states that follow from the journal up to its end.
    pub partitions: Partitions,
    /// Where the journal ends.
    pub ends: Ends,
    /// Where records go.
    pub journal: Box<dyn Journal>,
    /// Where old transactions are looked up.
    pub archive: Arc<dyn Archive>,
    /// What the connections' tasks know.
    pub catalogue: Arc<Catalogue>,
    /// Who is asked before a purchase is decided.
    pub asker: Arc<dyn Asker>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How far journal and views are.
    pub progress: Arc<Progress>,
    /// The bounds.
    pub options: Options,
}

/// A running engine. Stop it with [`Engine::stop`].
pub struct Engine {
    handle: Handle,
    writer: JoinHandle<()>,
    committer: JoinHandle<()>,
    failure: Arc<Mutex<Option<AppendError>>>,
}

/// Asks the engine. Cheap to copy.
#[derive(Clone)]
pub struct Handle {
    queue: Arc<Queue>,
    meter: Arc<Meter>,
    progress: Arc<Progress>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Starts the engine's threads.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let Parts { partitions, ends, journal, archive, catalogue, asker, clock, progress, options } = parts;
        let queue = Arc::new(Queue::new(options.queue_max));
        let meter = Arc::new(Meter::default());
        let failure = Arc::new(Mutex::new(None));
        // By the journal's time, as all that follows, if the clock is behind it.
        let now_ms = clock.now_ms().max(partitions.now_ms()).max(ends.at_ms());
        progress.set_durable(ends.number, now_ms);
        catalogue.update(partitions.register());
        if let Some(cards) = catalogue.cards() {
            cards.show_all(&partitions);
        }
        // One batch waits while one is written: the writer decides the third, and then waits too.
        let (to_committer, batches) = sync_channel(1);
        let (spare_sender, spare) = sync_channel(4);
        let waiting = Arc::new(AtomicBool::new(true));
        let committer = Committer {
            journal,
            ends: ends.clone(),
            batches,
            waiting: waiting.clone(),
            spare: spare_sender,
            progress: progress.clone(),
            queue: queue.clone(),
            meter: meter.clone(),
            failure: failure.clone(),
            asker,
        };
        // Whoever waited for these is not there any more.
        for asked in partitions.iter().flat_map(|state| state.pending.iter()) {
            let (question, issuer) = (asked.question, asked.issuer);
            let unfinished = Command::Resolve(Resolution { question, issuer, word: Word::Unfinished });
            queue.add_again(Work::Decide(unfinished, Ticket::Nobody));
        }
        let writer = Writer {
            now_ms,
            partitions,
            ends,
            pager: Pager::start(archive, &queue)?,
            queue: queue.clone(),
            catalogue,
            clock,
            progress: progress.clone(),
            committer: to_committer,
            waiting,
            spare,
            options,
            swept_at_ms: 0,
            crowded: false,
            forgot_quarantine_at_ms: 0,
            events: Vec::new(),
            open: None,
            asked: Waiting::default(),
            told: Told::default(),
        };
        let guard = |of_writer| Guard { queue: queue.clone(), failure: failure.clone(), of_writer };
        let (of_committer, of_writer) = (guard(false), guard(true));
        let committer = thread::Builder::new().name("committer".into()).spawn(move || {
            let _guard = of_committer;
            committer.run();
        })?;
        let writer = thread::Builder::new().name("writer".into()).spawn(move || {
            let _guard = of_writer;
            writer.run();
        })?;
        Ok(Self { handle: Handle { queue, meter, progress }, writer, committer, failure })
    }

    /// To ask it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes nothing more, finishes what waits, and stops.
    ///
    /// # Errors
    /// Why the journal could not be written, if that is why it stopped.
    pub fn stop(self) -> Result<(), AppendError> {
        self.handle.queue.stop();
        // A panic of either thread has been printed; there is nothing left of it to hand on.
        let _ = self.writer.join();
        let _ = self.committer.join();
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Held by both threads: whichever ends, by whatever cause, nothing more is taken.
struct Guard {
    queue: Arc<Queue>,
    failure: Arc<Mutex<Option<AppendError>>>,
    of_writer: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.of_writer {
            self.queue.close();
        } else {
            self.queue.stop();
        }
        if thread::panicking() {
            let broken = AppendError::Failed("a thread of the engine broke off; see the log".into());
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(broken);
        }
    }
}

/// Messages of one connection, collected to be queued with one lock.
#[derive(Default)]
pub struct Submission {
    work: Vec<Work>,
    told: Vec<Work>,
}

impl Submission {
    /// Adds a command whose answer goes to `mailbox` under `key`.
    pub fn add(&mut self, command: Command, mailbox: &Arc<Mailbox>, key: u64) {
        self.work.push(Work::Decide(command, Ticket::Mailbox(mailbox.clone(), key)));
    }

    /// An approval came too late, or its repetition did: whoever waited was told something else. It is taken back, unless
    /// somebody has heard of it since. That must not be lost: it is queued even if nothing new is taken.
    pub fn late(&mut self, transaction: TransactionId, repeat: bool) {
        self.told.push(Work::Late { transaction, repeat });
    }

    /// Whether nothing waits to be queued.
    pub fn is_empty(&self) -> bool {
        self.work.is_empty() && self.told.is_empty()
    }
}

impl Handle {
    /// Queues everything that was collected. What there is no room for is answered at once: 96, or 91 if the journal does
    /// not confirm what it has.
    pub fn submit(&self, submission: &mut Submission) {
        for told in submission.told.drain(..) {
            self.queue.add_again(told);
        }
        if let Err(refused) = self.queue.add(&mut submission.work) {
            let left = submission.work.drain(..).filter_map(|work| refusal(work, refused.reason()));
            crate::mailbox::deliver(&mut left.collect());
        }
    }

    /// Queues one command; the answer comes when it is durable.
    pub fn ask(&self, command: Command) -> Result<oneshot::Receiver<Answer>, Refused> {
        let (sender, receiver) = oneshot::channel();
        self.queue.add(&mut vec![Work::Decide(command, Ticket::Once(sender))])?;
        Ok(receiver)
    }

    /// Queues one command with old transactions that were looked up for it: they are in memory when it is decided.
    pub fn ask_with(
        &self,
        command: Command,
        found: Vec<Transaction>,
    ) -> Result<oneshot::Receiver<Answer>, Refused> {
        let (sender, receiver) = oneshot::channel();
        let resumed = Resumed { command, ticket: Ticket::Once(sender), found };
        self.queue.add(&mut vec![Work::Resume(Box::new(resumed))])?;
        Ok(receiver)
    }

    /// Queues one command and waits for its answer, on a thread that may wait.
    pub fn ask_blocking(&self, command: Command) -> Answer {
        let is_message = matches!(command, Command::Message(_));
        let told = |reason| {
            if is_message {
                Answer::Message(MessageAnswer::unrecorded(reason))
            } else {
                Answer::Refused(Refusal::Busy)
            }
        };
        match self.ask(command) {
            Ok(answer) => answer.blocking_recv().unwrap_or_else(|_| told(Reason::Overloaded)),
            Err(refused) => told(refused.reason()),
        }
    }

    /// Looks at the states between two batches; the result comes when everything it saw is durable.
    pub fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Partitions) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Refused> {
        let (sender, receiver) = oneshot::channel();
        let look: Look = Box::new(move |partitions| {
            let seen = look(partitions);
            Box::new(move || drop(sender.send(seen)))
        });
        self.queue.add(&mut vec![Work::Look(look)])?;
        Ok(receiver)
    }

    /// What the engine has counted.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// How far journal and views are.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing new is taken because the journal does not confirm what it has.
    pub fn is_unconfirmed(&self) -> bool {
        self.queue.is_unconfirmed()
    }

    /// Whether nothing more is taken, because the engine stops or has failed.
    pub fn is_stopping(&self) -> bool {
        self.queue.is_stopping()
    }
}
