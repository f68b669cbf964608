//! Purchases that nobody makes, for an issuer's developer: on programmes that are sandboxes, as if the network had sent
//! them.

use axum::Json;
use mayfly_card::{MerchantId, MinorUnits, PosEntryMode};
use mayfly_core::{MessageAnswer, TransactionId};
use mayfly_keys::Cvc2;
use mayfly_office::{Afterwards, Office, SaleKind, Shop, SimulatedSale};
use mayfly_store::TransactionRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::authorisations::{self, Authorisation};
use crate::caller::Issuer;
use crate::extract::{Id, Posted};
use crate::money::Amount;
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::scope::Scope;
use crate::text::{
    AuthorisationRef, CardNumber, Category, CountryCode, EntryMode, ExpirationDate, Merchant, ReasonName,
    Shown,
};

/// Something that a shop does with a number.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSale {
    /// What it does; it asks for an authorisation, if left out.
    #[serde(default)]
    pub kind: NewSaleKind,
    /// The number, of a programme that is a sandbox.
    pub number: CardNumber,
    /// Its expiration date, right or wrong; not sent, if left out.
    #[serde(default)]
    pub expiration_date: Option<ExpirationDate>,
    /// Its CVC2, right or wrong; not sent, if left out.
    #[serde(default)]
    #[schema(example = "436", pattern = "^[0-9]{3}$")]
    pub cvc2: Option<String>,
    /// The amount; of nothing, it is a check.
    pub amount: Amount,
    /// Which shop; SIMULATED, if left out.
    #[serde(default)]
    pub merchant: Option<Merchant>,
    /// The shop's category.
    #[serde(default)]
    pub mcc: Option<Category>,
    /// The shop's country.
    #[serde(default)]
    pub country: Option<CountryCode>,
    /// How the number was entered; on the web, if left out.
    #[serde(default)]
    pub entry_mode: Option<EntryMode>,
    /// Whether the answer comes too late: the network hears 96, and what was approved is taken back. No, if left out.
    #[serde(default)]
    pub answered_late: bool,
}

/// What a shop does with a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewSaleKind {
    /// It asks whether it may charge it, and charges it later (0100).
    #[default]
    Authorisation,
    /// It charges it at once (0200).
    Financial,
    /// Somebody else authorised it, and tells (0120).
    Advice,
    /// It charges what nobody authorised (0220).
    ForcePost,
    /// It gives money back, and does not say for what (0200, processing code 20).
    Refund,
}

/// What comes after an authorisation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAmount {
    /// So much of it, in its currency.
    pub amount: Amount,
}

/// An authorisation, a completion or a refund is taken back.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(default)]
pub struct NewReversal {
    /// How much of it stays (DE 95), in its currency; nothing, if left out.
    pub stays: Option<Amount>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Simulated {
    /// What the network hears (DE 39).
    #[schema(example = "00", pattern = "^[0-9A-Z]{2}$")]
    pub response_code: String,
    /// The approval code that it hears (DE 38); null if there is none.
    #[schema(example = "000017", required)]
    pub approval_code: Option<String>,
    /// Exactly why. Never sent to the network.
    pub reason: ReasonName,
    /// Whether the same was sent before, with the same key.
    pub repeat: bool,
    /// The message as it was processed, and what stands of it now; null if nothing was recorded.
    #[schema(required)]
    pub authorisation: Option<Authorisation>,
}

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(sale))
        .routes(routes!(complete))
        .routes(routes!(increment))
        .routes(routes!(reverse))
        .routes(routes!(refund))
}

/// Simulate what a shop does with a number
///
/// On programmes that are sandboxes. It goes the same way as a message of the network: the same decisions, books, events
/// and webhooks. With the same key it is the same message, sent again.
#[utoipa::path(post, path = "/v1/simulate/sales", operation_id = "simulate_sale", tag = "simulate",
    request_body = NewSale, responses((status = 200, description = "What came of it.", body = Simulated)))]
async fn sale(issuer: Issuer, new: Posted<NewSale>) -> Result<Json<Simulated>, Problem> {
    let Posted { body, once } = new;
    let office = issuer.office();
    let programme = office.programme_of(&body.number.0);
    // Another issuer's programme is as good as none.
    let owner = match programme {
        Some(programme) => office.programme(programme).await.ok().map(|programme| programme.issuer),
        None => None,
    };
    let ours = programme.filter(|_| owner.is_some() && issuer.sees(owner));
    if !ours.is_some_and(|programme| office.is_sandbox(programme)) {
        return Err(Problem::new(Code::NotSandbox));
    }
    let sale = body.sale()?;
    let answer = office.simulate_sale(&sale, (once.in_office(office), !body.answered_late)).await?;
    shown(office, answer).await
}

/// Simulate that an authorisation, or a part of it, is charged
#[utoipa::path(post, path = "/v1/simulate/authorisations/{id}/completions", operation_id = "simulate_completion",
    tag = "simulate", params(("id" = AuthorisationRef, Path, description = "Of which authorisation.")),
    request_body = NewAmount, responses((status = 200, description = "What came of it.", body = Simulated)))]
async fn complete(
    issuer: Issuer,
    Id(id): Id<TransactionId>,
    new: Posted<NewAmount>,
) -> Result<Json<Simulated>, Problem> {
    after_amount(issuer, id, new, Afterwards::Completion).await
}

/// Simulate that more is authorised
#[utoipa::path(post, path = "/v1/simulate/authorisations/{id}/increments", operation_id = "simulate_increment",
    tag = "simulate", params(("id" = AuthorisationRef, Path, description = "Of which authorisation.")),
    request_body = NewAmount, responses((status = 200, description = "What came of it.", body = Simulated)))]
async fn increment(
    issuer: Issuer,
    Id(id): Id<TransactionId>,
    new: Posted<NewAmount>,
) -> Result<Json<Simulated>, Problem> {
    after_amount(issuer, id, new, Afterwards::Increment).await
}

/// Simulate that an earlier message, or a part of it, is taken back
#[utoipa::path(post, path = "/v1/simulate/authorisations/{id}/reversals", operation_id = "simulate_reversal",
    tag = "simulate", params(("id" = AuthorisationRef, Path, description = "Which message.")),
    request_body = Option<NewReversal>,
    responses((status = 200, description = "What came of it.", body = Simulated)))]
async fn reverse(
    issuer: Issuer,
    Id(id): Id<TransactionId>,
    new: Posted<NewReversal>,
) -> Result<Json<Simulated>, Problem> {
    let Posted { body, once } = new;
    let earlier = earlier(&issuer, id).await?;
    let currency = earlier.transaction.currency;
    let stays = body.stays.map(|stays| stays.in_currency(currency)?.unsigned("/stays")).transpose()?;
    let once = once.in_office(issuer.office());
    let afterwards = Afterwards::Reversal(stays.unwrap_or(MinorUnits::ZERO));
    let answer = issuer.office().simulate_afterwards(&earlier, afterwards, once).await?;
    shown(issuer.office(), answer).await
}

/// Simulate that money is given back
#[utoipa::path(post, path = "/v1/simulate/authorisations/{id}/refunds", operation_id = "simulate_refund",
    tag = "simulate", params(("id" = AuthorisationRef, Path, description = "Of which purchase.")),
    request_body = NewAmount, responses((status = 200, description = "What came of it.", body = Simulated)))]
async fn refund(
    issuer: Issuer,
    Id(id): Id<TransactionId>,
    new: Posted<NewAmount>,
) -> Result<Json<Simulated>, Problem> {
    after_amount(issuer, id, new, Afterwards::Refund).await
}

async fn after_amount(
    issuer: Issuer,
    id: TransactionId,
    new: Posted<NewAmount>,
    afterwards: fn(MinorUnits) -> Afterwards,
) -> Result<Json<Simulated>, Problem> {
    let Posted { body, once } = new;
    let earlier = earlier(&issuer, id).await?;
    let amount = body.amount.in_currency(earlier.transaction.currency)?.unsigned("/amount")?;
    let once = once.in_office(issuer.office());
    let answer = issuer.office().simulate_afterwards(&earlier, afterwards(amount), once).await?;
    shown(issuer.office(), answer).await
}

/// What is gone on with, if it may be.
async fn earlier(scope: &Scope, id: TransactionId) -> Result<TransactionRow, Problem> {
    let found = scope.transaction(id).await?;
    let sandbox = found.transaction.programme.is_some_and(|programme| scope.office().is_sandbox(programme));
    if sandbox { Ok(found) } else { Err(Problem::new(Code::NotSandbox)) }
}

impl NewSale {
    fn sale(&self) -> Result<SimulatedSale, Problem> {
        let wrong = |_| Problem::field("/cvc2", "must be three digits");
        Ok(SimulatedSale {
            kind: match self.kind {
                NewSaleKind::Authorisation => SaleKind::Authorisation,
                NewSaleKind::Financial => SaleKind::Financial,
                NewSaleKind::Advice => SaleKind::Advice,
                NewSaleKind::ForcePost => SaleKind::ForcePost,
                NewSaleKind::Refund => SaleKind::Refund,
            },
            number: self.number.0.clone(),
            expiry: self.expiration_date.as_ref().map(|it| it.0),
            cvc2: self.cvc2.as_deref().map(|cvc2| Cvc2::parse(cvc2.as_bytes())).transpose().map_err(wrong)?,
            amount: self.amount.unsigned("/amount")?,
            currency: self.amount.currency.0,
            shop: Shop {
                merchant: self.merchant.as_ref().map_or_else(simulated_shop, |it| it.0),
                mcc: self.mcc.as_ref().map(|it| it.0),
                country: self.country.as_ref().map(|it| it.0),
                entry_mode: self.entry_mode.as_ref().map_or(PosEntryMode::E_COMMERCE, |it| it.0),
            },
        })
    }
}

fn simulated_shop() -> MerchantId {
    MerchantId::parse("SIMULATED").unwrap_or_default()
}

async fn shown(office: &Office, answer: MessageAnswer) -> Result<Json<Simulated>, Problem> {
    let authorisation = match answer.transaction {
        Some(id) => Some(authorisations::shown(office.transaction(id).await?)),
        None => None,
    };
    Ok(Json(Simulated {
        response_code: answer.response.code().to_owned(),
        approval_code: answer.approval.map(|code| code.to_string()),
        reason: Shown(answer.reason),
        repeat: answer.repeat,
        authorisation,
    }))
}
