//! Webhooks: where an issuer is told of what happens, with what it is signed, and what came of it.

use axum::Json;
use mayfly_core::{IssuerId, TimeMs};
use mayfly_notify::{Pinged, Secret};
use mayfly_office::events::EventPlace;
use mayfly_office::{Items, OfficeError};
use mayfly_store::directory::{
    self, AttemptId, NewWebhook, WebhookAttempt, WebhookChange, WebhookId, Writing,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use mayfly_keys::OsRandom;

use super::{Created, Nothing};
use crate::caller::{OwnReader, Owner};
use crate::extract::{Bare, Id, IdBeside, Params, Posted};
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::scope::Scope;
use crate::text::{
    AttemptRef, EventName, EventRef, IssuerRef, Moment, Shown, Text, Time, Title, WebhookRef, time,
};

/// How long the old secret signs beside the new one unless asked otherwise, in seconds: a day.
const OVERLAP_SECONDS: u64 = 86_400;
/// The longest, in seconds: 30 days.
const OVERLAP_SECONDS_MAX: u64 = 30 * 86_400;

/// Where an issuer is told of what happens.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookRef,
    /// Who is told.
    pub issuer: IssuerRef,
    /// Where to.
    #[schema(example = "https://shop.example/hook", max_length = 2048)]
    pub url: String,
    /// What people call it; null if it was not said.
    #[schema(required)]
    pub description: Option<Title>,
    /// The kinds of event that are wanted; empty for all.
    pub kinds: Vec<EventName>,
    /// How it is.
    pub state: WebhookState,
    /// The first event that was not delivered yet, or after which it stands.
    pub next: EventRef,
    /// When something was delivered last; null if nothing was.
    #[schema(required)]
    pub delivered_at: Option<Time>,
    /// Since when all attempts fail; null if the latest did not.
    #[schema(required)]
    pub failing_since: Option<Time>,
    /// What was wrong with the latest attempt; null if nothing was.
    #[schema(required, example = "answered 500, not 2xx")]
    pub last_error: Option<String>,
    /// Until when the secret before this one signs, too; null if there is none.
    #[schema(required)]
    pub overlap_until: Option<Time>,
    /// Since when there is an entry for it.
    pub created_at: Time,
}

/// How a webhook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookState {
    /// It is told everything.
    Active,
    /// The latest attempt failed; it is tried again and again.
    Failing,
    /// It is told nothing until it is active again.
    Paused,
}

/// Whether a webhook is to be told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookSwitch {
    /// Everything from where it stands.
    Active,
    /// Nothing, until it is active again.
    Paused,
}

/// A webhook that is to be made. It is told what happens from then on.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHook {
    /// Where to: `https`, on the public internet unless the server's operator allows others; without user name, password
    /// and fragment.
    #[schema(example = "https://shop.example/hook", max_length = 2048, pattern = "^https?://[!-~]+$")]
    pub url: String,
    /// What people call it.
    #[serde(default)]
    pub description: Option<Title>,
    /// The kinds of event that are wanted; all if it is empty or left out.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub kinds: Vec<EventName>,
}

/// What is to be changed of a webhook; what is left out stays.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookChange {
    /// Where to.
    #[serde(default)]
    #[schema(example = "https://shop.example/hook", max_length = 2048, pattern = "^https?://[!-~]+$")]
    pub url: Option<String>,
    /// What people call it.
    #[serde(default)]
    pub description: Option<Title>,
    /// The kinds of event that are wanted; all if it is empty.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub kinds: Option<Vec<EventName>>,
    /// Whether it is told anything.
    #[serde(default)]
    pub state: Option<WebhookSwitch>,
}

/// A webhook with its secret: the only time that it is seen.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedHook {
    /// The webhook.
    pub webhook: Webhook,
    /// By which the receiver checks the signature (Standard Webhooks).
    #[schema(
        example = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        pattern = "^whsec_[A-Za-z0-9+/]+=*$"
    )]
    pub secret: String,
}

/// A secret that is to be made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHookSecret {
    /// How long the old one signs, too, in seconds; a day if left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000, example = 86_400)]
    pub overlap_seconds: Option<u64>,
}

/// From where on a webhook is to be told again, or further on: one of the two.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// What was recorded then or later. A time to come is now.
    #[serde(default)]
    pub from: Option<Time>,
    /// What came after this event.
    #[serde(default)]
    pub after: Option<EventRef>,
}

/// A webhook that is no more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeletedHook {
    /// Its id; there will be no other one of it.
    pub id: WebhookRef,
}

/// What came of a `ping`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tried {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// The status that it answered; null if it did not.
    #[schema(required, example = 200, minimum = 100, maximum = 999)]
    pub status: Option<u16>,
    /// What was wrong; null if nothing was.
    #[schema(required, example = "no answer came in time")]
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    #[schema(example = 84)]
    pub took_ms: u64,
}

/// What came of an attempt to deliver an event.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptRef,
    /// When it was begun.
    pub at: Time,
    /// Which event.
    pub event: EventRef,
    /// The how-manieth for this event since the webhook was changed or the server started.
    #[schema(example = 1, minimum = 1)]
    pub attempt: u32,
    /// The status that was answered; null if there was no answer.
    #[schema(required, example = 200, minimum = 100, maximum = 999)]
    pub status: Option<u16>,
    /// What was wrong; null if it was delivered.
    #[schema(required, example = "answered 500, not 2xx")]
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    #[schema(example = 84)]
    pub took_ms: u64,
}

/// The webhooks of an issuer.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Webhooks {
    /// All of them, at most 16.
    pub items: Vec<Webhook>,
}

/// Which part of the list of attempts.
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

/// A page of attempts.
type Attempts = List<Attempt>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change))
        .routes(routes!(rotate))
        .routes(routes!(replay))
        .routes(routes!(test))
        .routes(routes!(delete))
        .routes(routes!(attempts))
}

/// Make a webhook
///
/// Its secret is shown in this answer only.
#[utoipa::path(post, path = "/v1/webhooks", operation_id = "create_webhook", tag = "webhooks",
    request_body = NewHook, responses((status = 201, description = "It is told what happens from now on.", body = IssuedHook)))]
async fn create(owner: Owner, new: Posted<NewHook>) -> Result<Created<IssuedHook>, Problem> {
    let Posted { body: NewHook { url, description, kinds }, once } = new;
    let issuer = owner.tenant()?;
    usable(&owner, &url)?;
    let place = owner.office().events_end();
    let made = owner.once(once, move |writing| {
        let (kinds, description) = (names(&kinds), text(description));
        issued(|secret| {
            let (url, description, kinds) = (url.as_str(), description.as_str(), kinds.as_slice());
            let new = NewWebhook { issuer, url, description, kinds, secret, place };
            Ok(writing.create_webhook(&new, &mut OsRandom)?)
        })
    });
    let made = made.await?;
    let id = made.webhook.id.0;
    Ok(Created::at(format_args!("/v1/webhooks/{id}"), made))
}

/// List the webhooks, the first first
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "list_webhooks", tag = "webhooks",
    responses((status = 200, description = "All of them.", body = Webhooks)))]
async fn list(reader: OwnReader, _: Bare) -> Result<Json<Webhooks>, Problem> {
    let issuer = reader.tenant()?;
    let found = reader.directory().ask(move |directory| directory.webhooks(issuer)).await?;
    Ok(Json(Webhooks { items: found.into_iter().map(shown).collect() }))
}

/// Show a webhook
#[utoipa::path(get, path = "/v1/webhooks/{id}", operation_id = "show_webhook", tag = "webhooks",
    params(("id" = WebhookRef, Path, description = "Which one.")),
    responses((status = 200, description = "The webhook, as it was a second ago.", body = Webhook)))]
async fn show(reader: OwnReader, Id(id): Id<WebhookId>) -> Result<Json<Webhook>, Problem> {
    Ok(Json(shown(found(&reader, reader.tenant()?, id).await?)))
}

/// Change a webhook
#[utoipa::path(post, path = "/v1/webhooks/{id}", operation_id = "change_webhook", tag = "webhooks",
    params(("id" = WebhookRef, Path, description = "Which one.")), request_body = HookChange,
    responses((status = 200, description = "As it is now. If it failed, it is tried at once.", body = Webhook)))]
async fn change(
    owner: Owner,
    Id(id): Id<WebhookId>,
    new: Posted<HookChange>,
) -> Result<Json<Webhook>, Problem> {
    let Posted { body: HookChange { url, description, kinds, state }, once } = new;
    let issuer = owner.tenant()?;
    if let Some(url) = &url {
        usable(&owner, url)?;
    }
    let change = WebhookChange {
        url,
        description: description.map(|Shown(name)| name.as_str().to_owned()),
        kinds: kinds.as_deref().map(names),
        state: state.map(|state| match state {
            WebhookSwitch::Active => directory::WebhookState::Active,
            WebhookSwitch::Paused => directory::WebhookState::Paused,
        }),
    };
    let done = owner.once(once, move |writing| {
        Ok(shown(writing.change_webhook(issuer, id, &change, &mut OsRandom)?.ok_or_else(none)?))
    });
    Ok(Json(done.await?))
}

/// Give a webhook another secret
///
/// While the two overlap, everything is signed with both.
#[utoipa::path(post, path = "/v1/webhooks/{id}/secret", operation_id = "rotate_webhook_secret", tag = "webhooks",
    params(("id" = WebhookRef, Path, description = "Which one.")), request_body = Option<NewHookSecret>,
    responses((status = 200, description = "The new secret.", body = IssuedHook)))]
async fn rotate(
    owner: Owner,
    Id(id): Id<WebhookId>,
    new: Posted<NewHookSecret>,
) -> Result<Json<IssuedHook>, Problem> {
    let Posted { body, once } = new;
    let issuer = owner.tenant()?;
    let seconds = body.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    if seconds > OVERLAP_SECONDS_MAX {
        let must = format!("must be 0 to {OVERLAP_SECONDS_MAX}");
        return Err(Problem::field("/overlap_seconds", must));
    }
    let done = owner.once(once, move |writing| {
        issued(|secret| {
            let new = (secret, seconds * 1000);
            writing.rotate_webhook_secret(issuer, id, new, &mut OsRandom)?.ok_or_else(none)
        })
    });
    Ok(Json(done.await?))
}

/// Tell a webhook again what happened, or leave something out
///
/// It is told everything from there on, in order. What was delivered before comes with the same id.
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", operation_id = "replay_webhook", tag = "webhooks",
    params(("id" = WebhookRef, Path, description = "Which one.")), request_body = Replay,
    responses((status = 200, description = "As it is now.", body = Webhook)))]
async fn replay(owner: Owner, Id(id): Id<WebhookId>, new: Posted<Replay>) -> Result<Json<Webhook>, Problem> {
    let Posted { body, once } = new;
    let issuer = owner.tenant()?;
    let end = owner.office().events_end();
    let place = match (body.from, body.after) {
        (Some(Shown(Moment(at_ms))), None) => owner.office().events_since(at_ms).await?,
        (None, Some(Shown(after))) if after < end => after.after(),
        (None, Some(_)) => return Err(Problem::field("/after", "must be an event that there is")),
        _ => return Err(Problem::field("", "must have either `from` or `after`")),
    };
    let done = owner.once(once, move |writing| set_place(writing, issuer, id, place));
    Ok(Json(done.await?))
}

/// Try a webhook
///
/// A `ping` is sent at once, and this answers what came back. It is no event: nothing else changes. Sent again with the
/// same `Idempotency-Key` it is sent again, with the same id.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", operation_id = "test_webhook", tag = "webhooks",
    params(("id" = WebhookRef, Path, description = "Which one.")), request_body = Option<Nothing>,
    responses((status = 200, description = "What came back.", body = Tried)))]
async fn test(owner: Owner, Id(id): Id<WebhookId>, new: Posted<Nothing>) -> Result<Json<Tried>, Problem> {
    let (issuer, now_ms) = (owner.tenant()?, owner.now_ms());
    let once = new.once;
    found(&owner, issuer, id).await?;
    let order = owner.directory().ask(move |directory| {
        let (key, _) = once.for_directory(directory);
        Ok::<_, Problem>((directory.webhook_order(id, now_ms)?, key.0))
    });
    let (order, key) = order.await?;
    let order = order.ok_or_else(none)?;
    let ping: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let pinged = owner.notifier().ping(&order, &format!("ping_{ping}")).await;
    let Pinged { status, error, took_ms } = pinged.ok_or_else(|| Problem::new(Code::Busy))?;
    Ok(Json(Tried { delivered: error.is_none(), status, error, took_ms }))
}

/// Delete a webhook
#[utoipa::path(post, path = "/v1/webhooks/{id}/delete", operation_id = "delete_webhook", tag = "webhooks",
    params(("id" = WebhookRef, Path, description = "Which one.")), request_body = Option<Nothing>,
    responses((status = 200, description = "It is told nothing any more.", body = DeletedHook)))]
async fn delete(
    owner: Owner,
    Id(id): Id<WebhookId>,
    new: Posted<Nothing>,
) -> Result<Json<DeletedHook>, Problem> {
    let issuer = owner.tenant()?;
    let done = owner.once(new.once, move |writing| {
        let deleted = writing.delete_webhook(issuer, id)?;
        if deleted { Ok(DeletedHook { id: Shown(id) }) } else { Err(none()) }
    });
    Ok(Json(done.await?))
}

/// List what came of attempts to deliver, the latest first
///
/// The latest 1,000 of 30 days, as they were a second ago.
#[utoipa::path(get, path = "/v1/webhooks/{id}/attempts", operation_id = "list_webhook_attempts", tag = "webhooks",
    params(("id" = WebhookRef, Path, description = "Whose."), Which),
    responses((status = 200, description = "A page of attempts.", body = Attempts)))]
async fn attempts(
    reader: OwnReader,
    IdBeside(id): IdBeside<WebhookId>,
    which: Params<Which>,
) -> Result<Json<Attempts>, Problem> {
    let Params(Which { limit, cursor }) = which;
    let issuer = reader.tenant()?;
    found(&reader, issuer, id).await?;
    let part = part::<AttemptId>(limit, cursor.as_deref())?;
    let page = reader
        .directory()
        .ask(move |directory| directory.webhook_attempts(issuer, id, part.from, part.limit))
        .await?;
    Ok(Json(List::of(Items { items: page.rows, next: page.next }, attempt_shown)))
}

fn usable(owner: &Owner, url: &str) -> Result<(), Problem> {
    owner.notifier().target(url).map(|_| ()).map_err(|error| Problem::field("/url", error))
}

/// Has something made or changed with a new secret, and shows the two.
fn issued(make: impl FnOnce(&[u8]) -> Result<directory::Webhook, Problem>) -> Result<IssuedHook, Problem> {
    let secret = Secret::draw(&mut OsRandom).map_err(OfficeError::Random)?;
    let webhook = shown(make(secret.expose())?);
    Ok(IssuedHook { webhook, secret: secret.to_text().to_string() })
}

fn set_place(
    writing: &Writing<'_>,
    issuer: IssuerId,
    id: WebhookId,
    place: EventPlace,
) -> Result<Webhook, Problem> {
    Ok(shown(writing.set_webhook_place(issuer, id, place)?.ok_or_else(none)?))
}

async fn found(scope: &Scope, issuer: IssuerId, id: WebhookId) -> Result<directory::Webhook, Problem> {
    scope.directory().ask(move |directory| directory.webhook(issuer, id)).await?.ok_or_else(none)
}

fn none() -> Problem {
    Problem::new(Code::NotFound)
}

fn names(kinds: &[EventName]) -> Vec<String> {
    let mut names: Vec<String> = kinds.iter().map(|Shown(kind)| kind.show()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn text(description: Option<Title>) -> String {
    description.map(|Shown(name)| name.as_str().to_owned()).unwrap_or_default()
}

fn shown(webhook: directory::Webhook) -> Webhook {
    let state = match webhook.state {
        directory::WebhookState::Paused => WebhookState::Paused,
        directory::WebhookState::Active if webhook.failures > 0 => WebhookState::Failing,
        directory::WebhookState::Active => WebhookState::Active,
    };
    let moment = |at_ms: Option<TimeMs>| at_ms.map(time);
    Webhook {
        id: Shown(webhook.id),
        issuer: Shown(webhook.issuer),
        url: webhook.url,
        description: Text::read(&webhook.description).ok().map(Shown),
        // What another version of the software wrote and this one does not know is left out.
        kinds: webhook.kinds.iter().filter_map(|kind| Text::read(kind).ok().map(Shown)).collect(),
        state,
        next: Shown(webhook.place),
        delivered_at: moment(webhook.delivered_ms),
        failing_since: moment(webhook.failing_since_ms),
        last_error: webhook.last_error,
        overlap_until: moment(webhook.overlap_until_ms),
        created_at: time(webhook.created_ms),
    }
}

fn attempt_shown((id, attempt): (AttemptId, WebhookAttempt)) -> Attempt {
    Attempt {
        id: Shown(id),
        at: time(attempt.at_ms),
        event: Shown(attempt.event),
        attempt: attempt.attempt,
        status: attempt.status,
        error: attempt.error,
        took_ms: attempt.took_ms,
    }
}
