//! The writer: takes what waits, decides and applies it, and hands it to the committer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender};
use std::time::Duration;

use mayfly_card::MonthIndex;
use mayfly_core::{
    Answer, Command, Event, MessageAnswer, Operation, PartitionId, Partitions, Reason, Resolution, State,
    TimeMs, Word,
};

use crate::committer::{Batch, refuse};
use crate::mailbox::deliver;
use crate::pager::{LookUp, Pager};
use crate::queue::{Queue, Work};
use crate::told::Told;
use crate::waiting::Waiting;
use crate::{Catalogue, Clock, Ends, Options, Progress, Question, Ticket};

/// How long the writer sleeps when nothing waits: the beat of its timers.
const BEAT: Duration = Duration::from_millis(50);
/// After how many commands the writer looks whether the committer waits for something to write.
const HAND_OVER_EVERY: usize = 64;
/// For how many messages memory is read ahead.
const LOOK_AHEAD: usize = 16;
/// How many numbers one sweep retires. A sweep is one command among the others of a batch.
const SWEEP_LIMIT: usize = 256;
/// How long a batch may be open, in milliseconds, while the one before it is being written: all in it happens at one time.
const OPEN_MAX_MS: TimeMs = 50;
/// How often the writer sweeps.
const SWEEP_EVERY_MS: TimeMs = 100;

pub(crate) struct Writer {
    pub(crate) partitions: Partitions,
    /// Where the journal ends, with what was handed over.
    pub(crate) ends: Ends,
    pub(crate) queue: Arc<Queue>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) pager: Pager,
    pub(crate) committer: SyncSender<Batch>,
    /// Whether the committer waits for a batch.
    pub(crate) waiting: Arc<AtomicBool>,
    /// Batches that were written, for their space.
    pub(crate) spare: Receiver<Batch>,
    pub(crate) options: Options,
    /// The time of the last batch: time never goes back.
    pub(crate) now_ms: TimeMs,
    pub(crate) swept_at_ms: TimeMs,
    /// Whether memory had twice as many transactions as are wanted in it when it was swept: they came faster than they may be
    /// forgotten.
    pub(crate) crowded: bool,
    pub(crate) forgot_quarantine_at_ms: TimeMs,
    pub(crate) events: Vec<Event>,
    /// What is decided and not handed over yet.
    pub(crate) open: Option<Batch>,
    /// Who waits for messages about which somebody is asked.
    pub(crate) asked: Waiting,
    /// Approvals that were told again.
    pub(crate) told: Told,
}

impl Writer {
    /// Runs until the queue is stopped and empty, or the committer is gone.
    pub(crate) fn run(mut self) {
        self.work();
        deliver(&mut self.asked.give_up());
    }

    fn work(&mut self) {
        let mut work = Vec::new();
        while self.queue.take(&mut work, BEAT, self.open.is_some()) {
            let now = self.clock.now_ms().max(self.now_ms);
            self.now_ms = now;
            let mut rest = work.drain(..);
            while !rest.as_slice().is_empty() {
                if self.some(&mut rest, now).is_err() {
                    deliver(&mut rest.filter_map(|work| refusal(work, Reason::Unconfirmed)).collect());
                    return;
                }
            }
            drop(rest);
            self.keep_house(now);
            if self.hand_over_in_time(now).is_err() {
                return;
            }
        }
        drop(self.hand_over());
    }

    /// Decides some of what waits, into the batch that is open. It is handed over as soon as the committer has nothing to do: so
    /// writing and deciding go on at the same time, and a batch has all that came while the one before it was written. It
    /// is bounded, so that neither an entry nor the wait for it grows without end.
    fn some(&mut self, rest: &mut std::vec::Drain<'_, Work>, now: TimeMs) -> Result<(), Stopped> {
        let mut batch = self.open(now);
        while batch.commands < self.options.batch_max {
            if batch.commands.is_multiple_of(LOOK_AHEAD) {
                self.look_ahead(rest.as_slice());
            }
            let Some(work) = rest.next() else { break };
            self.one(work, &mut batch);
            batch.commands += 1;
            if batch.commands.is_multiple_of(HAND_OVER_EVERY) && self.waiting.load(Ordering::Acquire) {
                break;
            }
        }
        let is_full = batch.commands >= self.options.batch_max;
        self.open = Some(batch);
        if is_full || self.waiting.load(Ordering::Acquire) { self.hand_over() } else { Ok(()) }
    }

    /// The batch that is open; a new one, of this time, if none is. All of an entry happens at one time.
    fn open(&mut self, now: TimeMs) -> Batch {
        self.open.take().unwrap_or_else(|| {
            let empty = self.spare.try_recv().map(Batch::emptied).unwrap_or_default();
            Batch { now_ms: now, ..empty }
        })
    }

    /// Reads what the next messages will be decided by. One after the other each decision would wait for memory that
    /// nothing has touched for long; here the waits are side by side, since none depends on another.
    fn look_ahead(&self, rest: &[Work]) {
        let seen = rest.iter().take(LOOK_AHEAD).fold(0, |seen, work| match work {
            Work::Decide(Command::Message(request), _) => {
                seen ^ self.partitions.get(request.partition).map_or(0, |state| state.glance(request))
            }
            _ => seen,
        });
        std::hint::black_box(seen);
    }

    fn one(&mut self, work: Work, batch: &mut Batch) {
        match work {
            Work::Decide(command, ticket) => self.decide(command, ticket, batch),
            Work::Resume(resumed) => {
                for transaction in resumed.found {
                    if let Some(state) = self.partitions.get_mut(transaction.id.partition()) {
                        state.admit(transaction);
                    }
                }
                self.decide(resumed.command, resumed.ticket, batch);
            }
            Work::Late { transaction, repeat } => {
                if self.told.is_unheard(transaction, repeat) {
                    let take_back = Command::Operate(Box::new(Operation::TakeBack { transaction }));
                    self.decide(take_back, Ticket::Nobody, batch);
                }
            }
            // A look changes nothing: one that breaks off is only its asker's loss.
            Work::Look(look) => match catch_unwind(AssertUnwindSafe(|| look(&self.partitions))) {
                Ok(answer) => batch.looks.push(answer),
                Err(_) => tracing::error!("a look at the state broke off"),
            },
        }
    }

    fn decide(&mut self, command: Command, ticket: Ticket, batch: &mut Batch) {
        let now = batch.now_ms;
        let partition = self.partitions.route(&command, now);
        let answer = self.partitions.decide(partition, &command, now, &mut self.events);
        if let Answer::Page(page) = answer {
            // What this look-up must see includes what the batch that is being decided has so far. A batch without
            // events becomes no entry, and would be waited for in vain.
            let number = self.ends.number + u64::from(!batch.changes.is_empty());
            return self.pager.look_up((partition, LookUp::Page(page, number)), command, ticket);
        }
        if let Answer::Recall(key) = answer {
            return self.pager.look_up((partition, LookUp::Kept(key)), command, ticket);
        }
        self.apply(partition, batch);
        self.told.look_at(&answer);
        match answer {
            Answer::Waits(question) => {
                if let Some(ticket) = self.asked.add(question, ticket) {
                    let answer = Answer::Message(MessageAnswer::unrecorded(Reason::Overloaded));
                    batch.answers.push((ticket, answer));
                }
            }
            Answer::Resolved { question, answer: of_message } => {
                batch.answers.extend(self.asked.answers(question, of_message));
                batch.answers.push((ticket, answer));
            }
            answer => batch.answers.push((ticket, answer)),
        }
    }

    /// Gives up the questions whose time is over.
    fn give_up_overdue(&mut self, now: TimeMs) {
        let overdue: Vec<_> = self
            .partitions
            .iter()
            .flat_map(|state| state.pending.overdue(now))
            .take(self.options.batch_max)
            .map(|asked| Resolution { question: asked.question, issuer: asked.issuer, word: Word::Late })
            .collect();
        if overdue.is_empty() {
            return;
        }
        let mut batch = self.open(now);
        for resolution in overdue {
            self.decide(Command::Resolve(resolution), Ticket::Nobody, &mut batch);
        }
        self.open = Some(batch);
    }

    fn apply(&mut self, partition: PartitionId, batch: &mut Batch) {
        let now = batch.now_ms;
        for event in self.events.drain(..) {
            batch.changes.add(partition, &event);
            self.partitions.apply(partition, &event, now);
            if let (Some(cards), Some(state)) = (self.catalogue.cards(), self.partitions.get(partition)) {
                cards.follow(state, &event);
            }
            match event {
                Event::ProgrammeOpened(_) => self.catalogue.update(self.partitions.register()),
                Event::Asked(asked) => batch.questions.push(Question { asked: *asked, at_ms: now }),
                _ => {}
            }
        }
    }

    /// Hands the open batch over if the committer has nothing to do, or if it has been open for long: then it waits in front of
    /// the committer, and the next one is begun.
    fn hand_over_in_time(&mut self, now: TimeMs) -> Result<(), Stopped> {
        let is_old = self.open.as_ref().is_some_and(|batch| now > batch.now_ms + OPEN_MAX_MS);
        if is_old || self.waiting.load(Ordering::Acquire) { self.hand_over() } else { Ok(()) }
    }

    /// Hands the open batch to the committer, if there is one. Fails when the committer has given up.
    fn hand_over(&mut self) -> Result<(), Stopped> {
        let Some(mut batch) = self.open.take() else { return Ok(()) };
        batch.entry = batch.changes.seal(&mut self.ends, batch.now_ms);
        self.waiting.store(false, Ordering::Release);
        self.committer.send(batch).map_err(|SendError(batch)| {
            // Nobody writes any more: whoever waits is told at once.
            refuse(batch, Reason::Unconfirmed);
            Stopped
        })
    }

    /// Everything that comes round by itself: the sweep, forgetting, and the bound on the views' lag.
    fn keep_house(&mut self, now: TimeMs) {
        self.give_up_overdue(now);
        if now >= self.swept_at_ms + SWEEP_EVERY_MS {
            self.swept_at_ms = now;
            self.forget(now);
            self.sweep(now);
            let transactions: usize = self.partitions.iter().map(|state| state.transactions.len()).sum();
            self.crowded = transactions > self.options.transactions_max.saturating_mul(2);
        }
        self.queue.set_lagging(self.crowded || self.progress.lag(now).ms > self.options.views_lag_max_ms);
    }

    /// Retires numbers that are over, some thousand at a time.
    fn sweep(&mut self, now: TimeMs) {
        let mut batch = self.open(now);
        // At the time of the batch, which may have begun a moment ago.
        let now = batch.now_ms;
        let mut sweeps = 0;
        for partition in PartitionId::all(self.partitions.count()) {
            // Whoever is not reached this time has more that is due the next.
            while sweeps < SWEEPS_AT_ONCE {
                let due = |state: &State| state.numbers.due_count(now, SWEEP_LIMIT);
                let limit = self.partitions.get(partition).map_or(0, due);
                if limit == 0 {
                    break;
                }
                self.partitions.decide(partition, &Command::Sweep { limit }, now, &mut self.events);
                self.apply(partition, &mut batch);
                if let Some(state) = self.partitions.get_mut(partition) {
                    state.swept(now, limit);
                }
                sweeps += 1;
            }
        }
        self.open = (batch.commands > 0 || !batch.is_empty()).then_some(batch);
    }

    /// Gives back the memory of what changes no decision any more.
    fn forget(&mut self, now: TimeMs) {
        let folded_at_ms = self.progress.folded_at_ms();
        let idle_since_ms = now.saturating_sub(self.options.remember_ms).min(folded_at_ms);
        let transactions_max = self.options.transactions_max / usize::from(self.partitions.count().get());
        let month_over = now >= self.forgot_quarantine_at_ms + FORGET_QUARANTINE_EVERY_MS;
        for state in self.partitions.iter_mut() {
            let folded = self.progress.folded_transaction(state.partition);
            let transactions = &mut state.transactions;
            transactions.forget_oldest(idle_since_ms, folded, FORGET_CHUNKS);
            transactions.forget_revived(idle_since_ms, folded);
            if transactions.len() > transactions_max {
                // Too many to remember for as long as we would like: the oldest go early.
                let early_ms = now.saturating_sub(MIN_REMEMBER_MS).min(folded_at_ms);
                transactions.forget_oldest(early_ms, folded, FORGET_CHUNKS);
            }
            if month_over {
                state.quarantine.forget(MonthIndex::of_unix_ms(now));
                state.aliases.forget(MonthIndex::of_unix_ms(now));
            }
        }
        if month_over {
            self.forgot_quarantine_at_ms = now;
        }
    }
}

/// How many chunks of transactions are forgotten at a time, in some milliseconds.
const FORGET_CHUNKS: usize = 8;
/// How often the months of quarantine that are over are forgotten.
const FORGET_QUARANTINE_EVERY_MS: TimeMs = 60_000;
/// How many sweeps may be in one record: with the beat of the sweep, 80,000 numbers a second.
const SWEEPS_AT_ONCE: usize = 32;
/// However many there are, transactions are remembered that long: networks repeat within minutes.
const MIN_REMEMBER_MS: TimeMs = 10 * 60 * 1000;

/// The committer is gone.
pub(crate) struct Stopped;

/// What everybody is told whose work is not taken, or who still waits when the engine stops.
pub(crate) fn refusal(work: Work, reason: Reason) -> Option<(Ticket, Answer)> {
    let command = match &work {
        Work::Decide(command, _) => Some(command),
        Work::Resume(resumed) => Some(&resumed.command),
        Work::Late { .. } | Work::Look(_) => None,
    };
    let answer = match command {
        Some(Command::Message(_)) => Answer::Message(MessageAnswer::unrecorded(reason)),
        _ => Answer::Refused(mayfly_core::Refusal::Busy),
    };
    work.refuse(answer)
}
