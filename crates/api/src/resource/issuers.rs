//! Issuers: who runs programmes of one-time numbers.

use axum::Json;
use mayfly_card::MinorUnits;
use mayfly_core::{DecisionHook, IssuerId, state};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Created;
use crate::caller::Operator;
use crate::extract::{Id, Params, Posted};
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{IssuerRef, Shown, Title};

/// An issuer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Issuer {
    /// Its id.
    pub id: IssuerRef,
    /// What it is called.
    pub name: Title,
}

/// An issuer that is to be opened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIssuer {
    /// What it is called; no two have the same name.
    pub name: Title,
}

/// By which terms an issuer's host is asked before accounts pay whose money it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostTerms {
    /// How long its answer is waited for, in milliseconds. After that the purchase is declined with 91, and reversed.
    #[schema(minimum = 100, maximum = 20_000, example = 5000)]
    pub time_limit_ms: u32,
    /// Up to which amount, in minor units of the account's currency, we approve in its place when it can't be asked or does
    /// not answer in time; 0 for none.
    #[serde(default)]
    #[schema(maximum = 999_999_999_999_u64, example = 0)]
    pub stand_in_max_minor: u64,
}

/// Which issuers are listed.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of them.
type Page = List<Issuer>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(open, list)).routes(routes!(show)).routes(routes!(set_host, show_host))
}

fn shown((id, issuer): (IssuerId, state::Issuer)) -> Issuer {
    Issuer { id: Shown(id), name: Shown(issuer.name) }
}

/// Open an issuer
#[utoipa::path(post, path = "/v1/issuers", operation_id = "open_issuer", tag = "issuers",
    request_body = NewIssuer, responses((status = 201, description = "It is open.", body = Issuer)))]
async fn open(operator: Operator, new: Posted<NewIssuer>) -> Result<Created<Issuer>, Problem> {
    let Posted { body, once } = new;
    let office = operator.office();
    let (id, issuer) = office.open_issuer(body.name.0, once.for_office(office)).await?;
    Ok(Created::at(format_args!("/v1/issuers/{id}"), shown((id, issuer))))
}

/// List issuers, the first first
#[utoipa::path(get, path = "/v1/issuers", operation_id = "list_issuers", tag = "issuers", params(Which),
    responses((status = 200, description = "A page of issuers.", body = Page)))]
async fn list(operator: Operator, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { limit, cursor }) = which;
    let found = operator.office().issuers(part(limit, cursor.as_deref())?).await?;
    Ok(Json(List::of(found, shown)))
}

/// Show an issuer
#[utoipa::path(get, path = "/v1/issuers/{id}", operation_id = "show_issuer", tag = "issuers",
    params(("id" = IssuerRef, Path, description = "Which one.")),
    responses((status = 200, description = "The issuer.", body = Issuer)))]
async fn show(operator: Operator, Id(id): Id<IssuerId>) -> Result<Json<Issuer>, Problem> {
    Ok(Json(shown((id, operator.office().issuer(id).await?))))
}

/// Set by which terms an issuer's host is asked
///
/// Where the host is stands in the server's configuration. Accounts whose money it has are opened with `"funding": "issuer_host"`.
#[utoipa::path(post, path = "/v1/issuers/{id}/host", operation_id = "set_issuer_host", tag = "issuers",
    params(("id" = IssuerRef, Path, description = "Whose.")), request_body = HostTerms,
    responses((status = 200, description = "The terms from now on.", body = HostTerms)))]
async fn set_host(
    operator: Operator,
    Id(id): Id<IssuerId>,
    new: Posted<HostTerms>,
) -> Result<Json<HostTerms>, Problem> {
    let Posted { body, once } = new;
    let office = operator.office();
    let HostTerms { time_limit_ms: wait_ms, stand_in_max_minor } = body;
    if !DecisionHook::WAIT_MS.contains(&wait_ms) {
        return Err(Problem::with(Code::OutOfBounds, "the time limit must be 100 to 20000 milliseconds"));
    }
    let stand_in_max = MinorUnits::new(stand_in_max_minor).ok_or_else(|| {
        let max = MinorUnits::MAX.value();
        Problem::field("/stand_in_max_minor".to_owned(), format!("must be 0 to {max}"))
    })?;
    let terms = mayfly_core::HostTerms { wait_ms, stand_in_max };
    office.set_host(id, Some(terms), once.for_office(office)).await?;
    Ok(Json(body))
}

/// Show by which terms an issuer's host is asked
#[utoipa::path(get, path = "/v1/issuers/{id}/host", operation_id = "show_issuer_host", tag = "issuers",
    params(("id" = IssuerRef, Path, description = "Whose.")),
    responses((status = 200, description = "The terms.", body = HostTerms)))]
async fn show_host(operator: Operator, Id(id): Id<IssuerId>) -> Result<Json<HostTerms>, Problem> {
    let mayfly_core::HostTerms { wait_ms, stand_in_max } =
        operator.office().issuer(id).await?.host.unwrap_or_default();
    Ok(Json(HostTerms { time_limit_ms: wait_ms, stand_in_max_minor: stand_in_max.value() }))
}
