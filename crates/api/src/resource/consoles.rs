//! Where an issuer's console is: the page that a shop opens when a cardholder typed his universal number.

use axum::Json;
use mayfly_core::ProgrammeId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::caller::{Issuer, Reader};
use crate::extract::{Id, Posted};
use crate::problem::Problem;
use crate::routes::ApiRouter;
use crate::text::{PageAddress, ProgrammeRef, Shown};

/// Where the console of a programme is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgrammeConsole {
    /// Its address, to which `payment` is added as a parameter; null for none.
    // Left out by mistake it must not take the address away.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    pub url: Option<PageAddress>,
}

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(set, show))
}

/// Say where a programme's console is
///
/// Shops open it when a cardholder typed the universal number of the programme.
#[utoipa::path(post, path = "/v1/programmes/{id}/console", operation_id = "set_console", tag = "programmes",
    params(("id" = ProgrammeRef, Path, description = "Which one.")), request_body = ProgrammeConsole,
    responses((status = 200, description = "As it is now.", body = ProgrammeConsole)))]
async fn set(
    issuer: Issuer,
    Id(id): Id<ProgrammeId>,
    new: Posted<ProgrammeConsole>,
) -> Result<Json<ProgrammeConsole>, Problem> {
    let Posted { body, once } = new;
    let owner = issuer.programme(id).await?.issuer;
    let done = issuer.once(once, move |writing| {
        writing.set_console(owner, id, body.url.as_ref().map(|url| &url.0))?;
        Ok(body)
    });
    Ok(Json(done.await?))
}

/// Show where a programme's console is
#[utoipa::path(get, path = "/v1/programmes/{id}/console", operation_id = "show_console", tag = "programmes",
    params(("id" = ProgrammeRef, Path, description = "Which one.")),
    responses((status = 200, description = "Where it is.", body = ProgrammeConsole)))]
async fn show(reader: Reader, Id(id): Id<ProgrammeId>) -> Result<Json<ProgrammeConsole>, Problem> {
    let owner = reader.programme(id).await?.issuer;
    let found = reader.directory().ask(move |directory| directory.console(owner, id)).await?;
    Ok(Json(ProgrammeConsole { url: found.map(Shown) }))
}
