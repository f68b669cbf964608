//! Somebody of whom nothing is known yet: he may enrol, log in, and go on with a session.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, request};
use mayfly_identity::token::TokenHash;
use mayfly_office::{Office, Reception};

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
}
