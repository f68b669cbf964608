//! Reading the views: for the command line, the API and the pages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU16;

use mayfly_card::Currency;
use mayfly_core::state::{Issuer, Programme, Transaction};
use mayfly_core::{
    AccountId, Books, Hash64, IssuerId, NumberId, PartitionId, ProgrammeId, Retirement, TimeMs, TransactionId,
};
use mayfly_engine::Ends;

use crate::archive::{UNDER_MAX, families};
use crate::sql::Sql;
use crate::views::cut::{self, List};
use crate::views::lookups::Lookup;
use crate::views::{
    self, AccountRow, CardRow, EtsnId, EtsnRow, HostAdviceRow, NumberRow, TransactionRow, accounts, cards,
    host_advices, issuers, numbers, transactions,
};
use crate::{EventPlace, Home, JournalReader, StoreError};

const CACHE_BYTES: usize = 8 << 20;
/// How many rows one query returns at the most.
pub const PAGE_MAX: usize = 1000;
/// How many rows one query looks at, at the most, for those that it returns.
const LOOKED_AT_MAX: usize = 10_000;

/// Some rows, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows.
    pub rows: Vec<T>,
    /// What to ask for to get those after them; none at the end. A page can have fewer rows than were asked for,
    /// or none, and still not be the last.
    pub next: Option<C>,
}

/// Which numbers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NumberFilter {
    /// All of them.
    #[default]
    All,
    /// Those that are active.
    Active,
    /// Those that ended like this.
    Retired(Retirement),
}

impl NumberFilter {
    fn takes(self, number: &NumberRow) -> bool {
        match self {
            Self::All => true,
            Self::Active => number.retired.is_none(),
            Self::Retired(why) => number.retired.is_some_and(|retired| retired.why == why),
        }
    }
}

/// The views, to read. They may be a little behind the journal.
pub struct Views {
    sql: Sql,
    partitions: NonZeroU16,
}

impl Views {
    /// Opens the views.
    pub fn open(home: &Home) -> Result<Self, StoreError> {
        let partitions = JournalReader::open(home)?.partitions();
        Ok(Self { sql: views::open_to_read(home, CACHE_BYTES)?, partitions })
    }

    /// Up to where they are folded.
    pub fn folded(&self) -> Result<Ends, StoreError> {
        views::cursors(&self.sql, self.partitions).map(|cursors| cursors.ends())
    }

    /// All issuers.
    pub fn issuers(&self) -> Result<Vec<(IssuerId, Issuer)>, StoreError> {
        issuers::issuers(&self.sql)
    }

    /// All programmes.
    pub fn programmes(&self) -> Result<Vec<(ProgrammeId, Programme)>, StoreError> {
        issuers::programmes(&self.sql)
    }

    /// The books that are kept per issuer and currency.
    pub fn books(&self) -> Result<BTreeMap<(IssuerId, Currency), Books>, StoreError> {
        let mut all = BTreeMap::<_, Books>::new();
        for partition in PartitionId::all(self.partitions) {
            for (whose, books) in issuers::books(&self.sql, partition)? {
                all.entry(whose).or_default().add(&books);
            }
        }
        Ok(all)
    }

    /// One account.
    pub fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StoreError> {
        accounts::find(&self.sql, id.partition(), id)
    }

    /// Accounts by id, those after `after`.
    pub fn accounts(
        &self,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Page<AccountRow, AccountId>, StoreError> {
        let limit = limit.min(PAGE_MAX);
        let mut rows = Vec::new();
        let after = after.unwrap_or(AccountId(0));
        for partition in PartitionId::all(self.partitions).skip(after.partition().0.into()) {
            let room = limit - rows.len();
            accounts::list(&self.sql, partition, after, room, |row| rows.push(row))?;
            if rows.len() == limit {
                break;
            }
        }
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
        Ok(Page { rows, next })
    }

    /// One number.
    pub fn number(&self, id: NumberId) -> Result<Option<NumberRow>, StoreError> {
        numbers::find(&self.sql, id.partition(), id)
    }

    /// All numbers of a partition that ever had this index, the latest first.
    pub fn numbers_by_index(
        &self,
        partition: PartitionId,
        index: mayfly_keys::NumberIndex,
    ) -> Result<Vec<NumberRow>, StoreError> {
        let next = views::cursors(&self.sql, self.partitions)?.of(partition).next_number.0;
        let ids = Lookup::Number.find(&self.sql, partition, index.0, next, PAGE_MAX);
        let mut rows = Vec::new();
        for id in ids? {
            rows.extend(self.number(NumberId(id))?);
        }
        Ok(rows)
    }

    /// The numbers of an account, the latest first, from `from` on (none: from the latest).
    pub fn numbers(
        &self,
        account: AccountId,
        filter: NumberFilter,
        from: Option<NumberId>,
        limit: usize,
    ) -> Result<Page<NumberRow, NumberId>, StoreError> {
        let first = match from {
            Some(from) => Some(from),
            None => self.account(account)?.and_then(|account| account.last_number),
        };
        follow(first, limit, |id| {
            let Some(number) = self.number(id)? else { return self.gap(List::Numbers, id.0, NumberId) };
            if number.account != account {
                return Ok((None, None));
            }
            let earlier = number.previous_by_account;
            Ok((Some(number).filter(|number| filter.takes(number)), earlier))
        })
    }

    /// One transaction.
    pub fn transaction(&self, id: TransactionId) -> Result<Option<TransactionRow>, StoreError> {
        transactions::find_whole(&self.sql, id.partition(), id)
    }

    /// A transaction, the purchase that it belongs to, and all that was done to that: what memory must have when it has one of
    /// them.
    pub fn family(&self, id: TransactionId) -> Result<Vec<Transaction>, StoreError> {
        families(&self.sql, id.partition(), vec![id.0])
    }

    /// The transactions under a reference, with all that belongs to them, the latest first: what memory would have of
    /// them, had it forgotten nothing.
    pub fn transactions_under(&self, reference: Hash64) -> Result<Vec<Transaction>, StoreError> {
        let cursors = views::cursors(&self.sql, self.partitions)?;
        let mut found = Vec::new();
        for partition in PartitionId::all(self.partitions) {
            let next = cursors.of(partition).next_transaction.0;
            let ids = Lookup::Reference.find(&self.sql, partition, reference.0, next, UNDER_MAX)?;
            found.extend(families(&self.sql, partition, ids)?);
        }
        // Within a partition they come in this order.
        found.sort_by_key(|transaction| Reverse((transaction.at_ms, transaction.id)));
        Ok(found)
    }

    /// Since when what is missing was idle: what is over may have been dropped if it was touched last before that.
    pub fn dropped_before(&self) -> Result<TimeMs, StoreError> {
        cut::before_ms(&self.sql)
    }

    /// The latest transactions of all partitions, by time, those before `before` (none: from the latest).
    pub fn transactions(
        &self,
        before: Option<TransactionId>,
        limit: usize,
    ) -> Result<Page<TransactionRow, TransactionId>, StoreError> {
        let limit = limit.min(PAGE_MAX);
        let at_ms = match before {
            Some(before) => self.transaction(before)?.map(|row| row.transaction.at_ms),
            None => None,
        };
        let cursors = views::cursors(&self.sql, self.partitions)?;
        let mut rows = Vec::new();
        for partition in PartitionId::all(self.partitions) {
            let next = cursors.of(partition).next_transaction;
            let bound = match before.zip(at_ms) {
                Some((before, _)) if before.partition() == partition => before,
                // What happened at the same time is told in the order of ids, too.
                Some((before, at_ms)) => {
                    let since_ms = at_ms + u64::from(partition < before.partition());
                    transactions::first_since(&self.sql, partition, since_ms, next)?
                }
                None => before.unwrap_or(next).min(next),
            };
            rows.extend(transactions::latest(&self.sql, partition, bound, limit)?);
        }
        rows.sort_by_key(|row| Reverse((row.transaction.at_ms, row.transaction.id)));
        rows.truncate(limit);
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.transaction.id);
        Ok(Page { rows, next })
    }

    /// The transactions of an account, the latest first, from `from` on (none: from the latest).
    pub fn transactions_of_account(
        &self,
        account: AccountId,
        from: Option<TransactionId>,
        limit: usize,
    ) -> Result<Page<TransactionRow, TransactionId>, StoreError> {
        let first = match from {
            Some(from) => Some(from),
            None => self.account(account)?.and_then(|account| account.last_transaction),
        };
        follow(first, limit, |id| {
            let Some(found) = self.transaction(id)? else {
                return self.gap(List::OfAccount, id.0, TransactionId);
            };
            let found = Some(found).filter(|row| row.transaction.account == Some(account));
            let earlier = found.as_ref().and_then(|row| row.previous_by_account);
            Ok((found, earlier))
        })
    }

    /// The transactions made with a number, the latest first, from `from` on (none: from the latest).
    pub fn transactions_of_number(
        &self,
        number: NumberId,
        from: Option<TransactionId>,
        limit: usize,
    ) -> Result<Page<TransactionRow, TransactionId>, StoreError> {
        let first = match from {
            Some(from) => Some(from),
            None => numbers::last_transaction(&self.sql, number.partition(), number)?,
        };
        follow(first, limit, |id| {
            let Some(found) = self.transaction(id)? else {
                return self.gap(List::OfNumber, id.0, TransactionId);
            };
            let found =
                Some(found).filter(|row| row.transaction.number.map(|number| number.id) == Some(number));
            let earlier = found.as_ref().and_then(|row| row.transaction.previous_by_number);
            Ok((found, earlier))
        })
    }
}

impl Views {
    /// The cards of some accounts, such as those of one cardholder: of each account the latest first, from `from` on (none: from
    /// the first account's latest). Also those of which nothing was asked yet.
    pub fn cards(
        &self,
        accounts: &[AccountId],
        now_ms: TimeMs,
        from: Option<NumberId>,
        limit: usize,
    ) -> Result<Page<CardRow, NumberId>, StoreError> {
        let limit = limit.min(PAGE_MAX);
        let programmes = self.of_check_site()?;
        let (mut rows, mut from) = (Vec::new(), from);
        let mut accounts = accounts;
        if let Some(id) = from {
            let account = self.number(id)?.map(|number| number.account);
            let at = accounts.iter().position(|known| Some(*known) == account).unwrap_or(accounts.len());
            accounts = &accounts[at..];
        }
        for account in accounts {
            let first = match from.take() {
                Some(from) => Some(from),
                None => self.account(*account)?.and_then(|account| account.last_number),
            };
            let page = follow(first, limit - rows.len(), |id| {
                let Some(number) = self.number(id)? else { return self.gap(List::Numbers, id.0, NumberId) };
                let earlier = number.previous_by_account;
                let is_card = programmes.contains(&number.programme);
                Ok((if is_card { Some(self.card_of(number, now_ms)?) } else { None }, earlier))
            })?;
            rows.extend(page.rows);
            if page.next.is_some() {
                return Ok(Page { rows, next: page.next });
            }
        }
        Ok(Page { rows, next: None })
    }

    /// A card by its number; none if the number is no card's.
    pub fn card(&self, number: NumberId, now_ms: TimeMs) -> Result<Option<CardRow>, StoreError> {
        let Some(number) = self.number(number)? else { return Ok(None) };
        let is_card = self.of_check_site()?.contains(&number.programme);
        if is_card { self.card_of(number, now_ms).map(Some) } else { Ok(None) }
    }

    fn card_of(&self, number: NumberRow, now_ms: TimeMs) -> Result<CardRow, StoreError> {
        Ok(CardRow { life: cards::find(&self.sql, number.id, now_ms)?, number })
    }

    /// The programmes whose numbers are cards of the check site.
    fn of_check_site(&self) -> Result<HashSet<ProgrammeId>, StoreError> {
        let programmes = self.programmes()?.into_iter();
        Ok(programmes.filter(|(_, it)| it.terms.scheme.dynamic().is_some()).map(|(id, _)| id).collect())
    }

    /// The ETSNs of a card, the latest first, those before `before` (none: from the latest).
    pub fn etsns(
        &self,
        card: NumberId,
        before: Option<EtsnId>,
        limit: usize,
    ) -> Result<Page<EtsnRow, EtsnId>, StoreError> {
        let limit = limit.min(PAGE_MAX);
        let end = || views::cursors(&self.sql, self.partitions);
        let before = match before {
            Some(before) => before,
            None => EtsnId(end()?.of(card.partition()).next_etsn),
        };
        let rows = cards::etsns(&self.sql, card, before, limit)?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
        Ok(Page { rows, next })
    }

    /// What an issuer's host is told, or is owed: the latest first, those before `before` (none: from the latest).
    pub fn host_advices(
        &self,
        issuer: IssuerId,
        before: Option<EventPlace>,
        limit: usize,
    ) -> Result<Page<HostAdviceRow, EventPlace>, StoreError> {
        let limit = limit.min(PAGE_MAX);
        let mut rows = Vec::new();
        for partition in PartitionId::all(self.partitions) {
            rows.extend(host_advices::before(&self.sql, partition, issuer, before, limit)?);
        }
        rows.sort_by_key(|row| Reverse(row.place));
        rows.truncate(limit);
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.place);
        Ok(Page { rows, next })
    }

    /// A row that is missing in a list: it was dropped, and the list goes on behind it, or not.
    fn gap<T, C>(
        &self,
        list: List,
        id: u64,
        named: impl Fn(u64) -> C,
    ) -> Result<(Option<T>, Option<C>), StoreError> {
        Ok((None, list.after_gap(&self.sql, PartitionId::of_id(id), id)?.map(named)))
    }
}

/// Follows a list from `first` on. `find` gives the row, if it is wanted, and what comes after it.
fn follow<T, C: Copy>(
    first: Option<C>,
    limit: usize,
    mut find: impl FnMut(C) -> Result<(Option<T>, Option<C>), StoreError>,
) -> Result<Page<T, C>, StoreError> {
    let limit = limit.min(PAGE_MAX);
    let (mut rows, mut next) = (Vec::new(), first);
    for _ in 0..LOOKED_AT_MAX {
        let Some(id) = next.filter(|_| rows.len() < limit) else { break };
        let (row, earlier) = find(id)?;
        rows.extend(row);
        next = earlier;
    }
    Ok(Page { rows, next })
}
