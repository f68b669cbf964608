//! A gateway that stands by: it has the state in memory, reads every record a moment after it was written, and is ready to
//! take over.
//!
//! It changes nothing. The views are folded by whoever is active, and stand now behind this one, now ahead of it.

use std::time::{Duration, Instant};

use mayfly_card::MonthIndex;
use mayfly_core::state::Transaction;
use mayfly_core::{Event, PartitionId, Partitions, TimeMs, TransactionId};
use mayfly_engine::{Ends, Entry, Head};

use super::state::{self, Loaded, touched_by};
use super::{OpenOptions, Opened};
use crate::sql::Access;
use crate::views::{self, Cursors, transactions};
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

/// The states as of an entry.
struct Warm {
    loaded: Loaded,
    ends: Ends,
    /// The records of the last entry that was applied.
    last: Vec<(PartitionId, Head)>,
    /// Old transactions that were looked up when the views were ahead already.
    ahead: Vec<Ahead>,
    tidied: Instant,
}

/// Transactions as they are after an entry that is still to come.
struct Ahead {
    number: u64,
    family: Vec<Transaction>,
}

impl Ahead {
    /// Brings it into memory, where it belongs now.
    fn admit(self, partitions: &mut Partitions) {
        for member in self.family {
            if let Some(state) = partitions.get_mut(member.id.partition()) {
                state.admit(member);
            }
        }
    }
}

impl Follower {
    /// Nothing is loaded yet.
    pub fn open(home: &Home, options: &OpenOptions) -> Result<Self, StoreError> {
        let journal = JournalReader::open(home)?;
        Ok(Self { home: home.clone(), options: options.clone(), journal, warm: None })
    }

    /// Applies what is new; loads everything first if nothing is loaded. Says up to where it is; none if the views can't be
    /// loaded as they are: whoever is active has to fold them, or build them again.
    ///
    /// # Errors
    /// After one that passes the next call goes on; after any other it loads everything again.
    pub fn follow(&mut self) -> Result<Option<Ends>, StoreError> {
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
                let ends = warm.ends.clone();
                self.warm = Some(warm);
                Ok(Some(ends))
            }
            Err(error) if error.is_passing() => {
                self.warm = Some(warm);
                Err(error)
            }
            // It was away for days, and what it would read next was archived meanwhile; or the views are of no use.
            Err(error)
                if matches!(error, StoreError::Archived { .. })
                    || error.is_damage_of(&self.home.location(&views::FORMAT)) =>
            {
                tracing::warn!(%error, "the state is loaded again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What is loaded, if its last entry is still there. It may have been archived while this one stood still. And a primary that
    /// was restarted shows what its standby may not have yet: what was read then is gone if the standby takes its place.
    fn still_warm(&mut self) -> Result<Option<Warm>, StoreError> {
        let Some(warm) = &self.warm else { return Ok(None) };
        for (partition, head) in &warm.last {
            if self.journal.head_at(*partition, head.sequence)? != Some(*head) {
                let (entry, begins) = (warm.ends.number, self.journal.base()?.number + 1);
                if entry < begins {
                    tracing::warn!(
                        entry,
                        begins,
                        "what was read last was archived: the state is loaded again"
                    );
                } else {
                    tracing::warn!(entry, "an entry is gone that was read: the state is loaded again");
                }
                self.warm = None;
                break;
            }
        }
        Ok(self.warm.take())
    }

    /// Reads the journal to its end, and hands everything over. Nobody else may write it any more.
    pub fn take_over(mut self) -> Result<Opened, (Box<Self>, StoreError)> {
        match self.catch_up() {
            Ok(true) => {}
            Ok(false) => {
                let opened = super::open(&self.home, &self.options, |_| ());
                return opened.map_err(|error| (Box::new(self), error));
            }
            Err(error) => return Err((Box::new(self), error)),
        }
        let journal = match StoredJournal::open(&self.home) {
            Ok(journal) => journal,
            Err(error) => return Err((Box::new(self), error)),
        };
        match self.warm.take() {
            Some(Warm { loaded: Loaded { partitions, cursors, .. }, ends, .. }) => {
                let folded = cursors.number;
                Ok(Opened { partitions, ends, journal, folded, rebuilt: None, lock: None })
            }
            None => super::open(&self.home, &self.options, |_| ()).map_err(|error| (Box::new(self), error)),
        }
    }

    /// Whether the state is that of the journal's end now.
    fn catch_up(&mut self) -> Result<bool, StoreError> {
        loop {
            let Some(ends) = self.follow()? else { return Ok(false) };
            if self.journal.last_number()? == ends.number {
                return Ok(true);
            }
        }
    }

    fn load(&self) -> Result<Option<Warm>, StoreError> {
        let location = self.home.location(&views::FORMAT);
        let loaded = match state::load(&self.home, self.journal.partitions(), self.options.remember_ms) {
            Ok(loaded) => loaded,
            // There are none yet, or none any more.
            Err(StoreError::Missing { .. }) => return Ok(None),
            Err(error) if error.is_damage_of(&location) => {
                tracing::debug!(%error, "the views can't be loaded");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let ends = loaded.cursors.ends();
        let behind = self.journal.last_number()?.saturating_sub(ends.number);
        if behind > BEHIND_MAX {
            return Ok(None);
        }
        for (partition, head) in PartitionId::all(self.journal.partitions()).zip(&ends.heads) {
            if self.journal.head_at(partition, head.sequence)? != Some(*head) {
                return Ok(None);
            }
        }
        Ok(Some(Warm { loaded, ends, last: Vec::new(), ahead: Vec::new(), tidied: Instant::now() }))
    }
}

impl Warm {
    fn read_on(&mut self, journal: &JournalReader) -> Result<(), StoreError> {
        let mut events = Vec::new();
        for entry in journal.after(self.ends.clone()) {
            let entry = entry?;
            events.clear();
            for record in &entry.records {
                journal.each_event(record, |event| events.push((record.partition, event)))?;
            }
            self.apply(&entry, &events)?;
        }
        Ok(())
    }

    /// Applies an entry, whole or not at all.
    fn apply(&mut self, entry: &Entry, events: &[(PartitionId, Event)]) -> Result<(), StoreError> {
        let looked_up = self.look_up(entry, events)?;
        let partitions = &mut self.loaded.partitions;
        for ahead in looked_up {
            if ahead.number < entry.number {
                ahead.admit(partitions);
            } else {
                // What comes until then is in it already. Events on what is not in memory change everything else rightly.
                self.ahead.push(ahead);
            }
        }
        let at_ms = entry.at_ms();
        for (partition, event) in events {
            partitions.apply(*partition, event, at_ms);
        }
        self.ends.advance(entry);
        self.last = entry.records.iter().map(|record| (record.partition, record.head())).collect();
        for arrived in self.ahead.extract_if(.., |ahead| ahead.number <= entry.number) {
            arrived.admit(partitions);
        }
        Ok(())
    }

    /// Looks up what an entry changes and memory does not have.
    fn look_up(&mut self, entry: &Entry, events: &[(PartitionId, Event)]) -> Result<Vec<Ahead>, StoreError> {
        let mut found: Vec<Ahead> = Vec::new();
        for event in events {
            let (partition, Event::Transacted(event)) = event else { continue };
            for id in touched_by(event.target, event.reverses.map(|(id, _)| id)) {
                let is_known = |ahead: &Ahead| ahead.family.iter().any(|member| member.id == id);
                let is_old = self.loaded.partitions.get(*partition).is_some_and(|state| {
                    id < state.transactions.next_id() && state.transactions.find(id).is_none()
                });
                if is_old && !self.ahead.iter().chain(&found).any(is_known) {
                    let looked_up = self.family(id)?;
                    tracing::trace!(%id, entry = entry.number, of = looked_up.number, "looked up");
                    found.push(looked_up);
                }
            }
        }
        Ok(found)
    }

    fn family(&mut self, id: TransactionId) -> Result<Ahead, StoreError> {
        let count = self.loaded.partitions.count();
        let views = &self.loaded.views;
        // One transaction: the family is as of the cursors.
        let reading = views.begin(Access::Read)?;
        let cursors = views::cursors(&reading, count)?;
        let family = transactions::family(&reading, id.partition(), id)?;
        drop(reading);
        let number = cursors.number;
        self.advance(cursors)?;
        Ok(Ahead { number, family })
    }

    /// The views may be further on than they were, and never further back: then they are others.
    fn advance(&mut self, cursors: Cursors) -> Result<(), StoreError> {
        if cursors.number < self.loaded.cursors.number {
            let why = "they were begun anew".to_owned();
            return Err(StoreError::Damaged { location: self.loaded.views.location().clone(), why });
        }
        self.loaded.cursors = cursors;
        Ok(())
    }

    /// Forgets, as whoever is active does, what changes no decision any more.
    fn tidy(&mut self, options: &OpenOptions) -> Result<(), StoreError> {
        if self.tidied.elapsed() < TIDY_EVERY {
            return Ok(());
        }
        let cursors = views::cursors(&self.loaded.views, self.loaded.partitions.count())?;
        self.advance(cursors)?;
        let now = self.ends.at_ms();
        let idle_since_ms = now.saturating_sub(options.remember_ms).min(self.loaded.cursors.ends().at_ms());
        for state in self.loaded.partitions.iter_mut() {
            // What is not folded yet can't be looked up; what is folded and not read here yet is not in memory.
            let folded = self.loaded.cursors.of(state.partition).next_transaction;
            let folded = folded.min(state.transactions.next_id());
            state.transactions.forget_oldest(idle_since_ms, folded, FORGET_CHUNKS);
            state.transactions.forget_revived(idle_since_ms, folded);
            state.quarantine.forget(MonthIndex::of_unix_ms(now));
            state.aliases.forget(MonthIndex::of_unix_ms(now));
            let due_ms = now.saturating_sub(DUE_FOR_MS);
            loop {
                let limit = state.numbers.due_count(due_ms, DUE_LIMIT);
                if limit == 0 || state.numbers.due(due_ms, limit).next().is_some() {
                    break;
                }
                state.swept(due_ms, limit);
            }
        }
        self.tidied = Instant::now();
        Ok(())
    }
}
