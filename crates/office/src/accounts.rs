//! Accounts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mayfly_card::{Channel, Currency};
use mayfly_core::state::Account;
use mayfly_core::{AccountId, Answer, CreditLimit, IssuerId, OnceKey, Operation, Refusal};

use crate::{Items, Office, OfficeError, Part};

/// What never changes of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// With which issuer.
    pub issuer: IssuerId,
    /// In which currency.
    pub currency: Currency,
}

impl From<&Account> for AccountFacts {
    fn from(account: &Account) -> Self {
        Self { issuer: account.issuer, currency: account.currency }
    }
}

/// Of how many accounts that is remembered: some megabytes.
const FACTS_MAX: usize = 1 << 16;

/// What was seen of accounts before, so that the engine need not be asked each time.
#[derive(Default)]
pub(crate) struct KnownAccounts(Mutex<HashMap<AccountId, AccountFacts>>);

impl KnownAccounts {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, AccountFacts>> {
        // Each entry is whole, or not there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: AccountId) -> Option<AccountFacts> {
        self.lock().get(&id).copied()
    }

    fn keep(&self, id: AccountId, facts: AccountFacts) {
        let mut known = self.lock();
        if known.len() >= FACTS_MAX {
            known.clear();
        }
        known.insert(id, facts);
    }
}

/// How many accounts are looked at between two batches: a tenth of a millisecond of the writer's time.
const LOOKED_AT: usize = 16_384;

impl Office {
    /// A new account.
    ///
    /// # Errors
    /// If there is no such issuer, or nothing can be written.
    pub async fn open_account(
        &self,
        issuer: IssuerId,
        currency: Currency,
        limit: CreditLimit,
        once: Option<OnceKey>,
    ) -> Result<(AccountId, Account), OfficeError> {
        match self.operate(Operation::OpenAccount { issuer, currency, limit }, once).await? {
            Answer::Account(id) => Ok((id, self.account(id).await?)),
            _ => Err(OfficeError::Stopped),
        }
    }

    /// An account as it stands.
    ///
    /// # Errors
    /// If there is none of that id.
    pub async fn account(&self, id: AccountId) -> Result<Account, OfficeError> {
        let found = self.look(move |partitions| partitions.account(id).copied()).await?;
        found.ok_or(OfficeError::Refused(Refusal::NoAccount(id)))
    }

    /// What never changes of an account.
    ///
    /// # Errors
    /// If there is none of that id.
    pub async fn account_facts(&self, id: AccountId) -> Result<AccountFacts, OfficeError> {
        if let Some(known) = self.known_accounts.find(id) {
            return Ok(known);
        }
        let facts = AccountFacts::from(&self.account(id).await?);
        self.known_accounts.keep(id, facts);
        Ok(facts)
    }

    /// Accounts in the order of their ids: all, or an issuer's.
    ///
    /// # Errors
    /// If there is no such issuer, or the engine can't be asked.
    pub async fn accounts(
        &self,
        issuer: Option<IssuerId>,
        part: Part<AccountId>,
    ) -> Result<Items<(AccountId, Account), AccountId>, OfficeError> {
        if let Some(issuer) = issuer {
            self.issuer(issuer).await?;
        }
        let of_issuer = move |account: &Account| issuer.is_none_or(|issuer| account.issuer == issuer);
        let (mut found, mut from) = (Vec::new(), part.from.unwrap_or(AccountId(0)));
        // One who has few among millions is found in many short looks: none of them holds the writer up.
        loop {
            let wanted = part.limit + 1 - found.len();
            let (more, next) = self
                .look(move |partitions| {
                    let mut accounts = partitions.accounts_from(from);
                    let looked_at = accounts.by_ref().take(LOOKED_AT);
                    let of_issuer = looked_at.filter(|(_, account)| of_issuer(account)).take(wanted);
                    let more: Vec<_> = of_issuer.map(|(id, account)| (id, *account)).collect();
                    (more, accounts.next().map(|(id, _)| id))
                })
                .await?;
            found.extend(more);
            match next {
                Some(next) if found.len() <= part.limit => from = next,
                _ => return Ok(Items::cut(found, part.limit, |(id, _)| *id)),
            }
        }
    }

    /// Another way of funding, or another credit limit.
    ///
    /// # Errors
    /// If there is no such account, or nothing can be written.
    pub async fn set_limit(
        &self,
        account: AccountId,
        limit: CreditLimit,
        once: Option<OnceKey>,
    ) -> Result<Account, OfficeError> {
        self.operate(Operation::SetLimit { account, limit }, once).await?;
        self.account(account).await
    }

    /// Pays in, or out if negative, in minor units of the account's currency.
    ///
    /// # Errors
    /// If there is no such account, it has less than that, its books can't hold that much, or nothing can be
    /// written.
    pub async fn fund(
        &self,
        account: AccountId,
        minor: i64,
        once: Option<OnceKey>,
    ) -> Result<Account, OfficeError> {
        self.operate(Operation::Fund { account, minor }, once).await?;
        self.account(account).await
    }

    /// Switches a channel off, or on again.
    ///
    /// # Errors
    /// If there is no such account, or nothing can be written.
    pub async fn block_channel(
        &self,
        account: AccountId,
        channel: Channel,
        blocked: bool,
        once: Option<OnceKey>,
    ) -> Result<Account, OfficeError> {
        self.operate(Operation::BlockChannel { account, channel, blocked }, once).await?;
        self.account(account).await
    }

    /// Closes an account, or opens it again: closed, it pays for nothing and gets no numbers, and what was bought goes
    /// on.
    ///
    /// # Errors
    /// If there is no such account, or nothing can be written.
    pub async fn close_account(
        &self,
        account: AccountId,
        closed: bool,
        once: Option<OnceKey>,
    ) -> Result<Account, OfficeError> {
        self.operate(Operation::CloseAccount { account, closed }, once).await?;
        self.account(account).await
    }
}
