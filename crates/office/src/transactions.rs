//! Transactions.

use mayfly_core::{AccountId, NumberId, TransactionId};
use mayfly_store::{Page, TransactionRow};

use crate::{Items, Office, OfficeError, Part};

impl Office {
    /// A transaction, with what stands of it now.
    ///
    /// # Errors
    /// If there was never one of that id, or the views are behind or can't be read.
    pub async fn transaction(&self, id: TransactionId) -> Result<TransactionRow, OfficeError> {
        let row = self.views.read(move |views| views.transaction(id)).await?;
        row.ok_or(OfficeError::NoTransaction(id))
    }

    /// An account's transactions, the latest first.
    ///
    /// # Errors
    /// If there is no such account, or the views are behind or can't be read.
    pub async fn transactions_of_account(
        &self,
        account: AccountId,
        part: Part<TransactionId>,
    ) -> Result<Items<TransactionRow, TransactionId>, OfficeError> {
        self.account(account).await?;
        let page =
            self.views.read(move |views| views.transactions_of_account(account, part.from, part.limit));
        Ok(page.await?.into())
    }

    /// The transactions made with a number, the latest first.
    ///
    /// # Errors
    /// If there was never such a number, or the views are behind or can't be read.
    pub async fn transactions_of_number(
        &self,
        number: NumberId,
        part: Part<TransactionId>,
    ) -> Result<Items<TransactionRow, TransactionId>, OfficeError> {
        let known = self.views.read(move |views| views.number(number)).await?;
        known.ok_or(OfficeError::NoNumber(number))?;
        let page = self.views.read(move |views| views.transactions_of_number(number, part.from, part.limit));
        Ok(page.await?.into())
    }

    /// All transactions, the latest first. Here a part begins *after* the one that is named.
    ///
    /// # Errors
    /// If the views are behind or can't be read.
    pub async fn transactions(
        &self,
        part: Part<TransactionId>,
    ) -> Result<Items<TransactionRow, TransactionId>, OfficeError> {
        let page = self.views.read(move |views| views.transactions(part.from, part.limit));
        Ok(page.await?.into())
    }
}

impl<T, Id> From<Page<T, Id>> for Items<T, Id> {
    fn from(page: Page<T, Id>) -> Self {
        Self { items: page.rows, next: page.next }
    }
}
