//! Issuers: who runs programmes of one-time numbers.

use axum::Json;
use mayfly_core::{IssuerId, state};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Created;
use crate::caller::Operator;
use crate::extract::{Id, Params, Posted};
use crate::page::{List, part};
use crate::problem::Problem;
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
    ApiRouter::new().routes(routes!(open, list)).routes(routes!(show))
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
