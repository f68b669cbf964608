//! The table of routes: every one, and who may call it.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use mayfly_store::directory::Role;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::caller::{Allowed, Issuers, Operators, OwnReaders, Owners, Readers, Sellers};
use crate::frame::frame;
use crate::openapi;
use crate::problem::{Code, Problem};
use crate::resource::{
    accounts, authorisations, cardholders, cards, consoles, decision_hook, events, info, issuers, keys, me,
    merchants, my_cards, my_payments, numbers, payments, programmes, sessions, simulate, verifications,
    webhooks,
};
use crate::shared::Shared;

/// The largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A route of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: &'static str,
    /// Its path, as the description has it.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

impl Route {
    /// The roles that may call it; none if it asks for no API key.
    pub fn roles(&self) -> Option<&'static [Role]> {
        match self.access {
            Access::Keys(roles) => Some(roles),
            Access::Anybody | Access::Stranger { .. } | Access::Wallet | Access::Session => None,
        }
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody: it tells nothing that is not for everybody.
    Anybody,
    /// Anybody: whoever is invited, logs in, or goes on with a session shows what he has in the body.
    Stranger {
        /// Whether it needs an `Idempotency-Key`.
        once: bool,
    },
    /// Anybody: a card's wallet shows by a MAC what it is.
    Wallet,
    /// Whoever has an API key with one of these roles.
    Keys(&'static [Role]),
    /// A cardholder who has logged in.
    Session,
}

const fn get<A: Allowed>(path: &'static str) -> Route {
    Route { method: "GET", path, access: Access::Keys(A::ROLES) }
}

const fn post<A: Allowed>(path: &'static str) -> Route {
    Route { method: "POST", path, access: Access::Keys(A::ROLES) }
}

const fn stranger(path: &'static str, once: bool) -> Route {
    Route { method: "POST", path, access: Access::Stranger { once } }
}

const fn mine(method: &'static str, path: &'static str) -> Route {
    Route { method, path, access: Access::Session }
}

const fn open(path: &'static str) -> Route {
    Route { method: "GET", path, access: Access::Anybody }
}

/// Every route. The handlers' first arguments enforce it; a test holds the two together.
pub const ROUTES: &[Route] = &[
    open("/v1/health"),
    open("/v1/openapi.json"),
    get::<Operators>("/v1/status"),
    post::<Operators>("/v1/issuers"),
    get::<Operators>("/v1/issuers"),
    get::<Operators>("/v1/issuers/{id}"),
    post::<Operators>("/v1/issuers/{id}/host"),
    get::<Operators>("/v1/issuers/{id}/host"),
    post::<Issuers>("/v1/programmes"),
    get::<Readers>("/v1/programmes"),
    get::<Readers>("/v1/programmes/{id}"),
    post::<Issuers>("/v1/programmes/{id}/state"),
    post::<Issuers>("/v1/programmes/{id}/console"),
    get::<Readers>("/v1/programmes/{id}/console"),
    post::<Issuers>("/v1/accounts"),
    get::<Readers>("/v1/accounts"),
    get::<Readers>("/v1/accounts/{id}"),
    post::<Issuers>("/v1/accounts/{id}/limit"),
    post::<Issuers>("/v1/accounts/{id}/funds"),
    post::<Issuers>("/v1/accounts/{id}/channels"),
    post::<Issuers>("/v1/accounts/{id}/state"),
    post::<Issuers>("/v1/accounts/{id}/cards"),
    get::<Readers>("/v1/accounts/{id}/cards"),
    get::<Readers>("/v1/cards/{id}"),
    get::<Readers>("/v1/cards/{id}/purchases"),
    post::<Issuers>("/v1/cards/{id}/unlock"),
    post::<Issuers>("/v1/cards/{id}/close"),
    post::<Issuers>("/v1/numbers"),
    get::<Readers>("/v1/numbers"),
    get::<Readers>("/v1/numbers/{id}"),
    post::<Issuers>("/v1/numbers/{id}/cancel"),
    get::<Readers>("/v1/authorisations"),
    get::<Readers>("/v1/authorisations/{id}"),
    post::<Issuers>("/v1/holds/{id}/release"),
    post::<Issuers>("/v1/simulate/sales"),
    post::<Issuers>("/v1/simulate/authorisations/{id}/completions"),
    post::<Issuers>("/v1/simulate/authorisations/{id}/increments"),
    post::<Issuers>("/v1/simulate/authorisations/{id}/reversals"),
    post::<Issuers>("/v1/simulate/authorisations/{id}/refunds"),
    get::<Readers>("/v1/events"),
    post::<Issuers>("/v1/keys"),
    get::<Readers>("/v1/keys"),
    post::<Issuers>("/v1/keys/{id}/rotate"),
    post::<Issuers>("/v1/keys/{id}/revoke"),
    post::<Owners>("/v1/cardholders"),
    get::<OwnReaders>("/v1/cardholders"),
    get::<OwnReaders>("/v1/cardholders/{id}"),
    post::<Owners>("/v1/cardholders/{id}/state"),
    post::<Owners>("/v1/cardholders/{id}/invitations"),
    post::<Owners>("/v1/cardholders/{id}/accounts"),
    get::<OwnReaders>("/v1/cardholders/{id}/accounts"),
    post::<Owners>("/v1/merchants"),
    get::<OwnReaders>("/v1/merchants"),
    get::<OwnReaders>("/v1/merchants/{id}"),
    post::<Owners>("/v1/merchants/{id}/state"),
    post::<Sellers>("/v1/payments"),
    get::<Sellers>("/v1/payments"),
    get::<Sellers>("/v1/payments/{id}"),
    post::<Sellers>("/v1/payments/{id}/number"),
    post::<Sellers>("/v1/payments/{id}/capture"),
    post::<Sellers>("/v1/payments/{id}/cancel"),
    post::<Sellers>("/v1/payments/{id}/refund"),
    post::<Owners>("/v1/webhooks"),
    get::<OwnReaders>("/v1/webhooks"),
    get::<OwnReaders>("/v1/webhooks/{id}"),
    post::<Owners>("/v1/webhooks/{id}"),
    post::<Owners>("/v1/webhooks/{id}/secret"),
    post::<Owners>("/v1/webhooks/{id}/replay"),
    post::<Owners>("/v1/webhooks/{id}/test"),
    post::<Owners>("/v1/webhooks/{id}/delete"),
    get::<OwnReaders>("/v1/webhooks/{id}/attempts"),
    post::<Owners>("/v1/decision_hook"),
    get::<OwnReaders>("/v1/decision_hook"),
    post::<Owners>("/v1/decision_hook/remove"),
    stranger("/v1/enrolments", false),
    stranger("/v1/logins", false),
    stranger("/v1/sessions/refresh", true),
    Route { method: "POST", path: "/v1/verifications", access: Access::Wallet },
    mine("POST", "/v1/sessions/end"),
    mine("GET", "/v1/me"),
    mine("GET", "/v1/me/accounts"),
    mine("POST", "/v1/me/accounts/{id}/channels"),
    mine("POST", "/v1/me/numbers"),
    mine("GET", "/v1/me/numbers"),
    mine("POST", "/v1/me/numbers/{id}/cancel"),
    mine("GET", "/v1/me/cards"),
    mine("POST", "/v1/me/cards/{id}/wallet"),
    mine("POST", "/v1/me/cards/{id}/tsn"),
    mine("POST", "/v1/me/cards/{id}/unlock"),
    mine("GET", "/v1/me/authorisations"),
    mine("GET", "/v1/me/payments/{id}"),
    mine("POST", "/v1/me/payments/{id}/pay"),
];

/// Routes with their descriptions.
pub(crate) type ApiRouter = OpenApiRouter<Arc<Shared>>;

/// All handlers, and the description that was made of them.
pub(crate) fn described() -> (Router<Arc<Shared>>, OpenApi) {
    let (router, mut description) = ApiRouter::with_openapi(openapi::base())
        .merge(info::routes())
        .merge(issuers::routes())
        .merge(programmes::routes())
        .merge(consoles::routes())
        .merge(accounts::routes())
        .merge(cards::routes())
        .merge(numbers::routes())
        .merge(authorisations::routes())
        .merge(simulate::routes())
        .merge(events::routes())
        .merge(keys::routes())
        .merge(cardholders::routes())
        .merge(merchants::routes())
        .merge(payments::routes())
        .merge(webhooks::routes())
        .merge(decision_hook::routes())
        .merge(sessions::routes())
        .merge(me::routes())
        .merge(my_cards::routes())
        .merge(my_payments::routes())
        .merge(verifications::routes())
        .split_for_parts();
    openapi::complete(&mut description);
    (router, description)
}

/// Everything that is served.
pub(crate) fn service(router: Router<Arc<Shared>>, shared: Arc<Shared>) -> Router {
    router
        .fallback(async || Problem::new(Code::RouteUnknown))
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(shared.clone(), frame))
        .with_state(shared)
}
