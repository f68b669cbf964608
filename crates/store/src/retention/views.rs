//! Cutting the views: transactions that are over and were idle for long, numbers that retired long ago, and what was noted of
//! cards and for issuer hosts.
//!
//! A purchase and what was done to it are dropped together: a purchase is touched by whatever comes for it. Nothing goes that
//! money is held on; no number goes that can be used, is in quarantine, or still has a transaction.
//!
//! Folding goes on meanwhile, and the two take turns. What they change does not overlap but for purchases that are touched again
//! after so long: whoever comes first, the rest of the event changes what it always does.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use mayfly_card::MonthIndex;
use mayfly_core::state::{QUARANTINE_MONTHS, quarantine_over};
use mayfly_core::{PartitionId, ProgrammeId, TimeMs, TransactionId};

use crate::StoreError;
use crate::sql::postgres::Rows;
use crate::sql::{Access as Begin, Backend, Sql, Value, values};
use crate::views::cursor::Cursor;
use crate::views::cut::{self, Cut, List};
use crate::views::lookups::{Lookup, generation};
use crate::views::{issuers, transactions};

type Result<T> = std::result::Result<T, StoreError>;

/// How many ids one transaction looks at. Folding waits for it.
const IDS: u64 = 512;
/// For each time that a transaction took, others have as long.
const PAUSE: u32 = 1;
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// A database goes by the ids.
const BY_ID: &str =
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off";

/// Transactions that are over: idle for so long, as their purchases were, and with nothing held.
const OVER: &str = "SELECT t.id FROM transactions t WHERE t.partition = ? AND t.id >= ? AND t.id < ?
    AND coalesce(t.touched_ms, t.at_ms) < ? AND t.total_held = 0
    AND (t.target IS NULL OR NOT EXISTS (SELECT 1 FROM transactions p WHERE p.partition = t.partition
        AND p.id = t.target AND (coalesce(p.touched_ms, p.at_ms) >= ? OR p.total_held <> 0)))
    ORDER BY t.id";
/// The next that is there.
const NEXT: &str = "SELECT min(id) FROM transactions WHERE partition = ? AND id >= ?";
const CARRY: &str = "INSERT INTO carried_entries
    (partition, issuer, account, currency, cardholder, held, settlement, funding, suspense)
    SELECT t.partition, coalesce(t.issuer, 0), coalesce(t.account, 0), t.currency,
        CAST(sum(t.cardholder) AS BIGINT), CAST(sum(t.held) AS BIGINT), CAST(sum(t.settlement) AS BIGINT),
        CAST(sum(t.funding) AS BIGINT), CAST(sum(t.suspense) AS BIGINT)
    FROM dropping d JOIN transactions t ON t.partition = d.partition AND t.id = d.id
    WHERE d.partition = ? AND (t.cardholder <> 0 OR t.held <> 0 OR t.settlement <> 0 OR t.funding <> 0 OR t.suspense <> 0)
    GROUP BY t.partition, coalesce(t.issuer, 0), coalesce(t.account, 0), t.currency
    ON CONFLICT (partition, issuer, account, currency) DO UPDATE SET
    cardholder = carried_entries.cardholder + excluded.cardholder, held = carried_entries.held + excluded.held,
    settlement = carried_entries.settlement + excluded.settlement,
    funding = carried_entries.funding + excluded.funding, suspense = carried_entries.suspense + excluded.suspense";
/// Numbers in the order in which they were issued, and how those ended that did.
const NUMBERS: &str = "SELECT n.id, n.issued_ms, n.programme, r.retired_ms, r.last_transaction
    FROM numbers n LEFT JOIN retired_numbers r ON r.partition = n.partition AND r.id = n.id
    WHERE n.partition = ? AND n.id >= ? ORDER BY n.id LIMIT ?";
/// ETSNs in the order in which they were opened.
const ETSNS: &str = "SELECT id, opened_ms, expires_ms, coalesce(used_ms, void_ms) FROM etsns
    WHERE partition = ? AND id >= ? ORDER BY id LIMIT ?";
const DROP_MISSES: &str = "DELETE FROM card_misses WHERE (partition, at_ms, id) IN
    (SELECT partition, at_ms, id FROM card_misses WHERE partition = ? AND at_ms < ?
     ORDER BY partition, at_ms, id LIMIT ?)";
/// Of the oldest of an issuer, those that are old enough.
const DROP_ADVICES: &str = "DELETE FROM host_advices WHERE (partition, issuer, entry, place) IN
    (SELECT partition, issuer, entry, place FROM
        (SELECT partition, issuer, entry, place, at_ms FROM host_advices WHERE partition = ? AND issuer = ?
         ORDER BY partition, issuer, entry, place LIMIT ?) AS oldest
     WHERE at_ms < ?)";
/// The numbers of transactions that stay, of those before a transaction.
const STILL_USED: &str =
    "SELECT DISTINCT number FROM transactions WHERE partition = ? AND id < ? AND number IS NOT NULL";

/// How many rows were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) transactions: u64,
    pub(super) numbers: u64,
    pub(super) etsns: u64,
    pub(super) advices: u64,
}

/// Cuts the views of one partition.
pub(super) struct ViewsCutter<'v> {
    sql: &'v Sql,
    partition: PartitionId,
    /// Up to where they were folded when this was made.
    cursor: Cursor,
}

impl<'v> ViewsCutter<'v> {
    pub(super) fn new(sql: &'v Sql, partition: PartitionId, cursor: Cursor) -> Self {
        Self { sql, partition, cursor }
    }

    /// How many transactions that are over there are, at the least: those that no cut has looked at.
    pub(super) fn waiting(&self, before_ms: TimeMs) -> Result<u64> {
        let (cut, end) = (cut::find(self.sql, self.partition)?, self.end(before_ms)?);
        Ok(end.0.saturating_sub(cut.next.0))
    }

    /// The first transaction that is too young.
    fn end(&self, before_ms: TimeMs) -> Result<TransactionId> {
        transactions::first_since(self.sql, self.partition, before_ms, self.cursor.next_transaction)
    }

    /// Drops what was idle since then. Each step is whole; says how much was dropped, and whether it came to the end.
    pub(super) fn cut(&self, before_ms: TimeMs, go_on: &dyn Fn() -> bool) -> Result<(Counts, bool)> {
        let mut counts = Counts::default();
        let end = self.end(before_ms)?;
        let mut from = 0;
        // What stayed the last time is looked at again: there is little of it.
        while let Some(first) = self.next(from)?.filter(|first| *first < end.0) {
            if !go_on() {
                return Ok((counts, false));
            }
            let to = (first + IDS).min(end.0);
            counts.transactions += self.paced(|| self.drop_transactions(first, to, before_ms))?;
            from = to;
        }
        let whole = self.cut_numbers(before_ms, go_on, &mut counts)?
            && self.cut_etsns(before_ms, go_on, &mut counts)?
            && self.cut_notes(before_ms, go_on, &mut counts)?;
        Ok((counts, whole))
    }

    fn next(&self, from: u64) -> Result<Option<u64>> {
        let next =
            self.sql.one(NEXT, values![self.partition.0, from as i64], |cells| cells.bits_or_none())?;
        Ok(next.flatten())
    }

    fn paced<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let done = work()?;
        std::thread::sleep((begun.elapsed() * PAUSE).max(PAUSE_MIN));
        Ok(done)
    }

    fn begin(&self) -> Result<crate::sql::Transaction<'_>> {
        let writing = self.sql.begin(Begin::Write)?;
        if !self.sql.is_sqlite() {
            writing.script(BY_ID)?;
        }
        Ok(writing)
    }

    fn drop_transactions(&self, from: u64, to: u64, before_ms: TimeMs) -> Result<u64> {
        let writing = self.begin()?;
        let partition = self.partition;
        let before = before_ms as i64;
        let over = values![partition.0, from as i64, to as i64, before, before];
        let ids = writing.all(OVER, over, |cells| cells.bits())?;
        if !ids.is_empty() {
            self.note(&writing, &ids)?;
            let going = ids.iter().copied().collect();
            self.bridge(&writing, List::OfAccount, &going)?;
            self.bridge(&writing, List::OfNumber, &going)?;
            writing.run(CARRY, values![partition.0])?;
            self.forget(&writing, Lookup::Reference, "transactions", "reference")?;
            self.delete(&writing, "transactions")?;
        }
        let was = cut::find(&writing, partition)?;
        let now = Cut { before_ms: was.before_ms.max(before_ms), next: was.next.max(TransactionId(to)) };
        if now != was {
            cut::set(&writing, partition, now)?;
        }
        writing.run("DELETE FROM dropping WHERE partition = ?", values![partition.0])?;
        writing.commit()?;
        Ok(ids.len() as u64)
    }

    /// Goes through the numbers, as far as any can have retired before that time.
    fn cut_numbers(&self, before_ms: TimeMs, go_on: &dyn Fn() -> bool, counts: &mut Counts) -> Result<bool> {
        let partition = self.partition;
        let month = MonthIndex::of_unix_ms(self.cursor.head.at_ms);
        let programmes = issuers::programmes(self.sql)?;
        let months: HashMap<ProgrammeId, u16> =
            programmes.into_iter().map(|(id, programme)| (id, programme.terms.quarantine_months)).collect();
        let cut = cut::find(self.sql, partition)?;
        let still_used: HashSet<u64> = self
            .sql
            .all(STILL_USED, values![partition.0, cut.next.0 as i64], |cells| cells.bits())?
            .into_iter()
            .collect();
        let is_over = |number: &NumberLife| {
            let Some(retired_ms) = number.retired_ms.filter(|retired_ms| *retired_ms < before_ms) else {
                return false;
            };
            let months = months.get(&number.programme).copied().unwrap_or(QUARANTINE_MONTHS);
            let is_free = quarantine_over(retired_ms, months).is_some_and(|free| free <= month);
            let is_unused =
                number.last.is_none_or(|last| last < cut.next.0) && !still_used.contains(&number.id);
            is_free && is_unused
        };
        let mut from = 0;
        loop {
            if !go_on() {
                return Ok(false);
            }
            let values = values![partition.0, from as i64, IDS as i64];
            let mut looked_at = self.sql.all(NUMBERS, values, |cells| {
                Ok(NumberLife {
                    id: cells.bits()?,
                    issued_ms: cells.bits()?,
                    programme: ProgrammeId(cells.bits()?),
                    retired_ms: cells.bits_or_none()?,
                    last: cells.bits_or_none()?,
                })
            })?;
            let last = looked_at.last().map(|number| (number.id, number.issued_ms));
            looked_at.retain(|number| is_over(number));
            let ids: Vec<u64> = looked_at.iter().map(|number| number.id).collect();
            if !ids.is_empty() {
                self.paced(|| self.drop_numbers(&ids))?;
                counts.numbers += ids.len() as u64;
            }
            match last {
                Some((id, issued_ms)) if issued_ms < before_ms => from = id + 1,
                _ => return Ok(true),
            }
        }
    }

    fn drop_numbers(&self, ids: &[u64]) -> Result<()> {
        let writing = self.begin()?;
        self.note(&writing, ids)?;
        self.bridge(&writing, List::Numbers, &ids.iter().copied().collect())?;
        self.forget(&writing, Lookup::Number, "numbers", "number_index")?;
        self.delete(&writing, "retired_numbers")?;
        self.delete(&writing, "cards")?;
        self.delete(&writing, "numbers")?;
        writing.run("DELETE FROM dropping WHERE partition = ?", values![self.partition.0])?;
        writing.commit()
    }

    /// Goes through the ETSNs, as far as any was opened before that time. What is over by then was used, was void or has expired.
    fn cut_etsns(&self, before_ms: TimeMs, go_on: &dyn Fn() -> bool, counts: &mut Counts) -> Result<bool> {
        let mut from = 0;
        loop {
            if !go_on() {
                return Ok(false);
            }
            let values = values![self.partition.0, from as i64, IDS as i64];
            let looked_at = self.sql.all(ETSNS, values, |cells| {
                let (id, opened_ms, expires_ms) = (cells.bits()?, cells.bits()?, cells.bits()?);
                Ok((id, opened_ms, cells.bits_or_none()?.unwrap_or(expires_ms)))
            })?;
            let over = looked_at.iter().filter(|(.., over_ms)| *over_ms < before_ms);
            let ids: Vec<u64> = over.map(|(id, ..)| *id).collect();
            if !ids.is_empty() {
                self.paced(|| self.drop_etsns(&ids))?;
                counts.etsns += ids.len() as u64;
            }
            match looked_at.last() {
                Some((id, opened_ms, _)) if *opened_ms < before_ms => from = id + 1,
                _ => return Ok(true),
            }
        }
    }

    fn drop_etsns(&self, ids: &[u64]) -> Result<()> {
        let writing = self.begin()?;
        self.note(&writing, ids)?;
        self.forget(&writing, Lookup::Etsn, "etsns", "number")?;
        self.delete(&writing, "etsns")?;
        writing.run("DELETE FROM dropping WHERE partition = ?", values![self.partition.0])?;
        writing.commit()
    }

    /// Drops the failed proofs of that time, and what issuer hosts were told then.
    fn cut_notes(&self, before_ms: TimeMs, go_on: &dyn Fn() -> bool, counts: &mut Counts) -> Result<bool> {
        let (partition, before, limit) = (self.partition.0, before_ms as i64, IDS as i64);
        let drop_all = |statement: &str, values: &[Value<'_>]| {
            let mut dropped = 0;
            while go_on() {
                let now = self.paced(|| {
                    let writing = self.begin()?;
                    let now = writing.run(statement, values)?;
                    writing.commit().map(|()| now)
                })?;
                dropped += now;
                if now < IDS {
                    return Ok((dropped, true));
                }
            }
            Ok::<_, StoreError>((dropped, false))
        };
        let (_, mut whole) = drop_all(DROP_MISSES, values![partition, before, limit])?;
        for (issuer, _) in issuers::issuers(self.sql)? {
            let values = values![partition, issuer.0 as i64, limit, before];
            let (dropped, all) = drop_all(DROP_ADVICES, values)?;
            counts.advices += dropped;
            whole &= all;
        }
        Ok(whole)
    }

    /// Notes what is dropped, for the statements that do so.
    fn note(&self, sql: &Sql, ids: &[u64]) -> Result<()> {
        let partition = self.partition.0;
        match sql.backend() {
            Backend::Sqlite(_) => {
                let add = "INSERT INTO dropping (partition, id) VALUES (?, ?)";
                ids.iter().try_for_each(|id| sql.run(add, values![partition, *id as i64]).map(drop))
            }
            Backend::Postgres(link) => {
                let mut rows = Rows::default();
                ids.iter().for_each(|id| rows.push(values![partition, *id as i64]));
                let copy = "COPY dropping (partition, id) FROM STDIN BINARY";
                rows.take().map_or(Ok(()), |rows| link.borrow_mut().copy(copy, rows))
            }
        }
    }

    /// Leaves, in place of the rows that go, what comes after them in a list, if anything does that stays.
    ///
    /// One row at the most refers to any other: so a gap that is referred to by a row that goes is taken over by that one's.
    fn bridge(&self, sql: &Sql, list: List, going: &HashSet<u64>) -> Result<()> {
        let (table, column) = list.column();
        let find = format!(
            "SELECT t.id, t.{column}, p.id, g.next FROM dropping d
            JOIN {table} t ON t.partition = d.partition AND t.id = d.id
            LEFT JOIN {table} p ON p.partition = t.partition AND p.id = t.{column}
            LEFT JOIN gaps g ON g.partition = t.partition AND g.list = ? AND g.id = t.{column}
            WHERE d.partition = ? AND t.{column} IS NOT NULL ORDER BY t.id"
        );
        let rows = sql.all(&find, values![list.code(), self.partition.0], |cells| {
            Ok((cells.bits()?, cells.bits()?, cells.bits_or_none()?, cells.bits_or_none()?))
        })?;
        // Of those that go, what is behind them: rows refer to earlier ones, so those come first.
        let mut behind: HashMap<u64, Option<u64>> = HashMap::new();
        for (id, previous, there, gap) in rows {
            let next = if going.contains(&previous) {
                // Nobody else asks for it any more.
                behind.remove(&previous).flatten()
            } else if there.is_some() {
                Some(previous)
            } else if gap.is_some() {
                self.take_over(sql, list, previous)?
            } else {
                None
            };
            behind.insert(id, next);
        }
        let add = "INSERT INTO gaps (partition, list, id, next) VALUES (?, ?, ?, ?)";
        for (id, next) in behind {
            if let Some(next) = next {
                sql.run(add, values![self.partition.0, list.code(), id as i64, next as i64])?;
            }
        }
        Ok(())
    }

    /// Follows gaps to a row that is there, and takes them away.
    fn take_over(&self, sql: &Sql, list: List, gap: u64) -> Result<Option<u64>> {
        let (table, _) = list.column();
        let there = format!("SELECT id FROM {table} WHERE partition = ? AND id = ?");
        let (partition, mut at) = (self.partition, gap);
        loop {
            let Some(next) = list.after_gap(sql, partition, at)? else { return Ok(None) };
            let remove = "DELETE FROM gaps WHERE partition = ? AND list = ? AND id = ?";
            sql.run(remove, values![partition.0, list.code(), at as i64])?;
            if sql.one(&there, values![partition.0, next as i64], |cells| cells.bits())?.is_some() {
                return Ok(Some(next));
            }
            at = next;
        }
    }

    /// Takes the look-ups of what goes away.
    fn forget(&self, sql: &Sql, lookup: Lookup, table: &str, hash: &str) -> Result<()> {
        let forget = format!(
            "DELETE FROM {} WHERE partition = ? AND (generation, hash, id) IN
            (SELECT t.id / {}, t.{hash}, t.id FROM dropping d
            JOIN {table} t ON t.partition = d.partition AND t.id = d.id WHERE d.partition = ?)",
            lookup.table(),
            generation(sql),
        );
        sql.run(&forget, values![self.partition.0, self.partition.0]).map(drop)
    }

    fn delete(&self, sql: &Sql, table: &str) -> Result<()> {
        let delete = format!(
            "DELETE FROM {table} WHERE partition = ? AND id IN (SELECT id FROM dropping WHERE partition = ?)"
        );
        sql.run(&delete, values![self.partition.0, self.partition.0]).map(drop)
    }
}

/// What of a number says whether it is over.
struct NumberLife {
    id: u64,
    issued_ms: TimeMs,
    programme: ProgrammeId,
    retired_ms: Option<TimeMs>,
    last: Option<u64>,
}
