//! Cards of the check site: they keep their number, and each purchase carries a MAC of its own.

use axum::Json;
use mayfly_card::MonthIndex;
use mayfly_core::state::Open;
use mayfly_core::{AccountId, NumberId};
use mayfly_dynamic::Mode;
use mayfly_engine::cards::EnrolOrder;
use mayfly_office::{CardNow, CardStatus, key_process};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::check_site::CardKind;
use super::numbers::Controls;
use super::{Created, Nothing};
use crate::caller::{Issuer, Reader};
use crate::extract::{Id, IdBeside, Params, Posted};
use crate::money::Amount;
use crate::page::{List, part};
use crate::problem::Problem;
use crate::routes::ApiRouter;
use crate::text::{
    AccountRef, CardNumber, ExpirationDate, Merchant, NumberRef, ProgrammeRef, Shown, Time, time,
};

/// A card. The number that merchants get is its wallet's alone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Card {
    /// Its id: that of its number.
    pub id: NumberRef,
    /// What this is.
    pub object: CardObject,
    /// Whose purchases it makes.
    pub account: AccountRef,
    /// By whose terms.
    pub programme: ProgrammeRef,
    /// The last four digits of the number that merchants get.
    #[schema(example = "1234", pattern = "^[0-9]{4}$")]
    pub last_four: String,
    /// What merchants get for a number.
    pub kind: CardKind,
    /// What has become of it.
    pub status: CardState,
    /// How many purchases its wallet has asked for that nobody has made yet.
    #[schema(example = 2)]
    pub open_etsns: usize,
    /// When it was locked; null if it is not.
    #[schema(required)]
    pub locked_at: Option<Time>,
}

/// What this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CardObject {
    /// A card.
    Card,
}

/// What becomes of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CardState {
    /// Its wallet can ask for purchases.
    Active,
    /// Too many proofs failed: its cardholder has to unlock it.
    Locked,
    /// It is closed, or its date is over.
    Closed,
}

/// A card that is to be enrolled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCard {
    /// By whose terms.
    programme: ProgrammeRef,
    /// The card's own number: sealed wherever it is kept, and never shown again.
    number: CardNumber,
    /// Its real expiration date.
    expiry: ExpirationDate,
    /// The process by which its key is made, which the number's control digit says; the first that the programme has enabled if
    /// left out. Of no meaning where cards have their own numbers.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 3, example = 2)]
    control_digit: Option<u8>,
    /// What it may do; everything if left out.
    #[serde(default)]
    controls: Controls,
}

/// A purchase that a wallet has asked for and nobody has made yet. The date that proves it can't be had from this.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenPurchase {
    /// Its expected transaction sequence number.
    #[schema(example = 17)]
    pub etsn: u64,
    /// Where its proof will be.
    pub mode: ProofPlace,
    /// The wallet's version.
    #[schema(example = 1)]
    pub version: u8,
    /// Until when it can be made.
    pub expires_at: Time,
    /// The most that it may come to; null if nothing was said.
    #[schema(required)]
    pub amount_max: Option<Amount>,
    /// The one merchant; null if any.
    #[schema(required)]
    pub merchant: Option<Merchant>,
}

/// Where the proof of a purchase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofPlace {
    /// In the expiration date.
    Expiry,
    /// In the MAC field.
    Field,
}

/// The open purchases of a card.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenPurchases {
    /// All of them, the oldest first.
    pub items: Vec<OpenPurchase>,
}

/// Which part of a list of cards.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub(super) limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// A page of them.
type Page = List<Card>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(enrol, list))
        .routes(routes!(show))
        .routes(routes!(purchases))
        .routes(routes!(unlock))
        .routes(routes!(close))
}

/// Enrol a card of the check site
///
/// The cardholder's wallet fetches number and key when he has logged in. The card's own number goes into the sealed
/// conversion table, and nowhere else.
#[utoipa::path(post, path = "/v1/accounts/{id}/cards", operation_id = "enrol_card", tag = "cards",
    params(("id" = AccountRef, Path, description = "Which account pays.")), request_body = NewCard,
    responses((status = 201, description = "It is enrolled.", body = Card)))]
async fn enrol(
    issuer: Issuer,
    Id(id): Id<AccountId>,
    new: Posted<NewCard>,
) -> Result<Created<Card>, Problem> {
    let Posted { body, once } = new;
    let (office, account) = (issuer.office(), issuer.account(id).await?);
    issuer.programme(body.programme.0).await?;
    let digit =
        match body.control_digit {
            Some(process) => {
                let digit = key_process(process);
                Some(digit.ok_or_else(|| {
                    Problem::field("/control_digit", "must be 0 to 3: the others are reserved")
                })?)
            }
            None => None,
        };
    let order = EnrolOrder {
        account: id,
        programme: body.programme.0,
        pan: body.number.0,
        // The century is that of now.
        expiry: body.expiry.0.month_near(MonthIndex::of_unix_ms(issuer.now_ms())),
        digit,
        controls: body.controls.asked(account.currency)?,
    };
    let actor = issuer.caller().key.to_string();
    let card = shown(office.enrol_card(order, actor, once.for_office(office)).await?);
    let location = format!("/v1/cards/{}", card.id.0);
    Ok(Created::at(location, card))
}

/// List an account's cards, the latest first
#[utoipa::path(get, path = "/v1/accounts/{id}/cards", operation_id = "list_cards", tag = "cards",
    params(("id" = AccountRef, Path, description = "Of which account."), Which),
    responses((status = 200, description = "A page of cards.", body = Page)))]
async fn list(
    reader: Reader,
    IdBeside(id): IdBeside<AccountId>,
    which: Params<Which>,
) -> Result<Json<Page>, Problem> {
    let Params(Which { limit, cursor }) = which;
    reader.account(id).await?;
    let found = reader.office().cards(&[id], part(limit, cursor.as_deref())?).await?;
    Ok(Json(List::of(found, shown)))
}

/// Show a card
#[utoipa::path(get, path = "/v1/cards/{id}", operation_id = "show_card", tag = "cards",
    params(("id" = NumberRef, Path, description = "Which one.")),
    responses((status = 200, description = "The card.", body = Card)))]
async fn show(reader: Reader, Id(id): Id<NumberId>) -> Result<Json<Card>, Problem> {
    Ok(Json(shown(reader.card(id).await?)))
}

/// List a card's open purchases
///
/// Those that its wallet has asked for and nobody has made yet.
#[utoipa::path(get, path = "/v1/cards/{id}/purchases", operation_id = "list_card_purchases", tag = "cards",
    params(("id" = NumberRef, Path, description = "Which one.")),
    responses((status = 200, description = "All of them.", body = OpenPurchases)))]
async fn purchases(reader: Reader, Id(id): Id<NumberId>) -> Result<Json<OpenPurchases>, Problem> {
    let card = reader.card(id).await?;
    Ok(Json(OpenPurchases { items: card.open.iter().map(open).collect() }))
}

/// Unlock a card
///
/// Its cardholder does so himself, as a rule. One that is not locked stays as it is.
#[utoipa::path(post, path = "/v1/cards/{id}/unlock", operation_id = "unlock_card", tag = "cards",
    params(("id" = NumberRef, Path, description = "Which one.")), request_body = Option<Nothing>,
    responses((status = 200, description = "The card as it is now.", body = Card)))]
async fn unlock(issuer: Issuer, Id(id): Id<NumberId>, new: Posted<Nothing>) -> Result<Json<Card>, Problem> {
    let Posted { body: Nothing {}, once } = new;
    issuer.card(id).await?;
    let office = issuer.office();
    Ok(Json(shown(office.unlock_card(id, once.for_office(office)).await?)))
}

/// Close a card for good
///
/// Nothing can be bought with it any more. What was bought goes on.
#[utoipa::path(post, path = "/v1/cards/{id}/close", operation_id = "close_card", tag = "cards",
    params(("id" = NumberRef, Path, description = "Which one.")), request_body = Option<Nothing>,
    responses((status = 200, description = "The card as it is now.", body = Card)))]
async fn close(issuer: Issuer, Id(id): Id<NumberId>, new: Posted<Nothing>) -> Result<Json<Card>, Problem> {
    let Posted { body: Nothing {}, once } = new;
    issuer.card(id).await?;
    let office = issuer.office();
    Ok(Json(shown(office.close_card(id, once.for_office(office)).await?)))
}

pub(super) fn shown(card: CardNow) -> Card {
    let row = &card.number.row;
    Card {
        id: Shown(row.id),
        object: CardObject::Card,
        account: Shown(row.account),
        programme: Shown(row.programme),
        last_four: row.last_four.to_string(),
        kind: CardKind::of(card.is_own),
        status: match card.status {
            CardStatus::Active => CardState::Active,
            CardStatus::Locked => CardState::Locked,
            CardStatus::Closed => CardState::Closed,
        },
        open_etsns: card.open.len(),
        locked_at: card.locked_ms.map(time),
    }
}

fn open(open: &Open) -> OpenPurchase {
    OpenPurchase {
        etsn: open.etsn.0,
        mode: ProofPlace::from(open.mode),
        version: open.version.0,
        expires_at: time(open.expires_ms),
        amount_max: open.cap().map(|(cap, currency)| Amount::of(cap.signed(), currency)),
        merchant: open.merchant().map(Shown),
    }
}

impl From<Mode> for ProofPlace {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Expiry => Self::Expiry,
            Mode::Field => Self::Field,
        }
    }
}

impl From<ProofPlace> for Mode {
    fn from(place: ProofPlace) -> Self {
        match place {
            ProofPlace::Expiry => Self::Expiry,
            ProofPlace::Field => Self::Field,
        }
    }
}
