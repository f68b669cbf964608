//! Merchants: who may take payments of an issuer's cardholders.

use axum::Json;
use mayfly_office::Items;
use mayfly_store::directory::{self, MerchantEntryId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Created;
use crate::caller::{OwnReader, Owner};
use crate::extract::{Id, Params, Posted};
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{
    Category, CountryCode, IssuerRef, Merchant as CardAcceptor, MerchantRef, Shown, Time, Title, time,
};

/// A merchant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Merchant {
    /// His id.
    pub id: MerchantRef,
    /// Whose cardholders pay him.
    pub issuer: IssuerRef,
    /// What he is called; cardholders see it.
    pub name: Title,
    /// What the network knows him by (DE 42); no two of an issuer have the same.
    pub card_acceptor: CardAcceptor,
    /// What he sells.
    pub mcc: Category,
    /// Where he sells it.
    pub country: CountryCode,
    /// Whether he may take payments.
    pub state: MerchantState,
    /// Since when there is an entry for him.
    pub created_at: Time,
}

/// Whether a merchant may take payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MerchantState {
    /// He may.
    Active,
    /// He takes no new ones. What he has sold is still captured, cancelled and refunded.
    Closed,
}

/// A merchant that is to be entered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMerchant {
    /// What he is called; cardholders see it.
    pub name: Title,
    /// What the network knows him by (DE 42); no two of an issuer have the same.
    pub card_acceptor: CardAcceptor,
    /// What he sells.
    pub mcc: Category,
    /// Where he sells it.
    pub country: CountryCode,
}

/// Whether a merchant is to take payments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMerchantState {
    /// He is, or not any more.
    pub state: MerchantState,
}

/// Which part of the list of merchants.
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

/// A page of merchants.
type Page = List<Merchant>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(create, list)).routes(routes!(show)).routes(routes!(set_state))
}

/// Enter a merchant
///
/// His programs get a key with the role `merchant` at `POST /v1/keys`.
#[utoipa::path(post, path = "/v1/merchants", operation_id = "create_merchant", tag = "merchants",
    request_body = NewMerchant, responses((status = 201, description = "There is an entry.", body = Merchant)))]
async fn create(owner: Owner, new: Posted<NewMerchant>) -> Result<Created<Merchant>, Problem> {
    let Posted { body, once } = new;
    let new = directory::NewMerchant {
        issuer: owner.tenant()?,
        name: body.name.0,
        card_acceptor: body.card_acceptor.0,
        mcc: body.mcc.0,
        country: body.country.0,
    };
    let made = owner.once(once, move |writing| Ok(shown(writing.create_merchant(&new)?))).await?;
    let id = made.id.0;
    Ok(Created::at(format_args!("/v1/merchants/{id}"), made))
}

/// List the merchants, the first first
#[utoipa::path(get, path = "/v1/merchants", operation_id = "list_merchants", tag = "merchants",
    params(Which), responses((status = 200, description = "A page of merchants.", body = Page)))]
async fn list(reader: OwnReader, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { limit, cursor }) = which;
    let issuer = reader.tenant()?;
    let part = part::<MerchantEntryId>(limit, cursor.as_deref())?;
    let page = reader.directory().ask(move |directory| directory.merchants(issuer, part.from, part.limit));
    let page = page.await?;
    Ok(Json(List::of(Items { items: page.rows, next: page.next }, shown)))
}

/// Show a merchant
#[utoipa::path(get, path = "/v1/merchants/{id}", operation_id = "show_merchant", tag = "merchants",
    params(("id" = MerchantRef, Path, description = "Which one.")),
    responses((status = 200, description = "The merchant.", body = Merchant)))]
async fn show(reader: OwnReader, Id(id): Id<MerchantEntryId>) -> Result<Json<Merchant>, Problem> {
    let issuer = reader.tenant()?;
    let found = reader.directory().ask(move |directory| directory.merchant(issuer, id)).await?;
    found.map(|found| Json(shown(found))).ok_or_else(none)
}

/// Let a merchant take payments, or not any more
#[utoipa::path(post, path = "/v1/merchants/{id}/state", operation_id = "set_merchant_state", tag = "merchants",
    params(("id" = MerchantRef, Path, description = "Which one.")), request_body = NewMerchantState,
    responses((status = 200, description = "As he is now.", body = Merchant)))]
async fn set_state(
    owner: Owner,
    Id(id): Id<MerchantEntryId>,
    new: Posted<NewMerchantState>,
) -> Result<Json<Merchant>, Problem> {
    let Posted { body, once } = new;
    let issuer = owner.tenant()?;
    let state = match body.state {
        MerchantState::Active => directory::MerchantState::Active,
        MerchantState::Closed => directory::MerchantState::Closed,
    };
    let done = owner.once(once, move |writing| {
        Ok(shown(writing.set_merchant_state(issuer, id, state)?.ok_or_else(none)?))
    });
    Ok(Json(done.await?))
}

fn none() -> Problem {
    Problem::new(Code::NotFound)
}

fn shown(merchant: directory::Merchant) -> Merchant {
    Merchant {
        id: Shown(merchant.id),
        issuer: Shown(merchant.issuer),
        name: Shown(merchant.name),
        card_acceptor: Shown(merchant.card_acceptor),
        mcc: Shown(merchant.mcc),
        country: Shown(merchant.country),
        state: match merchant.state {
            directory::MerchantState::Active => MerchantState::Active,
            directory::MerchantState::Closed => MerchantState::Closed,
        },
        created_at: time(merchant.created_ms),
    }
}
