//! A cardholder's cards, and how his wallet gets them.

use axum::Json;
use mayfly_card::Expiry;
use mayfly_core::NumberId;
use mayfly_dynamic::CardNumber as Of;
use mayfly_engine::cards::Package;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Nothing;
use super::cards::{self, Card, Which};
use super::check_site::{MacFieldOrigin, WalletVersions};
use crate::customer::Customer;
use crate::extract::{Id, Params, Posted};
use crate::page::{List, part};
use crate::problem::Problem;
use crate::routes::ApiRouter;
use crate::text::{CardNumber, NumberRef, Shown};
use crate::wire::{HexBytes, MacDate, Mmyy, PointText, Sixteen, Wrapped, WrappedKey};

/// A wallet that a card is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWallet {
    /// Its half of the exchange, drawn for this one enrolment.
    point: PointText,
}

/// What a wallet gets. The key is wrapped under what both sides make of the two points; where the card has its own number, both
/// also make a share of the key from them, which goes nowhere.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct WalletPackage {
    /// The number that merchants get.
    number: CardNumber,
    /// The card's real expiration date.
    expiry: MacDate,
    /// The server's half of the exchange.
    point: PointText,
    /// The card's key, wrapped for this wallet.
    wrapped_key: WrappedKey,
    /// Whether the wallet has a share of the key of its own: then a wallet that had the card before can't pay any more.
    shared: bool,
    /// The sequence number from which the wallet counts on.
    #[schema(example = 0)]
    last_tsn: u64,
    /// Which versions of the wallet count.
    versions: WalletVersions,
    /// What its MAC fields say of their origin; null if purchases of this card have no MAC field.
    #[schema(required)]
    field: Option<MacFieldOrigin>,
}

/// A question for a card's last sequence number.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TsnQuestion {
    /// Drawn for this one question.
    nonce: HexBytes,
}

/// A card's last sequence number.
#[derive(Serialize, ToSchema)]
pub struct LastTsn {
    /// The number.
    #[schema(example = 17)]
    last_tsn: u64,
    /// TSN1, under the card's key, over it and the nonce.
    mac: HexBytes,
}

/// A page of them.
type Page = List<Card>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(give))
        .routes(routes!(last_tsn))
        .routes(routes!(unlock))
}

/// List one's cards, account after account
#[utoipa::path(get, path = "/v1/me/cards", operation_id = "list_my_cards", tag = "me",
    security(("session" = [])), params(Which),
    responses((status = 200, description = "A page of cards.", body = Page)))]
async fn list(customer: Customer, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { limit, cursor }) = which;
    let accounts: Vec<_> = customer.accounts().await?.iter().map(|linked| linked.account).collect();
    let found = customer.office().cards(&accounts, part(limit, cursor.as_deref())?).await?;
    Ok(Json(List::of(found, cards::shown)))
}

/// Take a card into a wallet
///
/// The wallet draws its half of an exchange for each enrolment. What is answered is of no use to anybody else.
#[utoipa::path(post, path = "/v1/me/cards/{id}/wallet", operation_id = "enrol_my_wallet", tag = "me",
    security(("session" = [])), params(("id" = NumberRef, Path, description = "Which card.")),
    request_body = NewWallet, responses((status = 200, description = "The wallet can ask.", body = WalletPackage)))]
async fn give(
    customer: Customer,
    Id(id): Id<NumberId>,
    new: Posted<NewWallet>,
) -> Result<Json<WalletPackage>, Problem> {
    let Posted { body: NewWallet { point }, once } = new;
    let card = customer.card(id).await?;
    customer.give_wallet(card, point.0, once).await.map(Json)
}

/// Get a card's last sequence number
///
/// For a wallet that was restored from a copy: it counts on from there.
#[utoipa::path(post, path = "/v1/me/cards/{id}/tsn", operation_id = "show_my_last_tsn", tag = "me",
    security(("session" = [])), params(("id" = NumberRef, Path, description = "Of which card.")),
    request_body = TsnQuestion, responses((status = 200, description = "The number.", body = LastTsn)))]
async fn last_tsn(
    customer: Customer,
    Id(id): Id<NumberId>,
    asked: Posted<TsnQuestion>,
) -> Result<Json<LastTsn>, Problem> {
    // Nothing is changed: a repeat is told the number as it is then.
    let Posted { body: TsnQuestion { nonce }, once: _ } = asked;
    let card = customer.card(id).await?;
    let (last, mac) = customer.office().last_tsn(&card, &nonce.0.0)?;
    Ok(Json(LastTsn { last_tsn: last.0, mac: Shown(Sixteen(*mac.expose())) }))
}

/// Unlock a card
///
/// Somebody has tried to guess at its purchases, or its wallet went wrong. One that is not locked stays as it is.
#[utoipa::path(post, path = "/v1/me/cards/{id}/unlock", operation_id = "unlock_my_card", tag = "me",
    security(("session" = [])), params(("id" = NumberRef, Path, description = "Which one.")),
    request_body = Option<Nothing>, responses((status = 200, description = "As it is now.", body = Card)))]
async fn unlock(
    customer: Customer,
    Id(id): Id<NumberId>,
    new: Posted<Nothing>,
) -> Result<Json<Card>, Problem> {
    let Posted { body: Nothing {}, once } = new;
    customer.card(id).await?;
    let office = customer.office();
    Ok(Json(cards::shown(office.unlock_card(id, once.for_office(office)).await?)))
}

impl WalletPackage {
    pub(crate) fn of(package: &Package) -> Self {
        let Package { number, expiry, point, wrapped, last_tsn, versions, field } = package;
        Self {
            number: Shown(number.pan().clone()),
            expiry: Shown(Mmyy(Expiry::from(*expiry))),
            point: Shown(*point),
            wrapped_key: Shown(Wrapped(*wrapped)),
            shared: matches!(number, Of::Real(_)),
            last_tsn: last_tsn.0,
            versions: WalletVersions { oldest: versions.oldest.0, newest: versions.newest.0 },
            field: field.map(|origin| MacFieldOrigin {
                acs: origin.acs,
                method: origin.method,
                key: origin.key,
            }),
        }
    }
}
