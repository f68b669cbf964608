//! One transaction's worth of folding: what many events change in the same row is written once, and rows are
//! written in the order in which they lie in the file.
//!
//! The effect of an event on the rows is the same as that of [`mayfly_core::State::apply`] on the memory. Events say
//! by how much, so that the rows of numbers, which purchases change most, are changed without being read.

use std::collections::BTreeMap;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use mayfly_card::Currency;
use mayfly_core::state::{Account, QUARANTINE_MONTHS, Usage, UsageChange, quarantine_over};
use mayfly_core::{
    AccountId, AccountOpened, Asked, Books, Event, IssuerId, NumberId, NumberIssued, NumberRef, PartitionId,
    Previous, ProgrammeId, QuestionId, ResponseCode, Retirement, TimeMs, Transacted, TransactionId,
};
use mayfly_engine::Ends;
use mayfly_keys::NumberIndex;

use super::ahead::Happened;
use super::card_rows;
use super::cards::CardChanges;
use super::rows::{self, Links, Quarantined, Table, Touch};
use super::tables::Tables;
use crate::StoreError;
use crate::sql::Sql;
use crate::views::accounts::AccountRow;
use crate::views::cursor::{self, Cursors};
use crate::views::lookups;
use crate::views::numbers::Retired;
use crate::views::{codes, issuers};

type Result<T> = std::result::Result<T, StoreError>;

/// What happens to a number.
#[derive(Clone, Copy, Debug)]
enum NumberChange {
    /// It is issued.
    Issued {
        uses: u32,
        owner: (AccountId, ProgrammeId),
    },
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pending {
    /// It stands in the table as it is here.
    Nothing,
    /// It stands there, and transactions have changed what they change.
    Moved,
    /// It stands there, and more has changed.
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
    last: Option<TransactionId>,
}

/// What stands in the tables of numbers that retire.
struct Retiring {
    usages: HashMap<NumberId, Usage>,
    owners: HashMap<NumberId, (AccountId, ProgrammeId)>,
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
    /// The issuer hosts' own answers that have their names by now.
    responses: HashSet<ResponseCode>,
    /// Empty between batches, like the next one: only their room is kept.
    numbers: Vec<(NumberId, NumberChange)>,
    /// The last transactions of retired numbers, as far as this batch has to know them.
    retired: HashMap<NumberId, TransactionId>,
}

/// How many accounts are remembered: some 25 MB.
const ACCOUNTS_MAX: usize = 1 << 18;

/// Entries of a look-up table, to be written in the order of their key: generation, hash as it sorts in the table, id.
struct Entries {
    /// How many ids one generation has.
    generation: u64,
    entries: Vec<(u64, i64, u64)>,
}

impl Entries {
    fn new(sql: &Sql) -> Self {
        Self { generation: lookups::generation(sql), entries: Vec::new() }
    }

    fn add(&mut self, hash: u64, id: u64) {
        self.entries.push((id / self.generation, hash as i64, id));
    }

    fn write(&mut self, table: Table, tables: &mut impl Tables) -> Result<()> {
        self.entries.sort_unstable();
        let mut rows = self.entries.iter().map(|(of, hash, id)| rows::looked_up(table, *of, *hash, *id));
        rows.try_for_each(|row| tables.add(row))
    }
}

/// The changes of one transaction, as they gather.
pub(super) struct Batch<'c, 'e, T> {
    /// For what is rare.
    sql: &'c Sql,
    tables: T,
    memory: &'c mut Memory,
    references: Entries,
    indices: Entries,
    keys: Entries,
    etsns: Entries,
    cards: CardChanges<'e>,
    /// What waits since this batch, and what does not any longer that waited before it.
    asked: BTreeMap<QuestionId, &'e Asked>,
    resolved: Vec<QuestionId>,
    changed_accounts: Vec<AccountId>,
    touched: HashMap<TransactionId, Touch>,
    books: BTreeMap<(PartitionId, IssuerId, Currency), Books>,
    /// Where the tables stand.
    before: &'c Cursors,
    /// Where they will stand.
    cursors: Cursors,
}

impl<'c, 'e, T: Tables> Batch<'c, 'e, T> {
    pub(super) fn new(sql: &'c Sql, tables: T, memory: &'c mut Memory, cursors: &'c Cursors) -> Self {
        // What a batch that failed has left.
        memory.numbers.clear();
        memory.retired.clear();
        Self {
            sql,
            tables,
            memory,
            references: Entries::new(sql),
            indices: Entries::new(sql),
            keys: Entries::new(sql),
            etsns: Entries::new(sql),
            cards: CardChanges::default(),
            asked: BTreeMap::new(),
            resolved: Vec::new(),
            changed_accounts: Vec::new(),
            touched: HashMap::new(),
            books: BTreeMap::new(),
            before: cursors,
            cursors: cursors.clone(),
        }
    }

    /// Reads the rows that these events change, in the order in which they lie in the file: several times faster
    /// than in the order in which the events come.
    pub(super) fn expect(&mut self, events: &[Happened]) -> Result<()> {
        let (mut accounts, mut touched, mut followed) = (Vec::new(), Vec::new(), Vec::new());
        for Happened { event, .. } in events {
            match event {
                Event::Transacted(event) => {
                    accounts.extend(event.account);
                    touched.extend(event.target);
                    touched.extend(event.reverses.map(|(reversed, _)| reversed));
                    let retired = event.number.filter(|_| event.previous == Previous::Retired);
                    followed.extend(retired.map(|number| number.id));
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
        accounts.retain(|id| !self.memory.accounts.contains_key(id));
        for row in self.tables.accounts(&accounts)? {
            self.memory.accounts.insert(row.id, AccountSlot { row, pending: Pending::Nothing });
        }
        touched.retain(|id: &TransactionId| *id < self.before.of(id.partition()).next_transaction);
        touched.sort_unstable();
        touched.dedup();
        for (id, last) in self.tables.last_follow_ups(&touched)? {
            self.touched.insert(id, Touch { last_follow_up: Some(last), ..Touch::default() });
        }
        followed.sort_unstable();
        followed.dedup();
        self.memory.retired.extend(self.tables.last_of_retired(&followed)?);
        Ok(())
    }

    /// Takes one event.
    pub(super) fn event(&mut self, happened: &'e Happened) -> Result<()> {
        let Happened { partition, at_ms, place, ref event } = *happened;
        match event {
            Event::Transacted(event) => self.transacted(event, at_ms),
            Event::NumberIssued(event) => self.issued(event, at_ms),
            Event::NumbersRetired(numbers) => {
                for (number, why) in numbers {
                    self.retire(*number, *why, at_ms, None);
                }
                Ok(())
            }
            Event::IssuerOpened(event) => issuers::add_issuer(self.sql, event),
            Event::ProgrammeOpened(event) => {
                self.memory.months.insert(event.programme, event.terms.quarantine_months);
                issuers::add_programme(self.sql, event)
            }
            Event::AnswerKept(event) => {
                let Some(cursor) = self.cursors.of_mut(partition) else { return Ok(()) };
                let id = cursor.next_kept;
                cursor.next_kept += 1;
                self.keys.add(event.key.0, id);
                self.tables.add(rows::kept(id, event, at_ms)?)
            }
            Event::HookSet { issuer, hook } => issuers::set_hook(self.sql, *issuer, *hook),
            Event::AccountClosed { account, closed } => {
                self.change_account(*account, |row| row.account.closed = *closed)
            }
            Event::ProgrammeClosed { programme, closed, .. } => {
                issuers::close_programme(self.sql, *programme, *closed)
            }
            Event::Asked(asked) => {
                if let Some(cursor) = self.cursors.of_mut(partition) {
                    cursor.last_question = cursor.last_question.max(asked.question);
                }
                self.asked.insert(asked.question, asked);
                Ok(())
            }
            Event::Resolved(resolved) => {
                if self.asked.remove(&resolved.question).is_none() {
                    self.resolved.push(resolved.question);
                }
                Ok(())
            }
            // The journal has it; it changes nothing.
            Event::AnsweredLate(_) => Ok(()),
            Event::EtsnOpened(_)
            | Event::EtsnUsed { .. }
            | Event::EtsnChecked { .. }
            | Event::CardMissed { .. }
            | Event::CardUnlocked { .. }
            | Event::RequestRefused { .. } => self.card_event(happened),
            Event::HostSet { issuer, host } => issuers::set_host(self.sql, *issuer, *host),
            Event::HostAdvised(advice) => {
                self.tables.add(card_rows::host_advice(partition, place, advice, at_ms))
            }
            Event::NumberClaimed(claimed) => self.tables.add(rows::alias(partition, claimed)),
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

    /// Writes what has gathered, and up to where that is.
    pub(super) fn finish(mut self, ends: &Ends) -> Result<Cursors> {
        self.write_numbers(false)?;
        self.write_accounts()?;
        self.write_touched()?;
        self.write_cards()?;
        self.write_pending()?;
        for ((partition, issuer, currency), books) in &self.books {
            self.tables.change(rows::posted(*partition, *issuer, *currency, books))?;
        }
        self.references.write(Table::References, &mut self.tables)?;
        self.indices.write(Table::NumberIndices, &mut self.tables)?;
        self.keys.write(Table::KeptKeys, &mut self.tables)?;
        self.etsns.write(Table::CardEtsns, &mut self.tables)?;
        self.tables.finish()?;
        self.cursors.reach(ends);
        cursor::set(self.sql, self.before, &self.cursors)?;
        Ok(self.cursors)
    }

    /// Takes what happens to a card.
    fn card_event(&mut self, happened: &'e Happened) -> Result<()> {
        let Happened { partition, at_ms, ref event, .. } = *happened;
        let Some(cursor) = self.cursors.of_mut(partition) else { return Ok(()) };
        match event {
            Event::EtsnOpened(event) => {
                self.cards.opened(cursor.next_etsn, event, at_ms);
                cursor.next_etsn += 1;
            }
            Event::EtsnUsed { card, etsn } => self.cards.used(card, *etsn, at_ms),
            Event::EtsnChecked { card, etsn } => self.cards.checked(card, *etsn),
            Event::CardMissed { card, locks } => {
                let id = cursor.next_miss;
                cursor.next_miss += 1;
                if *locks {
                    self.cards.locked(card, at_ms);
                }
                return self.tables.add(card_rows::miss(id, card, *locks, at_ms));
            }
            Event::CardUnlocked { card } => self.cards.unlocked(card, cursor.next_miss),
            Event::RequestRefused { card, why } => self.cards.refused(card, *why, at_ms),
            _ => {}
        }
        Ok(())
    }

    fn write_cards(&mut self) -> Result<()> {
        for opening in std::mem::take(&mut self.cards).write(&mut self.tables)? {
            self.etsns.add(opening.event.card.number.id.0, opening.id);
        }
        Ok(())
    }

    fn write_pending(&mut self) -> Result<()> {
        for asked in std::mem::take(&mut self.asked).into_values() {
            self.tables.add(card_rows::pending(asked)?)?;
        }
        if self.resolved.is_empty() { Ok(()) } else { self.tables.remove_pending(&self.resolved) }
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
        if let Some(cursor) = self.cursors.of_mut(id.partition()) {
            cursor.next_number = cursor.next_number.max(NumberId(id.0 + 1));
        }
        let mut previous = None;
        self.change_account(event.account, |row| {
            row.account.active_numbers += 1;
            previous = row.last_number.replace(id);
        })?;
        self.tables.add(rows::number(event, at_ms, previous)?)?;
        self.indices.add(event.number.index.0, id.0);
        let owner = (event.account, event.programme);
        self.memory.numbers.push((id, NumberChange::Issued { uses: event.uses, owner }));
        Ok(())
    }

    fn transacted(&mut self, event: &Transacted, at_ms: TimeMs) -> Result<()> {
        let partition = event.id.partition();
        if let Some(cursor) = self.cursors.of_mut(partition) {
            cursor.next_transaction = cursor.next_transaction.max(TransactionId(event.id.0 + 1));
        }
        if matches!(event.response, ResponseCode::Other(_)) && self.memory.responses.insert(event.response) {
            codes::name_response(self.sql, event.response)?;
        }
        let books = event.effect.books();
        let mut by_account = None;
        if let Some(account) = event.account {
            self.alter_account(account, Pending::Moved, |row| {
                row.account.balance += books.cardholder;
                row.account.held += books.held;
                by_account = row.last_transaction.replace(event.id);
            })?;
        }
        if let Some(issuer) = event.issuer.filter(|_| books != Books::default()) {
            let of_issuer = Books { cardholder: 0, held: 0, ..books };
            self.books.entry((partition, issuer, event.currency)).or_default().add(&of_issuer);
        }
        let by_number = match event.number {
            Some(number) => self.use_number(number, event, at_ms)?,
            None => None,
        };
        let follow_up = match event.target {
            Some(target) => self.follow_up(target, event, at_ms),
            None => None,
        };
        if let Some((reversed, amount)) = event.reverses {
            let touch = self.touched.entry(reversed).or_default();
            touch.reversed += amount.signed();
            touch.at_ms = at_ms;
        }
        self.references.add(event.reference.0, event.id.0);
        self.tables.add(rows::transaction(event, at_ms, Links { follow_up, by_number, by_account }))
    }

    /// What a transaction does to the purchase that it belongs to. Returns what was done to that before.
    fn follow_up(
        &mut self,
        target: TransactionId,
        event: &Transacted,
        at_ms: TimeMs,
    ) -> Option<TransactionId> {
        // What was done before is there if it is known: see `expect`.
        let touch = self.touched.entry(target).or_default();
        touch.change.authorised += event.effect.totals.authorised;
        touch.change.held += event.effect.totals.held;
        touch.change.captured += event.effect.totals.captured;
        touch.change.refunded += event.effect.totals.refunded;
        touch.use_returned |= event.effect.uses > 0;
        touch.at_ms = at_ms;
        touch.last_follow_up.replace(event.id)
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
        if !self.memory.retired.contains_key(&id) {
            // It may have retired in this very batch, without a transaction.
            self.write_numbers(true)?;
            // What changes once more must not be kept back twice.
            self.tables.finish()?;
        }
        self.memory.numbers.push((id, NumberChange::Followed(last)));
        Ok(self.memory.retired.insert(id, last))
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

    /// Changes whatever there is of an account, if there is one of that id.
    fn change_account(&mut self, id: AccountId, change: impl FnOnce(&mut AccountRow)) -> Result<()> {
        self.alter_account(id, Pending::Change, change)
    }

    /// Changes an account, if there is one of that id, as far as `pending` says.
    fn alter_account(
        &mut self,
        id: AccountId,
        pending: Pending,
        change: impl FnOnce(&mut AccountRow),
    ) -> Result<()> {
        let slot = match self.memory.accounts.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match self.tables.accounts(&[id])?.pop() {
                Some(row) => entry.insert(AccountSlot { row, pending: Pending::Nothing }),
                None => return Ok(()),
            },
        };
        change(&mut slot.row);
        if slot.pending == Pending::Nothing {
            self.changed_accounts.push(id);
        }
        slot.pending = slot.pending.max(pending);
        Ok(())
    }

    fn write_accounts(&mut self) -> Result<()> {
        self.changed_accounts.sort_unstable();
        for id in &self.changed_accounts {
            if let Some(slot) = self.memory.accounts.get_mut(id) {
                match slot.pending {
                    Pending::Nothing => {}
                    Pending::Moved => self.tables.change(rows::account_moved(&slot.row))?,
                    Pending::Change => self.tables.change(rows::account_changed(&slot.row))?,
                    Pending::Row => self.tables.add(rows::account(&slot.row))?,
                }
                slot.pending = Pending::Nothing;
            }
        }
        Ok(())
    }

    /// Writes what has happened to numbers, in the order of their ids, and what their retirement means for others. If the
    /// last transactions of those that retired are to be known, they are noted.
    fn write_numbers(&mut self, note_last: bool) -> Result<()> {
        let mut changes = std::mem::take(&mut self.memory.numbers);
        // Stable: what happened to one number stays in its order.
        changes.sort_by_key(|(id, _)| *id);
        let retiring = self.retiring(&changes)?;
        let mut ended = Vec::new();
        for life in changes.chunk_by(|a, b| a.0 == b.0) {
            self.write_number(life, &retiring, &mut ended)?;
        }
        changes.clear();
        self.memory.numbers = changes;
        let mut quarantined = Vec::new();
        for Ended { id, index, why, at_ms, account, programme, last } in ended {
            self.change_account(account, |row| {
                row.account.active_numbers = row.account.active_numbers.saturating_sub(1);
            })?;
            if let Some(last) = last.filter(|_| note_last) {
                // One that is known already may have come after the retirement.
                self.memory.retired.entry(id).or_insert(last);
            }
            let months = self.memory.months.get(&programme).copied().unwrap_or(QUARANTINE_MONTHS);
            let over = quarantine_over(at_ms, months);
            quarantined.extend(over.map(|free| Quarantined { free, id, index, why }));
        }
        quarantined.sort_unstable_by_key(|quarantined| (quarantined.free, quarantined.id));
        quarantined.into_iter().try_for_each(|quarantined| self.tables.add(rows::quarantined(quarantined)))
    }

    /// What stands in the tables of those numbers that retire and were not issued in this batch.
    fn retiring(&mut self, changes: &[(NumberId, NumberChange)]) -> Result<Retiring> {
        let (mut taken, mut unowned) = (Vec::new(), Vec::new());
        for life in changes.chunk_by(|a, b| a.0 == b.0) {
            let Some((id, first)) = life.first() else { continue };
            let Some(owner) = life.iter().find_map(|(_, change)| match change {
                NumberChange::Retired { owner, .. } => Some(owner),
                _ => None,
            }) else {
                continue;
            };
            match first {
                NumberChange::Followed(_) => continue,
                NumberChange::Issued { .. } => {}
                _ => taken.push(*id),
            }
            if owner.is_none() && !matches!(first, NumberChange::Issued { .. }) {
                unowned.push(*id);
            }
        }
        let usages = self.tables.take_active(&taken)?.into_iter().collect();
        let owners = self.tables.owners(&unowned)?;
        let owners = owners.into_iter().map(|(id, account, programme)| (id, (account, programme))).collect();
        Ok(Retiring { usages, owners })
    }

    /// Writes what has happened to one number.
    fn write_number(
        &mut self,
        life: &[(NumberId, NumberChange)],
        retiring: &Retiring,
        ended: &mut Vec<Ended>,
    ) -> Result<()> {
        /// What is known of it by now.
        enum Stands {
            /// It is not in a table yet.
            New(Usage, (AccountId, ProgrammeId)),
            /// By how much its row changes.
            Row(UsageChange),
            /// It is a retired one: nothing is pending.
            Retired,
        }
        let mut stands = Stands::Row(UsageChange::default());
        let mut followed = None;
        let Some((id, _)) = life.first() else { return Ok(()) };
        for (_, change) in life {
            match (change, &mut stands) {
                (NumberChange::Issued { uses, owner }, _) => {
                    stands = Stands::New(Usage::issued(*uses), *owner);
                }
                (NumberChange::Used(change), Stands::New(usage, _)) => usage.apply(change),
                (NumberChange::Used(change), Stands::Row(changes)) => changes.then(change),
                (NumberChange::Retired { retired, index, owner }, before) => {
                    let (usage, owned) = match before {
                        Stands::New(usage, owner) => (*usage, Some(*owner)),
                        Stands::Row(changes) => {
                            let Some(mut usage) = retiring.usages.get(id).copied() else { continue };
                            usage.apply(changes);
                            (usage, owner.or_else(|| retiring.owners.get(id).copied()))
                        }
                        Stands::Retired => continue,
                    };
                    stands = Stands::Retired;
                    self.tables.add(rows::retired(*id, &usage, *retired))?;
                    let Some((account, programme)) = owned else { continue };
                    let Retired { why, at_ms } = *retired;
                    let last = usage.last_transaction;
                    ended.push(Ended { id: *id, index: *index, why, at_ms, account, programme, last });
                }
                (NumberChange::Followed(last), _) => {
                    stands = Stands::Retired;
                    followed = Some(*last);
                }
                (NumberChange::Used(_), Stands::Retired) => {}
            }
        }
        if let Some(last) = followed {
            self.tables.change(rows::retired_followed(*id, last))?;
        }
        match stands {
            Stands::New(usage, _) => self.tables.add(rows::active(*id, &usage)),
            Stands::Row(changes) => match rows::active_used(*id, &changes) {
                Some(used) => self.tables.change(used),
                None => self.tables.change(rows::active_changed(*id, &changes)),
            },
            Stands::Retired => Ok(()),
        }
    }

    fn write_touched(&mut self) -> Result<()> {
        let mut touched: Vec<_> = self.touched.drain().collect();
        touched.sort_unstable_by_key(|(id, _)| *id);
        touched.iter().try_for_each(|(id, touch)| self.tables.change(rows::touched(*id, touch)))
    }
}
