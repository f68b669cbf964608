//! Numbers.

use mayfly_card::Pan;
use mayfly_core::{
    AccountId, Controls, HolderDigits, NumberId, NumberRef, OnceKey, Operation, Outcome, ProgrammeId,
    Retirement, TimeMs,
};
use mayfly_engine::{Issued, Order};
use mayfly_store::{NumberFilter, NumberRow};

use crate::{Items, Office, OfficeError, Part};

/// A number is wanted.
#[derive(Clone, Debug)]
pub struct NumberOrder {
    /// Whose purchases it will make.
    pub account: AccountId,
    /// By whose terms; by those of the issuer's only programme if none.
    pub programme: Option<ProgrammeId>,
    /// How often it may be used.
    pub uses: u32,
    /// How long it is good, in milliseconds; the programme's default if none.
    pub lifetime_ms: Option<TimeMs>,
    /// What it may do.
    pub controls: Controls,
}

/// A number as it is now.
#[derive(Clone, Debug)]
pub struct NumberNow {
    /// As it was folded; if it is active, with what the engine knows of it.
    pub row: NumberRow,
    /// Why it can't be used any more; none if it can.
    pub over: Option<Retirement>,
}

/// How often the views are asked for one part of a list that is filtered.
const ROUNDS_MAX: usize = 16;

impl Office {
    /// Issues a number.
    ///
    /// # Errors
    /// If the order is out of the programme's bounds, the programme must be named, or nothing can be written.
    pub async fn issue_number(
        &self,
        order: NumberOrder,
        once: Option<OnceKey>,
    ) -> Result<Issued, OfficeError> {
        let NumberOrder { account, programme, uses, lifetime_ms, controls } = order;
        let programme = match programme {
            Some(programme) => programme,
            None => self.programme_meant(account, once).await?,
        };
        let own = self.own_number(account, programme).await?;
        let order = Order { account, programme, uses, lifetime_ms, controls, own, number: None };
        Ok(self.desk.issue(&order, once).await?)
    }

    /// The cardholder's own number behind an account, if numbers of the programme have a part of it.
    async fn own_number(
        &self,
        account: AccountId,
        programme: ProgrammeId,
    ) -> Result<Option<Pan>, OfficeError> {
        let entry = self.catalogue.programme(programme);
        let Some(entry) = entry.filter(|entry| entry.programme.terms.holder == HolderDigits::Own) else {
            return Ok(None);
        };
        let (directory, issuer) = (self.directory.clone(), entry.programme.issuer);
        let found = tokio::task::spawn_blocking(move || directory.funding_pan(issuer, account));
        Ok(found.await.map_err(|_| OfficeError::Stopped)??)
    }

    /// The issuer's only programme.
    async fn programme_meant(
        &self,
        account: AccountId,
        once: Option<OnceKey>,
    ) -> Result<ProgrammeId, OfficeError> {
        let issuer = self.account_facts(account).await?.issuer;
        match self.catalogue.programmes_of(issuer).as_slice() {
            [only] => Ok(*only),
            // Perhaps it was clear when the same was asked before.
            several => {
                let before = self.issued_before(once).await?;
                before.ok_or_else(|| OfficeError::WhichProgramme { programmes: several.to_vec() })
            }
        }
    }

    /// By whose terms the number was issued that was ordered with the same key before: what was clear then may not be now.
    async fn issued_before(&self, once: Option<OnceKey>) -> Result<Option<ProgrammeId>, OfficeError> {
        match self.number_before(once).await? {
            Some(number) => Ok(Some(self.number(number).await?.row.programme)),
            None => Ok(None),
        }
    }

    /// The number that was ordered with the same key before.
    pub(crate) async fn number_before(&self, once: Option<OnceKey>) -> Result<Option<NumberId>, OfficeError> {
        let Some(OnceKey { key, content }) = once else { return Ok(None) };
        let now_ms = self.clock.now_ms();
        let found = self.look(move |partitions| {
            let now_ms = partitions.now_ms().max(now_ms);
            let mut kept = partitions.iter().filter_map(|state| state.kept.find(key, now_ms));
            kept.find(|kept| kept.content == content).map(|kept| kept.outcome)
        });
        match found.await? {
            Some(Outcome::Number { number, .. }) => Ok(Some(number)),
            _ => Ok(None),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// If there was never one of that id, or the views are behind or can't be read.
    pub async fn number(&self, id: NumberId) -> Result<NumberNow, OfficeError> {
        let row = self.views.read(move |views| views.number(id)).await?;
        let mut fresh = self.freshen(vec![row.ok_or(OfficeError::NoNumber(id))?]).await?;
        fresh.pop().ok_or(OfficeError::NoNumber(id))
    }

    /// An account's numbers, the latest first; of those in one state only, if `wanted` is given: `Some(None)`
    /// are the active ones. A part may have few items, or none, and still not be the last.
    ///
    /// # Errors
    /// If there is no such account, or the views are behind or can't be read.
    pub async fn numbers(
        &self,
        account: AccountId,
        wanted: Option<Option<Retirement>>,
        part: Part<NumberId>,
    ) -> Result<Items<NumberNow, NumberId>, OfficeError> {
        self.account(account).await?;
        let filter = match wanted {
            // Of those that count as active in the tables, some are over and not swept yet.
            None | Some(Some(Retirement::Used | Retirement::Expired)) => NumberFilter::All,
            Some(None) => NumberFilter::Active,
            Some(Some(why)) => NumberFilter::Retired(why),
        };
        let mut found = Items { items: Vec::new(), next: part.from };
        for _ in 0..ROUNDS_MAX {
            let (from, limit) = (found.next, part.limit - found.items.len());
            let page = self.views.read(move |views| views.numbers(account, filter, from, limit)).await?;
            let fresh = self.freshen(page.rows).await?;
            found
                .items
                .extend(fresh.into_iter().filter(|now| wanted.is_none_or(|wanted| now.over == wanted)));
            found.next = page.next;
            if found.next.is_none() || found.items.len() >= part.limit {
                break;
            }
        }
        Ok(found)
    }

    /// Takes a number out of use.
    ///
    /// # Errors
    /// If there is no such number, it is not active any more, or nothing can be written.
    pub async fn cancel_number(
        &self,
        number: NumberId,
        once: Option<OnceKey>,
    ) -> Result<NumberNow, OfficeError> {
        let row = self.views.read(move |views| views.number(number)).await?;
        let index = row.ok_or(OfficeError::NoNumber(number))?.index;
        self.operate(Operation::CancelNumber { number, index }, once).await?;
        self.number(number).await
    }

    /// Puts what the engine knows of active numbers in place of what was folded of them.
    pub(crate) async fn freshen(&self, mut rows: Vec<NumberRow>) -> Result<Vec<NumberNow>, OfficeError> {
        let active: Vec<_> = rows
            .iter()
            .filter(|row| row.retired.is_none())
            .map(|row| NumberRef { id: row.id, index: row.index })
            .collect();
        let clock_ms = self.clock.now_ms();
        let (now_ms, fresh) = self
            .look(move |partitions| {
                let find = |number: NumberRef| {
                    partitions.get(number.id.partition())?.numbers.active(number).map(|number| number.usage)
                };
                (partitions.now_ms().max(clock_ms), active.into_iter().map(find).collect::<Vec<_>>())
            })
            .await?;
        let mut fresh = fresh.into_iter();
        let mut gone = Vec::new();
        for (at, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.retired.is_none()) {
            match fresh.next().flatten() {
                Some(usage) => row.usage = usage,
                None => gone.push(at),
            }
        }
        // What has left the engine's memory since is folded by the time that this read answers.
        for at in gone {
            let id = rows[at].id;
            if let Some(row) = self.views.read(move |views| views.number(id)).await? {
                rows[at] = row;
            }
        }
        Ok(rows.into_iter().map(|row| NumberNow { over: over(&row, now_ms), row }).collect())
    }
}

/// Why a number can't be used any more. One whose time is over may not have been swept yet.
fn over(row: &NumberRow, now_ms: TimeMs) -> Option<Retirement> {
    let retired = row.retired.map(|retired| retired.why);
    retired.or(row.usage.over()).or((now_ms >= row.expires_ms).then_some(Retirement::Expired))
}
