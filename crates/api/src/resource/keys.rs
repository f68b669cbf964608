//! Keys for this API: shown once, kept as a hash, replaced with an overlap, revoked at once.

use axum::Json;
use mayfly_core::{IssuerId, TimeMs};
use mayfly_office::{Items, KeyGiven, KeyOrder, make_key, rotate_key};
use mayfly_store::directory::{self, KeyId, Role};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Created;
use crate::caller::{Issuer, Reader};
use crate::extract::{Id, Params, Posted};
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::scope::Scope;
use crate::text::{IssuerRef, KeyRef, MerchantRef, RoleName, Shown, Time, Title, time};

/// The longest overlap of an old key and the new one, in seconds: 30 days.
const OVERLAP_SECONDS_MAX: u64 = 30 * 86_400;
/// The longest lifetime of a key that has an end, in seconds: 3660 days.
const LIFETIME_SECONDS_MAX: u64 = 3660 * 86_400;

/// An API key, without what would let anybody use it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyRef,
    /// What its holder may do.
    pub role: RoleName,
    /// On whose things; null for an operator's key.
    #[schema(required)]
    pub issuer: Option<IssuerRef>,
    /// For whose payments; null for a key that is not a merchant's own.
    #[schema(required)]
    pub merchant: Option<MerchantRef>,
    /// What people call it.
    pub name: Title,
    /// Its first characters, by which its holder recognises it.
    #[schema(example = "mfk_Xk2v")]
    pub hint: String,
    /// When it was made.
    pub created_at: Time,
    /// From when on it is not valid any more; null if it has no end.
    #[schema(required)]
    pub expires_at: Option<Time>,
    /// When it was revoked; null if it was not.
    #[schema(required)]
    pub revoked_at: Option<Time>,
    /// The key that came in its place; null if none did.
    #[schema(required)]
    pub replaced_by: Option<KeyRef>,
}

/// An API key as its holder gets it: the only time that it is seen whole.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct IssuedKey {
    /// What is kept of it.
    pub key: ApiKey,
    /// What to send as `Authorization: Bearer`.
    #[schema(
        example = "mfk_Xk2vAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        pattern = "^mfk_[A-Za-z0-9_-]{43}$"
    )]
    pub secret: String,
}

/// An API key that is to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What its holder may do. Operators make all of them, an issuer all but operators'.
    pub role: RoleName,
    /// On whose things; needed from an operator for all roles but his own, and of no use to an issuer.
    #[serde(default)]
    pub issuer: Option<IssuerRef>,
    /// For whose payments: needed for the role `merchant`, and of no use to others.
    #[serde(default)]
    pub merchant: Option<MerchantRef>,
    /// What people call it.
    pub name: Title,
    /// How long it is valid, in seconds; it has no end if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 316_224_000, example = 31_536_000)]
    pub lifetime_seconds: Option<u64>,
}

/// A key that is to come in the place of another one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How long the old one stays valid, in seconds.
    #[schema(minimum = 0, maximum = 2_592_000, example = 3600)]
    pub overlap_seconds: u64,
    /// How long the new one is valid, in seconds; until the old one was to end if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 316_224_000, example = 31_536_000)]
    pub lifetime_seconds: Option<u64>,
    /// Whose key it is; needed from an operator for keys that are not operators', and of no use to an issuer.
    #[serde(default)]
    pub issuer: Option<IssuerRef>,
}

/// A key that is not to be valid any more.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Whose key it is; needed from an operator for keys that are not operators', and of no use to an issuer.
    #[serde(default)]
    pub issuer: Option<IssuerRef>,
}

/// Which keys are listed.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this issuer; an operator who names none gets the operators' own.
    issuer: Option<IssuerRef>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of them.
type Page = List<ApiKey>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(create, list)).routes(routes!(rotate)).routes(routes!(revoke))
}

/// Make an API key
///
/// The key itself is in this answer and in those to its repeats only: nothing keeps it readably.
#[utoipa::path(post, path = "/v1/keys", operation_id = "create_key", tag = "keys", request_body = NewApiKey,
    responses((status = 201, description = "It can be used.", body = IssuedKey)))]
async fn create(issuer: Issuer, new: Posted<NewApiKey>) -> Result<Created<IssuedKey>, Problem> {
    let Posted { body, once } = new;
    let (role, label) = (body.role.0, body.name.0);
    let owner = owner(&issuer, role, body.issuer.map(|it| it.0)).await?;
    let lifetime_ms = lifetime(body.lifetime_seconds)?;
    let merchant = body.merchant.map(|it| it.0);
    let order = KeyOrder { role, issuer: owner, merchant, label, lifetime_ms };
    let made = issuer.once(once, move |writing| Ok(issued(make_key(writing, &order)?)));
    Ok(Created::new(made.await?))
}

/// List API keys, the first first
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "keys", params(Which),
    responses((status = 200, description = "A page of keys.", body = Page)))]
async fn list(reader: Reader, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { issuer, limit, cursor }) = which;
    let whose = reader.whose(issuer.map(|it| it.0)).await?;
    let part = part::<KeyId>(limit, cursor.as_deref())?;
    let page = reader.directory().ask(move |directory| directory.keys(whose, part.from, part.limit)).await?;
    Ok(Json(List::of(Items { items: page.rows, next: page.next }, shown)))
}

/// Let a new key come in the place of an API key
///
/// The old one stays valid for the overlap, so that nobody is locked out while the new one is spread.
#[utoipa::path(post, path = "/v1/keys/{id}/rotate", operation_id = "rotate_key", tag = "keys",
    params(("id" = KeyRef, Path, description = "Which one.")), request_body = Rotation,
    responses((status = 201, description = "The new one can be used.", body = IssuedKey)))]
async fn rotate(
    issuer: Issuer,
    Id(id): Id<KeyId>,
    new: Posted<Rotation>,
) -> Result<Created<IssuedKey>, Problem> {
    let Posted { body, once } = new;
    if body.overlap_seconds > OVERLAP_SECONDS_MAX {
        return Err(Problem::field("/overlap_seconds", format!("must be 0 to {OVERLAP_SECONDS_MAX}")));
    }
    let whose = issuer.whose(body.issuer.map(|it| it.0)).await?;
    let times_ms = (lifetime(body.lifetime_seconds)?, body.overlap_seconds * 1000);
    let made = issuer.once(once, move |writing| Ok(issued(rotate_key(writing, whose, id, times_ms)?)));
    Ok(Created::new(made.await?))
}

/// Revoke an API key
///
/// It lets nobody in any more from this answer on.
#[utoipa::path(post, path = "/v1/keys/{id}/revoke", operation_id = "revoke_key", tag = "keys",
    params(("id" = KeyRef, Path, description = "Which one.")), request_body = Option<Revocation>,
    responses((status = 200, description = "The key as it is now.", body = ApiKey)))]
async fn revoke(issuer: Issuer, Id(id): Id<KeyId>, new: Posted<Revocation>) -> Result<Json<ApiKey>, Problem> {
    let Posted { body, once } = new;
    let whose = issuer.whose(body.issuer.map(|it| it.0)).await?;
    let revoked = issuer.once(once, move |writing| {
        let key = writing.revoke_key(whose, id)?.ok_or_else(|| Problem::new(Code::NotFound))?;
        Ok(shown(key))
    });
    Ok(Json(revoked.await?))
}

/// Whose a new key is.
async fn owner(scope: &Scope, role: Role, asked: Option<IssuerId>) -> Result<Option<IssuerId>, Problem> {
    match (role, scope.caller().role, asked) {
        (Role::Operator, Role::Operator, None) => Ok(None),
        (Role::Operator, Role::Operator, Some(_)) => {
            Err(Problem::field("/issuer", "must be left out: an operator's key belongs to no issuer"))
        }
        (Role::Operator, _, _) => {
            Err(Problem::field("/role", "must be another one: operators make their own keys"))
        }
        _ => scope.issuer(asked).await.map(Some),
    }
}

/// How long a new key is valid.
fn lifetime(asked: Option<u64>) -> Result<Option<TimeMs>, Problem> {
    match asked {
        Some(seconds) if !(1..=LIFETIME_SECONDS_MAX).contains(&seconds) => {
            Err(Problem::field("/lifetime_seconds", format!("must be 1 to {LIFETIME_SECONDS_MAX}")))
        }
        asked => Ok(asked.map(|seconds| seconds * 1000)),
    }
}

fn issued(given: KeyGiven) -> IssuedKey {
    IssuedKey { secret: given.token.expose().to_owned(), key: shown(given.key) }
}

fn shown(key: directory::ApiKey) -> ApiKey {
    ApiKey {
        id: Shown(key.id),
        role: Shown(key.role),
        issuer: key.issuer.map(Shown),
        merchant: key.merchant.map(Shown),
        name: Shown(key.label),
        hint: key.hint,
        created_at: time(key.created_ms),
        expires_at: key.expires_ms.map(time),
        revoked_at: key.revoked_ms.map(time),
        replaced_by: key.replaced_by.map(Shown),
    }
}
