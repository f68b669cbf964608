//! The decision hook: an issuer has each authorisation put to its own endpoint before funds are touched.
//!
//! Where it is asked stands in the directory, whether it is asked follows from the journal. Setting it writes the first
//! before the second, removing it the second before the first: nobody is ever asked at a place that is not known.

use axum::Json;
use mayfly_core::{IssuerId, WhenLate};
use mayfly_keys::OsRandom;
use mayfly_notify::Secret;
use mayfly_store::directory::{Directory, DirectoryError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Nothing;
use super::webhooks::usable;
use crate::caller::{OwnReader, Owner};
use crate::extract::{Bare, Posted};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{Time, time};

/// How long an answer is waited for unless asked otherwise, in milliseconds.
const TIME_LIMIT_MS: u32 = 2000;

/// How an issuer is asked.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct DecisionHook {
    /// Where.
    #[schema(example = "https://bank.example/decisions", max_length = 2048)]
    pub url: String,
    /// How long an answer is waited for, in milliseconds.
    #[schema(example = 2000)]
    pub time_limit_ms: u32,
    /// What counts if none has come by then.
    pub when_late: LateAnswer,
    /// When it was set last.
    pub changed_at: Time,
    /// What went wrong last since the server started; null if nothing did.
    #[schema(required)]
    pub last_failure: Option<HookFailure>,
}

/// Why a question was not decided by its issuer.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct HookFailure {
    /// When.
    pub at: Time,
    /// Which question, by the id that was sent with it.
    #[schema(example = "ask_1")]
    pub question: String,
    /// Why.
    #[schema(example = "answered 500, not 200")]
    pub why: String,
}

/// What counts if no answer has come in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LateAnswer {
    /// No.
    #[default]
    Decline,
    /// Yes.
    Approve,
}

/// How an issuer wants to be asked.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDecisionHook {
    /// Where: `https`, on the public internet unless the server's operator allows others; without user name, password
    /// and fragment.
    #[schema(example = "https://bank.example/decisions", max_length = 2048, pattern = "^https?://[!-~]+$")]
    pub url: String,
    /// How long an answer is waited for, in milliseconds; 2000 if left out.
    #[serde(default)]
    #[schema(minimum = 100, maximum = 20_000, example = 2000)]
    pub time_limit_ms: Option<u32>,
    /// What counts if none has come by then; a decline, if left out.
    #[serde(default)]
    pub when_late: Option<LateAnswer>,
    /// Whether a new secret is made, in the place of the one that there is; no, if left out.
    #[serde(default)]
    pub new_secret: bool,
}

/// How an issuer is asked from now on.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct DecisionHookSet {
    /// How.
    pub hook: DecisionHook,
    /// By which the issuer checks the signature (Standard Webhooks), if it was made now: the only time that it is seen.
    #[schema(
        required,
        example = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        pattern = "^whsec_[A-Za-z0-9+/]+=*$"
    )]
    pub secret: Option<String>,
}

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(set, show)).routes(routes!(remove))
}

/// Have each authorisation put to one's own endpoint
///
/// Purchases and what is added to them, before funds are touched. The secret is shown in this answer only.
#[utoipa::path(post, path = "/v1/decision_hook", operation_id = "set_decision_hook", tag = "decision hook",
    request_body = NewDecisionHook,
    responses((status = 200, description = "It is asked from now on.", body = DecisionHookSet)))]
async fn set(owner: Owner, new: Posted<NewDecisionHook>) -> Result<Json<DecisionHookSet>, Problem> {
    let Posted { body, once } = new;
    let NewDecisionHook { url, time_limit_ms, when_late, new_secret } = body;
    let issuer = owner.tenant()?;
    usable(&owner, &url)?;
    let wait_ms = time_limit_ms.unwrap_or(TIME_LIMIT_MS);
    let late = when_late.unwrap_or_default();
    if !mayfly_core::DecisionHook::WAIT_MS.contains(&wait_ms) {
        return Err(Problem::with(Code::OutOfBounds, "the time limit must be 100 to 20000 milliseconds"));
    }
    let in_core = once.for_office(owner.office());
    let _in_turn = owner.hooks().lock().await;
    let set = owner.once(once, move |writing| {
        let drawn = Secret::draw(&mut OsRandom).map_err(mayfly_office::OfficeError::Random)?;
        let kept = if new_secret {
            None
        } else {
            writing.set_decision_endpoint(issuer, &url, None, &mut OsRandom)?
        };
        // The first one needs a secret, whether or not it was asked for.
        let (set, secret) = match kept {
            Some(set) => (set, None),
            None => {
                let set = writing.set_decision_endpoint(issuer, &url, Some(drawn.expose()), &mut OsRandom)?;
                (set.ok_or_else(|| Problem::new(Code::Internal))?, Some(drawn.to_text().to_string()))
            }
        };
        let changed_at = time(set.changed_ms);
        let hook =
            DecisionHook { url, time_limit_ms: wait_ms, when_late: late, changed_at, last_failure: None };
        Ok(DecisionHookSet { hook, secret })
    });
    let set = set.await?;
    // What was set before may have been changed, or removed, since: then a repeat must not bring half of it back.
    let stands = owner.directory().ask(move |directory| endpoint(directory, issuer)).await?;
    if stands.is_none_or(|(_, changed_ms)| time(changed_ms) != set.hook.changed_at) {
        return Err(Problem::new(Code::HookChanged));
    }
    let when_late = match late {
        LateAnswer::Decline => WhenLate::Decline,
        LateAnswer::Approve => WhenLate::Approve,
    };
    let hook = mayfly_core::DecisionHook { wait_ms, when_late };
    owner.office().set_hook(issuer, Some(hook), in_core).await?;
    Ok(Json(set))
}

/// Show how one is asked
#[utoipa::path(get, path = "/v1/decision_hook", operation_id = "show_decision_hook", tag = "decision hook",
    responses((status = 200, description = "How.", body = DecisionHook)))]
async fn show(reader: OwnReader, _: Bare) -> Result<Json<DecisionHook>, Problem> {
    let issuer = reader.tenant()?;
    let asked = reader.office().issuer(issuer).await?.hook;
    let found = reader.directory().ask(move |directory| endpoint(directory, issuer)).await?;
    let none = || Problem::with(Code::NotFound, "nobody is asked: set a decision hook first");
    let (hook, (url, changed_ms)) = asked.zip(found).ok_or_else(none)?;
    Ok(Json(DecisionHook {
        url,
        time_limit_ms: hook.wait_ms,
        when_late: match hook.when_late {
            WhenLate::Decline => LateAnswer::Decline,
            WhenLate::Approve => LateAnswer::Approve,
        },
        changed_at: time(changed_ms),
        last_failure: reader.asked().last_failure(issuer).map(|failure| HookFailure {
            at: time(failure.at_ms),
            question: failure.question.to_string(),
            why: failure.why,
        }),
    }))
}

/// Be asked no more
#[utoipa::path(post, path = "/v1/decision_hook/remove", operation_id = "remove_decision_hook", tag = "decision hook",
    request_body = Option<Nothing>, responses((status = 200, description = "Nobody is asked.", body = Nothing)))]
async fn remove(owner: Owner, new: Posted<Nothing>) -> Result<Json<Nothing>, Problem> {
    let Posted { body: Nothing {}, once } = new;
    let issuer = owner.tenant()?;
    let _in_turn = owner.hooks().lock().await;
    owner.office().set_hook(issuer, None, once.for_office(owner.office())).await?;
    if owner.office().issuer(issuer).await?.hook.is_some() {
        // It is a repeat, and the hook was set again since.
        return Err(Problem::new(Code::HookChanged));
    }
    let removed = owner.once(once, move |writing| {
        writing.remove_decision_endpoint(issuer)?;
        Ok(Nothing {})
    });
    Ok(Json(removed.await?))
}

fn endpoint(
    directory: &Directory,
    issuer: IssuerId,
) -> Result<Option<(String, mayfly_core::TimeMs)>, DirectoryError> {
    let found = directory.decision_endpoint(issuer)?;
    Ok(found.map(|found| (found.url.clone(), found.changed_ms)))
}
