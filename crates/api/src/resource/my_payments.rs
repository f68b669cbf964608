//! What a cardholder pays at his issuer's own page, because the shop got his universal number only.

use axum::Json;
use mayfly_store::directory::{self, PaymentId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::payments::PaymentState;
use crate::customer::Customer;
use crate::extract::{Id, Posted};
use crate::money::Amount;
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{AccountRef, PageAddress, PaymentRef, Reference, Shown, Time, Title, time};

/// A payment that waits for the cardholder.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WaitingPayment {
    /// Its id.
    pub id: PaymentRef,
    /// What the merchant is called.
    pub merchant: Title,
    /// What the merchant calls the order.
    pub reference: Reference,
    /// What it costs.
    pub amount: Amount,
    /// When it was ordered.
    pub created_at: Time,
    /// Where to send the cardholder back to; null if nowhere.
    #[schema(required)]
    pub return_url: Option<PageAddress>,
}

/// What came of paying.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PaidPayment {
    /// Its id.
    pub id: PaymentRef,
    /// `authorised` or `captured` if it is paid.
    pub state: PaymentState,
    /// What was answered (DE 39).
    #[schema(required, example = "00", pattern = "^[0-9A-Z]{2}$")]
    pub response_code: Option<String>,
    /// The same in words.
    #[schema(required, example = "approved")]
    pub detail: Option<String>,
    /// Where to send the cardholder back to; null if nowhere.
    #[schema(required)]
    pub return_url: Option<PageAddress>,
}

/// From what a payment is paid.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayFrom {
    /// From which account; may be left out if there is one only.
    #[serde(default)]
    account: Option<AccountRef>,
}

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(show)).routes(routes!(pay))
}

/// Show a payment that waits for the cardholder
///
/// One that came with his issuer's universal number and is not paid yet. Others are as good as not there.
#[utoipa::path(get, path = "/v1/me/payments/{id}", operation_id = "show_my_payment", tag = "me",
    security(("session" = [])), params(("id" = PaymentRef, Path, description = "Which one.")),
    responses((status = 200, description = "The payment.", body = WaitingPayment)))]
async fn show(customer: Customer, Id(id): Id<PaymentId>) -> Result<Json<WaitingPayment>, Problem> {
    let (payment, merchant) = customer.payment(id).await?;
    if !customer.gateway().waits_for_cardholder(&payment, &merchant).await? {
        return Err(Problem::new(Code::NotFound));
    }
    Ok(Json(waiting(payment, &merchant)))
}

/// Pay a payment
///
/// A number is made for this one payment and authorised for it on the server: nobody gets to see it.
#[utoipa::path(post, path = "/v1/me/payments/{id}/pay", operation_id = "pay_my_payment", tag = "me",
    security(("session" = [])), params(("id" = PaymentRef, Path, description = "Which one.")),
    request_body = Option<PayFrom>,
    responses((status = 200, description = "What came of it.", body = PaidPayment)))]
async fn pay(
    customer: Customer,
    Id(id): Id<PaymentId>,
    new: Posted<PayFrom>,
) -> Result<Json<PaidPayment>, Problem> {
    let Posted { body, once } = new;
    let (payment, merchant) = customer.payment(id).await?;
    if payment.programme.is_none() {
        return Err(Problem::new(Code::NotFound));
    }
    let (account, stands) = customer.account_meant(body.account.map(|it| it.0)).await?;
    if stands.currency != payment.currency {
        return Err(Problem::with(Code::CurrencyMismatch, "name an account in the currency of the payment"));
    }
    let paid = customer.gateway().pay(payment, merchant, account, once.for_gateway()).await?;
    let shown = super::payments::shown(paid);
    Ok(Json(PaidPayment {
        id: shown.id,
        state: shown.state,
        response_code: shown.response_code,
        detail: shown.detail,
        return_url: shown.return_url,
    }))
}

fn waiting(payment: directory::Payment, merchant: &directory::Merchant) -> WaitingPayment {
    WaitingPayment {
        id: Shown(payment.id),
        merchant: Shown(merchant.name),
        reference: Shown(payment.reference),
        amount: Amount::of(payment.amount.signed(), payment.currency),
        created_at: time(payment.created_ms),
        return_url: payment.return_url.map(Shown),
    }
}
