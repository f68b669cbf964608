//! Holds that wait for their completion.

use mayfly_core::{AccountId, Answer, OnceKey, Operation, Refusal, TimeMs, TransactionId};
use mayfly_store::TransactionRow;

use crate::{Office, OfficeError, command, done};

/// What is set aside for a purchase that was authorised and not yet completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The purchase.
    pub transaction: TransactionId,
    /// When its programme gives it back.
    pub due_ms: TimeMs,
}

/// How many accounts are looked at between two batches.
const LOOKED_AT: usize = 16_384;
/// How many transactions are read at a time.
const ROWS: usize = 256;

impl Office {
    /// The time.
    pub fn now_ms(&self) -> TimeMs {
        self.clock.now_ms()
    }

    /// The accounts among some thousands, from `from` on, on which something is held; and where to go on.
    pub async fn accounts_with_holds(
        &self,
        from: AccountId,
    ) -> Result<(Vec<AccountId>, Option<AccountId>), OfficeError> {
        self.look(move |partitions| {
            let mut accounts = partitions.accounts_from(from);
            let looked_at = accounts.by_ref().take(LOOKED_AT);
            let held = looked_at.filter(|(_, account)| account.held != 0).map(|(id, _)| id).collect();
            (held, accounts.next().map(|(id, _)| id))
        })
        .await
    }

    /// What is held on an account, the latest first, as far as it is folded.
    ///
    /// The account's transactions are read backwards until what was found adds up to what is held: nothing older
    /// is read, and there need be no index of holds.
    pub async fn holds(&self, account: AccountId) -> Result<Vec<Hold>, OfficeError> {
        let row = self.views.read_now(move |views| views.account(account)).await?;
        let mut left = row.map_or(0, |row| row.account.held);
        let (mut holds, mut from) = (Vec::new(), None);
        while left > 0 {
            let page = self.views.read_now(move |views| views.transactions_of_account(account, from, ROWS));
            let page = page.await?;
            for row in page.rows.iter().filter(|row| row.transaction.totals.held > 0) {
                left -= row.transaction.totals.held;
                holds.extend(self.hold(row));
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        Ok(holds)
    }

    fn hold(&self, row: &TransactionRow) -> Option<Hold> {
        let entry = self.catalogue.programme(row.transaction.programme?)?;
        Some(Hold {
            transaction: row.transaction.id,
            due_ms: row.transaction.at_ms.saturating_add(entry.programme.terms.hold_ms()),
        })
    }

    /// Gives a hold back. Says whether it did: not if nothing is held any more.
    ///
    /// A purchase that memory has forgotten is looked up first. Nothing can happen to it in between: whatever
    /// does brings it back into memory, and what is in memory is never replaced by what was looked up.
    ///
    /// # Errors
    /// If nothing can be read or written.
    pub async fn release_hold(
        &self,
        transaction: TransactionId,
        once: Option<OnceKey>,
    ) -> Result<bool, OfficeError> {
        let operation = Operation::ReleaseHold { transaction };
        match self.operate(operation.clone(), once).await {
            Err(OfficeError::Refused(Refusal::NoHold(_))) => {}
            done => return done.map(|answer| answer == Answer::Done),
        }
        // With all that was done to it: its issuer host is told of each part that is given back.
        let family = self.views.read(move |views| views.family(transaction)).await?;
        if !family.iter().any(|member| member.id == transaction && member.totals.held > 0) {
            return Ok(false);
        }
        let command = command(operation, once);
        let answer = self.handle.ask_with(command, family).map_err(OfficeError::Busy)?;
        match done(answer.await.map_err(|_| OfficeError::Stopped)?) {
            // Something else has given it back meanwhile.
            Err(OfficeError::Refused(Refusal::NoHold(_))) => Ok(false),
            done => done.map(|answer| answer == Answer::Done),
        }
    }
}
