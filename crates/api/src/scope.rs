//! What a caller sees: his issuer's things, or everybody's if he runs the server.
//!
//! Whoever names something of another issuer's is told exactly what he is told of something that does not exist.

use std::sync::Arc;

use mayfly_core::state::{Account, Programme};
use mayfly_core::{AccountId, IssuerId, NumberId, ProgrammeId, TimeMs, TransactionId};
use mayfly_notify::{HookMeter, Notifier};
use mayfly_office::payments::Gateway;
use mayfly_office::{CardNow, NumberNow, Office};
use mayfly_store::TransactionRow;
use mayfly_store::directory::{self, Directory, Merchant, MerchantEntryId, Payment, PaymentId, Writing};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caller::Caller;
use crate::directory::DirectoryDesk;
use crate::idempotency::Once;
use crate::kept::Kept;
use crate::problem::{Code, Problem};
use crate::shared::Shared;

/// What a caller sees.
pub(crate) struct Scope {
    shared: Arc<Shared>,
    caller: Caller,
}

impl Scope {
    pub(crate) fn new(shared: Arc<Shared>, caller: Caller) -> Self {
        Self { shared, caller }
    }

    /// Who calls.
    pub(crate) fn caller(&self) -> Caller {
        self.caller
    }

    /// Where things are done. Every id that is handed to it must have gone through this scope.
    pub(crate) fn office(&self) -> &Office {
        &self.shared.office
    }

    /// Where keys are kept. Every issuer that is handed to it must have gone through this scope.
    pub(crate) fn directory(&self) -> &DirectoryDesk {
        &self.shared.directory
    }

    /// Held while a decision hook is set or removed.
    pub(crate) fn hooks(&self) -> &tokio::sync::Mutex<()> {
        &self.shared.hooks
    }

    /// How asking issuers goes.
    pub(crate) fn asked(&self) -> &HookMeter {
        &self.shared.asked
    }

    /// Where webhooks are tried. Every webhook that is handed to it must be the caller's.
    pub(crate) fn notifier(&self) -> &Notifier {
        &self.shared.notifier
    }

    /// The time.
    pub(crate) fn now_ms(&self) -> TimeMs {
        self.shared.clock.now_ms()
    }

    /// Changes the directory, once.
    pub(crate) async fn once<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        key: Once,
        work: impl FnOnce(&Writing<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let desk = (&self.shared.directory, self.shared.clock.now_ms());
        once(desk, self.caller.key.to_string(), key, work).await
    }

    /// The one issuer whose things the caller sees. Routes for an issuer alone have only such callers.
    pub(crate) fn tenant(&self) -> Result<IssuerId, Problem> {
        self.caller.tenant.ok_or_else(unseen)
    }

    /// Where payments are taken. Every merchant and payment that is handed to it must have gone through this scope.
    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        &self.shared.gateway
    }

    /// The merchant for whom payments are taken: the caller himself, or the one that he must name.
    pub(crate) async fn merchant(&self, asked: Option<MerchantEntryId>) -> Result<Merchant, Problem> {
        let id = match (self.caller.merchant, asked) {
            (Some(own), None) => own,
            (Some(_), Some(_)) => {
                return Err(Problem::field("/merchant", "must be left out: this key is for one merchant"));
            }
            (None, Some(asked)) => asked,
            (None, None) => {
                return Err(Problem::field("/merchant", "must be named: this key is for no single merchant"));
            }
        };
        self.merchant_of(id).await
    }

    /// A payment that is for the caller to see, and to whom it is.
    pub(crate) async fn payment(&self, id: PaymentId) -> Result<(Payment, Merchant), Problem> {
        let issuer = self.tenant()?;
        let found = self.directory().ask(move |directory| directory.payment(issuer, id)).await?;
        let own = self.caller.merchant;
        let payment = found.filter(|found| own.is_none_or(|own| found.merchant == own)).ok_or_else(unseen)?;
        let merchant = self.merchant_of(payment.merchant).await?;
        Ok((payment, merchant))
    }

    async fn merchant_of(&self, id: MerchantEntryId) -> Result<Merchant, Problem> {
        let issuer = self.tenant()?;
        let found = self.directory().ask(move |directory| directory.merchant(issuer, id)).await?;
        found.ok_or_else(unseen)
    }

    /// The issuer for which something is made: the caller's own, or the one that he must name.
    pub(crate) async fn issuer(&self, asked: Option<IssuerId>) -> Result<IssuerId, Problem> {
        match self.whose(asked).await? {
            Some(issuer) => Ok(issuer),
            None => Err(Problem::field("/issuer", "must be named: this key is for no single issuer")),
        }
    }

    /// Whose things are listed: the caller's own, or of the issuer whom he names, or everybody's.
    pub(crate) async fn whose(&self, asked: Option<IssuerId>) -> Result<Option<IssuerId>, Problem> {
        match (self.caller.tenant, asked) {
            (Some(own), None) => Ok(Some(own)),
            (Some(own), Some(asked)) if own == asked => Ok(Some(own)),
            (Some(_), Some(_)) => Err(unseen()),
            (None, None) => Ok(None),
            (None, Some(asked)) => {
                self.office().issuer(asked).await?;
                Ok(Some(asked))
            }
        }
    }

    /// A programme.
    pub(crate) async fn programme(&self, id: ProgrammeId) -> Result<Programme, Problem> {
        let found = self.office().programme(id).await?;
        self.sees(Some(found.issuer)).then_some(found).ok_or_else(unseen)
    }

    /// An account.
    pub(crate) async fn account(&self, id: AccountId) -> Result<Account, Problem> {
        let found = self.office().account(id).await?;
        self.sees(Some(found.issuer)).then_some(found).ok_or_else(unseen)
    }

    /// A number, and the account that it belongs to.
    pub(crate) async fn number(&self, id: NumberId) -> Result<(NumberNow, Account), Problem> {
        let found = self.office().number(id).await?;
        let account = self.account(found.row.account).await?;
        Ok((found, account))
    }

    /// A card.
    pub(crate) async fn card(&self, id: NumberId) -> Result<CardNow, Problem> {
        let found = self.office().card(id).await?;
        self.account(found.account()).await?;
        Ok(found)
    }

    /// A transaction.
    pub(crate) async fn transaction(&self, id: TransactionId) -> Result<TransactionRow, Problem> {
        let found = self.office().transaction(id).await?;
        self.sees(found.issuer).then_some(found).ok_or_else(unseen)
    }

    /// Whether something of this issuer's, or of nobody's, is for the caller to see.
    pub(crate) fn sees(&self, issuer: Option<IssuerId>) -> bool {
        self.caller.tenant.is_none_or(|own| issuer == Some(own))
    }
}

/// Changes the directory, once, in the name of `actor`.
pub(crate) async fn once<T: Serialize + DeserializeOwned + Send + 'static>(
    (desk, now_ms): (&DirectoryDesk, TimeMs),
    actor: String,
    once: Once,
    work: impl FnOnce(&Writing<'_>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let change = move |directory: &Directory| {
        let (key, content) = once.for_directory(directory);
        let kept = Kept::of_day(directory, now_ms)?;
        let by = directory::By { actor: &actor, now_ms };
        let done = directory.once(by, (key, content), |writing| kept.seal(key, &work(writing)?))?;
        match done {
            directory::Once::Done(answer) | directory::Once::Repeated(answer) => {
                Kept::open(directory, key, &answer)
            }
            directory::Once::OtherContent => Err(Problem::new(Code::IdempotencyKeyReused)),
        }
    };
    desk.ask(change).await
}

fn unseen() -> Problem {
    Problem::new(Code::NotFound)
}
