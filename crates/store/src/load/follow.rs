//! A gateway that stands by: it has the state in memory, reads every record a moment after it was written, and is ready to
//! take over.
//!
//! It changes nothing. The views are folded by whoever is active, and stand now behind this one, now ahead of it.

use std::time::{Duration, Instant};

use mayfly_card::MonthIndex;
use mayfly_core::state::Transaction;
use mayfly_core::{Event, PartitionId, TimeMs, TransactionId};
use mayfly_engine::{Head, Record};

use super::state::{self, Loaded, touched_by};
use super::{OpenOptions, Opened};
use crate::sql::Access;
use crate::views::cursor::Cursor;
use crate::views::{self, transactions};
use crate::{Home, JournalReader, StoreError, StoredJournal};

/// Views that are further behind than so many records are waited for: what is not in them must find room in memory.
const BEHIND_MAX: u64 = 200_000;
/// How often what is not needed any more is forgotten.
const TIDY_EVERY: Duration = Duration::from_millis(500);
/// How many chunks of transactions are forgotten at a time.
const FORGET_CHUNKS: usize = 64;
/// How many entries of the calendar of numbers are looked at together, and how long after their time: whoever is active
/// retires numbers that are over within seconds.
const DUE_LIMIT: usize = 256;
const DUE_FOR_MS: TimeMs = 600_000;

/// Follows a journal that somebody else writes.
pub struct Follower {
    home: Home,
    options: OpenOptions,
    journal: JournalReader,
    warm: Option<Warm>,
}

/// The state as of a record.
struct Warm {
    loaded: Loaded,
    head: Head,
    /// Old transactions that were looked up when the views were ahead already.
    ahead: Vec<Ahead>,
    tidied: Instant,
}

/// Transactions as they are after a record that is still to come.
struct Ahead {
    sequence: u64,
    family: Vec<Transaction>,
}

impl Follower {
    /// Nothing is loaded yet.
    pub fn open(home: &Home, partition: PartitionId, options: &OpenOptions) -> Result<Self, StoreError> {
        let journal = JournalReader::open(home, partition)?;
        Ok(Self { home: home.clone(), options: *options, journal, warm: None })
    }

    /// Applies what is new; loads everything first if nothing is loaded. Says up to where it is; none if the views can't be
    /// loaded as they are: whoever is active has to fold them, or build them again.
    ///
    /// # Errors
    /// After one that passes the next call goes on; after any other it loads everything again.
    pub fn follow(&mut self) -> Result<Option<Head>, StoreError> {
        let mut warm = match self.still_warm()? {
            Some(warm) => warm,
            None => match self.load()? {
                Some(warm) => warm,
                None => return Ok(None),
            },
        };
        let read = warm.read_on(&self.journal).and_then(|()| warm.tidy(&self.options));
        match read {
            Ok(()) => {
                let head = warm.head;
                self.warm = Some(warm);
                Ok(Some(head))
            }
            Err(error) if error.is_passing() => {
                self.warm = Some(warm);
                Err(error)
            }
            Err(error) if error.is_damage_of(&self.home.location(&views::FORMAT)) => {
                tracing::warn!(%error, "the state is loaded again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What is loaded, if its last record is still there. A primary that was restarted shows what its standby may not have yet:
    /// what was read then is gone if the standby takes its place.
    fn still_warm(&mut self) -> Result<Option<Warm>, StoreError> {
        let Some(warm) = &self.warm else { return Ok(None) };
        let stands = self.journal.head_at(warm.head.sequence)? == Some(warm.head);
        if !stands {
            tracing::warn!(
                sequence = warm.head.sequence,
                "a record is gone that was read: the state is loaded again"
            );
            self.warm = None;
        }
        Ok(self.warm.take())
    }

    /// Reads the journal to its end, and hands everything over. Nobody else may write it any more.
    pub fn take_over(mut self) -> Result<Opened, (Box<Self>, StoreError)> {
        match self.catch_up() {
            Ok(true) => {}
            Ok(false) => {
                let opened = super::open(&self.home, self.journal.partition(), &self.options, |_| ());
                return opened.map_err(|error| (Box::new(self), error));
            }
            Err(error) => return Err((Box::new(self), error)),
        }
        let journal = match StoredJournal::open(&self.home) {
            Ok(journal) => journal,
            Err(error) => return Err((Box::new(self), error)),
        };
        match self.warm.take() {
            Some(Warm { loaded: Loaded { state, cursor, .. }, head, .. }) => {
                let folded = cursor.head.sequence;
                Ok(Opened { state, head, journal, folded, rebuilt: None, lock: None })
            }
            None => super::open(&self.home, self.journal.partition(), &self.options, |_| ())
                .map_err(|error| (Box::new(self), error)),
        }
    }

    /// Whether the state is that of the journal's end now.
    fn catch_up(&mut self) -> Result<bool, StoreError> {
        loop {
            let Some(head) = self.follow()? else { return Ok(false) };
            if self.journal.last_sequence()? == head.sequence {
                return Ok(true);
            }
        }
    }

    fn load(&self) -> Result<Option<Warm>, StoreError> {
        let location = self.home.location(&views::FORMAT);
        let loaded = match state::load(&self.home, self.journal.partition(), self.options.remember_ms) {
            Ok(loaded) => loaded,
            // There are none yet, or none any more.
            Err(StoreError::Missing { .. }) => return Ok(None),
            Err(error) if error.is_damage_of(&location) => {
                tracing::debug!(%error, "the views can't be loaded");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let head = loaded.cursor.head;
        let behind = self.journal.last_sequence()?.saturating_sub(head.sequence);
        if behind > BEHIND_MAX || self.journal.head_at(head.sequence)? != Some(head) {
            return Ok(None);
        }
        Ok(Some(Warm { loaded, head, ahead: Vec::new(), tidied: Instant::now() }))
    }
}

impl Warm {
    fn read_on(&mut self, journal: &JournalReader) -> Result<(), StoreError> {
        let mut events = Vec::new();
        for record in journal.after(self.head) {
            let record = record?;
            events.clear();
            journal.each_event(&record, |event| events.push(event))?;
            self.apply(&record, &events)?;
        }
        Ok(())
    }

    /// Applies a record, whole or not at all.
    fn apply(&mut self, record: &Record, events: &[Event]) -> Result<(), StoreError> {
        let looked_up = self.look_up(record, events)?;
        let state = &mut self.loaded.state;
        for Ahead { sequence, family } in looked_up {
            if sequence < record.sequence {
                family.into_iter().for_each(|member| state.admit(member));
            } else {
                // What comes until then is in it already. Events on what is not in memory change everything else rightly.
                self.ahead.push(Ahead { sequence, family });
            }
        }
        for event in events {
            state.apply(event, record.at_ms);
        }
        self.head = record.head();
        let sequence = record.sequence;
        for arrived in self.ahead.extract_if(.., |ahead| ahead.sequence <= sequence) {
            arrived.family.into_iter().for_each(|member| state.admit(member));
        }
        Ok(())
    }

    /// Looks up what a record changes and memory does not have.
    fn look_up(&mut self, record: &Record, events: &[Event]) -> Result<Vec<Ahead>, StoreError> {
        let mut found: Vec<Ahead> = Vec::new();
        for event in events {
            let Event::Transacted(event) = event else { continue };
            for id in touched_by(event.target, event.reverses.map(|(id, _)| id)) {
                let is_known = |ahead: &Ahead| ahead.family.iter().any(|member| member.id == id);
                let is_old = id < self.loaded.state.transactions.next_id()
                    && self.loaded.state.transactions.find(id).is_none();
                if is_old && !self.ahead.iter().chain(&found).any(is_known) {
                    let looked_up = self.family(id)?;
                    tracing::trace!(%id, sequence = record.sequence, of = looked_up.sequence, "looked up");
                    found.push(looked_up);
                }
            }
        }
        Ok(found)
    }

    fn family(&mut self, id: TransactionId) -> Result<Ahead, StoreError> {
        let partition = self.loaded.state.partition;
        let views = &self.loaded.views;
        // One transaction: the family is as of the cursor.
        let reading = views.begin(Access::Read)?;
        let cursor = views::cursor(&reading, partition)?;
        let family = transactions::family(&reading, partition, id)?;
        drop(reading);
        self.advance(cursor)?;
        Ok(Ahead { sequence: cursor.head.sequence, family })
    }

    /// The views may be further on than they were, and never further back: then they are others.
    fn advance(&mut self, cursor: Cursor) -> Result<(), StoreError> {
        if cursor.head.sequence < self.loaded.cursor.head.sequence {
            let why = "they were begun anew".to_owned();
            return Err(StoreError::Damaged { location: self.loaded.views.location().clone(), why });
        }
        self.loaded.cursor = cursor;
        Ok(())
    }

    /// Forgets, as whoever is active does, what changes no decision any more.
    fn tidy(&mut self, options: &OpenOptions) -> Result<(), StoreError> {
        if self.tidied.elapsed() < TIDY_EVERY {
            return Ok(());
        }
        let cursor = views::cursor(&self.loaded.views, self.loaded.state.partition)?;
        self.advance(cursor)?;
        let (state, now) = (&mut self.loaded.state, self.head.at_ms);
        let idle_since_ms = now.saturating_sub(options.remember_ms).min(cursor.head.at_ms);
        // What is not folded yet can't be looked up; what is folded and not read here yet is not in memory.
        let folded = cursor.next_transaction.min(state.transactions.next_id());
        state.transactions.forget_oldest(idle_since_ms, folded, FORGET_CHUNKS);
        state.transactions.forget_revived(idle_since_ms, folded);
        state.quarantine.forget(MonthIndex::of_unix_ms(now));
        let due_ms = now.saturating_sub(DUE_FOR_MS);
        loop {
            let limit = state.numbers.due_count(due_ms, DUE_LIMIT);
            if limit == 0 || state.numbers.due(due_ms, limit).next().is_some() {
                break;
            }
            state.swept(due_ms, limit);
        }
        self.tidied = Instant::now();
        Ok(())
    }
}
