//! Events: the journal, as a list.

use axum::Json;
use mayfly_office::Part;
use mayfly_office::events::{EventFilter, EventKind, EventNow, Manner, fields};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::caller::Reader;
use crate::extract::Params;
use crate::page::{List, part};
use crate::problem::Problem;
use crate::routes::ApiRouter;
use crate::text::{AccountRef, EventName, EventRef, IssuerRef, NumberRef, Shown, Time, time};

/// Something that has happened, as the journal has it for ever.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its id. Sent as `after`, it asks for what happened later.
    pub id: EventRef,
    /// When it was recorded.
    pub recorded_at: Time,
    /// What kind it is.
    pub kind: EventName,
    /// What happened; what it has depends on the kind.
    #[schema(schema_with = data)]
    pub data: Map<String, Value>,
}

fn data() -> Object {
    let what = "What happened; what it has depends on the kind, and there may be more in it one day. Of \
                `numbers_retired`, it has only the numbers that are for the caller to see and that were asked for.";
    let example = json!({
        "number": "num_1", "last_four": "0520", "account": "acct_1", "programme": "prog_1",
        "expires": "2026-11-22T14:26:51.005Z", "uses": 1,
    });
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(what))
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([example])
        .build()
}

/// Which events are listed.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only of this issuer. An issuer's key sees its own always.
    issuer: Option<IssuerRef>,
    /// Only of this kind.
    kind: Option<EventName>,
    /// Only about this account.
    account: Option<AccountRef>,
    /// Only about this number.
    number: Option<NumberRef>,
    /// Only those after this one.
    after: Option<EventRef>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of them.
type Page = List<Event>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(list))
}

/// List events, the oldest first
#[utoipa::path(get, path = "/v1/events", operation_id = "list_events", tag = "events",
    params(Which),
    responses((status = 200, description = "A page of events.", body = Page)))]
async fn list(reader: Reader, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { issuer, kind, account, number, after, limit, cursor }) = which;
    let Part { from, limit } = part(limit, cursor.as_deref())?;
    let issuer = reader.whose(issuer.map(|Shown(id)| id)).await?;
    let (account, number) = (account.map(|Shown(id)| id), number.map(|Shown(id)| id));
    if let Some(account) = account {
        reader.account(account).await?;
    }
    if let Some(number) = number {
        reader.number(number).await?;
    }
    let filter = EventFilter { issuer, kind: kind.map(|Shown(kind)| kind), account, number };
    let from = from.or(after.map(|Shown(place)| place.after()));
    Ok(Json(List::of(reader.office().events(filter, Part { from, limit }).await?, shown)))
}

fn shown(now: EventNow) -> Event {
    let EventNow { place, at_ms, event } = now;
    Event {
        id: Shown(place),
        recorded_at: time(at_ms),
        kind: Shown(EventKind::of(&event)),
        data: fields(&event, &Manner::PROGRAMS),
    }
}
