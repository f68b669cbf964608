//! Somebody of whom nothing is known yet: he may enrol, log in, go on with a session, and show that he is a card's wallet.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, request};
use mayfly_engine::cards::{CardDeskError, Verified, WalletRequest};
use mayfly_identity::throttle::ThrottlePolicy;
use mayfly_identity::token::TokenHash;
use mayfly_office::{Office, OfficeError, Reception, address_key};
use mayfly_store::directory::{By, DirectoryError, ThrottleScope};

use crate::idempotency::{self, Once, Sender};
use crate::problem::{Code, Problem};
use crate::resource::sessions::SessionTokens;
use crate::scope::once;
use crate::shared::Shared;

/// Somebody of whom nothing is known yet.
pub(crate) struct Stranger(Arc<Shared>);

impl FromRequestParts<Arc<Shared>> for Stranger {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut request::Parts, shared: &Arc<Shared>) -> Result<Self, Infallible> {
        Ok(Self(shared.clone()))
    }
}

/// Who goes on with a session, in the audit stream.
const CARDHOLDER: &str = "cardholder";
/// The same, for whoever is counted.
const STRANGER: &str = "stranger";

impl Stranger {
    /// Where it is looked up at which issuer he is, and nothing else.
    pub(crate) fn office(&self) -> &Office {
        &self.0.office
    }

    /// Where he is let in.
    pub(crate) fn reception(&self) -> &Reception {
        &self.0.reception
    }

    /// The next tokens of a session, or the same again for a repeat, from wherever it comes.
    ///
    /// Nothing is written, and nothing kept, for a token that was never given out.
    pub(crate) async fn refresh(
        &self,
        headers: &HeaderMap,
        token: TokenHash,
    ) -> Result<SessionTokens, Problem> {
        let shared = &self.0;
        let key = idempotency::key(headers)?;
        // The token says who sends it better than any address: a phone changes networks.
        let sender: String = token.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let key = Once::of(key, &Sender(format!("refresh {sender}")), ("/v1/sessions/refresh", ""), b"");
        let now_ms = shared.clock.now_ms();
        if !shared.strangers.ask(move |directory| directory.knows_refresh(&token, now_ms)).await? {
            return Err(Problem::new(Code::NotLetIn));
        }
        let reception = shared.reception.clone();
        // A refresh token that was used before ends its session: that is to be written, and so it is an answer.
        let done = once((&shared.strangers, now_ms), CARDHOLDER.to_owned(), key, move |writing| {
            Ok(reception.refresh(writing, &token)?.map(SessionTokens::of))
        });
        done.await?.ok_or_else(|| Problem::new(Code::NotLetIn))
    }

    /// Has a wallet's request checked. Wrong ones are counted, for the address that they come from and for the number that they
    /// name, whether anybody has it or not.
    ///
    /// After too many of them wrong requests are told to wait, and a right one gets through even then, or whoever knows a number or
    /// shares an address could keep wallets from paying; no guess is worth anything against a MAC of 16 bytes.
    pub(crate) async fn verify(&self, request: &WalletRequest, address: IpAddr) -> Result<Verified, Problem> {
        let (shared, number, now_ms) = (&self.0, request.number.clone(), self.0.clock.now_ms());
        let waits = shared.strangers.ask(move |directory| {
            let keys = (
                address_key(directory, address),
                directory.throttle_key(ThrottleScope::Number, &[number.digits()]),
            );
            let from = directory.throttle(ThrottleScope::Wallets, keys.0)?;
            let of = directory.throttle(ThrottleScope::Number, keys.1)?;
            let from_ms = from.retry_after_ms(&ThrottlePolicy::ADDRESS, now_ms);
            Ok::<_, DirectoryError>((keys, from_ms.max(of.retry_after_ms(&ThrottlePolicy::NAME, now_ms))))
        });
        let ((place, name), wait_ms) = waits.await?;
        match shared.office.verify(request, wait_ms == 0).await {
            Ok(verified) => Ok(verified),
            // What has to wait is not counted again.
            Err(OfficeError::Card(CardDeskError::NotProved)) if wait_ms > 0 => Err(Problem::wait(wait_ms)),
            Err(OfficeError::Card(CardDeskError::NotProved)) => {
                let counted = shared.strangers.ask(move |directory| {
                    directory.write::<_, DirectoryError>(By { actor: STRANGER, now_ms }, |writing| {
                        let from = writing.throttle(ThrottleScope::Wallets, place)?;
                        let from = from.failed(&ThrottlePolicy::ADDRESS, now_ms);
                        writing.set_throttle(ThrottleScope::Wallets, place, from)?;
                        let of = writing.throttle(ThrottleScope::Number, name)?;
                        let of = of.failed(&ThrottlePolicy::NAME, now_ms);
                        writing.set_throttle(ThrottleScope::Number, name, of)?;
                        Ok(())
                    })
                });
                counted.await?;
                Err(Problem::new(Code::VerificationRefused))
            }
            Err(error) => Err(error.into()),
        }
    }
}
