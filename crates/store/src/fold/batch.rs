//! One transaction's worth of folding: what many events change in the same row is written once, and rows are
//! written in the order in which they lie in the file.
//!
//! The effect of an event on the rows is the same as that of [`mayfly_core::State::apply`] on the memory. Events say
//! by how much, so that the rows of numbers, which purchases change most, are changed without being read.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use mayfly_card::Currency;
use mayfly_core::state::{Account, QUARANTINE_MONTHS, Usage, UsageChange, quarantine_over};
use mayfly_core::{
    AccountId, AccountOpened, Books, Event, IssuerId, NumberId, NumberIssued, NumberRef, PartitionId,
    Previous, ProgrammeId, QuestionId, Retirement, TimeMs, Transacted, TransactionId,
};
use mayfly_keys::NumberIndex;
use rusqlite::{Connection, Result};

use crate::views::accounts::{AccountRow, AccountWriter};
use crate::views::cursor::{Cursor, CursorWriter};
use crate::views::issuers::IssuerWriter;
use crate::views::kept::KeptWriter;
use crate::views::lookups::{Lookup, LookupWriter};
use crate::views::numbers::{NumberWriter, Retired};
use crate::views::pending;
use crate::views::transactions::{Links, Touch, TransactionWriter};

/// What happens to a number.
#[derive(Clone, Copy, Debug)]
enum NumberChange {
    /// It is issued, for so many uses.
    Issued(u32),
    Used(UsageChange),
    Retired {
        retired: Retired,
        index: NumberIndex,
        /// Whose it is and by whose terms, if the event says so.
        owner: Option<(AccountId, ProgrammeId)>,
    },
    /// It had retired, and has a transaction more.
    Followed(TransactionId),
}

/// Whether an account's row has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    /// It stands in the table as it is here.
    Nothing,
    /// It stands there and has changed.
    Change,
    /// It does not stand there yet.
    Row,
}

/// A number that retired, and what else that changes.
struct Ended {
    id: NumberId,
    index: NumberIndex,
    why: Retirement,
    at_ms: TimeMs,
    account: AccountId,
    programme: ProgrammeId,
}

struct AccountSlot {
    row: AccountRow,
    pending: Pending,
}

/// What the views' one writer knows from one batch to the next, so that it need not be read again. To be thrown
/// away when a batch fails.
#[derive(Default)]
pub(crate) struct Memory {
    /// How long each programme's numbers stay in quarantine, in months.
    pub(crate) months: HashMap<ProgrammeId, u16>,
    accounts: HashMap<AccountId, AccountSlot>,
    /// Empty between batches, like the next one: only their room is kept.
    numbers: Vec<(NumberId, NumberChange)>,
    /// The last transactions of numbers that retired with them.
    retired: HashMap<NumberId, TransactionId>,
}

/// How many accounts are remembered: some 25 MB.
const ACCOUNTS_MAX: usize = 1 << 18;

/// The changes of one transaction, as they gather.
pub(crate) struct Batch<'c> {
    connection: &'c Connection,
    partition: PartitionId,
    memory: &'c mut Memory,
    issuers: IssuerWriter<'c>,
    accounts: AccountWriter<'c>,
    numbers: NumberWriter<'c>,
    transactions: TransactionWriter<'c>,
    references: LookupWriter<'c>,
    indices: LookupWriter<'c>,
    kept: KeptWriter<'c>,
    keys: LookupWriter<'c>,
    cursor: CursorWriter<'c>,
    changed_accounts: Vec<AccountId>,
    touched: HashMap<TransactionId, Touch>,
    books: BTreeMap<(IssuerId, Currency), Books>,
    next_transaction: TransactionId,
    next_number: NumberId,
    last_question: QuestionId,
    next_kept: u64,
}

impl<'c> Batch<'c> {
    pub(crate) fn new(
        connection: &'c Connection,
        partition: PartitionId,
        memory: &'c mut Memory,
        cursor: &Cursor,
    ) -> Result<Self> {
        // What a batch that failed has left.
        memory.numbers.clear();
        memory.retired.clear();
        Ok(Self {
            connection,
            partition,
            memory,
            issuers: IssuerWriter::new(connection, partition)?,
            accounts: AccountWriter::new(connection, partition)?,
            numbers: NumberWriter::new(connection, partition)?,
            transactions: TransactionWriter::new(connection, partition)?,
            references: LookupWriter::new(connection, partition, Lookup::Reference)?,
            indices: LookupWriter::new(connection, partition, Lookup::Number)?,
            kept: KeptWriter::new(connection, partition)?,
            keys: LookupWriter::new(connection, partition, Lookup::Kept)?,
            cursor: CursorWriter::new(connection)?,
            changed_accounts: Vec::new(),
            touched: HashMap::new(),
            books: BTreeMap::new(),
            next_transaction: cursor.next_transaction,
            next_number: cursor.next_number,
            last_question: cursor.last_question,
            next_kept: cursor.next_kept,
        })
    }

    /// Reads the rows that these events change, in the order in which they lie in the file: several times faster
    /// than in the order in which the events come.
    pub(crate) fn expect(&mut self, events: &[(TimeMs, Event)]) -> Result<()> {
        let (mut accounts, mut touched) = (Vec::new(), Vec::new());
        for (_, event) in events {
            match event {
                Event::Transacted(event) => {
                    accounts.extend(event.account);
                    touched.extend(event.target);
                    touched.extend(event.reverses.map(|(reversed, _)| reversed));
                }
                Event::NumberIssued(event) => accounts.push(event.account),
                _ => {}
            }
        }
        accounts.sort_unstable();
        accounts.dedup();
        if self.memory.accounts.len() + accounts.len() > ACCOUNTS_MAX {
            self.memory.accounts.clear();
        }
        for id in accounts {
            if !self.memory.accounts.contains_key(&id)
                && let Some(row) = self.accounts.find(id)?
            {
                self.memory.accounts.insert(id, AccountSlot { row, pending: Pending::Nothing });
            }
        }
        touched.retain(|id| *id < self.next_transaction);
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().try_for_each(|id| self.touch(id).map(|_| ()))
    }

    /// Takes one event that happened at `at_ms`.
    pub(crate) fn event(&mut self, event: &Event, at_ms: TimeMs) -> Result<()> {
        match event {
            Event::Transacted(event) => self.transacted(event, at_ms),
            Event::NumberIssued(event) => self.issued(event, at_ms),
            Event::NumbersRetired(numbers) => {
                for (number, why) in numbers {
                    self.retire(*number, *why, at_ms, None);
                }
                Ok(())
            }
            Event::IssuerOpened(event) => self.issuers.add_issuer(event),
            Event::ProgrammeOpened(event) => {
                self.memory.months.insert(event.programme, event.terms.quarantine_months);
                self.issuers.add_programme(event)
            }
            Event::AnswerKept(event) => {
                let id = self.next_kept;
                self.next_kept += 1;
                self.keys.add(event.key.0, id);
                self.kept.add(id, event, at_ms)
            }
            Event::HookSet { issuer, hook } => self.issuers.set_hook(*issuer, *hook),
            Event::AccountClosed { account, closed } => {
                self.change_account(*account, |row| row.account.closed = *closed)
            }
            Event::ProgrammeClosed { programme, closed, .. } => {
                self.issuers.close_programme(*programme, *closed)
            }
            Event::Asked(asked) => {
                self.last_question = self.last_question.max(asked.question);
                pending::add(self.connection, self.partition, asked)
            }
            Event::Resolved(resolved) => pending::remove(self.connection, resolved.question),
            // The journal has it; it changes nothing.
            Event::AnsweredLate(_) => Ok(()),
            Event::AccountOpened(event) => {
                self.account_opened(event);
                Ok(())
            }
            Event::LimitSet { account, limit } => {
                self.change_account(*account, |row| row.account.limit = *limit)
            }
            Event::ChannelBlocked { account, channel, blocked } => self.change_account(*account, |row| {
                row.account.blocked_channels &= !channel.bit();
                row.account.blocked_channels |= if *blocked { channel.bit() } else { 0 };
            }),
        }
    }

    /// Writes what has gathered, and up to which record that is.
    pub(crate) fn finish(mut self, cursor: &Cursor) -> Result<Cursor> {
        self.write_numbers()?;
        self.write_accounts()?;
        self.write_touched()?;
        for ((issuer, currency), books) in &self.books {
            self.issuers.post(*issuer, *currency, books)?;
        }
        self.references.finish()?;
        self.indices.finish()?;
        self.keys.finish()?;
        let cursor = Cursor {
            head: cursor.head,
            next_transaction: self.next_transaction,
            next_number: self.next_number,
            last_question: self.last_question,
            next_kept: self.next_kept,
        };
        self.cursor.set(self.partition, &cursor)?;
        Ok(cursor)
    }

    fn account_opened(&mut self, event: &AccountOpened) {
        let row = AccountRow {
            id: event.account,
            account: Account::opened(event),
            last_transaction: None,
            last_number: None,
        };
        self.memory.accounts.insert(event.account, AccountSlot { row, pending: Pending::Row });
        self.changed_accounts.push(event.account);
    }

    fn issued(&mut self, event: &NumberIssued, at_ms: TimeMs) -> Result<()> {
        let id = event.number.id;
        self.next_number = self.next_number.max(NumberId(id.0 + 1));
        let mut previous = None;
        self.change_account(event.account, |row| {
            row.account.active_numbers += 1;
            previous = row.last_number.replace(id);
        })?;
        self.numbers.add(event, at_ms, previous)?;
        self.indices.add(event.number.index.0, id.0);
        self.memory.numbers.push((id, NumberChange::Issued(event.uses)));
        Ok(())
    }

    fn transacted(&mut self, event: &Transacted, at_ms: TimeMs) -> Result<()> {
        self.next_transaction = self.next_transaction.max(TransactionId(event.id.0 + 1));
        let books = event.effect.books();
        let mut by_account = None;
        if let Some(account) = event.account {
            self.change_account(account, |row| {
                row.account.balance += books.cardholder;
                row.account.held += books.held;
                by_account = row.last_transaction.replace(event.id);
            })?;
        }
        if let Some(issuer) = event.issuer.filter(|_| books != Books::default()) {
            let of_issuer = Books { cardholder: 0, held: 0, ..books };
            self.books.entry((issuer, event.currency)).or_default().add(&of_issuer);
        }
        let by_number = match event.number {
            Some(number) => self.use_number(number, event, at_ms)?,
            None => None,
        };
        let follow_up = match event.target {
            Some(target) => self.follow_up(target, event, at_ms)?,
            None => None,
        };
        if let Some((reversed, amount)) = event.reverses {
            let touch = self.touch(reversed)?;
            touch.reversed += amount.signed();
            touch.at_ms = at_ms;
        }
        self.references.add(event.reference.0, event.id.0);
        self.transactions.add(event, at_ms, Links { follow_up, by_number, by_account })
    }

    /// What a transaction does to the purchase that it belongs to. Returns what was done to that before.
    fn follow_up(
        &mut self,
        target: TransactionId,
        event: &Transacted,
        at_ms: TimeMs,
    ) -> Result<Option<TransactionId>> {
        let touch = self.touch(target)?;
        touch.change.authorised += event.effect.totals.authorised;
        touch.change.held += event.effect.totals.held;
        touch.change.captured += event.effect.totals.captured;
        touch.change.refunded += event.effect.totals.refunded;
        touch.use_returned |= event.effect.uses > 0;
        touch.at_ms = at_ms;
        Ok(touch.last_follow_up.replace(event.id))
    }

    fn touch(&mut self, id: TransactionId) -> Result<&mut Touch> {
        match self.touched.entry(id) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let last_follow_up = self.transactions.last_follow_up(id)?;
                Ok(entry.insert(Touch { last_follow_up, ..Touch::default() }))
            }
        }
    }

    /// What a transaction does to its number. Returns the number's transaction before this one.
    fn use_number(
        &mut self,
        number: NumberRef,
        event: &Transacted,
        at_ms: TimeMs,
    ) -> Result<Option<TransactionId>> {
        let previous = match event.previous {
            Previous::Nothing => None,
            Previous::Transaction(previous) => Some(previous),
            // Changes nothing of the number; but whoever looks at it shall see the refund, too.
            Previous::Retired => return self.follow(number.id, event.id),
        };
        self.memory.numbers.push((number.id, NumberChange::Used(UsageChange::of(event, at_ms))));
        if let Some(why) = event.retires {
            self.retire(number, why, at_ms, event.account.zip(event.programme));
            self.memory.retired.insert(number.id, event.id);
        }
        Ok(previous)
    }

    /// A retired number has one more transaction. Returns the one before.
    fn follow(&mut self, id: NumberId, last: TransactionId) -> Result<Option<TransactionId>> {
        let previous = match self.memory.retired.insert(id, last) {
            Some(previous) => Some(previous),
            None => match self.numbers.last_of_retired(id)? {
                Some(previous) => previous,
                // It retired in this very batch, without a transaction.
                None => {
                    self.write_numbers()?;
                    self.numbers.last_of_retired(id)?.flatten()
                }
            },
        };
        self.memory.numbers.push((id, NumberChange::Followed(last)));
        Ok(previous)
    }

    fn retire(
        &mut self,
        number: NumberRef,
        why: Retirement,
        at_ms: TimeMs,
        owner: Option<(AccountId, ProgrammeId)>,
    ) {
        let change = NumberChange::Retired { retired: Retired { why, at_ms }, index: number.index, owner };
        self.memory.numbers.push((number.id, change));
    }

    /// Changes an account, if there is one of that id.
    fn change_account(&mut self, id: AccountId, change: impl FnOnce(&mut AccountRow)) -> Result<()> {
        let slot = match self.memory.accounts.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match self.accounts.find(id)? {
                Some(row) => entry.insert(AccountSlot { row, pending: Pending::Nothing }),
                None => return Ok(()),
            },
        };
        change(&mut slot.row);
        if slot.pending == Pending::Nothing {
            slot.pending = Pending::Change;
            self.changed_accounts.push(id);
        }
        Ok(())
    }

    fn write_accounts(&mut self) -> Result<()> {
        self.changed_accounts.sort_unstable();
        for id in &self.changed_accounts {
            if let Some(slot) = self.memory.accounts.get_mut(id) {
                self.accounts.put(&slot.row, slot.pending == Pending::Row)?;
                slot.pending = Pending::Nothing;
            }
        }
        Ok(())
    }

    /// Writes what has happened to numbers, in the order of their ids, and what their retirement means for others.
    fn write_numbers(&mut self) -> Result<()> {
        let mut changes = std::mem::take(&mut self.memory.numbers);
        // Stable: what happened to one number stays in its order.
        changes.sort_by_key(|(id, _)| *id);
        let mut ended = Vec::new();
        for life in changes.chunk_by(|a, b| a.0 == b.0) {
            self.write_number(life, &mut ended)?;
        }
        changes.clear();
        self.memory.numbers = changes;
        let mut quarantined = Vec::new();
        for Ended { id, index, why, at_ms, account, programme } in ended {
            self.change_account(account, |row| {
                row.account.active_numbers = row.account.active_numbers.saturating_sub(1);
            })?;
            let months = self.memory.months.get(&programme).copied().unwrap_or(QUARANTINE_MONTHS);
            quarantined.extend(quarantine_over(at_ms, months).map(|free| (free, id, index, why)));
        }
        quarantined.sort_unstable_by_key(|(free, id, ..)| (*free, *id));
        for (free, id, index, why) in quarantined {
            self.numbers.add_quarantine(free, id, index, why)?;
        }
        Ok(())
    }

    /// Writes what has happened to one number.
    fn write_number(&mut self, life: &[(NumberId, NumberChange)], ended: &mut Vec<Ended>) -> Result<()> {
        /// What is known of it by now.
        enum Stands {
            /// It is not in a table yet.
            New(Usage),
            /// By how much its row changes.
            Row(UsageChange),
            /// It is a retired one: nothing is pending.
            Retired,
        }
        let mut stands = Stands::Row(UsageChange::default());
        let Some((id, _)) = life.first() else { return Ok(()) };
        for (_, change) in life {
            match (change, &mut stands) {
                (NumberChange::Issued(uses), _) => stands = Stands::New(Usage::issued(*uses)),
                (NumberChange::Used(change), Stands::New(usage)) => usage.apply(change),
                (NumberChange::Used(change), Stands::Row(changes)) => changes.then(change),
                (NumberChange::Retired { retired, index, owner }, before) => {
                    let usage = match before {
                        Stands::New(usage) => *usage,
                        Stands::Row(changes) => {
                            let mut usage = self.numbers.take_active(*id)?;
                            usage.apply(changes);
                            usage
                        }
                        Stands::Retired => continue,
                    };
                    stands = Stands::Retired;
                    self.numbers.add_retired(*id, &usage, *retired)?;
                    let (account, programme) = owner.map_or_else(|| self.numbers.owner(*id), Ok)?;
                    let Retired { why, at_ms } = *retired;
                    ended.push(Ended { id: *id, index: *index, why, at_ms, account, programme });
                }
                (NumberChange::Followed(last), _) => {
                    stands = Stands::Retired;
                    self.numbers.follow_retired(*id, *last)?;
                }
                (NumberChange::Used(_), Stands::Retired) => {}
            }
        }
        match stands {
            Stands::New(usage) => self.numbers.add_active(*id, &usage),
            Stands::Row(changes) => self.numbers.change_active(*id, &changes),
            Stands::Retired => Ok(()),
        }
    }

    fn write_touched(&mut self) -> Result<()> {
        let mut touched: Vec<_> = self.touched.drain().collect();
        touched.sort_unstable_by_key(|(id, _)| *id);
        touched.iter().try_for_each(|(id, touch)| self.transactions.touch(*id, touch))
    }
}
