//! The whole working set in memory, and how events change it.

mod by_month;
mod cards;
mod kept;
mod numbers;
mod pending;
mod register;
mod sharded;
mod transactions;

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use mayfly_card::{Channel, Currency, MonthIndex};
use mayfly_keys::NumberIndex;

pub use by_month::{Aliases, ByMonth, Quarantine};
pub use cards::{Card, Cards, Open};
pub use kept::{ANSWERS_KEPT_MS, ANSWERS_MAX, Kept, KeptAnswers};
pub use numbers::{CHECKS, MISSES, Number, Numbers, TRIES, Usage, UsageChange};
pub use pending::{PENDING_MAX, Pending};
pub use register::Register;
pub use transactions::{PER_REFERENCE_MAX, Totals, Transaction, Transactions};

use crate::{
    AccountId, AccountOpened, Books, CreditLimit, DecisionHook, Event, HostTerms, IssuerId, Name,
    NumberClaimed, NumberId, NumberRef, PartitionId, Presented, ProgrammeId, QuestionId, Request, Retirement,
    Terms, TimeMs, Transacted, TransactionId, serial,
};

/// How long after a small purchase its full reversal gives the use back, in milliseconds.
pub const REVIVAL_MS: TimeMs = 10 * 60 * 1000;

/// An issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What it is called.
    pub name: Name,
    /// How it is asked before its accounts pay, if it is.
    pub hook: Option<DecisionHook>,
    /// How its host is asked, if something else is wanted than the defaults.
    pub host: Option<HostTerms>,
}

/// A programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programme {
    /// Whose it is.
    pub issuer: IssuerId,
    /// What it is called.
    pub name: Name,
    /// Its terms.
    pub terms: Terms,
    /// Whether no numbers are issued by them any more.
    pub closed: bool,
}

/// An account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// With which issuer.
    pub issuer: IssuerId,
    /// In which currency.
    pub currency: Currency,
    /// How it is funded.
    pub limit: CreditLimit,
    /// [`crate::Book::Cardholder`], in minor units.
    pub balance: i64,
    /// [`crate::Book::Held`], in minor units.
    pub held: i64,
    /// The channels that are switched off, by [`Channel::bit`].
    pub blocked_channels: u8,
    /// How many active numbers it has.
    pub active_numbers: u32,
    /// Whether it is closed.
    pub closed: bool,
}

impl Account {
    /// As it is opened.
    pub fn opened(event: &AccountOpened) -> Self {
        Self {
            issuer: event.issuer,
            currency: event.currency,
            limit: event.limit,
            balance: 0,
            held: 0,
            blocked_channels: 0,
            active_numbers: 0,
            closed: false,
        }
    }

    /// What may be spent, in minor units.
    pub fn available(&self) -> i64 {
        self.balance + self.limit.below_zero()
    }

    /// Whether a channel is switched off.
    pub fn blocks(&self, channel: Channel) -> bool {
        self.blocked_channels & channel.bit() != 0
    }
}

/// Everything that decisions depend on.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Which partition it is.
    pub partition: PartitionId,
    /// The time of the last record.
    pub now_ms: TimeMs,
    /// Issuers and programmes. Those of the first partition: to other partitions they are [shown](State::show_register).
    pub register: Arc<Register>,
    /// Accounts, the first has serial number 1.
    pub accounts: Vec<Account>,
    /// The books that are kept per issuer and currency; those of its accounts are with the accounts.
    pub issuer_books: BTreeMap<(IssuerId, Currency), Books>,
    /// The active numbers.
    pub numbers: Numbers,
    /// The cards of the check site: of those numbers that are some.
    pub cards: Cards,
    /// Numbers that must not be drawn yet.
    pub quarantine: Quarantine,
    /// Numbers that belong here by their hash, and to accounts elsewhere.
    pub aliases: Aliases,
    /// The latest transactions.
    pub transactions: Transactions,
    /// The answers that are kept.
    pub kept: KeptAnswers,
    /// Messages that wait for somebody's word.
    pub pending: Pending,
    /// The id of the next number.
    pub next_number: u64,
}

impl State {
    /// Nothing has happened yet in this partition, which is all that a gateway has.
    pub fn new(partition: PartitionId) -> Self {
        Self::sharing(partition, NonZeroU16::MIN)
    }

    /// Nothing has happened yet in this one of so many partitions, that share a gateway's memory.
    pub fn sharing(partition: PartitionId, count: NonZeroU16) -> Self {
        Self {
            partition,
            kept: KeptAnswers::with_room(ANSWERS_MAX / usize::from(count.get())),
            transactions: Transactions::starting_at(TransactionId(partition.id(1))),
            pending: Pending::after(QuestionId(partition.id(0)), count),
            next_number: partition.id(1),
            ..Self::default()
        }
    }

    /// An issuer.
    pub fn issuer(&self, id: IssuerId) -> Option<&Issuer> {
        self.register.issuer(id)
    }

    /// A programme.
    pub fn programme(&self, id: ProgrammeId) -> Option<&Programme> {
        self.register.programme(id)
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(self.position(id)?)
    }

    /// The next account's id.
    pub fn next_account(&self) -> AccountId {
        AccountId(self.partition.id(self.accounts.len() as u64 + 1))
    }

    /// Lets another partition know the issuers and programmes of the first.
    pub fn show_register(&mut self, register: &Arc<Register>) {
        self.register = register.clone();
    }

    /// Where an account of this partition stands in its list: serial numbers begin with 1.
    fn position(&self, id: AccountId) -> Option<usize> {
        if id.partition() != self.partition {
            return None;
        }
        usize::try_from(serial(id.0).checked_sub(1)?).ok()
    }

    /// Whether an index can't be drawn: active, in quarantine, or universal.
    pub fn is_taken(&self, index: NumberIndex, now: TimeMs) -> bool {
        self.numbers.find(index).is_some()
            || self.quarantine.find(index, MonthIndex::of_unix_ms(now)).is_some()
            || self.register.universal(index).is_some()
            || self.owner(index, now).is_some()
    }

    /// Whose a number is that others drew, if it belongs to an account elsewhere.
    pub fn owner(&self, index: NumberIndex, now: TimeMs) -> Option<AccountId> {
        // Mostly there are none.
        if self.aliases.is_empty() { None } else { self.aliases.find(index, MonthIndex::of_unix_ms(now)) }
    }

    /// Looks at what a message will be decided by, without deciding anything, so that it is in the processor's cache
    /// by then. What it returns has no meaning: it only keeps the reads from being left out.
    pub fn glance(&self, request: &Request) -> u64 {
        let earlier = self.transactions.latest_under(request.reference).map_or(0, |id| id.0);
        let Presented::Number { index, .. } = request.number else { return earlier };
        let number =
            self.numbers.find(index).map_or(0, |number| number.id.0 ^ u64::from(number.usage.uses_left));
        earlier ^ number
    }

    /// All books added up: every one of them is zero in sum, or money was made.
    pub fn trial_balance(&self) -> Books {
        let mut total = Books::default();
        for books in self.issuer_books.values() {
            total.add(books);
        }
        for account in &self.accounts {
            total.add(&Books { cardholder: account.balance, held: account.held, ..Books::default() });
        }
        total
    }

    /// Changes the state by what has happened at `at_ms`. Never fails and never decides: an event that names
    /// what is not in memory (an old purchase, while the journal is replayed) changes the rest.
    pub fn apply(&mut self, event: &Event, at_ms: TimeMs) {
        self.now_ms = self.now_ms.max(at_ms);
        match event {
            Event::Transacted(event) => self.apply_transacted(event, at_ms),
            Event::NumberIssued(event) => {
                self.next_number = self.next_number.max(event.number.id.0 + 1);
                if let Some(account) = self.account_mut(event.account) {
                    account.active_numbers += 1;
                }
                self.numbers.insert(Number::issued(event));
            }
            Event::NumbersRetired(numbers) => {
                for (number, why) in numbers {
                    self.retire(*number, *why, at_ms);
                }
            }
            Event::IssuerOpened(event) => Arc::make_mut(&mut self.register).opened_issuer(event),
            Event::HookSet { issuer, hook } => {
                Arc::make_mut(&mut self.register).set_hook(*issuer, *hook);
            }
            Event::AccountClosed { account, closed } => {
                if let Some(account) = self.account_mut(*account) {
                    account.closed = *closed;
                }
            }
            Event::ProgrammeClosed { programme, closed, .. } => {
                Arc::make_mut(&mut self.register).close_programme(*programme, *closed);
            }
            Event::Asked(asked) => self.pending.add((**asked).clone()),
            Event::Resolved(resolved) => self.pending.remove(resolved.question),
            Event::AnsweredLate(_) => {}
            Event::NumberClaimed(NumberClaimed { index, account, free }) => {
                self.aliases.insert(*index, *account, *free);
            }
            Event::EtsnOpened(event) => self.cards.opened(event, at_ms),
            Event::EtsnUsed { card, etsn } => self.cards.used(card.number.index, *etsn),
            Event::EtsnChecked { card, etsn } => self.cards.checked(card.number.index, *etsn),
            Event::CardMissed { card, locks } => self.cards.missed(card.number.index, *locks, at_ms),
            Event::CardUnlocked { card } => self.cards.unlocked(card.number.index),
            // It is counted in tables, and is owed by whoever reads the journal.
            Event::RequestRefused { .. } | Event::HostAdvised(_) => {}
            Event::HostSet { issuer, host } => Arc::make_mut(&mut self.register).set_host(*issuer, *host),
            Event::ProgrammeOpened(event) => Arc::make_mut(&mut self.register).opened_programme(event),
            Event::AccountOpened(event) => self.accounts.push(Account::opened(event)),
            Event::AnswerKept(event) => self.kept.keep(event, at_ms),
            Event::LimitSet { account, limit } => {
                if let Some(account) = self.account_mut(*account) {
                    account.limit = *limit;
                }
            }
            Event::ChannelBlocked { account, channel, blocked } => {
                if let Some(account) = self.account_mut(*account) {
                    account.blocked_channels &= !channel.bit();
                    account.blocked_channels |= if *blocked { channel.bit() } else { 0 };
                }
            }
        }
    }

    /// Brings a transaction back that was forgotten.
    pub fn admit(&mut self, transaction: Transaction) {
        self.transactions.admit(transaction);
    }

    /// The sweep has looked at the first `limit` entries that were due. Changes no decision, only what the next
    /// sweep looks at.
    pub fn swept(&mut self, now: TimeMs, limit: usize) {
        self.numbers.swept(now, limit);
    }

    fn apply_transacted(&mut self, event: &Transacted, at_ms: TimeMs) {
        self.post(event);
        if let Some(number) = event.number {
            self.use_number(number, event, at_ms);
        }
        if let Some(target) = event.target.and_then(|id| self.transactions.find_mut(id)) {
            target.totals.add(&event.effect.totals);
            target.use_returned |= event.effect.uses > 0;
            target.touched_ms = at_ms;
        }
        if let Some((reversed, amount)) = event.reverses
            && let Some(reversed) = self.transactions.find_mut(reversed)
        {
            reversed.reversed += amount.signed();
            reversed.touched_ms = at_ms;
        }
        self.transactions.push(Transaction::recorded(event, at_ms));
    }

    /// Enters the movement into the books.
    fn post(&mut self, event: &Transacted) {
        let books = event.effect.books();
        if books == Books::default() {
            return;
        }
        if let Some(account) = event.account.and_then(|id| self.account_mut(id)) {
            account.balance += books.cardholder;
            account.held += books.held;
        }
        if let Some(issuer) = event.issuer {
            let of_issuer = Books { cardholder: 0, held: 0, ..books };
            self.issuer_books.entry((issuer, event.currency)).or_default().add(&of_issuer);
        }
    }

    /// What a transaction does to its number.
    fn use_number(&mut self, reference: NumberRef, event: &Transacted, at_ms: TimeMs) {
        let Some(number) = self.numbers.active_mut(reference) else { return };
        number.usage.apply(&UsageChange::of(event, at_ms));
        let waits = number.usage.uses_left == 0 || event.effect.uses > 0;
        match event.retires {
            Some(why) => self.retire(reference, why, at_ms),
            // It waits for the reversal that gives its use back, or has just got it back.
            None if waits => self.numbers.reschedule(reference.index),
            None => {}
        }
    }

    fn retire(&mut self, reference: NumberRef, why: Retirement, at_ms: TimeMs) {
        let Some(number) = self.numbers.active(reference) else { return };
        let (account, programme) = (number.account, number.programme);
        self.numbers.remove(reference.index);
        self.cards.remove(reference.index);
        if let Some(account) = self.account_mut(account) {
            account.active_numbers = account.active_numbers.saturating_sub(1);
        }
        let months = self
            .programme(programme)
            .map_or(QUARANTINE_MONTHS, |programme| programme.terms.quarantine_months);
        self.quarantine_until(reference.index, why, at_ms, months);
    }

    /// Keeps an index out of use for so many whole months from `at_ms` on.
    pub fn quarantine_until(&mut self, index: NumberIndex, why: Retirement, at_ms: TimeMs, months: u16) {
        if let Some(free) = quarantine_over(at_ms, months) {
            self.quarantine.insert(index, why, free);
        }
    }

    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        let at = self.position(id)?;
        self.accounts.get_mut(at)
    }
}

/// The month in which an index comes free that was retired at `at_ms` and stays out of use for so many whole
/// months.
pub fn quarantine_over(at_ms: TimeMs, months: u16) -> Option<MonthIndex> {
    // The month it is retired in has begun: one more makes the months whole.
    MonthIndex::of_unix_ms(at_ms).plus(months + 1)
}

/// How many months a number of a programme that is not known stays out of use.
pub const QUARANTINE_MONTHS: u16 = 13;

impl State {
    /// Puts a number back that the views had as active.
    pub fn load_number(&mut self, number: Number) {
        self.next_number = self.next_number.max(number.id.0 + 1);
        if let Some(account) = self.account_mut(number.account) {
            account.active_numbers += 1;
        }
        self.numbers.insert(number);
    }

    /// Puts the latest transactions back, the oldest first, each with the id after the last.
    pub fn load_transaction(&mut self, transaction: Transaction) {
        if self.transactions.next_id() != transaction.id && self.transactions.is_empty() {
            self.transactions = Transactions::starting_at(transaction.id);
        }
        self.transactions.push(transaction);
    }

    /// Sets the ids that come next, where nothing that was loaded shows them.
    pub fn load_counters(
        &mut self,
        next_number: NumberId,
        next_transaction: TransactionId,
        last_question: QuestionId,
    ) {
        self.pending.count_up_to(last_question);
        self.next_number = self.next_number.max(next_number.0);
        if self.transactions.is_empty() {
            self.transactions = Transactions::starting_at(next_transaction);
        }
    }
}
