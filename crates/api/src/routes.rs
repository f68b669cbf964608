//! The table of routes: every one, and who may call it.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use mayfly_store::directory::Role;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::caller::{Allowed, Issuers, Operators, Readers};
use crate::frame::frame;
use crate::openapi;
use crate::problem::{Code, Problem};
use crate::resource::{accounts, authorisations, info, issuers, keys, numbers, programmes};
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
    /// The roles that may call it; none if it asks for no key.
    pub roles: Option<&'static [Role]>,
}

const fn get<A: Allowed>(path: &'static str) -> Route {
    Route { method: "GET", path, roles: Some(A::ROLES) }
}

const fn post<A: Allowed>(path: &'static str) -> Route {
    Route { method: "POST", path, roles: Some(A::ROLES) }
}

const fn open(path: &'static str) -> Route {
    Route { method: "GET", path, roles: None }
}

/// Every route. The handlers' first arguments enforce it; a test holds the two together.
pub const ROUTES: &[Route] = &[
    open("/v1/health"),
    open("/v1/openapi.json"),
    get::<Operators>("/v1/status"),
    post::<Operators>("/v1/issuers"),
    get::<Operators>("/v1/issuers"),
    get::<Operators>("/v1/issuers/{id}"),
    post::<Issuers>("/v1/programmes"),
    get::<Readers>("/v1/programmes"),
    get::<Readers>("/v1/programmes/{id}"),
    post::<Issuers>("/v1/accounts"),
    get::<Readers>("/v1/accounts"),
    get::<Readers>("/v1/accounts/{id}"),
    post::<Issuers>("/v1/accounts/{id}/limit"),
    post::<Issuers>("/v1/accounts/{id}/funds"),
    post::<Issuers>("/v1/accounts/{id}/channels"),
    post::<Issuers>("/v1/numbers"),
    get::<Readers>("/v1/numbers"),
    get::<Readers>("/v1/numbers/{id}"),
    post::<Issuers>("/v1/numbers/{id}/cancel"),
    get::<Readers>("/v1/authorisations"),
    get::<Readers>("/v1/authorisations/{id}"),
    post::<Issuers>("/v1/holds/{id}/release"),
    post::<Issuers>("/v1/keys"),
    get::<Readers>("/v1/keys"),
    post::<Issuers>("/v1/keys/{id}/rotate"),
    post::<Issuers>("/v1/keys/{id}/revoke"),
];

/// Routes with their descriptions.
pub(crate) type ApiRouter = OpenApiRouter<Arc<Shared>>;

/// All handlers, and the description that was made of them.
pub(crate) fn described() -> (Router<Arc<Shared>>, OpenApi) {
    let (router, mut description) = ApiRouter::with_openapi(openapi::base())
        .merge(info::routes())
        .merge(issuers::routes())
        .merge(programmes::routes())
        .merge(accounts::routes())
        .merge(numbers::routes())
        .merge(authorisations::routes())
        .merge(keys::routes())
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
