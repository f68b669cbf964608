//! The API about itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Nothing;
use crate::caller::Operator;
use crate::extract::Params;
use crate::problem::Problem;
use crate::routes::ApiRouter;
use crate::shared::Shared;

/// How the API is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Whether it answers.
    pub status: HealthStatus,
}

/// Whether the API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It does.
    Ok,
}

/// What there is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Issuers.
    #[schema(example = 1)]
    pub issuers: u64,
    /// Programmes.
    #[schema(example = 2)]
    pub programmes: u64,
    /// Accounts.
    #[schema(example = 1000)]
    pub accounts: u64,
    /// Numbers that can be used.
    #[schema(example = 120)]
    pub active_numbers: u64,
    /// Numbers that must not be drawn yet.
    #[schema(example = 5000)]
    pub quarantined_numbers: u64,
    /// Authorisations in memory.
    #[schema(example = 800)]
    pub authorisations_in_memory: u64,
    /// Authorisations ever.
    #[schema(example = 9000)]
    pub authorisations: u64,
}

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(health)).routes(routes!(openapi)).routes(routes!(status))
}

/// Whether the API answers
#[utoipa::path(get, path = "/v1/health", operation_id = "health", tag = "server",
    responses((status = 200, description = "It does.", body = Health)))]
async fn health(_: Params<Nothing>) -> Json<Health> {
    Json(Health { status: HealthStatus::Ok })
}

/// This description
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "openapi", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
async fn openapi(State(shared): State<Arc<Shared>>, _: Params<Nothing>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], shared.openapi.clone())
}

/// What there is on this server
#[utoipa::path(get, path = "/v1/status", operation_id = "status", tag = "server",
    responses((status = 200, description = "In numbers.", body = Status)))]
async fn status(operator: Operator, _: Params<Nothing>) -> Result<Json<Status>, Problem> {
    let there = operator.office().snapshot().await?;
    Ok(Json(Status {
        issuers: there.issuers,
        programmes: there.programmes,
        accounts: there.accounts,
        active_numbers: there.active_numbers,
        quarantined_numbers: there.quarantined,
        authorisations_in_memory: there.transactions_in_memory,
        authorisations: there.transactions,
    }))
}
