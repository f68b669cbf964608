//! Somebody of whom nothing is known yet: he may enrol, log in, and go on with a session.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request;
use mayfly_identity::token::TokenHash;
use mayfly_office::{Office, Reception};

use crate::idempotency::{Once, Sender};
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::resource::sessions::SessionTokens;
use crate::scope::once;
use crate::shared::Shared;

/// Somebody of whom nothing is known yet.
pub(crate) struct Stranger(Arc<Shared>);

impl FromRequestParts<Arc<Shared>> for Stranger {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default();
        parts.extensions.insert(Sender(format!("stranger {address}")));
        Ok(Self(shared.clone()))
    }
}

impl Stranger {
    /// Where it is looked up at which issuer he is, and nothing else.
    pub(crate) fn office(&self) -> &Office {
        &self.0.office
    }

    /// Where he is let in.
    pub(crate) fn reception(&self) -> &Reception {
        &self.0.reception
    }

    /// The next tokens of a session, or the same again for a repeat.
    pub(crate) async fn refresh(&self, token: TokenHash, key: Once) -> Result<SessionTokens, Problem> {
        let reception = self.0.reception.clone();
        // A refresh token that was used before ends its session: that is to be written, and so it is an answer.
        let done = once(&self.0, "cardholder".to_owned(), key, move |writing| {
            Ok(reception.refresh(writing, &token)?.map(SessionTokens::of))
        });
        done.await?.ok_or_else(|| Problem::new(Code::NotLetIn))
    }
}
