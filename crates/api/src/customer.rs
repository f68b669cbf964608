//! A cardholder who has logged in, and what he sees: his own accounts, and nobody else's.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request;
use mayfly_core::{AccountId, NumberId};
use mayfly_enrol::Point;
use mayfly_identity::token::TokenKind;
use mayfly_office::payments::Gateway;
use mayfly_office::{AccountFacts, CardNow, Office, Reception};
use mayfly_store::directory::{
    self, By, DirectoryError, LinkedAccount, Merchant, Payment, PaymentId, Session,
};

use crate::caller::bearer;
use crate::idempotency::{Once, Sender};
use crate::kept::Kept;
use crate::problem::{Code, Problem};
use crate::resource::my_cards::WalletPackage;
use crate::shared::Shared;

/// A cardholder who has logged in. There is no other way to his things.
pub(crate) struct Customer {
    shared: Arc<Shared>,
    session: Session,
}

impl FromRequestParts<Arc<Shared>> for Customer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let unknown = || Problem::new(Code::SessionUnknown);
        let token = bearer(&parts.headers, TokenKind::Session).ok_or_else(unknown)?;
        let (hash, now_ms) = (token.hash(), shared.clock.now_ms());
        let found = shared.directory.ask(move |directory| directory.find_session(&hash, now_ms)).await?;
        let session = found.ok_or_else(unknown)?;
        parts.extensions.insert(Sender(format!("{} {}", session.issuer, session.cardholder)));
        Ok(Self { shared: shared.clone(), session })
    }
}

impl Customer {
    /// His session.
    pub(crate) fn session(&self) -> Session {
        self.session
    }

    /// Where things are done. Every account that is handed to it must be his.
    pub(crate) fn office(&self) -> &Office {
        &self.shared.office
    }

    /// A payment that waits for him, and to whom it is. What waits for nobody is as good as not there.
    pub(crate) async fn payment(&self, id: PaymentId) -> Result<(Payment, Merchant), Problem> {
        let issuer = self.session.issuer;
        let found = self.shared.directory.ask(move |directory| {
            let Some(payment) = directory.payment(issuer, id)? else { return Ok(None) };
            let merchant = directory.merchant(issuer, payment.merchant)?;
            Ok::<_, DirectoryError>(merchant.map(|merchant| (payment, merchant)))
        });
        found.await?.ok_or_else(|| Problem::new(Code::NotFound))
    }

    /// Where payments are taken.
    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        &self.shared.gateway
    }

    /// Where he is let in.
    pub(crate) fn reception(&self) -> &Reception {
        &self.shared.reception
    }

    /// Who he is.
    pub(crate) async fn himself(&self) -> Result<directory::Cardholder, Problem> {
        let Session { issuer, cardholder, .. } = self.session;
        let found = self.shared.directory.ask(move |directory| directory.cardholder(issuer, cardholder));
        found.await?.ok_or_else(|| Problem::new(Code::SessionUnknown))
    }

    /// His accounts.
    pub(crate) async fn accounts(&self) -> Result<Vec<LinkedAccount>, Problem> {
        let Session { issuer, cardholder, .. } = self.session;
        self.shared.directory.ask(move |directory| directory.accounts_of(issuer, cardholder)).await
    }

    /// One of his accounts. Anybody else's is as good as not there.
    pub(crate) async fn account(&self, id: AccountId) -> Result<AccountFacts, Problem> {
        let Session { issuer, cardholder, .. } = self.session;
        let linked = self.shared.directory.ask(move |directory| directory.linked_account(issuer, id)).await?;
        if linked.is_none_or(|linked| linked.cardholder != cardholder) {
            return Err(Problem::new(Code::NotFound));
        }
        Ok(self.office().account_facts(id).await?)
    }

    /// One of his cards. Anybody else's is as good as not there.
    pub(crate) async fn card(&self, id: NumberId) -> Result<CardNow, Problem> {
        let card = self.office().card(id).await?;
        self.account(card.account()).await?;
        Ok(card)
    }

    /// Hands one of his cards to the wallet with this point, or the same again for a repeat.
    pub(crate) async fn give_wallet(
        &self,
        card: CardNow,
        point: Point,
        once: Once,
    ) -> Result<WalletPackage, Problem> {
        let (office, now_ms) = (self.shared.office.clone(), self.shared.clock.now_ms());
        let actor = self.session.cardholder.to_string();
        let given = self.shared.directory.ask(move |directory| {
            let (key, content) = once.for_directory(directory);
            let kept = Kept::of_day(directory, now_ms)?;
            let by = By { actor: &actor, now_ms };
            let done = office.give_wallet::<_, Problem>(&card, &point, |package| {
                directory.once(by, (key, content), |writing| {
                    kept.seal(key, &WalletPackage::of(&package(writing)?))
                })
            })?;
            match done {
                directory::Once::Done(answer) | directory::Once::Repeated(answer) => {
                    Kept::open(directory, key, &answer)
                }
                directory::Once::OtherContent => Err(Problem::new(Code::IdempotencyKeyReused)),
            }
        });
        given.await
    }

    /// The account that he means: the one that he names, or his only one.
    pub(crate) async fn account_meant(
        &self,
        asked: Option<AccountId>,
    ) -> Result<(AccountId, AccountFacts), Problem> {
        let id = match asked {
            Some(id) => id,
            None => match self.accounts().await?.as_slice() {
                [only] => return Ok((only.account, self.office().account_facts(only.account).await?)),
                [] => {
                    return Err(Problem::with(Code::NotFound, "there is no account to use; ask your issuer"));
                }
                _ => return Err(Problem::field("/account", "must be named: there are several")),
            },
        };
        Ok((id, self.account(id).await?))
    }
}
